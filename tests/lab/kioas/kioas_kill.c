// SPDX-License-Identifier: BSD-3-Clause
/*
 * A process is killed while its device is about to write to memory that another process shares: the
 * write must not land, every pin must go, and the device must be free for the next one. In a KERNEL
 * space, and in one that mirrors the process: there the memory goes first.
 */
#include "kioas_lab.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IOVA	    ((uintptr_t)LOW_ADDRESS)
#define BYTES	    (1 * MIB)
#define ROUNDS	    3
#define TRANSFER_MS 100

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static uint32_t make_space(struct kioas_lab *lab, enum ioasid_kind kind, uint8_t *shared)
{
	const struct ioasid_alloc_cpu data = {
		.start = IOVA,
		.last = IOVA + BYTES - 1,
		.prot = IOASID_PROT_READ | IOASID_PROT_WRITE,
	};
	uint32_t space;

	if (kind == IOASID_KIND_CPU) {
		CHECK(kioas_alloc_cpu(lab->fd, &data, &space) == 0);
		return space;
	}
	space = kioas_space(lab->fd, kind, 0);
	CHECK(kioas_map_one(lab->fd, space, IOVA, shared, BYTES, RW) == 0);
	return space;
}

static _Noreturn void victim(enum ioasid_kind kind, uint8_t *shared, atomic_int *story)
{
	struct kioas_lab lab;
	uint32_t space;

	kioas_lab_open(&lab);
	space = make_space(&lab, kind, shared);
	CHECK(kioas_attach(lab.fd, lab.dev_id, space) == 0);
	CHECK(kioas_control(lab.fd, lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(kioas_register(lab.fd, lab_buffer(MIB, 0, 1), MIB, IOASID_PROT_READ) == 0);
	CHECK(edu_reaches(&lab.edu, IOVA, shared));
	memset(shared, 0xcc, BYTES);
	edu_begin_write(&lab.edu, IOVA, EDU_TRANSFER_BYTES);
	*story = 1;
	for (;;)
		pause();
}

static uint16_t pci_command(void)
{
	uint16_t command;
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", lab_device("edu"));
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && pread(fd, &command, 2, 4) == 2);
	close(fd);
	return command;
}

static void check_round(enum ioasid_kind kind, uint8_t *shared, atomic_int *story, bool killed)
{
	uint64_t pins = lab_pins();
	pid_t child;

	*story = 0;
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child)
		victim(kind, shared, story);
	while (!*story) {
		if (waitpid(child, NULL, WNOHANG))
			FAIL("the victim did not get that far");
		sleep_ms(1);
	}
	CHECK(pci_command() & 4);
	if (!killed)
		sleep_ms(TRANSFER_MS + 200);
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, NULL, 0) == child);
	CHECK(!(pci_command() & 4));
	sleep_ms(TRANSFER_MS + 200);
	if (lab_all_bytes_are(shared, BYTES, 0xcc) != killed)
		FAIL(killed ? "the device wrote to memory after its owner was killed"
			    : "the device did not write while its owner lived");
	CHECK(lab_pins() == pins);
}

int main(void)
{
	static const enum ioasid_kind kinds[] = { IOASID_KIND_KERNEL, IOASID_KIND_CPU };
	uint8_t *shared = mmap(LOW_ADDRESS, BYTES, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	atomic_int *story =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(shared != MAP_FAILED && story != MAP_FAILED);
	for (unsigned int kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		check_round(kinds[kind], shared, story, false);
		for (int round = 0; round < ROUNDS; round++)
			check_round(kinds[kind], shared, story, true);
	}
	return 0;
}
