/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller: reset and start, its admin queue, what it says of itself, its first namespace, I/O
 * queues. Source: NVM Express 1.4, 7.6.1 (initialisation), 7.6.2 (shutdown), 5. One thread.
 */
#ifndef NVME_CTRL_H
#define NVME_CTRL_H

#include "host.h"
#include "queue.h"

#define NVME_PAGE_BYTES 4096 /* CC.MPS = 0 */
#define NVME_QUEUES_MAX 16   /* I/O queues */

struct nvme_ctrl {
	struct nvme_host *host;
	volatile void *registers;
	uint64_t registers_bytes;
	uint64_t cap;
	struct nvme_queue admin;
	bool started;
	int eventfds[NVME_QUEUES_MAX +
		     1];      /* of the vectors; 0 is the admin queue's, which is polled */
	unsigned int vectors; /* that are switched on */

	char model[41];
	char serial[21];
	uint32_t version;
	uint32_t sgl_support;	     /* enum of spec.h, 0 for none */
	uint32_t max_transfer_bytes; /* 0 for no limit */

	uint32_t namespace_id;
	uint32_t block_bytes;
	uint64_t block_count;
};

/* Return: 0 or a negative errno, the reason has been printed and everything is closed. */
int nvme_ctrl_open(struct nvme_ctrl *ctrl, struct nvme_host *host);

/* Shut down: when this returns the device does no more DMA. */
void nvme_ctrl_close(struct nvme_ctrl *ctrl);

/* So many pairs of I/O queues will be created: 5.21.1.7. To be called before. */
int nvme_ctrl_ask_queues(struct nvme_ctrl *ctrl, unsigned int count);

/*
 * Create the I/O queues number @queue->id. @eventfd: signalled by the completion queue's interrupt,
 * or -1 for none. Return: 0 or a negative errno, and the reason has been printed.
 */
int nvme_ctrl_create_queue(struct nvme_ctrl *ctrl, struct nvme_queue *queue, uint16_t id,
			   uint16_t entries, int eventfd);
int nvme_ctrl_delete_queue(struct nvme_ctrl *ctrl, struct nvme_queue *queue);

/* Say that a command failed: @what, and the status in words where they are known. */
int nvme_ctrl_failed(const struct nvme_completion *completion, const char *what);

/* CSTS. For messages about commands that never complete. */
uint32_t nvme_ctrl_status(const struct nvme_ctrl *ctrl);

/*
 * Is there still a controller that carries out commands? Return: 0; -ENODEV it is gone, or somebody
 * wants it back; -EIO somebody has reset it, or it has failed. The reason has been printed.
 */
int nvme_ctrl_check(const struct nvme_ctrl *ctrl);

/* Milliseconds of a clock that only goes forward. */
uint64_t nvme_now_ms(void);

#define NVME_TIMEOUT_MS 30000 /* of a command: an emulated machine may be slow */

#endif
