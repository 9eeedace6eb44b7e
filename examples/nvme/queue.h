/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A submission queue with its completion queue, as rings in memory and two doorbells.
 * Source: NVM Express 1.4, 4.1. One thread.
 */
#ifndef NVME_QUEUE_H
#define NVME_QUEUE_H

#include "host.h"
#include "spec.h"

struct nvme_queue {
	/* the device's side */
	struct nvme_command *sq;
	volatile struct nvme_completion *cq;
	volatile uint32_t *sq_doorbell;
	volatile uint32_t *cq_doorbell;
	ioas_iova_t sq_iova;
	ioas_iova_t cq_iova;

	/* ours */
	uint16_t id;
	uint16_t entries; /* of each ring */
	uint16_t sq_tail;
	uint16_t sq_told; /* the tail that the device knows */
	uint16_t sq_head; /* as the device said last */
	uint16_t cq_head;
	uint16_t cq_told;
	uint16_t phase; /* of completions that are new */
};

/* @registers: BAR 0; @stride: bytes between doorbells. Return: 0 or -ENOMEM. */
int nvme_queue_init(struct nvme_queue *queue, struct nvme_host *host, uint16_t id, uint16_t entries,
		    volatile void *registers, uint32_t stride);

/* Put a command in the ring. Return: false when it is full. */
bool nvme_queue_put(struct nvme_queue *queue, const struct nvme_command *command);

/* Tell the device of commands that were put, if any. */
void nvme_queue_ring(struct nvme_queue *queue);

/* Take the next completion. Return: false when there is none. */
bool nvme_queue_take(struct nvme_queue *queue, struct nvme_completion *completion);

/* Is there a completion to take? */
bool nvme_queue_has(const struct nvme_queue *queue);

/* Give the entries of completions that were taken back to the device, if any. */
void nvme_queue_release(struct nvme_queue *queue);

#endif
