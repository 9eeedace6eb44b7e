/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registration cache inside: regcache.c has the hot calls and the object, regcache_fill.c what
 * a miss does, regcache_reap.c the end of registrations, regcache_watch.c the kernel's events.
 *
 * A registration is free, pending (being mapped), live (found by get), or dead (found no more,
 * unmapped when nobody holds it). Only live and pending ones are in the set @known.
 *
 * Holding. A get finds the registration and adds one to its queue's count of it, inside a read-side
 * section of its queue. Who ends a registration takes it out of the map, waits until no queue is in
 * a section that began before, and then adds up the counts of all queues. No get can add to them
 * any more, puts only subtract, from whichever queue; each count is read once, so a sum of zero is
 * final.
 *
 * Replaced memory. The kernel lets a thread return from munmap() when the event has been read. So
 * the watcher first stores 0 to @page->open, then reads, then takes what is gone out of the map,
 * then stores 1. A get that begins after munmap() has returned either finds the map as it should
 * be, or finds 0 after its look-up, and goes to the lock.
 *
 * Locks, outermost first: slow (misses, the ends; the context's locks are inside it), lock (the
 * map, the set, the lists). The watcher takes @lock alone, and whoever holds @lock neither frees
 * memory nor unmaps it: that would wait for the watcher. For the same reason the watcher itself
 * allocates and frees nothing.
 */
#ifndef ENGINE_REGCACHE_H
#define ENGINE_REGCACHE_H

#include "objects.h"

#include <ioas/regcache.h>

#define REG_MAX (1U << 20)

/*
 * An entry of the map: which registration it is, and its translation, so that a get reads one entry
 * and its own count.
 *
 *   63         22 21       2 1 0
 *   IOVA >> 12   | index    | flags of vamap.h
 */
#define REG_INDEX_SHIFT 2
#define REG_INDEX_BITS	20
#define REG_IOVA_SHIFT	(REG_INDEX_SHIFT + REG_INDEX_BITS)
#define REG_STEP	(UINT64_C(1) << (REG_IOVA_SHIFT - IOAS_PAGE_SHIFT))
#define REG_IOVA_BITS	(64 - REG_IOVA_SHIFT + IOAS_PAGE_SHIFT)

static_assert(REG_MAX == 1U << REG_INDEX_BITS, "an index fits its bits");

static inline uint64_t reg_entry(uint64_t iova, uint32_t index)
{
	return iova << (REG_IOVA_SHIFT - IOAS_PAGE_SHIFT) | (uint64_t)index << REG_INDEX_SHIFT;
}

static inline uint32_t reg_entry_index(uint64_t entry)
{
	return entry >> REG_INDEX_SHIFT & (REG_MAX - 1);
}

/* Of the first byte that the entry covers. */
static inline uint64_t reg_entry_iova(uint64_t entry)
{
	return entry >> REG_IOVA_SHIFT << IOAS_PAGE_SHIFT;
}

/* What a get that is longer than an entry reads, and a put when something is dead. */
struct reg {
	uint64_t last; /* virtual address */
	_Atomic bool dead;
};

/*
 * A queue's hold on a registration: how often, modulo 1 << 20, and in which round of the clock it
 * was last got. Gets and puts of one registration may be different queues', so a count may go below
 * zero; the sum of all queues' is right modulo the same.
 */
#define REG_COUNT_BITS 20
#define REG_COUNT_MASK ((1U << REG_COUNT_BITS) - 1)
#define REG_ROUND      (1U << REG_COUNT_BITS)

enum reg_state {
	REG_FREE,
	REG_PENDING,
	REG_LIVE,
	REG_DEAD,
};

/* The rest of it. */
struct reg_record {
	struct extent extent;	    /* virtual addresses; first, so that it can be cast */
	struct cds_list_head entry; /* in free, in dead, or of one call */
	enum reg_state state;	    /* under lock */
	bool listed;		    /* in dead; under lock */
	bool watched;
	uint64_t iova;
	struct be_mem *be_mem; /* pinned by the cache, or NULL */
	struct ioas_mem *mem;  /* the user's, which it is inside, or NULL */
};

/* A page of its own, that a child process finds empty. */
struct reg_page {
	_Atomic uint32_t open;
};

struct ioas_regcache {
	/* Read by every get. */
	struct vamap map; /* address to reg_entry() */
	struct reg *regs;
	struct reg_page *page;
	_Atomic uint32_t dead_count; /* not free yet */
	_Atomic uint32_t round;	     /* of the clock's hand, in units of REG_ROUND */
	bool exact;
	bool membarrier; /* the kernel orders a waiter against gets */
	int uffd;	 /* -1: nothing is watched */

