/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Caches keep what hardware would keep, and lose what an invalidation tells them to lose: VT-d
 * 6.2, 6.5.2. A test that passes on this model must have issued its invalidations.
 */
#include "machine.h"

#define LEAF (P | RW | US | A | D)

static void iotlb_is_stale_until_invalidated(void **state)
{
	struct machine m;
	uint64_t *leaf;

	(void)state;
	machine_start(&m, NULL);
	leaf = first(&m, GIB(3), 0);
	set_entry(leaf, addr_of(m.memory + MIB(1)) | LEAF);
	assert_ptr_equal(dma_write(&m, GIB(3)), m.memory + MIB(1));
	set_entry(leaf, addr_of(m.memory + MIB(2)) | LEAF);
	assert_ptr_equal(dma_write(&m, GIB(3)), m.memory + MIB(1));
	set_entry(leaf, 0);
	assert_ptr_equal(dma_write(&m, GIB(3)), m.memory + MIB(1));
	/* Neighbours, other domains: not this entry. */
	invalidate(&m, CHILD, GIB(3) + PAGE, GIB(1), false);
	invalidate(&m, CHILD, GIB(2), GIB(1), false);
	invalidate(&m, CHILD, GIB(3), 0, false);
	invalidate(&m, 1234, GIB(3), PAGE, false);
	flush(&m, 1234);
	assert_ptr_equal(dma_write(&m, GIB(3)), m.memory + MIB(1));
	invalidate(&m, CHILD, GIB(3), PAGE, true);
	assert_int_equal(stopped(&m, GIB(3), IOAS_WRITE), IOAS_FAULT_NOT_PRESENT);
	machine_stop(&m);
}

/* VT-d 6.1: no invalidation from not present to present. It is what MAP without a call rests on. */
static void not_present_is_not_cached(void **state)
{
	struct machine m;

	(void)state;
	machine_start(&m, NULL);
	for (unsigned int level = 4; level-- > 0;) {
		assert_int_equal(stopped(&m, GIB(3), IOAS_READ), IOAS_FAULT_NOT_PRESENT);
		first(&m, GIB(3), level);
	}
	set_entry(first(&m, GIB(3), 0), addr_of(m.memory) | LEAF);
	assert_ptr_equal(dma_read(&m, GIB(3)), m.memory);
	/* The same for the second stage. */
	set_entry(first(&m, GIB(4), 0), GIB(2000) | LEAF);
	assert_int_equal(stopped(&m, GIB(4), IOAS_READ), IOAS_FAULT_PARENT);
	set_entry(second(&m, GIB(2000), 0), addr_of(m.memory) | SRW);
	assert_ptr_equal(dma_read(&m, GIB(4)), m.memory);
	machine_stop(&m);
}

/*
 * Table A is replaced by table B in the entry above. A leaf-only invalidation (IH) keeps the
 * paging-structure caches: walks go on through A. An invalidation without the hint ends that.
 */
static void leaf_hint_keeps_structure_caches(void **state)
{
	(void)state;
	for (unsigned int level = 1; level <= 4; level++) {
		struct machine m;
		uint64_t *entry, *table, *a, *b, *root;

		machine_start(&m, NULL);
		machine_nest(&m, 5);
		a = first(&m, GIB(3), 0);
		set_entry(a, addr_of(m.memory + MIB(1)) | LEAF);
		entry = first(&m, GIB(3), level);
		/* B: tables of their own from below @entry down to another leaf. */
		table = page_new(&m);
		root = m.root;
		b = entry_at(&m, table, level - 1, GIB(3), 0, TREE);
		set_entry(b, addr_of(m.memory + MIB(2)) | LEAF);
		assert_ptr_equal(root, m.root);

		assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(1));
		set_entry(entry, addr_of(table) | TREE);
		invalidate(&m, CHILD, GIB(3), PAGE, true);
		assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(1));
		invalidate(&m, CHILD, GIB(3) + GIB(512) * 512, PAGE, false); /* elsewhere */
		invalidate(&m, CHILD, GIB(3), PAGE, true);
		assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(1));
		invalidate(&m, CHILD, GIB(3), PAGE, false);
		assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(2));

		/* And a domain flush takes both kinds. */
		set_entry(entry, 0);
		invalidate(&m, CHILD, GIB(3), PAGE, true);
		assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(2));
		flush(&m, CHILD);
		assert_int_equal(stopped(&m, GIB(3), IOAS_READ), IOAS_FAULT_NOT_PRESENT);
		machine_stop(&m);
	}
}

