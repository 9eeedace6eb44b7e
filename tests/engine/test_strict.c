/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STRICT: when unmap returns, no DMA through the unmapped IOVA can land (I2). The device has
 * touched every page before, so that the IOTLB holds it; what the IOTLB and the paging-structure
 * caches keep is what hardware keeps.
 */
#include "rig.h"

#define PROBES 10000

static void probe_refused(struct rig *r, ioas_iova_t iova, void *va)
{
	uint64_t before = word_at(va), word = 0x5ca1ab1e;

	assert_int_equal(ioas_soft_dma_write(r->dev, iova, &word, 8), -EFAULT);
	assert_int_equal(word_at(va), before);
}

static void single_pages(void **state)
{
	struct ioas_soft_stats stats = { .size = sizeof(stats) };
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < PROBES; i++) {
		uint8_t *va = r.va + i % RIG_PAGES * PAGE;
		ioas_iova_t iova;

		assert_int_equal(ioas_map(r.q, va, PAGE, IOAS_RW, &iova), 0);
		assert_true(writes(&r, iova, va));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
		probe_refused(&r, iova, va);
		assert_true(ioas_ticket_done(r.q, ioas_ticket(r.q)));
	}
	/* There was something to refuse. */
	assert_int_equal(ioas_soft_get_stats(r.ctx, &stats), 0);
	assert_true(stats.iotlb_dropped >= PROBES);
	assert_int_equal(stats_of(r.ctx).faults, PROBES);
	rig_stop(&r);
}

/* Mappings that stay, so that the IOTLB is full and neighbours are live. */
static void among_live_ones(void **state)
{
	struct ioas_seg live[200];
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 200; i++)
		live[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, 0 };
	assert_int_equal(ioas_map_batch(r.q, live, 200, IOAS_RW), 200);
	for (unsigned int i = 0; i < PROBES; i++) {
		struct ioas_seg *seg = &live[i * 77 % 200];
		ioas_iova_t gone = seg->iova;

		assert_true(writes(&r, live[i % 200].iova, live[i % 200].va));
		assert_true(writes(&r, gone, seg->va));
		assert_int_equal(ioas_unmap(r.q, gone, PAGE), 0);
		probe_refused(&r, gone, seg->va);
		assert_int_equal(ioas_map(r.q, seg->va, PAGE, IOAS_RW, &seg->iova), 0);
	}
	assert_int_equal(ioas_unmap_batch(r.q, live, 200), 200);
	rig_stop(&r);
}

static void batches(void **state)
{
	struct ioas_seg segs[300];
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int probes = 0, round = 0; probes < PROBES; round++) {
		/* Ranges, and more of them than a flush is cheaper for. */
		unsigned int count = 1 + round * 37 % 300;

		for (unsigned int i = 0; i < count; i++)
			segs[i] = (struct ioas_seg){ r.va + i * 3 % 1000 * PAGE,
						     (1 + (i + round) % 3) * PAGE, 0 };
		assert_int_equal(ioas_map_batch(r.q, segs, count, IOAS_RW), count);
		for (unsigned int i = 0; i < count; i++)
			assert_true(writes(&r, segs[i].iova + segs[i].bytes - PAGE,
					   (uint8_t *)segs[i].va + segs[i].bytes - PAGE));
		assert_int_equal(ioas_unmap_batch(r.q, segs, count), count);
		for (unsigned int i = 0; i < count; i++, probes++)
			probe_refused(&r, segs[i].iova + segs[i].bytes - PAGE, segs[i].va);
	}
	rig_stop(&r);
}

/*
 * Ranges that have no neighbours, few and many: one by one, by a flush of all, and more than are
 * kept of a batch at all. The small IOTLB makes a flush cheaper than 24 ranges.
 */
static void scattered_batches(void **state)
{
	static const unsigned int counts[] = { 3, 23, 24, 25, 40, 100, 400, 900 };
	static struct ioas_seg segs[900];
	struct rig r;

	rig_start(&r, *state, "iotlb_sets=8,iotlb_ways=4");
	for (unsigned int round = 0; round < 80; round++) {
		unsigned int count = counts[round % 8];

		for (unsigned int i = 0; i < count; i++)
			segs[i] = (struct ioas_seg){ r.va + (i + round) % RIG_PAGES * PAGE, PAGE,
						     GIB(1) + 2 * i * PAGE };
		assert_int_equal(ioas_map_batch(r.q, segs, count, IOAS_RW | IOAS_MAP_FIXED), count);
		/* Those that the IOTLB holds at the end: the first or the last of the batch. */
		for (unsigned int i = 0; i < count; i++) {
			struct ioas_seg *seg = &segs[round & 8 ? i : count - 1 - i];

			assert_true(writes(&r, seg->iova, seg->va));
		}
		assert_int_equal(ioas_unmap_batch(r.q, segs, count), count);
		for (unsigned int i = 0; i < count; i++)
			probe_refused(&r, segs[i].iova, segs[i].va);
	}
	rig_stop(&r);
}

