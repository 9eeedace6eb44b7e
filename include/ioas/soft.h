/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device side of the software IOMMU: what a bus would be for a real device. For virtual
 * device models (net_ioas), tests and benchmarks; drivers do not need it.
 *
 * Every access is translated, page by page, as hardware does: IOTLB, paging-structure caches,
 * walk. A refused access moves nothing of its page and of those behind it, and is recorded as a
 * fault.
 *
 * Options for ioas_ctx_opts.backend_options of "soft" (defaults in brackets):
 *   iotlb_sets=N [64], iotlb_ways=N [8]   geometry of the IOTLB, powers of two
 *   psc_entries=N [64]                    entries of each paging-structure cache
 *   units=N [1]                           IOMMU units, each with caches of its own
 *   faults=N [1024]                       capacity of the fault queue
 *   requests=N [64]                       capacity of the page request queue
 *   inval_ns=N [0]                        extra time of an invalidation request, per descriptor;
 *                                         other threads have the processor meanwhile
 *   call_ns=N [0]                         the same, however many descriptors are in it
 *   aperture_bits=N [48]                  width of KERNEL address spaces, 32..48
 *   max_maps=N [0]                        limit of live KERNEL mappings, 0 for none
 *   pin=N [1]                             0: registered memory is neither faulted in nor locked, so
 *                                         that it may be address space which is only reserved;
 *                                         DMA faults pages in, as the program itself does
 *   break=KIND [none]                     for tests of the tests: "drop-inval" loses range
 *                                         invalidations, "drop-flush" loses full ones
 * A device is put on unit K by a name that ends in "@K"; the default is unit 0.
 */
#ifndef IOAS_SOFT_H
#define IOAS_SOFT_H

#include <ioas/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * ioas_soft_dma_begin - open a burst of DMA by one device
 * ioas_soft_dma_end - close it
 *
 * Between the two, pointers from ioas_soft_dma_ptr() stay usable: an invalidation waits until
 * the burst is closed, as hardware drains DMA in flight. Keep bursts short (microseconds), don't
 * call map, unmap or flush inside one. Bursts of devices on one unit exclude each other.
 * Return: 0, or -ENOTSUP when the context's backend is not "soft".
 */
int ioas_soft_dma_begin(struct ioas_dev *dev);
void ioas_soft_dma_end(struct ioas_dev *dev);

/**
 * ioas_soft_dma_ptr - translate inside a burst
 * @bytes: in: wanted; out: what can be accessed from the returned address, to the end of the
 *	translation at most
 * @prot: IOAS_READ or IOAS_WRITE: what the device is about to do
 *
 * Return: address, or NULL and a fault has been recorded.
 */
void *ioas_soft_dma_ptr(struct ioas_dev *dev, ioas_iova_t iova, size_t *bytes, uint32_t prot);

/**
 * ioas_soft_dma_read - device reads memory
 * ioas_soft_dma_write - device writes memory
 *
 * A burst of their own. In an address space that is filled on demand (ioas_opts.page_request) they
 * wait where a translation is missing; pointers of a burst are a device's that cannot wait. An
 * aligned access of 8 bytes is single-copy atomic, as on PCIe. Return: 0, or -EFAULT and a fault
 * has been recorded.
 */
int ioas_soft_dma_read(struct ioas_dev *dev, ioas_iova_t iova, void *dst, size_t bytes);
int ioas_soft_dma_write(struct ioas_dev *dev, ioas_iova_t iova, const void *src, size_t bytes);

/**
 * struct ioas_soft_stats - counters of the model, summed over its units
 * @size: sizeof(struct ioas_soft_stats), set by the caller
 * @translations: translation requests
 * @iotlb_hits: answered by the IOTLB
 * @iotlb_misses: not answered by it
 * @psc_hits: walks that began below the root thanks to a paging-structure cache
 * @walk_reads: memory reads made by walks, both stages
 * @descriptors: invalidation descriptors executed, wait descriptors not counted
 * @waits: wait descriptors executed
 * @iotlb_dropped: IOTLB entries removed by invalidations
 * @faults: faults recorded or lost
 */
struct ioas_soft_stats {
	uint32_t size;
	uint32_t reserved;
	uint64_t translations;
	uint64_t iotlb_hits;
	uint64_t iotlb_misses;
	uint64_t psc_hits;
	uint64_t walk_reads;
	uint64_t descriptors;
	uint64_t waits;
	uint64_t iotlb_dropped;
	uint64_t faults;
};

int ioas_soft_get_stats(struct ioas_ctx *ctx, struct ioas_soft_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
