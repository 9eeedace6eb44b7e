/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One unit of the software IOMMU: a model of the hardware, written from the specification and
 * sharing nothing with the table builder in engine/pgtable. Physical memory is the address space
 * of the process: a physical address is a virtual one.
 *
 * A unit owns its caches, its domains' cache ids, its invalidation queue and its fault queue. An
 * endpoint is what a device is to the unit: a context entry.
 *
 * Caches go stale as hardware's do. An entry goes by an invalidation or by eviction and in no
 * other way; entries that are not present are never cached. An entry whose rights do not suffice
 * is looked up again in the table before a fault is reported, and replaced (VT-d lets hardware do
 * so): more rights need no invalidation, fewer do.
 *
 * Locking: one mutex. A burst of DMA holds it from soft_unit_begin() to soft_unit_end(), and an
 * invalidation takes it: that is how the drain of DMA in flight is modelled (VT-d 6.5.4). Fields
 * without a remark are under it. Contexts change under it, too.
 *
 * Departures from the specification, all towards simplicity:
 * - accessed bits are not set, dirty bits only of a second stage that is walked alone;
 * - memory types, snoop and execute rights are ignored;
 * - there is no context cache: a changed context holds from the next request on;
 * - requests are user-mode ones; a first-stage entry without U/S stops them.
 *
 * Source: Intel VT-d specification rev. 4.1, chapters 3, 6, 7 and 9.
 */
#ifndef ENGINE_SOFT_UNIT_H
#define ENGINE_SOFT_UNIT_H

#include <pthread.h>
#include <stdatomic.h>

#include <ioas/types.h>

#include "fault.h"
#include "options.h"
#include "psc.h"
#include "queue.h"
#include "tlb.h"

#define SOFT_DOMAINS 65536 /* domain ids are 16 bits wide */
#define SOFT_LEVELS  5

/* What a unit keeps of a domain id. */
struct soft_domain {
	uint32_t id;		/* cache id; 0: not in use yet */
	uint32_t entries;	/* in the IOTLB */
	uint8_t classes;	/* page classes that the IOTLB may hold of it */
	uint8_t nested_classes; /* and the nested cache */
};

enum soft_context_kind {
	SOFT_BLOCKED = 0,
	SOFT_PASSTHROUGH,
	SOFT_NESTED,	   /* first stage over second stage */
	SOFT_SECOND_STAGE, /* second stage alone */
};

/**
 * struct soft_context - what an endpoint's requests are translated by
 * @kind: enum soft_context_kind
 * @levels: NESTED: of the first stage, 4 or 5
 * @domain: tags the results of @root
 * @root: NESTED: first-stage root, an input address of the second stage; SECOND_STAGE: physical
 *	address of its root
 * @parent_domain: NESTED: tags second-stage results
 * @parent_root: NESTED: physical address of the second stage's root
 * @space: whom a device that can wait asks for a page, or NULL: nobody
 * @dirty: SECOND_STAGE: writes set dirty bits in its leaves
 */
struct soft_context {
	enum soft_context_kind kind;
	unsigned int levels;
	uint16_t domain;
	uint16_t parent_domain;
	uint64_t root;
	uint64_t parent_root;
	void *space;
	bool dirty;
};

struct soft_endpoint {
	struct soft_unit *unit;
	struct soft_domain *domain; /* of the context; one that caches nothing if it has none */
	/* An input address is valid if (address + bias) & beyond is 0. */
	uint64_t bias;
	uint64_t beyond;
	struct soft_domain *parent_domain;
	struct soft_context context;
	const void *cookie; /* for the fault queue */
	bool can_wait;	    /* for the access under way: in place of a fault that mapping mends, */
	bool must_wait;	    /* this */
};

struct soft_counters {
	uint64_t descriptors;
	uint64_t waits;
	uint64_t hits;
	uint64_t misses;
	uint64_t quick; /* misses with a walk of one read; also counted in the others when read */
	uint64_t untranslated; /* requests that the IOTLB is not asked for */
	uint64_t psc_hits;
	uint64_t walk_reads;
	uint64_t dropped;
	uint64_t faults;
};

