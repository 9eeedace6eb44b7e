// SPDX-License-Identifier: BSD-3-Clause
/*
 * engine/backend/uapi_iommufd.h says what the kernel's own headers say: checked by the compiler.
 * The program has nothing left to do.
 */
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stddef.h>

#include "../../../engine/backend/smmuv3.h"
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

SAME(UAPI_IOAS_ALLOW_IOVAS, IOMMU_IOAS_ALLOW_IOVAS);
SAME_SIZE(uapi_ioas_allow_iovas, iommu_ioas_allow_iovas);
FIELD(uapi_ioas_allow_iovas, iommu_ioas_allow_iovas, ioas_id);
FIELD(uapi_ioas_allow_iovas, iommu_ioas_allow_iovas, num_iovas);
FIELD(uapi_ioas_allow_iovas, iommu_ioas_allow_iovas, allowed_iovas);

SAME(UAPI_IOAS_COPY, IOMMU_IOAS_COPY);
SAME_SIZE(uapi_ioas_copy, iommu_ioas_copy);
FIELD(uapi_ioas_copy, iommu_ioas_copy, flags);
FIELD(uapi_ioas_copy, iommu_ioas_copy, dst_ioas_id);
FIELD(uapi_ioas_copy, iommu_ioas_copy, src_ioas_id);
FIELD(uapi_ioas_copy, iommu_ioas_copy, length);
FIELD(uapi_ioas_copy, iommu_ioas_copy, dst_iova);
FIELD(uapi_ioas_copy, iommu_ioas_copy, src_iova);

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
SAME(UAPI_VTD_ERRATA_772415_SPR17, IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17);
SAME_SIZE(uapi_hw_info_amd, iommu_hw_info_amd);
FIELD(uapi_hw_info_amd, iommu_hw_info_amd, efr);
FIELD(uapi_hw_info_amd, iommu_hw_info_amd, efr2);
SAME_SIZE(uapi_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3);
FIELD(uapi_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3, idr);
FIELD(uapi_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3, iidr);
FIELD(uapi_hw_info_arm_smmuv3, iommu_hw_info_arm_smmuv3, aidr);

SAME(UAPI_SMMUV3_REPEAT_TLBI, IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI);

