/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory and mappings of the iommufd backend.
 *
 * Registered memory is mapped once in an IOAS that is there for nothing else: no device ever
 * attaches to it, so that this pins nothing. What address spaces map of it are copies: the kernel
 * has one record of the memory then, which pins and accounts a page once, however many address
 * spaces map it, for as long as one of them with a device does. A copy may be any part of the
 * original; it is unmapped by itself and as a whole, as everything that the kernel maps
 * (vfio_maps).
 *
 * Memory that has a file behind it is mapped by its file: the kernel takes whole folios of it, and
 * nothing depends on the process and its addresses. Where the kernel has no such request, or does
 * not pin such a file, the address serves. Memory that is not registered is mapped by its address.
 *
 * Locking: memory comes and goes under the context's lock; the rest is the kernel's.
 *
 * Source: Linux Documentation/userspace-api/iommufd.rst, drivers/iommu/iommufd/io_pagetable.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "iommufd.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

static uint32_t map_flags(uint32_t prot)
{
	return UAPI_MAP_FIXED_IOVA | (prot & IOAS_READ ? UAPI_MAP_READABLE : 0) |
	       (prot & IOAS_WRITE ? UAPI_MAP_WRITEABLE : 0);
}

static int map_address(struct iommufd_be *be, uint32_t ioas_id, uint32_t flags, void *va,
		       uint64_t bytes, uint64_t *iova)
{
	struct uapi_ioas_map request = {
		.size = sizeof(request),
		.flags = flags,
		.ioas_id = ioas_id,
		.user_va = (uintptr_t)va,
		.length = bytes,
		.iova = *iova,
	};
	int ret = ioctl(be->fd, UAPI_IOAS_MAP, &request) ? -errno : 0;

	*iova = request.iova;
	return ret;
}

static int unmap(struct iommufd_be *be, uint32_t ioas_id, uint64_t iova, uint64_t bytes)
{
	struct uapi_ioas_unmap request = {
		.size = sizeof(request),
		.ioas_id = ioas_id,
		.iova = iova,
		.length = bytes,
	};

	if (be->fd < 0) /* abandoned */
		return 0;
	if (ioctl(be->fd, UAPI_IOAS_UNMAP, &request))
		return -errno;
	return request.length == bytes ? 0 : -EIO;
}

/* Registered memory. */

#define ORIGINAL (UAPI_MAP_READABLE | UAPI_MAP_WRITEABLE) /* anywhere */

static int map_file(struct iommufd_be *be, const struct be_mem_attr *attr, uint64_t *iova)
{
	struct uapi_ioas_map_file request = {
		.size = sizeof(request),
		.flags = ORIGINAL,
		.ioas_id = be->memory_id,
		.fd = attr->fd,
		.start = attr->fd_offset,
		.length = attr->bytes,
	};
	int ret = ioctl(be->fd, UAPI_IOAS_MAP_FILE, &request) ? -errno : 0;

	*iova = request.iova;
	return ret;
}

/* The kernel looks when it pins, which is when a device comes. Source: Linux mm/gup.c,
 * memfd_pin_folios(). */
static bool can_map_file(int fd)
{
	struct statfs info;

	return fd >= 0 && !fstatfs(fd, &info) &&
	       (info.f_type == TMPFS_MAGIC || info.f_type == HUGETLBFS_MAGIC);
}

/* The original of what will be copied. */
static int map_memory(struct iommufd_be *be, const struct be_mem_attr *attr, uint64_t *iova)
{
	int ret = can_map_file(attr->fd) ? map_file(be, attr, iova) : -EOPNOTSUPP;

	if (ret != -EOPNOTSUPP && ret != -ENOTTY)
		return ret;
	*iova = 0;
	return map_address(be, be->memory_id, ORIGINAL, attr->va, attr->bytes, iova);
}

