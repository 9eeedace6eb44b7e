/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the page-table builder share: the formats as the specifications describe
 * them, memory for table pages that counts and fails on demand, and a reader of hardware's
 * entries. Nothing of the builder but pt.h is used: entries are composed here.
 *
 * Each test runs once per format: its state is a struct format, and so is fmt. Sizes are the
 * format's: PAGE is its smallest leaf, L1(n) n times what an entry at level 1 covers, L2(n) at
 * level 2: with a granule of 4 KiB, 2 and 1024 MiB. Every address space has 60 times L2 and more.
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

#define BIT(n)	     (UINT64_C(1) << (n))
#define BITS(to, at) (BIT(to) - BIT(at) + BIT(to))

#define PAGE	leaf_size(0)
#define L1(n)	((n)*leaf_size(1))
#define L2(n)	((n)*leaf_size(2))
#define ENTRIES (1U << (fmt->page_lg2 - 3))

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/**
 * struct format - what the specification says, and what pt.h leaves to the format
 * @page_lg2: size of a page and of a table
 * @leaf_levels: leaves can be at level 0 and so many less one above it
 * @present: an entry with any of these is present
 * @table: of an entry that points to a table
 * @table_level: so much more for each level that the entry is above 0
 * @table_mask: tells a table above level 0 from a leaf, and from what is not present
 * @leaf: of every leaf
 * @read, @write, @no_write: of a leaf with the right, or without
 * @page: of a leaf at level 0
 * @large: of a leaf above level 0
 * @address, @oa_shift: (entry & address) << oa_shift is an address
 * @start, @claim: the builder's two bits
 * @stamp_shift: where a stamp begins in an entry that is not present
 * @write_reads: what can be written can be read
 */
struct format {
	const char *name;
	enum ioas_format format;
	unsigned int levels;
	unsigned int address_bits;
	unsigned int page_lg2;
	unsigned int leaf_levels;
	uint64_t present;
	uint64_t table;
	uint64_t table_level;
	uint64_t table_mask;
	uint64_t leaf;
	uint64_t read;
	uint64_t write;
	uint64_t no_write;
	uint64_t page;
	uint64_t large;
	uint64_t address;
	unsigned int oa_shift;
	uint64_t start;
	uint64_t claim;
	unsigned int stamp_shift;
	bool write_reads;
};

/*
 * SDM vol. 3A, tables 4-14 to 4-20; VT-d 9.7. P 0, R/W 1, U/S 2, A 5, D 6, PS 7; bits 9 to 11 are
 * ignored. Addresses are those of the lower canonical half.
 */
#define X86(l, bits)                                                                            \
	.levels = l, .address_bits = bits, .page_lg2 = 12, .leaf_levels = 3, .present = BIT(0), \
	.table = BIT(0) | BIT(1) | BIT(2) | BIT(5), .table_mask = BIT(0) | BIT(7),              \
	.leaf = BIT(0) | BIT(2) | BIT(5) | BIT(6), .write = BIT(1), .large = BIT(7),            \
	.address = BITS(51, 12), .start = BIT(9), .claim = BIT(10), .stamp_shift = 1,           \
	.write_reads = true

/* VT-d 9.8. R 0, W 1, PS 7; bits 52 to 61 are ignored. */
#define SECOND(l, bits)                                                                           \
	.levels = l, .address_bits = bits, .page_lg2 = 12, .leaf_levels = 3,                      \
	.present = BIT(0) | BIT(1), .table = BIT(0) | BIT(1),                                     \
	.table_mask = BIT(0) | BIT(1) | BIT(7), .read = BIT(0), .write = BIT(1), .large = BIT(7), \
	.address = BITS(51, 12), .start = BIT(52), .claim = BIT(53), .stamp_shift = 3

/*
 * DDI 0487, D8.3. Valid 0, table or page 1, AttrIdx 2-4, AP[1] 6, AP[2] (read-only) 7, SH 8-9
 * (inner 0b11), AF 10, nG 11, PXN 53, UXN 54; bits 55 to 58 are ignored. Blocks of the second
 * kind only with the 4 KiB granule.
 */
