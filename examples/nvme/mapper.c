/* SPDX-License-Identifier: BSD-3-Clause */
#include "mapper.h"

#include <errno.h>
#include <string.h>

#include "say.h"

#define SLOTS_MAX 1024 /* pages of the largest buffer */

/* The pages around a buffer. */
struct pages {
	char *va;
	size_t bytes;
	size_t offset; /* of the buffer in them */
};

static struct pages pages_of(const void *va, size_t bytes)
{
	const size_t offset = (uintptr_t)va & (IOAS_PAGE_SIZE - 1);

	return (struct pages){
		.va = (char *)(uintptr_t)va - offset,
		.bytes = (offset + bytes + IOAS_PAGE_SIZE - 1) & ~(IOAS_PAGE_SIZE - 1),
		.offset = offset,
	};
}

static int fail(struct nvme_mapper *mapper, int code, const char *what)
{
	return nvme_fail(code, "%s: %s", what, ioas_queue_error(mapper->queue));
}

int nvme_mapper_open(struct nvme_mapper *mapper, struct nvme_host *host, struct ioas_queue *queue,
		     struct ioas_mem *arena, uint64_t cache_bytes)
{
	const struct ioas_window_opts window = { .size = sizeof(window),
						 .prot = IOAS_RW,
						 .va = ioas_mem_va(arena),
						 .bytes = ioas_mem_bytes(arena),
						 .slot_bytes = IOAS_PAGE_SIZE };
	int ret = 0;

	memset(mapper, 0, sizeof(*mapper));
	mapper->host = host;
	mapper->queue = queue;
	mapper->arena = arena;
	if (host->mode == NVME_STATIC) {
		ret = ioas_map(queue, ioas_mem_va(arena), ioas_mem_bytes(arena), IOAS_RW,
			       &mapper->iova);
		return ret ? fail(mapper, ret, "map of the arena") : 0;
	}
	if (nvme_host_is_user(host)) {
		ret = ioas_window_create(host->as, &window, &mapper->window);
		if (ret)
			return nvme_fail(ret, "window over the arena");
		mapper->iova = ioas_window_iova(mapper->window);
		return 0;
	}
	if (host->mode == NVME_BATCHED) {
		ret = nvme_regcache_open(&mapper->cache, queue, arena, cache_bytes);
		mapper->cached = !ret;
	}
	return ret;
}

void nvme_mapper_close(struct nvme_mapper *mapper)
{
	int ret = 0;

	if (mapper->host->mode == NVME_STATIC)
		ret = ioas_unmap(mapper->queue, mapper->iova, ioas_mem_bytes(mapper->arena));
	if (mapper->cached)
		nvme_regcache_close(&mapper->cache);
	if (ret)
		fail(mapper, ret, "unmap of the arena");
	if (mapper->window && ioas_window_destroy(mapper->window))
		nvme_say("the window stays");
}

static unsigned int slots_of(const struct nvme_mapper *mapper, const struct pages *pages,
			     uint32_t *slots)
{
	const unsigned int count = pages->bytes / IOAS_PAGE_SIZE;
	const uint32_t first = (pages->va - (char *)ioas_mem_va(mapper->arena)) / IOAS_PAGE_SIZE;

	for (unsigned int i = 0; i < count; i++)
		slots[i] = first + i;
	return count;
}

/* Grants or revokes, as many slots at once as there is room for. */
typedef int (*slots_fn)(struct ioas_queue *queue, struct ioas_window *window, const uint32_t *slots,
			unsigned int count);

static int change(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
		  unsigned int count, slots_fn call, const char *what)
{
	uint32_t slots[SLOTS_MAX];
	unsigned int filled = 0;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < count; i++) {
		const struct pages pages = pages_of(mappings[i]->va, mappings[i]->bytes);

		if (pages.bytes / IOAS_PAGE_SIZE > SLOTS_MAX)
			return nvme_fail(-E2BIG, "buffer of %zu bytes", pages.bytes);
		if (filled + pages.bytes / IOAS_PAGE_SIZE > SLOTS_MAX) {
			ret = call(mapper->queue, mapper->window, slots, filled);
			filled = 0;
		}
		filled += slots_of(mapper, &pages, slots + filled);
	}
	if (!ret && filled)
		ret = call(mapper->queue, mapper->window, slots, filled);
	return ret ? fail(mapper, ret, what) : 0;
}

