// SPDX-License-Identifier: BSD-3-Clause
/*
 * A ring that the kernel polls: it works without a call, sleeps and wakes, keeps to the limits of
 * its owner, and goes with it, however it goes.
 */
#include "ring_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IOVA	0x40000000UL
#define ENTRIES 64

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* A file with edu, a space and a poller. */
struct polled {
	struct kioas_lab lab;
	struct ring ring;
	uint32_t space;
	uint8_t *memory;
};

static void polled_open(struct polled *polled, uint32_t cq_entries)
{
	kioas_lab_open(&polled->lab);
	polled->space = kioas_space(polled->lab.fd, IOASID_KIND_KERNEL, 0);
	polled->memory = lab_buffer(MIB, 0, 1);
	ring_open(&polled->ring, polled->lab.fd, ENTRIES, cq_entries, IOASID_RING_SETUP_POLL);
}

static void polled_close(struct polled *polled)
{
	kioas_lab_close(&polled->lab);
	CHECK(munmap(polled->ring.head, polled->ring.setup.out_length) == 0);
	CHECK(munmap(polled->memory, MIB) == 0);
}

static void submit(struct ring *ring, struct ioasid_sqe sqe)
{
	ring_push(ring, &sqe);
	ring_submit(ring);
	if (ring_sleeps(ring))
		CHECK(ring_enter(ring, 0, 0, IOASID_ENTER_WAKEUP) == 0);
}

static void await_sleep(struct ring *ring)
{
	for (int i = 0; !ring_sleeps(ring); i++) {
		CHECK(i < 2000);
		sleep_ms(1);
	}
}

