// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address spaces: kinds, allocation, and the domain that stands for a space in the IOMMU.
 *
 * A space has one domain, made for the first device that it is to serve and filled when that is
 * attached: only then does every driver know which page sizes its hardware has.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kioas.h"

static const struct kioas_kind_ops *const kioas_kinds[] = {
	[IOASID_KIND_KERNEL] = &kioas_kernel_kind,
	[IOASID_KIND_USER] = &kioas_user_kind,
	[IOASID_KIND_CPU] = &kioas_cpu_kind,
	[IOASID_KIND_VM] = &kioas_vm_kind,
	[IOASID_KIND_PASSTHROUGH] = &kioas_passthrough_kind,
};

const struct kioas_kind_ops *kioas_kind(u32 kind)
{
	return kind < ARRAY_SIZE(kioas_kinds) ? kioas_kinds[kind] : NULL;
}

u32 kioas_kinds_mask(void)
{
	u32 kind, mask = 0;

	for (kind = 0; kind < ARRAY_SIZE(kioas_kinds); kind++)
		if (kioas_kinds[kind])
			mask |= BIT(kind);
	return mask;
}

static int kioas_kind_find(struct kioas_call *call, u32 number, const struct kioas_kind_ops **kind)
{
	*kind = kioas_kind(number);
	if (*kind)
		return 0;
	if (number < IOASID_KIND_KERNEL || number > IOASID_KIND_PASSTHROUGH)
		return kioas_fail(call, -EINVAL, "kind", "%u is no kind", number);
	return kioas_fail(call, -EOPNOTSUPP, "kind", "kind %u is not built", number);
}

int kioas_kind_get_info(struct kioas_call *call, void *data)
{
	struct ioasid_kind_info *info = data;
	const struct kioas_kind_ops *kind;
	int ret = kioas_kind_find(call, info->kind, &kind);

	if (ret)
		return ret;
	if (info->__reserved)
		return kioas_fail(call, -EINVAL, "__reserved", "must be 0");
	info->out_ops = kind->ops;
	info->out_parents = kind->parents;
	info->out_formats = kind->formats;
	return 0;
}

/* Finding and locking */

int kioas_space_get(struct kioas_call *call, u32 id, u32 ops, struct kioas_space **out)
{
	struct kioas_file *file = call->file;
	struct kioas_space *space = NULL;
	struct kioas_object *object;

	xa_lock(&file->objects);
	object = kioas_object_find(file, id, KIOAS_OBJECT_SPACE);
	if (object) {
		space = container_of(object, struct kioas_space, object);
		refcount_inc(&space->refs);
	}
	xa_unlock(&file->objects);
	if (!space)
		return kioas_fail(call, -ENOENT, "ioasid", "%u is no address space of this file",
				  id);
	if (~space->kind->ops & ops) {
		kioas_space_put(space);
		return kioas_fail(call, -EINVAL, "ioasid", "kind %s does not have this operation",
				  space->kind->name);
	}
	*out = space;
	return 0;
}

void kioas_space_put(struct kioas_space *space)
{
	struct kioas_space *parent = space->parent;

	if (!refcount_dec_and_test(&space->refs))
		return;
	mutex_destroy(&space->lock);
	kfree(space);
	if (parent)
		kioas_space_put(parent);
}

static void kioas_space_lock_any(struct kioas_space *space)
{
	if (space->parent)
		mutex_lock(&space->parent->lock);
	mutex_lock_nested(&space->lock, space->parent ? SINGLE_DEPTH_NESTING : 0);
}

int kioas_space_lock(struct kioas_call *call, struct kioas_space *space)
{
	kioas_space_lock_any(space);
	if (!space->dead)
		return 0;
	kioas_space_unlock(space);
	return kioas_fail(call, -ENOENT, "ioasid", "%u was freed", space->object.id);
}

void kioas_space_unlock(struct kioas_space *space)
{
	mutex_unlock(&space->lock);
	if (space->parent)
		mutex_unlock(&space->parent->lock);
}

