/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/vfio.md: a driver on VFIO's type1 container. */
#include <errno.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "port.h"

/* port: state */
struct driver {
	int container, group, device;
	char *arena;
	uint64_t iova; /* of the arena */
};
/* port: end */

int vfio_before_start(struct driver *d, const char *device, size_t bytes);
void vfio_before_submit(struct driver *d, struct ring *ring, char *buffer, uint32_t bytes);

/* port: start */
int vfio_before_start(struct driver *d, const char *device, size_t bytes)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.iova = d->iova,
		.size = bytes,
	};

	if (ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container) ||
	    ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -errno;
	d->device = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, device);
	d->arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (d->device < 0 || d->arena == MAP_FAILED)
		return -errno;
	map.vaddr = (uintptr_t)d->arena;
	return ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}
/* port: end */

/* port: io */
void vfio_before_submit(struct driver *d, struct ring *ring, char *buffer, uint32_t bytes)
{
	ring_post(ring, d->iova + (uint64_t)(buffer - d->arena), bytes);
}
/* port: end */
