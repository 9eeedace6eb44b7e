/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Map and unmap on KERNEL spaces: the kernel builds the table, one call for a whole batch. The
 * library keeps a record of each mapping (kernel_records.c). What is mapped together has a record for
 * each element, and is one mapping of the kernel's: a run.
 */
#include "kernel_map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Map. */

static void give_iova(struct ioas_queue *q, uint64_t start, uint64_t bytes)
{
	struct iova *iova = &q->as->iova;
	struct iova_chunk *chunk = iova_chunk_of(iova, start);

	if (chunk)
		iova_give(iova, &q->magazines, chunk, 1);
	else
		iova_unclaim(iova, start, bytes);
}

/* What is left of one range of IOVAs for elements that are neighbours in memory. */
struct run {
	uint64_t next;
	uint64_t bytes;
};

/* Of elements that are mapped together, those from the first on that can be one mapping. */
static void begin_run(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count,
		      struct run *run)
{
	uint64_t bytes = segs[0].bytes;

	for (unsigned int i = 1; i < count; i++) {
		if ((char *)segs[i - 1].va + segs[i - 1].bytes != (char *)segs[i].va)
			break;
		bytes += segs[i].bytes;
	}
	/* Without such a range they get what there is, and the kernel more mappings. */
	if (bytes > segs[0].bytes && !iova_take_long(&q->as->iova, bytes, &run->next))
		run->bytes = bytes;
}

static uint64_t take_of_run(struct run *run, uint64_t bytes)
{
	const uint64_t start = run->next;

	run->next += bytes;
	run->bytes -= bytes;
	return start;
}

static int choose_iova(struct ioas_queue *q, const struct ioas_seg *seg, unsigned int index,
		       uint32_t flags, struct run *run, uint64_t *start)
{
	struct iova *iova = &q->as->iova;
	unsigned int class = iova_class(seg->bytes);
	int ret;

	if (run->bytes) {
		*start = take_of_run(run, seg->bytes);
		return 0;
	}
	if (!(flags & (IOAS_MAP_FIXED | IOAS_MAP_IDENTITY))) {
		if (class == IOVA_CLASSES)
			ret = iova_take_long(iova, seg->bytes, start);
		else
			ret = iova_take(iova, &q->magazines, class, 1, start) ? 0 : -ENOSPC;
		return ret ? queue_fail(q, ret, "[%u]: no IOVA left for %" PRIu64 " bytes", index,
					seg->bytes)
			   : 0;
	}
	*start = flags & IOAS_MAP_IDENTITY ? (uintptr_t)seg->va : (uint64_t)seg->iova;
	ret = iova_check(iova, *start, seg->bytes);
	if (ret)
		return queue_fail(
			q, ret,
			"[%u]: iova 0x%" PRIx64 ", %" PRIu64
			" bytes: outside the aperture 0x%" PRIx64 "-0x%" PRIx64 ", or reserved",
			index, *start, seg->bytes, iova->aperture.start, iova->aperture.last);
	ret = iova_claim(iova, *start, seg->bytes);
	if (ret)
		return queue_fail(q, ret, "[%u]: iova 0x%" PRIx64 ", %" PRIu64 " bytes: %s", index,
				  *start, seg->bytes,
				  ret == -EEXIST ? "part of it is mapped or the allocator's"
						 : "no memory");
	return 0;
}

/* The record of one element, with its memory in use and its IOVA owned. */
static int prepare(struct ioas_queue *q, const struct ioas_seg *seg, unsigned int index,
		   uint32_t flags, struct run *run, struct kernel_map **out)
{
	struct kernel_map *map = kernel_map_new();
	uint64_t start;
	int ret;

	if (!map)
		return queue_fail(q, -ENOMEM, "no memory for a mapping");
	map->va = (uintptr_t)seg->va;
	map->prot = flags & IOAS_RW;
	map->mem = mem_use(q->as->ctx, map->va, seg->bytes);
	if (!map->mem) {
		kernel_map_free(map);
		return queue_fail(q, -ENOENT,
				  "[%u]: va %p, %" PRIu64
				  " bytes: not inside one registered memory (ioas_mem_register())",
				  index, seg->va, seg->bytes);
	}
	ret = choose_iova(q, seg, index, flags, run, &start);
	if (ret) {
		mem_unuse(map->mem);
		kernel_map_free(map);
		return ret;
	}
	map->range.start = start;
	map->range.last = start + seg->bytes - 1;
	*out = map;
	return 0;
}

