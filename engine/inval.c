/* SPDX-License-Identifier: BSD-3-Clause */
/* Group commit; see inval.h for the protocol and its ordering. */
#include "inval.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define RELAXED memory_order_relaxed
#define ACQUIRE memory_order_acquire
#define RELEASE memory_order_release

/* Times to look whether another's commit has done the work, before the lock is waited for. */
#define SPINS 400

int inval_init(struct inval *inval, const struct be_caps *caps, uint32_t ranges)
{
	uint32_t entries = INVAL_RING_MIN;

	memset(inval, 0, sizeof(*inval));
	while (entries < 2 * ranges)
		entries *= 2;
	inval->ring_entries = entries;
	inval->flush_ranges = caps->inval_flush_ranges ? caps->inval_flush_ranges : 1;
	inval->call_ranges = caps->inval_call_ranges ? caps->inval_call_ranges : 1;
	inval->batch = calloc(inval->flush_ranges, sizeof(inval->batch[0]));
	pthread_mutex_init(&inval->lock, NULL);
	return inval->batch ? 0 : -ENOMEM;
}

void inval_destroy(struct inval *inval)
{
	for (unsigned int i = 0; i < INVAL_SOURCES; i++) {
		struct inval_source *source = atomic_load_explicit(&inval->sources[i], RELAXED);

		if (!source)
			break;
		free(source->ring);
		free(source);
	}
	free(inval->batch);
	pthread_mutex_destroy(&inval->lock);
}

static struct inval_source *source_new(struct inval *inval, uint32_t index)
{
	struct inval_source *source = aligned_alloc(64, sizeof(*source));

	if (!source)
		return NULL;
	memset(source, 0, sizeof(*source));
	source->ring = calloc(inval->ring_entries, sizeof(source->ring[0]));
	if (!source->ring) {
		free(source);
		return NULL;
	}
	source->mask = inval->ring_entries - 1;
	source->index = index;
	atomic_store_explicit(&inval->sources[index], source, RELEASE);
	atomic_store_explicit(&inval->source_count, index + 1, RELEASE);
	return source;
}

int inval_source_get(struct inval *inval, struct inval_source **out)
{
	struct inval_source *source = NULL;
	int ret = -ENOSPC;

	pthread_mutex_lock(&inval->lock);
	for (unsigned int i = 0; i < INVAL_SOURCES; i++) {
		source = atomic_load_explicit(&inval->sources[i], RELAXED);
		if (source && source->used)
			continue;
		if (!source)
			source = source_new(inval, i);
		ret = source ? 0 : -ENOMEM;
		break;
	}
	if (!ret) {
		source->used = true;
		*out = source;
	}
	pthread_mutex_unlock(&inval->lock);
	return ret;
}

void inval_source_put(struct inval *inval, struct inval_source *source)
{
	pthread_mutex_lock(&inval->lock);
	source->used = false;
	pthread_mutex_unlock(&inval->lock);
}

void inval_add_slow(struct inval_source *source, uint64_t iova, uint64_t bytes)
{
	source->head_seen = atomic_load_explicit(&source->head, ACQUIRE);
	if (source->next - source->head_seen <= source->mask) {
		inval_add(source, iova, bytes);
		return;
	}
	source->next++;
	atomic_store_explicit(&source->skipped, source->next, RELAXED); /* published with tail */
}

/* The ranges of one commit, merged as they come. */
struct batch {
	struct be_inval *ranges;
	uint32_t max;
	uint32_t count;
	uint32_t merged;
	bool everything;
};

static void batch_add(struct batch *batch, const struct inval_range *range)
{
	struct be_inval *last = batch->count ? &batch->ranges[batch->count - 1] : NULL;

	if (last && last->iova + last->bytes == range->iova) {
		last->bytes += range->bytes;
		batch->merged++;
	} else if (last && range->iova + range->bytes == last->iova) {
		last->iova = range->iova;
		last->bytes += range->bytes;
		batch->merged++;
	} else if (batch->count == batch->max) {
		batch->everything = true;
	} else {
		batch->ranges[batch->count++] = (struct be_inval){
			.iova = range->iova,
			.bytes = range->bytes,
			.leaf = true,
		};
	}
}

static void collect(struct inval *inval, struct batch *batch)
{
	uint32_t count = atomic_load_explicit(&inval->source_count, ACQUIRE);

	for (uint32_t i = 0; i < count; i++) {
		struct inval_source *source = atomic_load_explicit(&inval->sources[i], ACQUIRE);
		uint64_t head = atomic_load_explicit(&source->head, RELAXED);

		source->taken_published = atomic_load_explicit(&source->published, ACQUIRE);
		source->taken_tail = atomic_load_explicit(&source->tail, ACQUIRE);
		if (atomic_load_explicit(&source->skipped, RELAXED) > head)
			batch->everything = true;
		for (; head != source->taken_tail && !batch->everything; head++)
			batch_add(batch, &source->ring[head & source->mask]);
	}
}

