/* SPDX-License-Identifier: BSD-3-Clause */
/* SPDK's CPU sets, declared from its documentation (spdk.io/doc/cpuset_8h.html). See env.h. */
#ifndef SPDK_CPUSET_H
#define SPDK_CPUSET_H

#include <stdbool.h>
#include <stdint.h>

struct spdk_cpuset;
void spdk_cpuset_zero(struct spdk_cpuset *set);
void spdk_cpuset_set_cpu(struct spdk_cpuset *set, uint32_t cpu, bool state);

#endif
