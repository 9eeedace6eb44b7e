/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Intel VT-d: first-stage tables in nested mode. A table is named by its root and width alone: the
 * kernel numbers it in the caches, finds the IOMMUs that it is used on, and flushes devices' own
 * caches (ATS) as well. There is no vIOMMU, and so no queue of events: faults of these spaces are
 * told to the kernel's log only, but for those that a device can wait for (iommufd_iopf.c).
 *
 * Mapping needs no invalidation, caching mode (CAP.CM) or not: in that mode entries that are not
 * present may be cached except those of first-stage tables (6.1). Changes to the parent are the
 * kernel's to invalidate, and it does.
 *
 * Memory ordering of an invalidation: entries were cleared by stores that happen before the call
 * (inval.h). x86 makes stores visible in order, and the kernel's write of the queue's tail register
 * comes after them; what the IOMMU reads once it has seen that register is newer than the clear. It
 * snoops the processors' caches (ECAP.SMPWC, checked), so nothing has to be written back, and no
 * barrier of our own is needed. The wait descriptor at the end of the call drains DMA in flight
 * (6.5.2.8, 6.5.4). No entry has to be broken before it is made again: a leaf that replaces
 * another, or a larger one in place of smaller ones, is written after an invalidation that covers
 * the old one has completed, since that is when its addresses are handed out again (I1).
 *
 * Our tables are walked, not written: accessed and dirty bits are set when an entry is made
 * (fmt/x86_64.h), and the extended accessed flag is not asked for. So they could be read-only in
 * the parent, but for erratum 772415 (SPR17), for which the kernel, since it first could nest,
 * allows no read-only mapping in any parent. They are mapped for writing then. What that opens: an
 * entry that points at a table lets its device write to tables. The library makes no such entry; if
 * something else does, the device reaches what its parent maps, as it could before.
 *
 * Source: Intel VT-d specification rev. 4.1; Linux drivers/iommu/intel/nested.c, pasid.c.
 */
#include "nested.h"

#define BIT(n) (UINT64_C(1) << (n))

/* 11.4.2, 11.4.3 */
#define CAP_RWBF   BIT(4)
#define CAP_FS1GP  BIT(56)
#define CAP_FS5LP  BIT(60)
#define ECAP_NEST  BIT(26)
#define ECAP_PRS   BIT(29)
#define ECAP_SMTS  BIT(43)
#define ECAP_SSTS  BIT(46)
#define ECAP_FSTS  BIT(47)
#define ECAP_SMPWC BIT(48)

static const char *why_not(const union nested_info *info, struct nested_traits *traits)
{
	const uint64_t cap = info->vtd.cap_reg, ecap = info->vtd.ecap_reg;

	if (!(ecap & ECAP_SMTS) || !(ecap & ECAP_FSTS) || !(ecap & ECAP_SSTS))
		return "its IOMMU does not have both stages (scalable mode)";
	if (!(ecap & ECAP_NEST))
		return "its IOMMU does not nest (ECAP.NEST)";
	/* Without, every store into a table would have to be flushed to memory. */
	if (!(ecap & ECAP_SMPWC))
		return "its IOMMU does not read tables coherently (ECAP.SMPWC)";
	/* Stores into tables would wait in a buffer until the kernel flushes that (6.8). */
	if (cap & CAP_RWBF)
		return "its IOMMU needs its write buffer flushed (CAP.RWBF)";
	/* The table builder uses them where it can. */
	if (!(cap & CAP_FS1GP))
		return "its IOMMU has no pages of 1 GiB in the first stage (CAP.FS1GP)";
	*traits = (struct nested_traits){
		.formats = 1 << IOAS_FORMAT_X86_64_L4 |
			   (cap & CAP_FS5LP ? 1 << IOAS_FORMAT_X86_64_L5 : 0),
		.requests = ecap & ECAP_PRS,
		.writeable = info->vtd.flags & UAPI_VTD_ERRATA_772415_SPR17,
	};
	return NULL;
}

/* No supervisor requests (SRE, WPE): what is ours is user mode's. No extended accessed flag. */
static void table(const union nested_info *info, const struct nested_table *table, void *data)
{
	*(struct uapi_hwpt_vtd_s1 *)data = (struct uapi_hwpt_vtd_s1){
		.pgtbl_addr = table->root,
		.addr_width = table->format == IOAS_FORMAT_X86_64_L5 ? 57 : 48,
	};
}

/*
 * LEAF is the invalidation hint (IH) of 6.5.2.4: paging-structure caches stay. The kernel cuts a
 * range into naturally aligned ones as the hardware wants them.
 */
static unsigned int inval(const union nested_info *info, const struct nested_table *table,
			  const struct be_inval *range, void *entries, unsigned int max)
{
	if (!max)
		return 0;
	*(struct uapi_inval_vtd_s1 *)entries = (struct uapi_inval_vtd_s1){
		.addr = range->iova,
		.npages = range->bytes >> IOAS_PAGE_SHIFT,
		.flags = range->leaf ? UAPI_VTD_INV_LEAF : 0,
	};
	return 1;
}

static void inval_all(const struct nested_table *table, void *entry)
{
	*(struct uapi_inval_vtd_s1 *)entry = (struct uapi_inval_vtd_s1){ .npages = UINT64_MAX };
}

const struct nested_ops vtd_nested = {
	.info_type = UAPI_HW_INFO_INTEL_VTD,
	.data_type = UAPI_HWPT_DATA_VTD_S1,
	.data_bytes = sizeof(struct uapi_hwpt_vtd_s1),
	.inval_type = UAPI_INVALIDATE_VTD_S1,
	.inval_bytes = sizeof(struct uapi_inval_vtd_s1),
	.why_not = why_not,
	.table = table,
	.inval = inval,
	.inval_all = inval_all,
};