/* A domain that nobody is attached to any more is as narrow as before, and some drivers trust us. */
bool kioas_space_reaches(const struct kioas_space *space, u64 start, u64 last)
{
	struct kioas_link *link;

	if (space->domain && last > space->reach)
		return false;
	list_for_each_entry(link, &space->groups, entry)
		if (!kioas_group_reaches(link->group, start, last))
			return false;
	return true;
}

int kioas_space_check_range(struct kioas_call *call, struct kioas_space *space, u64 start, u64 last)
{
	if (kioas_space_reaches(space, start, last))
		return 0;
	return kioas_fail(call, -ERANGE, "iova", "devices cannot use all of 0x%llx to 0x%llx",
			  start, last);
}

/* Allocation */

#define KIOAS_DATA_MAX 64

static int kioas_alloc_data(struct kioas_call *call, const struct ioasid_alloc *command,
			    const struct kioas_kind_ops *kind, void *data)
{
	int ret;

	if (!kind->data_size && (command->data_len || command->data_uptr))
		return kioas_fail(call, -EINVAL, "data", "kind %s has no data", kind->name);
	if (!kind->data_size)
		return 0;
	if (command->data_len < kind->data_size)
		return kioas_fail(call, -EINVAL, "data_len", "%u bytes: at least %zu are needed",
				  command->data_len, kind->data_size);
	if (command->data_len > PAGE_SIZE)
		return kioas_fail(call, -E2BIG, "data_len", "%u bytes are more than a page",
				  command->data_len);
	ret = copy_struct_from_user(data, kind->data_size, u64_to_user_ptr(command->data_uptr),
				    command->data_len);
	if (ret == -E2BIG)
		return kioas_fail(call, ret, "data_len", "something behind byte %zu is not zero",
				  kind->data_size);
	return ret;
}

/* Under kioas_file.lock; not counted. */
static int kioas_alloc_parent(struct kioas_call *call, u32 id, const struct kioas_kind_ops *kind,
			      struct kioas_space **parent)
{
	struct kioas_object *object;
	struct kioas_space *space;

	*parent = NULL;
	if (!id)
		return kind->parents & 1 ? 0
					 : kioas_fail(call, -EINVAL, "parent_id",
						      "kind %s needs a parent", kind->name);
	object = kioas_object_find(call->file, id, KIOAS_OBJECT_SPACE);
	if (!object)
		return kioas_fail(call, -ENOENT, "parent_id", "%u is no address space of this file",
				  id);
	space = container_of(object, struct kioas_space, object);
	if (!(kind->parents & BIT(space->kind->kind)) || !(space->kind->ops & IOASID_OP_PARENT))
		return kioas_fail(call, -EINVAL, "parent_id",
				  "kind %s cannot be the parent of kind %s", space->kind->name,
				  kind->name);
	if (space->parent)
		return kioas_fail(call, -EOPNOTSUPP, "parent_id",
				  "%u has a parent itself: one level is built", id);
	*parent = space;
	return 0;
}

static struct kioas_space *kioas_space_new(struct kioas_file *file,
					   const struct kioas_kind_ops *kind,
					   struct kioas_space *parent)
{
	struct kioas_space *space = kzalloc(sizeof(*space), GFP_KERNEL_ACCOUNT);

	if (!space)
		return NULL;
	refcount_set(&space->refs, 1);
	space->kind = kind;
	space->file = file;
	space->table = space;
	space->parent = parent;
	if (parent)
		refcount_inc(&parent->refs);
	mutex_init(&space->lock);
	INIT_LIST_HEAD(&space->entry);
	INIT_LIST_HEAD(&space->children);
	INIT_LIST_HEAD(&space->sibling);
	INIT_LIST_HEAD(&space->groups);
	space->areas = RB_ROOT_CACHED;
	space->addresses = RB_ROOT_CACHED;
	return space;
}

