/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lane: a pair of I/O queues of the controller and all that one thread needs to drive it: a queue
 * of the address space, buffers of its own, and a part of the image. Lanes share nothing but the
 * controller's life: they are opened, closed and released by the thread that owns the controller,
 * and run side by side.
 */
#ifndef NVME_LANE_H
#define NVME_LANE_H

#include <pthread.h>

#include "io.h"
#include "load.h"
#include "options.h"

struct nvme_lane {
	struct ioas_queue *queue;
	struct ioas_mem *arena;
	struct nvme_mapper mapper;
	bool mapped;
	struct nvme_io io;
	bool opened;

	pthread_t thread;
	struct nvme_load_options load;
	struct nvme_load_result result;
	int ret;
};

/*
 * Open options->queues lanes. Return: 0 or a negative errno, and the reason has been printed: what
 * has been opened is to be closed and released.
 */
int nvme_lanes_open(struct nvme_lane *lanes, struct nvme_ctrl *ctrl,
		    const struct nvme_options *options);

/* The load, on all lanes at once. Return: 0, or the first lane's error that has one. */
int nvme_lanes_run(struct nvme_lane *lanes, const struct nvme_options *options,
		   struct nvme_load_result *total);

/* Take the queues away from the controller; when it has been closed, the buffers from it. */
void nvme_lanes_close(struct nvme_lane *lanes, unsigned int count);
void nvme_lanes_release(struct nvme_lane *lanes, unsigned int count);

#endif
