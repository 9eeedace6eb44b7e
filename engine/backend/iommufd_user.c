/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * USER spaces of the iommufd backend: stage-1 tables in our own memory, which an Arm SMMUv3 walks
 * through the kernel's page table of the parent space.
 *
 * The kernel's objects, each made when it is first needed and destroyed in the opposite order:
 *
 *   parent space   IOAS (iommufd.c) <- page table that can be nested on <- vIOMMU <- event queue
 *   device         vDevice on the vIOMMU: the name by which commands and events call the device
 *   USER space     nested page table on the vIOMMU: holds the address of a context descriptor,
 *                  which holds the root of our table and an ASID
 *
 * What is a parent's is a struct iommufd_nest. There is one for each parent, on the
 * IOMMU of its first device; a device of another IOMMU is refused.
 *
 * Mapping enters nothing here: an entry goes from invalid to valid, and SMMUs cache nothing of
 * invalid ones (IHI 0070, 3.17). What a device must not see before its entry is written is the
 * driver's doorbell, which its own barrier orders.
 *
 * A device raises interrupts by writes through our table, in a range that be_caps.interrupts names.
 *
 * Memory ordering of an invalidation: entries were cleared by stores that happen before the call
 * (inval.h). The kernel writes our commands to its queue and then tells the SMMU by a register; the
 * barrier before that register (dma_wmb() in arm_smmu_cmdq_issue_cmdlist(), a DMB OSHST) orders all
 * stores that its processor has done or seen by then, ours included, so whatever the SMMU reads
 * after it has consumed the command is newer than the clear. It reads tables coherently
 * (IDR0.COHACC, checked), so no cache has to be cleaned and no barrier of our own is needed. The
 * kernel relies on the same for its own tables (arm_smmu_tlb_inv_context()). CMD_SYNC at the end
 * of the call waits for DMA in flight.
 *
 * Locking: objects are guarded by the context's lock; the pointer to a space's nest is read by
 * invalidations, which have no lock, and only ever set once.
 *
 * Source: Linux Documentation/userspace-api/iommufd.rst, drivers/iommu/arm/arm-smmu-v3/
 * arm-smmu-v3-iommufd.c; smmuv3.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "iommufd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smmuv3.h"

#define COMMANDS 512 /* of one call; more, and the ASID goes as a whole */
#define ATTEMPTS 8

/*
 * Ranges of one call. A command costs the SMMU about as much as the walk that a lost translation
 * costs later, and a call in the kernel as much as some dozens of commands.
 */
#define CALL_RANGES 256

/* Requests. */

static int hwpt_alloc(struct iommufd_be *be, struct uapi_hwpt_alloc *alloc, uint32_t *id)
{
	alloc->size = sizeof(*alloc);
	if (ioctl(be->fd, UAPI_HWPT_ALLOC, alloc))
		return -errno;
	*id = alloc->out_hwpt_id;
	return 0;
}

static int viommu_alloc(struct iommufd_be *be, uint32_t dev_id, uint32_t hwpt_id, uint32_t *id)
{
	struct uapi_viommu_alloc alloc = {
		.size = sizeof(alloc),
		.type = UAPI_VIOMMU_SMMUV3,
		.dev_id = dev_id,
		.hwpt_id = hwpt_id,
	};

	if (ioctl(be->fd, UAPI_VIOMMU_ALLOC, &alloc))
		return -errno;
	*id = alloc.out_viommu_id;
	return 0;
}

/* The SMMU of a device, or -ENODEV: it is behind none. */
static int smmu_info(struct iommufd_be *be, uint32_t dev_id, struct uapi_hw_info_arm_smmuv3 *smmu)
{
	struct uapi_hw_info info = {
		.size = sizeof(info),
		.dev_id = dev_id,
		.data_len = sizeof(*smmu),
		.data_uptr = (uintptr_t)smmu,
	};

	memset(smmu, 0, sizeof(*smmu));
	if (ioctl(be->fd, UAPI_GET_HW_INFO, &info) || info.out_data_type != UAPI_HW_INFO_ARM_SMMUV3)
		return -ENODEV;
	return 0;
}

/* Context, capabilities. */

