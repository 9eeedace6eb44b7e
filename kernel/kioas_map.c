// SPDX-License-Identifier: GPL-2.0-only
/*
 * MAP_DMA, UNMAP_DMA, INVALIDATE_CACHE: arrays, of which all is done or nothing.
 *
 * An array is copied once and never looked at again in user memory. Memory is accounted for the
 * whole array at once, and pinned, before the space is locked.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kioas.h"

/* Arrays that are not longer live on the stack. */
#define KIOAS_FEW 4

static int kioas_count_check(struct kioas_call *call, u32 count)
{
	if (!count || count > IOASID_ARRAY_MAX)
		return kioas_fail(call, -EINVAL, "count", "%u is not from 1 to %u", count,
				  IOASID_ARRAY_MAX);
	return 0;
}

static int kioas_range_check(struct kioas_call *call, u64 iova, u64 length)
{
	u64 last;

	if (!length || !PAGE_ALIGNED(length))
		return kioas_fail(call, -EINVAL, "length", "0x%llx is no multiple of the page size",
				  length);
	if (!PAGE_ALIGNED(iova))
		return kioas_fail(call, -EINVAL, "iova", "0x%llx is no multiple of the page size",
				  iova);
	if (check_add_overflow(iova, length - 1, &last) || last > ULONG_MAX)
		return kioas_fail(call, -EINVAL, "length", "beyond the end of all IOVAs");
	return 0;
}

/* Mapping */

static int kioas_entry_check(struct kioas_call *call, const struct ioasid_map_entry *entry)
{
	const u32 rights = IOASID_MAP_READ | IOASID_MAP_WRITE;
	u64 last;
	int ret;

	ret = kioas_range_check(call, entry->iova, entry->length);
	if (ret)
		return ret;
	if (!PAGE_ALIGNED(entry->address))
		return kioas_fail(call, -EINVAL, "address",
				  "0x%llx is no multiple of the page size", entry->address);
	if (check_add_overflow(entry->address, entry->length - 1, &last) || last > ULONG_MAX)
		return kioas_fail(call, -EINVAL, "length", "beyond the end of all addresses");
	if (entry->flags & ~(rights | IOASID_MAP_REGISTERED))
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", entry->flags);
	if (!(entry->flags & rights))
		return kioas_fail(call, -EINVAL, "flags", "neither READ nor WRITE");
	if (entry->__reserved)
		return kioas_fail(call, -EINVAL, "__reserved", "must be 0");
	return 0;
}

static u32 kioas_entry_prot(const struct ioasid_map_entry *entry)
{
	return (entry->flags & IOASID_MAP_READ ? IOASID_PROT_READ : 0) |
	       (entry->flags & IOASID_MAP_WRITE ? IOASID_PROT_WRITE : 0);
}

/* Does it map pinned memory, rather than addresses of a parent, or what is mirrored? */
static bool kioas_maps_memory(const struct kioas_space *space)
{
	return !space->parent && !space->kind->area_fill;
}

/* Of registered memory, if it is that. */
static int kioas_entry_find(struct kioas_call *call, struct kioas_space *space,
			    const struct ioasid_map_entry *entry, struct kioas_area *area)
{
	if (!kioas_maps_memory(space))
		return entry->flags & IOASID_MAP_REGISTERED
			       ? kioas_fail(call, -EINVAL, "flags",
					    "what this space maps is not registered")
			       : 0;
	area->memory = kioas_memory_find(call->file, entry->address, entry->length);
	if (area->memory && area->prot & ~area->memory->prot)
		return kioas_fail(call, -EACCES, "flags",
				  "memory at 0x%llx was registered with less rights",
				  entry->address);
	if (!area->memory && entry->flags & IOASID_MAP_REGISTERED)
		return kioas_fail(call, -ENOENT, "address", "0x%llx is not registered memory",
				  entry->address);
	return 0;
}

