/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AMD IOMMU host tables ("v1"), with the default page size of each level.
 *
 * Source: AMD I/O Virtualization Technology (IOMMU) Specification (48882), 2.2.3 "I/O Page Tables
 * for Host Translations": page directory entry, page table entry, and page table level parameters.
 *
 *   bit 0      PR    present
 *   bits 1-4         ignored: ours are 1 and 2
 *   bit 5, 6   A, D  0: written by hardware only where the device table entry enables it
 *   bits 9-11  Next Level  0: this entry is a page, of the size of its level; 1 to 6: it points to
 * a table of that level, counted from 1 for the lowest, so it is the level here of the table that
 * holds the entry. (7, a page of another size, is not used) bits 12-51       address; bits 52-58
 * reserved: 0 bit 59     U     0 bit 60     FC    1 in a page: accesses are coherent whatever the
 * device says bit 61     IR    reads allowed, bit 62 IW writes allowed: by every entry on the way
 *   bit 63           ignored
 *   PR = 0: bits 1-63 are ignored
 *
 * The top level holds no pages (2.2.3), and 512 GiB ones have an erratum, so 1 GiB is the largest.
 * A table of N levels is mode N of the device table entry and translates 12 + 9 N bits. Six levels
 * translate all 64 bits; the upper half is left out, so that every range has an end.
 */
#define AMDV1_PR   (UINT64_C(1) << 0)
#define AMDV1_NEXT (UINT64_C(7) << 9)
#define AMDV1_FC   (UINT64_C(1) << 60)
#define AMDV1_IR   (UINT64_C(1) << 61)
#define AMDV1_IW   (UINT64_C(1) << 62)

#define FMT_LEAF_LEVEL	2
#define FMT_PRESENT	AMDV1_PR
#define FMT_ADDRESS	UINT64_C(0x000ffffffffff000)
#define FMT_OA_SHIFT	0
#define FMT_START	(UINT64_C(1) << 1)
#define FMT_CLAIM	(UINT64_C(1) << 2)
#define FMT_STAMP_SHIFT 1

#define FMT_TABLE(level) (AMDV1_PR | (uint64_t)(level) << 9 | AMDV1_IR | AMDV1_IW)
#define FMT_LEAF(prot, level)                                        \
	(AMDV1_PR | AMDV1_FC | (((prot)&IOAS_READ) ? AMDV1_IR : 0) | \
	 (((prot)&IOAS_WRITE) ? AMDV1_IW : 0))

static inline bool fmt_is_leaf(uint64_t entry, unsigned int level)
{
	return !(entry & AMDV1_NEXT);
}

static inline uint32_t fmt_prot(uint64_t entry)
{
	return ((entry & AMDV1_IR) ? IOAS_READ : 0) | ((entry & AMDV1_IW) ? IOAS_WRITE : 0);
}
