/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policies of the library's own: a descriptor is a batch, its IOVAs are neighbours, one leaf-only
 * invalidation takes it back before the call returns (STRICT). And what ours is held against:
 * memory that stays mapped, and no IOMMU.
 */
#include "study.h"

static int ours_open(struct study *s)
{
	int ret = 0;

	for (unsigned int i = 0; i < STUDY_QUEUES && !ret; i++)
		ret = ioas_queue_create(s->as, &s->queues[i].ours);
	return ret ? study_fail(s, "ioas_queue_create: %d", ret) : 0;
}

static void ours_close(struct study *s)
{
	for (unsigned int i = 0; i < STUDY_QUEUES; i++)
		if (s->queues[i].ours)
			ioas_queue_destroy(s->queues[i].ours);
}

static int ours_map(struct study *s, unsigned int cpu, struct study_area *area, uint32_t prot)
{
	struct ioas_queue *q = s->queues[cpu].ours;
	int ret = ioas_map_batch(q, area->segs, area->count, prot);

	return ret == (int)area->count ? 0 : study_fail(s, "map: %s", ioas_queue_error(q));
}

static int ours_unmap(struct study *s, unsigned int cpu, struct study_area *area,
		      unsigned int count)
{
	struct ioas_queue *q = s->queues[cpu].ours;
	int ret = ioas_unmap_batch(q, area->segs, count);

	return ret == (int)count ? 0 : study_fail(s, "unmap: %s", ioas_queue_error(q));
}

/* No table: the device uses the parent's addresses, which are the model's physical ones. */
static int off_map(struct study *s, unsigned int cpu, struct study_area *area, uint32_t prot)
{
	for (unsigned int i = 0; i < area->count; i++)
		area->segs[i].iova = (uintptr_t)area->segs[i].va;
	return 0;
}

#define OURS                                                                             \
	.kind = IOAS_KIND_USER, .open = ours_open, .close = ours_close, .map = ours_map, \
	.unmap = ours_unmap, .whole = true

const struct study_policy study_ours = {
	OURS,
	.name = "ours",
	.what = "IOVAs of a descriptor are neighbours; one leaf-only invalidation each",
};

const struct study_policy study_ours_huge = {
	OURS,
	.name = "ours_2m",
	.what = "the same, descriptors of 2 MiB in one leaf",
	.huge = true,
};

const struct study_policy study_static = {
	OURS,
	.name = "static",
	.what = "mapped once, in 4 KiB leaves, never taken back: no protection",
	.keep = true,
};

const struct study_policy study_off = {
	.name = "off",
	.what = "no translation: no protection",
	.kind = IOAS_KIND_PASSTHROUGH,
	.keep = true,
	.map = off_map,
};