struct soft_unit {
	/* The first line has what an invalidation that finds nothing to drop touches. */
	pthread_mutex_t lock;
	_Atomic uint32_t invalidating; /* threads about to take @lock for an invalidation */
	struct soft_counters counters;
	struct soft_tlb iotlb;	/* input address to physical address, both stages in one */
	struct soft_tlb nested; /* second stage: of table pages and leaves, for nested walks */
	struct soft_psc psc[SOFT_LEVELS]; /* by level of the entry cached; [0] is not used */
	struct soft_domain no_domain;	  /* of blocked and passthrough endpoints */
	struct soft_domain *domains;	  /* by domain id */
	uint16_t *owner;		  /* cache id to domain id */
	uint32_t next_id;
	uint32_t domain_end; /* domain ids from here on have never been used */
	struct soft_queue queue;
	struct soft_faults faults;
	enum soft_break broken;
	uint64_t inval_ns; /* a descriptor */
	uint64_t call_ns;  /* a doorbell */
};

/* Return: 0 or -ENOMEM. */
int soft_unit_create(const struct soft_options *options, struct soft_unit **unit);
void soft_unit_destroy(struct soft_unit *unit);

void soft_endpoint_init(struct soft_endpoint *endpoint, struct soft_unit *unit, const void *cookie);

/* Takes the lock: a burst has seen either the old context or the new one. */
void soft_endpoint_set(struct soft_endpoint *endpoint, const struct soft_context *context);

void soft_unit_read_counters(struct soft_unit *unit, struct soft_counters *counters);

/* Out of the way of an invalidation, which an unfair mutex would let starve. */
void soft_unit_give_way(struct soft_unit *unit);

static inline void soft_unit_begin(struct soft_unit *unit)
{
	if (unlikely(atomic_load_explicit(&unit->invalidating, memory_order_relaxed)))
		soft_unit_give_way(unit);
	pthread_mutex_lock(&unit->lock);
}

static inline void soft_unit_end(struct soft_unit *unit)
{
	pthread_mutex_unlock(&unit->lock);
}

/* What follows is called with the lock held. */

/* Everything cached for @domain becomes unreachable. Return: how many IOTLB entries that is. */
uint32_t soft_domain_flush(struct soft_unit *unit, struct soft_domain *domain);

/* Empty every cache. */
uint32_t soft_unit_flush(struct soft_unit *unit);

/* Account for the IOTLB entry with tag @victim that had to leave for another. */
void soft_domain_evict(struct soft_unit *unit, uint64_t victim);

/* The part of soft_translate() that is not a hit by hint. */
void *soft_translate_slow(struct soft_endpoint *endpoint, uint64_t iova, size_t *bytes,
			  uint32_t prot);

/* Cut a request to the page of @class that it begins in, and apply the translation in @data. */
static inline void *soft_translate_result(uint64_t data, unsigned int class, uint64_t iova,
					  size_t *bytes)
{
	uint64_t offset = iova & soft_offset_mask(class);
	uint64_t rest = soft_offset_mask(class) + 1 - offset;

	if (*bytes > rest)
		*bytes = rest;
	return (void *)(uintptr_t)((data & SOFT_PA_MASK) | offset);
}

/*
 * Translate a request of *bytes at @iova, inside a burst. Return: the address, *bytes cut to
 * the end of the translation; or NULL, and a fault has been recorded.
 *
 * Budget: a hit takes about 45 instructions on x86-64 (4 KiB pages).
 */
static inline void *soft_translate(struct soft_endpoint *endpoint, uint64_t iova, size_t *bytes,
				   uint32_t prot)
{
	const struct soft_domain *domain = endpoint->domain;
	struct soft_unit *unit = endpoint->unit;

	if (unlikely((iova + endpoint->bias) & endpoint->beyond))
		return soft_translate_slow(endpoint, iova, bytes, prot);
#pragma GCC unroll 3
	for (unsigned int class = 0; class < SOFT_CLASSES; class ++) {
		uint64_t data;

		if (!(domain->classes & 1 << class))
			continue;
		data = soft_tlb_guess(&unit->iotlb, iova, domain->id, class);
		if (unlikely((prot | SOFT_TLB_VALID) & ~data))
			continue; /* no entry, or too few rights */
		unit->counters.hits++;
		return soft_translate_result(data, class, iova, bytes);
	}
	return soft_translate_slow(endpoint, iova, bytes, prot);
}

#endif
