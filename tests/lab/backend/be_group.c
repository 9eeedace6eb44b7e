// SPDX-License-Identifier: BSD-3-Clause
/*
 * Devices that the IOMMU cannot tell from each other: they come into an address space together, one
 * of them cannot be moved behind the other's back, and a driver of the kernel on a third one keeps
 * all from being used, until the command in the message has been run.
 */
#include "be_lab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IOVA 0x9000000UL

static struct be_dev *bind_device(struct be_lab *lab, const char *address)
{
	struct be_dev *dev;

	if (lab->ops->dev_bind(lab->be, address, &dev))
		FAIL("%s: %s", address, lab->diag.text);
	return dev;
}

static void attach(struct be_lab *lab, struct be_space *space, struct be_dev *dev)
{
	if (lab->ops->attach(space, dev))
		FAIL("attach: %s", lab->diag.text);
}

static void check_not_viable(struct be_lab *lab, const char *edu, const char *neighbour)
{
	struct be_dev *dev;
	char command[128];

	lab_step("a driver of the kernel has a neighbour; the command mends it");
	snprintf(command, sizeof(command), "lab-bind %s virtio-pci", neighbour);
	lab_run(command);
	CHECK(lab->ops->dev_bind(lab->be, edu, &dev) == -EBUSY);
	snprintf(command, sizeof(command), "not viable: %s is bound to virtio-pci", neighbour);
	be_lab_check_text(lab, command);
	be_lab_mend(lab);
	lab->ops->dev_unbind(bind_device(lab, edu));
}

int main(int argc, char **argv)
{
	const char *first_address = lab_device("group0"), *second_address = lab_device("group1");
	struct be_space *a, *b;
	struct be_dev *second;
	uint8_t *memory[2];
	struct be_lab lab;

	be_lab_init(&lab, argc, argv);
	if (!first_address || !second_address)
		lab_skip("the machine has no devices that share a group");
	be_lab_open(&lab);
	check_not_viable(&lab, first_address, lab_device("group2"));

	a = be_lab_space(&lab);
	b = be_lab_space(&lab);
	memory[0] = lab_buffer(PAGE, 0, 0);
	memory[1] = lab_buffer(PAGE, 0, 0);
	CHECK(be_lab_map(a, IOVA, memory[0], PAGE, IOAS_RW) == 0);
	CHECK(be_lab_map(b, IOVA, memory[1], PAGE, IOAS_RW) == 0);

	lab_step("a neighbour is bound while the first is attached");
	lab.dev = bind_device(&lab, first_address);
	attach(&lab, a, lab.dev);
	second = bind_device(&lab, second_address);

	lab_step("it cannot be attached elsewhere");
	CHECK(lab.ops->attach(b, second) == -EBUSY);
	be_lab_check_text(&lab, "share one");
	attach(&lab, a, second);

	lab_step("neither of two can be moved");
	CHECK(lab.ops->attach(b, lab.dev) == -EBUSY);
	CHECK(lab.ops->attach(b, second) == -EBUSY);
	be_lab_registers_open(&lab);
	CHECK(be_lab_reaches(&lab, IOVA, memory[0]));
	CHECK(!be_lab_reaches(&lab, IOVA, memory[1]));

	lab_step("one is detached, and stopped; the other goes on");
	edu_begin_write(&lab.edu, IOVA, EDU_TRANSFER_BYTES);
	be_lab_registers_close(&lab);
	CHECK(lab.ops->detach(lab.dev) == 0);
	memset(memory[0], 0x31, PAGE);
	lab_run("sleep 0.3");
	CHECK(lab_all_bytes_are(memory[0], PAGE, 0x31));
	lab.ops->dev_unbind(lab.dev);
	lab.dev = second;
	be_lab_registers_open(&lab);
	CHECK(be_lab_reaches(&lab, IOVA, memory[0]));

	lab_step("alone, it can be moved");
	be_lab_registers_close(&lab);
	attach(&lab, b, second);
	be_lab_registers_open(&lab);
	CHECK(be_lab_reaches(&lab, IOVA, memory[1]));
	CHECK(!be_lab_reaches(&lab, IOVA, memory[0]));

	lab_step("the first comes back, into the same space");
	second = lab.dev;
	lab.dev = bind_device(&lab, first_address);
	CHECK(lab.ops->attach(a, lab.dev) == -EBUSY);
	attach(&lab, b, lab.dev);
	be_lab_registers_close(&(struct be_lab){ .ops = lab.ops,
						 .dev = second,
						 .registers = lab.registers,
						 .registers_bytes = lab.registers_bytes });
	be_lab_registers_open(&lab);
	CHECK(be_lab_reaches(&lab, IOVA, memory[1]));

	lab_step("all go");
	be_lab_registers_close(&lab);
	CHECK(lab.ops->detach(second) == 0);
	CHECK(lab.ops->detach(lab.dev) == 0);
	lab.ops->dev_unbind(second);
	lab.ops->dev_unbind(lab.dev);
	lab.ops->space_destroy(a);
	lab.ops->space_destroy(b);
	be_lab_close(&lab);
	return 0;
}
