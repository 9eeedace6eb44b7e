/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mempool driver "ioas": a free object is not visible to devices.
 *
 * Layout: every object has pages of its own (a page is the unit of protection); inside its pages
 * it is shifted by a multiple of a cache line that changes from slot to slot, so that the headers
 * of all objects do not compete for a few sets of the caches.
 *
 * A slot is: ready (not visible, may be handed out), out (visible), or in quarantine (revoked, its
 * invalidation may not have completed). Ready and quarantined slots belong to an lcore's share,
 * under that lcore's lock; ready ones in excess go to a stack that all share.
 *
 * What DPDK's own per-lcore cache above this driver holds counts as out: create the pool without a
 * cache where each free object must be out of reach.
 */
#ifndef IOAS_DPDK_POOL_H
#define IOAS_DPDK_POOL_H

#include <rte_mempool.h>
#include <rte_stack.h>

#include "glue.h"

#define POOL_OPS_NAME "ioas"

#define POOL_COLOURS 32 /* entries of the table, a power of two; fewer may be distinct */

/* Objects that one step of a bulk handles; larger bulks take several. */
#define POOL_CHUNK 256
/* Ready slots that an lcore keeps; half of them go to the shared stack when there are more. */
#define POOL_READY_MAX 1024
/* Slots that an lcore takes from the shared stack at once. */
#define POOL_REFILL 256
/* Quarantine of an lcore: a ring; when it is nearly full the lcore flushes. A power of two. */
#define POOL_QUARANTINE 8192
/* Small bulks share a ticket, up to so many slots: two neighbouring seals hold more than this. */
#define POOL_SEAL_SLOTS 32
#define POOL_SEALS	(2 * POOL_QUARANTINE / POOL_SEAL_SLOTS)

/* Quarantined slots of ring positions @start to @end wait for @ticket. */
struct pool_seal {
	uint64_t ticket;
	uint32_t start;
	uint32_t end;
};

/* One lcore's share of a pool. Under that lcore's glue_lcore.lock. Positions run freely. */
struct pool_share {
	uint32_t ready_count;
	uint32_t head; /* oldest quarantined slot */
	uint32_t tail;
	uint32_t seal_head;
	uint32_t seal_tail;
	uint32_t ready[POOL_READY_MAX]; /* a stack */
	uint32_t quarantine[POOL_QUARANTINE];
	struct pool_seal seals[POOL_SEALS];
};

struct pool {
	/* Read-only once populated. */
	uintptr_t base;
	uint64_t slot_bytes;
	uint64_t slot_magic; /* slot = page number * magic >> 32 */
	uint32_t slots;
	enum glue_visibility visibility;
	uint16_t colour[POOL_COLOURS] __attribute__((aligned(64))); /* object's offset in its slot */
	struct ioas_window *window;
	struct rte_stack *shared; /* ready slots */
	struct glue_region *region;
	struct rte_mempool *mp;
	struct pool_share *shares[GLUE_LCORES]; /* made on first use */
};

/* Does a device of this process's mode need buffers from this driver, and is @mp not of it? */
bool pool_is_foreign(const struct rte_mempool *mp);

/* pool_move.c: the hot part, and what it falls back to. */
int pool_enqueue(struct rte_mempool *mp, void *const *objs, unsigned int count);
int pool_dequeue(struct rte_mempool *mp, void **objs, unsigned int count);
void pool_fill(struct pool *pool); /* all slots of a new pool become ready */

static inline uint32_t pool_slot(const struct pool *pool, const void *obj)
{
	uint64_t page = ((uintptr_t)obj - pool->base) >> IOAS_PAGE_SHIFT;

	return (uint32_t)((page * pool->slot_magic) >> 32);
}

static inline void *pool_object(const struct pool *pool, uint32_t slot)
{
	return (void *)(pool->base + slot * pool->slot_bytes +
			pool->colour[slot % POOL_COLOURS]);
}

#endif
