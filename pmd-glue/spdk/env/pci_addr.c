/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI addresses: "domain:bus:device.function" and back. */
#include "pci.h"

#include <errno.h>
#include <stdio.h>

int spdk_pci_addr_compare(const struct spdk_pci_addr *a1, const struct spdk_pci_addr *a2)
{
	if (a1->domain != a2->domain)
		return a1->domain < a2->domain ? -1 : 1;
	if (a1->bus != a2->bus)
		return a1->bus < a2->bus ? -1 : 1;
	if (a1->dev != a2->dev)
		return a1->dev < a2->dev ? -1 : 1;
	return a1->func < a2->func ? -1 : a1->func > a2->func;
}

static int make(struct spdk_pci_addr *addr, unsigned int domain, unsigned int bus, unsigned int dev,
		unsigned int func)
{
	if (bus > 0xff || dev > 0x1f || func > 7)
		return -EINVAL;
	*addr = (struct spdk_pci_addr){ .domain = domain, .bus = bus, .dev = dev, .func = func };
	return 0;
}

/* Domain and function may be left out; '.' may stand for ':'. */
int spdk_pci_addr_parse(struct spdk_pci_addr *addr, const char *bdf)
{
	unsigned int domain, bus, dev, func;
	int end = 0;

	if (!addr || !bdf)
		return -EINVAL;
#define READS(count, ...) (end = 0, sscanf(bdf, __VA_ARGS__, &end) == (count) && end && !bdf[end])
	if (READS(4, "%x%*1[:.]%x%*1[:.]%x.%x%n", &domain, &bus, &dev, &func))
		return make(addr, domain, bus, dev, func);
	if (READS(3, "%x%*1[:.]%x.%x%n", &bus, &dev, &func))
		return make(addr, 0, bus, dev, func);
	if (READS(3, "%x:%x:%x%n", &domain, &bus, &dev))
		return make(addr, domain, bus, dev, 0);
	if (READS(2, "%x:%x%n", &bus, &dev))
		return make(addr, 0, bus, dev, 0);
#undef READS
	return -EINVAL;
}

int spdk_pci_addr_fmt(char *bdf, size_t sz, const struct spdk_pci_addr *addr)
{
	int length = snprintf(bdf, sz, "%04x:%02x:%02x.%x", addr->domain, addr->bus, addr->dev,
			      addr->func);

	return length > 0 && (size_t)length < sz ? 0 : -1;
}
