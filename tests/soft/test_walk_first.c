/* SPDX-License-Identifier: BSD-3-Clause */
/* First-stage walks against tables written by hand: VT-d 3.6 and 9.7, SDM vol. 3A 4.5. */
#include "machine.h"

#define LEAF (P | RW | US | A | D)

static uint64_t offset_bits(unsigned int level)
{
	return (UINT64_C(1) << (12 + 9 * level)) - 1;
}

/* SDM tables 4-20, 4-18, 4-16: 4 KiB, 2 MiB, 1 GiB leaves, with 4 and with 5 levels. */
static void every_leaf_size(void **state)
{
	(void)state;
	for (unsigned int levels = 4; levels <= 5; levels++)
		for (unsigned int level = 0; level <= 2; level++) {
			uint64_t iova =
				(levels == 5 ? UINT64_C(0x00123456) << 30 : GIB(77)) + 0x12345678;
			uint64_t page, target;
			struct machine m;
			size_t bytes = GIB(2);
			uint8_t *ptr;

			machine_start(&m, NULL);
			machine_nest(&m, levels);
			target = addr_of(m.memory + MIB(32)) + 0x678;
			page = target & ~offset_bits(level);
			iova = (iova & ~offset_bits(level)) | (target & offset_bits(level));
			set_entry(first(&m, iova, level), page | LEAF | (level ? PS : 0));

			ptr = dma(&m, iova, &bytes, IOAS_WRITE);
			assert_ptr_equal(ptr, target);
			/* To the end of the smaller page of the two stages. */
			assert_int_equal(bytes,
					 level ? MIB(2) - (target & (MIB(2) - 1)) : PAGE - 0x678);
			machine_stop(&m);
		}
}

static void reads_per_level(void **state)
{
	(void)state;
	for (unsigned int levels = 4; levels <= 5; levels++) {
		struct soft_counters c;
		struct machine m;

		machine_start(&m, NULL);
		machine_nest(&m, levels);
		set_entry(first(&m, GIB(3), 0), addr_of(m.memory) | LEAF);
		set_entry(first(&m, GIB(3) + PAGE, 0), addr_of(m.memory) | LEAF);
		assert_non_null(dma_read(&m, GIB(3)));
		soft_unit_read_counters(m.unit, &c);
		/* First stage, and three second-stage entries once: the rest of it is cached. */
		assert_int_equal(c.walk_reads, levels + 3);
		assert_int_equal(c.misses, 1);
		assert_non_null(dma_read(&m, GIB(3) + PAGE));
		assert_non_null(dma_read(&m, GIB(3)));
		soft_unit_read_counters(m.unit, &c);
		assert_int_equal(c.walk_reads, levels + 4); /* the leaf */
		assert_int_equal(c.psc_hits, 1);
		assert_int_equal(c.hits, 1);
		machine_stop(&m);
	}
}

/* R/W is the AND of all levels; U/S as well (VT-d 3.6.1: requests are user-mode). */
static void rights_of_all_levels_count(void **state)
{
	(void)state;
	for (unsigned int weak = 0; weak < 4; weak++) {
		struct machine m;
		uint64_t *entry;

		machine_start(&m, NULL);
		set_entry(first(&m, GIB(3), 0), addr_of(m.memory) | LEAF);
		entry = first(&m, GIB(3), weak);
		set_entry(entry, *entry & ~RW);
		assert_ptr_equal(dma_read(&m, GIB(3)), m.memory);
		assert_int_equal(stopped(&m, GIB(3), IOAS_WRITE), IOAS_FAULT_PERMISSION);
		assert_int_equal(stopped(&m, GIB(3), IOAS_RW), IOAS_FAULT_PERMISSION);
		flush(&m, CHILD);
		set_entry(entry, (*entry | RW) & ~US);
		assert_int_equal(stopped(&m, GIB(3), IOAS_READ), IOAS_FAULT_PERMISSION);
		machine_stop(&m);
	}
}

/* P = 0: every other bit is ignored (SDM 4.5.4). */
static void not_present_at_each_level(void **state)
{
	(void)state;
	for (unsigned int levels = 4; levels <= 5; levels++)
		for (unsigned int level = 0; level < levels; level++) {
			struct machine m;

			machine_start(&m, NULL);
			machine_nest(&m, levels);
			set_entry(first(&m, GIB(3), level), ~UINT64_C(0) & ~P);
			assert_int_equal(stopped(&m, GIB(3), IOAS_READ), IOAS_FAULT_NOT_PRESENT);
			machine_stop(&m);
		}
}

struct bit_case {
	unsigned int level;
	uint64_t bits; /* beside a valid entry */
	bool leaf;
	bool reserved;
};

