/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Walkers for formats that the software IOMMU does not have, each written from its specification
 * alone: neither the builder's format headers nor the tables of tables.h are used. They are
 * strict: what the specification reserves, and what this library says that it does not use,
 * makes a walk fail. Addresses in entries are those of the process.
 */
#ifndef TESTS_PGTABLE_SPEC_WALKERS_H
#define TESTS_PGTABLE_SPEC_WALKERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ioas/types.h>

enum spec_outcome {
	SPEC_PASSED,
	SPEC_NOT_PRESENT,
	SPEC_NO_RIGHT,
	SPEC_NO_ADDRESS,
	SPEC_RESERVED, /* the table is wrong */
};

struct spec_leaf {
	uint64_t oa; /* of the access itself */
	uint64_t bytes;
};

static inline uint64_t spec_read(uint64_t table, uint64_t index)
{
	return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)(table + index * 8),
				    memory_order_acquire);
}

/* Bits @high to @low, in their place. */
static inline uint64_t spec_bits(uint64_t value, unsigned int high, unsigned int low)
{
	return value >> low << low << (63 - high) >> (63 - high);
}

/*
 * Arm VMSAv8-64, stage 1, DDI 0487: D8.2 (levels and indices of each granule; lookup begins at
 * the level that resolves the top bits and ends at level 3), D8.3.1 (descriptors), D8.4 (direct
 * permissions). T0SZ 16, 48-bit output, no TTB1, no hardware update of AF or dirty state.
 */
static inline enum spec_outcome spec_arm64(unsigned int granule_lg2, uint64_t ttb, uint64_t va,
					   uint32_t prot, struct spec_leaf *leaf)
{
	const unsigned int stride = granule_lg2 - 3;
	unsigned int level = 4 - (48 - granule_lg2 + stride - 1) / stride;
	uint64_t table = ttb;

	if (va >> 48)
		return SPEC_NO_ADDRESS;
	if (table % (UINT64_C(1) << granule_lg2))
		return SPEC_RESERVED;
	for (;; level++) {
		const unsigned int low = granule_lg2 + (3 - level) * stride;
		const uint64_t size = UINT64_C(1) << low;
		uint64_t desc = spec_read(table, va / size % (UINT64_C(1) << stride));
		bool may_be_block = granule_lg2 == 12 ? level == 1 || level == 2 : level == 2;
		uint64_t address = spec_bits(desc, 47, 12);

		if (!(desc & 1))
			return SPEC_NOT_PRESENT;
		if (level < 3 && (desc & 2)) {
			/* Hierarchical attributes are not used, nor are the bits below. */
			if (desc - address != 3 || address % (UINT64_C(1) << granule_lg2))
				return SPEC_RESERVED;
			table = address;
			continue;
		}
		if (level == 3 ? !(desc & 2) : !may_be_block)
			return SPEC_RESERVED;
		if (address % size)
			return SPEC_RESERVED;
		/* AttrIdx 0, NS 0; SH inner; AF; nG; bits 50 to 52 0; PXN, UXN; 57 to 63 0. */
		if (spec_bits(desc, 5, 2) || spec_bits(desc, 9, 8) != 3 << 8 ||
		    !spec_bits(desc, 10, 10) || !spec_bits(desc, 11, 11) ||
		    spec_bits(desc, 52, 48) || spec_bits(desc, 54, 53) != UINT64_C(3) << 53 ||
		    spec_bits(desc, 63, 57))
			return SPEC_RESERVED;
		/* AP[2:1] of an unprivileged access: x0 none, 01 read and write, 11 read. */
		if (!spec_bits(desc, 6, 6) || ((prot & IOAS_WRITE) && spec_bits(desc, 7, 7)))
			return SPEC_NO_RIGHT;
		*leaf = (struct spec_leaf){ address + va % size, size };
		return SPEC_PASSED;
	}
}

/*
 * AMD IOMMU, 48882 2.2.3: a table of level N (from 1) is indexed by 9 address bits from
 * 12 + 9 (N - 1) on; an entry with Next Level 0 is a page of the size that its table's entries
 * cover; IR and IW of all entries on the way are combined. Mode is the level of the root table.
 */
static inline enum spec_outcome spec_amdv1(unsigned int mode, uint64_t root, uint64_t address,
					   uint32_t prot, struct spec_leaf *leaf)
{
	uint64_t table = root;
	bool read = true, write = true;

	if (mode < 6 && address >> (12 + 9 * mode))
		return SPEC_NO_ADDRESS;
	for (unsigned int level = mode;; level--) {
		const unsigned int low = 12 + 9 * (level - 1);
		uint64_t entry = spec_read(table, address >> low & 511);
		uint64_t target = spec_bits(entry, 51, 12);
		unsigned int next = spec_bits(entry, 11, 9) >> 9;

		if (!(entry & 1))
			return SPEC_NOT_PRESENT;
		if (spec_bits(entry, 58, 52))
			return SPEC_RESERVED;
		read &= !!spec_bits(entry, 61, 61);
		write &= !!spec_bits(entry, 62, 62);
		if (next) {
			/* No level is skipped, and only pages carry U and FC. */
			if (next != level - 1 || spec_bits(entry, 60, 59))
				return SPEC_RESERVED;
			table = target;
			continue;
		}
		/* The top level of six holds none. FC 1, U 0. */
		if (level == 6 || target % (UINT64_C(1) << low) ||
		    spec_bits(entry, 60, 59) != UINT64_C(1) << 60)
			return SPEC_RESERVED;
		if (((prot & IOAS_READ) && !read) || ((prot & IOAS_WRITE) && !write))
			return SPEC_NO_RIGHT;
		*leaf = (struct spec_leaf){ target + spec_bits(address, low - 1, 0),
					    UINT64_C(1) << low };
		return SPEC_PASSED;
	}
}