int iommufd_mem_add(struct be *base, const struct be_mem_attr *attr, struct be_mem **out)
{
	struct iommufd_be *be = iommufd_to_be(base);
	int ret = be->memory_id ? 0 : iommufd_new_ioas(be, &be->memory_id);
	uint64_t *original;

	ret = ret ?: vfio_mem_add(base, attr, out);
	if (ret)
		return ret;
	original = &((struct vfio_memory *)*out)->original;
	if (attr->saved)
		*original = attr->saved->value[0];
	else
		ret = map_memory(be, attr, original);
	if (ret) {
		vfio_memory_del(*out);
		return diag_fail(base->diag, ret, "iommufd: memory at %p: %s", attr->va,
				 strerror(-ret));
	}
	return 0;
}

void iommufd_mem_del(struct be_mem *base)
{
	struct vfio_memory *mem = (struct vfio_memory *)base;
	struct iommufd_be *be = iommufd_to_be(base->be);
	const uint64_t bytes = mem->extent.last - mem->extent.start + 1;
	int ret = unmap(be, be->memory_id, mem->original, bytes);

	if (ret)
		diag_log(base->be->diag, IOAS_LOG_ERROR, "iommufd: memory at 0x%" PRIx64 ": %s",
			 mem->extent.start, strerror(-ret));
	vfio_memory_del(base);
}

/* Mappings. */

static int copy_memory(struct iommufd_space *space, const struct vfio_memory *mem,
		       const struct be_map *map)
{
	struct iommufd_be *be = iommufd_to_be(space->vfio.base.be);
	struct uapi_ioas_copy request = {
		.size = sizeof(request),
		.flags = map_flags(map->prot),
		.dst_ioas_id = space->pt_id,
		.src_ioas_id = be->memory_id,
		.length = map->bytes,
		.dst_iova = map->iova,
		.src_iova = mem->original + ((uintptr_t)map->va - mem->extent.start),
	};

	return ioctl(be->fd, UAPI_IOAS_COPY, &request) ? -errno : 0;
}

static int map_one(struct vfio_space *base, const struct be_map *map, unsigned int *crossings)
{
	struct iommufd_space *space = (struct iommufd_space *)base;
	struct iommufd_be *be = iommufd_to_be(base->base.be);
	const struct vfio_memory *mem = vfio_memory_find(&be->vfio.memories, map->va, map->bytes);
	uint64_t iova = map->iova;

	(*crossings)++;
	if (mem)
		return copy_memory(space, mem, map);
	return map_address(be, space->pt_id, map_flags(map->prot), map->va, map->bytes, &iova);
}

static int unmap_one(struct vfio_space *base, const struct be_unmap *one, unsigned int *crossings)
{
	struct iommufd_space *space = (struct iommufd_space *)base;

	(*crossings)++;
	return unmap(iommufd_to_be(base->base.be), space->pt_id, one->iova, one->bytes);
}

int iommufd_map(struct be_space *base, const struct be_map *maps, unsigned int count,
		unsigned int *done, unsigned int *crossings)
{
	return vfio_map_all((struct vfio_space *)base, maps, count, done, crossings, map_one);
}

int iommufd_unmap(struct be_space *base, const struct be_unmap *unmaps, unsigned int count,
		  unsigned int *done, unsigned int *crossings)
{
	return vfio_unmap_all((struct vfio_space *)base, unmaps, count, done, crossings, unmap_one);
}

/* The kernel refuses devices from now on that do not allow all of these. */
int iommufd_iova_keep(struct be_space *base, const struct ioas_range *ranges, unsigned int count)
{
	struct iommufd_space *space = (struct iommufd_space *)base;
	struct uapi_iova_range raw[VFIO_RANGES_MAX];
	struct uapi_ioas_allow_iovas allow = {
		.size = sizeof(allow),
		.ioas_id = space->pt_id,
		.num_iovas = count,
		.allowed_iovas = (uintptr_t)raw,
	};

	if (count > VFIO_RANGES_MAX)
		return 0;
	for (unsigned int i = 0; i < count; i++)
		raw[i] = (struct uapi_iova_range){ ranges[i].start, ranges[i].last };
	if (ioctl(iommufd_to_be(base->be)->fd, UAPI_IOAS_ALLOW_IOVAS, &allow))
		return iommufd_fail(base->be, "IOMMU_IOAS_ALLOW_IOVAS");
	return 0;
}
