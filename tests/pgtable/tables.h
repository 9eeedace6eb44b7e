/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the page-table builder share: the formats as the specifications describe
 * them, memory for table pages that counts and fails on demand, and a reader of hardware's
 * entries. Nothing of the builder but pt.h is used: entries are composed here.
 *
 * Each test runs once per format: its state is a struct format.
 */
#ifndef TESTS_PGTABLE_TABLES_H
#define TESTS_PGTABLE_TABLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>

#include "../../engine/pgtable/pt.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define PAGE   UINT64_C(4096)
#define BIT(n) (UINT64_C(1) << (n))

/* Bits 12 to 51 of an entry, in each format. */
#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/**
 * struct format - what the specification says, and what pt.h leaves to the format
 * @present: an entry with any of these is present
 * @table: of an entry that points to a table
 * @leaf: of every leaf
 * @read, @write: of a leaf with the right
 * @large: of a leaf above level 0
 * @start, @claim: the builder's two bits
 * @stamp_shift: where a stamp begins in an entry that is not present
 * @write_reads: what can be written can be read
 */
struct format {
	const char *name;
	enum ioas_format format;
	unsigned int levels;
	unsigned int address_bits;
	uint64_t present;
	uint64_t table;
	uint64_t leaf;
	uint64_t read;
	uint64_t write;
	uint64_t large;
	uint64_t start;
	uint64_t claim;
	unsigned int stamp_shift;
	bool write_reads;
};

/*
 * x86-64: SDM vol. 3A, tables 4-14 to 4-20; VT-d 9.7. P 0, R/W 1, U/S 2, A 5, D 6, PS 7; bits 9
 * to 11 are ignored. Addresses are those of the lower canonical half.
 * Second stage: VT-d 9.8. R 0, W 1, PS 7; bits 52 to 61 are ignored.
 */
static const struct format formats[] = {
	{
		.name = "x86_64_l4",
		.format = IOAS_FORMAT_X86_64_L4,
		.levels = 4,
		.address_bits = 47,
		.present = BIT(0),
		.table = BIT(0) | BIT(1) | BIT(2) | BIT(5),
		.leaf = BIT(0) | BIT(2) | BIT(5) | BIT(6),
		.write = BIT(1),
		.large = BIT(7),
		.start = BIT(9),
		.claim = BIT(10),
		.stamp_shift = 1,
		.write_reads = true,
	},
	{
		.name = "x86_64_l5",
		.format = IOAS_FORMAT_X86_64_L5,
		.levels = 5,
		.address_bits = 56,
		.present = BIT(0),
		.table = BIT(0) | BIT(1) | BIT(2) | BIT(5),
		.leaf = BIT(0) | BIT(2) | BIT(5) | BIT(6),
		.write = BIT(1),
		.large = BIT(7),
		.start = BIT(9),
		.claim = BIT(10),
		.stamp_shift = 1,
		.write_reads = true,
	},
	{
		.name = "vtdss_l4",
		.format = IOAS_FORMAT_VTDSS_L4,
		.levels = 4,
		.address_bits = 48,
		.present = BIT(0) | BIT(1),
		.table = BIT(0) | BIT(1),
		.read = BIT(0),
		.write = BIT(1),
		.large = BIT(7),
		.start = BIT(52),
		.claim = BIT(53),
		.stamp_shift = 3,
	},
};

_Static_assert(COUNT(formats) <= IOAS_FORMAT_COUNT - 1, "each format once");

/* What a device may do that was given @prot. */
static inline uint32_t rights(const struct format *f, uint32_t prot)
{
	return f->write_reads && (prot & IOAS_WRITE) ? IOAS_RW : prot;
}

static inline uint64_t leaf_size(unsigned int level)
{
	return PAGE << (9 * level);
}

static inline unsigned int index_of(uint64_t iova, unsigned int level)
{
	return iova >> (12 + 9 * level) & 511;
}

/* First address that is none of the format. */
static inline uint64_t beyond(const struct format *f)
{
	return BIT(f->address_bits);
}

/*
 * Table memory. The address that the walker is told is not the virtual one: bits 48 and 50 are
 * flipped, so that neither can stand in for the other.
 */
#define ADDRESS_DISGUISE (BIT(48) | BIT(50))

struct tables {
	struct pt_mem mem; /* first: it is what the builder hands back */
	const struct format *format;
	struct pt *pt;
	_Atomic int64_t live;
	_Atomic int64_t allocated;
	int64_t fail_at; /* this allocation, counted from 1, fails; 0: none */
};

static inline void *tables_alloc(struct pt_mem *mem, uint64_t *addr)
{
	struct tables *t = (struct tables *)mem;
	void *page;

	if (atomic_fetch_add(&t->allocated, 1) + 1 == t->fail_at)
		return NULL;
	page = aligned_alloc(PAGE, PAGE);
	if (!page)
		abort();
	memset(page, 0, PAGE);
	*addr = (uint64_t)(uintptr_t)page ^ ADDRESS_DISGUISE;
	atomic_fetch_add(&t->live, 1);
	return page;
}

