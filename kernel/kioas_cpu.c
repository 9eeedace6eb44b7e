// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kind CPU: the memory of the calling process as an I/O address space, IOVA = its address; David
 * Gibson's "giant MAP" of June 2021. One window of a mirror.
 *
 * The kernel's own sharing of page tables, iommu_sva_bind_device(), is not used. It gives a PASID
 * of the device to the process, and wants a device that has PASIDs and whose page requests the
 * IOMMU serves. For one without it returns EOPNOTSUPP (6.1) or ENOSPC (7.3: max_pasids is 0, see
 * iommu_alloc_mm_data()); both were seen with edu. Devices cannot be attached with a PASID here.
 */
#include <linux/sched.h>

#include "kioas_mirror.h"

static int kioas_cpu_check(struct kioas_call *call, const struct ioasid_alloc_cpu *data)
{
	const u32 rights = IOASID_PROT_READ | IOASID_PROT_WRITE;

	if (data->flags)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", data->flags);
	if (!data->prot || data->prot & ~rights)
		return kioas_fail(call, -EINVAL, "prot", "0x%x", data->prot);
	if (!data->start && !data->last)
		return 0;
	if (!PAGE_ALIGNED(data->start))
		return kioas_fail(call, -EINVAL, "start", "0x%llx is no multiple of the page size",
				  data->start);
	if (data->last < data->start || !PAGE_ALIGNED(data->last + 1) ||
	    data->last >= current->mm->task_size)
		return kioas_fail(call, -EINVAL, "last",
				  "0x%llx is no last byte of a page of the process behind start",
				  data->last);
	return 0;
}

static int kioas_cpu_create(struct kioas_call *call, struct kioas_space *space,
			    const void *arguments)
{
	const struct ioasid_alloc_cpu *data = arguments;
	const u64 last = data->last ?: current->mm->task_size - 1;
	struct kioas_mirror *mirror;
	int ret = kioas_cpu_check(call, data);

	if (ret)
		return ret;
	mirror = kioas_mirror_new(space);
	if (!mirror)
		return -ENOMEM;
	ret = kioas_window_add(mirror, data->start, last, data->start, data->prot);
	if (ret)
		kioas_mirror_free(mirror);
	else
		space->private = mirror;
	return ret;
}

static void kioas_cpu_destroy(struct kioas_space *space)
{
	kioas_mirror_free(space->private);
	space->private = NULL;
}

/* A window of all of the process is what its addresses and the devices' have in common. */
static int kioas_cpu_attach(struct kioas_call *call, struct kioas_space *space,
			    struct kioas_group *group)
{
	struct kioas_mirror *mirror = space->private;
	const struct kioas_window *window = kioas_window_first(mirror, 0, U64_MAX);
	const bool whole = !window->start && window->last == mirror->mm->task_size - 1;
	int ret;

	if (!whole && !kioas_group_reaches(group, window->start, window->last))
		return kioas_fail(call, -ERANGE, "dev_id", "it cannot use all of 0x%llx to 0x%llx",
				  window->start, window->last);
	mutex_lock(&mirror->lock);
	kioas_mirror_enter(mirror, group);
	ret = kioas_mirror_sync(call, mirror, group, 0, U64_MAX);
	mutex_unlock(&mirror->lock);
	return ret;
}

static int kioas_cpu_invalidate(struct kioas_call *call, struct kioas_space *space,
				const struct ioasid_inval_entry *entries, u32 count)
{
	return kioas_mirror_invalidate(call, space, entries, count, NULL);
}

const struct kioas_kind_ops kioas_cpu_kind = {
	.name = "CPU",
	.kind = IOASID_KIND_CPU,
	.ops = IOASID_OP_LOOKUP | IOASID_OP_INVALIDATE | IOASID_OP_ATTACH,
	.parents = 1,
	.formats = BIT(IOASID_FORMAT_NONE),
	.data_size = sizeof(struct ioasid_alloc_cpu),
	.create = kioas_cpu_create,
	.destroy = kioas_cpu_destroy,
	.invalidate = kioas_cpu_invalidate,
	.lookup = kioas_mirror_lookup,
	.attach = kioas_cpu_attach,
};
