/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual address to IOVA on a KERNEL space: one look-up by a call (random, dependent), by the
 * inline hit (hot), and the PRP list of a command of 128 KiB.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cases.h"
#include "pieces.h"

static inline __attribute__((always_inline)) int lookup_call(void *queue, uint64_t va,
							     uint64_t *iova)
{
	size_t bytes = 64;

	return ioas_translate(queue, (const void *)(uintptr_t)va, &bytes, iova);
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	struct pieces *p = *t->shared;

	return lookup_loop(t, iterations, (uintptr_t)p->base, lookup_call, t->local);
}

struct hit {
	struct ioas_queue *queue;
	struct ioas_hit hit;
};

static inline __attribute__((always_inline)) int lookup_hit(void *arg, uint64_t va, uint64_t *iova)
{
	struct hit *hit = arg;
	size_t bytes = 64;

	return ioas_translate_hit(hit->queue, &hit->hit, (const void *)(uintptr_t)va, &bytes, iova);
}

static int run_hit(struct bench_thread *t, uint64_t iterations)
{
	struct hit hit = { .queue = t->local };
	struct pieces *p = *t->shared;

	return lookup_loop(t, iterations, (uintptr_t)p->base, lookup_hit, &hit);
}

static int check_hit(struct bench_thread *t)
{
	struct hit hit = { .queue = t->local };
	struct pieces *p = *t->shared;

	return lookup_verify(t, (uintptr_t)p->base, p->expected, lookup_hit, &hit);
}

/* The floor: a call that answers without looking. */
static __attribute__((noinline)) int no_lookup(void *arg, uint64_t va, uint64_t *iova)
{
	(void)arg;
	bench_hide(va);
	*iova = va;
	return 0;
}

static int run_floor(struct bench_thread *t, uint64_t iterations)
{
	return lookup_loop(t, iterations, UINT64_C(1) << 40, no_lookup, NULL);
}

/* Lists. */

#define COMMAND_BYTES	(UINT64_C(128) << 10)
#define COMMAND_ENTRIES (COMMAND_BYTES / IOAS_PAGE_SIZE)

/* Of a command inside the 8 GiB, at a page. */
static uint64_t command_offset(uint64_t state)
{
	return (state >> (64 - LOOKUP_BYTES_LG2)) % (LOOKUP_BYTES - COMMAND_BYTES) &
	       ~(IOAS_PAGE_SIZE - 1);
}

typedef int (*build_fn)(struct bench_thread *t, uint8_t *va, uint64_t *prp1, uint64_t *list);

static inline __attribute__((always_inline)) int build_loop(struct bench_thread *t,
							    uint64_t iterations, uint8_t *base,
							    build_fn build)
{
	uint64_t list[COMMAND_ENTRIES], prp1 = 0, state = 1 + t->index, wrong = 0;

	for (uint64_t i = 0; i < iterations; i++) {
		state = lookup_next(state);
		wrong |=
			build(t, base + command_offset(state), &prp1, list) ^ (COMMAND_ENTRIES - 1);
		bench_keep(&list[0]);
	}
	return wrong ? bench_fail(t, "a list of the wrong length") : 0;
}

static inline int build_ours(struct bench_thread *t, uint8_t *va, uint64_t *prp1, uint64_t *list)
{
	const struct iovec iov = { .iov_base = va, .iov_len = COMMAND_BYTES };

	return ioas_nvme_prp(t->local, &iov, 1, prp1, list, COMMAND_ENTRIES);
}

static __attribute__((noinline)) int build_floor(struct bench_thread *t, uint8_t *va,
						 uint64_t *prp1, uint64_t *list)
{
	uint64_t iova = (uintptr_t)va;

	(void)t;
	bench_hide(iova);
	*prp1 = iova;
	for (unsigned int i = 1; i < COMMAND_ENTRIES; i++)
		list[i - 1] = iova + i * IOAS_PAGE_SIZE;
	return COMMAND_ENTRIES - 1;
}

static int run_prp(struct bench_thread *t, uint64_t iterations)
{
	return build_loop(t, iterations, ((struct pieces *)*t->shared)->base, build_ours);
}

static int run_prp_floor(struct bench_thread *t, uint64_t iterations)
{
	return build_loop(t, iterations, NULL, build_floor);
}

static int check_prp(struct bench_thread *t)
{
	struct pieces *p = *t->shared;
	uint64_t list[COMMAND_ENTRIES], state = 4711;

	for (unsigned int i = 0; i < 1000; i++) {
		uint64_t at, iova = 0;

		state = lookup_next(state);
		at = command_offset(state);
		build_ours(t, p->base + at, &list[0], &list[1]);
		for (unsigned int entry = 0; entry < COMMAND_ENTRIES; entry++)
			if (pieces_lookup(t->local,
					  (uintptr_t)p->base + at + entry * IOAS_PAGE_SIZE,
					  &iova) ||
			    iova != list[entry])
				return bench_fail(t, "a wrong entry in a list");
	}
	return 0;
}

#define ON_PIECES                                                                      \
	.flags = BENCH_KEEP, .setup = pieces_setup_plain, .teardown = pieces_teardown, \
	.thread_setup = pieces_thread_setup, .thread_teardown = pieces_thread_teardown

#define FLOOR(case_name, pattern, layout)                                                \
	{                                                                                \
		.name = "floor/translate_call/" case_name, .unit = "lookup", .units = 1, \
		.role = BENCH_FLOOR, .args = { pattern, layout }, .run = run_floor,      \
	}

#define TRANSLATE(case_name, pattern, layout, peer_name, run_function, check_function) \
	{ .name = "translate/" case_name,                                              \
	  .unit = "lookup",                                                            \
	  .units = 1,                                                                  \
	  .threads = 2,                                                                \
	  .floor = "floor/translate_call/" case_name,                                  \
	  .peer = peer_name,                                                           \
	  .args = { pattern, layout },                                                 \
	  .run = run_function,                                                         \
	  .thread_check = check_function,                                              \
	  ON_PIECES },                                                                 \
		FLOOR(case_name, pattern, layout)

static const struct bench_case cases[] = {
	TRANSLATE("random", LOOKUP_RANDOM, LOOKUP_SPAN, "peer/urcu_lfht/random", run, pieces_check),
	TRANSLATE("dependent", LOOKUP_DEPENDENT, LOOKUP_SPAN, "peer/urcu_lfht/dependent", run,
		  pieces_check),
	TRANSLATE("hot", LOOKUP_HOT, LOOKUP_SPAN, "peer/urcu_lfht/hot", run_hit, check_hit),
	TRANSLATE("regions_64k", LOOKUP_RANDOM, LOOKUP_APART, NULL, run, pieces_check),
	TRANSLATE("regions_64k_dependent", LOOKUP_DEPENDENT, LOOKUP_APART, NULL, run, pieces_check),
	{
		.name = "prp/128k",
		.unit = "command",
		.units = 1,
		.threads = 2,
		.floor = "floor/prp/128k",
		.args = { 0, LOOKUP_SPAN },
		.run = run_prp,
		.thread_check = check_prp,
		ON_PIECES,
	},
	{
		.name = "floor/prp/128k",
		.unit = "command",
		.units = 1,
		.role = BENCH_FLOOR,
		.run = run_prp_floor,
	},
};

const struct bench_table bench_translate_cases = BENCH_TABLE(cases);
