/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a KERNEL space knows of its mappings: the record of each, found by IOVA; and for readers,
 * who take no lock, virtual address to IOVA (cache) and IOVA to virtual address (reverse).
 *
 * Records are in a tree, by IOVA. IOVAs that are no user-space addresses (a program may ask for them
 * by IOAS_MAP_FIXED) have no lock-free way back.
 */
#include "kernel_map.h"

#include <errno.h>

int kernel_records_init(struct ioas *as)
{
	int ret;

	pthread_mutex_init(&as->maps_lock, NULL);
	as->maps = (struct extents)EXTENTS_INIT;
	CDS_INIT_LIST_HEAD(&as->aliases);
	ret = vamap_init(&as->cache, VAMAP_TRANSLATIONS);
	return ret ?: vamap_init(&as->reverse, VAMAP_TRANSLATIONS);
}

void kernel_records_destroy(struct ioas *as)
{
	vamap_destroy(&as->reverse);
	vamap_destroy(&as->cache);
	pthread_mutex_destroy(&as->maps_lock);
}

int kernel_map_reserve(struct ioas *as, const struct kernel_map *map)
{
	const uint64_t iova = map->extent.start, bytes = kernel_map_bytes(map);
	int ret = 0;

	if (vamap_covers(iova, bytes))
		ret = vamap_reserve(&as->reverse, iova, bytes);
	if (!ret && !map->uncached)
		ret = vamap_reserve(&as->cache, map->va, bytes);
	return ret;
}

void kernel_map_enter(struct ioas *as, struct kernel_map *map)
{
	CDS_INIT_LIST_HEAD(&map->alias);
	extents_insert(&as->maps, &map->extent);
	kernel_map_show(as, map);
}

void kernel_map_leave(struct ioas *as, struct kernel_map *map)
{
	extents_remove(&as->maps, &map->extent);
}

struct kernel_map *kernel_map_find(struct ioas *as, uint64_t iova)
{
	return kernel_map_of(extents_find(&as->maps, iova));
}

void kernel_map_show(struct ioas *as, struct kernel_map *map)
{
	const uint64_t iova = map->extent.start, bytes = kernel_map_bytes(map);

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
				 other->extent.start))
			cds_list_del_init(&other->alias);
	}
}

void kernel_map_hide(struct ioas *as, struct kernel_map *map)
{
	const uint64_t iova = map->extent.start, bytes = kernel_map_bytes(map);

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
		*va = map->va + (iova - map->extent.start);
		if (prot)
			*prot = map->prot;
	}
	pthread_mutex_unlock(&as->maps_lock);
	return found;
}

bool kernel_find_va(struct ioas *as, uint64_t va, uint64_t bytes, uint64_t *iova)
{
	bool found = false;

	pthread_mutex_lock(&as->maps_lock);
	for (struct extent *at = extents_from(&as->maps, 0); at && !found;
	     at = at->last == UINT64_MAX ? NULL : extents_from(&as->maps, at->last + 1)) {
		const struct kernel_map *map = kernel_map_of(at);

		found = map->mem && map->va < va + bytes && va < map->va + kernel_map_bytes(map);
		*iova = at->start;
	}
	pthread_mutex_unlock(&as->maps_lock);
	return found;
}
