/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What hardware reads, bit by bit. Values are written out from the tables of the specifications,
 * one column per format:
 *
 * x86-64: SDM vol. 3A, tables 4-15 (PML4E), 4-16 (PDPTE of a 1 GiB page), 4-17 (PDPTE of a page
 * directory), 4-18 (PDE of a 2 MiB page), 4-19 (PDE of a page table), 4-20 (PTE); VT-d 9.7.
 * Second stage: VT-d 9.8, SS-PML4E, SS-PDPE, SS-PDE, SS-PTE.
 */
#include "tables.h"

enum { X86, SS };

static unsigned int family(const struct format *f)
{
	return f->format == IOAS_FORMAT_VTDSS_L4 ? SS : X86;
}

/* By family and enum ioas_prot: the low bits of a 4 KiB leaf, with the mark of its first page. */
static const uint64_t small_leaf[2][IOAS_RW + 1] = {
	/* P | U/S | A | D, R/W; bit 9 is ignored by hardware */
	[X86] = { [IOAS_READ] = 0x265, [IOAS_WRITE] = 0x267, [IOAS_RW] = 0x267 },
	/* R, W; bit 52 is ignored by hardware */
	[SS] = { [IOAS_READ] = 0x0010000000000001,
		 [IOAS_WRITE] = 0x0010000000000002,
		 [IOAS_RW] = 0x0010000000000003 },
};
/* The same of 2 MiB and 1 GiB leaves: bit 7, PS. */
static const uint64_t large_leaf[2][IOAS_RW + 1] = {
	[X86] = { [IOAS_READ] = 0x2e5, [IOAS_WRITE] = 0x2e7, [IOAS_RW] = 0x2e7 },
	[SS] = { [IOAS_READ] = 0x0010000000000081,
		 [IOAS_WRITE] = 0x0010000000000082,
		 [IOAS_RW] = 0x0010000000000083 },
};
/* P | R/W | U/S | A; R | W: rights are decided in the leaf alone. */
static const uint64_t table[2] = { [X86] = 0x27, [SS] = 0x3 };
static const uint64_t first_page[2] = { [X86] = 0x200, [SS] = 0x0010000000000000 };
static const uint64_t claimed[2] = { [X86] = 0x400, [SS] = 0x0020000000000000 };
/* Where a stamp begins: above every bit that would make the entry present. */
static const unsigned int stamp_bit[2] = { [X86] = 1, [SS] = 3 };

/* Entries of the page at @addr that are not 0. */
static unsigned int used(uint64_t addr)
{
	_Atomic uint64_t *entries = (_Atomic uint64_t *)(uintptr_t)(addr ^ ADDRESS_DISGUISE);
	unsigned int count = 0;

	for (unsigned int i = 0; i < 512; i++)
		count += atomic_load(&entries[i]) != 0;
	return count;
}

static void leaves_and_the_way_to_them(void **state)
{
	const struct format *f = *state;
	const unsigned int kind = family(f);

	for (unsigned int level = 0; level < 3; level++)
		for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
			/* Address bits up to 51, and an index of its own at each level. */
			const uint64_t size = leaf_size(level);
			const uint64_t oa = UINT64_C(0x000a5a5a5a5a5000) & ~(size - 1);
			const uint64_t iova =
				UINT64_C(0x00a55a96693ca000) & (beyond(f) - 1) & ~(size - 1);
			uint64_t addr, entry;
			struct tables t;

			tables_start(&t, f);
			assert_int_equal(map(&t, iova, size, oa, prot), 0);
			addr = pt_root(t.pt);
			for (unsigned int at = f->levels - 1; at > level; at--) {
				entry = entry_value(&t, iova, at);
				assert_int_equal(used(addr), 1);
				assert_int_equal(entry & ~ENTRY_ADDRESS, table[kind]);
				addr = entry & ENTRY_ADDRESS;
			}
			assert_int_equal(used(addr), 1);
			assert_int_equal(entry_value(&t, iova, level),
					 oa | (level ? large_leaf : small_leaf)[kind][prot]);
			tables_stop(&t);
		}
}

/* The mark is on the first leaf of the first part, whatever its size, and nowhere else. */
static void mark_of_the_first_leaf(void **state)
{
	const struct format *f = *state;
	const unsigned int kind = family(f);
	const uint64_t iova = GIB(2) - MIB(2) - PAGE * 2, oa = GIB(8) - MIB(2) - PAGE * 2;
	struct pt_map_args args = { .prot = IOAS_READ };
	struct tables t;

	tables_start(&t, f);
	args.oa = oa;
	assert_int_equal(pt_map(t.pt, NULL, iova, MIB(2) + PAGE * 2 + GIB(2), &args, 0), 0);
	assert_int_equal(entry_value(&t, iova, 0), oa | small_leaf[kind][IOAS_READ]);
	assert_int_equal(entry_value(&t, iova + PAGE, 0),
			 (oa + PAGE) | (small_leaf[kind][IOAS_READ] & ~first_page[kind]));
	assert_int_equal(entry_value(&t, iova + PAGE * 2, 1),
			 (oa + PAGE * 2) | (large_leaf[kind][IOAS_READ] & ~first_page[kind]));
	assert_int_equal(entry_value(&t, GIB(2), 2),
			 GIB(8) | (large_leaf[kind][IOAS_READ] & ~first_page[kind]));
	assert_int_equal(entry_value(&t, GIB(3), 2),
			 GIB(9) | (large_leaf[kind][IOAS_READ] & ~first_page[kind]));
	/* A further part. */
	args = (struct pt_map_args){ .oa = GIB(70), .prot = IOAS_RW, .cont = true };
	assert_int_equal(pt_map(t.pt, NULL, GIB(4), MIB(2), &args, 0), 0);
	assert_int_equal(entry_value(&t, GIB(4), 1),
			 GIB(70) | (large_leaf[kind][IOAS_RW] & ~first_page[kind]));
	tables_stop(&t);
}

