/* SPDX-License-Identifier: BSD-3-Clause */
/* The registration cache: the hot calls, and the object. See regcache.h. */
#include "regcache.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES_DEFAULT 65536
#define MERGE_DEFAULT	(UINT64_C(2) << 20)
#define LINGER_DEFAULT	UINT64_C(1000000)

/* Hot. */

/*
 * A get's read-side section: odd while inside. Once the section has begun, nothing is read before
 * that can be seen: the waiter's membarrier() orders it, or a fence here. (A section of liburcu's
 * costs 5 to 8 ns, half of what a get and a put may.)
 */
static inline uint64_t section_begin(struct ioas_queue *q, const struct ioas_regcache *cache)
{
	uint64_t gets = atomic_load_explicit(&q->reg_gets, memory_order_relaxed) + 1;

	atomic_store_explicit(&q->reg_gets, gets, memory_order_relaxed);
	if (__builtin_expect(cache->membarrier, 1))
		cmm_barrier();
	else
		cmm_smp_mb();
	return gets;
}

/* Release: who sees the section's end sees what it has counted. */
static inline void section_end(struct ioas_queue *q, uint64_t gets)
{
	atomic_store_explicit(&q->reg_gets, gets + 1, memory_order_release);
}

/* Does the entry's registration reach as far? It is the entry alone that says so, mostly. */
static inline bool reaches(const struct ioas_regcache *cache, uint64_t entry, unsigned int lg2,
			   uint64_t va, uint64_t bytes)
{
	const uint64_t size = UINT64_C(1) << lg2;

	return __builtin_expect(bytes - 1 < size - (va & (size - 1)), 1) ||
	       bytes - 1 <= cache->regs[reg_entry_index(entry)].last - va;
}

/* One that hits, or the slow way. Where it matters, no unmap was pending since the call began. */
static inline int get(struct ioas_queue *q, struct ioas_regcache *cache, uint64_t va,
		      uint64_t bytes, struct ioas_reg *out)
{
	uint64_t gets = section_begin(q, cache), entry;
	unsigned int lg2;

	entry = vamap_entry(&cache->map, va, &lg2);
	if (__builtin_expect(!entry || !reaches(cache, entry, lg2, va, bytes), 0)) {
		section_end(q, gets);
		return regcache_get_slow(q, va, bytes, true, out);
	}
	reg_get(q, cache, reg_entry_index(entry));
	/* After the look-up, whose load is an acquire: see "Replaced memory" in regcache.h. */
	if (__builtin_expect(!atomic_load_explicit(&cache->page->open, memory_order_acquire), 0)) {
		reg_put(q, reg_entry_index(entry));
		section_end(q, gets);
		return regcache_get_slow(q, va, bytes, true, out);
	}
	section_end(q, gets);
	out->iova = reg_entry_iova(entry) + (va & ((UINT64_C(1) << lg2) - 1));
	out->entry = entry;
	return 0;
}

/* May hits be looked for? */
static inline bool may_hit(struct ioas_queue *q, const struct ioas_regcache *cache)
{
	if (__builtin_expect(!q->reg_holds || !queue_is_mine(q), 0))
		return false;
	return __builtin_expect(!cache->exact, 1) || !regcache_unmap_pending(cache);
}

int ioas_regcache_get(struct ioas_queue *q, const void *address, size_t bytes, struct ioas_reg *out)
{
	struct ioas_regcache *cache = q->as->regcache;
	const uint64_t va = (uintptr_t)address;

	if (__builtin_expect(!may_hit(q, cache), 0))
		return regcache_get_slow(q, va, bytes, false, out);
	return get(q, cache, va, bytes, out);
}

int ioas_regcache_get_batch(struct ioas_queue *q, const struct iovec *buffers, unsigned int count,
			    struct ioas_reg *regs)
{
	struct ioas_regcache *cache = q->as->regcache;
	const bool hits = may_hit(q, cache);
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < count; i++) {
		const uint64_t va = (uintptr_t)buffers[i].iov_base;

		ret = __builtin_expect(hits, 1)
			      ? get(q, cache, va, buffers[i].iov_len, &regs[i])
			      : regcache_get_slow(q, va, buffers[i].iov_len, false, &regs[i]);
	}
	if (__builtin_expect(ret != 0, 0))
		for (i--; i-- > 0;)
			ioas_regcache_put(q, &regs[i]);
	return ret;
}

