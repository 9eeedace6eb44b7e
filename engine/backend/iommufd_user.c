/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * USER spaces of the iommufd backend: tables in our own memory, which an IOMMU walks through the
 * kernel's page table of the parent space. What makes of IOMMUs differ in is struct nested_ops's.
 *
 * The kernel's objects, each made when it is first needed and destroyed in the opposite order:
 *
 *   parent space   IOAS (iommufd.c) <- page table that can be nested on <- vIOMMU <- event queue
 *   device         vDevice on the vIOMMU: the name by which commands and events call the device
 *   USER space     nested page table on the vIOMMU: holds the address of our table
 *
 * Makes without a vIOMMU have neither event queue nor vDevices, and nested page tables are made and
 * invalidated on the parent's. What is a parent's is a struct iommufd_nest. There is one for each
 * parent, for the make and, where there is a vIOMMU, on the IOMMU of its first device; a device of
 * another IOMMU is refused.
 *
 * Mapping makes no call: IOMMUs that would cache an entry that is not present are refused. Why a
 * call of ours orders stores into tables before what it invalidates, without barriers of our own,
 * is written in each make's file.
 *
 * A device raises interrupts by writes through our table, in a range that be_caps.interrupts names,
 * where be_caps.maps_interrupts.
 *
 * Locking: objects are guarded by the context's lock; the pointer to a space's nest is read by
 * invalidations, which have no lock, and only ever set once.
 *
 * Source: Linux Documentation/userspace-api/iommufd.rst, drivers/iommu/iommufd/hw_pagetable.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "iommufd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES	 512 /* of one call; more, and the space goes as a whole */
#define ATTEMPTS 8

/*
 * Ranges of one call. An entry costs the IOMMU about as much as the walk that a lost translation
 * costs later, and a call in the kernel as much as some dozens of entries.
 */
#define CALL_RANGES 256

/* Requests. */

static int hwpt_alloc(struct iommufd_be *be, struct uapi_hwpt_alloc *alloc, uint32_t *id)
{
	alloc->size = sizeof(*alloc);
	if (ioctl(be->fd, UAPI_HWPT_ALLOC, alloc))
		return -errno;
	*id = alloc->out_hwpt_id;
	return 0;
}

/* *id: 0 if the make has none. */
static int viommu_alloc(struct iommufd_be *be, const struct nested_ops *ops, uint32_t dev_id,
			uint32_t hwpt_id, uint32_t *id)
{
	struct uapi_viommu_alloc alloc = {
		.size = sizeof(alloc),
		.type = ops->viommu_type,
		.dev_id = dev_id,
		.hwpt_id = hwpt_id,
	};

	*id = 0;
	if (!ops->viommu_type)
		return 0;
	if (ioctl(be->fd, UAPI_VIOMMU_ALLOC, &alloc))
		return -errno;
	*id = alloc.out_viommu_id;
	return 0;
}

/* Return: the make of the IOMMU of a device and what it tells, or NULL: none that is known. */
static const struct nested_ops *find_make(struct iommufd_be *be, struct iommufd_dev *dev)
{
	struct uapi_hw_info info = {
		.size = sizeof(info),
		.dev_id = dev->id,
		.data_len = sizeof(dev->info),
		.data_uptr = (uintptr_t)&dev->info,
	};

	memset(&dev->info, 0, sizeof(dev->info));
	if (ioctl(be->fd, UAPI_GET_HW_INFO, &info))
		return NULL;
	for (unsigned int i = 0; be->makes[i]; i++)
		if (be->makes[i]->info_type == info.out_data_type)
			return be->makes[i];
	return NULL;
}

/* Context, capabilities. */

void iommufd_user_init(struct iommufd_be *be)
{
	static const struct nested_ops *const makes[] = { &smmuv3_nested, &vtd_nested,
							  &amdvi_nested, NULL };

	iommufd_faults_init(&be->faults);
	be->parent_last = UINT64_MAX;
	be->makes = makes;
}

void iommufd_user_fini(struct iommufd_be *be)
{
	iommufd_faults_destroy(&be->faults);
}

