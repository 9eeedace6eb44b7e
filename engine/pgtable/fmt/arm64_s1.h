/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arm VMSAv8-64 stage 1 descriptors, as SMMUv3 reads them, for granules of 4, 16 and 64 KiB with
 * 48-bit output addresses. Input addresses are the 48 bits of TTB0 (T0SZ 16); TTB1 is disabled.
 *
 * Sources: Arm Architecture Reference Manual for A-profile (DDI 0487), D8.3 "Translation table
 * descriptor formats" (D8.3.1.1 Table, D8.3.1.2 Block and Page descriptors), D8.2 for the geometry
 * of each granule; SMMUv3 architecture (IHI 0070), 3.4 and 5.4 "Context Descriptor".
 *
 *   bits 1:0           0b11 table, or page at level 0 (Arm counts from the top: 3); 0b01 block;
 *                      bit 0 = 0: invalid, and bits 63:1 are ignored
 *   bits 4:2  AttrIdx  0: the context descriptor's MAIR.Attr0 is 0xff, normal write-back memory
 *   bit 5     NS       0: ignored by non-secure streams
 *   bits 7:6  AP[2:1]  [1] = 1: devices are unprivileged unless they say otherwise;
 *                      [2] = 1: read-only. There is no write-only
 *   bits 9:8  SH       0b11 inner shareable: coherent with the processors
 *   bit 10    AF       1: set here, so that no access faults for it and no walker writes to it
 *   bit 11    nG       1: belongs to the context's ASID. A global entry would be found by every
 *                      ASID of the VMID, and TLBI_NH_ASID would leave it
 *   bits 47:n          address
 *   bit 50    GP       0
 *   bit 51    DBM      0: dirty state is not tracked
 *   bit 52    Contig   0, see below
 *   bits 54:53 UXN,PXN 1: what was asked for is reading and writing, not execution
 *   bits 58:55         ignored: ours are 55 and 56
 *   bits 63:59         PBHA and extensions: 0. Of a table: limits for what lies below, 0
 *
 * Blocks: 2 MiB and 1 GiB with 4 KiB; 32 MiB with 16 KiB; 512 MiB with 64 KiB. (64 GiB and 4 TiB
 * need FEAT_LPA2 and 52-bit addresses.)
 *
 * Contiguous hint: not set. It lets hardware cache one translation for 16 entries (16 KiB granule:
 * 128 pages, 32 blocks; 64 KiB: 32) of which it has read one, and all of them have to be valid and
 * alike. Entries here come one store at a time, and pt_map() may find a neighbour's mapping in the
 * middle of such a group and take its own half back: what a device has cached by then covers the
 * neighbour as well. Mappings of one page each, which is what a queue makes most of, could not have
 * it anyway. Readers here do not mind the bit.
 *
 * Break-before-make (D8.16.1: a valid descriptor that is to have another address, size or
 * attributes must be invalid, and that be invalidated, in between): a valid leaf is only ever made
 * invalid, but for bits 55 and 56, which the hardware ignores; and an entry is made valid for
 * something else only after an invalidation that covers what it was has completed, since until then
 * its IOVA is not handed out (I1, stamps of fixed pages). A window's slot may be granted again
 * before that: by the same descriptor. Table descriptors stay for the life of the space: none is
 * replaced by a block, nor a block by a table while it is valid.
 */
#define ARM_VALID    (UINT64_C(1) << 0)
#define ARM_TABLE    (UINT64_C(1) << 1) /* of a valid one; at level 0: a page */
#define ARM_AP_USER  (UINT64_C(1) << 6)
#define ARM_AP_RO    (UINT64_C(1) << 7)
#define ARM_SH_INNER (UINT64_C(3) << 8)
#define ARM_AF	     (UINT64_C(1) << 10)
#define ARM_NG	     (UINT64_C(1) << 11)
#define ARM_XN	     (UINT64_C(3) << 53)

#define FMT_LEAF_LEVEL	(FMT_PAGE_LG2 == 12 ? 2 : 1)
#define FMT_PRESENT	ARM_VALID
#define FMT_ADDRESS	UINT64_C(0x0000fffffffff000)
#define FMT_OA_SHIFT	0
#define FMT_START	(UINT64_C(1) << 55)
#define FMT_CLAIM	(UINT64_C(1) << 56)
#define FMT_STAMP_SHIFT 1

#define FMT_TABLE(level) (ARM_VALID | ARM_TABLE)
#define FMT_LEAF(prot, level)                                                \
	(ARM_VALID | ARM_AP_USER | ARM_SH_INNER | ARM_AF | ARM_NG | ARM_XN | \
	 (((prot)&IOAS_WRITE) ? 0 : ARM_AP_RO) | ((level) ? 0 : ARM_TABLE))

static inline bool fmt_is_leaf(uint64_t entry, unsigned int level)
{
	return !level || !(entry & ARM_TABLE);
}

static inline uint32_t fmt_prot(uint64_t entry)
{
	return (entry & ARM_AP_RO) ? IOAS_READ : IOAS_RW;
}
