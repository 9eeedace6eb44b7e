/* SPDX-License-Identifier: BSD-3-Clause */
/* A unit: creation, contexts, cache ids. See unit.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <urcu/arch.h>

/* Of the cache for second-stage translations: a GiB of memory registered in 2 MiB pages. */
#define NESTED_SETS 64
#define NESTED_WAYS 8

#define SECOND_STAGE_BITS 48

static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	/* Bursts are short: spinning for one to end is cheaper than sleeping. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

int soft_unit_create(const struct soft_options *options, struct soft_unit **out)
{
	struct soft_unit *unit = aligned_alloc(64, (sizeof(*unit) + 63) / 64 * 64);
	int ret = 0;

	if (!unit)
		return -ENOMEM;
	memset(unit, 0, sizeof(*unit));
	init_lock(&unit->lock);
	init_lock(&unit->queue.lock);
	unit->next_id = 1;
	unit->broken = options->broken;
	unit->inval_ns = options->inval_ns;
	unit->call_ns = options->call_ns;
	unit->domains = calloc(SOFT_DOMAINS, sizeof(*unit->domains));
	unit->owner = calloc(SOFT_ID_MAX + 1, sizeof(*unit->owner));
	if (!unit->domains || !unit->owner)
		ret = -ENOMEM;
	ret = ret ?: soft_tlb_init(&unit->iotlb, options->iotlb_sets, options->iotlb_ways);
	ret = ret ?: soft_tlb_init(&unit->nested, NESTED_SETS, NESTED_WAYS);
	for (unsigned int level = 1; level < SOFT_LEVELS; level++)
		ret = ret ?: soft_psc_init(&unit->psc[level], options->psc_entries);
	ret = ret ?: soft_faults_init(&unit->faults, options->faults);
	if (ret) {
		soft_unit_destroy(unit);
		return ret;
	}
	*out = unit;
	return 0;
}

void soft_unit_destroy(struct soft_unit *unit)
{
	soft_faults_destroy(&unit->faults);
	for (unsigned int level = 1; level < SOFT_LEVELS; level++)
		soft_psc_destroy(&unit->psc[level]);
	soft_tlb_destroy(&unit->nested);
	soft_tlb_destroy(&unit->iotlb);
	free(unit->owner);
	free(unit->domains);
	pthread_mutex_destroy(&unit->queue.lock);
	pthread_mutex_destroy(&unit->lock);
	free(unit);
}

void soft_unit_read_counters(struct soft_unit *unit, struct soft_counters *counters)
{
	pthread_mutex_lock(&unit->lock);
	*counters = unit->counters;
	pthread_mutex_unlock(&unit->lock);
	counters->misses += counters->quick;
	counters->psc_hits += counters->quick;
	counters->walk_reads += counters->quick;
}

void soft_unit_give_way(struct soft_unit *unit)
{
	/*
	 * The invalidation has come first and shall be first, if its thread is there to take its
	 * turn. Bounded: neither a stream of them, nor one whose thread waits for a processor, may
	 * hold up the device for long. One yield, since that thread may wait for this processor.
	 */
	for (unsigned int i = 0; i < 200; i++) {
		if (!atomic_load_explicit(&unit->invalidating, memory_order_relaxed))
			return;
		caa_cpu_relax();
	}
	sched_yield();
}

static void new_id(struct soft_unit *unit, struct soft_domain *domain)
{
	domain->id = unit->next_id++;
	domain->entries = 0;
	domain->classes = 0;
	domain->nested_classes = 0;
	unit->owner[domain->id] = domain - unit->domains;
}

uint32_t soft_unit_flush(struct soft_unit *unit)
{
	uint32_t dropped = 0;

	soft_tlb_clear(&unit->iotlb);
	soft_tlb_clear(&unit->nested);
	for (unsigned int level = 1; level < SOFT_LEVELS; level++)
		soft_psc_clear(&unit->psc[level]);
	unit->next_id = 1;
	for (uint32_t i = 0; i < unit->domain_end; i++)
		if (unit->domains[i].id) {
			dropped += unit->domains[i].entries;
			new_id(unit, &unit->domains[i]);
		}
	return dropped;
}

uint32_t soft_domain_flush(struct soft_unit *unit, struct soft_domain *domain)
{
	uint32_t dropped = domain->entries;

	if (!domain->id)
		return 0;
	if (unit->next_id <= SOFT_ID_MAX)
		new_id(unit, domain);
	else /* out of cache ids: all start again, in empty caches */
		soft_unit_flush(unit);
	return dropped;
}

void soft_domain_evict(struct soft_unit *unit, uint64_t victim)
{
	uint32_t id = victim & SOFT_ID_MAX;
	struct soft_domain *domain = &unit->domains[unit->owner[id]];

	/* Entries left behind by a flush have been accounted for; their id is nobody's. */
	if (domain->id == id)
		domain->entries--;
}

static struct soft_domain *use_domain(struct soft_unit *unit, uint16_t id)
{
	struct soft_domain *domain = &unit->domains[id];

	if (id >= unit->domain_end)
		unit->domain_end = id + 1;
	if (!domain->id) {
		if (unit->next_id > SOFT_ID_MAX)
			soft_unit_flush(unit);
		new_id(unit, domain);
	}
	return domain;
}

void soft_endpoint_init(struct soft_endpoint *endpoint, struct soft_unit *unit, const void *cookie)
{
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->unit = unit;
	endpoint->cookie = cookie;
	endpoint->domain = &unit->no_domain;
}

void soft_endpoint_set(struct soft_endpoint *endpoint, const struct soft_context *context)
{
	struct soft_unit *unit = endpoint->unit;

	pthread_mutex_lock(&unit->lock);
	endpoint->context = *context;
	endpoint->domain = &unit->no_domain;
	endpoint->bias = 0;
	endpoint->beyond = 0;
	if (context->kind == SOFT_NESTED) {
		unsigned int bits = soft_shift(context->levels);

		/* Canonical: all bits from the table's highest on are equal (VT-d 3.6). */
		endpoint->bias = UINT64_C(1) << (bits - 1);
		endpoint->beyond = ~((UINT64_C(1) << bits) - 1);
		endpoint->domain = use_domain(unit, context->domain);
		endpoint->parent_domain = use_domain(unit, context->parent_domain);
	} else if (context->kind == SOFT_SECOND_STAGE) {
		endpoint->beyond = ~((UINT64_C(1) << SECOND_STAGE_BITS) - 1);
		endpoint->domain = use_domain(unit, context->domain);
	}
	pthread_mutex_unlock(&unit->lock);
}
