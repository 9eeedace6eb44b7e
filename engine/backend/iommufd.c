/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backend "iommufd": /dev/iommu, and devices by their VFIO character devices. Linux 6.6 and
 * later; what a kernel does not know is found out by its errors, not by its version.
 *
 * A KERNEL space is an IOAS, and the page tables that the kernel makes for it. It keeps its
 * mappings whether devices are attached or not; the kernel pins memory with the first device.
 *
 * Options, separated by commas:
 *   huge_pages=0  page tables hold entries of the smallest page size only
 *   fd=N          /dev/iommu is open as file N, by a process that may open it
 *
 * Memory and mappings are in iommufd_map.c, USER spaces in iommufd_user.c, offered where the kernel
 * nests page tables.
 *
 * Locking: devices and attachment are guarded by the context's lock; spaces, by the kernel.
 *
 * Source: Linux Documentation/userspace-api/iommufd.rst; uapi_iommufd.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "iommufd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IOMMUFD "/dev/iommu"
#define DEVICES "/dev/vfio/devices"

#define SIZE_4K (UINT64_C(1) << 12)
#define SIZE_2M (UINT64_C(1) << 21)
#define SIZE_1G (UINT64_C(1) << 30)

/* Context. */

static int iommufd_probe(char *why, size_t why_bytes)
{
	int fd = vfio_probe_open(IOMMUFD, "iommufd", why, why_bytes);
	int ret;

	if (fd < 0)
		return fd;
	close(fd);
	ret = vfio_probe_devices(DEVICES, "v", VFIO_PCI, why, why_bytes);
	if (!ret)
		snprintf(why, why_bytes, IOMMUFD " and VFIO character devices");
	return ret;
}

void iommufd_close(struct be *base)
{
	struct iommufd_be *be = iommufd_to_be(base);

	if (be->memory_id)
		iommufd_destroy(be, be->memory_id);
	if (be->fd >= 0)
		close(be->fd);
	iommufd_user_fini(be);
	vfio_be_destroy(&be->vfio);
	free(be);
}

static int parse_option(struct be *base, const char *text, size_t length)
{
	struct iommufd_be *be = iommufd_to_be(base);
	int number;

	if (vfio_parse_option(text, length, "fd=", &be->given_fd))
		return 0;
	if (vfio_parse_option(text, length, "huge_pages=", &number) && number <= 1) {
		be->huge_pages = number;
		return 0;
	}
	return diag_fail(base->diag, -EINVAL,
			 "iommufd: unknown option \"%.*s\": there are huge_pages=0|1 and fd=NUMBER",
			 (int)(length < 64 ? length : 64), text);
}

int iommufd_new_be(struct diag *diag, struct iommufd_be **out)
{
	struct iommufd_be *be = calloc(1, sizeof(*be));

	if (!be)
		return diag_fail(diag, -ENOMEM, "iommufd: no memory");
	vfio_be_init(&be->vfio, &iommufd_be_ops, diag);
	iommufd_user_init(be);
	be->fd = be->given_fd = -1;
	be->huge_pages = true;
	*out = be;
	return 0;
}

static int iommufd_open(struct diag *diag, const char *options, struct be **out)
{
	struct iommufd_be *be;
	int ret = iommufd_new_be(diag, &be);

	if (ret)
		return ret;
	ret = vfio_parse_options(&be->vfio.base, options, parse_option);
	if (!ret) {
		be->fd = be->given_fd >= 0 ? vfio_dup(&be->vfio.base, be->given_fd)
					   : vfio_open(&be->vfio.base, IOMMUFD, "iommufd");
		ret = be->fd < 0 ? be->fd : 0;
	}
	if (ret) {
		iommufd_close(&be->vfio.base);
		return ret;
	}
	*out = &be->vfio.base;
	return 0;
}

static void iommufd_caps(struct be *base, struct be_caps *caps)
{
	memset(caps, 0, sizeof(*caps));
	caps->kinds = 1 << IOAS_KIND_KERNEL;
	vfio_limits_caps(&vfio_to_be(base)->limits, caps);
	iommufd_user_caps(iommufd_to_be(base), caps);
}

/* Objects of the kernel. */

