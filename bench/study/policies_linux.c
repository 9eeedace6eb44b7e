/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Linux's DMA API does for a driver that maps each page: an IOVA per page out of magazines;
 * strict: an invalidation per page, before its IOVA is given back; deferred: pages wait in a queue
 * of each processor, and when it is full one flush of the domain frees all of them.
 *
 * The magazines are of one size class: per processor a loaded one and a spare one, a depot for all,
 * and under them a search from the top of the 32-bit addresses down.
 *
 * Tables, leaves and invalidation requests are the engine's; its allocator and its group commit
 * are not used. Not modelled: the flush queue's timer of 10 ms, and the processors' own time.
 *
 * Source: drivers/iommu/iova.c (IOVA_MAG_SIZE, MAX_GLOBAL_MAGS), dma-iommu.c (IOVA_FQ_SIZE).
 */
#include "study.h"

#include <stdlib.h>

#include "objects.h"

#define PAGE_LG2   12
#define TOP	   (UINT64_C(1) << (32 - PAGE_LG2)) /* pages */
#define WINDOW	   (UINT64_C(1) << 18)		    /* pages below it that are managed: 1 GiB */
#define MAG_SIZE   127
#define DEPOT_MAGS 32
#define FQ_SIZE	   256

struct magazine {
	unsigned int count;
	uint64_t pages[MAG_SIZE];
};

struct flush_queue {
	unsigned int count;
	uint64_t pages[FQ_SIZE];
};

struct linux_state {
	struct magazine loaded[STUDY_QUEUES];
	struct magazine spare[STUDY_QUEUES];
	struct magazine depot[DEPOT_MAGS];
	unsigned int depot_count;
	struct flush_queue flush[STUDY_QUEUES];
	struct pt_cursor cursor;
	uint64_t highest; /* nothing is free above */
	bool taken[WINDOW];
};

/* IOVA. */

/* As the tree does: the highest free page. */
static uint64_t search(struct linux_state *state)
{
	while (state->highest && state->taken[state->highest - 1])
		state->highest--;
	if (!state->highest)
		return 0;
	state->taken[--state->highest] = true;
	return TOP - WINDOW + state->highest;
}

static void give_up(struct linux_state *state, const struct magazine *magazine)
{
	for (unsigned int i = 0; i < magazine->count; i++) {
		uint64_t index = magazine->pages[i] - (TOP - WINDOW);

		state->taken[index] = false;
		if (index >= state->highest)
			state->highest = index + 1;
	}
}

static void swap(struct magazine *a, struct magazine *b)
{
	struct magazine other = *a;

	*a = *b;
	*b = other;
}

/* Return: page number, 0 when there is none. */
static uint64_t iova_get(struct linux_state *state, unsigned int cpu)
{
	struct magazine *loaded = &state->loaded[cpu];

	if (!loaded->count && state->spare[cpu].count)
		swap(loaded, &state->spare[cpu]);
	else if (!loaded->count && state->depot_count)
		*loaded = state->depot[--state->depot_count];
	return loaded->count ? loaded->pages[--loaded->count] : search(state);
}

static void iova_put(struct linux_state *state, unsigned int cpu, uint64_t page)
{
	struct magazine *loaded = &state->loaded[cpu];

	if (loaded->count == MAG_SIZE && state->spare[cpu].count < MAG_SIZE) {
		swap(loaded, &state->spare[cpu]);
	} else if (loaded->count == MAG_SIZE) {
		if (state->depot_count < DEPOT_MAGS)
			state->depot[state->depot_count++] = *loaded;
		else
			give_up(state, loaded);
		loaded->count = 0;
	}
	loaded->pages[loaded->count++] = page;
}

/* Tables. */

static int linux_open(struct study *s)
{
	struct linux_state *state = calloc(1, sizeof(*state));

	if (!state)
		return study_fail(s, "no memory");
	state->highest = WINDOW;
	state->cursor = (struct pt_cursor)PT_CURSOR_INIT;
	s->state = state;
	return 0;
}

