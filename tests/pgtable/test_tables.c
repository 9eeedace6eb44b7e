/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables as such: pt_install(), pt_find(), pt_each(), and how many there are. */
#include "tables.h"

static void install_and_find(void **state)
{
	const struct format *f = *state;
	const uint64_t iovas[] = { 0, L2(3), L2(3) + L1(1), L2(55), beyond(f) - L1(1) };
	struct pt_table *table, *again;
	struct tables t;

	tables_start(&t, f);
	for (unsigned int i = 0; i < COUNT(iovas); i++) {
		assert_null(pt_find(t.pt, iovas[i]));
		assert_int_equal(pt_install(t.pt, iovas[i] + PAGE * 7, 100 + i, &table), 0);
		assert_int_equal(table->level, 0);
		assert_int_equal(atomic_load(&table->tag), 100 + i);
		assert_ptr_equal(pt_find(t.pt, iovas[i]), table);
		assert_ptr_equal(pt_find(t.pt, iovas[i] + L1(1) - 1), table);
		/* Hardware comes there too, and finds it empty. */
		assert_ptr_equal(entry_at(&t, iovas[i], 0), table->entries);
		assert_int_equal(entry_value(&t, iovas[i], 1), table_entry(f, table->addr, 1));
		for (unsigned int j = 0; j < ENTRIES; j++)
			assert_int_equal(atomic_load(&table->entries[j]), 0);
		/* Once there, it stays as it is. */
		assert_int_equal(pt_install(t.pt, iovas[i], 999, &again), 0);
		assert_ptr_equal(again, table);
		assert_int_equal(atomic_load(&table->tag), 100 + i);
	}
	assert_null(pt_find(t.pt, L2(3) + L1(2)));
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

/* A tag belongs to who installs the table, with pt_map() as well. */
static void tags_of_mappings(void **state)
{
	struct pt_map_args args = { .oa = PAGE, .prot = IOAS_RW };
	struct tables t;

	tables_start(&t, *state);
	assert_int_equal(pt_map(t.pt, NULL, L2(3) + L1(1) / 2, L1(1), &args, 41), 0);
	assert_int_equal(pt_map(t.pt, NULL, L2(3), PAGE, &args, 42), 0);
	assert_int_equal(pt_map(t.pt, NULL, L2(3) + L1(3) / 2, PAGE, &args, 43), 0);
	assert_int_equal(pt_map(t.pt, NULL, L2(3) + L1(2), PAGE, &args, 44), 0);
	assert_int_equal(atomic_load(&pt_find(t.pt, L2(3))->tag), 41);
	assert_int_equal(atomic_load(&pt_find(t.pt, L2(3) + L1(1))->tag), 41);
	assert_int_equal(atomic_load(&pt_find(t.pt, L2(3) + L1(2))->tag), 44);
	tables_stop(&t);
}

static void install_below_a_leaf(void **state)
{
	for (unsigned int level = 1; level < fmt->leaf_levels; level++) {
		struct pt_table *table;
		struct tables t;
		int64_t live;

		tables_start(&t, *state);
		assert_int_equal(map(&t, L2(3), leaf_size(level), L2(9), IOAS_RW), 0);
		live = t.live;
		assert_int_equal(pt_install(t.pt, L2(3) + PAGE, 1, &table), -EEXIST);
		assert_null(pt_find(t.pt, L2(3) + PAGE));
		assert_int_equal(t.live, live);
		assert_int_equal(level_at(&t, L2(3), L2(9), IOAS_RW), level);
		assert_int_equal(unmap(&t, L2(3), leaf_size(level)), 0);
		assert_int_equal(pt_install(t.pt, L2(3) + PAGE, 1, &table), 0);
		assert_int_equal(t.live, live + level);
		tables_stop(&t);
	}
}

struct seen {
	struct {
		uint64_t iova, oa, bytes;
	} at[64];
	unsigned int count;
	unsigned int stop_after;
};

static bool see(void *arg, uint64_t iova, uint64_t oa, uint64_t leaf_bytes)
{
	struct seen *seen = arg;

	assert_true(seen->count < COUNT(seen->at));
	seen->at[seen->count].iova = iova;
	seen->at[seen->count].oa = oa;
	seen->at[seen->count].bytes = leaf_bytes;
	return ++seen->count != seen->stop_after;
}

/* In order, each leaf that the interval touches, ends included, until told to stop. */
static void each(void **state)
{
	const struct format *f = *state;
	const uint64_t largest = leaf_size(as_leaf(2));
	const struct {
		uint64_t iova, oa, bytes;
	} all[] = {
		{ 0, L2(1), PAGE },
		{ PAGE * (ENTRIES - 1), L2(2), PAGE },
		{ L1(1), L2(3), PAGE },
		{ L1(2), L2(4), L1(1) },
		{ L1(3), L2(5), PAGE },
		{ L2(1), L2(6), largest },
		{ L2(2), L2(7), PAGE },
		{ seam() - L1(1), L2(8), L1(1) },
		{ seam(), L2(9), largest },
		{ beyond(f) - L2(1), L2(10), L1(1) },
		{ beyond(f) - PAGE, L2(11), PAGE },
	};
	uint64_t edges[COUNT(all) * 4 + 1];
	unsigned int count = 0;
	struct tables t;

	tables_start(&t, f);
	/* Not in order. */
	for (unsigned int i = 0; i < COUNT(all); i++) {
		unsigned int k = i * 7 % COUNT(all);

		assert_int_equal(map(&t, all[k].iova, all[k].bytes, all[k].oa, IOAS_RW), 0);
	}
	edges[count++] = L2(20);
	for (unsigned int i = 0; i < COUNT(all); i++) {
		if (all[i].iova)
			edges[count++] = all[i].iova - 1;
		edges[count++] = all[i].iova;
		edges[count++] = all[i].iova + all[i].bytes - 1;
		if (all[i].iova + all[i].bytes < beyond(f))
			edges[count++] = all[i].iova + all[i].bytes;
	}
	for (unsigned int a = 0; a < count; a++)
		for (unsigned int b = 0; b < count; b++) {
			struct seen seen = { .count = 0 };
			unsigned int n = 0;

			if (edges[a] > edges[b])
				continue;
			assert_true(pt_each(t.pt, edges[a], edges[b], see, &seen));
			for (unsigned int i = 0; i < COUNT(all); i++) {
				if (all[i].iova > edges[b] ||
				    all[i].iova + all[i].bytes - 1 < edges[a])
					continue;
				assert_true(n < seen.count);
				assert_int_equal(seen.at[n].iova, all[i].iova);
				assert_int_equal(seen.at[n].oa, all[i].oa);
				assert_int_equal(seen.at[n].bytes, all[i].bytes);
				n++;
			}
			assert_int_equal(seen.count, n);
		}
	for (unsigned int stop = 1; stop <= COUNT(all); stop++) {
		struct seen seen = { .stop_after = stop };

		assert_false(pt_each(t.pt, 0, beyond(f) - 1, see, &seen));
		assert_int_equal(seen.count, stop);
	}
	tables_stop(&t);
}

/* Pages are as many as the tree needs, no less after unmapping, and none after the end. */
static void accounting(void **state)
{
	const struct format *f = *state;
	/* Above the tables of the larger leaves; below a place that is too large for a leaf. */
	const unsigned int upper = f->levels - 3, lower = f->leaf_levels > 2 ? 0 : 1;
	/* Beyond the seam: a level-2 table, if it is not the root; one at level 1, two at level 0.
	 */
	const unsigned int beside = (f->levels > 3) + 1 + 2;
	const uint64_t far = seam() + L2(1), far_bytes = PAGE * (ENTRIES + 88);
	struct tables t;

	tables_start(&t, f);
	assert_int_equal(pt_page_lg2(t.pt), f->page_lg2);
	assert_int_equal(pt_table_bytes(t.pt), PAGE);
	assert_int_equal(map(&t, L2(3), L2(1), 0, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + lower + 1));
	assert_int_equal(map(&t, L2(4), L1(1), 0, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + lower + 2));
	assert_int_equal(map(&t, L2(4) + L1(1), PAGE, 0, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + lower + 3));
	assert_int_equal(map(&t, L2(4) + L1(1) + PAGE, PAGE, 0, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + lower + 3));
	assert_int_equal(map(&t, far, far_bytes, PAGE, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + lower + 3 + beside));
	assert_int_equal(unmap(&t, far, far_bytes), 0);
	assert_int_equal(unmap(&t, L2(3), L2(1)), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + lower + 3 + beside));
	assert_int_equal(t.allocated, t.live);
	tables_stop(&t);
}

/* Table memory whose pages are not the format's is refused, before any is taken. */
static void pages_of_another_size(void **state)
{
	const struct format *f = *state;
	struct tables t = { .mem = { .alloc = tables_alloc, .free = tables_free } };

	for (unsigned int lg2 = 11; lg2 <= 17; lg2++) {
		t.mem.page_lg2 = lg2;
		if (lg2 != f->page_lg2)
			assert_int_equal(pt_create(f->format, &t.mem, &t.pt), -EOPNOTSUPP);
	}
	t.mem.page_lg2 = 0; /* 4 KiB */
	if (f->page_lg2 != 12)
		assert_int_equal(pt_create(f->format, &t.mem, &t.pt), -EOPNOTSUPP);
	assert_int_equal(t.allocated, 0);
}

int main(void)
{
	const struct CMUnitTest table_tests[] = {
		cmocka_unit_test(install_and_find),	cmocka_unit_test(tags_of_mappings),
		cmocka_unit_test(install_below_a_leaf), cmocka_unit_test(each),
		cmocka_unit_test(accounting),		cmocka_unit_test(pages_of_another_size),
	};

	return RUN_FORMATS(table_tests);
}
