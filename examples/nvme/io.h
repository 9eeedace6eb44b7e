/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path: reads and writes through one pair of I/O queues. A request makes its buffer
 * visible to the device, describes it with PRPs or an SGL, and takes it away again when it has
 * completed. One thread.
 */
#ifndef NVME_IO_H
#define NVME_IO_H

#include "ctrl.h"
#include "lists.h"
#include "mapper.h"

#define NVME_DEPTH_MAX	  NVME_MANY
#define NVME_IO_BYTES_MAX (UINT32_C(1) << 20)

struct nvme_request {
	uint64_t block; /* first */
	void *va;	/* aligned to 4 */
	uint32_t bytes; /* whole blocks */
	bool write;	/* to the device */
	bool unmapped;	/* for probes: use @iova as it is, whatever is behind it */
	ioas_iova_t iova;
	void *tag; /* the caller's */
};

struct nvme_io_slot {
	bool busy; /* the device has it: its buffer is visible */
	struct nvme_request request;
	struct nvme_mapping mapping;
	struct nvme_list_piece pieces[3];
};

struct nvme_io_options {
	unsigned int depth; /* 1 to NVME_DEPTH_MAX */
	bool sgl;
	/*
	 * For tests of the lists: begin them near the end of a page, so that long ones are chained,
	 * and give SGLs a descriptor for each page of data.
	 */
	bool chain;
	bool interrupt; /* sleep until the device interrupts, in place of polling */
};

struct nvme_io {
	struct nvme_ctrl *ctrl;
	struct nvme_mapper *mapper;
	struct nvme_io_options options;
	struct nvme_queue queue;
	bool created;
	int eventfd;
	struct nvme_io_slot slots[NVME_DEPTH_MAX];
	uint16_t free[NVME_DEPTH_MAX];
	unsigned int free_count;
	uint16_t submitted[NVME_DEPTH_MAX]; /* slots of requests that have not begun */
	unsigned int submitted_count;
	unsigned int failures; /* requests; the first few are printed */
	uint64_t check_ms;     /* when the controller is looked at next */
};

/* @status: of the completion: 0 or what NVME_STATUS_IS_OK() refuses. */
typedef void (*nvme_io_done_fn)(void *arg, const struct nvme_request *request, uint16_t status);

/* @id: number of the queues, from 1 on. Return: 0 or a negative errno, and the reason has been
 * printed. */
int nvme_io_open(struct nvme_io *io, struct nvme_ctrl *ctrl, struct nvme_mapper *mapper,
		 const struct nvme_io_options *options, uint16_t id);

/* Take the queues away from the controller. */
void nvme_io_close(struct nvme_io *io);

/* After the controller has been closed: take away the buffers of requests that never completed. */
void nvme_io_release(struct nvme_io *io);

/* The most that one request may move. */
uint32_t nvme_io_max_bytes(const struct nvme_ctrl *ctrl);

/* Return: 0, or -EAGAIN: as many as the depth are in flight. */
int nvme_io_submit(struct nvme_io *io, const struct nvme_request *request);

/*
 * Begin what was submitted, whose buffers become visible together. What cannot begin stays
 * submitted; what is visible then is left to nvme_io_release().
 */
int nvme_io_begin(struct nvme_io *io);

/* Begin what was submitted, and wait until at least one request has completed. */
int nvme_io_wait(struct nvme_io *io, nvme_io_done_fn done, void *arg);

/* Submitted, and not completed. */
unsigned int nvme_io_in_flight(const struct nvme_io *io);

#endif
