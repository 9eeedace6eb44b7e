/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A miss of the registration cache: what overlaps is merged, what is over the budget is evicted,
 * the memory is watched, pinned and mapped, in this order: whatever happens to it from the second
 * step on is told. See regcache.h.
 */
#include "regcache.h"
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define TRIES	    16
#define EVICT_BATCH 32

/* What is to be registered. */
struct plan {
	uint64_t start;
	uint64_t last;
	struct ioas_mem *mem; /* registered memory that it is inside */
	bool cached;	      /* may be found by others */
	bool grown;	      /* it is more than what was asked for */
};

static uint64_t plan_bytes(const struct plan *plan)
{
	return plan->last - plan->start + 1;
}

/* Does a live one hold it all? Then it is held. */
static bool hold_live(struct ioas_queue *q, uint64_t va, uint64_t bytes, struct ioas_reg *out)
{
	struct ioas_regcache *cache = q->as->regcache;
	unsigned int lg2;
	uint64_t entry;

	/* Under lock, the map is what it should be, and nobody else ends anything. */
	pthread_mutex_lock(&cache->lock);
	entry = vamap_entry(&cache->map, va, &lg2);
	if (entry && bytes - 1 > cache->regs[reg_entry_index(entry)].last - va)
		entry = 0;
	if (entry) {
		reg_get(q, cache, reg_entry_index(entry));
		out->iova = reg_entry_iova(entry) + (va & ((UINT64_C(1) << lg2) - 1));
		out->entry = entry;
	}
	pthread_mutex_unlock(&cache->lock);
	return entry;
}

/* Growing. */

/* An idle neighbour, if both together are not too long. */
static struct reg_record *neighbour(struct ioas_regcache *cache, const struct plan *plan,
				    bool above)
{
	struct extent *extent =
		above ? extents_find(&cache->known, plan->last + 1)
		      : (plan->start ? extents_find(&cache->known, plan->start - 1) : NULL);
	struct reg_record *record = (struct reg_record *)extent;

	if (!record || record->state != REG_LIVE ||
	    reg_bytes(record) + plan_bytes(plan) > cache->opts.merge_bytes)
		return NULL;
	return record;
}

static void swallow(struct ioas_regcache *cache, struct plan *plan, struct reg_record *record)
{
	if (record->extent.start < plan->start)
		plan->start = record->extent.start;
	if (record->extent.last > plan->last)
		plan->last = record->extent.last;
	regcache_kill(cache, record);
	cache->stats.merges++;
}

/*
 * All that overlap become part of it, held or not: those who hold them keep them, as they are,
 * until they put them.
 */
static void merge_overlaps(struct ioas_regcache *cache, struct plan *plan)
{
	struct extent *extent;

	pthread_mutex_lock(&cache->lock);
	while ((extent = extents_overlap(&cache->known, plan->start, plan->last)))
		swallow(cache, plan, (struct reg_record *)extent);
	pthread_mutex_unlock(&cache->lock);
}

static void merge_neighbours(struct ioas_regcache *cache, struct plan *plan)
{
	for (unsigned int above = 0; above < 2; above++) {
		struct reg_record *record;

		pthread_mutex_lock(&cache->lock);
		record = neighbour(cache, plan, above);
		pthread_mutex_unlock(&cache->lock);
		/* Only this thread frees records: slow is held. */
		if (!record || regcache_is_held(cache, record))
			continue;
		pthread_mutex_lock(&cache->lock);
		if (record->state == REG_LIVE)
			swallow(cache, plan, record);
		pthread_mutex_unlock(&cache->lock);
	}
}

/* The budget. */

static bool fits(const struct ioas_regcache *cache, const struct plan *plan)
{
	return cache->stats.entries < cache->opts.max_entries &&
	       plan_bytes(plan) <= cache->opts.max_bytes &&
	       cache->stats.bytes <= cache->opts.max_bytes - plan_bytes(plan);
}

/* The watcher may have ended it. */
static bool is_live(struct ioas_regcache *cache, const struct reg_record *record)
{
	bool live;

	pthread_mutex_lock(&cache->lock);
	live = record->state == REG_LIVE;
	pthread_mutex_unlock(&cache->lock);
	return live;
}

/*
 * Up to EVICT_BATCH that nobody holds; who was used in this round of the hand may stay for one
 * more. Return: how many.
 */
static unsigned int evict(struct ioas_regcache *cache, uint64_t bytes)
{
	unsigned int count = 0;
	uint64_t sum = 0;

	for (uint64_t looked = 0; looked < 2 * (uint64_t)cache->made; looked++) {
		struct reg_record *record = &cache->records[cache->hand];

		if (++cache->hand == cache->made) {
			cache->hand = 0;
			atomic_fetch_add_explicit(&cache->round, REG_ROUND, memory_order_relaxed);
		}
		if (!is_live(cache, record) || regcache_was_used(cache, record) ||
		    !regcache_kill_idle(cache, record))
			continue;
		sum += reg_bytes(record);
		if (++count == EVICT_BATCH || (sum >= bytes && count >= EVICT_BATCH / 4))
			break;
	}
	cache->stats.evictions += count;
	TRACE(regcache_evict, cache, count, sum);
	return count;
}

