/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Real devices: those PCI devices that EAL has a driver for and that are bound to the backend's
 * kernel driver are attached to our address space before EAL gets to them. The application and its
 * drivers notice nothing.
 *
 * A bus without devices of its own is the hook: EAL probes buses in the order in which they were
 * registered, when its memory is there, and this one goes before "pci". With "type1" the device's
 * group is put into our container; EAL finds it in one, maps nothing itself, and goes on as ever,
 * interrupts included. Other backends have files that EAL does not know. There the registers are
 * mapped here, and the driver's probe is called; drivers that map registers themselves (virtio)
 * have no way to ask us.
 *
 * If anything fails, EAL is kept from the device: it would map all memory for ever.
 *
 * Source: DPDK 22.11 lib/eal/common/eal_common_bus.c, lib/eal/linux/eal_vfio.c
 * (rte_vfio_setup_device()), drivers/bus/pci/pci_common.c (rte_pci_probe_one_driver()).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_devargs.h>
#include <rte_vfio.h>

#include <ioas/pci.h>

#include <bus_pci_private.h>
#include <bus_vdev_driver.h>

#include "glue.h"
#include "log.h"

#define SETTINGS_NAME "ioas" /* of the vdev that carries them */

struct glue_pci {
	struct glue_pci *next;
	struct rte_pci_device *pci;
	struct rte_pci_driver *driver;
	struct ioas_dev *dev;
	bool attached;
};

static struct rte_bus *pci_bus;

static bool matches(const struct rte_pci_id *want, const struct rte_pci_id *have)
{
	return (want->vendor_id == have->vendor_id || want->vendor_id == RTE_PCI_ANY_ID) &&
	       (want->device_id == have->device_id || want->device_id == RTE_PCI_ANY_ID) &&
	       (want->subsystem_vendor_id == have->subsystem_vendor_id ||
		want->subsystem_vendor_id == RTE_PCI_ANY_ID) &&
	       (want->subsystem_device_id == have->subsystem_device_id ||
		want->subsystem_device_id == RTE_PCI_ANY_ID) &&
	       (want->class_id == have->class_id || want->class_id == RTE_CLASS_ANY_ID);
}

static struct rte_pci_driver *driver_of(const struct rte_pci_device *pci)
{
	struct rte_pci_driver *driver;

	RTE_TAILQ_FOREACH (driver, &((struct rte_pci_bus *)pci_bus)->driver_list, next)
		for (const struct rte_pci_id *id = driver->id_table; id->vendor_id != 0; id++)
			if (matches(id, &pci->id))
				return driver;
	return NULL;
}

static bool is_type1(void)
{
	return strcmp(ioas_ctx_backend(glue.ctx), "type1") == 0;
}

/* Is it bound to the kernel driver whose devices the backend takes? */
static bool is_backends(const struct rte_pci_device *pci)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t length;

	if (strcmp(ioas_ctx_backend(glue.ctx), "ioasid") != 0)
		return pci->kdrv == RTE_PCI_KDRV_VFIO;
	snprintf(path, sizeof(path), "%s/%s/driver", rte_pci_get_sysfs_path(), pci->device.name);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	name = strrchr(target, '/');
	return strcmp(name != NULL ? name + 1 : target, "kioas") == 0;
}

/* EAL opens a group once and keeps it: type1 shares its file. */
static int name_for_backend(const struct rte_pci_device *pci, char *name, size_t name_bytes)
{
	int group, fd = -1;

	if (!is_type1()) {
		snprintf(name, name_bytes, "%s", pci->device.name);
		return 0;
	}
	if (rte_vfio_get_group_num(rte_pci_get_sysfs_path(), pci->device.name, &group) == 1)
		fd = rte_vfio_get_group_fd(group);
	if (fd < 0) {
		GLUE_LOG(ERR, "%s: EAL cannot open its VFIO group", pci->device.name);
		return -ENODEV;
	}
	snprintf(name, name_bytes, "%s@%d", pci->device.name, fd);
	return 0;
}

static int bind_one(struct rte_pci_device *pci, struct rte_pci_driver *driver)
{
	struct glue_pci *port = calloc(1, sizeof(*port));
	char name[RTE_DEV_NAME_MAX_LEN + 16];
	int rc = port != NULL ? name_for_backend(pci, name, sizeof(name)) : -ENOMEM;

	if (rc == 0) {
		rc = ioas_dev_bind(glue.ctx, name, &port->dev);
		if (rc != 0)
			glue_log_failure(name, rc);
	}
	if (rc != 0) {
		free(port);
		return rc;
	}
	port->pci = pci;
	port->driver = driver;
	port->next = glue.pci;
	glue.pci = port;
	return 0;
}

int glue_pci_bind(void)
{
	struct rte_pci_device *pci;
	int rc = 0;

	if (pci_bus == NULL || strcmp(ioas_ctx_backend(glue.ctx), "soft") == 0)
		return 0;
	RTE_TAILQ_FOREACH (pci, &((struct rte_pci_bus *)pci_bus)->device_list, next) {
		struct rte_pci_driver *driver = driver_of(pci);

		if (rc == 0 && driver != NULL && is_backends(pci))
			rc = bind_one(pci, driver);
	}
	return rc;
}

