// SPDX-License-Identifier: BSD-3-Clause
/* DMA by the edu device through iommufd: memory mapped in its IOAS is reached, other is not. */
#include "iommufd_device.h"
#include "lab_prog.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <sys/ioctl.h>

struct ioas {
	int iommufd;
	uint32_t id;
};

static int ioas_map(void *state, uint64_t iova, void *address, size_t size_bytes, bool writable)
{
	struct ioas *ioas = state;
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
		.ioas_id = ioas->id,
		.user_va = (uintptr_t)address,
		.length = size_bytes,
		.iova = iova,
	};

	return ioctl(ioas->iommufd, IOMMU_IOAS_MAP, &map) ? -errno : 0;
}

static int ioas_unmap(void *state, uint64_t iova, size_t size_bytes)
{
	struct ioas *ioas = state;
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = ioas->id,
		.iova = iova,
		.length = size_bytes,
	};

	if (ioctl(ioas->iommufd, IOMMU_IOAS_UNMAP, &unmap))
		return -errno;
	return unmap.length == size_bytes ? 0 : -ENOENT;
}

int main(void)
{
	const char *address = lab_device("edu");
	struct iommufd_device device;
	struct ioas ioas;
	struct mapper mapper = { ioas_map, ioas_unmap, &ioas };
	struct edu edu;

	if (!address)
		FAIL("the machine was started without edu");
	iommufd_device_open(&device, address);
	ioas.iommufd = device.iommufd;
	ioas.id = iommufd_ioas_alloc(device.iommufd);
	CHECK(iommufd_device_attach(&device, ioas.id) == 0);
	edu_open(&edu, device.device_fd);
	edu_check_mapper(&edu, &mapper);
	return 0;
}
