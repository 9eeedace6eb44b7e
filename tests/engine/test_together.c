/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mapped together: neighbours are one mapping of the kernel's, which a limit counts once, and which
 * goes as a whole or not at all. Single buffers are not merged.
 */
#include "rig.h"

#define BASE  GIB(1)
#define COUNT 64

static void fill(struct rig *r, struct ioas_seg *segs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		segs[i] = (struct ioas_seg){ .va = r->va + i * PAGE,
					     .bytes = PAGE,
					     .iova = BASE + i * PAGE };
}

static int map(struct rig *r, struct ioas_seg *segs, unsigned int count, uint32_t flags)
{
	return ioas_map_batch(r->q, segs, count, IOAS_RW | IOAS_MAP_FIXED | flags);
}

static bool page_reached(struct rig *r, unsigned int page)
{
	return reaches(r, BASE + page * PAGE, r->va + page * PAGE, PAGE);
}

/* A limit of two mappings: neighbours together are one of them. */
static void test_limit(void **state)
{
	struct ioas_seg segs[COUNT];
	struct rig r;

	rig_start(&r, &kernel_flavour, "max_maps=2");
	fill(&r, segs, COUNT);
	assert_int_equal(map(&r, segs, COUNT, 0), -ENOSPC);
	assert_false(page_reached(&r, 0));
	assert_int_equal(map(&r, segs, COUNT, IOAS_MAP_TOGETHER), COUNT);
	for (unsigned int page = 0; page < COUNT; page++)
		assert_true(page_reached(&r, page));
	segs[0].iova = BASE + GIB(1);
	assert_int_equal(map(&r, segs, 1, 0), 1);
	segs[0].iova = BASE + GIB(2);
	assert_int_equal(map(&r, segs, 1, 0), -ENOSPC);
	segs[0].iova = BASE + GIB(1);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 1), 1);
	fill(&r, segs, COUNT);
	assert_int_equal(ioas_unmap_batch(r.q, segs, COUNT), COUNT);
	assert_false(page_reached(&r, 5));
	rig_stop(&r);
}

/* A gap in memory, a gap in IOVA, another order: not neighbours. */
static void test_gaps(void **state)
{
	struct ioas_seg segs[6];
	struct rig r;

	rig_start(&r, &kernel_flavour, "max_maps=4");
	fill(&r, segs, 6);
	segs[1].iova += 100 * PAGE;    /* 0 | 1 */
	segs[2].iova += 100 * PAGE;    /* 1 2 */
	segs[3].va = r.va + 50 * PAGE; /* 2 | 3 */
	segs[3].iova += 100 * PAGE;
	segs[5].iova += 10 * PAGE; /* 4 | 5 */
	assert_int_equal(map(&r, segs, 6, IOAS_MAP_TOGETHER), -ENOSPC);
	assert_int_equal(map(&r, segs, 5, IOAS_MAP_TOGETHER), 5);
	/* Each run by itself, in any order. */
	assert_int_equal(ioas_unmap_batch(r.q, &segs[4], 1), 1);
	assert_int_equal(ioas_unmap_batch(r.q, &segs[1], 2), 2);
	assert_int_equal(ioas_unmap_batch(r.q, &segs[0], 1), 1);
	assert_int_equal(ioas_unmap_batch(r.q, &segs[3], 1), 1);
	rig_stop(&r);
}

/* Parts are refused, and everything can still be reached. */
static void test_parts(void **state)
{
	struct ioas_seg segs[8], some[8];
	struct rig r;

	rig_start(&r, &kernel_flavour, NULL);
	fill(&r, segs, 8);
	assert_int_equal(map(&r, segs, 4, IOAS_MAP_TOGETHER), 4);
	assert_int_equal(map(&r, segs + 4, 4, IOAS_MAP_TOGETHER), 4);
	assert_int_equal(ioas_unmap(r.q, segs[0].iova, PAGE), -EBUSY);
	assert_non_null(strstr(ioas_queue_error(r.q), "mapped together"));
	assert_int_equal(ioas_unmap(r.q, segs[2].iova, PAGE), -EBUSY);
	assert_int_equal(ioas_unmap(r.q, segs[0].iova, 4 * PAGE), -EINVAL);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 3), -EBUSY);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 7), -EBUSY);
	memcpy(some, segs, sizeof(some));
	some[1] = segs[2];
	some[2] = segs[1];
	assert_int_equal(ioas_unmap_batch(r.q, some, 8), -EBUSY);
	some[1] = segs[5]; /* of the other run */
	some[2] = segs[2];
	some[5] = segs[1];
	assert_int_equal(ioas_unmap_batch(r.q, some, 8), -EBUSY);
	for (unsigned int page = 0; page < 8; page++)
		assert_true(page_reached(&r, page));
	/* Two runs in one batch, the second one first. */
	memcpy(some, segs + 4, 4 * sizeof(some[0]));
	memcpy(some + 4, segs, 4 * sizeof(some[0]));
	assert_int_equal(ioas_unmap_batch(r.q, some, 8), 8);
	for (unsigned int page = 0; page < 8; page++)
		assert_false(page_reached(&r, page));
	rig_stop(&r);
}

/* Each element has a record of its own: to look up, to translate, in messages. */
static void test_records(void **state)
{
	struct ioas_seg segs[COUNT];
	size_t bytes = PAGE;
	ioas_iova_t iova;
	struct rig r;
	void *va;

	rig_start(&r, &kernel_flavour, NULL);
	fill(&r, segs, COUNT);
	assert_int_equal(map(&r, segs, COUNT, IOAS_MAP_TOGETHER), COUNT);
	assert_int_equal(ioas_lookup(r.q, BASE + 7 * PAGE + 5, &va, NULL), 0);
	assert_ptr_equal(va, r.va + 7 * PAGE + 5);
	assert_int_equal(ioas_translate(r.q, r.va + 9 * PAGE, &bytes, &iova), 0);
	assert_int_equal(iova, BASE + 9 * PAGE);
	assert_int_equal(ioas_mem_free(r.mem), -EBUSY);
	assert_int_equal(map(&r, segs, 1, 0), -EEXIST);
	/* The address space takes along what is mapped, runs and others. */
	segs[0].iova = BASE + GIB(1);
	assert_int_equal(map(&r, segs, 1, 0), 1);
	rig_drop_space(&r);
	rig_close(&r);
}

/* On USER spaces it means nothing: pages are the library's own. */
static void test_user(void **state)
{
	struct ioas_seg segs[4];
	struct rig r;

	rig_start(&r, &user_flavour, NULL);
	fill(&r, segs, 4);
	assert_int_equal(map(&r, segs, 4, IOAS_MAP_TOGETHER), 4);
	assert_int_equal(ioas_unmap(r.q, segs[1].iova, PAGE), 0);
	assert_false(page_reached(&r, 1));
	assert_true(page_reached(&r, 2));
	assert_int_equal(ioas_unmap(r.q, segs[0].iova, PAGE), 0);
	assert_int_equal(ioas_unmap_batch(r.q, segs + 2, 2), 2);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit), cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_parts), cmocka_unit_test(test_records),
		cmocka_unit_test(test_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
