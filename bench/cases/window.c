/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grant and revoke of 4 KiB slots of a window: the map and unmap of a pool whose IOVAs are fixed.
 * Threads have slots of their own, in one window. "scattered" slots are in no order, the others
 * are runs of ascending neighbours.
 */
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "space.h"

enum { ARG_MODE, ARG_BATCH, ARG_SCATTERED };

struct window_user {
	struct ioas_queue *queue;
	uint32_t slots[BUFFERS];
	uint32_t next;
};

static int setup(struct bench_thread *t)
{
	struct ioas_window_opts opts = {
		.size = sizeof(opts),
		.prot = IOAS_RW,
		.slot_bytes = BUFFER_BYTES,
		.bytes = (uint64_t)BUFFERS * BUFFER_BYTES * t->threads,
	};
	struct bench_space *space;
	int ret = bench_space_open(t, IOAS_KIND_USER, t->spec->args[ARG_MODE]);

	if (ret)
		return ret;
	space = *t->shared;
	opts.va = ioas_mem_va(space->mem);
	ret = ioas_window_create(space->as, &opts, &space->window);
	return ret ? bench_fail(t, "ioas_window_create: %s", strerror(-ret)) : 0;
}

static int thread_setup(struct bench_thread *t)
{
	struct window_user *user = calloc(1, sizeof(*user));
	struct bench_space *space = *t->shared;
	int ret;

	if (!user)
		return bench_fail(t, "no memory");
	t->local = user;
	for (unsigned int i = 0; i < BUFFERS; i++) {
		/* An odd factor: every slot once, neighbours far apart. */
		uint32_t slot = t->spec->args[ARG_SCATTERED] ? i * 405 % BUFFERS : i;

		user->slots[i] = t->index * BUFFERS + slot;
	}
	ret = ioas_queue_create(space->as, &user->queue);
	return ret ? bench_fail(t, "ioas_queue_create: %s", strerror(-ret)) : 0;
}

static void thread_teardown(struct bench_thread *t)
{
	struct window_user *user = t->local;

	if (user && user->queue)
		ioas_queue_destroy(user->queue);
	free(user);
}

static int wrong(struct bench_thread *t, const char *what, int ret)
{
	struct window_user *user = t->local;

	return bench_fail(t, "%s returned %d: %s", what, ret, ioas_queue_error(user->queue));
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	struct window_user *user = t->local;
	struct bench_space *space = *t->shared;
	unsigned int batch = t->spec->args[ARG_BATCH];

	for (uint64_t i = 0; i < iterations; i++) {
		const uint32_t *slots = &user->slots[user->next];
		int ret = ioas_window_grant(user->queue, space->window, slots, batch);

		if (ret)
			return wrong(t, "ioas_window_grant", ret);
		ret = ioas_window_revoke(user->queue, space->window, slots, batch);
		if (ret)
			return wrong(t, "ioas_window_revoke", ret);
		user->next = (user->next + batch) % BUFFERS;
	}
	return 0;
}

static int check_counts(struct bench_thread *t, uint64_t iterations, const double *delta)
{
	double batches = (double)iterations * t->threads;
	bool strict = t->spec->args[ARG_MODE] == IOAS_STRICT;

	if (delta[COUNT_CROSSINGS] != delta[COUNT_INVAL_CROSSINGS])
		return bench_fail(t, "calls that are not invalidations, on a USER space");
	if (strict && t->threads == 1 && delta[COUNT_CROSSINGS] != batches)
		return bench_fail(t, "%.0f calls for %.0f strict revokes", delta[COUNT_CROSSINGS],
				  batches);
	if (strict && delta[COUNT_CROSSINGS] + delta[COUNT_COMMIT_JOINS] < batches)
		return bench_fail(t, "%.0f calls and %.0f joins for %.0f strict revokes",
				  delta[COUNT_CROSSINGS], delta[COUNT_COMMIT_JOINS], batches);
	if (delta[COUNT_CROSSINGS] > batches)
		return bench_fail(t, "%.0f calls for %.0f revokes", delta[COUNT_CROSSINGS],
				  batches);
	return 0;
}

static int check_slots(struct bench_thread *t, bool visible)
{
	struct window_user *user = t->local;
	struct bench_space *space = *t->shared;
	char *va = ioas_mem_va(space->mem);

	for (unsigned int i = 0; i < 32; i++) {
		uint64_t offset = (uint64_t)user->slots[i] * BUFFER_BYTES;

		if (bench_space_dma(t, ioas_window_iova(space->window) + offset, va + offset,
				    visible))
			return -1;
	}
	return 0;
}

static int check_dma(struct bench_thread *t)
{
	struct window_user *user = t->local;
	struct bench_space *space = *t->shared;
	int ret = ioas_window_grant(user->queue, space->window, user->slots, 32);

	if (ret)
		return wrong(t, "ioas_window_grant", ret);
	if (check_slots(t, true))
		return -1;
	ret = ioas_window_revoke(user->queue, space->window, user->slots, 32);
	if (ret)
		return wrong(t, "ioas_window_revoke", ret);
	ret = ioas_flush(user->queue);
	if (ret)
		return wrong(t, "ioas_flush", ret);
	return check_slots(t, false);
}

#define WINDOW(case_name, mode, n, order, beside)                                               \
	{                                                                                       \
		.name = case_name, .unit = "buffer", .units = n, .threads = 2, .floor = beside, \
		.peer = "kernel_map_unmap/one_call", .args = { mode, n, order },                \
		.counters = BENCH_SPACE_COUNTERS, .setup = setup, .thread_setup = thread_setup, \
		.run = run, .count = bench_space_count, .check = check_counts,                  \
		.thread_check = check_dma, .thread_teardown = thread_teardown,                  \
		.teardown = bench_space_close,                                                  \
	}

static const struct bench_case cases[] = {
	WINDOW("window_grant_revoke/4k_batch32", IOAS_STRICT, 32, 0,
	       "floor/stores_and_call/batch32"),
	WINDOW("window_grant_revoke/4k_batch32_scattered", IOAS_STRICT, 32, 1,
	       "floor/stores_and_call/batch32"),
	WINDOW("window_grant_revoke_batched/4k_batch32", IOAS_BATCHED, 32, 0,
	       "floor/stores_and_call/of256_batch32"),
	WINDOW("window_grant_revoke_batched/4k_batch32_scattered", IOAS_BATCHED, 32, 1,
	       "floor/stores_and_call/of256_batch32"),
};

const struct bench_table bench_window_cases = BENCH_TABLE(cases);
