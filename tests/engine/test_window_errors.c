/* SPDX-License-Identifier: BSD-3-Clause */
/* What windows refuse, and that nothing is half done. */
#include "rig.h"

static struct ioas_window_opts opts_at(void *va, uint64_t pages, ioas_iova_t iova)
{
	return (struct ioas_window_opts){ .size = sizeof(struct ioas_window_opts),
					  .prot = IOAS_RW,
					  .va = va,
					  .bytes = pages * PAGE,
					  .slot_bytes = PAGE,
					  .iova = iova };
}

static int create(struct rig *r, const struct ioas_window_opts *opts)
{
	struct ioas_window *window;
	int ret = ioas_window_create(r->as, opts, &window);

	if (!ret)
		assert_int_equal(ioas_window_destroy(window), 0);
	return ret;
}

static void bad_windows(void **state)
{
	struct ioas_window_opts opts;
	struct rig r;

	rig_start(&r, *state, NULL);
	opts = opts_at(r.va, 8, 0);
	assert_int_equal(create(&r, &opts), 0);
	opts = opts_at(r.va + 8, 8, 0);
	assert_int_equal(create(&r, &opts), -EINVAL);
	assert_true(ctx_says(r.ctx, "va"));
	opts = opts_at(r.va, 0, 0);
	assert_int_equal(create(&r, &opts), -EINVAL);
	assert_true(ctx_says(r.ctx, "bytes"));
	opts = opts_at(r.va, 8, 0);
	opts.bytes += 512;
	assert_int_equal(create(&r, &opts), -EINVAL);
	assert_true(ctx_says(r.ctx, "bytes"));
	for (unsigned int i = 0; i < 4; i++) {
		opts = opts_at(r.va, 8, 0);
		opts.slot_bytes = (uint64_t[]){ 0, 2048, PAGE + 1, 3 * PAGE }[i];
		assert_int_equal(create(&r, &opts), -EINVAL);
		assert_true(ctx_says(r.ctx, "slot_bytes"));
	}
	opts = opts_at(r.va, 8, 0);
	opts.slot_bytes = 16 * PAGE;
	assert_int_equal(create(&r, &opts), -EINVAL);
	for (unsigned int i = 0; i < 2; i++) {
		opts = opts_at(r.va, 8, 0);
		opts.prot = i ? 1 << 5 | IOAS_RW : 0;
		assert_int_equal(create(&r, &opts), -EINVAL);
		assert_true(ctx_says(r.ctx, "prot"));
	}
	opts = opts_at(r.va, 8, GIB(2) + 8);
	assert_int_equal(create(&r, &opts), -EINVAL);
	assert_true(ctx_says(r.ctx, "iova"));
	opts = opts_at(r.va, 8, 0);
	opts.size = 0;
	assert_int_equal(create(&r, &opts), -EINVAL);

	opts = opts_at(r.va - PAGE, 8, 0);
	assert_int_equal(create(&r, &opts), -ENOENT);
	opts = opts_at(r.va, RIG_PAGES + 1, 0);
	assert_int_equal(create(&r, &opts), -ENOENT);
	opts = opts_at(r.va + RIG_BYTES, 1, 0);
	assert_int_equal(create(&r, &opts), -ENOENT);
	assert_true(ctx_says(r.ctx, "registered"));
	opts = opts_at(r.va, 1, 0);
	opts.bytes = -PAGE;
	assert_true(create(&r, &opts) < 0);
	rig_stop(&r);
}

