/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of page tables: 4 KiB pages of arenas that are pinned and mapped, read-only, in the
 * parent, since hardware walks a user table through the parent. Read-only, because no walker has
 * to write to our tables (accessed and dirty bits are set from the start), and so no device can.
 *
 * Pages go back to the free list, arenas with the address space.
 */
#ifndef ENGINE_TABLES_H
#define ENGINE_TABLES_H

#include <pthread.h>
#include <stdint.h>

#include "pgtable/pt.h"

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

void tables_init(struct tables *tables, struct ioas *parent);

/* The context's lock is held; the table is gone. */
void tables_destroy(struct tables *tables);

#endif
