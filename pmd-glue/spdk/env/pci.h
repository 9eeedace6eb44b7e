/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI devices of the environment: what the files pci_*.c share.
 *
 * A device is one of ours from when a driver takes it, by enumeration or by its address, until it
 * is detached. In between it is bound to the context and attached to the address space, so its DMA
 * reaches all memory of the environment and nothing else.
 */
#ifndef IOAS_ENV_PCI_H
#define IOAS_ENV_PCI_H

#include <spdk/env.h>

#include <ioas/pci.h>

#define IOAS_ENV_BARS	   6
#define IOAS_ENV_BDF_BYTES 16 /* "0000:00:00.0" and more */

struct spdk_pci_driver {
	TAILQ_ENTRY(spdk_pci_driver) link;
	const char *name;
	const struct spdk_pci_id *ids; /* up to one with vendor 0 */
};

struct ioas_env_bar {
	void *va;
	uint64_t bytes;
};

struct ioas_env_pci {
	struct spdk_pci_device pci; /* first: what SPDK has is a pointer to it */
	struct ioas_dev *dev;
	struct ioas_env_bar bars[IOAS_ENV_BARS];
	int removal; /* eventfd: somebody wants the device back; -1: nobody says so */
	int *efds;   /* of its interrupts, NULL for none */
	unsigned int efd_count;
};

static inline struct ioas_env_pci *ioas_env_pci_of(struct spdk_pci_device *dev)
{
	return (struct ioas_env_pci *)dev;
}

/* pci_bus.c: devices of the system. /sys/bus/pci/devices, but for tests. */
extern const char *ioas_env_pci_bus;

/* What the system says of one. Return: 0, -ENOENT there is none, or another negative errno. */
int ioas_env_pci_read(const struct spdk_pci_addr *addr, struct spdk_pci_device *pci);

/* Is it bound to a driver that hands it to user space? */
bool ioas_env_pci_is_free(const struct spdk_pci_addr *addr);

/* Address of a BAR on the bus, 0 if the system does not tell. */
uint64_t ioas_env_pci_bar_address(const struct spdk_pci_addr *addr, unsigned int bar);

/* All addresses, sorted; to be freed. Return: their number, or a negative errno. */
int ioas_env_pci_scan(struct spdk_pci_addr **addrs);

/* pci_filter.c: those that the program wants, from its options and spdk_pci_device_allow(). */
int ioas_env_pci_filter_open(const struct spdk_env_opts *opts);
bool ioas_env_pci_is_wanted(const struct spdk_pci_addr *addr);
void ioas_env_pci_filter_close(void);

/* pci_event.c. Return: 1 and the event of a message, or 0 if it is none for us. */
int ioas_env_pci_event_read(const char *message, size_t bytes, struct spdk_pci_event *event);

/* pci_access.c */
void ioas_env_pci_access_init(struct spdk_pci_device *pci);
void ioas_env_pci_unmap_bars(struct ioas_env_pci *device);

#endif
