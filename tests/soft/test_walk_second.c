/* SPDX-License-Identifier: BSD-3-Clause */
/* Second-stage and nested walks against tables written by hand: VT-d 3.7, 3.8, 9.8. */
#include "machine.h"

#define LEAF (P | RW | US | A | D)

static void second_only(struct machine *m)
{
	soft_endpoint_set(&m->device, &(struct soft_context){ .kind = SOFT_SECOND_STAGE,
							      .domain = PARENT,
							      .root = addr_of(m->parent) });
}

/* VT-d 9.8: SS-PTE, SS-PDE with PS, SS-PDPE with PS. */
static void every_leaf_size(void **state)
{
	(void)state;
	for (unsigned int level = 0; level <= 2; level++) {
		uint64_t mask = (UINT64_C(1) << (12 + 9 * level)) - 1;
		uint64_t target, iova;
		size_t bytes = GIB(4);
		struct machine m;

		machine_start(&m, NULL);
		second_only(&m);
		target = addr_of(m.memory) + MIB(3) + 0x123;
		iova = GIB(600) | (target & mask);
		set_entry(second(&m, iova, level), (target & ~mask) | SRW | (level ? PS : 0));
		assert_ptr_equal(dma(&m, iova, &bytes, IOAS_RW), target);
		assert_int_equal(bytes, mask + 1 - (target & mask));
		bytes = 8;
		assert_ptr_equal(dma(&m, iova, &bytes, IOAS_RW), target);
		assert_int_equal(bytes, 8);
		machine_stop(&m);
	}
}

/* R and W are separate, and each is the AND of all levels. R = W = 0 is not present. */
static void rights(void **state)
{
	(void)state;
	for (unsigned int level = 0; level < 4; level++) {
		struct machine m;
		uint64_t *entry;

		machine_start(&m, NULL);
		second_only(&m);
		set_entry(second(&m, GIB(600), 0), addr_of(m.memory) | SRW);
		entry = second(&m, GIB(600), level);

		set_entry(entry, *entry & ~SW);
		assert_non_null(dma_read(&m, GIB(600)));
		assert_int_equal(stopped(&m, GIB(600), IOAS_WRITE), IOAS_FAULT_PERMISSION);
		flush(&m, PARENT);
		set_entry(entry, (*entry & ~SR) | SW);
		assert_non_null(dma_write(&m, GIB(600)));
		assert_int_equal(stopped(&m, GIB(600), IOAS_READ), IOAS_FAULT_PERMISSION);
		flush(&m, PARENT);
		/* X does not make an entry present: requests here never execute. */
		set_entry(entry, (*entry & ~SRW) | SX);
		assert_int_equal(stopped(&m, GIB(600), IOAS_READ), IOAS_FAULT_NOT_PRESENT);
		machine_stop(&m);
	}
}

static void reserved_bits_and_width(void **state)
{
	struct machine m;
	uint64_t *entry, valid;

	(void)state;
	machine_start(&m, NULL);
	second_only(&m);
	entry = second(&m, GIB(600), 0);
	valid = addr_of(m.memory) | SRW;
	for (unsigned int bit = 48; bit <= 51; bit++) {
		set_entry(entry, valid | UINT64_C(1) << bit);
		assert_int_equal(stopped(&m, GIB(600), IOAS_READ), IOAS_FAULT_RESERVED);
	}
	set_entry(entry, valid | UINT64_C(0xfff0000000000700)); /* ignored */
	assert_ptr_equal(dma_read(&m, GIB(600)), m.memory);

	entry = second(&m, GIB(700), 1);
	set_entry(entry, addr_of(m.memory) | SRW | PS | 0x1000);
	assert_int_equal(stopped(&m, GIB(700), IOAS_READ), IOAS_FAULT_RESERVED);
	entry = second(&m, GIB(800), 2);
	set_entry(entry, (addr_of(m.memory) & ~(GIB(1) - 1)) | SRW | PS | MIB(2));
	assert_int_equal(stopped(&m, GIB(800), IOAS_READ), IOAS_FAULT_RESERVED);
	entry = second(&m, GIB(1200), 3);
	set_entry(entry, addr_of(m.memory) | SRW | PS);
	assert_int_equal(stopped(&m, GIB(1200), IOAS_READ), IOAS_FAULT_RESERVED);

	assert_int_equal(stopped(&m, (UINT64_C(1) << 48) | GIB(600), IOAS_READ),
			 IOAS_FAULT_ADDRESS);
	assert_int_equal(stopped(&m, (UINT64_C(1) << 63) | GIB(600), IOAS_READ),
			 IOAS_FAULT_ADDRESS);
	machine_stop(&m);
}

