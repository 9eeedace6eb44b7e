// SPDX-License-Identifier: GPL-2.0-only
/*
 * The formats of enum ioasid_format, as an IOMMU reads them for a device that neither asks for
 * privileges nor to execute. Nothing is written to the table: accessed and dirty bits stay as they
 * are, and where hardware would fault because it may not set them, the entry gives no right.
 *
 * Sources: Intel SDM vol. 3A, 4.5; Intel VT-d specification, 9.7 and 9.8; Arm Architecture
 * Reference Manual (DDI 0487), D8.3; AMD IOMMU specification (48882), 2.2.3; RISC-V privileged
 * specification, "Sv39" to "Sv57", and IOMMU specification, 3.3.
 */
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/kernel.h>

#include "../include/uapi/linux/ioasid.h"
#include "kioas_format.h"

#define RW (IOASID_PROT_READ | IOASID_PROT_WRITE)

static const struct kioas_entry none = { .type = KIOAS_ENTRY_NONE };
static const struct kioas_entry reserved = { .type = KIOAS_ENTRY_RESERVED };

static struct kioas_entry kioas_entry(bool leaf, u64 address, bool read, bool write)
{
	return (struct kioas_entry){
		.type = leaf ? KIOAS_ENTRY_LEAF : KIOAS_ENTRY_TABLE,
		.prot = (read ? IOASID_PROT_READ : 0) | (write ? IOASID_PROT_WRITE : 0),
		.address = address,
	};
}

/* x86-64: the first stage of VT-d, AMD's guest tables */

#define X86_PRESENT BIT_ULL(0)
#define X86_WRITE   BIT_ULL(1)
#define X86_USER    BIT_ULL(2)
#define X86_LARGE   BIT_ULL(7)
#define X86_ADDRESS GENMASK_ULL(51, 12)
#define X86_PAT	    BIT_ULL(12) /* of large pages */

static struct kioas_entry kioas_x86_64(u64 word, unsigned int level)
{
	const bool large = level && word & X86_LARGE;
	u64 address = word & X86_ADDRESS;

	if (!(word & X86_PRESENT))
		return none;
	if (large)
		address &= ~X86_PAT;
	return kioas_entry(!level || large, address, word & X86_USER,
			   word & X86_USER && word & X86_WRITE);
}

/* VT-d's second stage */

#define VTDSS_READ    BIT_ULL(0)
#define VTDSS_WRITE   BIT_ULL(1)
#define VTDSS_LARGE   BIT_ULL(7)
#define VTDSS_ADDRESS GENMASK_ULL(51, 12)

static struct kioas_entry kioas_vtdss(u64 word, unsigned int level)
{
	if (!(word & (VTDSS_READ | VTDSS_WRITE)))
		return none;
	return kioas_entry(!level || word & VTDSS_LARGE, word & VTDSS_ADDRESS, word & VTDSS_READ,
			   word & VTDSS_WRITE);
}

/* Arm VMSAv8-64, stage 1, without extensions that need 52-bit addresses */

#define ARM_VALID	 BIT_ULL(0)
#define ARM_TABLE	 BIT_ULL(1) /* at level 0: a page */
#define ARM_USER	 BIT_ULL(6)
#define ARM_READ_ONLY	 BIT_ULL(7)
#define ARM_ACCESSED	 BIT_ULL(10)
#define ARM_BELOW_NOUSER BIT_ULL(61) /* APTable: of all that lies below */
#define ARM_BELOW_RO	 BIT_ULL(62)
#define ARM_ADDRESS	 GENMASK_ULL(47, 12)

static struct kioas_entry kioas_arm64_s1(u64 word, unsigned int level)
{
	const u64 address = word & ARM_ADDRESS;
	bool access;

	if (!(word & ARM_VALID))
		return none;
	if (!level && !(word & ARM_TABLE))
		return reserved;
	if (level && word & ARM_TABLE) {
		access = !(word & ARM_BELOW_NOUSER);
		return kioas_entry(false, address, access, access && !(word & ARM_BELOW_RO));
	}
	access = word & ARM_USER && word & ARM_ACCESSED;
	return kioas_entry(true, address, access, access && !(word & ARM_READ_ONLY));
}

/* AMD host tables: each level points to the next one below, and pages have their level's size */

#define AMDV1_PRESENT  BIT_ULL(0)
#define AMDV1_READ     BIT_ULL(61)
#define AMDV1_WRITE    BIT_ULL(62)
#define AMDV1_RESERVED GENMASK_ULL(58, 52)
#define AMDV1_ADDRESS  GENMASK_ULL(51, 12)

static struct kioas_entry kioas_amdv1(u64 word, unsigned int level)
{
	const unsigned int next = word >> 9 & 7;

