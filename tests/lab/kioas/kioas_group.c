// SPDX-License-Identifier: BSD-3-Clause
/*
 * Devices of one IOMMU group have one owner and one space; a neighbour of a driver that does DMA
 * keeps the whole group away.
 */
#include "kioas_lab.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define IOVA 0x20000000UL

static void bind_driver(const char *address, const char *driver)
{
	char command[128];

	snprintf(command, sizeof(command), "lab-bind %s %s", address, driver);
	lab_run(command);
}

/* Which group a bound device says that it is in. */
static uint32_t group_of(int fd, uint32_t dev_id)
{
	struct ioasid_range ranges[64];
	struct ioasid_device_info info = {
		.size = sizeof(info),
		.dev_id = dev_id,
		.ranges_uptr = (uintptr_t)ranges,
		.range_count = 64,
	};

	CHECK(kioas_call(fd, IOASID_DEVICE_GET_INFO, &info) == 0);
	return info.out_group;
}

static void check_owner(const int device_fds[2])
{
	int fd = kioas_open(), other = kioas_open();
	uint32_t ids[2], none;

	lab_step("a group has one owner, until its last device is unbound");
	CHECK(kioas_bind(fd, device_fds[0], 0, &ids[0]) == 0);
	CHECK(kioas_bind(other, device_fds[1], 0, &none) == -EBUSY);
	kioas_check_why(other, EBUSY, IOASID_BIND_DEVICE, "device_fd", 0);
	CHECK(kioas_bind(fd, device_fds[1], 0, &ids[1]) == 0);
	CHECK(group_of(fd, ids[0]) == group_of(fd, ids[1]));
	CHECK(kioas_unbind(fd, ids[0]) == 0);
	CHECK(kioas_bind(other, device_fds[0], 0, &none) == -EBUSY);
	CHECK(kioas_unbind(fd, ids[1]) == 0);
	CHECK(kioas_bind(other, device_fds[0], 0, &none) == 0);
	close(other);
	close(fd);
}

static void check_attach(const int device_fds[2])
{
	int fd = kioas_open();
	uint32_t ids[2], first, second;

	lab_step("its devices are attached to one space; alone, one may move");
	first = kioas_space(fd, IOASID_KIND_KERNEL, 0);
	second = kioas_space(fd, IOASID_KIND_KERNEL, 0);
	CHECK(kioas_bind(fd, device_fds[0], 0, &ids[0]) == 0);
	CHECK(kioas_bind(fd, device_fds[1], 0, &ids[1]) == 0);
	CHECK(kioas_attach(fd, ids[0], first) == 0);
	CHECK(kioas_attach(fd, ids[1], second) == -EBUSY);
	kioas_check_why(fd, EBUSY, IOASID_ATTACH, "dev_id", 0);
	CHECK(kioas_attach(fd, ids[0], second) == 0);
	CHECK(kioas_free(fd, first) == 0);
	CHECK(kioas_attach(fd, ids[1], second) == 0);
	CHECK(kioas_detach(fd, ids[0]) == 0);
	CHECK(kioas_free(fd, second) == -EBUSY);
	CHECK(kioas_detach(fd, ids[1]) == 0);
	CHECK(kioas_free(fd, second) == 0);
	close(fd);
}

static void check_neighbour(const char *neighbour, const int device_fds[2])
{
	int fd = kioas_open();
	uint32_t dev_id;

	lab_step("not while a driver of the kernel has a device of the group");
	bind_driver(neighbour, "virtio-pci");
	CHECK(kioas_bind(fd, device_fds[0], 0, &dev_id) == -EBUSY);
	bind_driver(neighbour, "none");
	CHECK(kioas_bind(fd, device_fds[0], 0, &dev_id) == 0);
	close(fd);
	bind_driver(neighbour, "kioas");
}

int main(void)
{
	const char *neighbour = lab_device("group2");
	int device_fds[2];

	if (!neighbour)
		FAIL("the machine was started without --group");
	device_fds[0] = kioas_open_device(lab_device("group0"));
	device_fds[1] = kioas_open_device(lab_device("group1"));
	check_owner(device_fds);
	check_attach(device_fds);
	check_neighbour(neighbour, device_fds);
	return 0;
}
