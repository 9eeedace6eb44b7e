/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices for the backends iommufd and ioasid that are not there: what these would find in sysfs is
 * made up, and a memfd stands for the kernel's file of the device. Who links this adds -Wl,--wrap=
 * for vfio_dev_init and vfio_find_entry (engine/backend/vfio.h), and for ioctl, with a kernel of
 * its own behind it.
 */
#ifndef TESTS_BACKEND_UNREAL_H
#define TESTS_BACKEND_UNREAL_H

#define UNREAL_DEVICES 8

/* Devices are called "NUMBER:GROUP". Return: the number of the one whose file @fd is, or -1. */
int unreal_device(int fd);

/* Of the kernel behind ioctl(): a file for the option fd= of the backend, */
int fake_fd(void);
/* and how many objects there are; what was never destroyed is found by this. */
unsigned int fake_count(void);

#endif
