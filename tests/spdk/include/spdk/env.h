/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the glue and the port guide use of SPDK's environment, declared from its documentation
 * (spdk.io/doc/env_8h.html), so that they are compiled and tested where SPDK is not.
 */
#ifndef SPDK_ENV_H
#define SPDK_ENV_H

#include <stddef.h>
#include <stdint.h>

#define SPDK_VTOPHYS_ERROR (0xFFFFFFFFFFFFFFFFULL)

struct spdk_mem_map;

enum spdk_mem_map_notify_action {
	SPDK_MEM_MAP_NOTIFY_REGISTER,
	SPDK_MEM_MAP_NOTIFY_UNREGISTER,
};

typedef int (*spdk_mem_map_notify_cb)(void *cb_ctx, struct spdk_mem_map *map,
				      enum spdk_mem_map_notify_action action, void *vaddr,
				      size_t size);
typedef int (*spdk_mem_map_contiguous_translations)(uint64_t addr_1, uint64_t addr_2);

struct spdk_mem_map_ops {
	spdk_mem_map_notify_cb notify_cb;
	spdk_mem_map_contiguous_translations are_contiguous;
};

struct spdk_mem_map *spdk_mem_map_alloc(uint64_t default_translation,
					const struct spdk_mem_map_ops *ops, void *cb_ctx);
void spdk_mem_map_free(struct spdk_mem_map **pmap);

int spdk_mem_register(void *vaddr, size_t len);
int spdk_mem_unregister(void *vaddr, size_t len);
uint64_t spdk_vtophys(const void *buf, uint64_t *size);

#endif