/*
 * RISC-V privileged ISA, "Virtual Address Translation Process", for a user-mode access without
 * hardware update of A and D; PTESIZE 8, 9 bits of the address for each level.
 */
static inline enum spec_outcome spec_riscv(unsigned int levels, uint64_t root, uint64_t va,
					   uint32_t prot, struct spec_leaf *leaf)
{
	const unsigned int va_bits = 12 + 9 * levels;
	int64_t extended = (int64_t)(va << (64 - va_bits)) >> (64 - va_bits);
	uint64_t a = root;

	if ((uint64_t)extended != va)
		return SPEC_NO_ADDRESS;
	for (int i = levels - 1; i >= 0; i--) {
		uint64_t pte = spec_read(a, va >> (12 + 9 * i) & 511);
		bool v = pte & 1, r = pte & 2, w = pte & 4, x = pte & 8, u = pte & 16;
		bool accessed = pte & 64, dirty = pte & 128;
		uint64_t ppn = spec_bits(pte, 53, 10) >> 10;

		if (!v)
			return SPEC_NOT_PRESENT;
		if ((w && !r) || x || spec_bits(pte, 63, 54) || spec_bits(pte, 5, 5))
			return SPEC_RESERVED;
		if (!r) {
			/* Reserved in what points to a table. */
			if (u || accessed || dirty)
				return SPEC_RESERVED;
			a = ppn << 12;
			continue;
		}
		if (!u)
			return SPEC_NO_RIGHT;
		if (ppn % (UINT64_C(1) << (9 * i)))
			return SPEC_RESERVED;
		if ((prot & IOAS_WRITE) && !w)
			return SPEC_NO_RIGHT;
		if (!accessed || ((prot & IOAS_WRITE) && !dirty))
			return SPEC_RESERVED;
		*leaf = (struct spec_leaf){ (ppn << 12) + spec_bits(va, 12 + 9 * i - 1, 0),
					    UINT64_C(4096) << (9 * i) };
		return SPEC_PASSED;
	}
	return SPEC_RESERVED;
}

/* VT-d 3.7, 9.8: second stage. R and W of all entries on the way are combined. */
static inline enum spec_outcome spec_vtdss(unsigned int levels, uint64_t root, uint64_t address,
					   uint32_t prot, struct spec_leaf *leaf)
{
	uint64_t table = root;
	uint64_t rights = 3;

	if (address >> (12 + 9 * levels))
		return SPEC_NO_ADDRESS;
	for (unsigned int low = 3 + 9 * levels;; low -= 9) {
		uint64_t entry = spec_read(table, address >> low & 511);
		uint64_t target = spec_bits(entry, 51, 12);

		if (!(entry & 3))
			return SPEC_NOT_PRESENT;
		/* X, memory type, IPAT, A, D, SNP, TM: not used. */
		if (spec_bits(entry, 6, 2) || spec_bits(entry, 11, 8) || spec_bits(entry, 63, 62))
			return SPEC_RESERVED;
		rights &= entry;
		if (low > 12 && !spec_bits(entry, 7, 7)) {
			table = target;
			continue;
		}
		if (low > 30 || target % (UINT64_C(1) << low))
			return SPEC_RESERVED;
		if (((prot & IOAS_READ) && !(rights & 1)) || ((prot & IOAS_WRITE) && !(rights & 2)))
			return SPEC_NO_RIGHT;
		*leaf = (struct spec_leaf){ target + spec_bits(address, low - 1, 0),
					    UINT64_C(1) << low };
		return SPEC_PASSED;
	}
}

/* The walker of a format; SPEC_RESERVED for those that have none here. */
static inline enum spec_outcome spec_walk(enum ioas_format format, uint64_t root, uint64_t iova,
					  uint32_t prot, struct spec_leaf *leaf)
{
	switch (format) {
	case IOAS_FORMAT_VTDSS_L4:
		return spec_vtdss(4, root, iova, prot, leaf);
	case IOAS_FORMAT_VTDSS_L5:
		return spec_vtdss(5, root, iova, prot, leaf);
	case IOAS_FORMAT_ARM64_S1_4K:
		return spec_arm64(12, root, iova, prot, leaf);
	case IOAS_FORMAT_ARM64_S1_16K:
		return spec_arm64(14, root, iova, prot, leaf);
	case IOAS_FORMAT_ARM64_S1_64K:
		return spec_arm64(16, root, iova, prot, leaf);
	case IOAS_FORMAT_AMDV1_L4:
		return spec_amdv1(4, root, iova, prot, leaf);
	case IOAS_FORMAT_AMDV1_L5:
		return spec_amdv1(5, root, iova, prot, leaf);
	case IOAS_FORMAT_AMDV1_L6:
		return spec_amdv1(6, root, iova, prot, leaf);
	case IOAS_FORMAT_RISCV_SV39:
		return spec_riscv(3, root, iova, prot, leaf);
	case IOAS_FORMAT_RISCV_SV48:
		return spec_riscv(4, root, iova, prot, leaf);
	case IOAS_FORMAT_RISCV_SV57:
		return spec_riscv(5, root, iova, prot, leaf);
	default:
		return SPEC_RESERVED;
	}
}

#endif
