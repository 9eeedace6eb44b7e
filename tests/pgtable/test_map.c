/* SPDX-License-Identifier: BSD-3-Clause */
/* pt_map(), pt_unmap(), pt_lookup(): which leaves, where, and which ranges go together. */
#include "tables.h"

/* One leaf of each size: mapped, found at every offset, unmapped, gone. */
static void one_leaf_of_each_size(void **state)
{
	for (unsigned int level = 0; level < 3; level++)
		for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
			const uint64_t size = leaf_size(level);
			const uint64_t iova = GIB(77) + size * 3, oa = GIB(9000) + size * 5;
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
	assert_int_equal(map(&t, GIB(1), PAGE, MIB(7), IOAS_RW), 0);
	assert_int_equal(pt_lookup(t.pt, GIB(1) + 5, &oa, NULL, NULL), 0);
	assert_int_equal(oa, MIB(7) + 5);
	tables_stop(&t);
}

/* The largest leaf that iova, oa and what is left allow. */
static void leaf_choice(void **state)
{
	static const struct {
		uint64_t iova, oa, bytes;
		struct {
			uint64_t offset;
			int level;
		} at[6];
		uint64_t leaves;
	} cases[] = {
		/* Aligned and long enough. */
		{ GIB(4), GIB(8), GIB(1), { { 0, 2 }, { GIB(1) - 1, 2 } }, 1 },
		{ GIB(4), GIB(8), MIB(2), { { 0, 1 }, { MIB(2) - 1, 1 } }, 1 },
		{ GIB(4), GIB(8), PAGE, { { 0, 0 } }, 1 },
		{ GIB(4), GIB(8), GIB(3), { { 0, 2 }, { GIB(1), 2 }, { GIB(3) - 1, 2 } }, 3 },
		/* One page short, one page more. */
		{ GIB(4), GIB(8), MIB(2) - PAGE, { { 0, 0 }, { MIB(2) - PAGE - 1, 0 } }, 511 },
		{ GIB(4), GIB(8), MIB(2) + PAGE, { { 0, 1 }, { MIB(2), 0 } }, 2 },
		{ GIB(4),
		  GIB(8),
		  GIB(1) - PAGE,
		  { { 0, 1 }, { GIB(1) - MIB(2) - 1, 1 }, { GIB(1) - MIB(2), 0 } },
		  511 + 511 },
		{ GIB(4),
		  GIB(8),
		  GIB(1) + MIB(2) + PAGE,
		  { { GIB(1) - 1, 2 }, { GIB(1), 1 }, { GIB(1) + MIB(2), 0 } },
		  3 },
		/* iova not aligned, oa congruent. */
		{ GIB(4) - PAGE, GIB(8) - PAGE, MIB(2) + PAGE, { { 0, 0 }, { PAGE, 1 } }, 2 },
		{ GIB(4) - MIB(2) - PAGE,
		  GIB(8) - MIB(2) - PAGE,
		  GIB(1) + MIB(4) + PAGE * 2,
		  { { 0, 0 },
		    { PAGE, 1 },
		    { MIB(2) + PAGE, 2 },
		    { GIB(1) + MIB(2) + PAGE, 1 },
		    { GIB(1) + MIB(4) + PAGE, 0 } },
		  5 },
		/* oa not congruent modulo 2 MiB, modulo 1 GiB. */
		{ GIB(4), GIB(8) + PAGE, MIB(2), { { 0, 0 }, { MIB(2) - 1, 0 } }, 512 },
		{ GIB(4), GIB(8) + MIB(1), MIB(4), { { 0, 0 }, { MIB(3), 0 } }, 1024 },
		{ GIB(4), GIB(8) + MIB(2), GIB(1), { { 0, 1 }, { GIB(1) - 1, 1 } }, 512 },
		{ GIB(4) + MIB(2), GIB(8), GIB(1), { { 0, 1 }, { GIB(1) - 1, 1 } }, 512 },
		{ GIB(4) + PAGE, GIB(8), MIB(4), { { 0, 0 }, { MIB(2), 0 } }, 1024 },
		/* Aligned for 2 MiB, half of them. */
		{ GIB(4) + MIB(1), GIB(8) + MIB(1), MIB(2), { { 0, 0 }, { MIB(1), 0 } }, 512 },
		{ GIB(4) + MIB(1),
		  GIB(8) + MIB(1),
		  MIB(4),
		  { { 0, 0 }, { MIB(1), 1 }, { MIB(3), 0 } },
		  256 + 1 + 256 },
		/* Across the end of an upper table. */
		{ GIB(512) - GIB(1), GIB(512) - GIB(1), GIB(2), { { 0, 2 }, { GIB(1), 2 } }, 2 },
		{ GIB(512) - MIB(2), 0, MIB(4), { { 0, 1 }, { MIB(2), 1 } }, 2 },
		{ GIB(512) - PAGE, PAGE, PAGE * 2, { { 0, 0 }, { PAGE, 0 } }, 2 },
		/* iova and oa 0. */
		{ 0, 0, GIB(1), { { 0, 2 } }, 1 },
		{ 0, GIB(8), MIB(2), { { 0, 1 } }, 1 },
	};

	for (unsigned int i = 0; i < COUNT(cases); i++) {
		struct tables t;

		tables_start(&t, *state);
		assert_int_equal(map(&t, cases[i].iova, cases[i].bytes, cases[i].oa, IOAS_RW), 0);
		for (unsigned int j = 0; j < 6 && (!j || cases[i].at[j].offset); j++)
			assert_int_equal(level_at(&t, cases[i].iova + cases[i].at[j].offset,
						  cases[i].oa + cases[i].at[j].offset, IOAS_RW),
					 cases[i].at[j].level);
		assert_int_equal(leaves(&t), cases[i].leaves);
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
	assert_int_equal(map(&t, GIB(4) + MIB(2), PAGE, 0, IOAS_RW), 0);
	assert_int_equal(unmap(&t, GIB(4) + MIB(2), PAGE), 0);
	live = t.live;
	assert_int_equal(map(&t, GIB(3), GIB(3), GIB(8), IOAS_READ), 0);
	assert_int_equal(t.live, live);
	assert_int_equal(level_at(&t, GIB(3), GIB(8), IOAS_READ), 2);
	assert_int_equal(level_at(&t, GIB(4), GIB(9), IOAS_READ), 1);
	assert_int_equal(level_at(&t, GIB(4) + MIB(2) - 1, GIB(9) + MIB(2) - 1, IOAS_READ), 1);
	assert_int_equal(level_at(&t, GIB(4) + MIB(2), GIB(9) + MIB(2), IOAS_READ), 0);
	assert_int_equal(level_at(&t, GIB(4) + MIB(4) - 1, GIB(9) + MIB(4) - 1, IOAS_READ), 0);
	assert_int_equal(level_at(&t, GIB(4) + MIB(4), GIB(9) + MIB(4), IOAS_READ), 1);
	assert_int_equal(level_at(&t, GIB(5), GIB(10), IOAS_READ), 2);
	assert_int_equal(leaves(&t), 1 + 511 + 512 + 1);
	assert_int_equal(unmap(&t, GIB(3), GIB(3)), 0);
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

/* A table at the end of a run of leaves in one upper table. */
static void table_after_a_run(void **state)
{
	struct tables t;

	tables_start(&t, *state);
	assert_int_equal(map(&t, GIB(4) + MIB(6), PAGE, MIB(50), IOAS_RW), 0);
	assert_int_equal(map(&t, GIB(4), MIB(6), GIB(8), IOAS_RW), 0);
	assert_int_equal(leaves(&t), 4);
	assert_int_equal(map(&t, GIB(4) + MIB(8), MIB(4), GIB(8), IOAS_RW), 0);
	assert_int_equal(unmap(&t, GIB(4), MIB(6)), 0);
	assert_int_equal(level_at(&t, GIB(4) + MIB(6), MIB(50), IOAS_RW), 0);
	assert_int_equal(level_at(&t, GIB(4) + MIB(8), GIB(8), IOAS_RW), 1);
	assert_int_equal(leaves(&t), 3);
	/* Over the table and past it; the page in the table is in the way, the rest goes back. */
	assert_int_equal(map(&t, GIB(4) + MIB(2), MIB(6), GIB(20), IOAS_RW), -EEXIST);
	assert_int_equal(leaves(&t), 3);
	tables_stop(&t);
}

/* The first and the last pages of the address space, in each size; and what lies beyond. */
static void edges_of_the_address_width(void **state)
{
	const struct format *f = *state;

	for (unsigned int level = 0; level < 3; level++) {
		const uint64_t size = leaf_size(level), last = beyond(f) - size;
		struct tables t;
		uint64_t oa;

		tables_start(&t, f);
		assert_int_equal(pt_address_bits(t.pt), f->address_bits);
		assert_int_equal(map(&t, 0, size, GIB(3), IOAS_RW), 0);
		assert_int_equal(map(&t, last, size, GIB(5), IOAS_READ), 0);
		assert_int_equal(level_at(&t, 0, GIB(3), IOAS_RW), level);
		assert_int_equal(level_at(&t, last, GIB(5), IOAS_READ), level);
		assert_int_equal(level_at(&t, beyond(f) - 1, GIB(5) + size - 1, IOAS_READ), level);
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
	struct pt_map_args args = { .oa = GIB(5), .prot = IOAS_RW, .cont = true };
	struct tables t;

	tables_start(&t, f);
	/* Without START: would look like the rest of a mapping that ends before it. */
	assert_int_equal(pt_map(t.pt, NULL, 0, PAGE, &args, 0), 0);
	assert_int_equal(map(&t, beyond(f) - PAGE, PAGE, GIB(3), IOAS_RW), 0);
	assert_int_equal(unmap(&t, beyond(f) - PAGE, PAGE), 0);
	assert_int_equal(leaves(&t), 1);
	tables_stop(&t);
}

/* A whole address space in a few calls, mapped as one and unmapped as one. */
static void large_mapping(void **state)
{
	const struct format *f = *state;
	const uint64_t bytes = GIB(1030);
	const uint64_t iova = beyond(f) - bytes;
	struct tables t;

	tables_start(&t, f);
	assert_int_equal(map(&t, iova, bytes, 0, IOAS_RW), 0);
	assert_int_equal(leaves(&t), 1030);
	assert_int_equal(level_at(&t, beyond(f) - 1, bytes - 1, IOAS_RW), 2);
	assert_int_equal(unmap(&t, iova, bytes - GIB(1)), -EINVAL);
	assert_int_equal(unmap(&t, iova + GIB(1), bytes - GIB(1)), -EINVAL);
	assert_int_equal(leaves(&t), 1030);
	assert_int_equal(unmap(&t, iova, bytes), 0);
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

/* A mapping goes whole, and only a whole mapping goes. */
static void exact_ranges_only(void **state)
{
	static const uint64_t sizes[] = { PAGE,	  PAGE * 3, PAGE * 700,	     MIB(2), MIB(2) + PAGE,
					  MIB(6), GIB(1),   GIB(1) + MIB(2), GIB(2) };

	for (unsigned int i = 0; i < COUNT(sizes); i++) {
		const uint64_t bytes = sizes[i], iova = GIB(40), end = iova + bytes;
		/* A neighbour of the same kind on either side. */
		const uint64_t side = bytes % MIB(2) ? PAGE : bytes % GIB(1) ? MIB(2) : GIB(1);
		uint64_t count;
		struct tables t;

		tables_start(&t, *state);
		assert_int_equal(map(&t, iova - side, side, GIB(1), IOAS_RW), 0);
		assert_int_equal(map(&t, iova, bytes, GIB(100), IOAS_RW), 0);
		assert_int_equal(map(&t, end, side, GIB(2), IOAS_RW), 0);
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
		assert_int_equal(unmap(&t, iova + GIB(600), PAGE), -ENOENT);
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
	static const uint64_t sizes[] = { PAGE, MIB(2), GIB(1) };

	for (unsigned int left = 0; left < 3; left++)
		for (unsigned int right = 0; right < 3; right++) {
			const uint64_t at = GIB(40);
			struct tables t;

			tables_start(&t, *state);
			assert_int_equal(map(&t, at - sizes[left], sizes[left], GIB(5), IOAS_RW),
					 0);
			assert_int_equal(map(&t, at, sizes[right], GIB(9), IOAS_RW), 0);
			assert_int_equal(unmap(&t, at - sizes[left], sizes[left] + sizes[right]),
					 -EINVAL);
			assert_int_equal(unmap(&t, at - sizes[left], sizes[left]), 0);
			assert_int_equal(level_at(&t, at, GIB(9), IOAS_RW), right);
			assert_int_equal(unmap(&t, at, sizes[right]), 0);
			tables_stop(&t);
		}
}

/* A claim: one only, the mapping still translates, unclaim takes it back. */
static void claims(void **state)
{
	for (unsigned int level = 0; level < 3; level++) {
		const uint64_t iova = GIB(3), bytes = leaf_size(level) * 2;
		struct tables t;

		tables_start(&t, *state);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes), -ENOENT);
		assert_int_equal(map(&t, iova, bytes, GIB(7), IOAS_READ), 0);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes / 2), -EINVAL);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes), 0);
		assert_int_equal(level_at(&t, iova, GIB(7), IOAS_READ), level);
		assert_int_equal(pt_claim(t.pt, NULL, iova, bytes), -ENOENT);
		assert_int_equal(unmap(&t, iova, bytes), -ENOENT);
		/* It is still there for those who map. */
		assert_int_equal(map(&t, iova, PAGE, 0, IOAS_RW), -EEXIST);
		assert_int_equal(level_at(&t, iova, GIB(7), IOAS_READ), level);

		pt_unclaim(t.pt, NULL, iova);
		assert_int_equal(level_at(&t, iova, GIB(7), IOAS_READ), level);
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
	static const struct {
		uint64_t bytes, oa;
		uint32_t prot;
	} parts[] = {
		{ PAGE * 2, MIB(33), IOAS_RW },		{ PAGE, MIB(77), IOAS_READ },
		{ MIB(2) - PAGE * 3, GIB(5), IOAS_RW }, { MIB(2), GIB(6), IOAS_RW },
		{ MIB(4), GIB(7) + PAGE, IOAS_WRITE },	{ PAGE, 0, IOAS_RW },
	};
	const uint64_t iova = GIB(12);
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
	static const uint64_t sizes[] = { PAGE, MIB(2), GIB(1) };

	for (unsigned int old = 0; old < 3; old++)
		for (unsigned int new = 0; new < 3; new ++)
			for (unsigned int place = 0; place < 3; place++)
				for (unsigned int claim = 0; claim < 2; claim++) {
					uint64_t at = GIB(40), iova, bytes = sizes[new] * 3;
					struct pt_map_args args = { .oa = GIB(100),
								    .prot = IOAS_RW,
								    .claim = claim,
								    .undone_bytes = 1234 };
					struct tables t;

					/* The old one in the first, second or last third. */
					iova = (at & ~(sizes[new] - 1)) - place * sizes[new];
					tables_start(&t, *state);
					assert_int_equal(map(&t, at, sizes[old], GIB(7), IOAS_READ),
							 0);
					assert_int_equal(pt_map(t.pt, NULL, iova, bytes, &args, 0),
							 -EEXIST);
					assert_int_equal(args.undone_bytes, at - iova);
					assert_int_equal(leaves(&t), 1);
					assert_int_equal(level_at(&t, at, GIB(7), IOAS_READ), old);
					assert_int_equal(unmap(&t, at, sizes[old]), 0);
					args.oa = GIB(100);
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
			uint64_t iova = GIB(2) + i % 8 * MIB(2) + i * PAGE;

			args.oa = GIB(1) + i * PAGE;
			assert_int_equal(pt_map(t.pt, &cursor, iova, PAGE, &args, 0), 0);
			assert_int_equal(level_at(&t, iova, GIB(1) + i * PAGE, IOAS_RW), 0);
			assert_int_equal(pt_map(t.pt, &other, iova, PAGE, &args, 0), -EEXIST);
			assert_int_equal(pt_unmap(t.pt, i & 1 ? &cursor : &other, iova, PAGE, 0),
					 0);
			assert_true(absent(&t, iova));
		}
	/* A run from block to block: the cursor is at neither end of it. */
	args.oa = PAGE;
	assert_int_equal(pt_map(t.pt, &cursor, GIB(2), MIB(8), &args, 0), 0);
	assert_int_equal(leaves(&t), 2048);
	assert_int_equal(pt_unmap(t.pt, &other, GIB(2), MIB(8), 0), 0);
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
		cmocka_unit_test(unknown_formats),
	};

	return RUN_FORMATS(map_tests);
}
