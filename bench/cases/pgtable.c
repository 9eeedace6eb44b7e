/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page-table builder by itself, in every format: entries written and cleared through a warm
 * cursor, without addresses to look up, IOVA to choose or an invalidation.
 *
 * Entries have to be empty before they are mapped and mapped before they are cleared. They are
 * made so with plain memory copies into the table, which are timed as well; a floor does the same
 * copies and writes the entries with plain stores.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "pgtable/pt.h"

#define RUN	  256
#define RUN_BYTES (RUN * sizeof(uint64_t))
#define BASE	  (UINT64_C(1) << 37) /* in every address width, aligned for every leaf measured */
#define OA	  (UINT64_C(1) << 45)
#define TABLES	  8

enum { ARG_FORMAT, ARG_LEVEL, ARG_RUN };

struct builder {
	struct pt_mem mem; /* first: it is what the builder hands back */
	struct pt *pt;
	struct pt_cursor cursor;
	uint64_t leaf; /* bytes */
	void *tables[TABLES];
	unsigned int table_count;
	uint64_t *entries;   /* of the RUN leaves at BASE, where hardware reads them */
	uint64_t image[RUN]; /* their values when all are mapped */
};

static void *table_alloc(struct pt_mem *mem, uint64_t *addr)
{
	struct builder *b = (struct builder *)mem;
	size_t bytes = (size_t)1 << mem->page_lg2;
	void *table = b->table_count < TABLES ? aligned_alloc(bytes, bytes) : NULL;

	if (!table)
		return NULL;
	memset(table, 0, bytes);
	b->tables[b->table_count++] = table;
	*addr = (uintptr_t)table;
	return table;
}

static void table_free(struct pt_mem *mem, void *table, uint64_t addr)
{
	(void)mem;
	(void)addr;
	free(table);
}

static inline int map(struct builder *b, unsigned int first, unsigned int count)
{
	struct pt_map_args args = { .oa = OA + first * b->leaf, .prot = IOAS_RW };

	return pt_map(b->pt, &b->cursor, BASE + first * b->leaf, count * b->leaf, &args, 0);
}

static inline int unmap(struct builder *b, unsigned int first, unsigned int count)
{
	return pt_unmap(b->pt, &b->cursor, BASE + first * b->leaf, count * b->leaf, 0);
}

static void thread_teardown(struct bench_thread *t)
{
	struct builder *b = t->local;

	if (b && b->pt)
		pt_destroy(b->pt);
	free(b);
}

static int create(struct builder *b, enum ioas_format format)
{
	/* Whatever its pages are. */
	for (b->mem.page_lg2 = 12; b->mem.page_lg2 <= 16; b->mem.page_lg2 += 2)
		if (!pt_create(format, &b->mem, &b->pt))
			return 0;
	return -1;
}

static int thread_setup(struct bench_thread *t)
{
	struct builder *b = calloc(1, sizeof(*b));
	const unsigned int step = t->spec->args[ARG_RUN];
	unsigned int page_lg2;

	t->local = b;
	if (!b)
		return bench_fail(t, "no memory");
	b->mem.alloc = table_alloc;
	b->mem.free = table_free;
	b->cursor = (struct pt_cursor)PT_CURSOR_INIT;
	if (create(b, t->spec->args[ARG_FORMAT]))
		return bench_fail(t, "no such format");
	page_lg2 = pt_page_lg2(b->pt);
	b->leaf = UINT64_C(1) << (page_lg2 + t->spec->args[ARG_LEVEL] * (page_lg2 - 3));
	for (unsigned int i = 0; i < RUN; i += step)
		if (map(b, i, step))
			return bench_fail(t, "pt_map failed");
	/* The tables on the way have come one after the other. */
	b->entries = b->tables[b->table_count - 1];
	b->entries += BASE / b->leaf % ((UINT64_C(1) << page_lg2) / sizeof(uint64_t));
	memcpy(b->image, b->entries, RUN_BYTES);
	for (unsigned int i = 0; i < RUN; i += step)
		if (unmap(b, i, step))
			return bench_fail(t, "pt_unmap failed");
	for (unsigned int i = 0; i < RUN; i++)
		if (!b->image[i] || b->entries[i])
			return bench_fail(t, "an entry is not where it was expected");
	return 0;
}

