/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mapping that fails leaves nothing: whatever allocation fails, whatever is in the way, and
 * entries whose stamp says that they may not be reused yet are not.
 */
#include "tables.h"

/* calloc() for struct pt_table: the linker's --wrap=calloc brings it here. */
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

static unsigned long calloc_calls, calloc_fail_at;

void *__wrap_calloc(size_t count, size_t bytes)
{
	if (++calloc_calls == calloc_fail_at)
		return NULL;
	return __real_calloc(count, bytes);
}

/* Mappings that need tables at every level, in the middle of the way too. */
#define MAPPINGS 6

struct mapping {
	uint64_t iova, oa, bytes;
};

static struct mapping mapping_of(unsigned int i)
{
	const struct mapping mappings[MAPPINGS] = {
		{ L2(3), L2(9), PAGE },
		{ L2(3) - PAGE, L2(9) - PAGE, PAGE * 2 },
		{ seam() - PAGE * 5, 0, PAGE * 10 },
		{ L2(3), L2(9) + PAGE, L1(4) },
		{ seam() - L1(2) - PAGE, L2(32) - L1(2) - PAGE, L1(4) + PAGE * 2 },
		{ L2(48) - L2(1) - L1(1) - PAGE, L2(2) - L1(1) - PAGE, L2(2) + L1(2) + PAGE * 2 },
	};

	return mappings[i];
}

static void check_nothing(struct tables *t, const struct mapping *m, const struct pt_map_args *args,
			  uint64_t stamp)
{
	const struct format *f = t->format;

	tables_check(t);
	assert_int_equal(leaves(t), 0);
	assert_true(args->undone_bytes < m->bytes);
	/* What was taken has the stamp, the rest has none. */
	for (uint64_t offset = 0; offset < m->bytes;) {
		uint64_t expect = offset < args->undone_bytes ? stamp << f->stamp_shift : 0;
		uint64_t iova = m->iova + offset;
		unsigned int level = 0;

		/* Down to where hardware comes. */
		while (!entry_at(t, iova, level))
			level++;
		assert_int_equal(entry_value(t, iova, level), expect);
		/* Every page near the ends, some of the many between. */
		offset += offset < L1(1) || offset + L1(2) > m->bytes ? PAGE : PAGE * 97;
	}
}

/* The n-th page cannot be had, for every n. */
static void every_page_fails_once(void **state)
{
	for (unsigned int i = 0; i < MAPPINGS; i++) {
		const struct mapping m = mapping_of(i);
		int64_t n;
		int ret;

		for (n = 2;; n++) {
			struct pt_map_args args = {
				.oa = m.oa, .prot = IOAS_RW, .claim = n & 1, .undo_stamp = 77
			};
			struct tables t;

			tables_start(&t, *state);
			t.fail_at = n;
			ret = pt_map(t.pt, NULL, m.iova, m.bytes, &args, 0);
			if (!ret) {
				assert_true(t.allocated < n);
				tables_stop(&t);
				break;
			}
			assert_int_equal(ret, -ENOMEM);
			check_nothing(&t, &m, &args, 77);
			/* And the next time it works, with what is there. */
			args.undone_bytes = 0;
			assert_int_equal(pt_map(t.pt, NULL, m.iova, m.bytes, &args, 0), 0);
			assert_int_equal(unmap(&t, m.iova, m.bytes), 0);
			tables_stop(&t);
		}
		/* The root and a table per level, at least. */
		assert_true(n >= fmt->levels);
	}
}

/* The same for the builder's own memory. */
static void every_calloc_fails_once(void **state)
{
	for (unsigned int i = 0; i < MAPPINGS; i++) {
		const struct mapping m = mapping_of(i);
		unsigned long n;
		int ret;

		for (n = 1;; n++) {
			struct pt_map_args args = { .oa = m.oa, .prot = IOAS_RW, .undo_stamp = 5 };
			struct tables t;

			tables_start(&t, *state);
			calloc_calls = 0;
			calloc_fail_at = n;
			ret = pt_map(t.pt, NULL, m.iova, m.bytes, &args, 0);
			calloc_fail_at = 0;
			if (!ret) {
				assert_true(calloc_calls < n);
				tables_stop(&t);
				break;
			}
			assert_int_equal(ret, -ENOMEM);
			check_nothing(&t, &m, &args, 5);
			tables_stop(&t);
		}
		assert_true(n >= 3);
	}
}

static void create_and_install_fail(void **state)
{
	const struct format *f = *state;
	struct tables t = { .mem = { tables_alloc, tables_free, f->page_lg2 }, .format = f };

	t.fail_at = 1;
	assert_int_equal(pt_create(f->format, &t.mem, &t.pt), -ENOMEM);
	assert_int_equal(t.live, 0);
	for (unsigned long n = 1; n <= 2; n++) {
		t.fail_at = 0;
		calloc_calls = 0;
		calloc_fail_at = n;
		assert_int_equal(pt_create(f->format, &t.mem, &t.pt), -ENOMEM);
		calloc_fail_at = 0;
		assert_int_equal(t.live, 0);
	}
	for (int64_t n = 2; n <= f->levels; n++) {
		struct pt_table *table = NULL;

		tables_start(&t, f);
		t.fail_at = n;
		assert_int_equal(pt_install(t.pt, L2(3), 1, &table), -ENOMEM);
		tables_check(&t);
		assert_null(pt_find(t.pt, L2(3)));
		assert_int_equal(pt_install(t.pt, L2(3), 1, &table), 0);
		assert_ptr_equal(pt_find(t.pt, L2(3)), table);
		tables_stop(&t);
	}
}

