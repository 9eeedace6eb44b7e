/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ordered sets of disjoint address ranges: a treap, every node with the length of the longest
 * range below it, so that a fit is found without a walk over all of them.
 *
 * Nodes are the caller's, embedded where there is more to say of a range. Locking: the caller's.
 * Source: Seidel and Aragon, "Randomized Search Trees", Algorithmica 16 (1996).
 */
#ifndef ENGINE_EXTENT_H
#define ENGINE_EXTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent {
	struct extent *child[2];
	uint64_t start;
	uint64_t last;	  /* inclusive */
	uint64_t longest; /* last - start of the longest in this subtree */
	uint32_t priority;
};

struct extents {
	struct extent *root;
	uint32_t seed;
};

#define EXTENTS_INIT               \
	{                          \
		.seed = 2463534242 \
	}

/* @extent has its start and last, and overlaps none in the set. */
void extents_insert(struct extents *set, struct extent *extent);
void extents_remove(struct extents *set, struct extent *extent);

/* The lowest range that ends at @addr or above, or NULL. */
struct extent *extents_from(const struct extents *set, uint64_t addr);

/* The range that holds @addr, or NULL. */
static inline struct extent *extents_find(const struct extents *set, uint64_t addr)
{
	struct extent *extent = extents_from(set, addr);

	return extent && extent->start <= addr ? extent : NULL;
}

/* The lowest range that overlaps [start, last], or NULL. */
static inline struct extent *extents_overlap(const struct extents *set, uint64_t start,
					     uint64_t last)
{
	struct extent *extent = extents_from(set, start);

	return extent && extent->start <= last ? extent : NULL;
}

/*
 * The lowest @bytes with alignment @align (a power of two) inside one range. Return: true and
 * *start.
 */
bool extents_fit(const struct extents *set, uint64_t bytes, uint64_t align, uint64_t *start);

/*
 * The same as a set of plain ranges with nodes of its own, for free space. Return: 0 or -ENOMEM,
 * and nothing has changed.
 */
int extents_add(struct extents *set, uint64_t start, uint64_t last);   /* joins neighbours */
int extents_carve(struct extents *set, uint64_t start, uint64_t last); /* whatever is there */
bool extents_cover(const struct extents *set, uint64_t start, uint64_t last);
void extents_free(struct extents *set);

#endif
