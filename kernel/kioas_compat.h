/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that kioas builds on, 6.1 to 7.3: one wrapper each, so that no
 * other file asks for a version.
 */
#ifndef KIOAS_COMPAT_H
#define KIOAS_COMPAT_H

#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/version.h>
#include <linux/workqueue.h>

/*
 * Does KVM tell other modules of its memory slots? It keeps file_is_kvm() for itself from about 6.18
 * on (6.12 exports it, 7.3 does not); and those who track pages can register up to 6.4, and later
 * where KVM is built for such (Debian: for KVMGT).
 */
#if IS_ENABLED(CONFIG_KVM) && defined(CONFIG_X86_64) &&  \
	LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0) && \
	(LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0) || \
	 IS_ENABLED(CONFIG_KVM_EXTERNAL_WRITE_TRACKING))
#define KIOAS_HAS_KVM 1
#else
#define KIOAS_HAS_KVM 0
#endif

/* 6.5 tells of what goes by its addresses, before it was the slot; and registering can fail. */
#define KIOAS_KVM_TELLS_REGIONS (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0))

/* 6.3 gave iommu_map() its last argument. */
static inline int kioas_iommu_map(struct iommu_domain *domain, unsigned long iova,
				  phys_addr_t paddr, size_t size, int prot)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	return iommu_map(domain, iova, paddr, size, prot, GFP_KERNEL_ACCOUNT);
#else
	return iommu_map(domain, iova, paddr, size, prot);
#endif
}

/* 6.3 changes the flags of an area through functions. */
static inline void kioas_vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

/* The same without waiting for memory. */
static inline int kioas_iommu_map_atomic(struct iommu_domain *domain, unsigned long iova,
					 phys_addr_t paddr, size_t size, int prot)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	return iommu_map(domain, iova, paddr, size, prot, GFP_ATOMIC | __GFP_ACCOUNT);
#else
	return iommu_map_atomic(domain, iova, paddr, size, prot);
#endif
}

/* 6.5 took out an argument. Under mmap_lock, which it never drops. */
static inline long kioas_pin_user_pages_remote(struct mm_struct *mm, unsigned long start,
					       unsigned long count, unsigned int flags,
					       struct page **pages)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	return pin_user_pages_remote(mm, start, count, flags, pages, NULL);
#else
	return pin_user_pages_remote(mm, start, count, flags, pages, NULL, NULL);
#endif
}

/* For work that may run anywhere; the old name warns since 6.18. */
static inline struct workqueue_struct *kioas_workqueue(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	return system_dfl_wq;
#else
	return system_unbound_wq;
#endif
}

/* 6.11 makes domains for devices, before that they were for buses. Return: ERR_PTR on failure. */
static inline struct iommu_domain *kioas_iommu_domain_alloc(struct device *dev)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	return iommu_paging_domain_alloc(dev);
#else
	struct iommu_domain *domain = iommu_domain_alloc(dev->bus);

	return domain ? domain : ERR_PTR(-ENOMEM);
#endif
}

/* Can a device only raise those interrupts that it was given? 6.3 asks the group for it. */
static inline bool kioas_msi_isolated(struct device *dev, struct iommu_group *group)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	return iommu_group_has_isolated_msi(group);
#else
	return device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
#endif
}

#endif
