/* SPDX-License-Identifier: BSD-3-Clause */
/* What map makes visible: exactly the memory, exactly the rights, where it was asked for. */
#include "rig.h"

static void single(void **state)
{
	static const uint64_t sizes[] = { PAGE,	   2 * PAGE, 3 * PAGE, 5 * PAGE,
					  KIB(64), MIB(1),   MIB(2),   RIG_BYTES };
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t offset = sizes[i] < MIB(2) ? 7 * PAGE : 0;
		ioas_iova_t iova = 0;

		assert_int_equal(ioas_map(r.q, r.va + offset, sizes[i], IOAS_RW, &iova), 0);
		assert_int_equal(iova % PAGE, 0);
		assert_int_not_equal(iova, 0);
		assert_true(reaches(&r, iova, r.va + offset, sizes[i]));
		/* Nothing beside it. */
		assert_true(refused(&r, iova - PAGE, PAGE));
		assert_true(refused(&r, iova + sizes[i], PAGE));
		assert_int_equal(ioas_unmap(r.q, iova, sizes[i]), 0);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(refused(&r, iova, sizes[i]));
	}
	rig_stop(&r);
}

/* Naturally aligned memory gets large leaves: the point of huge pages. */
static void large_leaves(void **state)
{
	struct ioas_soft_stats before = { .size = sizeof(before) }, after = before;
	struct rig r;
	ioas_iova_t iova;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_map(r.q, r.va, RIG_BYTES, IOAS_RW, &iova), 0);
	assert_int_equal(iova % MIB(2), 0);
	assert_int_equal(ioas_soft_get_stats(r.ctx, &before), 0);
	assert_true(reaches(&r, iova, r.va, RIG_BYTES));
	assert_int_equal(ioas_soft_get_stats(r.ctx, &after), 0);
	if (ioas_get_kind(r.as) == IOAS_KIND_KERNEL) /* nested: the parent's leaves count too */
		assert_true(after.iotlb_misses - before.iotlb_misses <= 8);
	assert_int_equal(ioas_unmap(r.q, iova, RIG_BYTES), 0);
	rig_stop(&r);
}

static void rights(void **state)
{
	struct rig r;
	ioas_iova_t iova;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_map(r.q, r.va, 2 * PAGE, IOAS_READ, &iova), 0);
	for (unsigned int i = 0; i < 2; i++) {
		word_set(r.va + i * PAGE, 99);
		assert_true(reads(&r, iova + i * PAGE, r.va + i * PAGE));
		word_set(r.va + i * PAGE, 99);
		assert_int_equal(reason_of(&r, iova + i * PAGE, IOAS_WRITE), IOAS_FAULT_PERMISSION);
		assert_int_equal(word_at(r.va + i * PAGE), 99);
		assert_true(reads(&r, iova + i * PAGE, r.va + i * PAGE)); /* still */
	}
	assert_int_equal(ioas_unmap(r.q, iova, 2 * PAGE), 0);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_WRITE, &iova), 0);
	assert_true(writes(&r, iova, r.va));
	if (ioas_get_kind(r.as) == IOAS_KIND_USER) /* x86: WRITE includes READ */
		assert_true(reads(&r, iova, r.va));
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	rig_stop(&r);
}

/* The same memory several times, with rights of its own each. */
static void aliases(void **state)
{
	ioas_iova_t iovas[8], last;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(
			ioas_map(r.q, r.va, 2 * PAGE, i & 1 ? IOAS_READ : IOAS_RW, &iovas[i]), 0);
	for (unsigned int i = 0; i < 8; i++) {
		for (unsigned int j = 0; j < i; j++)
			assert_true(iovas[i] + 2 * PAGE <= iovas[j] ||
				    iovas[j] + 2 * PAGE <= iovas[i]);
		assert_true(reads(&r, iovas[i] + PAGE, r.va + PAGE));
		if (i & 1)
			assert_int_equal(reason_of(&r, iovas[i], IOAS_WRITE),
					 IOAS_FAULT_PERMISSION);
		else
			assert_true(writes(&r, iovas[i], r.va));
	}
	last = iovas[7];
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(ioas_unmap(r.q, iovas[i], 2 * PAGE), 0);
	assert_true(reads(&r, last, r.va));
	assert_int_equal(ioas_unmap(r.q, last, 2 * PAGE), 0);
	rig_stop(&r);
}

