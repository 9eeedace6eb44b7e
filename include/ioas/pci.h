/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers and interrupts of a PCI device that is bound to a context: what a user-space driver
 * needs beside its mappings. Not for "soft", whose devices are no PCI devices.
 *
 * Threads: any; configuration space has no lock, writers to one register exclude each other. Type1
 * devices have to be attached. After ioas_detach() a driver starts from nothing: the device may
 * have been reset, and does not master the bus.
 *
 * All return 0 or a negative errno; -EOPNOTSUPP: the backend has no PCI devices.
 * Source: PCI Local Bus 3.0 chapter 6; Linux Documentation/driver-api/vfio.rst.
 */
#ifndef IOAS_PCI_H
#define IOAS_PCI_H

#include <ioas/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Configuration space, little-endian, as it is. On error nothing is read or written. */
int ioas_pci_config_read(struct ioas_dev *dev, uint32_t offset, void *data, uint32_t bytes);
int ioas_pci_config_write(struct ioas_dev *dev, uint32_t offset, const void *data, uint32_t bytes);

/*
 * May the device do DMA (and answer at its BARs)? Off after ioas_dev_bind() and ioas_detach().
 * Switch it off before anything that the device may still be using is torn down.
 */
int ioas_pci_bus_master(struct ioas_dev *dev, bool on);

/**
 * ioas_pci_bar_map - map a BAR as a whole
 * @va: receives its address; accesses are to be volatile
 * @bytes: receives its length
 *
 * -ENOENT: the device does not have it; -EOPNOTSUPP: ports. Unmap it before the device is
 * detached, moved or unbound.
 */
int ioas_pci_bar_map(struct ioas_dev *dev, unsigned int bar, void **va, uint64_t *bytes);
int ioas_pci_bar_unmap(struct ioas_dev *dev, void *va, uint64_t bytes);

/* -ENOTTY: this device cannot be reset by itself. */
int ioas_pci_reset(struct ioas_dev *dev);

enum ioas_pci_irq {
	IOAS_PCI_MSI = 0,
	IOAS_PCI_MSIX = 1,
	IOAS_PCI_REMOVAL = 2, /* one eventfd: somebody wants the device back, unbind it */
};

/* One eventfd for each vector from 0 on, -1 for none; @count 0 switches the kind off. */
int ioas_pci_irq_set(struct ioas_dev *dev, enum ioas_pci_irq kind, const int *eventfds,
		     unsigned int count);

#ifdef __cplusplus
}
#endif
#endif