/* First stage at parent addresses far from the physical ones: every pointer is translated. */
static void nested_pointers_are_translated(void **state)
{
	const uint64_t moved = GIB(3000);
	struct soft_context context;
	struct soft_counters before, after;
	struct machine m;
	uint64_t *tables[4];
	size_t bytes = PAGE;

	(void)state;
	machine_start(&m, NULL);
	for (unsigned int i = 0; i < 4; i++) {
		tables[i] = page_new(&m);
		set_entry(second(&m, moved + i * PAGE, 0), addr_of(tables[i]) | SR);
	}
	set_entry(second(&m, moved + 9 * PAGE, 0), addr_of(m.memory + MIB(40)) | SRW);
	for (unsigned int level = 3; level > 0; level--)
		set_entry(&tables[level][index_of(GIB(9), level)],
			  (moved + (level - 1) * PAGE) | TREE);
	set_entry(&tables[0][index_of(GIB(9), 0)], (moved + 9 * PAGE) | LEAF);
	context = m.device.context;
	context.root = moved + 3 * PAGE;
	soft_endpoint_set(&m.device, &context);

	soft_unit_read_counters(m.unit, &before);
	assert_ptr_equal(dma(&m, GIB(9) + 7, &bytes, IOAS_RW), m.memory + MIB(40) + 7);
	assert_int_equal(bytes, PAGE - 7);
	soft_unit_read_counters(m.unit, &after);
	/* 4 of the first stage; second stage: one whole walk, then its leaf table is known. */
	assert_int_equal(after.walk_reads - before.walk_reads, 4 + 4 + 4);
	machine_stop(&m);
}

/* Whatever the second stage refuses is a fault of the parent stage. */
static void nested_faults_of_the_parent(void **state)
{
	(void)state;
	/* Which page the parent stage does not give: the tables 0 to 3, or the data (4). */
	for (unsigned int missing = 0; missing < 5; missing++) {
		const uint64_t moved = GIB(3000);
		struct machine m;
		struct soft_context context;
		uint64_t *hole;

		machine_start(&m, NULL);
		for (unsigned int i = 0; i < 5; i++) {
			uint64_t *page = page_new(&m);

			set_entry(second(&m, moved + i * PAGE, 0), addr_of(page) | SRW);
			if (i == 0)
				set_entry(&page[index_of(GIB(9), 0)], (moved + 4 * PAGE) | LEAF);
			else if (i < 4)
				set_entry(&page[index_of(GIB(9), i)],
					  (moved + (i - 1) * PAGE) | TREE);
		}
		context = m.device.context;
		context.root = moved + 3 * PAGE;
		soft_endpoint_set(&m.device, &context);
		hole = second(&m, moved + missing * PAGE, 0);

		set_entry(hole, *hole & ~SR); /* write-only: neither a table nor readable data */
		assert_int_equal(stopped(&m, GIB(9), IOAS_READ), IOAS_FAULT_PARENT);
		if (missing == 4)
			assert_non_null(dma_write(&m, GIB(9)));
		flush(&m, PARENT);
		flush(&m, CHILD);
		set_entry(hole, (*hole & ~SRW) | SR);
		if (missing == 4)
			assert_int_equal(stopped(&m, GIB(9), IOAS_WRITE), IOAS_FAULT_PARENT);
		assert_non_null(dma_read(&m, GIB(9)));
		flush(&m, PARENT);
		flush(&m, CHILD);
		set_entry(hole, 0);
		assert_int_equal(stopped(&m, GIB(9), IOAS_WRITE), IOAS_FAULT_PARENT);
		machine_stop(&m);
	}
}

/* Rights and page size of a cached translation are those of both stages together. */
static void nested_combination(void **state)
{
	struct soft_counters c;
	struct machine m;
	size_t bytes;

	(void)state;
	machine_start(&m, NULL);
	/* 2 MiB leaf over 4 KiB leaves: the result is 4 KiB. */
	for (unsigned int i = 0; i < 512; i++)
		set_entry(second(&m, GIB(2000) + i * PAGE, 0),
			  addr_of(m.memory + MIB(32) + (511 - i) * PAGE) | (i == 5 ? SR : SRW));
	set_entry(first(&m, GIB(9), 1), GIB(2000) | LEAF | PS);
	for (unsigned int i = 0; i < 512; i++) {
		bytes = MIB(2);
		assert_ptr_equal(dma(&m, GIB(9) + i * PAGE + 8, &bytes, IOAS_READ),
				 m.memory + MIB(32) + (511 - i) * PAGE + 8);
		assert_int_equal(bytes, PAGE - 8);
	}
	assert_int_equal(stopped(&m, GIB(9) + 5 * PAGE, IOAS_WRITE), IOAS_FAULT_PARENT);
	assert_non_null(dma_write(&m, GIB(9) + 6 * PAGE));
	/* 1 GiB over 2 MiB. */
	set_entry(first(&m, GIB(20), 2), (addr_of(m.memory) & ~(GIB(1) - 1)) | LEAF | PS);
	bytes = GIB(1);
	assert_ptr_equal(dma(&m, GIB(20) | (addr_of(m.memory) & (GIB(1) - 1)), &bytes, IOAS_READ),
			 m.memory);
	assert_int_equal(bytes, MIB(2));
	/* Read-only first stage over a writable second: the entry says read-only. */
	set_entry(first(&m, GIB(30), 0), (addr_of(m.memory) | LEAF) & ~RW);
	assert_non_null(dma_read(&m, GIB(30)));
	assert_int_equal(stopped(&m, GIB(30), IOAS_WRITE), IOAS_FAULT_PERMISSION);
	soft_unit_read_counters(m.unit, &c);
	assert_int_equal(c.faults, 2);
	machine_stop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_leaf_size),
		cmocka_unit_test(rights),
		cmocka_unit_test(reserved_bits_and_width),
		cmocka_unit_test(nested_pointers_are_translated),
		cmocka_unit_test(nested_faults_of_the_parent),
		cmocka_unit_test(nested_combination),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
