// SPDX-License-Identifier: BSD-3-Clause
/* See lab_files.h. */
#include "lab_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab_prog.h"
#include "lab_state.h"

#define NOBODY 65534

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
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %m", path);
	return fd;
}

int lab_open_device(const char *backend, const char *address)
{
	char pattern[192];

	snprintf(pattern, sizeof(pattern),
		 !strcmp(backend, "type1")
			 ? "/dev/vfio/$(basename $(readlink /sys/bus/pci/devices/%s/iommu_group))"
		 : !strcmp(backend, "iommufd")
			 ? "/dev/vfio/devices/$(ls /sys/bus/pci/devices/%s/vfio-dev)"
			 : "/dev/kioas/%s",
		 address);
	return open_file(pattern);
}

int lab_open_context(const char *backend)
{
	if (!strcmp(backend, "type1"))
		return -1;
	return open_file(!strcmp(backend, "iommufd") ? "/dev/iommu" : "/dev/ioasid");
}

void lab_let_nobody(const char *backend, const char *address)
{
	char command[128];

	if (!strcmp(backend, "type1"))
		lab_run("chmod 666 /dev/vfio/vfio");
	if (strcmp(backend, "ioasid"))
		return;
	snprintf(command, sizeof(command), "chown %d /sys/bus/pci/devices/%s/resource0", NOBODY,
		 address);
	lab_run(command);
}

void lab_become_nobody(void)
{
	CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}
