/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the port guide uses of the kernel's linux/iommufd.h, declared from its documentation
 * (Documentation/userspace-api/iommufd.rst), for systems whose headers are older than that.
 */
#ifndef LINUX_IOMMUFD_H
#define LINUX_IOMMUFD_H

#include <stdint.h>
#include <sys/ioctl.h>

enum {
	IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0,
	IOMMU_IOAS_MAP_WRITEABLE = 1 << 1,
	IOMMU_IOAS_MAP_READABLE = 1 << 2,
};

struct iommu_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	uint64_t user_va;
	uint64_t length;
	uint64_t iova;
};
#define IOMMU_IOAS_MAP _IO(';', 0x85)

struct iommu_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t length;
};
#define IOMMU_IOAS_UNMAP _IO(';', 0x86)

#endif
