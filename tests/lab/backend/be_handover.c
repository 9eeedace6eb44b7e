// SPDX-License-Identifier: BSD-3-Clause
/*
 * A program without privileges works with files that a privileged one has opened, and cannot
 * without them.
 */
#include "be_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOBODY 65534
#define BYTES  (32 * KIB)

/* @pattern is one that the shell knows. */
static int open_file(const char *pattern)
{
	char command[256], path[128];
	FILE *list;
	int fd;

	snprintf(command, sizeof(command), "ls -d %s", pattern);
	list = popen(command, "r");
	CHECK(list && fscanf(list, "%127s", path) == 1);
	pclose(list);
	fd = open(path, O_RDWR);
	if (fd < 0)
		FAIL("%s: %m", path);
	return fd;
}

/* What the backend opens for the device, opened here. */
static int open_device(struct be_lab *lab)
{
	char pattern[192];

	snprintf(pattern, sizeof(pattern),
		 be_lab_is(lab, "type1")
			 ? "/dev/vfio/$(basename $(readlink /sys/bus/pci/devices/%s/iommu_group))"
		 : be_lab_is(lab, "iommufd")
			 ? "/dev/vfio/devices/$(ls /sys/bus/pci/devices/%s/vfio-dev)"
			 : "/dev/kioas/%s",
		 lab->address);
	return open_file(pattern);
}

/* Registers are files of sysfs, which do not come with the device's. */
static void give_registers(struct be_lab *lab)
{
	char command[128];

	snprintf(command, sizeof(command), "chown %d /sys/bus/pci/devices/%s/resource0", NOBODY,
		 lab->address);
	lab_run(command);
}

int main(int argc, char **argv)
{
	const struct rlimit memlock = { .rlim_cur = 64 * KIB, .rlim_max = 64 * KIB };
	char options[32] = "", name[64];
	struct be_space *space;
	struct be_lab lab;
	uint8_t *memory;
	int device;

	be_lab_init(&lab, argc, argv);
	lab_step("root opens the files and leaves");
	device = open_device(&lab);
	snprintf(name, sizeof(name), "%s@%d", lab.address, device);
	if (!be_lab_is(&lab, "type1"))
		snprintf(options, sizeof(options), "fd=%d",
			 open_file(be_lab_is(&lab, "iommufd") ? "/dev/iommu" : "/dev/ioasid"));
	if (be_lab_is(&lab, "ioasid"))
		give_registers(&lab);
	if (be_lab_is(&lab, "type1"))
		/* As udev does: a container gives no rights. */
		lab_run("chmod 666 /dev/vfio/vfio");
	CHECK(setrlimit(RLIMIT_MEMLOCK, &memlock) == 0);
	CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);

	lab_step("nobody may open nothing");
	if (be_lab_is(&lab, "iommufd")) {
		CHECK(lab.ops->open(&lab.diag, NULL, &lab.be) == -EACCES);
	} else {
		be_lab_open(&lab);
		CHECK(lab.ops->dev_bind(lab.be, lab.address, &lab.dev) < 0);
		be_lab_close(&lab);
	}

	lab_step("but works with what is open");
	if (lab.ops->open(&lab.diag, options, &lab.be))
		FAIL("open: %s", lab.diag.text);
	if (lab.ops->dev_bind(lab.be, name, &lab.dev))
		FAIL("bind: %s", lab.diag.text);
	space = be_lab_space(&lab);
	if (lab.ops->attach(space, lab.dev))
		FAIL("attach: %s", lab.diag.text);
	be_lab_registers_open(&lab);
	memory = lab_buffer(4 * BYTES, 0, 0);
	CHECK(be_lab_map(space, 0x9000000, memory, BYTES, IOAS_RW) == 0);
	CHECK(be_lab_reaches(&lab, 0x9000000, memory));

	lab_step("within its limits");
	CHECK(be_lab_map(space, 0xa000000, memory + BYTES, 2 * BYTES, IOAS_RW) == -ENOMEM);
	CHECK(be_lab_reaches(&lab, 0x9000000, memory));
	CHECK(be_lab_unmap(space, 0x9000000, BYTES) == 0);
	CHECK(!be_lab_reaches(&lab, 0x9000000, memory));

	lab_step("the files stay the caller's");
	be_lab_registers_close(&lab);
	CHECK(lab.ops->detach(lab.dev) == 0);
	lab.ops->space_destroy(space);
	be_lab_unbind(&lab);
	be_lab_close(&lab);
	CHECK(fcntl(device, F_GETFD) >= 0);
	return 0;
}
