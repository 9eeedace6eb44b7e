/* SPDX-License-Identifier: BSD-3-Clause */
/* pt_map(), pt_unmap(), pt_lookup(): which leaves, where, and which ranges go together. */
#include "tables.h"

/* One leaf of each size: mapped, found at every offset, unmapped, gone. */
static void one_leaf_of_each_size(void **state)
{
	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
		for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
			const uint64_t size = leaf_size(level);
			const uint64_t iova = L2(37) + size * 3, oa = L2(50) + size * 5;
			struct tables t;

			tables_start(&t, *state);
			assert_int_equal(map(&t, iova, size, oa, prot), 0);
			assert_int_equal(level_at(&t, iova, oa, prot), level);
			assert_int_equal(level_at(&t, iova + 1, oa + 1, prot), level);
			assert_int_equal(level_at(&t, iova + size / 2 + 8, oa + size / 2 + 8, prot),
					 level);
			assert_int_equal(level_at(&t, iova + size - 1, oa + size - 1, prot), level);
			assert_true(absent(&t, iova - 1));
			assert_true(absent(&t, iova + size));
			assert_int_equal(leaves(&t), 1);
			assert_int_equal(t.live, t.format->levels - level);
			assert_int_equal(unmap(&t, iova, size), 0);
			assert_true(absent(&t, iova));
			assert_int_equal(leaves(&t), 0);
			assert_int_equal(unmap(&t, iova, size), -ENOENT);
			/* Tables stay. */
			assert_int_equal(t.live, t.format->levels - level);
			tables_stop(&t);
		}
}

static void lookup_outputs_are_optional(void **state)
{
	struct tables t;
	uint64_t oa;

	tables_start(&t, *state);
	assert_int_equal(map(&t, L2(1), PAGE, L1(7), IOAS_RW), 0);
	assert_int_equal(pt_lookup(t.pt, L2(1) + 5, &oa, NULL, NULL), 0);
	assert_int_equal(oa, L1(7) + 5);
	tables_stop(&t);
}

