/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Invalidation by group commit (I1, I2).
 *
 * Every queue has a source: a ring of ranges whose entries it has cleared, written by the queue's
 * thread alone. A commit takes what its own source has published, and what every source has whose
 * thread is waiting; it merges neighbours, sends one call, and then tells each of these sources
 * up to where it is complete. At most LANES commits are under way at once: a thread that finds
 * all lanes taken says that it waits, and is mostly served by the next commit without a call of
 * its own. So calls never pile up in the kernel, however many threads there are, and a thread
 * that is alone touches nothing of the others'.
 *
 * A position counts a source's publications; what is unmapped in the course of publication N is
 * safe to reuse when the source's `completed` has reached N. Positions only grow, also when the
 * source passes to another queue. A source is in one commit at a time (`taken`), so its
 * publications complete in order.
 *
 * Ordering, with (a) the thread that unmaps, (b) the thread that commits, (c) hardware:
 *   a: clear entry (relaxed); write ring; store tail (release); store published (release)
 *   b: take (acquire); load published (acquire); load tail (acquire); read ring; call;
 *      store head, completed (release); untake (release)
 *   c: drop cached entries; walks after that load table entries
 * published is loaded before tail, so the ranges of every publication that is reported complete
 * are in the call (MP), or were in the call of an earlier commit. The clear happens before the
 * call by the release/acquire pair, and is visible to walks after the drop because the call into
 * the kernel (software IOMMU: the lock of its unit) orders it. completed is released after the
 * call has returned: who acquires it may write to the page or give the IOVA away, and no device
 * can have used the old entry since. tests/models/inval.pml is this as a Promela model.
 *
 * Tables stay in place for as long as the address space lives, so only leaf entries ever change,
 * and hardware may keep its paging-structure caches (the leaf hint of every range). A kernel that
 * walks the table (be_caps.shadows) is told of new entries by ranges as well, and looks at all
 * levels.
 *
 * A full ring does not stop a thread: it marks its ranges as skipped, and a commit that finds a
 * mark flushes everything.
 *
 * Source: the kernel's flush queues (drivers/iommu/dma-iommu.c); group commit of databases.
 */
#ifndef ENGINE_INVAL_H
#define ENGINE_INVAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"

#define INVAL_SOURCES  1024 /* queues of one address space */
#define INVAL_RING_MIN 256

struct inval_range {
	uint64_t iova;
	uint64_t bytes;
};

struct inval_source {
	/* Written by the queue's thread. */
	_Atomic uint64_t tail;	    /* ranges written to the ring, or skipped */
	_Atomic uint64_t skipped;   /* tail behind the last range that was skipped */
	_Atomic uint64_t published; /* publications */
	uint64_t next;		    /* tail, with what is not published yet */
	uint64_t head_seen;	    /* head, as last looked at */
	uint32_t mask;
	uint32_t index;
	struct inval_range *ring;

	/* Written by whoever has taken it. */
	_Atomic uint64_t completed __attribute__((aligned(64))); /* publications */
	_Atomic uint64_t head;					 /* ranges taken */
	uint64_t taking_published;				 /* by the commit under way */
	uint64_t taking_tail;
	_Atomic bool taken;

	bool used __attribute__((aligned(64))); /* by a queue; under inval.lock */
};

struct inval_counters {
	_Atomic uint64_t crossings;
	_Atomic uint64_t issued;
	_Atomic uint64_t merged;
	_Atomic uint64_t flushes;
	_Atomic uint64_t commits;
};

/* Sums of inval_counters. */
struct inval_totals {
	uint64_t crossings;
	uint64_t issued;
	uint64_t merged;
	uint64_t flushes;
	uint64_t commits;
};

#define INVAL_LANES 2

/* One commit at a time. Written by the thread that is in it. */
struct inval_lane {
	_Atomic bool busy __attribute__((aligned(64)));
	uint32_t source_count;
	struct inval_counters counters;
	struct be_inval *ranges; /* inval.flush_ranges of them */
	uint16_t sources[INVAL_SOURCES];
};

