// SPDX-License-Identifier: BSD-3-Clause
/* See lab_state.h. */
#include "lab_state.h"

#include "lab_prog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lab_run(const char *command)
{
	fflush(stdout);
	if (system(command))
		FAIL("failed: %s", command);
}

void lab_bind_devices(const char *driver)
{
	static const char *const names[] = { "edu", "nvme0", "group0", "group1", "group2" };
	char command[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *address = lab_device(names[i]);

		if (!address)
			continue;
		snprintf(command, sizeof(command), "lab-bind %s %s", address, driver);
		lab_run(command);
	}
}

uint64_t lab_vmstat(const char *name)
{
	FILE *file = fopen("/proc/vmstat", "r");
	char found[64];
	uint64_t value;

	CHECK(file);
	while (fscanf(file, "%63s %" SCNu64, found, &value) == 2)
		if (!strcmp(found, name)) {
			fclose(file);
			return value;
		}
	FAIL("/proc/vmstat has no %s", name);
}

uint64_t lab_pins(void)
{
	/* Processors keep some of the counts to themselves until they are asked. */
	FILE *file = fopen("/proc/sys/vm/stat_refresh", "w");

	CHECK(file);
	fputs("1", file);
	fclose(file);
	return lab_vmstat("nr_foll_pin_acquired") - lab_vmstat("nr_foll_pin_released");
}

uint64_t lab_read_number(const char *path)
{
	FILE *file = fopen(path, "r");
	uint64_t value;

	CHECK(file);
	CHECK(fscanf(file, "%" SCNu64, &value) == 1);
	fclose(file);
	return value;
}
