/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BATCHED: a DMA may land after unmap, but not for long: until batch_max ranges have been
 * unmapped through the queue, or batch_ns have passed, or the queue is flushed. And what the
 * library hands out again has been invalidated before (I1, I2).
 */
#include "rig.h"

#define FOREVER_NS UINT64_C(3600000000000)

static void batched_start(struct rig *r, const struct flavour *flavour, uint32_t batch_max,
			  uint64_t batch_ns)
{
	struct ioas_opts opts = opts_of(flavour);

	opts.batch_max = batch_max;
	opts.batch_ns = batch_ns;
	rig_open(r, NULL);
	rig_space(r, &opts);
}

/* Does a DMA land? */
static bool lands(struct rig *r, ioas_iova_t iova)
{
	uint64_t word = 0xeeee;

	return !ioas_soft_dma_write(r->dev, iova, &word, sizeof(word));
}

/* Exposed pages, oldest first: unmapped after the device has touched them. */
static ioas_iova_t expose(struct rig *r, unsigned int page)
{
	ioas_iova_t iova;

	assert_int_equal(ioas_map(r->q, r->va + page * PAGE, PAGE, IOAS_RW, &iova), 0);
	assert_true(writes(r, iova, r->va + page * PAGE));
	assert_int_equal(ioas_unmap(r->q, iova, PAGE), 0);
	return iova;
}

static void by_count(void **state)
{
	static const unsigned int limits[] = { 1, 2, 16, 100, 0 };
	ioas_iova_t iovas[256];
	struct rig r;

	for (unsigned int i = 0; i < 5; i++) {
		unsigned int limit = limits[i] ? limits[i] : 256, exposed = 0;

		batched_start(&r, *state, limits[i], FOREVER_NS);
		for (unsigned int round = 0; round < 20; round++) {
			for (unsigned int j = 0; j < limit; j++) {
				iovas[j] = expose(&r, j);
				exposed += lands(&r, iovas[j]);
			}
			for (unsigned int j = 0; j < limit; j++)
				assert_false(lands(&r, iovas[j]));
			drain_faults(&r);
		}
		printf("# batch_max %u: %u of %u still landed after unmap\n", limit, exposed,
		       20 * limit);
		/* The mode is worth something: not an invalidation each. */
		if (limit >= 16)
			assert_true(stats_of(r.ctx).inval_crossings <= 40);
		rig_stop(&r);
	}
}

/* A batch counts its ranges, wherever in it the limit is reached. */
static void by_count_in_batches(void **state)
{
	struct ioas_seg segs[48];
	struct rig r;

	batched_start(&r, *state, 32, FOREVER_NS);
	for (unsigned int round = 0; round < 100; round++) {
		unsigned int count = 32 + round % 17;

		for (unsigned int i = 0; i < count; i++)
			segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, 0 };
		assert_int_equal(ioas_map_batch(r.q, segs, count, IOAS_RW), count);
		for (unsigned int i = 0; i < count; i++)
			assert_true(writes(&r, segs[i].iova, segs[i].va));
		assert_int_equal(ioas_unmap_batch(r.q, segs, count), count);
		/* Those that are older than 32 ranges for certain. */
		for (unsigned int i = 0; i + 32 <= count; i++)
			assert_false(lands(&r, segs[i].iova));
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < count; i++)
			assert_false(lands(&r, segs[i].iova));
		drain_faults(&r);
	}
	rig_stop(&r);
}

/*
 * The owner of the queue does nothing more; others, or nobody, call into the library. Scheduling
 * is not ours: the bound is kept by most rounds closely, and by all with room.
 */
