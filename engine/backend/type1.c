/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backend "type1": VFIO containers and groups, the interface that every kernel since 3.6 has.
 *
 * A container is one address space, so each KERNEL space has one of its own. What the kernel does
 * with them shapes this file:
 *  - A container without a group has no IOMMU: it can neither map nor say what it allows. When
 *    its last group leaves, all its mappings are gone. So the space keeps its mappings
 *    (vfio_maps), and makes them anew when a group joins an empty container.
 *  - A group moves between containers as a whole, and only while no file of its devices is open
 *    or mapped. So a device's file is opened by attach and closed by detach, and a device cannot
 *    leave while its BARs are mapped.
 *  - A group that is in no container belongs to nobody: its devices, closed, do not master the
 *    bus.
 *  - A mapping is never split. UNMAP takes every mapping inside its range, but the caller of
 *    unmap() named one.
 *  - A container holds dma_entry_limit mappings, 65535 unless the administrator said otherwise.
 *
 * Locking: groups, devices and attachment are guarded by the context's lock. @lock of a space is
 * held by map and unmap as readers, and by what gives the container its IOMMU or takes it away.
 *
 * Source: Linux Documentation/driver-api/vfio.rst, include/uapi/linux/vfio.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vfio.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct type1_space {
	struct vfio_space vfio;
	int container;
	pthread_rwlock_t lock;
	bool live; /* the container has an IOMMU: mappings are the kernel's, too */
	unsigned int groups;
};

struct type1_group {
	unsigned int number;
	int fd;
	unsigned int bound;
	unsigned int attached;
	struct type1_space *space; /* whose container it is in */
	struct type1_group *next;
};

struct type1_dev {
	struct vfio_dev vfio;
	struct type1_group *group;
};

struct type1_be {
	struct vfio_be vfio;
	uint64_t max_maps;
	struct type1_group *groups;
};

static struct type1_be *to_be(struct be *be)
{
	return (struct type1_be *)be;
}

/* Context. */

static int type1_probe(char *why, size_t why_bytes)
{
	int fd = vfio_probe_open(VFIO_CONTAINER, "vfio", why, why_bytes);
	int ret;

	if (fd < 0)
		return fd;
	ret = ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1 ? 0 : -ENODEV;
	close(fd);
	if (ret) {
		snprintf(why, why_bytes,
			 VFIO_CONTAINER " offers no type1 IOMMU: `modprobe "
					"vfio_iommu_type1`");
		return ret;
	}
	/* Groups are numbers; the container itself is not. */
	ret = vfio_probe_devices("/dev/vfio", VFIO_DIGITS, VFIO_PCI, why, why_bytes);
	if (!ret)
		snprintf(why, why_bytes, "VFIO container " VFIO_CONTAINER " with type1 IOMMU");
	return ret;
}

static void type1_close(struct be *base)
{
	vfio_be_destroy(vfio_to_be(base));
	free(to_be(base));
}

static int type1_open(struct diag *diag, const char *options, struct be **out)
{
	struct type1_be *be;
	int fd;

	if (options && *options)
		return diag_fail(diag, -EINVAL, "type1: unknown option \"%.64s\": there are none",
				 options);
	be = calloc(1, sizeof(*be));
	if (!be)
		return diag_fail(diag, -ENOMEM, "type1: no memory");
	vfio_be_init(&be->vfio, &type1_be_ops, diag);
	be->max_maps = vfio_container_entry_limit();
	fd = vfio_container_open(&be->vfio.base);
	if (fd < 0) {
		type1_close(&be->vfio.base);
		return fd;
	}
	close(fd);
	*out = &be->vfio.base;
	return 0;
}

static void type1_caps(struct be *base, struct be_caps *caps)
{
	memset(caps, 0, sizeof(*caps));
	caps->kinds = 1 << IOAS_KIND_KERNEL;
	caps->max_maps = to_be(base)->max_maps;
	caps->map_spans = true;
	vfio_limits_caps(&vfio_to_be(base)->limits, caps);
}

/* Groups in containers. */