int iommufd_fail(struct be *be, const char *what)
{
	return diag_fail(be->diag, -errno, "iommufd: %s: %s", what, strerror(errno));
}

int iommufd_new_ioas(struct iommufd_be *be, uint32_t *id)
{
	struct uapi_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct uapi_option option = {
		.size = sizeof(option),
		.option_id = UAPI_OPTION_HUGE_PAGES,
		.op = UAPI_OPTION_SET,
	};

	if (ioctl(be->fd, UAPI_IOAS_ALLOC, &alloc))
		return iommufd_fail(&be->vfio.base, "IOMMU_IOAS_ALLOC");
	*id = alloc.out_ioas_id;
	option.object_id = alloc.out_ioas_id;
	if (!be->huge_pages && ioctl(be->fd, UAPI_OPTION, &option)) {
		int ret = iommufd_fail(&be->vfio.base,
				       "option huge_pages=0: IOMMU_OPTION_HUGE_PAGES");

		ioctl(be->fd, UAPI_DESTROY,
		      &(struct uapi_destroy){ .size = sizeof(struct uapi_destroy), .id = *id });
		return ret;
	}
	return 0;
}

void iommufd_destroy(struct iommufd_be *be, uint32_t id)
{
	struct uapi_destroy request = { .size = sizeof(request), .id = id };

	if (be->fd < 0) /* abandoned */
		return;
	if (ioctl(be->fd, UAPI_DESTROY, &request))
		diag_log(be->vfio.base.diag, IOAS_LOG_ERROR, "iommufd: IOMMU_DESTROY: %s",
			 strerror(errno));
}

int iommufd_move_device(struct iommufd_dev *dev, uint32_t id)
{
	struct uapi_device_attach attach = { .argsz = sizeof(attach), .pt_id = id };

	return ioctl(dev->vfio.fd, UAPI_DEVICE_ATTACH, &attach) ? -errno : 0;
}

int iommufd_drop_device(struct iommufd_dev *dev)
{
	struct uapi_device_detach detach = { .argsz = sizeof(detach) };

	return ioctl(dev->vfio.fd, UAPI_DEVICE_DETACH, &detach) ? -errno : 0;
}

/* Limits of a device. */

/*
 * The kernel tells an alignment, not the page sizes of its tables; registers of the IOMMU do.
 *
 * Source: VT-d specification 4.1, 11.4.2 (CAP.SLLPS bits 34 and 35); Arm SMMUv3 (IHI 0070),
 * SMMU_IDR5.GRAN4K, bit 4. AMD's tables hold every power of two; these are the usual ones.
 */
static uint64_t page_sizes(struct iommufd_be *be, uint32_t device_id)
{
	union {
		struct uapi_hw_info_vtd vtd;
		struct uapi_hw_info_arm_smmuv3 smmu;
	} data = { 0 };
	struct uapi_hw_info info = {
		.size = sizeof(info),
		.dev_id = device_id,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
	};

	if (ioctl(be->fd, UAPI_GET_HW_INFO, &info))
		return SIZE_4K;
	switch (info.out_data_type) {
	case UAPI_HW_INFO_INTEL_VTD:
		return SIZE_4K | (data.vtd.cap_reg >> 34 & 1 ? SIZE_2M : 0) |
		       (data.vtd.cap_reg >> 35 & 1 ? SIZE_1G : 0);
	case UAPI_HW_INFO_ARM_SMMUV3:
		return data.smmu.idr[5] >> 4 & 1 ? SIZE_4K | SIZE_2M | SIZE_1G : SIZE_4K;
	case UAPI_HW_INFO_AMD:
		return SIZE_4K | SIZE_2M | SIZE_1G;
	}
	return SIZE_4K;
}

