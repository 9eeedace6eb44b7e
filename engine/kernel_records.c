/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a KERNEL space knows of its mappings: the record of each, found by IOVA; and for readers,
 * who take no lock, virtual address to IOVA (cache) and IOVA to virtual address (reverse).
 *
 * Records are in a map of objects, by IOVA. IOVAs that are no user-space addresses (a program may
 * ask for them by IOAS_MAP_FIXED) have a tree, and no lock-free way back.
 */
#include "kernel_map.h"

#include <errno.h>

int kernel_records_init(struct ioas *as)
{
	int ret;

	pthread_mutex_init(&as->maps_lock, NULL);
	as->far_maps = (struct extents)EXTENTS_INIT;
	CDS_INIT_LIST_HEAD(&as->aliases);
	ret = vamap_init(&as->cache, VAMAP_TRANSLATIONS);
	ret = ret ?: vamap_init(&as->reverse, VAMAP_TRANSLATIONS);
	return ret ?: vamap_init(&as->maps, VAMAP_OBJECTS);
}

void kernel_records_destroy(struct ioas *as)
{
	vamap_destroy(&as->maps);
	vamap_destroy(&as->reverse);
	vamap_destroy(&as->cache);
	pthread_mutex_destroy(&as->maps_lock);
}

static int make_far(struct kernel_map *map)
{
	map->far = map->far ?: malloc(sizeof(*map->far));
	if (!map->far)
		return -ENOMEM;
	map->far->extent.start = map->range.start;
	map->far->extent.last = map->range.last;
	map->far->map = map;
	return 0;
}

static struct kernel_map *map_of_far(struct extent *extent)
{
	return extent ? ((struct far_map *)extent)->map : NULL;
}

int kernel_map_reserve(struct ioas *as, struct kernel_map *map)
{
	const uint64_t iova = map->range.start, bytes = kernel_map_bytes(map);
	int ret;

	ret = vamap_covers(iova, bytes) ? vamap_reserve(&as->maps, iova, bytes) : make_far(map);
	if (!ret && !map->uncached && vamap_covers(iova, bytes))
		ret = vamap_reserve(&as->reverse, iova, bytes);
	if (!ret && !map->uncached)
		ret = vamap_reserve(&as->cache, map->va, bytes);
	return ret;
}

void kernel_map_enter(struct ioas *as, struct kernel_map *map)
{
	const uint64_t iova = map->range.start, bytes = kernel_map_bytes(map);

	CDS_INIT_LIST_HEAD(&map->alias);
	if (vamap_covers(iova, bytes))
		vamap_insert(&as->maps, iova, bytes, (uintptr_t)map);
	else
		extents_insert(&as->far_maps, &map->far->extent);
	as->map_count++;
	kernel_map_show(as, map);
}

void kernel_map_leave(struct ioas *as, struct kernel_map *map)
{
	const uint64_t iova = map->range.start, bytes = kernel_map_bytes(map);

	if (vamap_covers(iova, bytes))
		vamap_remove(&as->maps, iova, bytes, (uintptr_t)map);
	else
		extents_remove(&as->far_maps, &map->far->extent);
	as->map_count--;
}

struct kernel_map *kernel_map_find(struct ioas *as, uint64_t iova)
{
	return vamap_object(&as->maps, iova) ?: map_of_far(extents_find(&as->far_maps, iova));
}

struct kernel_map *kernel_map_from(struct ioas *as, uint64_t start, uint64_t last)
{
	struct kernel_map *map = vamap_overlap(&as->maps, start, last);
	struct kernel_map *far = map_of_far(extents_overlap(&as->far_maps, start, last));

	/* One that begins below the border and ends above it is in the tree. */
	return !map || (far && far->range.start < map->range.start) ? far : map;
}

void kernel_map_show(struct ioas *as, struct kernel_map *map)
{
	const uint64_t iova = map->range.start, bytes = kernel_map_bytes(map);

	if (map->uncached)
		return;
	if (vamap_covers(iova, bytes))
		vamap_insert(&as->reverse, iova, bytes, map->va);
	if (vamap_insert(&as->cache, map->va, bytes, iova))
		return;
	/* Some of it is in the cache with another IOVA already; remembered for when that goes. */
	if (cds_list_empty(&map->alias))
		cds_list_add(&map->alias, &as->aliases);
}

/* What @map was hiding. */
static void show_aliases(struct ioas *as, const struct kernel_map *map)
{
	struct kernel_map *other, *next;

	cds_list_for_each_entry_safe (other, next, &as->aliases, alias) {
		if (other->va < map->va + kernel_map_bytes(map) &&
		    map->va < other->va + kernel_map_bytes(other) && !other->busy &&
		    vamap_insert(&as->cache, other->va, kernel_map_bytes(other),
				 other->range.start))
			cds_list_del_init(&other->alias);
	}
}

void kernel_map_hide(struct ioas *as, struct kernel_map *map)
{
	const uint64_t iova = map->range.start, bytes = kernel_map_bytes(map);

	if (map->uncached)
		return;
	vamap_remove(&as->cache, map->va, bytes, iova);
	if (vamap_covers(iova, bytes))
		vamap_remove(&as->reverse, iova, bytes, map->va);
	if (!cds_list_empty(&map->alias))
		cds_list_del_init(&map->alias);
	show_aliases(as, map);
	/* Release: see ioas_translate_hit(). There is one writer at a time. */
	atomic_store_explicit(&as->removals,
			      atomic_load_explicit(&as->removals, memory_order_relaxed) + 1,
			      memory_order_release);
}

/* Looking. */

bool kernel_lookup(struct ioas *as, uint64_t iova, uint64_t *va, uint32_t *prot)
{
	const struct kernel_map *map;
	bool found;

	pthread_mutex_lock(&as->maps_lock);
	map = kernel_map_find(as, iova);
	found = map && !map->busy;
	if (found) {
		*va = map->va + (iova - map->range.start);
		if (prot)
			*prot = map->prot;
	}
	pthread_mutex_unlock(&as->maps_lock);
	return found;
}

bool kernel_find_va(struct ioas *as, uint64_t va, uint64_t bytes, uint64_t *iova)
{
	const struct kernel_map *map = NULL;

	pthread_mutex_lock(&as->maps_lock);
	*iova = vamap_next(&as->cache, &va, va + bytes - 1);
	if (*iova != VAMAP_NONE)
		map = kernel_map_find(as, *iova);
	if (map)
		*iova = map->range.start;
	pthread_mutex_unlock(&as->maps_lock);
	return map;
}
