// SPDX-License-Identifier: BSD-3-Clause
/*
 * A program without privileges works with files that a privileged one has opened, and cannot
 * without them.
 */
#include "be_lab.h"

#include "../prog/lab_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BYTES (32 * KIB)

int main(int argc, char **argv)
{
	const struct rlimit memlock = { .rlim_cur = 64 * KIB, .rlim_max = 64 * KIB };
	char options[32] = "", name[64];
	struct be_space *space;
	struct be_lab lab;
	uint8_t *memory;
	int device, context;

	be_lab_init(&lab, argc, argv);
	lab_step("root opens the files and leaves");
	device = lab_open_device(lab.ops->name, lab.address);
	snprintf(name, sizeof(name), "%s@%d", lab.address, device);
	context = lab_open_context(lab.ops->name);
	if (context >= 0)
		snprintf(options, sizeof(options), "fd=%d", context);
	lab_let_nobody(lab.ops->name, lab.address);
	CHECK(setrlimit(RLIMIT_MEMLOCK, &memlock) == 0);
	lab_become_nobody();

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