static int compare(const void *a, const void *b)
{
	const struct be_inval *one = a, *other = b;

	return one->iova < other->iova ? -1 : one->iova > other->iova;
}

/* Many scattered ranges: their neighbours may be elsewhere in the batch. */
static void merge(struct batch *batch)
{
	uint32_t kept = 0;

	qsort(batch->ranges, batch->count, sizeof(batch->ranges[0]), compare);
	for (uint32_t i = 1; i < batch->count; i++) {
		struct be_inval *last = &batch->ranges[kept], *range = &batch->ranges[i];

		if (last->iova + last->bytes >= range->iova) {
			if (range->iova + range->bytes > last->iova + last->bytes)
				last->bytes = range->iova + range->bytes - last->iova;
		} else {
			batch->ranges[++kept] = *range;
		}
	}
	batch->merged += batch->count - kept - 1;
	batch->count = kept + 1;
}

static int send(struct inval *inval, const struct batch *batch)
{
	const struct be_ops *ops = inval->space->be->ops;
	unsigned int crossings = 0;
	int ret = 0;

	if (batch->everything) {
		ret = ops->invalidate(inval->space, NULL, 0, &crossings);
		atomic_fetch_add_explicit(&inval->counters.flushes, 1, RELAXED);
	}
	for (uint32_t at = 0; !batch->everything && !ret && at < batch->count;) {
		uint32_t some = batch->count - at;

		if (some > inval->call_ranges)
			some = inval->call_ranges;
		ret = ops->invalidate(inval->space, batch->ranges + at, some, &crossings);
		at += some;
	}
	atomic_fetch_add_explicit(&inval->counters.crossings, crossings, RELAXED);
	return ret;
}

/* The lock is held. */
static int commit_locked(struct inval *inval)
{
	struct batch batch = { .ranges = inval->batch, .max = inval->flush_ranges };
	uint32_t count;
	int ret;

	collect(inval, &batch);
	if (!batch.everything && batch.count > 8)
		merge(&batch);
	ret = batch.everything || batch.count ? send(inval, &batch) : 0;
	if (ret)
		return ret;
	atomic_fetch_add_explicit(&inval->counters.commits, 1, RELAXED);
	if (!batch.everything) {
		atomic_fetch_add_explicit(&inval->counters.merged, batch.merged, RELAXED);
		atomic_fetch_add_explicit(&inval->counters.issued, batch.count, RELAXED);
	}
	count = atomic_load_explicit(&inval->source_count, RELAXED);
	for (uint32_t i = 0; i < count; i++) {
		struct inval_source *source = atomic_load_explicit(&inval->sources[i], RELAXED);

		atomic_store_explicit(&source->head, source->taken_tail, RELEASE);
		atomic_store_explicit(&source->completed, source->taken_published, RELEASE);
	}
	return 0;
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Return: true with the lock held, or false: somebody else's commit has covered @position. */
static bool lock_or_join(struct inval *inval, const struct inval_source *source, uint64_t position)
{
	for (unsigned int i = 0; i < SPINS; i++) {
		if (inval_done(source, position))
			return false;
		if (pthread_mutex_trylock(&inval->lock) == 0)
			goto locked;
		pause_cpu();
	}
	pthread_mutex_lock(&inval->lock);
locked:
	if (!inval_done(source, position))
		return true;
	pthread_mutex_unlock(&inval->lock);
	return false;
}

int inval_commit(struct inval *inval, struct inval_source *source, uint64_t position)
{
	int ret;

	if (!lock_or_join(inval, source, position))
		return INVAL_JOINED;
	ret = commit_locked(inval);
	pthread_mutex_unlock(&inval->lock);
	return ret;
}

int inval_commit_all(struct inval *inval)
{
	int ret;

	pthread_mutex_lock(&inval->lock);
	ret = commit_locked(inval);
	pthread_mutex_unlock(&inval->lock);
	return ret;
}

bool inval_pending(const struct inval *inval)
{
	uint32_t count = atomic_load_explicit(&inval->source_count, ACQUIRE);

	for (uint32_t i = 0; i < count; i++) {
		const struct inval_source *source =
			atomic_load_explicit(&inval->sources[i], ACQUIRE);

		if (atomic_load_explicit(&source->published, RELAXED) !=
		    atomic_load_explicit(&source->completed, RELAXED))
			return true;
	}
	return false;
}

int inval_stamp_wait(struct inval *inval, uint64_t stamp)
{
	/* What was cleared by another thread in this moment may not be published yet. */
	while (inval_stamp_behind(inval_stamp_source(inval, stamp), stamp)) {
		int ret = inval_commit_all(inval);

		if (ret)
			return ret;
		if (inval_stamp_behind(inval_stamp_source(inval, stamp), stamp))
			sched_yield();
	}
	return 0;
}