static void kioas_space_list(struct kioas_space *space)
{
	list_add_tail(&space->entry, &space->file->spaces);
	if (!space->parent)
		return;
	mutex_lock(&space->parent->lock);
	list_add_tail(&space->sibling, &space->parent->children);
	mutex_unlock(&space->parent->lock);
}

void kioas_space_destroy(struct kioas_space *space)
{
	struct kioas_area *area;
	LIST_HEAD(areas);

	list_del(&space->entry);
	kioas_object_erase(space->file, &space->object);
	kioas_space_lock_any(space);
	space->dead = true;
	list_del(&space->sibling);
	if (space->kind->destroy)
		space->kind->destroy(space);
	for (area = kioas_area_first(space, 0, U64_MAX); area;
	     area = kioas_area_next(area, 0, U64_MAX))
		list_add_tail(&area->entry, &areas);
	kioas_areas_remove(space, &areas);
	if (space->domain)
		iommu_domain_free(space->domain);
	space->domain = NULL;
	kioas_space_unlock(space);
	kioas_areas_free(&areas);
	kioas_space_put(space);
}

/* The space is whole, but nobody can find it yet. */
static int kioas_space_finish(struct kioas_call *call, struct kioas_space *space,
			      struct kioas_bound *bound, struct ioasid_alloc *command)
{
	int ret;

	if (bound) {
		ret = kioas_space_make_domain(call, space, bound);
		if (ret)
			return ret;
	}
	command->out_ioasid = space->object.id;
	ret = kioas_answer(call, command);
	if (!ret)
		kioas_object_publish(call->file, &space->object);
	return ret;
}

static int kioas_space_setup(struct kioas_call *call, struct kioas_space *space, const void *data)
{
	int ret = kioas_object_init(call->file, &space->object, KIOAS_OBJECT_SPACE);

	if (ret)
		return ret;
	if (space->kind->create) {
		ret = space->kind->create(call, space, data);
		if (ret) {
			kioas_object_erase(call->file, &space->object);
			return ret;
		}
	}
	kioas_space_list(space);
	return 0;
}

static int kioas_alloc_locked(struct kioas_call *call, struct ioasid_alloc *command,
			      const struct kioas_kind_ops *kind, const void *data)
{
	struct kioas_space *parent, *space;
	struct kioas_bound *bound = NULL;
	int ret;

	ret = kioas_alloc_parent(call, command->parent_id, kind, &parent);
	if (!ret && command->dev_id)
		ret = kioas_bound_get(call, command->dev_id, &bound);
	if (ret)
		return ret;
	space = kioas_space_new(call->file, kind, parent);
	if (!space)
		return -ENOMEM;
	space->format = command->format;
	ret = kioas_space_setup(call, space, data);
	if (ret) {
		kioas_space_put(space);
		return ret;
	}
	ret = kioas_space_finish(call, space, bound, command);
	if (ret)
		kioas_space_destroy(space);
	return ret;
}

int kioas_alloc(struct kioas_call *call, void *arguments)
{
	u64 data[KIOAS_DATA_MAX / sizeof(u64)] = {};
	struct ioasid_alloc *command = arguments;
	const struct kioas_kind_ops *kind;
	int ret;

	ret = kioas_kind_find(call, command->kind, &kind);
	if (ret)
		return ret;
	if (command->flags)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", command->flags);
	if (command->format >= 64 || !(kind->formats & BIT_ULL(command->format)))
		return kioas_fail(call, -EOPNOTSUPP, "format", "%u is no format of kind %s",
				  command->format, kind->name);
	ret = kioas_alloc_data(call, command, kind, data);
	if (ret)
		return ret;
	mutex_lock(&call->file->lock);
	ret = kioas_alloc_locked(call, command, kind, data);
	mutex_unlock(&call->file->lock);
	return ret;
}

