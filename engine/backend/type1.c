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

#define CONTAINER	    "/dev/vfio/vfio"
#define ENTRY_LIMIT	    "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
#define ENTRY_LIMIT_DEFAULT 65535 /* kernels before 5.10 do not tell */

struct type1_space {
	struct be_space base;
	int container;
	pthread_rwlock_t lock;
	bool live; /* the container has an IOMMU: mappings are the kernel's, too */
	unsigned int groups;
	struct vfio_maps maps;
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
	struct type1_space *space;
};

struct type1_be {
	struct be base;
	struct vfio_limits limits;
	struct vfio_memories memories;
	uint64_t max_maps;
	struct type1_group *groups;
	struct vfio_dev *devices;
};

static struct type1_be *to_be(struct be *be)
{
	return (struct type1_be *)be;
}

static uint64_t entry_limit(void)
{
	FILE *file = fopen(ENTRY_LIMIT, "re");
	uint64_t limit = ENTRY_LIMIT_DEFAULT;

	if (file) {
		if (fscanf(file, "%" SCNu64, &limit) != 1)
			limit = ENTRY_LIMIT_DEFAULT;
		fclose(file);
	}
	return limit;
}

/* Context. */

static int type1_probe(char *why, size_t why_bytes)
{
	int fd = vfio_probe_open(CONTAINER, "vfio", why, why_bytes);
	int ret;

	if (fd < 0)
		return fd;
	ret = ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1 ? 0 : -ENODEV;
	close(fd);
	if (ret) {
		snprintf(why, why_bytes,
			 CONTAINER " offers no type1 IOMMU: `modprobe "
				   "vfio_iommu_type1`");
		return ret;
	}
	/* Groups are numbers; the container itself is not. */
	ret = vfio_probe_devices("/dev/vfio", VFIO_DIGITS, why, why_bytes);
	if (!ret)
		snprintf(why, why_bytes, "VFIO container " CONTAINER " with type1 IOMMU");
	return ret;
}

static void type1_close(struct be *base)
{
	struct type1_be *be = to_be(base);

	vfio_memories_destroy(&be->memories);
	vfio_limits_destroy(&be->limits);
	free(be);
}

static int open_container(struct be *be)
{
	int fd = vfio_open(be, CONTAINER, "vfio");
	int version;

	if (fd < 0)
		return fd;
	version = ioctl(fd, VFIO_GET_API_VERSION);
	if (version != VFIO_API_VERSION) {
		close(fd);
		return diag_fail(be->diag, -ENODEV, "type1: %s has version %d, not %d", CONTAINER,
				 version, VFIO_API_VERSION);
	}
	if (ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) {
		close(fd);
		return diag_fail(be->diag, -ENODEV,
				 "type1: %s offers no type1 IOMMU: `modprobe vfio_iommu_type1`",
				 CONTAINER);
	}
	return fd;
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
	be->base = (struct be){ .ops = &type1_be_ops, .diag = diag };
	vfio_limits_init(&be->limits);
	vfio_memories_init(&be->memories);
	be->max_maps = entry_limit();
	fd = open_container(&be->base);
	if (fd < 0) {
		type1_close(&be->base);
		return fd;
	}
	close(fd);
	*out = &be->base;
	return 0;
}

static void type1_caps(struct be *base, struct be_caps *caps)
{
	struct type1_be *be = to_be(base);

	memset(caps, 0, sizeof(*caps));
	caps->kinds = 1 << IOAS_KIND_KERNEL;
	caps->max_maps = be->max_maps;
	vfio_limits_caps(&be->limits, caps);
}

static unsigned int type1_iova_ranges(struct be *base, struct ioas_range *ranges, unsigned int max)
{
	return vfio_limits_ranges(&to_be(base)->limits, ranges, max);
}

static int type1_mem_add(struct be *base, const struct be_mem_attr *attr, struct be_mem **mem)
{
	return vfio_memory_add(base, &to_be(base)->memories, attr, mem);
}

/* What a container with an IOMMU says of itself. */

struct info {
	struct vfio_ranges ranges;
	uint64_t page_sizes;
	uint64_t max_maps;
};

