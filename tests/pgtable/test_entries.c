/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What hardware reads, bit by bit. Values are written out from the tables of the specifications,
 * one column per family of formats:
 *
 * x86-64: SDM vol. 3A, tables 4-15 (PML4E), 4-16 (PDPTE of a 1 GiB page), 4-17 (PDPTE of a page
 * directory), 4-18 (PDE of a 2 MiB page), 4-19 (PDE of a page table), 4-20 (PTE); VT-d 9.7.
 * Second stage: VT-d 9.8, SS-PML5E, SS-PML4E, SS-PDPE, SS-PDE, SS-PTE.
 * Arm: DDI 0487, D8.3, table, block and page descriptors of stage 1.
 * AMD: 48882, 2.2.3, page directory and page table entries.
 * RISC-V: privileged ISA, the Sv39 entry.
 */
#include "tables.h"

static const struct column {
	enum ioas_format first_of, last_of;
	uint64_t small[IOAS_RW + 1]; /* a page with the builder's mark of a first leaf, by rights */
	uint64_t large[IOAS_RW + 1]; /* a leaf above level 0 */
	uint64_t table, next; /* an entry, at level 0, of a table; more for each level above */
	uint64_t mark, claim; /* the builder's bits, which hardware ignores */
	uint64_t present;
	unsigned int stamp_bit; /* above every bit that would make an entry present */
	uint64_t address;
	unsigned int oa_shift;
	uint64_t oa; /* one with bits all over the width */
} columns[] = {
	{
		.first_of = IOAS_FORMAT_X86_64_L4,
		.last_of = IOAS_FORMAT_X86_64_L5,
		/* P | U/S | A | D, R/W; bit 9 */
		.small = { [IOAS_READ] = 0x265, [IOAS_WRITE] = 0x267, [IOAS_RW] = 0x267 },
		/* bit 7, PS */
		.large = { [IOAS_READ] = 0x2e5, [IOAS_WRITE] = 0x2e7, [IOAS_RW] = 0x2e7 },
		/* P | R/W | U/S | A: rights are decided in the leaf alone */
		.table = 0x27,
		.mark = 0x200,
		.claim = 0x400,
		.present = 0x1,
		.stamp_bit = 1,
		.address = 0x000ffffffffff000,
		.oa = 0x000a5a5a5a5a5000,
	},
	{
		.first_of = IOAS_FORMAT_VTDSS_L4,
		.last_of = IOAS_FORMAT_VTDSS_L5,
		/* R, W; bit 52 */
		.small = { [IOAS_READ] = 0x0010000000000001,
			   [IOAS_WRITE] = 0x0010000000000002,
			   [IOAS_RW] = 0x0010000000000003 },
		/* bit 7, PS */
		.large = { [IOAS_READ] = 0x0010000000000081,
			   [IOAS_WRITE] = 0x0010000000000082,
			   [IOAS_RW] = 0x0010000000000083 },
		.table = 0x3,
		.mark = 0x0010000000000000,
		.claim = 0x0020000000000000,
		.present = 0x7, /* X as well */
		.stamp_bit = 3,
		.address = 0x000ffffffffff000,
		.oa = 0x000a5a5a5a5a5000,
	},
	{
		.first_of = IOAS_FORMAT_ARM64_S1_4K,
		.last_of = IOAS_FORMAT_ARM64_S1_64K,
		/* valid, page | AP unprivileged, read-only | SH inner | AF | nG | PXN | UXN; bit 55
		 */
		.small = { [IOAS_READ] = 0x00e0000000000fc3,
			   [IOAS_WRITE] = 0x00e0000000000f43,
			   [IOAS_RW] = 0x00e0000000000f43 },
		/* a block: bit 1 is 0 */
		.large = { [IOAS_READ] = 0x00e0000000000fc1,
			   [IOAS_WRITE] = 0x00e0000000000f41,
			   [IOAS_RW] = 0x00e0000000000f41 },
		.table = 0x3,
		.mark = 0x0080000000000000,
		.claim = 0x0100000000000000,
		.present = 0x1,
		.stamp_bit = 1,
		.address = 0x0000fffffffff000,
		.oa = 0x0000a5a5a5a50000,
	},
	{
		.first_of = IOAS_FORMAT_AMDV1_L4,
		.last_of = IOAS_FORMAT_AMDV1_L6,
		/* PR | FC, IR, IW; bit 1. Next Level is 0 in a page of whatever level */
		.small = { [IOAS_READ] = 0x3000000000000003,
			   [IOAS_WRITE] = 0x5000000000000003,
			   [IOAS_RW] = 0x7000000000000003 },
		.large = { [IOAS_READ] = 0x3000000000000003,
			   [IOAS_WRITE] = 0x5000000000000003,
			   [IOAS_RW] = 0x7000000000000003 },
		/* PR | IR | IW, and bits 9 to 11 */
		.table = 0x6000000000000001,
		.next = 0x200,
		.mark = 0x2,
		.claim = 0x4,
		.present = 0x1,
		.stamp_bit = 1,
		.address = 0x000ffffffffff000,
		.oa = 0x000a5a5a5a5a5000,
	},
	{
		.first_of = IOAS_FORMAT_RISCV_SV39,
		.last_of = IOAS_FORMAT_RISCV_SV57,
		/* V | R, W | U | A | D; bit 8. What points to a table has V alone */
		.small = { [IOAS_READ] = 0x1d3, [IOAS_WRITE] = 0x1d7, [IOAS_RW] = 0x1d7 },
		.large = { [IOAS_READ] = 0x1d3, [IOAS_WRITE] = 0x1d7, [IOAS_RW] = 0x1d7 },
		.table = 0x1,
		.mark = 0x100,
		.claim = 0x200,
		.present = 0x1,
		.stamp_bit = 1,
		.address = 0x003ffffffffffc00,
		.oa_shift = 2,
		.oa = 0x00a5a5a5a5a5a000,
	},
};

