/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How buffers become visible, on the software IOMMU: what the device reaches while a buffer is in
 * use, what it reaches no more, and what each mode costs in system calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include <ioas/soft.h>

#include "mapper.h"

#define MIB   (UINT64_C(1) << 20)
#define ARENA (5 * MIB) /* what the cache maps together at the end is less than elsewhere */

struct rig {
	struct nvme_host host;
	struct nvme_mapper mapper;
	struct ioas_mem *arena;
	char *va;
	enum ioas_kind kind;
	enum nvme_mode mode;
};

struct variant {
	enum ioas_kind kind;
	enum nvme_mode mode;
};

static void start(struct rig *r, const struct variant *variant, uint64_t cache_bytes)
{
	const struct ioas_mem_opts memory = { .size = sizeof(memory),
					      .numa_node = IOAS_NUMA_ANY,
					      .bytes = ARENA,
					      .page_bytes = IOAS_PAGE_SIZE };

	memset(r, 0, sizeof(*r));
	r->kind = variant->kind;
	r->mode = variant->mode;
	assert_int_equal(nvme_host_open(&r->host, "soft", "nvme", r->kind, r->mode, 1), 0);
	assert_int_equal(nvme_host_is_user(&r->host), r->kind == IOAS_KIND_USER);
	assert_int_equal(ioas_mem_alloc(r->host.ctx, &memory, &r->arena), 0);
	r->va = ioas_mem_va(r->arena);
	assert_int_equal(
		nvme_mapper_open(&r->mapper, &r->host, r->host.queue, r->arena, cache_bytes), 0);
}

static void stop(struct rig *r)
{
	nvme_mapper_close(&r->mapper);
	assert_int_equal(ioas_mem_free(r->arena), 0);
	nvme_host_close(&r->host);
}

/* The device writes all of a buffer. Return: 0 or what the software IOMMU says. */
static int device_writes(struct rig *r, const struct nvme_mapping *mapping, uint8_t value)
{
	uint8_t page[4096];
	int ret = 0;

	memset(page, value, sizeof(page));
	for (unsigned int i = 0; i < mapping->count; i++)
		for (uint64_t at = 0; !ret && at < mapping->runs[i].bytes;) {
			const uint64_t left = mapping->runs[i].bytes - at;
			const size_t bytes = left < sizeof(page) ? left : sizeof(page);

			ret = ioas_soft_dma_write(r->host.dev, mapping->runs[i].iova + at, page,
						  bytes);
			at += bytes;
		}
	return ret;
}

static bool holds(const char *va, size_t bytes, uint8_t value)
{
	for (size_t i = 0; i < bytes; i++)
		if ((uint8_t)va[i] != value)
			return false;
	return true;
}

/* Visible from get to put, and afterwards as the mode promises. */
static void check_buffer(struct rig *r, uint64_t offset, size_t bytes)
{
	char *va = r->va + offset;
	struct nvme_mapping mapping;
	uint64_t sum = 0;

	assert_int_equal(nvme_mapper_get(&r->mapper, va, bytes, IOAS_RW, &mapping), 0);
	for (unsigned int i = 0; i < mapping.count; i++)
		sum += mapping.runs[i].bytes;
	assert_int_equal(sum, bytes);
	memset(r->va, 0, ARENA);
	assert_int_equal(device_writes(r, &mapping, 0x5a), 0);
	assert_true(holds(va, bytes, 0x5a));
	assert_true(holds(r->va, offset, 0));
	assert_true(holds(va + bytes, ARENA - offset - bytes, 0));

	assert_int_equal(nvme_mapper_put(&r->mapper, &mapping), 0);
	if (r->mode == NVME_BATCHED)
		assert_int_equal(ioas_flush(r->host.queue), 0);
	if (r->mode == NVME_STRICT || r->kind == IOAS_KIND_USER) {
		if (r->mode == NVME_STATIC)
			return;
		assert_int_equal(device_writes(r, &mapping, 0xa5), -EFAULT);
		assert_true(holds(va, bytes, 0x5a));
	}
}