static int kioas_areas_make(struct kioas_call *call, struct kioas_space *space,
			    const struct ioasid_map_entry *entries, u32 count,
			    struct list_head *areas)
{
	const struct ioasid_map_entry *entry;
	struct kioas_area *area;
	int ret;

	for (call->index = 0; call->index < count; call->index++) {
		entry = &entries[call->index];
		ret = kioas_entry_check(call, entry);
		if (ret)
			return ret;
		area = kioas_area_alloc(entry->iova, entry->length, entry->address,
					kioas_entry_prot(entry), NULL);
		if (!area)
			return -ENOMEM;
		list_add_tail(&area->entry, areas);
		ret = kioas_entry_find(call, space, entry, area);
		if (ret)
			return ret;
	}
	return 0;
}

static unsigned long kioas_area_pages(const struct kioas_area *area)
{
	return (area->last - area->start + 1) >> PAGE_SHIFT;
}

/*
 * Accounts and pins what is not registered. What is pinned is accounted by its memory from then on.
 */
static int kioas_areas_pin(struct kioas_call *call, struct list_head *areas)
{
	struct kioas_area *area;
	unsigned long pages = 0;
	int ret = 0;

	list_for_each_entry(area, areas, entry)
		if (!area->memory && check_add_overflow(pages, kioas_area_pages(area), &pages))
			pages = ULONG_MAX >> PAGE_SHIFT;
	if (!pages)
		return 0;
	/* More than there can be is not pinned, but given back as it was accounted. */
	pages = min(pages, ULONG_MAX >> PAGE_SHIFT);
	call->index = 0;
	ret = kioas_account(call, pages, "length");
	if (ret)
		return ret;
	list_for_each_entry(area, areas, entry) {
		if (!area->memory) {
			ret = kioas_memory_pin(call, area->address, area->last - area->start + 1,
					       area->prot, &area->memory);
			if (ret)
				break;
			pages -= kioas_area_pages(area);
		}
		call->index++;
	}
	if (ret)
		account_locked_vm(current->mm, pages, false);
	return ret;
}

int kioas_map_entries(struct kioas_call *call, struct kioas_space *space,
		      const struct ioasid_map_entry *entries, u32 count)
{
	LIST_HEAD(areas);
	int ret;

	ret = kioas_areas_make(call, space, entries, count, &areas);
	if (!ret && kioas_maps_memory(space))
		ret = kioas_areas_pin(call, &areas);
	if (!ret)
		ret = kioas_space_lock(call, space);
	if (!ret) {
		ret = kioas_areas_add(call, space, &areas);
		kioas_space_unlock(space);
	}
	kioas_areas_free(&areas);
	return ret;
}

int kioas_map_dma(struct kioas_call *call, void *data)
{
	struct ioasid_map_entry few[KIOAS_FEW], *entries = few;
	struct ioasid_map_dma *command = data;
	struct kioas_space *space;
	int ret;

	ret = kioas_count_check(call, command->count);
	if (ret)
		return ret;
	ret = kioas_space_get(call, command->ioasid, IOASID_OP_MAP, &space);
	if (ret)
		return ret;
	if (command->count > KIOAS_FEW) {
		entries = kvmalloc_array(command->count, sizeof(*entries), GFP_KERNEL_ACCOUNT);
		ret = entries ? 0 : -ENOMEM;
	}
	if (!ret)
		ret = kioas_array_copy(call, entries, sizeof(*entries), command->entries_uptr,
				       command->count, command->entry_size);
	if (!ret)
		ret = kioas_map_entries(call, space, entries, command->count);
	if (entries != few)
		kvfree(entries);
	kioas_space_put(space);
	return ret;
}

/* Unmapping */

