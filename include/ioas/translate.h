/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Translation, for KERNEL, PASSTHROUGH and CPU spaces: virtual address to IOVA and back, one address, a
 * run, a vector of buffers, or straight into the lists of an NVMe command. It takes no lock, does
 * no atomic read-modify-write and writes nothing that another thread reads. A miss costs what a
 * hit costs.
 *
 *                 | translate | map | unmap      - no outside exclusion needed
 *   translate     |     -     |  -  |  - 1
 *
 *   1 An answer is right when it is given. How long it stays right is the caller's affair, in one
 *     of three ways (struct ioas_opts, readers):
 *
 *     NULL               the program knows that nobody unmaps what it is using;
 *     &urcu_bp_flavor, &urcu_memb_flavor, &urcu_mb_flavor
 *                        automatic: the answer is right until the end of the caller's read-side
 *                        section (urcu_bp_read_lock() to urcu_bp_read_unlock());
 *     &urcu_qsbr_flavor  explicit: until the caller's next urcu_qsbr_quiescent_state(), which a
 *                        polling loop passes anyhow; reading costs nothing at all.
 *
 *     With a flavour, ioas_unmap() takes the translation away, waits for every reader of that
 *     flavour, and only then unmaps; so a thread must not unmap inside a section of its own, and
 *     (QSBR) every registered thread must pass quiescent states or be offline. A section or a loop
 *     that rings the doorbell and waits for the completions before it ends cannot be unmapped
 *     under. Source: liburcu, the Linux kernel's RCU contract.
 *
 * Errors: -ENOENT (part of) it is not mapped; -EINVAL; -EOPNOTSUPP the kind has no translation;
 * -EPERM foreign queue; others where they are named.
 */
#ifndef IOAS_TRANSLATE_H
#define IOAS_TRANSLATE_H

#include <ioas/types.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * ioas_translate - virtual address to IOVA
 * @bytes: in: wanted; out: length of the run that is contiguous in IOVA from @va, at most the
 *	input
 *
 * Return: 0 or an error of the list above.
 */
int ioas_translate(struct ioas_queue *q, const void *va, size_t *bytes, ioas_iova_t *iova);

/**
 * ioas_translate_iova - IOVA to virtual address, the other way round
 * @bytes: as in ioas_translate(), up to the end of the mapping
 *
 * Return: 0 or an error of the list above.
 */
int ioas_translate_iova(struct ioas_queue *q, ioas_iova_t iova, size_t *bytes, void **va);

/**
 * struct ioas_run - memory that is contiguous for the device
 * @iova: first address
 * @bytes: length
 */
struct ioas_run {
	ioas_iova_t iova;
	uint64_t bytes;
};

/**
 * ioas_translate_iov - translate a vector of buffers
 * @iov: buffers; empty ones are skipped
 * @runs: receives the runs in order; neighbours in IOVA are one run, across buffers, too
 * @max: capacity of @runs
 *
 * Return: number of runs; -E2BIG more than @max, or an error of the list above. @runs is undefined
 * then.
 */
int ioas_translate_iov(struct ioas_queue *q, const struct iovec *iov, unsigned int iov_count,
		       struct ioas_run *runs, unsigned int max);

/**
 * ioas_nvme_prp - translate buffers into PRP entries, for a controller with pages of 4 KiB
 * @iov: buffers. All but the first begin at a page boundary, all but the last end at one
 * @prp1: receives the first entry
 * @list: receives the others, one for each page
 * @max: capacity of @list
 *
 * If one entry is in @list, it is PRP entry 2 of the command; if there are more, PRP entry 2 points
 * to the list. Return: number of entries in @list; -EINVAL no data, not aligned to a dword, or with
 * a gap inside a page; -E2BIG more than @max; or an error of the list above. Source: NVM Express
 * 1.4, 4.3.
 */
int ioas_nvme_prp(struct ioas_queue *q, const struct iovec *iov, unsigned int iov_count,
		  uint64_t *prp1, uint64_t *list, unsigned int max);

/**
 * struct ioas_nvme_sgl_entry - an SGL descriptor (NVM Express 1.4, figure 115), little-endian
 * @address: of the data
 * @length: in bytes
 * @identifier: 0: data block, address
 */
struct ioas_nvme_sgl_entry {
	uint64_t address;
	uint32_t length;
	uint8_t reserved[3];
	uint8_t identifier;
};

/**
 * ioas_nvme_sgl - translate buffers into SGL data block descriptors
 * @list: receives one descriptor for each run (of less than 4 GiB)
 *
 * Return: number of descriptors, or as ioas_translate_iov().
 */
int ioas_nvme_sgl(struct ioas_queue *q, const struct iovec *iov, unsigned int iov_count,
		  struct ioas_nvme_sgl_entry *list, unsigned int max);

/**
 * struct ioas_hit - the run that was translated last: the caller's, one for each of its queues
 * @va: first address of the run
 * @bytes: length, 0: none
 * @iova_less_va: of each byte of it
 * @removals: counts what is unmapped from the address space
 * @seen: its value when the run was looked up
 *
 * Begin with zeroes. The layout is part of the binary interface. It must not be used after its
 * address space is destroyed, or with a queue of another one.
 */
struct ioas_hit {
	uint64_t va;
	uint64_t bytes;
	uint64_t iova_less_va;
	const uint64_t *removals;
	uint64_t seen;
};

/* ioas_translate() that remembers the run around @va (up to 32 entries of the cache) in @hit. */
int ioas_translate_refill(struct ioas_queue *q, struct ioas_hit *hit, const void *va, size_t *bytes,
			  ioas_iova_t *iova);

/**
 * ioas_translate_hit - ioas_translate(), inline when the run is that of the last time
 *
 * A hit is right as ioas_translate() is: any unmap in the address space makes it a miss. Only the
 * queue's thread may call it; a hit does not check that.
 */
static inline int ioas_translate_hit(struct ioas_queue *q, struct ioas_hit *hit, const void *va,
				     size_t *bytes, ioas_iova_t *iova)
{
	const uint64_t offset = (uint64_t)(uintptr_t)va - hit->va;

	/*
	 * Acquire: pairs with the release of the count, which is after the removal. No load of the
	 * caller's can be before it, so what is used after a removal was seen is looked up again.
	 */
	if (__builtin_expect(offset < hit->bytes && *bytes - 1 < hit->bytes - offset &&
				     __atomic_load_n(hit->removals, __ATOMIC_ACQUIRE) == hit->seen,
			     1)) {
		*iova = (ioas_iova_t)((uint64_t)(uintptr_t)va + hit->iova_less_va);
		return 0;
	}
	return ioas_translate_refill(q, hit, va, bytes, iova);
}

#ifdef __cplusplus
}
#endif
#endif
