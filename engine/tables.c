/* SPDX-License-Identifier: BSD-3-Clause */
#include "objects.h"

#include <stdlib.h>
#include <string.h>

/* A free page holds its own address and a link. */
struct tables_page {
	struct tables_page *next;
	uint64_t addr;
};

struct tables_arena {
	struct tables_arena *next;
	struct ioas_mem *mem;
	uint64_t addr; /* in the parent */
};

static struct tables *to_tables(struct pt_mem *mem)
{
	return (struct tables *)mem;
}

static uint64_t page_bytes_of(const struct tables *tables)
{
	return UINT64_C(1) << tables->mem.page_lg2;
}

/* Slow: pins memory. Called without tables->lock, which is inside of the context's. */
static bool add_arena(struct tables *tables)
{
	struct ioas_ctx *ctx = tables->parent->ctx;
	const uint64_t page_bytes = page_bytes_of(tables);
	const uint32_t prot = ctx->caps.parent_writeable ? IOAS_RW : IOAS_READ;
	struct tables_arena *arena = calloc(1, sizeof(*arena));
	char *page;

	if (!arena)
		return false;
	pthread_mutex_lock(&ctx->lock);
	if (mem_alloc_internal(ctx, TABLES_ARENA_BYTES, &arena->mem)) {
		pthread_mutex_unlock(&ctx->lock);
		free(arena);
		return false;
	}
	if (parent_map(tables->parent, (uintptr_t)ioas_mem_va(arena->mem),
		       ioas_mem_bytes(arena->mem), prot, false, &arena->addr, NULL)) {
		mem_free_internal(arena->mem);
		pthread_mutex_unlock(&ctx->lock);
		free(arena);
		return false;
	}
	pthread_mutex_unlock(&ctx->lock);

	pthread_mutex_lock(&tables->lock);
	arena->next = tables->arenas;
	tables->arenas = arena;
	page = ioas_mem_va(arena->mem);
	for (uint64_t at = TABLES_ARENA_BYTES; at >= page_bytes; at -= page_bytes) {
		struct tables_page *one = (struct tables_page *)(page + at - page_bytes);

		one->addr = arena->addr + at - page_bytes;
		one->next = tables->free;
		tables->free = one;
	}
	pthread_mutex_unlock(&tables->lock);
	return true;
}

static struct tables_page *pop(struct tables *tables)
{
	struct tables_page *page;

	pthread_mutex_lock(&tables->lock);
	page = tables->free;
	if (page)
		tables->free = page->next;
	pthread_mutex_unlock(&tables->lock);
	return page;
}

static void *page_alloc(struct pt_mem *mem, uint64_t *addr)
{
	struct tables *tables = to_tables(mem);
	struct tables_page *page = pop(tables);

	while (!page && add_arena(tables))
		page = pop(tables);
	if (!page)
		return NULL;
	*addr = page->addr;
	memset(page, 0, page_bytes_of(tables));
	return page;
}

static void page_free(struct pt_mem *mem, void *at, uint64_t addr)
{
	struct tables *tables = to_tables(mem);
	struct tables_page *page = at;

	pthread_mutex_lock(&tables->lock);
	page->addr = addr;
	page->next = tables->free;
	tables->free = page;
	pthread_mutex_unlock(&tables->lock);
}

void tables_init(struct tables *tables, struct ioas *parent, unsigned int page_lg2)
{
	*tables = (struct tables){
		.mem = { .alloc = page_alloc, .free = page_free, .page_lg2 = page_lg2 },
		.parent = parent,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
}

void tables_destroy(struct tables *tables)
{
	while (tables->arenas) {
		struct tables_arena *arena = tables->arenas;

		tables->arenas = arena->next;
		parent_unmap(tables->parent, arena->addr, ioas_mem_bytes(arena->mem), NULL);
		mem_free_internal(arena->mem);
		free(arena);
	}
	pthread_mutex_destroy(&tables->lock);
}