static void visible_while_in_use(void **state)
{
	static const size_t lengths[] = { 512, 4096, 4608, 65536, 512 << 10 };
	static const uint64_t places[] = {
		0,	516, 4096, 2 * MIB - 512, 2 * MIB - 4096, 3 * MIB + 2052, 4 * MIB - 65536,
		4 * MIB
	};
	struct rig r;

	start(&r, *state, 0);
	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		for (unsigned int j = 0; j < sizeof(lengths) / sizeof(lengths[0]); j++)
			check_buffer(&r, places[i], lengths[j]);
	stop(&r);
}

/* System calls for mapping of 1000 requests; the first pass fills the cache. */
static uint64_t crossings_of(struct rig *r)
{
	uint64_t before = 0;

	for (unsigned int pass = 0; pass < 2; pass++) {
		before = nvme_host_crossings(&r->host);
		for (unsigned int i = 0; i < 1000; i++) {
			struct nvme_mapping mapping;

			assert_int_equal(nvme_mapper_get(&r->mapper, r->va + i * 4096 * 37 % ARENA,
							 4096, IOAS_RW, &mapping),
					 0);
			assert_int_equal(nvme_mapper_put(&r->mapper, &mapping), 0);
		}
	}
	return nvme_host_crossings(&r->host) - before;
}

static void costs(void **state)
{
	const struct variant *variant = *state;
	struct rig r;
	uint64_t crossings;

	start(&r, variant, 0);
	crossings = crossings_of(&r);
	if (variant->mode == NVME_STATIC)
		assert_int_equal(crossings, 0);
	else if (variant->mode == NVME_STRICT)
		assert_int_equal(crossings, variant->kind == IOAS_KIND_USER ? 1000 : 2000);
	else if (variant->kind == IOAS_KIND_KERNEL)
		assert_int_equal(crossings, 0);
	else
		assert_true(crossings <= 50);
	stop(&r);
}

static uint64_t crossings_since(const struct rig *r, uint64_t before)
{
	return nvme_host_crossings(&r->host) - before;
}

/*
 * Buffers that come and go together cost one call each way on kernel tables, where the backend
 * takes arrays; on windows nothing, and a share of an invalidation.
 */
static void together(void **state)
{
	struct nvme_mapping mappings[8], *list[8];
	const struct variant *variant = *state;
	uint64_t before;
	struct rig r;

	start(&r, variant, 0);
	/* More pages in all than one call for slots takes. */
	for (unsigned int i = 0; i < 8; i++) {
		list[i] = &mappings[i];
		mappings[i].va = r.va + i * 640 * 1024;
		mappings[i].bytes = 600 * 1024;
	}
	before = nvme_host_crossings(&r.host);
	assert_int_equal(nvme_mapper_get_many(&r.mapper, list, 8, IOAS_RW), 0);
	assert_int_equal(crossings_since(&r, before), variant->kind == IOAS_KIND_USER ? 0 : 1);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(device_writes(&r, list[i], i), 0);
	before = nvme_host_crossings(&r.host);
	assert_int_equal(nvme_mapper_put_many(&r.mapper, list, 8), 0);
	assert_int_equal(crossings_since(&r, before), variant->kind == IOAS_KIND_USER ? 2 : 1);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(device_writes(&r, list[i], 0xff), -EFAULT);
		assert_true(holds(r.va + i * 640 * 1024, 600 * 1024, i));
	}
	stop(&r);
}

/* One of several cannot be had: none is visible. */
static void all_or_none(void **state)
{
	struct nvme_mapping mappings[3], *list[3];
	const struct variant *variant = *state;
	struct nvme_mapping probe;
	struct rig r;

	start(&r, variant, 0);
	for (unsigned int i = 0; i < 3; i++) {
		list[i] = &mappings[i];
		mappings[i].va = r.va + i * 4096;
		mappings[i].bytes = 4096;
	}
	assert_int_equal(nvme_mapper_get(&r.mapper, r.va, 4096, IOAS_RW, &probe), 0);
	assert_int_equal(nvme_mapper_put(&r.mapper, &probe), 0);
	/* Outside the arena on kernel tables; twice the same slot in a window. */
	mappings[2].va = variant->kind == IOAS_KIND_USER ? (void *)r.va : (void *)(r.va - 4096);
	assert_true(nvme_mapper_get_many(&r.mapper, list, 3, IOAS_RW) < 0);
	memset(r.va, 0x22, ARENA);
	assert_int_equal(device_writes(&r, &probe, 0x77), -EFAULT);
	assert_true(holds(r.va, ARENA, 0x22));
	stop(&r);
}