static void forget(struct ioas_queue *q, struct kernel_map *map)
{
	give_iova(q, map->range.start, kernel_map_bytes(map));
	mem_unuse(map->mem);
	kernel_map_free(map);
}

/* Text of what the backend said last. */
int queue_backend_said(struct ioas_queue *q, int ret)
{
	char text[DIAG_TEXT_BYTES];

	ioas_ctx_error(q->as->ctx, text, sizeof(text));
	return queue_fail(q, ret, "%s", text);
}

/* One call into the kernel; what it did of a call that fails is undone. */
static int map_all(struct ioas_queue *q, const struct be_map *calls, unsigned int count)
{
	const struct be_ops *ops = q->as->ctx->be->ops;
	unsigned int done = 0, crossings = 0, undone, more = 0;
	int ret = ops->map(q->as->be_space, calls, count, &done, &crossings);

	counter_add(&q->counters, COUNTER_MAP_CROSSINGS, crossings);
	if (!ret)
		return 0;
	queue_backend_said(q, ret);
	for (unsigned int i = 0; i < done; i++) {
		struct be_unmap one = { .iova = calls[i].iova, .bytes = calls[i].bytes };

		ops->unmap(q->as->be_space, &one, 1, &undone, &more);
	}
	counter_add(&q->counters, COUNTER_UNMAP_CROSSINGS, more);
	return ret;
}

static int reserve(struct ioas_queue *q, struct kernel_map **maps, unsigned int count)
{
	int ret = 0;

	pthread_mutex_lock(&q->as->maps_lock);
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = kernel_map_reserve(q->as, maps[i]);
	pthread_mutex_unlock(&q->as->maps_lock);
	return ret ? queue_fail(q, ret, "no memory for the mapping cache") : 0;
}

static int prepare_all(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count,
		       uint32_t flags, struct kernel_map **maps, unsigned int *prepared)
{
	const bool together =
		flags & IOAS_MAP_TOGETHER && !(flags & (IOAS_MAP_FIXED | IOAS_MAP_IDENTITY));
	struct run run = { 0 };
	int ret = 0;

	for (*prepared = 0; *prepared < count; ++*prepared) {
		const unsigned int i = *prepared;

		if (together && !run.bytes)
			begin_run(q, &segs[i], count - i, &run);
		ret = prepare(q, &segs[i], i, flags, &run, &maps[i]);
		if (ret)
			break;
	}
	if (run.bytes)
		iova_unclaim(&q->as->iova, run.next, run.bytes);
	return ret ?: reserve(q, maps, count);
}

/* Is @map what comes after @call, for the kernel as well? */
static bool goes_on(const struct ioas *as, const struct be_map *call,
		    const struct kernel_map *before, const struct kernel_map *map)
{
	return map->range.start == call->iova + call->bytes &&
	       map->va == (uintptr_t)call->va + call->bytes &&
	       (map->mem == before->mem || as->ctx->caps.map_spans);
}

/* The kernel's mappings. Return: how many. */
static unsigned int make_calls(struct ioas_queue *q, uint32_t flags, struct kernel_map **maps,
			       unsigned int count, struct be_map *calls)
{
	struct kernel_map *first = NULL;
	unsigned int made = 0;

	for (unsigned int i = 0; i < count; i++) {
		const uint64_t bytes = kernel_map_bytes(maps[i]);

		if (first && goes_on(q->as, &calls[made - 1], maps[i - 1], maps[i])) {
			first->run = kernel_map_count(first) + 1;
			maps[i]->run = RUN_GOES_ON;
			calls[made - 1].bytes += bytes;
			continue;
		}
		first = flags & IOAS_MAP_TOGETHER ? maps[i] : NULL;
		calls[made++] = (struct be_map){ .iova = maps[i]->range.start,
						 .bytes = bytes,
						 .va = (void *)(uintptr_t)maps[i]->va,
						 .prot = maps[i]->prot };
	}
	return made;
}

#define ON_STACK 64 /* batches up to this need no heap */