static void by_time(void **state)
{
	static const uint64_t limits[] = { 1000000, 20000000 };
	const unsigned int rounds = 12;
	struct rig r;

	for (unsigned int i = 0; i < 2; i++) {
		unsigned int late = 0;
		uint64_t worst = 0;

		batched_start(&r, *state, 4096, limits[i]);
		for (unsigned int round = 0; round < rounds; round++) {
			ioas_iova_t iova = expose(&r, round);
			uint64_t start = now_ns(), last = 0, at;

			do {
				at = now_ns();
				if (!lands(&r, iova))
					break;
				last = at - start;
			} while (at - start < limits[i] + UINT64_C(2000000000));
			assert_false(lands(&r, iova));
			late += last > limits[i] + limits[i] / 2;
			worst = last > worst ? last : worst;
			drain_faults(&r);
		}
		printf("# batch_ns %lu: the last DMA landed after %lu ns at worst\n", limits[i],
		       worst);
		assert_true(worst < limits[i] + UINT64_C(500000000));
		assert_true(late <= rounds / 2);
		rig_stop(&r);
	}
}

/* Without any call of the owner, and without a probe that might help it along. */
static void by_time_unwatched(void **state)
{
	struct timespec pause = { 0, 300000000 };
	struct rig r;
	ioas_iova_t iova;
	uint64_t ticket;

	batched_start(&r, *state, 0, 0); /* the default: 10 ms */
	iova = expose(&r, 0);
	ticket = ioas_ticket(r.q);
	nanosleep(&pause, NULL);
	assert_false(lands(&r, iova));
	assert_true(ioas_ticket_done(r.q, ticket));
	rig_stop(&r);
}

static void flush_ends_it(void **state)
{
	ioas_iova_t iovas[20];
	struct rig r;

	batched_start(&r, *state, 4096, FOREVER_NS);
	assert_int_equal(ioas_flush(r.q), 0); /* nothing to do */
	for (unsigned int round = 0; round < 200; round++) {
		unsigned int count = 1 + round % 20;

		for (unsigned int i = 0; i < count; i++)
			iovas[i] = expose(&r, i);
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < count; i++)
			assert_false(lands(&r, iovas[i]));
		drain_faults(&r);
	}
	rig_stop(&r);
}

/* Has the IOVA of exposure @which been handed out again, up to exposure @last? */
static bool used_again(const ioas_iova_t *iovas, unsigned int which, unsigned int last)
{
	for (unsigned int i = which + 1; i <= last; i++)
		if (iovas[i] == iovas[which])
			return true;
	return false;
}

/* Done means that no DMA lands; tickets grow; a flush makes all of them done. */
static void tickets(void **state)
{
	ioas_iova_t iovas[100];
	uint64_t taken[100], last = 0;
	unsigned int early = 0;
	struct rig r;

	batched_start(&r, *state, 64, FOREVER_NS);
	assert_true(ioas_ticket_done(r.q, ioas_ticket(r.q)));
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < 100; i++) {
			iovas[i] = expose(&r, i);
			taken[i] = ioas_ticket(r.q);
			assert_true(taken[i] >= last);
			last = taken[i];
			if (lands(&r, iovas[i])) {
				assert_false(ioas_ticket_done(r.q, taken[i]));
				early++;
			}
			for (unsigned int j = 0; j <= i; j++)
				if (ioas_ticket_done(r.q, taken[j])) {
					/* Earlier ones are done too. */
					assert_true(ioas_ticket_done(r.q, taken[j / 2]));
					if (j % 8 == 0 && !used_again(iovas, j, i))
						assert_false(lands(&r, iovas[j]));
				}
		}
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < 100; i++) {
			assert_true(ioas_ticket_done(r.q, taken[i]));
			assert_false(lands(&r, iovas[i]));
		}
		drain_faults(&r);
	}
	printf("# %u of 2000 were open when asked first\n", early);
	assert_true(early > 0);
	rig_stop(&r);
}

/* A ticket is about its own queue: what another queue has pending does not hold it up. */
static void queues_are_apart(void **state)
{
	struct ioas_queue *other, *mine;
	ioas_iova_t iova;
	uint64_t ticket;
	struct rig r;

	batched_start(&r, *state, 4096, FOREVER_NS);
	other = queue_new(r.as);
	mine = r.q;
	expose(&r, 0);
	ticket = ioas_ticket(mine);
	r.q = other;
	iova = expose(&r, 1);
	assert_int_equal(ioas_flush(other), 0);
	assert_true(ioas_ticket_done(other, ioas_ticket(other)));
	assert_false(lands(&r, iova));
	r.q = mine;
	assert_int_equal(ioas_flush(mine), 0);
	assert_true(ioas_ticket_done(mine, ticket));
	assert_int_equal(ioas_queue_destroy(other), 0);
	rig_stop(&r);
}

