/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the port guide uses of SPDK's environment, declared from its documentation (Env Abstraction
 * Layer, spdk.io/doc/env_8h.html), so that the guide's code is compiled where SPDK is not.
 */
#ifndef SPDK_ENV_H
#define SPDK_ENV_H

#include <stddef.h>
#include <stdint.h>

#define SPDK_VTOPHYS_ERROR (0xFFFFFFFFFFFFFFFFULL)

int spdk_mem_register(void *vaddr, size_t len);
int spdk_mem_unregister(void *vaddr, size_t len);
uint64_t spdk_vtophys(const void *buf, uint64_t *size);

#endif
