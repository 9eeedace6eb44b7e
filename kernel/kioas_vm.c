// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kind VM: the memory of a virtual machine at the guest's addresses, in the process that runs it. A
 * mirror with a window for each slot: of a KVM machine, or as the caller maps them.
 */
#include "kioas_mirror.h"

static int kioas_vm_create(struct kioas_call *call, struct kioas_space *space,
			   const void *arguments)
{
	const struct ioasid_alloc_vm *data = arguments;
	struct kioas_mirror *mirror;
	int ret = 0;

	if (data->flags)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", data->flags);
	if (data->vm_fd < -1)
		return kioas_fail(call, -EINVAL, "vm_fd", "%d is no file", data->vm_fd);
	mirror = kioas_mirror_new(space);
	if (!mirror)
		return -ENOMEM;
	if (data->vm_fd >= 0)
		ret = kioas_kvm_open(call, mirror, data->vm_fd);
	if (ret)
		kioas_mirror_free(mirror);
	else
		space->private = mirror;
	return ret;
}

static void kioas_vm_destroy(struct kioas_space *space)
{
	struct kioas_mirror *mirror = space->private;

	if (mirror->kvm)
		kioas_kvm_close(mirror->kvm);
	kioas_mirror_free(mirror);
	space->private = NULL;
}

static int kioas_vm_attach(struct kioas_call *call, struct kioas_space *space,
			   struct kioas_group *group)
{
	struct kioas_mirror *mirror = space->private;
	int ret = 0;

	mutex_lock(&mirror->lock);
	kioas_mirror_enter(mirror, group);
	if (mirror->kvm)
		ret = kioas_kvm_scan(call, mirror->kvm, group);
	if (!ret)
		ret = kioas_mirror_sync(call, mirror, group, 0, U64_MAX);
	mutex_unlock(&mirror->lock);
	return ret;
}

static int kioas_vm_prepare(struct kioas_call *call, struct kioas_space *space)
{
	struct kioas_mirror *mirror = space->private;

	return mirror->kvm ? kioas_kvm_scan(call, mirror->kvm, NULL) : 0;
}

static int kioas_vm_invalidate(struct kioas_call *call, struct kioas_space *space,
			       const struct ioasid_inval_entry *entries, u32 count)
{
	return kioas_mirror_invalidate(call, space, entries, count, kioas_vm_prepare);
}

/* Slots that the caller names. */

static int kioas_vm_may_map(struct kioas_call *call, struct kioas_space *space,
			    const struct kioas_area *area)
{
	struct kioas_mirror *mirror = space->private;

	if (mirror->kvm)
		return kioas_fail(call, -EINVAL, "ioasid", "the slots of space %u are KVM's",
				  space->object.id);
	if (mirror->mm != current->mm)
		return kioas_fail(call, -EINVAL, "ioasid",
				  "space %u shows another process's memory", space->object.id);
	if (area->address >= current->mm->task_size ||
	    area->last - area->start >= current->mm->task_size - area->address)
		return kioas_fail(call, -EFAULT, "address", "0x%llx is none of the process",
				  area->address);
	return 0;
}

static int kioas_vm_area_fill(struct kioas_space *space, struct kioas_area *area)
{
	struct kioas_mirror *mirror = space->private;
	int ret;

	mutex_lock(&mirror->lock);
	mirror->domain = space->domain;
	ret = kioas_window_add(mirror, area->start, area->last, area->address, area->prot);
	if (!ret) {
		ret = kioas_mirror_fill(mirror, NULL, area->start, area->last);
		if (ret)
			kioas_window_remove(kioas_window_first(mirror, area->start, area->last));
	}
	mutex_unlock(&mirror->lock);
	return ret;
}

static void kioas_vm_area_clear(struct kioas_space *space, struct kioas_area *area)
{
	struct kioas_mirror *mirror = space->private;
	struct kioas_window *window;

	/* Those of a space that is destroyed have gone with its mirror. */
	if (!mirror)
		return;
	mutex_lock(&mirror->lock);
	window = kioas_window_first(mirror, area->start, area->last);
	if (window)
		kioas_window_remove(window);
	mutex_unlock(&mirror->lock);
}

const struct kioas_kind_ops kioas_vm_kind = {
	.name = "VM",
	.kind = IOASID_KIND_VM,
	.ops = IOASID_OP_MAP | IOASID_OP_LOOKUP | IOASID_OP_INVALIDATE | IOASID_OP_ATTACH,
	.parents = 1,
	.formats = BIT(IOASID_FORMAT_NONE),
	.data_size = sizeof(struct ioasid_alloc_vm),
	.create = kioas_vm_create,
	.destroy = kioas_vm_destroy,
	.invalidate = kioas_vm_invalidate,
	.lookup = kioas_mirror_lookup,
	.attach = kioas_vm_attach,
	.may_map = kioas_vm_may_map,
	.area_fill = kioas_vm_area_fill,
	.area_clear = kioas_vm_area_clear,
};
