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
	return nvme_fail(code, "%s: %s", what, ioas_queue_error(mapper->host->queue));
}

int nvme_mapper_open(struct nvme_mapper *mapper, struct nvme_host *host, struct ioas_mem *arena,
		     uint64_t cache_bytes)
{
	const struct ioas_window_opts window = { .size = sizeof(window),
						 .prot = IOAS_RW,
						 .va = ioas_mem_va(arena),
						 .bytes = ioas_mem_bytes(arena),
						 .slot_bytes = IOAS_PAGE_SIZE };
	int ret = 0;

	memset(mapper, 0, sizeof(*mapper));
	mapper->host = host;
	mapper->arena = arena;
	if (host->mode == NVME_STATIC) {
		ret = ioas_map(host->queue, ioas_mem_va(arena), ioas_mem_bytes(arena), IOAS_RW,
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
		ret = nvme_regcache_open(&mapper->cache, host->queue, arena, cache_bytes);
		mapper->cached = !ret;
	}
	return ret;
}

void nvme_mapper_close(struct nvme_mapper *mapper)
{
	int ret = 0;

	if (mapper->host->mode == NVME_STATIC)
		ret = ioas_unmap(mapper->host->queue, mapper->iova, ioas_mem_bytes(mapper->arena));
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

static int grant(struct nvme_mapper *mapper, const struct pages *pages)
{
	uint32_t slots[SLOTS_MAX];
	int ret;

	if (pages->bytes / IOAS_PAGE_SIZE > SLOTS_MAX)
		return nvme_fail(-E2BIG, "buffer of %zu bytes", pages->bytes);
	ret = ioas_window_grant(mapper->host->queue, mapper->window, slots,
				slots_of(mapper, pages, slots));
	return ret ? fail(mapper, ret, "grant") : 0;
}

static int revoke(struct nvme_mapper *mapper, const uint32_t *slots, unsigned int count)
{
	int ret = ioas_window_revoke(mapper->host->queue, mapper->window, slots, count);

	return ret ? fail(mapper, ret, "revoke") : 0;
}

static int revoke_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
		       unsigned int count)
{
	uint32_t slots[SLOTS_MAX];
	unsigned int filled = 0;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < count; i++) {
		const struct pages pages = pages_of(mappings[i]->va, mappings[i]->bytes);

		if (filled + pages.bytes / IOAS_PAGE_SIZE > SLOTS_MAX) {
			ret = revoke(mapper, slots, filled);
			filled = 0;
		}
		filled += slots_of(mapper, &pages, slots + filled);
	}
	return ret ?: filled ? revoke(mapper, slots, filled) : 0;
}

static void one_run(struct nvme_mapping *mapping, ioas_iova_t iova)
{
	mapping->runs[0] = (struct nvme_run){ .iova = iova, .bytes = mapping->bytes };
	mapping->count = 1;
}

int nvme_mapper_get(struct nvme_mapper *mapper, void *va, size_t bytes, uint32_t prot,
		    struct nvme_mapping *mapping)
{
	const struct pages pages = pages_of(va, bytes);
	ioas_iova_t iova;
	int ret = 0;

	mapping->va = va;
	mapping->bytes = bytes;
	mapping->count = 0;
	if (mapper->cached)
		return nvme_regcache_get(&mapper->cache, va, bytes, mapping->runs, &mapping->count,
					 NVME_RUNS_MAX);
	if (mapper->host->mode == NVME_STATIC || mapper->window) {
		if (mapper->window)
			ret = grant(mapper, &pages);
		one_run(mapping, mapper->iova + ((char *)va - (char *)ioas_mem_va(mapper->arena)));
		return ret;
	}
	ret = ioas_map(mapper->host->queue, pages.va, pages.bytes, prot, &iova);
	if (ret)
		return fail(mapper, ret, "map of a buffer");
	one_run(mapping, iova + pages.offset);
	return 0;
}

static int put_one(struct nvme_mapper *mapper, const struct nvme_mapping *mapping)
{
	const struct pages pages = pages_of(mapping->va, mapping->bytes);
	int ret;

	if (mapper->cached) {
		nvme_regcache_put(&mapper->cache, mapping->va, mapping->bytes);
		return 0;
	}
	if (mapper->host->mode == NVME_STATIC)
		return 0;
	ret = ioas_unmap(mapper->host->queue, mapping->runs[0].iova - pages.offset, pages.bytes);
	return ret ? fail(mapper, ret, "unmap of a buffer") : 0;
}

int nvme_mapper_put_many(struct nvme_mapper *mapper, struct nvme_mapping *const *mappings,
			 unsigned int count)
{
	int ret = 0;

	if (mapper->window)
		return revoke_many(mapper, mappings, count);
	for (unsigned int i = 0; i < count; i++)
		ret = put_one(mapper, mappings[i]) ?: ret;
	return ret;
}

int nvme_mapper_put(struct nvme_mapper *mapper, struct nvme_mapping *mapping)
{
	return nvme_mapper_put_many(mapper, &mapping, 1);
}