	if (!(word & AMDV1_PRESENT))
		return none;
	if (word & AMDV1_RESERVED || (next && next != level))
		return reserved;
	return kioas_entry(!next, word & AMDV1_ADDRESS, word & AMDV1_READ, word & AMDV1_WRITE);
}

/* RISC-V, without Svnapot */

#define RISCV_VALID    BIT_ULL(0)
#define RISCV_READ     BIT_ULL(1)
#define RISCV_WRITE    BIT_ULL(2)
#define RISCV_EXECUTE  BIT_ULL(3)
#define RISCV_USER     BIT_ULL(4)
#define RISCV_ACCESSED BIT_ULL(6)
#define RISCV_DIRTY    BIT_ULL(7)
#define RISCV_ADDRESS  GENMASK_ULL(53, 10)
#define RISCV_TYPE     GENMASK_ULL(62, 61)
#define RISCV_RESERVED (GENMASK_ULL(60, 54) | BIT_ULL(63))

static struct kioas_entry kioas_riscv(u64 word, unsigned int level)
{
	const u64 address = (word & RISCV_ADDRESS) << 2;
	const bool leaf = word & (RISCV_READ | RISCV_WRITE | RISCV_EXECUTE);
	bool access;

	if (!(word & RISCV_VALID))
		return none;
	if (word & RISCV_RESERVED || (word & RISCV_TYPE) == RISCV_TYPE)
		return reserved;
	if (!leaf)
		return word & (RISCV_USER | RISCV_ACCESSED | RISCV_DIRTY | RISCV_TYPE)
			       ? reserved
			       : kioas_entry(false, address, true, true);
	if (word & RISCV_WRITE && !(word & RISCV_READ))
		return reserved;
	access = word & RISCV_USER && word & RISCV_ACCESSED;
	return kioas_entry(true, address, access && word & RISCV_READ,
			   access && word & RISCV_WRITE && word & RISCV_DIRTY);
}

#define FORMAT(page, count, bits, leaf, function)                                            \
	{                                                                                    \
		.page_lg2 = page, .levels = count, .address_bits = bits, .leaf_level = leaf, \
		.parse = function                                                            \
	}

static const struct kioas_format kioas_formats[] = {
	/* x86-64 and RISC-V: the lower half of the addresses, as they are sign-extended */
	[IOASID_FORMAT_X86_64_L4] = FORMAT(12, 4, 47, 2, kioas_x86_64),
	[IOASID_FORMAT_X86_64_L5] = FORMAT(12, 5, 56, 2, kioas_x86_64),
	[IOASID_FORMAT_VTDSS_L4] = FORMAT(12, 4, 48, 2, kioas_vtdss),
	[IOASID_FORMAT_VTDSS_L5] = FORMAT(12, 5, 57, 2, kioas_vtdss),
	[IOASID_FORMAT_ARM64_S1_4K] = FORMAT(12, 4, 48, 2, kioas_arm64_s1),
	[IOASID_FORMAT_ARM64_S1_16K] = FORMAT(14, 4, 48, 1, kioas_arm64_s1),
	[IOASID_FORMAT_ARM64_S1_64K] = FORMAT(16, 3, 48, 1, kioas_arm64_s1),
	[IOASID_FORMAT_AMDV1_L4] = FORMAT(12, 4, 48, 2, kioas_amdv1),
	[IOASID_FORMAT_AMDV1_L5] = FORMAT(12, 5, 57, 3, kioas_amdv1),
	/* The upper half of 64 bits is left out, so that every range has an end. */
	[IOASID_FORMAT_AMDV1_L6] = FORMAT(12, 6, 63, 4, kioas_amdv1),
	[IOASID_FORMAT_RISCV_SV39] = FORMAT(12, 3, 38, 2, kioas_riscv),
	[IOASID_FORMAT_RISCV_SV48] = FORMAT(12, 4, 47, 3, kioas_riscv),
	[IOASID_FORMAT_RISCV_SV57] = FORMAT(12, 5, 56, 4, kioas_riscv),
};

const struct kioas_format *kioas_format(u32 number)
{
	return &kioas_formats[number];
}

struct kioas_entry kioas_format_entry(const struct kioas_format *format, u64 word,
				      unsigned int level)
{
	const struct kioas_entry entry = format->parse(word, level);
	unsigned int lg2;

	switch (entry.type) {
	case KIOAS_ENTRY_TABLE:
		if (!level)
			return reserved;
		lg2 = format->page_lg2;
		break;
	case KIOAS_ENTRY_LEAF:
		if (level > format->leaf_level)
			return reserved;
		lg2 = kioas_format_shift(format, level);
		break;
	default:
		return entry;
	}
	return entry.address & (BIT_ULL(lg2) - 1) ? reserved : entry;
}
