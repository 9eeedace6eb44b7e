/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A buffer held and let go: get and put of the registration cache, when it hits. 100000 regions of
 * 64 KiB, one of them at random each time, or one of the first 1000, or one buffer again and again
 * (hot). Mode ORDERED, and EXACT, which asks the kernel at each get, or once for a batch.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <string.h>

#include "cases.h"
#include "pieces.h"

#define ENTRIES (1U << 17)

static int setup(struct bench_thread *t)
{
	struct ioas_regcache_opts opts = { .size = sizeof(opts),
					   .watch = t->spec->args[2],
					   .max_entries = ENTRIES,
					   .merge_bytes = 1 };
	struct pieces *p;
	int ret;

	if (pieces_setup(t, NULL, 1 + t->spec->args[2]))
		return -1;
	p = *t->shared;
	/* Rows of one mode share the space, and its cache. */
	if (p->cache)
		return 0;
	ret = ioas_regcache_create(p->as, &opts, &p->cache);
	for (uint64_t i = 0; !ret && i < p->count; i++) {
		const uint64_t piece = i * 1613 % p->count;
		struct ioas_reg reg;

		ret = ioas_regcache_get(p->owner, p->base + piece * p->stride, p->piece_bytes,
					&reg);
		if (!ret)
			ioas_regcache_put(p->owner, &reg);
	}
	return ret ? bench_fail(t, "registration cache: %s: %s", strerror(-ret),
				ioas_queue_error(p->owner))
		   : 0;
}

/* As a look-up, so that the loops are those of translate. */
static inline __attribute__((always_inline)) int get_put(void *queue, uint64_t va, uint64_t *iova)
{
	struct ioas_reg reg;
	int ret = ioas_regcache_get(queue, (const void *)(uintptr_t)va, 64, &reg);

	*iova = reg.iova;
	if (!ret)
		ioas_regcache_put(queue, &reg);
	return ret;
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	struct pieces *p = *t->shared;

	return lookup_loop(t, iterations, (uintptr_t)p->base, get_put, t->local);
}

#define BATCH 32

/* As lookup_loop(), BATCH buffers a call. */
static int run_batch(struct bench_thread *t, uint64_t iterations)
{
	const struct pieces *p = *t->shared;
	struct iovec buffers[BATCH];
	struct ioas_reg regs[BATCH];
	uint64_t state = 1 + t->index, failed = 0, sum = 0;

	for (uint64_t i = 0; i < iterations; i++) {
		for (unsigned int j = 0; j < BATCH; j++) {
			state = lookup_next(state);
			buffers[j].iov_base = (void *)(uintptr_t)lookup_va(
				t->spec->args[1], (uintptr_t)p->base, state);
			buffers[j].iov_len = 64;
		}
		failed |= ioas_regcache_get_batch(t->local, buffers, BATCH, regs);
		for (unsigned int j = 0; j < BATCH; j++) {
			sum += regs[j].iova;
			ioas_regcache_put(t->local, &regs[j]);
		}
	}
	bench_keep(sum);
	return failed ? bench_fail(t, "a get failed") : 0;
}

static struct ioas_regcache_stats stats_of(struct pieces *p)
{
	struct ioas_regcache_stats stats = { .size = sizeof(stats) };

	ioas_regcache_get_stats(p->cache, &stats);
	return stats;
}

static int count(struct bench_thread *t, double *values)
{
	const struct ioas_regcache_stats stats = stats_of(*t->shared);

	values[0] = stats.gets;
	values[1] = stats.misses;
	return 0;
}

/* Each was a hit, and translated as memory is mapped: device and cache agree. */
static int check(struct bench_thread *t, uint64_t iterations, const double *delta)
{
	if (delta[0] != (double)iterations * t->spec->units * t->threads || delta[1] != 0)
		return bench_fail(t, "%.0f gets, %.0f of them missed, in %.0f", delta[0], delta[1],
				  (double)iterations * t->spec->units * t->threads);
	return 0;
}

static int check_iova(struct bench_thread *t)
{
	struct pieces *p = *t->shared;
	uint64_t state = 4711;

	for (unsigned int i = 0; i < 10000; i++) {
		uint64_t iova = 0;
		uint32_t prot;
		void *va, *found;

		state = lookup_next(state);
		va = (void *)(uintptr_t)lookup_va(t->spec->args[1], (uintptr_t)p->base, state);
		if (get_put(t->local, (uintptr_t)va, &iova) ||
		    ioas_lookup(t->local, iova, &found, &prot) || found != va)
			return bench_fail(t, "a get is not what is mapped");
	}
	return 0;
}

#define REGCACHE(case_name, pattern, layout, watch, how, buffers, loop, floor_name, peer_name)    \
	{                                                                                         \
		.name = "regcache/" case_name, .unit = "get and put", .units = buffers,           \
		.threads = 2, .flags = BENCH_KEEP | (how), .floor = floor_name,                   \
		.peer = "peer/ucx_rcache/" peer_name, .args = { pattern, layout, watch },         \
		.counters = { "gets", "misses" }, .setup = setup,                                 \
		.thread_setup = pieces_thread_setup, .run = loop, .count = count, .check = check, \
		.thread_check = check_iova, .thread_teardown = pieces_thread_teardown,            \
		.teardown = pieces_teardown,                                                      \
	}
#define ORDERED(case_name, pattern, layout, how, peer_name)                   \
	REGCACHE(case_name, pattern, layout, IOAS_WATCH_ORDERED, how, 1, run, \
		 "floor/translate_call/regions_64k", peer_name)
#define EXACT(case_name, pattern, layout, peer_name)                                             \
	REGCACHE(case_name, pattern, layout, IOAS_WATCH_EXACT, 0, 1, run, "floor/refused_ioctl", \
		 peer_name)

static const struct bench_case cases[] = {
	ORDERED("get_put", LOOKUP_RANDOM, LOOKUP_APART, 0, "get_put"),
	ORDERED("get_put_1k", LOOKUP_RANDOM, LOOKUP_FEW_APART, 0, "get_put_1k"),
	ORDERED("get_put_2threads", LOOKUP_RANDOM, LOOKUP_APART, BENCH_TOGETHER, "get_put"),
	ORDERED("get_put_hot", LOOKUP_HOT, LOOKUP_APART, 0, "get_put_hot"),
	EXACT("get_put_exact", LOOKUP_RANDOM, LOOKUP_APART, "get_put"),
	EXACT("get_put_exact_1k", LOOKUP_RANDOM, LOOKUP_FEW_APART, "get_put_1k"),
	REGCACHE("get_put_exact_batch32", LOOKUP_RANDOM, LOOKUP_APART, IOAS_WATCH_EXACT, 0, BATCH,
		 run_batch, "floor/refused_ioctl", "get_put"),
};

const struct bench_table bench_regcache_cases = BENCH_TABLE(cases);
