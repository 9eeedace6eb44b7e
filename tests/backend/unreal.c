/* SPDX-License-Identifier: BSD-3-Clause */
/* See unreal.h. */
#include "unreal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../engine/backend/vfio.h"

static int files[UNREAL_DEVICES]; /* 0: none yet. They stay until the program ends */

static bool same_file(int one, int other)
{
	struct stat a, b;

	return !fstat(one, &a) && !fstat(other, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int unreal_device(int fd)
{
	for (int i = 0; i < UNREAL_DEVICES; i++)
		if (files[i] && same_file(files[i], fd))
			return i;
	return -1;
}

int __wrap_vfio_dev_init(struct vfio_dev *dev, struct be *be, const char *name);
int __wrap_vfio_dev_init(struct vfio_dev *dev, struct be *be, const char *name)
{
	unsigned int number;

	if (sscanf(name, "%u:%u", &number, &dev->group) != 2 || number >= UNREAL_DEVICES)
		return -ENODEV;
	dev->base.be = be;
	dev->fd = -1;
	snprintf(dev->address, sizeof(dev->address), "%s", name);
	if (!files[number])
		files[number] = memfd_create(name, MFD_CLOEXEC);
	dev->given_fd = files[number];
	return files[number] < 0 || ftruncate(files[number], 4096) ? -errno : 0;
}

int __wrap_vfio_find_entry(const char *folder, const char *initials, char *name, size_t name_bytes);
int __wrap_vfio_find_entry(const char *folder, const char *initials, char *name, size_t name_bytes)
{
	snprintf(name, name_bytes, "vfio0");
	return 0;
}
