/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backend "soft": the software IOMMU (engine/soft/), and a kernel half over it: see
 * engine/soft/kernel.h, which also states the locking.
 *
 * Physical addresses of the model are virtual ones, so a PASSTHROUGH device reaches any address
 * of the process, and a wrong one kills it: that is what "no IOMMU" means.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../soft/kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEVICES_MAX 4096

/* Table pages. */

static void *page_alloc(struct pt_mem *mem, uint64_t *addr)
{
	void *page = aligned_alloc(IOAS_PAGE_SIZE, IOAS_PAGE_SIZE);

	(void)mem;
	if (!page)
		return NULL;
	memset(page, 0, IOAS_PAGE_SIZE);
	*addr = (uintptr_t)page;
	return page;
}

static void page_free(struct pt_mem *mem, void *page, uint64_t addr)
{
	(void)mem;
	(void)addr;
	free(page);
}

/* Context. */

static int soft_probe(char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "software IOMMU in this process; needs nothing of the machine");
	return 0;
}

static void soft_close(struct be *base)
{
	struct soft_be *be = soft_to_be(base);

	for (unsigned int i = 0; i < be->options.units && be->units[i]; i++)
		soft_unit_destroy(be->units[i]);
	if (be->kernel_fd >= 0)
		close(be->kernel_fd);
	soft_requests_destroy(&be->requests);
	soft_pins_destroy(&be->pins);
	free(be);
}

static int soft_open(struct diag *diag, const char *options, struct be **out)
{
	struct soft_be *be = calloc(1, sizeof(*be));
	int ret;

	if (!be)
		return diag_fail(diag, -ENOMEM, "soft: no memory");
	be->base = (struct be){ .ops = &soft_be_ops, .diag = diag };
	be->pt_mem = (struct pt_mem){ .alloc = page_alloc, .free = page_free };
	be->domains[0] = 1;
	soft_pins_init(&be->pins);
	be->kernel_fd = eventfd(0, EFD_CLOEXEC);
	ret = be->kernel_fd < 0 ? diag_fail(diag, -errno, "soft: eventfd: %s", strerror(errno))
				: soft_options_parse(diag, options, &be->options);
	be->pins.lazy = !be->options.pin;
	soft_requests_init(&be->requests, be->options.requests);
	for (unsigned int i = 0; !ret && i < be->options.units; i++) {
		ret = soft_unit_create(&be->options, &be->units[i]);
		if (ret)
			diag_fail(diag, ret, "soft: no memory for unit %u", i);
	}
	if (ret) {
		soft_close(&be->base);
		return ret;
	}
	*out = &be->base;
	return 0;
}

static void soft_caps(struct be *base, struct be_caps *caps)
{
	/*
	 * A flush costs about as much as a range; what it costs is the misses after it, of every
	 * entry of a full IOTLB. A range costs what a probe does, and what it is told to cost.
	 */
	const uint64_t refill_ns = 15, range_ns = 20;
	const struct soft_options *options = &soft_to_be(base)->options;
	uint64_t ranges = options->iotlb_sets * options->iotlb_ways * refill_ns /
			  (range_ns + options->inval_ns);

	memset(caps, 0, sizeof(*caps));
	caps->kinds = 1 << IOAS_KIND_KERNEL | 1 << IOAS_KIND_USER | 1 << IOAS_KIND_PASSTHROUGH;
	caps->user_formats = 1 << IOAS_FORMAT_X86_64_L4 | 1 << IOAS_FORMAT_X86_64_L5;
	caps->page_sizes = UINT64_C(1) << 12 | UINT64_C(1) << 21 | UINT64_C(1) << 30;
	caps->iova.last = (UINT64_C(1) << options->aperture_bits) - 1;
	caps->max_maps = options->max_maps;
	caps->page_requests = true;
	caps->inval_call_ranges = 1024;
	caps->inval_flush_ranges = ranges < 8 ? 8 : ranges < 1024 ? ranges : 1024;
}

static int soft_mem_add(struct be *base, const struct be_mem_attr *attr, struct be_mem **out)
{
	struct soft_mem *mem = malloc(sizeof(*mem));
	int ret;

	if (!mem)
		return diag_fail(base->diag, -ENOMEM, "soft: no memory");
	*mem = (struct soft_mem){ .base.be = base };
	ret = soft_pins_add(&soft_to_be(base)->pins, base->diag, &mem->pin, attr->va, attr->bytes,
			    attr->page_bytes > IOAS_PAGE_SIZE);
	if (ret) {
		free(mem);
		return ret;
	}
	*out = &mem->base;
	return 0;
}

static void soft_mem_del(struct be_mem *base)
{
	struct soft_mem *mem = (struct soft_mem *)base;

	soft_pins_remove(&soft_to_be(base->be)->pins, &mem->pin);
	free(mem);
}