void iommufd_user_caps(struct iommufd_be *be, struct be_caps *caps)
{
	uint32_t formats = UINT32_MAX;
	bool requests = true;

	caps->inval_flush_ranges = CALL_RANGES;
	caps->inval_call_ranges = CALL_RANGES;
	if (!be->vfio.devices)
		return;
	for (const struct vfio_dev *at = be->vfio.devices; at; at = at->next) {
		const struct iommufd_dev *dev = (const struct iommufd_dev *)at;

		formats &= dev->nested ? dev->traits.formats : 0;
		requests &= dev->nested && dev->traits.requests;
		caps->parent_writeable |= dev->nested && dev->traits.writeable;
		caps->maps_interrupts |= dev->nested && dev->nested->maps_interrupts;
	}
	if (!formats)
		return;
	caps->page_requests = requests;
	caps->kinds |= 1 << IOAS_KIND_USER;
	caps->user_formats = formats;
	caps->parent_last = be->parent_last;
	caps->interrupts = be->interrupts;
}

static const char *why_no_viommu(const struct nested_ops *ops, int code)
{
	switch (code) {
	case -EOPNOTSUPP:
		return ops->no_viommu;
	case -ENOTTY:
		return "the kernel has no vIOMMUs (Linux 6.13)";
	}
	return strerror(-code);
}

/* Return: NULL, or why not. */
static const char *try_nest(struct iommufd_be *be, struct iommufd_dev *dev, uint32_t ioas_id,
			    uint32_t *hwpt_id)
{
	struct uapi_hwpt_alloc alloc = {
		.flags = UAPI_HWPT_NEST_PARENT,
		.dev_id = dev->id,
		.pt_id = ioas_id,
	};
	const struct nested_ops *ops = find_make(be, dev);
	uint32_t viommu_id;
	const char *why;
	int ret;

	if (!ops)
		return "nested tables are implemented for Arm SMMUv3 and Intel VT-d only";
	why = ops->why_not(&dev->info, &dev->traits);
	if (why)
		return why;
	ret = hwpt_alloc(be, &alloc, hwpt_id);
	if (ret)
		return "the kernel's driver of its IOMMU does not nest";
	ret = viommu_alloc(be, ops, dev->id, *hwpt_id, &viommu_id);
	if (!ret) {
		if (viommu_id)
			iommufd_destroy(be, viommu_id);
		dev->nested = ops;
		return NULL;
	}
	iommufd_destroy(be, *hwpt_id);
	*hwpt_id = 0;
	return why_no_viommu(ops, ret);
}

void iommufd_user_probe(struct iommufd_be *be, struct iommufd_dev *dev, uint32_t ioas_id,
			uint32_t *hwpt_id)
{
	const char *why = try_nest(be, dev, ioas_id, hwpt_id);

	if (why)
		diag_log(be->vfio.base.diag, IOAS_LOG_INFO, "iommufd: %s: no USER spaces: %s",
			 dev->vfio.address, why);
}

/* Devices. */

/*
 * The range to which devices write to raise interrupts, the same for all of them. On Arm the kernel
 * chooses it, and maps what it needs there in the parent; VT-d does not translate these writes.
 */
static void find_interrupts(struct iommufd_be *be, const struct iommufd_dev *dev)
{
	char path[VFIO_PATH_BYTES], line[128], type[32];
	unsigned long long start, last;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/reserved_regions",
		 dev->vfio.group);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%llx %llx %31s", &start, &last, type) == 3 &&
		    !strcmp(type, "msi"))
			be->interrupts = (struct ioas_range){ start, last };
	fclose(file);
}

void iommufd_user_bind(struct iommufd_be *be, struct iommufd_dev *dev)
{
	struct vfio_dev *base = vfio_dev_neighbour(&dev->vfio, false);
	const struct iommufd_dev *neighbour = (const struct iommufd_dev *)base;

	if (neighbour) {
		dev->nested = neighbour->nested;
		dev->info = neighbour->info;
		dev->traits = neighbour->traits;
	}
	if (dev->nested)
		find_interrupts(be, dev);
	iommufd_faults_add_dev(&be->faults, dev);
}

static void vdevice_free(struct iommufd_be *be, struct iommufd_dev *dev)
{
	if (dev->nest)
		iommufd_destroy(be, dev->vdevice_id);
	dev->nest = NULL;
}

static int vdevice_alloc(struct iommufd_be *be, struct iommufd_dev *dev, struct iommufd_nest *nest)
{
	struct uapi_vdevice_alloc alloc = {
		.size = sizeof(alloc),
		.viommu_id = nest->viommu_id,
		.dev_id = dev->id,
		.virt_id = dev->virt_id,
	};

	if (ioctl(be->fd, UAPI_VDEVICE_ALLOC, &alloc))
		return -errno;
	dev->vdevice_id = alloc.out_vdevice_id;
	dev->nest = nest;
	return 0;
}

