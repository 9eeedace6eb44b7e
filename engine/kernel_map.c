/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Map and unmap on KERNEL spaces: the kernel builds the table, one call for a whole batch. The
 * library keeps a record of each mapping, for exact unmaps and look-ups, and the mapping cache
 * for translation.
 */
#include "kernel_map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Records and the cache. */

void kernel_map_show(struct ioas *as, struct kernel_map *map)
{
	if (map->uncached ||
	    vamap_insert(&as->cache, map->va, kernel_map_bytes(map), map->extent.start))
		return;
	/* Some of it is in the cache with another IOVA already; remembered for when that goes. */
	if (cds_list_empty(&map->alias))
		cds_list_add(&map->alias, &as->aliases);
}

void kernel_map_enter(struct ioas *as, struct kernel_map *map)
{
	CDS_INIT_LIST_HEAD(&map->alias);
	extents_insert(&as->maps, &map->extent);
	kernel_map_show(as, map);
}

void kernel_map_hide(struct ioas *as, struct kernel_map *map)
{
	struct kernel_map *other, *next;

	if (map->uncached)
		return;
	vamap_remove(&as->cache, map->va, kernel_map_bytes(map), map->extent.start);
	if (!cds_list_empty(&map->alias))
		cds_list_del_init(&map->alias);
	cds_list_for_each_entry_safe (other, next, &as->aliases, alias) {
		if (other->va < map->va + kernel_map_bytes(map) &&
		    map->va < other->va + kernel_map_bytes(other) && !other->busy &&
		    vamap_insert(&as->cache, other->va, kernel_map_bytes(other),
				 other->extent.start))
			cds_list_del_init(&other->alias);
	}
}

bool kernel_lookup(struct ioas *as, uint64_t iova, uint64_t *va, uint32_t *prot)
{
	struct extent *extent;
	bool found;

	pthread_mutex_lock(&as->maps_lock);
	extent = extents_find(&as->maps, iova);
	found = extent && !kernel_map_of(extent)->busy;
	if (found) {
		*va = kernel_map_of(extent)->va + (iova - extent->start);
		if (prot)
			*prot = kernel_map_of(extent)->prot;
	}
	pthread_mutex_unlock(&as->maps_lock);
	return found;
}

bool kernel_find_va(struct ioas *as, uint64_t va, uint64_t bytes, uint64_t *iova)
{
	bool found = false;

	pthread_mutex_lock(&as->maps_lock);
	for (struct extent *at = extents_from(&as->maps, 0); at && !found;
	     at = at->last == UINT64_MAX ? NULL : extents_from(&as->maps, at->last + 1)) {
		const struct kernel_map *map = kernel_map_of(at);

		found = map->mem && map->va < va + bytes && va < map->va + kernel_map_bytes(map);
		*iova = at->start;
	}
	pthread_mutex_unlock(&as->maps_lock);
	return found;
}

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

static int choose_iova(struct ioas_queue *q, const struct ioas_seg *seg, unsigned int index,
		       uint32_t flags, uint64_t *start)
{
	struct iova *iova = &q->as->iova;
	unsigned int class = iova_class(seg->bytes);
	int ret;

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
		   uint32_t flags, struct kernel_map **out)
{
	struct kernel_map *map = calloc(1, sizeof(*map));
	uint64_t start;
	int ret;

	if (!map)
		return queue_fail(q, -ENOMEM, "no memory for a mapping");
	map->va = (uintptr_t)seg->va;
	map->prot = flags & IOAS_RW;
	map->mem = mem_use(q->as->ctx, map->va, seg->bytes);
	if (!map->mem) {
		free(map);
		return queue_fail(q, -ENOENT,
				  "[%u]: va %p, %" PRIu64
				  " bytes: not inside one registered memory (ioas_mem_register())",
				  index, seg->va, seg->bytes);
	}
	ret = choose_iova(q, seg, index, flags, &start);
	if (ret) {
		mem_unuse(map->mem);
		free(map);
		return ret;
	}
	map->extent.start = start;
	map->extent.last = start + seg->bytes - 1;
	*out = map;
	return 0;
}

static void forget(struct ioas_queue *q, struct kernel_map *map)
{
	give_iova(q, map->extent.start, kernel_map_bytes(map));
	mem_unuse(map->mem);
	free(map);
}

/* Text of what the backend said last. */
static int backend_said(struct ioas_queue *q, int ret)
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
	backend_said(q, ret);
	for (unsigned int i = 0; i < done; i++) {
		struct be_unmap one = { .iova = calls[i].iova, .bytes = calls[i].bytes };

		ops->unmap(q->as->be_space, &one, 1, &undone, &more);
	}
	counter_add(&q->counters, COUNTER_UNMAP_CROSSINGS, more);
	return ret;
}

static int reserve_cache(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count)
{
	int ret = 0;

	pthread_mutex_lock(&q->as->maps_lock);
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = vamap_reserve(&q->as->cache, (uintptr_t)segs[i].va, segs[i].bytes);
	pthread_mutex_unlock(&q->as->maps_lock);
	return ret ? queue_fail(q, ret, "no memory for the mapping cache") : 0;
}

