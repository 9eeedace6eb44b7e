/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits: known before they are hit, clear when they are, and nothing is lost for later. */
#include "rig.h"

/* The backend allows so many live mappings: what a type1 container calls its entry limit. */
static void live_mappings(void **state)
{
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas_seg segs[8];
	ioas_iova_t iova[8], more;
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, "max_maps=8");
	assert_int_equal(ioas_ctx_caps(r.ctx, &caps), 0);
	assert_int_equal(caps.max_maps, 8);
	for (unsigned int round = 0; round < 10; round++) {
		for (unsigned int i = 0; i < 8; i++)
			assert_int_equal(ioas_map(r.q, r.va + i * PAGE, PAGE, IOAS_RW, &iova[i]),
					 0);
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &more), -ENOSPC);
		assert_true(queue_says(r.q, "max_maps"));
		for (unsigned int i = 0; i < 8; i++)
			assert_true(writes(&r, iova[i], r.va + i * PAGE));
		/* Half of a batch would fit: nothing of it is mapped. */
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(ioas_unmap(r.q, iova[i], PAGE), 0);
		for (unsigned int i = 0; i < 8; i++)
			segs[i] = (struct ioas_seg){ r.va + (20 + i) * PAGE, PAGE,
						     GIB(40) + i * MIB(4) };
		assert_int_equal(ioas_map_batch(r.q, segs, 8, IOAS_RW | IOAS_MAP_FIXED), -ENOSPC);
		for (unsigned int i = 0; i < 8; i++)
			assert_true(refused(&r, segs[i].iova, PAGE));
		assert_int_equal(ioas_map_batch(r.q, segs, 4, IOAS_RW | IOAS_MAP_FIXED), 4);
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &more), -ENOSPC);
		assert_int_equal(ioas_unmap_batch(r.q, segs, 4), 4);
		for (unsigned int i = 4; i < 8; i++)
			assert_int_equal(ioas_unmap(r.q, iova[i], PAGE), 0);
		drain_faults(&r);
	}
	rig_stop(&r);
}

/* What a USER space maps is no mapping of the kernel's. */
static void user_maps_are_not_limited(void **state)
{
	static struct ioas_seg segs[1000];
	struct rig r;

	rig_start(&r, *state, "max_maps=8");
	for (unsigned int i = 0; i < 1000; i++)
		segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, 0 };
	assert_int_equal(ioas_map_batch(r.q, segs, 1000, IOAS_RW), 1000);
	for (unsigned int i = 0; i < 1000; i += 37)
		assert_true(writes(&r, segs[i].iova, segs[i].va));
	assert_int_equal(ioas_unmap_batch(r.q, segs, 1000), 1000);
	rig_stop(&r);
}

/* The parent's mappings are: memory that does not fit is an error, and of the call it belongs to.
 */
static void parent_is_limited(void **state)
{
	struct ioas_mem_opts opts = {
		.size = sizeof(opts), .numa_node = IOAS_NUMA_ANY, .bytes = PAGE, .page_bytes = PAGE
	};
	struct ioas_mem *mems[16];
	unsigned int count = 0;
	ioas_iova_t iova;
	struct rig r;
	int ret = 0;

	rig_start(&r, *state, "max_maps=8");
	for (; count < 16; count++) {
		ret = ioas_mem_alloc(r.ctx, &opts, &mems[count]);
		if (ret)
			break;
	}
	assert_true(count < 8);
	assert_int_equal(ret, -ENOSPC);
	assert_true(ctx_says(r.ctx, "max_maps"));
	/* What was registered before works on. */
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(ioas_map(r.q, ioas_mem_va(mems[i]), PAGE, IOAS_RW, &iova), 0);
		assert_true(writes(&r, iova, ioas_mem_va(mems[i])));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	}
	while (count--)
		assert_int_equal(ioas_mem_free(mems[count]), 0);
	assert_int_equal(ioas_mem_alloc(r.ctx, &opts, &mems[0]), 0);
	assert_int_equal(ioas_mem_free(mems[0]), 0);
	rig_stop(&r);
}

