/* SPDX-License-Identifier: BSD-3-Clause */
#include "iova.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GIB (UINT64_C(1) << 30)

static uint64_t block_down(uint64_t addr)
{
	return addr & ~(IOVA_BLOCK - 1);
}

static uint64_t block_last(uint64_t addr)
{
	return addr | (IOVA_BLOCK - 1);
}

/* Units of a class that one chunk of a block of 2 MiB holds; 1 if they are larger. */
static unsigned int chunk_units(unsigned int class)
{
	uint64_t fit = IOVA_BLOCK >> (IOAS_PAGE_SHIFT + class);

	return fit > IOVA_CHUNK_UNITS ? IOVA_CHUNK_UNITS : fit ? fit : 1;
}

int iova_init(struct iova *iova, struct ioas_range aperture, const struct ioas_range *reserved,
	      unsigned int reserved_count)
{
	const uint64_t share = (aperture.last - aperture.start) / IOVA_MAGAZINE_SHARE;
	int ret;

	memset(iova, 0, sizeof(*iova));
	iova->aperture = aperture;
	iova->page_bytes = IOAS_PAGE_SIZE;
	iova->base = block_down(aperture.start);
	iova->reserved = (struct extents)EXTENTS_INIT;
	iova->free = (struct extents)EXTENTS_INIT;
	iova->opened = (struct extents)EXTENTS_INIT;
	pthread_mutex_init(&iova->lock, NULL);
	for (unsigned int class = 0; class < IOVA_CLASSES; class ++) {
		uint64_t fit = share / (iova_unit(class) * chunk_units(class));

		iova->magazine_max[class] = fit < IOVA_MAGAZINE_MAX ? fit : IOVA_MAGAZINE_MAX;
	}
	ret = extents_add(&iova->free, aperture.start, aperture.last);
	for (unsigned int i = 0; !ret && i < reserved_count; i++) {
		uint64_t start = reserved[i].start & ~(IOAS_PAGE_SIZE - 1);
		uint64_t last = reserved[i].last | (IOAS_PAGE_SIZE - 1);

		ret = extents_carve(&iova->free, start, last);
		ret = ret ?: extents_carve(&iova->reserved, start, last);
		ret = ret ?: extents_add(&iova->reserved, start, last);
	}
	if (ret)
		iova_destroy(iova);
	return ret;
}

void iova_destroy(struct iova *iova)
{
	while (iova->blocks) {
		struct iova_block *block = iova->blocks;

		iova->blocks = block->next;
		free(block);
	}
	for (unsigned int i = 0; i < sizeof(iova->dir) / sizeof(iova->dir[0]); i++)
		free(atomic_load_explicit(&iova->dir[i], memory_order_relaxed));
	extents_free(&iova->reserved);
	extents_free(&iova->free);
	extents_free(&iova->opened);
	pthread_mutex_destroy(&iova->lock);
}

/* The allocator. Under the lock, but for magazines. */

static void list_push(struct iova_chunk_list *list, struct iova_chunk *chunk)
{
	chunk->next = list->first;
	list->first = chunk;
	list->count++;
}

static struct iova_chunk *list_pop(struct iova_chunk_list *list)
{
	struct iova_chunk *chunk = list->first;

	if (chunk) {
		list->first = chunk->next;
		list->count--;
	}
	return chunk;
}

static struct iova_dir *dir_of(struct iova *iova, uint64_t index)
{
	_Atomic(struct iova_dir *) *place = &iova->dir[index >> IOVA_DIR_LG2];
	struct iova_dir *dir = atomic_load_explicit(place, memory_order_relaxed);

	if (!dir) {
		dir = calloc(1, sizeof(*dir));
		atomic_store_explicit(place, dir, memory_order_release);
	}
	return dir;
}

/* @units of a chunk. */
static struct iova_block *block_new(uint64_t start, unsigned int class, unsigned int units)
{
	uint64_t chunk_bytes = iova_unit(class) * chunk_units(class);
	unsigned int count = chunk_bytes < IOVA_BLOCK ? IOVA_BLOCK / chunk_bytes : 1;
	struct iova_block *block = calloc(1, sizeof(*block) + count * sizeof(block->chunks[0]));

	if (!block)
		return NULL;
	block->start = start;
	block->chunk_lg2 = __builtin_ctzll(chunk_bytes);
	for (unsigned int i = 0; i < count; i++) {
		block->chunks[i].base = start + ((uint64_t)i << block->chunk_lg2);
		block->chunks[i].class = class;
		block->chunks[i].units = units;
	}
	return block;
}

