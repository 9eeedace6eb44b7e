/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backend "ioasid": context, devices, address spaces. See ioasid.h.
 *
 * Devices have to be bound to the driver kioas. A device is bound to the file with a cookie of
 * ours, by which events name it. All five kinds are offered as the module has them; USER tables are
 * walked and shadowed by the kernel (software nesting), so they work on every IOMMU.
 *
 * Options, separated by commas:
 *   fd=N          /dev/ioasid is open as file N, by a process that may open it; it is used without
 *                 blocking from then on
 *   ring=N        maps, unmaps and invalidations go through a ring of N elements, a power of two,
 * which a thread of the kernel polls: no system calls, but a processor's time
 *
 * Source: include/uapi/linux/ioasid.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ioasid_ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static_assert((int)IOASID_KIND_KERNEL == IOAS_KIND_KERNEL &&
		      (int)IOASID_KIND_USER == IOAS_KIND_USER &&
		      (int)IOASID_KIND_CPU == IOAS_KIND_CPU &&
		      (int)IOASID_KIND_VM == IOAS_KIND_VM &&
		      (int)IOASID_KIND_PASSTHROUGH == IOAS_KIND_PASSTHROUGH,
	      "the same numbers of kinds");
static_assert((int)IOASID_FORMAT_X86_64_L4 == IOAS_FORMAT_X86_64_L4 &&
		      (int)IOASID_FORMAT_VTDSS_L5 == IOAS_FORMAT_VTDSS_L5 &&
		      (int)IOASID_FORMAT_ARM64_S1_64K == IOAS_FORMAT_ARM64_S1_64K &&
		      (int)IOASID_FORMAT_AMDV1_L6 == IOAS_FORMAT_AMDV1_L6 &&
		      (int)IOASID_FORMAT_RISCV_SV57 == IOAS_FORMAT_RISCV_SV57,
	      "the same numbers of formats");

#define KINDS	(((1U << IOAS_KIND_PASSTHROUGH) - 1) << 1)
#define FORMATS ((1U << IOAS_FORMAT_COUNT) - 2)

/* Context. */

static int ioasid_probe(char *why, size_t why_bytes)
{
	int fd = vfio_probe_open(IOASID_FILE, IOASID_DRIVER, why, why_bytes);
	int ret;

	if (fd < 0)
		return fd;
	close(fd);
	ret = vfio_probe_devices(IOASID_DEVICES, VFIO_DIGITS, IOASID_DRIVER, why, why_bytes);
	if (!ret)
		snprintf(why, why_bytes, IOASID_FILE ", and a device is bound to " IOASID_DRIVER);
	return ret;
}

static void ioasid_close(struct be *base)
{
	struct ioasid_be *be = ioasid_to_be(base);
	struct ioasid_ring *ring = atomic_load(&be->ring);

	if (ring)
		ioasid_ring_close(ring);
	if (be->fd >= 0)
		close(be->fd);
	pthread_mutex_destroy(&be->events_lock);
	vfio_be_destroy(&be->vfio);
	free(be);
}

static int parse_option(struct be *base, const char *text, size_t length)
{
	if (vfio_parse_option(text, length, "fd=", &ioasid_to_be(base)->given_fd) ||
	    vfio_parse_option(text, length, "ring=", &ioasid_to_be(base)->ring_entries))
		return 0;
	return diag_fail(base->diag, -EINVAL,
			 "ioasid: unknown option \"%.*s\": there are fd=NUMBER and ring=NUMBER",
			 (int)(length < 64 ? length : 64), text);
}

static int check_extension(const struct ioasid_be *be, uint32_t extension, uint64_t *value)
{
	struct ioasid_check_extension request = {
		.size = sizeof(request),
		.extension = extension,
	};
	int ret = ioasid_request(be, IOASID_CHECK_EXTENSION, &request);

	*value = request.out_value;
	return ret;
}

/* What the module can do, whatever the device. */
static int ask_module(struct ioasid_be *be)
{
	struct ioasid_kind_info user = { .size = sizeof(user), .kind = IOASID_KIND_USER };
	uint64_t version, kinds, array_max, kvm;
	int ret = check_extension(be, IOASID_EXT_VERSION, &version);

	ret = ret ?: check_extension(be, IOASID_EXT_KINDS, &kinds);
	ret = ret ?: check_extension(be, IOASID_EXT_ARRAY_MAX, &array_max);
	ret = ret ?: check_extension(be, IOASID_EXT_KVM, &kvm);
	if (ret)
		return diag_fail(be->vfio.base.diag, -ENODEV, "ioasid: %s is not kioas's: %s",
				 IOASID_FILE, strerror(-ret));
	if (!version || !array_max)
		return diag_fail(be->vfio.base.diag, -ENODEV,
				 "ioasid: the module kioas is older than this library");
	be->kinds = kinds & KINDS;
	/* Those without a machine's file are not of this library's. */
	if (!kvm)
		be->kinds &= ~(1U << IOAS_KIND_VM);
	be->array_max = array_max;
	if (be->kinds & 1U << IOAS_KIND_USER && !ioasid_request(be, IOASID_KIND_GET_INFO, &user))
		be->formats = user.out_formats & FORMATS;
	return 0;
}

