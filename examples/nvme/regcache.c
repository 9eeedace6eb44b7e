/* SPDX-License-Identifier: BSD-3-Clause */
#include "regcache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"

#define BATCH_MAX 8 /* chunks that one buffer may touch */

int nvme_regcache_open(struct nvme_regcache *cache, struct ioas_queue *queue,
		       struct ioas_mem *arena, uint64_t budget_bytes)
{
	memset(cache, 0, sizeof(*cache));
	cache->queue = queue;
	cache->arena = arena;
	cache->count = (ioas_mem_bytes(arena) + NVME_CHUNK_BYTES - 1) / NVME_CHUNK_BYTES;
	cache->budget = budget_bytes ? (budget_bytes + NVME_CHUNK_BYTES - 1) / NVME_CHUNK_BYTES
				     : cache->count;
	cache->chunks = calloc(cache->count, sizeof(cache->chunks[0]));
	return cache->chunks ? 0 : nvme_fail(-ENOMEM, "registration cache");
}

/* The memory of a chunk: the last one may be short. */
static struct ioas_seg seg_of(const struct nvme_regcache *cache, uint32_t index)
{
	const uint64_t offset = index * NVME_CHUNK_BYTES;
	const uint64_t left = ioas_mem_bytes(cache->arena) - offset;

	return (struct ioas_seg){ .va = (char *)ioas_mem_va(cache->arena) + offset,
				  .bytes = left < NVME_CHUNK_BYTES ? left : NVME_CHUNK_BYTES,
				  .iova = cache->chunks[index].iova };
}

static int unmap(struct nvme_regcache *cache, uint32_t index)
{
	const struct ioas_seg seg = seg_of(cache, index);
	int ret = ioas_unmap(cache->queue, seg.iova, seg.bytes);

	if (ret)
		return nvme_fail(ret, "registration cache: unmap: %s",
				 ioas_queue_error(cache->queue));
	cache->chunks[index].mapped = false;
	cache->mapped--;
	return 0;
}

void nvme_regcache_close(struct nvme_regcache *cache)
{
	for (uint32_t i = 0; i < cache->count; i++)
		if (cache->chunks[i].mapped)
			unmap(cache, i);
	free(cache->chunks);
	cache->chunks = NULL;
}

/* Second chance: who was used since the hand passed by may stay for one more round. */
static int evict_one(struct nvme_regcache *cache)
{
	for (uint32_t looked = 0; looked < 2 * cache->count; looked++) {
		const uint32_t index = cache->hand;
		struct nvme_chunk *chunk = &cache->chunks[index];

		cache->hand = (cache->hand + 1) % cache->count;
		if (!chunk->mapped || chunk->users)
			continue;
		if (chunk->recent) {
			chunk->recent = false;
			continue;
		}
		cache->evictions++;
		return unmap(cache, index);
	}
	return -EBUSY;
}

static uint32_t chunk_at(const struct nvme_regcache *cache, const void *va)
{
	return ((const char *)va - (const char *)ioas_mem_va(cache->arena)) / NVME_CHUNK_BYTES;
}

/* Map what is missing of chunks @first to @last, all of it in one call. */
static int fill(struct nvme_regcache *cache, uint32_t first, uint32_t last)
{
	struct ioas_seg segs[BATCH_MAX];
	uint32_t missing[BATCH_MAX];
	unsigned int count = 0;
	int ret;

	if (last - first >= BATCH_MAX)
		return nvme_fail(-E2BIG, "registration cache: buffer over more than %u chunks",
				 BATCH_MAX);
	for (uint32_t i = first; i <= last; i++) {
		if (cache->chunks[i].mapped)
			continue;
		segs[count] = seg_of(cache, i);
		missing[count++] = i;
	}
	while (cache->mapped && cache->mapped + count > cache->budget) {
		ret = evict_one(cache);
		if (ret == -EBUSY)
			break;
		if (ret)
			return ret;
	}
	ret = ioas_map_batch(cache->queue, segs, count, IOAS_RW);
	if (ret < 0)
		return nvme_fail(ret, "registration cache: map: %s",
				 ioas_queue_error(cache->queue));
	for (unsigned int i = 0; i < count; i++) {
		cache->chunks[missing[i]].iova = segs[i].iova;
		cache->chunks[missing[i]].mapped = true;
	}
	cache->mapped += count;
	cache->misses += count;
	return 0;
}

static int translate(struct nvme_regcache *cache, const char *va, size_t bytes,
		     struct nvme_run *runs, unsigned int *count, unsigned int max)
{
	for (*count = 0; bytes;) {
		size_t run = bytes;
		ioas_iova_t iova;
		int ret = ioas_translate(cache->queue, va, &run, &iova);

		if (ret)
			return ret;
		if (!nvme_run_add(runs, count, max, iova, run))
			return -E2BIG;
		va += run;
		bytes -= run;
	}
	return 0;
}

int nvme_regcache_get(struct nvme_regcache *cache, const void *va, size_t bytes,
		      struct nvme_run *runs, unsigned int *count, unsigned int max)
{
	const uint32_t first = chunk_at(cache, va);
	const uint32_t last = chunk_at(cache, (const char *)va + bytes - 1);
	int ret;

	/* Held from here on, so that filling one chunk does not evict its neighbour. */
	for (uint32_t i = first; i <= last; i++) {
		cache->chunks[i].users++;
		cache->chunks[i].recent = true;
	}
	ret = translate(cache, va, bytes, runs, count, max);
	if (!ret) {
		cache->hits += last - first + 1;
		return 0;
	}
	if (ret == -ENOENT)
		ret = fill(cache, first, last) ?: translate(cache, va, bytes, runs, count, max);
	if (ret)
		nvme_regcache_put(cache, va, bytes);
	return ret;
}

void nvme_regcache_put(struct nvme_regcache *cache, const void *va, size_t bytes)
{
	const uint32_t first = chunk_at(cache, va);
	const uint32_t last = chunk_at(cache, (const char *)va + bytes - 1);

	for (uint32_t i = first; i <= last; i++)
		cache->chunks[i].users--;
}
