/* SPDX-License-Identifier: BSD-3-Clause */
/* See fake_iommufd.h. */
#include "fake_iommufd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE_IDS 1000 /* of devices, above those of objects */
#define BLOCK	   63	/* commands that the SMMU's driver issues together */

struct fake fake = { .events = -1, .faults = -1 };

int fake_fd(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

unsigned int fake_count(void)
{
	unsigned int count = 0;

	for (int i = 1; i < FAKE_OBJECTS; i++)
		count += fake.objects[i].type != FAKE_NONE;
	return count;
}

static struct fake_object *get(uint32_t id, enum fake_type type)
{
	return id && id < FAKE_OBJECTS && fake.objects[id].type == type ? &fake.objects[id] : NULL;
}

static uint32_t make(enum fake_type type, uint32_t on)
{
	for (uint32_t id = 1; id < FAKE_OBJECTS; id++)
		if (fake.objects[id].type == FAKE_NONE) {
			fake.objects[id] = (struct fake_object){ .type = type, .on = on };
			if (on)
				fake.objects[on].users++;
			return id;
		}
	abort();
}

static struct fake_device *device(uint32_t id)
{
	return id >= DEVICE_IDS && id < DEVICE_IDS + UNREAL_DEVICES ? &fake.devices[id - DEVICE_IDS]
								    : NULL;
}

static int destroy(const struct uapi_destroy *request)
{
	struct fake_object *object;

	if (request->id >= FAKE_OBJECTS || !fake.objects[request->id].type)
		return -ENOENT;
	object = &fake.objects[request->id];
	if (object->users)
		return -EBUSY;
	if (object->on)
		fake.objects[object->on].users--;
	if (object->on_queue)
		fake.objects[object->on_queue].users--;
	object->type = FAKE_NONE;
	return 0;
}

/* May the parents on an IOAS hold read-only mappings? */
static bool only_writeable(uint32_t ioas_id)
{
	for (int i = 1; i < FAKE_OBJECTS; i++) {
		const struct fake_object *object = &fake.objects[i];

		if (object->type == FAKE_HWPT && object->nest_parent && object->on == ioas_id &&
		    fake.devices[0].info_type == UAPI_HW_INFO_INTEL_VTD)
			return fake.devices[0].info.vtd.flags & UAPI_VTD_ERRATA_772415_SPR17;
	}
	return false;
}

static int ioas_map(uint32_t ioas_id, uint32_t flags)
{
	struct fake_object *ioas = get(ioas_id, FAKE_IOAS);
	bool readonly = !(flags & UAPI_MAP_WRITEABLE);

	if (!ioas)
		return -ENOENT;
	if (readonly && only_writeable(ioas_id))
		return -EINVAL;
	ioas->maps++;
	ioas->maps_readonly += readonly;
	return 0;
}

static int iova_ranges(struct uapi_ioas_iova_ranges *request)
{
	const struct uapi_iova_range ranges[] = { { 0, 0xfedfffff },
						  { 0xfef00000, (UINT64_C(1) << 48) - 1 } };

	if (!get(request->ioas_id, FAKE_IOAS))
		return -ENOENT;
	memcpy((void *)(uintptr_t)request->allowed_iovas, ranges, sizeof(ranges));
	request->num_iovas = 2;
	request->out_iova_alignment = 4096;
	return 0;
}

static int hw_info(struct uapi_hw_info *request)
{
	const struct fake_device *dev = device(request->dev_id);

	if (!dev)
		return -ENOENT;
	memcpy((void *)(uintptr_t)request->data_uptr, &dev->info,
	       request->data_len < sizeof(dev->info) ? request->data_len : sizeof(dev->info));
	request->out_data_type = dev->info_type;
	return 0;
}

/* Of the make of @dev: the type of its nested page tables, and what they are made on. */
static uint32_t nested_type(const struct fake_device *dev, enum fake_type *on)
{
	*on = dev->info_type == UAPI_HW_INFO_ARM_SMMUV3 ? FAKE_VIOMMU : FAKE_HWPT;
	return dev->info_type == UAPI_HW_INFO_ARM_SMMUV3  ? UAPI_HWPT_DATA_SMMUV3
	       : dev->info_type == UAPI_HW_INFO_INTEL_VTD ? UAPI_HWPT_DATA_VTD_S1
							  : UAPI_HWPT_DATA_NONE;
}

static int alloc_parent(struct uapi_hwpt_alloc *request, const struct fake_device *dev)
{
	const struct fake_object *ioas = get(request->pt_id, FAKE_IOAS);
	bool strict = dev->info_type == UAPI_HW_INFO_INTEL_VTD &&
		      dev->info.vtd.flags & UAPI_VTD_ERRATA_772415_SPR17;
	enum fake_type on;

	if (!nested_type(dev, &on) || request->flags != UAPI_HWPT_NEST_PARENT)
		return -EOPNOTSUPP;
	if (strict && ioas->maps_readonly)
		return -EINVAL;
	request->out_hwpt_id = make(FAKE_HWPT, request->pt_id);
	fake.objects[request->out_hwpt_id].nest_parent = true;
	return 0;
}

static int alloc_nested(struct uapi_hwpt_alloc *request, const struct fake_device *dev)
{
	enum fake_type on;
	uint32_t type = nested_type(dev, &on);
	const struct fake_object *parent = get(request->pt_id, on);
	struct fake_object *hwpt;

	if (!parent || request->data_type != type || request->data_len > NESTED_DATA_BYTES)
		return -EINVAL;
	if (on == FAKE_HWPT ? !parent->nest_parent : parent->iommu != dev->iommu)
		return -EINVAL;
	if (request->flags & ~(uint32_t)UAPI_HWPT_FAULT_ID_VALID)
		return -EOPNOTSUPP;
	if (request->flags && !get(request->fault_id, FAKE_QUEUE))
		return -ENOENT;
	request->out_hwpt_id = make(FAKE_HWPT, request->pt_id);
	hwpt = &fake.objects[request->out_hwpt_id];
	hwpt->nested = true;
	hwpt->data_type = type;
	if (request->flags) {
		hwpt->on_queue = request->fault_id;
		fake.objects[request->fault_id].users++;
	}
	memcpy(hwpt->data, (void *)(uintptr_t)request->data_uptr, request->data_len);
	return 0;
}

static int hwpt_alloc(struct uapi_hwpt_alloc *request)
{
	const struct fake_device *dev = device(request->dev_id);

	if (!dev)
		return -ENOENT;
	if (request->reserved || request->reserved2 || !request->data_type != !request->data_len)
		return -EINVAL;
	return get(request->pt_id, FAKE_IOAS) ? alloc_parent(request, dev)
					      : alloc_nested(request, dev);
}

static int viommu_alloc(struct uapi_viommu_alloc *request)
{
	const struct fake_device *dev = device(request->dev_id);

	if (!dev || !get(request->hwpt_id, FAKE_HWPT))
		return -ENOENT;
	if (dev->info_type != UAPI_HW_INFO_ARM_SMMUV3 || request->type != UAPI_VIOMMU_SMMUV3)
		return -EOPNOTSUPP;
	request->out_viommu_id = make(FAKE_VIOMMU, request->hwpt_id);
	fake.objects[request->out_viommu_id].iommu = dev->iommu;
	return 0;
}

static int vdevice_alloc(struct uapi_vdevice_alloc *request)
{
	const struct fake_device *dev = device(request->dev_id);
	const struct fake_object *viommu = get(request->viommu_id, FAKE_VIOMMU);

	if (!dev || !viommu)
		return -ENOENT;
	if (dev->iommu != viommu->iommu)
		return -EINVAL;
	for (int i = 1; i < FAKE_OBJECTS; i++)
		if (fake.objects[i].type == FAKE_VDEVICE &&
		    fake.objects[i].on == request->viommu_id &&
		    fake.objects[i].virt_id == request->virt_id)
			return -EEXIST;
	request->out_vdevice_id = make(FAKE_VDEVICE, request->viommu_id);
	fake.objects[request->out_vdevice_id].virt_id = request->virt_id;
	return 0;
}

static int veventq_alloc(struct uapi_veventq_alloc *request)
{
	int ends[2];

	if (!get(request->viommu_id, FAKE_VIOMMU))
		return -ENOENT;
	if (fake.events >= 0)
		close(fake.events);
	if (pipe(ends))
		return -errno;
	request->out_veventq_id = make(FAKE_QUEUE, request->viommu_id);
	request->out_veventq_fd = ends[0];
	fake.events = ends[1];
	return 0;
}

static int fault_queue_alloc(struct uapi_fault_queue_alloc *request)
{
	int ends[2];

	if (request->flags)
		return -EOPNOTSUPP;
	if (fake.faults >= 0)
		close(fake.faults);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
	    fcntl(ends[0], F_SETFL, O_NONBLOCK))
		return -errno;
	request->out_fault_id = make(FAKE_QUEUE, 0);
	request->out_fault_fd = ends[0];
	fake.faults = ends[1];
	return 0;
}