static int fail_join(struct be *be, struct type1_group *group, int code)
{
	switch (code) {
	case -EPERM:
		return diag_fail(
			be->diag, code,
			"type1: group %u: the IOMMU does not isolate interrupts; to accept that: "
			"`echo 1 >/sys/module/vfio_iommu_type1/parameters/"
			"allow_unsafe_interrupts`",
			group->number);
	case -EINVAL:
		return diag_fail(be->diag, -ERANGE,
				 "type1: group %u: mappings of this address space lie where its "
				 "devices allow none: bind devices before address spaces are made",
				 group->number);
	case -EBUSY:
		code = vfio_fail_neighbour(be, group->number);
		if (code)
			return code;
		return diag_fail(be->diag, -EBUSY,
				 "type1: group %u is in use by the kernel or another program: "
				 "`fuser -v /dev/vfio/%u /dev/vfio/devices/*`",
				 group->number, group->number);
	}
	return diag_fail(be->diag, code, "type1: group %u cannot join a container: %s",
			 group->number, strerror(-code));
}

static void leave(struct type1_group *group)
{
	ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER);
}

/* Puts a group into a container, and gives that its IOMMU if it has none. */
static int join(struct be *be, struct type1_group *group, int container, bool live)
{
	if (ioctl(group->fd, VFIO_GROUP_SET_CONTAINER, &container))
		return fail_join(be, group, -errno);
	if (!live && ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		int code = -errno;

		leave(group);
		return fail_join(be, group, code);
	}
	return 0;
}

/* What the devices of a group allow: asked in a container for the purpose. */
static int ask_group(struct be *be, struct type1_group *group, struct vfio_container_info *info)
{
	int container = vfio_container_open(be);
	int ret;

	if (container < 0)
		return container;
	ret = join(be, group, container, false);
	if (!ret) {
		ret = vfio_container_info(be, container, info);
		leave(group);
	}
	close(container);
	return ret;
}

static int check_viable(struct be *be, struct type1_group *group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	if (ioctl(group->fd, VFIO_GROUP_GET_STATUS, &status))
		return diag_fail(be->diag, -errno, "type1: VFIO_GROUP_GET_STATUS of group %u: %s",
				 group->number, strerror(errno));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		int ret = vfio_fail_neighbour(be, group->number);

		return ret ? ret
			   : diag_fail(be->diag, -EBUSY,
				       "type1: group %u is not viable: see the drivers in "
				       "/sys/kernel/iommu_groups/%u/devices",
				       group->number, group->number);
	}
	if (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET)
		return diag_fail(be->diag, -EBUSY, "type1: group %u is in a container already",
				 group->number);
	return 0;
}

static void group_put(struct type1_be *be, struct type1_group *group)
{
	struct type1_group **link = &be->groups;

	if (--group->bound)
		return;
	while (*link != group)
		link = &(*link)->next;
	*link = group->next;
	close(group->fd);
	free(group);
}

static int group_open(struct type1_be *be, const struct vfio_dev *dev, struct type1_group **out)
{
	struct type1_group *group = calloc(1, sizeof(*group));
	char path[VFIO_PATH_BYTES];
	struct vfio_container_info info;
	int ret;

	if (!group)
		return diag_fail(be->vfio.base.diag, -ENOMEM, "type1: no memory");
	snprintf(path, sizeof(path), "/dev/vfio/%u", dev->group);
	group->number = dev->group;
	group->bound = 1;
	group->fd = dev->given_fd >= 0 ? vfio_dup(&be->vfio.base, dev->given_fd)
				       : vfio_open(&be->vfio.base, path, "vfio-pci");
	if (group->fd < 0) {
		ret = group->fd;
		free(group);
		return ret;
	}
	group->next = be->groups;
	be->groups = group;
	ret = check_viable(&be->vfio.base, group);
	if (!ret)
		ret = ask_group(&be->vfio.base, group, &info);
	if (ret) {
		group_put(be, group);
		return ret;
	}
	vfio_limits_narrow(&be->vfio.limits, &info.ranges, info.page_sizes);
	if (info.max_maps < be->max_maps)
		be->max_maps = info.max_maps;
	*out = group;
	return 0;
}

static int group_get(struct type1_be *be, const struct vfio_dev *dev, struct type1_group **out)
{
	for (struct type1_group *group = be->groups; group; group = group->next) {
		if (group->number != dev->group)
			continue;
		group->bound++;
		*out = group;
		return 0;
	}
	return group_open(be, dev, out);
}

/* Devices. */