static int kioas_unmap_collect(struct kioas_call *call, struct kioas_space *space, u64 start,
			       u64 last, struct list_head *areas)
{
	struct kioas_area *area;
	bool found = false;

	for (area = kioas_area_first(space, start, last); area;
	     area = kioas_area_next(area, start, last)) {
		if (area->start < start || area->last > last)
			return kioas_fail(call, -EINVAL, "iova",
					  "this would cut the mapping 0x%llx to 0x%llx",
					  area->start, area->last);
		if (!list_empty(&area->entry))
			return kioas_fail(call, -EINVAL, "iova",
					  "0x%llx is in an entry before this one", area->start);
		list_add_tail(&area->entry, areas);
		found = true;
	}
	return found ? 0 : kioas_fail(call, -ENOENT, "iova", "nothing is mapped at 0x%llx", start);
}

/* IOASID_UNMAP_EXACT */
static int kioas_unmap_one(struct kioas_call *call, struct kioas_space *space, u64 start, u64 last,
			   struct list_head *areas)
{
	struct kioas_area *area = kioas_area_first(space, start, last);

	if (area && (area->start != start || area->last != last))
		return kioas_fail(call, -EINVAL, "length",
				  "not exactly the mapping 0x%llx to 0x%llx", area->start,
				  area->last);
	return kioas_unmap_collect(call, space, start, last, areas);
}

static void kioas_unmap_forget(struct list_head *areas)
{
	while (!list_empty(areas))
		list_del_init(areas->next);
}

static int kioas_unmap_check(struct kioas_call *call, const struct ioasid_unmap_entry *entries,
			     u32 count)
{
	int ret;

	for (call->index = 0; call->index < count; call->index++) {
		ret = kioas_range_check(call, entries[call->index].iova,
					entries[call->index].length);
		if (ret)
			return ret;
	}
	return 0;
}

static u64 kioas_areas_bytes(struct list_head *areas)
{
	struct kioas_area *area;
	u64 bytes = 0;

	list_for_each_entry(area, areas, entry)
		bytes += area->last - area->start + 1;
	return bytes;
}

int kioas_unmap_entries(struct kioas_call *call, struct kioas_space *space,
			const struct ioasid_unmap_entry *entries, u32 count, u32 flags, u64 *bytes)
{
	const struct ioasid_unmap_entry *entry;
	LIST_HEAD(areas);
	u64 last;
	int ret;

	ret = kioas_unmap_check(call, entries, count);
	if (ret)
		return ret;
	ret = kioas_space_lock(call, space);
	if (ret)
		return ret;
	for (call->index = 0; call->index < count && !ret; call->index++) {
		entry = &entries[call->index];
		last = entry->iova + (entry->length - 1);
		ret = flags & IOASID_UNMAP_EXACT
			      ? kioas_unmap_one(call, space, entry->iova, last, &areas)
			      : kioas_unmap_collect(call, space, entry->iova, last, &areas);
		if (ret)
			break;
	}
	if (!ret) {
		*bytes = kioas_areas_bytes(&areas);
		kioas_areas_remove(space, &areas);
	} else {
		kioas_unmap_forget(&areas);
	}
	kioas_space_unlock(space);
	kioas_areas_free(&areas);
	return ret;
}

static int kioas_unmap_all(struct kioas_call *call, struct kioas_space *space, u64 *bytes)
{
	struct kioas_area *area;
	LIST_HEAD(areas);
	int ret;

	ret = kioas_space_lock(call, space);
	if (ret)
		return ret;
	for (area = kioas_area_first(space, 0, U64_MAX); area;
	     area = kioas_area_next(area, 0, U64_MAX))
		list_add_tail(&area->entry, &areas);
	*bytes = kioas_areas_bytes(&areas);
	kioas_areas_remove(space, &areas);
	kioas_space_unlock(space);
	kioas_areas_free(&areas);
	return 0;
}

static int kioas_unmap_array(struct kioas_call *call, struct kioas_space *space,
			     struct ioasid_unmap_dma *command)
{
	struct ioasid_unmap_entry few[KIOAS_FEW], *entries = few;
	int ret;

