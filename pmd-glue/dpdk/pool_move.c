/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mempool driver "ioas", the hot part: objects leave (become visible) and return (stop being so).
 * See pool.h for the states of an object and for the lock.
 *
 * Budget at bulks of 32 in mode batched: one uncontended lock and two copies of 32 pointers; for
 * objects that are cold, or turn it, one grant or revoke call and a few instructions each.
 */
#include <errno.h>
#include <string.h>

#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_memcpy.h>

#include "log.h"
#include "pool.h"

static struct pool_share *share_make(struct pool *pool, uint32_t id)
{
	struct pool_share *share = rte_zmalloc("ioas_share", sizeof(*share), 64);

	if (share == NULL)
		GLUE_LOG(ERR, "pool %s: no memory for lcore %u", pool->mp->name, id);
	/* get_count() reads this without the lock. */
	__atomic_store_n(&pool->shares[id], share, __ATOMIC_RELEASE);
	return share;
}

static inline struct pool_share *share_of(struct pool *pool, const struct glue_lcore *lcore)
{
	struct pool_share *share = pool->shares[lcore->id];

	return likely(share != NULL) ? share : share_make(pool, lcore->id);
}

static void shared_push(struct pool *pool, const uint32_t *slots, unsigned int count)
{
	void *table[POOL_CHUNK];

	while (count > 0) {
		unsigned int now = RTE_MIN(count, (unsigned int)POOL_CHUNK);

		for (unsigned int i = 0; i < now; i++)
			table[i] = (void *)(uintptr_t)slots[i];
		rte_stack_push(pool->shared, table, now); /* has room for every slot */
		slots += now;
		count -= now;
	}
}

void pool_fill(struct pool *pool)
{
	for (uint32_t slot = 0; slot < pool->slots; slot++)
		shared_push(pool, &slot, 1);
}

/* A stack turns bulks round; turn them back, since runs of ascending slots are the fastest. */
static unsigned int shared_pop(struct pool *pool, uint32_t *slots, unsigned int count)
{
	void *table[POOL_CHUNK];

	count = RTE_MIN(count, (unsigned int)POOL_CHUNK);
	while (count > 0 && rte_stack_pop(pool->shared, table, count) == 0)
		count = RTE_MIN(count - 1, rte_stack_count(pool->shared));
	for (unsigned int i = 0; i < count; i++)
		slots[i] = (uint32_t)(uintptr_t)table[count - 1 - i];
	return count;
}

/* Make room for @count more ready slots: the coldest half goes to the shared stack. */
static void ready_make_room(struct pool *pool, struct pool_share *share, unsigned int count)
{
	unsigned int away = RTE_MAX(share->ready_count / 2, count);

	if (likely(share->ready_count + count <= POOL_READY_MAX))
		return;
	away = RTE_MIN(away, share->ready_count);
	shared_push(pool, share->ready, away);
	share->ready_count -= away;
	memmove(share->ready, share->ready + away, share->ready_count * sizeof(share->ready[0]));
}

static void ready_push(struct pool *pool, struct pool_share *share, const uint32_t *slots,
		       unsigned int count)
{
	ready_make_room(pool, share, count);
	memcpy(share->ready + share->ready_count, slots, count * sizeof(slots[0]));
	share->ready_count += count;
}

/* At most POOL_CHUNK are wanted: there is room for a refill. */
static unsigned int ready_refill(struct pool *pool, struct pool_share *share, unsigned int count)
{
	share->ready_count +=
		shared_pop(pool, share->ready + share->ready_count,
			   RTE_MAX(count - share->ready_count, (unsigned int)POOL_REFILL));
	return share->ready_count;
}

static int make_visible(struct pool *pool, struct ioas_queue *queue, const uint32_t *slots,
			unsigned int count)
{
	unsigned int done;
	int rc = 0;

	if (likely(pool->visibility == GLUE_VISIBLE_WINDOW))
		return ioas_window_grant(queue, pool->window, slots, count);
	if (pool->visibility == GLUE_VISIBLE_ALWAYS)
		return 0;
	for (done = 0; done < count; done++) {
		uintptr_t va = pool->base + slots[done] * pool->slot_bytes;
		ioas_iova_t iova = va;

		rc = ioas_map(queue, (void *)va, pool->slot_bytes, IOAS_RW | IOAS_MAP_IDENTITY,
			      &iova);
		if (rc != 0)
			break;
	}
	while (rc != 0 && done-- > 0)
		ioas_unmap(queue, pool->base + slots[done] * pool->slot_bytes, pool->slot_bytes);
	return rc;
}

