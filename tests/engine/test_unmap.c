/* SPDX-License-Identifier: BSD-3-Clause */
/* Unmap takes whole mappings away, once; what it refuses stays as it is. */
#include "rig.h"

/* Neither "done", nor a code that means something else. */
static bool not_a_mapping(int ret)
{
	return ret == -ENOENT || ret == -EINVAL;
}

static void exactly(void **state)
{
	static const struct {
		uint64_t pages;
		int64_t at; /* pages, relative to the mapping */
		uint64_t count;
	} wrong[] = {
		{ 4, 0, 1 },	{ 4, 0, 3 },	  { 4, 0, 5 },	      { 4, 1, 3 },
		{ 4, 3, 1 },	{ 4, -1, 5 },	  { 4, -1, 4 },	      { 4, 4, 4 },
		{ 4, 1, 4 },	{ 1, 0, 2 },	  { 1, -1, 2 },	      { 512, 0, 511 },
		{ 512, 0, 1 },	{ 512, 1, 1 },	  { 512, 256, 256 },  { 512, 0, 513 },
		{ 512, -1, 2 }, { 1024, 0, 512 }, { 1024, 512, 512 },
	};
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 2 * sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint64_t bytes = wrong[i / 2].pages * PAGE;
		ioas_iova_t iova = GIB(1);
		int ret;

		assert_int_equal(
			ioas_map(r.q, r.va, bytes, IOAS_RW | (i & 1 ? IOAS_MAP_FIXED : 0), &iova),
			0);
		ret = ioas_unmap(r.q, iova + wrong[i / 2].at * PAGE, wrong[i / 2].count * PAGE);
		if (!not_a_mapping(ret))
			printf("# case %u: %d\n", i, ret);
		assert_true(not_a_mapping(ret));
		assert_true(strlen(ioas_queue_error(r.q)) > 5);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(reaches(&r, iova, r.va, bytes));
		assert_int_equal(ioas_unmap(r.q, iova, bytes), 0);
	}
	assert_int_equal(stats_of(r.ctx).maps, stats_of(r.ctx).unmaps);
	rig_stop(&r);
}

/* Neighbours are two mappings, however well they fit. */
static void neighbours(void **state)
{
	ioas_iova_t low = GIB(1), high = GIB(1) + 2 * PAGE;
	struct rig r;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_map(r.q, r.va, 2 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &low), 0);
	assert_int_equal(ioas_map(r.q, r.va + 2 * PAGE, 2 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &high),
			 0);
	assert_true(not_a_mapping(ioas_unmap(r.q, low, 4 * PAGE)));
	assert_true(not_a_mapping(ioas_unmap(r.q, low + PAGE, 2 * PAGE)));
	assert_int_equal(ioas_flush(r.q), 0);
	assert_true(reaches(&r, low, r.va, 4 * PAGE));
	assert_int_equal(ioas_unmap(r.q, low, 2 * PAGE), 0);
	assert_int_equal(ioas_flush(r.q), 0);
	assert_true(refused(&r, low, 2 * PAGE));
	assert_true(reaches(&r, high, r.va + 2 * PAGE, 2 * PAGE));
	assert_true(not_a_mapping(ioas_unmap(r.q, low, 4 * PAGE)));
	assert_true(reaches(&r, high, r.va + 2 * PAGE, 2 * PAGE));
	assert_int_equal(ioas_unmap(r.q, high, 2 * PAGE), 0);
	rig_stop(&r);
}

static void twice(void **state)
{
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int pages = 1; pages <= 512; pages *= 8) {
		assert_int_equal(ioas_map(r.q, r.va, pages * PAGE, IOAS_RW, &iova), 0);
		assert_int_equal(ioas_unmap(r.q, iova, pages * PAGE), 0);
		assert_int_equal(ioas_unmap(r.q, iova, pages * PAGE), -ENOENT);
		assert_true(queue_says(r.q, "iova"));
		assert_int_equal(ioas_flush(r.q), 0);
		assert_int_equal(ioas_unmap(r.q, iova, pages * PAGE), -ENOENT);
	}
	rig_stop(&r);
}

static void bad_arguments(void **state)
{
	static const struct {
		uint64_t iova;
		uint64_t bytes;
		int ret;
	} bad[] = {
		{ GIB(1), 0, -EINVAL },	       { GIB(1), 1, -EINVAL },
		{ GIB(1), PAGE + 8, -EINVAL }, { GIB(1) + 8, PAGE, -EINVAL },
		{ GIB(1), PAGE, -ENOENT },     { GIB(1), GIB(1), -ENOENT },
		{ 0, PAGE, -ENOENT },
	};
	static const struct {
		uint64_t iova;
		uint64_t bytes;
	} beyond[] = {
		{ UINT64_C(1) << 60, PAGE },	     { UINT64_MAX - PAGE + 1, PAGE },
		{ UINT64_MAX - PAGE + 1, 2 * PAGE }, { PAGE, UINT64_MAX - PAGE + 1 },
		{ 0, UINT64_MAX - PAGE + 1 },	     { (UINT64_C(1) << 48) - PAGE, 2 * PAGE },
	};
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(ioas_unmap(r.q, bad[i].iova, bad[i].bytes), bad[i].ret);
		assert_true(queue_says(r.q, "iova") || queue_says(r.q, "bytes"));
	}
	for (unsigned int i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
		assert_true(not_a_mapping(ioas_unmap(r.q, beyond[i].iova, beyond[i].bytes)));
	assert_int_equal(stats_of(r.ctx).unmaps, 0);
	rig_stop(&r);
}

