/* SPDX-License-Identifier: BSD-3-Clause */
#include "vamap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RELAXED memory_order_relaxed
#define RELEASE memory_order_release

#define LEAF_BYTES   (UINT64_C(1) << VAMAP_LEAF_LG2)
#define GIB_BYTES    (UINT64_C(1) << VAMAP_GIB_LG2)
#define LEAVES_BYTES (UINT64_C(8) << (VAMAP_BITS - VAMAP_LEAF_LG2))
#define GIBS_BYTES   (UINT64_C(8) << (VAMAP_BITS - VAMAP_GIB_LG2))
#define TABLE_BYTES  (LEAVES_BYTES + GIBS_BYTES)
#define CHUNK_BYTES  (UINT64_C(1) << VAMAP_CHUNK_LG2)
#define CHUNK_LEAVES (CHUNK_BYTES / 8)
#define SLAB_FIRST   (256 << 10)
#define SLAB_BYTES   (2 << 20)
#define PAGE_BYTES   4096

/* Nodes are never freed one by one. */
struct vamap_slab {
	struct vamap_slab *next;
	void *mapped;
	size_t mapped_bytes;
	size_t bytes; /* of the slab */
	char room[] __attribute__((aligned(64)));
};

/*
 * No memory is charged for what cannot be written to, whatever the kernel's policy of overcommit;
 * and reading it finds the zero page. A program that locks its memory has not locked this.
 */
static int map_table(void **table)
{
	*table = mmap(NULL, TABLE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		      0);
	if (*table == MAP_FAILED)
		return -ENOMEM;
	munlock(*table, TABLE_BYTES);
	madvise(*table, TABLE_BYTES, MADV_NOHUGEPAGE);
	if (!mprotect(*table, TABLE_BYTES, PROT_READ) &&
	    !mprotect((char *)*table + LEAVES_BYTES, GIBS_BYTES, PROT_READ | PROT_WRITE))
		return 0;
	munmap(*table, TABLE_BYTES);
	return -ENOMEM;
}

int vamap_init(struct vamap *map, uint64_t step)
{
	void *table;

	memset(map, 0, sizeof(*map));
	if (map_table(&table))
		return -ENOMEM;
	map->leaves = table;
	map->gibs = map->leaves + LEAVES_BYTES / sizeof(map->leaves[0]);
	map->step = step;
	return 0;
}

void vamap_destroy(struct vamap *map)
{
	if (!map->leaves)
		return;
	munmap(map->leaves, TABLE_BYTES);
	map->leaves = NULL;
	while (map->slabs) {
		struct vamap_slab *slab = map->slabs;

		map->slabs = slab->next;
		munmap(slab->mapped, slab->mapped_bytes);
	}
}

static uint64_t resident(const void *start, uint64_t bytes)
{
	unsigned char pages[1024];
	uint64_t sum = 0;

	for (uint64_t at = 0; at < bytes; at += sizeof(pages) * PAGE_BYTES) {
		uint64_t count = (bytes - at) / PAGE_BYTES;

		if (count > sizeof(pages))
			count = sizeof(pages);
		if (mincore((char *)(uintptr_t)start + at, count * PAGE_BYTES, pages))
			continue;
		for (uint64_t i = 0; i < count; i++)
			sum += (pages[i] & 1) * PAGE_BYTES;
	}
	return sum;
}

static bool is_writable(const struct vamap *map, uint64_t chunk)
{
	return map->writable[chunk / 64] >> chunk % 64 & 1;
}

uint64_t vamap_bytes(const struct vamap *map)
{
	uint64_t sum = map->node_bytes + resident(map->gibs, GIBS_BYTES);

	for (uint64_t chunk = 0; chunk < LEAVES_BYTES / CHUNK_BYTES; chunk++)
		if (is_writable(map, chunk))
			sum += resident(map->leaves + chunk * CHUNK_LEAVES, CHUNK_BYTES);
	return sum;
}

/* Reserving. */

static int make_writable(struct vamap *map, uint64_t first, uint64_t last)
{
	for (uint64_t chunk = first / CHUNK_LEAVES; chunk <= last / CHUNK_LEAVES; chunk++) {
		if (is_writable(map, chunk))
			continue;
		if (mprotect(map->leaves + chunk * CHUNK_LEAVES, CHUNK_BYTES,
			     PROT_READ | PROT_WRITE))
			return -ENOMEM;
		map->writable[chunk / 64] |= UINT64_C(1) << chunk % 64;
	}
	return 0;
}

/*
 * A small one first; then huge pages, where there are any, because many nodes that are looked up at
 * random are more pages than the processor remembers. What is left over by their alignment is
 * addresses only: nothing is unmapped here, nor malloc() called, see the caller's locks (regcache).
 */
