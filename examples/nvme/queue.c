/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue.h"

#include <errno.h>
#include <string.h>

/*
 * What was stored in memory before is visible to the device before a register is written; what
 * the device stored before the phase tag is seen by loads after it. The C memory model knows no
 * devices.
 */
#if defined(__aarch64__)
#define before_doorbell() __asm__ volatile("dmb oshst" ::: "memory")
#define after_phase()	  __asm__ volatile("dmb oshld" ::: "memory")
#elif defined(__x86_64__)
#define before_doorbell() __asm__ volatile("" ::: "memory")
#define after_phase()	  __asm__ volatile("" ::: "memory")
#else
#error "barriers between memory and devices are missing for this processor"
#endif

int nvme_queue_init(struct nvme_queue *queue, struct nvme_host *host, uint16_t id, uint16_t entries,
		    volatile void *registers, uint32_t stride)
{
	volatile char *doorbells = (volatile char *)registers + NVME_REG_DOORBELL;

	*queue = (struct nvme_queue){ .id = id, .entries = entries, .phase = NVME_STATUS_PHASE };
	queue->sq = nvme_host_alloc(host, entries * sizeof(*queue->sq), &queue->sq_iova);
	queue->cq = nvme_host_alloc(host, entries * sizeof(*queue->cq), &queue->cq_iova);
	queue->sq_doorbell = (volatile uint32_t *)(doorbells + 2 * id * stride);
	queue->cq_doorbell = (volatile uint32_t *)(doorbells + (2 * id + 1) * stride);
	return queue->sq && queue->cq ? 0 : -ENOMEM;
}

static uint16_t next(const struct nvme_queue *queue, uint16_t index)
{
	return index + 1 == queue->entries ? 0 : index + 1;
}

bool nvme_queue_put(struct nvme_queue *queue, const struct nvme_command *command)
{
	if (next(queue, queue->sq_tail) == queue->sq_head)
		return false;
	queue->sq[queue->sq_tail] = *command;
	queue->sq_tail = next(queue, queue->sq_tail);
	return true;
}

void nvme_queue_ring(struct nvme_queue *queue)
{
	if (queue->sq_told == queue->sq_tail)
		return;
	before_doorbell();
	*queue->sq_doorbell = queue->sq_tail;
	queue->sq_told = queue->sq_tail;
}

bool nvme_queue_take(struct nvme_queue *queue, struct nvme_completion *completion)
{
	volatile struct nvme_completion *entry = &queue->cq[queue->cq_head];

	completion->status = entry->status;
	if ((completion->status & NVME_STATUS_PHASE) != queue->phase)
		return false;
	after_phase();
	completion->result = entry->result;
	completion->sq_head = entry->sq_head;
	completion->sq_id = entry->sq_id;
	completion->command_id = entry->command_id;
	queue->sq_head = completion->sq_head;
	queue->cq_head = next(queue, queue->cq_head);
	if (!queue->cq_head)
		queue->phase ^= NVME_STATUS_PHASE;
	return true;
}

bool nvme_queue_has(const struct nvme_queue *queue)
{
	return (queue->cq[queue->cq_head].status & NVME_STATUS_PHASE) == queue->phase;
}

void nvme_queue_release(struct nvme_queue *queue)
{
	if (queue->cq_told == queue->cq_head)
		return;
	*queue->cq_doorbell = queue->cq_head;
	queue->cq_told = queue->cq_head;
}
