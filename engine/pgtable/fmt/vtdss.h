/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VT-d second-stage entries (the EPT shape).
 *
 * Source: Intel VT-d specification, 9.8 "Second-Stage Paging Entries", 3.7 "Second-Stage
 * Translation".
 *
 *   bit 0      R     reads allowed
 *   bit 1      W     writes allowed
 *   bit 2      X     ignored by requests without PASID: 0
 *   bit 7      PS    level 1 and 2: this entry is a leaf
 *   bits 8-10        accessed, dirty when enabled; else ignored
 *   bit 11     SNP   0
 *   bits 12-51       address
 *   bits 52-61       ignored: ours are 52 and 53; bit 62 TM: 0
 *   R = W = 0: not present, the rest is ignored
 */
#define VTDSS_R	 (UINT64_C(1) << 0)
#define VTDSS_W	 (UINT64_C(1) << 1)
#define VTDSS_PS (UINT64_C(1) << 7)

#define FMT_LEAF_LEVEL	2
#define FMT_PRESENT	(VTDSS_R | VTDSS_W)
#define FMT_ADDRESS	UINT64_C(0x000ffffffffff000)
#define FMT_OA_SHIFT	0
#define FMT_START	(UINT64_C(1) << 52)
#define FMT_CLAIM	(UINT64_C(1) << 53)
#define FMT_STAMP_SHIFT 3 /* above X: it may be a right that makes an entry present */

#define FMT_TABLE(level) (VTDSS_R | VTDSS_W)
#define FMT_LEAF(prot, level)                                                       \
	((((prot)&IOAS_READ) ? VTDSS_R : 0) | (((prot)&IOAS_WRITE) ? VTDSS_W : 0) | \
	 ((level) ? VTDSS_PS : 0))

static inline bool fmt_is_leaf(uint64_t entry, unsigned int level)
{
	return !level || (entry & VTDSS_PS);
}

static inline uint32_t fmt_prot(uint64_t entry)
{
	return ((entry & VTDSS_R) ? IOAS_READ : 0) | ((entry & VTDSS_W) ? IOAS_WRITE : 0);
}
