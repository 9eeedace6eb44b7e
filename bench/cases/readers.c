/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reader whose translations cannot go while it uses them (liburcu's QSBR flavour: a quiescent
 * state every 256 look-ups, or every 64), alone and against a thread that maps and unmaps other
 * memory in the same space as fast as it can. With two readers on a machine of two cpus the writer
 * shares one; the time in which it had it is not counted (README).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <urcu/urcu-qsbr.h>

#include "../machine.h"
#include "cases.h"
#include "pieces.h"

enum {
	ALONE,
	AGAINST_WRITER,
};

/* One for the row. Nothing else of a row lives as long as its threads. */
static struct writer {
	struct pieces *pieces;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t pairs;
	_Atomic bool failed;
} writer;

static void *write_on(void *arg)
{
	struct pieces *p = writer.pieces;
	uint8_t *va = p->base + p->bytes;
	struct ioas_queue *queue;

	(void)arg;
	bench_machine_pin(1); /* the first reader has cpu 0 */
	if (ioas_queue_create(p->as, &queue)) {
		writer.failed = true;
		return NULL;
	}
	while (!atomic_load_explicit(&writer.stop, memory_order_relaxed)) {
		ioas_iova_t iova;

		if (ioas_map(queue, va, PIECES_SPARE, IOAS_RW, &iova) ||
		    ioas_unmap(queue, iova, PIECES_SPARE)) {
			writer.failed = true;
			break;
		}
		atomic_fetch_add_explicit(&writer.pairs, 1, memory_order_relaxed);
	}
	ioas_queue_destroy(queue);
	return NULL;
}

static int setup(struct bench_thread *t)
{
	return pieces_setup(t, &urcu_qsbr_flavor, 0);
}

static int thread_setup(struct bench_thread *t)
{
	if (pieces_thread_setup(t))
		return -1;
	urcu_qsbr_register_thread();
	if (t->index || t->spec->args[2] == ALONE)
		return 0;
	memset(&writer, 0, sizeof(writer));
	writer.pieces = *t->shared;
	if (pthread_create(&writer.thread, NULL, write_on, NULL))
		return bench_fail(t, "no thread");
	return 0;
}

static void thread_teardown(struct bench_thread *t)
{
	urcu_qsbr_thread_offline();
	if (!t->index && writer.pieces) {
		writer.stop = true;
		pthread_join(writer.thread, NULL);
		writer.pieces = NULL;
	}
	urcu_qsbr_thread_online();
	urcu_qsbr_unregister_thread();
	pieces_thread_teardown(t);
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	const uint64_t base = (uintptr_t)((struct pieces *)*t->shared)->base;
	const uint64_t burst = t->spec->units;
	uint64_t state = 1 + t->index, sum = 0, failed = 0, iova = 0;

	urcu_qsbr_thread_online();
	for (uint64_t i = 0; i < iterations; i++) {
		for (unsigned int j = 0; j < burst; j++) {
			state = lookup_next(state);
			failed |=
				pieces_lookup(t->local, lookup_va(LOOKUP_SPAN, base, state), &iova);
			sum += iova;
		}
		urcu_qsbr_quiescent_state();
	}
	/* Others may wait at a barrier for longer than the writer should. */
	urcu_qsbr_thread_offline();
	bench_keep(sum);
	return failed ? bench_fail(t, "a look-up failed") : 0;
}

static int count(struct bench_thread *t, double *values)
{
	(void)t;
	values[0] = atomic_load(&writer.pairs);
	return 0;
}

static int check(struct bench_thread *t, uint64_t iterations, const double *delta)
{
	if (writer.failed)
		return bench_fail(t, "the writer failed");
	/* In short runs it may not have had its turn yet. */
	if (t->spec->args[2] == AGAINST_WRITER && iterations > 1000000 && !(delta[0] > 0))
		return bench_fail(t, "the writer has done nothing");
	return 0;
}

#define READER(case_name, how, burst, peer_name)                                                  \
	{                                                                                         \
		.name = "translate/" case_name, .unit = "lookup", .units = burst, .threads = 2,   \
		.flags = BENCH_KEEP, .floor = "floor/translate_call/random", .peer = peer_name,   \
		.args = { LOOKUP_RANDOM, LOOKUP_SPAN, how }, .counters = { "writer_pairs" },      \
		.setup = setup, .thread_setup = thread_setup, .run = run, .count = count,         \
		.check = check, .thread_check = pieces_check, .thread_teardown = thread_teardown, \
		.teardown = pieces_teardown,                                                      \
	}

static const struct bench_case cases[] = {
	READER("reader_alone", ALONE, 256, NULL),
	READER("reader_vs_writer", AGAINST_WRITER, 256, "translate/reader_alone"),
	READER("reader_alone_64", ALONE, 64, NULL),
	READER("reader_vs_writer_64", AGAINST_WRITER, 64, "translate/reader_alone_64"),
};

const struct bench_table bench_reader_cases = BENCH_TABLE(cases);