void iommufd_user_unbind(struct iommufd_be *be, struct iommufd_dev *dev)
{
	/* Behind the device's back its name could not be used again. */
	vdevice_free(be, dev);
	iommufd_faults_remove_dev(&be->faults, dev);
}

/* What a parent needs. */

static void nest_free(struct iommufd_nest *nest)
{
	if (nest->events_fd >= 0) {
		close(nest->events_fd);
		iommufd_destroy(nest->be, nest->veventq_id);
	}
	if (nest->viommu_id)
		iommufd_destroy(nest->be, nest->viommu_id);
	if (nest->hwpt_id)
		iommufd_destroy(nest->be, nest->hwpt_id);
	free(nest);
}

static int fail_parent(struct iommufd_dev *dev, int code)
{
	struct be *be = dev->vfio.base.be;

	if (code == -EADDRINUSE)
		return diag_fail(be->diag, -ERANGE,
				 "iommufd: %s: the parent maps IOVAs that a second stage does not "
				 "have: give it a lower aperture",
				 dev->vfio.address);
	if (code == -EINVAL && dev->traits.writeable)
		return diag_fail(be->diag, code,
				 "iommufd: %s: the parent has read-only mappings, which its IOMMU "
				 "does not allow under USER spaces (erratum 772415)",
				 dev->vfio.address);
	return diag_fail(be->diag, code,
			 "iommufd: %s: no page table for the parent: IOMMU_HWPT_ALLOC: %s",
			 dev->vfio.address, strerror(-code));
}

static int nest_fill(struct iommufd_nest *nest, uint32_t ioas_id, struct iommufd_dev *dev)
{
	struct iommufd_be *be = nest->be;
	struct uapi_hwpt_alloc alloc = {
		.flags = UAPI_HWPT_NEST_PARENT,
		.dev_id = dev->id,
		.pt_id = ioas_id,
	};
	int ret = hwpt_alloc(be, &alloc, &nest->hwpt_id);

	if (ret)
		return fail_parent(dev, ret);
	ret = viommu_alloc(be, nest->ops, dev->id, nest->hwpt_id, &nest->viommu_id);
	if (ret)
		return diag_fail(be->vfio.base.diag, ret, "iommufd: %s: no vIOMMU: %s",
				 dev->vfio.address, why_no_viommu(nest->ops, ret));
	return iommufd_nest_events(nest);
}

/* Return: 0 and the nest of @parent, for @dev if there was none. */
static int nest_get(struct iommufd_space *parent, struct iommufd_dev *dev,
		    struct iommufd_nest **out)
{
	struct iommufd_be *be = iommufd_to_be(parent->vfio.base.be);
	struct iommufd_nest *nest = parent->nest;
	int ret;

	*out = nest;
	if (nest && nest->ops == dev->nested)
		return 0;
	if (nest || !dev->nested)
		return diag_fail(be->vfio.base.diag, -EOPNOTSUPP,
				 "iommufd: %s: its IOMMU takes no USER spaces%s", dev->vfio.address,
				 nest ? " of this parent" : "");
	nest = calloc(1, sizeof(*nest));
	if (!nest)
		return diag_fail(be->vfio.base.diag, -ENOMEM, "iommufd: no memory");
	nest->be = be;
	nest->events_fd = -1;
	nest->ops = dev->nested;
	nest->info = dev->info;
	nest->traits = dev->traits;
	nest->used[0] = 1; /* 0 stands for none */
	ret = nest_fill(nest, parent->pt_id, dev);
	if (ret) {
		nest_free(nest);
		return ret;
	}
	iommufd_faults_add_nest(&be->faults, nest);
	parent->nest = nest;
	*out = nest;
	return 0;
}

void iommufd_nest_destroy(struct iommufd_space *parent)
{
	struct iommufd_be *be = iommufd_to_be(parent->vfio.base.be);
	struct iommufd_nest *nest = parent->nest;

	if (!nest)
		return;
	for (struct vfio_dev *at = be->vfio.devices; at; at = at->next) {
		struct iommufd_dev *dev = (struct iommufd_dev *)at;

		if (dev->nest == nest)
			vdevice_free(be, dev);
	}
	iommufd_faults_remove_nest(&be->faults, nest);
	nest_free(nest);
}