static unsigned int block_slots(const struct iova_block *block)
{
	return block->chunk_lg2 < IOVA_BLOCK_LG2 ? 1U << (IOVA_BLOCK_LG2 - block->chunk_lg2) : 1;
}

/* The first units of @chunk's place that are free, if there are any, become all of it. */
static void chunk_fit(const struct iova *iova, struct iova_chunk *chunk)
{
	const uint64_t unit = iova_unit(chunk->class);
	const uint64_t end = chunk->base + chunk->units * unit;
	const struct extent *free = extents_overlap(&iova->free, chunk->base, end - 1);

	chunk->units = 0;
	for (; free; free = extents_overlap(&iova->free, free->last + 1, end - 1)) {
		uint64_t from = free->start > chunk->base ? free->start : chunk->base;
		uint64_t to = free->last < end - 1 ? free->last + 1 : end;

		from = (from + unit - 1) & ~(unit - 1);
		if (to > from && to - from >= unit) {
			chunk->base = from;
			chunk->units = (to - from) / unit;
			return;
		}
		if (to == end)
			return;
	}
}

static _Atomic(struct iova_block *) *dir_entry(struct iova *iova, uint64_t start)
{
	uint64_t index = (start - iova->base) >> IOVA_BLOCK_LG2;
	struct iova_dir *dir;

	if (index >> (IOVA_SPAN_LG2 - IOVA_BLOCK_LG2))
		return NULL;
	dir = dir_of(iova, index);
	return dir ? &dir->block[index & ((1 << IOVA_DIR_LG2) - 1)] : NULL;
}

/*
 * What iova_chunk_of() finds: at the block, and where it has several large units at each. Their
 * part of the directory is there.
 */
static void set_entries(struct iova *iova, const struct iova_block *block, struct iova_block *value)
{
	const uint64_t bytes = block->group_bytes ?: 1;
	const uint64_t step = block->group_bytes ? iova_unit(block->chunks[0].class) : 1;

	for (uint64_t offset = 0; offset < bytes; offset += step)
		atomic_store_explicit(dir_entry(iova, block->start + offset), value,
				      memory_order_release);
}

/* Carve the block's chunks out of free space and put them on @list, the lowest on top. */
static int block_open(struct iova *iova, struct iova_block *block, struct iova_chunk_list *list)
{
	int ret = dir_entry(iova, block->start) ? 0 : -ENOMEM;

	for (unsigned int i = block_slots(block); !ret && i-- > 0;) {
		struct iova_chunk *chunk = &block->chunks[i];

		if (!chunk->units)
			continue;
		ret = extents_carve(&iova->free, chunk->base,
				    chunk->base + chunk->units * iova_unit(chunk->class) - 1);
		if (ret)
			break;
		list_push(list, chunk);
		block->chunk_count++;
	}
	if (ret && !block->chunk_count) {
		free(block);
		return ret;
	}
	block->next = iova->blocks;
	iova->blocks = block;
	iova->group_bytes += block->group_bytes;
	set_entries(iova, block, block);
	return 0;
}

/* No whole block is free: take what there is of one. */
static int block_add_partial(struct iova *iova, unsigned int class, struct iova_chunk_list *list)
{
	const uint64_t unit = iova_unit(class);
	uint64_t at = 0;

	if (unit >= IOVA_BLOCK)
		return -ENOSPC;
	for (;;) {
		const struct extent *space = extents_from(&iova->free, at);
		_Atomic(struct iova_block *) *entry;
		struct iova_block *block;
		unsigned int units = 0;

		if (!space)
			return -ENOSPC;
		at = block_down(space->start > at ? space->start : at);
		entry = dir_entry(iova, at);
		if (entry && !atomic_load_explicit(entry, memory_order_relaxed)) {
			block = block_new(at, class, chunk_units(class));
			if (!block)
				return -ENOMEM;
			for (unsigned int i = 0; i < block_slots(block); i++) {
				chunk_fit(iova, &block->chunks[i]);
				units += block->chunks[i].units;
			}
			if (units)
				return block_open(iova, block, list);
			free(block);
		}
		if (block_last(at) == UINT64_MAX)
			return -ENOSPC;
		at = block_last(at) + 1;
	}
}

/* Inside the directory? */
static bool is_in_span(const struct iova *iova, uint64_t start, uint64_t bytes)
{
	return (start - iova->base + bytes - 1) >> IOVA_SPAN_LG2 == 0;
}

