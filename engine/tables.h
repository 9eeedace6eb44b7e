/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of page tables: pages, as large as the format's granule, of arenas that are pinned and
 * mapped, read-only, in the parent, since hardware walks a user table through the parent.
 * Read-only, because no walker has to write to our tables (accessed and dirty bits are set from the
 * start), and so no device can; but for be_caps.parent_writeable.
 *
 * Pages go back to the free list, arenas with the address space.
 */
#ifndef ENGINE_TABLES_H
#define ENGINE_TABLES_H

#include <pthread.h>
#include <stdint.h>

#include "pgtable/pt.h"

/* 64 pages of 4 KiB; of larger ones a few: most spaces need few of them. */
#define TABLES_ARENA_BYTES (UINT64_C(256) << 10)

struct ioas;
struct ioas_mem;
struct tables_arena;

struct tables {
	struct pt_mem mem; /* first, so that it can be cast */
	struct ioas *parent;
	pthread_mutex_t lock;
	struct tables_arena *arenas;
	struct tables_page *free;
};

/* Pages of 2^@page_lg2 bytes: 12, 14 or 16. */
void tables_init(struct tables *tables, struct ioas *parent, unsigned int page_lg2);

/* The context's lock is held; the table is gone. */
void tables_destroy(struct tables *tables);

#endif