static int by_iova(const void *a, const void *b)
{
	const struct ioas_seg *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

static void batch(void **state)
{
	static struct ioas_seg segs[RIG_PAGES];
	static const unsigned int counts[] = { 1, 2, 32, 63, 64, 65, 256, 1000 };
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned int count = counts[i], neighbours = 0;

		for (unsigned int j = 0; j < count; j++) /* not in the order of the memory */
			segs[j] = (struct ioas_seg){ .va = r.va + j * 389 % RIG_PAGES * PAGE,
						     .bytes = PAGE };
		assert_int_equal(ioas_map_batch(r.q, segs, count, IOAS_RW), count);
		for (unsigned int j = 0; j < count; j++) {
			assert_true(reaches(&r, segs[j].iova, segs[j].va, PAGE));
			neighbours += j && segs[j].iova == segs[j - 1].iova + PAGE;
		}
		printf("# batch of %u: %u neighbours\n", count, neighbours);
		assert_true(neighbours + 1 >= count * 9 / 10);
		/* Each on its own: unmap some singly, some by batch, out of order. */
		assert_int_equal(ioas_unmap(r.q, segs[count / 2].iova, PAGE), 0);
		segs[count / 2] = segs[count - 1];
		qsort(segs, count - 1, sizeof(segs[0]), by_iova);
		for (unsigned int j = 1; j + 1 < count; j++)
			assert_true(segs[j - 1].iova < segs[j].iova);
		assert_int_equal(ioas_unmap_batch(r.q, segs, count - 1), count - 1);
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int j = 0; j + 1 < count; j++)
			assert_true(refused(&r, segs[j].iova, PAGE));
	}
	assert_int_equal(ioas_map_batch(r.q, segs, 0, IOAS_RW), 0);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 0), 0);
	rig_stop(&r);
}

static void batch_of_mixed_sizes(void **state)
{
	static const unsigned int pages[] = { 1, 3, 1, 2, 512, 1, 7, 16, 1, 64 };
	struct ioas_seg segs[40];
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < 40; i++)
			segs[i] = (struct ioas_seg){ .va = r.va + (i * 11 + round) * PAGE,
						     .bytes = pages[i % 10] * PAGE };
		assert_int_equal(ioas_map_batch(r.q, segs, 40, IOAS_RW), 40);
		for (unsigned int i = 0; i < 40; i++) {
			struct ioas_seg *seg = &segs[i];

			assert_true(writes(&r, seg->iova, seg->va));
			assert_true(writes(&r, seg->iova + seg->bytes - PAGE,
					   (uint8_t *)seg->va + seg->bytes - PAGE));
			for (unsigned int j = 0; j < i; j++)
				assert_true(seg->iova + seg->bytes <= segs[j].iova ||
					    segs[j].iova + segs[j].bytes <= seg->iova);
		}
		assert_int_equal(ioas_unmap_batch(r.q, segs, 40), 40);
	}
	rig_stop(&r);
}

static void fixed(void **state)
{
	static const uint64_t places[] = { MIB(1),	    GIB(1) - PAGE, GIB(4) + 3 * PAGE,
					   GIB(512) - PAGE, GIB(1000),	   GIB(100000) };
	struct ioas_seg segs[3];
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 2; round++) /* places can be used again */
		for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			ioas_iova_t iova = places[i];

			assert_int_equal(ioas_map(r.q, r.va + i * PAGE, 3 * PAGE,
						  IOAS_RW | IOAS_MAP_FIXED, &iova),
					 0);
			assert_int_equal(iova, places[i]);
			assert_true(reaches(&r, iova, r.va + i * PAGE, 3 * PAGE));
			assert_true(refused(&r, iova - PAGE, PAGE));
			assert_true(refused(&r, iova + 3 * PAGE, PAGE));
			assert_int_equal(ioas_unmap(r.q, iova, 3 * PAGE), 0);
			assert_int_equal(ioas_flush(r.q), 0);
			assert_true(refused(&r, iova, 3 * PAGE));
		}
	for (unsigned int i = 0; i < 3; i++)
		segs[i] = (struct ioas_seg){ r.va + 2 * i * PAGE, 2 * PAGE, GIB(3 - i) };
	assert_int_equal(ioas_map_batch(r.q, segs, 3, IOAS_RW | IOAS_MAP_FIXED), 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(segs[i].iova, GIB(3 - i));
		assert_true(reaches(&r, GIB(3 - i), r.va + 2 * i * PAGE, 2 * PAGE));
	}
	assert_int_equal(ioas_unmap_batch(r.q, segs, 3), 3);
	rig_stop(&r);
}

