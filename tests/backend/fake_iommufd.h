/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel for the backend iommufd, as far as nested page tables go: objects with users, IOMMUs
 * of several makes, what they refuse, and what they have carried out. It stands behind ioctl().
 *
 * Where it refuses something the kernel does: Linux 7.3 drivers/iommu/iommufd/, intel/nested.c,
 * generic_pt/fmt/vtdss.h, arm-smmu-v3-iommufd.c. It is stricter in one thing: what is left when the
 * context is closed counts as a leak.
 */
#ifndef TESTS_BACKEND_FAKE_IOMMUFD_H
#define TESTS_BACKEND_FAKE_IOMMUFD_H

#include "../../engine/backend/nested.h"
#include "unreal.h"

#define FAKE_ENTRIES 4096
#define FAKE_OBJECTS 64

struct fake_device {
	uint32_t info_type;
	union nested_info info;
	unsigned int iommu; /* which one it is behind */
	bool can_wait;	    /* for faults */
	uint32_t id;
	uint32_t pt_id; /* attached to, or 0 */
};

enum fake_type { FAKE_NONE, FAKE_IOAS, FAKE_HWPT, FAKE_VIOMMU, FAKE_VDEVICE, FAKE_QUEUE };

struct fake_object {
	enum fake_type type;
	unsigned int users;
	uint32_t on; /* an object that it is a user of */
	uint32_t on_queue;
	unsigned int iommu;
	/* IOAS */
	unsigned int maps;
	unsigned int maps_readonly;
	/* HWPT */
	bool nest_parent;
	bool nested;
	uint32_t data_type;
	uint64_t data[NESTED_DATA_BYTES / 8];
	/* VDEVICE */
	uint64_t virt_id;
};

struct fake {
	struct fake_device devices[UNREAL_DEVICES];
	struct fake_object objects[FAKE_OBJECTS]; /* by id; 0 is none */
	unsigned int requests;			  /* so far; of these, invalidations */
	unsigned int invalidations;
	unsigned int fail_at; /* this request from now on fails, 1 the next; 0: none */
	int fail_with;
	unsigned int refuse;	   /* this many invalidations are refused, */
	unsigned int refuse_entry; /* at this entry */
	uint32_t inval_on;	   /* of the last one: the object, */
	uint32_t inval_type;	   /* type, entries that were carried out */
	unsigned int executed;	   /* since it was last set to 0 */
	uint64_t entries[FAKE_ENTRIES][NESTED_ENTRY_BYTES / 8];
	int events; /* where events of the last vIOMMU are written to */
	int faults; /* the kernel's end of the last queue of faults */
};

extern struct fake fake;

#endif
