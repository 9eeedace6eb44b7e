/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A map from addresses to translations (virtual address to IOVA: the mapping cache; and back), or
 *to objects (registered memory, records of mappings), of any granularity from 4 KiB on. What an
 * operation costs depends on the range and on what is in it, not on how much the map holds.
 *
 *   leaves   one entry per 2 MiB of address space, flat: reserved address space of which only what
 *	      is written to becomes memory, a page of it per GiB. Most look-ups are this one load.
 *   gibs     one entry per GiB, for ranges that are whole GiBs. Read when the leaf is empty.
 *   nodes    below a leaf that is not one range: 32 entries of 64 KiB (256 bytes), or 512 of 4 KiB.
 *	      The first finer range in a node of 64 KiB replaces it by one of 4 KiB.
 *
 *                 | find | insert | remove     X: the caller excludes them from each other
 *   find          |  -   |   -    |   -
 *   insert        |  -   |   X    |   X
 *   remove        |  -   |   X    |   X
 *
 * Finding takes no lock and writes nothing. Its linearisation point is the load of the entry that
 * holds the translation. Nodes are linked with release stores after they have been filled, and
 * stay until vamap_destroy(), those that were replaced, too, so a reader can never meet freed
 * memory; a translation that is removed while it is being read is either found or not, and
 * whoever removes it must wait for readers (RCU) before the IOVA means something else. Memory is
 * bounded by the addresses that were ever mapped: at most 256 bytes and 4 KiB for 2 MiB.
 *
 * Budget of a hit: shift, load, test, add; with a node: mask, shift, load, test more.
 *
 * One address has one entry: the second mapping of the same address is not entered, and insert
 * says so.
 */
#ifndef ENGINE_VAMAP_H
#define ENGINE_VAMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__
#define VAMAP_BITS 47 /* of a user-space address */
#else
#define VAMAP_BITS 48
#endif
#define VAMAP_GIB_LG2	30
#define VAMAP_LEAF_LG2	21
#define VAMAP_NODE_LG2	16 /* what an entry of a coarse node covers, */
#define VAMAP_PAGE_LG2	12 /* and of a fine one */
#define VAMAP_CHUNK_LG2 21 /* leaves become writable so many bytes at a time */
#define VAMAP_CHUNKS	((1 << (VAMAP_BITS - VAMAP_LEAF_LG2 + 3 - VAMAP_CHUNK_LG2)) + 1)

/*
 * An entry: what its first byte translates to | VAMAP_LEAF; address of a node | VAMAP_NODE |
 * (lg2 of what its entries cover - VAMAP_PAGE_LG2) << VAMAP_SHIFT; or 0.
 * In gibs, VAMAP_NODE alone says that there has been something in the leaves below.
 */
#define VAMAP_LEAF  UINT64_C(1)
#define VAMAP_NODE  UINT64_C(2)
#define VAMAP_SHIFT 2
#define VAMAP_FLAGS UINT64_C(63)

#define VAMAP_NONE UINT64_MAX

struct vamap_slab;

struct vamap {
	_Atomic uint64_t *leaves;
	_Atomic uint64_t *gibs;	  /* behind the leaves */
	uint64_t step;		  /* what a value grows by with each byte */
	struct vamap_slab *slabs; /* memory of nodes; the first has room */
	size_t slab_used;
	uint64_t node_bytes;
	uint64_t writable[VAMAP_CHUNKS / 64 + 1];
};

/*
 * @step: what an entry of one byte further holds more: a translation grows by 1, others may have
 * the translation in higher bits; an object is the same all over its range. Values have bits 0 and
 * 1 clear. Return: 0 or -ENOMEM.
 */
#define VAMAP_TRANSLATIONS 1
#define VAMAP_OBJECTS	   0
int vamap_init(struct vamap *map, uint64_t step);
void vamap_destroy(struct vamap *map);

/* Can the range be held at all? */
static inline bool vamap_covers(uint64_t addr, uint64_t bytes)
{
	return addr >> VAMAP_BITS == 0 && (addr + bytes - 1) >> VAMAP_BITS == 0;
}

/* Make the nodes that vamap_insert() of this range will need. Return: 0 or -ENOMEM. */
int vamap_reserve(struct vamap *map, uint64_t addr, uint64_t bytes);