static void check_work(void)
{
	struct ioasid_cqe cqe;
	struct polled polled;
	struct ring *ring = &polled.ring;

	polled_open(&polled, 0);
	lab_step("elements are carried out without a call");
	CHECK(ring_enter(ring, 1, 0, 0) == -EINVAL);
	kioas_check_why(ring->fd, EINVAL, IOASID_RING_ENTER, "to_submit", 0);
	submit(ring, ring_map(polled.space, IOVA, polled.memory, PAGE, 1));
	submit(ring, ring_map(polled.space, IOVA, polled.memory, PAGE, 2));
	submit(ring, ring_unmap(polled.space, IOVA, PAGE, 3));
	ring_await(ring, 1, 0);
	ring_await(ring, 2, -EEXIST);
	ring_await(ring, 3, 0);
	kioas_check_why(ring->fd, EEXIST, IOASID_RING_ENTER, "iova", 1);

	lab_step("a poller without work sleeps, says so, and is woken");
	await_sleep(ring);
	ring_push(ring, &(struct ioasid_sqe){ .user_data = 4 });
	ring_submit(ring);
	sleep_ms(50);
	CHECK(!ring_reap(ring, &cqe));
	CHECK(ring_enter(ring, 0, 0, IOASID_ENTER_WAKEUP) == 0);
	ring_await(ring, 4, 0);
	await_sleep(ring);
	ring_push(ring, &(struct ioasid_sqe){ .user_data = 5 });
	ring_submit(ring);
	lab_step("who waits for completions need not know whether it sleeps");
	CHECK(ring_enter(ring, 0, 1, 0) == 0);
	ring_expect(ring, 5, 0);

	lab_step("what it mapped the device reaches, and what it unmapped not");
	CHECK(kioas_attach(polled.lab.fd, polled.lab.dev_id, polled.space) == 0);
	CHECK(kioas_control(polled.lab.fd, polled.lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	submit(ring, ring_map(polled.space, IOVA, polled.memory, PAGE, 6));
	ring_await(ring, 6, 0);
	CHECK(edu_reaches(&polled.lab.edu, IOVA, polled.memory));
	submit(ring, ring_unmap(polled.space, IOVA, PAGE, 7));
	ring_await(ring, 7, 0);
	CHECK(!edu_reaches(&polled.lab.edu, IOVA, polled.memory));
	polled_close(&polled);
}

/* One thread submits as fast as it can and never rings, but to wake. */
static void check_wakeups(void)
{
	enum { COUNT = 20000 };
	struct ioasid_cqe cqe;
	struct polled polled;
	struct ring *ring = &polled.ring;
	uint64_t pushed = 0, seen = 0, wakeups = 0, looks = 0;

	lab_step("no wakeup is lost, and nothing else: sleeps of all lengths in between");
	polled_open(&polled, ENTRIES);
	while (seen < COUNT) {
		for (uint64_t i = 0; i < 1 + seen % 7 && pushed - seen < ENTRIES && pushed < COUNT;
		     i++) {
			ring_push(ring, &(struct ioasid_sqe){ .user_data = pushed });
			pushed++;
		}
		ring_submit(ring);
		if (ring_sleeps(ring)) {
			wakeups++;
			CHECK(ring_enter(ring, 0, 0, IOASID_ENTER_WAKEUP) == 0);
		}
		if (seen % 1000 == 999)
			sleep_ms(seen / 1000 % 6);
		for (looks = 0; !ring_reap(ring, &cqe); looks++) {
			if (looks > 1000)
				sleep_ms(1);
			CHECK(looks < 11000);
			if (ring_sleeps(ring))
				CHECK(ring_enter(ring, 0, 0, IOASID_ENTER_WAKEUP) == 0);
		}
		do
			CHECK(cqe.user_data == seen++ && cqe.result == 0);
		while (ring_reap(ring, &cqe));
	}
	printf("    %lu elements, %lu wakeups\n", seen, wakeups);
	CHECK(wakeups > 0 && wakeups < COUNT / 2);
	polled_close(&polled);
}

static void check_full(void)
{
	struct ioasid_cqe cqe;
	struct polled polled;
	struct ring *ring = &polled.ring;

	lab_step("while completions are full it takes nothing, and goes on when there is room");
	polled_open(&polled, ENTRIES);
	for (uint64_t i = 0; i < ENTRIES; i++)
		submit(ring, (struct ioasid_sqe){ .user_data = i });
	CHECK(ring_enter(ring, 0, ENTRIES, 0) == 0);
	submit(ring, (struct ioasid_sqe){ .user_data = ENTRIES });
	sleep_ms(50);
	CHECK(ring->head->sq_head == ENTRIES && ring->head->cq_tail == ENTRIES);
	for (uint64_t i = 0; i < ENTRIES; i++)
		ring_expect(ring, i, 0);
	CHECK(!ring_reap(ring, &cqe) || cqe.user_data == ENTRIES);
	if (ring_sleeps(ring))
		CHECK(ring_enter(ring, 0, 0, IOASID_ENTER_WAKEUP) == 0);
	for (int i = 0; ring->head->cq_tail != ENTRIES + 1; i++) {
		CHECK(i < 1000);
		sleep_ms(1);
	}
	polled_close(&polled);

	lab_step("a position that makes no sense ends it");
	polled_open(&polled, ENTRIES);
	ring->head->sq_tail = 12345;
	CHECK(ring_enter(ring, 0, 1, 0) == -EINVAL);
	CHECK(ring->head->sq_flags & IOASID_RING_DEAD);
	polled_close(&polled);
}

/* Runs @body in a child. */
static pid_t child_run(void (*body)(atomic_int *story), atomic_int *story)
{
	pid_t child;

	*story = 0;
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (child)
		return child;
	body(story);
	_exit(0);
}

static void limited(atomic_int *story)
{
	const struct rlimit small = { 512 * KIB, 512 * KIB };
	struct polled polled;

	polled_open(&polled, 0);
	close(polled.ring.fd);
	CHECK(munmap(polled.ring.head, polled.ring.setup.out_length) == 0);
	/* Again, as somebody without privileges: the device's file is open. */
	CHECK(setrlimit(RLIMIT_MEMLOCK, &small) == 0 && setresuid(9, 9, 9) == 0);
	polled.lab.fd = kioas_open();
	for (int i = 0; kioas_bind(polled.lab.fd, polled.lab.device_fd, 0, &polled.lab.dev_id);
	     i++) {
		CHECK(i < 1000);
		sleep_ms(1);
	}
	polled.space = kioas_space(polled.lab.fd, IOASID_KIND_KERNEL, 0);
	ring_open(&polled.ring, polled.lab.fd, ENTRIES, 0, IOASID_RING_SETUP_POLL);
	submit(&polled.ring, ring_map(polled.space, IOVA, polled.memory, MIB, 1));
	submit(&polled.ring, ring_map(polled.space, IOVA, polled.memory, 256 * KIB, 2));
	submit(&polled.ring, ring_map(polled.space, IOVA + MIB, polled.memory, 256 * KIB, 3));
	ring_await(&polled.ring, 1, -ENOMEM);
	ring_await(&polled.ring, 2, 0);
	ring_await(&polled.ring, 3, -ENOMEM);
	submit(&polled.ring, ring_unmap(polled.space, IOVA, 256 * KIB, 4));
	submit(&polled.ring, ring_map(polled.space, IOVA + MIB, polled.memory, 256 * KIB, 5));
	ring_await(&polled.ring, 4, 0);
	ring_await(&polled.ring, 5, 0);
}

/* Maps and unmaps for ever. */
static void busy(atomic_int *story)
{
	struct ioasid_cqe cqe;
	struct polled polled;
	struct ring *ring = &polled.ring;

	polled_open(&polled, 0);
	CHECK(kioas_attach(polled.lab.fd, polled.lab.dev_id, polled.space) == 0);
	for (uint64_t i = 0;; i++) {
		while (i - ring->head->cq_head >= ENTRIES && !ring_reap(ring, &cqe))
			;
		submit(ring, i % 2 ? ring_unmap(polled.space, IOVA, 16 * PAGE, i)
				   : ring_map(polled.space, IOVA, polled.memory, 16 * PAGE, i));
		if (i == 1000)
			*story = 1;
	}
}

/* The poller works on while its file is closed: the mapping still holds it. Then all of it goes. */
static void closing(atomic_int *story)
{
	struct polled polled;
	struct ring *ring = &polled.ring;

	polled_open(&polled, 0);
	close(ring->fd);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		struct ioasid_sqe sqe =
			ring_map(polled.space, IOVA + i * PAGE, polled.memory, PAGE, i);

		ring_push(ring, &sqe);
	}
	ring_submit(ring);
	CHECK(munmap(ring->head, ring->setup.out_length) == 0);
	close(polled.lab.device_fd);
}

/* Another program has the file, but not the memory: what the poller still had to do is not done. */
static void executing(atomic_int *story)
{
	struct polled polled;
	struct ring *ring = &polled.ring;

	polled_open(&polled, 0);
	CHECK(fcntl(ring->fd, F_SETFD, 0) == 0);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		struct ioasid_sqe sqe =
			ring_map(polled.space, IOVA + i * PAGE, polled.memory, PAGE, i);

		ring_push(ring, &sqe);
	}
	ring_submit(ring);
	execl("/bin/busybox", "busybox", "sleep", "1", NULL);
	FAIL("exec: %m");
}

