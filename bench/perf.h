/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hardware (or, without them, software) event counters of the calling thread, through
 * perf_event_open(2), and the time it stood in the run queue.
 *
 * Only the thread that opened a set may use it.
 */
#ifndef BENCH_PERF_H
#define BENCH_PERF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_PERF_EVENTS 8

struct bench_perf {
	int fd[BENCH_PERF_EVENTS];
	double value[BENCH_PERF_EVENTS]; /* scaled up if the event shared its hardware */
};

/* Names by event, NULL at the end. */
extern const char *const bench_perf_names[BENCH_PERF_EVENTS + 1];

/* Events that this machine does not have get no descriptor and are left out. */
void bench_perf_open(struct bench_perf *perf);
void bench_perf_start(struct bench_perf *perf);
void bench_perf_stop(struct bench_perf *perf);
void bench_perf_close(struct bench_perf *perf);

/* One line: which events there are, and which are missing and why. */
void bench_perf_describe(char *text, size_t text_bytes);

/* ns that the calling thread has been runnable without a cpu; 0 where the kernel doesn't say. */
uint64_t bench_run_delay_ns(void);

#ifdef __cplusplus
}
#endif
#endif
