/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mempool driver "ioas", the slow part: layout, populate, count, free. See pool.h.
 *
 * Source: DPDK Programmer's Guide, "Mempool Library", and the kernel-doc of rte_mempool.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_alarm.h>
#include <rte_common.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "log.h"
#include "pool.h"

/* Pool memory is a number of these where it is large, so that a parent table can use big leaves. */
#define POOL_ALIGN_MAX (UINT64_C(2) << 20)

static struct rte_mempool_ops pool_ops;

static size_t object_bytes(const struct rte_mempool *mp)
{
	return (size_t)mp->header_size + mp->elt_size + mp->trailer_size;
}

static size_t slot_bytes(const struct rte_mempool *mp)
{
	return RTE_ALIGN_CEIL(object_bytes(mp), IOAS_PAGE_SIZE);
}

static bool is_ours(const struct rte_mempool *mp)
{
	return strcmp(rte_mempool_get_ops(mp->ops_index)->name, pool_ops.name) == 0;
}

bool pool_is_foreign(const struct rte_mempool *mp)
{
	return glue.visibility != GLUE_VISIBLE_ALWAYS && !is_ours(mp);
}

static ssize_t pool_calc_mem_size(const struct rte_mempool *mp, uint32_t count, uint32_t pg_shift,
				  size_t *min_chunk_bytes, size_t *align)
{
	size_t bytes = slot_bytes(mp) * count;

	(void)pg_shift;
	*align = glue.eal_mapped ? GLUE_EAL_PIECE : RTE_MIN(rte_align64pow2(bytes), POOL_ALIGN_MAX);
	bytes = RTE_ALIGN_CEIL(bytes, *align);
	/* One stretch for all: it becomes one window. */
	*min_chunk_bytes = bytes;
	return bytes;
}

/*
 * Pools with warm objects, and the tick that cools them: EAL's alarms, in EAL's own thread. The
 * period is a quarter of what the mode promises: an object is warm for two ticks at most, and the
 * library's batching has the other half.
 */
static pthread_mutex_t sweep_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *sweep_pools;

static void pool_sweep(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&sweep_lock);
	for (struct pool *pool = sweep_pools; pool != NULL; pool = pool->next)
		pool_cool(pool, false);
	if (sweep_pools != NULL &&
	    rte_eal_alarm_set(glue_exposure_ns() / 4000, pool_sweep, NULL) != 0)
		GLUE_LOG(ERR, "no alarm: free buffers stay visible");
	pthread_mutex_unlock(&sweep_lock);
}

static int sweep_start(struct pool *pool)
{
	int rc = 0;

	pthread_mutex_lock(&sweep_lock);
	if (sweep_pools == NULL)
		rc = rte_eal_alarm_set(glue_exposure_ns() / 4000, pool_sweep, NULL);
	if (rc == 0) {
		pool->next = sweep_pools;
		sweep_pools = pool;
	} else {
		GLUE_LOG(ERR, "pool %s: no alarm: %s", pool->mp->name, strerror(-rc));
	}
	pthread_mutex_unlock(&sweep_lock);
	return rc;
}

static void sweep_stop(struct pool *pool)
{
	struct pool **link = &sweep_pools;

	pthread_mutex_lock(&sweep_lock);
	while (*link != NULL && *link != pool)
		link = &(*link)->next;
	if (*link != NULL)
		*link = pool->next;
	pthread_mutex_unlock(&sweep_lock);
}

/* Undo everything that devices and other pools could see, while the memory is still there. */
static void pool_take_down(struct pool *pool)
{
	struct glue_lcore *lcore = NULL;
	unsigned int out = 0;
	int rc;

	sweep_stop(pool);
	pool_cool(pool, true);
	if (pool->visibility != GLUE_VISIBLE_ALWAYS)
		lcore = glue_lcore_enter();
	/* Objects that were never returned, DPDK's own caches included, are still visible. */
	for (uint32_t slot = 0; lcore != NULL && slot < pool->slots; slot++) {
		if (pool->window != NULL)
			rc = ioas_window_revoke(lcore->queue, pool->window, &slot, 1);
		else
			rc = ioas_unmap(lcore->queue, pool->base + slot * pool->slot_bytes,
					pool->slot_bytes);
		out += rc == 0;
	}
	if (lcore != NULL)
		glue_lcore_leave(lcore);
	if (out > 0)
		GLUE_LOG(INFO, "pool %s: %u objects were out when it was freed", pool->mp->name,
			 out);
	if (pool->window != NULL) {
		rc = ioas_window_destroy(pool->window);
		if (rc != 0)
			GLUE_LOG(ERR, "pool %s: window: %s", pool->mp->name, strerror(-rc));
	}
	pool->window = NULL;
	glue_region_remove(pool->region);
	pool->region = NULL;
	glue_eal_memory_show((void *)pool->base, pool->bytes);
	pool->bytes = 0;
	/* rte_mempool_free() still takes out all objects, to throw them away. */
	pool->visibility = GLUE_VISIBLE_ALWAYS;
}

