// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU groups: who owns their DMA, and which IOVAs their devices can use. Under kioas_file.lock.
 *
 * A claimed group is blocked by the kernel: it stands on an empty domain unless we attach it to
 * another, and goes back there when we detach it.
 */
#include <linux/slab.h>

#include "kioas.h"

static bool allow_unsafe_interrupts;
module_param(allow_unsafe_interrupts, bool, 0644);
MODULE_PARM_DESC(allow_unsafe_interrupts,
		 "Take devices that can raise any interrupt of the machine");

bool kioas_group_reaches(const struct kioas_group *group, u64 start, u64 last)
{
	unsigned int i;

	for (i = 0; i < group->range_count; i++)
		if (start >= group->ranges[i].start && last <= group->ranges[i].last)
			return true;
	return false;
}

u64 kioas_group_last(const struct kioas_group *group)
{
	return group->range_count ? group->ranges[group->range_count - 1].last : 0;
}

/* Takes start to last out of the ranges. Return: -ENOSPC if there are too many then. */
static int kioas_group_exclude(struct kioas_group *group, u64 start, u64 last)
{
	struct ioasid_range *ranges = group->ranges;
	struct ioasid_range old;
	unsigned int i;

	for (i = 0; i < group->range_count;) {
		old = ranges[i];
		if (last < old.start || start > old.last) {
			i++;
			continue;
		}
		memmove(&ranges[i], &ranges[i + 1], (group->range_count - i - 1) * sizeof(*ranges));
		group->range_count--;
		if (group->range_count + (start > old.start) + (last < old.last) > KIOAS_RANGES_MAX)
			return -ENOSPC;
		if (last < old.last) {
			memmove(&ranges[i + 1], &ranges[i],
				(group->range_count - i) * sizeof(*ranges));
			ranges[i] = (struct ioasid_range){ last + 1, old.last };
			group->range_count++;
		}
		if (start > old.start) {
			memmove(&ranges[i + 1], &ranges[i],
				(group->range_count - i) * sizeof(*ranges));
			ranges[i] = (struct ioasid_range){ old.start, start - 1 };
			group->range_count++;
			i++;
		}
	}
	return 0;
}

static int kioas_group_exclude_reserved(struct kioas_group *group)
{
	struct iommu_resv_region *region, *next;
	LIST_HEAD(regions);
	int ret;

	ret = iommu_get_group_resv_regions(group->iommu_group, &regions);
	list_for_each_entry_safe(region, next, &regions, list) {
		if (!ret && region->type != IOMMU_RESV_DIRECT_RELAXABLE && region->length)
			ret = kioas_group_exclude(group, region->start,
						  region->start + region->length - 1);
		if (region->type == IOMMU_RESV_SW_MSI) {
			group->software_msi = true;
			group->software_msi_base = region->start;
		}
		list_del(&region->list);
		kfree(region);
	}
	return ret;
}

static bool kioas_domain_reaches(struct iommu_domain *domain, u64 last)
{
	const phys_addr_t zeros = page_to_phys(ZERO_PAGE(0));
	const unsigned long iova = last & PAGE_MASK;

	if (kioas_iommu_map(domain, iova, zeros, PAGE_SIZE, IOMMU_READ))
		return false;
	iommu_unmap(domain, iova, PAGE_SIZE);
	return true;
}

/*
 * Some drivers (VT-d's before 6.15) say that their domains are wider than the hardware is: the
 * highest page must be one that can be mapped.
 */
static u64 kioas_domain_last(struct iommu_domain *domain)
{
	static const u8 widths[] = { 57, 48, 47, 42, 40, 39, 36, 32 };
	u64 last = domain->geometry.aperture_end;
	unsigned int i;

	for (i = 0; !kioas_domain_reaches(domain, last); i++) {
		while (i < ARRAY_SIZE(widths) && BIT_ULL(widths[i]) - 1 >= last)
			i++;
		if (i == ARRAY_SIZE(widths))
			return 0;
		last = BIT_ULL(widths[i]) - 1;
	}
	return last;
}

/* What the group's IOMMU can do is known for sure when a domain of it is attached. */
static int kioas_group_probe(struct kioas_group *group, struct device *dev)
{
	struct iommu_domain *domain = kioas_iommu_domain_alloc(dev);
	u64 last;
	int ret;

	if (IS_ERR(domain))
		return PTR_ERR(domain);
	ret = iommu_attach_group(domain, group->iommu_group);
	if (ret)
		goto out_free;
	last = kioas_domain_last(domain);
	group->page_sizes = domain->pgsize_bitmap;
	group->ranges[0] = (struct ioasid_range){ domain->geometry.aperture_start, last };
	group->range_count = 1;
	iommu_detach_group(domain, group->iommu_group);
	if (last <= domain->geometry.aperture_start || !(group->page_sizes & PAGE_SIZE))
		ret = -EIO;
	else
		ret = kioas_group_exclude_reserved(group);
out_free:
	iommu_domain_free(domain);
	return ret;
}

static int kioas_group_claim(struct kioas_call *call, struct kioas_group *group, struct device *dev)
{
	int ret;

	if (!allow_unsafe_interrupts && !kioas_msi_isolated(dev, group->iommu_group))
		return kioas_fail(call, -EPERM, "device_fd",
				  "%s could raise any interrupt of the machine", dev_name(dev));
	ret = iommu_group_claim_dma_owner(group->iommu_group, call->file);
	if (ret == -ENOMEM)
		return ret;
	if (ret)
		return kioas_fail(call, -EBUSY, "device_fd",
				  "a device of the IOMMU group of %s has another driver or owner",
				  dev_name(dev));
	ret = kioas_group_probe(group, dev);
	if (ret)
		iommu_group_release_dma_owner(group->iommu_group);
	if (ret && ret != -ENOMEM)
		ret = kioas_fail(call, -EIO, "device_fd",
				 "the IOMMU of %s does not work as expected (%d)", dev_name(dev),
				 ret);
	return ret;
}

struct kioas_group *kioas_group_get(struct kioas_call *call, struct device *dev)
{
	struct iommu_group *iommu_group = iommu_group_get(dev);
	struct kioas_group *group;
	int ret;

	if (!iommu_group)
		return ERR_PTR(kioas_fail(call, -ENODEV, "device_fd", "%s is behind no IOMMU",
					  dev_name(dev)));
	list_for_each_entry(group, &call->file->groups, entry)
		if (group->iommu_group == iommu_group) {
			iommu_group_put(iommu_group);
			group->bound++;
			return group;
		}
	group = kzalloc(sizeof(*group), GFP_KERNEL_ACCOUNT);
	ret = -ENOMEM;
	if (group) {
		group->iommu_group = iommu_group;
		group->links[0].group = group;
		group->links[1].group = group;
		group->coherent = device_iommu_capable(dev, IOMMU_CAP_CACHE_COHERENCY);
		ret = kioas_group_claim(call, group, dev);
	}
	if (ret) {
		iommu_group_put(iommu_group);
		kfree(group);
		return ERR_PTR(ret);
	}
	group->bound = 1;
	list_add_tail(&group->entry, &call->file->groups);
	return group;
}

void kioas_group_put(struct kioas_group *group)
{
	if (--group->bound)
		return;
	list_del(&group->entry);
	iommu_group_release_dma_owner(group->iommu_group);
	iommu_group_put(group->iommu_group);
	kfree(group);
}