/* 32 bits of IOVA: memory lies above, so it cannot be mapped one to one, parents included. */
static void narrow_aperture(void **state)
{
	static struct ioas_seg segs[300];
	struct ioas_range aperture;
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, "aperture_bits=32");
	aperture = ioas_get_aperture(r.as);
	if (ioas_get_kind(r.as) == IOAS_KIND_KERNEL) {
		assert_int_equal(aperture.last, GIB(4) - 1);
		iova = GIB(4);
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 -ERANGE);
		iova = GIB(4) - PAGE;
		assert_int_equal(ioas_map(r.q, r.va, 2 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 -ERANGE);
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		assert_true(reaches(&r, iova, r.va, PAGE));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
		if ((uintptr_t)r.va >= GIB(4))
			assert_int_equal(
				ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_IDENTITY, &iova),
				-ERANGE);
	} else { /* a table of its own: only the parent is narrow */
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_IDENTITY, &iova), 0);
		assert_true(reaches(&r, (uintptr_t)r.va, r.va, PAGE));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	}
	for (unsigned int i = 0; i < 300; i++)
		segs[i] = (struct ioas_seg){ r.va + 3 * i * PAGE, 2 * PAGE, 0 };
	assert_int_equal(ioas_map_batch(r.q, segs, 300, IOAS_RW), 300);
	for (unsigned int i = 0; i < 300; i++) {
		assert_true(segs[i].iova + 2 * PAGE - 1 <= aperture.last);
		assert_true(reaches(&r, segs[i].iova, segs[i].va, 2 * PAGE));
	}
	assert_int_equal(ioas_unmap_batch(r.q, segs, 300), 300);
	rig_stop(&r);
}

#define SMALL_BYTES MIB(4)

static void small_start(struct rig *r, const struct flavour *flavour)
{
	struct ioas_opts opts = opts_of(flavour);

	opts.aperture = (struct ioas_range){ GIB(1), GIB(1) + SMALL_BYTES - 1 };
	if (opts.mode == IOAS_BATCHED) {
		opts.batch_max = 4096;
		opts.batch_ns = UINT64_C(3600000000000);
	}
	rig_open(r, NULL);
	rig_space(r, &opts);
}

/* Map mappings of @bytes until there is no IOVA left. */
static unsigned int fill(struct rig *r, struct ioas_queue *q, uint64_t bytes, ioas_iova_t *iovas)
{
	static bool used[SMALL_BYTES / PAGE];
	unsigned int count = 0;
	ioas_iova_t iova;
	int ret;

	memset(used, 0, sizeof(used));
	while (!(ret = ioas_map(q, r->va, bytes, IOAS_RW, &iova))) {
		assert_true(iova >= GIB(1) && iova + bytes <= GIB(1) + SMALL_BYTES);
		for (uint64_t at = iova; at < iova + bytes; at += PAGE) {
			assert_false(used[(at - GIB(1)) / PAGE]); /* handed out once */
			used[(at - GIB(1)) / PAGE] = true;
		}
		iovas[count++] = iova;
	}
	assert_int_equal(ret, -ENOSPC);
	assert_true(queue_says(q, "IOVA"));
	return count;
}

static void drop(struct ioas_queue *q, uint64_t bytes, ioas_iova_t *iovas, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(ioas_unmap(q, iovas[i], bytes), 0);
}

static int by_value(const void *a, const void *b)
{
	const ioas_iova_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* All of the aperture can be used, again and again, in any size. */
static void exhaustion(void **state)
{
	static ioas_iova_t iovas[SMALL_BYTES / PAGE];
	static const unsigned int pages[] = { 1, 512, 1, 2, 16, 1, 64, 512, 1 };
	ioas_iova_t again;
	struct rig r;

	small_start(&r, *state);
	for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		uint64_t bytes = pages[i] * PAGE;
		unsigned int count = fill(&r, r.q, bytes, iovas);

		printf("# %u mappings of %u pages\n", count, pages[i]);
		assert_int_equal(count, SMALL_BYTES / bytes);
		/* Full, but not broken; and what goes comes back: the upper half of it. */
		assert_true(writes(&r, iovas[count / 2], r.va));
		qsort(iovas, count, sizeof(iovas[0]), by_value);
		drop(r.q, bytes, iovas + count / 2, count - count / 2);
		for (unsigned int j = count / 2; j < count; j++) {
			assert_int_equal(
				ioas_map(r.q, r.va + RIG_BYTES - bytes, bytes, IOAS_RW, &iovas[j]),
				0);
			assert_true(writes(&r, iovas[j], r.va + RIG_BYTES - bytes));
		}
		assert_int_equal(ioas_map(r.q, r.va, bytes, IOAS_RW, &again), -ENOSPC);
		drop(r.q, bytes, iovas, count);
	}
	rig_stop(&r);
}

