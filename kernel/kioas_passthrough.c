// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kind PASSTHROUGH: IOVA is the parent's address.
 *
 * With a parent it has no table of its own: devices use the parent's. Without one it shows all
 * memory that is registered with the file, at its address in the process: the identity root of RFC
 * v2. It never gives a device memory that was not registered; the IOMMU's own identity domain is
 * not used.
 */
#include "kioas.h"

static int kioas_passthrough_registered(struct kioas_call *call, struct kioas_space *space,
					struct kioas_memory *memory)
{
	struct kioas_area *area = kioas_area_alloc(memory->va, (u64)memory->pages << PAGE_SHIFT,
						   memory->va, memory->prot, memory);
	LIST_HEAD(areas);
	int ret;

	if (!area)
		return -ENOMEM;
	refcount_inc(&memory->refs);
	list_add(&area->entry, &areas);
	mutex_lock(&space->lock);
	ret = kioas_areas_add(call, space, &areas);
	mutex_unlock(&space->lock);
	kioas_areas_free(&areas);
	return ret;
}

static void kioas_passthrough_unregistered(struct kioas_space *space, struct kioas_memory *memory)
{
	struct kioas_area *area;
	LIST_HEAD(areas);

	mutex_lock(&space->lock);
	area = kioas_area_first(space, memory->va, memory->va);
	if (area && area->memory == memory) {
		list_add(&area->entry, &areas);
		kioas_areas_remove(space, &areas);
	}
	mutex_unlock(&space->lock);
	kioas_areas_free(&areas);
}

static int kioas_passthrough_create(struct kioas_call *call, struct kioas_space *space,
				    const void *data)
{
	struct kioas_file *file = call->file;
	struct kioas_memory *memory;
	struct rb_node *node;
	int ret = 0;

	if (space->parent) {
		space->table = space->parent;
		return 0;
	}
	down_read(&file->memory_lock);
	for (node = rb_first(&file->memory); node && !ret; node = rb_next(node)) {
		memory = rb_entry(node, struct kioas_memory, node);
		ret = kioas_passthrough_registered(call, space, memory);
	}
	for (node = rb_first(&file->memory); node && ret; node = rb_next(node))
		kioas_passthrough_unregistered(space, rb_entry(node, struct kioas_memory, node));
	up_read(&file->memory_lock);
	return ret;
}

static int kioas_passthrough_lookup(struct kioas_call *call, struct kioas_space *space,
				    struct ioasid_lookup *command)
{
	struct kioas_area *area = kioas_area_first(space->table, command->iova, command->iova);

	if (!area)
		return kioas_fail(call, -ENOENT, "iova", "nothing is mapped at 0x%llx",
				  command->iova);
	command->out_address = command->iova;
	command->out_start = area->start;
	command->out_last = area->last;
	command->out_prot = area->prot;
	command->out_address_type = space->parent ? IOASID_ADDRESS_PARENT : IOASID_ADDRESS_PROCESS;
	return 0;
}

const struct kioas_kind_ops kioas_passthrough_kind = {
	.name = "PASSTHROUGH",
	.kind = IOASID_KIND_PASSTHROUGH,
	.ops = IOASID_OP_LOOKUP | IOASID_OP_PARENT | IOASID_OP_ATTACH | IOASID_OP_REGISTERED,
	.parents = 1 | BIT(IOASID_KIND_KERNEL),
	.formats = BIT(IOASID_FORMAT_NONE),
	.create = kioas_passthrough_create,
	.lookup = kioas_passthrough_lookup,
	.registered = kioas_passthrough_registered,
	.unregistered = kioas_passthrough_unregistered,
};
