/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peer of regcache: UCX's registration cache (ucs_rcache of libucs), called as its transports call
 * it: a get of 64 bytes that hits, and the put. The registration is one store, and happens before.
 *
 * Regions are addresses: the cache never looks at the memory. It is not told of unmapping (no
 * events of ucm, whose hooks would be under all other rows); the hit path asks nothing else for
 * them than it does here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <ucs/memory/rcache.h>

#include "cases.h"
#include "lookup.h"

#define BASE	   (UINT64_C(1) << 40)
#define IOVA_SHIFT 1 /* of the address, so that no IOVA is an address */

struct region {
	ucs_rcache_region_t super;
	uint64_t iova;
};

struct cache {
	ucs_rcache_t *rcache;
	uint64_t registered;
	uint64_t expected[LOOKUP_REGIONS];
};

static ucs_status_t reg(void *context, ucs_rcache_t *rcache, void *arg, ucs_rcache_region_t *super,
			uint16_t flags)
{
	struct cache *cache = context;

	(void)rcache;
	(void)arg;
	(void)flags;
	((struct region *)super)->iova = super->super.start << IOVA_SHIFT;
	cache->registered++;
	return UCS_OK;
}

static void dereg(void *context, ucs_rcache_t *rcache, ucs_rcache_region_t *super)
{
	struct cache *cache = context;

	(void)rcache;
	(void)super;
	cache->registered--;
}

static void dump(void *context, ucs_rcache_t *rcache, ucs_rcache_region_t *super, char *text,
		 size_t text_bytes)
{
	(void)context;
	(void)rcache;
	(void)super;
	if (text_bytes)
		*text = 0;
}

static const ucs_rcache_ops_t ops = {
	.mem_reg = reg,
	.mem_dereg = dereg,
	.dump_region = dump,
};

static int fill(struct bench_thread *t, struct cache *cache)
{
	const uint64_t count = t->spec->args[1] == LOOKUP_APART ? LOOKUP_REGIONS : LOOKUP_FEW;

	for (uint64_t i = 0; i < count; i++) {
		const uint64_t piece = i * 1613 % count;
		const uint64_t va = BASE + piece * LOOKUP_STRIDE;
		ucs_rcache_region_t *region;

		if (ucs_rcache_get(cache->rcache, (void *)va, LOOKUP_REGION_BYTES,
				   PROT_READ | PROT_WRITE, NULL, &region) != UCS_OK)
			return bench_fail(t, "ucs_rcache_get failed");
		ucs_rcache_region_put(cache->rcache, region);
		cache->expected[piece] = va << IOVA_SHIFT;
	}
	return 0;
}

static int setup(struct bench_thread *t)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	const ucs_rcache_params_t params = {
		.region_struct_size = sizeof(struct region),
		.alignment = 4096,
		.max_alignment = 4096,
		.ops = &ops,
		.context = cache,
		.max_regions = ULONG_MAX,
		.max_size = SIZE_MAX,
		.max_unreleased = SIZE_MAX,
	};

	if (!cache)
		return bench_fail(t, "no memory");
	*t->shared = cache;
	if (ucs_rcache_create(&params, "bench", NULL, &cache->rcache) != UCS_OK)
		return bench_fail(t, "ucs_rcache_create failed");
	return fill(t, cache);
}

static void teardown(struct bench_thread *t)
{
	struct cache *cache = *t->shared;

	if (cache && cache->rcache)
		ucs_rcache_destroy(cache->rcache);
	free(cache);
}

/* As a look-up, so that the loops are those of ours. */
static inline __attribute__((always_inline)) int get_put(void *arg, uint64_t va, uint64_t *iova)
{
	ucs_rcache_region_t *region;

	if (ucs_rcache_get(arg, (void *)va, 64, PROT_READ | PROT_WRITE, NULL, &region) != UCS_OK)
		return -1;
	*iova = ((struct region *)region)->iova + (va - region->super.start);
	ucs_rcache_region_put(arg, region);
	return 0;
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	struct cache *cache = *t->shared;

	return lookup_loop(t, iterations, BASE, get_put, cache->rcache);
}

static int count(struct bench_thread *t, double *values)
{
	const struct cache *cache = *t->shared;

	values[0] = cache->registered;
	return 0;
}

/* Each was a hit. */
static int check(struct bench_thread *t, uint64_t iterations, const double *delta)
{
	(void)iterations;
	return delta[0] ? bench_fail(t, "%.0f registrations while it ran", delta[0]) : 0;
}

static int check_iova(struct bench_thread *t)
{
	struct cache *cache = *t->shared;

	return lookup_verify(t, BASE, cache->expected, get_put, cache->rcache);
}

#define RCACHE(case_name, pattern, layout)                                                    \
	{                                                                                     \
		.name = "peer/ucx_rcache/" case_name, .unit = "get and put", .units = 1,      \
		.threads = 2, .role = BENCH_PEER, .flags = BENCH_KEEP,                        \
		.args = { pattern, layout }, .counters = { "registrations" }, .setup = setup, \
		.run = run, .count = count, .check = check, .thread_check = check_iova,       \
		.teardown = teardown,                                                         \
	}

static const struct bench_case cases[] = {
	RCACHE("get_put", LOOKUP_RANDOM, LOOKUP_APART),
	RCACHE("get_put_1k", LOOKUP_RANDOM, LOOKUP_FEW_APART),
	RCACHE("get_put_hot", LOOKUP_HOT, LOOKUP_APART),
};

const struct bench_table bench_ucx_peers = BENCH_TABLE(cases);