int kioas_free(struct kioas_call *call, void *data)
{
	struct ioasid_free *command = data;
	struct kioas_space *space;
	int ret;

	mutex_lock(&call->file->lock);
	ret = kioas_space_get(call, command->ioasid, 0, &space);
	if (ret)
		goto out_unlock;
	if (space->attached)
		ret = kioas_fail(call, -EBUSY, "ioasid", "devices are attached to space %u",
				 command->ioasid);
	else if (!list_empty(&space->children))
		ret = kioas_fail(call, -EBUSY, "ioasid", "space %u has children", command->ioasid);
	else
		kioas_space_destroy(space);
	kioas_space_put(space);
out_unlock:
	mutex_unlock(&call->file->lock);
	return ret;
}

/* The domain */

int kioas_space_make_domain(struct kioas_call *call, struct kioas_space *space,
			    struct kioas_bound *bound)
{
	struct kioas_space *table = space->table;
	struct kioas_group *group = bound->group;
	struct iommu_domain *domain;
	int ret = 0;

	if (table->domain)
		return 0;
	domain = kioas_iommu_domain_alloc(&bound->device->pdev->dev);
	if (IS_ERR(domain))
		return PTR_ERR(domain) == -ENOMEM
			       ? -ENOMEM
			       : kioas_fail(call, -EIO, "dev_id", "the IOMMU makes no table (%ld)",
					    PTR_ERR(domain));
	if (group->software_msi)
		ret = iommu_get_msi_cookie(domain, group->software_msi_base);
	else
		kioas_event_domain(domain, table);
	if (ret) {
		iommu_domain_free(domain);
		return kioas_fail(call, -EIO, "dev_id", "no place for interrupts (%d)", ret);
	}
	mutex_lock(&table->lock);
	table->domain = domain;
	table->reach = kioas_group_last(group);
	mutex_unlock(&table->lock);
	return 0;
}

static int kioas_space_check_areas(struct kioas_call *call, struct kioas_space *table,
				   struct kioas_group *group)
{
	struct kioas_area *area;

	for (area = kioas_area_first(table, 0, U64_MAX); area;
	     area = kioas_area_next(area, 0, U64_MAX))
		if (!kioas_group_reaches(group, area->start, area->last) ||
		    area->last > table->reach)
			return kioas_fail(call, -ERANGE, "dev_id",
					  "it cannot use all of what is mapped at 0x%llx to 0x%llx",
					  area->start, area->last);
	return 0;
}

static void kioas_space_empty(struct kioas_space *table, struct kioas_area *end)
{
	struct iommu_iotlb_gather gather;
	struct kioas_area *area;

	iommu_iotlb_gather_init(&gather);
	for (area = kioas_area_first(table, 0, U64_MAX); area != end;
	     area = kioas_area_next(area, 0, U64_MAX))
		kioas_area_clear(table, area, &gather);
	iommu_iotlb_sync(table->domain, &gather);
}

/* What was mapped before there was a table. */
static int kioas_space_fill(struct kioas_call *call, struct kioas_space *table)
{
	struct kioas_area *area;
	int ret;

	if (table->filled)
		return 0;
	for (area = kioas_area_first(table, 0, U64_MAX); area;
	     area = kioas_area_next(area, 0, U64_MAX)) {
		ret = kioas_area_fill(table, area);
		if (!ret)
			continue;
		kioas_space_empty(table, area);
		return kioas_fill_failed(call, ret, "ioasid");
	}
	table->filled = true;
	return 0;
}

static int kioas_table_attach(struct kioas_call *call, struct kioas_space *table,
			      struct kioas_group *group)
{
	int ret = iommu_attach_group(table->domain, group->iommu_group);

	switch (ret) {
	case 0:
		break;
	case -ENOMEM:
		return ret;
	case -EINVAL:
		return kioas_fail(call, -EXDEV, "ioasid",
				  "the device's IOMMU cannot use this table: allocate another");
	case -EBUSY:
		return kioas_fail(call, -EBUSY, "dev_id", "the device is being reset");
	default:
		return kioas_fail(call, -EIO, "dev_id", "the IOMMU does not attach it (%d)", ret);
	}
	ret = kioas_space_fill(call, table);
	if (!ret && table->kind->attach)
		ret = table->kind->attach(call, table, group);
	if (ret)
		iommu_detach_group(table->domain, group->iommu_group);
	else
		table->reach = min(table->reach, kioas_group_last(group));
	return ret;
}

