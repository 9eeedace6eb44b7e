/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The policy study's cells of 4096 bytes and rings of 1024 packets as rows: the software IOMMU's
 * memory reads, misses and invalidations per packet. Their times are those of the model, the driver
 * and the policy together; the counts are what matters. bench/policy has all cells.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ioas/soft.h>

#include "../study/study.h"
#include "cases.h"

#define RING	1024
#define PACKET	4096
#define WARM_UP (8 * RING * STUDY_QUEUES)

enum { COUNT_READS, COUNT_MISSES, COUNT_DESCRIPTORS, COUNT_PACKETS };

static const struct study_policy *const policies[] = {
	&study_strict,
	&study_deferred,
	&study_ours,
	&study_static,
};

static int wrong(struct bench_thread *t, const struct study *s)
{
	return bench_fail(t, "%s", s->error);
}

/* In the thread that runs it, too: the library's queues are that thread's. */
static int setup(struct bench_thread *t)
{
	struct study *s = calloc(1, sizeof(*s));

	if (!s)
		return bench_fail(t, "no memory");
	*t->shared = s;
	if (study_open(s, policies[t->spec->args[0]], RING, PACKET) || study_run(s, WARM_UP))
		return wrong(t, s);
	return 0;
}

static void teardown(struct bench_thread *t)
{
	struct study *s = *t->shared;

	if (s)
		study_close(s);
	free(s);
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	return study_run(*t->shared, iterations) ? wrong(t, *t->shared) : 0;
}

static int count(struct bench_thread *t, double *values)
{
	struct ioas_soft_stats stats = { .size = sizeof(stats) };
	struct study *s = *t->shared;
	int ret = ioas_soft_get_stats(s->ctx, &stats);

	if (ret)
		return bench_fail(t, "ioas_soft_get_stats: %s", strerror(-ret));
	values[COUNT_READS] = stats.walk_reads;
	values[COUNT_MISSES] = stats.iotlb_misses;
	values[COUNT_DESCRIPTORS] = stats.descriptors;
	values[COUNT_PACKETS] = s->packets;
	return 0;
}

static int check(struct bench_thread *t, uint64_t iterations, const double *delta)
{
	if (delta[COUNT_PACKETS] != iterations)
		return bench_fail(t, "%.0f packets counted", delta[COUNT_PACKETS]);
	return 0;
}

static int thread_check(struct bench_thread *t)
{
	return study_check(*t->shared) ? wrong(t, *t->shared) : 0;
}

enum { STRICT, DEFERRED, OURS, STATIC };

#define WALKREFS(policy, n)                                                                      \
	.name = "walkrefs/" policy, .unit = "packet", .units = 1, .args = { n }, .setup = setup, \
	.run = run, .count = count, .check = check, .thread_check = thread_check,                \
	.teardown = teardown,                                                                    \
	.counters = { "walk_reads", "iotlb_misses", "invalidations", "packets" }

static const struct bench_case cases[] = {
	{ WALKREFS("strict", STRICT), .role = BENCH_PEER, .floor = "walkrefs/static" },
	{ WALKREFS("deferred", DEFERRED), .role = BENCH_PEER, .floor = "walkrefs/static" },
	{ WALKREFS("ours", OURS), .floor = "walkrefs/static", .peer = "walkrefs/strict" },
	{ WALKREFS("static", STATIC), .role = BENCH_FLOOR },
};

const struct bench_table bench_walkrefs_cases = BENCH_TABLE(cases);
