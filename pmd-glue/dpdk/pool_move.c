/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mempool driver "ioas", the hot part: objects leave (become visible) and return (stop being so).
 * See pool.h for the states of a slot and for the lock.
 *
 * Budget at bulks of 32 on the window path: one uncontended lock, one grant or revoke call, and a
 * few instructions an object.
 */
#include <errno.h>
#include <string.h>

#include <rte_common.h>
#include <rte_malloc.h>

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

static unsigned int quarantined(const struct pool_share *share)
{
	return share->tail - share->head;
}

/* Move slots whose invalidation has completed from quarantine to ready. */
static void harvest(struct pool *pool, struct glue_lcore *lcore, struct pool_share *share)
{
	while (share->seal_head != share->seal_tail) {
		const struct pool_seal *seal = &share->seals[share->seal_head % POOL_SEALS];

		if (!ioas_ticket_done(lcore->queue, seal->ticket))
			return;
		while (share->head != seal->end) {
			uint32_t at = share->head % POOL_QUARANTINE;
			unsigned int run = RTE_MIN(seal->end - share->head, POOL_QUARANTINE - at);

			ready_push(pool, share, share->quarantine + at, run);
			share->head += run;
		}
		share->seal_head++;
	}
}

/* Complete the invalidations of @lcore's queue, which the calling thread owns now. */
static void flush(struct pool *pool, struct glue_lcore *lcore, struct pool_share *share)
{
	int rc = ioas_flush(lcore->queue);

	if (rc != 0)
		GLUE_LOG(ERR, "pool %s: flush: %s", pool->mp->name,
			 ioas_queue_error(lcore->queue));
	__atomic_add_fetch(&glue.pool_flushes, 1, __ATOMIC_RELAXED);
	harvest(pool, lcore, share);
}

static void quarantine_push(struct pool *pool, struct glue_lcore *lcore, struct pool_share *share,
			    const uint32_t *slots, unsigned int count)
{
	uint32_t at = share->tail % POOL_QUARANTINE;
	unsigned int run = RTE_MIN(count, POOL_QUARANTINE - at);
	struct pool_seal *seal = &share->seals[(share->seal_tail - 1) % POOL_SEALS];

	memcpy(share->quarantine + at, slots, run * sizeof(slots[0]));
	memcpy(share->quarantine, slots + run, (count - run) * sizeof(slots[0]));
	/* A later ticket covers the earlier slots as well, so that small bulks can share one. */
	if (share->seal_head == share->seal_tail ||
	    share->tail + count - seal->start > POOL_SEAL_SLOTS) {
		seal = &share->seals[share->seal_tail++ % POOL_SEALS];
		seal->start = share->tail;
	}
	share->tail += count;
	seal->ticket = ioas_ticket(lcore->queue);
	seal->end = share->tail;
	harvest(pool, lcore, share);
	if (unlikely(quarantined(share) > POOL_QUARANTINE - POOL_CHUNK ||
		     share->seal_tail - share->seal_head == POOL_SEALS))
		flush(pool, lcore, share);
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
		/* The true owner takes its queue back when it comes next. */
		if (quarantined(share) != 0 && glue_lcore_own(lcore) == 0)
			flush(pool, lcore, share);
		shared_push(pool, share->ready, share->ready_count);
		share->ready_count = 0;
		rte_spinlock_unlock(&lcore->lock);
	}
}

static unsigned int ready_refill(struct pool *pool, struct glue_lcore *lcore,
				 struct pool_share *share, unsigned int count)
{
	if (quarantined(share) != 0)
		harvest(pool, lcore, share);
	if (share->ready_count < count) /* at most POOL_CHUNK: there is room for a refill */
		share->ready_count +=
			shared_pop(pool, share->ready + share->ready_count,
				   RTE_MAX(count - share->ready_count, (unsigned int)POOL_REFILL));
	if (share->ready_count < count && quarantined(share) != 0)
		flush(pool, lcore, share);
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

static int dequeue_chunk(struct pool *pool, void **objs, unsigned int count)
{
	struct glue_lcore *lcore = glue_lcore_enter();
	struct pool_share *share;
	const uint32_t *slots;
	int rc;

	if (unlikely(lcore == NULL))
		return -ENOMEM;
	share = share_of(pool, lcore);
	if (unlikely(share == NULL)) {
		glue_lcore_leave(lcore);
		return -ENOMEM;
	}
	if (unlikely(share->ready_count < count) &&
	    unlikely(ready_refill(pool, lcore, share, count) < count)) {
		glue_lcore_leave(lcore);
		return -ENOBUFS;
	}
	slots = share->ready + share->ready_count - count;
	rc = make_visible(pool, lcore->queue, slots, count);
	if (likely(rc == 0)) {
		for (unsigned int i = 0; i < count; i++)
			objs[i] = pool_object(pool, slots[i]);
		share->ready_count -= count;
	} else {
		GLUE_LOG(ERR, "pool %s: %s", pool->mp->name, ioas_queue_error(lcore->queue));
	}
	glue_lcore_leave(lcore);
	return rc;
}

static void enqueue_chunk(struct pool *pool, void *const *objs, unsigned int count)
{
	struct glue_lcore *lcore = glue_lcore_enter();
	struct pool_share *share = lcore != NULL ? share_of(pool, lcore) : NULL;
	uint32_t slots[POOL_CHUNK];

	if (unlikely(share == NULL)) {
		__atomic_add_fetch(&glue.pool_errors, count, __ATOMIC_RELAXED);
		if (lcore != NULL)
			glue_lcore_leave(lcore);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		slots[i] = pool_slot(pool, objs[i]);
	count = make_invisible(pool, lcore->queue, slots, count);
	if (likely(pool->visibility == GLUE_VISIBLE_WINDOW))
		quarantine_push(pool, lcore, share, slots, count);
	else
		ready_push(pool, share, slots, count);
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