/* In a section, so that the registration stays what it is while it is looked at. */
int ioas_regcache_lookup(struct ioas_queue *q, const void *address, size_t *bytes,
			 ioas_iova_t *iova)
{
	const struct ioas_regcache *cache = q->as->regcache;
	const uint64_t va = (uintptr_t)address;
	uint64_t gets, entry, last;
	unsigned int lg2;

	if (!queue_is_mine(q))
		return -EPERM;
	if (!*bytes)
		return -EINVAL;
	if (!cache)
		return -ENOENT;
	gets = section_begin(q, cache);
	entry = vamap_entry(&cache->map, va, &lg2);
	last = entry ? cache->regs[reg_entry_index(entry)].last : 0;
	section_end(q, gets);
	if (!entry)
		return -ENOENT;
	*iova = reg_entry_iova(entry) + (va & ((UINT64_C(1) << lg2) - 1));
	if (*bytes - 1 > last - va)
		*bytes = last - va + 1;
	return 0;
}

/* Something is dead. If it is this one, the reaper may have waited for it. */
static __attribute__((noinline)) void kick(struct ioas_regcache *cache, uint32_t index)
{
	if (!atomic_load_explicit(&cache->regs[index].dead, memory_order_relaxed))
		return;
	if (!atomic_load_explicit(&cache->page->open, memory_order_relaxed) &&
	    cache->pid != getpid())
		return;
	pthread_mutex_lock(&cache->lock);
	cache->kicked = true;
	pthread_cond_signal(&cache->work);
	pthread_mutex_unlock(&cache->lock);
}

void ioas_regcache_put(struct ioas_queue *q, struct ioas_reg *held)
{
	struct ioas_regcache *cache = q->as->regcache;
	const uint32_t index = reg_entry_index(held->entry);

	if (__builtin_expect(q->reg_holds != NULL, 1))
		reg_put(q, index);
	else /* a queue that has never held anything */
		atomic_fetch_sub_explicit(&cache->orphans[index], 1, memory_order_release);
	held->entry = 0;
	/* If that was too early to see, the reaper looks again by itself. */
	if (__builtin_expect(atomic_load_explicit(&cache->dead_count, memory_order_relaxed) != 0,
			     0))
		kick(cache, index);
}

/* The object. */