/* All of a batch or nothing of it, wherever the bad element stands. */
static void batch_all_or_nothing(void **state)
{
	static const unsigned int counts[] = { 1, 2, 5, 64, 100, 300 };
	static struct ioas_seg segs[301];
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		unsigned int count = counts[c];
		unsigned int places[] = { 0, count / 2, count };

		for (unsigned int i = 0; i < count; i++)
			segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, 0 };
		assert_int_equal(ioas_map_batch(r.q, segs, count, IOAS_RW), count);
		for (unsigned int bad = 0; bad < 5; bad++)
			for (unsigned int place = 0; place < 3; place++) {
				unsigned int at = places[place];
				struct ioas_seg wrong = segs[0];
				int ret;

				switch (bad) {
				case 0: /* never mapped */
					wrong.iova = GIB(300);
					break;
				case 1: /* twice in one batch */
					wrong.iova = segs[count - 1].iova;
					break;
				case 2:
					wrong.bytes = 0;
					break;
				case 3:
					wrong.iova += 8;
					break;
				case 4:
					wrong.iova = UINT64_C(1) << 60;
					break;
				}
				memmove(&segs[at + 1], &segs[at], (count - at) * sizeof(segs[0]));
				segs[at] = wrong;
				ret = ioas_unmap_batch(r.q, segs, count + 1);
				if (!not_a_mapping(ret))
					printf("# count %u, bad %u, place %u: %d\n", count, bad, at,
					       ret);
				assert_true(not_a_mapping(ret));
				if (bad < 2)
					assert_int_equal(ret, -ENOENT);
				memmove(&segs[at], &segs[at + 1], (count - at) * sizeof(segs[0]));
				assert_int_equal(ioas_flush(r.q), 0);
				for (unsigned int i = 0; i < count; i++)
					assert_true(writes(&r, segs[i].iova, segs[i].va));
			}
		assert_int_equal(ioas_unmap_batch(r.q, segs, count), count);
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < count; i++)
			assert_true(refused(&r, segs[i].iova, PAGE));
		drain_faults(&r);
	}
	assert_int_equal(stats_of(r.ctx).maps, stats_of(r.ctx).unmaps);
	rig_stop(&r);
}

/* Whatever the queue that mapped it, also one that is no more. */
static void by_another_queue(void **state)
{
	struct ioas_seg segs[40];
	struct ioas_queue *other;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 10; round++) {
		other = queue_new(r.as);
		for (unsigned int i = 0; i < 40; i++)
			segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, 0 };
		assert_int_equal(ioas_map_batch(other, segs, 40, IOAS_RW), 40);
		if (round & 1)
			assert_int_equal(ioas_queue_destroy(other), 0);
		for (unsigned int i = 0; i < 40; i++)
			assert_true(writes(&r, segs[i].iova, segs[i].va));
		assert_int_equal(ioas_unmap_batch(r.q, segs, 40), 40);
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < 40; i++)
			assert_true(refused(&r, segs[i].iova, PAGE));
		drain_faults(&r);
		if (!(round & 1))
			assert_int_equal(ioas_queue_destroy(other), 0);
	}
	rig_stop(&r);
}

static void wrong_kind(void **state)
{
	static const struct flavour passthrough = { .kind = IOAS_KIND_PASSTHROUGH };
	struct ioas_seg seg;
	struct rig r;

	(void)state;
	rig_start(&r, &passthrough, NULL);
	seg = (struct ioas_seg){ r.va, PAGE, (uintptr_t)r.va };
	assert_int_equal(ioas_unmap(r.q, (uintptr_t)r.va, PAGE), -EOPNOTSUPP);
	assert_true(queue_says(r.q, "PASSTHROUGH"));
	assert_int_equal(ioas_unmap_batch(r.q, &seg, 1), -EOPNOTSUPP);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &seg.iova), -EOPNOTSUPP);
	assert_int_equal(ioas_map_batch(r.q, &seg, 1, IOAS_RW), -EOPNOTSUPP);
	assert_int_equal(ioas_flush(r.q), 0);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_FLAVOURS(exactly),
		ALL_FLAVOURS(neighbours),
		ALL_FLAVOURS(twice),
		ALL_FLAVOURS(bad_arguments),
		ALL_FLAVOURS(batch_all_or_nothing),
		ALL_FLAVOURS(by_another_queue),
		cmocka_unit_test(wrong_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
