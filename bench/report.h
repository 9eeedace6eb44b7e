/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows: which run, what was measured of them, and what is printed.
 *
 * What a figure in ns is: time of a thread per unit, less the time that the thread stood in the
 * run queue because another program had its cpu (/proc/thread-self/schedstat), less (but for
 * floors) the share of the harness: the least that floor/empty_loop took. Wall time stands beside
 * it in the JSON. Rows with several threads: the average of the threads; what the machine does is
 * that divided by the threads.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "harness.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_NAME_BYTES    96
#define BENCH_HARNESS_ROW   "floor/empty_loop"
#define BENCH_SAMPLES_MAX   64
#define BENCH_VERDICT_BYTES 160

struct bench_stat {
	double median;
	double min;
	double mad; /* median of the distances from the median */
};

/* One repetition. Per unit and thread, but for the counters, which are per unit of all threads. */
struct bench_sample {
	double ns;
	double wall_ns;
	double counters[BENCH_COUNTERS_MAX];
};

struct bench_row {
	const struct bench_case *spec;
	char name[BENCH_NAME_BYTES];
	unsigned int threads;
	struct bench_sample samples[BENCH_SAMPLES_MAX];
	unsigned int sample_count;
	bool failed;
	char error[BENCH_ERROR_BYTES];
	/* by bench_report_finish() */
	struct bench_stat ns;	   /* less the harness */
	struct bench_stat wall_ns; /* as it is */
	struct bench_stat counters[BENCH_COUNTERS_MAX];
	const struct bench_row *floor;
	const struct bench_row *peer;
};

struct bench_report {
	struct bench_row *rows;
	size_t count;
	double harness_ns; /* per iteration */
};

/*
 * Choose rows: those that the filter matches and, unless only they are asked for, what they are
 * compared with and their one-thread rows. Return: 0, or -1 after a message on stderr.
 */
int bench_report_init(struct bench_report *report, const struct bench_options *options);
void bench_report_free(struct bench_report *report);

struct bench_row *bench_report_find(const struct bench_report *report, const char *name);

/* After the last sample. */
void bench_report_finish(struct bench_report *report);
struct bench_stat bench_stat_of(const double *values, unsigned int count);

/* What is taken off a row's ns for the harness. */
double bench_row_harness_ns(const struct bench_report *report, const struct bench_row *row);

/* Throughput of a row against that of its case with one thread; 0 when that is not known. */
double bench_row_scaling(const struct bench_report *report, const struct bench_row *row);

/* The value of a counter by name; a negative number if the row has no such counter. */
double bench_row_counter(const struct bench_row *row, const char *name);

void bench_report_print(const struct bench_report *report);

/* Print the errors. Return: how many rows failed. */
unsigned int bench_report_errors(const struct bench_report *report);

enum bench_metric {
	BENCH_NS,	  /* ns per unit, at most */
	BENCH_OVER_FLOOR, /* ns per unit more than the floor, at most */
	BENCH_SCALING,	  /* times the throughput of one thread, at least */
	BENCH_CROSSINGS,  /* kernel crossings per unit, at most */
	BENCH_WALK_READS, /* memory reads of the IOMMU per unit, at most */
	BENCH_VS_PEER,	  /* times as fast as the peer, at least */
};

/**
 * struct bench_figure - a promise
 * @row: name of the row
 * @metric: enum bench_metric
 * @limit: at most, or at least, by metric
 * @source: who says so
 */
struct bench_figure {
	const char *row;
	enum bench_metric metric;
	double limit;
	const char *source;
};

extern const struct bench_figure bench_figures[];
extern const size_t bench_figure_count;

enum bench_verdict {
	BENCH_REACHED,
	BENCH_NOT_REACHED,
	BENCH_NOT_MEASURED,
};

/* @text receives one line of key=value words. */
enum bench_verdict bench_figure_check(const struct bench_report *report,
				      const struct bench_figure *figure, char *text,
				      size_t text_bytes);
void bench_figures_print(const struct bench_report *report);

#ifdef __cplusplus
}
#endif
#endif
