/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Drivers, and devices that they take: enumeration, attachment by address, detachment. One lock
 * holds all of that together, as these calls are rare; a driver's callback runs under it and may
 * detach devices.
 */
#include "ioas_env.h"
#include "pci.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Drivers register themselves before main(). */
static TAILQ_HEAD(, spdk_pci_driver) drivers = TAILQ_HEAD_INITIALIZER(drivers);

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static TAILQ_HEAD(, spdk_pci_device) devices = TAILQ_HEAD_INITIALIZER(devices);

void spdk_pci_driver_register(const char *name, struct spdk_pci_id *id_table, uint32_t flags)
{
	struct spdk_pci_driver *driver = calloc(1, sizeof(*driver));

	(void)flags; /* BARs are mapped when they are asked for */
	if (!driver)
		abort();
	driver->name = name;
	driver->ids = id_table;
	TAILQ_INSERT_TAIL(&drivers, driver, link);
}

struct spdk_pci_driver *spdk_pci_get_driver(const char *name)
{
	struct spdk_pci_driver *driver;

	TAILQ_FOREACH(driver, &drivers, link)
	if (!strcmp(driver->name, name))
		break;
	return driver;
}

struct spdk_pci_driver *spdk_pci_nvme_get_driver(void)
{
	return spdk_pci_get_driver("nvme");
}

static bool fits(uint32_t wanted, uint32_t any, uint32_t has)
{
	return wanted == any || wanted == has;
}

static bool drives(const struct spdk_pci_driver *driver, const struct spdk_pci_id *id)
{
	const struct spdk_pci_id *wanted;

	for (wanted = driver->ids; wanted->vendor_id; wanted++)
		if (fits(wanted->class_id, SPDK_PCI_CLASS_ANY_ID, id->class_id) &&
		    fits(wanted->vendor_id, SPDK_PCI_ANY_ID, id->vendor_id) &&
		    fits(wanted->device_id, SPDK_PCI_ANY_ID, id->device_id) &&
		    fits(wanted->subvendor_id, SPDK_PCI_ANY_ID, id->subvendor_id) &&
		    fits(wanted->subdevice_id, SPDK_PCI_ANY_ID, id->subdevice_id))
			return true;
	return false;
}

/* Under the lock. */
static struct spdk_pci_device *find(const struct spdk_pci_addr *addr)
{
	struct spdk_pci_device *pci;

	TAILQ_FOREACH(pci, &devices, internal.tailq)
	if (!spdk_pci_addr_compare(&pci->addr, addr))
		break;
	return pci;
}

/* Not every backend has it. */
static void watch_removal(struct ioas_env_pci *device)
{
	device->removal = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (device->removal >= 0 &&
	    ioas_pci_irq_set(device->dev, IOAS_PCI_REMOVAL, &device->removal, 1)) {
		close(device->removal);
		device->removal = -1;
	}
}

static void give_back(struct ioas_env_pci *device)
{
	int ret;

	/* Nothing of it is on its way when its mappings or its registers go. */
	ioas_pci_bus_master(device->dev, false);
	if (device->efds)
		spdk_pci_device_disable_interrupts(&device->pci);
	ioas_env_pci_unmap_bars(device);
	ret = ioas_detach(device->dev);
	if (ret == -ENOENT) /* attaching it has failed */
		ret = 0;
	ret = ret ?: ioas_dev_unbind(device->dev);
	if (ret)
		ioas_env_fail(ret, "a device stays");
	if (device->removal >= 0)
		close(device->removal);
	if (device->pci.internal.claim_fd >= 0)
		spdk_pci_device_unclaim(&device->pci);
	free(device);
}

static int take(struct spdk_pci_driver *driver, const struct spdk_pci_device *seen,
		struct ioas_env_pci **out)
{
	struct ioas_env_pci *device = calloc(1, sizeof(*device));
	char bdf[IOAS_ENV_BDF_BYTES];
	int ret;

	if (!device)
		return -ENOMEM;
	device->pci = *seen;
	device->pci.internal.driver = driver;
	device->pci.internal.claim_fd = -1;
	device->removal = -1;
	ioas_env_pci_access_init(&device->pci);
	spdk_pci_addr_fmt(bdf, sizeof(bdf), &seen->addr);
	ret = ioas_dev_bind(ioas_env.ctx, bdf, &device->dev);
	if (ret) {
		free(device);
		return ioas_env_fail(ret, bdf);
	}
	device->pci.dev_handle = device->dev;
	ret = ioas_attach(ioas_env.as, device->dev);
	if (ret) {
		ioas_env_fail(ret, bdf);
		give_back(device);
		return ret;
	}
	watch_removal(device);
	*out = device;
	return 0;
}