static void reserved_bits(void **state)
{
	static const struct bit_case cases[] = {
		/* Address bits above the host address width (48) at every level. */
		{ 0, UINT64_C(1) << 48, true, true },
		{ 0, UINT64_C(1) << 51, true, true },
		{ 1, UINT64_C(1) << 48, false, true },
		{ 2, UINT64_C(1) << 50, false, true },
		{ 3, UINT64_C(1) << 51, false, true },
		{ 1, UINT64_C(1) << 49, true, true },
		/* Large leaves: bits 20..13 of 2 MiB, 29..13 of 1 GiB; bit 12 is PAT. */
		{ 1, UINT64_C(1) << 13, true, true },
		{ 1, UINT64_C(1) << 20, true, true },
		{ 1, PAT, true, false },
		{ 2, UINT64_C(1) << 13, true, true },
		{ 2, UINT64_C(1) << 29, true, true },
		{ 2, PAT, true, false },
		/* PS in a PML4E is reserved; bit 7 of a PTE is PAT. */
		{ 3, PS, false, true },
		{ 0, PS, true, false },
		/* Ignored: 8 (G), 9 to 11, 52 to 62, XD; PWT and PCD. */
		{ 0, UINT64_C(0x7ff0000000000f18) | XD, true, false },
		{ 1, UINT64_C(0x7ff0000000000f18) | XD, true, false },
		{ 1, UINT64_C(0x7ff0000000000f18) | XD, false, false },
		{ 3, UINT64_C(0x7ff0000000000f18) | XD, false, false },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct bit_case *c = &cases[i];
		struct machine m;
		uint64_t *entry, iova;

		machine_start(&m, NULL);
		iova = GIB(5) | (addr_of(m.memory) & (GIB(1) - 1));
		if (c->leaf) {
			entry = first(&m, iova, c->level);
			set_entry(entry, (addr_of(m.memory) & ~offset_bits(c->level)) | LEAF |
						 (c->level ? PS : 0));
		} else {
			set_entry(first(&m, iova, 0), addr_of(m.memory) | LEAF);
			entry = first(&m, iova, c->level);
		}
		set_entry(entry, *entry | c->bits);
		if (c->reserved)
			assert_int_equal(stopped(&m, iova, IOAS_READ), IOAS_FAULT_RESERVED);
		else
			assert_ptr_equal(dma_read(&m, iova), m.memory);
		machine_stop(&m);
	}
}

/* VT-d 3.6: an input address must be canonical. The aliases differ in upper bits only. */
static void addresses_are_canonical(void **state)
{
	static const uint64_t beyond4[] = { UINT64_C(1) << 47, UINT64_C(1) << 48, UINT64_C(1) << 57,
					    UINT64_C(1) << 63, UINT64_C(0xffff) << 48 };
	static const uint64_t beyond5[] = { UINT64_C(1) << 56, UINT64_C(1) << 57, UINT64_C(1) << 63,
					    UINT64_C(0x7f) << 57 };
	struct machine m;

	(void)state;
	for (unsigned int levels = 4; levels <= 5; levels++) {
		const uint64_t *beyond = levels == 4 ? beyond4 : beyond5;
		unsigned int count = levels == 4 ? 5 : 4;
		uint64_t high =
			levels == 4 ? UINT64_C(0xffff800000000000) : UINT64_C(0xff00000000000000);

		machine_start(&m, NULL);
		machine_nest(&m, levels);
		set_entry(first(&m, 0x5000, 0), addr_of(m.memory) | LEAF);
		set_entry(first(&m, high + 0x5000, 0), addr_of(m.memory + PAGE) | LEAF);
		assert_ptr_equal(dma_read(&m, 0x5000), m.memory);
		for (unsigned int i = 0; i < count; i++)
			assert_int_equal(stopped(&m, beyond[i] | 0x5000, IOAS_READ),
					 IOAS_FAULT_ADDRESS);
		/* The upper half, sign-extended: another index, another tag. */
		for (unsigned int i = 0; i < 2; i++)
			assert_ptr_equal(dma_read(&m, high + 0x5000), m.memory + PAGE);
		assert_ptr_equal(dma_read(&m, 0x5000), m.memory);
		invalidate(&m, CHILD, high + 0x5000, PAGE, true);
		set_entry(first(&m, high + 0x5000, 0), 0);
		assert_int_equal(stopped(&m, high + 0x5000, IOAS_READ), IOAS_FAULT_NOT_PRESENT);
		machine_stop(&m);
	}
}

/* Accessed and dirty bits are the builder's affair here: the model reads tables only. */
static void tables_are_not_written(void **state)
{
	struct machine m;
	uint64_t *leaf;

	(void)state;
	machine_start(&m, NULL);
	leaf = first(&m, GIB(3), 0);
	set_entry(leaf, addr_of(m.memory) | P | RW | US);
	assert_non_null(dma_write(&m, GIB(3)));
	assert_int_equal(*leaf, addr_of(m.memory) | P | RW | US);
	machine_stop(&m);
}

static void blocked_and_passthrough(void **state)
{
	struct machine m;
	size_t bytes = 12345;

	(void)state;
	machine_start(&m, NULL);
	soft_endpoint_set(&m.device, &(struct soft_context){ .kind = SOFT_BLOCKED });
	assert_int_equal(stopped(&m, GIB(3), IOAS_READ), IOAS_FAULT_BLOCKED);
	assert_int_equal(stopped(&m, UINT64_MAX, IOAS_WRITE), IOAS_FAULT_BLOCKED);
	soft_endpoint_set(&m.device, &(struct soft_context){ .kind = SOFT_PASSTHROUGH });
	assert_ptr_equal(dma(&m, addr_of(m.memory) + 5, &bytes, IOAS_WRITE), m.memory + 5);
	assert_int_equal(bytes, 12345);
	machine_stop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_leaf_size),
		cmocka_unit_test(reads_per_level),
		cmocka_unit_test(rights_of_all_levels_count),
		cmocka_unit_test(not_present_at_each_level),
		cmocka_unit_test(reserved_bits),
		cmocka_unit_test(addresses_are_canonical),
		cmocka_unit_test(tables_are_not_written),
		cmocka_unit_test(blocked_and_passthrough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
