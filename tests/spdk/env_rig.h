/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of SPDK's environment stand on: an environment on the software IOMMU, with small
 * pages, and SPDK's log, of which the last error is kept.
 */
#ifndef TESTS_SPDK_ENV_RIG_H
#define TESTS_SPDK_ENV_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <spdk/env.h>

#define MIB(n) ((size_t)(n) << 20)
#define PAGE   ((size_t)4096)

/* Options of an environment that works; tests change what they are about. */
struct spdk_env_opts rig_options(void);

/* cmocka's set-up and tear-down: an environment for the whole group. */
int rig_open(void **state);
int rig_close(void **state);

/* The last error of the log; "" at the beginning and after rig_forget(). */
const char *rig_error(void);
void rig_forget(void);

/* A device of the software IOMMU reads [@va, +@bytes) at the IOVAs that spdk_vtophys() gives. */
void rig_check_reach(const void *va, size_t bytes);

#endif
