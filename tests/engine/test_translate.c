/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual address to IOVA: any granularity, across mappings, while others map and unmap. */
#include "rig.h"

/* The run of @va: its length, 0 if there is no translation. */
static size_t run_of(struct rig *r, const void *va, size_t wanted, ioas_iova_t *iova)
{
	size_t bytes = wanted;
	int ret = ioas_translate(r->q, va, &bytes, iova);

	assert_true(!ret || ret == -ENOENT);
	if (ret)
		return 0;
	assert_true(bytes > 0 && bytes <= wanted);
	return bytes;
}

static void inside_a_mapping(void **state)
{
	static const uint64_t pages[] = { 1, 3, 512, 700, 1024 };
	ioas_iova_t iova, at;
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	assert_int_equal(run_of(&r, r.va, PAGE, &at), 0);
	for (unsigned int i = 0; i < 10; i++) {
		uint64_t bytes = pages[i / 2] * PAGE;
		uint8_t *va = r.va + (i & 1 && bytes < RIG_BYTES ? PAGE : 0);

		assert_int_equal(ioas_map(r.q, va, bytes, IOAS_RW, &iova), 0);
		for (uint64_t offset = 0; offset < bytes; offset += bytes / 16 + 13) {
			assert_int_equal(run_of(&r, va + offset, 1, &at), 1);
			assert_int_equal(at, iova + offset);
			/* To the end, and not beyond. */
			assert_int_equal(run_of(&r, va + offset, bytes - offset, &at),
					 bytes - offset);
			assert_int_equal(run_of(&r, va + offset, GIB(1), &at), bytes - offset);
			assert_int_equal(at, iova + offset);
		}
		assert_int_equal(run_of(&r, va + bytes, PAGE, &at), 0);
		assert_int_equal(run_of(&r, va - 1, PAGE, &at), 0);
		assert_int_equal(ioas_unmap(r.q, iova, bytes), 0);
		assert_int_equal(run_of(&r, va, bytes, &at), 0);
		assert_int_equal(run_of(&r, va + bytes / 2, 1, &at), 0);
	}
	rig_stop(&r);
}

