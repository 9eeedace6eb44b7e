/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel with the module kioas, as far as the backend ioasid goes: bound devices, registered
 * memory, spaces with their mappings, USER tables that it walks and shadows only when it is told
 * to, words for what it refuses. It stands behind ioctl(); read() is on a pipe.
 *
 * Where it refuses something the header says so: include/uapi/linux/ioasid.h. It is stricter in one
 * thing: what is left when the context is closed counts as a leak.
 */
#ifndef TESTS_BACKEND_FAKE_IOASID_H
#define TESTS_BACKEND_FAKE_IOASID_H

#include <stdbool.h>
#include <stdint.h>
#include <uapi/linux/ioasid.h>

#include "unreal.h"

#define FAKE_SPACES   32
#define FAKE_MEMORIES 64
#define FAKE_MAPS     8192 /* of a space; pages of a shadow */
#define FAKE_LAST     ((1ULL << 48) - 1)

struct fake_map {
	uint64_t iova;
	uint64_t length;
	uint64_t address;
	uint32_t flags; /* enum ioasid_map_flags */
};

struct fake_space {
	bool used;
	uint32_t kind;
	uint32_t format;
	uint32_t parent;    /* its number, 0: none */
	unsigned int users; /* devices and children */
	union {
		struct ioasid_alloc_user user;
		struct ioasid_alloc_cpu cpu;
		struct ioasid_alloc_vm vm;
	} data;
	unsigned int count;
	struct fake_map maps[FAKE_MAPS]; /* USER: what the table said when it was read */
};

struct fake_device {
	bool bound;
	bool master;
	uint64_t cookie;
	uint32_t space; /* attached to, or 0 */
};

struct fake {
	uint64_t kinds;
	uint64_t formats; /* of USER tables */
	uint32_t array_max;
	uint64_t last;	   /* highest IOVA of the devices */
	uint32_t ring_max; /* 0: there are no rings */
	struct fake_device devices[UNREAL_DEVICES];
	struct fake_space spaces[FAKE_SPACES];	 /* by number; 0 is none */
	struct fake_map memories[FAKE_MEMORIES]; /* length 0: free */
	unsigned int requests;			 /* so far */
	unsigned int calls[32];			 /* of these, by number from IOASID_BASE on */
	unsigned int fail_at; /* this request from now on fails, 1 the next; 0: none */
	int fail_with;
	bool mute;			  /* no words for failures */
	unsigned int entries;		  /* of the last array */
	struct ioasid_inval_entry synced; /* of the last INVALIDATE_CACHE of a CPU space */
	int events;			  /* where events are written to */
	struct ioasid_last_error error;
};

extern struct fake fake;

/* A request as ioctl() has it, without what is counted and made to fail. Under the lock. */
int fake_run(unsigned long request, void *arg);
void fake_lock(void);
void fake_unlock(void);

/* fake_ioasid_ring.c: a ring, and a thread that polls it. */

int fake_ring_setup(struct ioasid_ring_setup *request);
int fake_ring_enter(const struct ioasid_ring_enter *request);
/* Its end, as that of the file. Return: elements that were carried out. */
unsigned int fake_ring_stop(void);

/* The element that many from now on fails with this, or the ring ends before it, or before it says
 * so. */
#define FAKE_RING_ENDS_BEFORE 0
#define FAKE_RING_ENDS_AFTER  (-1)
void fake_ring_break(unsigned int element, int error);

/* A kernel that has nothing yet. */
void fake_reset(void);

/* Where a device's DMA lands in the process, or NULL. @prot: enum ioasid_prot */
void *fake_dma(unsigned int device, uint64_t iova, uint32_t prot);

/* Devices go as if they were pulled. */
void fake_remove(unsigned int device);

void fake_event(const struct ioasid_event_record *record);

#endif
