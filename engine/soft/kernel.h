/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel half of the soft backend: what a program would find in the kernel under it, of a
 * driver's shape, on the units of the software IOMMU.
 *
 *   engine/backend/soft.c   context, memory, devices, the table of operations
 *   kernel_space.c          address spaces, domain ids, attachment
 *   kernel_map.c            map, unmap, invalidate, dirty pages
 *   device.c                the device side, soft.h
 *
 * Every map, unmap and invalidate call enters the real kernel once, however long its array is,
 * as a call on a driver's device file would; the kernel finds that it knows no such request and
 * comes back.
 *
 * Locking: a KERNEL space has a mutex for its table and its list of children. @units of a space
 * says which units may hold translations of it. It is read after the table has changed and a full
 * barrier, and set by an atomic read-modify-write before a device is attached: whichever comes
 * first, either the change is seen by the device's walks or the unit by the invalidation.
 * Devices, domain ids and @users are guarded by the context's lock (see backend.h).
 */
#ifndef ENGINE_SOFT_KERNEL_H
#define ENGINE_SOFT_KERNEL_H

#include "../backend/backend.h"
#include "../pgtable/pt.h"
#include "options.h"
#include "pin.h"
#include "request.h"
#include "soft.h"
#include "unit.h"

struct soft_dev {
	struct be_dev base;
	struct soft_endpoint endpoint;
	unsigned int unit;
	struct soft_space *space;
	_Atomic uint64_t moves; /* from space to space; changes under requests.lock */
	struct soft_dev *next;
	char name[];
};

struct soft_mem {
	struct be_mem base;
	struct soft_pin pin;
};

struct soft_space {
	struct be_space base;
	struct soft_context context;
	struct soft_space *parent;
	_Atomic uint64_t units;		    /* mask: these may hold translations of it */
	unsigned int users[SOFT_UNITS_MAX]; /* devices and children's devices, by unit */
	/* KERNEL */
	pthread_mutex_t lock;
	struct pt *pt;
	struct soft_space *children;
	struct soft_space *next_child;
};

struct soft_be {
	struct be base;
	struct soft_options options;
	struct soft_unit *units[SOFT_UNITS_MAX];
	struct soft_pins pins;
	struct soft_requests requests;
	struct pt_mem pt_mem;
	struct soft_dev *devices;
	unsigned int device_count;
	int kernel_fd; /* what crossings go through */
	_Atomic uint64_t live_maps;
	uint64_t domains[SOFT_DOMAINS / 64]; /* ids in use; 0 is not given out */
};

static inline struct soft_be *soft_to_be(struct be *be)
{
	return (struct soft_be *)be;
}

static inline struct soft_space *soft_to_space(struct be_space *space)
{
	return (struct soft_space *)space;
}

int soft_space_create(struct be *be, const struct be_space_attr *attr, struct be_space **space);
void soft_space_destroy(struct be_space *space);
int soft_attach(struct be_space *space, struct be_dev *dev);
int soft_detach(struct be_dev *dev);

int soft_map(struct be_space *space, const struct be_map *maps, unsigned int count,
	     unsigned int *done, unsigned int *crossings);
int soft_unmap(struct be_space *space, const struct be_unmap *unmaps, unsigned int count,
	       unsigned int *done, unsigned int *crossings);
extern const struct be_dirty_ops soft_dirty_ops;

int soft_invalidate(struct be_space *space, const struct be_inval *ranges, unsigned int count,
		    unsigned int *crossings);

#endif