int kernel_map_batch(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count,
		     uint32_t flags)
{
	struct kernel_map *few_maps[ON_STACK], **maps = few_maps;
	struct be_map few_calls[ON_STACK], *calls = few_calls;
	struct ioas *as = q->as;
	unsigned int prepared = 0;
	int ret = 0;

	if (!count)
		return 0;
	if (count > ON_STACK) {
		maps = calloc(count, sizeof(maps[0]));
		calls = calloc(count, sizeof(calls[0]));
		if (!maps || !calls)
			ret = queue_fail(q, -ENOMEM, "no memory for a batch of %u", count);
	}
	ret = ret ?: prepare_all(q, segs, count, flags, maps, &prepared);
	ret = ret ?: map_all(q, calls, make_calls(q, flags, maps, prepared, calls));
	if (!ret) {
		pthread_mutex_lock(&as->maps_lock);
		for (unsigned int i = 0; i < count; i++) {
			segs[i].iova = maps[i]->range.start;
			kernel_map_enter(as, maps[i]);
		}
		pthread_mutex_unlock(&as->maps_lock);
		counter_add(&q->counters, COUNTER_MAPS, count);
	}
	for (unsigned int i = 0; ret && i < prepared; i++)
		forget(q, maps[i]);
	if (count > ON_STACK) {
		free(maps);
		free(calls);
	}
	return ret;
}

/* Unmap. */

/* A record of the list whose run is not there as a whole, in one piece, or NULL. */
static const struct kernel_map *find_torn(const struct kernel_map *list)
{
	for (const struct kernel_map *map = list; map; map = map->next) {
		const struct kernel_map *first = map;

		if (first->run == RUN_GOES_ON)
			return first;
		for (uint32_t more = kernel_map_count(first) - 1; more; more--) {
			if (!map->next || map->next->range.start != map->range.last + 1)
				return first;
			map = map->next;
		}
	}
	return NULL;
}

/* Find the records of a batch, hide them and mark them busy; all or none. maps_lock is held. */
static int claim(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count,
		 struct kernel_map **list)
{
	struct ioas *as = q->as;
	struct kernel_map **end = list;
	const struct kernel_map *torn;
	const char *what = NULL;
	unsigned int i;
	int ret = 0;

	*list = NULL;
	for (i = 0; i < count; i++) {
		struct kernel_map *map = kernel_map_find(as, segs[i].iova);

		if (!map || map->busy || !map->mem) {
			ret = -ENOENT;
			what = "not mapped";
			break;
		}
		if (map->range.start != segs[i].iova || kernel_map_bytes(map) != segs[i].bytes) {
			ret = -EINVAL;
			what = "not exactly one mapping: unmap it as it was mapped";
			break;
		}
		map->busy = true;
		kernel_map_hide(as, map);
		map->next = NULL;
		*end = map;
		end = &map->next;
	}
	torn = ret ? NULL : find_torn(*list);
	if (!ret && !torn)
		return 0;
	for (struct kernel_map *map = *list; map; map = map->next) {
		map->busy = false;
		kernel_map_show(as, map);
	}
	if (torn)
		return queue_fail(
			q, -EBUSY,
			"iova 0x%" PRIx64 ", %" PRIu64
			" bytes: mapped together with its neighbours, and the kernel does "
			"not split that: unmap all of them in one batch, in that order",
			torn->range.start, kernel_map_bytes(torn));
	return queue_fail(q, ret, "[%u]: iova 0x%" PRIx64 ", %" PRIu64 " bytes: %s", i,
			  (uint64_t)segs[i].iova, segs[i].bytes, what);
}

/* A child's table may point to what is about to go. */
static int check_children(struct ioas_queue *q, const struct kernel_map *list)
{
	uint64_t iova;

	if (!atomic_load_explicit(&q->as->children, memory_order_acquire))
		return 0;
	urcu_bp_synchronize_rcu();
	for (const struct kernel_map *map = list; map; map = map->next)
		if (parent_in_use(q->as, map->range.start, kernel_map_bytes(map), &iova))
			return queue_fail(q, -EBUSY,
					  "iova 0x%" PRIx64
					  ": a child maps it, at its IOVA 0x%" PRIx64,
					  map->range.start, iova);
	urcu_bp_synchronize_rcu(); /* unmaps under way have published what they cleared */
	return parent_settle(q->as);
}

/* The kernel's mapping that begins with @map, of a list. *end: what comes behind it. */
static struct be_map whole_run(struct kernel_map *map, struct kernel_map **end)
{
	struct be_map run = { .iova = map->range.start,
			      .va = (void *)(uintptr_t)map->va,
			      .prot = map->prot };