/* The largest leaf that iova, oa and what is left allow. */
static void leaf_choice(void **state)
{
	const unsigned int n = ENTRIES;
	const struct {
		uint64_t iova, oa, bytes;
		struct {
			uint64_t offset;
			int level;
		} at[6];
		unsigned int l2, l1, pages;
	} cases[] = {
		/* Aligned and long enough. */
		{ L2(4), L2(8), L2(1), { { 0, 2 }, { L2(1) - 1, 2 } }, 1, 0, 0 },
		{ L2(4), L2(8), L1(1), { { 0, 1 }, { L1(1) - 1, 1 } }, 0, 1, 0 },
		{ L2(4), L2(8), PAGE, { { 0, 0 } }, 0, 0, 1 },
		{ L2(4), L2(8), L2(3), { { 0, 2 }, { L2(1), 2 }, { L2(3) - 1, 2 } }, 3, 0, 0 },
		/* One page short, one page more. */
		{ L2(4), L2(8), L1(1) - PAGE, { { 0, 0 }, { L1(1) - PAGE - 1, 0 } }, 0, 0, n - 1 },
		{ L2(4), L2(8), L1(1) + PAGE, { { 0, 1 }, { L1(1), 0 } }, 0, 1, 1 },
		{ L2(4),
		  L2(8),
		  L2(1) - PAGE,
		  { { 0, 1 }, { L2(1) - L1(1) - 1, 1 }, { L2(1) - L1(1), 0 } },
		  0,
		  n - 1,
		  n - 1 },
		{ L2(4),
		  L2(8),
		  L2(1) + L1(1) + PAGE,
		  { { L2(1) - 1, 2 }, { L2(1), 1 }, { L2(1) + L1(1), 0 } },
		  1,
		  1,
		  1 },
		/* iova not aligned, oa congruent. */
		{ L2(4) - PAGE, L2(8) - PAGE, L1(1) + PAGE, { { 0, 0 }, { PAGE, 1 } }, 0, 1, 1 },
		{ L2(4) - L1(1) - PAGE,
		  L2(8) - L1(1) - PAGE,
		  L2(1) + L1(2) + PAGE * 2,
		  { { 0, 0 },
		    { PAGE, 1 },
		    { L1(1) + PAGE, 2 },
		    { L2(1) + L1(1) + PAGE, 1 },
		    { L2(1) + L1(2) + PAGE, 0 } },
		  1,
		  2,
		  2 },
		/* oa not congruent modulo the next size, the one after. */
		{ L2(4), L2(8) + PAGE, L1(1), { { 0, 0 }, { L1(1) - 1, 0 } }, 0, 0, n },
		{ L2(4), L2(8) + L1(1) / 2, L1(2), { { 0, 0 }, { L1(3) / 2, 0 } }, 0, 0, n * 2 },
		{ L2(4), L2(8) + L1(1), L2(1), { { 0, 1 }, { L2(1) - 1, 1 } }, 0, n, 0 },
		{ L2(4) + L1(1), L2(8), L2(1), { { 0, 1 }, { L2(1) - 1, 1 } }, 0, n, 0 },
		{ L2(4) + PAGE, L2(8), L1(2), { { 0, 0 }, { L1(1), 0 } }, 0, 0, n * 2 },
		/* Aligned for half a large leaf. */
		{ L2(4) + L1(1) / 2,
		  L2(8) + L1(1) / 2,
		  L1(1),
		  { { 0, 0 }, { L1(1) / 2, 0 } },
		  0,
		  0,
		  n },
		{ L2(4) + L1(1) / 2,
		  L2(8) + L1(1) / 2,
		  L1(2),
		  { { 0, 0 }, { L1(1) / 2, 1 }, { L1(3) / 2, 0 } },
		  0,
		  1,
		  n },
		/* Across the end of an upper table. */
		{ seam() - L2(1), L2(31), L2(2), { { 0, 2 }, { L2(1), 2 } }, 2, 0, 0 },
		{ seam() - L1(1), 0, L1(2), { { 0, 1 }, { L1(1), 1 } }, 0, 2, 0 },
		{ seam() - PAGE, PAGE, PAGE * 2, { { 0, 0 }, { PAGE, 0 } }, 0, 0, 2 },
		/* iova and oa 0. */
		{ 0, 0, L2(1), { { 0, 2 } }, 1, 0, 0 },
		{ 0, L2(8), L1(1), { { 0, 1 } }, 0, 1, 0 },
	};

	for (unsigned int i = 0; i < COUNT(cases); i++) {
		struct tables t;

		tables_start(&t, *state);
		assert_int_equal(map(&t, cases[i].iova, cases[i].bytes, cases[i].oa, IOAS_RW), 0);
		for (unsigned int j = 0; j < 6 && (!j || cases[i].at[j].offset); j++)
			assert_int_equal(level_at(&t, cases[i].iova + cases[i].at[j].offset,
						  cases[i].oa + cases[i].at[j].offset, IOAS_RW),
					 as_leaf(cases[i].at[j].level));
		assert_int_equal(leaves(&t),
				 leaves_of_l2(cases[i].l2) + cases[i].l1 + cases[i].pages);
		assert_true(absent(&t, cases[i].iova - 1));
		assert_true(absent(&t, cases[i].iova + cases[i].bytes));
		assert_int_equal(unmap(&t, cases[i].iova, cases[i].bytes), 0);
		assert_int_equal(leaves(&t), 0);
		tables_stop(&t);
	}
}

