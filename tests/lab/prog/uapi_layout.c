// SPDX-License-Identifier: BSD-3-Clause
/*
 * engine/backend/uapi_iommufd.h says what the kernel's own headers say: checked by the compiler.
 * The program has nothing left to do.
 */
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stddef.h>

#include "../../../engine/backend/uapi_iommufd.h"

#define SAME(ours, theirs)	_Static_assert((ours) == (theirs), #ours " is not " #theirs)
#define SAME_SIZE(ours, theirs) SAME(sizeof(struct ours), sizeof(struct theirs))
#define SAME_FIELD(ours, our_field, theirs, their_field)                              \
	SAME(offsetof(struct ours, our_field), offsetof(struct theirs, their_field)); \
	SAME(sizeof(((struct ours *)0)->our_field), sizeof(((struct theirs *)0)->their_field))

/* Our own structure may end earlier than theirs, where the kernel knows several versions. */
#define FIELD(ours, theirs, field) SAME_FIELD(ours, field, theirs, field)

SAME(UAPI_DESTROY, IOMMU_DESTROY);
SAME_SIZE(uapi_destroy, iommu_destroy);
FIELD(uapi_destroy, iommu_destroy, size);
FIELD(uapi_destroy, iommu_destroy, id);

SAME(UAPI_IOAS_ALLOC, IOMMU_IOAS_ALLOC);
SAME_SIZE(uapi_ioas_alloc, iommu_ioas_alloc);
FIELD(uapi_ioas_alloc, iommu_ioas_alloc, flags);
FIELD(uapi_ioas_alloc, iommu_ioas_alloc, out_ioas_id);

SAME_SIZE(uapi_iova_range, iommu_iova_range);
FIELD(uapi_iova_range, iommu_iova_range, start);
FIELD(uapi_iova_range, iommu_iova_range, last);

SAME(UAPI_IOAS_IOVA_RANGES, IOMMU_IOAS_IOVA_RANGES);
SAME_SIZE(uapi_ioas_iova_ranges, iommu_ioas_iova_ranges);
FIELD(uapi_ioas_iova_ranges, iommu_ioas_iova_ranges, ioas_id);
FIELD(uapi_ioas_iova_ranges, iommu_ioas_iova_ranges, num_iovas);
FIELD(uapi_ioas_iova_ranges, iommu_ioas_iova_ranges, allowed_iovas);
FIELD(uapi_ioas_iova_ranges, iommu_ioas_iova_ranges, out_iova_alignment);

SAME(UAPI_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_FIXED_IOVA);
SAME(UAPI_MAP_WRITEABLE, IOMMU_IOAS_MAP_WRITEABLE);
SAME(UAPI_MAP_READABLE, IOMMU_IOAS_MAP_READABLE);
SAME(UAPI_IOAS_MAP, IOMMU_IOAS_MAP);
SAME_SIZE(uapi_ioas_map, iommu_ioas_map);
FIELD(uapi_ioas_map, iommu_ioas_map, flags);
FIELD(uapi_ioas_map, iommu_ioas_map, ioas_id);
FIELD(uapi_ioas_map, iommu_ioas_map, user_va);
FIELD(uapi_ioas_map, iommu_ioas_map, length);
FIELD(uapi_ioas_map, iommu_ioas_map, iova);

SAME(UAPI_IOAS_UNMAP, IOMMU_IOAS_UNMAP);
SAME_SIZE(uapi_ioas_unmap, iommu_ioas_unmap);
FIELD(uapi_ioas_unmap, iommu_ioas_unmap, ioas_id);
FIELD(uapi_ioas_unmap, iommu_ioas_unmap, iova);
FIELD(uapi_ioas_unmap, iommu_ioas_unmap, length);

SAME(UAPI_OPTION, IOMMU_OPTION);
SAME(UAPI_OPTION_HUGE_PAGES, IOMMU_OPTION_HUGE_PAGES);
SAME(UAPI_OPTION_SET, IOMMU_OPTION_OP_SET);
SAME_SIZE(uapi_option, iommu_option);
FIELD(uapi_option, iommu_option, option_id);
FIELD(uapi_option, iommu_option, op);
FIELD(uapi_option, iommu_option, object_id);
FIELD(uapi_option, iommu_option, val64);

SAME(UAPI_GET_HW_INFO, IOMMU_GET_HW_INFO);
SAME(UAPI_HW_INFO_INTEL_VTD, IOMMU_HW_INFO_TYPE_INTEL_VTD);
SAME(UAPI_HW_INFO_ARM_SMMUV3, IOMMU_HW_INFO_TYPE_ARM_SMMUV3);
SAME(UAPI_HW_INFO_AMD, IOMMU_HW_INFO_TYPE_AMD);
SAME_SIZE(uapi_hw_info, iommu_hw_info);
FIELD(uapi_hw_info, iommu_hw_info, flags);
FIELD(uapi_hw_info, iommu_hw_info, dev_id);
FIELD(uapi_hw_info, iommu_hw_info, data_len);
FIELD(uapi_hw_info, iommu_hw_info, data_uptr);
FIELD(uapi_hw_info, iommu_hw_info, out_data_type);
FIELD(uapi_hw_info, iommu_hw_info, out_max_pasid_log2);
FIELD(uapi_hw_info, iommu_hw_info, out_capabilities);
SAME_SIZE(uapi_hw_info_vtd, iommu_hw_info_vtd);
FIELD(uapi_hw_info_vtd, iommu_hw_info_vtd, cap_reg);
FIELD(uapi_hw_info_vtd, iommu_hw_info_vtd, ecap_reg);
SAME_SIZE(uapi_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3);
FIELD(uapi_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3, idr);
FIELD(uapi_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3, iidr);
FIELD(uapi_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3, aidr);

SAME(UAPI_IOAS_MAP_FILE, IOMMU_IOAS_MAP_FILE);
SAME_SIZE(uapi_ioas_map_file, iommu_ioas_map_file);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, flags);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, ioas_id);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, fd);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, start);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, length);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, iova);

SAME(UAPI_DEVICE_BIND, VFIO_DEVICE_BIND_IOMMUFD);
FIELD(uapi_device_bind, vfio_device_bind_iommufd, argsz);
FIELD(uapi_device_bind, vfio_device_bind_iommufd, flags);
FIELD(uapi_device_bind, vfio_device_bind_iommufd, iommufd);
FIELD(uapi_device_bind, vfio_device_bind_iommufd, out_devid);

SAME(UAPI_DEVICE_ATTACH, VFIO_DEVICE_ATTACH_IOMMUFD_PT);
FIELD(uapi_device_attach, vfio_device_attach_iommufd_pt, argsz);
FIELD(uapi_device_attach, vfio_device_attach_iommufd_pt, flags);
FIELD(uapi_device_attach, vfio_device_attach_iommufd_pt, pt_id);

SAME(UAPI_DEVICE_DETACH, VFIO_DEVICE_DETACH_IOMMUFD_PT);
FIELD(uapi_device_detach, vfio_device_detach_iommufd_pt, argsz);
FIELD(uapi_device_detach, vfio_device_detach_iommufd_pt, flags);

int main(void)
{
	return 0;
}