/* Registers where the driver looks for them; configuration space through sysfs. */
static int map_registers(struct glue_pci *port)
{
	char path[PATH_MAX];
	uint64_t bytes;
	int fd, rc;

	for (unsigned int bar = 0; bar < PCI_MAX_RESOURCE; bar++) {
		if (port->pci->mem_resource[bar].phys_addr == 0)
			continue;
		rc = ioas_pci_bar_map(port->dev, bar, &port->pci->mem_resource[bar].addr, &bytes);
		if (rc != 0 && rc != -EOPNOTSUPP && rc != -ENOENT) { /* ports; none */
			glue_log_failure(port->pci->device.name, rc);
			return rc;
		}
	}
	snprintf(path, sizeof(path), "%s/%s/config", rte_pci_get_sysfs_path(),
		 port->pci->device.name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	port->pci->intr_handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	port->pci->vfio_req_intr_handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (fd < 0 || port->pci->intr_handle == NULL || port->pci->vfio_req_intr_handle == NULL ||
	    rte_intr_fd_set(port->pci->intr_handle, -1) != 0 ||
	    rte_intr_dev_fd_set(port->pci->intr_handle, fd) != 0) {
		GLUE_LOG(ERR, "%s: no configuration space: %s", path, strerror(errno));
		return -EIO;
	}
	/* The kind of device whose configuration space is a file. It has no interrupts. */
	port->pci->kdrv = RTE_PCI_KDRV_UIO_GENERIC;
	return ioas_pci_bus_master(port->dev, true);
}

/* What EAL does with a device that it has mapped. It lets one alone that has a driver. */
static int probe_driver(struct glue_pci *port)
{
	int rc;

	if (!(port->driver->drv_flags & RTE_PCI_DRV_NEED_MAPPING)) {
		GLUE_LOG(ERR, "%s: driver %s maps registers itself, which takes backend type1",
			 port->pci->device.name, port->driver->driver.name);
		return -ENOTSUP;
	}
	rc = map_registers(port);
	if (rc != 0)
		return rc;
	port->pci->driver = port->driver;
	rc = port->driver->probe(port->driver, port->pci);
	if (rc != 0) {
		GLUE_LOG(ERR, "%s: driver %s does not take it", port->pci->device.name,
			 port->driver->driver.name);
		port->pci->driver = NULL;
		return -ENODEV;
	}
	port->pci->device.driver = &port->driver->driver;
	return 0;
}

int glue_pci_attach(void)
{
	int rc = 0;

	for (struct glue_pci *port = glue.pci; rc == 0 && port != NULL; port = port->next) {
		rc = ioas_attach(glue.as, port->dev);
		if (rc != 0)
			glue_log_failure(port->pci->device.name, rc);
		port->attached = rc == 0;
	}
	return rc;
}

void glue_pci_release(void)
{
	while (glue.pci != NULL) {
		struct glue_pci *port = glue.pci;
		int rc = port->attached ? ioas_detach(port->dev) : 0;

		if (rc == 0)
			rc = ioas_dev_unbind(port->dev);
		if (rc != 0)
			glue_log_failure(port->pci->device.name, rc);
		glue.pci = port->next;
		free(port);
	}
}

/* EAL would map all of its memory for them, and all devices could reach it. */
static void keep_eal_away(void)
{
	struct rte_pci_device *pci;

	if (pci_bus == NULL)
		return;
	RTE_TAILQ_FOREACH (pci, &((struct rte_pci_bus *)pci_bus)->device_list, next)
		pci->kdrv = RTE_PCI_KDRV_NONE;
}

/* Settings of --vdev=ioasN,KEY=VALUE,...: read here, before any device is there. */
static int read_settings(struct glue_config *config)
{
	struct rte_devargs *args;

	RTE_EAL_DEVARGS_FOREACH ("vdev", args)
		if (strncmp(args->name, SETTINGS_NAME, strlen(SETTINGS_NAME)) == 0)
			return glue_config_parse(args->name, args->args, config, NULL);
	return 0;
}

static int open_for_devices(void)
{
	struct glue_config want = { .given = 0 };
	int rc = read_settings(&want);

	if (rc == 0)
		rc = glue_wants_devices(&want);
	if (rc <= 0)
		return rc;
	rc = glue_open(&want);
	for (struct glue_pci *port = glue.pci; rc == 0 && !is_type1() && port; port = port->next)
		rc = probe_driver(port);
	return rc;
}

static int bus_probe(void)
{
	int rc = open_for_devices();

	if (rc != 0) {
		GLUE_LOG(ERR, "devices cannot be protected, so none is used");
		keep_eal_away();
	}
	return rc;
}

/* The devices stay attached: their drivers' turn is after ours. The process's end detaches them. */
static int bus_cleanup(void)
{
	if (glue.pci != NULL)
		glue_log_counters();
	return 0;
}

static int bus_scan(void)
{
	return 0;
}

static struct rte_device *bus_find_device(const struct rte_device *start, rte_dev_cmp_t compare,
					  const void *data)
{
	(void)start;
	(void)compare;
	(void)data;
	return NULL;
}

static struct rte_bus ioas_bus = {
	.name = "ioas",
	.scan = bus_scan,
	.probe = bus_probe,
	.find_device = bus_find_device,
	.cleanup = bus_cleanup,
};

RTE_INIT_PRIO(ioas_bus_register, BUS)
{
	pci_bus = rte_bus_find_by_name("pci");
	if (pci_bus != NULL)
		rte_bus_unregister(pci_bus);
	rte_bus_register(&ioas_bus);
	if (pci_bus != NULL)
		rte_bus_register(pci_bus);
}

/* The vdev "ioas" is settings, and nothing else. */
static int settings_probe(struct rte_vdev_device *vdev)
{
	struct glue_config want = { .given = 0 };
	int rc = glue_config_parse(rte_vdev_device_name(vdev), rte_vdev_device_args(vdev), &want,
				   NULL);

	return rc != 0 ? rc : glue_open(&want);
}

static int settings_remove(struct rte_vdev_device *vdev)
{
	(void)vdev;
	glue_close();
	return 0;
}

static struct rte_vdev_driver settings_driver = {
	.probe = settings_probe,
	.remove = settings_remove,
};

RTE_PMD_REGISTER_VDEV(ioas, settings_driver);
