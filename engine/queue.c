/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues: a thread's handle, its pending invalidations, and the units that wait for them. */
#include "objects.h"
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUARANTINE_MIN 256

int queue_fail(struct ioas_queue *q, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(q->error, sizeof(q->error), format, args);
	va_end(args);
	TRACE(error, q, code, q->error);
	q->missed = NULL;
	return code;
}

int queue_wrong_kind(struct ioas_queue *q, const char *call)
{
	return queue_fail(q, -EOPNOTSUPP,
			  "%s is not for address spaces of kind %s (see ioas_kind_ops())", call,
			  ioas_kind_name(q->as->kind));
}

int queue_not_owner(struct ioas_queue *q)
{
	/* The queue's own text belongs to its thread. */
	return diag_fail(&q->as->ctx->diag, -EPERM,
			 "queue %p belongs to another thread: ioas_queue_adopt()", (void *)q);
}

const char *ioas_queue_error(const struct ioas_queue *queue)
{
	struct ioas_queue *q = (struct ioas_queue *)queue; /* the text is a part that may change */

	if (q->missed)
		queue_fail(q, -ENOENT, "%s 0x%" PRIx64 " is not mapped", q->missed,
			   q->missed_address);
	return q->error;
}

int ioas_queue_create(struct ioas *as, struct ioas_queue **out)
{
	struct ioas_ctx *ctx = as->ctx;
	struct ioas_queue *q;
	int ret = 0;

	q = aligned_alloc(64, (sizeof(*q) + 63) & ~UINT64_C(63));
	if (!q)
		return diag_fail(&ctx->diag, -ENOMEM, "no memory for a queue");
	memset(q, 0, sizeof(*q));
	q->as = as;
	q->map_cursor = (struct pt_cursor)PT_CURSOR_INIT;
	q->unmap_cursor = (struct pt_cursor)PT_CURSOR_INIT;
	atomic_store_explicit(&q->owner, this_thread(), memory_order_relaxed);
	pthread_mutex_lock(&ctx->lock);
	if (as->queue_count == QUEUES_MAX)
		ret = -ENOSPC;
	else if (as->kind == IOAS_KIND_USER)
		ret = inval_source_get(&as->inval, &q->source);
	if (!ret) {
		as->queue_count++;
		cds_list_add_tail(&q->entry, &as->queues);
	}
	pthread_mutex_unlock(&ctx->lock);
	if (ret) {
		free(q);
		return diag_fail(&ctx->diag, ret,
				 ret == -ENOSPC ? "more than %d queues on one address space"
						: "no memory for a queue (of %d)",
				 QUEUES_MAX);
	}
	TRACE(queue_create, q, as);
	*out = q;
	return 0;
}

int queue_commit(struct ioas_queue *q)
{
	uint64_t position = atomic_load_explicit(&q->source->published, memory_order_relaxed);
	int ret = inval_commit(&q->as->inval, q->source, position);

	if (ret < 0)
		return queue_fail(q, ret,
				  "invalidation failed (%s): what was unmapped stays out of "
				  "circulation until a flush succeeds",
				  strerror(-ret));
	if (ret == INVAL_JOINED)
		counter_add(&q->counters, COUNTER_COMMIT_JOINS, 1);
	q->pending = 0;
	queue_harvest(q);
	return 0;
}

int queue_settle(struct ioas_queue *q)
{
	if (q->as->mode == IOAS_BATCHED && q->pending < q->as->batch_max)
		return 0;
	return queue_commit(q);
}

/* Quarantine. */

static bool quarantine_grow(struct quarantine *quarantine)
{
	uint32_t old = quarantine->ring ? quarantine->mask + 1 : 0;
	uint32_t size = old ? 2 * old : QUARANTINE_MIN;
	struct quarantine_entry *ring = calloc(size, sizeof(*ring));

	if (!ring)
		return false;
	for (uint64_t i = quarantine->head; i != quarantine->tail; i++)
		ring[i & (size - 1)] = quarantine->ring[i & quarantine->mask];
	free(quarantine->ring);
	quarantine->ring = ring;
	quarantine->mask = size - 1;
	return true;
}

void queue_retire(struct ioas_queue *q, struct iova_chunk *chunk, uint64_t start, uint64_t units,
		  uint64_t position)
{
	struct quarantine *quarantine = &q->quarantine;
	struct quarantine_entry *last =
		&quarantine->ring[(quarantine->tail - 1) & quarantine->mask];

	if (chunk && quarantine->tail != quarantine->head && last->chunk == chunk) {
		last->units += units;
		last->position = position; /* a later one covers the earlier ones */
		return;
	}
	/* Without memory the units are lost, which is safe, and they are addresses only. */
	if ((!quarantine->ring || quarantine->tail - quarantine->head > quarantine->mask) &&
	    !quarantine_grow(quarantine))
		return;
	quarantine->ring[quarantine->tail++ & quarantine->mask] = (struct quarantine_entry){
		.chunk = chunk,
		.start = start,
		.units = units,
		.position = position,
	};
}

void queue_harvest(struct ioas_queue *q)
{
	struct quarantine *quarantine = &q->quarantine;
	struct iova *iova = &q->as->iova;

	while (quarantine->head != quarantine->tail) {
		struct quarantine_entry *entry =
			&quarantine->ring[quarantine->head & quarantine->mask];

		if (!inval_done(q->source, entry->position))
			return;
		quarantine->head++;
		if (entry->chunk)
			iova_give(iova, &q->magazines, entry->chunk, entry->units);
		else
			iova_unclaim(iova, entry->start, entry->units);
	}
}

/* Slow calls. */

static int flush(struct ioas_queue *q)
{
	return q->source ? queue_commit(q) : 0;
}

int ioas_queue_destroy(struct ioas_queue *q)
{
	struct ioas *as = q->as;
	struct ioas_ctx *ctx = as->ctx;
	int ret = flush(q);

	if (ret)
		return diag_fail(&ctx->diag, ret, "queue: %s", q->error);
	iova_magazines_drain(&as->iova, &q->magazines);
	pthread_mutex_lock(&ctx->lock);
	cds_list_del(&q->entry);
	as->queue_count--;
	for (unsigned int i = 0; i < COUNTERS; i++)
		counter_add(&ctx->gone, i,
			    atomic_load_explicit(&q->counters.value[i], memory_order_relaxed));
	if (q->source)
		inval_source_put(&as->inval, q->source);
	regcache_queue_end(q);
	pthread_mutex_unlock(&ctx->lock);
	free(q->quarantine.ring);
	free(q);
	return 0;
}

void ioas_queue_adopt(struct ioas_queue *q)
{
	atomic_store_explicit(&q->owner, this_thread(), memory_order_relaxed);
}

int ioas_flush(struct ioas_queue *q)
{
	if (!queue_is_mine(q))
		return queue_not_owner(q);
	TRACE(flush, q);
	return flush(q);
}

uint64_t ioas_ticket(struct ioas_queue *q)
{
	return q->source ? atomic_load_explicit(&q->source->published, memory_order_relaxed) : 0;
}

bool ioas_ticket_done(const struct ioas_queue *q, uint64_t ticket)
{
	return !q->source || inval_done(q->source, ticket);
}
