/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An IOMMU whose registers are ours: one file each, which packs its root structures for one device
 * (edu) and rings its doorbells. The rest of the program knows only this.
 */
#ifndef TESTS_LAB_WALK_IOMMU_H
#define TESTS_LAB_WALK_IOMMU_H

#include "../../pgtable/spec_walkers.h"
#include "board.h"

/**
 * struct iommu_fault - a record that the IOMMU has written
 * @page: address of the page, of 4 KiB, that was asked for
 * @prot: enum ioas_prot
 * @reasons: what it may mean, a bit for each enum spec_outcome; 0: something else
 */
struct iommu_fault {
	uint64_t page;
	uint32_t prot;
	unsigned int reasons;
};

struct iommu;

/**
 * struct iommu_ops - an IOMMU
 * @output_bits: width of the addresses that entries hold, where a machine can have memory at all
 *	of them; 0: it cannot
 * @start: enable it, with no table for the device
 * @attach: give the device a table; what was cached of another is forgotten
 * @forget: invalidate the leaves of a range
 * @flush: invalidate all of the device's translations
 * @fault: take the oldest fault record. Return: there was one
 */
struct iommu_ops {
	const char *name;
	const struct board_map *map;
	enum ioas_format formats[3];
	unsigned int output_bits;
	void (*start)(struct iommu *iommu);
	void (*attach)(struct iommu *iommu, enum ioas_format format, uint64_t root);
	void (*forget)(struct iommu *iommu, uint64_t iova, uint64_t bytes);
	void (*flush)(struct iommu *iommu);
	bool (*fault)(struct iommu *iommu, struct iommu_fault *fault);

	/*
	 * Where QEMU is not as the specification is; see "Conformance" in tests/lab/README.md.
	 *
	 * @hits_are_silent: an access that an entry of the cache forbids leaves no record
	 * @no_records: no access leaves one
	 * @no_pages: records have no address
	 * @aliases: address bits above the table's width are not looked at
	 * @unread_table, @unread_leaf: bits of an entry that have to be 1 and are not looked at
	 * @key_bits: bits of an address by which the cache tells pages apart
	 * @hole, @hole_end: what is written there is an interrupt and not translated
	 */
	bool hits_are_silent;
	bool no_records, no_pages;
	bool aliases;
	uint64_t unread_table, unread_leaf;
	unsigned int key_bits;
	uint64_t hole, hole_end;
};

struct iommu {
	const struct iommu_ops *ops;
	struct board *board;
	void *own; /* the file's, from start() on */
};

extern const struct iommu_ops iommu_vtd, iommu_vtd_first, iommu_amd, iommu_amd_7_2, iommu_riscv,
	iommu_smmuv3;

#define FIELD(value, low) ((uint64_t)(value) << (low))

static inline void iommu_write32(struct iommu *iommu, uint64_t reg, uint32_t value)
{
	qemu_write32(&iommu->board->qemu, reg, value);
}

static inline void iommu_write64(struct iommu *iommu, uint64_t reg, uint64_t value)
{
	qemu_write64(&iommu->board->qemu, reg, value);
}

static inline uint32_t iommu_read32(struct iommu *iommu, uint64_t reg)
{
	return qemu_read32(&iommu->board->qemu, reg);
}

static inline uint64_t iommu_read64(struct iommu *iommu, uint64_t reg)
{
	return qemu_read64(&iommu->board->qemu, reg);
}

#endif
