/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IOVA of an address space: who owns which part of it.
 *
 * Free space is a set of ranges. The allocator takes blocks of 2 MiB from it and cuts them into
 * chunks of up to 64 units; a unit is a power of two from 4 KiB to 1 GiB. Of units from 2 MiB on a
 * block is one chunk: 64 of them while such blocks have a small part of the aperture, else a single
 * one, because what is free in a chunk is lost to others until all of it is. A thread's magazine
 * opens one chunk per class and hands its units out in ascending order, so that a batch gets
 * neighbours, and one invalidation covers it ("Fast and Safe IO Memory Protection", SOSP'24: one
 * contiguous range per ring). A chunk goes back whole, when its last unit has been given back, to
 * the magazine of the thread that did it.
 *
 * Fixed ranges own whole pages (KERNEL spaces) or open 2 MiB blocks for everybody's fixed pages
 * and windows (USER spaces, where entries of the page table say who owns a page).
 *
 * Units that were unmapped come back only after a completed invalidation (I1): the queue keeps
 * them until then.
 *
 * Locking: a magazine belongs to one thread. What is shared is under a mutex, which a magazine
 * takes once a chunk at most; finding the chunk of an IOVA takes no lock.
 */
#ifndef ENGINE_IOVA_H
#define ENGINE_IOVA_H

#include <pthread.h>
#include <stdatomic.h>

#include <ioas/types.h>

#include "extent.h"

#define IOVA_BLOCK_LG2	 21
#define IOVA_BLOCK	 (UINT64_C(1) << IOVA_BLOCK_LG2)
#define IOVA_CLASSES	 19 /* 4 KiB << class */
#define IOVA_CHUNK_UNITS 64

/*
 * Free chunks of a class in a magazine; when there are more, half go to the depot. In a small
 * aperture fewer, so that one thread cannot sit on what another needs.
 */
#define IOVA_MAGAZINE_MAX   32
#define IOVA_MAGAZINE_SHARE 64 /* of the aperture, at most one part in so many */

#define IOVA_GROUPS_SHARE 16 /* likewise, for blocks of several large units */
#define IOVA_GROUP_MOST	  (UINT64_C(1) << 30) /* of such a block: arenas are few, and stay low */

/* The directory covers so much of an aperture, from its lowest address on. */
#define IOVA_SPAN_LG2 47
#define IOVA_DIR_LG2  13

struct iova_chunk {
	struct iova_chunk *next; /* in a list of free chunks */
	uint64_t base;
	_Atomic uint32_t live; /* units not given back, those not handed out yet included */
	uint16_t class;
	uint16_t units;
};

struct iova_block {
	uint64_t start;
	unsigned int chunk_lg2;
	unsigned int chunk_count; /* that have units */
	unsigned int free_chunks; /* while space is being reclaimed */
	uint64_t group_bytes;	  /* of several large units, or 0 */
	struct iova_block *next;
	struct iova_chunk chunks[];
};

struct iova_dir {
	_Atomic(struct iova_block *) block[1 << IOVA_DIR_LG2];
};

struct iova_chunk_list {
	struct iova_chunk *first;
	unsigned int count;
};

struct iova {
	struct ioas_range aperture;
	uint64_t page_bytes; /* ranges are aligned to it: 4 KiB, or set to more after iova_init() */
	uint64_t base; /* what the directory's index 0 stands for, block-aligned */
	pthread_mutex_t lock;
	struct extents reserved; /* does not change: no lock */
	struct extents free;
	struct extents opened; /* blocks for fixed pages: USER spaces */
	struct iova_chunk_list depot[IOVA_CLASSES];
	unsigned int magazine_max[IOVA_CLASSES]; /* does not change: no lock */
	struct iova_block *blocks;		 /* all, for iova_destroy() */
	uint64_t group_bytes;			 /* of all of them */
	_Atomic(struct iova_dir *) dir[1 << (IOVA_SPAN_LG2 - IOVA_BLOCK_LG2 - IOVA_DIR_LG2)];
};

/* A thread's hold on one class. */
struct iova_magazine {
	uint64_t next; /* next unit of the open chunk */
	uint64_t end;
	struct iova_chunk *open;
	struct iova_chunk_list free;
};

struct iova_magazines {
	struct iova_magazine class[IOVA_CLASSES];
};

/*
 * @reserved: ranges that nobody gets. Return: 0, -ENOMEM.
 */
int iova_init(struct iova *iova, struct ioas_range aperture, const struct ioas_range *reserved,
	      unsigned int reserved_count);
void iova_destroy(struct iova *iova);

/* The class of a length, IOVA_CLASSES if it is too long for one. */
static inline unsigned int iova_class(uint64_t bytes)
{
	unsigned int lg2 = 64 - __builtin_clzll((bytes - 1) | (IOAS_PAGE_SIZE - 1));

	return lg2 - IOAS_PAGE_SHIFT < IOVA_CLASSES ? lg2 - IOAS_PAGE_SHIFT : IOVA_CLASSES;
}

