/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers of a PCI device, through its files in sysfs; bus mastering and reset through the
 * module. Interrupts take a driver in the kernel that hands them on, which VFIO is and kioas is
 * not.
 *
 * Source: Linux Documentation/PCI/sysfs-pci.rst; include/uapi/linux/ioasid.h (DEVICE_CONTROL).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ioasid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BARS 6

static int fail(struct ioasid_dev *dev, int code, const char *what)
{
	return diag_fail(dev->vfio.base.be->diag, code, "ioasid: %s: %s: %s", dev->vfio.address,
			 what, strerror(-code));
}

static void resource_path(const struct ioasid_dev *dev, const char *name,
			  char path[static VFIO_PATH_BYTES])
{
	snprintf(path, VFIO_PATH_BYTES, "/sys/bus/pci/devices/%s/%s", dev->vfio.address, name);
}

static int open_resource(struct ioasid_dev *dev, const char *name)
{
	char path[VFIO_PATH_BYTES];

	if (atomic_load(&dev->gone))
		return fail(dev, -ENODEV, "it was taken away");
	resource_path(dev, name, path);
	return vfio_open(dev->vfio.base.be, path, IOASID_DRIVER);
}

/* Rare enough for the file to be opened each time. One of @to and @from is NULL. */
static int config_access(struct ioasid_dev *dev, uint32_t offset, void *to, const void *from,
			 uint32_t bytes)
{
	int fd = open_resource(dev, "config");
	ssize_t got;
	int ret = 0;

	if (fd < 0)
		return fd;
	got = to ? pread(fd, to, bytes, offset) : pwrite(fd, from, bytes, offset);
	if (got != (ssize_t)bytes)
		ret = fail(dev, got < 0 ? -errno : -EINVAL,
			   to ? "read of configuration space" : "write of configuration space");
	close(fd);
	return ret;
}

static int config_read(struct be_dev *base, uint32_t offset, void *data, uint32_t bytes)
{
	return config_access(ioasid_to_dev(base), offset, data, NULL, bytes);
}

static int config_write(struct be_dev *base, uint32_t offset, const void *data, uint32_t bytes)
{
	return config_access(ioasid_to_dev(base), offset, NULL, data, bytes);
}

/* Return: 0 or a negative errno, without a message. */
static int control(struct ioasid_dev *dev, uint32_t op)
{
	struct ioasid_device_control request = {
		.size = sizeof(request),
		.dev_id = dev->id,
		.op = op,
	};

	return ioasid_device_request(dev, IOASID_DEVICE_CONTROL, &request);
}

static int bus_master(struct be_dev *base, bool on)
{
	struct ioasid_dev *dev = ioasid_to_dev(base);
	int ret = control(dev, on ? IOASID_DEVICE_MASTER_ON : IOASID_DEVICE_MASTER_OFF);

	return ret ? ioasid_fail(ioasid_to_be(base->be), ret, "%s: bus mastering",
				 dev->vfio.address)
		   : 0;
}

static int reset(struct be_dev *base)
{
	struct ioasid_dev *dev = ioasid_to_dev(base);
	int ret = control(dev, IOASID_DEVICE_RESET);

	if (!ret)
		return 0;
	ioasid_fail(ioasid_to_be(base->be), ret, "%s: reset", dev->vfio.address);
	return ret == -EOPNOTSUPP ? -ENOTTY : ret;
}

static int bar_open(struct ioasid_dev *dev, unsigned int bar, struct stat *stat)
{
	char name[16], path[VFIO_PATH_BYTES];
	int fd;

	if (bar >= BARS)
		return fail(dev, -EINVAL, "there are BARs 0 to 5");
	snprintf(name, sizeof(name), "resource%u", bar);
	resource_path(dev, name, path);
	if (!atomic_load(&dev->gone) && access(path, F_OK))
		return fail(dev, -ENOENT, "the device does not have this BAR");
	fd = open_resource(dev, name);
	if (fd < 0 || !fstat(fd, stat))
		return fd;
	close(fd);
	return fail(dev, -EIO, path);
}

static int bar_map(struct be_dev *base, unsigned int bar, void **va, uint64_t *bytes)
{
	struct ioasid_dev *dev = ioasid_to_dev(base);
	struct stat stat;
	int fd = bar_open(dev, bar, &stat);
	int ret = 0;

	if (fd < 0)
		return fd;
	*va = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*va == MAP_FAILED) /* ENODEV: the file has no mmap(), it is one of ports */
		ret = fail(dev, errno == ENODEV ? -EOPNOTSUPP : -errno, "mmap of a BAR");
	*bytes = stat.st_size;
	close(fd);
	return ret;
}

static int bar_unmap(struct be_dev *base, void *va, uint64_t bytes)
{
	return munmap(va, bytes) ? fail(ioasid_to_dev(base), -errno, "munmap of a BAR") : 0;
}

static int irq_set(struct be_dev *base, enum be_pci_irq kind, const int *eventfds,
		   unsigned int count)
{
	struct ioasid_dev *dev = ioasid_to_dev(base);

	if (kind == BE_PCI_REMOVAL && count <= 1)
		return ioasid_events_removal(ioasid_to_be(base->be), dev, count ? eventfds[0] : -1);
	if (!count)
		return 0;
	return diag_fail(base->be->diag, -EOPNOTSUPP,
			 "ioasid: %s: interrupts come through VFIO only (backends iommufd and "
			 "type1): poll the device",
			 dev->vfio.address);
}

const struct be_pci_ops ioasid_pci_ops = {
	.config_read = config_read,
	.config_write = config_write,
	.bus_master = bus_master,
	.bar_map = bar_map,
	.bar_unmap = bar_unmap,
	.reset = reset,
	.irq_set = irq_set,
};