static int read_ranges(struct iommufd_be *be, uint32_t ioas_id, struct vfio_ranges *ranges,
		       uint64_t *alignment)
{
	struct uapi_iova_range raw[VFIO_RANGES_MAX];
	struct uapi_ioas_iova_ranges request = {
		.size = sizeof(request),
		.ioas_id = ioas_id,
		.num_iovas = VFIO_RANGES_MAX,
		.allowed_iovas = (uintptr_t)raw,
	};

	if (ioctl(be->fd, UAPI_IOAS_IOVA_RANGES, &request)) {
		/* More than fit the array: the lowest of them are enough to go on with. */
		if (errno != EMSGSIZE)
			return iommufd_fail(&be->vfio.base, "IOMMU_IOAS_IOVA_RANGES");
		request.num_iovas = VFIO_RANGES_MAX;
	}
	ranges->count = request.num_iovas;
	for (unsigned int i = 0; i < ranges->count; i++)
		ranges->range[i] =
			(struct ioas_range){ .start = raw[i].start, .last = raw[i].last };
	*alignment = request.out_iova_alignment;
	return 0;
}

static int fail_attach(struct iommufd_dev *dev, int code)
{
	struct be *be = dev->vfio.base.be;

	switch (code) {
	case -EADDRINUSE:
		return diag_fail(be->diag, -ERANGE,
				 "iommufd: %s: mappings or the aperture of this address space lie "
				 "where the device allows none: bind devices before address spaces "
				 "are made",
				 dev->vfio.address);
	case -ENOMEM:
		return diag_fail(
			be->diag, code,
			"iommufd: %s: cannot pin what the address space maps: no memory, or "
			"RLIMIT_MEMLOCK (`ulimit -l`) is too small",
			dev->vfio.address);
	case -EOPNOTSUPP:
		return diag_fail(be->diag, code,
				 "iommufd: %s: its IOMMU has no page table that records what this "
				 "address space asks for (dirty pages)",
				 dev->vfio.address);
	case -EINVAL:
		return diag_fail(
			be->diag, code,
			"iommufd: %s: the kernel does not attach it there: a device of the "
			"same IOMMU group may be attached elsewhere",
			dev->vfio.address);
	}
	return diag_fail(be->diag, code, "iommufd: %s cannot be attached: %s", dev->vfio.address,
			 strerror(-code));
}

/* The second stage under a stage 1 of our own may have fewer IOVAs than the kernel's own stage 1.
 */
static int ask_nesting(struct iommufd_be *be, struct iommufd_dev *dev, uint32_t ioas_id)
{
	struct vfio_ranges ranges;
	uint32_t hwpt_id = 0;
	uint64_t alignment;
	int ret;

	iommufd_user_probe(be, dev, ioas_id, &hwpt_id);
	if (!dev->nested)
		return 0;
	ret = read_ranges(be, ioas_id, &ranges, &alignment);
	if (!ret && ranges.count && ranges.range[ranges.count - 1].last < be->parent_last)
		be->parent_last = ranges.range[ranges.count - 1].last;
	iommufd_destroy(be, hwpt_id);
	return ret;
}

int iommufd_ask_attached(struct iommufd_be *be, struct iommufd_dev *dev, uint32_t ioas_id)
{
	struct vfio_ranges ranges;
	uint64_t alignment;
	int ret = read_ranges(be, ioas_id, &ranges, &alignment);

	if (!ret)
		vfio_limits_narrow(&be->vfio.limits, &ranges, page_sizes(be, dev->id) & -alignment);
	return ret;
}

/* What a device allows: asked in an address space for the purpose. */
int iommufd_ask_device(struct iommufd_be *be, struct iommufd_dev *dev)
{
	uint32_t ioas_id;
	int ret = iommufd_new_ioas(be, &ioas_id);

	if (ret)
		return ret;
	ret = iommufd_move_device(dev, ioas_id);
	if (ret) {
		ret = fail_attach(dev, ret);
	} else {
		ret = iommufd_ask_attached(be, dev, ioas_id);
		if (!ret)
			ret = ask_nesting(be, dev, ioas_id);
		iommufd_drop_device(dev);
	}
	iommufd_destroy(be, ioas_id);
	return ret;
}

/* Devices. */