/* rte_mempool_free() releases the memory before it calls the driver: be told before that. */
static void on_mempool_event(enum rte_mempool_event event, struct rte_mempool *mp, void *arg)
{
	(void)arg;
	if (event == RTE_MEMPOOL_EVENT_DESTROY && is_ours(mp) && mp->pool_data != NULL)
		pool_take_down(mp->pool_data);
}

static void pool_free(struct rte_mempool *mp)
{
	struct pool *pool = mp->pool_data;

	if (pool == NULL)
		return;
	pool_take_down(pool);
	for (unsigned int id = 0; id < GLUE_LCORES; id++)
		rte_free(pool->shares[id]);
	rte_stack_free(pool->shared);
	rte_free(pool);
	mp->pool_data = NULL;
	glue_close();
}

/*
 * DPDK's own cache above this driver is flushed when it holds one and a half times its size; until
 * then what is in it is free and visible. Return: 0 or -EINVAL.
 */
static int check_cache(const struct rte_mempool *mp)
{
	const uint32_t promised = glue.config.mode == GLUE_MODE_BATCHED ? glue.config.batch_max : 0;
	const bool refused = glue.config.refuse_cache;

	if (mp->cache_size == 0 || glue.visibility == GLUE_VISIBLE_ALWAYS)
		return 0;
	rte_log(refused ? RTE_LOG_ERR : RTE_LOG_WARNING, glue_logtype,
		"ioas: pool %s: cache_size %u: up to %u free buffers of each lcore stay within the "
		"device's reach, without a bound in time, and mode %s promises at most %u: make it "
		"without a cache%s\n",
		mp->name, mp->cache_size, mp->cache_size + mp->cache_size / 2,
		glue_mode_name(glue.config.mode), promised,
		refused ? ", or leave out cache=refuse" : "");
	return refused ? -EINVAL : 0;
}

