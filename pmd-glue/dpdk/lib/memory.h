/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EAL's memory, followed into an address space; and memory of the application's beside it.
 *
 * A region is what is registered, mapped and given back as one: a page where EAL may give back any
 * page, a stretch where it cannot (initial memory of -m and --socket-mem, legacy memory, no huge
 * pages, external memory) or may not (IOAS_DPDK_KEEP_PAGES).
 *
 * Lock order: EAL's memory lock, memory.lock, those of the library. Memory events come with EAL's
 * lock held for writing, so nothing here may allocate DPDK memory, and nobody may take EAL's lock
 * under memory.lock.
 *
 * Nothing is missed and nothing is entered twice: events are registered first, the walk runs under
 * EAL's lock, and what an event has entered already the walk skips.
 */
#ifndef IOAS_DPDK_MEMORY_H
#define IOAS_DPDK_MEMORY_H

#include <pthread.h>

#include <rte_memory.h>

#include <ioas/ioas.h>

#include "share.h"

/* Who wants a region. Secondary processes have the numbers from MEMORY_SECONDARY on. */
enum { MEMORY_EAL = 0, MEMORY_PRIMARY = 1, MEMORY_SECONDARY = 2 };

struct memory {
	pthread_mutex_t lock;
	struct ioas_ctx *ctx;
	struct ioas_queue *queue; /* adopted by each user, under lock */
	struct share *share;	  /* NULL: nobody is told */
	void *eal;		  /* regions, trees of tsearch() by address */
	void *others;		  /* of ioas_dpdk_map() */
	struct region *stuck;	  /* could not be unmapped: tried again at the end */
	uint64_t regions;
	uint64_t bytes;
	uint64_t bytes_failed;
	uint64_t events;
	bool map;    /* or only register */
	bool keep;   /* IOAS_DPDK_KEEP_PAGES */
	bool follow; /* EAL's memory; and whether it can change: */
	bool changes;
	const char *name;			     /* the caller's */
	char event[RTE_MEM_EVENT_CALLBACK_NAME_LEN]; /* name of the callback */
};

/*
 * @name: stays the caller's. @as: where memory is mapped. @flags: enum ioas_dpdk_flags. Return: 0,
 * or the first error; nothing is left then.
 */
int memory_start(struct memory *memory, const char *name, struct ioas_ctx *ctx, struct ioas *as,
		 uint32_t flags, struct share *share);
/* Return: 0, or -EBUSY: something is mapped by the application itself. May be called again. */
int memory_stop(struct memory *memory);

int memory_sync(struct memory *memory);

/* As ioas_dpdk_map() and ioas_dpdk_unmap(), for @owner. */
int memory_map(struct memory *memory, void *va, size_t bytes, uint64_t iova, uint32_t owner);
int memory_unmap(struct memory *memory, void *va, size_t bytes, uint32_t owner);
/* All that @owner has mapped. Return: how many regions. */
unsigned int memory_unmap_owner(struct memory *memory, uint32_t owner);

struct ioas_dpdk_stats;
void memory_stats(struct memory *memory, struct ioas_dpdk_stats *stats);

/* Is the calling thread giving back what EAL gives back? Nobody waits for readers then. */
bool memory_in_event(void);

#endif