/* Under the lock. Return: what the callback returns, or a negative errno. */
static int offer(struct spdk_pci_driver *driver, const struct spdk_pci_device *seen,
		 spdk_pci_enum_cb enum_cb, void *enum_ctx)
{
	struct ioas_env_pci *device = NULL;
	int ret = take(driver, seen, &device);

	if (ret)
		return ret;
	TAILQ_INSERT_TAIL(&devices, &device->pci, internal.tailq);
	ret = enum_cb(enum_ctx, &device->pci);
	if (!ret) {
		device->pci.internal.attached = true;
		return 0;
	}
	TAILQ_REMOVE(&devices, &device->pci, internal.tailq);
	give_back(device);
	return ret;
}

/* Under the lock. Return: 0 also if the device is none for @driver. */
static int offer_if_fits(struct spdk_pci_driver *driver, const struct spdk_pci_addr *addr,
			 spdk_pci_enum_cb enum_cb, void *enum_ctx)
{
	struct spdk_pci_device seen = { 0 };

	if (find(addr) || !ioas_env_pci_is_wanted(addr) || ioas_env_pci_read(addr, &seen) ||
	    !drives(driver, &seen.id) || !ioas_env_pci_is_free(addr))
		return 0;
	return offer(driver, &seen, enum_cb, enum_ctx);
}

int spdk_pci_enumerate(struct spdk_pci_driver *driver, spdk_pci_enum_cb enum_cb, void *enum_ctx)
{
	struct spdk_pci_addr *addrs;
	int count, failed = 0;

	if (!driver || !ioas_env.is_open)
		return -1;
	if (ioas_env.no_pci)
		return 0;
	count = ioas_env_pci_scan(&addrs);
	pthread_mutex_lock(&lock);
	for (int i = 0; i < count && !failed; i++)
		failed = offer_if_fits(driver, &addrs[i], enum_cb, enum_ctx) < 0;
	pthread_mutex_unlock(&lock);
	free(addrs);
	return count < 0 || failed ? -1 : 0;
}

int spdk_pci_device_attach(struct spdk_pci_driver *driver, spdk_pci_enum_cb enum_cb, void *enum_ctx,
			   struct spdk_pci_addr *pci_address)
{
	struct spdk_pci_device seen = { 0 };
	int ret = -1;

	if (!driver || !ioas_env.is_open || ioas_env.no_pci)
		return -1;
	pthread_mutex_lock(&lock);
	if (!find(pci_address) && !ioas_env_pci_read(pci_address, &seen) &&
	    drives(driver, &seen.id))
		ret = offer(driver, &seen, enum_cb, enum_ctx);
	pthread_mutex_unlock(&lock);
	return ret ? -1 : 0;
}

void spdk_pci_device_detach(struct spdk_pci_device *device)
{
	pthread_mutex_lock(&lock);
	TAILQ_REMOVE(&devices, device, internal.tailq);
	give_back(ioas_env_pci_of(device));
	pthread_mutex_unlock(&lock);
}

void spdk_pci_for_each_device(void *ctx, void (*fn)(void *ctx, struct spdk_pci_device *dev))
{
	struct spdk_pci_device *pci, *next;

	pthread_mutex_lock(&lock);
	for (pci = TAILQ_FIRST(&devices); pci; pci = next) {
		next = TAILQ_NEXT(pci, internal.tailq);
		fn(ctx, pci);
	}
	pthread_mutex_unlock(&lock);
}

bool spdk_pci_device_is_removed(struct spdk_pci_device *dev)
{
	struct pollfd poller = { .fd = ioas_env_pci_of(dev)->removal, .events = POLLIN };

	if (poller.fd >= 0 && poll(&poller, 1, 0) == 1)
		dev->internal.pending_removal = true;
	return dev->internal.pending_removal;
}

int ioas_env_pci_open(const struct spdk_env_opts *opts)
{
	return ioas_env_pci_filter_open(opts);
}

void ioas_env_pci_close(void)
{
	pthread_mutex_lock(&lock);
	while (!TAILQ_EMPTY(&devices)) {
		struct spdk_pci_device *pci = TAILQ_FIRST(&devices);

		SPDK_WARNLOG("ioas: %04x:%02x:%02x.%x is attached at the end\n", pci->addr.domain,
			     pci->addr.bus, pci->addr.dev, pci->addr.func);
		spdk_pci_device_detach(pci);
	}
	pthread_mutex_unlock(&lock);
	ioas_env_pci_filter_close();
}
