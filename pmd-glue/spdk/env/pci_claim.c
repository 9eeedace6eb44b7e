/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Claims of devices between processes: a locked file for each, by the name that SPDK's other
 * environment uses, too. (The backends open a device for one process only, anyhow.)
 */
#include "ioas_env.h"
#include "pci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOCK_FILE "/var/tmp/spdk_pci_lock_"

int spdk_pci_device_claim(struct spdk_pci_device *dev)
{
	struct flock wanted = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[sizeof(LOCK_FILE) + IOAS_ENV_BDF_BYTES] = LOCK_FILE;
	int fd, ret = 0;

	spdk_pci_addr_fmt(path + strlen(LOCK_FILE), IOAS_ENV_BDF_BYTES, &dev->addr);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		ret = -errno;
	else if (fcntl(fd, F_SETLK, &wanted))
		ret = errno == EAGAIN ? -EACCES : -errno;
	if (ret) {
		SPDK_ERRLOG("ioas: %s: %s\n", path, strerror(-ret));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	dev->internal.claim_fd = fd;
	return 0;
}

/* The file stays: another process may have it open, and wait for the lock. */
void spdk_pci_device_unclaim(struct spdk_pci_device *dev)
{
	if (dev->internal.claim_fd >= 0)
		close(dev->internal.claim_fd);
	dev->internal.claim_fd = -1;
}