static struct vamap_slab *slab_new(const struct vamap *map)
{
	const size_t bytes = map->slabs ? SLAB_BYTES : SLAB_FIRST;
	const size_t mapped_bytes = map->slabs ? 2 * SLAB_BYTES : SLAB_FIRST;
	struct vamap_slab *slab;
	void *mapped = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mapped == MAP_FAILED)
		return NULL;
	slab = mapped;
	if (map->slabs) {
		slab = (void *)(((uintptr_t)mapped + bytes - 1) & ~(uintptr_t)(bytes - 1));
		madvise(slab, bytes, MADV_HUGEPAGE);
	}
	slab->next = map->slabs;
	slab->mapped = mapped;
	slab->mapped_bytes = mapped_bytes;
	slab->bytes = bytes;
	return slab;
}

/* A node of zeroes. */
static _Atomic uint64_t *node_alloc(struct vamap *map, size_t bytes)
{
	struct vamap_slab *slab = map->slabs;

	if (!slab || map->slab_used + bytes > slab->bytes - sizeof(*slab)) {
		slab = slab_new(map);
		if (!slab)
			return NULL;
		map->slabs = slab;
		map->slab_used = 0;
	}
	map->slab_used += bytes;
	map->node_bytes += bytes;
	return (_Atomic uint64_t *)(void *)(slab->room + map->slab_used - bytes);
}

static _Atomic uint64_t *node_of(uint64_t entry)
{
	return (_Atomic uint64_t *)(uintptr_t)(entry & ~VAMAP_FLAGS);
}

static unsigned int node_lg2(uint64_t entry)
{
	return VAMAP_PAGE_LG2 + ((entry & VAMAP_FLAGS) >> VAMAP_SHIFT);
}

/* What the same entry holds @bytes further on. */
static uint64_t further(const struct vamap *map, uint64_t value, uint64_t bytes)
{
	return value ? value + bytes * map->step : 0;
}

/* Link a node of entries of 1 << @lg2 under @leaf, with what is there already. */
static int make_node(struct vamap *map, _Atomic uint64_t *leaf, unsigned int lg2)
{
	const unsigned int count = 1U << (VAMAP_LEAF_LG2 - lg2);
	uint64_t old = atomic_load_explicit(leaf, RELAXED);
	_Atomic uint64_t *node = node_alloc(map, count * sizeof(node[0]));

	if (!node)
		return -ENOMEM;
	for (unsigned int i = 0; old && i < count; i++) {
		const uint64_t offset = (uint64_t)i << lg2;
		const uint64_t inside = offset & ((UINT64_C(1) << node_lg2(old)) - 1);
		uint64_t value =
			atomic_load_explicit(&node_of(old)[offset >> node_lg2(old)], RELAXED);

		atomic_store_explicit(&node[i], further(map, value, inside), RELAXED);
	}
	atomic_store_explicit(leaf,
			      (uintptr_t)node | VAMAP_NODE |
				      (uint64_t)(lg2 - VAMAP_PAGE_LG2) << VAMAP_SHIFT,
			      RELEASE);
	return 0;
}

/* [addr, end) is part of the leaf at @leaf: a node that is fine enough for it. */
static int reserve_part(struct vamap *map, _Atomic uint64_t *leaf, uint64_t addr, uint64_t end)
{
	const uint64_t mask = (UINT64_C(1) << VAMAP_NODE_LG2) - 1;
	const unsigned int lg2 = (addr | end) & mask ? VAMAP_PAGE_LG2 : VAMAP_NODE_LG2;
	uint64_t old = atomic_load_explicit(leaf, RELAXED);

	/* One that is a leaf belongs to another mapping, and stays. */
	if ((old & VAMAP_LEAF) || (old && node_lg2(old) <= lg2))
		return 0;
	return make_node(map, leaf, lg2);
}

/*
 * A range in pieces: whole GiBs without anything below, leaves, parts of leaves. Which it is does
 * not change between vamap_reserve() and vamap_insert(), or between that and vamap_remove().
 */
enum piece_kind {
	PIECE_GIB,
	PIECE_LEAF,
	PIECE_PART,
};

struct piece {
	enum piece_kind kind;
	uint64_t addr;
	uint64_t end;
	_Atomic uint64_t *gib;
	_Atomic uint64_t *leaf;
};

/* The piece that begins at @addr, of a range up to @end. */
static struct piece piece_at(const struct vamap *map, uint64_t addr, uint64_t end)
{
	struct piece piece = {
		.addr = addr,
		.gib = &map->gibs[addr >> VAMAP_GIB_LG2],
		.leaf = &map->leaves[addr >> VAMAP_LEAF_LG2],
	};

	if (!(addr & (GIB_BYTES - 1)) && end - addr >= GIB_BYTES &&
	    !(atomic_load_explicit(piece.gib, RELAXED) & VAMAP_NODE)) {
		piece.kind = PIECE_GIB;
		piece.end = addr + GIB_BYTES;
		return piece;
	}
	piece.end = (addr & ~(LEAF_BYTES - 1)) + LEAF_BYTES;
	if (piece.end > end)
		piece.end = end;
	piece.kind = piece.end - addr == LEAF_BYTES ? PIECE_LEAF : PIECE_PART;
	return piece;
}