static void read_ranges(const struct vfio_iommu_type1_info_cap_iova_range *cap,
			struct vfio_ranges *ranges)
{
	ranges->count = cap->nr_iovas < VFIO_RANGES_MAX ? cap->nr_iovas : VFIO_RANGES_MAX;
	for (unsigned int i = 0; i < ranges->count; i++)
		ranges->range[i] = (struct ioas_range){ .start = cap->iova_ranges[i].start,
							.last = cap->iova_ranges[i].end };
}

static void read_capabilities(const struct vfio_iommu_type1_info *raw, struct info *info)
{
	uint32_t offset = raw->flags & VFIO_IOMMU_INFO_CAPS ? raw->cap_offset : 0;

	while (offset && offset + sizeof(struct vfio_info_cap_header) <= raw->argsz) {
		const void *at = (const char *)raw + offset;
		const struct vfio_info_cap_header *header = at;

		if (header->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			read_ranges(at, &info->ranges);
		if (header->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
			info->max_maps =
				((const struct vfio_iommu_type1_info_dma_avail *)at)->avail;
		offset = header->next;
	}
}

static int read_info(struct be *be, int container, struct info *info)
{
	struct vfio_iommu_type1_info head = { .argsz = sizeof(head) };
	struct vfio_iommu_type1_info *raw;

	vfio_ranges_set(&info->ranges, 0, UINT64_MAX);
	info->page_sizes = IOAS_PAGE_SIZE;
	info->max_maps = to_be(be)->max_maps;
	if (ioctl(container, VFIO_IOMMU_GET_INFO, &head))
		return diag_fail(be->diag, -errno, "type1: VFIO_IOMMU_GET_INFO: %s",
				 strerror(errno));
	raw = calloc(1, head.argsz);
	if (!raw)
		return diag_fail(be->diag, -ENOMEM, "type1: no memory");
	raw->argsz = head.argsz;
	if (ioctl(container, VFIO_IOMMU_GET_INFO, raw)) {
		int code = -errno;

		free(raw);
		return diag_fail(be->diag, code, "type1: VFIO_IOMMU_GET_INFO: %s", strerror(-code));
	}
	if (raw->flags & VFIO_IOMMU_INFO_PGSIZES)
		info->page_sizes = raw->iova_pgsizes;
	read_capabilities(raw, info);
	free(raw);
	return 0;
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
		return diag_fail(be->diag, code,
				 "type1: group %u: a kernel driver uses one of its devices: see "
				 "/sys/kernel/iommu_groups/%u/devices",
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
static int ask_group(struct be *be, struct type1_group *group, struct info *info)
{
	int container = open_container(be);
	int ret;

	if (container < 0)
		return container;
	ret = join(be, group, container, false);
	if (!ret) {
		ret = read_info(be, container, info);
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
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return vfio_fail_not_viable(be, group->number);
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

static int group_open(struct type1_be *be, unsigned int number, struct type1_group **out)
{
	struct type1_group *group = calloc(1, sizeof(*group));
	char path[VFIO_PATH_BYTES];
	struct info info;
	int ret;

	if (!group)
		return diag_fail(be->base.diag, -ENOMEM, "type1: no memory");
	snprintf(path, sizeof(path), "/dev/vfio/%u", number);
	group->number = number;
	group->bound = 1;
	group->fd = vfio_open(&be->base, path, "vfio-pci");
	if (group->fd < 0) {
		ret = group->fd;
		free(group);
		return ret;
	}
	group->next = be->groups;
	be->groups = group;
	ret = check_viable(&be->base, group);
	if (!ret)
		ret = ask_group(&be->base, group, &info);
	if (ret) {
		group_put(be, group);
		return ret;
	}
	vfio_limits_narrow(&be->limits, &info.ranges, info.page_sizes);
	if (info.max_maps < be->max_maps)
		be->max_maps = info.max_maps;
	*out = group;
	return 0;
}

static int group_get(struct type1_be *be, unsigned int number, struct type1_group **out)
{
	for (struct type1_group *group = be->groups; group; group = group->next) {
		if (group->number != number)
			continue;
		group->bound++;
		*out = group;
		return 0;
	}
	return group_open(be, number, out);
}

/* Devices. */

static int type1_dev_bind(struct be *base, const char *name, struct be_dev **out)
{
	struct type1_be *be = to_be(base);
	struct type1_dev *dev = calloc(1, sizeof(*dev));
	unsigned int number = 0;
	int ret;

	if (!dev)
		return diag_fail(base->diag, -ENOMEM, "type1: no memory");
	dev->vfio.base.be = base;
	dev->vfio.fd = -1;
	ret = vfio_find_device(base, name, dev->vfio.address);
	for (struct vfio_dev *other = be->devices; !ret && other; other = other->next)
		if (!strcmp(other->address, dev->vfio.address))
			ret = diag_fail(base->diag, -EBUSY, "type1: %s is bound already",
					other->address);
	if (!ret)
		ret = vfio_find_group(base, dev->vfio.address, &number);
	if (!ret)
		ret = vfio_check_driver(base, dev->vfio.address);
	if (!ret)
		ret = group_get(be, number, &dev->group);
	if (ret) {
		free(dev);
		return ret;
	}
	dev->vfio.next = be->devices;
	be->devices = &dev->vfio;
	*out = &dev->vfio.base;
	return 0;
}

static void type1_dev_unbind(struct be_dev *base)
{
	struct type1_dev *dev = (struct type1_dev *)base;
	struct type1_be *be = to_be(base->be);
	struct vfio_dev **link = &be->devices;

	while (*link != &dev->vfio)
		link = &(*link)->next;
	*link = dev->vfio.next;
	group_put(be, dev->group);
	free(dev);
}

/* Address spaces. */

static int type1_space_create(struct be *base, const struct be_space_attr *attr,
			      struct be_space **out)
{
	struct type1_space *space;

	if (attr->kind != IOAS_KIND_KERNEL || attr->format != IOAS_FORMAT_NONE)
		return diag_fail(base->diag, -EOPNOTSUPP,
				 "type1: address spaces are KERNEL, of the kernel's format");
	space = calloc(1, sizeof(*space));
	if (!space)
		return diag_fail(base->diag, -ENOMEM, "type1: no memory");
	space->base.be = base;
	space->container = open_container(base);
	if (space->container < 0) {
		int ret = space->container;

		free(space);
		return ret;
	}
	pthread_rwlock_init(&space->lock, NULL);
	vfio_maps_init(&space->maps, to_be(base)->max_maps);
	*out = &space->base;
	return 0;
}

static void type1_space_destroy(struct be_space *base)
{
	struct type1_space *space = (struct type1_space *)base;

	vfio_maps_destroy(&space->maps);
	pthread_rwlock_destroy(&space->lock);
	close(space->container);
	free(space);
}

static int kernel_map(struct type1_space *space, const struct vfio_map *map)
{
	struct vfio_iommu_type1_dma_map request = {
		.argsz = sizeof(request),
		.flags = (map->prot & IOAS_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
			 (map->prot & IOAS_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = map->va,
		.iova = map->extent.start,
		.size = map->extent.last - map->extent.start + 1,
	};

	return ioctl(space->container, VFIO_IOMMU_MAP_DMA, &request) ? -errno : 0;
}

/* All mappings of a space into its container, which has just got an IOMMU. */
static int replay(struct type1_space *space)
{
	struct vfio_map *map = vfio_maps_from(&space->maps, 0);

	while (map) {
		struct be_map request = { .iova = map->extent.start,
					  .bytes = map->extent.last - map->extent.start + 1,
					  .va = (void *)(uintptr_t)map->va,
					  .prot = map->prot };
		int ret = kernel_map(space, map);

		if (ret)
			return vfio_fail_map(space->base.be, &request, ret);
		map = map->extent.last == UINT64_MAX
			      ? NULL
			      : vfio_maps_from(&space->maps, map->extent.last + 1);
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
	struct be *be = space->base.be;
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
	dev->space = space;
	return 0;
}

static void detach_from(struct type1_dev *dev)
{
	vfio_dev_close(&dev->vfio);
	dev->space = NULL;
	if (!--dev->group->attached)
		group_leave(dev->group);
}

static int type1_attach(struct be_space *base, struct be_dev *base_dev)
{
	struct type1_space *space = (struct type1_space *)base;
	struct type1_dev *dev = (struct type1_dev *)base_dev;
	struct type1_group *group = dev->group;
	struct type1_space *old = dev->space;
	int ret;

	if (old == space)
		return 0;
	if (group->attached > (old ? 1 : 0) && group->space != space)
		return diag_fail(
			base->be->diag, -EBUSY,
			"type1: %s shares group %u with a device that is attached to another "
			"address space: they move together",
			dev->vfio.address, group->number);
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

	if (!dev->space)
		return 0;
	ret = check_can_leave(dev);
	if (!ret)
		detach_from(dev);
	return ret;
}

/* Mapping. */

static int map_one(struct type1_space *space, const struct be_map *map, unsigned int *crossings)
{
	struct be *be = space->base.be;
	struct vfio_map *entry;
	int ret = vfio_limits_check(be, &to_be(be)->limits, map);

	if (!ret)
		ret = vfio_maps_begin_map(be, &space->maps, map, &entry);
	if (ret)
		return ret;
	if (space->live) {
		(*crossings)++;
		ret = kernel_map(space, entry);
	}
	vfio_maps_end_map(&space->maps, entry, !ret);
	return ret ? vfio_fail_map(be, map, ret) : 0;
}

static int unmap_one(struct type1_space *space, const struct be_unmap *unmap,
		     unsigned int *crossings)
{
	struct vfio_iommu_type1_dma_unmap request = { .argsz = sizeof(request),
						      .iova = unmap->iova,
						      .size = unmap->bytes };
	struct be *be = space->base.be;
	struct vfio_map *entry;
	int ret = vfio_maps_begin_unmap(be, &space->maps, unmap, &entry);

	if (ret)
		return ret;
	if (space->live) {
		(*crossings)++;
		if (ioctl(space->container, VFIO_IOMMU_UNMAP_DMA, &request))
			ret = -errno;
		else if (request.size != unmap->bytes)
			ret = -EIO;
	}
	vfio_maps_end_unmap(&space->maps, entry, !ret);
	if (ret)
		return diag_fail(be->diag, ret,
				 "type1: unmap of IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: %s",
				 unmap->iova, unmap->bytes, strerror(-ret));
	return 0;
}

static int type1_map(struct be_space *base, const struct be_map *maps, unsigned int count,
		     unsigned int *done, unsigned int *crossings)
{
	struct type1_space *space = (struct type1_space *)base;
	int ret = 0;

	pthread_rwlock_rdlock(&space->lock);
	for (*done = 0; *done < count; (*done)++) {
		ret = map_one(space, &maps[*done], crossings);
		if (ret)
			break;
	}
	pthread_rwlock_unlock(&space->lock);
	return ret;
}

static int type1_unmap(struct be_space *base, const struct be_unmap *unmaps, unsigned int count,
		       unsigned int *done, unsigned int *crossings)
{
	struct type1_space *space = (struct type1_space *)base;
	int ret = 0;

	pthread_rwlock_rdlock(&space->lock);
	for (*done = 0; *done < count; (*done)++) {
		ret = unmap_one(space, &unmaps[*done], crossings);
		if (ret)
			break;
	}
	pthread_rwlock_unlock(&space->lock);
	return ret;
}

static int type1_invalidate(struct be_space *base, const struct be_inval *ranges,
			    unsigned int count, unsigned int *crossings)
{
	(void)ranges;
	(void)count;
	(void)crossings;
	return diag_fail(base->be->diag, -EOPNOTSUPP,
			 "type1: the kernel invalidates its tables itself");
}

/* The kernel reports the faults of these devices in its log only. */
static int type1_fault_read(struct be *be, struct be_fault *faults, unsigned int max,
			    uint64_t *lost)
{
	(void)be;
	(void)faults;
	(void)max;
	(void)lost;
	return 0;
}

const struct be_ops type1_be_ops = {
	.name = "type1",
	.probe = type1_probe,
	.open = type1_open,
	.close = type1_close,
	.caps = type1_caps,
	.mem_add = type1_mem_add,
	.mem_del = vfio_memory_del,
	.dev_bind = type1_dev_bind,
	.dev_unbind = type1_dev_unbind,
	.space_create = type1_space_create,
	.space_destroy = type1_space_destroy,
	.attach = type1_attach,
	.detach = type1_detach,
	.map = type1_map,
	.unmap = type1_unmap,
	.invalidate = type1_invalidate,
	.fault_read = type1_fault_read,
	.iova_ranges = type1_iova_ranges,
	.pci = &vfio_pci_ops,
};
