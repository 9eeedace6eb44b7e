/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A KERNEL space with many mappings to look up: one of the layouts of lookup.h, mapped in an order
 * in which neighbours are far apart, with IOVAs of the library's choice.
 *
 * The memory is addresses: one 2 MiB page is behind all of them (memfd, mapped again and again), as
 * translation never looks at the memory. Without a free huge page it is 512 pages of 4 KiB.
 */
#ifndef BENCH_CASES_PIECES_H
#define BENCH_CASES_PIECES_H

#include <ioas/ioas.h>

#include "lookup.h"

#define PIECES_SPARE                                                                \
	(UINT64_C(1) << LOOKUP_PAGE_LG2) /* registered, not mapped, behind the rest \
					  */

struct pieces {
	enum lookup_layout layout;
	const struct rcu_flavor_struct *readers;
	unsigned int sort;  /* the case's own: those of one sort share a space */
	unsigned int users; /* rows */
	uint8_t *reserved;
	uint8_t *base;
	uint64_t bytes;
	uint64_t piece_bytes;
	uint64_t stride;
	uint64_t count;
	int fd;
	struct ioas_ctx *ctx;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *owner; /* the queue that mapped */
	uint64_t mapped;
	uint64_t *expected;	     /* IOVA of each piece */
	struct ioas_regcache *cache; /* regcache.c */
};

/* The case's args[1] is the layout. @readers: as in struct ioas_opts. */
int pieces_setup(struct bench_thread *t, const struct rcu_flavor_struct *readers,
		 unsigned int sort);

/* Callbacks of a case whose shared state is struct pieces, and whose thread's is its queue. */
int pieces_setup_plain(struct bench_thread *t);
void pieces_teardown(struct bench_thread *t);
int pieces_thread_setup(struct bench_thread *t);
void pieces_thread_teardown(struct bench_thread *t);

/* ioas_translate() as a lookup_fn: @queue is the argument. */
int pieces_lookup(void *queue, uint64_t va, uint64_t *iova);
int pieces_check(struct bench_thread *t);

#endif
