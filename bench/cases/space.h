/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the cases on address spaces share: a context on the soft backend with one arena, one
 * space and one device on it; its counters; and the proof that a buffer is visible to the device
 * or is not.
 */
#ifndef BENCH_CASES_SPACE_H
#define BENCH_CASES_SPACE_H

#include <ioas/ioas.h>

#include "../harness.h"

#define BUFFER_BYTES 4096
#define BUFFERS	     1024 /* of each thread: 4 MiB */

struct bench_space {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_window *window; /* of the cases on windows */
};

/* A thread's queue, and its buffers in the order of use: shuffled, as a pool returns them. */
struct bench_user {
	struct ioas_queue *queue;
	struct ioas_seg segs[BUFFERS];
	uint32_t next;
};

/* Indices into the values of bench_space_count(). */
enum bench_space_counter {
	COUNT_CROSSINGS, /* all kinds */
	COUNT_MAPS,
	COUNT_UNMAPS,
	COUNT_INVAL_CROSSINGS,
	COUNT_INVAL_ASKED,
	COUNT_INVAL_ISSUED,
	COUNT_INVAL_FLUSHES,
	COUNT_COMMIT_JOINS,
};

#define BENCH_SPACE_COUNTERS                                                                     \
	{                                                                                        \
		"crossings", "maps", "unmaps", "inval_crossings", "inval_asked", "inval_issued", \
			"inval_flushes", "commit_joins"                                          \
	}

/* Into *t->shared; with an arena of BUFFERS for each thread. */
int bench_space_open(struct bench_thread *t, enum ioas_kind kind, enum ioas_mode mode);
void bench_space_close(struct bench_thread *t);
int bench_space_count(struct bench_thread *t, double *values);

/* Into t->local. */
int bench_user_open(struct bench_thread *t);
void bench_user_close(struct bench_thread *t);

/* Let the device write to @iova; does it reach @va, and only if it is @visible? */
int bench_space_dma(struct bench_thread *t, ioas_iova_t iova, void *va, bool visible);

#endif