static int make_room(struct ioas_queue *q, const struct plan *plan)
{
	struct ioas_regcache *cache = q->as->regcache;

	regcache_reap(cache);
	while (!fits(cache, plan)) {
		if (!cache->made || plan_bytes(plan) > cache->opts.max_bytes ||
		    !evict(cache, plan_bytes(plan)))
			return queue_fail(q, -ENOSPC,
					  "registration cache: %u entries, %" PRIu64
					  " bytes are held, no room for %" PRIu64
					  " more (max_entries %u, max_bytes %" PRIu64 ")",
					  cache->stats.entries, cache->stats.bytes,
					  plan_bytes(plan), cache->opts.max_entries,
					  cache->opts.max_bytes);
		regcache_reap(cache);
	}
	return 0;
}

/* Mapping. */

static struct reg_record *take_record(struct ioas_regcache *cache, const struct plan *plan)
{
	struct reg_record *record;

	pthread_mutex_lock(&cache->lock);
	if (cds_list_empty(&cache->free)) {
		record = &cache->records[cache->made++];
	} else {
		record = cds_list_first_entry(&cache->free, struct reg_record, entry);
		cds_list_del(&record->entry);
	}
	record->state = REG_PENDING;
	record->listed = false;
	record->extent.start = plan->start;
	record->extent.last = plan->last;
	record->mem = plan->mem;
	extents_insert(&cache->known, &record->extent);
	pthread_mutex_unlock(&cache->lock);
	cache->stats.entries++;
	cache->stats.bytes += plan_bytes(plan);
	return record;
}

/* Watch, pin, map. What was done of it is undone when the record is reaped. */
static int establish(struct ioas_queue *q, struct reg_record *record, struct plan *plan)
{
	struct ioas_regcache *cache = q->as->regcache;
	unsigned int crossings = 0;
	int ret = 0;

	record->be_mem = NULL;
	record->watched = false;
	if (!plan->mem && cache->uffd >= 0) {
		record->watched = !regcache_watch(cache, plan->start, plan_bytes(plan));
		plan->cached &= record->watched;
	}
	if (!plan->mem)
		ret = mem_pin(q->as->ctx, plan->start, plan_bytes(plan), &record->be_mem);
	ret = ret
		      ?: parent_map(q->as, plan->start, plan_bytes(plan), cache->opts.prot, false,
				    &record->iova, &crossings);
	counter_add(&q->counters, COUNTER_MAP_CROSSINGS, crossings);
	if (!ret)
		cache->regs[reg_index(cache, record)].last = plan->last;
	return ret;
}

/* Under lock. The map's entry of a record that has just become live. */
static int enter(struct ioas_queue *q, struct reg_record *record, uint64_t va, struct ioas_reg *out)
{
	struct ioas_regcache *cache = q->as->regcache;
	const uint32_t index = reg_index(cache, record);
	const uint64_t start = record->extent.start;
	const uint64_t entry = reg_entry(record->iova, index);

	if (record->iova >> REG_IOVA_BITS)
		return queue_fail(q, -ERANGE,
				  "registration cache: iova 0x%" PRIx64 ": more than %u bits",
				  record->iova, REG_IOVA_BITS);
	atomic_store_explicit(&cache->regs[index].dead, false, memory_order_relaxed);
	if (!vamap_insert(&cache->map, start, reg_bytes(record), entry))
		return queue_fail(q, -ENOMEM, "no memory for the registration cache");
	reg_get(q, cache, index);
	out->iova = record->iova + (va - start);
	out->entry = entry | VAMAP_LEAF;
	return 0;
}

/* Return: 0; -EAGAIN it died meanwhile. */
static int publish(struct ioas_queue *q, struct reg_record *record, const struct plan *plan,
		   uint64_t va, struct ioas_reg *out)
{
	struct ioas_regcache *cache = q->as->regcache;
	int ret = -EAGAIN;

	pthread_mutex_lock(&cache->lock);
	if (record->state == REG_PENDING) {
		record->state = REG_LIVE;
		ret = enter(q, record, va, out);
		if (ret || !plan->cached)
			regcache_kill(cache, record);
	}
	pthread_mutex_unlock(&cache->lock);
	return ret;
}

/* One that was not published, or that died before: nobody knows it. */
static void abandon(struct ioas_regcache *cache, struct reg_record *record, bool mapped)
{
	unsigned int crossings = 0;

	if (record->be_mem)
		mem_unpin(cache->as->ctx, record->be_mem, reg_bytes(record));
	if (mapped)
		parent_unmap(cache->as, record->iova, reg_bytes(record), &crossings);
	regcache_count_unmaps(cache, crossings);
	if (record->mem)
		mem_unuse(record->mem);
	record->be_mem = NULL;
	record->mem = NULL;
	cache->stats.entries--;
	cache->stats.bytes -= reg_bytes(record);
	pthread_mutex_lock(&cache->lock);
	regcache_free(cache, record);
	pthread_mutex_unlock(&cache->lock);
	if (record->watched)
		regcache_unwatch(cache, record->extent.start, reg_bytes(record));
}

