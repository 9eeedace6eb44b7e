/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory maps of other parts of SPDK (RDMA keys and the like): a value for each 2 MiB of address
 * space, and a call for each region that comes or goes. Those of the devices need none: see
 * translate.c.
 *
 * Values are kept as ranges, sorted by address, under a lock of the map. Callbacks run with
 * ioas_env.lock held: they may set and clear translations, but not register memory.
 */
#include "ioas_env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (UINT64_C(2) << 20)

struct range {
	uint64_t start;
	uint64_t end;
	uint64_t value;
};

struct spdk_mem_map {
	LIST_ENTRY(spdk_mem_map) link;
	struct spdk_mem_map_ops ops;
	void *arg;
	uint64_t none; /* the default translation */
	pthread_rwlock_t lock;
	struct range *ranges;
	size_t count;
	size_t capacity;
};

static LIST_HEAD(, spdk_mem_map) maps = LIST_HEAD_INITIALIZER(maps); /* under ioas_env.lock */

static int tell(struct spdk_mem_map *map, enum spdk_mem_map_notify_action action, void *va,
		size_t bytes)
{
	return map->ops.notify_cb ? map->ops.notify_cb(map->arg, map, action, va, bytes) : 0;
}

/* A map that refuses a region: those that took it are told that it goes. */
int ioas_env_maps_notify(enum spdk_mem_map_notify_action action, void *va, size_t bytes)
{
	struct spdk_mem_map *map, *told;
	int ret = 0;

	LIST_FOREACH(map, &maps, link)
	{
		ret = tell(map, action, va, bytes);
		if (ret)
			break;
	}
	if (ret && action == SPDK_MEM_MAP_NOTIFY_REGISTER)
		for (told = LIST_FIRST(&maps); told != map; told = LIST_NEXT(told, link))
			tell(told, SPDK_MEM_MAP_NOTIFY_UNREGISTER, va, bytes);
	return ret;
}

struct replay {
	struct spdk_mem_map *map;
	enum spdk_mem_map_notify_action action;
	size_t left;
	size_t done;
};

static int replay_one(void *arg, const struct ioas_env_region *region)
{
	struct replay *replay = arg;
	int ret;

	if (!replay->left)
		return 0;
	ret = tell(replay->map, replay->action, region->va, region->bytes);
	replay->done += !ret;
	replay->left--;
	return ret;
}

/* Under ioas_env.lock. Tell a map of the first @max regions. Return: as its callback. */
static int replay(struct spdk_mem_map *map, enum spdk_mem_map_notify_action action, size_t max,
		  size_t *done)
{
	struct replay replay = { .map = map, .action = action, .left = max };
	int ret = ioas_env_region_walk(replay_one, &replay);

	*done = replay.done;
	return ret;
}

struct spdk_mem_map *spdk_mem_map_alloc(uint64_t default_translation,
					const struct spdk_mem_map_ops *ops, void *cb_ctx)
{
	struct spdk_mem_map *map = calloc(1, sizeof(*map));
	size_t done;
	int ret;

	if (!map)
		return NULL;
	map->none = default_translation;
	map->arg = cb_ctx;
	if (ops)
		map->ops = *ops;
	pthread_rwlock_init(&map->lock, NULL);
	pthread_mutex_lock(&ioas_env.lock);
	ret = replay(map, SPDK_MEM_MAP_NOTIFY_REGISTER, SIZE_MAX, &done);
	if (ret)
		replay(map, SPDK_MEM_MAP_NOTIFY_UNREGISTER, done, &done);
	else
		LIST_INSERT_HEAD(&maps, map, link);
	pthread_mutex_unlock(&ioas_env.lock);
	if (!ret)
		return map;
	free(map->ranges);
	free(map);
	return NULL;
}

void spdk_mem_map_free(struct spdk_mem_map **pmap)
{
	struct spdk_mem_map *map = pmap ? *pmap : NULL;
	size_t done;

	if (!map)
		return;
	pthread_mutex_lock(&ioas_env.lock);
	LIST_REMOVE(map, link);
	replay(map, SPDK_MEM_MAP_NOTIFY_UNREGISTER, SIZE_MAX, &done);
	pthread_mutex_unlock(&ioas_env.lock);
	pthread_rwlock_destroy(&map->lock);
	free(map->ranges);
	free(map);
	*pmap = NULL;
}