static int check_ring(struct ioasid_be *be)
{
	uint64_t most, poll;
	int ret = check_extension(be, IOASID_EXT_RING, &most);

	ret = ret ?: check_extension(be, IOASID_EXT_RING_POLL, &poll);
	if (ret || !most || !poll)
		return diag_fail(be->vfio.base.diag, -EOPNOTSUPP,
				 "ioasid: ring=%d: the module has no rings that it polls",
				 be->ring_entries);
	if (be->ring_entries & (be->ring_entries - 1) || (uint64_t)be->ring_entries > most)
		return diag_fail(be->vfio.base.diag, -EINVAL,
				 "ioasid: ring=%d: a power of two up to %" PRIu64 " is needed",
				 be->ring_entries, most);
	return 0;
}

static int open_file(struct ioasid_be *be)
{
	int ret;

	be->fd = be->given_fd >= 0 ? vfio_dup(&be->vfio.base, be->given_fd)
				   : vfio_open(&be->vfio.base, IOASID_FILE, IOASID_DRIVER);
	if (be->fd < 0)
		return be->fd;
	if (fcntl(be->fd, F_SETFL, O_NONBLOCK))
		return diag_fail(be->vfio.base.diag, -errno, "ioasid: fcntl: %s", strerror(errno));
	ret = ask_module(be);
	return ret || !be->ring_entries ? ret : check_ring(be);
}

/* The kernel's thread is for who has a device. */
static int open_ring(struct ioasid_be *be)
{
	struct ioasid_ring *ring;
	int ret;

	if (!be->ring_entries || atomic_load(&be->ring))
		return 0;
	ret = ioasid_ring_open(be, be->ring_entries, &ring);
	if (!ret)
		atomic_store(&be->ring, ring);
	return ret;
}

static int ioasid_open(struct diag *diag, const char *options, struct be **out)
{
	struct ioasid_be *be = calloc(1, sizeof(*be));
	int ret;

	if (!be)
		return diag_fail(diag, -ENOMEM, "ioasid: no memory");
	vfio_be_init(&be->vfio, &ioasid_be_ops, diag);
	be->vfio.driver = IOASID_DRIVER;
	be->fd = be->given_fd = -1;
	pthread_mutex_init(&be->events_lock, NULL);
	ret = vfio_parse_options(&be->vfio.base, options, parse_option);
	ret = ret ?: open_file(be);
	if (ret) {
		ioasid_close(&be->vfio.base);
		return ret;
	}
	*out = &be->vfio.base;
	return 0;
}

static void ioasid_caps(struct be *base, struct be_caps *caps)
{
	struct ioasid_be *be = ioasid_to_be(base);

	memset(caps, 0, sizeof(*caps));
	caps->kinds = be->kinds;
	caps->user_formats = be->formats;
	if (!be->formats)
		caps->kinds &= ~(1U << IOAS_KIND_USER);
	caps->shadows = true;
	/* A flush has the kernel walk the whole table, so ranges are cheaper for long. */
	caps->inval_call_ranges = be->array_max;
	caps->inval_flush_ranges = 1024;
	vfio_limits_caps(&be->vfio.limits, caps);
}

/* Devices. */

static int ask_device(struct ioasid_be *be, struct ioasid_dev *dev)
{
	struct ioasid_range raw[VFIO_RANGES_MAX];
	struct ioasid_device_info info = {
		.size = sizeof(info),
		.dev_id = dev->id,
		.ranges_uptr = (uintptr_t)raw,
		.range_count = VFIO_RANGES_MAX,
	};
	struct vfio_ranges ranges;
	int ret = ioasid_device_request(dev, IOASID_DEVICE_GET_INFO, &info);

	if (ret)
		return ioasid_fail(be, ret, "%s: IOASID_DEVICE_GET_INFO", dev->vfio.address);
	ranges.count = info.range_count;
	for (unsigned int i = 0; i < ranges.count; i++)
		ranges.range[i] = (struct ioas_range){ raw[i].start, raw[i].last };
	vfio_limits_narrow(&be->vfio.limits, &ranges, info.out_page_sizes);
	be->formats &= info.out_shadow_formats;
	return 0;
}

