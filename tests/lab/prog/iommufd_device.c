// SPDX-License-Identifier: BSD-3-Clause
/* See iommufd_device.h. */
#include "iommufd_device.h"
#include "lab_prog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* The device's file is /dev/vfio/devices/NAME, where sysfs knows the name. */
static int open_character_device(const char *address)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *folder;
	int fd = -1;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", address);
	folder = opendir(path);
	if (!folder)
		FAIL("%s has no VFIO character device: is it bound to vfio-pci?", address);
	while (fd < 0 && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
		fd = open(path, O_RDWR);
		CHECK(fd >= 0);
	}
	closedir(folder);
	return fd;
}

void iommufd_device_open(struct iommufd_device *device, const char *address)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };

	device->iommufd = open("/dev/iommu", O_RDWR);
	if (device->iommufd < 0 && errno == ENOENT)
		lab_skip("the kernel has no iommufd");
	CHECK(device->iommufd >= 0);
	device->device_fd = open_character_device(address);
	CHECK(device->device_fd >= 0);
	bind.iommufd = device->iommufd;
	CHECK(ioctl(device->device_fd, VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0);
	device->device_id = bind.out_devid;
}

uint32_t iommufd_ioas_alloc(int iommufd)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	CHECK(ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc) == 0);
	return alloc.out_ioas_id;
}

int iommufd_device_attach(struct iommufd_device *device, uint32_t object_id)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach),
							.pt_id = object_id };

	return ioctl(device->device_fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) ? -errno : 0;
}
