/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VFIO device opened by its character device and bound to an iommufd.
 *
 * Sources: Linux include/uapi/linux/iommufd.h and vfio.h.
 */
#ifndef LAB_IOMMUFD_DEVICE_H
#define LAB_IOMMUFD_DEVICE_H

#include <stdint.h>

struct iommufd_device {
	int iommufd;
	int device_fd;
	uint32_t device_id;
};

/* Opens both and binds them; skips the program if the kernel has no iommufd. */
void iommufd_device_open(struct iommufd_device *device, const char *address);

/* Returns the object's id. */
uint32_t iommufd_ioas_alloc(int iommufd);

/* Attaches the device to an IOAS or a page table. Returns 0 or a negative errno. */
int iommufd_device_attach(struct iommufd_device *device, uint32_t object_id);

#endif
