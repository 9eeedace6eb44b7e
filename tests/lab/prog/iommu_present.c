// SPDX-License-Identifier: BSD-3-Clause
/*
 * The machine has an IOMMU, and its devices are behind it: each of them in a group of its own that
 * lists it.
 */
#include "lab_prog.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int group_of(const char *device)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", device);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		FAIL("%s is in no IOMMU group", device);
	target[length] = 0;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/devices/%s", device,
		 device);
	CHECK(access(path, F_OK) == 0);
	return atoi(strrchr(target, '/') + 1);
}

static int count_iommus(void)
{
	DIR *folder = opendir("/sys/class/iommu");
	struct dirent *entry;
	int count = 0;

	CHECK(folder);
	while ((entry = readdir(folder)))
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

int main(void)
{
	static const char *const names[] = { "edu", "nvme0" };
	int groups[2];
	size_t at;

	if (count_iommus() == 0)
		FAIL("the kernel knows no IOMMU");
	for (at = 0; at < 2; at++) {
		const char *device = lab_device(names[at]);

		if (!device)
			FAIL("the machine was started without %s", names[at]);
		groups[at] = group_of(device);
		printf("  %s %s: group %d\n", names[at], device, groups[at]);
	}
	if (groups[0] == groups[1])
		FAIL("both devices are in one group");
	return 0;
}
