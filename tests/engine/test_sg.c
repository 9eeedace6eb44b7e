/* SPDX-License-Identifier: BSD-3-Clause */
/* Scattered memory as one contiguous IOVA range: one mapping, all of it or nothing. */
#include "rig.h"

static uint64_t scatter(struct rig *r, struct ioas_seg *segs, unsigned int count, unsigned int seed)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t pages = 1 + (i * 7 + seed) % 5;

		segs[i] = (struct ioas_seg){ .va = r->va + (i * 61 + seed) % 1000 * PAGE,
					     .bytes = pages * PAGE };
		sum += pages * PAGE;
	}
	return sum;
}

static void one_range(void **state)
{
	static const unsigned int counts[] = { 1, 2, 3, 17, 64, 200 };
	struct ioas_seg segs[200];
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 12; round++) {
		unsigned int count = counts[round % 6];
		uint64_t sum = scatter(&r, segs, count, round);
		ioas_iova_t at = round < 6 ? 0 : GIB(9) + PAGE;

		iova = at;
		assert_int_equal(
			ioas_map_sg(r.q, segs, count, IOAS_RW | (at ? IOAS_MAP_FIXED : 0), &iova),
			0);
		if (at)
			assert_int_equal(iova, at);
		at = iova;
		for (unsigned int i = 0; i < count; at += segs[i++].bytes) {
			assert_int_equal(segs[i].iova, at);
			assert_true(reaches(&r, at, segs[i].va, segs[i].bytes));
		}
		assert_true(refused(&r, iova - PAGE, PAGE));
		assert_true(refused(&r, iova + sum, PAGE));
		/* It is one mapping: its elements cannot go alone. */
		if (count > 1) {
			assert_int_not_equal(ioas_unmap(r.q, segs[0].iova, segs[0].bytes), 0);
			assert_int_not_equal(ioas_unmap(r.q, segs[1].iova, segs[1].bytes), 0);
			assert_int_not_equal(ioas_unmap(r.q, segs[1].iova, sum - segs[0].bytes), 0);
			assert_int_not_equal(ioas_unmap_batch(r.q, segs, count), count);
			assert_true(writes(&r, segs[0].iova, segs[0].va));
			assert_true(writes(&r, segs[count - 1].iova, segs[count - 1].va));
		}
		assert_int_equal(ioas_unmap(r.q, iova, sum), 0);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(refused(&r, iova, sum));
		drain_faults(&r);
	}
	rig_stop(&r);
}

/* Elements of whole 2 MiB, and longer than any allocation class: 1.5 GiB. */
static void long_range(void **state)
{
	static struct ioas_seg segs[384];
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 384; i++)
		segs[i] = (struct ioas_seg){ .va = r.va, .bytes = RIG_BYTES };
	assert_int_equal(ioas_map_sg(r.q, segs, 384, IOAS_RW, &iova), 0);
	for (unsigned int i = 0; i < 384; i++) {
		assert_int_equal(segs[i].iova, iova + i * RIG_BYTES);
		assert_true(writes(&r, segs[i].iova + i * PAGE, r.va + i * PAGE));
	}
	assert_int_equal(ioas_unmap(r.q, iova, 384 * RIG_BYTES), 0);
	assert_int_equal(ioas_flush(r.q), 0);
	for (unsigned int i = 0; i < 384; i++)
		assert_true(refused(&r, iova + i * RIG_BYTES + i * PAGE, PAGE));
	rig_stop(&r);
}

/* 2 MiB pieces and single pages mixed, so that leaves of both sizes meet. */
static void mixed_leaves(void **state)
{
	struct ioas_seg segs[4];
	ioas_iova_t iova = GIB(2);
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 8; round++) {
		uint64_t sum = 0;

		segs[0] = (struct ioas_seg){ r.va, MIB(2), 0 };
		segs[1] = (struct ioas_seg){ r.va + 5 * PAGE, (1 + round) * PAGE, 0 };
		segs[2] = (struct ioas_seg){ r.va + MIB(2), MIB(2) - (1 + round) * PAGE, 0 };
		segs[3] = (struct ioas_seg){ r.va + MIB(2), MIB(2), 0 };
		assert_int_equal(ioas_map_sg(r.q, segs, 4, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		for (unsigned int i = 0; i < 4; sum += segs[i++].bytes)
			assert_true(reaches(&r, iova + sum, segs[i].va, segs[i].bytes));
		assert_int_equal(ioas_unmap(r.q, iova, sum), 0);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(refused(&r, iova, sum));
		drain_faults(&r);
	}
	rig_stop(&r);
}

static void fails_as_a_whole(void **state)
{
	struct ioas_seg segs[10];
	ioas_iova_t obstacle, iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int at = 0; at < 10; at++) {
		/* Something is in the way of element @at. */
		obstacle = GIB(1) + at * PAGE;
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &obstacle), 0);
		for (unsigned int i = 0; i < 10; i++)
			segs[i] = (struct ioas_seg){ r.va + (20 - i) * PAGE, PAGE, 0 };
		iova = GIB(1);
		assert_int_equal(ioas_map_sg(r.q, segs, 10, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 -EEXIST);
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < 10; i++)
			if (i == at)
				assert_true(writes(&r, obstacle, r.va));
			else
				assert_true(refused(&r, GIB(1) + i * PAGE, PAGE));
		assert_int_equal(ioas_unmap(r.q, obstacle, PAGE), 0);
		/* Element @at is not registered. */
		segs[at].va = r.va + RIG_BYTES;
		assert_int_equal(ioas_map_sg(r.q, segs, 10, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 -ENOENT);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(refused(&r, GIB(1), 10 * PAGE));
		drain_faults(&r);
	}
	assert_int_equal(ioas_map_sg(r.q, segs, 0, IOAS_RW, &iova), -EINVAL);
	/* The sum overflows. */
	segs[0] = (struct ioas_seg){ r.va, UINT64_C(1) << 63, 0 };
	segs[1] = (struct ioas_seg){ r.va, UINT64_C(1) << 63, 0 };
	assert_true(ioas_map_sg(r.q, segs, 2, IOAS_RW, &iova) < 0);
	rig_stop(&r);
}

static void user_only(void **state)
{
	struct ioas_seg seg;
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	seg = (struct ioas_seg){ r.va, PAGE, 0 };
	assert_int_equal(ioas_map_sg(r.q, &seg, 1, IOAS_RW, &iova), -EOPNOTSUPP);
	assert_true(queue_says(r.q, "KERNEL"));
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		USER_FLAVOURS(one_range),    USER_FLAVOURS(long_range),
		USER_FLAVOURS(mixed_leaves), USER_FLAVOURS(fails_as_a_whole),
		TEST_OF(user_only, kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
