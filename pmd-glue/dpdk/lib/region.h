/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions of memory in a tree by address (tsearch()), no two of which overlap. */
#ifndef IOAS_DPDK_REGION_H
#define IOAS_DPDK_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include <ioas/ioas.h>

struct region {
	uint64_t va;
	uint64_t bytes;
	ioas_iova_t iova;
	struct ioas_mem *mem; /* NULL: registered by another region */
	bool mapped;
	uint32_t owner;
	struct region *next; /* of a list of the caller's */
};

/* Return: true; false: no memory, or it overlaps another. */
bool region_enter(void **tree, struct region *region);
void region_remove(void **tree, const struct region *region);
/* Any region that has a byte of the range, or NULL. */
struct region *region_find(void *const *tree, uint64_t va, uint64_t bytes);
void region_walk(void *tree, void (*visit)(void *arg, struct region *region), void *arg);

#endif
