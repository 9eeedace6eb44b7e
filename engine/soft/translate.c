/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that are not an IOTLB hit by hint: a hit after all, a walk, or a fault. See unit.h.
 *
 * The common miss, a walk of one read, has a path of its own: it is what a driver that maps
 * each buffer causes with each buffer, and benchmarks on the model must not measure the model.
 */
#include "unit.h"

#include <ioas/ctx.h>

#include "walk.h"

static void *stop(struct soft_endpoint *endpoint, uint64_t iova, unsigned int reason, uint32_t prot)
{
	const struct soft_fault fault = {
		.source = endpoint->cookie,
		.iova = iova & ~(IOAS_PAGE_SIZE - 1),
		.reason = reason,
		.prot = prot,
	};

	if (endpoint->can_wait && endpoint->context.space &&
	    (reason == IOAS_FAULT_NOT_PRESENT || reason == IOAS_FAULT_PERMISSION)) {
		endpoint->must_wait = true;
		return NULL;
	}
	endpoint->unit->counters.faults++;
	soft_faults_record(&endpoint->unit->faults, &fault);
	return NULL;
}

/* Not translated: blocked, passed through, or not an address of this context. */
static void *no_translation(struct soft_endpoint *endpoint, uint64_t iova, uint32_t prot)
{
	endpoint->unit->counters.untranslated++;
	switch (endpoint->context.kind) {
	case SOFT_PASSTHROUGH:
		return (void *)(uintptr_t)iova;
	case SOFT_BLOCKED:
		return stop(endpoint, iova, IOAS_FAULT_BLOCKED, prot);
	default:
		return stop(endpoint, iova, IOAS_FAULT_ADDRESS, prot);
	}
}

/* An entry with too few rights is replaced, not duplicated. */
static void drop_weak(struct soft_unit *unit, struct soft_domain *domain, uint64_t iova)
{
	uint64_t addr = iova & SOFT_INPUT_LAST;

	domain->entries -= soft_tlb_drop(&unit->iotlb, addr, addr, domain->id, domain->classes);
}

/* Cache a translation that is in no cache. */
static inline void fill(struct soft_unit *unit, struct soft_domain *domain, uint64_t iova,
			unsigned int class, uint64_t data)
{
	uint64_t victim = soft_tlb_fill(&unit->iotlb, iova, class, domain->id, data);

	domain->classes |= 1 << class;
	if (likely((victim & SOFT_ID_MAX) == domain->id)) /* in for one of its own */
		return;
	domain->entries++;
	if (victim)
		soft_domain_evict(unit, victim);
}

static __attribute__((noinline)) void *walk_and_fill(struct soft_endpoint *endpoint, uint64_t iova,
						     size_t *bytes, uint32_t prot, bool weak)
{
	struct soft_unit *unit = endpoint->unit;
	struct soft_walk walk;
	unsigned int reason;

	unit->counters.misses++;
	if (endpoint->context.kind == SOFT_NESTED)
		reason = soft_walk_nested(endpoint, iova, prot, &walk);
	else
		reason = soft_walk_second(endpoint, iova, prot, &walk);
	if (reason)
		return stop(endpoint, iova, reason, prot);
	if (weak)
		drop_weak(unit, endpoint->domain, iova);
	fill(unit, endpoint->domain, iova, walk.class,
	     (walk.addr & ~soft_offset_mask(walk.class)) | walk.prot);
	return soft_translate_result(walk.addr, walk.class, iova, bytes);
}

void *soft_translate_slow(struct soft_endpoint *endpoint, uint64_t iova, size_t *bytes,
			  uint32_t prot)
{
	struct soft_domain *domain = endpoint->domain;
	struct soft_unit *unit = endpoint->unit;
	unsigned int class;
	uint64_t cached, data;

	if (unlikely(domain == &unit->no_domain || ((iova + endpoint->bias) & endpoint->beyond)))
		return no_translation(endpoint, iova, prot);
	cached = soft_tlb_scan(&unit->iotlb, iova, domain->id, domain->classes, &class);
	if (unlikely(cached)) {
		if (prot & ~cached)
			return walk_and_fill(endpoint, iova, bytes, prot, true);
		unit->counters.hits++;
		return soft_translate_result(cached, class, iova, bytes);
	}
	data = soft_walk_quick(endpoint, iova, prot);
	if (unlikely(!data))
		return walk_and_fill(endpoint, iova, bytes, prot, false);
	unit->counters.quick++;
	fill(unit, domain, iova, 0, data);
	return soft_translate_result(data, 0, iova, bytes);
}
