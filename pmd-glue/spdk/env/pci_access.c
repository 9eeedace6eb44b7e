/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers of a device: configuration space and BARs; and what it says of itself. */
#include "ioas_env.h"
#include "pci.h"

#include <endian.h>
#include <errno.h>

static int map_bar(struct spdk_pci_device *dev, uint32_t bar, void **mapped_addr,
		   uint64_t *phys_addr, uint64_t *size)
{
	struct ioas_env_pci *device = ioas_env_pci_of(dev);
	struct ioas_env_bar *mapped = device->bars + bar;
	int ret;

	if (bar >= IOAS_ENV_BARS)
		return -EINVAL;
	if (mapped->va)
		return -EBUSY;
	ret = ioas_pci_bar_map(device->dev, bar, &mapped->va, &mapped->bytes);
	if (ret) {
		mapped->va = NULL;
		return ioas_env_fail(ret, "map of a BAR");
	}
	*mapped_addr = mapped->va;
	*size = mapped->bytes;
	*phys_addr = ioas_env_pci_bar_address(&dev->addr, bar);
	return 0;
}

static int unmap_bar(struct spdk_pci_device *dev, uint32_t bar, void *addr)
{
	struct ioas_env_pci *device = ioas_env_pci_of(dev);
	struct ioas_env_bar *mapped = device->bars + bar;
	int ret;

	if (bar >= IOAS_ENV_BARS || !addr || mapped->va != addr)
		return -EINVAL;
	ret = ioas_pci_bar_unmap(device->dev, mapped->va, mapped->bytes);
	if (ret)
		return ioas_env_fail(ret, "unmap of a BAR");
	mapped->va = NULL;
	return 0;
}

static int config_read(struct spdk_pci_device *dev, void *value, uint32_t len, uint32_t offset)
{
	return ioas_pci_config_read(ioas_env_pci_of(dev)->dev, offset, value, len);
}

static int config_write(struct spdk_pci_device *dev, void *value, uint32_t len, uint32_t offset)
{
	return ioas_pci_config_write(ioas_env_pci_of(dev)->dev, offset, value, len);
}

void ioas_env_pci_access_init(struct spdk_pci_device *pci)
{
	pci->type = "pci";
	pci->map_bar = map_bar;
	pci->unmap_bar = unmap_bar;
	pci->cfg_read = config_read;
	pci->cfg_write = config_write;
}

void ioas_env_pci_unmap_bars(struct ioas_env_pci *device)
{
	for (uint32_t bar = 0; bar < IOAS_ENV_BARS; bar++)
		if (device->bars[bar].va)
			unmap_bar(&device->pci, bar, device->bars[bar].va);
}

int spdk_pci_device_map_bar(struct spdk_pci_device *dev, uint32_t bar, void **mapped_addr,
			    uint64_t *phys_addr, uint64_t *size)
{
	return dev->map_bar(dev, bar, mapped_addr, phys_addr, size);
}

int spdk_pci_device_unmap_bar(struct spdk_pci_device *dev, uint32_t bar, void *mapped_addr)
{
	return dev->unmap_bar(dev, bar, mapped_addr);
}

int spdk_pci_device_cfg_read(struct spdk_pci_device *dev, void *buf, uint32_t len, uint32_t offset)
{
	return dev->cfg_read(dev, buf, len, offset);
}

int spdk_pci_device_cfg_write(struct spdk_pci_device *dev, void *buf, uint32_t len, uint32_t offset)
{
	return dev->cfg_write(dev, buf, len, offset);
}

int spdk_pci_device_cfg_read8(struct spdk_pci_device *dev, uint8_t *value, uint32_t offset)
{
	return spdk_pci_device_cfg_read(dev, value, sizeof(*value), offset);
}

int spdk_pci_device_cfg_write8(struct spdk_pci_device *dev, uint8_t value, uint32_t offset)
{
	return spdk_pci_device_cfg_write(dev, &value, sizeof(value), offset);
}

/* Configuration space is little-endian. */
int spdk_pci_device_cfg_read16(struct spdk_pci_device *dev, uint16_t *value, uint32_t offset)
{
	int ret = spdk_pci_device_cfg_read(dev, value, sizeof(*value), offset);

	*value = le16toh(*value);
	return ret;
}

int spdk_pci_device_cfg_write16(struct spdk_pci_device *dev, uint16_t value, uint32_t offset)
{
	value = htole16(value);
	return spdk_pci_device_cfg_write(dev, &value, sizeof(value), offset);
}

int spdk_pci_device_cfg_read32(struct spdk_pci_device *dev, uint32_t *value, uint32_t offset)
{
	int ret = spdk_pci_device_cfg_read(dev, value, sizeof(*value), offset);

	*value = le32toh(*value);
	return ret;
}

int spdk_pci_device_cfg_write32(struct spdk_pci_device *dev, uint32_t value, uint32_t offset)
{
	value = htole32(value);
	return spdk_pci_device_cfg_write(dev, &value, sizeof(value), offset);
}

uint32_t spdk_pci_device_get_domain(struct spdk_pci_device *dev)
{
	return dev->addr.domain;
}

uint8_t spdk_pci_device_get_bus(struct spdk_pci_device *dev)
{
	return dev->addr.bus;
}

uint8_t spdk_pci_device_get_dev(struct spdk_pci_device *dev)
{
	return dev->addr.dev;
}

uint8_t spdk_pci_device_get_func(struct spdk_pci_device *dev)
{
	return dev->addr.func;
}

struct spdk_pci_addr spdk_pci_device_get_addr(struct spdk_pci_device *dev)
{
	return dev->addr;
}

struct spdk_pci_id spdk_pci_device_get_id(struct spdk_pci_device *dev)
{
	return dev->id;
}

uint16_t spdk_pci_device_get_vendor_id(struct spdk_pci_device *dev)
{
	return dev->id.vendor_id;
}

uint16_t spdk_pci_device_get_device_id(struct spdk_pci_device *dev)
{
	return dev->id.device_id;
}

int spdk_pci_device_get_numa_id(struct spdk_pci_device *dev)
{
	return dev->numa_id;
}

const char *spdk_pci_device_get_type(const struct spdk_pci_device *dev)
{
	return dev->type;
}
