/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How buffers become visible to the device, in three modes (enum nvme_mode) on two kinds of
 * address space:
 *
 *           KERNEL tables                          USER tables
 *   static  one ioas_map() of the arena            the same
 *   strict  map, unmap for each I/O, as batches    window: grant, revoke; the space is STRICT
 *   batched registration cache (ioas/regcache.h)   window: grant, revoke; the space is BATCHED
 *
 * The cache is the address space's, so that of all mappers: what is around a buffer, 2 MiB, is
 * mapped when the buffer is first used, and stays so until its place is needed; or just the buffer,
 * where the cache is so small that buffers in use could hold all of it. The arenas are registered
 * memory, which nobody replaces, so that the cache need not watch them.
 *
 * One thread: that of the queue.
 */
#ifndef NVME_MAPPER_H
#define NVME_MAPPER_H

#include <ioas/regcache.h>

#include "host.h"
#include "lists.h"

#define NVME_RUNS_MAX 16
#define NVME_MANY     128 /* mappings at once, at most */

struct nvme_mapper {
	struct nvme_host *host;
	struct ioas_queue *queue;
	struct ioas_mem *arena;
	ioas_iova_t iova; /* of the arena, where it has one: static, windows */
	struct ioas_window *window;
	uint64_t around; /* bytes that are mapped together by the cache; 0: there is none */
};

/* A buffer that the device can see. */
struct nvme_mapping {
	const void *va;
	size_t bytes;
	struct nvme_run runs[NVME_RUNS_MAX];
	unsigned int count;
	struct ioas_reg reg; /* of the cache */
};

/**
 * nvme_mapper_open - prepare for buffers inside @arena
 * @queue: through which they are mapped
 * @cache_bytes: what the registration cache of the space may keep mapped, 0 for no bound; the first
 *	mapper decides
 *
 * Return: 0 or a negative errno, and the reason has been printed.
 */
int nvme_mapper_open(struct nvme_mapper *mapper, struct nvme_host *host, struct ioas_queue *queue,
		     struct ioas_mem *arena, uint64_t cache_bytes);

/* No buffer is in use, and the device is quiet. */
void nvme_mapper_close(struct nvme_mapper *mapper);

/*
 * Several at once cost one call or none, where the backend and the mode can have it so. Each has
 * its va and bytes set: any part of the arena that shares no page with another buffer in use.
 * @prot: what the device is going to do (modes that keep mappings allow both). Return: 0, or a
 * negative errno, the reason has been printed, and none is visible.
 */
int nvme_mapper_get_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
			 unsigned int count, uint32_t prot);
int nvme_mapper_put_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
			 unsigned int count);

/* One of them. */
int nvme_mapper_get(struct nvme_mapper *mapper, void *va, size_t bytes, uint32_t prot,
		    struct nvme_mapping *mapping);
int nvme_mapper_put(struct nvme_mapper *mapper, struct nvme_mapping *mapping);

#endif