static void execute(const struct uapi_hwpt_invalidate *request, unsigned int count)
{
	const char *at = (const char *)(uintptr_t)request->data_uptr;

	for (unsigned int i = 0; i < count; i++) {
		if (fake.executed == FAKE_ENTRIES)
			abort();
		memcpy(fake.entries[fake.executed++], at + i * request->entry_len,
		       request->entry_len);
	}
}

/* Arm: nothing of the block of the refused one; VT-d: all before it. */
static int invalidate(struct uapi_hwpt_invalidate *request)
{
	const bool arm = get(request->hwpt_id, FAKE_VIOMMU);
	const struct fake_object *hwpt = get(request->hwpt_id, FAKE_HWPT);

	fake.invalidations++;
	fake.inval_on = request->hwpt_id;
	fake.inval_type = request->data_type;
	if (!arm && (!hwpt || !hwpt->nested))
		return -ENOENT;
	if (request->data_type != (arm ? UAPI_INVALIDATE_SMMUV3 : UAPI_INVALIDATE_VTD_S1))
		return -EINVAL;
	if (!fake.refuse) {
		execute(request, request->entry_num);
		return 0;
	}
	fake.refuse--;
	if (fake.refuse_entry < request->entry_num)
		request->entry_num = fake.refuse_entry;
	else
		request->entry_num = 0;
	execute(request, arm ? request->entry_num / BLOCK * BLOCK : request->entry_num);
	return arm ? -EIO : -EINVAL;
}