SAME(UAPI_HWPT_ALLOC, IOMMU_HWPT_ALLOC);
SAME(UAPI_HWPT_NEST_PARENT, IOMMU_HWPT_ALLOC_NEST_PARENT);
SAME(UAPI_HWPT_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
SAME(UAPI_HWPT_FAULT_ID_VALID, IOMMU_HWPT_FAULT_ID_VALID);
SAME(UAPI_HWPT_DATA_NONE, IOMMU_HWPT_DATA_NONE);
SAME(UAPI_HWPT_DATA_VTD_S1, IOMMU_HWPT_DATA_VTD_S1);
SAME(UAPI_HWPT_DATA_SMMUV3, IOMMU_HWPT_DATA_ARM_SMMUV3);
SAME_SIZE(uapi_hwpt_alloc, iommu_hwpt_alloc);
FIELD(uapi_hwpt_alloc, iommu_hwpt_alloc, flags);
FIELD(uapi_hwpt_alloc, iommu_hwpt_alloc, dev_id);
FIELD(uapi_hwpt_alloc, iommu_hwpt_alloc, pt_id);
FIELD(uapi_hwpt_alloc, iommu_hwpt_alloc, out_hwpt_id);
FIELD(uapi_hwpt_alloc, iommu_hwpt_alloc, data_type);
FIELD(uapi_hwpt_alloc, iommu_hwpt_alloc, data_len);
FIELD(uapi_hwpt_alloc, iommu_hwpt_alloc, data_uptr);
FIELD(uapi_hwpt_alloc, iommu_hwpt_alloc, fault_id);
SAME_SIZE(uapi_hwpt_vtd_s1, iommu_hwpt_vtd_s1);
FIELD(uapi_hwpt_vtd_s1, iommu_hwpt_vtd_s1, flags);
FIELD(uapi_hwpt_vtd_s1, iommu_hwpt_vtd_s1, pgtbl_addr);
FIELD(uapi_hwpt_vtd_s1, iommu_hwpt_vtd_s1, addr_width);
SAME_SIZE(uapi_hwpt_smmuv3, iommu_hwpt_arm_smmuv3);
FIELD(uapi_hwpt_smmuv3, iommu_hwpt_arm_smmuv3, ste);

SAME(UAPI_HWPT_SET_DIRTY, IOMMU_HWPT_SET_DIRTY_TRACKING);
SAME(UAPI_DIRTY_ENABLE, IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
SAME_SIZE(uapi_hwpt_set_dirty, iommu_hwpt_set_dirty_tracking);
FIELD(uapi_hwpt_set_dirty, iommu_hwpt_set_dirty_tracking, flags);
FIELD(uapi_hwpt_set_dirty, iommu_hwpt_set_dirty_tracking, hwpt_id);

SAME(UAPI_HWPT_GET_DIRTY, IOMMU_HWPT_GET_DIRTY_BITMAP);
SAME(UAPI_DIRTY_NO_CLEAR, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
SAME_SIZE(uapi_hwpt_get_dirty, iommu_hwpt_get_dirty_bitmap);
FIELD(uapi_hwpt_get_dirty, iommu_hwpt_get_dirty_bitmap, hwpt_id);
FIELD(uapi_hwpt_get_dirty, iommu_hwpt_get_dirty_bitmap, flags);
FIELD(uapi_hwpt_get_dirty, iommu_hwpt_get_dirty_bitmap, iova);
FIELD(uapi_hwpt_get_dirty, iommu_hwpt_get_dirty_bitmap, length);
FIELD(uapi_hwpt_get_dirty, iommu_hwpt_get_dirty_bitmap, page_size);
FIELD(uapi_hwpt_get_dirty, iommu_hwpt_get_dirty_bitmap, data);

SAME(UAPI_HWPT_INVALIDATE, IOMMU_HWPT_INVALIDATE);
SAME(UAPI_INVALIDATE_VTD_S1, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1);
SAME(UAPI_VTD_INV_LEAF, IOMMU_VTD_INV_FLAGS_LEAF);
SAME_SIZE(uapi_inval_vtd_s1, iommu_hwpt_vtd_s1_invalidate);
FIELD(uapi_inval_vtd_s1, iommu_hwpt_vtd_s1_invalidate, addr);
FIELD(uapi_inval_vtd_s1, iommu_hwpt_vtd_s1_invalidate, npages);
FIELD(uapi_inval_vtd_s1, iommu_hwpt_vtd_s1_invalidate, flags);
SAME(UAPI_INVALIDATE_SMMUV3, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3);
SAME_SIZE(uapi_hwpt_invalidate, iommu_hwpt_invalidate);
FIELD(uapi_hwpt_invalidate, iommu_hwpt_invalidate, hwpt_id);
FIELD(uapi_hwpt_invalidate, iommu_hwpt_invalidate, data_uptr);
FIELD(uapi_hwpt_invalidate, iommu_hwpt_invalidate, data_type);
FIELD(uapi_hwpt_invalidate, iommu_hwpt_invalidate, entry_len);
FIELD(uapi_hwpt_invalidate, iommu_hwpt_invalidate, entry_num);
SAME_SIZE(smmuv3_cmd, iommu_viommu_arm_smmuv3_invalidate);
SAME_FIELD(smmuv3_cmd, word, iommu_viommu_arm_smmuv3_invalidate, cmd);

SAME(UAPI_FAULT_QUEUE_ALLOC, IOMMU_FAULT_QUEUE_ALLOC);
SAME_SIZE(uapi_fault_queue_alloc, iommu_fault_alloc);
FIELD(uapi_fault_queue_alloc, iommu_fault_alloc, out_fault_id);
FIELD(uapi_fault_queue_alloc, iommu_fault_alloc, out_fault_fd);
SAME(UAPI_PGFAULT_READ, IOMMU_PGFAULT_PERM_READ);
SAME(UAPI_PGFAULT_WRITE, IOMMU_PGFAULT_PERM_WRITE);
SAME_SIZE(uapi_pgfault, iommu_hwpt_pgfault);
FIELD(uapi_pgfault, iommu_hwpt_pgfault, dev_id);
FIELD(uapi_pgfault, iommu_hwpt_pgfault, perm);
FIELD(uapi_pgfault, iommu_hwpt_pgfault, addr);
FIELD(uapi_pgfault, iommu_hwpt_pgfault, cookie);
SAME(UAPI_PAGE_RESPONSE_SUCCESS, IOMMUFD_PAGE_RESP_SUCCESS);
SAME(UAPI_PAGE_RESPONSE_INVALID, IOMMUFD_PAGE_RESP_INVALID);
SAME_SIZE(uapi_page_response, iommu_hwpt_page_response);
FIELD(uapi_page_response, iommu_hwpt_page_response, cookie);
FIELD(uapi_page_response, iommu_hwpt_page_response, code);

SAME(UAPI_IOAS_MAP_FILE, IOMMU_IOAS_MAP_FILE);
SAME_SIZE(uapi_ioas_map_file, iommu_ioas_map_file);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, flags);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, ioas_id);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, fd);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, start);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, length);
FIELD(uapi_ioas_map_file, iommu_ioas_map_file, iova);