	*end = map;
	for (uint32_t left = kernel_map_count(map); left; left--) {
		run.bytes += kernel_map_bytes(*end);
		*end = (*end)->next;
	}
	return run;
}

/* @done: mappings of the kernel's, from the first on. */
static int unmap_claimed(struct ioas_queue *q, struct kernel_map *list, struct be_unmap *calls,
			 unsigned int *done)
{
	const struct be_ops *ops = q->as->ctx->be->ops;
	unsigned int crossings = 0, count = 0;
	int ret;

	*done = 0;
	if (q->as->readers)
		q->as->readers->update_synchronize_rcu();
	ret = check_children(q, list);
	if (ret)
		return ret;
	while (list) {
		const struct be_map run = whole_run(list, &list);

		calls[count++] = (struct be_unmap){ .iova = run.iova, .bytes = run.bytes };
	}
	ret = ops->unmap(q->as->be_space, calls, count, done, &crossings);
	counter_add(&q->counters, COUNTER_UNMAP_CROSSINGS, crossings);
	return ret ? queue_backend_said(q, ret) : 0;
}

static void finish_run(struct ioas_queue *q, struct kernel_map *map, const struct kernel_map *end,
		       bool gone)
{
	struct ioas *as = q->as;
	struct kernel_map *next;

	for (; map != end; map = next) {
		next = map->next;
		pthread_mutex_lock(&as->maps_lock);
		if (gone) {
			kernel_map_leave(as, map);
		} else {
			map->busy = false;
			kernel_map_show(as, map);
		}
		pthread_mutex_unlock(&as->maps_lock);
		if (gone)
			forget(q, map);
	}
}

/*
 * @done of the list's runs are gone from the kernel. If that is not all, they are mapped again, so
 * that nothing of the batch is unmapped; one that cannot be stays gone, and the text says so.
 */
static void finish(struct ioas_queue *q, struct kernel_map *list, unsigned int done, int failed)
{
	const struct be_ops *ops = q->as->ctx->be->ops;
	struct kernel_map *end;

	for (; list; list = end) {
		const struct be_map again = whole_run(list, &end);
		bool gone = done && done--;
		unsigned int one, crossings;

		if (gone && failed)
			gone = ops->map(q->as->be_space, &again, 1, &one, &crossings);
		finish_run(q, list, end, gone);
	}
}

int kernel_unmap_batch(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count)
{
	struct be_unmap few_calls[ON_STACK], *calls = few_calls;
	struct ioas *as = q->as;
	struct kernel_map *list;
	unsigned int done = 0;
	int ret;

	if (!count)
		return 0;
	if (count > ON_STACK) {
		calls = calloc(count, sizeof(calls[0]));
		if (!calls)
			return queue_fail(q, -ENOMEM, "no memory for a batch of %u", count);
	}
	pthread_mutex_lock(&as->maps_lock);
	ret = claim(q, segs, count, &list);
	pthread_mutex_unlock(&as->maps_lock);
	if (!ret) {
		ret = unmap_claimed(q, list, calls, &done);
		finish(q, list, done, ret);
	}
	if (!ret)
		counter_add(&q->counters, COUNTER_UNMAPS, count);
	if (count > ON_STACK)
		free(calls);
	return ret;
}

/* The kernel's mapping that begins with @first, and the records that it stands for. */
static void unmap_run(struct ioas *as, struct kernel_map *first)
{
	struct be_unmap one = { .iova = first->range.start };
	struct kernel_map *map = first;
	unsigned int done, crossings = 0;

	for (uint32_t more = kernel_map_count(first) - 1; more; more--)
		map = kernel_map_next(as, map);
	one.bytes = map->range.last - one.iova + 1;
	as->ctx->be->ops->unmap(as->be_space, &one, 1, &done, &crossings);
	while ((map = kernel_map_from(as, one.iova, one.iova + one.bytes - 1))) {
		kernel_map_leave(as, map);
		if (map->mem)
			mem_unuse(map->mem);
		kernel_map_free(map);
	}
}

void kernel_unmap_all(struct ioas *as)
{
	uint64_t at = 0; /* nothing is mapped below */

	while (as->map_count) {
		struct kernel_map *first = kernel_map_from(as, at, UINT64_MAX);

		at = first->range.start;
		unmap_run(as, first);
	}
}