static void identity(void **state)
{
	struct ioas_seg segs[3];
	ioas_iova_t iova = 0;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 50; i++) {
		uint8_t *va = r.va + i * 7 * PAGE;

		assert_int_equal(ioas_map(r.q, va, 3 * PAGE, IOAS_RW | IOAS_MAP_IDENTITY, &iova),
				 0);
		assert_int_equal(iova, (uintptr_t)va);
		assert_true(reaches(&r, iova, va, 3 * PAGE));
		assert_int_equal(ioas_unmap(r.q, iova, 3 * PAGE), 0);
	}
	assert_int_equal(ioas_map(r.q, r.va, RIG_BYTES, IOAS_RW | IOAS_MAP_IDENTITY, &iova), 0);
	assert_true(reaches(&r, (uintptr_t)r.va, r.va, RIG_BYTES));
	assert_int_equal(ioas_unmap(r.q, iova, RIG_BYTES), 0);
	for (unsigned int i = 0; i < 3; i++)
		segs[i] = (struct ioas_seg){ r.va + (5 - i) * PAGE, PAGE, 0 };
	assert_int_equal(ioas_map_batch(r.q, segs, 3, IOAS_RW | IOAS_MAP_IDENTITY), 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(segs[i].iova, (uintptr_t)segs[i].va);
		assert_true(reaches(&r, segs[i].iova, segs[i].va, PAGE));
	}
	assert_int_equal(ioas_unmap_batch(r.q, segs, 3), 3);
	rig_stop(&r);
}

/* Fixed places and places of the library's choice side by side. */
static void chosen_beside_fixed(void **state)
{
	struct ioas_opts opts = opts_of(*state);
	ioas_iova_t fixed_iova[8], iova[256];
	unsigned int count = 0;
	struct rig r;

	rig_open(&r, NULL);
	opts.aperture = (struct ioas_range){ GIB(2), GIB(2) + MIB(16) - 1 };
	rig_space(&r, &opts);
	for (unsigned int i = 0; i < 8; i++) {
		fixed_iova[i] = GIB(2) + i * MIB(2) + i * 3 * PAGE;
		if (i & 1) /* half of the blocks stay empty */
			continue;
		assert_int_equal(ioas_map(r.q, r.va + i * PAGE, PAGE, IOAS_RW | IOAS_MAP_FIXED,
					  &fixed_iova[i]),
				 0);
	}
	for (; count < 256; count++)
		assert_int_equal(
			ioas_map(r.q, r.va + (16 + count) * PAGE, PAGE, IOAS_RW, &iova[count]), 0);
	for (unsigned int i = 0; i < 8; i += 2)
		assert_true(reaches(&r, fixed_iova[i], r.va + i * PAGE, PAGE));
	for (unsigned int i = 0; i < count; i++)
		assert_true(reaches(&r, iova[i], r.va + (16 + i) * PAGE, PAGE));
	for (unsigned int i = 0; i < 8; i += 2)
		assert_int_equal(ioas_unmap(r.q, fixed_iova[i], PAGE), 0);
	while (count--)
		assert_int_equal(ioas_unmap(r.q, iova[count], PAGE), 0);
	rig_stop(&r);
}

/* What the device does with the data is DMA like any other: longer than a page, not aligned. */
static void long_transfers(void **state)
{
	static uint8_t data[KIB(64)], back[KIB(64)];
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = i * 31 + i / 251;
	assert_int_equal(ioas_map(r.q, r.va + 3 * PAGE, KIB(64) + PAGE, IOAS_RW, &iova), 0);
	assert_int_equal(ioas_soft_dma_write(r.dev, iova + 17, data, sizeof(data)), 0);
	assert_memory_equal(r.va + 3 * PAGE + 17, data, sizeof(data));
	assert_int_equal(ioas_soft_dma_read(r.dev, iova + 17, back, sizeof(back)), 0);
	assert_memory_equal(back, data, sizeof(data));
	assert_int_equal(ioas_unmap(r.q, iova, KIB(64) + PAGE), 0);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_FLAVOURS(single),
		ALL_FLAVOURS(large_leaves),
		ALL_FLAVOURS(rights),
		ALL_FLAVOURS(aliases),
		ALL_FLAVOURS(batch),
		ALL_FLAVOURS(batch_of_mixed_sizes),
		ALL_FLAVOURS(fixed),
		ALL_FLAVOURS(identity),
		ALL_FLAVOURS(chosen_beside_fixed),
		ALL_FLAVOURS(long_transfers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