/* Several large units as one chunk, while they are few. Return: 0; -ENOSPC: not so; -ENOMEM. */
static int block_add_group(struct iova *iova, unsigned int class, struct iova_chunk_list *list)
{
	const uint64_t unit = iova_unit(class), bytes = unit * IOVA_CHUNK_UNITS;
	const uint64_t aperture = iova->aperture.last - iova->aperture.start;
	struct iova_block *block;
	uint64_t start;

	if (unit < IOVA_BLOCK || bytes > IOVA_GROUP_MOST ||
	    bytes > aperture / IOVA_MAGAZINE_SHARE ||
	    iova->group_bytes + bytes > aperture / IOVA_GROUPS_SHARE ||
	    !extents_fit(&iova->free, bytes, unit, &start) || !is_in_span(iova, start, bytes))
		return -ENOSPC;
	for (uint64_t offset = 0; offset < bytes; offset += unit)
		if (!dir_entry(iova, start + offset))
			return -ENOMEM;
	block = block_new(start, class, IOVA_CHUNK_UNITS);
	if (!block)
		return -ENOMEM;
	block->group_bytes = bytes;
	return block_open(iova, block, list);
}

/* Take a block from free space. Return: 0, -ENOSPC, -ENOMEM. */
static int block_add(struct iova *iova, unsigned int class, struct iova_chunk_list *list)
{
	uint64_t bytes = iova_unit(class) > IOVA_BLOCK ? iova_unit(class) : IOVA_BLOCK;
	struct iova_block *block;
	uint64_t start;
	int ret = block_add_group(iova, class, list);

	if (ret != -ENOSPC)
		return ret;
	if (!extents_fit(&iova->free, bytes, bytes, &start) || !is_in_span(iova, start, 1))
		return block_add_partial(iova, class, list);
	block = block_new(start, class, chunk_units(class));
	return block ? block_open(iova, block, list) : -ENOMEM;
}

static struct iova_block *block_of(const struct iova_chunk *chunk)
{
	unsigned int lg2 = __builtin_ctzll(iova_unit(chunk->class) * chunk_units(chunk->class));
	unsigned int at = lg2 < IOVA_BLOCK_LG2 ? (chunk->base & (IOVA_BLOCK - 1)) >> lg2 : 0;

	return (struct iova_block *)((char *)(chunk - at) - offsetof(struct iova_block, chunks));
}

static void count_free(const struct iova_chunk_list *list)
{
	for (struct iova_chunk *chunk = list->first; chunk; chunk = chunk->next)
		block_of(chunk)->free_chunks++;
}

static void drop_whole(struct iova_chunk_list *list)
{
	struct iova_chunk **link = &list->first;

	while (*link) {
		struct iova_block *block = block_of(*link);

		if (block->free_chunks == block->chunk_count) {
			*link = (*link)->next;
			list->count--;
		} else {
			link = &(*link)->next;
		}
	}
}

/*
 * Space has run out: blocks whose chunks are all free (in the depot, or in these magazines) go
 * back to free space, where other classes and fixed ranges find them.
 */
static bool reclaim(struct iova *iova, struct iova_magazines *magazines)
{
	struct iova_block **link = &iova->blocks;
	bool any = false;

	for (struct iova_block *block = iova->blocks; block; block = block->next)
		block->free_chunks = 0;
	for (unsigned int class = 0; class < IOVA_CLASSES; class ++) {
		count_free(&iova->depot[class]);
		if (magazines)
			count_free(&magazines->class[class].free);
	}
	for (unsigned int class = 0; class < IOVA_CLASSES; class ++) {
		drop_whole(&iova->depot[class]);
		if (magazines)
			drop_whole(&magazines->class[class].free);
	}
	while (*link) {
		struct iova_block *block = *link;

		if (block->free_chunks != block->chunk_count) {
			link = &block->next;
			continue;
		}
		*link = block->next;
		/* Nothing of it is mapped, so nobody may look it up. */
		set_entries(iova, block, NULL);
		iova->group_bytes -= block->group_bytes;
		for (unsigned int i = 0; i < block_slots(block); i++) {
			const struct iova_chunk *chunk = &block->chunks[i];

			/* Without memory for a node a chunk is out of circulation: harmless. */
			if (chunk->units)
				extents_add(&iova->free, chunk->base,
					    chunk->base + chunk->units * iova_unit(chunk->class) -
						    1);
		}
		free(block);
		any = true;
	}
	return any;
}

