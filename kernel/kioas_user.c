// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kind USER by software nesting: a table that its owner writes in memory which the parent maps, read
 * by us, on any IOMMU.
 *
 * Each leaf of the table, as it was when we last read it, is an area of the space: the areas are the
 * shadow, and what they translate to follows the parent as that of a KERNEL child does
 * (kioas_nest.c). A leaf that stays what it is keeps its place in the IOMMU's table while others
 * around it change, since an area is mapped and unmapped as a whole.
 *
 * The table is read when the space is made, when a device is attached, and where INVALIDATE_CACHE
 * says so. A table page that leaves the parent is noticed no earlier than that, since what was read
 * from it is a copy; memory that leaves the parent is out of reach at once.
 *
 * The owner may write anything, at any time. A word is read once, through the pages that the parent
 * has pinned and with the parent's right to read; what it says is checked before it is used. A table
 * that contains itself is a large table: a call that reads too much fails, as does one that finds
 * too many leaves.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "kioas.h"
#include "kioas_format.h"

/* How many tables and refused entries a call may meet: 1 GiB of tables of 4 KiB */
#define KIOAS_WALK_MAX (1U << 18)

static unsigned int shadow_limit = 1U << 18;
module_param(shadow_limit, uint, 0644);
MODULE_PARM_DESC(shadow_limit, "Most leaves of a USER table that is shadowed");

/* kioas_space.private; under the space's lock */
struct kioas_user {
	const struct kioas_format *format;
	u64 root;
	unsigned int leaves; /* areas */
};

/**
 * struct kioas_walk - a table being read
 * @space: its space; locked, and the parent
 * @format: its format
 * @group: is about to be attached, NULL if none is
 * @next: the first IOVA that has not been looked at; ranges come in ascending order
 * @last: the last one to look at
 * @budget: tables and refused entries that may still come
 * @adds: new areas, ascending
 * @add_count: how many
 * @removes: areas of the tree that are no longer true
 * @remove_count: how many
 */
struct kioas_walk {
	struct kioas_space *space;
	const struct kioas_format *format;
	struct kioas_group *group;
	u64 next;
	u64 last;
	unsigned int budget;
	struct list_head adds;
	unsigned int add_count;
	struct list_head removes;
	unsigned int remove_count;
};

static struct kioas_user *kioas_user(const struct kioas_space *space)
{
	return space->private;
}

/* Reading */

/* A page of the table, mapped for us. */
struct kioas_window {
	const u64 *words; /* NULL: none */
	u64 address;	  /* of the parent */
};

static void kioas_window_close(struct kioas_window *window)
{
	if (window->words)
		kunmap_local(window->words);
	window->words = NULL;
}

/* Windows are closed in the reverse order of their opening. */
static bool kioas_window_open(struct kioas_space *parent, u64 address, struct kioas_window *window)
{
	struct kioas_area *area;

	address &= PAGE_MASK;
	if (window->words && window->address == address)
		return true;
	kioas_window_close(window);
	area = kioas_area_first(parent, address, address);
	if (!area || !(area->prot & IOASID_PROT_READ))
		return false;
	window->words = kmap_local_page(
		kioas_memory_page(area->memory, area->address + (address - area->start)));
	window->address = address;
	return true;
}

static u64 kioas_window_word(const struct kioas_window *window, u64 address)
{
	/* All formats are little-endian. */
	return le64_to_cpu((__force __le64)READ_ONCE(window->words[offset_in_page(address) / 8]));
}

/* Walking */

static int kioas_walk_spend(struct kioas_walk *walk)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	if (!walk->budget)
		return -E2BIG;
	walk->budget--;
	return 0;
}

static int kioas_walk_refuse(struct kioas_walk *walk, u64 iova, u32 prot, u32 reason)
{
	const struct ioasid_event_record record = {
		.event = IOASID_EVENT_TABLE,
		.reason = reason,
		.ioasid = walk->space->object.id,
		.address = iova,
		.prot = prot,
	};

	kioas_event(walk->space->file, NULL, &record);
	return kioas_walk_spend(walk);
}

/* Areas of the tree in this interval are no longer true. */
static void kioas_walk_sweep(struct kioas_walk *walk, u64 start, u64 last)
{
	struct kioas_area *area;

	for (area = kioas_area_first(walk->space, start, last); area;
	     area = kioas_area_next(area, start, last))
		if (list_empty(&area->entry)) {
			list_add_tail(&area->entry, &walk->removes);
			walk->remove_count++;
		}
}

