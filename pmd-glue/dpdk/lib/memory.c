/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL's memory, followed. See memory.h. */
#include "memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_eal_memconfig.h>
#include <rte_errno.h>

#include "ioas_dpdk.h"
#include "log.h"
#include "region.h"

#define BATCH_MAX 64

/* New regions on their way to the library. */
struct batch {
	struct memory *memory;
	struct region *regions[BATCH_MAX];
	struct ioas_seg segs[BATCH_MAX];
	unsigned int count;
	bool nothing_known; /* of the stretch under way */
	int rc;		    /* the first error */
};

static _Thread_local bool in_event;

bool memory_in_event(void)
{
	return in_event;
}

static void told(struct batch *batch, const struct region *region, int rc, const char *why)
{
	batch->memory->bytes_failed += region->bytes;
	if (batch->rc != 0) /* one line for many */
		return;
	batch->rc = rc;
	LIB_LOG(ERR, "%s: memory at 0x%" PRIx64 ", %" PRIu64 " bytes, cannot be %s: %s: %s",
		batch->memory->name, region->va, region->bytes,
		batch->memory->map ? "mapped" : "registered", strerror(-rc), why);
}

/* Enter. */

static void enter(struct memory *memory, void **tree, struct region *region)
{
	memory->regions++;
	memory->bytes += region->bytes;
	if (memory->share != NULL && region->mapped &&
	    !share_insert(memory->share, region->va, region->bytes, region->iova))
		LIB_LOG(WARNING, "%s: too many mappings for ioas_dpdk_lookup()", memory->name);
	region_enter(tree, region);
}

static void leave(struct memory *memory, void **tree, struct region *region)
{
	memory->regions--;
	memory->bytes -= region->bytes;
	if (memory->share != NULL && region->mapped)
		share_remove(memory->share, region->va, region->bytes);
	region_remove(tree, region);
}

/* Those whose map failed are given up. */
static void batch_end(struct batch *batch)
{
	struct memory *memory = batch->memory;
	const uint32_t flags = IOAS_RW | IOAS_MAP_FIXED;
	const unsigned int count = batch->count;
	bool all = !memory->map || ioas_map_batch(memory->queue, batch->segs, count, flags) >= 0;

	for (unsigned int i = 0; i < count; i++) {
		struct region *region = batch->regions[i];
		int rc = all ? 0 : ioas_map_batch(memory->queue, &batch->segs[i], 1, flags);

		if (rc >= 0) {
			region->mapped = memory->map;
			enter(memory, &memory->eal, region);
			continue;
		}
		told(batch, region, rc, ioas_queue_error(memory->queue));
		ioas_mem_free(region->mem);
		free(region);
	}
	batch->count = 0;
}

static void batch_add(struct batch *batch, uint64_t va, uint64_t bytes, rte_iova_t iova)
{
	struct memory *memory = batch->memory;
	struct region *region = calloc(1, sizeof(*region));
	const struct region unknown = { .va = va, .bytes = bytes };
	char text[256] = "no memory for a record";
	int rc = region != NULL ? 0 : -ENOMEM;

	if (iova == RTE_BAD_IOVA) {
		rc = -ENOTSUP;
		snprintf(text, sizeof(text),
			 "EAL's IOVA mode is PA, and it has no physical address: --iova-mode=va");
	}
	if (rc == 0) {
		rc = ioas_mem_register(memory->ctx, (void *)(uintptr_t)va, bytes, &region->mem);
		if (rc != 0)
			ioas_ctx_error(memory->ctx, text, sizeof(text));
	}
	if (rc != 0) {
		told(batch, &unknown, rc, text);
		free(region);
		return;
	}
	region->va = va;
	region->bytes = bytes;
	region->iova = iova;
	batch->regions[batch->count] = region;
	batch->segs[batch->count++] =
		(struct ioas_seg){ .va = (void *)(uintptr_t)va, .bytes = bytes, .iova = iova };
	if (batch->count == BATCH_MAX)
		batch_end(batch);
}

/*
 * A stretch of one list that ends where pages must be apart. What an event has brought before the
 * walk came there is known; of a stretch that is known in part, each page is asked for.
 */
