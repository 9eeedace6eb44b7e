// SPDX-License-Identifier: BSD-3-Clause
/*
 * What maps and unmaps cost one by one, as arrays, as entries of a table that the kernel shadows,
 * through a ring, and through a ring that the kernel polls: crossings are counted where they are
 * made; times are of this machine and this run.
 */
#include "ring_lab.h"
#include "user_table.h"

#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>

#define IOVA   0x40000000UL
#define COUNT  4096
#define BATCH  64
#define ROUNDS 3

struct cost {
	unsigned int calls;
	double ns; /* per operation */
};

struct work {
	struct kioas_lab lab;
	struct ring ring;
	uint32_t space;
	uint8_t *memory;
	struct user_table table;
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static unsigned int one_by_one(struct work *work)
{
	unsigned int calls = 0;

	for (int i = 0; i < COUNT; i += BATCH) {
		for (int k = 0; k < BATCH; k++, calls++)
			CHECK(kioas_map_one(work->lab.fd, work->space, IOVA + k * PAGE,
					    work->memory + k * PAGE, PAGE, RW) == 0);
		for (int k = 0; k < BATCH; k++, calls++)
			CHECK(kioas_unmap_one(work->lab.fd, work->space, IOVA + k * PAGE, PAGE) ==
			      0);
	}
	return calls;
}

static unsigned int arrays(struct work *work)
{
	struct ioasid_unmap_entry unmaps[BATCH];
	struct ioasid_map_entry maps[BATCH];
	unsigned int calls = 0;

	for (int k = 0; k < BATCH; k++) {
		unmaps[k] = (struct ioasid_unmap_entry){ IOVA + k * PAGE, PAGE };
		maps[k] = (struct ioasid_map_entry){
			.iova = IOVA + k * PAGE,
			.address = (uintptr_t)work->memory + k * PAGE,
			.length = PAGE,
			.flags = RW,
		};
	}
	for (int i = 0; i < COUNT; i += BATCH, calls += 2) {
		CHECK(kioas_map(work->lab.fd, work->space, maps, BATCH) == 0);
		CHECK(kioas_unmap(work->lab.fd, work->space, unmaps, BATCH) == 0);
	}
	return calls;
}

/* Stores, and an array of invalidations for each batch of them */
static unsigned int shadowed(struct work *work)
{
	struct ioasid_inval_entry invals[BATCH];
	unsigned int calls = 0;

	for (int k = 0; k < BATCH; k++)
		invals[k] = (struct ioasid_inval_entry){
			.type = IOASID_INVAL_RANGE,
			.iova = IOVA + k * PAGE,
			.length = PAGE,
		};
	for (int i = 0; i < COUNT; i += BATCH, calls += 2) {
		for (int k = 0; k < BATCH; k++)
			user_table_map(&work->table, IOVA + k * PAGE, PAGE, k * PAGE, RW);
		CHECK(kioas_invalidate(work->lab.fd, work->table.space, invals, BATCH) == 0);
		for (int k = 0; k < BATCH; k++)
			user_table_unmap(&work->table, IOVA + k * PAGE, PAGE);
		CHECK(kioas_invalidate(work->lab.fd, work->table.space, invals, BATCH) == 0);
	}
	return calls;
}

/* A batch of maps and one of unmaps for one call of the doorbell. */
static void push_batches(struct work *work)
{
	struct ioasid_sqe sqe;

	for (int k = 0; k < BATCH; k++) {
		sqe = ring_map(work->space, IOVA + k * PAGE, work->memory + k * PAGE, PAGE, k);
		ring_push(&work->ring, &sqe);
	}
	for (int k = 0; k < BATCH; k++) {
		sqe = ring_unmap(work->space, IOVA + k * PAGE, PAGE, k);
		ring_push(&work->ring, &sqe);
	}
	ring_submit(&work->ring);
}

static unsigned int doorbell(struct work *work)
{
	unsigned int calls = 0;

	for (int i = 0; i < COUNT; i += BATCH, calls++) {
		push_batches(work);
		CHECK(ring_enter(&work->ring, 2 * BATCH, 2 * BATCH, 0) == 2 * BATCH);
		for (int k = 0; k < 2 * BATCH; k++)
			ring_expect(&work->ring, k % BATCH, 0);
	}
	return calls;
}

static unsigned int polled(struct work *work)
{
	unsigned int calls = 0;
	struct ioasid_cqe cqe;

	for (int i = 0; i < COUNT; i += BATCH) {
		push_batches(work);
		if (ring_sleeps(&work->ring)) {
			CHECK(ring_enter(&work->ring, 0, 0, IOASID_ENTER_WAKEUP) == 0);
			calls++;
		}
		for (int k = 0; k < 2 * BATCH; k++) {
			while (!ring_reap(&work->ring, &cqe))
				;
			CHECK(cqe.user_data == (uint64_t)k % BATCH && cqe.result == 0);
		}
	}
	return calls;
}

/* The best of a few. */
static struct cost measure(struct work *work, const char *name, unsigned int (*run)(struct work *))
{
	struct cost cost = { .ns = 1e18 };

