/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/iommufd.md: a driver on an I/O address space of iommufd, one call for each buffer. */
#include <errno.h>
#include <linux/iommufd.h>
#include <sys/ioctl.h>

#include "port.h"

struct driver {
	int iommufd;
	uint32_t ioas_id;
};

int iommufd_before_submit(struct driver *d, struct ring *ring, void *buffer, uint32_t bytes,
			  uint64_t *iova);
int iommufd_before_complete(struct driver *d, uint64_t iova, uint32_t bytes);

/* port: io */
int iommufd_before_submit(struct driver *d, struct ring *ring, void *buffer, uint32_t bytes,
			  uint64_t *iova)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = d->ioas_id,
		.user_va = (uintptr_t)buffer,
		.length = bytes,
	};

	if (ioctl(d->iommufd, IOMMU_IOAS_MAP, &map))
		return -errno;
	*iova = map.iova;
	ring_post(ring, map.iova, bytes);
	return 0;
}

int iommufd_before_complete(struct driver *d, uint64_t iova, uint32_t bytes)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = d->ioas_id, .iova = iova, .length = bytes
	};

	return ioctl(d->iommufd, IOMMU_IOAS_UNMAP, &unmap) ? -errno : 0;
}
/* port: end */