/* A run is what is contiguous in IOVA, however many mappings it is made of. */
static void across_mappings(void **state)
{
	ioas_iova_t places[] = { GIB(1), GIB(1) + 4 * PAGE, GIB(2), GIB(2) + 3 * PAGE };
	ioas_iova_t at;
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	/* Neighbours; neighbours; then a jump; then a gap in IOVA. */
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(ioas_map(r.q, r.va + i * 4 * PAGE, (i == 2 ? 2 : 4) * PAGE,
					  IOAS_RW | IOAS_MAP_FIXED, &places[i]),
				 0);
	assert_int_equal(run_of(&r, r.va, MIB(1), &at), 8 * PAGE);
	assert_int_equal(at, GIB(1));
	assert_int_equal(run_of(&r, r.va + 3 * PAGE + 100, MIB(1), &at), 5 * PAGE - 100);
	assert_int_equal(at, GIB(1) + 3 * PAGE + 100);
	assert_int_equal(run_of(&r, r.va + 8 * PAGE, MIB(1), &at), 2 * PAGE);
	assert_int_equal(run_of(&r, r.va + 10 * PAGE, MIB(1), &at), 0); /* not mapped */
	assert_int_equal(run_of(&r, r.va + 12 * PAGE, MIB(1), &at), 4 * PAGE);
	assert_int_equal(at, GIB(2) + 3 * PAGE);
	/* The walk over a range, as a driver makes a scatter list. */
	for (uint64_t offset = 0, runs = 0; offset < 8 * PAGE; runs++) {
		offset += run_of(&r, r.va + offset, 8 * PAGE - offset, &at);
		assert_int_equal(runs, 0);
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(ioas_unmap(r.q, places[i], (i == 2 ? 2 : 4) * PAGE), 0);
	rig_stop(&r);
}

/* Several mappings of one address: one of those that are live, as long as there is one. */
static void aliases(void **state)
{
	ioas_iova_t iovas[4], at;
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	for (unsigned int order = 0; order < 4; order++) {
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(
				ioas_map(r.q, r.va + i * PAGE, 4 * PAGE, IOAS_RW, &iovas[i]), 0);
		for (unsigned int gone = 0; gone <= 4; gone++) {
			unsigned int live = 0;

			/* Page 3 is in all four. */
			for (unsigned int i = 0; i < 4; i++)
				live += iovas[i] && run_of(&r, r.va + 3 * PAGE, 1, &at) &&
					at == iovas[i] + (3 - i) * PAGE;
			assert_int_equal(live, gone < 4);
			if (live)
				assert_true(writes(&r, at, r.va + 3 * PAGE));
			if (gone < 4) {
				unsigned int next = gone ^ order;

				assert_int_equal(ioas_unmap(r.q, iovas[next], 4 * PAGE), 0);
				iovas[next] = 0;
			}
		}
		assert_int_equal(run_of(&r, r.va + 3 * PAGE, 1, &at), 0);
	}
	rig_stop(&r);
}

/* A large mapping under a small one: what is left of it is found when the small one goes. */
static void large_and_small(void **state)
{
	ioas_iova_t large, small, at;
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		ioas_iova_t *first = i ? &small : &large, *second = i ? &large : &small;

		assert_int_equal(ioas_map(r.q, i ? r.va + 5 * PAGE : r.va, i ? PAGE : MIB(2),
					  IOAS_RW, first),
				 0);
		assert_int_equal(ioas_map(r.q, i ? r.va : r.va + 5 * PAGE, i ? MIB(2) : PAGE,
					  IOAS_RW, second),
				 0);
		assert_true(run_of(&r, r.va + 5 * PAGE, 1, &at) == 1);
		assert_true(at == small || at == large + 5 * PAGE);
		assert_int_equal(run_of(&r, r.va, 1, &at), 1);
		assert_int_equal(at, large);
		assert_int_equal(ioas_unmap(r.q, small, PAGE), 0);
		assert_int_equal(run_of(&r, r.va + 5 * PAGE, PAGE, &at), PAGE);
		assert_int_equal(at, large + 5 * PAGE);
		assert_int_equal(ioas_map(r.q, r.va + 5 * PAGE, PAGE, IOAS_RW, &small), 0);
		assert_int_equal(ioas_unmap(r.q, large, MIB(2)), 0);
		assert_int_equal(run_of(&r, r.va, 1, &at), 0);
		assert_int_equal(run_of(&r, r.va + 5 * PAGE, MIB(1), &at), PAGE);
		assert_int_equal(at, small);
		assert_int_equal(ioas_unmap(r.q, small, PAGE), 0);
		assert_int_equal(run_of(&r, r.va + 5 * PAGE, 1, &at), 0);
	}
	rig_stop(&r);
}

static void passthrough(void **state)
{
	static const struct flavour flavour = { .kind = IOAS_KIND_PASSTHROUGH };
	ioas_iova_t at;
	struct rig r;

	(void)state;
	rig_start(&r, &flavour, NULL);
	assert_int_equal(run_of(&r, r.va + 77, RIG_BYTES - 77, &at), RIG_BYTES - 77);
	assert_int_equal(at, (uintptr_t)r.va + 77);
	assert_true(writes(&r, at + 3, r.va + 80));
	rig_stop(&r);
}

static void refusals(void **state)
{
	size_t bytes = PAGE;
	ioas_iova_t at;
	struct rig r;

	(void)state;
	rig_start(&r, &user_flavour, NULL);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &at), 0);
	assert_int_equal(ioas_translate(r.q, r.va, &bytes, &at), -EOPNOTSUPP);
	rig_drop_space(&r);
	rig_close(&r);
	rig_start(&r, &kernel_flavour, NULL);
	bytes = 0;
	assert_int_equal(ioas_translate(r.q, r.va, &bytes, &at), -EINVAL);
	bytes = PAGE;
	assert_int_equal(ioas_translate(r.q, NULL, &bytes, &at), -ENOENT);
	assert_int_equal(ioas_translate(r.q, (void *)-PAGE, &bytes, &at), -ENOENT);
	rig_stop(&r);
}