/* Devices. */

/* "name" or "name@unit". Return: 0 and the unit, or -EINVAL, -ENODEV. */
static int parse_device(struct soft_be *be, const char *name, unsigned int *unit)
{
	const char *at = strrchr(name, '@');
	char *end;
	unsigned long number;

	*unit = 0;
	if (!*name || at == name)
		return diag_fail(be->base.diag, -EINVAL, "soft: device name is empty");
	if (!at)
		return 0;
	number = strtoul(at + 1, &end, 10);
	if (at[1] < '0' || at[1] > '9' || *end)
		return diag_fail(be->base.diag, -EINVAL,
				 "soft: device \"%s\": a unit number must follow \"@\"", name);
	if (number >= be->options.units)
		return diag_fail(be->base.diag, -ENODEV,
				 "soft: device \"%s\": there are %" PRIu64
				 " units (option units=N)",
				 name, be->options.units);
	*unit = number;
	return 0;
}

static int soft_dev_bind(struct be *base, const char *name, struct be_dev **out)
{
	struct soft_be *be = soft_to_be(base);
	struct soft_dev *dev;
	unsigned int unit;
	int ret = parse_device(be, name, &unit);

	if (ret)
		return ret;
	for (dev = be->devices; dev; dev = dev->next)
		if (!strcmp(dev->name, name))
			return diag_fail(base->diag, -EBUSY, "soft: device \"%s\" is bound already",
					 name);
	if (be->device_count == DEVICES_MAX)
		return diag_fail(base->diag, -ENOSPC, "soft: more than %d devices", DEVICES_MAX);
	dev = calloc(1, sizeof(*dev) + strlen(name) + 1);
	if (!dev)
		return diag_fail(base->diag, -ENOMEM, "soft: no memory");
	dev->base.be = base;
	dev->unit = unit;
	strcpy(dev->name, name);
	soft_endpoint_init(&dev->endpoint, be->units[unit], dev);
	dev->next = be->devices;
	be->devices = dev;
	be->device_count++;
	*out = &dev->base;
	return 0;
}

static void soft_dev_unbind(struct be_dev *base)
{
	struct soft_be *be = soft_to_be(base->be);
	struct soft_dev *dev = (struct soft_dev *)base;
	struct soft_dev **link = &be->devices;

	soft_faults_forget(&be->units[dev->unit]->faults, dev);
	while (*link != dev)
		link = &(*link)->next;
	*link = dev->next;
	be->device_count--;
	free(dev);
}

static int soft_fault_read(struct be *base, struct be_fault *faults, unsigned int max,
			   uint64_t *lost)
{
	struct soft_be *be = soft_to_be(base);
	unsigned int done = 0;

	for (unsigned int i = 0; i < be->options.units; i++) {
		struct soft_fault some[16];
		unsigned int got, want;

		do {
			want = max - done < 16 ? max - done : 16;
			got = soft_faults_read(&be->units[i]->faults, some, want, lost);
			for (unsigned int j = 0; j < got; j++)
				faults[done++] = (struct be_fault){
					.dev = (struct be_dev *)(uintptr_t)some[j].source,
					.iova = some[j].iova,
					.reason = some[j].reason,
					.prot = some[j].prot,
				};
		} while (got && got == want);
	}
	return done;
}

static void soft_request_poll(struct be *base, unsigned int timeout_ms)
{
	soft_requests_poll(&soft_to_be(base)->requests, timeout_ms);
}

static bool soft_request_next(struct be *base, struct be_request *out)
{
	struct soft_request *request = soft_request_take(&soft_to_be(base)->requests);

	if (!request)
		return false;
	*out = (struct be_request){
		.space = &request->space->base,
		.dev = &request->dev->base,
		.iova = request->iova,
		.prot = request->prot,
		.cookie = (uintptr_t)request,
	};
	return true;
}

static void soft_answer(struct be *base, const struct be_request *request, bool served)
{
	soft_request_answer(&soft_to_be(base)->requests,
			    (struct soft_request *)(uintptr_t)request->cookie, served);
}

const struct be_ops soft_be_ops = {
	.name = "soft",
	.probe = soft_probe,
	.open = soft_open,
	.close = soft_close,
	.caps = soft_caps,
	.mem_add = soft_mem_add,
	.mem_del = soft_mem_del,
	.dev_bind = soft_dev_bind,
	.dev_unbind = soft_dev_unbind,
	.space_create = soft_space_create,
	.space_destroy = soft_space_destroy,
	.attach = soft_attach,
	.detach = soft_detach,
	.map = soft_map,
	.unmap = soft_unmap,
	.invalidate = soft_invalidate,
	.fault_read = soft_fault_read,
	.request_wait = soft_request_poll,
	.request_next = soft_request_next,
	.request_answer = soft_answer,
	.dirty = &soft_dirty_ops,
};
