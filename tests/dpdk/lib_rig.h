/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of libioas_dpdk share: EAL from the command line, cases by name, and an oracle
 * that holds EAL's own list of its memory against what the software IOMMU lets a device do.
 */
#ifndef TESTS_DPDK_LIB_RIG_H
#define TESTS_DPDK_LIB_RIG_H

#include <inttypes.h>
#include <string.h>

#include <rte_eal.h>

#include <ioas/soft.h>

#include "check.h"
#include "ioas_dpdk.h"

#define RIG_DEVICE "rig"

struct rig_case {
	const char *name;
	void (*run)(void);
};

/*
 * main() of a program: PROGRAM CASE,CASE... [EAL options]. Each case that returns prints "NAME:
 * ok".
 */
int rig_main(int argc, char **argv, const struct rig_case *cases);

/* Open with @opts (size and devices are set here; may be NULL), one device attached. */
struct ioas_dpdk *rig_open(struct ioas_dpdk_opts *opts);
void rig_close(struct ioas_dpdk *glue);
extern struct ioas_dev *rig_dev;

/* The device of that name on @glue's context. */
struct ioas_dev *rig_find_dev(struct ioas_dpdk *glue, const char *name);

/* Does a byte that the device writes through @iova arrive at @va? (Its value is put back.) */
bool rig_device_reaches(uint64_t iova, void *va);

/* All memory of EAL is mapped where EAL says, and no more bytes than that and @others. */
void rig_check_follows(struct ioas_dpdk *glue, uint64_t others);

/* Bytes of EAL's memory (that of heaps included). */
uint64_t rig_eal_bytes(void);

struct ioas_dpdk_stats rig_stats(struct ioas_dpdk *glue);

/* From now on lines of the log are kept; has one with @text come since? */
void rig_log_start(void);
bool rig_log_has(const char *text);

/* Address space of its own, not touched. @align: a power of two. */
void *rig_reserve(size_t bytes, size_t align);

#endif
