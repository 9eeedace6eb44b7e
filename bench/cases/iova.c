/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One IOVA taken and given back, in the order in which a queue does it: taken one by one, given
 * back a ring later. Two threads share one allocator, each with magazines of its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "iova.h"

#define RING 256 /* IOVAs out at a time */

struct user {
	struct iova_magazines magazines;
	uint64_t out[RING];
	uint32_t at;
};

static int setup(struct bench_thread *t)
{
	const struct ioas_range aperture = { UINT64_C(1) << 20, (UINT64_C(1) << 47) - 1 };
	struct iova *iova = aligned_alloc(64, (sizeof(*iova) + 63) / 64 * 64);

	if (!iova || iova_init(iova, aperture, NULL, 0)) {
		free(iova);
		return bench_fail(t, "no memory");
	}
	*t->shared = iova;
	return 0;
}

static void teardown(struct bench_thread *t)
{
	if (!*t->shared)
		return;
	iova_destroy(*t->shared);
	free(*t->shared);
}

static int take(struct bench_thread *t, uint64_t *start)
{
	struct user *user = t->local;

	return iova_take(*t->shared, &user->magazines, t->spec->args[0], 1, start)
		       ? 0
		       : bench_fail(t, "no IOVA left");
}

static void give(struct bench_thread *t, uint64_t start)
{
	struct user *user = t->local;

	iova_give(*t->shared, &user->magazines, iova_chunk_of(*t->shared, start), 1);
}

static int thread_setup(struct bench_thread *t)
{
	struct user *user = calloc(1, sizeof(*user));

	if (!user)
		return bench_fail(t, "no memory");
	t->local = user;
	for (unsigned int i = 0; i < RING; i++)
		if (take(t, &user->out[i]))
			return -1;
	return 0;
}

static void thread_teardown(struct bench_thread *t)
{
	struct user *user = t->local;

	if (!user)
		return;
	for (unsigned int i = 0; i < RING; i++)
		if (user->out[i])
			give(t, user->out[i]);
	iova_magazines_drain(*t->shared, &user->magazines);
	free(user);
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	struct user *user = t->local;

	for (uint64_t i = 0; i < iterations; i++) {
		uint64_t *slot = &user->out[user->at++ % RING];

		give(t, *slot);
		if (take(t, slot))
			return -1;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return one < other ? -1 : one > other;
}

/* What is out is aligned, and nothing is out twice. */
static int check(struct bench_thread *t)
{
	struct user *user = t->local;
	uint64_t unit = iova_unit(t->spec->args[0]);
	uint64_t sorted[RING];

	memcpy(sorted, user->out, sizeof(sorted));
	qsort(sorted, RING, sizeof(sorted[0]), compare);
	for (unsigned int i = 0; i < RING; i++) {
		if (sorted[i] % unit)
			return bench_fail(t, "an IOVA is not aligned to its size");
		if (i && sorted[i] - sorted[i - 1] < unit)
			return bench_fail(t, "an IOVA was handed out twice");
	}
	return 0;
}

#define IOVA(case_name, class, how)                                                                \
	{                                                                                          \
		.name = "iova/" case_name, .unit = "IOVA", .units = 1, .threads = 2, .flags = how, \
		.floor = "floor/locked_add", .args = { class }, .setup = setup,                    \
		.thread_setup = thread_setup, .run = run, .thread_check = check,                   \
		.thread_teardown = thread_teardown, .teardown = teardown,                          \
	}

static const struct bench_case cases[] = {
	IOVA("4k", 0, 0),
	IOVA("2m", 9, 0),
	IOVA("2m_2threads", 9, BENCH_TOGETHER),
};

const struct bench_table bench_iova_cases = BENCH_TABLE(cases);