static int fail_bind(struct iommufd_dev *dev, int code)
{
	struct be *be = dev->vfio.base.be;

	if ((code == -EBUSY || code == -EINVAL || code == -EPERM) &&
	    vfio_fail_neighbour(be, dev->vfio.group))
		return -EBUSY;
	switch (code) {
	case -EBUSY:
	case -EINVAL:
		/* Its file opens for many, but one of them has the device. */
		return diag_fail(be->diag, -EBUSY,
				 "iommufd: %s is in use by another program: "
				 "`fuser -v /dev/vfio/%u " DEVICES "/*`",
				 dev->vfio.address, dev->vfio.group);
	case -EPERM:
		return diag_fail(
			be->diag, code,
			"iommufd: %s: its IOMMU does not isolate interrupts (to accept that: `echo 1 "
			">/sys/module/iommufd/parameters/allow_unsafe_interrupts`), or another program "
			"has a device of its group %u",
			dev->vfio.address, dev->vfio.group);
	case -ENOTTY:
		return diag_fail(
			be->diag, -ENODEV,
			"iommufd: the kernel's VFIO knows no iommufd (CONFIG_VFIO_DEVICE_CDEV)");
	}
	return fail_attach(dev, code);
}

static int bind_device(struct iommufd_be *be, struct iommufd_dev *dev)
{
	struct uapi_device_bind bind = { .argsz = sizeof(bind), .iommufd = be->fd };
	char path[VFIO_PATH_BYTES], name[32];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", dev->vfio.address);
	if (vfio_find_entry(path, "v", name, sizeof(name)))
		return diag_fail(be->vfio.base.diag, -ENODEV,
				 "iommufd: %s has no character device (no %s): the kernel lacks "
				 "CONFIG_VFIO_DEVICE_CDEV (Linux 6.6); the backend type1 may do",
				 dev->vfio.address, path);
	snprintf(path, sizeof(path), DEVICES "/%s", name);
	fd = dev->vfio.given_fd >= 0 ? vfio_dup(&be->vfio.base, dev->vfio.given_fd)
				     : vfio_open(&be->vfio.base, path, "vfio-pci");
	if (fd < 0)
		return fd;
	if (ioctl(fd, UAPI_DEVICE_BIND, &bind)) {
		ret = -errno;
		close(fd);
		return fail_bind(dev, ret);
	}
	dev->id = bind.out_devid;
	ret = vfio_dev_opened(&dev->vfio, fd);
	if (ret)
		return ret;
	/* A group allows what one of its devices allows; and it may be attached. */
	ret = vfio_dev_neighbour(&dev->vfio, false) ? 0 : iommufd_ask_device(be, dev);
	if (ret)
		vfio_dev_close(&dev->vfio);
	return ret;
}

int iommufd_dev_enter(struct iommufd_dev *dev, int ret, struct be_dev **out)
{
	if (ret) {
		free(dev);
		return ret;
	}
	vfio_dev_add(&dev->vfio);
	iommufd_user_bind(iommufd_to_be(dev->vfio.base.be), dev);
	*out = &dev->vfio.base;
	return 0;
}

static int iommufd_dev_bind(struct be *base, const char *name, struct be_dev **out)
{
	struct iommufd_dev *dev = calloc(1, sizeof(*dev));
	int ret;

	if (!dev)
		return diag_fail(base->diag, -ENOMEM, "iommufd: no memory");
	ret = vfio_dev_init(&dev->vfio, base, name);
	if (!ret)
		ret = bind_device(iommufd_to_be(base), dev);
	return iommufd_dev_enter(dev, ret, out);
}

static void iommufd_dev_unbind(struct be_dev *base)
{
	struct iommufd_dev *dev = (struct iommufd_dev *)base;

	iommufd_user_unbind(iommufd_to_be(base->be), dev);
	vfio_dev_remove(&dev->vfio);
	vfio_dev_close(&dev->vfio);
	free(dev);
}

/* Address spaces. */

static int iommufd_space_create(struct be *base, const struct be_space_attr *attr,
				struct be_space **out)
{
	struct iommufd_space *space;
	int ret;

	if (attr->kind == IOAS_KIND_USER)
		return iommufd_user_create(base, attr, out);
	ret = vfio_check_space(base, attr);
	if (ret)
		return ret;
	space = calloc(1, sizeof(*space));
	if (!space)
		return diag_fail(base->diag, -ENOMEM, "iommufd: no memory");
	space->vfio.base.be = base;
	space->kind = IOAS_KIND_KERNEL;
	if (attr->saved)
		space->pt_id = attr->saved->value[0];
	else
		ret = iommufd_new_ioas(iommufd_to_be(base), &space->pt_id);
	if (ret) {
		free(space);
		return ret;
	}
	vfio_maps_init(&space->vfio.maps, 0);
	*out = &space->vfio.base;
	return 0;
}

