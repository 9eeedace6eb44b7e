// SPDX-License-Identifier: GPL-2.0-only
/*
 * Software nesting of KERNEL spaces: an area of a child maps addresses of its parent. What the
 * child's table holds is the composition of both: a change on either side changes it at once, and
 * where the parent maps nothing the child translates nothing. Rights are those that both give.
 *
 * Under the parent's lock and the child's. The parent's areas are of memory, since parents have no
 * parents. A piece, the part of one child area in one parent area, is mapped and unmapped as a
 * whole, so that no page of the IOMMU lies across its bounds.
 */
#include "kioas.h"

struct kioas_piece {
	struct kioas_area *parent; /* where it lies */
	u64 address;		   /* of the parent */
	u64 bytes;
	u64 iova;
	u32 prot;
};

/* The piece of @area in @parent, within start to last of the parent's addresses. */
static struct kioas_piece kioas_piece(struct kioas_area *area, struct kioas_area *parent, u64 start,
				      u64 last)
{
	const u64 first = max3(start, area->address, parent->start);
	const u64 end = min3(last, kioas_area_address_last(area), parent->last);

	return (struct kioas_piece){
		.parent = parent,
		.address = first,
		.bytes = end - first + 1,
		.iova = area->start + (first - area->address),
		.prot = area->prot & parent->prot,
	};
}

static struct kioas_area *kioas_piece_first(struct kioas_space *space, struct kioas_area *area,
					    u64 start, u64 last)
{
	return kioas_area_first(space->parent, max(start, area->address),
				min(last, kioas_area_address_last(area)));
}

static struct kioas_area *kioas_piece_next(struct kioas_area *parent, struct kioas_area *area,
					   u64 start, u64 last)
{
	return kioas_area_next(parent, max(start, area->address),
			       min(last, kioas_area_address_last(area)));
}

void kioas_nest_clear(struct kioas_space *space, struct kioas_area *area, u64 start, u64 last,
		      struct iommu_iotlb_gather *gather)
{
	struct kioas_area *parent;
	struct kioas_piece piece;

	for (parent = kioas_piece_first(space, area, start, last); parent;
	     parent = kioas_piece_next(parent, area, start, last)) {
		piece = kioas_piece(area, parent, start, last);
		if (piece.prot)
			iommu_unmap_fast(space->domain, piece.iova, piece.bytes, gather);
	}
}

/* The same for pieces below @end, which were just mapped. */
static void kioas_nest_undo(struct kioas_space *space, struct kioas_area *area, u64 start, u64 end)
{
	struct iommu_iotlb_gather gather;

	if (end <= max(start, area->address))
		return;
	iommu_iotlb_gather_init(&gather);
	kioas_nest_clear(space, area, start, end - 1, &gather);
	iommu_iotlb_sync(space->domain, &gather);
}

int kioas_nest_fill(struct kioas_space *space, struct kioas_area *area, u64 start, u64 last)
{
	struct kioas_area *parent;
	struct kioas_piece piece;
	int ret;

	for (parent = kioas_piece_first(space, area, start, last); parent;
	     parent = kioas_piece_next(parent, area, start, last)) {
		piece = kioas_piece(area, parent, start, last);
		if (!piece.prot)
			continue;
		ret = kioas_memory_map(parent->memory,
				       parent->address + (piece.address - parent->start),
				       piece.bytes, space->domain, piece.iova, piece.prot);
		if (ret) {
			kioas_nest_undo(space, area, start, piece.address);
			return ret;
		}
	}
	return 0;
}

/* What is about to leave the parent is one of its areas, so that pieces go as a whole. */
void kioas_nest_parent_cleared(struct kioas_space *space, u64 start, u64 last)
{
	struct iommu_iotlb_gather gather;
	struct kioas_area *area = kioas_area_first_address(space, start, last);

	if (!kioas_space_live(space) || !area)
		return;
	iommu_iotlb_gather_init(&gather);
	for (; area; area = kioas_area_next_address(area, start, last))
		kioas_nest_clear(space, area, start, last, &gather);
	iommu_iotlb_sync(space->domain, &gather);
}

int kioas_nest_parent_filled(struct kioas_space *space, u64 start, u64 last)
{
	struct kioas_area *area, *done;
	struct iommu_iotlb_gather gather;
	int ret;

	if (!kioas_space_live(space))
		return 0;
	for (area = kioas_area_first_address(space, start, last); area;
	     area = kioas_area_next_address(area, start, last)) {
		ret = kioas_nest_fill(space, area, start, last);
		if (ret)
			goto undo;
	}
	return 0;

undo:
	iommu_iotlb_gather_init(&gather);
	for (done = kioas_area_first_address(space, start, last); done != area;
	     done = kioas_area_next_address(done, start, last))
		kioas_nest_clear(space, done, start, last, &gather);
	iommu_iotlb_sync(space->domain, &gather);
	return ret;
}
