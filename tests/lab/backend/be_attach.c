// SPDX-License-Identifier: BSD-3-Clause
/*
 * attach, replace and detach: a device sees the address space it is attached to and no other, and
 * a space keeps its mappings whether a device is attached or not.
 */
#include "be_lab.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#define IOVA 0x7000000UL

static void attach(struct be_lab *lab, struct be_space *space)
{
	if (lab->ops->attach(space, lab->dev))
		FAIL("attach: %s", lab->diag.text);
	be_lab_registers_open(lab);
}

static void detach(struct be_lab *lab)
{
	be_lab_registers_close(lab);
	CHECK(lab->ops->detach(lab->dev) == 0);
}

static bool masters_bus(struct be_lab *lab)
{
	uint16_t command;

	CHECK(lab->ops->pci->config_read(lab->dev, PCI_COMMAND, &command, sizeof(command)) == 0);
	return command & PCI_COMMAND_MASTER;
}

static void check_registers(struct be_lab *lab)
{
	const struct be_pci_ops *pci = lab->ops->pci;
	uint32_t id = 0;
	void *va;
	uint64_t bytes;

	lab_step("registers");
	CHECK(pci->config_read(lab->dev, PCI_VENDOR_ID, &id, sizeof(id)) == 0);
	CHECK(id == 0x11e81234);
	CHECK(masters_bus(lab));
	CHECK(pci->bus_master(lab->dev, false) == 0);
	CHECK(!masters_bus(lab));
	CHECK(pci->bus_master(lab->dev, true) == 0);
	CHECK(lab->registers_bytes == 1 * MIB);
	CHECK(pci->bar_map(lab->dev, 1, &va, &bytes) == -ENOENT);
	CHECK(pci->bar_map(lab->dev, 6, &va, &bytes) == -EINVAL);
	CHECK(pci->config_read(lab->dev, 4096, &id, sizeof(id)) < 0);
}

int main(int argc, char **argv)
{
	uint8_t *a_memory, *b_memory, *late;
	struct be_space *a, *b;
	struct be_lab lab;
	uint64_t pins;
	bool type1;
	uint32_t id;

	be_lab_init(&lab, argc, argv);
	type1 = be_lab_is(&lab, "type1");
	be_lab_open(&lab);
	be_lab_bind(&lab);
	a = be_lab_space(&lab);
	b = be_lab_space(&lab);
	a_memory = lab_buffer(4 * PAGE, 0, 0);
	b_memory = lab_buffer(4 * PAGE, 0, 0);
	late = lab_buffer(PAGE, 0, 0);
	pins = lab_pins();

	lab_step("mappings made before a device is attached hold");
	CHECK(be_lab_map(a, IOVA, a_memory, 4 * PAGE, IOAS_RW) == 0);
	CHECK(be_lab_map(b, IOVA, b_memory, 4 * PAGE, IOAS_RW) == 0);
	CHECK(be_lab_map(b, IOVA + MIB, late, PAGE, IOAS_RW) == 0);
	CHECK(be_lab_unmap(b, IOVA + MIB, PAGE) == 0);
	attach(&lab, a);
	CHECK(be_lab_reaches(&lab, IOVA + PAGE, a_memory + PAGE));
	check_registers(&lab);

	lab_step("attached twice is attached once");
	CHECK(lab.ops->attach(a, lab.dev) == 0);
	CHECK(be_lab_reaches(&lab, IOVA, a_memory));

	if (type1) {
		lab_step("a device whose BARs are mapped stays where it is");
		CHECK(lab.ops->attach(b, lab.dev) == -EBUSY);
		be_lab_check_text(&lab, "BARs are mapped");
		CHECK(lab.ops->detach(lab.dev) == -EBUSY);
		CHECK(be_lab_reaches(&lab, IOVA, a_memory));
		be_lab_registers_close(&lab);
	}

	lab_step("attached to another space it leaves the first");
	CHECK(lab.ops->attach(b, lab.dev) == 0);
	if (type1)
		be_lab_registers_open(&lab);
	CHECK(be_lab_reaches(&lab, IOVA + 2 * PAGE, b_memory + 2 * PAGE));
	CHECK(!be_lab_reaches(&lab, IOVA + 2 * PAGE, a_memory + 2 * PAGE));
	CHECK(!be_lab_reaches(&lab, IOVA + MIB, late));

	lab_step("a space without devices can be mapped and unmapped");
	CHECK(be_lab_unmap(a, IOVA, 4 * PAGE) == 0);
	CHECK(be_lab_map(a, IOVA, late, PAGE, IOAS_RW) == 0);
	CHECK(be_lab_map(a, IOVA, late, PAGE, IOAS_RW) == -EEXIST);
	CHECK(be_lab_reaches(&lab, IOVA, b_memory));
	CHECK(!be_lab_reaches(&lab, IOVA, late));

	lab_step("a detached device reaches nothing, though it is told to");
	edu_begin_write(&lab.edu, IOVA, EDU_TRANSFER_BYTES);
	detach(&lab);
	memset(b_memory, 0x77, 4 * PAGE);
	lab_run("sleep 0.3");
	CHECK(lab_all_bytes_are(b_memory, 4 * PAGE, 0x77));
	if (type1) {
		CHECK(lab.ops->pci->config_read(lab.dev, 0, &id, sizeof(id)) == -ENODEV);
		be_lab_check_text(&lab, "before it is attached");
	} else {
		CHECK(!masters_bus(&lab));
		if (be_lab_is(&lab, "ioasid"))
			CHECK(lab.ops->pci->bus_master(lab.dev, true) == -EINVAL);
		else
			be_lab_registers_open(&lab);
		if (lab.registers) {
			CHECK(!be_lab_reaches(&lab, IOVA, b_memory));
			be_lab_registers_close(&lab);
		}
	}
	CHECK(lab.ops->detach(lab.dev) == 0);

	lab_step("attached again, it finds the space as it was left");
	attach(&lab, a);
	CHECK(be_lab_reaches(&lab, IOVA, late));
	detach(&lab);
	attach(&lab, b);
	CHECK(be_lab_reaches(&lab, IOVA + 3 * PAGE, b_memory + 3 * PAGE));
	detach(&lab);

	lab_step("a space that is gone takes its pins along, mapped or not");
	lab.ops->space_destroy(a);
	lab.ops->space_destroy(b);
	CHECK(lab_pins() == pins);

	lab_step("the backend can be opened again");
	be_lab_unbind(&lab);
	be_lab_close(&lab);
	be_lab_open(&lab);
	be_lab_bind(&lab);
	be_lab_unbind(&lab);
	be_lab_close(&lab);
	return 0;
}
