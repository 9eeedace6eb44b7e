/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VFIO container, and what it says of its IOMMU once it has one. See vfio.h.
 *
 * Source: Linux include/uapi/linux/vfio.h.
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

#define ENTRY_LIMIT	    "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
#define ENTRY_LIMIT_DEFAULT 65535 /* kernels before 5.10 do not tell */

uint64_t vfio_container_entry_limit(void)
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

int vfio_container_open(struct be *be)
{
	int fd = vfio_open(be, VFIO_CONTAINER, "vfio");
	int version;

	if (fd < 0)
		return fd;
	version = ioctl(fd, VFIO_GET_API_VERSION);
	if (version != VFIO_API_VERSION) {
		close(fd);
		return diag_fail(be->diag, -ENODEV, "type1: %s has version %d, not %d",
				 VFIO_CONTAINER, version, VFIO_API_VERSION);
	}
	if (ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) {
		close(fd);
		return diag_fail(be->diag, -ENODEV,
				 "type1: %s offers no type1 IOMMU: `modprobe vfio_iommu_type1`",
				 VFIO_CONTAINER);
	}
	return fd;
}

static void read_ranges(const struct vfio_iommu_type1_info_cap_iova_range *cap,
			struct vfio_ranges *ranges)
{
	ranges->count = cap->nr_iovas < VFIO_RANGES_MAX ? cap->nr_iovas : VFIO_RANGES_MAX;
	for (unsigned int i = 0; i < ranges->count; i++)
		ranges->range[i] = (struct ioas_range){ .start = cap->iova_ranges[i].start,
							.last = cap->iova_ranges[i].end };
}

static void read_capabilities(const struct vfio_iommu_type1_info *raw,
			      struct vfio_container_info *info)
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

int vfio_container_info(struct be *be, int container, struct vfio_container_info *info)
{
	struct vfio_iommu_type1_info head = { .argsz = sizeof(head) };
	struct vfio_iommu_type1_info *raw;

	vfio_ranges_set(&info->ranges, 0, UINT64_MAX);
	info->page_sizes = IOAS_PAGE_SIZE;
	info->max_maps = vfio_container_entry_limit();
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