static struct ioas_regcache_stats cached(const struct rig *r)
{
	struct ioas_regcache_stats stats = { .size = sizeof(stats) };

	assert_int_equal(ioas_regcache_get_stats(r->host.cache, &stats), 0);
	return stats;
}

static void get_and_put(struct rig *r, uint64_t offset)
{
	struct nvme_mapping mapping;

	assert_int_equal(nvme_mapper_get(&r->mapper, r->va + offset, 4096, IOAS_RW, &mapping), 0);
	assert_int_equal(nvme_mapper_put(&r->mapper, &mapping), 0);
}

/* A small cache has buffers, not what is around them. One in use stays, whoever wants its place. */
static void budget(void **state)
{
	struct nvme_mapping held;
	struct rig r;

	start(&r, *state, 2 * 4096);
	assert_int_equal(nvme_mapper_get(&r.mapper, r.va, 4096, IOAS_RW, &held), 0);
	for (unsigned int i = 0; i < 20; i++) {
		get_and_put(&r, (1 + i % 2) * 64 * 4096);
		assert_int_equal(device_writes(&r, &held, i), 0);
		assert_true(holds(r.va, 4096, i));
		assert_true(cached(&r).bytes <= 2 * 4096);
	}
	assert_true(cached(&r).evictions >= 18);

	/* When it is put, it goes, and its IOVA is not the device's any more. */
	assert_int_equal(nvme_mapper_put(&r.mapper, &held), 0);
	for (unsigned int i = 0; i < 4; i++)
		get_and_put(&r, (1 + i) * 64 * 4096);
	memset(r.va, 0x11, 4096);
	assert_int_equal(device_writes(&r, &held, 0x77), -EFAULT);
	assert_true(holds(r.va, 4096, 0x11));
	stop(&r);
}

/* Around a buffer over a border, both sides are mapped, as one. */
static void over_a_border(void **state)
{
	struct nvme_mapping mapping;
	struct rig r;

	start(&r, *state, 0);
	for (unsigned int i = 0; i < 10; i++) {
		check_buffer(&r, 2 * MIB - 4096, 8192);
		check_buffer(&r, 4 * MIB - 4096, 8192);
	}
	assert_int_equal(nvme_mapper_get(&r.mapper, r.va + 2 * MIB - 4096, 8192, IOAS_RW, &mapping),
			 0);
	assert_int_equal(mapping.count, 1);
	assert_int_equal(nvme_mapper_put(&r.mapper, &mapping), 0);
	assert_true(cached(&r).misses <= 2 && cached(&r).bytes <= 2 * ARENA);
	stop(&r);
}

static struct variant variants[] = {
	{ IOAS_KIND_KERNEL, NVME_STATIC },  { IOAS_KIND_KERNEL, NVME_STRICT },
	{ IOAS_KIND_KERNEL, NVME_BATCHED }, { IOAS_KIND_USER, NVME_STATIC },
	{ IOAS_KIND_USER, NVME_STRICT },    { IOAS_KIND_USER, NVME_BATCHED },
};

#define TEST(name, test, index)                          \
	{                                                \
		name, test, NULL, NULL, &variants[index] \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST("visible: KERNEL static", visible_while_in_use, 0),
		TEST("visible: KERNEL strict", visible_while_in_use, 1),
		TEST("visible: KERNEL batched", visible_while_in_use, 2),
		TEST("visible: USER static", visible_while_in_use, 3),
		TEST("visible: USER strict", visible_while_in_use, 4),
		TEST("visible: USER batched", visible_while_in_use, 5),
		TEST("costs: KERNEL static", costs, 0),
		TEST("costs: KERNEL strict", costs, 1),
		TEST("costs: KERNEL batched", costs, 2),
		TEST("costs: USER static", costs, 3),
		TEST("costs: USER strict", costs, 4),
		TEST("costs: USER batched", costs, 5),
		TEST("together: KERNEL strict", together, 1),
		TEST("together: USER strict", together, 4),
		TEST("all or none: KERNEL strict", all_or_none, 1),
		TEST("all or none: USER strict", all_or_none, 4),
		TEST("cache: budget", budget, 2),
		TEST("cache: over a border", over_a_border, 2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
