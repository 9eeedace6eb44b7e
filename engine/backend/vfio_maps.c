/* SPDX-License-Identifier: BSD-3-Clause */
/* The mappings of an address space. See vfio.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vfio.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

void vfio_maps_init(struct vfio_maps *maps, uint64_t limit)
{
	pthread_mutex_init(&maps->lock, NULL);
	maps->extents = (struct extents)EXTENTS_INIT;
	maps->count = 0;
	maps->limit = limit;
}

void vfio_maps_destroy(struct vfio_maps *maps)
{
	struct vfio_map *map;

	while ((map = vfio_maps_from(maps, 0)))
		vfio_maps_end_unmap(maps, map, true);
	pthread_mutex_destroy(&maps->lock);
}

static int insert(struct vfio_maps *maps, struct vfio_map *map)
{
	int ret = 0;

	pthread_mutex_lock(&maps->lock);
	if (extents_overlap(&maps->extents, map->extent.start, map->extent.last))
		ret = -EEXIST;
	else if (maps->limit && maps->count >= maps->limit)
		ret = -ENOSPC;
	if (!ret) {
		extents_insert(&maps->extents, &map->extent);
		maps->count++;
	}
	pthread_mutex_unlock(&maps->lock);
	return ret;
}

int vfio_maps_begin_map(struct be *be, struct vfio_maps *maps, const struct be_map *map,
			struct vfio_map **out)
{
	struct vfio_map *entry = calloc(1, sizeof(*entry));
	int ret;

	if (!entry)
		return diag_fail(be->diag, -ENOMEM, "%s: no memory", be->ops->name);
	entry->extent.start = map->iova;
	entry->extent.last = map->iova + map->bytes - 1;
	entry->va = (uintptr_t)map->va;
	entry->prot = map->prot;
	entry->busy = true;
	ret = insert(maps, entry);
	if (ret) {
		free(entry);
		return vfio_fail_map(be, map, ret);
	}
	*out = entry;
	return 0;
}

void vfio_maps_end_map(struct vfio_maps *maps, struct vfio_map *map, bool mapped)
{
	vfio_maps_end_unmap(maps, map, !mapped);
}

int vfio_maps_begin_unmap(struct be *be, struct vfio_maps *maps, const struct be_unmap *unmap,
			  struct vfio_map **out)
{
	uint64_t last = unmap->iova + unmap->bytes - 1;
	struct ioas_range found = { 0 };
	struct extent *extent;
	int ret = 0;

	if (!unmap->bytes || last < unmap->iova)
		return diag_fail(be->diag, -EINVAL,
				 "%s: unmap of IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: no range",
				 be->ops->name, unmap->iova, unmap->bytes);
	pthread_mutex_lock(&maps->lock);
	extent = extents_overlap(&maps->extents, unmap->iova, last);
	*out = (struct vfio_map *)extent;
	if (extent)
		found = (struct ioas_range){ .start = extent->start, .last = extent->last };
	if (!extent || (*out)->busy)
		ret = -ENOENT;
	else if (found.start != unmap->iova || found.last != last)
		ret = -EINVAL;
	else
		(*out)->busy = true;
	pthread_mutex_unlock(&maps->lock);

	if (ret == -ENOENT)
		return diag_fail(be->diag, ret,
				 "%s: unmap of IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: not mapped",
				 be->ops->name, unmap->iova, unmap->bytes);
	if (ret)
		return diag_fail(be->diag, ret,
				 "%s: unmap of IOVA 0x%" PRIx64 ", %" PRIu64
				 " bytes: not one mapping; that is 0x%" PRIx64 ", %" PRIu64
				 " bytes, and goes as a whole",
				 be->ops->name, unmap->iova, unmap->bytes, found.start,
				 found.last - found.start + 1);
	return 0;
}

void vfio_maps_end_unmap(struct vfio_maps *maps, struct vfio_map *map, bool unmapped)
{
	pthread_mutex_lock(&maps->lock);
	map->busy = false;
	if (unmapped) {
		extents_remove(&maps->extents, &map->extent);
		maps->count--;
	}
	pthread_mutex_unlock(&maps->lock);
	if (unmapped)
		free(map);
}

struct vfio_map *vfio_maps_from(struct vfio_maps *maps, uint64_t iova)
{
	return (struct vfio_map *)extents_from(&maps->extents, iova);
}
