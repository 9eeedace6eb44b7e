/* SPDX-License-Identifier: BSD-3-Clause */
/* Log type of the glue: "pmd.ioas", changed with --log-level=pmd.ioas:LEVEL. */
#ifndef IOAS_DPDK_LOG_H
#define IOAS_DPDK_LOG_H

#include <rte_log.h>

extern int glue_logtype;

#define GLUE_LOG(level, ...)                                                                       \
	rte_log(RTE_LOG_##level, glue_logtype,                                                     \
		"ioas: " RTE_FMT(RTE_FMT_HEAD(__VA_ARGS__, ) "\n", RTE_FMT_TAIL(__VA_ARGS__, )))

#endif