void iommufd_user_init(struct iommufd_be *be)
{
	iommufd_faults_init(&be->faults);
	be->parent_last = UINT64_MAX;
}

void iommufd_user_fini(struct iommufd_be *be)
{
	pthread_mutex_destroy(&be->faults.lock);
}

void iommufd_user_caps(struct iommufd_be *be, struct be_caps *caps)
{
	const struct vfio_dev *dev = be->vfio.devices;

	caps->inval_flush_ranges = CALL_RANGES;
	caps->inval_call_ranges = CALL_RANGES;
	if (!dev)
		return;
	for (; dev; dev = dev->next)
		if (!((const struct iommufd_dev *)dev)->nests)
			return;
	caps->kinds |= 1 << IOAS_KIND_USER;
	caps->user_formats = 1 << IOAS_FORMAT_ARM64_S1_4K;
	caps->parent_last = be->parent_last;
	caps->interrupts = be->interrupts;
}

static const char *why_no_viommu(int code)
{
	switch (code) {
	case -EOPNOTSUPP:
		return "the firmware does not say that its memory accesses are coherent (CANWBS in "
		       "the IORT), or the kernel lacks CONFIG_ARM_SMMU_V3_IOMMUFD";
	case -ENOTTY:
		return "the kernel has no vIOMMUs (Linux 6.13)";
	}
	return strerror(-code);
}

/* Return: NULL, or why not. */
static const char *try_nest(struct iommufd_be *be, struct iommufd_dev *dev, uint32_t ioas_id,
			    uint32_t *hwpt_id)
{
	struct uapi_hwpt_alloc alloc = {
		.flags = UAPI_HWPT_NEST_PARENT,
		.dev_id = dev->id,
		.pt_id = ioas_id,
	};
	uint32_t viommu_id = 0;
	const char *why;
	int ret;

	if (smmu_info(be, dev->id, &dev->smmu))
		return "nested tables are implemented for Arm SMMUv3 only";
	why = smmuv3_why_not(dev->smmu.idr);
	if (why)
		return why;
	ret = hwpt_alloc(be, &alloc, hwpt_id);
	if (ret)
		return "the kernel's driver of its IOMMU does not nest";
	ret = viommu_alloc(be, dev->id, *hwpt_id, &viommu_id);
	if (!ret) {
		iommufd_destroy(be, viommu_id);
		return NULL;
	}
	iommufd_destroy(be, *hwpt_id);
	*hwpt_id = 0;
	return why_no_viommu(ret);
}

void iommufd_user_probe(struct iommufd_be *be, struct iommufd_dev *dev, uint32_t ioas_id,
			uint32_t *hwpt_id)
{
	const char *why = try_nest(be, dev, ioas_id, hwpt_id);

	dev->nests = !why;
	if (why)
		diag_log(be->vfio.base.diag, IOAS_LOG_INFO, "iommufd: %s: no USER spaces: %s",
			 dev->vfio.address, why);
}

/* Devices. */

/*
 * Stage 1 translates the writes by which a device raises interrupts, too. The kernel has an IOVA
 * range for them, the same for all devices, in which it maps what it needs in the parent.
 */
static void find_interrupts(struct iommufd_be *be, const struct iommufd_dev *dev)
{
	char path[VFIO_PATH_BYTES], line[128], type[32];
	unsigned long long start, last;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/reserved_regions",
		 dev->vfio.group);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%llx %llx %31s", &start, &last, type) == 3 &&
		    !strcmp(type, "msi"))
			be->interrupts = (struct ioas_range){ start, last };
	fclose(file);
}

void iommufd_user_bind(struct iommufd_be *be, struct iommufd_dev *dev)
{
	struct vfio_dev *base = vfio_dev_neighbour(&dev->vfio, false);
	const struct iommufd_dev *neighbour = (const struct iommufd_dev *)base;

	if (neighbour) {
		dev->nests = neighbour->nests;
		dev->smmu = neighbour->smmu;
	}
	if (dev->nests)
		find_interrupts(be, dev);
	iommufd_faults_add_dev(&be->faults, dev);
}

static void vdevice_free(struct iommufd_be *be, struct iommufd_dev *dev)
{
	if (dev->nest)
		iommufd_destroy(be, dev->vdevice_id);
	dev->nest = NULL;
}