static void bad_places(void **state)
{
	const struct ioas_range reserved[] = { { GIB(2), GIB(2) + PAGE - 1 } };
	struct ioas_opts space = opts_of(*state);
	struct ioas_window *window, *chosen;
	struct ioas_window_opts opts;
	ioas_iova_t iova, fixed = GIB(3) + 4 * PAGE;
	struct rig r;

	rig_open(&r, NULL);
	space.aperture = (struct ioas_range){ GIB(1), GIB(4) - 1 };
	space.reserved = reserved;
	space.reserved_count = 1;
	rig_space(&r, &space);
	for (unsigned int i = 0; i < 4; i++) {
		opts = opts_at(r.va, 8,
			       (uint64_t[]){ GIB(1) - MIB(2), GIB(4), GIB(100), GIB(2) }[i]);
		assert_int_equal(create(&r, &opts), -ERANGE);
		assert_true(ctx_says(r.ctx, i < 3 ? "aperture" : "reserved"));
	}
	opts = opts_at(r.va, RIG_PAGES, GIB(4) - MIB(2)); /* begins inside */
	assert_int_equal(create(&r, &opts), -ERANGE);
	opts.iova = 0;
	opts.identity = true; /* IOVA = VA is beyond 4 GiB */
	if ((uintptr_t)r.va > GIB(4))
		assert_int_equal(create(&r, &opts), -ERANGE);

	/* In use: by a mapping, by the allocator, by a window. */
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &fixed), 0);
	opts = opts_at(r.va, 8, GIB(3));
	assert_int_equal(create(&r, &opts), -EEXIST);
	opts = opts_at(r.va, 4, GIB(3)); /* before it */
	assert_int_equal(create(&r, &opts), 0);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova), 0);
	opts = opts_at(r.va, 512, iova & ~(MIB(2) - 1));
	assert_int_equal(create(&r, &opts), -EEXIST);
	opts = opts_at(r.va, 8, GIB(3) + MIB(2));
	assert_int_equal(ioas_window_create(r.as, &opts, &window), 0);
	assert_int_equal(create(&r, &opts), -EEXIST);
	opts = opts_at(r.va + 7 * PAGE, 2, GIB(3) + MIB(2) + 7 * PAGE);
	assert_int_equal(create(&r, &opts), -EEXIST);
	opts = opts_at(r.va + 8 * PAGE, 2, GIB(3) + MIB(2) + 8 * PAGE);
	assert_int_equal(create(&r, &opts), 0);
	opts = opts_at(r.va, RIG_PAGES, GIB(3) + MIB(2));
	assert_int_equal(create(&r, &opts), -EEXIST);
	/* The same memory may have several windows. */
	opts = opts_at(r.va, 8, 0);
	assert_int_equal(ioas_window_create(r.as, &opts, &chosen), 0);
	assert_true(ioas_window_iova(chosen) >= GIB(1) && ioas_window_iova(chosen) < GIB(4));
	assert_int_equal(ioas_window_destroy(chosen), 0);
	/* The failures have left nothing that is in the way. */
	assert_int_equal(ioas_unmap(r.q, fixed, PAGE), 0);
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	assert_int_equal(ioas_window_destroy(window), 0);
	opts = opts_at(r.va, RIG_PAGES, GIB(3));
	assert_int_equal(create(&r, &opts), 0);
	rig_stop(&r);
}

static void wrong_kind(void **state)
{
	static const struct flavour passthrough = { .kind = IOAS_KIND_PASSTHROUGH };
	struct ioas_window_opts opts;
	struct rig r;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		rig_start(&r, i ? &passthrough : &kernel_flavour, NULL);
		opts = opts_at(r.va, 8, 0);
		assert_int_equal(create(&r, &opts), -EOPNOTSUPP);
		rig_stop(&r);
	}
}

struct setup {
	struct rig r;
	struct ioas_window *window; /* 16 slots, 5 and 9 granted */
};

static void setup_start(struct setup *s, const struct flavour *flavour)
{
	static const uint32_t granted[] = { 5, 9 };
	struct ioas_window_opts opts;

	rig_start(&s->r, flavour, NULL);
	opts = opts_at(s->r.va, 16, GIB(2));
	assert_int_equal(ioas_window_create(s->r.as, &opts, &s->window), 0);
	assert_int_equal(ioas_window_grant(s->r.q, s->window, granted, 2), 0);
}

/* As setup_start() has left it? */
static bool unchanged(struct setup *s)
{
	if (ioas_flush(s->r.q))
		return false;
	for (unsigned int i = 0; i < 16; i++) {
		ioas_iova_t iova = GIB(2) + i * PAGE;

		if (i == 5 || i == 9 ? !writes(&s->r, iova, s->r.va + i * PAGE)
				     : !refused(&s->r, iova, PAGE)) {
			printf("# slot %u\n", i);
			return false;
		}
	}
	drain_faults(&s->r);
	return true;
}

static void setup_stop(struct setup *s)
{
	static const uint32_t granted[] = { 5, 9 };

	assert_int_equal(ioas_window_revoke(s->r.q, s->window, granted, 2), 0);
	assert_int_equal(ioas_window_destroy(s->window), 0);
	rig_stop(&s->r);
}

static void bad_grants(void **state)
{
	static const struct {
		uint32_t slots[4];
		unsigned int count;
		int ret;
	} bad[] = {
		{ { 5 }, 1, -EEXIST },
		{ { 4, 5, 6 }, 3, -EEXIST },
		{ { 1, 2, 3, 9 }, 4, -EEXIST },
		{ { 9, 1, 2, 3 }, 4, -EEXIST },
		{ { 1, 1 }, 2, -EEXIST },
		{ { 3, 2, 1, 3 }, 4, -EEXIST },
		{ { 16 }, 1, -EINVAL },
		{ { 14, 15, 16 }, 3, -EINVAL },
		{ { 1, UINT32_MAX }, 2, -EINVAL },
		{ { 1u << 20, 1 }, 2, -EINVAL },
	};
	struct setup s;

	setup_start(&s, *state);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int ret = ioas_window_grant(s.r.q, s.window, bad[i].slots, bad[i].count);

		if (ret != bad[i].ret)
			printf("# case %u\n", i);
		assert_int_equal(ret, bad[i].ret);
		assert_true(queue_says(s.r.q, "slot"));
		assert_true(unchanged(&s));
	}
	setup_stop(&s);
}