/* Large leaves, each page of them touched or only one. */
static void large_leaves(void **state)
{
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 200; round++) {
		uint64_t bytes = round & 1 ? MIB(2) : RIG_BYTES;

		assert_int_equal(ioas_map(r.q, r.va, bytes, IOAS_RW, &iova), 0);
		for (unsigned int i = 0; i < 50; i++)
			assert_true(writes(&r, iova + (i * 131 + round) * PAGE % bytes,
					   r.va + (i * 131 + round) * PAGE % bytes));
		assert_int_equal(ioas_unmap(r.q, iova, bytes), 0);
		for (unsigned int i = 0; i < 50; i++)
			probe_refused(&r, iova + (i * 131 + round) * PAGE % bytes,
				      r.va + (i * 131 + round) * PAGE % bytes);
	}
	rig_stop(&r);
}

/*
 * The same IOVA with a leaf of 2 MiB, then with a table of 4 KiB leaves, and back: what the
 * paging-structure caches know of the place before must be gone too.
 */
static void leaves_and_tables_change_places(void **state)
{
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 500; round++) {
		ioas_iova_t iova = GIB(1) + round % 3 * MIB(2), page;

		assert_int_equal(ioas_map(r.q, r.va, MIB(2), IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		assert_true(writes(&r, iova + round * PAGE % MIB(2), r.va + round * PAGE % MIB(2)));
		assert_true(writes(&r, iova, r.va));
		assert_int_equal(ioas_unmap(r.q, iova, MIB(2)), 0);
		probe_refused(&r, iova, r.va);
		page = iova + round * 5 % 512 * PAGE;
		assert_int_equal(
			ioas_map(r.q, r.va + MIB(3), PAGE, IOAS_RW | IOAS_MAP_FIXED, &page), 0);
		assert_true(writes(&r, page, r.va + MIB(3)));
		probe_refused(&r, page ^ PAGE, r.va);
		assert_int_equal(ioas_unmap(r.q, page, PAGE), 0);
		probe_refused(&r, page, r.va + MIB(3));
	}
	rig_stop(&r);
}

static void scattered(void **state)
{
	struct ioas_seg segs[20];
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < PROBES / 20; round++) {
		for (unsigned int i = 0; i < 20; i++)
			segs[i] =
				(struct ioas_seg){ r.va + (i * 97 + round) % 1000 * PAGE, PAGE, 0 };
		assert_int_equal(ioas_map_sg(r.q, segs, 20, IOAS_RW, &iova), 0);
		for (unsigned int i = 0; i < 20; i++)
			assert_true(writes(&r, iova + i * PAGE, segs[i].va));
		assert_int_equal(ioas_unmap(r.q, iova, 20 * PAGE), 0);
		for (unsigned int i = 0; i < 20; i++)
			probe_refused(&r, iova + i * PAGE, segs[i].va);
	}
	rig_stop(&r);
}

static void revoked_slots(void **state)
{
	struct ioas_window_opts opts = {
		.size = sizeof(opts), .prot = IOAS_RW, .bytes = MIB(2), .slot_bytes = PAGE
	};
	struct ioas_window *window;
	uint32_t slots[32];
	struct rig r;

	rig_start(&r, *state, NULL);
	opts.va = r.va;
	assert_int_equal(ioas_window_create(r.as, &opts, &window), 0);
	for (unsigned int round = 0; round < PROBES / 32 + 1; round++) {
		for (unsigned int i = 0; i < 32; i++)
			slots[i] = (round * 7 + i * (1 + round % 5)) % 512;
		assert_int_equal(ioas_window_grant(r.q, window, slots, 32), 0);
		for (unsigned int i = 0; i < 32; i++)
			assert_true(writes(&r, ioas_window_iova(window) + slots[i] * PAGE,
					   r.va + slots[i] * PAGE));
		assert_int_equal(ioas_window_revoke(r.q, window, slots, 32), 0);
		for (unsigned int i = 0; i < 32; i++)
			probe_refused(&r, ioas_window_iova(window) + slots[i] * PAGE,
				      r.va + slots[i] * PAGE);
	}
	assert_int_equal(ioas_window_destroy(window), 0);
	rig_stop(&r);
}

/* The device of another unit, with caches of its own. */
static void on_another_unit(void **state)
{
	struct ioas_dev *first;
	struct rig r;

	rig_start(&r, *state, "units=2,iotlb_sets=4,iotlb_ways=2");
	first = r.dev;
	assert_int_equal(ioas_dev_bind(r.ctx, "far@1", &r.dev), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		uint8_t *va = r.va + i % RIG_PAGES * PAGE;
		ioas_iova_t iova;

		assert_int_equal(ioas_map(r.q, va, PAGE, IOAS_RW, &iova), 0);
		assert_true(writes(&r, iova, va));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
		probe_refused(&r, iova, va);
	}
	assert_int_equal(ioas_detach(r.dev), 0);
	assert_int_equal(ioas_dev_unbind(r.dev), 0);
	r.dev = first;
	rig_stop(&r);
}

#define STRICT_FLAVOURS(test) TEST_OF(test, kernel), TEST_OF(test, user), TEST_OF(test, user5)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STRICT_FLAVOURS(single_pages),	  STRICT_FLAVOURS(among_live_ones),
		STRICT_FLAVOURS(batches),	  STRICT_FLAVOURS(scattered_batches),
		STRICT_FLAVOURS(large_leaves),	  STRICT_FLAVOURS(leaves_and_tables_change_places),
		TEST_OF(scattered, user),	  TEST_OF(scattered, user5),
		TEST_OF(revoked_slots, user),	  TEST_OF(revoked_slots, user5),
		STRICT_FLAVOURS(on_another_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
