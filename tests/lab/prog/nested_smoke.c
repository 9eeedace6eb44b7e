// SPDX-License-Identifier: BSD-3-Clause
/*
 * The machine lets user space own a stage-1 table: a parent page table can be allocated for its
 * SMMUv3, and a vIOMMU on it. The latter is what the corrected IORT is for. Without nesting: a
 * skip.
 */
#include "iommufd_device.h"
#include "lab_prog.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <stdio.h>
#include <sys/ioctl.h>

static int viommu_alloc(struct iommufd_device *device, uint32_t parent_id, uint32_t *id)
{
	struct iommu_viommu_alloc alloc = {
		.size = sizeof(alloc),
		.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
		.dev_id = device->device_id,
		.hwpt_id = parent_id,
	};

	if (ioctl(device->iommufd, IOMMU_VIOMMU_ALLOC, &alloc))
		return -errno;
	*id = alloc.out_viommu_id;
	return 0;
}

static int hwpt_alloc(struct iommufd_device *device, uint32_t ioas_id, uint32_t flags, uint32_t *id)
{
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.dev_id = device->device_id,
		.pt_id = ioas_id,
		.data_type = IOMMU_HWPT_DATA_NONE,
	};

	if (ioctl(device->iommufd, IOMMU_HWPT_ALLOC, &alloc))
		return -errno;
	*id = alloc.out_hwpt_id;
	return 0;
}

int main(void)
{
	struct iommu_hw_info_arm_smmuv3 smmu = { 0 };
	struct iommu_hw_info info = { .size = sizeof(info),
				      .data_len = sizeof(smmu),
				      .data_uptr = (uintptr_t)&smmu };
	const char *address = lab_device("edu");
	uint32_t ioas_id, parent_id, plain_id, viommu_id = 0;
	struct iommufd_device device;
	int error;

	if (!address)
		FAIL("the machine was started without edu");
	iommufd_device_open(&device, address);
	info.dev_id = device.device_id;
	CHECK(ioctl(device.iommufd, IOMMU_GET_HW_INFO, &info) == 0);
	if (info.out_data_type != IOMMU_HW_INFO_TYPE_ARM_SMMUV3)
		lab_skip("the IOMMU is no SMMUv3 (hardware info type %u)", info.out_data_type);
	printf("  SMMUv3: IDR0 0x%08x, IDR1 0x%08x, IDR5 0x%08x\n", smmu.idr[0], smmu.idr[1],
	       smmu.idr[5]);
	ioas_id = iommufd_ioas_alloc(device.iommufd);

	error = hwpt_alloc(&device, ioas_id, IOMMU_HWPT_ALLOC_NEST_PARENT, &parent_id);
	if (error)
		FAIL("no nesting parent: error %d", error);
	error = viommu_alloc(&device, parent_id, &viommu_id);
	if (error)
		FAIL("no vIOMMU: error %d (%d: the IORT lacks CANWBS)", error, -EOPNOTSUPP);
	CHECK(viommu_id != 0 && viommu_id != parent_id);

	/* The kernel does look at what it is given: an ordinary page table cannot be a parent. */
	CHECK(hwpt_alloc(&device, ioas_id, 0, &plain_id) == 0);
	CHECK(viommu_alloc(&device, plain_id, &viommu_id) == -EINVAL);
	return 0;
}
