/* SPDX-License-Identifier: BSD-3-Clause */
#include "vamap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RELAXED memory_order_relaxed
#define RELEASE memory_order_release

#define ROOT_ENTRIES (UINT64_C(1) << VAMAP_ROOT_LG2)
#define NODE_ENTRIES (1 << VAMAP_NODE_LG2)
#define LEAF_SHIFT   (VAMAP_ROOT_SHIFT - 2 * VAMAP_NODE_LG2)

static struct vamap_node *node_of(uint64_t entry)
{
	return (struct vamap_node *)(uintptr_t)(entry & ~VAMAP_FLAGS);
}

int vamap_init(struct vamap *map)
{
	map->nodes = 0;
	map->root = calloc(ROOT_ENTRIES, sizeof(map->root[0]));
	return map->root ? 0 : -ENOMEM;
}

static void free_node(struct vamap_node *node, unsigned int shift)
{
	if (shift > LEAF_SHIFT)
		for (unsigned int i = 0; i < NODE_ENTRIES; i++) {
			uint64_t entry = atomic_load_explicit(&node->entry[i], RELAXED);

			if (entry & VAMAP_NODE)
				free_node(node_of(entry), shift - VAMAP_NODE_LG2);
		}
	free(node);
}

void vamap_destroy(struct vamap *map)
{
	if (!map->root)
		return;
	for (uint64_t i = 0; map->nodes && i < ROOT_ENTRIES; i++) {
		uint64_t entry = atomic_load_explicit(&map->root[i], RELAXED);

		if (entry & VAMAP_NODE)
			free_node(node_of(entry), VAMAP_ROOT_SHIFT - VAMAP_NODE_LG2);
	}
	free(map->root);
	map->root = NULL;
}

uint64_t vamap_bytes(const struct vamap *map)
{
	return map->nodes * sizeof(struct vamap_node);
}

/* What to do at an entry of a range. Return: 0 to go on. */
struct visit {
	struct vamap *map;
	uint64_t iova_of_0; /* IOVA less virtual address */
	int (*leaf)(struct visit *visit, _Atomic uint64_t *entry, uint64_t value);
	int (*missing)(struct visit *visit, _Atomic uint64_t *entry); /* no node to go down to */
	bool complete;
};

/* [va, end) is inside what @entries cover; entry 0 is that of address @base. */
static int walk(struct visit *visit, _Atomic uint64_t *entries, uint64_t base, unsigned int shift,
		uint64_t va, uint64_t end)
{
	const uint64_t size = UINT64_C(1) << shift;
	int ret = 0;

	while (va < end && !ret) {
		uint64_t next = (va & ~(size - 1)) + size;
		_Atomic uint64_t *entry = &entries[(va - base) >> shift];
		uint64_t old = atomic_load_explicit(entry, RELAXED);
		bool whole = !(va & (size - 1)) && next <= end;

		if (next > end)
			next = end;
		if (whole && !(old & VAMAP_NODE)) {
			ret = visit->leaf(visit, entry, (va + visit->iova_of_0) | VAMAP_LEAF);
		} else {
			if (!old) {
				ret = visit->missing(visit, entry);
				old = atomic_load_explicit(entry, RELAXED);
			}
			if (!ret && (old & VAMAP_NODE))
				ret = walk(visit, node_of(old)->entry, va & ~(size - 1),
					   shift - VAMAP_NODE_LG2, va, next);
			else if (old & VAMAP_LEAF)
				visit->complete = false; /* part of another's larger leaf */
		}
		va = next;
	}
	return ret;
}

static int make_node(struct visit *visit, _Atomic uint64_t *entry)
{
	struct vamap_node *node = aligned_alloc(sizeof(*node), sizeof(*node));

	if (!node)
		return -ENOMEM;
	memset(node, 0, sizeof(*node));
	visit->map->nodes++;
	atomic_store_explicit(entry, (uintptr_t)node | VAMAP_NODE, RELEASE);
	return 0;
}

static int no_node(struct visit *visit, _Atomic uint64_t *entry)
{
	(void)visit;
	(void)entry;
	return 0;
}

static int keep_leaf(struct visit *visit, _Atomic uint64_t *entry, uint64_t value)
{
	(void)visit;
	(void)entry;
	(void)value;
	return 0;
}

static int set_leaf(struct visit *visit, _Atomic uint64_t *entry, uint64_t value)
{
	if (atomic_load_explicit(entry, RELAXED))
		visit->complete = false;
	else
		atomic_store_explicit(entry, value, RELEASE);
	return 0;
}

static int clear_leaf(struct visit *visit, _Atomic uint64_t *entry, uint64_t value)
{
	(void)visit;
	if (atomic_load_explicit(entry, RELAXED) == value)
		atomic_store_explicit(entry, 0, RELAXED);
	return 0;
}

int vamap_reserve(struct vamap *map, uint64_t va, uint64_t bytes)
{
	struct visit visit = { .map = map, .leaf = keep_leaf, .missing = make_node };

	return walk(&visit, map->root, 0, VAMAP_ROOT_SHIFT, va, va + bytes);
}

bool vamap_insert(struct vamap *map, uint64_t va, uint64_t bytes, uint64_t iova)
{
	struct visit visit = {
		.map = map,
		.iova_of_0 = iova - va,
		.leaf = set_leaf,
		.missing = make_node,
		.complete = true,
	};

	return !walk(&visit, map->root, 0, VAMAP_ROOT_SHIFT, va, va + bytes) && visit.complete;
}

void vamap_remove(struct vamap *map, uint64_t va, uint64_t bytes, uint64_t iova)
{
	struct visit visit = {
		.map = map,
		.iova_of_0 = iova - va,
		.leaf = clear_leaf,
		.missing = no_node,
	};

	walk(&visit, map->root, 0, VAMAP_ROOT_SHIFT, va, va + bytes);
}
