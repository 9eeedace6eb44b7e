/* SPDX-License-Identifier: BSD-3-Clause */
/* See space.h. */
#include "space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ioas/soft.h>

static int open_parts(struct bench_thread *t, struct bench_space *space, enum ioas_kind kind,
		      enum ioas_mode mode)
{
	struct ioas_ctx_opts ctx_opts = { .size = sizeof(ctx_opts), .backend = "soft" };
	struct ioas_mem_opts mem_opts = {
		.size = sizeof(mem_opts),
		.numa_node = IOAS_NUMA_ANY,
		.bytes = (uint64_t)BUFFERS * BUFFER_BYTES * t->threads,
	};
	struct ioas_opts opts = { .size = sizeof(opts), .kind = kind, .mode = mode };
	int ret;

	ret = ioas_ctx_open(&ctx_opts, &space->ctx);
	if (ret)
		return bench_fail(t, "ioas_ctx_open: %s", strerror(-ret));
	ret = ioas_mem_alloc(space->ctx, &mem_opts, &space->mem);
	if (ret)
		return bench_fail(t, "ioas_mem_alloc: %s", strerror(-ret));
	ret = ioas_create(space->ctx, &opts, &space->as);
	if (ret)
		return bench_fail(t, "ioas_create: %s", strerror(-ret));
	ret = ioas_dev_bind(space->ctx, "bench0", &space->dev);
	ret = ret ?: ioas_attach(space->as, space->dev);
	return ret ? bench_fail(t, "device: %s", strerror(-ret)) : 0;
}

int bench_space_open(struct bench_thread *t, enum ioas_kind kind, enum ioas_mode mode)
{
	struct bench_space *space = calloc(1, sizeof(*space));

	if (!space)
		return bench_fail(t, "no memory");
	*t->shared = space;
	return open_parts(t, space, kind, mode);
}

void bench_space_close(struct bench_thread *t)
{
	struct bench_space *space = *t->shared;

	if (!space)
		return;
	if (space->dev) {
		ioas_detach(space->dev);
		ioas_dev_unbind(space->dev);
	}
	if (space->window)
		ioas_window_destroy(space->window);
	if (space->as)
		ioas_destroy(space->as);
	if (space->mem)
		ioas_mem_free(space->mem);
	if (space->ctx)
		ioas_ctx_close(space->ctx);
	free(space);
}

int bench_space_count(struct bench_thread *t, double *values)
{
	struct bench_space *space = *t->shared;
	struct ioas_stats stats = { .size = sizeof(stats) };
	int ret = ioas_ctx_stats(space->ctx, &stats);

	if (ret)
		return bench_fail(t, "ioas_ctx_stats: %s", strerror(-ret));
	values[COUNT_CROSSINGS] =
		stats.map_crossings + stats.unmap_crossings + stats.inval_crossings;
	values[COUNT_MAPS] = stats.maps;
	values[COUNT_UNMAPS] = stats.unmaps;
	values[COUNT_INVAL_CROSSINGS] = stats.inval_crossings;
	values[COUNT_INVAL_ASKED] = stats.inval_asked;
	values[COUNT_INVAL_ISSUED] = stats.inval_issued;
	values[COUNT_INVAL_FLUSHES] = stats.inval_flushes;
	values[COUNT_COMMIT_JOINS] = stats.commit_joins;
	return 0;
}

/* The same order in every run: xorshift from a fixed seed. */
static void shuffle(struct ioas_seg *segs, unsigned int count)
{
	uint64_t random = 88172645463325252;

	for (unsigned int i = count - 1; i; i--) {
		struct ioas_seg seg = segs[i];
		unsigned int other;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		other = random % (i + 1);
		segs[i] = segs[other];
		segs[other] = seg;
	}
}

int bench_user_open(struct bench_thread *t)
{
	struct bench_space *space = *t->shared;
	struct bench_user *user = calloc(1, sizeof(*user));
	char *va = ioas_mem_va(space->mem);
	int ret;

	if (!user)
		return bench_fail(t, "no memory");
	t->local = user;
	va += (size_t)t->index * BUFFERS * BUFFER_BYTES;
	for (unsigned int i = 0; i < BUFFERS; i++)
		user->segs[i] = (struct ioas_seg){ .va = va + (size_t)i * BUFFER_BYTES,
						   .bytes = BUFFER_BYTES };
	shuffle(user->segs, BUFFERS);
	ret = ioas_queue_create(space->as, &user->queue);
	return ret ? bench_fail(t, "ioas_queue_create: %s", strerror(-ret)) : 0;
}

void bench_user_close(struct bench_thread *t)
{
	struct bench_user *user = t->local;

	if (user && user->queue)
		ioas_queue_destroy(user->queue);
	free(user);
}

int bench_space_dma(struct bench_thread *t, ioas_iova_t iova, void *va, bool visible)
{
	struct bench_space *space = *t->shared;
	volatile uint64_t *word = va;
	uint64_t sent = (uintptr_t)va | t->index | 1;
	struct ioas_fault fault;
	int ret;

	*word = 0;
	ret = ioas_soft_dma_write(space->dev, iova, &sent, sizeof(sent));
	if (ret != (visible ? 0 : -EFAULT))
		return bench_fail(t, "DMA to a buffer that is %smapped: %s", visible ? "" : "not ",
				  ret ? strerror(-ret) : "went through");
	if (*word != (visible ? sent : 0))
		return bench_fail(t, "DMA to a buffer that is %smapped: memory is wrong",
				  visible ? "" : "not ");
	while (ioas_fault_poll(space->ctx, &fault, 1) > 0)
		;
	return 0;
}
