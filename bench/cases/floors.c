/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Floors: what this machine charges for the least that any engine has to do. They are measured
 * in every run, so that no figure of ours is compared with a figure of another day.
 *
 * floor/stores_and_call/batchN is the least that strict map and unmap of N buffers could cost
 * through a table in memory: N entries written, N entries cleared, one system call. of256_batchN:
 * the same with one system call for each 256 buffers.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cases.h"

#define TABLE_BYTES   16384 /* of entries written in turn: four table pages, well inside L1 */
#define TABLE_ENTRIES (TABLE_BYTES / sizeof(uint64_t))

static int run_empty_loop(struct bench_thread *t, uint64_t iterations)
{
	(void)t;
	for (uint64_t i = 0; i < iterations; i++)
		bench_keep(i);
	return 0;
}

static __attribute__((noinline)) uint64_t empty_call(uint64_t value)
{
	bench_hide(value);
	return value;
}

static int run_empty_call(struct bench_thread *t, uint64_t iterations)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < iterations; i++)
		sum += empty_call(1);
	return sum == iterations ? 0 : bench_fail(t, "the call was not made each time");
}

static int run_null_syscall(struct bench_thread *t, uint64_t iterations)
{
	long parent = getppid();

	for (uint64_t i = 0; i < iterations; i++)
		if (syscall(SYS_getppid) != parent)
			return bench_fail(t, "getppid: not the parent");
	return 0;
}

/* args[0]: calls of a unit. One file for all threads, as with a driver's device file. */
static int run_refused_ioctl(struct bench_thread *t, uint64_t iterations)
{
	const int *fds = *t->shared;
	uint64_t calls = iterations * t->spec->args[0];

	for (uint64_t i = 0; i < calls; i++)
		if (ioctl(fds[0], _IO('i', 0)) != -1 || errno != ENOTTY)
			return bench_fail(t, "ioctl: %s, expected ENOTTY", strerror(errno));
	return 0;
}

static int setup_pipe(struct bench_thread *t)
{
	int *fds = malloc(2 * sizeof(*fds));

	if (!fds || pipe(fds)) {
		free(fds);
		return bench_fail(t, "pipe: %s", strerror(errno));
	}
	*t->shared = fds;
	return 0;
}

static void teardown_pipe(struct bench_thread *t)
{
	int *fds = *t->shared;

	if (!fds)
		return;
	close(fds[0]);
	close(fds[1]);
	free(fds);
}

static int setup_table(struct bench_thread *t)
{
	t->local = aligned_alloc(4096, TABLE_BYTES);
	if (!t->local)
		return bench_fail(t, "no memory");
	memset(t->local, 0, TABLE_BYTES);
	return 0;
}

static void teardown_table(struct bench_thread *t)
{
	free(t->local);
}

static int run_store(struct bench_thread *t, uint64_t iterations)
{
	volatile uint64_t *table = t->local;

	for (uint64_t i = 0; i < iterations; i++)
		table[i % TABLE_ENTRIES] = i;
	return table[(iterations - 1) % TABLE_ENTRIES] == iterations - 1
		       ? 0
		       : bench_fail(t, "the last store is not there");
}

static int run_locked(struct bench_thread *t, uint64_t iterations)
{
	_Atomic uint64_t *word = t->local;
	uint64_t start = atomic_load(word);

	for (uint64_t i = 0; i < iterations; i++)
		atomic_fetch_add(word, 1);
	return atomic_load(word) - start == iterations ? 0 : bench_fail(t, "lost an addition");
}

/* args[0]: buffers of a batch; args[1]: buffers for each call. */
static int run_stores_and_call(struct bench_thread *t, uint64_t iterations)
{
	volatile uint64_t *table = t->local;
	unsigned int batch = t->spec->args[0];
	unsigned int pending = 0;
	long parent = getppid();

	for (uint64_t i = 0; i < iterations; i++) {
		volatile uint64_t *entries = &table[i * batch % TABLE_ENTRIES];

		for (unsigned int j = 0; j < batch; j++)
			entries[j] = i | 1;
		for (unsigned int j = 0; j < batch; j++)
			entries[j] = 0;
		pending += batch;
		if (pending < t->spec->args[1])
			continue;
		pending = 0;
		if (syscall(SYS_getppid) != parent)
			return bench_fail(t, "getppid: not the parent");
	}
	return 0;
}

/* For --filter selftest/wrong_result: shows that a wrong result is an error of the program. */
static int check_wrong(struct bench_thread *t, uint64_t iterations, const double *delta)
{
	(void)iterations;
	(void)delta;
	return bench_fail(t, "wrong on purpose");
}

#define STORES(case_name, n, call)                                                           \
	{                                                                                    \
		.name = "floor/stores_and_call/" case_name #n, .unit = "buffer", .units = n, \
		.threads = 2, .role = BENCH_FLOOR, .args = { n, call },                      \
		.thread_setup = setup_table, .run = run_stores_and_call,                     \
		.thread_teardown = teardown_table,                                           \
	}

#define IOCTLS(case_name, what, calls)                                              \
	{                                                                           \
		.name = "floor/" case_name, .unit = what, .units = 1, .threads = 2, \
		.role = BENCH_FLOOR, .args = { calls }, .setup = setup_pipe,        \
		.run = run_refused_ioctl, .teardown = teardown_pipe,                \
	}

static const struct bench_case cases[] = {
	{
		.name = "floor/empty_loop",
		.unit = "iteration",
		.units = 1,
		.role = BENCH_FLOOR,
		.run = run_empty_loop,
	},
	{
		.name = "floor/empty_call",
		.unit = "call",
		.units = 1,
		.role = BENCH_FLOOR,
		.run = run_empty_call,
	},
	{
		.name = "floor/store",
		.unit = "store",
		.units = 1,
		.role = BENCH_FLOOR,
		.thread_setup = setup_table,
		.run = run_store,
		.thread_teardown = teardown_table,
	},
	{
		.name = "floor/locked_add",
		.unit = "addition",
		.units = 1,
		.role = BENCH_FLOOR,
		.thread_setup = setup_table,
		.run = run_locked,
		.thread_teardown = teardown_table,
	},
	{
		.name = "floor/null_syscall",
		.unit = "call",
		.units = 1,
		.role = BENCH_FLOOR,
		.run = run_null_syscall,
	},
	IOCTLS("refused_ioctl", "call", 1),
	IOCTLS("two_ioctls", "buffer", 2),
	STORES("batch", 1, 1),
	STORES("batch", 32, 32),
	STORES("batch", 256, 256),
	STORES("of256_batch", 1, 256),
	STORES("of256_batch", 32, 256),
	STORES("of256_batch", 256, 256),
	{
		.name = "selftest/wrong_result",
		.unit = "iteration",
		.units = 1,
		.threads = 2,
		.flags = BENCH_HIDDEN,
		.run = run_empty_loop,
		.check = check_wrong,
	},
};

const struct bench_table bench_floors = BENCH_TABLE(cases);