/* Index of the first range that ends after @va. */
static size_t find(const struct spdk_mem_map *map, uint64_t va)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (map->ranges[middle].end <= va)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* One range may be split, one added. */
static int make_room(struct spdk_mem_map *map)
{
	const size_t wanted = map->count + 2;
	struct range *ranges;

	if (wanted <= map->capacity)
		return 0;
	ranges = realloc(map->ranges, 2 * wanted * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	map->ranges = ranges;
	map->capacity = 2 * wanted;
	return 0;
}

static void insert(struct spdk_mem_map *map, size_t at, struct range range)
{
	memmove(map->ranges + at + 1, map->ranges + at, (map->count - at) * sizeof(range));
	map->ranges[at] = range;
	map->count++;
}

/* Cut [@start, @end) out. There is room for two more. Return: where it would be put in. */
static size_t cut(struct spdk_mem_map *map, uint64_t start, uint64_t end)
{
	size_t at = find(map, start), last;

	if (at < map->count && map->ranges[at].start < start) {
		struct range rest = map->ranges[at];

		map->ranges[at++].end = start;
		if (rest.end > end) {
			rest.start = end;
			insert(map, at, rest);
			return at;
		}
	}
	for (last = at; last < map->count && map->ranges[last].end <= end; last++)
		;
	memmove(map->ranges + at, map->ranges + last, (map->count - last) * sizeof(*map->ranges));
	map->count -= last - at;
	if (at < map->count && map->ranges[at].start < end)
		map->ranges[at].start = end;
	return at;
}

static int change(struct spdk_mem_map *map, const struct range *range, bool set)
{
	size_t at;
	int ret;

	if (((range->start | range->end) & (IOAS_PAGE_SIZE - 1)) || range->end <= range->start)
		return -EINVAL;
	pthread_rwlock_wrlock(&map->lock);
	ret = make_room(map);
	if (!ret) {
		at = cut(map, range->start, range->end);
		if (set)
			insert(map, at, *range);
	}
	pthread_rwlock_unlock(&map->lock);
	return ret;
}

int spdk_mem_map_set_translation(struct spdk_mem_map *map, uint64_t vaddr, uint64_t size,
				 uint64_t translation)
{
	return change(map, &(struct range){ vaddr, vaddr + size, translation }, true);
}

int spdk_mem_map_clear_translation(struct spdk_mem_map *map, uint64_t vaddr, uint64_t size)
{
	return change(map, &(struct range){ vaddr, vaddr + size, map->none }, false);
}

/* End of what begins in @range at @va: its chunk of 2 MiB, and what continues it. */
static uint64_t end_of_run(const struct spdk_mem_map *map, size_t at, uint64_t va, uint64_t wanted)
{
	const struct range *range = map->ranges + at, *const end = map->ranges + map->count;
	uint64_t run = va, value = range->value;

	while (run < wanted) {
		uint64_t chunk = (run & ~(CHUNK - 1)) + CHUNK;

		run = chunk < range->end ? chunk : range->end;
		if (run == range->end && ++range == end)
			break;
		if (range->start > run || !map->ops.are_contiguous ||
		    !map->ops.are_contiguous(value, range->value))
			break;
		value = range->value;
	}
	return run < wanted ? run : wanted;
}

uint64_t spdk_mem_map_translate(const struct spdk_mem_map *map, uint64_t vaddr, uint64_t *size)
{
	pthread_rwlock_t *lock = (pthread_rwlock_t *)&map->lock;
	uint64_t value = map->none;
	size_t at;

	pthread_rwlock_rdlock(lock);
	at = find(map, vaddr);
	if (at < map->count && map->ranges[at].start <= vaddr) {
		value = map->ranges[at].value;
		if (size)
			*size = end_of_run(map, at, vaddr, vaddr + *size) - vaddr;
	}
	pthread_rwlock_unlock(lock);
	return value;
}