static int run_map(struct bench_thread *t, uint64_t iterations)
{
	const unsigned int step = t->spec->args[ARG_RUN];
	struct builder *b = t->local;
	unsigned int at = 0;

	for (uint64_t i = 0; i < iterations; i++, at = (at + step) % RUN) {
		if (!at)
			memset(b->entries, 0, RUN_BYTES);
		if (map(b, at, step))
			return bench_fail(t, "pt_map failed");
	}
	return 0;
}

static int run_unmap(struct bench_thread *t, uint64_t iterations)
{
	const unsigned int step = t->spec->args[ARG_RUN];
	struct builder *b = t->local;
	unsigned int at = 0;

	for (uint64_t i = 0; i < iterations; i++, at = (at + step) % RUN) {
		if (!at)
			memcpy(b->entries, b->image, RUN_BYTES);
		if (unmap(b, at, step))
			return bench_fail(t, "pt_unmap failed");
	}
	return 0;
}

/* What was mapped translates, with its own leaf; what was cleared does not. */
static int check_leaf(struct bench_thread *t, struct builder *b, unsigned int i, bool mapped)
{
	uint64_t oa = 0, bytes = 0;
	int ret = pt_lookup(b->pt, BASE + i * b->leaf + 5, &oa, NULL, &bytes);

	if (mapped == !ret && (ret || (oa == OA + i * b->leaf + 5 && bytes == b->leaf)))
		return 0;
	return bench_fail(t, "leaf %u is not %s", i, mapped ? "mapped" : "absent");
}

static int check_map(struct bench_thread *t)
{
	const unsigned int step = t->spec->args[ARG_RUN];
	struct builder *b = t->local;

	memset(b->entries, 0, RUN_BYTES);
	for (unsigned int i = 0; i < RUN; i += step)
		if (map(b, i, step))
			return bench_fail(t, "pt_map failed");
	if (memcmp(b->entries, b->image, RUN_BYTES))
		return bench_fail(t, "entries are others than the first time");
	for (unsigned int i = 0; i < RUN; i++)
		if (check_leaf(t, b, i, true))
			return -1;
	return 0;
}

static int check_unmap(struct bench_thread *t)
{
	const unsigned int step = t->spec->args[ARG_RUN];
	struct builder *b = t->local;

	memcpy(b->entries, b->image, RUN_BYTES);
	for (unsigned int i = 0; i < RUN; i += step)
		if (unmap(b, i, step))
			return bench_fail(t, "pt_unmap failed");
	for (unsigned int i = 0; i < RUN; i++)
		if (b->entries[i] || check_leaf(t, b, i, false))
			return bench_fail(t, "leaf %u is still there", i);
	return 0;
}

/* Floors. */

static int floor_setup(struct bench_thread *t)
{
	struct builder *b = calloc(1, sizeof(*b));

	t->local = b;
	if (!b)
		return bench_fail(t, "no memory");
	b->entries = b->tables[0] = aligned_alloc(4096, 4096);
	if (!b->entries)
		return bench_fail(t, "no memory");
	memset(b->entries, 0, 4096);
	return 0;
}

static void floor_teardown(struct bench_thread *t)
{
	struct builder *b = t->local;

	if (b)
		free(b->tables[0]);
	free(b);
}

