/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paging-structure cache of one level: an entry stands for a table entry that points to the next
 * table, with the rights collected on the way to it. In nested mode the address kept is that
 * after the second stage, so that a walk goes on from here without it.
 *
 * A level's entries are numbered as in the walker: level 1 entries point to 4 KiB leaf tables.
 * Sets of four ways, one cache line; round robin. First and second stage share the caches: their
 * domains, and so their cache ids, differ.
 *
 *   tag   63..17 address bits above the level's shift; 16..0 cache id (see tlb.h)
 *   data  47..12 address of the next table; 1..0 rights collected; bit 2 set
 *
 * Locking: everything under the unit's lock.
 * Source: VT-d 6.2.5 "Caches for Paging Structures".
 */
#ifndef ENGINE_SOFT_PSC_H
#define ENGINE_SOFT_PSC_H

#include "tlb.h"

#define SOFT_PSC_WAYS  4
#define SOFT_PSC_VALID UINT64_C(4)

struct soft_psc_set {
	uint64_t tags[SOFT_PSC_WAYS];
	uint64_t data[SOFT_PSC_WAYS];
} __attribute__((aligned(64)));

struct soft_psc {
	struct soft_psc_set *sets;
	uint32_t set_mask;
	uint32_t way_mask; /* fewer than four entries in all: the other ways stay empty */
	uint32_t next;	   /* victim */
};

/* @entries: a power of two. Return: 0 or -ENOMEM. */
int soft_psc_init(struct soft_psc *psc, uint32_t entries);
void soft_psc_destroy(struct soft_psc *psc);
void soft_psc_clear(struct soft_psc *psc);

/* Remove the entries of @id that cover blocks [first, last] of this level. */
void soft_psc_drop(struct soft_psc *psc, uint64_t first, uint64_t last, uint32_t id);

static inline struct soft_psc_set *soft_psc_set(const struct soft_psc *psc, uint64_t block)
{
	return &psc->sets[(block ^ block >> 9) & psc->set_mask];
}

/* Return: the data of @block, 0 if there is none. */
static inline uint64_t soft_psc_find(const struct soft_psc *psc, uint64_t block, uint32_t id)
{
	const struct soft_psc_set *set = soft_psc_set(psc, block);
	uint64_t tag = block << SOFT_ID_BITS | id;

	for (unsigned int way = 0; way < SOFT_PSC_WAYS; way++)
		if (likely(set->tags[way] == tag))
			return set->data[way];
	return 0;
}

/* Enter what soft_psc_find() has not found. */
static inline void soft_psc_fill(struct soft_psc *psc, uint64_t block, uint32_t id, uint64_t data)
{
	struct soft_psc_set *set = soft_psc_set(psc, block);
	unsigned int way = psc->next++ & psc->way_mask;

	set->tags[way] = block << SOFT_ID_BITS | id;
	set->data[way] = data | SOFT_PSC_VALID;
}

#endif