/* A large range, which the model scans for in place of probing, spares the neighbours. */
static void ranges_are_exact(void **state)
{
	static const struct {
		uint64_t start, pages;
	} ranges[] = { { 0, 1 }, { 7, 3 }, { 100, 32 }, { 1, 127 }, { 128, 129 }, { 5, 500 } };

	(void)state;
	for (unsigned int r = 0; r < 6; r++) {
		struct soft_counters before, after;
		struct machine m;

		machine_start(&m, "iotlb_sets=128,iotlb_ways=4");
		for (unsigned int i = 0; i < 512; i++) {
			set_entry(first(&m, GIB(3) + i * PAGE, 0), addr_of(m.memory) | LEAF);
			assert_non_null(dma_read(&m, GIB(3) + i * PAGE));
		}
		for (unsigned int i = 0; i < 512; i++)
			set_entry(first(&m, GIB(3) + i * PAGE, 0), 0);
		soft_unit_read_counters(m.unit, &before);
		invalidate(&m, CHILD, GIB(3) + ranges[r].start * PAGE, ranges[r].pages * PAGE,
			   r & 1);
		soft_unit_read_counters(m.unit, &after);
		assert_int_equal(after.dropped - before.dropped, ranges[r].pages);
		assert_int_equal(after.descriptors - before.descriptors, 1);
		for (uint64_t i = 0; i < 512; i++) {
			bool gone = i >= ranges[r].start && i < ranges[r].start + ranges[r].pages;

			if (gone)
				assert_int_equal(stopped(&m, GIB(3) + i * PAGE, IOAS_READ),
						 IOAS_FAULT_NOT_PRESENT);
			else
				assert_non_null(dma_read(&m, GIB(3) + i * PAGE));
		}
		machine_stop(&m);
	}
}

/* One page inside a large page takes the large entry. Bytes that are no whole pages round out. */
static void large_entries_overlap(void **state)
{
	struct machine m;
	uint64_t iova;

	(void)state;
	machine_start(&m, NULL);
	iova = GIB(8);
	set_entry(first(&m, iova, 1), addr_of(m.memory) | LEAF | PS);
	assert_non_null(dma_read(&m, iova + MIB(1)));
	set_entry(first(&m, iova, 1), 0);
	assert_non_null(dma_read(&m, iova));
	invalidate(&m, CHILD, iova + MIB(2), PAGE, true);
	invalidate(&m, CHILD, iova - PAGE, PAGE, true);
	assert_non_null(dma_read(&m, iova));
	invalidate(&m, CHILD, iova + MIB(1) + 5, 1, true);
	assert_int_equal(stopped(&m, iova, IOAS_READ), IOAS_FAULT_NOT_PRESENT);
	machine_stop(&m);
}

/* More rights need no invalidation, fewer do; the entry is replaced, not doubled. */
static void rights_change(void **state)
{
	struct soft_counters before, after;
	struct machine m;
	uint64_t *leaf;

	(void)state;
	machine_start(&m, NULL);
	leaf = first(&m, GIB(3), 0);
	set_entry(leaf, (addr_of(m.memory) | LEAF) & ~RW);
	assert_non_null(dma_read(&m, GIB(3)));
	assert_int_equal(stopped(&m, GIB(3), IOAS_WRITE), IOAS_FAULT_PERMISSION);
	set_entry(leaf, addr_of(m.memory) | LEAF);
	assert_non_null(dma_write(&m, GIB(3)));
	set_entry(leaf, (addr_of(m.memory) | LEAF) & ~RW);
	assert_non_null(dma_write(&m, GIB(3)));
	soft_unit_read_counters(m.unit, &before);
	invalidate(&m, CHILD, GIB(3), PAGE, true);
	soft_unit_read_counters(m.unit, &after);
	assert_int_equal(after.dropped - before.dropped, 1);
	assert_int_equal(stopped(&m, GIB(3), IOAS_WRITE), IOAS_FAULT_PERMISSION);
	machine_stop(&m);
}

/* Second-stage results are cached under the parent's domain, the whole under the child's. */
static void second_stage_is_stale_until_both_go(void **state)
{
	struct machine m;
	uint64_t *leaf;

	(void)state;
	machine_start(&m, NULL);
	leaf = second(&m, GIB(2000), 0);
	set_entry(leaf, addr_of(m.memory + MIB(1)) | SRW);
	set_entry(first(&m, GIB(3), 0), GIB(2000) | LEAF);
	assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(1));
	set_entry(leaf, addr_of(m.memory + MIB(2)) | SRW);
	invalidate(&m, PARENT, GIB(2000), PAGE, true);
	assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(1));
	flush(&m, CHILD);
	assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(2));
	set_entry(leaf, addr_of(m.memory + MIB(1)) | SRW);
	flush(&m, CHILD);
	assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(2));
	flush(&m, PARENT);
	flush(&m, CHILD);
	assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(1));
	machine_stop(&m);
}

