/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mapping cache: virtual address to IOVA, a radix tree of three levels (1 GiB, 2 MiB, 4 KiB),
 * where an entry of any level can be a translation. A 2 MiB region costs 8 bytes, a 1 GiB region
 * 8 bytes.
 *
 *                 | find | insert | remove     X: the caller excludes them from each other
 *   find          |  -   |   -    |   -
 *   insert        |  -   |   X    |   X
 *   remove        |  -   |   X    |   X
 *
 * Finding takes no lock and writes nothing. Its linearisation point is the load of the entry that
 * holds the translation. Nodes are linked with release stores after they have been filled, and
 * stay until vamap_destroy(), so a reader can never meet freed memory; a translation that is
 * removed while it is being read is either found or not, and whoever removes it must wait for
 * readers (RCU) before the IOVA means something else.
 *
 * One virtual address has one entry: the second mapping of the same address is not entered, and
 * insert says so.
 */
#ifndef ENGINE_VAMAP_H
#define ENGINE_VAMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VAMAP_BITS	 48 /* of a user-space address: 47 on x86-64, 48 on arm64 */
#define VAMAP_ROOT_SHIFT 30
#define VAMAP_ROOT_LG2	 (VAMAP_BITS - VAMAP_ROOT_SHIFT)
#define VAMAP_NODE_LG2	 9

/* An entry: IOVA of its first byte | VAMAP_LEAF, address of a node | VAMAP_NODE, or 0. */
#define VAMAP_LEAF  UINT64_C(1)
#define VAMAP_NODE  UINT64_C(2)
#define VAMAP_FLAGS UINT64_C(3)

struct vamap_node {
	_Atomic uint64_t entry[1 << VAMAP_NODE_LG2];
};

struct vamap {
	_Atomic uint64_t *root; /* 1 << VAMAP_ROOT_LG2 entries, mostly untouched memory */
	uint64_t nodes;
};

/* Return: 0 or -ENOMEM. */
int vamap_init(struct vamap *map);
void vamap_destroy(struct vamap *map);

/* Make the nodes that vamap_insert() of this range will need. Return: 0 or -ENOMEM. */
int vamap_reserve(struct vamap *map, uint64_t va, uint64_t bytes);

/* After vamap_reserve(). Return: were all entries free? Those that were not keep what they hold. */
bool vamap_insert(struct vamap *map, uint64_t va, uint64_t bytes, uint64_t iova);

/* Remove the entries that translate @va to @iova, and so on for all of the range. */
void vamap_remove(struct vamap *map, uint64_t va, uint64_t bytes, uint64_t iova);

/* Bytes of nodes, without the root. */
uint64_t vamap_bytes(const struct vamap *map);

/*
 * Find the translation of @va. Return: the entry's translation and in *run how many bytes from
 * @va on it covers; UINT64_MAX if there is none.
 */
static inline uint64_t vamap_find(const struct vamap *map, uint64_t va, uint64_t *run)
{
	unsigned int shift = VAMAP_ROOT_SHIFT;
	uint64_t entry, offset;

	if (__builtin_expect(va >> VAMAP_BITS != 0, 0))
		return UINT64_MAX;
	entry = atomic_load_explicit(&map->root[va >> shift], memory_order_acquire);
	while (entry & VAMAP_NODE) {
		const struct vamap_node *node =
			(const struct vamap_node *)(uintptr_t)(entry & ~VAMAP_FLAGS);

		shift -= VAMAP_NODE_LG2;
		entry = atomic_load_explicit(
			&node->entry[va >> shift & ((1 << VAMAP_NODE_LG2) - 1)],
			memory_order_acquire);
	}
	if (__builtin_expect(!entry, 0))
		return UINT64_MAX;
	offset = va & ((UINT64_C(1) << shift) - 1);
	*run = (UINT64_C(1) << shift) - offset;
	return (entry & ~VAMAP_FLAGS) + offset;
}

/* Find the translation of a range that is contiguous in IOVA. *bytes: wanted, then found. */
static inline uint64_t vamap_find_run(const struct vamap *map, uint64_t va, uint64_t *bytes)
{
	uint64_t run, done, next;
	uint64_t iova = vamap_find(map, va, &run);

	if (__builtin_expect(iova == UINT64_MAX || run >= *bytes, 1))
		return iova;
	for (done = run; done < *bytes; done += run) {
		next = vamap_find(map, va + done, &run);
		if (next != iova + done)
			break;
	}
	if (done < *bytes)
		*bytes = done;
	return iova;
}

#endif
