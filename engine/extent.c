/* SPDX-License-Identifier: BSD-3-Clause */
#include "extent.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

static void update(struct extent *node)
{
	uint64_t longest = node->last - node->start;

	for (unsigned int side = 0; side < 2; side++)
		if (node->child[side] && node->child[side]->longest > longest)
			longest = node->child[side]->longest;
	node->longest = longest;
}

/* Ranges below @addr to *low, the others to *high. None straddles it. */
static void split(struct extent *node, uint64_t addr, struct extent **low, struct extent **high)
{
	if (!node) {
		*low = *high = NULL;
	} else if (node->start < addr) {
		split(node->child[1], addr, &node->child[1], high);
		*low = node;
		update(node);
	} else {
		split(node->child[0], addr, low, &node->child[0]);
		*high = node;
		update(node);
	}
}

static struct extent *join(struct extent *low, struct extent *high)
{
	if (!low || !high)
		return low ? low : high;
	if (low->priority > high->priority) {
		low->child[1] = join(low->child[1], high);
		update(low);
		return low;
	}
	high->child[0] = join(low, high->child[0]);
	update(high);
	return high;
}

static uint32_t next_priority(struct extents *set)
{
	/* xorshift32 */
	set->seed ^= set->seed << 13;
	set->seed ^= set->seed >> 17;
	set->seed ^= set->seed << 5;
	return set->seed;
}

void extents_insert(struct extents *set, struct extent *extent)
{
	struct extent *low, *high;

	extent->child[0] = extent->child[1] = NULL;
	extent->priority = next_priority(set);
	update(extent);
	split(set->root, extent->start, &low, &high);
	set->root = join(join(low, extent), high);
}

static struct extent *without(struct extent *node, const struct extent *extent)
{
	unsigned int side;

	if (node == extent)
		return join(node->child[0], node->child[1]);
	side = extent->start > node->start;
	node->child[side] = without(node->child[side], extent);
	update(node);
	return node;
}

void extents_remove(struct extents *set, struct extent *extent)
{
	set->root = without(set->root, extent);
}

struct extent *extents_from(const struct extents *set, uint64_t addr)
{
	struct extent *found = NULL;

	for (struct extent *node = set->root; node;) {
		if (node->last >= addr) {
			found = node;
			node = node->child[0];
		} else {
			node = node->child[1];
		}
	}
	return found;
}

static bool fit(const struct extent *node, uint64_t bytes, uint64_t align, uint64_t *start)
{
	uint64_t at;

	if (!node || node->longest < bytes - 1)
		return false;
	if (fit(node->child[0], bytes, align, start))
		return true;
	at = (node->start + align - 1) & ~(align - 1);
	if (at >= node->start && at <= node->last && node->last - at >= bytes - 1) {
		*start = at;
		return true;
	}
	return fit(node->child[1], bytes, align, start);
}

bool extents_fit(const struct extents *set, uint64_t bytes, uint64_t align, uint64_t *start)
{
	return fit(set->root, bytes, align, start);
}

/* Plain ranges. */

int extents_add(struct extents *set, uint64_t start, uint64_t last)
{
	struct extent *low = start ? extents_find(set, start - 1) : NULL;
	struct extent *high = last < UINT64_MAX ? extents_find(set, last + 1) : NULL;
	struct extent *node = low ? low : high;

	if (low) {
		extents_remove(set, low);
		start = low->start;
	}
	if (high) {
		extents_remove(set, high);
		last = high->last;
		if (low)
			free(high);
	}
	if (!node) {
		node = malloc(sizeof(*node));
		if (!node)
			return -ENOMEM;
	}
	node->start = start;
	node->last = last;
	extents_insert(set, node);
	return 0;
}

int extents_carve(struct extents *set, uint64_t start, uint64_t last)
{
	/* Only a range with something left on both sides needs a node more. */
	struct extent *node = extents_overlap(set, start, last);
	struct extent *rest = NULL;

	if (node && node->start < start && node->last > last) {
		rest = malloc(sizeof(*rest));
		if (!rest)
			return -ENOMEM;
	}
	for (; node; node = extents_overlap(set, start, last)) {
		uint64_t old_last = node->last;

		extents_remove(set, node);
		if (node->start < start) {
			node->last = start - 1;
			extents_insert(set, node);
			node = NULL;
		}
		if (old_last > last) {
			struct extent *right = node ? node : rest;

			right->start = last + 1;
			right->last = old_last;
			extents_insert(set, right);
			node = NULL;
		}
		free(node);
	}
	return 0;
}

bool extents_cover(const struct extents *set, uint64_t start, uint64_t last)
{
	const struct extent *node = extents_find(set, start);

	/* Neighbours are always joined, so one has to do. */
	return node && node->last >= last;
}

static void free_all(struct extent *node)
{
	if (!node)
		return;
	free_all(node->child[0]);
	free_all(node->child[1]);
	free(node);
}

void extents_free(struct extents *set)
{
	free_all(set->root);
	set->root = NULL;
}
