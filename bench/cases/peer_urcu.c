/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peer of translate: liburcu's lock-free hash table, as one would use it for the job, with an
 * entry for each 2 MiB page of 8 GiB. The QSBR flavour, whose readers pay nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>

#include <urcu/urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include "cases.h"
#include "lookup.h"

#define BASE (UINT64_C(1) << 40)

struct entry {
	uint64_t page;
	uint64_t iova;
	struct cds_lfht_node node;
};

struct table {
	struct cds_lfht *hash;
	struct entry entries[LOOKUP_PAGES];
	uint64_t expected[LOOKUP_PAGES];
};

static inline unsigned long hash_of(uint64_t page)
{
	return page * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

static int match(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct entry, node)->page == *(const uint64_t *)key;
}

static int setup(struct bench_thread *t)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return bench_fail(t, "no memory");
	*t->shared = table;
	table->hash = cds_lfht_new_flavor(LOOKUP_PAGES, LOOKUP_PAGES, LOOKUP_PAGES, 0,
					  &urcu_qsbr_flavor, NULL);
	if (!table->hash)
		return bench_fail(t, "no memory");
	urcu_qsbr_register_thread();
	for (uint64_t i = 0; i < LOOKUP_PAGES; i++) {
		uint64_t page = i * 1613 % LOOKUP_PAGES;
		struct entry *entry = &table->entries[page];

		entry->page = (BASE >> LOOKUP_PAGE_LG2) + page;
		entry->iova = i << LOOKUP_PAGE_LG2;
		table->expected[page] = entry->iova;
		cds_lfht_add(table->hash, hash_of(entry->page), &entry->node);
	}
	urcu_qsbr_unregister_thread();
	return 0;
}

static void teardown(struct bench_thread *t)
{
	struct table *table = *t->shared;

	if (!table)
		return;
	if (table->hash) {
		urcu_qsbr_register_thread();
		for (uint64_t i = 0; i < LOOKUP_PAGES; i++)
			cds_lfht_del(table->hash, &table->entries[i].node);
		urcu_qsbr_unregister_thread();
		cds_lfht_destroy(table->hash, NULL);
	}
	free(table);
}

static int thread_setup(struct bench_thread *t)
{
	(void)t;
	urcu_qsbr_register_thread();
	return 0;
}

static void thread_teardown(struct bench_thread *t)
{
	(void)t;
	urcu_qsbr_unregister_thread();
}

static int lookup(void *hash, uint64_t va, uint64_t *iova)
{
	uint64_t page = va >> LOOKUP_PAGE_LG2;
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	urcu_qsbr_read_lock();
	cds_lfht_lookup(hash, hash_of(page), match, &page, &iter);
	node = cds_lfht_iter_get_node(&iter);
	if (node)
		*iova = caa_container_of(node, struct entry, node)->iova +
			(va & ((UINT64_C(1) << LOOKUP_PAGE_LG2) - 1));
	urcu_qsbr_read_unlock();
	return node ? 0 : -1;
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	struct table *table = *t->shared;

	return lookup_loop(t, iterations, BASE, lookup, table->hash);
}

static int check(struct bench_thread *t)
{
	struct table *table = *t->shared;

	return lookup_verify(t, BASE, table->expected, lookup, table->hash);
}

#define LFHT(pattern_name, pattern)                                                              \
	{                                                                                        \
		.name = "peer/urcu_lfht/" pattern_name, .unit = "lookup", .units = 1,            \
		.threads = 2, .role = BENCH_PEER, .flags = BENCH_KEEP, .args = { pattern },      \
		.setup = setup, .thread_setup = thread_setup, .run = run, .thread_check = check, \
		.thread_teardown = thread_teardown, .teardown = teardown,                        \
	}

static const struct bench_case cases[] = {
	LFHT("random", LOOKUP_RANDOM),
	LFHT("dependent", LOOKUP_DEPENDENT),
	LFHT("hot", LOOKUP_HOT),
};

const struct bench_table bench_urcu_peers = BENCH_TABLE(cases);
