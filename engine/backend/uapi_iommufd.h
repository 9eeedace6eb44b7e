/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests of /dev/iommu and of VFIO character devices that the iommufd backend makes, written
 * down here because the headers of the distributions that the library is built on may be older
 * than the kernels it runs on. Names and layouts are the kernel's, under names of our own;
 * tests/lab/prog/uapi_layout.c holds them against the kernel's own headers.
 *
 * Every structure begins with its size. A kernel refuses what it does not know: ENOTTY no such
 * request, E2BIG a tail that is not zero, EOPNOTSUPP a value.
 *
 * Source: Linux include/uapi/linux/iommufd.h and vfio.h.
 */
#ifndef ENGINE_BACKEND_UAPI_IOMMUFD_H
#define ENGINE_BACKEND_UAPI_IOMMUFD_H

#include <stdint.h>
#include <sys/ioctl.h>

#define UAPI_IOMMU(number) _IO(';', number)
#define UAPI_VFIO(number)  _IO(';', 100 + (number))

struct uapi_destroy {
	uint32_t size;
	uint32_t id;
};
#define UAPI_DESTROY UAPI_IOMMU(0x80)

struct uapi_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};
#define UAPI_IOAS_ALLOC UAPI_IOMMU(0x81)

/* Replaces the whole list. No device that allows less than these ranges can attach from now on. */
struct uapi_ioas_allow_iovas {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t reserved;
	uint64_t allowed_iovas;
};
#define UAPI_IOAS_ALLOW_IOVAS UAPI_IOMMU(0x82)

/* Any part of what the source maps. The copy shares its pins, and is unmapped by itself. */
struct uapi_ioas_copy {
	uint32_t size;
	uint32_t flags;
	uint32_t dst_ioas_id;
	uint32_t src_ioas_id;
	uint64_t length;
	uint64_t dst_iova;
	uint64_t src_iova;
};
#define UAPI_IOAS_COPY UAPI_IOMMU(0x83)

struct uapi_iova_range {
	uint64_t start;
	uint64_t last;
};

/* EMSGSIZE: there are num_iovas ranges, more than the array holds. */
struct uapi_ioas_iova_ranges {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t reserved;
	uint64_t allowed_iovas;
	uint64_t out_iova_alignment;
};
#define UAPI_IOAS_IOVA_RANGES UAPI_IOMMU(0x84)

#define UAPI_MAP_FIXED_IOVA (1 << 0)
#define UAPI_MAP_WRITEABLE  (1 << 1)
#define UAPI_MAP_READABLE   (1 << 2)

struct uapi_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	uint64_t user_va;
	uint64_t length;
	uint64_t iova;
};
#define UAPI_IOAS_MAP UAPI_IOMMU(0x85)

/* length: out, the bytes that were unmapped. Whole mappings only. */
struct uapi_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t length;
};
#define UAPI_IOAS_UNMAP UAPI_IOMMU(0x86)

#define UAPI_OPTION_HUGE_PAGES 1 /* of an IOAS; 0: entries of the smallest page size only */
#define UAPI_OPTION_SET	       0

struct uapi_option {
	uint32_t size;
	uint32_t option_id;
	uint16_t op;
	uint16_t reserved;
	uint32_t object_id;
	uint64_t val64;
};
#define UAPI_OPTION UAPI_IOMMU(0x87)

/* out_data_type */
#define UAPI_HW_INFO_INTEL_VTD	1
#define UAPI_HW_INFO_ARM_SMMUV3 2
#define UAPI_HW_INFO_AMD	4

#define UAPI_VTD_ERRATA_772415_SPR17 1 /* flags: no read-only mappings in a parent */

struct uapi_hw_info_vtd {
	uint32_t flags;
	uint32_t reserved;
	uint64_t cap_reg;
	uint64_t ecap_reg;
};

#define UAPI_SMMUV3_REPEAT_TLBI 1 /* flags: an erratum, invalidations have to be issued twice */

struct uapi_hw_info_arm_smmuv3 {
	uint32_t flags;
	uint32_t reserved;
	uint32_t idr[6];
	uint32_t iidr;
	uint32_t aidr;
};

struct uapi_hw_info_amd {
	uint64_t efr;
	uint64_t efr2;
};

/* flags */
#define UAPI_HWPT_NEST_PARENT	 (1 << 0)
#define UAPI_HWPT_DIRTY_TRACKING (1 << 1)
#define UAPI_HWPT_FAULT_ID_VALID (1 << 2)

#define UAPI_HWPT_DATA_NONE   0 /* data_type */
#define UAPI_HWPT_DATA_VTD_S1 1
#define UAPI_HWPT_DATA_SMMUV3 2

/*
 * pt_id: an IOAS or, for a nested page table, a vIOMMU or (VT-d) its parent. EIO: what data_uptr
 * holds is not allowed.
 */
struct uapi_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t out_hwpt_id;
	uint32_t reserved;
	uint32_t data_type;
	uint32_t data_len;
	uint64_t data_uptr;
	uint32_t fault_id;
	uint32_t reserved2;
};
#define UAPI_HWPT_ALLOC UAPI_IOMMU(0x89)

struct uapi_hwpt_vtd_s1 {
	uint64_t flags;
	uint64_t pgtbl_addr;
	uint32_t addr_width;
	uint32_t reserved;
};

struct uapi_hwpt_smmuv3 {
	uint64_t ste[2];
};

