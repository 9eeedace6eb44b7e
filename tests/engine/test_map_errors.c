/* SPDX-License-Identifier: BSD-3-Clause */
/* What map refuses: one code each, a text that names the field, and nothing is mapped. */
#include "rig.h"

/* Does the device reach the memory nowhere, and does nothing hold it busy? */
static bool nothing_mapped(struct rig *r)
{
	if (ioas_mem_free(r->mem))
		return false;
	return !ioas_mem_register(r->ctx, r->va, RIG_BYTES, &r->mem);
}

enum { BY_SINGLE, BY_BATCH_FIRST, BY_BATCH_LAST, BY_SG_FIRST, BY_SG_LAST, WAYS };

/*
 * The bad element alone, and in a batch between good ones. Returns the code. Fixed elements of a
 * batch are far from each other.
 */
static int map_by(struct rig *r, int way, void *va, uint64_t bytes, uint32_t flags,
		  ioas_iova_t *iova)
{
	struct ioas_seg segs[5];
	unsigned int bad = way == BY_BATCH_LAST || way == BY_SG_LAST ? 4 : 0;
	int ret;

	if (way == BY_SINGLE)
		return ioas_map(r->q, va, bytes, flags, iova);
	for (unsigned int i = 0; i < 5; i++)
		segs[i] = i == bad ? (struct ioas_seg){ va, bytes, *iova }
				   : (struct ioas_seg){ r->va + (100 + i) * PAGE, PAGE,
							GIB(200 + i) };
	if (way == BY_SG_FIRST || way == BY_SG_LAST)
		return ioas_map_sg(r->q, segs, 5, flags, iova);
	ret = ioas_map_batch(r->q, segs, 5, flags);
	assert_int_not_equal(ret, 5);
	if (flags & IOAS_MAP_FIXED && ret < 0) {
		assert_int_equal(ioas_flush(r->q), 0);
		for (unsigned int i = 0; i < 5; i++)
			if (i != bad)
				assert_true(refused(r, GIB(200 + i), PAGE));
	}
	return ret;
}

static bool user(struct rig *r)
{
	return ioas_get_kind(r->as) == IOAS_KIND_USER;
}

static void bad_arguments(void **state)
{
	struct rig r;

	rig_start(&r, *state, NULL);
	const struct {
		void *va;
		uint64_t bytes;
		uint32_t flags;
		ioas_iova_t iova;
		int ret;
		const char *word;
	} bad[] = {
		{ r.va + 8, PAGE, IOAS_RW, 0, -EINVAL, "va" },
		{ r.va + PAGE - 1, PAGE, IOAS_RW, 0, -EINVAL, "va" },
		{ r.va, 0, IOAS_RW, 0, -EINVAL, "bytes" },
		{ r.va, 1, IOAS_RW, 0, -EINVAL, "bytes" },
		{ r.va, PAGE + 512, IOAS_RW, 0, -EINVAL, "bytes" },
		{ r.va, -PAGE, IOAS_RW, 0, -EINVAL, "bytes" },
		{ (void *)-PAGE, 2 * PAGE, IOAS_RW, 0, -EINVAL, "bytes" },
		{ r.va, PAGE, 0, 0, -EINVAL, "flags" },
		{ r.va, PAGE, IOAS_MAP_FIXED, GIB(1), -EINVAL, "flags" },
		{ r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, GIB(1) + 8, -EINVAL, "iova" },
		{ r.va, PAGE, IOAS_RW | 1 << 20, 0, -EINVAL, "flags" },
		{ r.va - PAGE, PAGE, IOAS_RW, 0, -ENOENT, "registered" },
		{ r.va + RIG_BYTES, PAGE, IOAS_RW, 0, -ENOENT, "registered" },
		{ r.va - PAGE, 2 * PAGE, IOAS_RW, 0, -ENOENT, "registered" },
		{ r.va + RIG_BYTES - PAGE, 2 * PAGE, IOAS_RW, 0, -ENOENT, "registered" },
		{ r.va, RIG_BYTES + PAGE, IOAS_RW, 0, -ENOENT, "registered" },
		{ NULL, PAGE, IOAS_RW, 0, -ENOENT, "registered" },
		{ r.va - PAGE, PAGE, IOAS_RW | IOAS_MAP_IDENTITY, 0, -ENOENT, "registered" },
	};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (int way = 0; way < (user(&r) ? WAYS : BY_SG_FIRST); way++) {
			ioas_iova_t iova = bad[i].iova;
			int ret;

			/* Scattered memory has one IOVA: there is none of an element to be bad. */
			if (way >= BY_SG_FIRST && bad[i].flags & IOAS_MAP_IDENTITY)
				continue;
			ret = map_by(&r, way, bad[i].va, bad[i].bytes, bad[i].flags, &iova);
			if (ret != bad[i].ret)
				printf("# case %u, way %d\n", i, way);
			assert_int_equal(ret, bad[i].ret);
			assert_true(queue_says(r.q, bad[i].word));
			assert_true(nothing_mapped(&r));
		}
	assert_int_equal(stats_of(r.ctx).maps, 0);
	rig_stop(&r);
}

