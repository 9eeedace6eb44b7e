/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A registration cache for address spaces whose tables the kernel builds: memory is mapped in
 * chunks of 2 MiB when a buffer inside is first used, and stays mapped until its place in the
 * budget is needed. A hit is an ioas_translate(), which takes no lock and no system call; the
 * misses of one buffer leave as one batch.
 *
 * What it gives up: a chunk that stays mapped can be reached by the device after the I/O. Chunks in
 * use are never unmapped, so that the budget may be exceeded while all are in use. One thread.
 */
#ifndef NVME_REGCACHE_H
#define NVME_REGCACHE_H

#include <ioas/ioas.h>

#include "lists.h"

#define NVME_CHUNK_BYTES (UINT64_C(2) << 20)

struct nvme_chunk {
	ioas_iova_t iova;
	uint32_t users; /* buffers in flight that touch it */
	bool mapped;
	bool recent; /* used since the hand passed by last */
};

struct nvme_regcache {
	struct ioas_queue *queue;
	struct ioas_mem *arena;
	struct nvme_chunk *chunks;
	uint32_t count;
	uint32_t mapped;
	uint32_t budget;		  /* chunks */
	uint32_t hand;			  /* of the clock that picks whom to evict */
	uint64_t hits, misses, evictions; /* chunks */
};

int nvme_regcache_open(struct nvme_regcache *cache, struct ioas_queue *queue,
		       struct ioas_mem *arena, uint64_t budget_bytes);
void nvme_regcache_close(struct nvme_regcache *cache);

/* Return: 0 or a negative errno, nothing is held, and the reason has been printed. */
int nvme_regcache_get(struct nvme_regcache *cache, const void *va, size_t bytes,
		      struct nvme_run *runs, unsigned int *count, unsigned int max);
void nvme_regcache_put(struct nvme_regcache *cache, const void *va, size_t bytes);

#endif