static void add_run(struct batch *batch, uint64_t va, uint64_t bytes, rte_iova_t iova,
		    uint64_t page_bytes)
{
	void *const *tree = &batch->memory->eal;
	const struct region *known = batch->nothing_known ? NULL : region_find(tree, va, bytes);

	if (known == NULL) {
		batch_add(batch, va, bytes, iova);
		return;
	}
	if (known->va <= va && va + bytes <= known->va + known->bytes)
		return;
	for (uint64_t done = 0; done < bytes; done += page_bytes)
		if (region_find(tree, va + done, page_bytes) == NULL)
			batch_add(batch, va + done, page_bytes,
				  iova == RTE_BAD_IOVA ? iova : iova + done);
}

/* External memory may come without IOVAs, which matter in mode PA only. */
static rte_iova_t iova_of(const struct rte_memseg *page)
{
	if (page->iova == RTE_BAD_IOVA && rte_eal_iova_mode() != RTE_IOVA_PA)
		return page->addr_64;
	return page->iova;
}

static bool stays(const struct memory *memory, const struct rte_memseg_list *list,
		  const struct rte_memseg *page)
{
	return memory->keep || !memory->changes || list->external ||
	       (page->flags & RTE_MEMSEG_FLAG_DO_NOT_FREE) != 0;
}

/* @first and those behind it, @bytes in all, which are neighbours in memory. */
static void add_pages(struct batch *batch, const struct rte_memseg_list *list,
		      struct rte_memseg *first, uint64_t bytes)
{
	const struct memory *memory = batch->memory;
	const uint64_t page_bytes = list->page_sz;
	uint64_t run = 0;

	batch->nothing_known = region_find(&memory->eal, first->addr_64, bytes) == NULL;
	for (uint64_t i = 0; i < bytes / page_bytes; i++) {
		struct rte_memseg *page = &first[i];

		if (memory->keep && memory->changes && !list->external)
			page->flags |= RTE_MEMSEG_FLAG_DO_NOT_FREE;
		run += page_bytes;
		if ((i + 1) * page_bytes < bytes && stays(memory, list, page) &&
		    stays(memory, list, page + 1) && iova_of(page) != RTE_BAD_IOVA &&
		    iova_of(page + 1) == iova_of(page) + page_bytes)
			continue;
		page -= run / page_bytes - 1;
		add_run(batch, page->addr_64, run, iova_of(page), page_bytes);
		run = 0;
	}
}

/* Give back. */

/* The region is no longer known to anybody. Its memory stays registered if it cannot be unmapped.
 */
static void give_back(struct memory *memory, struct region *region)
{
	char text[256] = "";
	int rc = 0;

	if (region->mapped) {
		rc = ioas_unmap(memory->queue, region->iova, region->bytes);
		/* The memory is about to be somebody else's: no batching here. */
		rc = rc == 0 ? ioas_flush(memory->queue) : rc;
		region->mapped = rc != 0;
	}
	if (rc == 0 && region->mem != NULL) {
		rc = ioas_mem_free(region->mem);
		ioas_ctx_error(memory->ctx, text, sizeof(text));
	}
	if (rc == 0) {
		free(region);
		return;
	}
	LIB_LOG(ERR,
		"%s: memory at 0x%" PRIx64 ", %" PRIu64 " bytes, stays with the device: %s: %s",
		memory->name, region->va, region->bytes, strerror(-rc),
		region->mapped ? ioas_queue_error(memory->queue) : text);
	region->next = memory->stuck;
	memory->stuck = region;
}

/*
 * EAL gives back what it has marked as to stay only when it ends; then the rest of such a stretch
 * goes with it.
 */
static void drop(struct memory *memory, uint64_t va, uint64_t bytes)
{
	struct region *region;

	while ((region = region_find(&memory->eal, va, bytes)) != NULL) {
		leave(memory, &memory->eal, region);
		give_back(memory, region);
	}
}

/* Follow. */

static void lock(struct memory *memory)
{
	pthread_mutex_lock(&memory->lock);
	ioas_queue_adopt(memory->queue);
	if (memory->share != NULL)
		share_begin(memory->share);
}

static void unlock(struct memory *memory)
{
	if (memory->share != NULL)
		share_end(memory->share);
	pthread_mutex_unlock(&memory->lock);
}

static void on_event(enum rte_mem_event event, const void *addr, size_t bytes, void *arg)
{
	struct rte_memseg_list *list = rte_mem_virt2memseg_list(addr);
	struct memory *memory = arg;
	struct batch batch = { .memory = memory };

	/* A heap's, though external memory is marked as a heap's only after its event. */
	if (list == NULL)
		return;
	in_event = true;
	lock(memory);
	memory->events++;
	if (event == RTE_MEM_EVENT_ALLOC) {
		add_pages(&batch, list, rte_mem_virt2memseg(addr, list), bytes);
		batch_end(&batch);
	} else {
		drop(memory, (uintptr_t)addr, bytes);
	}
	unlock(memory);
	in_event = false;
}

