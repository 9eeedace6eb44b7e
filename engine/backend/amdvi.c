/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AMD-Vi: devices behind it have KERNEL spaces only. The interface has a struct for a guest's table
 * (IOMMU_HWPT_DATA_AMD_GUEST: the four words of a device table entry), and Linux 7.3 can check and
 * install one (drivers/iommu/amd/nested.c); but nothing calls that, as the operations of its vIOMMU
 * hold neither alloc_domain_nested() nor cache_invalidate() (amd/iommufd.c), and the interface has
 * no data type for an invalidation. Without one nothing could ever be unmapped.
 *
 * Once the kernel has both, this file wants what vtd.c has: x86-64 tables (AMD v2), four or five
 * levels. A device table entry with V and GV; GLX 0, a GCR3 table of one level, which is the
 * scratch page with the root and bit 0 in its first word, named by its address in the parent (bits
 * 14:12 in word 0 58:60, bits 30:15 in word 1 16:31, bits 51:31 in word 1 43:63); GIOV, so that
 * requests without a PASID use entry 0; the paging mode in word 2 54:55; and a domain ID in word 1
 * 0:15, which would be the tag of struct nested_traits. To check: EFR.GTSup, EFR.GIOSup and
 * EFR2.GCR3TRPMode, and that the walker sets no accessed bits, or finds them set.
 *
 * Source: Linux drivers/iommu/amd/, include/uapi/linux/iommufd.h; AMD IOMMU specification 2.2.2.
 */
#include "nested.h"

static const char *why_not(const union nested_info *info, struct nested_traits *traits)
{
	return "the kernel has no invalidation of tables nested on AMD-Vi";
}

const struct nested_ops amdvi_nested = {
	.info_type = UAPI_HW_INFO_AMD,
	.why_not = why_not,
};
