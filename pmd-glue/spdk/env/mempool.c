/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools of elements of one size: one allocation, and a ring of what is free. No caches of
 * processors: @cache_size is ignored. Any thread.
 */
#include "ioas_env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 64

struct spdk_mempool {
	LIST_ENTRY(spdk_mempool) link;
	char name[29];
	char *elements;
	size_t count;
	size_t stride; /* of elements, in bytes */
	struct spdk_ring *unused;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, spdk_mempool) pools = LIST_HEAD_INITIALIZER(pools); /* under the lock */

static char *element(const struct spdk_mempool *pool, size_t index)
{
	return pool->elements + index * pool->stride;
}

struct spdk_mempool *spdk_mempool_lookup(const char *name)
{
	struct spdk_mempool *pool;

	pthread_mutex_lock(&lock);
	LIST_FOREACH(pool, &pools, link)
	if (!strcmp(pool->name, name))
		break;
	pthread_mutex_unlock(&lock);
	return pool;
}

static void destroy(struct spdk_mempool *pool)
{
	spdk_ring_free(pool->unused);
	spdk_free(pool->elements);
	free(pool);
}

static struct spdk_mempool *make(const char *name, size_t count, size_t ele_size, int numa_id)
{
	struct spdk_mempool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	strcpy(pool->name, name);
	pool->count = count;
	pool->stride = (ele_size + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
	pool->elements =
		spdk_zmalloc(count * pool->stride, LINE_BYTES, NULL, numa_id, SPDK_MALLOC_DMA);
	pool->unused = spdk_ring_create(SPDK_RING_TYPE_MP_MC, count, numa_id);
	if (!pool->elements || !pool->unused) {
		destroy(pool);
		return NULL;
	}
	return pool;
}

struct spdk_mempool *spdk_mempool_create_ctor(const char *name, size_t count, size_t ele_size,
					      size_t cache_size, int numa_id,
					      spdk_mempool_obj_cb_t *obj_init, void *obj_init_arg)
{
	struct spdk_mempool *pool;

	(void)cache_size;
	if (!name || strlen(name) >= sizeof(pool->name) || !count || !ele_size ||
	    ele_size > SIZE_MAX / 2 / count) {
		SPDK_ERRLOG("ioas: pool '%s': name or size out of range\n", name ? name : "");
		return NULL;
	}
	pool = make(name, count, ele_size, numa_id);
	if (!pool)
		return NULL;
	if (obj_init)
		spdk_mempool_obj_iter(pool, obj_init, obj_init_arg);
	for (size_t i = 0; i < count; i++)
		spdk_mempool_put(pool, element(pool, i));
	pthread_mutex_lock(&lock);
	LIST_INSERT_HEAD(&pools, pool, link);
	pthread_mutex_unlock(&lock);
	return pool;
}

struct spdk_mempool *spdk_mempool_create(const char *name, size_t count, size_t ele_size,
					 size_t cache_size, int numa_id)
{
	return spdk_mempool_create_ctor(name, count, ele_size, cache_size, numa_id, NULL, NULL);
}

char *spdk_mempool_get_name(struct spdk_mempool *mp)
{
	return mp->name;
}

void spdk_mempool_free(struct spdk_mempool *mp)
{
	if (!mp)
		return;
	pthread_mutex_lock(&lock);
	LIST_REMOVE(mp, link);
	pthread_mutex_unlock(&lock);
	destroy(mp);
}

void *spdk_mempool_get(struct spdk_mempool *mp)
{
	void *object;

	return spdk_ring_dequeue(mp->unused, &object, 1) ? object : NULL;
}

/* All or nothing. Two callers at once may both fail where there is enough for one of them. */
int spdk_mempool_get_bulk(struct spdk_mempool *mp, void **ele_arr, size_t count)
{
	const size_t got = spdk_ring_dequeue(mp->unused, ele_arr, count);

	if (got == count)
		return 0;
	spdk_mempool_put_bulk(mp, ele_arr, got);
	return -ENOENT;
}

void spdk_mempool_put(struct spdk_mempool *mp, void *ele)
{
	spdk_mempool_put_bulk(mp, &ele, 1);
}

/* There is room for all: what does not fit was put twice. */
void spdk_mempool_put_bulk(struct spdk_mempool *mp, void **ele_arr, size_t count)
{
	if (spdk_ring_enqueue(mp->unused, ele_arr, count, NULL) != count)
		SPDK_ERRLOG("ioas: pool '%s': more elements come back than it has\n", mp->name);
}

size_t spdk_mempool_count(const struct spdk_mempool *pool)
{
	return spdk_ring_count(pool->unused);
}

uint32_t spdk_mempool_obj_iter(struct spdk_mempool *mp, spdk_mempool_obj_cb_t obj_cb,
			       void *obj_cb_arg)
{
	for (size_t i = 0; i < mp->count; i++)
		obj_cb(mp, obj_cb_arg, element(mp, i), i);
	return mp->count;
}

/* One piece. */
uint32_t spdk_mempool_mem_iter(struct spdk_mempool *mp, spdk_mempool_mem_cb_t mem_cb,
			       void *mem_cb_arg)
{
	mem_cb(mp, mem_cb_arg, mp->elements, spdk_vtophys(mp->elements, NULL),
	       mp->count * mp->stride, 0);
	return 1;
}
