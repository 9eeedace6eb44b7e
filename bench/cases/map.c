/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Map and unmap of 4 KiB buffers: through a table in user memory (ours), and with a call per map
 * and per unmap through a kernel-managed table (what it is compared with).
 *
 * user_map_unmap is STRICT: every batch pays for its invalidation before the next begins.
 * user_map_touch_unmap lets the device read each buffer in between, so that there is something
 * to invalidate; the floor beside it reads the same buffers, mapped for ever.
 */
#include <errno.h>
#include <string.h>

#include <ioas/soft.h>

#include "cases.h"
#include "space.h"

enum { ARG_KIND, ARG_MODE, ARG_BATCH };

static int setup(struct bench_thread *t)
{
	return bench_space_open(t, t->spec->args[ARG_KIND], t->spec->args[ARG_MODE]);
}

static int wrong(struct bench_thread *t, const char *what, int ret)
{
	struct bench_user *user = t->local;

	return bench_fail(t, "%s returned %d: %s", what, ret, ioas_queue_error(user->queue));
}

static inline struct ioas_seg *next_batch(struct bench_user *user, unsigned int batch)
{
	struct ioas_seg *segs = &user->segs[user->next];

	user->next = (user->next + batch) % BUFFERS;
	return segs;
}

static int run_batches(struct bench_thread *t, uint64_t iterations)
{
	struct bench_user *user = t->local;
	unsigned int batch = t->spec->args[ARG_BATCH];

	for (uint64_t i = 0; i < iterations; i++) {
		struct ioas_seg *segs = next_batch(user, batch);
		int ret = ioas_map_batch(user->queue, segs, batch, IOAS_RW);

		if (ret != (int)batch)
			return wrong(t, "ioas_map_batch", ret);
		ret = ioas_unmap_batch(user->queue, segs, batch);
		if (ret != (int)batch)
			return wrong(t, "ioas_unmap_batch", ret);
	}
	return 0;
}

static int run_singles(struct bench_thread *t, uint64_t iterations)
{
	struct bench_user *user = t->local;

	for (uint64_t i = 0; i < iterations; i++) {
		struct ioas_seg *seg = next_batch(user, 1);
		int ret = ioas_map(user->queue, seg->va, seg->bytes, IOAS_RW, &seg->iova);

		if (ret)
			return wrong(t, "ioas_map", ret);
		ret = ioas_unmap(user->queue, seg->iova, seg->bytes);
		if (ret)
			return wrong(t, "ioas_unmap", ret);
	}
	return 0;
}

/* The device reads each buffer of a batch, in one burst. */
static int touch(struct bench_thread *t, const struct ioas_seg *segs, unsigned int batch)
{
	struct bench_space *space = *t->shared;
	unsigned int refused = 0;

	ioas_soft_dma_begin(space->dev);
	for (unsigned int i = 0; i < batch; i++) {
		size_t bytes = 64;
		void *at = ioas_soft_dma_ptr(space->dev, segs[i].iova, &bytes, IOAS_READ);

		refused += at != segs[i].va;
	}
	ioas_soft_dma_end(space->dev);
	return refused ? bench_fail(t, "%u of %u reads went wrong", refused, batch) : 0;
}

static int run_touch(struct bench_thread *t, uint64_t iterations)
{
	struct bench_user *user = t->local;
	unsigned int batch = t->spec->args[ARG_BATCH];

	for (uint64_t i = 0; i < iterations; i++) {
		struct ioas_seg *segs = next_batch(user, batch);
		int ret = ioas_map_batch(user->queue, segs, batch, IOAS_RW);

		if (ret != (int)batch)
			return wrong(t, "ioas_map_batch", ret);
		if (touch(t, segs, batch))
			return -1;
		ret = ioas_unmap_batch(user->queue, segs, batch);
		if (ret != (int)batch)
			return wrong(t, "ioas_unmap_batch", ret);
	}
	return 0;
}

static int static_setup(struct bench_thread *t)
{
	struct bench_user *user;
	int ret;

	if (bench_user_open(t))
		return -1;
	user = t->local;
	ret = ioas_map_batch(user->queue, user->segs, BUFFERS, IOAS_RW);
	return ret == BUFFERS ? 0 : wrong(t, "ioas_map_batch", ret);
}

static void static_teardown(struct bench_thread *t)
{
	struct bench_user *user = t->local;

	if (user && user->queue)
		ioas_unmap_batch(user->queue, user->segs, BUFFERS);
	bench_user_close(t);
}

static int run_static(struct bench_thread *t, uint64_t iterations)
{
	struct bench_user *user = t->local;
	unsigned int batch = t->spec->args[ARG_BATCH];

	for (uint64_t i = 0; i < iterations; i++)
		if (touch(t, next_batch(user, batch), batch))
			return -1;
	return 0;
}

/*
 * The counters must be what the modes promise. STRICT: one call for each unmap call, less those
 * that another thread's call covered. BATCHED: one for each 256 ranges of a queue, and those that
 * time forced out. KERNEL: one for each map and one for each unmap.
 */