static int pool_alloc(struct rte_mempool *mp)
{
	const struct glue_config nothing = { .given = 0 };
	static uint32_t serial;
	char name[RTE_STACK_NAMESIZE];
	struct pool *pool;
	int rc = glue_open(&nothing);

	if (rc != 0)
		return rc;
	rc = check_cache(mp);
	if (rc == 0 && rte_mempool_event_callback_register(on_mempool_event, NULL) != 0 &&
	    rte_errno != EEXIST)
		rc = -rte_errno;
	if (rc != 0) {
		glue_close();
		return rc;
	}
	pool = rte_zmalloc_socket("ioas_pool", sizeof(*pool), 64, mp->socket_id);
	snprintf(name, sizeof(name), "ioas%u",
		 __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
	if (pool != NULL)
		pool->shared = rte_stack_create(name, mp->size, mp->socket_id, 0);
	if (pool == NULL || pool->shared == NULL) {
		GLUE_LOG(ERR, "pool %s: no memory for %u slots", mp->name, mp->size);
		rte_free(pool);
		glue_close();
		return -ENOMEM;
	}
	pool->mp = mp;
	pool->visibility = glue.visibility;
	mp->pool_data = pool;
	return 0;
}

static unsigned int pool_get_count(const struct rte_mempool *mp)
{
	const struct pool *pool = mp->pool_data;
	unsigned int count = rte_stack_count(pool->shared);

	for (unsigned int id = 0; id < GLUE_LCORES; id++) {
		const struct pool_share *share =
			__atomic_load_n(&pool->shares[id], __ATOMIC_ACQUIRE);

		if (share == NULL)
			continue;
		count += __atomic_load_n(&share->ready_count, __ATOMIC_RELAXED);
		count += __atomic_load_n(&share->warm_count, __ATOMIC_RELAXED);
	}
	return RTE_MIN(count, mp->size);
}

/* Spread objects over the cache lines that their page leaves free. */
static void choose_colours(struct pool *pool, const struct rte_mempool *mp)
{
	uint32_t lines = (slot_bytes(mp) - object_bytes(mp)) / RTE_CACHE_LINE_SIZE + 1;

	for (unsigned int i = 0; i < POOL_COLOURS; i++)
		pool->colour[i] = i % lines * RTE_CACHE_LINE_SIZE + mp->header_size;
}

static int create_window(struct pool *pool)
{
	struct ioas_window_opts opts = {
		.size = sizeof(opts),
		.prot = IOAS_RW,
		.va = (void *)pool->base,
		.bytes = pool->slots * pool->slot_bytes,
		.slot_bytes = pool->slot_bytes,
		.identity = true,
	};
	char text[256] = "";
	int rc = ioas_window_create(glue.as, &opts, &pool->window);

	if (rc != 0) {
		ioas_ctx_error(glue.ctx, text, sizeof(text));
		GLUE_LOG(ERR, "pool %s: window: %s: %s", pool->mp->name, strerror(-rc), text);
	}
	return rc;
}

static int pool_populate(struct rte_mempool *mp, unsigned int max_objs, void *vaddr,
			 rte_iova_t iova, size_t len, rte_mempool_populate_obj_cb_t *obj_cb,
			 void *obj_cb_arg)
{
	struct pool *pool = mp->pool_data;
	uintptr_t start = RTE_ALIGN_CEIL((uintptr_t)vaddr, IOAS_PAGE_SIZE);
	size_t skipped = start - (uintptr_t)vaddr;
	unsigned int count;
	int rc;

	if (rte_eal_iova_mode() != RTE_IOVA_VA ||
	    (iova != RTE_BAD_IOVA && iova != (uintptr_t)vaddr)) {
		GLUE_LOG(ERR, "pool %s: needs IOVA as VA: start EAL with --iova-mode=va",
			 mp->name);
		return -ENOTSUP;
	}
	if (pool->base != 0) {
		GLUE_LOG(ERR, "pool %s: its memory must be one stretch", mp->name);
		return -ENOTSUP;
	}
	len = len > skipped ? RTE_ALIGN_FLOOR(len - skipped, IOAS_PAGE_SIZE) : 0;
	count = RTE_MIN(len / slot_bytes(mp), (size_t)max_objs);
	if (count == 0)
		return 0;
	pool->base = start;
	pool->slot_bytes = slot_bytes(mp);
	pool->slot_magic = (UINT64_C(1) << 32) / (pool->slot_bytes >> IOAS_PAGE_SHIFT) +
			   (pool->slot_bytes != IOAS_PAGE_SIZE);
	pool->slots = count;
	choose_colours(pool, mp);
	pool->bytes = len;
	rc = glue_eal_memory_hide((void *)start, len);
	if (rc == 0)
		rc = glue_region_add((void *)start, len, false, &pool->region);
	if (rc == 0 && pool->visibility == GLUE_VISIBLE_WINDOW)
		rc = create_window(pool);
	if (rc == 0 && glue.config.mode == GLUE_MODE_BATCHED) {
		pool->warm_max = glue_warm_max();
		rc = sweep_start(pool);
	}
	if (rc != 0) {
		if (pool->window != NULL)
			ioas_window_destroy(pool->window);
		pool->window = NULL;
		glue_region_remove(pool->region);
		pool->region = NULL;
		glue_eal_memory_show((void *)start, len);
		pool->base = 0;
		pool->slots = 0;
		return rc;
	}
	for (uint32_t slot = 0; slot < count; slot++) {
		void *obj = pool_object(pool, slot);

		obj_cb(mp, obj_cb_arg, obj, (uintptr_t)obj);
	}
	pool_fill(pool);
	return count;
}

static struct rte_mempool_ops pool_ops = {
	.name = POOL_OPS_NAME,
	.alloc = pool_alloc,
	.free = pool_free,
	.enqueue = pool_enqueue,
	.dequeue = pool_dequeue,
	.get_count = pool_get_count,
	.calc_mem_size = pool_calc_mem_size,
	.populate = pool_populate,
};

RTE_MEMPOOL_REGISTER_OPS(pool_ops);
