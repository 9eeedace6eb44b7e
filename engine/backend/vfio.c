/* SPDX-License-Identifier: BSD-3-Clause */
/* What the operations of type1 and iommufd have in common. See vfio.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vfio.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* By default readers that come and go keep a writer waiting for ever. */
void vfio_rwlock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void vfio_be_init(struct vfio_be *be, const struct be_ops *ops, struct diag *diag)
{
	be->base = (struct be){ .ops = ops, .diag = diag };
	be->driver = VFIO_PCI;
	vfio_limits_init(&be->limits);
	vfio_memories_init(&be->memories);
}

void vfio_be_destroy(struct vfio_be *be)
{
	vfio_memories_destroy(&be->memories);
	vfio_limits_destroy(&be->limits);
}

int vfio_mem_add(struct be *be, const struct be_mem_attr *attr, struct be_mem **mem)
{
	return vfio_memory_add(be, &vfio_to_be(be)->memories, attr, mem);
}

unsigned int vfio_iova_ranges(struct be *be, struct ioas_range *ranges, unsigned int max)
{
	return vfio_limits_ranges(&vfio_to_be(be)->limits, ranges, max);
}

int vfio_invalidate(struct be_space *base, const struct be_inval *ranges, unsigned int count,
		    unsigned int *crossings)
{
	return diag_fail(base->be->diag, -EOPNOTSUPP,
			 "%s: the kernel invalidates its tables itself", base->be->ops->name);
}

/* The kernel reports the faults of its own tables in its log only. */
int vfio_fault_read(struct be *be, struct be_fault *faults, unsigned int max, uint64_t *lost)
{
	return 0;
}

int vfio_check_space(struct be *be, const struct be_space_attr *attr)
{
	if (attr->kind == IOAS_KIND_KERNEL && attr->format == IOAS_FORMAT_NONE)
		return 0;
	return diag_fail(be->diag, -EOPNOTSUPP,
			 "%s: address spaces are KERNEL, of the kernel's format", be->ops->name);
}

/* Devices. */

int vfio_dev_init(struct vfio_dev *dev, struct be *be, const char *name)
{
	int ret;

	dev->base.be = be;
	dev->fd = -1;
	ret = vfio_find_device(be, name, dev->address, &dev->given_fd);
	if (ret)
		return ret;
	for (struct vfio_dev *other = vfio_to_be(be)->devices; other; other = other->next)
		if (!strcmp(other->address, dev->address))
			return diag_fail(be->diag, -EBUSY, "%s: %s is bound already", be->ops->name,
					 dev->address);
	ret = vfio_find_group(be, dev->address, &dev->group);
	return ret ? ret : vfio_check_driver(be, dev->address);
}

void vfio_dev_add(struct vfio_dev *dev)
{
	struct vfio_be *be = vfio_to_be(dev->base.be);

	dev->next = be->devices;
	be->devices = dev;
}

void vfio_dev_remove(struct vfio_dev *dev)
{
	struct vfio_dev **link = &vfio_to_be(dev->base.be)->devices;

	while (*link != dev)
		link = &(*link)->next;
	*link = dev->next;
}

struct vfio_dev *vfio_dev_neighbour(const struct vfio_dev *dev, bool attached)
{
	for (struct vfio_dev *other = vfio_to_be(dev->base.be)->devices; other; other = other->next)
		if (other != dev && other->group == dev->group && (!attached || other->space))
			return other;
	return NULL;
}

int vfio_check_neighbours(const struct vfio_dev *dev, const struct vfio_space *space)
{
	const struct vfio_dev *other = vfio_dev_neighbour(dev, true);
	struct be *be = dev->base.be;

	if (!other || other->space == space)
		return 0;
	return diag_fail(be->diag, -EBUSY,
			 "%s: %s shares group %u with %s, which is attached to another address "
			 "space: devices of a group share one",
			 be->ops->name, dev->address, dev->group, other->address);
}

/* Mapping. */

static int map_one(struct vfio_space *space, const struct be_map *map, unsigned int *crossings,
		   vfio_map_one one)
{
	struct be *be = space->base.be;
	struct vfio_map *entry;
	int ret = vfio_limits_check(be, &vfio_to_be(be)->limits, map);

	if (!ret)
		ret = vfio_maps_begin_map(be, &space->maps, map, &entry);
	if (ret)
		return ret;
	ret = one(space, map, crossings);
	vfio_maps_end_map(&space->maps, entry, !ret);
	return ret ? vfio_fail_map(be, map, ret) : 0;
}

static int unmap_one(struct vfio_space *space, const struct be_unmap *unmap,
		     unsigned int *crossings, vfio_unmap_one one)
{
	struct be *be = space->base.be;
	struct vfio_map *entry;
	int ret = vfio_maps_begin_unmap(be, &space->maps, unmap, &entry);

	if (ret)
		return ret;
	ret = one(space, unmap, crossings);
	vfio_maps_end_unmap(&space->maps, entry, !ret);
	if (ret)
		return diag_fail(be->diag, ret,
				 "%s: unmap of IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: %s",
				 be->ops->name, unmap->iova, unmap->bytes, strerror(-ret));
	return 0;
}

int vfio_map_all(struct vfio_space *space, const struct be_map *maps, unsigned int count,
		 unsigned int *done, unsigned int *crossings, vfio_map_one one)
{
	for (*done = 0; *done < count; (*done)++) {
		int ret = map_one(space, &maps[*done], crossings, one);

		if (ret)
			return ret;
	}
	return 0;
}

int vfio_unmap_all(struct vfio_space *space, const struct be_unmap *unmaps, unsigned int count,
		   unsigned int *done, unsigned int *crossings, vfio_unmap_one one)
{
	for (*done = 0; *done < count; (*done)++) {
		int ret = unmap_one(space, &unmaps[*done], crossings, one);

		if (ret)
			return ret;
	}
	return 0;
}