/*
 * The kernel attaches only what stands on no other table: between the old and the new one the group
 * is blocked. On failure it goes back.
 */
static int kioas_table_move(struct kioas_call *call, struct kioas_space *old,
			    struct kioas_space *table, struct kioas_group *group)
{
	int ret, back;

	if (old)
		iommu_detach_group(old->domain, group->iommu_group);
	ret = kioas_table_attach(call, table, group);
	if (!ret || !old)
		return ret;
	back = iommu_attach_group(old->domain, group->iommu_group);
	if (back)
		return kioas_fail(call, -EIO, "dev_id", "neither table can be used (%d): blocked",
				  back);
	return ret;
}

int kioas_space_attach(struct kioas_call *call, struct kioas_space *space,
		       struct kioas_group *group)
{
	struct kioas_space *old = group->space, *old_table = old ? old->table : NULL;
	struct kioas_link *link = &group->links[group->link], *next;
	struct kioas_space *table = space->table;
	int ret = 0;

	if (table != old_table) {
		next = &group->links[!group->link];
		kioas_space_lock_any(table);
		ret = kioas_space_check_areas(call, table, group);
		if (!ret)
			ret = kioas_table_move(call, old_table, table, group);
		if (!ret)
			list_add_tail(&next->entry, &table->groups);
		kioas_space_unlock(table);
		if (ret)
			return ret;
		group->link = !group->link;
		if (old) {
			mutex_lock(&old_table->lock);
			list_del(&link->entry);
			mutex_unlock(&old_table->lock);
		}
	}
	if (old)
		old->attached--;
	space->attached++;
	group->space = space;
	return 0;
}

void kioas_space_detach(struct kioas_group *group)
{
	struct kioas_space *table = group->space->table;

	mutex_lock(&table->lock);
	iommu_detach_group(table->domain, group->iommu_group);
	list_del(&group->links[group->link].entry);
	mutex_unlock(&table->lock);
	group->space->attached--;
	group->space = NULL;
}

/* Looking up */

static int kioas_lookup_area(struct kioas_call *call, struct kioas_space *space,
			     struct ioasid_lookup *command)
{
	struct kioas_area *area = kioas_area_first(space, command->iova, command->iova);

	if (!area)
		return kioas_fail(call, -ENOENT, "iova", "nothing is mapped at 0x%llx",
				  command->iova);
	command->out_address = area->address + (command->iova - area->start);
	command->out_start = area->start;
	command->out_last = area->last;
	command->out_prot = area->prot;
	command->out_address_type = space->parent ? IOASID_ADDRESS_PARENT : IOASID_ADDRESS_PROCESS;
	return 0;
}

int kioas_lookup(struct kioas_call *call, void *data)
{
	struct ioasid_lookup *command = data;
	struct kioas_space *space;
	int ret;

	ret = kioas_space_get(call, command->ioasid, IOASID_OP_LOOKUP, &space);
	if (ret)
		return ret;
	ret = kioas_space_lock(call, space);
	if (!ret) {
		ret = space->kind->lookup ? space->kind->lookup(call, space, command)
					  : kioas_lookup_area(call, space, command);
		kioas_space_unlock(space);
	}
	kioas_space_put(space);
	return ret;
}

const struct kioas_kind_ops kioas_kernel_kind = {
	.name = "KERNEL",
	.kind = IOASID_KIND_KERNEL,
	.ops = IOASID_OP_MAP | IOASID_OP_LOOKUP | IOASID_OP_PARENT | IOASID_OP_ATTACH,
	.parents = 1 | BIT(IOASID_KIND_KERNEL) | BIT(IOASID_KIND_PASSTHROUGH),
	.formats = BIT(IOASID_FORMAT_NONE),
	.parent_filled = kioas_nest_parent_filled,
	.parent_cleared = kioas_nest_parent_cleared,
};