static bool pollers_exist(void)
{
	return system("cat /proc/[0-9]*/comm 2>/dev/null | grep -q '^kioas-[0-9]'") == 0;
}

static void await_end(uint64_t pins)
{
	for (int i = 0; pollers_exist() || lab_pins() != pins; i++) {
		if (i > 100)
			FAIL(pollers_exist() ? "the poller is still there" : "pins stay behind");
		sleep_ms(50);
	}
}

static void check_ends(void)
{
	atomic_int *story =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const uint64_t pins = lab_pins();
	int status;
	pid_t child;

	CHECK(story != MAP_FAILED);
	lab_step("the limits are the owner's");
	child = child_run(limited, story);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	await_end(pins);
	lab_step("its owner is killed while it works");
	for (int round = 0; round < 3; round++) {
		child = child_run(busy, story);
		while (!*story) {
			CHECK(waitpid(child, &status, WNOHANG) == 0);
			sleep_ms(1);
		}
		CHECK(pollers_exist());
		CHECK(kill(child, SIGKILL) == 0);
		CHECK(waitpid(child, &status, 0) == child);
		await_end(pins);
	}
	lab_step("the file is closed while it works");
	child = child_run(closing, story);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	await_end(pins);
	lab_step("its owner executes another program");
	child = child_run(executing, story);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	await_end(pins);
}

int main(void)
{
	check_work();
	check_wakeups();
	check_full();
	check_ends();
	return 0;
}