static const struct column *column_of(const struct format *f)
{
	for (unsigned int i = 0; i < COUNT(columns); i++)
		if (f->format >= columns[i].first_of && f->format <= columns[i].last_of)
			return &columns[i];
	fail_msg("%s: no column", f->name);
	return NULL;
}

static uint64_t leaf(const struct column *c, unsigned int level, uint32_t prot, uint64_t oa)
{
	return (level ? c->large : c->small)[prot] | oa >> c->oa_shift;
}

/* Entries of the page at @addr that are not 0. */
static unsigned int used(uint64_t addr)
{
	_Atomic uint64_t *entries = (_Atomic uint64_t *)(uintptr_t)(addr ^ ADDRESS_DISGUISE);
	unsigned int count = 0;

	for (unsigned int i = 0; i < ENTRIES; i++)
		count += atomic_load(&entries[i]) != 0;
	return count;
}

static void leaves_and_the_way_to_them(void **state)
{
	const struct format *f = *state;
	const struct column *c = column_of(f);

	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
		for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
			/* An index of its own at each level. */
			const uint64_t size = leaf_size(level);
			const uint64_t oa = c->oa & ~(size - 1);
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
				assert_int_equal(entry & ~c->address, c->table + c->next * at);
				addr = (entry & c->address) << c->oa_shift;
			}
			assert_int_equal(used(addr), 1);
			assert_int_equal(entry_value(&t, iova, level), leaf(c, level, prot, oa));
			tables_stop(&t);
		}
}