static inline void tables_free(struct pt_mem *mem, void *page, uint64_t addr)
{
	struct tables *t = (struct tables *)mem;

	if (addr != ((uint64_t)(uintptr_t)page ^ ADDRESS_DISGUISE))
		abort();
	atomic_fetch_sub(&t->live, 1);
	free(page);
}

static inline void tables_start(struct tables *t, const struct format *format)
{
	memset(t, 0, sizeof(*t));
	t->mem.alloc = tables_alloc;
	t->mem.free = tables_free;
	t->format = format;
	assert_int_equal(pt_create(format->format, &t->mem, &t->pt), 0);
	assert_int_equal(t->live, 1);
}

static inline void tables_check(struct tables *t)
{
	assert_int_equal(pt_table_bytes(t->pt), (uint64_t)t->live * PAGE);
}

static inline void tables_stop(struct tables *t)
{
	tables_check(t);
	pt_destroy(t->pt);
	assert_int_equal(t->live, 0);
}

/* Hardware's entry at @level on the way to @iova; NULL if hardware does not come so far. */
static inline _Atomic uint64_t *entry_at(const struct tables *t, uint64_t iova, unsigned int level)
{
	uint64_t addr = pt_root(t->pt);

	for (unsigned int at = t->format->levels - 1;; at--) {
		_Atomic uint64_t *entries =
			(_Atomic uint64_t *)(uintptr_t)(addr ^ ADDRESS_DISGUISE);
		_Atomic uint64_t *entry = &entries[index_of(iova, at)];
		uint64_t value = atomic_load_explicit(entry, memory_order_acquire);

		if (at == level)
			return entry;
		if (!(value & t->format->present) || (value & t->format->large))
			return NULL;
		addr = value & ENTRY_ADDRESS;
	}
}

static inline uint64_t entry_value(const struct tables *t, uint64_t iova, unsigned int level)
{
	_Atomic uint64_t *entry = entry_at(t, iova, level);

	assert_non_null(entry);
	return atomic_load_explicit(entry, memory_order_acquire);
}

/* The leaf as the specification has it, without the builder's bits. */
static inline uint64_t leaf_entry(const struct format *f, uint64_t oa, uint32_t prot,
				  unsigned int level)
{
	return oa | f->leaf | ((prot & IOAS_READ) ? f->read : 0) |
	       ((prot & IOAS_WRITE) ? f->write : 0) | (level ? f->large : 0);
}

static inline int map(struct tables *t, uint64_t iova, uint64_t bytes, uint64_t oa, uint32_t prot)
{
	struct pt_map_args args = { .oa = oa, .prot = prot };

	return pt_map(t->pt, NULL, iova, bytes, &args, 0);
}

static inline int unmap(struct tables *t, uint64_t iova, uint64_t bytes)
{
	return pt_unmap(t->pt, NULL, iova, bytes, 0);
}

/* Level of the leaf that translates @iova, to @oa with the rights for @prot; -1 none does. */
static inline int level_at(struct tables *t, uint64_t iova, uint64_t oa, uint32_t prot)
{
	uint64_t found, bytes;
	uint32_t found_prot;
	int ret = pt_lookup(t->pt, iova, &found, &found_prot, &bytes);

	if (ret) {
		assert_int_equal(ret, -ENOENT);
		return -1;
	}
	assert_int_equal(found, oa);
	assert_int_equal(found_prot, rights(t->format, prot));
	for (int level = 0; level < 3; level++)
		if (bytes == leaf_size(level))
			return level;
	fail_msg("leaf of %" PRIu64 " bytes", bytes);
	return -1;
}

static inline bool absent(struct tables *t, uint64_t iova)
{
	return level_at(t, iova, 0, 0) == -1;
}

/* Leaves in the whole address space. */
static inline bool count_leaf(void *arg, uint64_t iova, uint64_t oa, uint64_t leaf_bytes)
{
	(void)iova;
	(void)oa;
	(void)leaf_bytes;
	++*(uint64_t *)arg;
	return true;
}

static inline uint64_t leaves(const struct tables *t)
{
	uint64_t count = 0;

	assert_true(pt_each(t->pt, 0, beyond(t->format) - 1, count_leaf, &count));
	return count;
}

/* xorshift64*: the same numbers on every machine. */
struct dice {
	uint64_t state;
};

static inline uint64_t roll(struct dice *dice, uint64_t sides)
{
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return (dice->state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % sides;
}

/* Every test over every format. */
static inline int run_formats(const char *name, const struct CMUnitTest *tests, size_t count)
{
	static struct CMUnitTest all[COUNT(formats) * 32];
	static char names[COUNT(formats) * 32][96];
	size_t n = 0;

	if (count > 32)
		abort();
	for (size_t f = 0; f < COUNT(formats); f++)
		for (size_t i = 0; i < count; i++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", formats[f].name,
				 tests[i].name);
			all[n] = tests[i];
			all[n].name = names[n];
			all[n].initial_state = (void *)(uintptr_t)&formats[f];
		}
	return _cmocka_run_group_tests(name, all, n, NULL, NULL);
}

#define RUN_FORMATS(tests) run_formats(#tests, tests, COUNT(tests))

#endif
