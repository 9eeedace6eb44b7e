/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mempool driver "ioas": a free object is not visible to devices.
 *
 * Layout: every object has pages of its own (a page is the unit of protection); inside its pages
 * it is shifted by a multiple of a cache line that changes from slot to slot, so that the headers
 * of all objects do not compete for a few sets of the caches.
 *
 * An object is out, warm or cold. Out ones are visible to devices, cold ones are not, and belong to
 * slots whose numbers are on an lcore's stack or on one that all share. Warm ones were freed a
 * moment ago and are visible still, in mode batched only: what is freed last is handed out first,
 * so that most objects come out again before their time and cost neither a store to a table, nor
 * an invalidation, nor a miss in the device's caches. They turn cold when an lcore has too many
 * (the older half goes), or when they have not been asked for in two ticks (pool_sweep()). Bounds
 * of the library's own batching and these together are what the mode promises.
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
/* One lcore's share of a pool. Under that lcore's glue_lcore.lock. All are stacks. */
struct pool_share {
	uint32_t warm_count;
	uint32_t warm_low; /* least warm_count since the last tick: those have not moved */
	uint32_t ready_count;
	uint32_t ready[POOL_READY_MAX]; /* slots */
	void *warm[GLUE_WARM_MAX];
};

struct pool {
	/* Read-only once populated. */
	uintptr_t base;
	size_t bytes;
	uint64_t slot_bytes;
	uint64_t slot_magic; /* slot = page number * magic >> 32 */
	uint32_t slots;
	enum glue_visibility visibility;
	uint16_t colour[POOL_COLOURS] __attribute__((aligned(64))); /* object's offset in its slot */
	struct ioas_window *window;
	struct rte_stack *shared; /* ready slots */
	struct glue_region *region;
	struct rte_mempool *mp;
	uint32_t warm_max; /* 0 but in mode batched */
	struct pool *next; /* of those with warm objects */
	struct pool_share *shares[GLUE_LCORES]; /* made on first use */
};

/* Does a device of this process's mode need buffers from this driver, and is @mp not of it? */
bool pool_is_foreign(const struct rte_mempool *mp);

/* pool_move.c: the hot part, and what it falls back to. */
int pool_enqueue(struct rte_mempool *mp, void *const *objs, unsigned int count);
int pool_dequeue(struct rte_mempool *mp, void **objs, unsigned int count);
void pool_fill(struct pool *pool); /* all slots of a new pool become ready */
void pool_cool(struct pool *pool, bool all); /* a tick; or all warm objects turn cold */

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
