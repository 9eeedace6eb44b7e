/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A backend that does nothing, and says that it has: contexts on it show what the engine itself
 * does and costs. It never touches the memory that it is given, so that may be address space
 * alone. For tests and benchmarks that link the static library.
 */
#ifndef TESTS_NULL_BACKEND_H
#define TESTS_NULL_BACKEND_H

#include <stdlib.h>
#include <string.h>

#include "objects.h"

struct null_be {
	struct be base;
	struct be_mem mem; /* all of it */
	uint64_t max_maps; /* 0: no limit */
	uint64_t live_maps;
};

static inline struct null_be *null_to_be(struct be *be)
{
	return (struct null_be *)be;
}

static inline void null_close(struct be *be)
{
	free(be);
}

/* As type1's: a limit, and mappings that may cover neighbours. */
static inline void null_caps(struct be *be, struct be_caps *caps)
{
	memset(caps, 0, sizeof(*caps));
	caps->kinds = 1 << IOAS_KIND_KERNEL;
	caps->page_sizes = UINT64_C(1) << 12 | UINT64_C(1) << 21 | UINT64_C(1) << 30;
	caps->iova.last = (UINT64_C(1) << 48) - 1;
	caps->max_maps = null_to_be(be)->max_maps;
	caps->map_spans = true;
}

static inline int null_mem_add(struct be *be, const struct be_mem_attr *attr, struct be_mem **mem)
{
	(void)attr;
	*mem = &null_to_be(be)->mem;
	return 0;
}

static inline void null_mem_del(struct be_mem *mem)
{
	(void)mem;
}

static inline int null_space_create(struct be *be, const struct be_space_attr *attr,
				    struct be_space **out)
{
	struct be_space *space = calloc(1, sizeof(*space));

	(void)attr;
	if (!space)
		return -ENOMEM;
	space->be = be;
	*out = space;
	return 0;
}

static inline void null_space_destroy(struct be_space *space)
{
	free(space);
}

static inline int null_map(struct be_space *space, const struct be_map *maps, unsigned int count,
			   unsigned int *done, unsigned int *crossings)
{
	struct null_be *be = null_to_be(space->be);

	(void)maps;
	(void)crossings;
	*done = 0;
	if (be->max_maps && be->live_maps + count > be->max_maps)
		return diag_fail(be->base.diag, -ENOSPC, "null: more than the limit of mappings");
	be->live_maps += count;
	*done = count;
	return 0;
}

static inline int null_unmap(struct be_space *space, const struct be_unmap *unmaps,
			     unsigned int count, unsigned int *done, unsigned int *crossings)
{
	(void)unmaps;
	(void)crossings;
	null_to_be(space->be)->live_maps -= count;
	*done = count;
	return 0;
}

static const struct be_ops null_be_ops = {
	.name = "null",
	.close = null_close,
	.caps = null_caps,
	.mem_add = null_mem_add,
	.mem_del = null_mem_del,
	.space_create = null_space_create,
	.space_destroy = null_space_destroy,
	.map = null_map,
	.unmap = null_unmap,
};

static inline int null_open(struct ioas_ctx *ctx, const struct ioas_ctx_opts *opts, void *arg)
{
	struct null_be *be = calloc(1, sizeof(*be));

	(void)opts;
	if (!be)
		return -ENOMEM;
	be->base = (struct be){ .ops = &null_be_ops, .diag = &ctx->diag };
	be->mem.be = &be->base;
	be->max_maps = *(const uint64_t *)arg;
	ctx->be = &be->base;
	return 0;
}

/* One thread at a time maps and unmaps. @max_maps: live mappings, 0 for no limit. */
static inline int null_ctx_open(uint64_t max_maps, struct ioas_ctx **ctx)
{
	return ctx_make(NULL, null_open, &max_maps, ctx);
}

#endif
