/* SPDX-License-Identifier: BSD-3-Clause */
/* Log type of the library: "lib.ioas", changed with --log-level=lib.ioas:LEVEL. */
#ifndef IOAS_DPDK_LIB_LOG_H
#define IOAS_DPDK_LIB_LOG_H

#include <rte_log.h>

extern int lib_logtype __attribute__((visibility("hidden")));

#define LIB_LOG(level, ...)                   \
	rte_log(RTE_LOG_##level, lib_logtype, \
		"ioas: " RTE_FMT(RTE_FMT_HEAD(__VA_ARGS__, ) "\n", RTE_FMT_TAIL(__VA_ARGS__, )))

#endif