SAME(UAPI_VIOMMU_ALLOC, IOMMU_VIOMMU_ALLOC);
SAME(UAPI_VIOMMU_SMMUV3, IOMMU_VIOMMU_TYPE_ARM_SMMUV3);
SAME_SIZE(uapi_viommu_alloc, iommu_viommu_alloc);
FIELD(uapi_viommu_alloc, iommu_viommu_alloc, flags);
FIELD(uapi_viommu_alloc, iommu_viommu_alloc, type);
FIELD(uapi_viommu_alloc, iommu_viommu_alloc, dev_id);
FIELD(uapi_viommu_alloc, iommu_viommu_alloc, hwpt_id);
FIELD(uapi_viommu_alloc, iommu_viommu_alloc, out_viommu_id);
FIELD(uapi_viommu_alloc, iommu_viommu_alloc, data_len);
FIELD(uapi_viommu_alloc, iommu_viommu_alloc, data_uptr);

SAME(UAPI_VDEVICE_ALLOC, IOMMU_VDEVICE_ALLOC);
SAME_SIZE(uapi_vdevice_alloc, iommu_vdevice_alloc);
FIELD(uapi_vdevice_alloc, iommu_vdevice_alloc, viommu_id);
FIELD(uapi_vdevice_alloc, iommu_vdevice_alloc, dev_id);
FIELD(uapi_vdevice_alloc, iommu_vdevice_alloc, out_vdevice_id);
FIELD(uapi_vdevice_alloc, iommu_vdevice_alloc, virt_id);

SAME(UAPI_IOAS_CHANGE_PROCESS, IOMMU_IOAS_CHANGE_PROCESS);
SAME_SIZE(uapi_ioas_change_process, iommu_ioas_change_process);

SAME(UAPI_VEVENTQ_ALLOC, IOMMU_VEVENTQ_ALLOC);
SAME(UAPI_VEVENTQ_SMMUV3, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3);
SAME(UAPI_VEVENTQ_LOST, IOMMU_VEVENTQ_FLAG_LOST_EVENTS);
SAME_SIZE(uapi_veventq_alloc, iommu_veventq_alloc);
FIELD(uapi_veventq_alloc, iommu_veventq_alloc, flags);
FIELD(uapi_veventq_alloc, iommu_veventq_alloc, viommu_id);
FIELD(uapi_veventq_alloc, iommu_veventq_alloc, type);
FIELD(uapi_veventq_alloc, iommu_veventq_alloc, veventq_depth);
FIELD(uapi_veventq_alloc, iommu_veventq_alloc, out_veventq_id);
FIELD(uapi_veventq_alloc, iommu_veventq_alloc, out_veventq_fd);
SAME_SIZE(uapi_vevent_header, iommufd_vevent_header);
FIELD(uapi_vevent_header, iommufd_vevent_header, flags);
FIELD(uapi_vevent_header, iommufd_vevent_header, sequence);
SAME_SIZE(uapi_vevent_smmuv3, iommu_vevent_arm_smmuv3);
FIELD(uapi_vevent_smmuv3, iommu_vevent_arm_smmuv3, evt);

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
