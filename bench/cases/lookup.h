/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop around a look-up of an address, the same for ours, its floor and its peer: what they
 * share is in all three, and what differs is the look-up.
 *
 * random      addresses do not depend on results: look-ups overlap
 * dependent   the next address depends on the last result: they do not
 * hot         the same address again and again
 *
 * Addresses are in 8 GiB that are mapped in pieces of 2 MiB; or in 100000 regions of 64 KiB, 64 KiB
 * apart.
 */
#ifndef BENCH_CASES_LOOKUP_H
#define BENCH_CASES_LOOKUP_H

#include <inttypes.h>

#include "../harness.h"

#define LOOKUP_BYTES_LG2 33 /* 8 GiB */
#define LOOKUP_BYTES	 (UINT64_C(1) << LOOKUP_BYTES_LG2)
#define LOOKUP_PAGE_LG2	 21
#define LOOKUP_PAGES	 (LOOKUP_BYTES >> LOOKUP_PAGE_LG2)

#define LOOKUP_REGIONS	    UINT64_C(100000)
#define LOOKUP_FEW	    UINT64_C(1000)
#define LOOKUP_REGION_BYTES UINT64_C(65536)
#define LOOKUP_STRIDE	    (2 * LOOKUP_REGION_BYTES)

enum lookup_layout {
	LOOKUP_SPAN,
	LOOKUP_APART,
	LOOKUP_FEW_APART, /* the first 1000 of them */
};

enum lookup_pattern {
	LOOKUP_RANDOM,
	LOOKUP_DEPENDENT,
	LOOKUP_HOT,
};

/* Return: 0, and the address that the device uses for @va. */
typedef int (*lookup_fn)(void *arg, uint64_t va, uint64_t *iova);

/* Knuth's MMIX generator; the high bits make the address, 64 bytes apart. */
static inline uint64_t lookup_next(uint64_t state)
{
	return state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

static inline uint64_t lookup_va(enum lookup_layout layout, uint64_t base, uint64_t state)
{
	if (layout == LOOKUP_SPAN)
		return base + (state >> (64 - LOOKUP_BYTES_LG2) & ~UINT64_C(63));
	return base +
	       ((state >> 32) * (layout == LOOKUP_APART ? LOOKUP_REGIONS : LOOKUP_FEW) >> 32) *
		       LOOKUP_STRIDE +
	       (state >> 24 & (LOOKUP_REGION_BYTES - 64));
}

static inline __attribute__((always_inline)) int lookup_loop_in(struct bench_thread *t,
								uint64_t iterations,
								enum lookup_layout layout,
								uint64_t base, lookup_fn lookup,
								void *arg)
{
	enum lookup_pattern pattern = t->spec->args[0];
	uint64_t state = 1 + t->index;
	uint64_t failed = 0;
	uint64_t sum = 0;
	uint64_t iova = 0;

	switch (pattern) {
	case LOOKUP_RANDOM:
		for (uint64_t i = 0; i < iterations; i++) {
			state = lookup_next(state);
			failed |= lookup(arg, lookup_va(layout, base, state), &iova);
			sum += iova;
		}
		break;
	case LOOKUP_DEPENDENT:
		for (uint64_t i = 0; i < iterations; i++) {
			state = lookup_next(state + (iova >> 63)); /* 0, but only we know */
			failed |= lookup(arg, lookup_va(layout, base, state), &iova);
		}
		break;
	case LOOKUP_HOT:
		for (uint64_t i = 0; i < iterations; i++) {
			bench_hide(state);
			failed |= lookup(arg, lookup_va(layout, base, state), &iova);
			sum += iova;
		}
		break;
	}
	bench_keep(sum);
	return failed ? bench_fail(t, "a look-up failed") : 0;
}

static inline __attribute__((always_inline)) int lookup_loop(struct bench_thread *t,
							     uint64_t iterations, uint64_t base,
							     lookup_fn lookup, void *arg)
{
	if (t->spec->args[1] == LOOKUP_SPAN)
		return lookup_loop_in(t, iterations, LOOKUP_SPAN, base, lookup, arg);
	if (t->spec->args[1] == LOOKUP_FEW_APART)
		return lookup_loop_in(t, iterations, LOOKUP_FEW_APART, base, lookup, arg);
	return lookup_loop_in(t, iterations, LOOKUP_APART, base, lookup, arg);
}

/* After the loop: 100000 look-ups against what @expected says of each piece. */
static inline int lookup_verify(struct bench_thread *t, uint64_t base, const uint64_t *expected,
				lookup_fn lookup, void *arg)
{
	const bool span = t->spec->args[1] == LOOKUP_SPAN;
	const uint64_t stride = span ? UINT64_C(1) << LOOKUP_PAGE_LG2 : LOOKUP_STRIDE;
	uint64_t state = 4711;

	for (unsigned int i = 0; i < 100000; i++) {
		uint64_t offset, iova = 0, right;

		state = lookup_next(state);
		offset = lookup_va(t->spec->args[1], 0, state);
		right = expected[offset / stride] + offset % stride;
		if (lookup(arg, base + offset, &iova) || iova != right)
			return bench_fail(
				t, "offset 0x%" PRIx64 ": 0x%" PRIx64 ", expected 0x%" PRIx64,
				offset, iova, right);
	}
	return 0;
}

#endif