static void one_run(struct nvme_mapping *mapping, ioas_iova_t iova)
{
	mapping->runs[0] = (struct nvme_run){ .iova = iova, .bytes = mapping->bytes };
	mapping->count = 1;
}

/* Segments of mappings that are to be, or are, mapped by themselves. */
static void segments(struct nvme_mapping *const *mappings, unsigned int count,
		     struct ioas_seg *segs)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct pages pages = pages_of(mappings[i]->va, mappings[i]->bytes);

		segs[i] = (struct ioas_seg){ .va = pages.va, .bytes = pages.bytes };
		if (mappings[i]->count)
			segs[i].iova = mappings[i]->runs[0].iova - pages.offset;
	}
}

static int map_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
		    unsigned int count, uint32_t prot)
{
	struct ioas_seg segs[NVME_MANY];
	int ret;

	segments(mappings, count, segs);
	ret = ioas_map_batch(mapper->queue, segs, count, prot);
	if (ret < 0)
		return fail(mapper, ret, "map of buffers");
	for (unsigned int i = 0; i < count; i++)
		one_run(mappings[i],
			segs[i].iova + ((uintptr_t)mappings[i]->va & (IOAS_PAGE_SIZE - 1)));
	return 0;
}

static int unmap_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
		      unsigned int count)
{
	struct ioas_seg segs[NVME_MANY];
	int ret;

	segments(mappings, count, segs);
	ret = ioas_unmap_batch(mapper->queue, segs, count);
	return ret < 0 ? fail(mapper, ret, "unmap of buffers") : 0;
}

static int cache_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
		      unsigned int count)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < count; i++) {
		struct nvme_mapping *mapping = mappings[i];

		ret = nvme_regcache_get(&mapper->cache, mapping->va, mapping->bytes, mapping->runs,
					&mapping->count, NVME_RUNS_MAX);
		if (ret)
			nvme_mapper_put_many(mapper, mappings, i);
	}
	return ret;
}

int nvme_mapper_get_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
			 unsigned int count, uint32_t prot)
{
	const char *arena = ioas_mem_va(mapper->arena);
	int ret = 0;

	for (unsigned int i = 0; i < count; i++)
		mappings[i]->count = 0;
	if (mapper->cached)
		return cache_many(mapper, mappings, count);
	if (mapper->host->mode != NVME_STATIC && !mapper->window)
		return map_many(mapper, mappings, count, prot);
	if (mapper->window)
		ret = change(mapper, mappings, count, ioas_window_grant, "grant");
	for (unsigned int i = 0; !ret && i < count; i++)
		one_run(mappings[i], mapper->iova + ((const char *)mappings[i]->va - arena));
	return ret;
}

int nvme_mapper_put_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
			 unsigned int count)
{
	if (mapper->window)
		return change(mapper, mappings, count, ioas_window_revoke, "revoke");
	if (mapper->host->mode == NVME_STATIC)
		return 0;
	if (!mapper->cached)
		return unmap_many(mapper, mappings, count);
	for (unsigned int i = 0; i < count; i++)
		nvme_regcache_put(&mapper->cache, mappings[i]->va, mappings[i]->bytes);
	return 0;
}

int nvme_mapper_get(struct nvme_mapper *mapper, void *va, size_t bytes, uint32_t prot,
		    struct nvme_mapping *mapping)
{
	mapping->va = va;
	mapping->bytes = bytes;
	return nvme_mapper_get_many(mapper, &mapping, 1, prot);
}

int nvme_mapper_put(struct nvme_mapper *mapper, struct nvme_mapping *mapping)
{
	return nvme_mapper_put_many(mapper, &mapping, 1);
}