static int prepare_all(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count,
		       uint32_t flags, struct kernel_map **maps, struct be_map *calls,
		       unsigned int *prepared)
{
	int ret = reserve_cache(q, segs, count);

	for (*prepared = 0; !ret && *prepared < count; ++*prepared) {
		unsigned int i = *prepared;

		ret = prepare(q, &segs[i], i, flags, &maps[i]);
		if (ret)
			break;
		calls[i] = (struct be_map){ .iova = maps[i]->extent.start,
					    .bytes = segs[i].bytes,
					    .va = segs[i].va,
					    .prot = maps[i]->prot };
	}
	return ret;
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
	ret = ret ?: prepare_all(q, segs, count, flags, maps, calls, &prepared);
	ret = ret ?: map_all(q, calls, count);
	if (!ret) {
		pthread_mutex_lock(&as->maps_lock);
		for (unsigned int i = 0; i < count; i++) {
			segs[i].iova = maps[i]->extent.start;
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

/* Find the records of a batch, hide them and mark them busy; all or none. maps_lock is held. */
static int claim(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count,
		 struct kernel_map **list)
{
	struct ioas *as = q->as;
	struct kernel_map **end = list;
	const char *what = NULL;
	unsigned int i;
	int ret = 0;

	*list = NULL;
	for (i = 0; i < count; i++) {
		struct extent *extent = extents_find(&as->maps, segs[i].iova);
		struct kernel_map *map = extent ? kernel_map_of(extent) : NULL;

		if (!map || map->busy || !map->mem) {
			ret = -ENOENT;
			what = "not mapped";
			break;
		}
		if (extent->start != segs[i].iova || kernel_map_bytes(map) != segs[i].bytes) {
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
	if (!ret)
		return 0;
	for (struct kernel_map *map = *list; map; map = map->next) {
		map->busy = false;
		kernel_map_show(as, map);
	}
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
		if (parent_in_use(q->as, map->extent.start, kernel_map_bytes(map), &iova))
			return queue_fail(q, -EBUSY,
					  "iova 0x%" PRIx64
					  ": a child maps it, at its IOVA 0x%" PRIx64,
					  map->extent.start, iova);
	urcu_bp_synchronize_rcu(); /* unmaps under way have published what they cleared */
	return parent_settle(q->as);
}

static int unmap_claimed(struct ioas_queue *q, struct kernel_map *list, unsigned int count,
			 struct be_unmap *calls, unsigned int *done)
{
	const struct be_ops *ops = q->as->ctx->be->ops;
	unsigned int crossings = 0, at = 0;
	int ret = check_children(q, list);

	*done = 0;
	if (ret)
		return ret;
	for (struct kernel_map *map = list; map; map = map->next)
		calls[at++] = (struct be_unmap){ .iova = map->extent.start,
						 .bytes = kernel_map_bytes(map) };
	ret = ops->unmap(q->as->be_space, calls, count, done, &crossings);
	counter_add(&q->counters, COUNTER_UNMAP_CROSSINGS, crossings);
	return ret ? backend_said(q, ret) : 0;
}

/*
 * @done of the list are gone from the kernel. If that is not all, they are mapped again, so that
 * nothing of the batch is unmapped; one that cannot be stays gone, and the text says so.
 */
static void finish(struct ioas_queue *q, struct kernel_map *list, unsigned int done, int failed)
{
	const struct be_ops *ops = q->as->ctx->be->ops;
	struct ioas *as = q->as;
	struct kernel_map *next;

	for (struct kernel_map *map = list; map; map = next) {
		bool gone = done && done--;

		next = map->next;
		if (gone && failed) {
			struct be_map again = { .iova = map->extent.start,
						.bytes = kernel_map_bytes(map),
						.va = (void *)(uintptr_t)map->va,
						.prot = map->prot };
			unsigned int one, crossings;

			gone = ops->map(as->be_space, &again, 1, &one, &crossings);
		}
		pthread_mutex_lock(&as->maps_lock);
		if (gone) {
			extents_remove(&as->maps, &map->extent);
		} else {
			map->busy = false;
			kernel_map_show(as, map);
		}
		pthread_mutex_unlock(&as->maps_lock);
		if (gone)
			forget(q, map);
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
		ret = unmap_claimed(q, list, count, calls, &done);
		finish(q, list, done, ret);
	}
	if (!ret)
		counter_add(&q->counters, COUNTER_UNMAPS, count);
	if (count > ON_STACK)
		free(calls);
	return ret;
}

void kernel_unmap_all(struct ioas *as)
{
	const struct be_ops *ops = as->ctx->be->ops;
	struct extent *extent;

	while ((extent = extents_from(&as->maps, 0))) {
		struct kernel_map *map = kernel_map_of(extent);
		struct be_unmap one = { .iova = extent->start, .bytes = kernel_map_bytes(map) };
		unsigned int done, crossings = 0;

		ops->unmap(as->be_space, &one, 1, &done, &crossings);
		extents_remove(&as->maps, extent);
		if (map->mem)
			mem_unuse(map->mem);
		free(map);
	}
}
