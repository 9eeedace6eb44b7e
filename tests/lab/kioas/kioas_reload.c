// SPDX-License-Identifier: BSD-3-Clause
/* The module goes when nobody uses it, not before, and comes back; its devices survive that. */
#include "kioas_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IOVA 0x30000000UL

static void check_dma(void)
{
	uint8_t *memory = lab_buffer(PAGE, 0, 1);
	struct kioas_lab lab;
	uint32_t space;

	kioas_lab_open(&lab);
	space = kioas_space(lab.fd, IOASID_KIND_KERNEL, 0);
	CHECK(kioas_attach(lab.fd, lab.dev_id, space) == 0);
	CHECK(kioas_control(lab.fd, lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(kioas_map_one(lab.fd, space, IOVA, memory, PAGE, RW) == 0);
	CHECK(edu_reaches(&lab.edu, IOVA, memory));
	CHECK(system("rmmod kioas 2>/dev/null") != 0);
	CHECK(edu_reaches(&lab.edu, IOVA, memory));
	kioas_lab_close(&lab);
}

int main(void)
{
	char command[128];

	for (int round = 0; round < 3; round++) {
		check_dma();
		lab_run("rmmod kioas");
		CHECK(access("/dev/ioasid", F_OK) != 0);
		CHECK(access("/dev/kioas", F_OK) != 0);
		lab_run("insmod /lab/modules/kioas.ko");
		snprintf(command, sizeof(command), "lab-bind %s kioas", lab_device("edu"));
		lab_run(command);
	}
	check_dma();
	return 0;
}