#define ARM(l, lg2, kinds)                                                                         \
	.levels = l, .address_bits = 48, .page_lg2 = lg2, .leaf_levels = kinds, .present = BIT(0), \
	.table = BIT(0) | BIT(1), .table_mask = BIT(0) | BIT(1),                                   \
	.leaf = BIT(0) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(53) | BIT(54),         \
	.no_write = BIT(7), .page = BIT(1), .address = BITS(47, 12), .start = BIT(55),             \
	.claim = BIT(56), .stamp_shift = 1, .write_reads = true

/*
 * AMD 48882, 2.2.3. PR 0, Next Level 9-11: 0 in a page, in a directory entry the level, from 1 on,
 * of the table it points to; FC 60, IR 61, IW 62; bits 1 to 4 are ignored.
 */
#define AMD(l, bits)                                                                            \
	.levels = l, .address_bits = bits, .page_lg2 = 12, .leaf_levels = 3, .present = BIT(0), \
	.table = BIT(0) | BIT(61) | BIT(62), .table_level = BIT(9),                             \
	.table_mask = BIT(0) | BITS(11, 9), .leaf = BIT(0) | BIT(60), .read = BIT(61),          \
	.write = BIT(62), .address = BITS(51, 12), .start = BIT(1), .claim = BIT(2),            \
	.stamp_shift = 1

/*
 * Privileged ISA, Sv39. V 0, R 1, W 2, X 3, U 4, A 6, D 7, RSW 8-9, PPN 10-53. Addresses are those
 * of the lower canonical half.
 */
#define RISCV(l, bits)                                                                          \
	.levels = l, .address_bits = bits, .page_lg2 = 12, .leaf_levels = 3, .present = BIT(0), \
	.table = BIT(0), .table_mask = BITS(3, 0),                                              \
	.leaf = BIT(0) | BIT(1) | BIT(4) | BIT(6) | BIT(7), .write = BIT(2),                    \
	.address = BITS(53, 10), .oa_shift = 2, .start = BIT(8), .claim = BIT(9),               \
	.stamp_shift = 1, .write_reads = true

static const struct format formats[] = {
	{ .name = "x86_64_l4", .format = IOAS_FORMAT_X86_64_L4, X86(4, 47) },
	{ .name = "x86_64_l5", .format = IOAS_FORMAT_X86_64_L5, X86(5, 56) },
	{ .name = "vtdss_l4", .format = IOAS_FORMAT_VTDSS_L4, SECOND(4, 48) },
	{ .name = "vtdss_l5", .format = IOAS_FORMAT_VTDSS_L5, SECOND(5, 57) },
	{ .name = "arm64_s1_4k", .format = IOAS_FORMAT_ARM64_S1_4K, ARM(4, 12, 3) },
	{ .name = "arm64_s1_16k", .format = IOAS_FORMAT_ARM64_S1_16K, ARM(4, 14, 2) },
	{ .name = "arm64_s1_64k", .format = IOAS_FORMAT_ARM64_S1_64K, ARM(3, 16, 2) },
	{ .name = "amdv1_l4", .format = IOAS_FORMAT_AMDV1_L4, AMD(4, 48) },
	{ .name = "amdv1_l5", .format = IOAS_FORMAT_AMDV1_L5, AMD(5, 57) },
	{ .name = "amdv1_l6", .format = IOAS_FORMAT_AMDV1_L6, AMD(6, 63) },
	{ .name = "riscv_sv39", .format = IOAS_FORMAT_RISCV_SV39, RISCV(3, 38) },
	{ .name = "riscv_sv48", .format = IOAS_FORMAT_RISCV_SV48, RISCV(4, 47) },
	{ .name = "riscv_sv57", .format = IOAS_FORMAT_RISCV_SV57, RISCV(5, 56) },
};

_Static_assert(COUNT(formats) == IOAS_FORMAT_COUNT - 1, "a format has no tests");

/* Of the test that runs. */
static const struct format *fmt;

/* What a device may do that was given @prot. */
static inline uint32_t rights(const struct format *f, uint32_t prot)
{
	return f->write_reads && (prot & IOAS_WRITE) ? IOAS_RW : prot;
}

