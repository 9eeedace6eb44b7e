// SPDX-License-Identifier: BSD-3-Clause
/* DMA by the edu device through VFIO's container (type1): mapped memory is reached, other is not.
 */
#include "lab_prog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int type1_map(void *state, uint64_t iova, void *address, size_t size_bytes, bool writable)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)address,
		.iova = iova,
		.size = size_bytes,
	};

	return ioctl(*(int *)state, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

static int type1_unmap(void *state, uint64_t iova, size_t size_bytes)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size_bytes,
	};

	if (ioctl(*(int *)state, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -errno;
	return unmap.size == size_bytes ? 0 : -ENOENT;
}

static int open_group(const char *device)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", device);
	length = readlink(path, target, sizeof(target) - 1);
	CHECK(length > 0);
	target[length] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%d", atoi(strrchr(target, '/') + 1));
	return open(path, O_RDWR);
}

int main(void)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	const char *device = lab_device("edu");
	int container, group, device_fd;
	struct mapper mapper = { type1_map, type1_unmap, &container };
	struct edu edu;

	if (!device)
		FAIL("the machine was started without edu");
	container = open("/dev/vfio/vfio", O_RDWR);
	if (container < 0 && errno == ENOENT)
		lab_skip("the kernel has no VFIO container");
	CHECK(container >= 0);
	CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	CHECK(ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
	group = open_group(device);
	CHECK(group >= 0);
	CHECK(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0);
	CHECK(status.flags & VFIO_GROUP_FLAGS_VIABLE);
	CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	device_fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device);
	CHECK(device_fd >= 0);
	edu_open(&edu, device_fd);
	edu_check_mapper(&edu, &mapper);
	return 0;
}