static int tag_alloc(struct iommufd_nest *nest, uint32_t *tag)
{
	*tag = 0;
	if (!nest->traits.tags)
		return 0;
	for (unsigned int i = 0; i < nest->traits.tags / 64; i++)
		if (~nest->used[i]) {
			unsigned int bit = __builtin_ctzll(~nest->used[i]);

			nest->used[i] |= UINT64_C(1) << bit;
			*tag = i * 64 + bit;
			return 0;
		}
	return diag_fail(nest->be->vfio.base.diag, -ENOSPC,
			 "iommufd: all %u address space numbers (ASIDs) of the parent are in use",
			 nest->traits.tags - 1);
}

static void tag_free(struct iommufd_nest *nest, uint32_t tag)
{
	if (tag)
		nest->used[tag / 64] &= ~(UINT64_C(1) << tag % 64);
}

/* Invalidation. */

/* An array of entries, of whatever make. */
struct entries {
	uint64_t bytes[ENTRIES * NESTED_ENTRY_BYTES / 8];
};

static int issue(const struct iommufd_space *space, const struct iommufd_nest *nest,
		 const void *entries, unsigned int count, unsigned int *crossings)
{
	for (int round = 0; round <= nest->traits.repeat; round++) {
		struct uapi_hwpt_invalidate request = {
			.size = sizeof(request),
			.hwpt_id = nest->viommu_id ? nest->viommu_id : space->pt_id,
			.data_uptr = (uintptr_t)entries,
			.data_type = nest->ops->inval_type,
			.entry_len = nest->ops->inval_bytes,
			.entry_num = count,
		};

		(*crossings)++;
		if (ioctl(nest->be->fd, UAPI_HWPT_INVALIDATE, &request))
			return -errno;
	}
	return 0;
}

/* Return: how many entries @ranges take, or 0: more than there is room for. */
static unsigned int pack(const struct iommufd_nest *nest, const struct nested_table *table,
			 struct entries *entries, const struct be_inval *ranges, unsigned int count)
{
	unsigned int total = 0;

	for (unsigned int i = 0; i < count; i++) {
		char *at = (char *)entries + total * nest->ops->inval_bytes;
		unsigned int some =
			nest->ops->inval(&nest->info, table, &ranges[i], at, ENTRIES - total);

		if (!some)
			return 0;
		total += some;
	}
	return total;
}

/*
 * When a call fails, nothing is known of its entries: entry_num counts those that were looked at,
 * of which the last block was not issued. So all is done again, by one entry that covers
 * everything: it needs the least of whatever the kernel was short of.
 */
static int flush(const struct iommufd_space *space, struct iommufd_nest *nest,
		 unsigned int attempts, unsigned int *crossings)
{
	uint64_t all[NESTED_ENTRY_BYTES / 8] = { 0 };
	int ret = -EIO;

	nest->ops->inval_all(&space->table, all);
	while (ret && attempts--)
		ret = issue(space, nest, all, 1, crossings);
	return ret ? diag_fail(nest->be->vfio.base.diag, ret, "iommufd: IOMMU_HWPT_INVALIDATE: %s",
			       strerror(-ret))
		   : 0;
}

int iommufd_user_invalidate(struct be_space *base, const struct be_inval *ranges,
			    unsigned int count, unsigned int *crossings)
{
	struct iommufd_space *space = (struct iommufd_space *)base;
	struct iommufd_nest *nest;
	struct entries entries;
	unsigned int packed;

	/*
	 * Either this sees the nest, or the device that attach() is about to let in sees the
	 * entries that were cleared: the other fence is in iommufd_user_prepare().
	 */
	atomic_thread_fence(memory_order_seq_cst);
	nest = atomic_load_explicit(&space->nest, memory_order_acquire);
	if (!nest)
		return 0;
	packed = pack(nest, &space->table, &entries, ranges, count);
	if (packed && !issue(space, nest, &entries, packed, crossings))
		return 0;
	return flush(space, nest, ATTEMPTS, crossings);
}

/* Address spaces. */

