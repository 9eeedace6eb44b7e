/* SPDX-License-Identifier: BSD-3-Clause */
/* The system's PCI devices, from sysfs. Source: Linux Documentation/PCI/sysfs-pci.rst. */
#include "pci.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *ioas_env_pci_bus = "/sys/bus/pci/devices";

static void path_of(char *path, const struct spdk_pci_addr *addr, const char *file)
{
	char bdf[IOAS_ENV_BDF_BYTES];

	spdk_pci_addr_fmt(bdf, sizeof(bdf), addr);
	snprintf(path, PATH_MAX, "%s/%s/%s", ioas_env_pci_bus, bdf, file);
}

static int read_number(const struct spdk_pci_addr *addr, const char *name, long *value)
{
	char path[PATH_MAX];
	FILE *file;
	int count;

	path_of(path, addr, name);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	count = fscanf(file, "%li", value);
	fclose(file);
	return count == 1 ? 0 : -EIO;
}

int ioas_env_pci_read(const struct spdk_pci_addr *addr, struct spdk_pci_device *pci)
{
	long class = 0, vendor = 0, device = 0, subvendor = 0, subdevice = 0, node = -1;
	int ret = read_number(addr, "class", &class);

	ret = ret ?: read_number(addr, "vendor", &vendor);
	ret = ret ?: read_number(addr, "device", &device);
	ret = ret ?: read_number(addr, "subsystem_vendor", &subvendor);
	ret = ret ?: read_number(addr, "subsystem_device", &subdevice);
	if (ret)
		return ret;
	read_number(addr, "numa_node", &node); /* not on every machine */
	pci->addr = *addr;
	pci->numa_id = node;
	pci->id = (struct spdk_pci_id){ .class_id = class,
					.vendor_id = vendor,
					.device_id = device,
					.subvendor_id = subvendor,
					.subdevice_id = subdevice };
	return 0;
}

/* vfio-pci and its variants, or our module's. */
bool ioas_env_pci_is_free(const struct spdk_pci_addr *addr)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t bytes;

	path_of(path, addr, "driver");
	bytes = readlink(path, target, sizeof(target) - 1);
	if (bytes < 0)
		return false;
	target[bytes] = '\0';
	name = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
	return strstr(name, "vfio") || !strcmp(name, "kioas");
}

uint64_t ioas_env_pci_bar_address(const struct spdk_pci_addr *addr, unsigned int bar)
{
	char path[PATH_MAX], line[128];
	uint64_t start = 0;
	FILE *file;

	path_of(path, addr, "resource");
	file = fopen(path, "re");
	if (!file)
		return 0;
	for (unsigned int i = 0; i <= bar && fgets(line, sizeof(line), file); i++)
		if (i == bar)
			start = strtoull(line, NULL, 16);
	fclose(file);
	return start;
}

static int compare(const void *a, const void *b)
{
	return spdk_pci_addr_compare(a, b);
}

int ioas_env_pci_scan(struct spdk_pci_addr **addrs)
{
	DIR *dir = opendir(ioas_env_pci_bus);
	struct dirent *entry;
	int count = 0;

	*addrs = NULL;
	if (!dir) /* a machine without PCI */
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		struct spdk_pci_addr addr, *grown;

		if (spdk_pci_addr_parse(&addr, entry->d_name))
			continue;
		grown = realloc(*addrs, (count + 1) * sizeof(addr));
		if (!grown) {
			count = -ENOMEM;
			break;
		}
		*addrs = grown;
		grown[count++] = addr;
	}
	closedir(dir);
	if (count > 0)
		qsort(*addrs, count, sizeof(**addrs), compare);
	return count;
}