/* Open chunks of which nothing is in use: the magazine's own units are all that is live. */
static void close_unused(struct iova_magazines *magazines)
{
	for (unsigned int class = 0; class < IOVA_CLASSES; class ++) {
		struct iova_magazine *magazine = &magazines->class[class];
		struct iova_chunk *open = magazine->open;
		uint32_t left = (magazine->end - magazine->next) >> (IOAS_PAGE_SHIFT + class);

		if (!left || atomic_load_explicit(&open->live, memory_order_acquire) != left)
			continue;
		list_push(&magazine->free, open);
		magazine->open = NULL;
		magazine->next = magazine->end = 0;
	}
}

/*
 * An empty chunk of @class: from the depot, else a new one; a block's others go to the magazine,
 * if it may have so many.
 */
static struct iova_chunk *find_chunk(struct iova *iova, struct iova_magazines *magazines,
				     unsigned int class)
{
	const bool roomy = iova->magazine_max[class] == IOVA_MAGAZINE_MAX;
	struct iova_chunk_list *list = roomy ? &magazines->class[class].free : &iova->depot[class];
	struct iova_chunk *chunk;

	pthread_mutex_lock(&iova->lock);
	chunk = list_pop(&iova->depot[class]);
	if (!chunk) {
		if (block_add(iova, class, list) == -ENOSPC) {
			close_unused(magazines);
			if (reclaim(iova, magazines))
				block_add(iova, class, list);
		}
		chunk = list_pop(list);
	}
	pthread_mutex_unlock(&iova->lock);
	return chunk;
}

/* @chunk is empty and in no list: nobody else can see it. */
static void chunk_begin(struct iova_magazine *magazine, struct iova_chunk *chunk)
{
	atomic_store_explicit(&chunk->live, chunk->units, memory_order_relaxed);
	magazine->open = chunk;
	magazine->next = chunk->base;
	magazine->end = chunk->base + chunk->units * iova_unit(chunk->class);
}

unsigned int iova_take_slow(struct iova *iova, struct iova_magazines *magazines, unsigned int class,
			    unsigned int count, uint64_t *base)
{
	struct iova_magazine *magazine = &magazines->class[class];
	struct iova_chunk *chunk = list_pop(&magazine->free);

	if (!chunk)
		chunk = find_chunk(iova, magazines, class);
	if (!chunk)
		return 0;
	chunk_begin(magazine, chunk);
	return iova_take(iova, magazines, class, count, base);
}

/* The colder half of a full magazine to the depot. */
static void spill(struct iova *iova, struct iova_magazine *magazine, unsigned int class)
{
	const unsigned int keep = iova->magazine_max[class] / 2;
	struct iova_chunk **link = &magazine->free.first;
	struct iova_chunk_list cold;

	for (unsigned int i = 0; i < keep; i++)
		link = &(*link)->next;
	cold.first = *link;
	cold.count = magazine->free.count - keep;
	*link = NULL;
	magazine->free.count = keep;
	pthread_mutex_lock(&iova->lock);
	while (cold.first)
		list_push(&iova->depot[class], list_pop(&cold));
	pthread_mutex_unlock(&iova->lock);
}

void iova_chunk_recycle(struct iova *iova, struct iova_magazines *magazines,
			struct iova_chunk *chunk)
{
	struct iova_magazine *magazine = &magazines->class[chunk->class];

	if (magazine->next == magazine->end) { /* it comes at the right moment */
		chunk_begin(magazine, chunk);
		return;
	}
	list_push(&magazine->free, chunk);
	if (magazine->free.count > iova->magazine_max[chunk->class])
		spill(iova, magazine, chunk->class);
}

void iova_magazines_drain(struct iova *iova, struct iova_magazines *magazines)
{
	for (unsigned int class = 0; class < IOVA_CLASSES; class ++) {
		struct iova_magazine *magazine = &magazines->class[class];
		struct iova_chunk *open = magazine->open;
		uint32_t left = (magazine->end - magazine->next) >> (IOAS_PAGE_SHIFT + class);

		magazine->open = NULL;
		magazine->next = magazine->end = 0;
		/* Not iova_give(): it would make an empty chunk the open one again. */
		if (left &&
		    atomic_fetch_sub_explicit(&open->live, left, memory_order_acq_rel) == left)
			list_push(&magazine->free, open);
		if (!magazine->free.count)
			continue;
		pthread_mutex_lock(&iova->lock);
		while (magazine->free.first)
			list_push(&iova->depot[class], list_pop(&magazine->free));
		pthread_mutex_unlock(&iova->lock);
	}
}