static int fail_bind(struct ioasid_be *be, const struct ioasid_dev *dev, int code)
{
	switch (code) {
	case -EBUSY:
		if (vfio_fail_neighbour(&be->vfio.base, dev->vfio.group))
			return code;
		return diag_fail(be->vfio.base.diag, code,
				 "ioasid: %s, or a device of its group %u, is in use by another "
				 "program: `fuser -v " IOASID_FILE " " IOASID_DEVICES "/*`",
				 dev->vfio.address, dev->vfio.group);
	case -EPERM:
		return diag_fail(
			be->vfio.base.diag, code,
			"ioasid: %s: the IOMMU does not isolate interrupts; to accept that: "
			"`echo 1 >/sys/module/kioas/parameters/allow_unsafe_interrupts`",
			dev->vfio.address);
	}
	return ioasid_fail(be, code, "%s: IOASID_BIND_DEVICE", dev->vfio.address);
}

static void unbind_device(struct ioasid_be *be, struct ioasid_dev *dev)
{
	struct ioasid_unbind_device request = { .size = sizeof(request), .dev_id = dev->id };
	int ret = ioasid_device_request(dev, IOASID_UNBIND_DEVICE, &request);

	/* One that was taken away is unbound already. */
	if (ret && ret != -ENODEV)
		ioasid_fail(be, ret, "%s: IOASID_UNBIND_DEVICE", dev->vfio.address);
	close(dev->vfio.fd);
}

static int bind_device(struct ioasid_be *be, struct ioasid_dev *dev)
{
	struct ioasid_bind_device request = { .size = sizeof(request), .cookie = dev->cookie };
	char path[VFIO_PATH_BYTES];
	int ret;

	snprintf(path, sizeof(path), IOASID_DEVICES "/%s", dev->vfio.address);
	dev->vfio.fd = dev->vfio.given_fd >= 0 ? vfio_dup(&be->vfio.base, dev->vfio.given_fd)
					       : vfio_open(&be->vfio.base, path, IOASID_DRIVER);
	if (dev->vfio.fd < 0)
		return dev->vfio.fd;
	request.device_fd = dev->vfio.fd;
	ret = ioasid_request(be, IOASID_BIND_DEVICE, &request);
	if (ret) {
		close(dev->vfio.fd);
		return fail_bind(be, dev, ret);
	}
	dev->id = request.out_dev_id;
	ret = ask_device(be, dev);
	ret = ret ?: open_ring(be);
	if (ret)
		unbind_device(be, dev);
	return ret;
}

static int ioasid_dev_bind(struct be *base, const char *name, struct be_dev **out)
{
	struct ioasid_be *be = ioasid_to_be(base);
	struct ioasid_dev *dev = calloc(1, sizeof(*dev));
	int ret;

	if (!dev)
		return diag_fail(base->diag, -ENOMEM, "ioasid: no memory");
	dev->cookie = ++be->next_cookie;
	dev->removal_fd = -1;
	ret = vfio_dev_init(&dev->vfio, base, name);
	ret = ret ?: bind_device(be, dev);
	if (ret) {
		free(dev);
		return ret;
	}
	vfio_dev_add(&dev->vfio);
	ioasid_events_add(be, dev);
	*out = &dev->vfio.base;
	return 0;
}

static void ioasid_dev_unbind(struct be_dev *base)
{
	struct ioasid_be *be = ioasid_to_be(base->be);
	struct ioasid_dev *dev = ioasid_to_dev(base);

	ioasid_events_remove(be, dev);
	vfio_dev_remove(&dev->vfio);
	unbind_device(be, dev);
	free(dev);
}

/* Address spaces. */

/* What a kind has to be told besides. */
union space_data {
	struct ioasid_alloc_user user;
	struct ioasid_alloc_cpu cpu;
	struct ioasid_alloc_vm vm;
};

static size_t space_data(const struct be_space_attr *attr, union space_data *data)
{
	memset(data, 0, sizeof(*data));
	switch (attr->kind) {
	case IOAS_KIND_USER:
		data->user.root = attr->root;
		return sizeof(data->user);
	case IOAS_KIND_CPU:
		data->cpu.start = attr->range.start;
		data->cpu.last = attr->range.last;
		data->cpu.prot = attr->prot;
		return sizeof(data->cpu);
	case IOAS_KIND_VM:
		data->vm.vm_fd = attr->vm_fd;
		return sizeof(data->vm);
	default:
		return 0;
	}
}

