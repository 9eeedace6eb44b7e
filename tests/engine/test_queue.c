/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue belongs to one thread: others are told so, may adopt it, and nothing pending is lost. */
#include "rig.h"

struct foreign {
	struct rig *r;
	struct ioas_window *window;
	ioas_iova_t iova; /* mapped, one page */
};

/* Number of the first call that is not refused as foreign, 0 if there is none. */
static int use_foreign_queue(void *arg)
{
	struct foreign *f = arg;
	struct ioas_seg seg = { f->r->va + PAGE, PAGE, 0 };
	ioas_iova_t iova = 0;
	uint32_t slot = 1;

	if (ioas_map(f->r->q, f->r->va + PAGE, PAGE, IOAS_RW, &iova) != -EPERM)
		return 1;
	if (ioas_unmap(f->r->q, f->iova, PAGE) != -EPERM)
		return 2;
	if (ioas_map_batch(f->r->q, &seg, 1, IOAS_RW) != -EPERM)
		return 3;
	seg.iova = f->iova;
	if (ioas_unmap_batch(f->r->q, &seg, 1) != -EPERM)
		return 4;
	if (ioas_flush(f->r->q) != -EPERM)
		return 5;
	if (!f->window)
		return 0;
	if (ioas_map_sg(f->r->q, &seg, 1, IOAS_RW, &iova) != -EPERM)
		return 6;
	if (ioas_window_grant(f->r->q, f->window, &slot, 1) != -EPERM)
		return 7;
	slot = 0;
	if (ioas_window_revoke(f->r->q, f->window, &slot, 1) != -EPERM)
		return 8;
	return 0;
}

static void foreign_threads_are_refused(void **state)
{
	struct ioas_window_opts opts = {
		.size = sizeof(opts), .prot = IOAS_RW, .bytes = 4 * PAGE, .slot_bytes = PAGE
	};
	struct foreign f = { 0 };
	uint32_t slot = 0;
	struct rig r;

	rig_start(&r, *state, NULL);
	f.r = &r;
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &f.iova), 0);
	opts.va = r.va + MIB(1);
	if (ioas_get_kind(r.as) == IOAS_KIND_USER) {
		assert_int_equal(ioas_window_create(r.as, &opts, &f.window), 0);
		assert_int_equal(ioas_window_grant(r.q, f.window, &slot, 1), 0);
	}
	assert_int_equal(in_thread(use_foreign_queue, &f), 0);
	/* Nothing was done. */
	assert_true(writes(&r, f.iova, r.va));
	if (f.window) {
		assert_true(writes(&r, ioas_window_iova(f.window), r.va + MIB(1)));
		assert_true(refused(&r, ioas_window_iova(f.window) + PAGE, PAGE));
		assert_int_equal(ioas_window_revoke(r.q, f.window, &slot, 1), 0);
		assert_int_equal(ioas_window_destroy(f.window), 0);
	}
	assert_int_equal(ioas_unmap(r.q, f.iova, PAGE), 0);
	rig_stop(&r);
}

struct adopted {
	struct rig *r;
	ioas_iova_t iova;
	uint64_t ticket;
};

/* Take over what the owner had pending, and leave something of one's own. */
static int adopt(void *arg)
{
	struct adopted *a = arg;
	ioas_iova_t iova;

	ioas_queue_adopt(a->r->q);
	if (ioas_flush(a->r->q))
		return 1;
	if (!ioas_ticket_done(a->r->q, a->ticket))
		return 2;
	if (!refused(a->r, a->iova, PAGE))
		return 3;
	if (ioas_map(a->r->q, a->r->va, PAGE, IOAS_RW, &iova))
		return 4;
	if (!writes(a->r, iova, a->r->va))
		return 5;
	if (ioas_unmap(a->r->q, iova, PAGE))
		return 6;
	a->iova = iova;
	a->ticket = ioas_ticket(a->r->q);
	return 0;
}

static void adoption(void **state)
{
	struct ioas_opts opts = opts_of(*state);
	struct adopted a;
	struct rig r;

	rig_open(&r, NULL);
	if (opts.mode == IOAS_BATCHED)
		opts.batch_ns = UINT64_C(60000000000);
	rig_space(&r, &opts);
	a.r = &r;
	for (unsigned int i = 0; i < 50; i++) {
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &a.iova), 0);
		assert_true(writes(&r, a.iova, r.va));
		assert_int_equal(ioas_unmap(r.q, a.iova, PAGE), 0);
		a.ticket = ioas_ticket(r.q);
		assert_int_equal(in_thread(adopt, &a), 0);
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &a.iova), -EPERM);
		ioas_queue_adopt(r.q);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(ioas_ticket_done(r.q, a.ticket));
		assert_true(refused(&r, a.iova, PAGE));
		drain_faults(&r);
	}
	rig_stop(&r);
}

/* What is pending leaves before the queue goes. */
static void destroy_flushes(void **state)
{
	struct ioas_opts opts = opts_of(*state);
	ioas_iova_t iova[10];
	struct rig r;

	rig_open(&r, NULL);
	if (opts.mode == IOAS_BATCHED)
		opts.batch_ns = UINT64_C(60000000000);
	rig_space(&r, &opts);
	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < 10; i++) {
			assert_int_equal(ioas_map(r.q, r.va + i * PAGE, PAGE, IOAS_RW, &iova[i]),
					 0);
			assert_true(writes(&r, iova[i], r.va + i * PAGE));
			assert_int_equal(ioas_unmap(r.q, iova[i], PAGE), 0);
		}
		assert_int_equal(ioas_queue_destroy(r.q), 0);
		for (unsigned int i = 0; i < 10; i++)
			assert_true(refused(&r, iova[i], PAGE));
		drain_faults(&r);
		r.q = queue_new(r.as);
	}
	rig_stop(&r);
}

/* More than 1024 queues: -ENOSPC; one that goes makes room. */
static void at_most_1024(void **state)
{
	static struct ioas_queue *queues[1025];
	unsigned int count = 0;
	ioas_iova_t iova;
	struct rig r;
	int ret = 0;

	rig_start(&r, *state, NULL);
	while (count < 1025) {
		ret = ioas_queue_create(r.as, &queues[count]);
		if (ret)
			break;
		count++;
	}
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(count, 1023); /* and the rig's own */
	assert_true(ctx_says(r.ctx, "1024"));
	for (unsigned int i = 0; i < count; i += 97) {
		assert_int_equal(ioas_map(queues[i], r.va, PAGE, IOAS_RW, &iova), 0);
		assert_true(writes(&r, iova, r.va));
		assert_int_equal(ioas_unmap(queues[i], iova, PAGE), 0);
		assert_int_equal(ioas_flush(queues[i]), 0);
		assert_true(refused(&r, iova, PAGE));
	}
	assert_int_equal(ioas_queue_destroy(queues[500]), 0);
	assert_int_equal(ioas_queue_create(r.as, &queues[500]), 0);
	assert_int_equal(ioas_queue_create(r.as, &queues[count]), -ENOSPC);
	while (count--)
		assert_int_equal(ioas_queue_destroy(queues[count]), 0);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_FLAVOURS(foreign_threads_are_refused),
		ALL_FLAVOURS(adoption),
		ALL_FLAVOURS(destroy_flushes),
		TEST_OF(at_most_1024, kernel),
		TEST_OF(at_most_1024, user),
		TEST_OF(at_most_1024, batched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