/* A leaf is in the way at the end: the undone part, of all leaf sizes, gets the stamp. */
static void undo_leaves_its_stamp(void **state)
{
	const struct format *f = *state;
	const uint64_t iova = L2(6) - L1(1) - PAGE, bytes = L2(1) + L1(3) + PAGE * 4;
	struct pt_map_args args = { .oa = L2(9) - L1(1) - PAGE,
				    .prot = IOAS_RW,
				    .undo_stamp = BIT(PT_STAMP_BITS) - 2 };
	uint64_t old = iova + bytes - PAGE;
	struct tables t;

	tables_start(&t, f);
	assert_int_equal(map(&t, old, PAGE, L2(50), IOAS_READ), 0);
	assert_int_equal(pt_map(t.pt, NULL, iova, bytes, &args, 0), -EEXIST);
	assert_int_equal(args.undone_bytes, bytes - PAGE);
	assert_int_equal(leaves(&t), 1);
	assert_int_equal(level_at(&t, old, L2(50), IOAS_READ), 0);
	assert_int_equal(entry_value(&t, iova, 0), args.undo_stamp << f->stamp_shift);
	assert_int_equal(entry_value(&t, iova + PAGE, 1), args.undo_stamp << f->stamp_shift);
	assert_int_equal(entry_value(&t, L2(6), as_leaf(2)), args.undo_stamp << f->stamp_shift);
	assert_int_equal(entry_value(&t, L2(7), 1), args.undo_stamp << f->stamp_shift);
	assert_int_equal(entry_value(&t, old - PAGE, 0), args.undo_stamp << f->stamp_shift);
	assert_int_equal(entry_value(&t, old + PAGE, 0), 0);
	tables_stop(&t);
}

/* Which stamps were asked about; busy from @busy_from on. */
struct asked {
	uint64_t busy_from;
	unsigned int calls;
	uint64_t last;
};

static bool is_busy(void *arg, uint64_t stamp)
{
	struct asked *asked = arg;

	asked->calls++;
	asked->last = stamp;
	return stamp >= asked->busy_from;
}

/* Stamps of every width come back as they were, from each level. */
static void stamps_stop_a_mapping(void **state)
{
	static const uint64_t stamps[] = {
		1, 2, 3, 4, 0x123456789abcdef, BIT(59), BIT(PT_STAMP_BITS) - 1
	};

	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
		for (unsigned int i = 0; i < COUNT(stamps); i++)
			for (unsigned int claim = 0; claim < 2; claim++) {
				const uint64_t size = leaf_size(level), iova = L2(3);
				struct asked asked = { .busy_from = stamps[i] };
				struct pt_map_args args = { .oa = L2(9),
							    .prot = IOAS_RW,
							    .claim = claim,
							    .busy = is_busy,
							    .busy_arg = &asked,
							    .undone_bytes = 1 };
				struct tables t;

				tables_start(&t, *state);
				assert_int_equal(pt_map(t.pt, NULL, iova, size, &args, 0), 0);
				assert_int_equal(asked.calls, 0);
				assert_int_equal(pt_unmap(t.pt, NULL, iova, size, stamps[i]), 0);
				assert_int_equal(entry_value(&t, iova, level),
						 stamps[i] << t.format->stamp_shift);
				assert_true(absent(&t, iova));
				assert_int_equal(leaves(&t), 0);

				assert_int_equal(pt_map(t.pt, NULL, iova, size, &args, 0), -EAGAIN);
				assert_int_equal(asked.calls, 1);
				assert_int_equal(asked.last, stamps[i]);
				assert_int_equal(args.busy_stamp, stamps[i]);
				assert_int_equal(args.undone_bytes, 0);
				assert_int_equal(leaves(&t), 0);
				assert_int_equal(entry_value(&t, iova, level),
						 stamps[i] << t.format->stamp_shift);
				/* Nor a smaller leaf, which would need a table in its place. */
				assert_int_equal(
					pt_map(t.pt, NULL, iova + size - PAGE, PAGE, &args, 0),
					-EAGAIN);
				assert_int_equal(args.busy_stamp, stamps[i]);

				asked.busy_from = UINT64_MAX;
				assert_int_equal(pt_map(t.pt, NULL, iova, size, &args, 0), 0);
				assert_int_equal(asked.last, stamps[i]);
				assert_int_equal(pt_unmap(t.pt, NULL, iova, size, stamps[i]), 0);
				/* Nobody to ask: stamps do not count. */
				args.busy = NULL;
				assert_int_equal(pt_map(t.pt, NULL, iova, size, &args, 0), 0);
				assert_int_equal(level_at(&t, iova, L2(9), IOAS_RW), level);
				tables_stop(&t);
			}
}