/*
 * I1. In an aperture of 2 MiB an IOVA has to be used again soon. When it is, the device must
 * reach the new memory by it, and whatever was unmapped there before is done with.
 */
static void no_reuse_before_invalidation(void **state)
{
	static uint64_t ticket_of[512];
	static bool used[512];
	struct ioas_opts opts = opts_of(*state);
	unsigned int reused = 0;
	struct rig r;

	memset(used, 0, sizeof(used));
	opts.aperture = (struct ioas_range){ GIB(1), GIB(1) + MIB(2) - 1 };
	opts.batch_max = 4096;
	opts.batch_ns = FOREVER_NS;
	rig_open(&r, NULL);
	rig_space(&r, &opts);
	for (unsigned int i = 0; i < 20000; i++) {
		uint8_t *va = r.va + i * 37 % RIG_PAGES * PAGE;
		ioas_iova_t iova;
		unsigned int at;

		assert_int_equal(ioas_map(r.q, va, PAGE, IOAS_RW, &iova), 0);
		at = (iova - GIB(1)) / PAGE;
		assert_true(at < 512);
		if (used[at]) {
			assert_true(ioas_ticket_done(r.q, ticket_of[at]));
			reused++;
		}
		assert_true(writes(&r, iova, va));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
		used[at] = true;
		ticket_of[at] = ioas_ticket(r.q);
	}
	printf("# %u reused, %lu crossings\n", reused, stats_of(r.ctx).inval_crossings);
	assert_true(reused >= 20000 - 512);
	rig_stop(&r);
}

/* A fixed place that waits for its invalidation is waited for. */
static void fixed_places_wait(void **state)
{
	ioas_iova_t iova = GIB(1) + 3 * PAGE;
	struct rig r;

	batched_start(&r, *state, 4096, FOREVER_NS);
	for (unsigned int i = 0; i < 2000; i++) {
		uint8_t *va = r.va + i % 1000 * PAGE;
		uint64_t bytes = (1 + i % 4) * PAGE;

		if (i % 50 == 49) { /* another size of leaf */
			iova = GIB(1);
			va = r.va;
			bytes = MIB(2);
		} else {
			iova = GIB(1) + 3 * PAGE;
		}
		assert_int_equal(ioas_map(r.q, va, bytes, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		assert_true(writes(&r, iova, va));
		assert_true(writes(&r, iova + bytes - PAGE, va + bytes - PAGE));
		assert_int_equal(ioas_unmap(r.q, iova, bytes), 0);
	}
	rig_stop(&r);
}

/* In a STRICT space tickets are always done, and flush has nothing to do. */
static void strict_has_nothing_pending(void **state)
{
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t crossings;

		iova = expose(&r, i);
		assert_true(ioas_ticket_done(r.q, ioas_ticket(r.q)));
		crossings = stats_of(r.ctx).inval_crossings;
		assert_int_equal(ioas_flush(r.q), 0);
		assert_int_equal(stats_of(r.ctx).inval_crossings, crossings);
		assert_false(lands(&r, iova));
	}
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_OF(by_count, batched),
		TEST_OF(by_count_in_batches, batched),
		TEST_OF(by_time, batched),
		TEST_OF(by_time_unwatched, batched),
		TEST_OF(flush_ends_it, batched),
		TEST_OF(tickets, batched),
		TEST_OF(queues_are_apart, batched),
		TEST_OF(no_reuse_before_invalidation, batched),
		TEST_OF(fixed_places_wait, batched),
		TEST_OF(strict_has_nothing_pending, user),
		TEST_OF(strict_has_nothing_pending, kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