/* Where a table is in the way the leaves are smaller, beside larger ones. */
static void table_in_the_way(void **state)
{
	struct tables t;
	int64_t live;

	tables_start(&t, *state);
	assert_int_equal(map(&t, L2(4) + L1(1), PAGE, 0, IOAS_RW), 0);
	assert_int_equal(unmap(&t, L2(4) + L1(1), PAGE), 0);
	live = t.live;
	assert_int_equal(map(&t, L2(3), L2(3), L2(8), IOAS_READ), 0);
	/* Where leaves end at level 1, the places beside it need tables for them. */
	assert_int_equal(t.live, live + (fmt->leaf_levels > 2 ? 0 : 2));
	assert_int_equal(level_at(&t, L2(3), L2(8), IOAS_READ), as_leaf(2));
	assert_int_equal(level_at(&t, L2(4), L2(9), IOAS_READ), 1);
	assert_int_equal(level_at(&t, L2(4) + L1(1) - 1, L2(9) + L1(1) - 1, IOAS_READ), 1);
	assert_int_equal(level_at(&t, L2(4) + L1(1), L2(9) + L1(1), IOAS_READ), 0);
	assert_int_equal(level_at(&t, L2(4) + L1(2) - 1, L2(9) + L1(2) - 1, IOAS_READ), 0);
	assert_int_equal(level_at(&t, L2(4) + L1(2), L2(9) + L1(2), IOAS_READ), 1);
	assert_int_equal(level_at(&t, L2(5), L2(10), IOAS_READ), as_leaf(2));
	assert_int_equal(leaves(&t), leaves_of_l2(2) + (ENTRIES - 1) + ENTRIES);
	assert_int_equal(unmap(&t, L2(3), L2(3)), 0);
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

/* A table at the end of a run of leaves in one upper table. */
static void table_after_a_run(void **state)
{
	struct tables t;

	tables_start(&t, *state);
	assert_int_equal(map(&t, L2(4) + L1(3), PAGE, L1(25), IOAS_RW), 0);
	assert_int_equal(map(&t, L2(4), L1(3), L2(8), IOAS_RW), 0);
	assert_int_equal(leaves(&t), 4);
	assert_int_equal(map(&t, L2(4) + L1(4), L1(2), L2(8), IOAS_RW), 0);
	assert_int_equal(unmap(&t, L2(4), L1(3)), 0);
	assert_int_equal(level_at(&t, L2(4) + L1(3), L1(25), IOAS_RW), 0);
	assert_int_equal(level_at(&t, L2(4) + L1(4), L2(8), IOAS_RW), 1);
	assert_int_equal(leaves(&t), 3);
	/* Over the table and past it; the page in the table is in the way, the rest goes back. */
	assert_int_equal(map(&t, L2(4) + L1(1), L1(3), L2(20), IOAS_RW), -EEXIST);
	assert_int_equal(leaves(&t), 3);
	tables_stop(&t);
}

/* The first and the last pages of the address space, in each size; and what lies beyond. */
static void edges_of_the_address_width(void **state)
{
	const struct format *f = *state;

	for (unsigned int level = 0; level < fmt->leaf_levels; level++) {
		const uint64_t size = leaf_size(level), last = beyond(f) - size;
		struct tables t;
		uint64_t oa;

		tables_start(&t, f);
		assert_int_equal(pt_address_bits(t.pt), f->address_bits);
		assert_int_equal(map(&t, 0, size, L2(3), IOAS_RW), 0);
		assert_int_equal(map(&t, last, size, L2(5), IOAS_READ), 0);
		assert_int_equal(level_at(&t, 0, L2(3), IOAS_RW), level);
		assert_int_equal(level_at(&t, last, L2(5), IOAS_READ), level);
		assert_int_equal(level_at(&t, beyond(f) - 1, L2(5) + size - 1, IOAS_READ), level);
		/* No alias of the first page, whichever upper bit is set. */
		for (unsigned int bit = f->address_bits; bit < 64; bit++) {
			assert_int_equal(pt_lookup(t.pt, BIT(bit), &oa, NULL, NULL), -ENOENT);
			assert_null(pt_find(t.pt, BIT(bit)));
		}
		assert_int_equal(pt_lookup(t.pt, UINT64_MAX, &oa, NULL, NULL), -ENOENT);
		assert_int_equal(leaves(&t), 2);
		/* The last mapping has no neighbour to look at; the first is none. */
		assert_int_equal(unmap(&t, last, size), 0);
		assert_int_equal(unmap(&t, 0, size), 0);
		assert_int_equal(leaves(&t), 0);
		tables_stop(&t);
	}
}

/* The end of the address space next to a mapping that a wrapped index would find there. */
static void nothing_follows_the_last_page(void **state)
{
	const struct format *f = *state;
	struct pt_map_args args = { .oa = L2(5), .prot = IOAS_RW, .cont = true };
	struct tables t;

	tables_start(&t, f);
	/* Without START: would look like the rest of a mapping that ends before it. */
	assert_int_equal(pt_map(t.pt, NULL, 0, PAGE, &args, 0), 0);
	assert_int_equal(map(&t, beyond(f) - PAGE, PAGE, L2(3), IOAS_RW), 0);
	assert_int_equal(unmap(&t, beyond(f) - PAGE, PAGE), 0);
	assert_int_equal(leaves(&t), 1);
	tables_stop(&t);
}

/* A whole address space in a few calls, mapped as one and unmapped as one. */
static void large_mapping(void **state)
{
	const struct format *f = *state;
	const uint64_t bytes = L2(37);
	const uint64_t iova = beyond(f) - bytes;
	struct tables t;

	tables_start(&t, f);
	assert_int_equal(map(&t, iova, bytes, 0, IOAS_RW), 0);
	assert_int_equal(leaves(&t), leaves_of_l2(37));
	assert_int_equal(level_at(&t, beyond(f) - 1, bytes - 1, IOAS_RW), as_leaf(2));
	assert_int_equal(unmap(&t, iova, bytes - L2(1)), -EINVAL);
	assert_int_equal(unmap(&t, iova + L2(1), bytes - L2(1)), -EINVAL);
	assert_int_equal(leaves(&t), leaves_of_l2(37));
	assert_int_equal(unmap(&t, iova, bytes), 0);
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

/* A mapping goes whole, and only a whole mapping goes. */
static void exact_ranges_only(void **state)
{
	const uint64_t sizes[] = { PAGE,  PAGE * 3, L1(1) + PAGE * 188, L1(1), L1(1) + PAGE,
				   L1(3), L2(1),    L2(1) + L1(1),	L2(2) };

	for (unsigned int i = 0; i < COUNT(sizes); i++) {
		const uint64_t bytes = sizes[i], iova = L2(40), end = iova + bytes;
		/* A neighbour of the same kind on either side. */
		const uint64_t side =
			bytes % L1(1) ? PAGE : leaf_size(as_leaf(1 + !(bytes % L2(1))));
		uint64_t count;
		struct tables t;

		tables_start(&t, *state);
		assert_int_equal(map(&t, iova - side, side, L2(1), IOAS_RW), 0);
		assert_int_equal(map(&t, iova, bytes, L2(50), IOAS_RW), 0);
		assert_int_equal(map(&t, end, side, L2(2), IOAS_RW), 0);
		count = leaves(&t);

		assert_int_equal(unmap(&t, iova, bytes + side), -EINVAL);
		assert_int_equal(unmap(&t, iova - side, side + bytes), -EINVAL);
		assert_int_equal(unmap(&t, iova - side, side + bytes + side), -EINVAL);
		assert_int_equal(unmap(&t, iova, bytes + side + PAGE), -EINVAL);
		if (bytes > side) {
			assert_int_equal(unmap(&t, iova, bytes - side), -EINVAL);
			assert_int_equal(unmap(&t, iova + side, bytes - side), -EINVAL);
			assert_int_equal(unmap(&t, iova, side), -EINVAL);
			assert_int_equal(unmap(&t, iova - side, side + side), -EINVAL);
		}
		/* Inside a leaf. */
		if (side > PAGE) {
			assert_int_equal(unmap(&t, iova + PAGE, bytes - PAGE), -EINVAL);
			assert_int_equal(unmap(&t, iova + PAGE, PAGE), -EINVAL);
			assert_int_equal(unmap(&t, iova, PAGE), -EINVAL);
			assert_int_equal(unmap(&t, iova, bytes - PAGE), -EINVAL);
			assert_int_equal(unmap(&t, iova, bytes + PAGE), -EINVAL);
			assert_int_equal(unmap(&t, end + PAGE, side - PAGE), -EINVAL);
		}
		assert_int_equal(leaves(&t), count);
		assert_int_not_equal(unmap(&t, iova, 0), 0);

		assert_int_equal(unmap(&t, iova, bytes), 0);
		assert_int_equal(leaves(&t), 2);
		/* What is absent: the head, or the rest. */
		assert_int_equal(unmap(&t, iova, bytes), -ENOENT);
		assert_int_equal(unmap(&t, iova - side, side + bytes), -ENOENT);
		assert_int_equal(unmap(&t, iova + L2(15), PAGE), -ENOENT);
		assert_int_equal(leaves(&t), 2);
		assert_int_equal(unmap(&t, end, side), 0);
		assert_int_equal(unmap(&t, iova - side, side), 0);
		assert_int_equal(leaves(&t), 0);
		tables_stop(&t);
	}
}

/* Neighbours whose leaves differ in size. */
static void neighbours_of_other_sizes(void **state)
{
	const uint64_t sizes[] = { PAGE, L1(1), L2(1) };

	for (unsigned int left = 0; left < fmt->leaf_levels; left++)
		for (unsigned int right = 0; right < fmt->leaf_levels; right++) {
			const uint64_t at = L2(40);
			struct tables t;

			tables_start(&t, *state);
			assert_int_equal(map(&t, at - sizes[left], sizes[left], L2(5), IOAS_RW), 0);
			assert_int_equal(map(&t, at, sizes[right], L2(9), IOAS_RW), 0);
			assert_int_equal(unmap(&t, at - sizes[left], sizes[left] + sizes[right]),
					 -EINVAL);
			assert_int_equal(unmap(&t, at - sizes[left], sizes[left]), 0);
			assert_int_equal(level_at(&t, at, L2(9), IOAS_RW), right);
			assert_int_equal(unmap(&t, at, sizes[right]), 0);
			tables_stop(&t);
		}
}

/* A claim: one only, the mapping still translates, unclaim takes it back. */
static void claims(void **state)
{
	for (unsigned int level = 0; level < fmt->leaf_levels; level++) {
		const uint64_t iova = L2(3), bytes = leaf_size(level) * 2;
		struct tables t;

		tables_start(&t, *state);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes), -ENOENT);
		assert_int_equal(map(&t, iova, bytes, L2(7), IOAS_READ), 0);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes / 2), -EINVAL);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes), 0);
		assert_int_equal(level_at(&t, iova, L2(7), IOAS_READ), level);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes), -ENOENT);
		assert_int_equal(unmap(&t, iova, bytes), -ENOENT);
		/* It is still there for those who map. */
		assert_int_equal(map(&t, iova, PAGE, 0, IOAS_RW), -EEXIST);
		assert_int_equal(level_at(&t, iova, L2(7), IOAS_READ), level);

		pt_unclaim(t.pt, NULL, iova);
		assert_int_equal(level_at(&t, iova, L2(7), IOAS_READ), level);
		assert_int_equal(leaves(&t), 2);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes / 2), -EINVAL);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes), 0);
		pt_clear(t.pt, NULL, iova, bytes, 0);
		assert_int_equal(leaves(&t), 0);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes), -ENOENT);
		tables_stop(&t);
	}
}

