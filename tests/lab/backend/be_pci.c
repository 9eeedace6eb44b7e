// SPDX-License-Identifier: BSD-3-Clause
/*
 * Registers and interrupts, of the edu device (MSI) and of an NVMe controller (reset, MSI-X), as a
 * driver in user space needs them.
 *
 * Sources: QEMU's docs/specs/edu.rst; NVM Express Base Specification, 3.1 (controller registers).
 */
#include "be_lab.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EDU_STATUS	0x24
#define EDU_RAISE	0x60
#define EDU_ACKNOWLEDGE 0x64
#define NVME_VERSION	0x08
#define NVME_MASK_SET	0x0c
#define PCI_CLASS	0x08
#define PCI_CLASS_NVME	0x010802
#define VECTORS		8

static volatile uint32_t *reg(void *registers, size_t offset)
{
	return (volatile uint32_t *)((char *)registers + offset);
}

/* How often the eventfd was signalled, waiting for the first time. */
static uint64_t interrupts(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	if (poll(&poller, 1, 500) == 1)
		CHECK(read(fd, &count, sizeof(count)) == sizeof(count));
	return count;
}

/* What hands them on is VFIO. */
static void check_no_interrupts(struct be_lab *lab)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	lab_step("interrupts are refused");
	CHECK(lab->ops->pci->irq_set(lab->dev, BE_PCI_MSI, &fd, 1) == -EOPNOTSUPP);
	be_lab_check_text(lab, "poll the device");
	CHECK(lab->ops->pci->irq_set(lab->dev, BE_PCI_MSI, NULL, 0) == 0);
	close(fd);
}

static void check_interrupts(struct be_lab *lab)
{
	const struct be_pci_ops *pci = lab->ops->pci;
	int fds[2] = { eventfd(0, EFD_CLOEXEC), -1 };

	lab_step("interrupts come as MSI, and only while they are switched on");
	CHECK(pci->irq_set(lab->dev, BE_PCI_MSI, fds, 1) == 0);
	CHECK(interrupts(fds[0]) == 0);
	for (int i = 0; i < 3; i++) {
		*reg(lab->registers, EDU_RAISE) = 1;
		CHECK(interrupts(fds[0]) == 1);
		CHECK(*reg(lab->registers, EDU_STATUS) == 1);
		*reg(lab->registers, EDU_ACKNOWLEDGE) = 1;
		CHECK(*reg(lab->registers, EDU_STATUS) == 0);
	}
	CHECK(pci->irq_set(lab->dev, BE_PCI_MSI, NULL, 0) == 0);
	*reg(lab->registers, EDU_RAISE) = 1;
	CHECK(interrupts(fds[0]) == 0);
	*reg(lab->registers, EDU_ACKNOWLEDGE) = 1;

	lab_step("more of them than there are");
	CHECK(pci->irq_set(lab->dev, BE_PCI_MSI, fds, 2) == -EINVAL);
	be_lab_check_text(lab, "2 interrupts are wanted, of this kind it has 1");
	CHECK(pci->irq_set(lab->dev, BE_PCI_MSIX, fds, 1) == -EINVAL);
	be_lab_check_text(lab, "of this kind it has 0");
	close(fds[0]);
}

static void check_vectors(const struct be_pci_ops *pci, struct be_dev *nvme)
{
	int fds[VECTORS];

	lab_step("vectors of MSI-X");
	for (int i = 0; i < VECTORS; i++)
		fds[i] = i % 2 ? -1 : eventfd(0, EFD_CLOEXEC);
	CHECK(pci->irq_set(nvme, BE_PCI_MSIX, fds, VECTORS) == 0);
	CHECK(pci->irq_set(nvme, BE_PCI_MSIX, NULL, 0) == 0);
	for (int i = 0; i < VECTORS; i += 2)
		close(fds[i]);
}

static void check_nvme(struct be_lab *lab, struct be_space *space)
{
	const struct be_pci_ops *pci = lab->ops->pci;
	const char *address = lab_device("nvme0");
	uint64_t bytes, none_bytes;
	struct be_dev *nvme;
	uint32_t value = 0;
	void *bar, *none;

	CHECK(address);
	lab_step("an NVMe controller: configuration space, BARs");
	if (lab->ops->dev_bind(lab->be, address, &nvme) || lab->ops->attach(space, nvme))
		FAIL("%s", lab->diag.text);
	CHECK(pci->config_read(nvme, PCI_CLASS, &value, sizeof(value)) == 0);
	CHECK(value >> 8 == PCI_CLASS_NVME);
	CHECK(pci->bus_master(nvme, true) == 0);
	CHECK(pci->bar_map(nvme, 0, &bar, &bytes) == 0);
	CHECK(bytes >= 16 * KIB);
	CHECK(pci->bar_map(nvme, 2, &none, &none_bytes) == -ENOENT);
	CHECK(*reg(bar, NVME_VERSION) >= 0x00010000);

	lab_step("reset");
	*reg(bar, NVME_MASK_SET) = 5;
	CHECK(*reg(bar, NVME_MASK_SET) == 5);
	CHECK(pci->reset(nvme) == 0);
	CHECK(pci->bus_master(nvme, true) == 0);
	CHECK(*reg(bar, NVME_MASK_SET) == 0);

	if (!be_lab_is(lab, "ioasid"))
		check_vectors(pci, nvme);
	CHECK(pci->bar_unmap(nvme, bar, bytes) == 0);
	CHECK(lab->ops->detach(nvme) == 0);
	lab->ops->dev_unbind(nvme);
}

