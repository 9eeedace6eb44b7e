/* SPDX-License-Identifier: BSD-3-Clause */
/* Event counters. See perf.h; source: perf_event_open(2). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include "perf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define L1D_READ_MISS                                                 \
	(PERF_COUNT_HW_CACHE_L1D | PERF_COUNT_HW_CACHE_OP_READ << 8 | \
	 PERF_COUNT_HW_CACHE_RESULT_MISS << 16)

static const struct event {
	uint32_t type;
	uint64_t config;
} events[BENCH_PERF_EVENTS] = {
	{ PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
	{ PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
	{ PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES },
	{ PERF_TYPE_HW_CACHE, L1D_READ_MISS },
	{ PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES },
	{ PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK },
	{ PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES },
	{ PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS },
};

const char *const bench_perf_names[BENCH_PERF_EVENTS + 1] = {
	"cycles",	 "instructions",  "llc_misses",	      "l1d_misses",
	"branch_misses", "task_clock_ns", "context_switches", "page_faults",
};

static int open_event(const struct event *event)
{
	struct perf_event_attr attr = {
		.type = event->type,
		.size = sizeof(attr),
		.config = event->config,
		.disabled = 1,
		.exclude_hv = 1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

void bench_perf_open(struct bench_perf *perf)
{
	for (unsigned int i = 0; i < BENCH_PERF_EVENTS; i++) {
		perf->fd[i] = open_event(&events[i]);
		perf->value[i] = 0;
	}
}

void bench_perf_start(struct bench_perf *perf)
{
	for (unsigned int i = 0; i < BENCH_PERF_EVENTS; i++) {
		if (perf->fd[i] < 0)
			continue;
		ioctl(perf->fd[i], PERF_EVENT_IOC_RESET, 0);
		ioctl(perf->fd[i], PERF_EVENT_IOC_ENABLE, 0);
	}
}

void bench_perf_stop(struct bench_perf *perf)
{
	for (unsigned int i = 0; i < BENCH_PERF_EVENTS; i++)
		if (perf->fd[i] >= 0)
			ioctl(perf->fd[i], PERF_EVENT_IOC_DISABLE, 0);
	for (unsigned int i = 0; i < BENCH_PERF_EVENTS; i++) {
		uint64_t words[3]; /* value, time enabled, time running */

		if (perf->fd[i] < 0 || read(perf->fd[i], words, sizeof(words)) != sizeof(words))
			continue;
		perf->value[i] = words[2] ? (double)words[0] * words[1] / words[2] : 0;
	}
}

void bench_perf_close(struct bench_perf *perf)
{
	for (unsigned int i = 0; i < BENCH_PERF_EVENTS; i++)
		if (perf->fd[i] >= 0)
			close(perf->fd[i]);
}

void bench_perf_describe(char *text, size_t text_bytes)
{
	char missing[128] = "";
	int error = 0;

	text[0] = 0;
	for (unsigned int i = 0; i < BENCH_PERF_EVENTS; i++) {
		int fd = open_event(&events[i]);
		char *list = fd < 0 ? missing : text;
		size_t room = fd < 0 ? sizeof(missing) : text_bytes;
		size_t used = strlen(list);

		if (fd < 0)
			error = errno;
		else
			close(fd);
		snprintf(list + used, room - used, "%s%s", used ? " " : "", bench_perf_names[i]);
	}
	if (missing[0]) {
		size_t used = strlen(text);

		snprintf(text + used, text_bytes - used, "; not on this machine (%s): %s",
			 strerror(error), missing);
	}
}

uint64_t bench_run_delay_ns(void)
{
	unsigned long long running = 0, waiting = 0;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	char text[96];
	ssize_t bytes;

	if (fd < 0)
		return 0;
	bytes = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (bytes <= 0)
		return 0;
	text[bytes] = 0;
	return sscanf(text, "%llu %llu", &running, &waiting) == 2 ? waiting : 0;
}