/* Fixed places outside what the space may use. */
static void out_of_range(void **state)
{
	static const struct ioas_range reserved[] = { { GIB(2), GIB(2) + MIB(1) - 1 } };
	static const struct {
		uint64_t iova;
		uint64_t bytes;
		const char *word;
	} bad[] = {
		{ 0, PAGE, "aperture" },
		{ GIB(1) - PAGE, PAGE, "aperture" },
		{ GIB(1) - PAGE, 2 * PAGE, "aperture" },
		{ GIB(4) - PAGE, 2 * PAGE, "aperture" },
		{ GIB(4), PAGE, "aperture" },
		{ GIB(1) << 17, PAGE, "aperture" },
		{ UINT64_C(1) << 63, PAGE, "aperture" },
		{ UINT64_MAX - PAGE + 1, PAGE, "aperture" },
		{ GIB(2), PAGE, "reserved" },
		{ GIB(2) - PAGE, 2 * PAGE, "reserved" },
		{ GIB(2) + MIB(1) - PAGE, 2 * PAGE, "reserved" },
		{ GIB(2) - PAGE, MIB(1) + 2 * PAGE, "reserved" },
	};
	struct ioas_opts opts = opts_of(*state);
	struct rig r;

	rig_open(&r, NULL);
	opts.aperture = (struct ioas_range){ GIB(1), GIB(4) - 1 };
	opts.reserved = reserved;
	opts.reserved_count = 1;
	rig_space(&r, &opts);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (int way = 0; way < (user(&r) ? BY_SG_LAST : BY_SG_FIRST); way++) {
			ioas_iova_t iova = bad[i].iova;
			int ret;

			if (way == BY_BATCH_FIRST || way == BY_BATCH_LAST)
				continue; /* its good elements are outside of this aperture */
			ret = map_by(&r, way, r.va, bad[i].bytes, IOAS_RW | IOAS_MAP_FIXED, &iova);
			if (ret != -ERANGE)
				printf("# case %u, way %d\n", i, way);
			if (way == BY_SINGLE) {
				assert_int_equal(ret, -ERANGE);
				assert_true(queue_says(r.q, bad[i].word));
			} else {
				/* What follows may lie behind the end of all addresses. */
				assert_true(ret == -ERANGE || !ret ||
					    (ret == -EINVAL && bad[i].iova >> 63));
				if (!ret) /* four pages on: no more in the reserved range */
					assert_int_equal(
						ioas_unmap(r.q, iova, bad[i].bytes + 4 * PAGE), 0);
			}
			assert_true(nothing_mapped(&r));
		}
	/* Wraps around. */
	for (unsigned int i = 0; i < 2; i++) {
		ioas_iova_t iova = UINT64_MAX - PAGE + 1;
		int ret = ioas_map(r.q, r.va, (2 + i) * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova);

		assert_true(ret == -EINVAL || ret == -ERANGE);
	}
	/* IOVA = VA, and virtual addresses are beyond 4 GiB. */
	if ((uintptr_t)r.va > GIB(4)) {
		ioas_iova_t iova = 0;

		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_IDENTITY, &iova),
				 -ERANGE);
	}
	assert_true(nothing_mapped(&r));
	rig_stop(&r);
}

