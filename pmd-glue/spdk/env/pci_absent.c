/* SPDX-License-Identifier: BSD-3-Clause */
/* What this environment does not have: devices that are behind others (VMD). */
#include "pci.h"

#include <errno.h>

struct spdk_pci_driver *spdk_pci_vmd_get_driver(void)
{
	return NULL;
}

int spdk_pci_hook_device(struct spdk_pci_driver *drv, struct spdk_pci_device *dev)
{
	(void)drv;
	(void)dev;
	return -ENOTSUP;
}

void spdk_pci_unhook_device(struct spdk_pci_device *dev)
{
	(void)dev;
}

void spdk_pci_register_device_provider(struct spdk_pci_device_provider *provider)
{
	(void)provider;
}