static int vdevice_alloc(struct iommufd_be *be, struct iommufd_dev *dev, struct iommufd_nest *nest)
{
	struct uapi_vdevice_alloc alloc = {
		.size = sizeof(alloc),
		.viommu_id = nest->viommu_id,
		.dev_id = dev->id,
		.virt_id = dev->sid,
	};

	if (ioctl(be->fd, UAPI_VDEVICE_ALLOC, &alloc))
		return -errno;
	dev->vdevice_id = alloc.out_vdevice_id;
	dev->nest = nest;
	return 0;
}

void iommufd_user_unbind(struct iommufd_be *be, struct iommufd_dev *dev)
{
	/* Behind the device's back its name could not be used again. */
	vdevice_free(be, dev);
	iommufd_faults_remove_dev(&be->faults, dev);
}

/* What a parent needs. */

static void nest_free(struct iommufd_nest *nest)
{
	if (nest->events_fd >= 0) {
		close(nest->events_fd);
		iommufd_destroy(nest->be, nest->veventq_id);
	}
	if (nest->viommu_id)
		iommufd_destroy(nest->be, nest->viommu_id);
	if (nest->hwpt_id)
		iommufd_destroy(nest->be, nest->hwpt_id);
	free(nest);
}

static int fail_parent(struct iommufd_dev *dev, int code)
{
	struct be *be = dev->vfio.base.be;

	if (code == -EADDRINUSE)
		return diag_fail(be->diag, -ERANGE,
				 "iommufd: %s: the parent maps IOVAs that a second stage does not "
				 "have: give it a lower aperture",
				 dev->vfio.address);
	return diag_fail(be->diag, code,
			 "iommufd: %s: no page table for the parent: IOMMU_HWPT_ALLOC: %s",
			 dev->vfio.address, strerror(-code));
}

static int nest_fill(struct iommufd_nest *nest, uint32_t ioas_id, struct iommufd_dev *dev)
{
	struct iommufd_be *be = nest->be;
	struct uapi_hwpt_alloc alloc = {
		.flags = UAPI_HWPT_NEST_PARENT,
		.dev_id = dev->id,
		.pt_id = ioas_id,
	};
	int ret = hwpt_alloc(be, &alloc, &nest->hwpt_id);

	if (ret)
		return fail_parent(dev, ret);
	ret = viommu_alloc(be, dev->id, nest->hwpt_id, &nest->viommu_id);
	if (ret)
		return diag_fail(be->vfio.base.diag, ret, "iommufd: %s: no vIOMMU: %s",
				 dev->vfio.address, why_no_viommu(ret));
	return iommufd_nest_events(nest);
}

/* Return: 0 and the nest of @parent, for @dev if there was none. */
static int nest_get(struct iommufd_space *parent, struct iommufd_dev *dev,
		    struct iommufd_nest **out)
{
	struct iommufd_be *be = iommufd_to_be(parent->vfio.base.be);
	struct iommufd_nest *nest = parent->nest;
	int ret;

	*out = nest;
	if (nest)
		return 0;
	if (!dev->nests)
		return diag_fail(be->vfio.base.diag, -EOPNOTSUPP,
				 "iommufd: %s: its IOMMU takes no USER spaces", dev->vfio.address);
	nest = calloc(1, sizeof(*nest));
	if (!nest)
		return diag_fail(be->vfio.base.diag, -ENOMEM, "iommufd: no memory");
	nest->be = be;
	nest->events_fd = -1;
	nest->repeat = dev->smmu.flags & UAPI_SMMUV3_REPEAT_TLBI;
	memcpy(nest->idr, dev->smmu.idr, sizeof(nest->idr));
	nest->ranges = smmuv3_has_ranges(nest->idr);
	nest->asids = 1U << smmuv3_asid_bits(nest->idr);
	nest->used[0] = 1; /* an ASID of 0 stands for none here */
	ret = nest_fill(nest, parent->pt_id, dev);
	if (ret) {
		nest_free(nest);
		return ret;
	}
	iommufd_faults_add_nest(&be->faults, nest);
	parent->nest = nest;
	*out = nest;
	return 0;
}

