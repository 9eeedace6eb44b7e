/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers and interrupts of a PCI device, through its VFIO device file. See vfio.h.
 *
 * Source: Linux include/uapi/linux/vfio.h; PCI Local Bus Specification 3.0, 6.2.2 (command).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vfio.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PCI_COMMAND	   0x04
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004

static int fail(const struct vfio_dev *dev, int code, const char *what)
{
	struct be *be = dev->base.be;

	return diag_fail(be->diag, code, "%s: %s: %s: %s", be->ops->name, dev->address, what,
			 strerror(-code));
}

/* type1 has a device's file only while the device is attached. */
static int check_open(const struct vfio_dev *dev)
{
	struct be *be = dev->base.be;

	if (dev->fd >= 0)
		return 0;
	return diag_fail(be->diag, -ENODEV,
			 "%s: %s has no registers before it is attached to an address space",
			 be->ops->name, dev->address);
}

static int config_read(struct be_dev *base, uint32_t offset, void *data, uint32_t bytes)
{
	struct vfio_dev *dev = (struct vfio_dev *)base;
	int ret = check_open(dev);
	ssize_t got;

	if (ret)
		return ret;
	got = pread(dev->fd, data, bytes, dev->config_offset + offset);
	if (got != (ssize_t)bytes)
		return fail(dev, got < 0 ? -errno : -EINVAL, "read of configuration space");
	return 0;
}

static int config_write(struct be_dev *base, uint32_t offset, const void *data, uint32_t bytes)
{
	struct vfio_dev *dev = (struct vfio_dev *)base;
	int ret = check_open(dev);
	ssize_t got;

	if (ret)
		return ret;
	got = pwrite(dev->fd, data, bytes, dev->config_offset + offset);
	if (got != (ssize_t)bytes)
		return fail(dev, got < 0 ? -errno : -EINVAL, "write of configuration space");
	return 0;
}

/* Configuration space is little-endian. */
static int bus_master(struct be_dev *base, bool on)
{
	uint8_t bytes[2];
	int ret = config_read(base, PCI_COMMAND, bytes, sizeof(bytes));

	if (ret)
		return ret;
	bytes[0] &= ~PCI_COMMAND_MASTER;
	if (on)
		bytes[0] |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	return config_write(base, PCI_COMMAND, bytes, sizeof(bytes));
}

static int bar_map(struct be_dev *base, unsigned int bar, void **va, uint64_t *bytes)
{
	struct vfio_dev *dev = (struct vfio_dev *)base;
	struct vfio_region_info info = { .argsz = sizeof(info), .index = bar };
	int ret = check_open(dev);

	if (ret)
		return ret;
	if (bar > VFIO_PCI_BAR5_REGION_INDEX)
		return fail(dev, -EINVAL, "there are BARs 0 to 5");
	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		return fail(dev, -errno, "VFIO_DEVICE_GET_REGION_INFO");
	if (!info.size)
		return fail(dev, -ENOENT, "the device does not have this BAR");
	if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return fail(dev, -EOPNOTSUPP, "this BAR cannot be mapped");
	*va = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, info.offset);
	if (*va == MAP_FAILED)
		return fail(dev, -errno, "mmap of a BAR");
	*bytes = info.size;
	atomic_fetch_add(&dev->bars_mapped, 1);
	return 0;
}

static int bar_unmap(struct be_dev *base, void *va, uint64_t bytes)
{
	struct vfio_dev *dev = (struct vfio_dev *)base;

	if (munmap(va, bytes))
		return fail(dev, -errno, "munmap of a BAR");
	atomic_fetch_sub(&dev->bars_mapped, 1);
	return 0;
}

static int reset(struct be_dev *base)
{
	struct vfio_dev *dev = (struct vfio_dev *)base;
	int ret = check_open(dev);

	if (!ret && ioctl(dev->fd, VFIO_DEVICE_RESET))
		ret = fail(dev, -errno, "VFIO_DEVICE_RESET");
	return ret;
}

static int irq_set(struct be_dev *base, enum be_pci_irq kind, const int *eventfds,
		   unsigned int count)
{
	static const uint32_t indices[] = {
		[BE_PCI_MSI] = VFIO_PCI_MSI_IRQ_INDEX,
		[BE_PCI_MSIX] = VFIO_PCI_MSIX_IRQ_INDEX,
		[BE_PCI_REMOVAL] = VFIO_PCI_REQ_IRQ_INDEX,
	};
	struct vfio_dev *dev = (struct vfio_dev *)base;
	size_t bytes = sizeof(struct vfio_irq_set) + count * sizeof(*eventfds);
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = indices[kind] };
	struct vfio_irq_set *set;
	int ret = check_open(dev);

	if (ret)
		return ret;
	if (ioctl(dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info))
		return fail(dev, -errno, "VFIO_DEVICE_GET_IRQ_INFO");
	if (count > info.count || !info.count)
		return diag_fail(base->be->diag, -EINVAL,
				 "%s: %s: %u interrupts are wanted, of this kind it has %u",
				 base->be->ops->name, dev->address, count, info.count);
	set = calloc(1, bytes);
	if (!set)
		return fail(dev, -ENOMEM, "interrupts");
	set->argsz = bytes;
	set->flags = VFIO_IRQ_SET_ACTION_TRIGGER |
		     (count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = info.index;
	set->count = count;
	if (count)
		memcpy(set->data, eventfds, count * sizeof(*eventfds));
	/* The kernel does not switch off what is off; that is what was wanted. */
	if (ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set) && (count || errno != EINVAL))
		ret = fail(dev, -errno, "VFIO_DEVICE_SET_IRQS");
	free(set);
	return ret;
}

const struct be_pci_ops vfio_pci_ops = {
	.config_read = config_read,
	.config_write = config_write,
	.bus_master = bus_master,
	.bar_map = bar_map,
	.bar_unmap = bar_unmap,
	.reset = reset,
	.irq_set = irq_set,
};

int vfio_dev_opened(struct vfio_dev *dev, int fd)
{
	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };

	if (ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &config)) {
		int code = -errno;

		close(fd);
		return fail(dev, code, "VFIO_DEVICE_GET_REGION_INFO of configuration space");
	}
	dev->config_offset = config.offset;
	dev->fd = fd;
	return 0;
}

void vfio_dev_close(struct vfio_dev *dev)
{
	if (dev->fd < 0)
		return;
	/* The last close resets where the device can be reset; this holds for every device. */
	bus_master(&dev->base, false);
	close(dev->fd);
	dev->fd = -1;
}
