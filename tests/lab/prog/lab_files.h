/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files that a backend opens, opened here, as by a privileged program that hands them over; and
 * a program that may open nothing. A failure ends the program.
 */
#ifndef LAB_FILES_H
#define LAB_FILES_H

/* The device's: of its group, its character device, or kioas's. */
int lab_open_device(const char *backend, const char *address);

/* /dev/iommu or /dev/ioasid. -1: type1 opens its container itself, see lab_let_nobody(). */
int lab_open_context(const char *backend);

/*
 * What does not come with these files: type1's container, which gives no rights and which udev
 * opens to all, and ioasid's registers, which are a file of sysfs.
 */
void lab_let_nobody(const char *backend, const char *address);

/* From now on this process has no privileges. */
void lab_become_nobody(void);

#endif
