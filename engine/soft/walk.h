/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page-table walks.
 *
 * First stage (VT-d 3.6, 9.7: x86-64 entries, 4 and 5 levels), second stage (VT-d 3.7, 9.8: 4
 * levels) and nested translation (VT-d 3.8). In nested mode every address that a first-stage
 * entry holds goes through the second stage before it is used: the first stage may hold
 * anything. The second stage is the kernel's and is believed.
 *
 * Locking: under the unit's lock. Table entries are shared with the processor: each is read
 * once, as a 64-bit atomic load with acquire semantics.
 */
#ifndef ENGINE_SOFT_WALK_H
#define ENGINE_SOFT_WALK_H

#include <ioas/types.h>

#include "unit.h"

/* Host address width: address bits above it are reserved in every entry. */
#define SOFT_HOST_BITS	   48
#define SOFT_RESERVED_HIGH (UINT64_C(0x000fffffffffffff) & ~((UINT64_C(1) << SOFT_HOST_BITS) - 1))

/* First stage: VT-d 9.7. Bits 52 to 62 are ignored; so is 63, as nothing here executes. */
#define FS_P  (UINT64_C(1) << 0)
#define FS_RW (UINT64_C(1) << 1)
#define FS_US (UINT64_C(1) << 2)
#define FS_PS (UINT64_C(1) << 7)

/* Second stage: VT-d 9.8. R and W are those of enum ioas_prot; R = W = 0 is not present. */
#define SS_PS (UINT64_C(1) << 7)
#define SS_D  (UINT64_C(1) << 9) /* a leaf: written to; set by a walk for a write (VT-d 3.7.2) */

/* A translation: @addr is that of the request itself, not of the page. */
struct soft_walk {
	uint64_t addr;
	uint32_t prot;
	unsigned int class; /* page class of the smallest page on the way */
};

/*
 * Walk for a request with the rights @prot. The address has been found valid for the context.
 * Return: 0, or enum ioas_fault_reason.
 */
unsigned int soft_walk_nested(struct soft_endpoint *endpoint, uint64_t iova, uint32_t prot,
			      struct soft_walk *walk);
unsigned int soft_walk_second(struct soft_endpoint *endpoint, uint64_t iova, uint32_t prot,
			      struct soft_walk *walk);

/*
 * The leaf of a second stage that translates @addr, of @level, or NULL: for those who own the
 * table. Reads no cache, counts nothing.
 */
_Atomic uint64_t *soft_second_leaf(uint64_t root, uint64_t addr, unsigned int *level);

static inline uint64_t soft_read_entry(uint64_t table, uint64_t addr, unsigned int level)
{
	_Atomic uint64_t *entries = (_Atomic uint64_t *)(uintptr_t)table;

	return atomic_load_explicit(&entries[addr >> soft_shift(level) & 511],
				    memory_order_acquire);
}

static inline uint64_t soft_block(uint64_t addr, unsigned int level)
{
	return (addr & SOFT_INPUT_LAST) >> soft_shift(level);
}

/*
 * The common walk: its paging-structure entry is cached, so is the page in the nested cache, and
 * between them lies one read of a 4 KiB leaf without surprises. Return: data for the IOTLB; or 0,
 * for whatever reason, and the whole walk finds out.
 */
static inline uint64_t soft_walk_quick(struct soft_endpoint *endpoint, uint64_t iova, uint32_t prot)
{
	struct soft_unit *unit = endpoint->unit;
	const struct soft_domain *parent = endpoint->parent_domain;
	uint64_t start, entry, data;

	if (unlikely(endpoint->context.kind != SOFT_NESTED))
		return 0;
	start = soft_psc_find(&unit->psc[1], soft_block(iova, 1), endpoint->domain->id);
	if (unlikely(!start))
		return 0;
	entry = soft_read_entry(start & SOFT_PA_MASK, iova, 0);
	if (unlikely((entry & (FS_P | FS_US | SOFT_RESERVED_HIGH)) != (FS_P | FS_US)))
		return 0;
#pragma GCC unroll 3
	for (unsigned int class = 0; class < SOFT_CLASSES; class ++) {
		if (!(parent->nested_classes & 1 << class))
			continue;
		data = soft_tlb_guess(&unit->nested, entry & SOFT_PA_MASK, parent->id, class);
		if (likely(data)) {
			/* R/W has the place of IOAS_WRITE; what is present can be read. */
			uint32_t rights = data & start & (entry | IOAS_READ) & IOAS_RW;

			if (unlikely(prot & ~rights))
				return 0;
			return ((data | (entry & soft_offset_mask(class))) & SOFT_PA_MASK) |
			       rights | SOFT_TLB_VALID;
		}
	}
	return 0;
}

#endif
