/* SPDX-License-Identifier: BSD-3-Clause */
/* The host's view of a PCI device, and messages. See vfio.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vfio.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SYSFS_DEVICES "/sys/bus/pci/devices"

/* What @path, a link of sysfs, points to, without its folders. Return: 0 or a negative errno. */
static int link_name(const char *path, char *name, size_t name_bytes)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);
	const char *last;

	if (length < 0)
		return -errno;
	target[length] = 0;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= name_bytes)
		return -ENAMETOOLONG;
	strcpy(name, last);
	return 0;
}

/* Return: the length of the address at the beginning of @name, or 0. */
static int parse_address(const char *name, unsigned int part[4])
{
	int end = -1;

	sscanf(name, "%5x:%2x:%2x.%1x%n", &part[0], &part[1], &part[2], &part[3], &end);
	if (end < 0) {
		part[0] = 0;
		sscanf(name, "%2x:%2x.%1x%n", &part[1], &part[2], &part[3], &end);
	}
	return isxdigit((unsigned char)name[0]) && end > 0 && part[2] < 32 && part[3] < 8 ? end : 0;
}

bool vfio_parse_number(const char *text, size_t length, int *number)
{
	long value = 0;

	if (!length || length > 9)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*number = (int)value;
	return true;
}

int vfio_find_device(struct be *be, const char *name, char address[static VFIO_ADDRESS_BYTES],
		     int *fd)
{
	char path[VFIO_PATH_BYTES];
	unsigned int part[4];
	int end = parse_address(name, part);

	*fd = -1;
	if (!end || (name[end] && name[end] != '@'))
		return diag_fail(be->diag, -EINVAL,
				 "%s: device \"%.64s\" is no PCI address such as 0000:00:08.0",
				 be->ops->name, name);
	if (name[end] && (!vfio_parse_number(name + end + 1, strlen(name + end + 1), fd) ||
			  fcntl(*fd, F_GETFD) < 0))
		return diag_fail(
			be->diag, -EINVAL,
			"%s: device \"%.64s\": after \"@\" belongs the number of an open file",
			be->ops->name, name);
	snprintf(address, VFIO_ADDRESS_BYTES, "%04x:%02x:%02x.%x", part[0] & 0xfffff,
		 part[1] & 0xff, part[2] & 0x1f, part[3] & 7);
	snprintf(path, sizeof(path), SYSFS_DEVICES "/%s", address);
	if (access(path, F_OK))
		return diag_fail(be->diag, -ENODEV, "%s: there is no %s: `lspci -D` lists devices",
				 be->ops->name, path);
	return 0;
}

int vfio_find_group(struct be *be, const char *address, unsigned int *group)
{
	char path[VFIO_PATH_BYTES], name[32];

	snprintf(path, sizeof(path), SYSFS_DEVICES "/%s/iommu_group", address);
	if (link_name(path, name, sizeof(name)))
		return diag_fail(be->diag, -ENODEV,
				 "%s: %s is behind no IOMMU (no %s): switch it on in the firmware, "
				 "and with Intel's boot with `intel_iommu=on`",
				 be->ops->name, address, path);
	*group = strtoul(name, NULL, 10);
	return 0;
}

/* Empty if there is none. */
static void driver_of(const char *address, char *name, size_t name_bytes)
{
	char path[VFIO_PATH_BYTES];

	snprintf(path, sizeof(path), SYSFS_DEVICES "/%s/driver", address);
	if (link_name(path, name, name_bytes))
		name[0] = 0;
}

/* vfio-pci has variants for single devices, mlx5_vfio_pci and others. */
static bool is_ours(struct be *be, const char *driver)
{
	const char *wanted = vfio_to_be(be)->driver;

	if (!strcmp(wanted, VFIO_PCI))
		return strstr(driver, "vfio");
	return !strcmp(driver, wanted);
}

static int fail_driver(struct be *be, int code, const char *address, const char *driver,
		       const char *because)
{
	const char *wanted = vfio_to_be(be)->driver;
	char path[VFIO_PATH_BYTES];
	bool loaded;

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s", wanted);
	loaded = !access(path, F_OK);
	return diag_fail(be->diag, code,
			 "%s: %s%s is bound to %s: `%s%s%scd /sys/bus/pci; D=%s; "
			 "echo %s >devices/$D/driver_override; %secho $D >drivers_probe`",
			 be->ops->name, because, address, driver[0] ? driver : "no driver",
			 loaded ? "" : "modprobe ", loaded ? "" : wanted, loaded ? "" : "; ",
			 address, wanted, driver[0] ? "echo $D >devices/$D/driver/unbind; " : "");
}

int vfio_check_driver(struct be *be, const char *address)
{
	char driver[48];

	driver_of(address, driver, sizeof(driver));
	if (is_ours(be, driver))
		return 0;
	return fail_driver(be, driver[0] ? -EBUSY : -ENODEV, address, driver, "");
}