static int type1_dev_bind(struct be *base, const char *name, struct be_dev **out)
{
	struct type1_dev *dev = calloc(1, sizeof(*dev));
	int ret;

	if (!dev)
		return diag_fail(base->diag, -ENOMEM, "type1: no memory");
	ret = vfio_dev_init(&dev->vfio, base, name);
	if (!ret)
		ret = group_get(to_be(base), &dev->vfio, &dev->group);
	if (ret) {
		free(dev);
		return ret;
	}
	vfio_dev_add(&dev->vfio);
	*out = &dev->vfio.base;
	return 0;
}

static void type1_dev_unbind(struct be_dev *base)
{
	struct type1_dev *dev = (struct type1_dev *)base;

	vfio_dev_remove(&dev->vfio);
	group_put(to_be(base->be), dev->group);
	free(dev);
}

/* Address spaces. */

static int type1_space_create(struct be *base, const struct be_space_attr *attr,
			      struct be_space **out)
{
	struct type1_space *space;
	int ret = vfio_check_space(base, attr);

	if (ret)
		return ret;
	space = calloc(1, sizeof(*space));
	if (!space)
		return diag_fail(base->diag, -ENOMEM, "type1: no memory");
	space->vfio.base.be = base;
	space->container = vfio_container_open(base);
	if (space->container < 0) {
		ret = space->container;
		free(space);
		return ret;
	}
	vfio_rwlock_init(&space->lock);
	vfio_maps_init(&space->vfio.maps, to_be(base)->max_maps);
	*out = &space->vfio.base;
	return 0;
}

static void type1_space_destroy(struct be_space *base)
{
	struct type1_space *space = (struct type1_space *)base;

	vfio_maps_destroy(&space->vfio.maps);
	pthread_rwlock_destroy(&space->lock);
	close(space->container);
	free(space);
}

