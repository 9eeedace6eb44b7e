// SPDX-License-Identifier: GPL-2.0-only
/*
 * Areas: the mappings of a space, in a tree by IOVA, and in children in another by the parent's
 * address. Under kioas_space.lock.
 *
 * Areas come and go in lists: all of a list, or nothing. What leaves is flushed from the IOMMU's
 * caches once for the whole list.
 */
#include <linux/slab.h>

#include "kioas.h"

#define AREA_START(area)   ((area)->start)
#define AREA_LAST(area)	   ((area)->last)
#define AREA_ADDRESS(area) ((area)->address)

INTERVAL_TREE_DEFINE(struct kioas_area, node, u64, __subtree_last, AREA_START, AREA_LAST, static,
		     kioas_tree)
INTERVAL_TREE_DEFINE(struct kioas_area, address_node, u64, __address_subtree_last, AREA_ADDRESS,
		     kioas_area_address_last, static, kioas_address_tree)

struct kioas_area *kioas_area_first(struct kioas_space *space, u64 start, u64 last)
{
	return kioas_tree_iter_first(&space->areas, start, last);
}

struct kioas_area *kioas_area_next(struct kioas_area *area, u64 start, u64 last)
{
	return kioas_tree_iter_next(area, start, last);
}

struct kioas_area *kioas_area_first_address(struct kioas_space *space, u64 start, u64 last)
{
	return kioas_address_tree_iter_first(&space->addresses, start, last);
}

struct kioas_area *kioas_area_next_address(struct kioas_area *area, u64 start, u64 last)
{
	return kioas_address_tree_iter_next(area, start, last);
}

struct kioas_area *kioas_area_alloc(u64 start, u64 bytes, u64 address, u32 prot,
				    struct kioas_memory *memory)
{
	struct kioas_area *area = kzalloc(sizeof(*area), GFP_KERNEL_ACCOUNT);

	if (!area)
		return NULL;
	INIT_LIST_HEAD(&area->entry);
	area->start = start;
	area->last = start + (bytes - 1);
	area->address = address;
	area->prot = prot;
	area->memory = memory;
	return area;
}

static void kioas_area_insert(struct kioas_space *space, struct kioas_area *area)
{
	kioas_tree_insert(area, &space->areas);
	if (space->parent)
		kioas_address_tree_insert(area, &space->addresses);
}

static void kioas_area_remove(struct kioas_space *space, struct kioas_area *area)
{
	kioas_tree_remove(area, &space->areas);
	if (space->parent)
		kioas_address_tree_remove(area, &space->addresses);
}

int kioas_area_fill(struct kioas_space *space, struct kioas_area *area)
{
	if (space->kind->area_fill)
		return space->kind->area_fill(space, area);
	if (!area->memory)
		return kioas_nest_fill(space, area, area->address, kioas_area_address_last(area));
	return kioas_memory_map(area->memory, area->address, area->last - area->start + 1,
				space->domain, area->start, area->prot);
}

void kioas_area_clear(struct kioas_space *space, struct kioas_area *area,
		      struct iommu_iotlb_gather *gather)
{
	if (space->kind->area_clear)
		space->kind->area_clear(space, area);
	else if (area->memory)
		iommu_unmap_fast(space->domain, area->start, area->last - area->start + 1, gather);
	else
		kioas_nest_clear(space, area, area->address, kioas_area_address_last(area), gather);
}

int kioas_fill_failed(struct kioas_call *call, int error, const char *field)
{
	switch (error) {
	case -ENOMEM:
	case -EINTR:
		return error;
	case -EDQUOT:
		return kioas_fail(call, -ENOMEM, field, "RLIMIT_MEMLOCK would be exceeded");
	case -ESRCH:
		return kioas_fail(call, -EFAULT, field, "the process that it shows has ended");
	default:
		return kioas_fail(call, -EIO, field, "the IOMMU refuses a part of it (%d)", error);
	}
}

static bool kioas_child_follows(const struct kioas_space *child)
{
	return child->kind->parent_filled && child->table == child;
}

