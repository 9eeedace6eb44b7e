/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables as such: pt_install(), pt_find(), pt_each(), and how many there are. */
#include "tables.h"

static void install_and_find(void **state)
{
	const struct format *f = *state;
	const uint64_t iovas[] = { 0, GIB(3), GIB(3) + MIB(2), GIB(700), beyond(f) - MIB(2) };
	struct pt_table *table, *again;
	struct tables t;

	tables_start(&t, f);
	for (unsigned int i = 0; i < COUNT(iovas); i++) {
		assert_null(pt_find(t.pt, iovas[i]));
		assert_int_equal(pt_install(t.pt, iovas[i] + PAGE * 7, 100 + i, &table), 0);
		assert_int_equal(table->level, 0);
		assert_int_equal(atomic_load(&table->tag), 100 + i);
		assert_ptr_equal(pt_find(t.pt, iovas[i]), table);
		assert_ptr_equal(pt_find(t.pt, iovas[i] + MIB(2) - 1), table);
		/* Hardware comes there too, and finds it empty. */
		assert_ptr_equal(entry_at(&t, iovas[i], 0), table->entries);
		assert_int_equal(entry_value(&t, iovas[i], 1), table->addr | f->table);
		for (unsigned int j = 0; j < PT_ENTRIES; j++)
			assert_int_equal(atomic_load(&table->entries[j]), 0);
		/* Once there, it stays as it is. */
		assert_int_equal(pt_install(t.pt, iovas[i], 999, &again), 0);
		assert_ptr_equal(again, table);
		assert_int_equal(atomic_load(&table->tag), 100 + i);
	}
	assert_null(pt_find(t.pt, GIB(3) + MIB(4)));
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

/* A tag belongs to who installs the table, with pt_map() as well. */
static void tags_of_mappings(void **state)
{
	struct pt_map_args args = { .oa = PAGE, .prot = IOAS_RW };
	struct tables t;

	tables_start(&t, *state);
	assert_int_equal(pt_map(t.pt, NULL, GIB(3) + MIB(1), MIB(2), &args, 41), 0);
	assert_int_equal(pt_map(t.pt, NULL, GIB(3), PAGE, &args, 42), 0);
	assert_int_equal(pt_map(t.pt, NULL, GIB(3) + MIB(3), PAGE, &args, 43), 0);
	assert_int_equal(pt_map(t.pt, NULL, GIB(3) + MIB(4), PAGE, &args, 44), 0);
	assert_int_equal(atomic_load(&pt_find(t.pt, GIB(3))->tag), 41);
	assert_int_equal(atomic_load(&pt_find(t.pt, GIB(3) + MIB(2))->tag), 41);
	assert_int_equal(atomic_load(&pt_find(t.pt, GIB(3) + MIB(4))->tag), 44);
	tables_stop(&t);
}

static void install_below_a_leaf(void **state)
{
	for (unsigned int level = 1; level < 3; level++) {
		struct pt_table *table;
		struct tables t;
		int64_t live;

		tables_start(&t, *state);
		assert_int_equal(map(&t, GIB(3), leaf_size(level), GIB(9), IOAS_RW), 0);
		live = t.live;
		assert_int_equal(pt_install(t.pt, GIB(3) + PAGE, 1, &table), -EEXIST);
		assert_null(pt_find(t.pt, GIB(3) + PAGE));
		assert_int_equal(t.live, live);
		assert_int_equal(level_at(&t, GIB(3), GIB(9), IOAS_RW), level);
		assert_int_equal(unmap(&t, GIB(3), leaf_size(level)), 0);
		assert_int_equal(pt_install(t.pt, GIB(3) + PAGE, 1, &table), 0);
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
	const struct {
		uint64_t iova, oa, bytes;
	} all[] = {
		{ 0, GIB(1), PAGE },
		{ PAGE * 511, GIB(2), PAGE },
		{ MIB(2), GIB(3), PAGE },
		{ MIB(4), GIB(4), MIB(2) },
		{ MIB(6), GIB(5), PAGE },
		{ GIB(1), GIB(6), GIB(1) },
		{ GIB(2), GIB(7), PAGE },
		{ GIB(512) - MIB(2), GIB(8), MIB(2) },
		{ GIB(512), GIB(9), GIB(1) },
		{ beyond(f) - GIB(1), GIB(10), MIB(2) },
		{ beyond(f) - PAGE, GIB(11), PAGE },
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
	edges[count++] = GIB(300);
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
	const unsigned int upper = f->levels - 3; /* above the tables of 1 GiB leaves */
	struct tables t;

	tables_start(&t, f);
	assert_int_equal(pt_table_bytes(t.pt), PAGE);
	assert_int_equal(map(&t, GIB(3), GIB(1), 0, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + 1));
	assert_int_equal(map(&t, GIB(4), MIB(2), 0, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + 2));
	assert_int_equal(map(&t, GIB(4) + MIB(2), PAGE, 0, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + 3));
	assert_int_equal(map(&t, GIB(4) + MIB(2) + PAGE, PAGE, 0, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + 3));
	assert_int_equal(map(&t, GIB(513), PAGE * 600, PAGE, IOAS_RW), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + 3 + 4));
	assert_int_equal(unmap(&t, GIB(513), PAGE * 600), 0);
	assert_int_equal(unmap(&t, GIB(3), GIB(1)), 0);
	assert_int_equal(pt_table_bytes(t.pt), PAGE * (upper + 3 + 4));
	assert_int_equal(t.allocated, t.live);
	tables_stop(&t);
}

int main(void)
{
	const struct CMUnitTest table_tests[] = {
		cmocka_unit_test(install_and_find),
		cmocka_unit_test(tags_of_mappings),
		cmocka_unit_test(install_below_a_leaf),
		cmocka_unit_test(each),
		cmocka_unit_test(accounting),
	};

	return RUN_FORMATS(table_tests);
}
