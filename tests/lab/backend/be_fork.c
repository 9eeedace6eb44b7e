// SPDX-License-Identifier: BSD-3-Clause
/*
 * A process with mapped memory forks: the device stays with the parent's memory, whoever writes to
 * it first, and the child's end takes nothing away.
 */
#include "be_lab.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define IOVA 0xa000000UL

/* Both get a copy of a page that is written to, but which of them gets the new one? */
static void check_fork(struct be_lab *lab, uint8_t *memory, size_t bytes, bool child_first)
{
	int pipes[2], status;
	pid_t child;

	CHECK(pipe(pipes) == 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		if (child_first)
			memset(memory, 0x11, bytes);
		CHECK(write(pipes[1], "", 1) == 1);
		pause();
	}
	CHECK(read(pipes[0], (char[1]){ 0 }, 1) == 1);
	CHECK(be_lab_reaches(lab, IOVA, memory));
	CHECK(be_lab_reaches(lab, IOVA + bytes - PAGE, memory + bytes - PAGE));
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(be_lab_reaches(lab, IOVA, memory));
	close(pipes[0]);
	close(pipes[1]);
}

/* A child that ends as programs do, closing all it has. */
static void check_exit(struct be_lab *lab, uint8_t *memory)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child)
		exit(0);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(be_lab_reaches(lab, IOVA, memory));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *what;
		size_t bytes;
		int flags;
	} kinds[] = {
		{ "small pages", 64 * KIB, 0 },
		{ "a hugepage", 2 * MIB, MAP_HUGETLB },
	};
	struct be_space *space;
	struct be_lab lab;

	be_lab_init(&lab, argc, argv);
	be_lab_open(&lab);
	be_lab_bind(&lab);
	space = be_lab_space(&lab);
	CHECK(lab.ops->attach(space, lab.dev) == 0);
	be_lab_registers_open(&lab);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint8_t *memory = lab_buffer(kinds[i].bytes, kinds[i].flags, 0);

		lab_step(kinds[i].what);
		CHECK(be_lab_map(space, IOVA, memory, kinds[i].bytes, IOAS_RW) == 0);
		check_fork(&lab, memory, kinds[i].bytes, false);
		check_fork(&lab, memory, kinds[i].bytes, true);
		check_exit(&lab, memory);
		CHECK(be_lab_unmap(space, IOVA, kinds[i].bytes) == 0);
		CHECK(!be_lab_reaches(&lab, IOVA, memory));
	}
	return 0;
}
