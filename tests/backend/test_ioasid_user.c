/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * USER spaces that the kernel walks and shadows: it knows what it has been told and nothing else,
 * so every way to map tells it, in one call, before it returns. What it could not be told of is not
 * mapped.
 */
#define FAKE_BACKEND "ioasid"

#include "../../engine/objects.h"
#include "fake_ioasid.h"
#include "fake_rig.h"

#define INVALS fake.calls[_IOC_NR(IOASID_INVALIDATE_CACHE) - IOASID_BASE]

static int begin(void **state)
{
	fake_reset();
	return 0;
}

static bool reaches(const struct fake_rig *r, ioas_iova_t iova, unsigned int page)
{
	return fake_dma(0, iova, IOASID_PROT_WRITE) == fake_page(r, page);
}

static void batches(void **state)
{
	struct ioas_seg segs[PAGES];
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_USER, IOAS_STRICT);
	for (unsigned int count = 1; count <= 256; count *= 4) {
		fake_fill(&r, segs, count);
		INVALS = 0;
		assert_int_equal(ioas_map_batch(r.q, segs, count, IOAS_RW), count);
		assert_int_equal(INVALS, 1);
		for (unsigned int i = 0; i < count; i++)
			assert_true(reaches(&r, segs[i].iova, i));
		assert_int_equal(ioas_unmap_batch(r.q, segs, count), count);
		assert_int_equal(INVALS, 2);
		for (unsigned int i = 0; i < count; i++)
			assert_null(fake_dma(0, segs[i].iova, 0));
	}
	assert_int_equal(ioas_map_batch(r.q, segs, 0, IOAS_RW), 0);
	fake_rig_stop(&r);
}

/* Fixed, scattered as one, large, for reading only, and a window. */
static void ways_to_map(void **state)
{
	const uint32_t slots[] = { 0, 1, 2, 5 };
	struct ioas_window_opts window_opts = {
		.size = sizeof(window_opts), .prot = IOAS_RW, .bytes = 8 * PAGE, .slot_bytes = PAGE
	};
	struct ioas_window *window;
	struct ioas_seg segs[8];
	ioas_iova_t iova = 0x40000000;
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_USER, IOAS_STRICT);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 3), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
	assert_true(reaches(&r, iova, 3));
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	assert_false(reaches(&r, iova, 3));

	for (unsigned int i = 0; i < 8; i++)
		segs[i] = (struct ioas_seg){ .va = fake_page(&r, 40 - 4 * i), .bytes = PAGE };
	assert_int_equal(ioas_map_sg(r.q, segs, 8, IOAS_RW, &iova), 0);
	for (unsigned int i = 0; i < 8; i++)
		assert_true(reaches(&r, iova + i * PAGE, 40 - 4 * i));
	assert_int_equal(ioas_unmap(r.q, iova, 8 * PAGE), 0);
	assert_null(fake_dma(0, iova + 7 * PAGE, 0));

	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGES * PAGE, IOAS_READ, &iova), 0);
	assert_null(fake_dma(0, iova, IOASID_PROT_WRITE));
	assert_ptr_equal(fake_dma(0, iova + 100 * PAGE, IOASID_PROT_READ), fake_page(&r, 100));
	assert_int_equal(ioas_unmap(r.q, iova, PAGES * PAGE), 0);
	assert_null(fake_dma(0, iova + 100 * PAGE, 0));

	window_opts.va = fake_page(&r, 8);
	assert_int_equal(ioas_window_create(r.as, &window_opts, &window), 0);
	iova = ioas_window_iova(window);
	INVALS = 0;
	assert_int_equal(ioas_window_grant(r.q, window, slots, 4), 0);
	assert_int_equal(INVALS, 1);
	assert_true(reaches(&r, iova + 5 * PAGE, 13));
	assert_null(fake_dma(0, iova + 4 * PAGE, 0));
	assert_int_equal(ioas_window_revoke(r.q, window, slots, 4), 0);
	assert_null(fake_dma(0, iova + 5 * PAGE, 0));
	assert_int_equal(ioas_window_destroy(window), 0);
	fake_rig_stop(&r);
}

