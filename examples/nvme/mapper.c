/* SPDX-License-Identifier: BSD-3-Clause */
#include "mapper.h"

#include <errno.h>
#include <string.h>

#include "say.h"

#define SLOTS_MAX 1024 /* pages of the largest buffer */

/* What is mapped together, if the cache has room for as many as there may be buffers in use. */
#define AROUND_BYTES (UINT64_C(2) << 20)
#define AROUND_LEAST (2 * NVME_MANY * AROUND_BYTES)

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

static int open_cache(struct nvme_mapper *mapper, uint64_t cache_bytes)
{
	/* Neighbours stay apart: a large one would have to go as a whole. */
	const struct ioas_regcache_opts opts = { .size = sizeof(opts),
						 .watch = IOAS_WATCH_NONE,
						 .max_bytes = cache_bytes,
						 .merge_bytes = 1 };
	struct nvme_host *host = mapper->host;
	int ret = host->cache ? 0 : ioas_regcache_create(host->as, &opts, &host->cache);

	if (ret)
		return nvme_fail(ret, "registration cache");
	mapper->around = cache_bytes && cache_bytes < AROUND_LEAST ? IOAS_PAGE_SIZE : AROUND_BYTES;
	return 0;
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
	return host->mode == NVME_BATCHED ? open_cache(mapper, cache_bytes) : 0;
}

void nvme_mapper_close(struct nvme_mapper *mapper)
{
	int ret = 0;

	if (mapper->host->mode == NVME_STATIC)
		ret = ioas_unmap(mapper->queue, mapper->iova, ioas_mem_bytes(mapper->arena));
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

/* What the cache is asked for: the buffer and what is around it in the arena. */
static struct iovec around(const struct nvme_mapper *mapper, const struct nvme_mapping *mapping)
{
	char *arena = ioas_mem_va(mapper->arena);
	const uint64_t offset = (const char *)mapping->va - arena, mask = mapper->around - 1;
	const uint64_t start = offset & ~mask, end = (offset + mapping->bytes + mask) & ~mask;
	const uint64_t all = ioas_mem_bytes(mapper->arena);

	return (struct iovec){ .iov_base = arena + start,
			       .iov_len = (end < all ? end : all) - start };
}

static int cache_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
		      unsigned int count)
{
	struct iovec buffers[NVME_MANY];
	struct ioas_reg regs[NVME_MANY];
	int ret;

	if (!count)
		return 0;
	for (unsigned int i = 0; i < count; i++)
		buffers[i] = around(mapper, mappings[i]);
	ret = ioas_regcache_get_batch(mapper->queue, buffers, count, regs);
	if (ret)
		return fail(mapper, ret, "registration cache");
	for (unsigned int i = 0; i < count; i++) {
		struct nvme_mapping *mapping = mappings[i];

		mapping->reg = regs[i];
		one_run(mapping, regs[i].iova + ((const char *)mapping->va -
						 (const char *)buffers[i].iov_base));
	}
	return 0;
}

int nvme_mapper_get_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
			 unsigned int count, uint32_t prot)
{
	const char *arena = ioas_mem_va(mapper->arena);
	int ret = 0;

	for (unsigned int i = 0; i < count; i++)
		mappings[i]->count = 0;
	if (mapper->around)
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
	if (!mapper->around)
		return unmap_many(mapper, mappings, count);
	for (unsigned int i = 0; i < count; i++)
		ioas_regcache_put(mapper->queue, &mappings[i]->reg);
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
