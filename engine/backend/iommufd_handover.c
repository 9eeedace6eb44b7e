/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another process goes on with devices, address spaces and memory. All of these live in the kernel
 * for as long as somebody has /dev/iommu and the devices open; numbers name them, and devices do
 * DMA meanwhile. What the kernel keeps of the process that mapped memory is who pays for the pins:
 * IOMMU_IOAS_CHANGE_PROCESS moves that, if all memory was mapped by its file.
 *
 *   context   /dev/iommu; [0] the IOAS of registered memory, [1] the option huge_pages
 *   space     [0] its IOAS
 *   device    its file, which is bound; [0] its number
 *   memory    [0] where it is in the IOAS of registered memory
 *
 * Source: Linux drivers/iommu/iommufd/ioas.c.
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

static void save(struct be *base, struct be_saved *saved)
{
	const struct iommufd_be *be = iommufd_to_be(base);

	*saved = (struct be_saved){ .fd = be->fd, .value = { be->memory_id, be->huge_pages } };
}

static void save_space(struct be_space *base, struct be_saved *saved)
{
	const struct iommufd_space *space = (const struct iommufd_space *)base;

	*saved = (struct be_saved){ .fd = -1, .value = { space->pt_id } };
}

static void save_dev(struct be_dev *base, struct be_saved *saved)
{
	const struct iommufd_dev *dev = (const struct iommufd_dev *)base;

	*saved = (struct be_saved){ .fd = dev->vfio.fd, .value = { dev->id } };
}

static void save_mem(struct be_mem *base, struct be_saved *saved)
{
	const struct vfio_memory *mem = (const struct vfio_memory *)base;

	*saved = (struct be_saved){ .fd = -1, .value = { mem->original } };
}

/* Whose pins are they? On failure those of the other process, as before. */
static int take_pins(struct iommufd_be *be)
{
	struct uapi_ioas_change_process request = { .size = sizeof(request) };
	struct diag *diag = be->vfio.base.diag;

	if (!ioctl(be->fd, UAPI_IOAS_CHANGE_PROCESS, &request))
		return 0;
	switch (errno) {
	case ENOTTY:
		return diag_fail(diag, -EOPNOTSUPP,
				 "iommufd: the kernel hands no pins over "
				 "(IOMMU_IOAS_CHANGE_PROCESS, Linux 6.14)");
	case ENOMEM:
		return diag_fail(diag, -ENOMEM,
				 "iommufd: RLIMIT_MEMLOCK has no room for what is pinned: while "
				 "it changes hands it counts twice: `ulimit -l`");
	case EINVAL:
		return diag_fail(diag, -EOPNOTSUPP,
				 "iommufd: some memory is not mapped by its file (Linux 6.13)");
	}
	return iommufd_fail(&be->vfio.base, "IOMMU_IOAS_CHANGE_PROCESS");
}

static int restore(struct diag *diag, const struct be_saved *saved, struct be **out)
{
	struct iommufd_be *be;
	int ret = iommufd_new_be(diag, &be);

	if (ret)
		return ret;
	be->fd = vfio_dup(&be->vfio.base, saved->fd);
	ret = be->fd < 0 ? be->fd : take_pins(be);
	if (ret) {
		iommufd_close(&be->vfio.base);
		return ret;
	}
	be->memory_id = saved->value[0];
	be->huge_pages = saved->value[1];
	*out = &be->vfio.base;
	return 0;
}

static int adopt(struct iommufd_be *be, struct iommufd_dev *dev, const struct be_saved *saved,
		 struct iommufd_space *space)
{
	int fd = vfio_dup(&be->vfio.base, saved->fd);
	int ret;

	if (fd < 0)
		return fd;
	dev->id = saved->value[0];
	ret = vfio_dev_opened(&dev->vfio, fd);
	if (ret)
		return ret;
	if (space)
		ret = iommufd_ask_attached(be, dev, space->pt_id);
	else if (!vfio_dev_neighbour(&dev->vfio, false))
		ret = iommufd_ask_device(be, dev);
	dev->vfio.space = space ? &space->vfio : NULL;
	if (ret)
		close(fd);
	return ret;
}

static int restore_dev(struct be *base, const char *name, const struct be_saved *saved,
		       struct be_space *space, struct be_dev **out)
{
	struct iommufd_dev *dev = calloc(1, sizeof(*dev));
	char address[2 * VFIO_ADDRESS_BYTES];
	int ret;

	if (!dev)
		return diag_fail(base->diag, -ENOMEM, "iommufd: no memory");
	/* "@7" behind it was another process's file. */
	snprintf(address, sizeof(address), "%.*s", (int)strcspn(name, "@"), name);
	ret = vfio_dev_init(&dev->vfio, base, address);
	ret = ret ?: adopt(iommufd_to_be(base), dev, saved, (struct iommufd_space *)space);
	return iommufd_dev_enter(dev, ret, out);
}

static int restore_map(struct be_space *base, const struct be_map *map)
{
	struct vfio_space *space = (struct vfio_space *)base;
	struct vfio_map *entry;
	int ret = vfio_maps_begin_map(base->be, &space->maps, map, &entry);

	if (!ret)
		vfio_maps_end_map(&space->maps, entry, true);
	return ret;
}

static void abandon(struct be *base)
{
	struct iommufd_be *be = iommufd_to_be(base);

	for (struct vfio_dev *dev = be->vfio.devices; dev; dev = dev->next) {
		close(dev->fd);
		dev->fd = -1;
	}
	close(be->fd);
	be->fd = -1;
}

const struct be_handover_ops iommufd_handover_ops = {
	.save = save,
	.save_space = save_space,
	.save_dev = save_dev,
	.save_mem = save_mem,
	.restore = restore,
	.restore_dev = restore_dev,
	.restore_map = restore_map,
	.abandon = abandon,
};
