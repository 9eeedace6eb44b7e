/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of cases that this build has. */
#include "cases/cases.h"

const struct bench_table *const bench_tables[] = {
	&bench_floors,
#ifdef BENCH_HAVE_DPDK
	&bench_dpdk_peers,
#endif
#ifdef BENCH_HAVE_UCX
	&bench_ucx_peers,
#endif
#ifdef BENCH_HAVE_URCU
	&bench_urcu_peers,
#ifdef BENCH_HAVE_LIBRARY
	&bench_reader_cases,
#endif
#endif
#ifdef BENCH_HAVE_LIBRARY
	&bench_map_cases,	&bench_pgtable_cases,  &bench_window_cases,   &bench_iova_cases,
	&bench_translate_cases, &bench_regcache_cases, &bench_register_cases, &bench_walkrefs_cases,
#endif
};
const size_t bench_table_count = sizeof(bench_tables) / sizeof(bench_tables[0]);
