/* SPDX-License-Identifier: BSD-3-Clause */
/* ioas/pci.h on the backend's operations. */
#include "objects.h"

#include <assert.h>
#include <errno.h>

#include <ioas/pci.h>

static_assert((int)IOAS_PCI_MSI == BE_PCI_MSI && (int)IOAS_PCI_MSIX == BE_PCI_MSIX &&
		      (int)IOAS_PCI_REMOVAL == BE_PCI_REMOVAL,
	      "the same kinds of interrupts");

static const struct be_pci_ops *pci_of(struct ioas_dev *dev)
{
	const struct be_ops *ops = dev->ctx->be->ops;

	if (!ops->pci)
		diag_fail(&dev->ctx->diag, -EOPNOTSUPP,
			  "device \"%s\": backend %s has no PCI devices", dev->name, ops->name);
	return ops->pci;
}

int ioas_pci_config_read(struct ioas_dev *dev, uint32_t offset, void *data, uint32_t bytes)
{
	const struct be_pci_ops *pci = pci_of(dev);

	return pci ? pci->config_read(dev->be_dev, offset, data, bytes) : -EOPNOTSUPP;
}

int ioas_pci_config_write(struct ioas_dev *dev, uint32_t offset, const void *data, uint32_t bytes)
{
	const struct be_pci_ops *pci = pci_of(dev);

	return pci ? pci->config_write(dev->be_dev, offset, data, bytes) : -EOPNOTSUPP;
}

int ioas_pci_bus_master(struct ioas_dev *dev, bool on)
{
	const struct be_pci_ops *pci = pci_of(dev);

	return pci ? pci->bus_master(dev->be_dev, on) : -EOPNOTSUPP;
}

int ioas_pci_bar_map(struct ioas_dev *dev, unsigned int bar, void **va, uint64_t *bytes)
{
	const struct be_pci_ops *pci = pci_of(dev);

	return pci ? pci->bar_map(dev->be_dev, bar, va, bytes) : -EOPNOTSUPP;
}

int ioas_pci_bar_unmap(struct ioas_dev *dev, void *va, uint64_t bytes)
{
	const struct be_pci_ops *pci = pci_of(dev);

	return pci ? pci->bar_unmap(dev->be_dev, va, bytes) : -EOPNOTSUPP;
}

int ioas_pci_reset(struct ioas_dev *dev)
{
	const struct be_pci_ops *pci = pci_of(dev);

	return pci ? pci->reset(dev->be_dev) : -EOPNOTSUPP;
}

int ioas_pci_irq_set(struct ioas_dev *dev, enum ioas_pci_irq kind, const int *eventfds,
		     unsigned int count)
{
	const struct be_pci_ops *pci = pci_of(dev);

	return pci ? pci->irq_set(dev->be_dev, (enum be_pci_irq)kind, eventfds, count)
		   : -EOPNOTSUPP;
}
