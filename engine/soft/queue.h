/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Invalidation queue of a unit: a ring of descriptors in memory, a tail register as doorbell,
 * wait descriptors that write a status word when all before them has completed.
 *
 *   word 0  3..0 type; 5..4 granularity; 31..16 domain id; 63..32 pages (PAGES), status (WAIT)
 *   word 1  PAGES: 63..12 address, 6 IH: leaf entries only, keep paging-structure caches
 *           WAIT: address of the status word
 *
 * The layout is VT-d's but for one thing: a page-selective descriptor carries a count, as Arm's
 * range invalidation (SMMUv3.2, FEAT_RIL) and iommufd's entries do, in place of an address mask.
 * A mask would either need several descriptors for a range or take neighbours along, and a
 * neighbour's stale entry that goes by luck is a missing invalidation that no test sees.
 *
 * Locking: software side (writing descriptors, the tail) under the queue's mutex, held until the
 * wait descriptor has completed. The hardware side runs in the thread that rings the doorbell
 * and takes the unit's lock, which it gets when the burst of DMA in progress is over.
 *
 * Source: VT-d 6.5.2 "Queued Invalidation Interface": 6.5.2.3 IOTLB invalidate, 6.5.2.8
 * invalidation wait; 6.5.4 draining.
 */
#ifndef ENGINE_SOFT_QUEUE_H
#define ENGINE_SOFT_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct soft_unit;

#define SOFT_QUEUE_ENTRIES 256 /* one is always free: head equals tail when it is empty */

#define SOFT_DESC_IOTLB	      UINT64_C(2)
#define SOFT_DESC_WAIT	      UINT64_C(5)
#define SOFT_DESC_TYPE	      UINT64_C(15)
#define SOFT_DESC_GLOBAL      (UINT64_C(1) << 4)
#define SOFT_DESC_DOMAIN      (UINT64_C(2) << 4)
#define SOFT_DESC_PAGES	      (UINT64_C(3) << 4)
#define SOFT_DESC_GRANULARITY (UINT64_C(3) << 4)
#define SOFT_DESC_STATUS      (UINT64_C(1) << 5) /* WAIT: write the status word */
#define SOFT_DESC_LEAF	      (UINT64_C(1) << 6) /* word 1 */
#define SOFT_DESC_PAGES_MAX   UINT32_MAX

struct soft_desc {
	uint64_t word[2];
};

struct soft_queue {
	/* One cache line, since threads that submit take turns. */
	pthread_mutex_t lock __attribute__((aligned(64)));
	uint32_t head;
	uint32_t tail;
	uint32_t serial;	 /* status value of the last wait descriptor */
	_Atomic uint32_t status; /* where submitted wait descriptors write */
	bool stuck;		 /* an invalid descriptor stopped the queue (VT-d: IQE) */
	struct soft_desc ring[SOFT_QUEUE_ENTRIES] __attribute__((aligned(64)));
};

/* All but @pages invalidate more than asked for if @bytes is larger than a descriptor can say. */
struct soft_desc soft_desc_range(uint16_t domain, uint64_t iova, uint64_t bytes, bool leaf);
struct soft_desc soft_desc_domain(uint16_t domain);
struct soft_desc soft_desc_global(void);
struct soft_desc soft_desc_wait(_Atomic uint32_t *status, uint32_t value);

/*
 * Put descriptors and a wait descriptor on the queue, ring the doorbell, wait for the status.
 * Return: 0: all of it has completed, or -EIO the queue is stuck.
 */
int soft_queue_submit(struct soft_unit *unit, const struct soft_desc *descs, unsigned int count);

/* The tail register: hardware runs from its head to @tail before the call returns. */
void soft_queue_write_tail(struct soft_unit *unit, uint32_t tail);

#endif