static bool kioas_walk_reaches(struct kioas_walk *walk, u64 start, u64 last)
{
	if (walk->group && !kioas_group_reaches(walk->group, start, last))
		return false;
	return kioas_space_reaches(walk->space, start, last);
}

static int kioas_walk_add(struct kioas_walk *walk, u64 start, u64 bytes, u64 address, u32 prot)
{
	const unsigned int leaves = kioas_user(walk->space)->leaves;
	struct kioas_area *area;

	if (leaves + walk->add_count - walk->remove_count >= READ_ONCE(shadow_limit))
		return -E2BIG;
	area = kioas_area_alloc(start, bytes, address, prot, NULL);
	if (!area)
		return -ENOMEM;
	list_add_tail(&area->entry, &walk->adds);
	walk->add_count++;
	/* It waits for the parent to map something there. */
	if (!kioas_area_first(walk->space->parent, address, address + (bytes - 1)))
		return kioas_walk_refuse(walk, start, prot, IOASID_REASON_PARENT);
	return 0;
}

/* A leaf may begin before the range and end behind it. */
static int kioas_walk_leaf(struct kioas_walk *walk, u64 start, u64 bytes, u64 address, u32 prot)
{
	const u64 last = start + (bytes - 1);
	struct kioas_area *area;

	if (walk->next < start)
		kioas_walk_sweep(walk, walk->next, start - 1);
	walk->next = last + 1;
	area = kioas_area_first(walk->space, start, last);
	if (area && area->start == start && area->last == last && area->address == address &&
	    area->prot == prot && kioas_walk_reaches(walk, start, last))
		return 0;
	kioas_walk_sweep(walk, start, last);
	if (!prot)
		return kioas_walk_refuse(walk, start, prot, IOASID_REASON_PROTECTION);
	if (!kioas_walk_reaches(walk, start, last))
		return kioas_walk_refuse(walk, start, prot, IOASID_REASON_RANGE);
	return kioas_walk_add(walk, start, bytes, address, prot);
}

static int kioas_walk_table(struct kioas_walk *walk, unsigned int level, u64 address, u64 base,
			    u32 prot);

static int kioas_walk_entry(struct kioas_walk *walk, unsigned int level, u64 word, u64 iova,
			    u32 prot)
{
	const struct kioas_entry entry = kioas_format_entry(walk->format, word, level);

	switch (entry.type) {
	case KIOAS_ENTRY_TABLE:
		return kioas_walk_table(walk, level - 1, entry.address, iova, prot & entry.prot);
	case KIOAS_ENTRY_LEAF:
		return kioas_walk_leaf(walk, iova, BIT_ULL(kioas_format_shift(walk->format, level)),
				       entry.address, prot & entry.prot);
	case KIOAS_ENTRY_RESERVED:
		return kioas_walk_refuse(walk, iova, prot, IOASID_REASON_RESERVED);
	case KIOAS_ENTRY_NONE:
		break;
	}
	return 0;
}

/* As deep as the format has levels. */
static int kioas_walk_table(struct kioas_walk *walk, unsigned int level, u64 address, u64 base,
			    u32 prot)
{
	const unsigned int shift = kioas_format_shift(walk->format, level);
	const u64 end = min_t(u64, (walk->last - base) >> shift,
			      kioas_format_entries(walk->format, level) - 1);
	u64 index = walk->next > base ? (walk->next - base) >> shift : 0;
	struct kioas_window window = {};
	int ret = kioas_walk_spend(walk);
	u64 word;

	cond_resched();
	for (; index <= end && !ret; index++) {
		if (!kioas_window_open(walk->space->parent, address + index * 8, &window)) {
			ret = kioas_walk_refuse(walk, base + (index << shift), prot,
						IOASID_REASON_PARENT);
			index |= PAGE_SIZE / 8 - 1;
			continue;
		}
		word = kioas_window_word(&window, address + index * 8);
		if (word)
			ret = kioas_walk_entry(walk, level, word, base + (index << shift), prot);
	}
	kioas_window_close(&window);
	return ret;
}