/* Return: slots of the front of @slots that devices can no longer reach (or will soon not). */
static unsigned int make_invisible(struct pool *pool, struct ioas_queue *queue, uint32_t *slots,
				   unsigned int count)
{
	unsigned int gone = 0;
	int rc = 0;

	if (pool->visibility == GLUE_VISIBLE_ALWAYS)
		return count;
	if (likely(pool->visibility == GLUE_VISIBLE_WINDOW) &&
	    likely(ioas_window_revoke(queue, pool->window, slots, count) == 0))
		return count;
	/* One by one: in percall mode, or to find the one that is at fault. */
	for (unsigned int i = 0; i < count; i++) {
		if (pool->visibility == GLUE_VISIBLE_WINDOW)
			rc = ioas_window_revoke(queue, pool->window, &slots[i], 1);
		else
			rc = ioas_unmap(queue, pool->base + slots[i] * pool->slot_bytes,
					pool->slot_bytes);
		if (rc == 0) {
			slots[gone++] = slots[i];
			continue;
		}
		__atomic_add_fetch(&glue.pool_errors, 1, __ATOMIC_RELAXED);
		GLUE_LOG(ERR, "pool %s: object %p is lost (freed twice?): %s", pool->mp->name,
			 pool_object(pool, slots[i]), ioas_queue_error(queue));
	}
	return gone;
}

/* The objects of @objs become cold. The lcore's lock is held, and its queue owned. */
static void chill(struct pool *pool, struct glue_lcore *lcore, struct pool_share *share,
		  void *const *objs, unsigned int count)
{
	uint32_t slots[POOL_CHUNK];

	while (count > 0) {
		unsigned int now = RTE_MIN(count, (unsigned int)POOL_CHUNK), gone;

		for (unsigned int i = 0; i < now; i++)
			slots[i] = pool_slot(pool, objs[i]);
		gone = make_invisible(pool, lcore->queue, slots, now);
		ready_push(pool, share, slots, gone);
		objs += now;
		count -= now;
	}
}

/* The oldest @count of the warm objects become cold. */
static void chill_oldest(struct pool *pool, struct glue_lcore *lcore, struct pool_share *share,
			 unsigned int count)
{
	chill(pool, lcore, share, share->warm, count);
	share->warm_count -= count;
	share->warm_low = RTE_MIN(share->warm_low, share->warm_count);
	memmove(share->warm, share->warm + count, share->warm_count * sizeof(share->warm[0]));
}

void pool_cool(struct pool *pool, bool all)
{
	for (unsigned int id = 0; id < GLUE_LCORES; id++) {
		struct glue_lcore *lcore = &glue.lcores[id];
		struct pool_share *share = __atomic_load_n(&pool->shares[id], __ATOMIC_ACQUIRE);
		unsigned int count;

		if (share == NULL)
			continue;
		rte_spinlock_lock(&lcore->lock);
		count = all ? share->warm_count : share->warm_low;
		/* The true owner takes its queue back when it comes next. */
		if (count > 0 && glue_lcore_own(lcore) == 0)
			chill_oldest(pool, lcore, share, count);
		share->warm_low = share->warm_count;
		rte_spinlock_unlock(&lcore->lock);
	}
}

/* Bring everything that other lcores hold to the shared stack. No lock may be held. */
static void steal(struct pool *pool)
{
	__atomic_add_fetch(&glue.pool_steals, 1, __ATOMIC_RELAXED);
	for (unsigned int id = 0; id < GLUE_LCORES; id++) {
		struct glue_lcore *lcore = &glue.lcores[id];
		struct pool_share *share;

		if (__atomic_load_n(&pool->shares[id], __ATOMIC_ACQUIRE) == NULL)
			continue;
		rte_spinlock_lock(&lcore->lock);
		share = pool->shares[id];
		if (share->warm_count > 0 && glue_lcore_own(lcore) == 0)
			chill_oldest(pool, lcore, share, share->warm_count);
		shared_push(pool, share->ready, share->ready_count);
		share->ready_count = 0;
		rte_spinlock_unlock(&lcore->lock);
	}
}

