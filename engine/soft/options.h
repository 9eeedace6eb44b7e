/* SPDX-License-Identifier: BSD-3-Clause */
/* Options of the software IOMMU, as documented in ioas/soft.h: one table, parsed strictly. */
#ifndef ENGINE_SOFT_OPTIONS_H
#define ENGINE_SOFT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "../diag.h"

#define SOFT_UNITS_MAX 16

/* Faults built in on purpose, to show that a test would notice them. */
enum soft_break {
	SOFT_BREAK_NONE = 0,
	SOFT_BREAK_DROP_INVAL, /* page-selective invalidations have no effect */
	SOFT_BREAK_DROP_FLUSH, /* domain-selective and global ones have no effect */
};

struct soft_options {
	uint64_t iotlb_sets;
	uint64_t iotlb_ways;
	uint64_t psc_entries;
	uint64_t units;
	uint64_t faults;
	uint64_t requests;
	uint64_t inval_ns;
	uint64_t call_ns;
	uint64_t aperture_bits;
	uint64_t max_maps;
	uint64_t pin;
	uint64_t broken; /* enum soft_break */
};

/* @text: "key=value,...", or NULL for the defaults. Return: 0; -EINVAL, @diag names the key. */
int soft_options_parse(struct diag *diag, const char *text, struct soft_options *options);

#endif