/* Compares table and areas from @start to @last, and around areas that lie across these. */
static int kioas_walk_range(struct kioas_walk *walk, u64 start, u64 last)
{
	const struct kioas_user *user = kioas_user(walk->space);
	struct kioas_area *area;
	int ret;

	last = min(last, BIT_ULL(walk->format->address_bits) - 1);
	start = max(start, walk->next);
	if (start > last)
		return 0;
	area = kioas_area_first(walk->space, start, start);
	if (area)
		start = max(area->start, walk->next);
	area = kioas_area_first(walk->space, last, last);
	if (area)
		last = area->last;
	walk->next = start;
	walk->last = last;
	ret = kioas_walk_table(walk, walk->format->levels - 1, user->root, 0,
			       IOASID_PROT_READ | IOASID_PROT_WRITE);
	if (ret)
		return ret;
	if (walk->next <= last)
		kioas_walk_sweep(walk, walk->next, last);
	walk->next = max(walk->next, last + 1);
	return 0;
}

/* Shadowing */

static void kioas_shadow_drop(struct kioas_walk *walk, const struct ioasid_range *ranges, u32 count)
{
	struct kioas_space *space = walk->space;
	u32 i;

	for (i = 0; i < count; i++)
		kioas_walk_sweep(walk, ranges[i].start, ranges[i].last);
	kioas_areas_remove(space, &walk->removes);
	kioas_user(space)->leaves -= walk->remove_count;
}

static int kioas_shadow_fail(struct kioas_call *call, int error)
{
	call->index = 0;
	if (error == -E2BIG)
		return kioas_fail(call, -ENOMEM, "ioasid",
				  "the table is too large: more than %u leaves, or %u tables",
				  READ_ONCE(shadow_limit), KIOAS_WALK_MAX);
	return error;
}

/*
 * Reads what is in the ranges, which are in ascending order, and puts the difference into effect.
 * Under both locks. On failure nothing in the ranges translates.
 */
static int kioas_shadow_update(struct kioas_call *call, struct kioas_space *space,
			       struct kioas_group *group, const struct ioasid_range *ranges,
			       u32 count)
{
	struct kioas_user *user = kioas_user(space);
	struct kioas_walk walk = {
		.space = space,
		.format = user->format,
		.group = group,
		.budget = KIOAS_WALK_MAX,
	};
	int ret = 0;
	u32 i;

	INIT_LIST_HEAD(&walk.adds);
	INIT_LIST_HEAD(&walk.removes);
	for (i = 0; i < count && !ret; i++)
		ret = kioas_walk_range(&walk, ranges[i].start, ranges[i].last);
	if (!ret) {
		kioas_areas_remove(space, &walk.removes);
		user->leaves -= walk.remove_count;
		kioas_areas_free(&walk.removes);
		walk.remove_count = 0;
		ret = kioas_areas_add(call, space, &walk.adds);
		if (!ret)
			user->leaves += walk.add_count;
	}
	if (ret) {
		kioas_shadow_drop(&walk, ranges, count);
		ret = kioas_shadow_fail(call, ret);
	}
	/* Children have no memory: nothing is unpinned under these locks. */
	kioas_areas_free(&walk.removes);
	kioas_areas_free(&walk.adds);
	return ret;
}

static const struct ioasid_range kioas_everything = { 0, U64_MAX };

/* Operations */

static int kioas_user_check(struct kioas_call *call, struct kioas_space *space,
			    const struct ioasid_alloc_user *data)
{
	const struct kioas_format *format = kioas_format(space->format);
	struct kioas_window window = {};
	bool there;

	if (data->flags)
		return kioas_fail(call, -EOPNOTSUPP, "data", "unknown flags 0x%llx", data->flags);
	if (data->root & (BIT_ULL(format->page_lg2) - 1))
		return kioas_fail(call, -EINVAL, "data", "root 0x%llx is no multiple of %llu",
				  data->root, BIT_ULL(format->page_lg2));
	mutex_lock(&space->parent->lock);
	there = kioas_window_open(space->parent, data->root, &window);
	kioas_window_close(&window);
	mutex_unlock(&space->parent->lock);
	if (!there)
		return kioas_fail(call, -ENOENT, "data",
				  "the parent maps nothing to be read at root 0x%llx", data->root);
	return 0;
}

static int kioas_user_create(struct kioas_call *call, struct kioas_space *space, const void *data)
{
	const struct ioasid_alloc_user *alloc = data;
	struct kioas_user *user;
	int ret;

	ret = kioas_user_check(call, space, alloc);
	if (ret)
		return ret;
	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (!user)
		return -ENOMEM;
	user->format = kioas_format(space->format);
	user->root = alloc->root;
	space->private = user;
	ret = kioas_space_lock(call, space);
	if (!ret) {
		ret = kioas_shadow_update(call, space, NULL, &kioas_everything, 1);
		kioas_space_unlock(space);
	}
	if (ret)
		kfree(user);
	return ret;
}

