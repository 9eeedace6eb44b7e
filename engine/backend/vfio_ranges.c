/* SPDX-License-Identifier: BSD-3-Clause */
/* The IOVAs and page sizes that devices allow. See vfio.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vfio.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/*
 * Before a device is bound nobody knows what its IOMMU takes. The narrowest that is common: VT-d
 * with three levels.
 */
#define GUESS_LAST ((UINT64_C(1) << 39) - 1)

void vfio_ranges_set(struct vfio_ranges *ranges, uint64_t start, uint64_t last)
{
	ranges->count = 1;
	ranges->range[0] = (struct ioas_range){ .start = start, .last = last };
}

void vfio_ranges_intersect(struct vfio_ranges *ranges, const struct vfio_ranges *with)
{
	struct vfio_ranges result = { .count = 0 };
	unsigned int i = 0, j = 0;

	while (i < ranges->count && j < with->count && result.count < VFIO_RANGES_MAX) {
		const struct ioas_range *a = &ranges->range[i], *b = &with->range[j];
		uint64_t start = a->start > b->start ? a->start : b->start;
		uint64_t last = a->last < b->last ? a->last : b->last;

		if (start <= last)
			result.range[result.count++] =
				(struct ioas_range){ .start = start, .last = last };
		if (a->last < b->last)
			i++;
		else
			j++;
	}
	*ranges = result;
}

bool vfio_ranges_hold(const struct vfio_ranges *ranges, uint64_t iova, uint64_t bytes)
{
	for (unsigned int i = 0; i < ranges->count; i++)
		if (ranges->range[i].start <= iova && iova <= ranges->range[i].last)
			return bytes - 1 <= ranges->range[i].last - iova;
	return false;
}

void vfio_limits_init(struct vfio_limits *limits)
{
	vfio_rwlock_init(&limits->lock);
	vfio_ranges_set(&limits->ranges, 0, GUESS_LAST);
	limits->page_sizes = IOAS_PAGE_SIZE;
	limits->known = false;
}

void vfio_limits_destroy(struct vfio_limits *limits)
{
	pthread_rwlock_destroy(&limits->lock);
}

void vfio_limits_narrow(struct vfio_limits *limits, const struct vfio_ranges *ranges,
			uint64_t page_sizes)
{
	pthread_rwlock_wrlock(&limits->lock);
	if (limits->known) {
		vfio_ranges_intersect(&limits->ranges, ranges);
		limits->page_sizes &= page_sizes;
	} else {
		limits->ranges = *ranges;
		limits->page_sizes = page_sizes;
		limits->known = true;
	}
	pthread_rwlock_unlock(&limits->lock);
}

void vfio_limits_caps(struct vfio_limits *limits, struct be_caps *caps)
{
	pthread_rwlock_rdlock(&limits->lock);
	caps->page_sizes = limits->page_sizes;
	if (limits->ranges.count) {
		caps->iova.start = limits->ranges.range[0].start;
		caps->iova.last = limits->ranges.range[limits->ranges.count - 1].last;
	}
	pthread_rwlock_unlock(&limits->lock);
}

unsigned int vfio_limits_ranges(struct vfio_limits *limits, struct ioas_range *ranges,
				unsigned int max)
{
	unsigned int count;

	pthread_rwlock_rdlock(&limits->lock);
	count = limits->ranges.count;
	memcpy(ranges, limits->ranges.range, (count < max ? count : max) * sizeof(*ranges));
	pthread_rwlock_unlock(&limits->lock);
	return count;
}

/* The range that is nearest to @iova from below, or the lowest one. */
static struct ioas_range nearest(const struct vfio_ranges *ranges, uint64_t iova)
{
	struct ioas_range found = { .start = 1, .last = 0 };

	for (unsigned int i = 0; i < ranges->count; i++)
		if (!i || ranges->range[i].start <= iova)
			found = ranges->range[i];
	return found;
}

int vfio_limits_check(struct be *be, struct vfio_limits *limits, const struct be_map *map)
{
	const char *name = be->ops->name;
	struct ioas_range near;
	uint64_t page_bytes;
	bool inside;

	pthread_rwlock_rdlock(&limits->lock);
	page_bytes = limits->page_sizes & -limits->page_sizes;
	inside = vfio_ranges_hold(&limits->ranges, map->iova, map->bytes);
	near = nearest(&limits->ranges, map->iova);
	pthread_rwlock_unlock(&limits->lock);

	if (!map->bytes || ((map->iova | map->bytes | (uintptr_t)map->va) & (page_bytes - 1)))
		return diag_fail(be->diag, -EINVAL,
				 "%s: map of %p, %" PRIu64 " bytes at IOVA 0x%" PRIx64
				 ": not whole pages of %" PRIu64 " bytes",
				 name, map->va, map->bytes, map->iova, page_bytes);
	if (!map->prot || (map->prot & ~IOAS_RW))
		return diag_fail(be->diag, -EINVAL, "%s: map with protection 0x%x", name,
				 map->prot);
	if (!inside)
		return diag_fail(
			be->diag, -ERANGE,
			"%s: IOVA 0x%" PRIx64 ", %" PRIu64
			" bytes: outside of what the IOMMU allows; the nearest range is 0x%" PRIx64
			"..0x%" PRIx64,
			name, map->iova, map->bytes, near.start, near.last);
	return 0;
}