static void mark_of_a_claim(void **state)
{
	const struct format *f = *state;
	const unsigned int kind = family(f);
	uint64_t before;
	struct tables t;

	tables_start(&t, f);
	for (unsigned int level = 0; level < 3; level++) {
		const uint64_t iova = GIB(8) * (level + 1), size = leaf_size(level);

		assert_int_equal(map(&t, iova, size * 2, GIB(4), IOAS_RW), 0);
		before = entry_value(&t, iova, level);
		assert_int_equal(pt_claim(t.pt, NULL, iova, size * 2), 0);
		assert_int_equal(entry_value(&t, iova, level), before | claimed[kind]);
		pt_unclaim(t.pt, NULL, iova);
		assert_int_equal(entry_value(&t, iova, level), before);
		assert_int_equal(pt_claim(t.pt, NULL, iova, size * 2), 0);
		pt_clear(t.pt, NULL, iova, size * 2, 0);
		assert_int_equal(entry_value(&t, iova, level), 0);
		assert_int_equal(entry_value(&t, iova + size, level), 0);
	}
	tables_stop(&t);
}

/* An entry with a stamp is not present, whatever the stamp. */
static void stamps(void **state)
{
	const struct format *f = *state;
	const unsigned int kind = family(f);
	const uint64_t present = kind == X86 ? 0x1 : 0x3;
	struct tables t;

	tables_start(&t, f);
	for (unsigned int level = 0; level < 3; level++)
		for (unsigned int bit = 0; bit <= PT_STAMP_BITS; bit++) {
			const uint64_t iova = GIB(8) * (level + 1), size = leaf_size(level);
			const uint64_t stamp =
				bit < PT_STAMP_BITS ? BIT(bit) : BIT(PT_STAMP_BITS) - 1;

			assert_int_equal(map(&t, iova, size, GIB(4), IOAS_RW), 0);
			assert_int_equal(pt_unmap(t.pt, NULL, iova, size, stamp), 0);
			assert_int_equal(entry_value(&t, iova, level), stamp << stamp_bit[kind]);
			assert_int_equal(entry_value(&t, iova, level) & present, 0);
			assert_int_equal(stamp << stamp_bit[kind] >> stamp_bit[kind], stamp);
			assert_true(absent(&t, iova));
		}
	tables_stop(&t);
}

/* Entries that a window composes by itself are those that pt_map() writes. */
static void entry_form(void **state)
{
	const struct format *f = *state;
	const unsigned int kind = family(f);
	const struct pt_entry_form *form;
	struct tables t;

	tables_start(&t, f);
	form = pt_entry_form(t.pt);
	assert_int_equal(form->present, kind == X86 ? 0x1 : 0x3);
	assert_int_equal(form->stamp_shift, stamp_bit[kind]);
	for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
		const uint64_t oa = UINT64_C(0x000a5a5a5a5a5000), iova = GIB(3) + prot * PAGE;
		struct pt_table *leaf_table;

		assert_int_equal(form->base[prot], small_leaf[kind][prot]);
		assert_int_equal(map(&t, iova, PAGE, oa, prot), 0);
		assert_int_equal(entry_value(&t, iova, 0),
				 form->base[prot] + (oa >> form->oa_shift));
		/* And one written that way is a mapping like any other. */
		assert_int_equal(pt_install(t.pt, GIB(5), 1, &leaf_table), 0);
		atomic_store(&leaf_table->entries[prot], form->base[prot] + (oa >> form->oa_shift));
		assert_int_equal(level_at(&t, GIB(5) + prot * PAGE, oa, prot), 0);
		assert_int_equal(unmap(&t, GIB(5) + prot * PAGE, PAGE), 0);
	}
	tables_stop(&t);
}

int main(void)
{
	const struct CMUnitTest entry_tests[] = {
		cmocka_unit_test(leaves_and_the_way_to_them),
		cmocka_unit_test(mark_of_the_first_leaf),
		cmocka_unit_test(mark_of_a_claim),
		cmocka_unit_test(stamps),
		cmocka_unit_test(entry_form),
	};

	return RUN_FORMATS(entry_tests);
}
