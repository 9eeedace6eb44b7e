/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The C face of the benchmark harness: what a case is. harness.cc alone knows Google Benchmark.
 *
 * A case is a constant; a row is a case at a number of threads. Per row and repetition the
 * harness calls, with T threads:
 *
 *	setup          thread 0, not pinned, so that threads of the library are not pinned either
 *	thread_setup   each thread, pinned to a cpu of its own
 *	count          thread 0, all others waiting
 *	run            each thread, timed: start and end together
 *	count          thread 0, all others waiting
 *	check          thread 0, with the difference of the two counts
 *	thread_check   each thread, one after the other
 *	thread_teardown, teardown
 *
 * Any that returns other than 0 (after bench_fail()) makes the row an error and the program's
 * exit code 1.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_THREADS_MAX  2
#define BENCH_COUNTERS_MAX 8
#define BENCH_ERROR_BYTES  256

enum bench_role {
	BENCH_OURS = 0,
	BENCH_FLOOR, /* what the machine charges for the least that could do the job */
	BENCH_PEER,  /* what others do for the same job */
};

enum bench_flags {
	BENCH_KEEP = 1 << 0,   /* costly setup: keep it over repetitions, until the program ends */
	BENCH_HIDDEN = 1 << 1, /* runs only when its full name is asked for */
	BENCH_TOGETHER = 1 << 2, /* one row, of all its threads, with the name of the case */
};

struct bench_case;

/* One thread of one row, as the callbacks see it. */
struct bench_thread {
	const struct bench_case *spec;
	unsigned int index;
	unsigned int threads;
	void **shared; /* the row's, set by setup */
	void *local;   /* the thread's, set by thread_setup */
	double left_out_ns; /* set by run: cpu time of its thread that is not the subject's */
	char error[BENCH_ERROR_BYTES];
};

/**
 * struct bench_case - what is measured
 * @name: "group/case"
 * @unit: what one figure in ns is for: "buffer", "lookup", "call"
 * @units: of them in one iteration
 * @threads: rows for 1, 2, 4.. up to this many threads; 0 counts as 1
 * @flags: enum bench_flags
 * @role: enum bench_role
 * @floor: name of the case beside it that is its floor, or NULL
 * @peer: name of the case beside it that is its peer, or NULL
 * @args: the case's own
 * @counters: names of what @count fills in; reported per unit
 */
struct bench_case {
	const char *name;
	const char *unit;
	uint64_t units;
	unsigned int threads;
	unsigned int flags;
	enum bench_role role;
	const char *floor;
	const char *peer;
	uint64_t args[4];
	const char *counters[BENCH_COUNTERS_MAX];

	int (*setup)(struct bench_thread *t);
	int (*thread_setup)(struct bench_thread *t);
	int (*run)(struct bench_thread *t, uint64_t iterations);
	int (*count)(struct bench_thread *t, double *values);
	int (*check)(struct bench_thread *t, uint64_t iterations, const double *delta);
	int (*thread_check)(struct bench_thread *t);
	void (*thread_teardown)(struct bench_thread *t);
	void (*teardown)(struct bench_thread *t);
};

/* Leaves a text with the thread. Return: -1, so that a case can `return bench_fail(...)`. */
int bench_fail(struct bench_thread *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Keep the compiler from dropping @value, or from knowing it. */
#define bench_keep(value) __asm__ volatile("" : : "r,m"(value) : "memory")
#define bench_hide(value) __asm__ volatile("" : "+r"(value))

struct bench_table {
	const struct bench_case *cases;
	size_t count;
};

/* suite.c: every table of cases that this build has. */
extern const struct bench_table *const bench_tables[];
extern const size_t bench_table_count;

/**
 * struct bench_options - the command line
 * @filter: extended regular expression over row names, or NULL
 * @only: not what rows are compared with
 * @json: file for Google Benchmark's JSON, or NULL
 * @repetitions: of each row
 * @min_seconds: of one repetition
 */
struct bench_options {
	const char *filter;
	bool only;
	const char *json;
	unsigned int repetitions;
	double min_seconds;
};

struct bench_report;

/* harness.cc: run the rows of @report, fill in their samples, write the JSON. */
int bench_run_rows(const struct bench_options *options, struct bench_report *report);

#ifdef __cplusplus
}
#endif
#endif