static void bad_revokes(void **state)
{
	static const struct {
		uint32_t slots[4];
		unsigned int count;
		int ret;
	} bad[] = {
		{ { 4 }, 1, -ENOENT },
		{ { 5, 6 }, 2, -ENOENT },
		{ { 9, 5, 1 }, 3, -ENOENT },
		{ { 1, 5, 9 }, 3, -ENOENT },
		{ { 5, 5 }, 2, -ENOENT },
		{ { 5, 9, 5 }, 3, -ENOENT },
		{ { 16 }, 1, -EINVAL },
		{ { 5, 9, 16 }, 3, -EINVAL },
		{ { 5, UINT32_MAX }, 2, -EINVAL },
	};
	struct setup s;

	setup_start(&s, *state);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int ret = ioas_window_revoke(s.r.q, s.window, bad[i].slots, bad[i].count);

		if (ret != bad[i].ret)
			printf("# case %u\n", i);
		assert_int_equal(ret, bad[i].ret);
		assert_true(queue_says(s.r.q, "slot"));
		assert_true(unchanged(&s));
	}
	assert_int_equal(ioas_window_destroy(s.window), -EBUSY);
	assert_true(ctx_says(s.r.ctx, "granted"));
	assert_true(unchanged(&s));
	setup_stop(&s);
}

static void other_spaces(void **state)
{
	struct ioas_queue *q;
	struct ioas *other;
	uint32_t slots[2] = { 1, 5 };
	struct setup s;

	setup_start(&s, *state);
	other = space_new(s.r.ctx, *state);
	q = queue_new(other);
	assert_int_equal(ioas_window_grant(q, s.window, slots, 1), -EXDEV);
	assert_int_equal(ioas_window_revoke(q, s.window, slots + 1, 1), -EXDEV);
	assert_true(queue_says(q, "window"));
	assert_true(unchanged(&s));
	assert_int_equal(ioas_queue_destroy(q), 0);
	assert_int_equal(ioas_destroy(other), 0);
	setup_stop(&s);
}

#define MANY 512

struct watcher {
	struct rig r;
	_Atomic bool stop;
	_Atomic uint64_t accesses;
	uint64_t stopped;
};

/* A device that goes on using slots that are granted, with an IOTLB that forgets all the time. */
static void *watch(void *arg)
{
	struct watcher *w = arg;

	while (!atomic_load(&w->stop))
		for (unsigned int i = 0; i < MANY - 1; i += 5) {
			uint64_t word = 1;

			w->stopped += !!ioas_soft_dma_write(w->r.dev, GIB(2) + i * PAGE, &word, 8);
			atomic_fetch_add(&w->accesses, 1);
		}
	return NULL;
}

/* A revocation that fails has revoked nothing: not even for a moment. */
static void failed_revokes_disturb_nobody(void **state)
{
	static struct watcher w;
	struct ioas_window *window;
	struct ioas_window_opts opts;
	uint32_t slots[MANY];
	uint64_t end;
	pthread_t thread;

	memset(&w, 0, sizeof(w));
	rig_start(&w.r, *state, "iotlb_sets=1,iotlb_ways=1");
	opts = opts_at(w.r.va, MANY, GIB(2));
	assert_int_equal(ioas_window_create(w.r.as, &opts, &window), 0);
	for (unsigned int i = 0; i < MANY; i++)
		slots[i] = i;
	assert_int_equal(ioas_window_grant(w.r.q, window, slots, MANY - 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, watch, &w), 0);
	end = now_ns() + test_ns() / 8;
	while (now_ns() < end || atomic_load(&w.accesses) < 20000)
		assert_int_equal(ioas_window_revoke(w.r.q, window, slots, MANY), -ENOENT);
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	printf("# %lu of %lu accesses refused\n", w.stopped, atomic_load(&w.accesses));
	assert_int_equal(w.stopped, 0);
	assert_int_equal(ioas_window_revoke(w.r.q, window, slots, MANY - 1), 0);
	assert_int_equal(ioas_window_destroy(window), 0);
	rig_stop(&w.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		USER_FLAVOURS(bad_windows),
		USER_FLAVOURS(bad_places),
		cmocka_unit_test(wrong_kind),
		USER_FLAVOURS(bad_grants),
		USER_FLAVOURS(bad_revokes),
		USER_FLAVOURS(other_spaces),
		USER_FLAVOURS(failed_revokes_disturb_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
