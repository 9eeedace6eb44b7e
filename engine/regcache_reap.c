/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of registrations: out of the map, a wait for readers, and, when nobody holds them any
 * more, unmapped in one batch. Its thread does so when nobody else comes by. See regcache.h.
 */
#include "regcache.h"
#include "trace.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RETRY_NS UINT64_C(100000000) /* for those that are held */

/* Under lock. */
static void add_dead(struct ioas_regcache *cache, int by)
{
	atomic_store_explicit(&cache->dead_count,
			      atomic_load_explicit(&cache->dead_count, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

void regcache_kill(struct ioas_regcache *cache, struct reg_record *record)
{
	const uint32_t index = reg_index(cache, record);

	extents_remove(&cache->known, &record->extent);
	if (record->state == REG_LIVE) {
		vamap_remove(&cache->map, record->extent.start, reg_bytes(record),
			     reg_entry(record->iova, index));
		cds_list_add_tail(&record->entry, &cache->dead);
		record->listed = true;
		pthread_cond_signal(&cache->work);
	}
	/* One that is pending is its thread's; it will see this. */
	record->state = REG_DEAD;
	atomic_store_explicit(&cache->regs[index].dead, true, memory_order_release);
	add_dead(cache, 1);
}

void regcache_free(struct ioas_regcache *cache, struct reg_record *record)
{
	if (record->state == REG_DEAD)
		add_dead(cache, -1);
	else
		extents_remove(&cache->known, &record->extent);
	record->state = REG_FREE;
	cds_list_add(&record->entry, &cache->free);
}

unsigned int regcache_kill_range(struct ioas_regcache *cache, uint64_t start, uint64_t last)
{
	struct extent *extent;
	unsigned int count = 0;

	while ((extent = extents_overlap(&cache->known, start, last))) {
		regcache_kill(cache, (struct reg_record *)extent);
		count++;
	}
	TRACE(regcache_invalidate, cache, start, last, count);
	return count;
}

/* Each count is read once. ctx->lock is held. */
static bool is_held(struct ioas_regcache *cache, uint32_t index)
{
	uint32_t sum = atomic_load_explicit(&cache->orphans[index], memory_order_acquire);
	const struct ioas_queue *q;

	cds_list_for_each_entry (q, &cache->as->queues, entry)
		if (q->reg_holds)
			sum += atomic_load_explicit(&q->reg_holds[index], memory_order_acquire);
	return sum & REG_COUNT_MASK;
}

bool regcache_is_held(struct ioas_regcache *cache, const struct reg_record *record)
{
	struct ioas_ctx *ctx = cache->as->ctx;
	bool held;

	pthread_mutex_lock(&ctx->lock);
	held = is_held(cache, reg_index(cache, record));
	pthread_mutex_unlock(&ctx->lock);
	return held;
}

bool regcache_was_used(struct ioas_regcache *cache, const struct reg_record *record)
{
	const uint32_t round = atomic_load_explicit(&cache->round, memory_order_relaxed);
	const uint32_t index = reg_index(cache, record);
	struct ioas_ctx *ctx = cache->as->ctx;
	const struct ioas_queue *q;
	bool used = false;

	pthread_mutex_lock(&ctx->lock);
	cds_list_for_each_entry (q, &cache->as->queues, entry)
		if (q->reg_holds)
			used |= (atomic_load_explicit(&q->reg_holds[index], memory_order_relaxed) &
				 ~REG_COUNT_MASK) == round;
	pthread_mutex_unlock(&ctx->lock);
	return used;
}

bool regcache_kill_idle(struct ioas_regcache *cache, struct reg_record *record)
{
	bool live;

	if (regcache_is_held(cache, record))
		return false;
	pthread_mutex_lock(&cache->lock);
	live = record->state == REG_LIVE;
	if (live)
		regcache_kill(cache, record);
	pthread_mutex_unlock(&cache->lock);
	return live;
}

/* The kernel's part, but for the mapping: it stays as long as somebody holds it. */
static void unpin(struct ioas_regcache *cache, struct reg_record *record)
{
	const uint64_t start = record->extent.start, last = record->extent.last;
	bool shared;

	if (record->be_mem)
		mem_unpin(cache->as->ctx, record->be_mem, reg_bytes(record));
	record->be_mem = NULL;
	if (!record->watched)
		return;
	record->watched = false;
	pthread_mutex_lock(&cache->lock);
	shared = extents_overlap(&cache->known, start, last);
	pthread_mutex_unlock(&cache->lock);
	if (!shared)
		regcache_unwatch(cache, start, last - start + 1);
}

void regcache_count_unmaps(struct ioas_regcache *cache, unsigned int crossings)
{
	struct ioas_ctx *ctx = cache->as->ctx;

	pthread_mutex_lock(&ctx->lock);
	counter_add(&ctx->gone, COUNTER_UNMAP_CROSSINGS, crossings);
	pthread_mutex_unlock(&ctx->lock);
}

static void unmap(struct ioas_regcache *cache, struct reg_record *record, unsigned int *crossings)
{
	parent_unmap(cache->as, record->iova, reg_bytes(record), crossings);
	if (record->mem)
		mem_unuse(record->mem);
	record->mem = NULL;
	cache->stats.entries--;
	cache->stats.bytes -= reg_bytes(record);
	pthread_mutex_lock(&cache->lock);
	regcache_free(cache, record);
	pthread_mutex_unlock(&cache->lock);
}

/* Those of @dead that are held stay in it, the others go to @idle. */
static void sort(struct ioas_regcache *cache, struct cds_list_head *dead,
		 struct cds_list_head *idle)
{
	struct ioas_ctx *ctx = cache->as->ctx;
	struct reg_record *record, *next;

	pthread_mutex_lock(&ctx->lock);
	cds_list_for_each_entry_safe (record, next, dead, entry) {
		if (is_held(cache, reg_index(cache, record)))
			continue;
		cds_list_del(&record->entry);
		cds_list_add_tail(&record->entry, idle);
	}
	pthread_mutex_unlock(&ctx->lock);
}

/*
 * Until each get that may have found something in the map that is not there any more has counted
 * it. The barrier makes every running thread's stores visible: a section that is not seen has begun
 * after it, and looks at the map as it is now.
 */
static void wait_for_gets(struct ioas_regcache *cache)
{
	struct ioas_ctx *ctx = cache->as->ctx;
	const struct ioas_queue *q;

	if (!cache->membarrier || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
		cmm_smp_mb();
	pthread_mutex_lock(&ctx->lock);
	cds_list_for_each_entry (q, &cache->as->queues, entry) {
		uint64_t gets = atomic_load_explicit(&q->reg_gets, memory_order_acquire);

		/* A section waits for nobody; its thread may be without a cpu. */
		while ((gets & 1) &&
		       atomic_load_explicit(&q->reg_gets, memory_order_acquire) == gets)
			sched_yield();
	}
	pthread_mutex_unlock(&ctx->lock);
}

unsigned int regcache_reap(struct ioas_regcache *cache)
{
	struct cds_list_head dead, idle;
	struct reg_record *record, *next;
	unsigned int left = 0, crossings = 0;

	CDS_INIT_LIST_HEAD(&dead);
	CDS_INIT_LIST_HEAD(&idle);
	pthread_mutex_lock(&cache->lock);
	cds_list_splice(&cache->dead, &dead);
	CDS_INIT_LIST_HEAD(&cache->dead);
	cache->kicked = false;
	pthread_mutex_unlock(&cache->lock);
	if (cds_list_empty(&dead))
		return 0;

	wait_for_gets(cache);
	cds_list_for_each_entry (record, &dead, entry)
		unpin(cache, record);
	sort(cache, &dead, &idle);
	if (!cds_list_empty(&idle))
		cache->stats.unmap_batches++;
	cds_list_for_each_entry_safe (record, next, &idle, entry)
		unmap(cache, record, &crossings);
	regcache_count_unmaps(cache, crossings);

	cds_list_for_each_entry (record, &dead, entry)
		left++;
	pthread_mutex_lock(&cache->lock);
	cds_list_splice(&dead, &cache->dead);
	pthread_mutex_unlock(&cache->lock);
	return left;
}

/* The thread. */

static void add_ns(struct timespec *ts, uint64_t ns)
{
	ns += ts->tv_nsec;
	ts->tv_sec += ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
}

/* Under lock. Return: the state of the condition. */
static int wait_ns(struct ioas_regcache *cache, uint64_t ns)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	add_ns(&until, ns);
	return pthread_cond_timedwait(&cache->work, &cache->lock, &until);
}

static void *reap_on(void *arg)
{
	struct ioas_regcache *cache = arg;
	unsigned int left = 0;

	pthread_mutex_lock(&cache->lock);
	while (!cache->stop) {
		if (cds_list_empty(&cache->dead)) {
			pthread_cond_wait(&cache->work, &cache->lock);
			left = 0;
			continue;
		}
		/* More may die meanwhile, and go together. Of those that are held none may be left.
		 */
		while (!cache->stop && !cache->kicked &&
		       wait_ns(cache, left ? RETRY_NS : cache->opts.linger_ns) == 0 && !left)
			;
		if (cache->stop)
			break;
		pthread_mutex_unlock(&cache->lock);
		pthread_mutex_lock(&cache->slow);
		left = regcache_reap(cache);
		pthread_mutex_unlock(&cache->slow);
		pthread_mutex_lock(&cache->lock);
	}
	pthread_mutex_unlock(&cache->lock);
	return NULL;
}

int regcache_start_reaper(struct ioas_regcache *cache)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&cache->reaper, NULL, reap_on, cache);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		return diag_fail(&cache->as->ctx->diag, -ret,
				 "registration cache: cannot start a thread: %s", strerror(ret));
	pthread_setname_np(cache->reaper, "ioas-reaper");
	cache->reaping = true;
	return 0;
}

void regcache_stop_reaper(struct ioas_regcache *cache)
{
	if (!cache->reaping)
		return;
	pthread_mutex_lock(&cache->lock);
	cache->stop = true;
	pthread_cond_signal(&cache->work);
	pthread_mutex_unlock(&cache->lock);
	pthread_join(cache->reaper, NULL);
	cache->reaping = false;
}

void regcache_forget_mem(struct ioas_ctx *ctx, uint64_t va, uint64_t bytes)
{
	struct ioas *as;

	/* Under admin: neither spaces nor caches come or go. */
	cds_list_for_each_entry (as, &ctx->spaces, entry)
		if (as->regcache)
			ioas_regcache_forget(as->regcache, (void *)(uintptr_t)va, bytes);
}