	struct ioas *as;
	struct ioas_regcache_opts opts;
	pid_t pid;
	struct reg_record *records;
	_Atomic int32_t *orphans; /* counts of queues that are no more, or have none */
	uint32_t made;		  /* of the arrays, in use or free; under slow */
	uint32_t hand;		  /* of the clock; under slow */

	pthread_mutex_t slow;
	struct ioas_regcache_stats stats; /* under slow, but for what the watcher counts */
	uint64_t orphan_gets;		  /* under ctx->lock */

	pthread_mutex_t lock;
	struct extents known;
	struct cds_list_head free;
	struct cds_list_head dead;
	uint64_t invalidations;

	pthread_cond_t work; /* with lock: something is dead, or stop */
	bool stop;
	bool kicked; /* a dead one was put */
	pthread_t reaper;
	pthread_t watcher;
	bool reaping;
	bool watching;
	int stop_fd; /* eventfd: the watcher ends */
};

static inline uint32_t reg_index(const struct ioas_regcache *cache, const struct reg_record *record)
{
	return (uint32_t)(record - cache->records);
}

static inline uint64_t reg_bytes(const struct reg_record *record)
{
	return record->extent.last - record->extent.start + 1;
}

/*
 * One writer, the queue's thread. Release: with it goes what was done under the count. Below zero,
 * the round is off by one; it is a hint.
 */
static inline void reg_get(struct ioas_queue *q, const struct ioas_regcache *cache, uint32_t index)
{
	_Atomic uint32_t *hold = &q->reg_holds[index];
	uint32_t count = (atomic_load_explicit(hold, memory_order_relaxed) + 1) & REG_COUNT_MASK;

	atomic_store_explicit(hold,
			      count | atomic_load_explicit(&cache->round, memory_order_relaxed),
			      memory_order_release);
}

static inline void reg_put(struct ioas_queue *q, uint32_t index)
{
	_Atomic uint32_t *hold = &q->reg_holds[index];

	atomic_store_explicit(hold, atomic_load_explicit(hold, memory_order_relaxed) - 1,
			      memory_order_release);
}

/* regcache_fill.c: a get that did not hit. @counted: among the queue's gets. */
int regcache_get_slow(struct ioas_queue *q, uint64_t va, uint64_t bytes, bool counted,
		      struct ioas_reg *reg);

/* regcache_reap.c */

/* Take a live or pending one out of the map, to be unmapped in time. Under lock. */
void regcache_kill(struct ioas_regcache *cache, struct reg_record *record);

/* A dead or pending one that is not mapped. Under lock. */
void regcache_free(struct ioas_regcache *cache, struct reg_record *record);

/* If it is live and nobody holds it. Under slow. Return: was it? */
bool regcache_kill_idle(struct ioas_regcache *cache, struct reg_record *record);

/* All that overlap a range. Under lock. Return: how many. */
unsigned int regcache_kill_range(struct ioas_regcache *cache, uint64_t start, uint64_t last);

/* Whoever unmaps is no queue, or none that lives. Under slow. */
void regcache_count_unmaps(struct ioas_regcache *cache, unsigned int crossings);

/* Unmap what is dead and not held. Under slow. Return: how many are left. */
unsigned int regcache_reap(struct ioas_regcache *cache);

/* Was it got in this round of the clock? Under slow. */
bool regcache_was_used(struct ioas_regcache *cache, const struct reg_record *record);

/* Does anybody hold it, as far as can be told? Under slow. */
bool regcache_is_held(struct ioas_regcache *cache, const struct reg_record *record);

int regcache_start_reaper(struct ioas_regcache *cache);
void regcache_stop_reaper(struct ioas_regcache *cache);

/* regcache_watch.c */

int regcache_start_watch(struct ioas_regcache *cache);
void regcache_stop_watch(struct ioas_regcache *cache);

/* From now on changes of the range are told. Return: 0, or a negative errno: it cannot be. */
int regcache_watch(struct ioas_regcache *cache, uint64_t start, uint64_t bytes);
void regcache_unwatch(struct ioas_regcache *cache, uint64_t start, uint64_t bytes);

/* Is an unmap of watched memory under way, of which the watcher does not know? A system call. */
bool regcache_unmap_pending(const struct ioas_regcache *cache);

#endif
