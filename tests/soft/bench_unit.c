/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the software IOMMU itself costs, in ns: it is the floor of every benchmark that runs on
 * it. Average and minimum of rounds. Not a test: prints, asserts only that the cases are what
 * they say (hits hit, misses miss).
 */
#include "machine.h"

#include <stdio.h>
#include <time.h>

#define ROUNDS 200

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void report(const char *name, const double *ns, unsigned int per_round)
{
	double sum = 0, min = 1e18;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		sum += ns[i];
		min = ns[i] < min ? ns[i] : min;
	}
	printf("%-44s avg %8.2f ns  min %8.2f ns\n", name, sum / ROUNDS / per_round,
	       min / per_round);
}

/* Walk @pages pages, @step pages apart, at @at: in the order of addresses. */
static __attribute__((noinline)) uint64_t touch(struct machine *m, uint64_t at, unsigned int pages,
						unsigned int step)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < pages; i++) {
		size_t bytes = 64;

		sum += addr_of(soft_translate(&m->device, at + i * step * PAGE, &bytes, IOAS_READ));
	}
	return sum;
}

static void case_touch(struct machine *m, const char *name, uint64_t at, unsigned int pages,
		       unsigned int step, bool hits)
{
	static double ns[ROUNDS];
	struct soft_counters before, after;
	volatile uint64_t sink;

	soft_unit_begin(m->unit);
	sink = touch(m, at, pages, step);
	soft_unit_end(m->unit);
	soft_unit_read_counters(m->unit, &before);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		double start;

		soft_unit_begin(m->unit);
		start = now_ns();
		sink = touch(m, at, pages, step);
		ns[round] = now_ns() - start;
		soft_unit_end(m->unit);
	}
	(void)sink;
	soft_unit_read_counters(m->unit, &after);
	assert_int_equal(after.faults, 0);
	assert_int_equal(after.hits - before.hits, hits ? ROUNDS * pages : 0);
	report(name, ns, pages);
}

static void case_chain(struct machine *m, const char *name, uint64_t at, unsigned int pages)
{
	static double ns[ROUNDS];
	uint64_t offset = 0;

	soft_unit_begin(m->unit);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		double start = now_ns();

		for (unsigned int i = 0; i < pages; i++) {
			size_t bytes = 64;
			char *p = soft_translate(&m->device, at + i * PAGE + offset, &bytes,
						 IOAS_READ);

			offset = addr_of(p) & (PAGE - 1); /* 0, but only the translation knows */
		}
		ns[round] = now_ns() - start;
	}
	soft_unit_end(m->unit);
	report(name, ns, pages);
}

static void case_bursts(struct machine *m)
{
	static double ns[ROUNDS];

	for (unsigned int round = 0; round < ROUNDS; round++) {
		double start = now_ns();

		for (unsigned int i = 0; i < 1000; i++) {
			soft_unit_begin(m->unit);
			soft_unit_end(m->unit);
		}
		ns[round] = now_ns() - start;
	}
	report("burst begin + end", ns, 1000);
}

/* @mode: 0 range leaf, 1 range, 2 domain flush */
static void case_invalidate(struct machine *m, const char *name, unsigned int pages, int mode)
{
	static double ns[ROUNDS];
	struct soft_desc desc = mode == 2 ? soft_desc_domain(CHILD)
					  : soft_desc_range(CHILD, GIB(1), pages * PAGE, mode == 0);
	struct soft_counters before, after;

	soft_unit_read_counters(m->unit, &before);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		double start;

		soft_unit_begin(m->unit);
		touch(m, GIB(1), pages, 1);
		soft_unit_end(m->unit);
		start = now_ns();
		assert_int_equal(soft_queue_submit(m->unit, &desc, 1), 0);
		ns[round] = now_ns() - start;
	}
	soft_unit_read_counters(m->unit, &after);
	assert_true(after.dropped - before.dropped >= ROUNDS * pages);
	report(name, ns, 1);
}

/* Every walk begins at the root: a flush of both domains before each. */
static void case_cold(struct machine *m)
{
	static double ns[ROUNDS], empty[ROUNDS];
	struct soft_domain *child = m->device.domain, *parent = m->device.parent_domain;

	soft_unit_begin(m->unit);
	for (unsigned int cold = 0; cold < 2; cold++)
		for (unsigned int round = 0; round < ROUNDS; round++) {
			double start = now_ns();

			for (unsigned int i = 0; i < 100; i++) {
				soft_domain_flush(m->unit, child);
				soft_domain_flush(m->unit, parent);
				if (cold)
					touch(m, GIB(1) + i * PAGE, 1, 1);
			}
			(cold ? ns : empty)[round] = now_ns() - start;
		}
	soft_unit_end(m->unit);
	for (unsigned int round = 0; round < ROUNDS; round++)
		ns[round] -= empty[0] < empty[1] ? empty[0] : empty[1];
	report("cold nested walk, no cache at all (4 over 3)", ns, 100);
}

int main(void)
{
	static struct machine m;
	uint8_t *data;

	machine_start(&m, NULL);
	data = m.memory + MIB(32);
	for (uint64_t at = 0; at < MIB(32); at += PAGE)
		set_entry(first(&m, GIB(1) + at, 0), addr_of(data + at) | P | RW | US | A | D);
	for (uint64_t at = 0; at < MIB(32); at += MIB(2))
		set_entry(first(&m, GIB(2) + at, 1), addr_of(data + at) | P | RW | US | A | D | PS);

	case_touch(&m, "hit, 256 4K pages", GIB(1), 256, 1, true);
	case_chain(&m, "hit, 256 4K pages, each waits for the last", GIB(1), 256);
	case_touch(&m, "miss, PSC hit, 4096 4K pages in order", GIB(1), 4096, 1, false);
	case_touch(&m, "miss, PSC hit, every 7th page", GIB(1), 1024, 7, false);
	case_invalidate(&m, "invalidate 1 page, leaf, and wait", 1, 0);
	case_invalidate(&m, "invalidate 32 pages, leaf, and wait", 32, 0);
	case_invalidate(&m, "invalidate 32 pages, not leaf, and wait", 32, 1);
	case_invalidate(&m, "invalidate 512 pages, leaf, and wait", 256, 0);
	case_invalidate(&m, "domain flush and wait", 32, 2);
	case_touch(&m, "hit, 16 2M pages beside 4K ones", GIB(2), 16, 512, true);
	flush(&m, CHILD);
	case_touch(&m, "hit, 16 2M pages alone", GIB(2), 16, 512, true);
	case_cold(&m);
	case_bursts(&m);
	machine_stop(&m);
	return 0;
}
