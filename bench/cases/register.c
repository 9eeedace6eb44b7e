/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory registered and mapped in one KERNEL space, so that its translation is found; and taken
 * away again. On a backend that does nothing (tests/null_backend.h): what is measured is the
 * engine's bookkeeping, its locks included. A second thread lives, so that these are the locks of a
 * program with threads. The time in which a loop makes ready for its next round is not counted. No
 * memory is behind the addresses.
 *
 *   register    a round registers ROUND regions on top of those that live
 *   unregister  a round takes away ROUND of those that live, at random
 *   fill        ever more regions, from none on: tables that are touched for the first time
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"
#include "lookup.h"
#include "regions.h"

#define ROUND	  256
#define LOCKS_MAX 8
#define ROUND_TIB 32 /* the address space has not more */

enum {
	KIB64 = 16,
	MIB2 = 21,
	GIB = 30,
	TIB = 40,
};

enum job {
	REGISTER,
	UNREGISTER,
	FILL,
};

struct state {
	struct regions regions;
	uint64_t live;
	uint64_t round;
	uint64_t seed;
	uint64_t *order; /* the live ones first */
	pthread_t idler;
	bool idles;
};

static void *idle_on(void *arg)
{
	(void)arg;
	for (;;)
		pause(); /* and be cancelled there */
	return NULL;
}

static int idler_start(struct state *s)
{
	const int ret = -pthread_create(&s->idler, NULL, idle_on, NULL);

	s->idles = !ret;
	return ret;
}

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* args: job, lg2 of a region's bytes, regions that live, bytes registered but not mapped */
static int setup(struct bench_thread *t)
{
	const uint64_t bytes = UINT64_C(1) << t->spec->args[1];
	const uint64_t round = t->spec->args[1] == TIB ? ROUND_TIB : ROUND;
	const uint64_t live = t->spec->args[2], max = live + round;
	struct state *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return bench_fail(t, "no memory");
	*t->shared = s;
	s->live = live;
	s->round = round;
	s->seed = 1;
	s->order = calloc(max, sizeof(s->order[0]));
	ret = s->order ? idler_start(s) : -ENOMEM;
	ret = ret ?: regions_open(&s->regions, bytes, bytes, max);
	for (uint64_t i = 0; !ret && i < max; i++)
		s->order[i] = i;
	for (uint64_t i = 0; !ret && i < live; i++)
		ret = regions_add(&s->regions, i);
	return ret ? bench_fail(t, "regions: %s", strerror(-ret)) : 0;
}

static void teardown(struct bench_thread *t)
{
	struct state *s = *t->shared;

	if (!s)
		return;
	regions_close(&s->regions);
	if (s->idles) {
		pthread_cancel(s->idler);
		pthread_join(s->idler, NULL);
	}
	free(s->order);
	free(s);
}

/* ROUND of the live ones, at random, become the last of them. */
static void draw(struct state *s)
{
	for (uint64_t i = 0; i < s->round; i++) {
		uint64_t *to = &s->order[s->live - 1 - i];
		uint64_t *from, which;

		s->seed = lookup_next(s->seed);
		from = &s->order[(s->seed >> 32) * (s->live - i) >> 32];
		which = *from;
		*from = *to;
		*to = which;
	}
}

static int add(struct state *s, const uint64_t *order, uint64_t count)
{
	int ret = 0;

	for (uint64_t i = 0; i < count; i++)
		ret |= regions_add(&s->regions, order[i]);
	return ret;
}

static int take(struct state *s, const uint64_t *order, uint64_t count)
{
	int ret = 0;

	for (uint64_t i = 0; i < count; i++)
		ret |= regions_remove(&s->regions, order[i]);
	return ret;
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	const bool registers = t->spec->args[0] == REGISTER;
	struct state *s = *t->shared;
	double ready = 0;
	int ret = 0;

	for (uint64_t left = iterations; left;) {
		const uint64_t count = left < s->round ? left : s->round;
		const uint64_t *order = registers ? &s->order[s->live] : &s->order[s->live - count];
		double start = cpu_ns();

		if (!registers)
			draw(s);
		ready += cpu_ns() - start;
		ret |= registers ? add(s, order, count) : take(s, order, count);
		start = cpu_ns();
		ret |= registers ? take(s, order, count) : add(s, order, count);
		ready += cpu_ns() - start;
		left -= count;
	}
	t->left_out_ns = ready;
	return ret ? bench_fail(t, "a region was refused") : 0;
}

static int check(struct bench_thread *t)
{
	struct state *s = *t->shared;

	for (uint64_t i = 0; i < s->live; i++) {
		size_t bytes = s->regions.bytes;
		ioas_iova_t iova;

		if (ioas_translate(s->regions.q, regions_va(&s->regions, i), &bytes, &iova) ||
		    bytes != s->regions.bytes || iova != s->regions.region[i].iova)
			return bench_fail(t, "region %" PRIu64 " is not found as it was mapped", i);
	}
	return 0;
}

/* args[0]: locks taken one after the other, free each: what the layers between them have to pay. */
static int run_locks(struct bench_thread *t, uint64_t iterations)
{
	static pthread_mutex_t locks[LOCKS_MAX] = { [0 ... LOCKS_MAX - 1] =
							    PTHREAD_MUTEX_INITIALIZER };
	const unsigned int count = t->spec->args[0];

	for (uint64_t i = 0; i < iterations; i++)
		for (unsigned int lock = 0; lock < count; lock++) {
			pthread_mutex_lock(&locks[lock]);
			pthread_mutex_unlock(&locks[lock]);
		}
	return 0;
}

static int setup_locks(struct bench_thread *t)
{
	struct state *s = calloc(1, sizeof(*s));

	*t->shared = s;
	if (!s || idler_start(s))
		return bench_fail(t, "no thread");
	return 0;
}

#define LOCKS(case_name, count)                                                                 \
	{                                                                                       \
		.name = case_name, .unit = "region", .units = 1, .flags = BENCH_KEEP,           \
		.role = BENCH_FLOOR, .args = { count }, .setup = setup_locks, .run = run_locks, \
		.teardown = teardown,                                                           \
	}

#define CASE(case_name, job, bytes_lg2, live, floor_name, peer_name)                      \
	{                                                                                 \
		.name = case_name, .unit = "region", .units = 1, .flags = BENCH_KEEP,     \
		.floor = floor_name, .peer = peer_name, .args = { job, bytes_lg2, live }, \
		.setup = setup, .run = run, .thread_check = check, .teardown = teardown,  \
	}

static const struct bench_case cases[] = {
	LOCKS("floor/locks7", 7),
	LOCKS("floor/locks6", 6),
	CASE("register/2m", REGISTER, MIB2, 1000, "floor/locks7", NULL),
	CASE("register/1g", REGISTER, GIB, 1000, "floor/locks7", NULL),
	CASE("register/1t", REGISTER, TIB, 8, "floor/locks7", NULL),
	CASE("register/2m_of_1m", REGISTER, MIB2, 1000000, "floor/locks7", "register/2m"),
	CASE("unregister/random_1k", UNREGISTER, MIB2, 1000, "floor/locks6", NULL),
	CASE("unregister/random_50k", UNREGISTER, MIB2, 50000, "floor/locks6",
	     "unregister/random_1k"),
	CASE("unregister/random_1m", UNREGISTER, MIB2, 1000000, "floor/locks6",
	     "unregister/random_1k"),
};

const struct bench_table bench_register_cases = BENCH_TABLE(cases);