static int kernel_map(struct type1_space *space, const struct be_map *map)
{
	struct vfio_iommu_type1_dma_map request = {
		.argsz = sizeof(request),
		.flags = (map->prot & IOAS_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (map->prot & IOAS_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)map->va,
		.iova = map->iova,
		.size = map->bytes,
	};

	return ioctl(space->container, VFIO_IOMMU_MAP_DMA, &request) ? -errno : 0;
}

/* All mappings of a space into its container, which has just got an IOMMU. */
static int replay(struct type1_space *space)
{
	struct vfio_map *entry = vfio_maps_from(&space->vfio.maps, 0);

	while (entry) {
		const struct be_map map = { .iova = entry->extent.start,
					    .bytes = entry->extent.last - entry->extent.start + 1,
					    .va = (void *)(uintptr_t)entry->va,
					    .prot = entry->prot };
		int ret = kernel_map(space, &map);

		if (ret)
			return vfio_fail_map(space->vfio.base.be, &map, ret);
		entry = entry->extent.last == UINT64_MAX
				? NULL
				: vfio_maps_from(&space->vfio.maps, entry->extent.last + 1);
	}
	return 0;
}

static void group_leave(struct type1_group *group)
{
	struct type1_space *space = group->space;

	pthread_rwlock_wrlock(&space->lock);
	leave(group);
	group->space = NULL;
	if (!--space->groups)
		space->live = false;
	pthread_rwlock_unlock(&space->lock);
}

static int group_join(struct type1_group *group, struct type1_space *space)
{
	struct be *be = space->vfio.base.be;
	int ret;

	pthread_rwlock_wrlock(&space->lock);
	ret = join(be, group, space->container, space->live);
	if (!ret && !space->live) {
		ret = replay(space);
		if (ret)
			leave(group);
	}
	if (!ret) {
		space->live = true;
		space->groups++;
		group->space = space;
	}
	pthread_rwlock_unlock(&space->lock);
	return ret;
}

static int open_device(struct type1_dev *dev)
{
	struct be *be = dev->vfio.base.be;
	int fd = ioctl(dev->group->fd, VFIO_GROUP_GET_DEVICE_FD, dev->vfio.address);

	if (fd < 0)
		return diag_fail(be->diag, -errno, "type1: %s: VFIO_GROUP_GET_DEVICE_FD: %s",
				 dev->vfio.address, strerror(errno));
	return vfio_dev_opened(&dev->vfio, fd);
}

static int check_can_leave(struct type1_dev *dev)
{
	unsigned int bars = atomic_load(&dev->vfio.bars_mapped);

	if (!bars)
		return 0;
	return diag_fail(dev->vfio.base.be->diag, -EBUSY,
			 "type1: %s cannot leave its address space while %u of its BARs are mapped",
			 dev->vfio.address, bars);
}

static int attach_to(struct type1_dev *dev, struct type1_space *space)
{
	struct type1_group *group = dev->group;
	int ret = group->space ? 0 : group_join(group, space);

	if (ret)
		return ret;
	ret = open_device(dev);
	if (ret) {
		if (!group->attached)
			group_leave(group);
		return ret;
	}
	group->attached++;
	dev->vfio.space = &space->vfio;
	return 0;
}

static void detach_from(struct type1_dev *dev)
{
	vfio_dev_close(&dev->vfio);
	dev->vfio.space = NULL;
	if (!--dev->group->attached)
		group_leave(dev->group);
}

static int type1_attach(struct be_space *base, struct be_dev *base_dev)
{
	struct type1_space *space = (struct type1_space *)base;
	struct type1_dev *dev = (struct type1_dev *)base_dev;
	struct type1_space *old = (struct type1_space *)dev->vfio.space;
	int ret;

	if (old == space)
		return 0;
	ret = vfio_check_neighbours(&dev->vfio, &space->vfio);
	if (ret)
		return ret;
	if (!old)
		return attach_to(dev, space);
	ret = check_can_leave(dev);
	if (ret)
		return ret;
	detach_from(dev);
	ret = attach_to(dev, space);
	if (ret && attach_to(dev, old))
		diag_log(base->be->diag, IOAS_LOG_ERROR,
			 "type1: %s could not go back to its old address space: it is detached",
			 dev->vfio.address);
	return ret;
}

static int type1_detach(struct be_dev *base)
{
	struct type1_dev *dev = (struct type1_dev *)base;
	int ret;

	if (!dev->vfio.space)
		return 0;
	ret = check_can_leave(dev);
	if (!ret)
		detach_from(dev);
	return ret;
}

/* Mapping. The lock of the space is held. */

static int map_one(struct vfio_space *base, const struct be_map *map, unsigned int *crossings)
{
	struct type1_space *space = (struct type1_space *)base;

	if (!space->live)
		return 0;
	(*crossings)++;
	return kernel_map(space, map);
}

static int unmap_one(struct vfio_space *base, const struct be_unmap *unmap, unsigned int *crossings)
{
	struct type1_space *space = (struct type1_space *)base;
	struct vfio_iommu_type1_dma_unmap request = { .argsz = sizeof(request),
						      .iova = unmap->iova,
						      .size = unmap->bytes };

	if (!space->live)
		return 0;
	(*crossings)++;
	if (ioctl(space->container, VFIO_IOMMU_UNMAP_DMA, &request))
		return -errno;
	return request.size == unmap->bytes ? 0 : -EIO;
}

static int type1_map(struct be_space *base, const struct be_map *maps, unsigned int count,
		     unsigned int *done, unsigned int *crossings)
{
	struct type1_space *space = (struct type1_space *)base;
	int ret;

	pthread_rwlock_rdlock(&space->lock);
	ret = vfio_map_all(&space->vfio, maps, count, done, crossings, map_one);
	pthread_rwlock_unlock(&space->lock);
	return ret;
}

static int type1_unmap(struct be_space *base, const struct be_unmap *unmaps, unsigned int count,
		       unsigned int *done, unsigned int *crossings)
{
	struct type1_space *space = (struct type1_space *)base;
	int ret;

	pthread_rwlock_rdlock(&space->lock);
	ret = vfio_unmap_all(&space->vfio, unmaps, count, done, crossings, unmap_one);
	pthread_rwlock_unlock(&space->lock);
	return ret;
}

const struct be_ops type1_be_ops = {
	.name = "type1",
	.probe = type1_probe,
	.open = type1_open,
	.close = type1_close,
	.caps = type1_caps,
	.mem_add = vfio_mem_add,
	.mem_del = vfio_memory_del,
	.dev_bind = type1_dev_bind,
	.dev_unbind = type1_dev_unbind,
	.space_create = type1_space_create,
	.space_destroy = type1_space_destroy,
	.attach = type1_attach,
	.detach = type1_detach,
	.map = type1_map,
	.unmap = type1_unmap,
	.invalidate = vfio_invalidate,
	.fault_read = vfio_fault_read,
	.iova_ranges = vfio_iova_ranges,
	.pci = &vfio_pci_ops,
};