static int check_counts(struct bench_thread *t, uint64_t iterations, const double *delta)
{
	double batches = (double)iterations * t->threads;
	double ranges = batches * t->spec->units;
	bool kernel = t->spec->args[ARG_KIND] == IOAS_KIND_KERNEL;
	bool strict = t->spec->args[ARG_MODE] == IOAS_STRICT;

	if (delta[COUNT_MAPS] != ranges || delta[COUNT_UNMAPS] != ranges)
		return bench_fail(t, "%.0f ranges, but %.0f maps and %.0f unmaps counted", ranges,
				  delta[COUNT_MAPS], delta[COUNT_UNMAPS]);
	if (kernel)
		return delta[COUNT_CROSSINGS] == 2 * batches
			       ? 0
			       : bench_fail(t, "%.0f calls for %.0f maps and as many unmaps",
					    delta[COUNT_CROSSINGS], batches);
	if (delta[COUNT_CROSSINGS] != delta[COUNT_INVAL_CROSSINGS])
		return bench_fail(t, "calls that are not invalidations, on a USER space");
	if (strict && t->threads == 1 && delta[COUNT_CROSSINGS] != batches)
		return bench_fail(t, "%.0f calls for %.0f strict unmaps", delta[COUNT_CROSSINGS],
				  batches);
	if (strict && delta[COUNT_CROSSINGS] + delta[COUNT_COMMIT_JOINS] < batches)
		return bench_fail(t, "%.0f calls and %.0f joins for %.0f strict unmaps",
				  delta[COUNT_CROSSINGS], delta[COUNT_COMMIT_JOINS], batches);
	if (delta[COUNT_CROSSINGS] > batches)
		return bench_fail(t, "%.0f calls for %.0f unmaps", delta[COUNT_CROSSINGS], batches);
	return 0;
}

static int check_dma(struct bench_thread *t)
{
	struct bench_user *user = t->local;
	int ret = ioas_map_batch(user->queue, user->segs, 32, IOAS_RW);

	if (ret != 32)
		return wrong(t, "ioas_map_batch", ret);
	for (unsigned int i = 0; i < 32; i++)
		if (bench_space_dma(t, user->segs[i].iova, user->segs[i].va, true))
			return -1;
	ret = ioas_unmap_batch(user->queue, user->segs, 32);
	if (ret != 32)
		return wrong(t, "ioas_unmap_batch", ret);
	if (t->spec->args[ARG_MODE] == IOAS_BATCHED && (ret = ioas_flush(user->queue)))
		return wrong(t, "ioas_flush", ret);
	for (unsigned int i = 0; i < 32; i++)
		if (bench_space_dma(t, user->segs[i].iova, user->segs[i].va, false))
			return -1;
	return 0;
}

#define COMMON                                                              \
	.unit = "buffer", .counters = BENCH_SPACE_COUNTERS, .setup = setup, \
	.count = bench_space_count, .teardown = bench_space_close

#define USER(case_name, mode, n, runner, beside)                                              \
	{                                                                                     \
		COMMON, .name = case_name "/4k_batch" #n, .units = n, .threads = 2,           \
			.floor = beside #n, .peer = "kernel_map_unmap/one_call",              \
			.args = { IOAS_KIND_USER, mode, n }, .thread_setup = bench_user_open, \
			.run = runner, .check = check_counts, .thread_check = check_dma,      \
			.thread_teardown = bench_user_close,                                  \
	}

#define STATIC(n)                                                                        \
	{                                                                                \
		COMMON, .name = "static_touch/4k_batch" #n, .units = n, .threads = 2,    \
			.role = BENCH_FLOOR, .args = { IOAS_KIND_USER, IOAS_STRICT, n }, \
			.thread_setup = static_setup, .run = run_static,                 \
			.thread_teardown = static_teardown,                              \
	}

static const struct bench_case cases[] = {
	USER("user_map_unmap", IOAS_STRICT, 1, run_singles, "floor/stores_and_call/batch"),
	USER("user_map_unmap", IOAS_STRICT, 32, run_batches, "floor/stores_and_call/batch"),
	USER("user_map_unmap", IOAS_STRICT, 256, run_batches, "floor/stores_and_call/batch"),
	USER("user_map_unmap_batched", IOAS_BATCHED, 1, run_singles,
	     "floor/stores_and_call/of256_batch"),
	USER("user_map_unmap_batched", IOAS_BATCHED, 32, run_batches,
	     "floor/stores_and_call/of256_batch"),
	USER("user_map_unmap_batched", IOAS_BATCHED, 256, run_batches,
	     "floor/stores_and_call/of256_batch"),
	USER("user_map_touch_unmap", IOAS_STRICT, 32, run_touch, "static_touch/4k_batch"),
	USER("user_map_touch_unmap_batched", IOAS_BATCHED, 32, run_touch, "static_touch/4k_batch"),
	STATIC(32),
	{
		COMMON,
		.name = "kernel_map_unmap/one_call",
		.units = 1,
		.threads = 2,
		.role = BENCH_PEER,
		.floor = "floor/two_ioctls",
		.args = { IOAS_KIND_KERNEL, IOAS_STRICT, 1 },
		.thread_setup = bench_user_open,
		.run = run_singles,
		.check = check_counts,
		.thread_check = check_dma,
		.thread_teardown = bench_user_close,
	},
};

const struct bench_table bench_map_cases = BENCH_TABLE(cases);
