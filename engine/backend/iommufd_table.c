/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page tables of KERNEL spaces that record what those which the kernel makes by itself do not: dirty
 * pages. What they have to record is the space's; when that changes, its devices
 * move to tables made for the purpose, which map the same. The kernel replaces one table by another
 * without a gap.
 *
 * A table serves devices of one IOMMU, or of those that are alike: the kernel says (EINVAL) when a
 * device needs another, so a space has a list of them.
 *
 * Locking: the context's lock.
 *
 * Source: Linux Documentation/userspace-api/iommufd.rst, drivers/iommu/iommufd/hw_pagetable.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "iommufd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int set_dirty(struct iommufd_be *be, uint32_t hwpt_id)
{
	struct uapi_hwpt_set_dirty set = {
		.size = sizeof(set),
		.flags = UAPI_DIRTY_ENABLE,
		.hwpt_id = hwpt_id,
	};

	return ioctl(be->fd, UAPI_HWPT_SET_DIRTY, &set) ? -errno : 0;
}

static void table_free(struct iommufd_be *be, struct iommufd_table *table)
{
	if (table->hwpt_id)
		iommufd_destroy(be, table->hwpt_id);
	free(table);
}

static void tables_free(struct iommufd_be *be, struct iommufd_table *tables)
{
	while (tables) {
		struct iommufd_table *next = tables->next;

		table_free(be, tables);
		tables = next;
	}
}

/* One that records from the beginning. The kernel refuses what the IOMMU of @dev does not do. */
static int table_new(struct iommufd_space *space, struct iommufd_dev *dev,
		     struct iommufd_table **out)
{
	struct iommufd_be *be = iommufd_to_be(space->vfio.base.be);
	struct uapi_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.flags = space->features,
		.dev_id = dev->id,
		.pt_id = space->pt_id,
	};
	struct iommufd_table *table = calloc(1, sizeof(*table));
	int ret = 0;

	if (!table)
		return -ENOMEM;
	if (ioctl(be->fd, UAPI_HWPT_ALLOC, &alloc))
		/* Old kernels know no such request. */
		ret = errno == E2BIG || errno == ENOTTY ? -EOPNOTSUPP : -errno;
	else
		table->hwpt_id = alloc.out_hwpt_id;
	if (!ret && space->features & UAPI_HWPT_DIRTY_TRACKING)
		ret = set_dirty(be, table->hwpt_id);
	if (ret) {
		table_free(be, table);
		return ret;
	}
	*out = table;
	return 0;
}

int iommufd_table_attach(struct iommufd_space *space, struct iommufd_dev *dev)
{
	struct iommufd_table *table;
	int ret;

	if (!space->features)
		return iommufd_move_device(dev, space->pt_id);
	for (table = space->tables; table; table = table->next) {
		ret = iommufd_move_device(dev, table->hwpt_id);
		if (ret != -EINVAL)
			return ret;
	}
	ret = table_new(space, dev, &table);
	if (ret)
		return ret;
	ret = iommufd_move_device(dev, table->hwpt_id);
	if (ret) {
		/*
		 * VT-d's driver has blocked the device by then (Linux 7.3), while iommufd takes it
		 * for attached as before, and would do nothing to bring it back there.
		 */
		if (dev->vfio.space)
			iommufd_drop_device(dev);
		table_free(iommufd_to_be(space->vfio.base.be), table);
		return ret;
	}
	table->next = space->tables;
	space->tables = table;
	return 0;
}

/* Return: 0, or the error of a device and @failed is it. */
static int move_all(struct iommufd_space *space, struct iommufd_dev **failed)
{
	struct vfio_dev *dev = vfio_to_be(space->vfio.base.be)->devices;
	int ret = 0;

	for (; dev && !ret; dev = dev->next)
		if (dev->space == &space->vfio) {
			*failed = (struct iommufd_dev *)dev;
			ret = iommufd_table_attach(space, *failed);
		}
	return ret;
}

static int fail(struct iommufd_dev *dev, int code)
{
	struct be *be = dev->vfio.base.be;

	if (code == -EOPNOTSUPP || code == -EINVAL)
		return diag_fail(be->diag, -EOPNOTSUPP,
				 "iommufd: %s: the kernel or its IOMMU does not record dirty pages",
				 dev->vfio.address);
	return diag_fail(be->diag, code, "iommufd: %s: cannot record dirty pages: %s",
			 dev->vfio.address, strerror(-code));
}

int iommufd_table_set(struct iommufd_space *space, uint32_t feature, bool on)
{
	struct be *be = space->vfio.base.be;
	struct iommufd_table *old = space->tables;
	const uint32_t old_features = space->features;
	struct iommufd_dev *failed = NULL, *stuck = NULL;
	struct iommufd_table *made, **end;
	int ret, back;

	space->features = on ? old_features | feature : old_features & ~feature;
	if (space->features == old_features)
		return 0;
	space->tables = NULL;
	ret = move_all(space, &failed);
	if (!ret) {
		tables_free(iommufd_to_be(be), old);
		return 0;
	}
	made = space->tables;
	space->features = old_features;
	space->tables = old;
	back = move_all(space, &stuck);
	if (!back) {
		tables_free(iommufd_to_be(be), made);
		return fail(failed, ret);
	}
	/* Devices that do not go back keep their new table, which maps the same. */
	for (end = &space->tables; *end; end = &(*end)->next)
		;
	*end = made;
	diag_log(be->diag, IOAS_LOG_ERROR, "iommufd: %s keeps a page table that it should not: %s",
		 stuck->vfio.address, strerror(-back));
	return fail(failed, ret);
}

void iommufd_table_destroy(struct iommufd_space *space)
{
	tables_free(iommufd_to_be(space->vfio.base.be), space->tables);
	space->tables = NULL;
}

/* Dirty pages. */

static int dirty_set(struct be_space *base, bool on)
{
	return iommufd_table_set((struct iommufd_space *)base, UAPI_HWPT_DIRTY_TRACKING, on);
}

static int dirty_read(struct be_space *base, const struct be_dirty *range)
{
	struct iommufd_space *space = (struct iommufd_space *)base;
	struct iommufd_be *be = iommufd_to_be(base->be);

	/* The kernel sets bits and clears none, so those of several tables add up. */
	for (struct iommufd_table *table = space->tables; table; table = table->next) {
		struct uapi_hwpt_get_dirty get = {
			.size = sizeof(get),
			.hwpt_id = table->hwpt_id,
			.flags = range->keep ? UAPI_DIRTY_NO_CLEAR : 0,
			.iova = range->iova,
			.length = range->bytes,
			.page_size = range->page_bytes,
			.data = (uintptr_t)range->bitmap,
		};

		if (ioctl(be->fd, UAPI_HWPT_GET_DIRTY, &get))
			return iommufd_fail(base->be, "IOMMU_HWPT_GET_DIRTY_BITMAP");
	}
	return 0;
}

const struct be_dirty_ops iommufd_dirty_ops = {
	.set = dirty_set,
	.read = dirty_read,
};