/* Fixed ranges. */

int iova_check(const struct iova *iova, uint64_t start, uint64_t bytes)
{
	const struct ioas_range *aperture = &iova->aperture;

	if (start < aperture->start || start > aperture->last || bytes - 1 > aperture->last - start)
		return -ERANGE;
	return extents_overlap(&iova->reserved, start, start + bytes - 1) ? -ERANGE : 0;
}

int iova_claim(struct iova *iova, uint64_t start, uint64_t bytes)
{
	uint64_t last = start + bytes - 1;
	int ret = -EEXIST;

	pthread_mutex_lock(&iova->lock);
	if (extents_cover(&iova->free, start, last) ||
	    (reclaim(iova, NULL) && extents_cover(&iova->free, start, last)))
		ret = extents_carve(&iova->free, start, last);
	pthread_mutex_unlock(&iova->lock);
	return ret;
}

void iova_unclaim(struct iova *iova, uint64_t start, uint64_t bytes)
{
	pthread_mutex_lock(&iova->lock);
	/* Without memory for a node the range is out of circulation: harmless. */
	if (!extents_overlap(&iova->opened, start, start + bytes - 1))
		extents_add(&iova->free, start, start + bytes - 1);
	pthread_mutex_unlock(&iova->lock);
}

/* Is each page of the range free, or in a block that is open? The lock is held. */
static bool can_open(const struct iova *iova, uint64_t start, uint64_t last)
{
	while (start <= last) {
		const struct extent *open = extents_find(&iova->opened, start);
		const struct extent *free = extents_find(&iova->free, start);
		const struct extent *found = open ? open : free;

		if (!found)
			return false;
		if (found->last >= last)
			return true;
		start = found->last + 1;
	}
	return true;
}

static int open_locked(struct iova *iova, uint64_t start, uint64_t last)
{
	/* The blocks as a whole, or what is free of them: the rest may be the allocator's. */
	const struct extent *free;
	int ret = 0;

	start = block_down(start);
	last = block_last(last);
	while (!ret && (free = extents_overlap(&iova->free, start, last))) {
		uint64_t from = free->start > start ? free->start : start;
		uint64_t to = free->last < last ? free->last : last;

		ret = extents_carve(&iova->free, from, to) ?: extents_add(&iova->opened, from, to);
	}
	return ret;
}

int iova_open(struct iova *iova, uint64_t start, uint64_t bytes)
{
	uint64_t last = start + bytes - 1;
	int ret = -EEXIST;

	pthread_mutex_lock(&iova->lock);
	if (extents_cover(&iova->opened, start, last))
		ret = 0;
	else if (can_open(iova, start, last) ||
		 (reclaim(iova, NULL) && can_open(iova, start, last)))
		ret = open_locked(iova, start, last);
	pthread_mutex_unlock(&iova->lock);
	return ret;
}

/* With the best alignment that can be had. */
static bool fit_long(struct iova *iova, uint64_t bytes, uint64_t align, uint64_t *start)
{
	/* 64 KiB: so that memory under a table of such pages can be mapped in it. */
	const uint64_t aligns[] = { align, IOVA_BLOCK, UINT64_C(1) << 16, iova->page_bytes };

	do {
		for (unsigned int i = 0; i < sizeof(aligns) / sizeof(aligns[0]); i++)
			if (aligns[i] <= align && extents_fit(&iova->free, bytes, aligns[i], start))
				return true;
	} while (reclaim(iova, NULL));
	return false;
}

int iova_take_long(struct iova *iova, uint64_t bytes, uint64_t *start)
{
	const unsigned int class = iova_class(bytes);
	int ret = -ENOSPC;

	pthread_mutex_lock(&iova->lock);
	if (fit_long(iova, bytes, class < IOVA_CLASSES ? iova_unit(class) : GIB, start))
		ret = extents_carve(&iova->free, *start, *start + bytes - 1);
	pthread_mutex_unlock(&iova->lock);
	return ret;
}

int iova_open_anywhere(struct iova *iova, uint64_t bytes, uint64_t *start)
{
	uint64_t whole = block_last(bytes - 1) + 1;
	int ret = -ENOSPC;

	pthread_mutex_lock(&iova->lock);
	if (extents_fit(&iova->free, whole, IOVA_BLOCK, start) ||
	    fit_long(iova, bytes, IOVA_BLOCK, start))
		ret = open_locked(iova, *start, *start + bytes - 1);
	pthread_mutex_unlock(&iova->lock);
	return ret;
}