/* data_len: in the bytes at data_uptr, which the kernel fills up with zeroes; out its own. */
struct uapi_hw_info {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t data_len;
	uint64_t data_uptr;
	uint32_t out_data_type;
	uint8_t out_max_pasid_log2;
	uint8_t reserved[3];
	uint64_t out_capabilities;
};
#define UAPI_GET_HW_INFO UAPI_IOMMU(0x8a)

#define UAPI_DIRTY_ENABLE 1 /* flags */

struct uapi_hwpt_set_dirty {
	uint32_t size;
	uint32_t flags;
	uint32_t hwpt_id;
	uint32_t reserved;
};
#define UAPI_HWPT_SET_DIRTY UAPI_IOMMU(0x8b)

#define UAPI_DIRTY_NO_CLEAR 1 /* flags */

/* data: a bit for each page_size bytes from iova on; bits are set, never cleared. EINVAL: holes. */
struct uapi_hwpt_get_dirty {
	uint32_t size;
	uint32_t hwpt_id;
	uint32_t flags;
	uint32_t reserved;
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t data;
};
#define UAPI_HWPT_GET_DIRTY UAPI_IOMMU(0x8c)

#define UAPI_INVALIDATE_VTD_S1 0 /* data_type: of a nested page table, */
#define UAPI_INVALIDATE_SMMUV3 1 /* of a vIOMMU: commands of 128 bits */

#define UAPI_VTD_INV_LEAF 1 /* flags */

/* All: addr 0, npages UINT64_MAX. */
struct uapi_inval_vtd_s1 {
	uint64_t addr;
	uint64_t npages;
	uint32_t flags;
	uint32_t reserved;
};

/*
 * hwpt_id: a nested page table or a vIOMMU. entry_num: out how many were handled; nothing to build
 * on after an error.
 */
struct uapi_hwpt_invalidate {
	uint32_t size;
	uint32_t hwpt_id;
	uint64_t data_uptr;
	uint32_t data_type;
	uint32_t entry_len;
	uint32_t entry_num;
	uint32_t reserved;
};
#define UAPI_HWPT_INVALIDATE UAPI_IOMMU(0x8d)

struct uapi_fault_queue_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_fault_id;
	uint32_t out_fault_fd;
};
#define UAPI_FAULT_QUEUE_ALLOC UAPI_IOMMU(0x8e)

/* read() of a queue of faults gives whole groups: records with one cookie. perm: a mask. */
#define UAPI_PGFAULT_READ  1
#define UAPI_PGFAULT_WRITE 2

struct uapi_pgfault {
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pasid;
	uint32_t grpid;
	uint32_t perm;
	uint32_t reserved;
	uint64_t addr;
	uint32_t length;
	uint32_t cookie;
};

/* write() answers. EINVAL: nobody waits for it (any more). */
#define UAPI_PAGE_RESPONSE_SUCCESS 0
#define UAPI_PAGE_RESPONSE_INVALID 1

struct uapi_page_response {
	uint32_t cookie;
	uint32_t code;
};

struct uapi_ioas_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;
	uint64_t start;
	uint64_t length;
	uint64_t iova;
};
#define UAPI_IOAS_MAP_FILE UAPI_IOMMU(0x8f)

#define UAPI_VIOMMU_SMMUV3 1 /* type */

struct uapi_viommu_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t type;
	uint32_t dev_id;
	uint32_t hwpt_id;
	uint32_t out_viommu_id;
	uint32_t data_len;
	uint32_t reserved;
	uint64_t data_uptr;
};
#define UAPI_VIOMMU_ALLOC UAPI_IOMMU(0x90)

/* One for each device; it has to be destroyed before the device is closed. */
struct uapi_vdevice_alloc {
	uint32_t size;
	uint32_t viommu_id;
	uint32_t dev_id;
	uint32_t out_vdevice_id;
	uint64_t virt_id;
};
#define UAPI_VDEVICE_ALLOC UAPI_IOMMU(0x91)

/* Pins are accounted to the caller from now on. EINVAL: something is not mapped by its file. */
struct uapi_ioas_change_process {
	uint32_t size;
	uint32_t reserved;
};
#define UAPI_IOAS_CHANGE_PROCESS UAPI_IOMMU(0x92)

#define UAPI_VEVENTQ_SMMUV3 1 /* type: event records of 256 bits */

struct uapi_veventq_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t viommu_id;
	uint32_t type;
	uint32_t veventq_depth;
	uint32_t out_veventq_id;
	uint32_t out_veventq_fd;
	uint32_t reserved;
};
#define UAPI_VEVENTQ_ALLOC UAPI_IOMMU(0x93)

/* read() gives a header and an event, or with LOST a header alone. sequence: 31 bits, no gaps. */
#define UAPI_VEVENTQ_LOST 1

struct uapi_vevent_header {
	uint32_t flags;
	uint32_t sequence;
};

struct uapi_vevent_smmuv3 {
	uint64_t evt[4];
};

struct uapi_device_bind {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
};
#define UAPI_DEVICE_BIND UAPI_VFIO(18)

/* pt_id: in an IOAS or a page table, out the page table. A device that is attached moves. */
struct uapi_device_attach {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
};
#define UAPI_DEVICE_ATTACH UAPI_VFIO(19)

struct uapi_device_detach {
	uint32_t argsz;
	uint32_t flags;
};
#define UAPI_DEVICE_DETACH UAPI_VFIO(20)

#endif
