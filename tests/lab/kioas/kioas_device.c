// SPDX-License-Identifier: BSD-3-Clause
/* Devices: who may have one, what it says of itself, and that it may be taken away at any time. */
#include "kioas_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IOVA 0x20000000UL

static void check_bind(struct kioas_lab *lab)
{
	uint32_t dev_id;
	int other = kioas_open(), null = open("/dev/null", O_RDWR);

	lab_step("a device is bound once");
	CHECK(kioas_bind(lab->fd, lab->device_fd, 0, &dev_id) == -EBUSY);
	kioas_check_why(lab->fd, EBUSY, IOASID_BIND_DEVICE, "device_fd", 0);
	CHECK(kioas_bind(other, lab->device_fd, 0, &dev_id) == -EBUSY);
	lab_step("and by its file only");
	CHECK(kioas_bind(other, null, 0, &dev_id) == -EINVAL);
	CHECK(kioas_bind(other, other, 0, &dev_id) == -EINVAL);
	CHECK(kioas_bind(other, -1, 0, &dev_id) == -ENOENT);
	lab_step("unbound, it is free for another file");
	CHECK(kioas_unbind(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_unbind(lab->fd, lab->dev_id) == -ENOENT);
	CHECK(kioas_bind(other, lab->device_fd, 0, &dev_id) == 0);
	close(other);
	CHECK(kioas_bind(lab->fd, lab->device_fd, EDU_COOKIE, &lab->dev_id) == 0);
	close(null);
}

static void check_permission(struct kioas_lab *lab)
{
	struct stat state;
	char path[64];
	int status;
	pid_t child;

	snprintf(path, sizeof(path), "/dev/kioas/%s", lab->address);
	CHECK(stat(path, &state) == 0 && (state.st_mode & 0777) == 0600);
	CHECK(stat("/dev/ioasid", &state) == 0 && (state.st_mode & 0777) == 0666);
	lab_step("without privileges: /dev/ioasid opens, the device's file does not");
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		CHECK(setuid(1000) == 0);
		CHECK(open("/dev/ioasid", O_RDWR) >= 0);
		CHECK(open(path, O_RDWR) < 0 && errno == EACCES);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void check_info(struct kioas_lab *lab)
{
	struct ioasid_range ranges[64];
	struct ioasid_device_info info = { .size = sizeof(info), .dev_id = lab->dev_id };
	uint32_t count, i;

	lab_step("its IOVAs: without room, only how many ranges there are");
	CHECK(kioas_call(lab->fd, IOASID_DEVICE_GET_INFO, &info) == -EMSGSIZE);
	count = info.range_count;
	CHECK(count >= 1 && count < 64);
	info.ranges_uptr = (uintptr_t)ranges;
	memset(ranges, 0xa5, sizeof(ranges));
	CHECK(kioas_call(lab->fd, IOASID_DEVICE_GET_INFO, &info) == 0);
	CHECK(info.range_count == count && ranges[count].start == 0xa5a5a5a5a5a5a5a5);
	for (i = 0; i < count; i++) {
		printf("    0x%llx to 0x%llx\n", ranges[i].start, ranges[i].last);
		CHECK(ranges[i].start <= ranges[i].last);
		CHECK(i == 0 || ranges[i].start > ranges[i - 1].last + 1);
		/* x86: interrupts */
		CHECK(ranges[i].last < 0xfee00000 || ranges[i].start > 0xfeefffff);
	}
	CHECK(ranges[count - 1].last >= (1UL << 32));
	CHECK(info.out_cookie == EDU_COOKIE);
	CHECK(info.out_page_sizes & PAGE);
	CHECK(!(info.out_caps & (IOASID_DEVICE_CAP_PASID | IOASID_DEVICE_CAP_DIRTY)));
	info.dev_id = 4711;
	CHECK(kioas_call(lab->fd, IOASID_DEVICE_GET_INFO, &info) == -ENOENT);
}

/* All that a space can be given is reached: the last page of its IOVAs, too. */
static void check_last_page(struct kioas_lab *lab)
{
	struct ioasid_range ranges[64];
	struct ioasid_device_info info = {
		.size = sizeof(info),
		.dev_id = lab->dev_id,
		.ranges_uptr = (uintptr_t)ranges,
		.range_count = 64,
	};
	uint8_t *memory = lab_buffer(PAGE, 0, 1);
	uint32_t space = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0);
	uint64_t last;

	CHECK(kioas_call(lab->fd, IOASID_DEVICE_GET_INFO, &info) == 0);
	last = (ranges[info.range_count - 1].last + 1) - PAGE;
	lab_step("the last page of its IOVAs is reached, the next is refused");
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(kioas_map_one(lab->fd, space, last, memory, PAGE, RW) == 0);
	CHECK(edu_reaches(&lab->edu, last, memory));
	CHECK(kioas_map_one(lab->fd, space, last + PAGE, memory, PAGE, RW) == -ERANGE);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_OFF) == 0);
	CHECK(!edu_reaches(&lab->edu, last, memory));
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_RESET) == -EOPNOTSUPP);
	CHECK(kioas_control(lab->fd, lab->dev_id, 99) == -EOPNOTSUPP);
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, space) == 0);
}

static void check_event(struct kioas_lab *lab)
{
	struct ioasid_event_record record;
	struct pollfd poll_fd = { .fd = lab->fd, .events = POLLIN };
	uint8_t few[8];

	CHECK(poll(&poll_fd, 1, 2000) == 1);
	CHECK(read(lab->fd, few, sizeof(few)) < 0 && errno == EINVAL);
	CHECK(read(lab->fd, &record, sizeof(record)) == sizeof(record));
	CHECK(record.event == IOASID_EVENT_DEVICE_GONE && record.dev_id == lab->dev_id);
	CHECK(record.cookie == EDU_COOKIE && record.lost == 0);
	CHECK(fcntl(lab->fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK(read(lab->fd, &record, sizeof(record)) < 0 && errno == EAGAIN);
	CHECK(poll(&poll_fd, 1, 0) == 0);
	CHECK(write(lab->fd, &record, sizeof(record)) < 0 && errno == EOPNOTSUPP);
}

/* The device goes while it is attached and masters the bus. */
static void check_removal(struct kioas_lab *lab)
{
	uint32_t space = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0), dev_id;
	uint8_t *memory = lab_buffer(PAGE, 0, 1);
	char command[128];

	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(kioas_map_one(lab->fd, space, IOVA, memory, PAGE, RW) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA, memory));
	lab_step("its driver is taken away: no DMA, an event, and the number is gone");
	snprintf(command, sizeof(command), "lab-bind %s none", lab->address);
	lab_run(command);
	CHECK(!edu_reaches(&lab->edu, IOVA, memory));
	check_event(lab);
	CHECK(kioas_detach(lab->fd, lab->dev_id) == -ENOENT);
	CHECK(kioas_bind(lab->fd, lab->device_fd, 0, &dev_id) == -ENODEV);
	lab_step("the space lives on, and takes the device when it comes back");
	snprintf(command, sizeof(command), "lab-bind %s kioas", lab->address);
	lab_run(command);
	close(lab->device_fd);
	lab->device_fd = kioas_open_device(lab->address);
	CHECK(kioas_bind(lab->fd, lab->device_fd, 0, &lab->dev_id) == 0);
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA, memory));
}

int main(void)
{
	struct kioas_lab lab;

	kioas_lab_open(&lab);
	check_bind(&lab);
	check_permission(&lab);
	check_info(&lab);
	check_last_page(&lab);
	check_removal(&lab);
	kioas_lab_close(&lab);
	return 0;
}
