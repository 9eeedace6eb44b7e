/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SPDK's memory, followed by a memory map of our own: SPDK replays what is registered when the map
 * is made, under the lock that later registrations take, so that nothing is missed in between.
 * Memory goes in the pieces in which it came.
 */
#include <errno.h>
#include <search.h>
#include <stdlib.h>

#include <spdk/env.h>

#include "spdk.h"

struct region {
	uintptr_t va; /* first: the tree compares it */
	size_t bytes;
	struct ioas_mem *mem;
};

static int by_address(const void *a, const void *b)
{
	const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

static int expose(struct ioas_spdk *memory, const struct region *region)
{
	ioas_iova_t iova = region->va;

	if (!memory->queue)
		return 0;
	ioas_queue_adopt(memory->queue);
	return ioas_map(memory->queue, (void *)region->va, region->bytes,
			IOAS_RW | IOAS_MAP_IDENTITY, &iova);
}

static int hide(struct ioas_spdk *memory, const struct region *region)
{
	if (!memory->queue)
		return 0;
	ioas_queue_adopt(memory->queue);
	return ioas_unmap(memory->queue, region->va, region->bytes);
}

static int add(struct ioas_spdk *memory, void *va, size_t bytes)
{
	struct region *region = malloc(sizeof(*region));
	int ret;

	if (!region)
		return -ENOMEM;
	*region = (struct region){ .va = (uintptr_t)va, .bytes = bytes };
	ret = ioas_mem_register(memory->ctx, va, bytes, &region->mem);
	if (ret)
		goto no_memory;
	ret = expose(memory, region);
	if (ret)
		goto not_mapped;
	ret = -ENOMEM;
	if (!tsearch(region, &memory->regions, by_address))
		goto not_known;
	memory->count++;
	memory->bytes += bytes;
	return 0;

not_known:
	hide(memory, region);
not_mapped:
	ioas_mem_free(region->mem);
no_memory:
	free(region);
	return ret;
}

/* What fails leaves the region as it was. */
static int drop(struct ioas_spdk *memory, struct region *region)
{
	int ret = hide(memory, region);

	if (ret)
		return ret;
	ret = ioas_mem_free(region->mem);
	if (ret) {
		expose(memory, region);
		return ret;
	}
	tdelete(region, &memory->regions, by_address);
	memory->count--;
	memory->bytes -= region->bytes;
	free(region);
	return 0;
}

static int remove_at(struct ioas_spdk *memory, void *va, size_t bytes)
{
	const uintptr_t key = (uintptr_t)va;
	struct region **found = tfind(&key, &memory->regions, by_address);

	/* A registration that failed is not there: SPDK may take it back all the same. */
	if (!found)
		return 0;
	return (*found)->bytes == bytes ? drop(memory, *found) : -EINVAL;
}

static int notify(void *arg, struct spdk_mem_map *map, enum spdk_mem_map_notify_action action,
		  void *va, size_t bytes)
{
	struct ioas_spdk *memory = arg;
	int ret;

	(void)map;
	pthread_mutex_lock(&memory->lock);
	if (action == SPDK_MEM_MAP_NOTIFY_REGISTER)
		ret = add(memory, va, bytes);
	else
		ret = remove_at(memory, va, bytes);
	memory->failed = ret;
	pthread_mutex_unlock(&memory->lock);
	return ret;
}

static int check(const struct ioas_spdk_opts *opts)
{
	if (!opts || opts->size != sizeof(*opts) || opts->reserved || !opts->ctx || !opts->as)
		return -EINVAL;
	switch (ioas_get_kind(opts->as)) {
	case IOAS_KIND_KERNEL:
	case IOAS_KIND_USER:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static void free_all(struct ioas_spdk *memory)
{
	if (memory->queue) {
		ioas_queue_adopt(memory->queue);
		ioas_queue_destroy(memory->queue);
	}
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}

/* SPDK says only that it could not make the map. */
static int follow(struct ioas_spdk *memory)
{
	static const struct spdk_mem_map_ops ops = { .notify_cb = notify };

	memory->map = spdk_mem_map_alloc(0, &ops, memory);
	if (memory->map)
		return 0;
	return memory->failed ? memory->failed : -ENOMEM;
}

int ioas_spdk_open(const struct ioas_spdk_opts *opts, struct ioas_spdk **out)
{
	struct ioas_spdk *memory;
	int ret = check(opts);

	if (ret)
		return ret;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->ctx = opts->ctx;
	memory->as = opts->as;
	pthread_mutex_init(&memory->lock, NULL);
	if (ioas_get_kind(opts->as) == IOAS_KIND_KERNEL)
		ret = ioas_queue_create(memory->as, &memory->queue);
	if (!ret)
		ret = follow(memory);
	if (ret) {
		free_all(memory);
		return ret;
	}
	*out = memory;
	return 0;
}

static bool in_use(struct ioas_spdk *memory)
{
	bool busy;

	pthread_mutex_lock(&memory->lock);
	busy = memory->ios > 0;
	pthread_mutex_unlock(&memory->lock);
	return busy;
}

/* What was in use when SPDK took it back. Return: 0, or why one stays. */
static int drop_all(struct ioas_spdk *memory)
{
	int ret = 0;

	pthread_mutex_lock(&memory->lock);
	while (memory->regions && !ret)
		ret = drop(memory, *(struct region **)memory->regions); /* at the root */
	pthread_mutex_unlock(&memory->lock);
	return ret;
}

int ioas_spdk_close(struct ioas_spdk *memory)
{
	int ret;

	if (in_use(memory))
		return -EBUSY;
	/* Takes back all that is registered. */
	if (memory->map)
		spdk_mem_map_free(&memory->map);
	ret = drop_all(memory);
	if (!ret)
		free_all(memory);
	return ret;
}

int ioas_spdk_get_stats(struct ioas_spdk *memory, struct ioas_spdk_stats *stats)
{
	if (stats->size != sizeof(*stats))
		return -EINVAL;
	pthread_mutex_lock(&memory->lock);
	stats->reserved = 0;
	stats->regions = memory->count;
	stats->bytes = memory->bytes;
	pthread_mutex_unlock(&memory->lock);
	return 0;
}