static int on_stretch(const struct rte_memseg_list *list, const struct rte_memseg *first,
		      size_t bytes, void *arg)
{
	if (list->heap) /* or the application's own: ioas_dpdk_map() */
		add_pages(arg, list, (struct rte_memseg *)first, bytes);
	return 0;
}

int memory_sync(struct memory *memory)
{
	struct batch batch = { .memory = memory };

	if (!memory->follow)
		return 0;
	rte_mcfg_mem_read_lock(); /* before ours, as in the events */
	lock(memory);
	memory->bytes_failed = 0;
	rte_memseg_contig_walk_thread_unsafe(on_stretch, &batch);
	batch_end(&batch);
	unlock(memory);
	rte_mcfg_mem_read_unlock();
	return batch.rc;
}

static int follow(struct memory *memory)
{
	int rc = rte_mem_event_callback_register(memory->event, on_event, memory);

	if (rc != 0 && rte_errno != ENOTSUP) { /* ENOTSUP: EAL's memory never changes */
		LIB_LOG(ERR, "%s: cannot follow EAL's memory: %s", memory->name,
			rte_strerror(rte_errno));
		return -rte_errno;
	}
	memory->changes = rc == 0;
	memory->follow = true;
	return memory_sync(memory);
}

int memory_start(struct memory *memory, const char *name, struct ioas_ctx *ctx, struct ioas *as,
		 uint32_t flags, struct share *share)
{
	const enum ioas_kind kind = ioas_get_kind(as);
	int rc;

	memset(memory, 0, sizeof(*memory));
	pthread_mutex_init(&memory->lock, NULL);
	memory->name = name;
	snprintf(memory->event, sizeof(memory->event), "ioas_dpdk:%s", name);
	memory->ctx = ctx;
	memory->share = share;
	memory->map = kind == IOAS_KIND_KERNEL && (flags & IOAS_DPDK_REGISTER) == 0;
	memory->keep = (flags & IOAS_DPDK_KEEP_PAGES) != 0;
	rc = ioas_queue_create(as, &memory->queue);
	if (rc != 0) {
		LIB_LOG(ERR, "%s: queue: %s", name, strerror(-rc));
		return rc;
	}
	if ((flags & IOAS_DPDK_NO_MEMORY) == 0 &&
	    (kind == IOAS_KIND_KERNEL || kind == IOAS_KIND_USER))
		rc = follow(memory);
	if (rc != 0)
		memory_stop(memory);
	return rc;
}

static struct region *any_region(void *const *tree)
{
	return region_find(tree, 0, UINT64_MAX);
}

int memory_stop(struct memory *memory)
{
	struct region *stuck, *region;
	int rc = 0;

	if (memory->follow && memory->changes)
		rte_mem_event_callback_unregister(memory->event, memory);
	memory->follow = false;
	lock(memory);
	stuck = memory->stuck;
	memory->stuck = NULL;
	while ((region = stuck) != NULL) {
		stuck = region->next;
		give_back(memory, region);
	}
	while ((region = any_region(&memory->others)) != NULL) {
		leave(memory, &memory->others, region);
		give_back(memory, region);
	}
	while ((region = any_region(&memory->eal)) != NULL) {
		leave(memory, &memory->eal, region);
		give_back(memory, region);
	}
	unlock(memory);
	if (memory->stuck != NULL)
		return -EBUSY;
	rc = ioas_queue_destroy(memory->queue);
	if (rc != 0)
		return rc;
	pthread_mutex_destroy(&memory->lock);
	return 0;
}

/* The application's own. */

/* Find what is in the way, and whether the memory is registered already. Lock held. */
static int check_place(struct memory *memory, uint64_t va, uint64_t bytes, uint64_t iova,
		       bool *registered)
{
	const struct region *eal = region_find(&memory->eal, va, bytes);
	const struct region *other = region_find(&memory->others, va, bytes);

	*registered =
		eal != NULL && !eal->mapped && eal->va <= va && va + bytes <= eal->va + eal->bytes;
	if (other != NULL || (eal != NULL && !*registered)) {
		const struct region *at = other != NULL ? other : eal;

		LIB_LOG(ERR,
			"%s: map 0x%" PRIx64 ", %" PRIu64 " bytes, at 0x%" PRIx64 ": 0x%" PRIx64
			", %" PRIu64 " bytes, is %s already%s",
			memory->name, va, bytes, iova, at->va, at->bytes,
			at->mapped ? "mapped" : "registered",
			at == eal ? " (EAL's memory follows by itself)" : "");
		return -EEXIST;
	}
	return 0;
}