/* Geometry is as asked for: sets * ways pages stay, one more evicts exactly one. */
static void geometry(void **state)
{
	static const char *const options[] = { "iotlb_sets=1,iotlb_ways=1,psc_entries=1",
					       "iotlb_sets=1,iotlb_ways=32,psc_entries=2",
					       "iotlb_sets=16,iotlb_ways=2,psc_entries=4",
					       "iotlb_sets=4,iotlb_ways=16", NULL };
	static const unsigned int entries[] = { 1, 32, 32, 64, 512 };

	(void)state;
	for (unsigned int o = 0; o < 5; o++) {
		struct soft_counters c;
		struct machine m;

		machine_start(&m, options[o]);
		for (unsigned int i = 0; i <= entries[o]; i++)
			set_entry(first(&m, GIB(3) + i * PAGE, 0), addr_of(m.memory) | LEAF);
		for (unsigned int round = 0; round < 3; round++)
			for (unsigned int i = 0; i < entries[o]; i++)
				assert_non_null(dma_read(&m, GIB(3) + i * PAGE));
		soft_unit_read_counters(m.unit, &c);
		assert_int_equal(c.misses, entries[o]);
		assert_int_equal(c.hits, 2 * entries[o]);
		assert_non_null(dma_read(&m, GIB(3) + entries[o] * PAGE));
		flush(&m, CHILD);
		soft_unit_read_counters(m.unit, &c);
		assert_int_equal(c.dropped, entries[o]);
		machine_stop(&m);
	}
}

/* Two domains with the same addresses see their own tables; a flush of one spares the other. */
static void domains_are_apart(void **state)
{
	struct soft_endpoint other;
	struct soft_context context;
	struct machine m;
	uint64_t *first_root;
	size_t one = 1;

	(void)state;
	machine_start(&m, NULL);
	set_entry(first(&m, GIB(3), 0), addr_of(m.memory + MIB(1)) | LEAF);
	first_root = m.root;
	m.root = page_new(&m);
	set_entry(first(&m, GIB(3), 0), addr_of(m.memory + MIB(2)) | LEAF);
	soft_endpoint_init(&other, m.unit, &m);
	context = m.device.context;
	context.root = addr_of(m.root);
	context.domain = CHILD + 100;
	soft_endpoint_set(&other, &context);
	for (unsigned int i = 0; i < 3; i++) {
		soft_unit_begin(m.unit);
		assert_ptr_equal(soft_translate(&other, GIB(3), &one, IOAS_READ),
				 m.memory + MIB(2));
		soft_unit_end(m.unit);
		assert_ptr_equal(dma_read(&m, GIB(3)), m.memory + MIB(1));
	}
	set_entry(first(&m, GIB(3), 0), 0);
	m.root = first_root;
	set_entry(first(&m, GIB(3), 0), 0);
	flush(&m, CHILD);
	assert_int_equal(stopped(&m, GIB(3), IOAS_READ), IOAS_FAULT_NOT_PRESENT);
	soft_unit_begin(m.unit);
	assert_non_null(soft_translate(&other, GIB(3), &one, IOAS_READ));
	soft_unit_end(m.unit);
	machine_stop(&m);
}

/* Cache ids run out after 2^17 flushes; nothing comes back to life then. */
static void cache_ids_wrap(void **state)
{
	struct soft_counters c;
	struct machine m;
	uint64_t *leaf;

	(void)state;
	machine_start(&m, NULL);
	leaf = first(&m, GIB(3), 0);
	for (unsigned int i = 0; i < 300000; i++) {
		uint64_t target = addr_of(m.memory + MIB(1) + (i & 7) * PAGE);

		set_entry(leaf, target | LEAF);
		if (i % 3 == 0)
			flush(&m, PARENT);
		flush(&m, CHILD);
		if (dma_read(&m, GIB(3)) != (void *)(uintptr_t)target)
			fail_msg("flush %u left a stale entry", i);
	}
	soft_unit_read_counters(m.unit, &c);
	assert_int_equal(c.hits, 0);
	machine_stop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iotlb_is_stale_until_invalidated),
		cmocka_unit_test(not_present_is_not_cached),
		cmocka_unit_test(leaf_hint_keeps_structure_caches),
		cmocka_unit_test(ranges_are_exact),
		cmocka_unit_test(large_entries_overlap),
		cmocka_unit_test(rights_change),
		cmocka_unit_test(second_stage_is_stale_until_both_go),
		cmocka_unit_test(geometry),
		cmocka_unit_test(domains_are_apart),
		cmocka_unit_test(cache_ids_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
