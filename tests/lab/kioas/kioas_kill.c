// SPDX-License-Identifier: BSD-3-Clause
/*
 * A process is killed while its device is about to write to memory that another process shares: the
 * write must not land, every pin must go, and the device must be free for the next one. In a KERNEL
 * space, and in those that mirror the process, where the memory goes first: a CPU space, and a VM
 * space for the process that runs the machine.
 */
#include "kioas_lab.h"
#include "machine.h"

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
#define TRIES	    20
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
	struct machine machine;
	uint32_t space;

	if (kind == IOASID_KIND_VM) {
		machine = machine_open(lab->fd, kioas_extension(lab->fd, IOASID_EXT_KVM));
		machine_set(&machine, 0, IOVA, shared, BYTES, false);
		return machine.space;
	}
	if (kind == IOASID_KIND_CPU) {
		CHECK(kioas_alloc_cpu(lab->fd, &data, &space) == 0);
		return space;
	}
	space = kioas_space(lab->fd, kind, 0);
	CHECK(kioas_map_one(lab->fd, space, IOVA, shared, BYTES, RW) == 0);
	return space;
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

/* It is quickest to kill itself: a transfer takes no longer on a busy host. */
static _Noreturn void victim(enum ioasid_kind kind, uint8_t *shared, atomic_int *story, bool killed)
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
	CHECK(pci_command() & 4);
	*story = 1;
	edu_begin_write(&lab.edu, IOVA, EDU_TRANSFER_BYTES);
	if (killed)
		kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Return: false: nothing is proved: the write landed while the process was there. */
static bool try_round(enum ioasid_kind kind, uint8_t *shared, atomic_int *story, bool killed)
{
	uint64_t pins = lab_pins();
	bool early;
	pid_t child;

	*story = 0;
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child)
		victim(kind, shared, story, killed);
	if (!killed) {
		while (!*story && waitpid(child, NULL, WNOHANG) == 0)
			sleep_ms(1);
		sleep_ms(TRANSFER_MS + 200);
		CHECK(kill(child, SIGKILL) == 0);
	}
	CHECK(waitpid(child, NULL, 0) == child);
	if (!*story)
		FAIL("the victim did not get that far");
	early = !lab_all_bytes_are(shared, BYTES, 0xcc);
	CHECK(!(pci_command() & 4));
	sleep_ms(TRANSFER_MS + 200);
	CHECK(lab_pins() == pins);
	if (killed && early)
		return false;
	if (lab_all_bytes_are(shared, BYTES, 0xcc) != killed)
		FAIL(killed ? "the device wrote to memory after its owner was killed"
			    : "the device did not write while its owner lived");
	return true;
}

/* On a busy host an end may take longer than a transfer. */
static void check_round(enum ioasid_kind kind, uint8_t *shared, atomic_int *story, bool killed)
{
	int tries = 1;

	while (!try_round(kind, shared, story, killed))
		if (++tries > TRIES)
			FAIL("kind %d: no process ended before its transfer", kind);
	if (tries > 1)
		printf("    kind %d: a process ended in time after %d tries\n", kind, tries);
}

int main(void)
{
	static const enum ioasid_kind kinds[] = { IOASID_KIND_KERNEL, IOASID_KIND_CPU,
						  IOASID_KIND_VM };
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
