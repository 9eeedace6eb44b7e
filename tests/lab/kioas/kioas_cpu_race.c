// SPDX-License-Identifier: BSD-3-Clause
/*
 * The process gives up a page after the kernel has pinned it for a space that mirrors it, and
 * before it is in the table: the page must not get there. The module is asked to wait between the
 * two, which it can in kernels that inject faults.
 */
#include "kioas_lab.h"
#include "twins.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define DELAY_FILE "/sys/module/kioas/parameters/fill_delay_ms"
#define DELAY_MS   400
#define ROUNDS	   3

static uint8_t *const low = LOW_ADDRESS;

static void set_delay(unsigned int ms)
{
	char text[16];
	int bytes = snprintf(text, sizeof(text), "%u", ms);
	int fd = open(DELAY_FILE, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		lab_skip("the kernel injects no faults");
	CHECK(write(fd, text, bytes) == bytes);
	close(fd);
}

struct fill {
	struct kioas_lab *lab;
	uint32_t space;
	int ret;
};

static void *fill_thread(void *argument)
{
	struct fill *fill = argument;

	fill->ret = kioas_invalidate_all(fill->lab->fd, fill->space);
	return NULL;
}

/* The page of @old is pinned when @new takes its place. */
static void check_round(struct kioas_lab *lab, uint32_t space)
{
	struct twins old = twins_open(), new = twins_open();
	struct fill fill = { .lab = lab, .space = space };
	uint64_t pins = lab_pins();
	pthread_t thread;

	twins_map(&old, low);
	memset(low, 1, PAGE);
	set_delay(DELAY_MS);
	CHECK(pthread_create(&thread, NULL, fill_thread, &fill) == 0);
	while (lab_pins() == pins)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	twins_map(&new, low);
	set_delay(0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(fill.ret == 0);
	CHECK(!edu_reaches(&lab->edu, (uintptr_t)low, old.view));
	CHECK(edu_reaches(&lab->edu, (uintptr_t)low, new.view));
	CHECK(munmap(low, PAGE) == 0);
	twins_close(&old);
	twins_close(&new);
}

int main(void)
{
	const struct ioasid_alloc_cpu data = {
		.start = (uintptr_t)low,
		.last = (uintptr_t)low + 2 * MIB - 1,
		.prot = IOASID_RW,
	};
	struct kioas_lab lab;
	uint32_t space;

	set_delay(0);
	kioas_lab_open(&lab);
	CHECK(kioas_alloc_cpu(lab.fd, &data, &space) == 0);
	CHECK(kioas_attach(lab.fd, lab.dev_id, space) == 0);
	CHECK(kioas_control(lab.fd, lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	lab_step("a page that is given up between pin and map does not get into the table");
	for (int round = 0; round < ROUNDS; round++)
		check_round(&lab, space);
	kioas_lab_close(&lab);
	return 0;
}
