/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mapping cache by itself against a list of ranges: every granularity in one GiB after the
 * other, ranges over borders, overlaps; and how much memory it takes.
 */
#include "rig.h"

#include "vamap.h"

#define BASE   GIB(4096)
#define SPAN   GIB(4)
#define RANGES 48

struct range {
	uint64_t addr;
	uint64_t bytes;
	uint64_t value;
};

struct book {
	struct vamap map;
	struct range ranges[RANGES];
	unsigned int count;
	uint64_t seed;
};

static uint64_t draw(struct book *b, uint64_t below)
{
	b->seed = b->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (b->seed >> 33) % below;
}

static const struct range *range_at(const struct book *b, uint64_t addr)
{
	for (unsigned int i = 0; i < b->count; i++)
		if (addr - b->ranges[i].addr < b->ranges[i].bytes)
			return &b->ranges[i];
	return NULL;
}

static bool overlaps(const struct book *b, uint64_t addr, uint64_t bytes)
{
	for (unsigned int i = 0; i < b->count; i++)
		if (b->ranges[i].addr < addr + bytes &&
		    addr < b->ranges[i].addr + b->ranges[i].bytes)
			return true;
	return false;
}

static void check_at(const struct book *b, uint64_t addr)
{
	const struct range *range = range_at(b, addr);
	uint64_t run = 0, found;

	found = vamap_find(&b->map, addr, &run);
	if (!range) {
		assert_true(found == VAMAP_NONE);
		return;
	}
	assert_int_equal(found, range->value + (addr - range->addr));
	assert_true(run > 0 && run <= range->addr + range->bytes - addr);
	run = SPAN;
	assert_int_equal(vamap_find_run(&b->map, addr, &run), found);
	assert_true(run >= range->addr + range->bytes - addr);
}

static void check(struct book *b)
{
	for (unsigned int i = 0; i < b->count; i++) {
		const struct range *range = &b->ranges[i];

		check_at(b, range->addr);
		check_at(b, range->addr - 1);
		check_at(b, range->addr + range->bytes - 1);
		check_at(b, range->addr + range->bytes);
		check_at(b, range->addr + draw(b, range->bytes));
	}
	for (unsigned int i = 0; i < 16; i++)
		check_at(b, BASE + draw(b, SPAN));
}

/* Page, 64 KiB, 2 MiB and 1 GiB granularity, aligned or one page off. */
static void add(struct book *b)
{
	static const uint64_t units[] = { PAGE, KIB(64), MIB(2), GIB(1) };
	const uint64_t unit = units[draw(b, 4)];
	uint64_t addr = BASE + draw(b, SPAN / unit) * unit + (draw(b, 4) ? 0 : PAGE);
	uint64_t bytes = unit * (1 + draw(b, unit == GIB(1) ? 2 : 20)) - (draw(b, 4) ? 0 : PAGE);
	struct range range = { addr, bytes ? bytes : PAGE, GIB(1) + (draw(b, 1 << 20) << 12) };
	bool taken;

	if (addr + range.bytes > BASE + SPAN)
		return;
	taken = overlaps(b, addr, range.bytes);
	if (taken && draw(b, 4))
		return;
	assert_int_equal(vamap_reserve(&b->map, addr, range.bytes), 0);
	assert_int_equal(vamap_insert(&b->map, addr, range.bytes, range.value), !taken);
	if (taken)
		vamap_remove(&b->map, addr, range.bytes, range.value);
	else
		b->ranges[b->count++] = range;
}

static void against_a_list(void **state)
{
	static struct book b;

	for (uint64_t seed = 1; seed <= 8; seed++) {
		memset(&b, 0, sizeof(b));
		b.seed = seed;
		assert_int_equal(vamap_init(&b.map, VAMAP_TRANSLATIONS), 0);
		for (unsigned int step = 0; step < 4000; step++) {
			if (b.count < RANGES && draw(&b, 3)) {
				add(&b);
			} else if (b.count) {
				const unsigned int i = draw(&b, b.count);
				const struct range gone = b.ranges[i];

				b.ranges[i] = b.ranges[--b.count];
				vamap_remove(&b.map, gone.addr, gone.bytes, gone.value);
			}
			if (step % 16 == 0)
				check(&b);
		}
		while (b.count) {
			const struct range *gone = &b.ranges[--b.count];

			vamap_remove(&b.map, gone->addr, gone->bytes, gone->value);
		}
		check(&b);
		vamap_destroy(&b.map);
	}
}

/* One call for 1 TiB; and the bytes of structure that each 4 KiB costs. */
static void memory(void **state)
{
	static const struct {
		uint64_t region, stride, count, most; /* bytes per 1000 pages */
	} cases[] = {
		{ GIB(1024), GIB(1024), 1, 10 },
		{ MIB(2), MIB(4), 100000, 50 },
		{ KIB(64), KIB(128), 100000, 1200 },
		{ PAGE, 2 * PAGE, 100000, 18000 },
	};
	struct vamap map;

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t empty, bytes, run, pages = cases[i].count * cases[i].region / PAGE;

		assert_int_equal(vamap_init(&map, VAMAP_TRANSLATIONS), 0);
		empty = vamap_bytes(&map);
		for (uint64_t at = 0; at < cases[i].count; at++)
			assert_true(vamap_insert(&map, GIB(1024) + at * cases[i].stride,
						 cases[i].region, at * cases[i].stride));
		bytes = vamap_bytes(&map) - empty;
		printf("# %lu regions of %lu KiB: %lu bytes, %.4f per page\n", cases[i].count,
		       cases[i].region >> 10, bytes, (double)bytes / pages);
		assert_true(bytes > 0 && bytes * 1000 <= cases[i].most * pages);
		assert_int_equal(vamap_find(&map, GIB(1024) + cases[i].region - 1, &run),
				 cases[i].region - 1);
		assert_int_equal(run, 1);
		vamap_destroy(&map);
	}
}

/* Addresses that no user-space program has are not found, and nothing is read behind the end. */
static void out_of_range(void **state)
{
	static const uint64_t addrs[] = { UINT64_C(1) << VAMAP_BITS, UINT64_MAX,
					  UINT64_MAX - PAGE };
	struct vamap map;
	uint64_t run;

	(void)state;
	assert_int_equal(vamap_init(&map, VAMAP_TRANSLATIONS), 0);
	assert_true(vamap_insert(&map, (UINT64_C(1) << VAMAP_BITS) - PAGE, PAGE, MIB(1)));
	for (unsigned int i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		assert_true(vamap_find(&map, addrs[i], &run) == VAMAP_NONE);
		assert_false(vamap_covers(addrs[i], PAGE));
	}
	run = MIB(1);
	assert_int_equal(vamap_find_run(&map, (UINT64_C(1) << VAMAP_BITS) - PAGE, &run), MIB(1));
	assert_int_equal(run, PAGE);
	assert_false(vamap_covers((UINT64_C(1) << VAMAP_BITS) - PAGE, 2 * PAGE));
	vamap_destroy(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_a_list),
		cmocka_unit_test(memory),
		cmocka_unit_test(out_of_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