static void kioas_child_clear(struct kioas_space *child, const struct kioas_area *area)
{
	if (!kioas_child_follows(child))
		return;
	mutex_lock_nested(&child->lock, SINGLE_DEPTH_NESTING);
	child->kind->parent_cleared(child, area->start, area->last);
	mutex_unlock(&child->lock);
}

static int kioas_child_fill(struct kioas_space *child, const struct kioas_area *area)
{
	int ret;

	if (!kioas_child_follows(child))
		return 0;
	mutex_lock_nested(&child->lock, SINGLE_DEPTH_NESTING);
	ret = child->kind->parent_filled(child, area->start, area->last);
	mutex_unlock(&child->lock);
	return ret;
}

/* All children follow, or none. */
static int kioas_children_fill(struct kioas_space *space, const struct kioas_area *area)
{
	struct kioas_space *child;
	int ret;

	list_for_each_entry(child, &space->children, sibling) {
		ret = kioas_child_fill(child, area);
		if (ret) {
			list_for_each_entry_continue_reverse(child, &space->children, sibling)
				kioas_child_clear(child, area);
			return ret;
		}
	}
	return 0;
}

void kioas_areas_remove(struct kioas_space *space, struct list_head *areas)
{
	struct iommu_iotlb_gather gather;
	struct kioas_space *child;
	struct kioas_area *area;

	if (list_empty(areas))
		return;
	iommu_iotlb_gather_init(&gather);
	list_for_each_entry(area, areas, entry) {
		list_for_each_entry(child, &space->children, sibling)
			kioas_child_clear(child, area);
		if (kioas_space_live(space))
			kioas_area_clear(space, area, &gather);
	}
	if (kioas_space_live(space))
		iommu_iotlb_sync(space->domain, &gather);
	list_for_each_entry(area, areas, entry)
		kioas_area_remove(space, area);
}

static int kioas_area_enter(struct kioas_space *space, struct kioas_area *area)
{
	struct iommu_iotlb_gather gather;
	int ret;

	if (kioas_space_live(space)) {
		ret = kioas_area_fill(space, area);
		if (ret)
			return ret;
	}
	kioas_area_insert(space, area);
	ret = kioas_children_fill(space, area);
	if (!ret)
		return 0;
	if (kioas_space_live(space)) {
		iommu_iotlb_gather_init(&gather);
		kioas_area_clear(space, area, &gather);
		iommu_iotlb_sync(space->domain, &gather);
	}
	kioas_area_remove(space, area);
	return ret;
}

static int kioas_area_add(struct kioas_call *call, struct kioas_space *space,
			  struct kioas_area *area)
{
	struct kioas_area *other;
	int ret;

	ret = kioas_space_check_range(call, space, area->start, area->last);
	if (ret)
		return ret;
	other = kioas_area_first(space, area->start, area->last);
	if (other)
		return kioas_fail(call, -EEXIST, "iova", "a mapping is at 0x%llx to 0x%llx",
				  other->start, other->last);
	if (space->kind->may_map) {
		ret = space->kind->may_map(call, space, area);
		if (ret)
			return ret;
	}
	ret = kioas_area_enter(space, area);
	return ret ? kioas_fill_failed(call, ret, "iova") : 0;
}

/* On success the areas are in no list; on failure all are in @areas again. */
int kioas_areas_add(struct kioas_call *call, struct kioas_space *space, struct list_head *areas)
{
	struct kioas_area *area;
	LIST_HEAD(done);
	int ret = 0;

	for (call->index = 0; !list_empty(areas); call->index++) {
		area = list_first_entry(areas, struct kioas_area, entry);
		ret = kioas_area_add(call, space, area);
		if (ret)
			break;
		list_move_tail(&area->entry, &done);
	}
	if (!ret) {
		while (!list_empty(&done))
			list_del_init(done.next);
		return 0;
	}
	kioas_areas_remove(space, &done);
	list_splice(&done, areas);
	return ret;
}

void kioas_areas_free(struct list_head *areas)
{
	struct kioas_account account = {};
	struct kioas_area *area, *next;

	list_for_each_entry_safe(area, next, areas, entry) {
		if (area->memory)
			kioas_memory_put(area->memory, &account);
		kfree(area);
	}
	kioas_account_flush(&account);
	INIT_LIST_HEAD(areas);
}