/* Where a large leaf was, small ones come only after the invalidation; then a table does. */
static void small_leaves_after_a_large_one(void **state)
{
	for (unsigned int level = 1; level < fmt->leaf_levels; level++) {
		const uint64_t iova = L2(3), size = leaf_size(level);
		struct asked asked = { .busy_from = 6 };
		struct pt_map_args args = {
			.oa = L2(9) + PAGE, .prot = IOAS_RW, .busy = is_busy, .busy_arg = &asked
		};
		struct tables t;
		int64_t live;

		tables_start(&t, *state);
		assert_int_equal(map(&t, iova, size, L2(8), IOAS_RW), 0);
		assert_int_equal(pt_unmap(t.pt, NULL, iova, size, 6), 0);
		live = t.live;
		assert_int_equal(pt_map(t.pt, NULL, iova + PAGE, PAGE, &args, 0), -EAGAIN);
		assert_int_equal(args.busy_stamp, 6);
		assert_int_equal(t.live, live);
		asked.busy_from = 7;
		assert_int_equal(pt_map(t.pt, NULL, iova + PAGE, PAGE, &args, 0), 0);
		assert_int_equal(t.live, live + level);
		assert_int_equal(level_at(&t, iova + PAGE, L2(9) + PAGE, IOAS_RW), 0);
		assert_int_equal(entry_value(&t, iova + PAGE, 0) & t.format->present,
				 t.format->present);
		assert_true(absent(&t, iova));
		tables_stop(&t);
	}
}

/* A busy entry in the middle: what was taken before it goes back, what comes after is not asked. */
static void busy_in_the_middle(void **state)
{
	const struct format *f = *state;

	for (unsigned int claim = 0; claim < 2; claim++) {
		struct asked asked = { .busy_from = 9 };
		struct pt_map_args args = { .oa = L2(9),
					    .prot = IOAS_RW,
					    .claim = claim,
					    .busy = is_busy,
					    .busy_arg = &asked,
					    .undo_stamp = 20 };
		struct tables t;

		tables_start(&t, f);
		for (uint64_t i = 0; i < 8; i++) {
			assert_int_equal(map(&t, L2(3) + i * PAGE, PAGE, 0, IOAS_RW), 0);
			assert_int_equal(pt_unmap(t.pt, NULL, L2(3) + i * PAGE, PAGE, i + 4), 0);
		}
		assert_int_equal(pt_map(t.pt, NULL, L2(3), PAGE * 8, &args, 0), -EAGAIN);
		assert_int_equal(args.busy_stamp, 9);
		assert_int_equal(asked.calls, 6);
		assert_int_equal(args.undone_bytes, PAGE * 5);
		assert_int_equal(leaves(&t), 0);
		for (uint64_t i = 0; i < 8; i++)
			assert_int_equal(entry_value(&t, L2(3) + i * PAGE, 0),
					 (i < 5 ? 20 : i + 4) << f->stamp_shift);
		tables_stop(&t);
	}
}

/* Stamps of a mapping with leaves of every size are in each of its entries. */
static void clear_stamps_every_leaf(void **state)
{
	const struct format *f = *state;
	const uint64_t iova = L2(2) - L1(1) - PAGE, bytes = L2(1) + L1(2) + PAGE * 2;
	const uint64_t stamp = 0xabcdef0123456 << f->stamp_shift;
	struct tables t;

	tables_start(&t, f);
	assert_int_equal(map(&t, iova, bytes, L2(6) - L1(1) - PAGE, IOAS_RW), 0);
	assert_int_equal(leaves(&t), leaves_of_l2(1) + 4);
	assert_int_equal(pt_unmap(t.pt, NULL, iova, bytes, 0xabcdef0123456), 0);
	assert_int_equal(entry_value(&t, iova, 0), stamp);
	assert_int_equal(entry_value(&t, iova + PAGE, 1), stamp);
	assert_int_equal(entry_value(&t, L2(2), as_leaf(2)), stamp);
	assert_int_equal(entry_value(&t, L2(3), 1), stamp);
	assert_int_equal(entry_value(&t, L2(3) + L1(1), 0), stamp);
	/* And in no other. */
	assert_int_equal(entry_value(&t, iova - PAGE, 0), 0);
	assert_int_equal(entry_value(&t, L2(3) + L1(2), 1), 0);
	assert_int_equal(entry_value(&t, L2(3) + L1(1) + PAGE, 0), 0);
	tables_stop(&t);
}

int main(void)
{
	const struct CMUnitTest undo_tests[] = {
		cmocka_unit_test(every_page_fails_once),
		cmocka_unit_test(every_calloc_fails_once),
		cmocka_unit_test(create_and_install_fail),
		cmocka_unit_test(undo_leaves_its_stamp),
		cmocka_unit_test(stamps_stop_a_mapping),
		cmocka_unit_test(small_leaves_after_a_large_one),
		cmocka_unit_test(busy_in_the_middle),
		cmocka_unit_test(clear_stamps_every_leaf),
	};

	return RUN_FORMATS(undo_tests);
}