static void out_of_range_in_a_batch(void **state)
{
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (int way = BY_BATCH_FIRST; way <= BY_BATCH_LAST; way++) {
		iova = UINT64_C(1) << 58;
		assert_int_equal(map_by(&r, way, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 -ERANGE);
		assert_true(queue_says(r.q, "aperture"));
		assert_true(nothing_mapped(&r));
	}
	rig_stop(&r);
}

/* Where something is already: mapped by the caller, by the library, or part of a window. */
static void occupied(void **state)
{
	static const struct {
		int64_t pages; /* relative to a mapping of four pages */
		uint64_t count;
	} overlaps[] = { { 0, 4 }, { 0, 1 }, { 3, 1 }, { 1, 2 }, { -1, 2 }, { 3, 2 }, { -2, 8 } };
	ioas_iova_t fixed = GIB(1) + 16 * PAGE, chosen;
	struct rig r;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_map(r.q, r.va, 4 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &fixed), 0);
	assert_int_equal(ioas_map(r.q, r.va + 4 * PAGE, 4 * PAGE, IOAS_RW, &chosen), 0);
	for (unsigned int i = 0; i < 2 * sizeof(overlaps) / sizeof(overlaps[0]); i++) {
		ioas_iova_t base = i & 1 ? fixed : chosen;
		uint64_t bytes = overlaps[i / 2].count * PAGE;

		for (int way = 0; way < BY_SG_FIRST; way++) {
			ioas_iova_t iova = base + overlaps[i / 2].pages * PAGE;
			int ret = map_by(&r, way, r.va + MIB(1), bytes, IOAS_RW | IOAS_MAP_FIXED,
					 &iova);

			if (ret != -EEXIST)
				printf("# case %u, way %d\n", i, way);
			assert_int_equal(ret, -EEXIST);
			assert_true(queue_says(r.q, "iova"));
		}
		/* What was there is untouched; of what failed nothing is left. */
		assert_true(reaches(&r, fixed, r.va, 4 * PAGE));
		assert_true(reaches(&r, chosen, r.va + 4 * PAGE, 4 * PAGE));
		assert_true(refused(&r, fixed - 2 * PAGE, 2 * PAGE));
		assert_true(refused(&r, fixed + 4 * PAGE, 4 * PAGE));
	}
	/* The failures left nothing behind that would be in the way of a proper map. */
	for (unsigned int i = 0; i < 2; i++) {
		ioas_iova_t iova = fixed + (i ? 4 : -2) * PAGE;

		assert_int_equal(
			ioas_map(r.q, r.va + MIB(1), 2 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		assert_true(reaches(&r, iova, r.va + MIB(1), 2 * PAGE));
		assert_int_equal(ioas_unmap(r.q, iova, 2 * PAGE), 0);
	}
	assert_int_equal(ioas_unmap(r.q, fixed, 4 * PAGE), 0);
	assert_int_equal(ioas_unmap(r.q, chosen, 4 * PAGE), 0);
	assert_true(nothing_mapped(&r));
	rig_stop(&r);
}

/* Overlap within one batch is overlap. */
static void occupied_by_itself(void **state)
{
	struct ioas_seg segs[3];
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 3; i++)
		segs[i] = (struct ioas_seg){ r.va + i * PAGE, 2 * PAGE, GIB(1) + i * 4 * PAGE };
	segs[2].iova = GIB(1) + PAGE;
	assert_int_equal(ioas_map_batch(r.q, segs, 3, IOAS_RW | IOAS_MAP_FIXED), -EEXIST);
	assert_int_equal(ioas_flush(r.q), 0);
	assert_true(refused(&r, GIB(1), 8 * PAGE));
	assert_true(nothing_mapped(&r));
	/* The same memory twice at IOVA = VA. */
	segs[0] = segs[1] = (struct ioas_seg){ r.va, PAGE, 0 };
	assert_int_equal(ioas_map_batch(r.q, segs, 2, IOAS_RW | IOAS_MAP_IDENTITY), -EEXIST);
	assert_int_equal(ioas_flush(r.q), 0);
	assert_true(refused(&r, (uintptr_t)r.va, PAGE));
	assert_true(nothing_mapped(&r));
	rig_stop(&r);
}

/*
 * A large batch that fails near its end has been cached by the device on the way. None of it may
 * be left in the IOTLB either.
 */
static void undone_to_the_last_page(void **state)
{
	static struct ioas_seg segs[600];
	ioas_iova_t obstacle = GIB(1) + 599 * PAGE;
	struct rig r;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &obstacle), 0);
	for (unsigned int round = 0; round < 10; round++) {
		ioas_iova_t iova = GIB(1);

		for (unsigned int i = 0; i < 600; i++)
			segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, GIB(1) + i * PAGE };
		assert_int_equal(ioas_map_batch(r.q, segs, 600, IOAS_RW | IOAS_MAP_FIXED), -EEXIST);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(refused(&r, GIB(1), 599 * PAGE));
		assert_int_equal(ioas_map(r.q, r.va, 600 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 -EEXIST);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(refused(&r, GIB(1), 599 * PAGE));
		assert_true(writes(&r, obstacle, r.va));
		drain_faults(&r);
	}
	assert_int_equal(ioas_unmap(r.q, obstacle, PAGE), 0);
	rig_stop(&r);
}

/* The text stays with the queue that failed. */
static void text_of_the_queue(void **state)
{
	struct ioas_queue *other;
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	other = queue_new(r.as);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, 0, &iova), -EINVAL);
	assert_int_equal(ioas_map(other, r.va, 0, IOAS_RW, &iova), -EINVAL);
	assert_true(queue_says(r.q, "flags"));
	assert_true(queue_says(other, "bytes"));
	assert_null(strchr(ioas_queue_error(other), '\n'));
	assert_int_equal(ioas_queue_destroy(other), 0);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_FLAVOURS(bad_arguments),	       ALL_FLAVOURS(out_of_range),
		ALL_FLAVOURS(out_of_range_in_a_batch), ALL_FLAVOURS(occupied),
		ALL_FLAVOURS(occupied_by_itself),      ALL_FLAVOURS(undone_to_the_last_page),
		ALL_FLAVOURS(text_of_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