/* @count objects that are cold. Return: 0 or a negative errno. */
static int dequeue_cold(struct pool *pool, struct glue_lcore *lcore, struct pool_share *share,
			void **objs, unsigned int count)
{
	const uint32_t *slots;
	int rc;

	if (unlikely(share->ready_count < count) &&
	    unlikely(ready_refill(pool, share, count) < count))
		return -ENOBUFS;
	slots = share->ready + share->ready_count - count;
	rc = make_visible(pool, lcore->queue, slots, count);
	if (unlikely(rc != 0)) {
		GLUE_LOG(ERR, "pool %s: %s", pool->mp->name, ioas_queue_error(lcore->queue));
		return rc;
	}
	for (unsigned int i = 0; i < count; i++)
		objs[i] = pool_object(pool, slots[i]);
	share->ready_count -= count;
	return 0;
}

static int dequeue_chunk(struct pool *pool, void **objs, unsigned int count)
{
	struct glue_lcore *lcore = glue_lcore_enter();
	struct pool_share *share;
	unsigned int warm;
	int rc = 0;

	if (unlikely(lcore == NULL))
		return -ENOMEM;
	share = share_of(pool, lcore);
	if (unlikely(share == NULL)) {
		glue_lcore_leave(lcore);
		return -ENOMEM;
	}
	warm = RTE_MIN(count, share->warm_count);
	if (warm < count)
		rc = dequeue_cold(pool, lcore, share, objs + warm, count - warm);
	if (likely(rc == 0)) {
		share->warm_count -= warm;
		share->warm_low = RTE_MIN(share->warm_low, share->warm_count);
		rte_memcpy(objs, share->warm + share->warm_count, warm * sizeof(objs[0]));
	}
	glue_lcore_leave(lcore);
	return rc;
}

static void enqueue_warm(struct pool *pool, struct glue_lcore *lcore, struct pool_share *share,
			 void *const *objs, unsigned int count)
{
	if (unlikely(share->warm_count + count > pool->warm_max))
		chill_oldest(pool, lcore, share,
			     RTE_MIN(share->warm_count, RTE_MAX(share->warm_count / 2, count)));
	rte_memcpy(share->warm + share->warm_count, objs, count * sizeof(objs[0]));
	share->warm_count += count;
}

static void enqueue_chunk(struct pool *pool, void *const *objs, unsigned int count)
{
	struct glue_lcore *lcore = glue_lcore_enter();
	struct pool_share *share = lcore != NULL ? share_of(pool, lcore) : NULL;

	if (unlikely(share == NULL))
		__atomic_add_fetch(&glue.pool_errors, count, __ATOMIC_RELAXED);
	else if (likely(count <= pool->warm_max))
		enqueue_warm(pool, lcore, share, objs, count);
	else
		chill(pool, lcore, share, objs, count);
	if (lcore != NULL)
		glue_lcore_leave(lcore);
}

int pool_enqueue(struct rte_mempool *mp, void *const *objs, unsigned int count)
{
	struct pool *pool = mp->pool_data;

	while (count > 0) {
		unsigned int now = RTE_MIN(count, (unsigned int)POOL_CHUNK);

		enqueue_chunk(pool, objs, now);
		objs += now;
		count -= now;
	}
	return 0;
}

int pool_dequeue(struct rte_mempool *mp, void **objs, unsigned int count)
{
	struct pool *pool = mp->pool_data;
	unsigned int done = 0;
	bool stolen = false;
	int rc;

	while (done < count) {
		unsigned int now = RTE_MIN(count - done, (unsigned int)POOL_CHUNK);

		rc = dequeue_chunk(pool, objs + done, now);
		if (rc == 0) {
			done += now;
			stolen = false;
		} else if (rc == -ENOBUFS && !stolen) {
			/* Objects that other lcores hold are better than a failure. */
			steal(pool);
			stolen = true;
		} else {
			pool_enqueue(mp, objs, done);
			return rc;
		}
	}
	return 0;
}
