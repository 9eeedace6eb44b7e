/* SPDX-License-Identifier: BSD-3-Clause */
/* Invalidation queue: the hardware side first, the kernel's after it. See queue.h. */
#include "queue.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#include <ioas/types.h>

#include "unit.h"

static void busy_wait(uint64_t ns)
{
	struct timespec now;
	uint64_t end;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec * UINT64_C(1000000000) + now.tv_nsec + ns;
	/* Hardware takes no processor's time: others may have it. */
	do {
		sched_yield();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec * UINT64_C(1000000000) + now.tv_nsec < end);
}

static void drop_range(struct soft_unit *unit, struct soft_domain *domain,
		       const struct soft_desc *desc)
{
	uint64_t first = desc->word[1] & SOFT_INPUT_LAST & ~(IOAS_PAGE_SIZE - 1);
	uint64_t bytes = (desc->word[0] >> 32) * IOAS_PAGE_SIZE;
	uint64_t last = bytes > SOFT_INPUT_LAST - first ? SOFT_INPUT_LAST : first + bytes - 1;
	uint32_t dropped;

	if (!domain->id || !bytes)
		return;
	dropped = soft_tlb_drop(&unit->iotlb, first, last, domain->id, domain->classes);
	domain->entries -= dropped;
	unit->counters.dropped += dropped;
	if (domain->nested_classes)
		soft_tlb_drop(&unit->nested, first, last, domain->id, domain->nested_classes);
	if (desc->word[1] & SOFT_DESC_LEAF)
		return;
	for (unsigned int level = 1; level < SOFT_LEVELS; level++)
		soft_psc_drop(&unit->psc[level], first >> soft_shift(level),
			      last >> soft_shift(level), domain->id);
}

/* Return: false for a descriptor that does not exist. */
static bool execute(struct soft_unit *unit, const struct soft_desc *desc)
{
	struct soft_domain *domain = &unit->domains[desc->word[0] >> 16 & 0xffff];
	_Atomic uint32_t *status = (_Atomic uint32_t *)(uintptr_t)desc->word[1];

	if ((desc->word[0] & SOFT_DESC_TYPE) == SOFT_DESC_WAIT) {
		unit->counters.waits++;
		if (desc->word[0] & SOFT_DESC_STATUS)
			atomic_store_explicit(status, desc->word[0] >> 32, memory_order_release);
		return true;
	}
	if ((desc->word[0] & SOFT_DESC_TYPE) != SOFT_DESC_IOTLB)
		return false;
	switch (desc->word[0] & SOFT_DESC_GRANULARITY) {
	case SOFT_DESC_PAGES:
		if (unit->broken != SOFT_BREAK_DROP_INVAL)
			drop_range(unit, domain, desc);
		break;
	case SOFT_DESC_DOMAIN:
		if (unit->broken != SOFT_BREAK_DROP_FLUSH)
			unit->counters.dropped += soft_domain_flush(unit, domain);
		break;
	case SOFT_DESC_GLOBAL:
		if (unit->broken != SOFT_BREAK_DROP_FLUSH)
			unit->counters.dropped += soft_unit_flush(unit);
		break;
	default:
		return false;
	}
	unit->counters.descriptors++;
	return true;
}

void soft_queue_write_tail(struct soft_unit *unit, uint32_t tail)
{
	struct soft_queue *queue = &unit->queue;

	queue->tail = tail % SOFT_QUEUE_ENTRIES;
	/* A slow unit does not hold up DMA, but the invalidations behind this one. */
	if (unit->call_ns)
		busy_wait(unit->call_ns);
	if (unit->inval_ns)
		for (uint32_t i = queue->head; i != queue->tail; i = (i + 1) % SOFT_QUEUE_ENTRIES)
			if ((queue->ring[i].word[0] & SOFT_DESC_TYPE) != SOFT_DESC_WAIT)
				busy_wait(unit->inval_ns);

	atomic_fetch_add_explicit(&unit->invalidating, 1, memory_order_relaxed);
	pthread_mutex_lock(&unit->lock); /* drain: a burst in progress ends first */
	atomic_fetch_sub_explicit(&unit->invalidating, 1, memory_order_relaxed);
	while (!queue->stuck && queue->head != queue->tail) {
		if (execute(unit, &queue->ring[queue->head]))
			queue->head = (queue->head + 1) % SOFT_QUEUE_ENTRIES;
		else
			queue->stuck = true;
	}
	pthread_mutex_unlock(&unit->lock);
}

struct soft_desc soft_desc_range(uint16_t domain, uint64_t iova, uint64_t bytes, bool leaf)
{
	uint64_t first = iova >> IOAS_PAGE_SHIFT;
	uint64_t pages;

	if (!bytes)
		return (struct soft_desc){ .word = { SOFT_DESC_IOTLB | SOFT_DESC_PAGES |
						     (uint64_t)domain << 16 } };
	pages = ((iova + bytes - 1) >> IOAS_PAGE_SHIFT) - first + 1;
	if (pages > SOFT_DESC_PAGES_MAX)
		return soft_desc_domain(domain);
	return (struct soft_desc){
		.word = { SOFT_DESC_IOTLB | SOFT_DESC_PAGES | (uint64_t)domain << 16 | pages << 32,
			  first << IOAS_PAGE_SHIFT | (leaf ? SOFT_DESC_LEAF : 0) }
	};
}

struct soft_desc soft_desc_domain(uint16_t domain)
{
	return (struct soft_desc){ .word = { SOFT_DESC_IOTLB | SOFT_DESC_DOMAIN |
					     (uint64_t)domain << 16 } };
}

struct soft_desc soft_desc_global(void)
{
	return (struct soft_desc){ .word = { SOFT_DESC_IOTLB | SOFT_DESC_GLOBAL } };
}

struct soft_desc soft_desc_wait(_Atomic uint32_t *status, uint32_t value)
{
	return (struct soft_desc){ .word = { SOFT_DESC_WAIT | SOFT_DESC_STATUS |
						     (uint64_t)value << 32,
					     (uintptr_t)status } };
}

/* Fill the ring as far as it goes, end it with a wait descriptor. Return: how many went. */
static unsigned int submit_some(struct soft_unit *unit, const struct soft_desc *descs,
				unsigned int count)
{
	struct soft_queue *queue = &unit->queue;
	uint32_t tail = queue->tail;

	if (count > SOFT_QUEUE_ENTRIES - 2)
		count = SOFT_QUEUE_ENTRIES - 2;
	for (unsigned int i = 0; i < count; i++) {
		queue->ring[tail] = descs[i];
		tail = (tail + 1) % SOFT_QUEUE_ENTRIES;
	}
	queue->ring[tail] = soft_desc_wait(&queue->status, ++queue->serial);
	soft_queue_write_tail(unit, tail + 1);
	return count;
}

int soft_queue_submit(struct soft_unit *unit, const struct soft_desc *descs, unsigned int count)
{
	struct soft_queue *queue = &unit->queue;
	int ret = 0;

	pthread_mutex_lock(&queue->lock);
	for (unsigned int done = 0; done < count;) {
		done += submit_some(unit, descs + done, count - done);
		if (atomic_load_explicit(&queue->status, memory_order_acquire) != queue->serial) {
			ret = -EIO;
			break;
		}
	}
	pthread_mutex_unlock(&queue->lock);
	return ret;
}