static int alloc_space(struct ioasid_be *be, const struct be_space_attr *attr, uint32_t *id)
{
	const struct ioasid_space *parent = (const struct ioasid_space *)attr->parent;
	union space_data data;
	struct ioasid_alloc request = {
		.size = sizeof(request),
		.kind = attr->kind,
		.format = attr->format,
		.parent_id = parent ? parent->id : 0,
		.data_len = space_data(attr, &data),
	};
	int ret;

	if (request.data_len)
		request.data_uptr = (uintptr_t)&data;
	ret = ioasid_request(be, IOASID_ALLOC, &request);
	if (ret)
		return ioasid_fail(be, ret, "IOASID_ALLOC");
	*id = request.out_ioasid;
	return 0;
}

static int ioasid_space_create(struct be *base, const struct be_space_attr *attr,
			       struct be_space **out)
{
	struct ioasid_space *space = calloc(1, sizeof(*space));
	int ret;

	if (!space)
		return diag_fail(base->diag, -ENOMEM, "ioasid: no memory");
	space->vfio.base.be = base;
	ret = alloc_space(ioasid_to_be(base), attr, &space->id);
	if (ret) {
		free(space);
		return ret;
	}
	*out = &space->vfio.base;
	return 0;
}

static void ioasid_space_destroy(struct be_space *base)
{
	struct ioasid_space *space = (struct ioasid_space *)base;
	struct ioasid_free request = { .size = sizeof(request), .ioasid = space->id };
	int ret = ioasid_request(ioasid_to_be(base->be), IOASID_FREE, &request);

	if (ret)
		ioasid_fail(ioasid_to_be(base->be), ret, "IOASID_FREE");
	free(space);
}

static int ioasid_attach(struct be_space *base, struct be_dev *base_dev)
{
	struct ioasid_space *space = (struct ioasid_space *)base;
	struct ioasid_dev *dev = ioasid_to_dev(base_dev);
	struct ioasid_attach request = {
		.size = sizeof(request),
		.dev_id = dev->id,
		.ioasid = space->id,
	};
	int ret = vfio_check_neighbours(&dev->vfio, &space->vfio);

	if (ret)
		return ret;
	ret = ioasid_device_request(dev, IOASID_ATTACH, &request);
	if (ret) {
		ioasid_fail(ioasid_to_be(base->be), ret, "%s cannot be attached",
			    dev->vfio.address);
		return ret == -EXDEV ? -EOPNOTSUPP : ret;
	}
	dev->vfio.space = &space->vfio;
	return 0;
}

static int ioasid_detach(struct be_dev *base)
{
	struct ioasid_dev *dev = ioasid_to_dev(base);
	struct ioasid_detach request = { .size = sizeof(request), .dev_id = dev->id };
	int ret;

	if (!dev->vfio.space)
		return 0;
	ret = ioasid_device_request(dev, IOASID_DETACH, &request);
	/* One that was taken away is detached already. */
	if (ret && ret != -ENODEV)
		return ioasid_fail(ioasid_to_be(base->be), ret, "%s cannot be detached",
				   dev->vfio.address);
	dev->vfio.space = NULL;
	return 0;
}

static int ioasid_lookup(struct be_space *base, uint64_t iova, uint64_t *va, uint32_t *prot)
{
	const struct ioasid_space *space = (const struct ioasid_space *)base;
	struct ioasid_lookup request = {
		.size = sizeof(request),
		.ioasid = space->id,
		.iova = iova,
	};
	int ret = ioasid_request(ioasid_to_be(base->be), IOASID_LOOKUP, &request);

	if (ret)
		return ret;
	*va = request.out_address;
	*prot = request.out_prot & IOAS_RW;
	return 0;
}

const struct be_ops ioasid_be_ops = {
	.name = "ioasid",
	.probe = ioasid_probe,
	.open = ioasid_open,
	.close = ioasid_close,
	.caps = ioasid_caps,
	.mem_add = ioasid_mem_add,
	.mem_del = ioasid_mem_del,
	.dev_bind = ioasid_dev_bind,
	.dev_unbind = ioasid_dev_unbind,
	.space_create = ioasid_space_create,
	.space_destroy = ioasid_space_destroy,
	.attach = ioasid_attach,
	.detach = ioasid_detach,
	.map = ioasid_map,
	.unmap = ioasid_unmap,
	.invalidate = ioasid_invalidate,
	.fault_read = ioasid_fault_read,
	.iova_ranges = vfio_iova_ranges,
	.lookup = ioasid_lookup,
	.pci = &ioasid_pci_ops,
};
