/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * x86-64 paging entries, as the VT-d first stage and AMD v2 tables use them.
 *
 * Sources: Intel SDM vol. 3A, 4.5 "4-level paging and 5-level paging", tables 4-14 to 4-20; Intel
 * VT-d specification, 9.7 "First-Stage Paging Entries" and 3.6 "First-Stage Translation"; AMD
 * IOMMU specification 2.2.6 (guest tables).
 *
 *   bit 0      P     present
 *   bit 1      R/W   writes allowed; reads always are
 *   bit 2      U/S   1: requests are user-mode unless they say otherwise (VT-d 3.6.1)
 *   bits 3,4   PWT, PCD  0: write-back
 *   bit 5, 6   A, D  set here, so that no walker has to write to the table
 *   bit 7      PS    level 1 and 2: this entry is a leaf
 *   bits 9-11        ignored: ours
 *   bits 12-51       address; bits 52-62 ignored; bit 63 XD
 *   P = 0: every other bit is ignored (SDM 4.5.4)
 *
 * No entry has to be broken before it is made again, as Arm wants it; but none is changed from
 * present to present either, so that what a cache holds is what was mapped last, or nothing.
 */
#define X86_P  (UINT64_C(1) << 0)
#define X86_RW (UINT64_C(1) << 1)
#define X86_US (UINT64_C(1) << 2)
#define X86_A  (UINT64_C(1) << 5)
#define X86_D  (UINT64_C(1) << 6)
#define X86_PS (UINT64_C(1) << 7)

#define FMT_LEAF_LEVEL	2
#define FMT_PRESENT	X86_P
#define FMT_ADDRESS	UINT64_C(0x000ffffffffff000)
#define FMT_OA_SHIFT	0
#define FMT_START	(UINT64_C(1) << 9)
#define FMT_CLAIM	(UINT64_C(1) << 10)
#define FMT_STAMP_SHIFT 1

#define FMT_TABLE(level) (X86_P | X86_RW | X86_US | X86_A)
#define FMT_LEAF(prot, level)                                                  \
	(X86_P | X86_US | X86_A | X86_D | (((prot)&IOAS_WRITE) ? X86_RW : 0) | \
	 ((level) ? X86_PS : 0))

static inline bool fmt_is_leaf(uint64_t entry, unsigned int level)
{
	return !level || (entry & X86_PS);
}

static inline uint32_t fmt_prot(uint64_t entry)
{
	return IOAS_READ | ((entry & X86_RW) ? IOAS_WRITE : 0);
}
