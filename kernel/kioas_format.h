/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Formats of tables that their owners write: geometry, and what one entry means. Pure functions of
 * a word that was read once.
 *
 * Level 0 holds pages; the root is of level @levels - 1. A table is as large as a page, its entries
 * have 8 bytes.
 */
#ifndef KIOAS_FORMAT_H
#define KIOAS_FORMAT_H

#include <linux/types.h>

/**
 * struct kioas_entry - what a word says
 * @type: KIOAS_ENTRY_RESERVED: it is present, but its format does not define what it means
 * @prot: enum ioasid_prot: the rights that it leaves; those of all entries on the way count
 * @address: of the table or page
 */
struct kioas_entry {
	enum kioas_entry_type {
		KIOAS_ENTRY_NONE,
		KIOAS_ENTRY_TABLE,
		KIOAS_ENTRY_LEAF,
		KIOAS_ENTRY_RESERVED,
	} type;
	u32 prot;
	u64 address;
};

/**
 * struct kioas_format - a format
 * @page_lg2: log2 of the bytes of a page
 * @levels: how many
 * @address_bits: width of an IOVA
 * @leaf_level: highest level whose entries may be leaves
 * @parse: type, rights and address; kioas_format_entry() checks level and alignment
 */
struct kioas_format {
	u8 page_lg2;
	u8 levels;
	u8 address_bits;
	u8 leaf_level;
	struct kioas_entry (*parse)(u64 word, unsigned int level);
};

#define KIOAS_FORMATS                                                               \
	(BIT_ULL(IOASID_FORMAT_X86_64_L4) | BIT_ULL(IOASID_FORMAT_X86_64_L5) |      \
	 BIT_ULL(IOASID_FORMAT_VTDSS_L4) | BIT_ULL(IOASID_FORMAT_VTDSS_L5) |        \
	 BIT_ULL(IOASID_FORMAT_ARM64_S1_4K) | BIT_ULL(IOASID_FORMAT_ARM64_S1_16K) | \
	 BIT_ULL(IOASID_FORMAT_ARM64_S1_64K) | BIT_ULL(IOASID_FORMAT_AMDV1_L4) |    \
	 BIT_ULL(IOASID_FORMAT_AMDV1_L5) | BIT_ULL(IOASID_FORMAT_AMDV1_L6) |        \
	 BIT_ULL(IOASID_FORMAT_RISCV_SV39) | BIT_ULL(IOASID_FORMAT_RISCV_SV48) |    \
	 BIT_ULL(IOASID_FORMAT_RISCV_SV57))

/* Of those in KIOAS_FORMATS. */
const struct kioas_format *kioas_format(u32 number);

struct kioas_entry kioas_format_entry(const struct kioas_format *format, u64 word,
				      unsigned int level);

/* log2 of what an entry of this level translates */
static inline unsigned int kioas_format_shift(const struct kioas_format *format, unsigned int level)
{
	return format->page_lg2 + level * (format->page_lg2 - 3);
}

/* The root's table may have less entries than fit. */
static inline unsigned int kioas_format_entries(const struct kioas_format *format,
						unsigned int level)
{
	if (level == format->levels - 1)
		return 1U << (format->address_bits - kioas_format_shift(format, level));
	return 1U << (format->page_lg2 - 3);
}

#endif