/* The mark is on the first leaf of the first part, whatever its size, and nowhere else. */
static void mark_of_the_first_leaf(void **state)
{
	const struct format *f = *state;
	const struct column *c = column_of(f);
	const uint64_t iova = L2(2) - L1(1) - PAGE * 2, oa = L2(8) - L1(1) - PAGE * 2;
	const unsigned int top = as_leaf(2);
	struct pt_map_args args = { .prot = IOAS_READ };
	struct tables t;

	tables_start(&t, f);
	args.oa = oa;
	assert_int_equal(pt_map(t.pt, NULL, iova, L1(1) + PAGE * 2 + L2(2), &args, 0), 0);
	assert_int_equal(entry_value(&t, iova, 0), leaf(c, 0, IOAS_READ, oa));
	assert_int_equal(entry_value(&t, iova + PAGE, 0),
			 leaf(c, 0, IOAS_READ, oa + PAGE) & ~c->mark);
	assert_int_equal(entry_value(&t, iova + PAGE * 2, 1),
			 leaf(c, 1, IOAS_READ, oa + PAGE * 2) & ~c->mark);
	assert_int_equal(entry_value(&t, L2(2), top), leaf(c, top, IOAS_READ, L2(8)) & ~c->mark);
	assert_int_equal(entry_value(&t, L2(3), top), leaf(c, top, IOAS_READ, L2(9)) & ~c->mark);
	/* A further part. */
	args = (struct pt_map_args){ .oa = L2(20), .prot = IOAS_RW, .cont = true };
	assert_int_equal(pt_map(t.pt, NULL, L2(4), L1(1), &args, 0), 0);
	assert_int_equal(entry_value(&t, L2(4), 1), leaf(c, 1, IOAS_RW, L2(20)) & ~c->mark);
	tables_stop(&t);
}

static void mark_of_a_claim(void **state)
{
	const struct format *f = *state;
	const struct column *c = column_of(f);
	uint64_t before;
	struct tables t;

	tables_start(&t, f);
	for (unsigned int level = 0; level < fmt->leaf_levels; level++) {
		const uint64_t iova = L2(8) * (level + 1), size = leaf_size(level);

		assert_int_equal(map(&t, iova, size * 2, L2(4), IOAS_RW), 0);
		before = entry_value(&t, iova, level);
		assert_int_equal(pt_claim(t.pt, NULL, iova, size * 2), 0);
		assert_int_equal(entry_value(&t, iova, level), before | c->claim);
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
	const struct column *c = column_of(f);
	struct tables t;

	tables_start(&t, f);
	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
		for (unsigned int bit = 0; bit <= PT_STAMP_BITS; bit++) {
			const uint64_t iova = L2(8) * (level + 1), size = leaf_size(level);
			const uint64_t stamp =
				bit < PT_STAMP_BITS ? BIT(bit) : BIT(PT_STAMP_BITS) - 1;

			assert_int_equal(map(&t, iova, size, L2(4), IOAS_RW), 0);
			assert_int_equal(pt_unmap(t.pt, NULL, iova, size, stamp), 0);
			assert_int_equal(entry_value(&t, iova, level), stamp << c->stamp_bit);
			assert_int_equal(entry_value(&t, iova, level) & c->present, 0);
			assert_int_equal(stamp << c->stamp_bit >> c->stamp_bit, stamp);
			assert_true(absent(&t, iova));
		}
	tables_stop(&t);
}

/* Entries that a window composes by itself are those that pt_map() writes. */
static void entry_form(void **state)
{
	const struct format *f = *state;
	const struct column *c = column_of(f);
	const struct pt_entry_form *form;
	struct tables t;

	tables_start(&t, f);
	form = pt_entry_form(t.pt);
	assert_int_equal(form->present & c->present, form->present);
	assert_int_equal(form->stamp_shift, c->stamp_bit);
	assert_int_equal(form->start, c->mark);
	assert_int_equal(form->claim, c->claim);
	for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
		const uint64_t oa = c->oa & ~(PAGE - 1), iova = L2(3) + prot * PAGE;
		struct pt_table *leaf_table;

		assert_int_equal(form->base[prot], c->small[prot]);
		assert_int_equal(map(&t, iova, PAGE, oa, prot), 0);
		assert_int_equal(entry_value(&t, iova, 0),
				 form->base[prot] + (oa >> form->oa_shift));
		/* And one written that way is a mapping like any other. */
		assert_int_equal(pt_install(t.pt, L2(5), 1, &leaf_table), 0);
		atomic_store(&leaf_table->entries[prot], form->base[prot] + (oa >> form->oa_shift));
		assert_int_equal(level_at(&t, L2(5) + prot * PAGE, oa, prot), 0);
		assert_int_equal(unmap(&t, L2(5) + prot * PAGE, PAGE), 0);
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
