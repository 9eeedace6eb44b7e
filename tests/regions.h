/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many regions of one size, each registered as a memory of its own and mapped in one KERNEL space
 * on the null backend, so that its translation is found: what is left is the engine's bookkeeping.
 * They are addresses only; nothing is behind them.
 */
#ifndef TESTS_REGIONS_H
#define TESTS_REGIONS_H

#include <ioas/ioas.h>

#include "null_backend.h"

#define REGIONS_BASE (UINT64_C(1) << 44)

struct regions {
	struct ioas_ctx *ctx;
	struct ioas *as;
	struct ioas_queue *q;
	uint64_t bytes;
	uint64_t stride;
	uint64_t max;
	struct region {
		struct ioas_mem *mem; /* NULL: not registered */
		ioas_iova_t iova;
	} * region;
};

static inline void *regions_va(const struct regions *r, uint64_t i)
{
	return (void *)(uintptr_t)(REGIONS_BASE + i * r->stride);
}

static inline int regions_add(struct regions *r, uint64_t i)
{
	struct region *region = &r->region[i];
	int ret = ioas_mem_register(r->ctx, regions_va(r, i), r->bytes, &region->mem);

	if (ret)
		return ret;
	ret = ioas_map(r->q, regions_va(r, i), r->bytes, IOAS_RW, &region->iova);
	if (ret) {
		ioas_mem_free(region->mem);
		region->mem = NULL;
	}
	return ret;
}

static inline int regions_remove(struct regions *r, uint64_t i)
{
	struct region *region = &r->region[i];
	int ret = ioas_unmap(r->q, region->iova, r->bytes) ?: ioas_mem_free(region->mem);

	if (!ret)
		region->mem = NULL;
	return ret;
}

static inline void regions_close(struct regions *r)
{
	for (uint64_t i = 0; r->region && i < r->max; i++)
		if (r->region[i].mem)
			regions_remove(r, i);
	free(r->region);
	if (r->q)
		ioas_queue_destroy(r->q);
	if (r->as)
		ioas_destroy(r->as);
	if (r->ctx)
		ioas_ctx_close(r->ctx);
	memset(r, 0, sizeof(*r));
}

/* Up to @max regions of @bytes, @stride apart. Return: 0 or a negative errno, nothing is left. */
static inline int regions_open(struct regions *r, uint64_t bytes, uint64_t stride, uint64_t max)
{
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	int ret;

	*r = (struct regions){ .bytes = bytes, .stride = stride, .max = max };
	r->region = calloc(max, sizeof(r->region[0]));
	ret = r->region ? null_ctx_open(0, &r->ctx) : -ENOMEM;
	ret = ret ?: ioas_create(r->ctx, &opts, &r->as);
	ret = ret ?: ioas_queue_create(r->as, &r->q);
	if (ret)
		regions_close(r);
	return ret;
}

/* Of the look-up structures: what readers and the registry search. */
static inline uint64_t regions_lookup_bytes(const struct regions *r)
{
	return vamap_bytes(&r->as->cache) + vamap_bytes(&r->as->reverse) +
	       vamap_bytes(&r->as->maps) + vamap_bytes(&r->ctx->mems);
}

#endif
