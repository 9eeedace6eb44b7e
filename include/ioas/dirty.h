/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty tracking: which pages devices have written to, for migration and snapshots. KERNEL spaces,
 * where the IOMMU records it in its page table: VT-d and SMMUv3 may, AMD's does, "soft" does.
 *
 * Threads: any. The caller excludes unmaps of the range that is being read; maps elsewhere in the
 * address space go on.
 *
 * Source: Linux Documentation/userspace-api/iommufd.rst, IOMMU_HWPT_GET_DIRTY_BITMAP.
 */
#ifndef IOAS_DIRTY_H
#define IOAS_DIRTY_H

#include <ioas/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * ioas_dirty_start - record writes from now on
 * ioas_dirty_stop - record no more; what has not been read is forgotten
 *
 * Devices on the address space move to page tables that record, and back, without a gap in which
 * their DMA would be refused; those that attach later go there, too, or are refused. Writes of
 * devices on USER children are not recorded. Starting what is started, and stopping what is
 * stopped, is no error. Return: 0, or nothing has changed and -EOPNOTSUPP not a KERNEL space, or
 * the backend, the kernel or the IOMMU of a device does not record writes; -EBUSY it has children.
 */
int ioas_dirty_start(struct ioas *as);
int ioas_dirty_stop(struct ioas *as);

enum ioas_dirty_flags {
	IOAS_DIRTY_KEEP = 1 << 0, /* do not clear what is read: the next read finds it again */
};

/**
 * struct ioas_dirty - what to read
 * @size: sizeof(struct ioas_dirty)
 * @flags: enum ioas_dirty_flags
 * @iova: first page, aligned to @page_bytes
 * @bytes: length, a multiple of @page_bytes
 * @page_bytes: what a bit stands for: a power of two, 4096 or more
 * @bitmap: (bytes / page_bytes + 63) / 64 words; bit i % 64 of word i / 64 is the page at
 *	iova + i * page_bytes. Bits are set, none is cleared
 */
struct ioas_dirty {
	uint32_t size;
	uint32_t flags;
	ioas_iova_t iova;
	uint64_t bytes;
	uint64_t page_bytes;
	uint64_t *bitmap;
};

/**
 * ioas_dirty_read - which pages have been written to since they were read last
 *
 * What is not mapped is not dirty. A DMA that is under way is found by this read or by the next
 * one. A page may be found dirty that was not written to: leaves of the table may be larger than
 * pages. (With iommufd's option huge_pages=0 they are not.) For the same reason a range must not
 * cut a mapping, unless with IOAS_DIRTY_KEEP. Return: 0; -EINVAL a field, a mapping is cut, or not
 * started; else the backend's error. On error, bits that were read by then are set.
 */
int ioas_dirty_read(struct ioas *as, const struct ioas_dirty *range);

#ifdef __cplusplus
}
#endif
#endif