int vfio_fail_neighbour(struct be *be, unsigned int group)
{
	char path[VFIO_PATH_BYTES], because[64], driver[48], address[VFIO_ADDRESS_BYTES];
	struct dirent *entry;
	DIR *folder;
	int ret = 0;

	snprintf(because, sizeof(because), "group %u is not viable: ", group);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/devices", group);
	folder = opendir(path);
	while (!ret && folder && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(address))
			continue;
		strcpy(address, entry->d_name);
		driver_of(address, driver, sizeof(driver));
		/* Drivers of bridges leave their group alone. */
		if (driver[0] && !is_ours(be, driver) && strcmp(driver, "pcieport"))
			ret = fail_driver(be, -EBUSY, address, driver, because);
	}
	if (folder)
		closedir(folder);
	return ret;
}

int vfio_find_entry(const char *folder, const char *initials, char *name, size_t name_bytes)
{
	DIR *opened = opendir(folder);
	struct dirent *entry;
	int ret = -ENOENT;

	while (opened && (entry = readdir(opened))) {
		if (!strchr(initials, entry->d_name[0]) || strlen(entry->d_name) >= name_bytes)
			continue;
		strcpy(name, entry->d_name);
		ret = 0;
		break;
	}
	if (opened)
		closedir(opened);
	return ret;
}

/* Return: a descriptor, or a negative errno and what to do about it. */
static int open_or_say(const char *path, const char *module, char *text, size_t text_bytes)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int code = -errno;

	if (fd >= 0)
		return fd;
	switch (code) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		snprintf(text, text_bytes, "there is no %s: `modprobe %s`", path, module);
		return -ENODEV;
	case -EACCES:
	case -EPERM:
		snprintf(text, text_bytes, "no permission to open %s: as root, `chown %u %s`", path,
			 (unsigned int)geteuid(), path);
		return code;
	case -EBUSY:
		snprintf(text, text_bytes, "%s is in use by another program: `fuser -v %s`", path,
			 path);
		return code;
	default:
		snprintf(text, text_bytes, "open %s: %s", path, strerror(-code));
		return code;
	}
}

int vfio_dup(struct be *be, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return diag_fail(be->diag, -errno, "%s: file %d: %s", be->ops->name, fd,
				 strerror(errno));
	return copy;
}

int vfio_open(struct be *be, const char *path, const char *module)
{
	char text[DIAG_TEXT_BYTES - 32];
	int fd = open_or_say(path, module, text, sizeof(text));

	return fd < 0 ? diag_fail(be->diag, fd, "%s: %s", be->ops->name, text) : fd;
}

int vfio_probe_open(const char *path, const char *module, char *why, size_t why_bytes)
{
	return open_or_say(path, module, why, why_bytes);
}

int vfio_probe_devices(const char *folder, const char *initials, const char *driver, char *why,
		       size_t why_bytes)
{
	char entry[64];

	if (vfio_find_entry("/sys/kernel/iommu_groups", VFIO_DIGITS, entry, sizeof(entry))) {
		snprintf(why, why_bytes,
			 "no device is behind an IOMMU (/sys/kernel/iommu_groups is empty): switch "
			 "it on in the firmware, and with Intel's boot with `intel_iommu=on`");
		return -ENODEV;
	}
	if (vfio_find_entry(folder, initials, entry, sizeof(entry))) {
		snprintf(why, why_bytes,
			 "no device is bound to %s (none in %s): `modprobe %s; cd /sys/bus/pci; "
			 "echo %s >devices/ADDRESS/driver_override; echo ADDRESS >drivers_probe`",
			 driver, folder, driver, driver);
		return -ENODEV;
	}
	return 0;
}

bool vfio_fail_memlock(struct be *be, uint64_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY)
		return false;
	diag_fail(be->diag, -ENOMEM,
		  "%s: cannot pin %" PRIu64 " KiB more: RLIMIT_MEMLOCK is %" PRIu64
		  " KiB (what is pinned already counts): `ulimit -l`, or memlock in "
		  "/etc/security/limits.conf",
		  be->ops->name, bytes >> 10, (uint64_t)limit.rlim_cur >> 10);
	return true;
}

int vfio_fail_map(struct be *be, const struct be_map *map, int code)
{
	const char *name = be->ops->name;

	switch (code) {
	case -ENOMEM:
		if (vfio_fail_memlock(be, map->bytes))
			return code;
		break;
	case -EFAULT:
		return diag_fail(be->diag, code,
				 "%s: memory at %p, %" PRIu64
				 " bytes, cannot be pinned: not mapped, or "
				 "not writable",
				 name, map->va, map->bytes);
	case -EEXIST:
		return diag_fail(be->diag, code,
				 "%s: map at IOVA 0x%" PRIx64 ", %" PRIu64
				 " bytes: part of it is mapped",
				 name, map->iova, map->bytes);
	case -ENOSPC:
		return diag_fail(
			be->diag, code,
			"%s: no mapping is left: unmap some, map larger pieces, or raise the limit "
			"in /sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
			name);
	case -EINVAL:
		return diag_fail(be->diag, -ERANGE,
				 "%s: IOVA 0x%" PRIx64 ", %" PRIu64
				 " bytes: the kernel allows no mapping there",
				 name, map->iova, map->bytes);
	}
	return diag_fail(be->diag, code, "%s: map at IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: %s",
			 name, map->iova, map->bytes, strerror(-code));
}
