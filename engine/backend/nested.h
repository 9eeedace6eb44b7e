/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What iommufd_user.c has to be told of a make of IOMMU to nest a table of ours on the kernel's:
 * numbers of the kernel's interface, and functions that pack and unpack structures. They keep no
 * state and make no system calls; the order of requests, errors and repetitions are
 * iommufd_user.c's, the same for all.
 *
 *   smmuv3.c  Arm SMMUv3
 *   vtd.c     Intel VT-d
 *   amdvi.c   AMD-Vi, of which the kernel does not nest any yet
 *
 * All words are little-endian in memory; this is built for little-endian processors only.
 */
#ifndef ENGINE_BACKEND_NESTED_H
#define ENGINE_BACKEND_NESTED_H

#include "backend.h"
#include "uapi_iommufd.h"

#define NESTED_DATA_BYTES  32 /* the longest struct of a nested page table, */
#define NESTED_ENTRY_BYTES 24 /* of an entry of an invalidation, */
#define NESTED_EVENT_BYTES 32 /* of an event */

/* What UAPI_GET_HW_INFO tells. */
union nested_info {
	struct uapi_hw_info_vtd vtd;
	struct uapi_hw_info_arm_smmuv3 smmuv3;
	struct uapi_hw_info_amd amd;
};

/* What follows from it. */
struct nested_traits {
	uint32_t formats; /* mask of 1 << enum ioas_format */
	/*
	 * Caches tell address spaces apart by a number of ours, below this one; 0 is not used. 0:
	 * the kernel numbers them.
	 */
	unsigned int tags;
	bool repeat;	/* an erratum: invalidations have to be issued twice */
	bool writeable; /* the kernel takes no read-only mappings in a parent */
	bool requests;	/* devices that can may wait for pages */
};

struct nested_table {
	enum ioas_format format;
	uint64_t root; /* addresses are the parent's */
	void *scratch; /* see struct be_space_attr */
	uint64_t scratch_addr;
	uint32_t tag; /* 0: none yet, or the kernel numbers them */
};

struct nested_event {
	uint32_t virt_id; /* of the vDevice */
	uint64_t iova;	  /* page address; 0 if the event has none */
	uint32_t reason;  /* enum ioas_fault_reason */
	uint32_t prot;	  /* IOAS_READ or IOAS_WRITE */
};

struct nested_ops {
	uint32_t info_type;   /* UAPI_HW_INFO_ */
	uint32_t viommu_type; /* UAPI_VIOMMU_; 0: tables nest on the parent's page table itself */
	uint32_t data_type;   /* UAPI_HWPT_DATA_, and the bytes of its struct */
	uint32_t data_bytes;
	uint32_t inval_type; /* UAPI_INVALIDATE_, and the bytes of an entry */
	uint32_t inval_bytes;
	uint32_t event_type; /* UAPI_VEVENTQ_, and the bytes of an event; 0: there are none */
	uint32_t event_bytes;
	bool maps_interrupts;  /* the writes that raise interrupts go through our tables, too */
	const char *no_viommu; /* what a vIOMMU lacks that is refused with EOPNOTSUPP */

	/* Can devices behind it have tables of ours? NULL, or what is missing, for a message. */
	const char *(*why_not)(const union nested_info *info, struct nested_traits *traits);

	/* The struct of a nested page table; prepares the scratch page. */
	void (*table)(const union nested_info *info, const struct nested_table *table, void *data);

	/* Entries for a range. Return: how many, or 0 if more than @max would be needed. */
	unsigned int (*inval)(const union nested_info *info, const struct nested_table *table,
			      const struct be_inval *range, void *entries, unsigned int max);

	/* One entry for everything that a table has in caches. */
	void (*inval_all)(const struct nested_table *table, void *entry);

	/* Return: false for records that are no fault of a device's access. */
	bool (*event)(const void *record, struct nested_event *event);
};

extern const struct nested_ops smmuv3_nested;
extern const struct nested_ops vtd_nested;
extern const struct nested_ops amdvi_nested;

#endif