struct inval {
	struct be_space *space;
	uint32_t flush_ranges; /* more than these, and everything is flushed */
	uint32_t call_ranges;  /* at most in one call */
	uint32_t ring_entries;
	bool leaf; /* no range is of more than leaf entries */
	_Atomic uint32_t source_count; /* sources[] up to here were used some time */
	_Atomic(struct inval_source *) sources[INVAL_SOURCES];
	struct inval_lane lanes[INVAL_LANES];
	pthread_mutex_t lock; /* sources come and go */
	/* Who waits: a bit for each source, and how many bits there are. */
	_Atomic uint32_t waiting __attribute__((aligned(64)));
	_Atomic uint64_t wanted[INVAL_SOURCES / 64];
};

/* @ranges: that a queue may have pending in normal operation. Return: 0 or -ENOMEM. */
int inval_init(struct inval *inval, const struct be_caps *caps, uint32_t ranges);
void inval_destroy(struct inval *inval);

/* Return: 0, -ENOSPC all sources are in use, -ENOMEM. */
int inval_source_get(struct inval *inval, struct inval_source **source);

/* What it has published is complete. */
void inval_source_put(struct inval *inval, struct inval_source *source);

/* The position of what the queue's thread clears now. */
static inline uint64_t inval_position(const struct inval_source *source)
{
	return atomic_load_explicit(&source->published, memory_order_relaxed) + 1;
}

static inline bool inval_done(const struct inval_source *source, uint64_t position)
{
	return atomic_load_explicit(&source->completed, memory_order_acquire) >= position;
}

/* inval_add() when the ring looks full. */
void inval_add_slow(struct inval_source *source, uint64_t iova, uint64_t bytes);

/* Ask for a range, after its entries have been cleared. The queue's thread only. */
static inline void inval_add(struct inval_source *source, uint64_t iova, uint64_t bytes)
{
	if (__builtin_expect(source->next - source->head_seen > source->mask, 0)) {
		inval_add_slow(source, iova, bytes);
		return;
	}
	source->ring[source->next++ & source->mask] = (struct inval_range){ iova, bytes };
}

/* Let commits see what was added. */
static inline void inval_publish(struct inval_source *source)
{
	uint64_t position = inval_position(source);

	atomic_store_explicit(&source->tail, source->next, memory_order_release);
	atomic_store_explicit(&source->published, position, memory_order_release);
}

/*
 * Return when @position of @source is complete: 0, INVAL_JOINED if others' commits covered it,
 * or what the backend said; what was published stays in the ring then, for the next commit.
 */
#define INVAL_JOINED 1

int inval_commit(struct inval *inval, struct inval_source *source, uint64_t position);

/* Complete everything that any source has published before the call. */
int inval_commit_all(struct inval *inval);

/* Is there anything to commit? */
bool inval_pending(const struct inval *inval);

/* Since inval_init(). */
void inval_count(const struct inval *inval, struct inval_totals *totals);

/*
 * Stamps: what is left in a table entry that was cleared, to say what its reuse waits for.
 *   59 reserved for windows   58..49 source   48..0 position, its low bits
 * A position is at most a few thousand ahead of what is complete, so its low bits do.
 */
#define INVAL_STAMP_POSITION_BITS 49
#define INVAL_STAMP_WINDOW	  (UINT64_C(1) << 59)

static inline uint64_t inval_stamp(const struct inval_source *source, uint64_t position)
{
	return (uint64_t)source->index << INVAL_STAMP_POSITION_BITS |
	       (position & ((UINT64_C(1) << INVAL_STAMP_POSITION_BITS) - 1));
}

/* The source that a stamp waits for, and how far behind it is; 0: nothing to wait for. */
static inline struct inval_source *inval_stamp_source(const struct inval *inval, uint64_t stamp)
{
	return atomic_load_explicit(
		&inval->sources[stamp >> INVAL_STAMP_POSITION_BITS & (INVAL_SOURCES - 1)],
		memory_order_acquire);
}

static inline uint64_t inval_stamp_behind(const struct inval_source *source, uint64_t stamp)
{
	const uint64_t mask = (UINT64_C(1) << INVAL_STAMP_POSITION_BITS) - 1;
	uint64_t completed = atomic_load_explicit(&source->completed, memory_order_acquire);
	uint64_t behind = ((stamp & mask) - completed) & mask;

	return behind < UINT64_C(1) << 40 ? behind : 0;
}

/* Wait for what @stamp waits for. Return: 0, or the backend's error. */
int inval_stamp_wait(struct inval *inval, uint64_t stamp);

#endif