/* A batch for which there is not enough: nothing of it. */
static void batch_that_does_not_fit(void **state)
{
	static struct ioas_seg segs[SMALL_BYTES / PAGE + 1];
	static ioas_iova_t iovas[SMALL_BYTES / PAGE];
	const unsigned int all = SMALL_BYTES / PAGE;
	unsigned int count;
	struct rig r;

	small_start(&r, *state);
	for (unsigned int i = 0; i <= all; i++)
		segs[i] = (struct ioas_seg){ r.va + i % RIG_PAGES * PAGE, PAGE, 0 };
	for (unsigned int round = 0; round < 3; round++) {
		assert_int_equal(ioas_map_batch(r.q, segs, all + 1, IOAS_RW), -ENOSPC);
		assert_int_equal(ioas_mem_free(r.mem), 0);
		assert_int_equal(ioas_mem_register(r.ctx, r.va, RIG_BYTES, &r.mem), 0);
		assert_int_equal(ioas_map_batch(r.q, segs, all, IOAS_RW), all);
		for (unsigned int i = 0; i < all; i += 31)
			assert_true(writes(&r, segs[i].iova, segs[i].va));
		assert_int_equal(ioas_unmap_batch(r.q, segs, all), all);
	}
	count = fill(&r, r.q, PAGE, iovas);
	assert_int_equal(count, all);
	drop(r.q, PAGE, iovas, count);
	rig_stop(&r);
}

/* What one queue has given back another can have: -ENOSPC means that there is none. */
static void queues_share(void **state)
{
	static ioas_iova_t iovas[SMALL_BYTES / PAGE];
	struct ioas_queue *other;
	unsigned int count;
	struct rig r;

	small_start(&r, *state);
	other = queue_new(r.as);
	count = fill(&r, r.q, PAGE, iovas);
	drop(r.q, PAGE, iovas, count);
	assert_int_equal(ioas_flush(r.q), 0);
	/* Its magazines may hold some of it, but not all. */
	count = fill(&r, other, PAGE, iovas);
	printf("# %u of %lu\n", count, SMALL_BYTES / PAGE);
	assert_true(count > 0);
	drop(other, PAGE, iovas, count);
	/* With the queue its hold goes. */
	assert_int_equal(ioas_queue_destroy(r.q), 0);
	count = fill(&r, other, PAGE, iovas);
	assert_int_equal(count, SMALL_BYTES / PAGE);
	drop(other, PAGE, iovas, count);
	assert_int_equal(ioas_queue_destroy(other), 0);
	r.q = queue_new(r.as);
	rig_stop(&r);
}

/* Blocks that hold fixed pages are not lost for good. */
static void fixed_then_chosen(void **state)
{
	static ioas_iova_t iovas[SMALL_BYTES / PAGE];
	ioas_iova_t iova = GIB(1) + 5 * PAGE;
	unsigned int count;
	struct rig r;

	small_start(&r, *state);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
	count = fill(&r, r.q, PAGE, iovas);
	printf("# beside a fixed page: %u of %lu\n", count, SMALL_BYTES / PAGE);
	assert_true(count >= 512);
	assert_true(writes(&r, iova, r.va));
	drop(r.q, PAGE, iovas, count);
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	rig_stop(&r);
}

/* Many spaces at once, made and gone in another order; as many as an ordinary user can have. */
#define SPACES 10u

static void many_spaces(void **state)
{
	struct ioas *spaces[SPACES];
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < SPACES; i++)
			spaces[i] = space_new(r.ctx, *state);
		for (unsigned int i = 0; i < SPACES; i++) {
			struct ioas *as = spaces[i * 7 % SPACES];
			struct ioas_queue *q = queue_new(as);
			ioas_iova_t iova;

			assert_int_equal(ioas_attach(as, r.dev), 0);
			assert_int_equal(ioas_map(q, r.va, PAGE, IOAS_RW, &iova), 0);
			assert_true(writes(&r, iova, r.va));
			assert_int_equal(ioas_unmap(q, iova, PAGE), 0);
			assert_int_equal(ioas_attach(r.as, r.dev), 0);
			assert_int_equal(ioas_queue_destroy(q), 0);
			assert_int_equal(ioas_destroy(as), 0);
		}
	}
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_mappings),  USER_FLAVOURS(user_maps_are_not_limited),
		TEST_OF(parent_is_limited, user), ALL_FLAVOURS(narrow_aperture),
		ALL_FLAVOURS(exhaustion),	  ALL_FLAVOURS(batch_that_does_not_fit),
		ALL_FLAVOURS(queues_share),	  ALL_FLAVOURS(fixed_then_chosen),
		ALL_FLAVOURS(many_spaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