static int make(struct memory *memory, struct region *region)
{
	struct ioas_seg seg = { .va = (void *)(uintptr_t)region->va,
				.bytes = region->bytes,
				.iova = region->iova };
	char text[256] = "";
	bool registered;
	int rc = check_place(memory, region->va, region->bytes, region->iova, &registered);

	if (rc != 0)
		return rc;
	if (!registered)
		rc = ioas_mem_register(memory->ctx, seg.va, seg.bytes, &region->mem);
	if (rc != 0) {
		ioas_ctx_error(memory->ctx, text, sizeof(text));
	} else {
		rc = ioas_map_batch(memory->queue, &seg, 1, IOAS_RW | IOAS_MAP_FIXED);
		if (rc < 0) {
			snprintf(text, sizeof(text), "%s", ioas_queue_error(memory->queue));
			if (region->mem != NULL)
				ioas_mem_free(region->mem);
		}
	}
	if (rc < 0) {
		LIB_LOG(ERR, "%s: map %p, %" PRIu64 " bytes, at 0x%" PRIx64 ": %s: %s",
			memory->name, seg.va, seg.bytes, seg.iova, strerror(-rc), text);
		return rc;
	}
	region->mapped = true;
	enter(memory, &memory->others, region);
	return 0;
}

int memory_map(struct memory *memory, void *va, size_t bytes, uint64_t iova, uint32_t owner)
{
	struct region *region;
	int rc;

	if (iova == RTE_BAD_IOVA && rte_eal_iova_mode() == RTE_IOVA_PA) {
		LIB_LOG(ERR, "%s: map %p, %zu bytes: iova: EAL's IOVA mode is PA, give one",
			memory->name, va, bytes);
		return -ENOTSUP;
	}
	if (bytes == 0 || (((uintptr_t)va | bytes) & (IOAS_PAGE_SIZE - 1)) != 0) {
		LIB_LOG(ERR, "%s: map %p, %zu bytes: zero, or not a multiple of 4096", memory->name,
			va, bytes);
		return -EINVAL;
	}
	region = calloc(1, sizeof(*region));
	if (region == NULL)
		return -ENOMEM;
	region->va = (uintptr_t)va;
	region->bytes = bytes;
	region->iova = iova != RTE_BAD_IOVA ? iova : region->va;
	region->owner = owner;
	lock(memory);
	rc = make(memory, region);
	unlock(memory);
	if (rc != 0)
		free(region);
	return rc;
}

int memory_unmap(struct memory *memory, void *va, size_t bytes, uint32_t owner)
{
	struct region *region;
	int rc = 0;

	lock(memory);
	region = region_find(&memory->others, (uintptr_t)va, bytes);
	if (region == NULL || region->va != (uintptr_t)va || region->bytes != bytes ||
	    region->owner != owner) {
		rc = -ENOENT;
	} else {
		leave(memory, &memory->others, region);
		give_back(memory, region);
	}
	unlock(memory);
	return rc;
}

struct owned {
	uint32_t owner;
	struct region *first;
};

static void collect(void *arg, struct region *region)
{
	struct owned *owned = arg;

	if (region->owner != owned->owner)
		return;
	region->next = owned->first;
	owned->first = region;
}

unsigned int memory_unmap_owner(struct memory *memory, uint32_t owner)
{
	struct owned owned = { .owner = owner };
	unsigned int count = 0;
	struct region *region;

	lock(memory);
	region_walk(memory->others, collect, &owned);
	while ((region = owned.first) != NULL) {
		owned.first = region->next;
		leave(memory, &memory->others, region);
		give_back(memory, region);
		count++;
	}
	unlock(memory);
	return count;
}

void memory_stats(struct memory *memory, struct ioas_dpdk_stats *stats)
{
	pthread_mutex_lock(&memory->lock);
	stats->regions = memory->regions;
	stats->bytes = memory->bytes;
	stats->bytes_failed = memory->bytes_failed;
	stats->events = memory->events;
	pthread_mutex_unlock(&memory->lock);
}