void iommufd_nest_destroy(struct iommufd_space *parent)
{
	struct iommufd_be *be = iommufd_to_be(parent->vfio.base.be);
	struct iommufd_nest *nest = parent->nest;

	if (!nest)
		return;
	for (struct vfio_dev *at = be->vfio.devices; at; at = at->next) {
		struct iommufd_dev *dev = (struct iommufd_dev *)at;

		if (dev->nest == nest)
			vdevice_free(be, dev);
	}
	iommufd_faults_remove_nest(&be->faults, nest);
	nest_free(nest);
}

static int asid_alloc(struct iommufd_nest *nest, uint16_t *asid)
{
	for (unsigned int i = 0; i < nest->asids / 64; i++)
		if (~nest->used[i]) {
			unsigned int bit = __builtin_ctzll(~nest->used[i]);

			nest->used[i] |= UINT64_C(1) << bit;
			*asid = i * 64 + bit;
			return 0;
		}
	return diag_fail(nest->be->vfio.base.diag, -ENOSPC,
			 "iommufd: all %u ASIDs of the parent are in use", nest->asids - 1);
}

static void asid_free(struct iommufd_nest *nest, uint16_t asid)
{
	nest->used[asid / 64] &= ~(UINT64_C(1) << asid % 64);
}

/* Invalidation. */

static int issue(struct iommufd_nest *nest, struct smmuv3_cmd *cmds, unsigned int count,
		 unsigned int *crossings)
{
	for (int round = 0; round <= nest->repeat; round++) {
		struct uapi_hwpt_invalidate request = {
			.size = sizeof(request),
			.hwpt_id = nest->viommu_id,
			.data_uptr = (uintptr_t)cmds,
			.data_type = UAPI_INVALIDATE_SMMUV3,
			.entry_len = sizeof(cmds[0]),
			.entry_num = count,
		};

		(*crossings)++;
		if (ioctl(nest->be->fd, UAPI_HWPT_INVALIDATE, &request))
			return -errno;
	}
	return 0;
}

/* Return: how many commands @ranges take, or 0: more than there is room for. */
static unsigned int pack(const struct iommufd_nest *nest, uint16_t asid, struct smmuv3_cmd *cmds,
			 const struct be_inval *ranges, unsigned int count)
{
	unsigned int total = 0;

	for (unsigned int i = 0; i < count; i++) {
		const struct smmuv3_range range = { ranges[i].iova, ranges[i].bytes,
						    ranges[i].leaf };
		unsigned int some = smmuv3_tlbi_range(cmds + total, COMMANDS - total, asid, &range,
						      nest->ranges);

		if (!some)
			return 0;
		total += some;
	}
	return total;
}

/*
 * When a call fails, nothing is known of its commands: entry_num counts those that were looked at,
 * of which the last block was not issued. So all is done again, by one command that covers
 * everything: it needs the least of whatever the kernel was short of.
 */
static int flush(struct iommufd_nest *nest, uint16_t asid, unsigned int attempts,
		 unsigned int *crossings)
{
	struct smmuv3_cmd all = smmuv3_tlbi_asid(asid);
	int ret = -EIO;

	while (ret && attempts--)
		ret = issue(nest, &all, 1, crossings);
	return ret ? diag_fail(nest->be->vfio.base.diag, ret, "iommufd: IOMMU_HWPT_INVALIDATE: %s",
			       strerror(-ret))
		   : 0;
}

int iommufd_user_invalidate(struct be_space *base, const struct be_inval *ranges,
			    unsigned int count, unsigned int *crossings)
{
	struct iommufd_space *space = (struct iommufd_space *)base;
	struct smmuv3_cmd cmds[COMMANDS];
	struct iommufd_nest *nest;
	unsigned int packed;

	/*
	 * Either this sees the nest, or the device that attach() is about to let in sees the
	 * entries that were cleared: the other fence is in iommufd_user_prepare().
	 */
	atomic_thread_fence(memory_order_seq_cst);
	nest = atomic_load_explicit(&space->nest, memory_order_acquire);
	if (!nest)
		return 0;
	packed = pack(nest, space->asid, cmds, ranges, count);
	if (packed && !issue(nest, cmds, packed, crossings))
		return 0;
	return flush(nest, space->asid, ATTEMPTS, crossings);
}

/* Address spaces. */

