/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hot calls. Each takes a queue, which only its owning thread may use (-EPERM otherwise).
 *
 * Which calls may run at the same time on one address space, from different queues
 * (- no outside exclusion needed, X the caller must exclude):
 *
 *                 | map any | map fixed | unmap | window | translate | flush
 *   map any       |    -    |     -     |   -   |   -    |     -     |   -
 *   map fixed     |    -    |     - 1   |   - 2 |   - 3  |     -     |   -
 *   unmap         |    -    |     - 2   |   - 4 |   -    |     -     |   -
 *   window slots  |    -    |     - 3   |   -   |   X 5  |     -     |   -
 *   translate     |    -    |     -     |   -   |   -    |     -     |   -
 *
 *   1 of two overlapping fixed maps one wins each page; the loser gets -EEXIST and undoes its own
 *   2 a map that overlaps a live mapping fails with -EEXIST; one whose IOVA waits for its
 *     invalidation waits for it (I1)
 *   3 fixed maps inside a window fail with -EEXIST
 *   4 unmapping one mapping from two threads: exactly one succeeds, the other gets -ENOENT
 *   5 of the same slot; different slots need no exclusion
 *
 * Ordering: a mapping is visible to the device when the call returns, for any doorbell that the
 * caller rings afterwards with the barrier that its device needs anyhow. STRICT: a DMA that
 * lands was issued before unmap returned.
 */
#ifndef IOAS_MAP_H
#define IOAS_MAP_H

#include <ioas/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ioas_map_flags {
	/* low bits: enum ioas_prot */
	IOAS_MAP_FIXED = 1 << 8,    /* map at *iova */
	IOAS_MAP_IDENTITY = 1 << 9, /* map at IOVA = virtual address */
	/*
	 * KERNEL spaces: for what lasts, arenas and not single buffers. Elements of a batch that
	 * are neighbours in memory get neighbouring IOVAs, and become one mapping of the kernel:
	 * one entry of a limit (ioas_caps.max_maps), one call. The kernel never splits it, so they
	 * are unmapped together: in one batch, in the same order.
	 */
	IOAS_MAP_TOGETHER = 1 << 10,
};

/**
 * ioas_map - make memory visible to the devices of an address space
 * @va: start, aligned to a page (ioas_get_page_bytes(): 4096, in most spaces); inside registered
 *	memory
 * @bytes: length, a multiple of that
 * @flags: enum ioas_prot | enum ioas_map_flags
 * @iova: in with IOAS_MAP_FIXED; out otherwise
 *
 * Return: 0, or nothing is mapped and
 * -EINVAL unaligned, zero or overflowing argument, or no protection bits; or pages are larger than
 * 4096, and the memory was registered at another alignment;
 * -ENOENT @va is not registered; -EEXIST part of the fixed range is mapped or owned by a window
 * or by the allocator; -ERANGE outside the aperture or in a reserved range; -ENOSPC no IOVA left
 * (what was unmapped comes back in chunks of up to 64 units, and what other queues have pending
 * comes back when they flush); -EPERM foreign queue; -ENOMEM page-table memory.
 */
int ioas_map(struct ioas_queue *q, void *va, size_t bytes, uint32_t flags, ioas_iova_t *iova);

/**
 * ioas_unmap - take it away again
 * @iova: as mapped
 * @bytes: as mapped: a mapping is unmapped whole
 *
 * Return: 0, or nothing is unmapped and -ENOENT (some of) the range is not mapped; -EINVAL not
 * exactly one mapping; -EBUSY a child of this address space maps it, or it was mapped together with
 * neighbours that are not in the batch; -EPERM. A failed invalidation
 * (-EIO and others of the backend) leaves the range unmapped, its IOVA out of circulation, and is
 * retried by the next flush.
 */
int ioas_unmap(struct ioas_queue *q, ioas_iova_t iova, size_t bytes);

/**
 * struct ioas_seg - one element of a batch
 * @va: as in ioas_map()
 * @bytes: as in ioas_map()
 * @iova: as in ioas_map()
 */
struct ioas_seg {
	void *va;
	uint64_t bytes;
	ioas_iova_t iova;
};

/**
 * ioas_map_batch - map several buffers, each on its own
 *
 * Neighbouring elements of equal size get neighbouring IOVAs where the allocator can.
 * Return: @count, or a negative errno and nothing of the batch is mapped.
 */
int ioas_map_batch(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count, uint32_t flags);

/**
 * ioas_map_sg - map scattered memory as one contiguous IOVA range
 * @iova: in with IOAS_MAP_FIXED, out otherwise; segs[i].iova is set as well
 *
 * The whole is one mapping: unmap it with one ioas_unmap() of the sum of the lengths. USER only.
 * Return: as ioas_map().
 */
int ioas_map_sg(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count, uint32_t flags,
		ioas_iova_t *iova);

/**
 * ioas_unmap_batch - unmap several mappings with one share of one invalidation
 *
 * Return: @count, or a negative errno and nothing of the batch is unmapped.
 */
int ioas_unmap_batch(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count);

/**
 * ioas_window_grant - make slots visible: one store a page
 * @slots: slot numbers; runs of ascending neighbours are fastest
 *
 * A slot that was revoked may be granted again at once, also while its invalidation is pending: a
 * slot's translation never changes. Return: 0, or nothing is granted and -EEXIST a slot is granted
 * already; -EINVAL no such slot; -EXDEV the window is of another address space; -EPERM.
 */
int ioas_window_grant(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		      unsigned int count);

/* Return: 0, or nothing is revoked and -ENOENT a slot is not granted; -EINVAL; -EXDEV; -EPERM. */
int ioas_window_revoke(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		       unsigned int count);

/**
 * ioas_flush - complete every invalidation asked for through this queue
 *
 * Return: 0: no DMA through anything unmapped before can land. Else the backend's error.
 */
int ioas_flush(struct ioas_queue *q);

/**
 * ioas_ticket - a number for "everything unmapped through this queue so far"
 * ioas_ticket_done - has its invalidation completed?
 *
 * Tickets of one queue only grow. Neither call enters the kernel.
 */
uint64_t ioas_ticket(struct ioas_queue *q);
bool ioas_ticket_done(const struct ioas_queue *q, uint64_t ticket);

/**
 * ioas_lookup - IOVA to virtual address, as the table stands now
 * @prot: receives enum ioas_prot; may be NULL
 *
 * For tests and for diagnosis, on any kind; it takes locks, which ioas_translate_iova() does not, and
 * asks the kernel in CPU and VM spaces. Return: 0; -ENOENT not mapped, or another error of the
 * backend.
 */
int ioas_lookup(struct ioas_queue *q, ioas_iova_t iova, void **va, uint32_t *prot);

/* Text of the last failure of a call on this queue. Valid until the next failing call on it. */
const char *ioas_queue_error(const struct ioas_queue *q);

#ifdef __cplusplus
}
#endif
#endif
