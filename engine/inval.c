/* SPDX-License-Identifier: BSD-3-Clause */
/* Group commit; see inval.h for the protocol and its ordering. */
#include "inval.h"
#include "trace.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define RELAXED memory_order_relaxed
#define ACQUIRE memory_order_acquire
#define RELEASE memory_order_release

/*
 * Times to look before a waiting thread lets others have its processor: about as long as that costs.
 * With more threads than processors, who commits is one that waits for one.
 */
#define SPINS 32

int inval_init(struct inval *inval, const struct be_caps *caps, uint32_t ranges)
{
	uint32_t entries = INVAL_RING_MIN;

	memset(inval, 0, sizeof(*inval));
	while (entries < 2 * ranges)
		entries *= 2;
	inval->ring_entries = entries;
	inval->flush_ranges = caps->inval_flush_ranges ? caps->inval_flush_ranges : 1;
	inval->call_ranges = caps->inval_call_ranges ? caps->inval_call_ranges : 1;
	inval->leaf = !caps->shadows;
	pthread_mutex_init(&inval->lock, NULL);
	for (unsigned int i = 0; i < INVAL_LANES; i++) {
		struct inval_lane *lane = &inval->lanes[i];

		lane->ranges = calloc(inval->flush_ranges, sizeof(lane->ranges[0]));
		if (!lane->ranges) {
			inval_destroy(inval);
			return -ENOMEM;
		}
	}
	return 0;
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
	for (unsigned int i = 0; i < INVAL_LANES; i++)
		free(inval->lanes[i].ranges);
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

/* The ranges of one commit. */

struct batch {
	struct be_inval *ranges;
	bool leaf;
	uint32_t max;
	uint32_t count;
	uint32_t merged;
	bool everything;
};

/* Merges with the last one; merge() does the rest. */
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
			.leaf = batch->leaf,
		};
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

/* One writer at a time: the thread that has the lane. */
static inline void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, RELAXED) + n, RELAXED);
}

static int send(struct inval *inval, struct inval_lane *lane, const struct batch *batch)
{
	const struct be_ops *ops = inval->space->be->ops;
	unsigned int crossings = 0;
	int ret = 0;

	if (batch->everything) {
		ret = ops->invalidate(inval->space, NULL, 0, &crossings);
		count(&lane->counters.flushes, 1);
	}
	for (uint32_t at = 0; !batch->everything && !ret && at < batch->count;) {
		uint32_t some = batch->count - at;

		if (some > inval->call_ranges)
			some = inval->call_ranges;
		ret = ops->invalidate(inval->space, batch->ranges + at, some, &crossings);
		at += some;
	}
	count(&lane->counters.crossings, crossings);
	TRACE(commit, inval->space, batch->everything, batch->count, crossings, ret);
	if (ret)
		return ret;
	count(&lane->counters.commits, 1);
	if (!batch->everything) {
		count(&lane->counters.merged, batch->merged);
		count(&lane->counters.issued, batch->count);
	}
	return 0;
}

/* Lanes. */

static struct inval_lane *lane_try(struct inval *inval, uint32_t hint)
{
	for (unsigned int i = 0; i < INVAL_LANES; i++) {
		struct inval_lane *lane = &inval->lanes[(hint + i) % INVAL_LANES];

		if (!atomic_load_explicit(&lane->busy, RELAXED) &&
		    !atomic_exchange_explicit(&lane->busy, true, ACQUIRE)) {
			lane->source_count = 0;
			return lane;
		}
	}
	return NULL;
}

static void lane_leave(struct inval_lane *lane)
{
	atomic_store_explicit(&lane->busy, false, RELEASE);
}

/* Take what @source has published. Return: false if it is in another commit. */
static bool take(struct inval_lane *lane, struct inval_source *source, struct batch *batch)
{
	uint64_t head;

	if (atomic_load_explicit(&source->taken, RELAXED) ||
	    atomic_exchange_explicit(&source->taken, true, ACQUIRE))
		return false;
	head = atomic_load_explicit(&source->head, RELAXED);
	source->taking_published = atomic_load_explicit(&source->published, ACQUIRE);
	source->taking_tail = atomic_load_explicit(&source->tail, ACQUIRE);
	if (atomic_load_explicit(&source->skipped, RELAXED) > head)
		batch->everything = true;
	for (; head != source->taking_tail && !batch->everything; head++)
		batch_add(batch, &source->ring[head & source->mask]);
	lane->sources[lane->source_count++] = source->index;
	return true;
}

static void take_waiting(struct inval *inval, struct inval_lane *lane, struct batch *batch)
{
	if (!atomic_load_explicit(&inval->waiting, RELAXED))
		return;
	for (unsigned int word = 0; word < INVAL_SOURCES / 64; word++) {
		uint64_t bits = atomic_load_explicit(&inval->wanted[word], RELAXED);

		for (; bits; bits &= bits - 1)
			take(lane,
			     atomic_load_explicit(
				     &inval->sources[word * 64 + __builtin_ctzll(bits)], ACQUIRE),
			     batch);
	}
}

