/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of cases, one per file of this folder. suite.c lists them. */
#ifndef BENCH_CASES_CASES_H
#define BENCH_CASES_CASES_H

#include "../harness.h"

extern const struct bench_table bench_floors;
extern const struct bench_table bench_map_cases;
extern const struct bench_table bench_pgtable_cases;
extern const struct bench_table bench_window_cases;
extern const struct bench_table bench_iova_cases;
extern const struct bench_table bench_translate_cases;
extern const struct bench_table bench_reader_cases;
extern const struct bench_table bench_regcache_cases;
extern const struct bench_table bench_register_cases;
extern const struct bench_table bench_walkrefs_cases;
extern const struct bench_table bench_urcu_peers;
extern const struct bench_table bench_dpdk_peers;
extern const struct bench_table bench_ucx_peers;

#define BENCH_TABLE(list)                                                  \
	{                                                                  \
		.cases = (list), .count = sizeof(list) / sizeof((list)[0]) \
	}

#endif
