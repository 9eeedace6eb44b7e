/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A buffer held and let go: get and put of the registration cache, when it hits. 100000 regions of
 * 64 KiB, one of them at random each time; or one buffer again and again (hot), which is also what
 * the mode pays that asks the kernel (exact).
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

	if (pieces_setup_plain(t))
		return -1;
	p = *t->shared;
	/* Rows share the space, and its cache. */
	if (p->cache && p->watch == t->spec->args[2])
		return 0;
	if (p->cache && ioas_regcache_destroy(p->cache))
		return bench_fail(t, "a registration is held");
	p->watch = t->spec->args[2];
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
	if (delta[0] != (double)iterations * t->threads || delta[1] != 0)
		return bench_fail(t, "%.0f gets, %.0f of them missed, in %.0f", delta[0], delta[1],
				  (double)iterations * t->threads);
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
		va = (void *)(uintptr_t)lookup_va(LOOKUP_APART, (uintptr_t)p->base, state);
		if (get_put(t->local, (uintptr_t)va, &iova) ||
		    ioas_lookup(t->local, iova, &found, &prot) || found != va)
			return bench_fail(t, "a get is not what is mapped");
	}
	return 0;
}

#define REGCACHE(case_name, pattern, watch, how)                                                 \
	{                                                                                        \
		.name = "regcache/" case_name, .unit = "get and put", .units = 1, .threads = 2,  \
		.flags = BENCH_KEEP | (how), .floor = "floor/translate_call/regions_64k",        \
		.args = { pattern, LOOKUP_APART, watch }, .counters = { "gets", "misses" },      \
		.setup = setup, .thread_setup = pieces_thread_setup, .run = run, .count = count, \
		.check = check, .thread_check = check_iova,                                      \
		.thread_teardown = pieces_thread_teardown, .teardown = pieces_teardown,          \
	}

static const struct bench_case cases[] = {
	REGCACHE("get_put", LOOKUP_RANDOM, IOAS_WATCH_ORDERED, 0),
	REGCACHE("get_put_2threads", LOOKUP_RANDOM, IOAS_WATCH_ORDERED, BENCH_TOGETHER),
	REGCACHE("get_put_hot", LOOKUP_HOT, IOAS_WATCH_ORDERED, 0),
};

const struct bench_table bench_regcache_cases = BENCH_TABLE(cases);
