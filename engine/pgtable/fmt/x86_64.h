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
 */
#define X86_P	     (UINT64_C(1) << 0)
#define X86_RW	     (UINT64_C(1) << 1)
#define X86_US	     (UINT64_C(1) << 2)
#define X86_A	     (UINT64_C(1) << 5)
#define X86_D	     (UINT64_C(1) << 6)
#define X86_PS	     (UINT64_C(1) << 7)
#define X86_START    (UINT64_C(1) << 9)
#define X86_CLAIM    (UINT64_C(1) << 10)
#define X86_ADDRESS  UINT64_C(0x000ffffffffff000)
#define X86_LEAF(rw) (X86_P | X86_US | X86_A | X86_D | ((rw) ? X86_RW : 0))

#define FMT_START      X86_START
#define FMT_CLAIM      X86_CLAIM
#define FMT_LEAF_LEVEL 2 /* highest level that can hold leaves */

#define FMT_FORM                                                                                   \
	{                                                                                          \
		.base = { [IOAS_READ] = X86_LEAF(0) | X86_START,                                   \
			  [IOAS_WRITE] = X86_LEAF(1) | X86_START,                                  \
			  [IOAS_RW] = X86_LEAF(1) | X86_START },                                   \
		.start = X86_START, .claim = X86_CLAIM, .present = X86_P, .oa_shift = 0, .stamp_shift = 1,             \
	}

static inline uint64_t fmt_table_entry(uint64_t addr)
{
	return addr | X86_P | X86_RW | X86_US | X86_A;
}

static inline uint64_t fmt_leaf_entry(uint64_t oa, uint32_t prot, unsigned int level)
{
	return oa | X86_LEAF(prot & IOAS_WRITE) | (level ? X86_PS : 0);
}

static inline bool fmt_present(uint64_t entry)
{
	return entry & X86_P;
}

static inline bool fmt_is_leaf(uint64_t entry, unsigned int level)
{
	return !level || (entry & X86_PS);
}

static inline uint64_t fmt_oa(uint64_t entry)
{
	return entry & X86_ADDRESS;
}

static inline uint32_t fmt_prot(uint64_t entry)
{
	return IOAS_READ | ((entry & X86_RW) ? IOAS_WRITE : 0);
}