	ret = kioas_count_check(call, command->count);
	if (ret)
		return ret;
	if (command->count > KIOAS_FEW) {
		entries = kvmalloc_array(command->count, sizeof(*entries), GFP_KERNEL_ACCOUNT);
		if (!entries)
			return -ENOMEM;
	}
	ret = kioas_array_copy(call, entries, sizeof(*entries), command->entries_uptr,
			       command->count, command->entry_size);
	if (!ret)
		ret = kioas_unmap_entries(call, space, entries, command->count, command->flags,
					  &command->out_bytes);
	if (entries != few)
		kvfree(entries);
	return ret;
}

int kioas_unmap_dma(struct kioas_call *call, void *data)
{
	struct ioasid_unmap_dma *command = data;
	const u32 all = command->flags & IOASID_UNMAP_ALL;
	struct kioas_space *space;
	int ret;

	if (command->flags & ~(IOASID_UNMAP_ALL | IOASID_UNMAP_EXACT))
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", command->flags);
	if (command->__reserved)
		return kioas_fail(call, -EINVAL, "__reserved", "must be 0");
	if (all && command->flags & IOASID_UNMAP_EXACT)
		return kioas_fail(call, -EINVAL, "flags", "ALL and EXACT exclude each other");
	if (all && (command->count || command->entries_uptr))
		return kioas_fail(call, -EINVAL, "count", "no array goes with IOASID_UNMAP_ALL");
	ret = kioas_space_get(call, command->ioasid, IOASID_OP_MAP, &space);
	if (ret)
		return ret;
	ret = all ? kioas_unmap_all(call, space, &command->out_bytes)
		  : kioas_unmap_array(call, space, command);
	kioas_space_put(space);
	return ret;
}

/* Invalidation: of tables that the caller writes */

static int kioas_inval_check(struct kioas_call *call, const struct ioasid_inval_entry *entry)
{
	const u32 flags = IOASID_INVAL_LEAF | IOASID_INVAL_DEVICE | IOASID_INVAL_PASID;

	if (entry->flags & ~flags)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", entry->flags);
	if (entry->flags & IOASID_INVAL_PASID)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "PASIDs cannot be attached");
	if (entry->pasid || (entry->dev_id && !(entry->flags & IOASID_INVAL_DEVICE)))
		return kioas_fail(call, -EINVAL, entry->pasid ? "pasid" : "dev_id",
				  "is not 0, without its flag");
	switch (entry->type) {
	case IOASID_INVAL_ALL:
		if (entry->iova || entry->length)
			return kioas_fail(call, -EINVAL, "iova", "ALL has no range");
		return 0;
	case IOASID_INVAL_RANGE:
		return kioas_range_check(call, entry->iova, entry->length);
	default:
		return kioas_fail(call, -EOPNOTSUPP, "type", "unknown type %u", entry->type);
	}
}

int kioas_invalidate_entries(struct kioas_call *call, struct kioas_space *space,
			     const struct ioasid_inval_entry *entries, u32 count)
{
	int ret;

	for (call->index = 0; call->index < count; call->index++) {
		ret = kioas_inval_check(call, &entries[call->index]);
		if (ret)
			return ret;
	}
	call->index = 0;
	return space->kind->invalidate(call, space, entries, count);
}

int kioas_invalidate_cache(struct kioas_call *call, void *data)
{
	struct ioasid_invalidate_cache *command = data;
	struct ioasid_inval_entry *entries;
	struct kioas_space *space;
	int ret;

	ret = kioas_count_check(call, command->count);
	if (ret)
		return ret;
	ret = kioas_space_get(call, command->ioasid, IOASID_OP_INVALIDATE, &space);
	if (ret)
		return ret;
	entries = kvmalloc_array(command->count, sizeof(*entries), GFP_KERNEL_ACCOUNT);
	ret = entries ? kioas_array_copy(call, entries, sizeof(*entries), command->entries_uptr,
					 command->count, command->entry_size)
		      : -ENOMEM;
	if (!ret)
		ret = kioas_invalidate_entries(call, space, entries, command->count);
	kvfree(entries);
	kioas_space_put(space);
	return ret;
}
