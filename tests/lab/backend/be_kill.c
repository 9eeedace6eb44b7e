// SPDX-License-Identifier: BSD-3-Clause
/*
 * A process is killed while its device is about to write to memory that another process shares:
 * the write must not land, every pin must go, and the device must be free for the next one.
 */
#define _GNU_SOURCE
#include "be_lab.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IOVA   0x60000000UL
#define BYTES  (4 * MIB)
#define ROUNDS 5

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* Maps, proves that DMA works, begins one more and says so. */
static _Noreturn void victim(struct be_lab *lab, uint8_t *shared, int ready)
{
	uint8_t *huge = lab_buffer(8 * MIB, MAP_HUGETLB, 1);
	struct be_space *space;

	be_lab_open(lab);
	be_lab_bind(lab);
	space = be_lab_space(lab);
	CHECK(lab->ops->attach(space, lab->dev) == 0);
	be_lab_registers_open(lab);
	CHECK(be_lab_map(space, IOVA, shared, BYTES, IOAS_RW) == 0);
	CHECK(be_lab_map(space, 0x70000000, huge, 8 * MIB, IOAS_RW) == 0);
	CHECK(be_lab_reaches(lab, IOVA, shared));
	memset(shared, 0xcc, BYTES);
	edu_begin_write(&lab->edu, IOVA, EDU_TRANSFER_BYTES);
	CHECK(write(ready, "", 1) == 1);
	for (;;)
		pause();
}

/* With @in_time the victim dies before the transfer, else after it: then that must be seen. */
static void check_round(struct be_lab *lab, uint8_t *shared, bool in_time)
{
	const char *free_pages = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
	uint64_t pins = be_lab_pins(), hugepages = be_lab_read_number(free_pages);
	int pipes[2], status;
	char byte;
	pid_t child;

	CHECK(pipe(pipes) == 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		close(pipes[0]);
		victim(lab, shared, pipes[1]);
	}
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) != 1)
		FAIL("the victim did not get that far");
	close(pipes[0]);
	CHECK(be_lab_pins() >= pins + BYTES / PAGE);
	if (!in_time)
		sleep_ms(400);
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	/* The transfer was to happen 100 ms after its beginning. */
	sleep_ms(400);
	if (lab_all_bytes_are(shared, BYTES, 0xcc) != in_time)
		FAIL(in_time ? "the device wrote to memory after its owner was killed"
			     : "the device did not write while its owner lived");
	CHECK(be_lab_pins() == pins);
	CHECK(be_lab_read_number(free_pages) == hugepages);
}

int main(int argc, char **argv)
{
	struct be_lab lab;
	uint8_t *shared;

	be_lab_init(&lab, argc, argv);
	shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	check_round(&lab, shared, false);
	for (int round = 0; round < ROUNDS; round++)
		check_round(&lab, shared, true);
	return 0;
}