/* Zeroed, and memory only where it is touched. */
static void *array(size_t count, size_t bytes)
{
	void *va = mmap(NULL, count * bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return va == MAP_FAILED ? NULL : va;
}

static void array_free(void *va, size_t count, size_t bytes)
{
	if (va)
		munmap(va, count * bytes);
}

int regcache_queue_begin(struct ioas_queue *q)
{
	struct ioas_regcache *cache = q->as->regcache;

	_Atomic uint32_t *holds;

	if (q->reg_holds)
		return 0;
	holds = array(cache->opts.max_entries, sizeof(holds[0]));
	if (!holds)
		return queue_fail(q, -ENOMEM, "no memory for a queue's registrations");
	/* Others add it up under this lock. */
	pthread_mutex_lock(&q->as->ctx->lock);
	q->reg_holds = holds;
	pthread_mutex_unlock(&q->as->ctx->lock);
	return 0;
}

/* Under ctx->lock. What it holds, others will put. */
void regcache_queue_end(struct ioas_queue *q)
{
	struct ioas_regcache *cache = q->as->regcache;

	if (!q->reg_holds)
		return;
	for (uint32_t i = 0; i < cache->made; i++)
		atomic_fetch_add_explicit(
			&cache->orphans[i],
			atomic_load_explicit(&q->reg_holds[i], memory_order_relaxed) &
				REG_COUNT_MASK,
			memory_order_release);
	cache->orphan_gets += atomic_load_explicit(&q->reg_gets, memory_order_relaxed) / 2;
	array_free(q->reg_holds, cache->opts.max_entries, sizeof(q->reg_holds[0]));
	q->reg_holds = NULL;
}

static int bad(struct ioas *as, const char *what)
{
	return diag_fail(&as->ctx->diag, -EINVAL, "registration cache: %s", what);
}

static int check(struct ioas *as, const struct ioas_regcache_opts *opts)
{
	if (opts->size != sizeof(*opts))
		return bad(as, "size: not that of struct ioas_regcache_opts");
	if (opts->watch > IOAS_WATCH_NONE)
		return bad(as, "watch: none of EXACT, ORDERED, NONE");
	if (opts->prot & ~(uint32_t)IOAS_RW)
		return bad(as, "prot: bits that are neither IOAS_READ nor IOAS_WRITE");
	if (opts->max_entries > REG_MAX)
		return bad(as, "max_entries: more than 1 << 20");
	if (as->kind != IOAS_KIND_KERNEL)
		return diag_fail(&as->ctx->diag, -EOPNOTSUPP,
				 "registration cache: not for address spaces of kind %s",
				 ioas_kind_name(as->kind));
	if (as->regcache)
		return diag_fail(&as->ctx->diag, -EEXIST,
				 "registration cache: the address space has one");
	return 0;
}

static void set_options(struct ioas_regcache *cache, const struct ioas_regcache_opts *opts)
{
	cache->opts = *opts;
	cache->opts.prot = opts->prot ?: IOAS_RW;
	cache->opts.max_entries = opts->max_entries ?: ENTRIES_DEFAULT;
	cache->opts.max_bytes = opts->max_bytes ?: UINT64_MAX;
	cache->opts.merge_bytes = opts->merge_bytes ?: MERGE_DEFAULT;
	cache->opts.linger_ns = opts->linger_ns ?: LINGER_DEFAULT;
	cache->exact = opts->watch == IOAS_WATCH_EXACT;
	cache->membarrier =
		!syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

static int allocate(struct ioas_regcache *cache)
{
	const uint32_t count = cache->opts.max_entries;
	int ret = vamap_init(&cache->map, REG_STEP);

	cache->regs = array(count, sizeof(cache->regs[0]));
	cache->records = array(count, sizeof(cache->records[0]));
	cache->orphans = array(count, sizeof(cache->orphans[0]));
	cache->page = array(1, IOAS_PAGE_SIZE);
	if (ret || !cache->regs || !cache->records || !cache->orphans || !cache->page)
		return -ENOMEM;
	if (madvise(cache->page, IOAS_PAGE_SIZE, MADV_WIPEONFORK))
		return -errno;
	atomic_store_explicit(&cache->page->open, 1, memory_order_release);
	return 0;
}

static void release(struct ioas_regcache *cache)
{
	const uint32_t count = cache->opts.max_entries;

	array_free(cache->page, 1, IOAS_PAGE_SIZE);
	array_free(cache->orphans, count, sizeof(cache->orphans[0]));
	array_free(cache->records, count, sizeof(cache->records[0]));
	array_free(cache->regs, count, sizeof(cache->regs[0]));
	vamap_destroy(&cache->map);
	pthread_mutex_destroy(&cache->slow);
	pthread_mutex_destroy(&cache->lock);
	pthread_cond_destroy(&cache->work);
	free(cache);
}

static struct ioas_regcache *new_cache(struct ioas *as, const struct ioas_regcache_opts *opts)
{
	struct ioas_regcache *cache = aligned_alloc(64, (sizeof(*cache) + 63) & ~UINT64_C(63));
	pthread_condattr_t attr;

	if (!cache)
		return NULL;
	memset(cache, 0, sizeof(*cache));
	cache->as = as;
	cache->uffd = -1;
	cache->stop_fd = -1;
	cache->pid = getpid();
	cache->known = (struct extents)EXTENTS_INIT;
	CDS_INIT_LIST_HEAD(&cache->free);
	CDS_INIT_LIST_HEAD(&cache->dead);
	pthread_mutex_init(&cache->slow, NULL);
	pthread_mutex_init(&cache->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cache->work, &attr);
	pthread_condattr_destroy(&attr);
	set_options(cache, opts);
	return cache;
}

int ioas_regcache_create(struct ioas *as, const struct ioas_regcache_opts *opts,
			 struct ioas_regcache **out)
{
	struct ioas_ctx *ctx = as->ctx;
	struct ioas_regcache *cache;
	int ret;

	pthread_mutex_lock(&ctx->admin);
	ret = check(as, opts);
	cache = ret ? NULL : new_cache(as, opts);
	if (!ret && !cache)
		ret = diag_fail(&ctx->diag, -ENOMEM, "no memory for a registration cache");
	if (!ret) {
		ret = allocate(cache);
		if (ret)
			diag_fail(&ctx->diag, ret, "registration cache: %s", strerror(-ret));
		ret = ret ?: regcache_start_reaper(cache);
		if (!ret && opts->watch != IOAS_WATCH_NONE)
			ret = regcache_start_watch(cache);
		if (ret) {
			regcache_stop_reaper(cache);
			release(cache);
		}
	}
	if (!ret) {
		pthread_mutex_lock(&ctx->lock);
		as->regcache = cache;
		pthread_mutex_unlock(&ctx->lock);
		*out = cache;
	}
	pthread_mutex_unlock(&ctx->admin);
	return ret;
}

static bool is_child(const struct ioas_regcache *cache)
{
	return cache->pid != getpid();
}

/* Everything that is live. Under slow. Return: how many are left. */
static unsigned int end_all(struct ioas_regcache *cache)
{
	pthread_mutex_lock(&cache->lock);
	regcache_kill_range(cache, 0, UINT64_MAX);
	pthread_mutex_unlock(&cache->lock);
	return regcache_reap(cache);
}

int ioas_regcache_destroy(struct ioas_regcache *cache)
{
	struct ioas_ctx *ctx = cache->as->ctx;
	unsigned int held;
	struct ioas_queue *q;

	if (is_child(cache))
		return -ECHILD;
	pthread_mutex_lock(&ctx->admin);
	pthread_mutex_lock(&cache->slow);
	held = end_all(cache);
	pthread_mutex_unlock(&cache->slow);
	if (held) {
		pthread_mutex_unlock(&ctx->admin);
		return diag_fail(&ctx->diag, -EBUSY, "registration cache: %u are held", held);
	}
	regcache_stop_watch(cache);
	regcache_stop_reaper(cache);
	pthread_mutex_lock(&ctx->lock);
	cds_list_for_each_entry (q, &cache->as->queues, entry)
		regcache_queue_end(q);
	cache->as->regcache = NULL;
	pthread_mutex_unlock(&ctx->lock);
	pthread_mutex_unlock(&ctx->admin);
	release(cache);
	return 0;
}

int ioas_regcache_forget(struct ioas_regcache *cache, const void *va, size_t bytes)
{
	if (is_child(cache))
		return -ECHILD;
	pthread_mutex_lock(&cache->slow);
	pthread_mutex_lock(&cache->lock);
	if (bytes)
		regcache_kill_range(cache, (uintptr_t)va, (uintptr_t)va + bytes - 1);
	pthread_mutex_unlock(&cache->lock);
	regcache_reap(cache);
	pthread_mutex_unlock(&cache->slow);
	return 0;
}

int ioas_regcache_trim(struct ioas_regcache *cache)
{
	if (is_child(cache))
		return -ECHILD;
	pthread_mutex_lock(&cache->slow);
	for (uint32_t i = 0; i < cache->made; i++)
		regcache_kill_idle(cache, &cache->records[i]);
	regcache_reap(cache);
	pthread_mutex_unlock(&cache->slow);
	return 0;
}

int ioas_regcache_get_stats(struct ioas_regcache *cache, struct ioas_regcache_stats *stats)
{
	struct ioas_ctx *ctx = cache->as->ctx;
	struct ioas_queue *q;

	if (stats->size != sizeof(*stats))
		return bad(cache->as, "size: not that of struct ioas_regcache_stats");
	if (is_child(cache))
		return -ECHILD;
	pthread_mutex_lock(&cache->slow);
	pthread_mutex_lock(&cache->lock);
	*stats = cache->stats;
	stats->invalidations = cache->invalidations;
	pthread_mutex_unlock(&cache->lock);
	stats->size = sizeof(*stats);
	pthread_mutex_lock(&ctx->lock);
	stats->gets = cache->orphan_gets;
	cds_list_for_each_entry (q, &cache->as->queues, entry)
		stats->gets += atomic_load_explicit(&q->reg_gets, memory_order_relaxed) / 2;
	pthread_mutex_unlock(&ctx->lock);
	pthread_mutex_unlock(&cache->slow);
	return 0;
}