static inline uint64_t iova_unit(unsigned int class)
{
	return IOAS_PAGE_SIZE << class;
}

/* iova_take() when the open chunk is used up. */
unsigned int iova_take_slow(struct iova *iova, struct iova_magazines *magazines, unsigned int class,
			    unsigned int count, uint64_t *base);

/* Take up to @count neighbouring units. Return: how many, 0 if there is no IOVA left. */
static inline unsigned int iova_take(struct iova *iova, struct iova_magazines *magazines,
				     unsigned int class, unsigned int count, uint64_t *base)
{
	struct iova_magazine *magazine = &magazines->class[class];
	uint64_t left = (magazine->end - magazine->next) >> (IOAS_PAGE_SHIFT + class);

	if (__builtin_expect(!left, 0))
		return iova_take_slow(iova, magazines, class, count, base);
	if (count > left)
		count = left;
	*base = magazine->next;
	magazine->next += (uint64_t)count << (IOAS_PAGE_SHIFT + class);
	return count;
}

/*
 * The chunk that @addr was taken from, or NULL: not from the allocator. Takes no lock; @addr is in
 * use, by a mapping that the caller has claimed, so its block cannot go.
 */
static inline struct iova_chunk *iova_chunk_of(const struct iova *iova, uint64_t addr)
{
	uint64_t index = (addr - iova->base) >> IOVA_BLOCK_LG2;
	const struct iova_dir *dir;
	struct iova_block *block;
	struct iova_chunk *chunk;

	if (__builtin_expect(index >> (IOVA_SPAN_LG2 - IOVA_BLOCK_LG2) != 0, 0))
		return NULL; /* below the base as well */
	dir = atomic_load_explicit(&iova->dir[index >> IOVA_DIR_LG2], memory_order_acquire);
	if (!dir)
		return NULL;
	block = atomic_load_explicit(&dir->block[index & ((1 << IOVA_DIR_LG2) - 1)],
				     memory_order_acquire);
	if (!block)
		return NULL;
	chunk = &block->chunks[(addr & (IOVA_BLOCK - 1)) >> block->chunk_lg2];
	return (addr - chunk->base) >> (IOAS_PAGE_SHIFT + chunk->class) < chunk->units ? chunk
										       : NULL;
}

/* Is none of the 2 MiB around @addr the allocator's, for units of less than that? */
static inline bool iova_is_open(const struct iova *iova, uint64_t addr)
{
	uint64_t index = (addr - iova->base) >> IOVA_BLOCK_LG2;
	const struct iova_dir *dir;

	if (index >> (IOVA_SPAN_LG2 - IOVA_BLOCK_LG2) != 0)
		return true;
	dir = atomic_load_explicit(&iova->dir[index >> IOVA_DIR_LG2], memory_order_acquire);
	return !dir || !atomic_load_explicit(&dir->block[index & ((1 << IOVA_DIR_LG2) - 1)],
					     memory_order_relaxed);
}

/* Put an empty chunk into a magazine. */
void iova_chunk_recycle(struct iova *iova, struct iova_magazines *magazines,
			struct iova_chunk *chunk);

/* Give back @units of @chunk: nothing can reach them any more. */
static inline void iova_give(struct iova *iova, struct iova_magazines *magazines,
			     struct iova_chunk *chunk, uint32_t units)
{
	/*
	 * Release: what was done with the units comes before what their next owner does; acquire:
	 * the other half, for the one who recycles.
	 */
	if (atomic_fetch_sub_explicit(&chunk->live, units, memory_order_acq_rel) == units)
		iova_chunk_recycle(iova, magazines, chunk);
}

/* Give back everything that a magazine holds; its thread goes. */
void iova_magazines_drain(struct iova *iova, struct iova_magazines *magazines);

/* May the range be used at all? Return: 0 or -ERANGE. Takes no lock. */
int iova_check(const struct iova *iova, uint64_t start, uint64_t bytes);

/* Own exactly these pages. Return: 0, -EEXIST, -ENOMEM. */
int iova_claim(struct iova *iova, uint64_t start, uint64_t bytes);

/* Give back what was claimed or taken by iova_take_long(); open blocks stay what they are. */
void iova_unclaim(struct iova *iova, uint64_t start, uint64_t bytes);

/*
 * Open the 2 MiB blocks of a range for fixed pages, if they are not open yet; they stay open.
 * Return: 0, -EEXIST some of it is the allocator's, -ENOMEM.
 */
int iova_open(struct iova *iova, uint64_t start, uint64_t bytes);

/*
 * A range of any length, naturally aligned up to 1 GiB where that can be had: like a claim at a
 * place of the library's choice, and as slow. Return: 0, -ENOSPC, -ENOMEM.
 */
int iova_take_long(struct iova *iova, uint64_t bytes, uint64_t *start);

/* The same for a window: the blocks are opened. */
int iova_open_anywhere(struct iova *iova, uint64_t bytes, uint64_t *start);

#endif