/* Scatter-gather: parts with their own addresses and rights make one mapping. */
static void parts_of_one_mapping(void **state)
{
	const struct {
		uint64_t bytes, oa;
		uint32_t prot;
	} parts[] = {
		{ PAGE * 2, L1(33), IOAS_RW },	      { PAGE, L1(77), IOAS_READ },
		{ L1(1) - PAGE * 3, L2(5), IOAS_RW }, { L1(1), L2(6), IOAS_RW },
		{ L1(2), L2(7) + PAGE, IOAS_WRITE },  { PAGE, 0, IOAS_RW },
	};
	const uint64_t iova = L2(12);
	uint64_t at = iova, total;
	struct tables t;

	tables_start(&t, *state);
	for (unsigned int i = 0; i < COUNT(parts); i++) {
		struct pt_map_args args = { .oa = parts[i].oa,
					    .prot = parts[i].prot,
					    .cont = i > 0 };

		assert_int_equal(pt_map(t.pt, NULL, at, parts[i].bytes, &args, 0), 0);
		at += parts[i].bytes;
	}
	total = at - iova;
	at = iova;
	for (unsigned int i = 0; i < COUNT(parts); i++) {
		assert_int_equal(level_at(&t, at, parts[i].oa, parts[i].prot), i == 3);
		assert_int_equal(level_at(&t, at + parts[i].bytes - 1,
					  parts[i].oa + parts[i].bytes - 1, parts[i].prot),
				 i == 3);
		/* Neither a part nor a number of them is a mapping. */
		assert_int_equal(unmap(&t, at, parts[i].bytes), -EINVAL);
		if (at > iova)
			assert_int_equal(unmap(&t, iova, at - iova), -EINVAL);
		at += parts[i].bytes;
	}
	assert_int_equal(unmap(&t, iova, total), 0);
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

/* A present leaf, smaller or larger, anywhere in the range: nothing of the new mapping stays. */
static void occupied(void **state)
{
	const uint64_t sizes[] = { PAGE, L1(1), L2(1) };

	for (unsigned int old = 0; old < fmt->leaf_levels; old++)
		for (unsigned int new = 0; new < fmt->leaf_levels; new ++)
			for (unsigned int place = 0; place < 3; place++)
				for (unsigned int claim = 0; claim < 2; claim++) {
					uint64_t at = L2(40), iova, bytes = sizes[new] * 3;
					struct pt_map_args args = { .oa = L2(50),
								    .prot = IOAS_RW,
								    .claim = claim,
								    .undone_bytes = 1234 };
					struct tables t;

					/* The old one in the first, second or last third. */
					iova = (at & ~(sizes[new] - 1)) - place * sizes[new];
					tables_start(&t, *state);
					assert_int_equal(map(&t, at, sizes[old], L2(7), IOAS_READ),
							 0);
					assert_int_equal(pt_map(t.pt, NULL, iova, bytes, &args, 0),
							 -EEXIST);
					assert_int_equal(args.undone_bytes, at - iova);
					assert_int_equal(leaves(&t), 1);
					assert_int_equal(level_at(&t, at, L2(7), IOAS_READ), old);
					assert_int_equal(unmap(&t, at, sizes[old]), 0);
					args.oa = L2(50);
					assert_int_equal(pt_map(t.pt, NULL, iova, bytes, &args, 0),
							 0);
					assert_int_equal(unmap(&t, iova, bytes), 0);
					assert_int_equal(leaves(&t), 0);
					tables_stop(&t);
				}
}

/* A cursor gives the same answers as none, from block to block. */
static void cursors(void **state)
{
	struct pt_cursor cursor = PT_CURSOR_INIT, other = PT_CURSOR_INIT;
	struct pt_map_args args = { .oa = 0, .prot = IOAS_RW };
	struct tables t;

	tables_start(&t, *state);
	for (unsigned int round = 0; round < 3; round++)
		for (uint64_t i = 0; i < 40; i++) {
			uint64_t iova = L2(2) + i % 8 * L1(1) + i * PAGE;

			args.oa = L2(1) + i * PAGE;
			assert_int_equal(pt_map(t.pt, &cursor, iova, PAGE, &args, 0), 0);
			assert_int_equal(level_at(&t, iova, L2(1) + i * PAGE, IOAS_RW), 0);
			assert_int_equal(pt_map(t.pt, &other, iova, PAGE, &args, 0), -EEXIST);
			assert_int_equal(pt_unmap(t.pt, i & 1 ? &cursor : &other, iova, PAGE, 0),
					 0);
			assert_true(absent(&t, iova));
		}
	/* A run from block to block: the cursor is at neither end of it. */
	args.oa = PAGE;
	assert_int_equal(pt_map(t.pt, &cursor, L2(2), L1(4), &args, 0), 0);
	assert_int_equal(leaves(&t), ENTRIES * 4);
	assert_int_equal(pt_unmap(t.pt, &other, L2(2), L1(4), 0), 0);
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

/* One page under a warm cursor goes a way of its own: the same rules. */
static void one_page_at_a_cursor(void **state)
{
	const struct format *f = *state;
	struct pt_cursor cursor = PT_CURSOR_INIT;
	struct tables t;

	tables_start(&t, f);
	for (unsigned int place = 0; place < 3; place++) {
		/* The first, one in the middle, the last two of a table. */
		const uint64_t iova = L2(3) + (place < 2 ? place * 7 : ENTRIES - 2) * PAGE;
		struct pt_map_args args = { .oa = L2(5), .prot = IOAS_READ, .undone_bytes = 1 };

		assert_int_equal(pt_map(t.pt, &cursor, iova, PAGE, &args, 0), 0);
		assert_int_equal(pt_map(t.pt, &cursor, iova, PAGE, &args, 0), -EEXIST);
		assert_int_equal(args.undone_bytes, 0);
		assert_int_equal(entry_value(&t, iova, 0),
				 leaf_entry(f, L2(5), IOAS_READ, 0) | f->start);
		/* A further page of the same mapping. */
		args = (struct pt_map_args){ .oa = L2(6), .prot = IOAS_RW, .cont = true };
		assert_int_equal(pt_map(t.pt, &cursor, iova + PAGE, PAGE, &args, 0), 0);
		assert_int_equal(entry_value(&t, iova + PAGE, 0), leaf_entry(f, L2(6), IOAS_RW, 0));
		assert_int_equal(pt_unmap(t.pt, &cursor, iova, PAGE, 1), -EINVAL);
		assert_int_equal(pt_unmap(t.pt, &cursor, iova + PAGE, PAGE, 1), -EINVAL);
		assert_int_equal(pt_unmap(t.pt, &cursor, iova, PAGE * 2, 1), 0);
		/* Somebody is about to unmap it. */
		args.cont = false;
		assert_int_equal(pt_map(t.pt, &cursor, iova, PAGE, &args, 0), 0);
		assert_int_equal(pt_claim(t.pt, NULL, iova, PAGE), 0);
		assert_int_equal(pt_unmap(t.pt, &cursor, iova, PAGE, 2), -ENOENT);
		assert_int_equal(entry_value(&t, iova, 0),
				 leaf_entry(f, L2(6), IOAS_RW, 0) | f->start | f->claim);
		pt_unclaim(t.pt, NULL, iova);
		assert_int_equal(pt_unmap(t.pt, &cursor, iova, PAGE, 2), 0);
		assert_int_equal(entry_value(&t, iova, 0), UINT64_C(2) << f->stamp_shift);
		assert_int_equal(pt_unmap(t.pt, &cursor, iova, PAGE, 3), -ENOENT);
		assert_int_equal(entry_value(&t, iova, 0), UINT64_C(2) << f->stamp_shift);
	}
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

static void unknown_formats(void **state)
{
	static const int unknown[] = { IOAS_FORMAT_NONE, IOAS_FORMAT_COUNT, -1, 1000 };
	struct tables t = { .mem = { .alloc = tables_alloc, .free = tables_free } };

	(void)state;
	for (unsigned int i = 0; i < COUNT(unknown); i++)
		assert_int_equal(pt_create((enum ioas_format)unknown[i], &t.mem, &t.pt),
				 -EOPNOTSUPP);
	assert_int_equal(t.allocated, 0);
}

int main(void)
{
	const struct CMUnitTest map_tests[] = {
		cmocka_unit_test(one_leaf_of_each_size),
		cmocka_unit_test(lookup_outputs_are_optional),
		cmocka_unit_test(leaf_choice),
		cmocka_unit_test(table_in_the_way),
		cmocka_unit_test(table_after_a_run),
		cmocka_unit_test(edges_of_the_address_width),
		cmocka_unit_test(nothing_follows_the_last_page),
		cmocka_unit_test(large_mapping),
		cmocka_unit_test(exact_ranges_only),
		cmocka_unit_test(neighbours_of_other_sizes),
		cmocka_unit_test(claims),
		cmocka_unit_test(parts_of_one_mapping),
		cmocka_unit_test(occupied),
		cmocka_unit_test(cursors),
		cmocka_unit_test(one_page_at_a_cursor),
		cmocka_unit_test(unknown_formats),
	};

	return RUN_FORMATS(map_tests);
}