/*
 * Somebody takes the device out of the machine. VFIO asks its driver first, and DMA goes on till
 * then; kioas takes it away at once, and says so in an event.
 */
static void check_asked(struct be_lab *lab, uint64_t iova, uint8_t *memory, int fd)
{
	CHECK(interrupts(fd) >= 1);
	CHECK(be_lab_reaches(lab, iova, memory));
}

static void check_told(struct be_lab *lab, int fd)
{
	struct be_fault fault = { .dev = NULL };
	uint64_t lost = 0;
	uint32_t value;

	for (int tries = 0; tries < 100 && fault.reason != IOAS_FAULT_GONE; tries++) {
		usleep(20000);
		lab->ops->fault_read(lab->be, &fault, 1, &lost);
	}
	CHECK(fault.reason == IOAS_FAULT_GONE && fault.dev == lab->dev && !lost);
	CHECK(interrupts(fd) == 1);
	CHECK(lab->ops->pci->config_read(lab->dev, 0, &value, sizeof(value)) == -ENODEV);
	be_lab_check_text(lab, "was taken away");
}

static void check_removal(struct be_lab *lab, struct be_space *space, uint64_t iova,
			  uint8_t *memory)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t pins = lab_pins();
	char command[192];

	lab_step("the device is to be removed");
	CHECK(lab->ops->pci->irq_set(lab->dev, BE_PCI_REMOVAL, &fd, 1) == 0);
	CHECK(interrupts(fd) == 0);
	snprintf(command, sizeof(command), "echo 1 >/sys/bus/pci/devices/%s/remove &",
		 lab->address);
	lab_run(command);
	if (be_lab_is(lab, "ioasid"))
		check_told(lab, fd);
	else
		check_asked(lab, iova, memory, fd);

	lab_step("it goes when its driver lets go of it, and so do the pins");
	be_lab_registers_close(lab);
	CHECK(lab->ops->detach(lab->dev) == 0);
	be_lab_unbind(lab);
	snprintf(
		command, sizeof(command),
		"for i in $(seq 100); do [ -e /sys/bus/pci/devices/%s ] || exit 0; sleep 0.1; done; "
		"exit 1",
		lab->address);
	lab_run(command);
	CHECK(be_lab_unmap(space, iova, PAGE) == 0);
	CHECK(lab_pins() < pins);
	CHECK(lab->ops->dev_bind(lab->be, lab->address, &lab->dev) == -ENODEV);
	be_lab_check_text(lab, "there is no /sys/bus/pci/devices");

	lab_step("it comes back");
	snprintf(command, sizeof(command), "echo 1 >/sys/bus/pci/rescan && lab-bind %s %s",
		 lab->address, lab->driver);
	lab_run(command);
	be_lab_bind(lab);
	CHECK(lab->ops->attach(space, lab->dev) == 0);
	be_lab_registers_open(lab);
	CHECK(be_lab_map(space, iova, memory, PAGE, IOAS_RW) == 0);
	CHECK(be_lab_reaches(lab, iova, memory));
	close(fd);
}

int main(int argc, char **argv)
{
	uint8_t *memory = lab_buffer(PAGE, 0, 0);
	struct be_space *space;
	struct be_lab lab;

	be_lab_init(&lab, argc, argv);
	be_lab_open(&lab);
	be_lab_bind(&lab);
	space = be_lab_space(&lab);
	CHECK(lab.ops->attach(space, lab.dev) == 0);
	be_lab_registers_open(&lab);
	if (be_lab_is(&lab, "ioasid"))
		check_no_interrupts(&lab);
	else
		check_interrupts(&lab);
	check_nvme(&lab, space);

	lab_step("one device's coming and going leaves the other alone");
	CHECK(be_lab_map(space, 0x4000, memory, PAGE, IOAS_RW) == 0);
	CHECK(be_lab_reaches(&lab, 0x4000, memory));
	check_removal(&lab, space, 0x4000, memory);
	return 0;
}
