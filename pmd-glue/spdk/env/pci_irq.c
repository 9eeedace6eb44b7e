/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: MSI-X vectors as eventfds. Vector 0 is the one of the controller itself. */
#include "ioas_env.h"
#include "pci.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void close_all(int *efds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (efds[i] >= 0)
			close(efds[i]);
	free(efds);
}

static int *open_all(unsigned int count)
{
	int *efds = malloc(count * sizeof(*efds));
	bool failed = false;

	for (unsigned int i = 0; efds && i < count; i++) {
		efds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		failed |= efds[i] < 0;
	}
	if (!failed)
		return efds;
	close_all(efds, count);
	return NULL;
}

/* One for the controller and @efd_count for its queues. */
int spdk_pci_device_enable_interrupts(struct spdk_pci_device *dev, uint32_t efd_count)
{
	struct ioas_env_pci *device = ioas_env_pci_of(dev);
	int ret;

	if (!efd_count || efd_count >= 2048) { /* PCI 3.0, 6.8.2: vectors of MSI-X */
		SPDK_ERRLOG("ioas: efd_count: %u: want 1 to 2047\n", efd_count);
		return -EINVAL;
	}
	if (device->efds)
		return -EBUSY;
	device->efd_count = efd_count + 1;
	device->efds = open_all(device->efd_count);
	if (!device->efds)
		return -ENOMEM;
	ret = ioas_pci_irq_set(device->dev, IOAS_PCI_MSIX, device->efds, device->efd_count);
	if (!ret)
		return 0;
	close_all(device->efds, device->efd_count);
	device->efds = NULL;
	return ioas_env_fail(ret, "interrupts");
}

int spdk_pci_device_disable_interrupts(struct spdk_pci_device *dev)
{
	struct ioas_env_pci *device = ioas_env_pci_of(dev);
	int ret;

	if (!device->efds)
		return -EINVAL;
	ret = ioas_pci_irq_set(device->dev, IOAS_PCI_MSIX, NULL, 0);
	if (ret)
		return ioas_env_fail(ret, "interrupts");
	close_all(device->efds, device->efd_count);
	device->efds = NULL;
	return 0;
}

int spdk_pci_device_get_interrupt_efd_by_index(struct spdk_pci_device *dev, uint32_t index)
{
	const struct ioas_env_pci *device = ioas_env_pci_of(dev);

	return device->efds && index < device->efd_count ? device->efds[index] : -1;
}

int spdk_pci_device_enable_interrupt(struct spdk_pci_device *dev)
{
	return spdk_pci_device_enable_interrupts(dev, 1);
}

int spdk_pci_device_disable_interrupt(struct spdk_pci_device *dev)
{
	return spdk_pci_device_disable_interrupts(dev);
}

int spdk_pci_device_get_interrupt_efd(struct spdk_pci_device *dev)
{
	return spdk_pci_device_get_interrupt_efd_by_index(dev, 0);
}
