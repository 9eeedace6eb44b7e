/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an invalidation policy costs the IOMMU: a NIC with rings, on the software IOMMU as a model
 * of the hardware, under policies that differ in who chooses IOVAs, what is invalidated, and when.
 *
 * The NIC: QUEUES queues, each a ring of descriptors. A descriptor is memory of desc_bytes (256
 * KiB, 64 pages) that packets fill one after the other, in strides of 256 bytes; when no further
 * one fits, the driver takes the descriptor back and gives the memory to the device again. For
 * every TX_EVERY packets that a queue receives it sends one of 64 bytes (TCP's acknowledgements),
 * in bursts, each from a page of its own; a burst is taken back when the next one is sent.
 *
 * The driver works while the device does: with each packet of its queue it takes back as many
 * pages as keep up with what packets fill (and one of a burst). A policy that takes back all of a
 * descriptor with one call does so at the first of them.
 *
 * Everything goes through tables, queues and invalidation requests of the library; the counts are
 * the model's. One thread, fixed seeds: the same counts in each run, but for the few reads of the
 * second stage, whose caches' sets depend on where the memory is.
 *
 * Source: Rubin et al., "Fast & Safe IO Memory Protection", SOSP 2024: the NIC, the policies, and
 * the cost model T = p / (65 ns + M * 197 ns), M memory reads of the IOMMU per packet of p bytes.
 */
#ifndef BENCH_STUDY_STUDY_H
#define BENCH_STUDY_STUDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ioas/ioas.h>

#define STUDY_QUEUES	 5
#define STUDY_STRIDE	 256
#define STUDY_DESC_PAGES 64
#define STUDY_TX_EVERY	 4
#define STUDY_TX_BURST	 16
#define STUDY_TX_BURSTS	 32 /* of a queue: 512 buffers of a page each, 2 MiB in all */
#define STUDY_HUGE	 (UINT64_C(2) << 20)
#define STUDY_LINE_GBPS	 100.0
#define STUDY_PACKET_NS	 65.0
#define STUDY_READ_NS	 197.0

/* Memory that is given to the device, and taken back, as a whole: pages, or one of 2 MiB. */
struct study_area {
	struct ioas_seg segs[STUDY_DESC_PAGES];
	unsigned int count;
	unsigned int taken; /* of them, not the device's any more */
	bool mapped;
};

struct study_queue {
	struct study_area *descs;
	unsigned int desc_count;
	unsigned int at;	      /* descriptor that is being filled */
	uint64_t offset;	      /* in it */
	unsigned int unsent;	      /* packets received since the last burst */
	unsigned int tx_next;	      /* burst */
	struct study_area *taking;    /* descriptor that the driver takes back, or NULL */
	struct study_area *tx_taking; /* and burst */
	struct study_area tx[STUDY_TX_BURSTS];
	struct ioas_queue *ours;
};

struct study_policy;

struct study {
	const struct study_policy *policy;
	unsigned int ring;   /* packets */
	unsigned int packet; /* bytes */
	unsigned int stride; /* bytes of a descriptor that a packet takes */
	char *memory;
	size_t memory_bytes;
	struct ioas_ctx *ctx;
	struct ioas_mem *mem;
	struct ioas_dev *dev;
	struct ioas *as;
	struct study_queue queues[STUDY_QUEUES];
	void *state; /* the policy's */
	uint64_t random;
	uint64_t packets; /* received */
	char error[256];
};

/**
 * struct study_policy - who maps, and what unmapping does
 * @kind: enum ioas_kind of the address space
 * @huge: descriptors are of 2 MiB, not 256 KiB, and a leaf each; so are all buffers to send
 * @keep: nothing is ever taken back
 * @open: sets @state up, or NULL
 * @close: frees it, or NULL
 * @map: gives @area to the device; @cpu is where the driver runs
 * @unmap: takes @count pieces of it back, from @area->taken on
 * @whole: always all of it
 * @late: what was taken back may stay reachable for a while
 */
struct study_policy {
	const char *name;
	const char *what;
	enum ioas_kind kind;
	bool huge;
	bool keep;
	bool late;
	bool whole;
	int (*open)(struct study *s);
	void (*close)(struct study *s);
	int (*map)(struct study *s, unsigned int cpu, struct study_area *area, uint32_t prot);
	int (*unmap)(struct study *s, unsigned int cpu, struct study_area *area,
		     unsigned int count);
};

/* NULL-terminated. */
extern const struct study_policy *const study_policies[];

/* policies_linux.c, policies_ours.c */
extern const struct study_policy study_strict;
extern const struct study_policy study_strict_leaf;
extern const struct study_policy study_deferred;
extern const struct study_policy study_ours;
extern const struct study_policy study_ours_huge;
extern const struct study_policy study_static;
extern const struct study_policy study_off;

/* Per packet received, but for @gbps. */
struct study_result {
	double reads;	    /* memory reads by walks */
	double misses;	    /* of the IOTLB */
	double descriptors; /* invalidations */
	double gbps;	    /* by the cost model, no more than the line has */
};

/* Leaves a text in s->error. Return: -1. */
int study_fail(struct study *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * All of it mapped and warm. study_run() receives @packets; study_check() holds what the device can
 * reach against what is mapped. Return: 0, or -1 and s->error says why.
 */
int study_open(struct study *s, const struct study_policy *policy, unsigned int ring,
	       unsigned int packet);
void study_close(struct study *s);
int study_run(struct study *s, uint64_t packets);
int study_check(struct study *s);

/* Warm-up and measurement of one cell of the table, opened and closed. */
int study_measure(const struct study_policy *policy, unsigned int ring, unsigned int packet,
		  struct study_result *result, char *error, size_t error_bytes);

#endif