/* Return: 0, INVAL_JOINED if all of it had gone with earlier calls, or the backend's error. */
static int finish(struct inval *inval, struct inval_lane *lane, struct batch *batch)
{
	int ret = INVAL_JOINED;

	if (!batch->everything && batch->count > 8)
		merge(batch);
	if (batch->everything || batch->count)
		ret = send(inval, lane, batch);
	for (uint32_t i = 0; i < lane->source_count; i++) {
		struct inval_source *source =
			atomic_load_explicit(&inval->sources[lane->sources[i]], RELAXED);

		if (ret >= 0) {
			atomic_store_explicit(&source->head, source->taking_tail, RELEASE);
			atomic_store_explicit(&source->completed, source->taking_published,
					      RELEASE);
		}
		atomic_store_explicit(&source->taken, false, RELEASE);
	}
	return ret;
}

static inline void relax(unsigned int *spins)
{
	if (++*spins % SPINS == 0) {
		sched_yield();
		return;
	}
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void want(struct inval *inval, const struct inval_source *source, bool on)
{
	_Atomic uint64_t *word = &inval->wanted[source->index / 64];
	uint64_t bit = UINT64_C(1) << source->index % 64;

	if (on) {
		atomic_fetch_or_explicit(word, bit, RELAXED);
		atomic_fetch_add_explicit(&inval->waiting, 1, RELAXED);
	} else {
		atomic_fetch_sub_explicit(&inval->waiting, 1, RELAXED);
		atomic_fetch_and_explicit(word, ~bit, RELAXED);
	}
}

int inval_commit(struct inval *inval, struct inval_source *source, uint64_t position)
{
	int ret = INVAL_JOINED;
	unsigned int spins = 0;
	bool waiting = false;

	while (ret >= 0 && !inval_done(source, position)) {
		struct inval_lane *lane = lane_try(inval, source->index);
		struct batch batch = { .max = inval->flush_ranges, .leaf = inval->leaf };

		if (lane) {
			batch.ranges = lane->ranges;
			/* If it is in another commit, that one serves it, or gives it back. */
			if (take(lane, source, &batch)) {
				take_waiting(inval, lane, &batch);
				ret = finish(inval, lane, &batch);
				lane_leave(lane);
				continue;
			}
			lane_leave(lane);
		} else if (!waiting) {
			want(inval, source, waiting = true);
		}
		relax(&spins);
	}
	if (waiting)
		want(inval, source, false);
	return ret;
}

/* Take every source that is not complete up to its position. Return: is any left? */
static bool take_all(struct inval *inval, struct inval_lane *lane, const uint64_t *positions,
		     uint32_t sources, struct batch *batch)
{
	bool left = false;

	for (uint32_t i = 0; i < sources; i++) {
		struct inval_source *source = atomic_load_explicit(&inval->sources[i], ACQUIRE);

		if (inval_done(source, positions[i]))
			continue;
		left = true;
		if (lane)
			take(lane, source, batch);
	}
	return left;
}

int inval_commit_all(struct inval *inval)
{
	uint32_t sources = atomic_load_explicit(&inval->source_count, ACQUIRE);
	uint64_t positions[INVAL_SOURCES];
	unsigned int spins = 0;
	int ret = 0;

	for (uint32_t i = 0; i < sources; i++)
		positions[i] = atomic_load_explicit(
			&atomic_load_explicit(&inval->sources[i], ACQUIRE)->published, ACQUIRE);
	while (ret >= 0 && take_all(inval, NULL, positions, sources, NULL)) {
		struct inval_lane *lane = lane_try(inval, 0);
		struct batch batch = { .max = inval->flush_ranges, .leaf = inval->leaf };

		if (lane) {
			batch.ranges = lane->ranges;
			take_all(inval, lane, positions, sources, &batch);
			ret = finish(inval, lane, &batch);
			lane_leave(lane);
		}
		relax(&spins); /* what is left is in another's commit */
	}
	return ret < 0 ? ret : 0;
}

bool inval_pending(const struct inval *inval)
{
	uint32_t sources = atomic_load_explicit(&inval->source_count, ACQUIRE);

	for (uint32_t i = 0; i < sources; i++) {
		const struct inval_source *source =
			atomic_load_explicit(&inval->sources[i], ACQUIRE);

		if (atomic_load_explicit(&source->published, RELAXED) !=
		    atomic_load_explicit(&source->completed, RELAXED))
			return true;
	}
	return false;
}

void inval_count(const struct inval *inval, struct inval_totals *totals)
{
	for (unsigned int i = 0; i < INVAL_LANES; i++) {
		const struct inval_counters *counters = &inval->lanes[i].counters;

		totals->crossings += atomic_load_explicit(&counters->crossings, RELAXED);
		totals->issued += atomic_load_explicit(&counters->issued, RELAXED);
		totals->merged += atomic_load_explicit(&counters->merged, RELAXED);
		totals->flushes += atomic_load_explicit(&counters->flushes, RELAXED);
		totals->commits += atomic_load_explicit(&counters->commits, RELAXED);
	}
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
