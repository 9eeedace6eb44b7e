/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices that come and go, from the kernel's uevents: one is there when it is bound to a driver
 * that hands it to user space, and goes when it is removed. Source: Linux
 * Documentation/ABI/testing/sysfs-uevent, netlink(7).
 */
#include "ioas_env.h"
#include "pci.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_BYTES 4096
#define KERNEL_GROUP  1 /* not udev's */

int spdk_pci_event_listen(void)
{
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_KOBJECT_UEVENT);
	int ret;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* Value of @key in the lines "KEY=value\0..." of a message, "" if it is not there. */
static const char *value_of(const char *message, size_t bytes, const char *key)
{
	const size_t key_bytes = strlen(key);

	for (const char *line = message; line < message + bytes; line += strlen(line) + 1)
		if (!strncmp(line, key, key_bytes) && line[key_bytes] == '=')
			return line + key_bytes + 1;
	return "";
}

int ioas_env_pci_event_read(const char *message, size_t bytes, struct spdk_pci_event *event)
{
	const char *action = value_of(message, bytes, "ACTION");

	if (strcmp(value_of(message, bytes, "SUBSYSTEM"), "pci") ||
	    spdk_pci_addr_parse(&event->traddr, value_of(message, bytes, "PCI_SLOT_NAME")))
		return 0;
	if (!strcmp(action, "remove"))
		event->action = SPDK_UEVENT_REMOVE;
	else if (!strcmp(action, "bind") && ioas_env_pci_is_free(&event->traddr))
		event->action = SPDK_UEVENT_ADD;
	else
		return 0;
	return 1;
}

/* Return: 1 and an event, 0 there is none for us (now), or a negative errno. */
int spdk_pci_get_event(int fd, struct spdk_pci_event *event)
{
	char message[MESSAGE_BYTES + 1];
	ssize_t bytes;

	memset(event, 0, sizeof(*event));
	bytes = recv(fd, message, MESSAGE_BYTES, MSG_DONTWAIT);
	if (bytes < 0)
		return errno == EAGAIN ? 0 : -errno;
	message[bytes] = '\0';
	return ioas_env_pci_event_read(message, bytes, event);
}