int vamap_reserve(struct vamap *map, uint64_t addr, uint64_t bytes)
{
	const uint64_t end = addr + bytes;
	struct piece piece;
	int ret = 0;

	for (; !ret && addr < end; addr = piece.end) {
		uint64_t gib;

		piece = piece_at(map, addr, end);
		gib = atomic_load_explicit(piece.gib, RELAXED);
		if (piece.kind == PIECE_GIB || (gib & VAMAP_LEAF))
			continue;
		if (!gib)
			atomic_store_explicit(piece.gib, VAMAP_NODE, RELAXED);
		ret = make_writable(map, addr >> VAMAP_LEAF_LG2, addr >> VAMAP_LEAF_LG2);
		if (!ret && piece.kind == PIECE_PART)
			ret = reserve_part(map, piece.leaf, addr, piece.end);
	}
	return ret;
}

/* Inserting and removing. */

/* From @old to @new where that is what an entry holds. Return: was it? */
static bool change(_Atomic uint64_t *entry, uint64_t old, uint64_t new)
{
	if (atomic_load_explicit(entry, RELAXED) != old)
		return false;
	atomic_store_explicit(entry, new, RELEASE);
	return true;
}

static bool set_or_clear(_Atomic uint64_t *entry, uint64_t value, bool set)
{
	return set ? change(entry, 0, value | VAMAP_LEAF) : change(entry, value | VAMAP_LEAF, 0);
}

/* In the node under a leaf. */
static bool change_part(struct vamap *map, const struct piece *piece, uint64_t value, bool set)
{
	const uint64_t entry = atomic_load_explicit(piece->leaf, RELAXED);
	const unsigned int lg2 = node_lg2(entry);
	const uint64_t mask = LEAF_BYTES - 1;
	bool all = true;

	for (uint64_t addr = piece->addr; addr < piece->end; addr += UINT64_C(1) << lg2)
		all &= set_or_clear(&node_of(entry)[(addr & mask) >> lg2],
				    value + (addr - piece->addr) * map->step, set);
	return all;
}

static bool change_piece(struct vamap *map, const struct piece *piece, uint64_t value, bool set)
{
	const uint64_t gib = atomic_load_explicit(piece->gib, RELAXED);
	uint64_t leaf;

	if (piece->kind == PIECE_GIB)
		return set_or_clear(piece->gib, value, set);
	if (!(gib & VAMAP_NODE)) /* part of another's GiB */
		return false;
	leaf = atomic_load_explicit(piece->leaf, RELAXED);
	if (leaf & VAMAP_NODE)
		return change_part(map, piece, value, set);
	return piece->kind == PIECE_LEAF && set_or_clear(piece->leaf, value, set);
}

static bool change_range(struct vamap *map, uint64_t addr, uint64_t bytes, uint64_t value, bool set)
{
	const uint64_t start = addr, end = addr + bytes;
	struct piece piece;
	bool all = true;

	for (; addr < end; addr = piece.end) {
		piece = piece_at(map, addr, end);
		all &= change_piece(map, &piece, value + (addr - start) * map->step, set);
	}
	return all;
}

bool vamap_insert(struct vamap *map, uint64_t addr, uint64_t bytes, uint64_t value)
{
	/* What was another's when nodes were reserved may be free now, and have none. */
	return !vamap_reserve(map, addr, bytes) && change_range(map, addr, bytes, value, true);
}

void vamap_remove(struct vamap *map, uint64_t addr, uint64_t bytes, uint64_t value)
{
	change_range(map, addr, bytes, value, false);
}

/* Finding. */

/* The entry at @addr, which may be empty, and how far it reaches. */
static uint64_t entry_around(const struct vamap *map, uint64_t addr, unsigned int *lg2)
{
	const uint64_t gib = atomic_load_explicit(&map->gibs[addr >> VAMAP_GIB_LG2], RELAXED);
	uint64_t leaf;

	*lg2 = VAMAP_GIB_LG2;
	if (!(gib & VAMAP_NODE))
		return gib;
	*lg2 = VAMAP_LEAF_LG2;
	leaf = atomic_load_explicit(&map->leaves[addr >> VAMAP_LEAF_LG2], RELAXED);
	if (!leaf || (leaf & VAMAP_LEAF))
		return leaf;
	*lg2 = node_lg2(leaf);
	return atomic_load_explicit(&node_of(leaf)[(addr & (LEAF_BYTES - 1)) >> *lg2], RELAXED);
}

uint64_t vamap_next(const struct vamap *map, uint64_t *addr, uint64_t last)
{
	while (*addr <= last && *addr >> VAMAP_BITS == 0) {
		unsigned int lg2;
		const uint64_t entry = entry_around(map, *addr, &lg2);
		const uint64_t mask = (UINT64_C(1) << lg2) - 1;

		if (entry)
			return entry - VAMAP_LEAF + (*addr & mask) * map->step;
		*addr = (*addr | mask) + 1;
	}
	return VAMAP_NONE;
}

uint64_t vamap_extend_run(const struct vamap *map, uint64_t addr, uint64_t found, uint64_t run,
			  uint64_t bytes)
{
	uint64_t done, next;

	for (done = run; done < bytes; done += run) {
		next = vamap_find(map, addr + done, &run);
		if (next != found + done)
			break;
	}
	return done < bytes ? done : bytes;
}