	for (int round = 0; round < ROUNDS; round++) {
		const double begin = now_ns();
		const unsigned int calls = run(work);
		const double ns = (now_ns() - begin) / (2.0 * COUNT);

		if (ns < cost.ns)
			cost = (struct cost){ calls, ns };
	}
	printf("    %-23s %6u calls for %u maps and unmaps, %8.0f ns each\n", name, cost.calls,
	       2 * COUNT, cost.ns);
	return cost;
}

/* The poller is a thread of the kernel's: found by its name. */
static pid_t poller_find(void)
{
	char comm[32];
	glob_t found;
	int poller = 0;

	CHECK(glob("/proc/[0-9]*/comm", 0, NULL, &found) == 0);
	for (size_t i = 0; i < found.gl_pathc && !poller; i++) {
		FILE *file = fopen(found.gl_pathv[i], "r");

		if (file && fgets(comm, sizeof(comm), file) && !strncmp(comm, "kioas-", 6))
			poller = atoi(found.gl_pathv[i] + strlen("/proc/"));
		if (file)
			fclose(file);
	}
	globfree(&found);
	CHECK(poller);
	return poller;
}

/* A poller wants a processor of its own, and who waits for it without a call wants another. */
static void keep_apart(void)
{
	cpu_set_t first, second;

	CPU_ZERO(&first);
	CPU_ZERO(&second);
	CPU_SET(0, &first);
	CPU_SET(1, &second);
	CHECK(sched_setaffinity(0, sizeof(first), &first) == 0);
	CHECK(sched_setaffinity(poller_find(), sizeof(second), &second) == 0);
}

static void work_open(struct work *work, uint32_t flags)
{
	kioas_lab_open(&work->lab);
	work->space = kioas_space(work->lab.fd, IOASID_KIND_KERNEL, 0);
	work->memory = lab_buffer(BATCH * PAGE, 0, 1);
	/* Pinned once, as a driver's buffers are. */
	CHECK(kioas_register(work->lab.fd, work->memory, BATCH * PAGE, RW) == 0);
	CHECK(kioas_attach(work->lab.fd, work->lab.dev_id, work->space) == 0);
	ring_open(&work->ring, work->lab.fd, 2 * BATCH, 0, flags);
}

int main(void)
{
	struct cost single, array, shadow, ring, poller;
	struct work work;

	work_open(&work, 0);
	single = measure(&work, "one by one", one_by_one);
	array = measure(&work, "arrays of 64", arrays);
	ring = measure(&work, "ring, 128 per doorbell", doorbell);
	user_table_open(&work.table, work.lab.fd, IOASID_FORMAT_X86_64_L4);
	CHECK(kioas_attach(work.lab.fd, work.lab.dev_id, work.table.space) == 0);
	shadow = measure(&work, "table, 64 invalidations", shadowed);
	kioas_lab_close(&work.lab);
	CHECK(munmap(work.ring.head, work.ring.setup.out_length) == 0);
	work_open(&work, IOASID_RING_SETUP_POLL);
	keep_apart();
	poller = measure(&work, "ring that is polled", polled);
	CHECK(single.calls >= 10 * array.calls);
	CHECK(single.calls >= 10 * shadow.calls);
	CHECK(single.calls >= 10 * ring.calls);
	CHECK(single.calls >= 10 * poller.calls);
	/* A kernel with checkers spends its time in these: there it is hardly less. */
	CHECK(ring.ns < 1.2 * single.ns && array.ns < 1.2 * single.ns);
	return 0;
}