static inline uint64_t leaf_size(unsigned int level)
{
	return BIT(fmt->page_lg2 + (fmt->page_lg2 - 3) * level);
}

static inline unsigned int index_of(uint64_t iova, unsigned int level)
{
	return iova / leaf_size(level) % ENTRIES;
}

/* First address that is none of the format. */
static inline uint64_t beyond(const struct format *f)
{
	return BIT(f->address_bits);
}

/* An address at which tables at level 2 meet, or where there is one only, its entries. */
static inline uint64_t seam(void)
{
	return fmt->levels > 3 ? leaf_size(3) : L2(32);
}

/* The widest leaf that fits @level: 64 GiB and 4 TiB are no leaves. */
static inline int as_leaf(unsigned int level)
{
	return level < fmt->leaf_levels ? level : fmt->leaf_levels - 1;
}

/* Leaves in @n times what an entry at level 2 covers. */
static inline uint64_t leaves_of_l2(uint64_t n)
{
	return fmt->leaf_levels > 2 ? n : n * ENTRIES;
}

/*
 * Table memory. The address that the walker is told is not the virtual one: bits 45 and 47 are
 * flipped, so that neither can stand in for the other.
 */
#define ADDRESS_DISGUISE (BIT(45) | BIT(47))

struct tables {
	struct pt_mem mem; /* first: it is what the builder hands back */
	/* A page by the address that the walker is told. NULL: it is disguised. */
	void *(*page_at)(const struct tables *t, uint64_t addr);
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
	t->mem.page_lg2 = format->page_lg2 == 12 ? 0 : format->page_lg2;
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

static inline uint64_t address_in(const struct format *f, uint64_t entry)
{
	return (entry & f->address) << f->oa_shift;
}

static inline uint64_t table_entry(const struct format *f, uint64_t addr, unsigned int level)
{
	return f->table + f->table_level * level + (addr >> f->oa_shift);
}

static inline bool is_table(const struct format *f, uint64_t entry, unsigned int level)
{
	return level && (entry & f->table_mask) == (table_entry(f, 0, level) & f->table_mask);
}

/* Hardware's entry at @level on the way to @iova; NULL if hardware does not come so far. */
static inline _Atomic uint64_t *entry_at(const struct tables *t, uint64_t iova, unsigned int level)
{
	uint64_t addr = pt_root(t->pt);

	for (unsigned int at = t->format->levels - 1;; at--) {
		_Atomic uint64_t *entries = t->page_at
						    ? t->page_at(t, addr)
						    : (void *)(uintptr_t)(addr ^ ADDRESS_DISGUISE);
		_Atomic uint64_t *entry = &entries[index_of(iova, at)];
		uint64_t value = atomic_load_explicit(entry, memory_order_acquire);

		if (at == level)
			return entry;
		if (!is_table(t->format, value, at))
			return NULL;
		addr = address_in(t->format, value);
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
	return oa >> f->oa_shift | f->leaf | ((prot & IOAS_READ) ? f->read : 0) |
	       ((prot & IOAS_WRITE) ? f->write : f->no_write) | (level ? f->large : f->page);
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
	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
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

static inline int choose_format(void **state)
{
	fmt = *state;
	return 0;
}

/* Every test over every format that is @wanted; NULL: all are. */
static inline int run_formats(const char *name, const struct CMUnitTest *tests, size_t count,
			      bool (*wanted)(enum ioas_format format))
{
	static struct CMUnitTest all[COUNT(formats) * 32];
	static char names[COUNT(formats) * 32][96];
	size_t n = 0;

	if (count > 32)
		abort();
	for (size_t f = 0; f < COUNT(formats); f++) {
		if (wanted && !wanted(formats[f].format))
			continue;
		for (size_t i = 0; i < count; i++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", formats[f].name,
				 tests[i].name);
			all[n] = tests[i];
			all[n].name = names[n];
			all[n].initial_state = (void *)(uintptr_t)&formats[f];
			all[n].setup_func = choose_format;
		}
	}
	return _cmocka_run_group_tests(name, all, n, NULL, NULL);
}

#define RUN_FORMATS(tests) run_formats(#tests, tests, COUNT(tests), NULL)

#endif