static void linux_close(struct study *s)
{
	free(s->state);
}

static int linux_map(struct study *s, unsigned int cpu, struct study_area *area, uint32_t prot)
{
	struct linux_state *state = s->state;

	for (unsigned int i = 0; i < area->count; i++) {
		struct ioas_seg *seg = &area->segs[i];
		struct pt_map_args args = { .prot = prot };
		uint64_t page = iova_get(state, cpu), run;
		int ret;

		if (!page)
			return study_fail(s, "no IOVA left");
		seg->iova = page << PAGE_LG2;
		args.oa = vamap_find(&s->as->parent->cache, (uintptr_t)seg->va, &run);
		ret = pt_map(s->as->pt, &state->cursor, seg->iova, seg->bytes, &args, 0);
		if (ret)
			return study_fail(s, "pt_map: %d", ret);
	}
	return 0;
}

static int clear(struct study *s, const struct ioas_seg *seg)
{
	struct linux_state *state = s->state;
	int ret = pt_unmap(s->as->pt, &state->cursor, seg->iova, seg->bytes, 0);

	return ret ? study_fail(s, "pt_unmap: %d", ret) : 0;
}

/* @range: NULL for the whole domain. */
static int invalidate(struct study *s, const struct be_inval *range)
{
	struct be_space *space = s->as->be_space;
	unsigned int crossings = 0;
	int ret = space->be->ops->invalidate(space, range, range ? 1 : 0, &crossings);

	return ret ? study_fail(s, "invalidate: %d", ret) : 0;
}

static int unmap_strict(struct study *s, unsigned int cpu, struct study_area *area,
			unsigned int count, bool leaf)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct ioas_seg *seg = &area->segs[area->taken + i];
		const struct be_inval range = { .iova = seg->iova,
						.bytes = seg->bytes,
						.leaf = leaf };

		if (clear(s, seg) || invalidate(s, &range))
			return -1;
		iova_put(s->state, cpu, seg->iova >> PAGE_LG2);
	}
	return 0;
}

static int strict_unmap(struct study *s, unsigned int cpu, struct study_area *area,
			unsigned int count)
{
	return unmap_strict(s, cpu, area, count, false);
}

static int strict_leaf_unmap(struct study *s, unsigned int cpu, struct study_area *area,
			     unsigned int count)
{
	return unmap_strict(s, cpu, area, count, true);
}

static int deferred_unmap(struct study *s, unsigned int cpu, struct study_area *area,
			  unsigned int count)
{
	struct linux_state *state = s->state;
	struct flush_queue *flush = &state->flush[cpu];

	for (unsigned int i = 0; i < count; i++) {
		const struct ioas_seg *seg = &area->segs[area->taken + i];

		if (flush->count == FQ_SIZE) {
			if (invalidate(s, NULL))
				return -1;
			while (flush->count)
				iova_put(state, cpu, flush->pages[--flush->count]);
		}
		if (clear(s, seg))
			return -1;
		flush->pages[flush->count++] = seg->iova >> PAGE_LG2;
	}
	return 0;
}

#define LINUX .kind = IOAS_KIND_USER, .open = linux_open, .close = linux_close, .map = linux_map

const struct study_policy study_strict = {
	LINUX,
	.name = "strict",
	.what = "Linux strict: an invalidation per page, paging-structure caches go too",
	.unmap = strict_unmap,
};

const struct study_policy study_strict_leaf = {
	LINUX,
	.name = "strict_leaf",
	.what = "the same, paging-structure caches stay",
	.unmap = strict_leaf_unmap,
};

const struct study_policy study_deferred = {
	LINUX,
	.name = "deferred",
	.what = "Linux deferred: a flush of the domain for 256 pages of a processor",
	.late = true,
	.unmap = deferred_unmap,
};
