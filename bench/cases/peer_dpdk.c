/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peer of translate: DPDK's rte_mem_virt2iova() in a program that uses physical addresses, which
 * asks the kernel (pagemap) each time. Needs root, else the kernel hides page frames.
 *
 * Called without rte_eal_init(): the mode is then the one that asks, and no thread of DPDK's
 * runs beside the other rows.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_memory.h>

#include "cases.h"

#define PAGES 64

static int setup(struct bench_thread *t)
{
	*t->shared = aligned_alloc(4096, PAGES * 4096);
	if (!*t->shared)
		return bench_fail(t, "no memory");
	memset(*t->shared, 1, PAGES * 4096);
	return 0;
}

static void teardown(struct bench_thread *t)
{
	free(*t->shared);
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	uint8_t *memory = *t->shared;

	for (uint64_t i = 0; i < iterations; i++) {
		size_t offset = i * 29 % PAGES * 4096 + 64;
		rte_iova_t iova = rte_mem_virt2iova(memory + offset);

		if (iova == RTE_BAD_IOVA)
			return bench_fail(t, "no physical address (page frames need root)");
		if ((iova & 4095) != 64)
			return bench_fail(t, "wrong offset in the page");
	}
	return 0;
}

static const struct bench_case cases[] = {
	{
		.name = "peer/dpdk_virt2iova/physical",
		.unit = "lookup",
		.units = 1,
		.role = BENCH_PEER,
		.setup = setup,
		.run = run,
		.teardown = teardown,
	},
};

const struct bench_table bench_dpdk_peers = BENCH_TABLE(cases);
