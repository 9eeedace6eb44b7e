// SPDX-License-Identifier: BSD-3-Clause
/*
 * A process is killed while its device is about to write to memory that another process shares:
 * the write must not land, every pin must go, and the device must be free for the next one.
 */
#include "be_lab.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IOVA	    0x60000000UL
#define BYTES	    (4 * MIB)
#define ROUNDS	    5
#define ROUNDS_MAX  25
#define TRANSFER_MS 100

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The victim's side of the story, in memory that both share but the device does not see. */
struct story {
	atomic_bool mapped;
	atomic_bool go;
	atomic_long began_ms;
};

/* Maps, proves that DMA works, and begins one more when it is told to. */
static _Noreturn void victim(struct be_lab *lab, uint8_t *shared, struct story *story)
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
	story->mapped = true;
	while (!story->go)
		;
	story->began_ms = now_ms();
	edu_begin_write(&lab->edu, IOVA, EDU_TRANSFER_BYTES);
	for (;;)
		pause();
}

static pid_t start_victim(struct be_lab *lab, uint8_t *shared, struct story *story)
{
	pid_t child;

	*story = (struct story){ 0 };
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child)
		victim(lab, shared, story);
	while (!story->mapped) {
		if (waitpid(child, NULL, WNOHANG))
			FAIL("the victim did not get that far");
		sleep_ms(1);
	}
	return child;
}

/*
 * With @in_time the victim dies before the transfer, else after it: then that must be seen.
 * Return: false if the machine was too slow to tell.
 */
static bool check_round(struct be_lab *lab, uint8_t *shared, struct story *story, bool in_time)
{
	const char *free_pages = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
	uint64_t pins = lab_pins(), hugepages = lab_read_number(free_pages);
	pid_t child = start_victim(lab, shared, story);
	bool clear = true;
	int status;

	CHECK(lab_pins() >= pins + BYTES / PAGE);
	story->go = true;
	while (!story->began_ms)
		;
	/* It takes 100 ms; a little of that is for the device to be told. */
	sleep_ms(in_time ? 5 : TRANSFER_MS + 200);
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	if (in_time)
		clear = now_ms() - story->began_ms < TRANSFER_MS - 10;

	sleep_ms(TRANSFER_MS + 200);
	if (clear && lab_all_bytes_are(shared, BYTES, 0xcc) != in_time)
		FAIL(in_time ? "the device wrote to memory after its owner was killed"
			     : "the device did not write while its owner lived");
	CHECK(lab_pins() == pins);
	CHECK(lab_read_number(free_pages) == hugepages);
	return clear;
}

int main(int argc, char **argv)
{
	int clear = 0, rounds = 0;
	struct be_lab lab;
	struct story *story;
	uint8_t *shared;

	be_lab_init(&lab, argc, argv);
	shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	story = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED && story != MAP_FAILED);
	check_round(&lab, shared, story, false);
	while (clear < ROUNDS && rounds++ < ROUNDS_MAX)
		clear += check_round(&lab, shared, story, true);
	printf("    %d of %d rounds were in time\n", clear, rounds);
	CHECK(clear > 0);
	return 0;
}