/* Where each page is mapped, if it is. */
static ioas_iova_t fixed_at(const struct rig *r, const uint8_t *va)
{
	return GIB(8) + (uint64_t)(va - r->va);
}

struct readers {
	struct rig r;
	_Atomic bool stop;
	uint64_t found;
	uint64_t missed;
	uint64_t wrong;
};

static void *reader(void *arg)
{
	struct readers *s = arg;
	struct ioas_queue *q;
	uint64_t at = 1;

	if (ioas_queue_create(s->r.as, &q))
		abort();
	while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
		size_t bytes = 16 * PAGE;
		ioas_iova_t iova;
		uint8_t *va;
		int ret;

		at = at * 13 % 1021;
		va = s->r.va + at * PAGE;
		ret = ioas_translate(q, va, &bytes, &iova);
		if (ret == -ENOENT)
			s->missed++;
		else if (ret || iova != fixed_at(&s->r, va) || !bytes || bytes > 16 * PAGE)
			s->wrong++;
		else
			s->found++;
		/* The page that is never unmapped. */
		bytes = PAGE;
		ret = ioas_translate(q, s->r.va + 1023 * PAGE, &bytes, &iova);
		s->wrong += ret || bytes != PAGE || iova != fixed_at(&s->r, s->r.va + 1023 * PAGE);
	}
	if (ioas_queue_destroy(q))
		abort();
	return NULL;
}

/* Readers wait for nobody and see old or new, never anything else. */
static void while_others_map(void **state)
{
	static struct readers s;
	struct ioas_seg segs[8];
	ioas_iova_t iova;
	pthread_t thread;
	uint64_t end, rounds = 0;

	(void)state;
	memset(&s, 0, sizeof(s));
	rig_start(&s.r, &kernel_flavour, NULL);
	iova = fixed_at(&s.r, s.r.va + 1023 * PAGE);
	assert_int_equal(
		ioas_map(s.r.q, s.r.va + 1023 * PAGE, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
	assert_int_equal(pthread_create(&thread, NULL, reader, &s), 0);
	end = now_ns() + test_ns() / 4;
	while (now_ns() < end) {
		for (unsigned int i = 0; i < 8; i++) {
			uint8_t *va = s.r.va + (i * 128 + rounds % 100) * PAGE;

			segs[i] = (struct ioas_seg){ va, (1 + rounds % 16) * PAGE,
						     fixed_at(&s.r, va) };
		}
		assert_int_equal(ioas_map_batch(s.r.q, segs, 8, IOAS_RW | IOAS_MAP_FIXED), 8);
		for (unsigned int i = 0; i < 8; i++) {
			size_t bytes = segs[i].bytes;

			assert_int_equal(ioas_translate(s.r.q, segs[i].va, &bytes, &iova), 0);
			assert_int_equal(iova, segs[i].iova);
			assert_int_equal(bytes, segs[i].bytes);
		}
		assert_int_equal(ioas_unmap_batch(s.r.q, segs, 8), 8);
		rounds++;
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	printf("# %lu rounds; found %lu, missed %lu\n", rounds, s.found, s.missed);
	assert_int_equal(s.wrong, 0);
	iova = fixed_at(&s.r, s.r.va + 1023 * PAGE);
	assert_int_equal(ioas_unmap(s.r.q, iova, PAGE), 0);
	rig_stop(&s.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inside_a_mapping), cmocka_unit_test(across_mappings),
		cmocka_unit_test(aliases),	    cmocka_unit_test(large_and_small),
		cmocka_unit_test(passthrough),	    cmocka_unit_test(refusals),
		cmocka_unit_test(while_others_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