int iommufd_user_create(struct be *base, const struct be_space_attr *attr, struct be_space **out)
{
	struct iommufd_space *parent = (struct iommufd_space *)attr->parent;
	struct iommufd_space *space;

	if (!parent || parent->kind != IOAS_KIND_KERNEL || !attr->scratch)
		return diag_fail(base->diag, -EINVAL,
				 "iommufd: a USER space needs a KERNEL space as its parent");
	space = calloc(1, sizeof(*space));
	if (!space)
		return diag_fail(base->diag, -ENOMEM, "iommufd: no memory");
	space->vfio.base.be = base;
	space->kind = IOAS_KIND_USER;
	space->parent = parent;
	space->table = (struct nested_table){ .format = attr->format,
					      .root = attr->root,
					      .scratch = attr->scratch,
					      .scratch_addr = attr->scratch_addr };
	space->page_requests = attr->page_requests;
	vfio_maps_init(&space->vfio.maps, 0);
	*out = &space->vfio.base;
	return 0;
}

void iommufd_user_destroy(struct iommufd_space *space)
{
	struct iommufd_be *be = iommufd_to_be(space->vfio.base.be);
	struct iommufd_nest *nest = space->nest;
	unsigned int crossings = 0;

	if (space->pt_id)
		iommufd_destroy(be, space->pt_id);
	iommufd_iopf_free(space);
	/*
	 * The next owner of the tag must not find our translations; else it gets none. Where the
	 * kernel numbers spaces that is its own affair.
	 */
	if (space->table.tag && !flush(space, nest, ATTEMPTS, &crossings))
		tag_free(nest, space->table.tag);
	vfio_maps_destroy(&space->vfio.maps);
	free(space);
}

/* The space's own objects of the kernel. */
static int fill_space(struct iommufd_space *space, struct iommufd_nest *nest,
		      const struct iommufd_dev *dev)
{
	struct be *be = space->vfio.base.be;
	uint64_t data[NESTED_DATA_BYTES / 8] = { 0 };
	struct nested_table table = space->table;
	struct uapi_hwpt_alloc alloc = {
		.dev_id = dev->id,
		.pt_id = nest->viommu_id ? nest->viommu_id : nest->hwpt_id,
		.data_type = nest->ops->data_type,
		.data_len = nest->ops->data_bytes,
		.data_uptr = (uintptr_t)data,
	};
	int ret;

	if (!(nest->traits.formats & 1U << table.format))
		return diag_fail(be->diag, -EOPNOTSUPP,
				 "iommufd: %s: its IOMMU has no tables of this space's format",
				 dev->vfio.address);
	ret = iommufd_iopf_alloc(space);
	if (ret)
		return ret;
	if (space->page_requests) {
		alloc.flags = UAPI_HWPT_FAULT_ID_VALID;
		alloc.fault_id = iommufd_iopf_id(space);
	}
	ret = tag_alloc(nest, &table.tag);
	if (ret) {
		iommufd_iopf_free(space);
		return ret;
	}
	nest->ops->table(&nest->info, &table, data);
	ret = hwpt_alloc(iommufd_to_be(be), &alloc, &space->pt_id);
	if (ret) {
		tag_free(nest, table.tag);
		iommufd_iopf_free(space);
		return diag_fail(be->diag, ret,
				 "iommufd: no nested page table: IOMMU_HWPT_ALLOC: %s",
				 strerror(-ret));
	}
	space->table.tag = table.tag;
	atomic_store_explicit(&space->nest, nest, memory_order_release);
	return 0;
}

/* A device has one vDevice; it moves with the device from parent to parent. */
static int move_vdevice(struct iommufd_dev *dev, struct iommufd_nest *nest)
{
	struct iommufd_be *be = nest->be;
	struct iommufd_nest *old = dev->nest;
	int ret;

	if (old == nest || !nest->viommu_id)
		return 0;
	vdevice_free(be, dev);
	ret = vdevice_alloc(be, dev, nest);
	if (!ret)
		return 0;
	if (old)
		vdevice_alloc(be, dev, old);
	return diag_fail(be->vfio.base.diag, ret == -EINVAL ? -EOPNOTSUPP : ret,
			 ret == -EINVAL ? "iommufd: %s is behind another IOMMU than the first "
					  "device of this parent: give it a parent of its own"
					: "iommufd: %s: IOMMU_VDEVICE_ALLOC failed",
			 dev->vfio.address);
}

int iommufd_user_prepare(struct iommufd_space *space, struct iommufd_dev *dev)
{
	struct iommufd_nest *nest;
	int ret = nest_get(space->parent, dev, &nest);

	if (!ret)
		ret = move_vdevice(dev, nest);
	if (!ret && !space->pt_id)
		ret = fill_space(space, nest, dev);
	/* See iommufd_user_invalidate(). */
	atomic_thread_fence(memory_order_seq_cst);
	return ret;
}