static void iommufd_space_destroy(struct be_space *base)
{
	struct iommufd_space *space = (struct iommufd_space *)base;

	if (space->kind == IOAS_KIND_USER) {
		iommufd_user_destroy(space);
		return;
	}
	iommufd_nest_destroy(space);
	iommufd_table_destroy(space);
	iommufd_destroy(iommufd_to_be(base->be), space->pt_id);
	vfio_maps_destroy(&space->vfio.maps);
	free(space);
}

/* @dev was attached to dev->vfio.space. */
static void left(struct iommufd_dev *dev)
{
	if (dev->vfio.space)
		iommufd_iopf_forget((struct iommufd_space *)dev->vfio.space, dev);
}

static int iommufd_attach(struct be_space *base, struct be_dev *base_dev)
{
	struct iommufd_space *space = (struct iommufd_space *)base;
	struct iommufd_dev *dev = (struct iommufd_dev *)base_dev;
	int ret;

	if (dev->vfio.space == &space->vfio)
		return 0;
	ret = vfio_check_neighbours(&dev->vfio, &space->vfio);
	if (!ret && space->kind == IOAS_KIND_USER)
		ret = iommufd_user_prepare(space, dev);
	if (ret)
		return ret;
	ret = space->kind == IOAS_KIND_KERNEL ? iommufd_table_attach(space, dev)
					      : iommufd_move_device(dev, space->pt_id);
	if (ret == -ENODEV && space->page_requests)
		return diag_fail(
			base->be->diag, -EOPNOTSUPP,
			"iommufd: %s: the device cannot wait for pages (PRI): it can only be "
			"on address spaces without page_request",
			dev->vfio.address);
	if (ret)
		return fail_attach(dev, ret);
	left(dev);
	dev->vfio.space = &space->vfio;
	return 0;
}

static int iommufd_detach(struct be_dev *base)
{
	struct iommufd_dev *dev = (struct iommufd_dev *)base;
	int ret;

	if (!dev->vfio.space)
		return 0;
	/* While a neighbour is attached its group still sees the address space. */
	vfio_pci_ops.bus_master(base, false);
	ret = iommufd_drop_device(dev);
	if (ret)
		return diag_fail(base->be->diag, ret, "iommufd: %s cannot be detached: %s",
				 dev->vfio.address, strerror(-ret));
	left(dev);
	dev->vfio.space = NULL;
	return 0;
}

static int iommufd_invalidate(struct be_space *base, const struct be_inval *ranges,
			      unsigned int count, unsigned int *crossings)
{
	const struct iommufd_space *space = (const struct iommufd_space *)base;

	if (space->kind == IOAS_KIND_USER)
		return iommufd_user_invalidate(base, ranges, count, crossings);
	return vfio_invalidate(base, ranges, count, crossings);
}

const struct be_ops iommufd_be_ops = {
	.name = "iommufd",
	.probe = iommufd_probe,
	.open = iommufd_open,
	.close = iommufd_close,
	.caps = iommufd_caps,
	.mem_add = iommufd_mem_add,
	.mem_del = iommufd_mem_del,
	.dev_bind = iommufd_dev_bind,
	.dev_unbind = iommufd_dev_unbind,
	.space_create = iommufd_space_create,
	.space_destroy = iommufd_space_destroy,
	.attach = iommufd_attach,
	.detach = iommufd_detach,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
	.invalidate = iommufd_invalidate,
	.fault_read = iommufd_user_fault_read,
	.request_wait = iommufd_request_wait,
	.request_next = iommufd_request_next,
	.request_answer = iommufd_request_answer,
	.iova_ranges = vfio_iova_ranges,
	.iova_keep = iommufd_iova_keep,
	.pci = &vfio_pci_ops,
	.dirty = &iommufd_dirty_ops,
	.handover = &iommufd_handover_ops,
};