static int run_floor_map(struct bench_thread *t, uint64_t iterations)
{
	const unsigned int step = t->spec->args[ARG_RUN];
	struct builder *b = t->local;
	volatile uint64_t *entries = b->entries;
	unsigned int at = 0;

	for (uint64_t i = 0; i < iterations; i++, at = (at + step) % RUN) {
		if (!at)
			memset(b->entries, 0, RUN_BYTES);
		for (unsigned int j = 0; j < step; j++)
			entries[at + j] = (OA + (at + j) * 4096) | 1;
	}
	return 0;
}

static int run_floor_unmap(struct bench_thread *t, uint64_t iterations)
{
	const unsigned int step = t->spec->args[ARG_RUN];
	struct builder *b = t->local;
	volatile uint64_t *entries = b->entries;
	unsigned int at = 0;

	for (uint64_t i = 0; i < iterations; i++, at = (at + step) % RUN) {
		if (!at)
			memcpy(b->entries, b->image, RUN_BYTES);
		for (unsigned int j = 0; j < step; j++)
			entries[at + j] = 0;
	}
	return 0;
}

#define FLOOR(case_name, n, runner)                                                          \
	{                                                                                    \
		.name = "floor/entries/" case_name, .unit = "PTE", .units = n,               \
		.role = BENCH_FLOOR, .args = { [ARG_RUN] = n }, .thread_setup = floor_setup, \
		.run = runner, .thread_teardown = floor_teardown,                            \
	}

#define CASE(case_name, format, level, n, runner, checker, beside)                         \
	{                                                                                  \
		.name = case_name, .unit = "PTE", .units = n, .floor = beside,             \
		.args = { format, level, n }, .thread_setup = thread_setup, .run = runner, \
		.thread_check = checker, .thread_teardown = thread_teardown,               \
	}

#define FORMAT(suffix, format)                                                            \
	CASE("user_map/single/" suffix, format, 0, 1, run_map, check_map,                 \
	     "floor/entries/map_single"),                                                 \
		CASE("user_map/run256/" suffix, format, 0, RUN, run_map, check_map,       \
		     "floor/entries/map_run256"),                                         \
		CASE("user_map/2m/" suffix, format, 1, 1, run_map, check_map,             \
		     "floor/entries/map_single"),                                         \
		CASE("user_unmap/single/" suffix, format, 0, 1, run_unmap, check_unmap,   \
		     "floor/entries/clear_single"),                                       \
		CASE("user_unmap/run256/" suffix, format, 0, RUN, run_unmap, check_unmap, \
		     "floor/entries/clear_run256")

static const struct bench_case cases[] = {
	FLOOR("map_single", 1, run_floor_map),
	FLOOR("map_run256", RUN, run_floor_map),
	FLOOR("clear_single", 1, run_floor_unmap),
	FLOOR("clear_run256", RUN, run_floor_unmap),
	FORMAT("x86_64_l4", IOAS_FORMAT_X86_64_L4),
	FORMAT("x86_64_l5", IOAS_FORMAT_X86_64_L5),
	FORMAT("vtdss_l4", IOAS_FORMAT_VTDSS_L4),
	FORMAT("vtdss_l5", IOAS_FORMAT_VTDSS_L5),
	FORMAT("arm64_s1_4k", IOAS_FORMAT_ARM64_S1_4K),
	FORMAT("arm64_s1_16k", IOAS_FORMAT_ARM64_S1_16K),
	FORMAT("arm64_s1_64k", IOAS_FORMAT_ARM64_S1_64K),
	FORMAT("amdv1_l4", IOAS_FORMAT_AMDV1_L4),
	FORMAT("amdv1_l5", IOAS_FORMAT_AMDV1_L5),
	FORMAT("amdv1_l6", IOAS_FORMAT_AMDV1_L6),
	FORMAT("riscv_sv39", IOAS_FORMAT_RISCV_SV39),
	FORMAT("riscv_sv48", IOAS_FORMAT_RISCV_SV48),
	FORMAT("riscv_sv57", IOAS_FORMAT_RISCV_SV57),
};

const struct bench_table bench_pgtable_cases = BENCH_TABLE(cases);