/*
 * @value: what @addr translates to. Return: were all entries free? Those that were
 * not keep what they hold. After vamap_reserve() memory is short only if the range was another's
 * then; it counts as not free.
 */
bool vamap_insert(struct vamap *map, uint64_t addr, uint64_t bytes, uint64_t value);

/* Remove the entries that hold what vamap_insert() of the same entered. */
void vamap_remove(struct vamap *map, uint64_t addr, uint64_t bytes, uint64_t value);

/*
 * The first entry that covers some of [*addr, last]: return its value for the first such byte, and
 * that in *addr; VAMAP_NONE if there is none. It excludes writers, as they do each other. A GiB
 * that never had anything finer in it is one step.
 */
uint64_t vamap_next(const struct vamap *map, uint64_t *addr, uint64_t last);

/* Of a map of objects: the first that has some of [start, last], or NULL. */
static inline void *vamap_overlap(const struct vamap *map, uint64_t start, uint64_t last)
{
	const uint64_t found = vamap_next(map, &start, last);

	return found == VAMAP_NONE ? NULL : (void *)(uintptr_t)found;
}

/* Memory in use: nodes, and the pages of the flat part that are not empty. For statistics: slow. */
uint64_t vamap_bytes(const struct vamap *map);

/* The entry for @addr and what it covers: 1 << *lg2 bytes around @addr. Return: 0 if there is none.
 */
static inline uint64_t vamap_entry(const struct vamap *map, uint64_t addr, unsigned int *lg2)
{
	uint64_t entry;

	if (__builtin_expect(addr >> VAMAP_BITS != 0, 0))
		return 0;
	*lg2 = VAMAP_LEAF_LG2;
	entry = atomic_load_explicit(&map->leaves[addr >> VAMAP_LEAF_LG2], memory_order_acquire);
	if (__builtin_expect(entry & VAMAP_LEAF, 1))
		return entry;
	if (entry) {
		_Atomic uint64_t *node = (_Atomic uint64_t *)(uintptr_t)(entry & ~VAMAP_FLAGS);
		const uint64_t offset = addr & ((UINT64_C(1) << VAMAP_LEAF_LG2) - 1);

		*lg2 = VAMAP_PAGE_LG2 + ((entry & VAMAP_FLAGS) >> VAMAP_SHIFT);
		return atomic_load_explicit(&node[offset >> *lg2], memory_order_acquire);
	}
	*lg2 = VAMAP_GIB_LG2;
	entry = atomic_load_explicit(&map->gibs[addr >> VAMAP_GIB_LG2], memory_order_acquire);
	return entry & VAMAP_LEAF ? entry : 0;
}

/* Of a map of objects: the one that has @addr, or NULL. */
static inline void *vamap_object(const struct vamap *map, uint64_t addr)
{
	unsigned int lg2;

	return (void *)(uintptr_t)(vamap_entry(map, addr, &lg2) & ~VAMAP_LEAF);
}

/*
 * Find the translation of @addr. Return: it, and in *run how many bytes from @addr on its entry
 * covers; VAMAP_NONE if there is none.
 */
static inline uint64_t vamap_find(const struct vamap *map, uint64_t addr, uint64_t *run)
{
	unsigned int lg2;
	uint64_t entry = vamap_entry(map, addr, &lg2);
	uint64_t offset;

	if (__builtin_expect(!entry, 0))
		return VAMAP_NONE;
	offset = addr & ((UINT64_C(1) << lg2) - 1);
	*run = (UINT64_C(1) << lg2) - offset;
	return entry - VAMAP_LEAF + offset;
}

/* vamap_find_run() beyond the first entry, which translates @run bytes to @found. */
uint64_t vamap_extend_run(const struct vamap *map, uint64_t addr, uint64_t found, uint64_t run,
			  uint64_t bytes);

/* Find the translation of a range that is contiguous in IOVA. *bytes: wanted, then found. */
static inline uint64_t vamap_find_run(const struct vamap *map, uint64_t addr, uint64_t *bytes)
{
	uint64_t run;
	uint64_t found = vamap_find(map, addr, &run);

	if (__builtin_expect(found != VAMAP_NONE && run < *bytes, 0))
		*bytes = vamap_extend_run(map, addr, found, run, *bytes);
	return found;
}

#endif