int iommufd_user_create(struct be *base, const struct be_space_attr *attr, struct be_space **out)
{
	struct iommufd_space *parent = (struct iommufd_space *)attr->parent;
	struct iommufd_space *space;

	if (attr->format != IOAS_FORMAT_ARM64_S1_4K)
		return diag_fail(base->diag, -EOPNOTSUPP,
				 "iommufd: USER spaces have tables of Arm's stage 1, 4 KiB");
	if (!parent || parent->kind != IOAS_KIND_KERNEL || !attr->scratch)
		return diag_fail(base->diag, -EINVAL,
				 "iommufd: a USER space needs a KERNEL space as its parent");
	space = calloc(1, sizeof(*space));
	if (!space)
		return diag_fail(base->diag, -ENOMEM, "iommufd: no memory");
	space->vfio.base.be = base;
	space->kind = IOAS_KIND_USER;
	space->parent = parent;
	space->root = attr->root;
	space->descriptor = attr->scratch;
	space->descriptor_addr = attr->scratch_addr;
	vfio_maps_init(&space->vfio.maps, 0);
	*out = &space->vfio.base;
	return 0;
}

void iommufd_user_destroy(struct iommufd_space *space)
{
	struct iommufd_be *be = iommufd_to_be(space->vfio.base.be);
	struct iommufd_nest *nest = space->nest;
	unsigned int crossings = 0;

	if (space->pt_id)
		iommufd_destroy(be, space->pt_id);
	/* The next owner of the ASID must not find our translations; else it gets none. */
	if (nest && !flush(nest, space->asid, ATTEMPTS, &crossings))
		asid_free(nest, space->asid);
	vfio_maps_destroy(&space->vfio.maps);
	free(space);
}

/* The space's own objects of the kernel. */
static int fill_space(struct iommufd_space *space, struct iommufd_nest *nest,
		      const struct iommufd_dev *dev)
{
	struct be *be = space->vfio.base.be;
	struct uapi_hwpt_smmuv3 data;
	struct uapi_hwpt_alloc alloc = {
		.dev_id = dev->id,
		.pt_id = nest->viommu_id,
		.data_type = UAPI_HWPT_DATA_SMMUV3,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
	};
	uint16_t asid = 0;
	int ret = asid_alloc(nest, &asid);

	if (ret)
		return ret;
	smmuv3_cd(space->descriptor, nest->idr, space->root, asid);
	smmuv3_ste(data.ste, space->descriptor_addr);
	ret = hwpt_alloc(iommufd_to_be(be), &alloc, &space->pt_id);
	if (ret) {
		asid_free(nest, asid);
		return diag_fail(be->diag, ret,
				 "iommufd: no nested page table: IOMMU_HWPT_ALLOC: %s",
				 strerror(-ret));
	}
	space->asid = asid;
	atomic_store_explicit(&space->nest, nest, memory_order_release);
	return 0;
}

/* A device has one vDevice; it moves with the device from parent to parent. */
static int move_vdevice(struct iommufd_dev *dev, struct iommufd_nest *nest)
{
	struct iommufd_be *be = nest->be;
	struct iommufd_nest *old = dev->nest;
	int ret;

	if (old == nest)
		return 0;
	vdevice_free(be, dev);
	ret = vdevice_alloc(be, dev, nest);
	if (!ret)
		return 0;
	if (old)
		vdevice_alloc(be, dev, old);
	return diag_fail(be->vfio.base.diag, ret == -EINVAL ? -EOPNOTSUPP : ret,
			 ret == -EINVAL ? "iommufd: %s is behind another IOMMU than the first "
					  "device of this parent: give it a parent of its own"
					: "iommufd: %s: IOMMU_VDEVICE_ALLOC failed",
			 dev->vfio.address);
}

int iommufd_user_prepare(struct iommufd_space *space, struct iommufd_dev *dev)
{
	struct iommufd_nest *nest;
	int ret = nest_get(space->parent, dev, &nest);

	if (!ret)
		ret = move_vdevice(dev, nest);
	if (!ret && !space->pt_id)
		ret = fill_space(space, nest, dev);
	/* See iommufd_user_invalidate(). */
	atomic_thread_fence(memory_order_seq_cst);
	return ret;
}