/* A map takes what is pending along; unmaps alone still wait. */
static void batched(void **state)
{
	ioas_iova_t first, second;
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_USER, IOAS_BATCHED);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGE, IOAS_RW, &first), 0);
	assert_int_equal(INVALS, 1);
	assert_int_equal(ioas_unmap(r.q, first, PAGE), 0);
	assert_int_equal(INVALS, 1);
	assert_true(reaches(&r, first, 0));
	assert_int_equal(ioas_map(r.q, fake_page(&r, 1), PAGE, IOAS_RW, &second), 0);
	assert_int_equal(INVALS, 2);
	assert_false(reaches(&r, first, 0));
	assert_true(reaches(&r, second, 1));
	assert_int_equal(ioas_unmap(r.q, second, PAGE), 0);
	assert_int_equal(ioas_flush(r.q), 0);
	assert_false(reaches(&r, second, 1));
	fake_rig_stop(&r);
}

/* The kernel has no memory for its shadow: nothing is mapped, now or later, and nothing is lost. */
static void kernel_fails(void **state)
{
	const uint32_t slots[] = { 1, 2 };
	struct ioas_window_opts window_opts = {
		.size = sizeof(window_opts), .prot = IOAS_RW, .bytes = 8 * PAGE, .slot_bytes = PAGE
	};
	struct ioas_window *window;
	struct ioas_seg segs[64];
	ioas_iova_t iova;
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_USER, IOAS_STRICT);
	window_opts.va = fake_page(&r, 0);
	assert_int_equal(ioas_window_create(r.as, &window_opts, &window), 0);
	for (int i = 0; i < 3; i++) {
		fake.fail_at = 1;
		fake.fail_with = ENOMEM;
		fake_fill(&r, segs, 64);
		if (i == 0) {
			assert_int_equal(ioas_map_batch(r.q, segs, 64, IOAS_RW), -ENOMEM);
		} else if (i == 1) {
			assert_int_equal(ioas_map_sg(r.q, segs, 64, IOAS_RW, &iova), -ENOMEM);
		} else {
			assert_int_equal(ioas_window_grant(r.q, window, slots, 2), -ENOMEM);
		}
		assert_int_equal(fake.fail_at, 0);
		assert_non_null(strstr(ioas_queue_error(r.q), "could not read the table"));
		assert_error(&r, "made to fail");
		assert_int_equal(ioas_flush(r.q), 0);
		assert_int_equal(fake.spaces[fake.devices[0].space].count, 0);
	}
	assert_int_equal(ioas_window_grant(r.q, window, slots, 2), 0);
	assert_true(reaches(&r, ioas_window_iova(window) + PAGE, 1));
	assert_int_equal(ioas_window_revoke(r.q, window, slots, 2), 0);
	assert_int_equal(ioas_window_destroy(window), 0);
	fake_rig_stop(&r);
}

/* IOVAs are those of the devices, not of the table's format. */
static void ranges(void **state)
{
	ioas_iova_t iova = 0xfee00000;
	struct fake_rig r;

	fake.last = (1ULL << 39) - 1;
	fake_rig_run(&r, IOAS_KIND_USER, IOAS_STRICT);
	assert_int_equal(ioas_get_aperture(r.as).last, fake.last);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
			 -ERANGE);
	iova = fake.last - (PAGE - 1);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
	assert_true(reaches(&r, iova, 0));
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	fake_rig_stop(&r);
}

/* Random maps and unmaps by two queues: the shadow is what the library says is mapped. */
static void random_steps(void **state)
{
	struct ioas_queue *queues[2];
	ioas_iova_t iova[64] = { 0 };
	unsigned int seed = 5;
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_USER, IOAS_STRICT);
	queues[0] = r.q;
	assert_int_equal(ioas_queue_create(r.as, &queues[1]), 0);
	for (int step = 0; step < 5000; step++) {
		unsigned int page = rand_r(&seed) % 64;
		ioas_iova_t before = iova[page];
		struct ioas_queue *q = queues[rand_r(&seed) % 2];

		if (before) {
			assert_int_equal(ioas_unmap(q, before, PAGE), 0);
			assert_null(fake_dma(0, before, 0));
			iova[page] = 0;
		} else {
			assert_int_equal(
				ioas_map(q, fake_page(&r, page), PAGE, IOAS_RW, &iova[page]), 0);
			assert_true(reaches(&r, iova[page], page));
		}
	}
	for (unsigned int page = 0; page < 64; page++)
		if (iova[page])
			assert_int_equal(ioas_unmap(r.q, iova[page], PAGE), 0);
	assert_int_equal(fake.spaces[fake.devices[0].space].count, 0);
	assert_int_equal(ioas_queue_destroy(queues[1]), 0);
	fake_rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(batches, begin), cmocka_unit_test_setup(ways_to_map, begin),
		cmocka_unit_test_setup(batched, begin), cmocka_unit_test_setup(kernel_fails, begin),
		cmocka_unit_test_setup(ranges, begin),	cmocka_unit_test_setup(random_steps, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