static int attach(struct fake_device *dev, struct uapi_device_attach *request)
{
	uint32_t hwpt_id = request->pt_id;
	const struct fake_object *hwpt = get(hwpt_id, FAKE_HWPT);

	if (!hwpt && !get(request->pt_id, FAKE_IOAS))
		return -ENOENT;
	if (hwpt && hwpt->on_queue && !dev->can_wait)
		return -ENODEV;
	fake.objects[hwpt_id].users++;
	if (dev->pt_id)
		fake.objects[dev->pt_id].users--;
	dev->pt_id = hwpt_id;
	return 0;
}

static int detach(struct fake_device *dev)
{
	if (dev->pt_id)
		fake.objects[dev->pt_id].users--;
	dev->pt_id = 0;
	return 0;
}

static int of_device(int number, unsigned long request, void *arg)
{
	struct fake_device *dev = &fake.devices[number];

	switch (request) {
	case UAPI_DEVICE_BIND:
		dev->id = DEVICE_IDS + number;
		((struct uapi_device_bind *)arg)->out_devid = dev->id;
		return 0;
	case UAPI_DEVICE_ATTACH:
		return attach(dev, arg);
	case UAPI_DEVICE_DETACH:
		return detach(dev);
	case VFIO_DEVICE_GET_REGION_INFO:
		((struct vfio_region_info *)arg)->offset = 0;
		return 0;
	}
	return -ENOTTY;
}

static int of_iommufd(unsigned long request, void *arg)
{
	switch (request) {
	case UAPI_DESTROY:
		return destroy(arg);
	case UAPI_IOAS_ALLOC:
		((struct uapi_ioas_alloc *)arg)->out_ioas_id = make(FAKE_IOAS, 0);
		return 0;
	case UAPI_IOAS_IOVA_RANGES:
		return iova_ranges(arg);
	case UAPI_IOAS_MAP:
		return ioas_map(((struct uapi_ioas_map *)arg)->ioas_id,
				((struct uapi_ioas_map *)arg)->flags);
	case UAPI_IOAS_MAP_FILE:
		return ioas_map(((struct uapi_ioas_map_file *)arg)->ioas_id,
				((struct uapi_ioas_map_file *)arg)->flags);
	case UAPI_IOAS_COPY:
		return ioas_map(((struct uapi_ioas_copy *)arg)->dst_ioas_id,
				((struct uapi_ioas_copy *)arg)->flags);
	case UAPI_IOAS_ALLOW_IOVAS:
	case UAPI_IOAS_UNMAP:
		return 0;
	case UAPI_GET_HW_INFO:
		return hw_info(arg);
	case UAPI_HWPT_ALLOC:
		return hwpt_alloc(arg);
	case UAPI_HWPT_INVALIDATE:
		return invalidate(arg);
	case UAPI_VIOMMU_ALLOC:
		return viommu_alloc(arg);
	case UAPI_VDEVICE_ALLOC:
		return vdevice_alloc(arg);
	case UAPI_VEVENTQ_ALLOC:
		return veventq_alloc(arg);
	case UAPI_FAULT_QUEUE_ALLOC:
		return fault_queue_alloc(arg);
	}
	return -ENOTTY;
}

/* Requests that only undo something do not fail. */
static bool may_fail(unsigned long request)
{
	return request != UAPI_DESTROY && request != UAPI_DEVICE_DETACH &&
	       request != UAPI_IOAS_UNMAP;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	int number = unreal_device(fd), ret;
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	fake.requests++;
	if (fake.fail_at && may_fail(request) && !--fake.fail_at)
		ret = -fake.fail_with;
	else
		ret = number >= 0 ? of_device(number, request, arg) : of_iommufd(request, arg);
	if (!ret)
		return 0;
	errno = -ret;
	return -1;
}
