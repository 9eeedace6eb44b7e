/* SPDX-License-Identifier: BSD-3-Clause */
#include "lane.h"

#include <errno.h>
#include <string.h>

#include "say.h"

static int open_lane(struct nvme_lane *lane, struct nvme_ctrl *ctrl, unsigned int index,
		     const struct nvme_options *options)
{
	const struct ioas_mem_opts memory = { .size = sizeof(memory),
					      .numa_node = IOAS_NUMA_ANY,
					      .bytes = options->memory_bytes / options->queues };
	struct nvme_host *host = ctrl->host;
	int ret = ioas_queue_create(host->as, &lane->queue);

	ret = ret ?: ioas_mem_alloc(host->ctx, &memory, &lane->arena);
	ret = ret
		      ?: nvme_mapper_open(&lane->mapper, host, lane->queue, lane->arena,
					  options->cache_bytes);
	lane->mapped = !ret;
	if (ret)
		return ret;
	ret = nvme_io_open(&lane->io, ctrl, &lane->mapper, &options->io, index + 1);
	lane->opened = true; /* in part, too */
	lane->load = options->load;
	lane->load.bytes /= options->queues;
	lane->load.part = index;
	lane->load.parts = options->queues;
	return ret;
}

int nvme_lanes_open(struct nvme_lane *lanes, struct nvme_ctrl *ctrl,
		    const struct nvme_options *options)
{
	int ret = nvme_ctrl_ask_queues(ctrl, options->queues);

	for (unsigned int i = 0; !ret && i < options->queues; i++)
		ret = open_lane(&lanes[i], ctrl, i, options);
	return ret;
}

static void *run_lane(void *arg)
{
	struct nvme_lane *lane = arg;

	ioas_queue_adopt(lane->queue);
	lane->ret = nvme_load_run(&lane->io, lane->arena, &lane->load, &lane->result);
	return NULL;
}

static void add(struct nvme_load_result *total, const struct nvme_load_result *result)
{
	total->requests += result->requests;
	total->read_bytes += result->read_bytes;
	total->errors += result->errors;
}

int nvme_lanes_run(struct nvme_lane *lanes, const struct nvme_options *options,
		   struct nvme_load_result *total)
{
	const struct nvme_host *host = lanes[0].io.ctrl->host;
	const uint64_t begun = nvme_now_ms(), crossings = nvme_host_crossings(host);
	unsigned int started = 0;
	int ret = 0;

	memset(total, 0, sizeof(*total));
	while (!ret && started < options->queues) {
		ret = -pthread_create(&lanes[started].thread, NULL, run_lane, &lanes[started]);
		started += !ret;
	}
	if (ret)
		nvme_fail(ret, "thread %u", started);
	for (unsigned int i = 0; i < started; i++) {
		pthread_join(lanes[i].thread, NULL);
		ioas_queue_adopt(lanes[i].queue);
		add(total, &lanes[i].result);
		ret = ret ?: lanes[i].ret;
	}
	total->crossings = nvme_host_crossings(host) - crossings;
	total->seconds = (nvme_now_ms() - begun) / 1e3;
	return ret;
}

void nvme_lanes_close(struct nvme_lane *lanes, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (lanes[i].opened)
			nvme_io_close(&lanes[i].io);
}

void nvme_lanes_release(struct nvme_lane *lanes, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct nvme_lane *lane = &lanes[i];

		if (lane->opened)
			nvme_io_release(&lane->io);
		if (lane->mapped)
			nvme_mapper_close(&lane->mapper);
		if (lane->arena && ioas_mem_free(lane->arena))
			nvme_say("the buffers' memory is still mapped somewhere");
		if (lane->queue && ioas_queue_destroy(lane->queue))
			nvme_say("queue: %s", ioas_queue_error(lane->queue));
	}
}