static int register_plan(struct ioas_queue *q, struct plan *plan, uint64_t va, struct ioas_reg *out)
{
	struct ioas_regcache *cache = q->as->regcache;
	struct reg_record *record = take_record(cache, plan);
	bool listed;
	int ret = establish(q, record, plan);

	if (ret) {
		abandon(cache, record, false);
		return ret;
	}
	ret = publish(q, record, plan, va, out);
	pthread_mutex_lock(&cache->lock);
	listed = record->listed;
	pthread_mutex_unlock(&cache->lock);
	if (ret && !listed)
		abandon(cache, record, true);
	if (!ret && !plan->cached)
		cache->stats.uncached++;
	return ret;
}

/* Inside one memory of the user's, or touching none. */
static int find_mem(struct ioas_queue *q, struct plan *plan)
{
	plan->mem = mem_use(q->as->ctx, plan->start, plan_bytes(plan));
	if (plan->mem || !mem_overlaps(q->as->ctx, plan->start, plan->last))
		return 0;
	return queue_fail(q, -EEXIST,
			  "registration cache: 0x%" PRIx64 ", %" PRIu64
			  " bytes: part of it is registered memory, and part is not",
			  plan->start, plan_bytes(plan));
}

/* Nothing that another thread's unmap has freed the addresses of may be taken for what is there. */
static void wait_for_watcher(struct ioas_regcache *cache)
{
	while (cache->exact && regcache_unmap_pending(cache))
		sched_yield();
}

/* What to register for a request. */
static int make_plan(struct ioas_queue *q, uint64_t va, uint64_t bytes, bool grow,
		     struct plan *plan)
{
	const uint64_t mask = IOAS_PAGE_SIZE - 1;
	const struct plan least = { .start = va & ~mask, .last = (va + bytes - 1) | mask };
	int ret;

	*plan = least;
	merge_overlaps(q->as->regcache, plan);
	if (!grow)
		*plan = least;
	ret = find_mem(q, plan);
	if (!ret && grow && !plan->mem)
		merge_neighbours(q->as->regcache, plan);
	plan->cached = true;
	plan->grown = plan->start != least.start || plan->last != least.last;
	return ret;
}

/* Under slow. */
static int fill(struct ioas_queue *q, uint64_t va, uint64_t bytes, struct ioas_reg *out)
{
	struct ioas_regcache *cache = q->as->regcache;
	bool grow = true;
	int ret = -EAGAIN;

	for (unsigned int tries = 0; ret == -EAGAIN && tries < TRIES; tries++) {
		struct plan plan;

		wait_for_watcher(cache);
		if (hold_live(q, va, bytes, out))
			return 0;
		ret = make_plan(q, va, bytes, grow, &plan);
		if (ret)
			break;
		ret = make_room(q, &plan);
		if (ret && plan.mem)
			mem_unuse(plan.mem);
		ret = ret ?: register_plan(q, &plan, va, out);
		/* What others have around it may be going, or is more than there is room for. */
		if (ret && plan.grown)
			ret = -EAGAIN;
		grow = false;
	}
	cache->stats.misses++;
	TRACE(regcache_miss, cache, va, bytes, ret);
	return ret;
}

int regcache_get_slow(struct ioas_queue *q, uint64_t va, uint64_t bytes, bool counted,
		      struct ioas_reg *out)
{
	struct ioas_regcache *cache;
	int ret;

	if (!queue_is_mine(q))
		return queue_not_owner(q);
	cache = q->as->regcache;
	if (!cache)
		return queue_fail(q, -ENOENT, "the address space has no registration cache");
	if (!bytes || !vamap_covers(va, bytes) || va + bytes - 1 < va)
		return queue_fail(q, -EINVAL, "va 0x%" PRIx64 ", bytes %" PRIu64 ": no range", va,
				  bytes);
	if (cache->pid != getpid())
		return queue_fail(
			q, -ECHILD,
			"registration cache: of the parent process, whose memory it maps");
	ret = regcache_queue_begin(q);
	if (ret)
		return ret;
	pthread_mutex_lock(&cache->slow);
	ret = fill(q, va, bytes, out);
	pthread_mutex_unlock(&cache->slow);
	if (!counted)
		atomic_store_explicit(&q->reg_gets,
				      atomic_load_explicit(&q->reg_gets, memory_order_relaxed) + 2,
				      memory_order_relaxed);
	if (ret == -EAGAIN)
		queue_fail(q, ret, "registration cache: the memory is being replaced all the time");
	else if (ret && ret != -ENOSPC && ret != -EEXIST && ret != -ERANGE)
		queue_backend_said(q, ret);
	return ret;
}