static void kioas_user_destroy(struct kioas_space *space)
{
	kfree(space->private);
}

static int kioas_range_order(const void *a, const void *b)
{
	const struct ioasid_range *first = a, *second = b;

	return first->start < second->start ? -1 : first->start > second->start;
}

/* The shadow is one for all devices: what is to be read for one is read for all. */
static int kioas_user_check_devices(struct kioas_call *call, struct kioas_space *space,
				    const struct ioasid_inval_entry *entries, u32 count)
{
	struct kioas_bound *bound;
	int ret = 0;

	mutex_lock(&call->file->lock);
	for (call->index = 0; call->index < count && !ret; call->index++) {
		if (!(entries[call->index].flags & IOASID_INVAL_DEVICE))
			continue;
		ret = kioas_bound_get(call, entries[call->index].dev_id, &bound);
		if (!ret && (!bound->attached || bound->group->space != space))
			ret = kioas_fail(call, -ENOENT, "dev_id", "%u is not attached to space %u",
					 entries[call->index].dev_id, space->object.id);
		if (ret)
			break;
	}
	mutex_unlock(&call->file->lock);
	return ret;
}

static bool kioas_inval_names_devices(const struct ioasid_inval_entry *entries, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++)
		if (entries[i].flags & IOASID_INVAL_DEVICE)
			return true;
	return false;
}

/* Ascending, and apart from each other: neighbours are read together. Return: how many. */
static u32 kioas_inval_ranges(const struct ioasid_inval_entry *entries, u32 count,
			      struct ioasid_range *ranges)
{
	u32 i, last = 0;

	for (i = 0; i < count; i++)
		ranges[i] = entries[i].type == IOASID_INVAL_ALL
				    ? kioas_everything
				    : (struct ioasid_range){
					      entries[i].iova,
					      entries[i].iova + (entries[i].length - 1),
				      };
	sort(ranges, count, sizeof(*ranges), kioas_range_order, NULL);
	for (i = 1; i < count; i++)
		if (ranges[last].last == U64_MAX || ranges[i].start <= ranges[last].last + 1)
			ranges[last].last = max(ranges[last].last, ranges[i].last);
		else
			ranges[++last] = ranges[i];
	return last + 1;
}

static int kioas_user_invalidate(struct kioas_call *call, struct kioas_space *space,
				 const struct ioasid_inval_entry *entries, u32 count)
{
	struct ioasid_range few[4], *ranges = few;
	int ret = 0;

	if (kioas_inval_names_devices(entries, count))
		ret = kioas_user_check_devices(call, space, entries, count);
	if (ret)
		return ret;
	call->index = 0;
	if (count > ARRAY_SIZE(few)) {
		ranges = kvmalloc_array(count, sizeof(*ranges), GFP_KERNEL_ACCOUNT);
		if (!ranges)
			return -ENOMEM;
	}
	count = kioas_inval_ranges(entries, count, ranges);
	ret = kioas_space_lock(call, space);
	if (!ret) {
		ret = kioas_shadow_update(call, space, NULL, ranges, count);
		kioas_space_unlock(space);
	}
	if (ranges != few)
		kvfree(ranges);
	return ret;
}

/* Devices see the table as it is when they come. */
static int kioas_user_attach(struct kioas_call *call, struct kioas_space *space,
			     struct kioas_group *group)
{
	return kioas_shadow_update(call, space, group, &kioas_everything, 1);
}

const struct kioas_kind_ops kioas_user_kind = {
	.name = "USER",
	.kind = IOASID_KIND_USER,
	.ops = IOASID_OP_LOOKUP | IOASID_OP_INVALIDATE | IOASID_OP_ATTACH,
	.parents = BIT(IOASID_KIND_KERNEL) | BIT(IOASID_KIND_PASSTHROUGH),
	.formats = KIOAS_FORMATS,
	.data_size = sizeof(struct ioasid_alloc_user),
	.create = kioas_user_create,
	.destroy = kioas_user_destroy,
	.invalidate = kioas_user_invalidate,
	.parent_filled = kioas_nest_parent_filled,
	.parent_cleared = kioas_nest_parent_cleared,
	.attach = kioas_user_attach,
};
