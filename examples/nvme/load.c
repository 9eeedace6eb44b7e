/* SPDX-License-Identifier: BSD-3-Clause */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "say.h"

struct load {
	struct nvme_io *io;
	const struct nvme_load_options *options;
	struct nvme_load_result *result;
	uint64_t random;

	/* the part of the image, in units of a request */
	uint64_t first_block;
	uint32_t units;
	uint32_t *order;
	uint32_t *generation;

	/* buffers in the arena */
	char *arena;
	uint32_t stride;
	uint32_t *free; /* numbers of buffers */
	uint32_t free_count;

	uint64_t progress_ms; /* when it is shown next */
};

/* xorshift64* */
static uint32_t below(struct load *load, uint32_t limit)
{
	uint64_t x = load->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	load->random = x;
	return (x * UINT64_C(0x2545f4914f6cdd1d) >> 32) * limit >> 32;
}

static void swap(uint32_t *a, uint32_t *b)
{
	const uint32_t old = *a;

	*a = *b;
	*b = old;
}

static void shuffle(struct load *load)
{
	for (uint32_t i = load->units; i > 1; i--)
		swap(&load->order[i - 1], &load->order[below(load, i)]);
}

static struct nvme_pattern pattern_of(const struct load *load, uint32_t unit)
{
	const uint32_t block_bytes = load->io->ctrl->block_bytes;

	return (struct nvme_pattern){
		.block = load->first_block +
			 (uint64_t)unit * (load->options->io_bytes / block_bytes),
		.block_bytes = block_bytes,
		.generation = load->generation[unit],
	};
}

/* Any buffer that is free: with a random load, from all over the arena. */
static char *take_buffer(struct load *load)
{
	if (load->options->random)
		swap(&load->free[below(load, load->free_count)], &load->free[load->free_count - 1]);
	return load->arena + (uint64_t)load->free[--load->free_count] * load->stride +
	       load->options->offset;
}

static void give_buffer(struct load *load, const char *va)
{
	load->free[load->free_count++] = (va - load->arena) / load->stride;
}

static void on_done(void *arg, const struct nvme_request *request, uint16_t status)
{
	struct load *load = arg;
	const uint32_t unit = (uint32_t)(uintptr_t)request->tag;
	const struct nvme_pattern pattern = pattern_of(load, unit);

	load->result->requests++;
	if (status)
		load->result->errors++;
	else if (!request->write && load->options->verify)
		load->result->errors += nvme_pattern_check(&pattern, request->va, request->bytes);
	if (!request->write)
		load->result->read_bytes += request->bytes;
	give_buffer(load, request->va);
}

static void show_progress(struct load *load)
{
	const uint64_t now = nvme_now_ms();

	if (now < load->progress_ms)
		return;
	load->progress_ms = now + load->options->progress_ms;
	nvme_say("queue %u: %" PRIu64 " requests, %" PRIu64 " of %" PRIu64
		 " MiB read back, %" PRIu64 " errors",
		 load->io->queue.id, load->result->requests, load->result->read_bytes >> 20,
		 load->options->bytes >> 20, load->result->errors);
}

static int begin(struct load *load, uint32_t unit, bool write)
{
	struct nvme_request request = {
		.va = take_buffer(load),
		.bytes = load->options->io_bytes,
		.write = write,
		.tag = (void *)(uintptr_t)unit,
	};
	struct nvme_pattern pattern;

	if (write)
		load->generation[unit]++;
	pattern = pattern_of(load, unit);
	request.block = pattern.block;
	if (load->options->verify) {
		if (write)
			nvme_pattern_fill(&pattern, request.va, request.bytes);
		else
			nvme_pattern_spoil(&pattern, request.va, request.bytes);
	}
	return nvme_io_submit(load->io, &request);
}

/* All units once, as deep as the queue is. */
static int pass(struct load *load, bool write)
{
	uint32_t at = 0;
	int ret = 0;

	if (load->options->random)
		shuffle(load);
	while (!ret && (at < load->units || nvme_io_in_flight(load->io))) {
		while (!ret && at < load->units &&
		       nvme_io_in_flight(load->io) < load->io->options.depth)
			ret = begin(load, load->order[at++], write);
		ret = ret ?: nvme_io_wait(load->io, on_done, load);
		show_progress(load);
	}
	return ret;
}

static int prepare(struct load *load, struct ioas_mem *arena)
{
	const struct nvme_load_options *options = load->options;
	const struct nvme_ctrl *ctrl = load->io->ctrl;
	uint64_t image = ctrl->block_count * ctrl->block_bytes;
	uint32_t buffers;

	if (!options->io_bytes || options->io_bytes % ctrl->block_bytes ||
	    options->io_bytes > nvme_io_max_bytes(ctrl))
		return nvme_fail(-EINVAL,
				 "--block %u: a multiple of the device's %u bytes is "
				 "needed, up to %u",
				 options->io_bytes, ctrl->block_bytes, nvme_io_max_bytes(ctrl));
	image /= options->parts;
	load->units = image / options->io_bytes;
	load->first_block =
		(uint64_t)options->part * load->units * (options->io_bytes / ctrl->block_bytes);
	if (options->bytes < image)
		load->units = options->bytes / options->io_bytes;
	load->arena = ioas_mem_va(arena);
	load->stride = (options->offset + options->io_bytes + NVME_PAGE_BYTES - 1) &
		       ~(NVME_PAGE_BYTES - 1);
	buffers = ioas_mem_bytes(arena) / load->stride;
	if (!load->units)
		return nvme_fail(-EINVAL, "--bytes: less than one request");
	if (buffers < load->io->options.depth)
		return nvme_fail(-EINVAL,
				 "--memory: there is room for %u buffers of %u bytes, the "
				 "queue is %u deep",
				 buffers, load->stride, load->io->options.depth);
	load->order = calloc(load->units, sizeof(load->order[0]));
	load->generation = calloc(load->units, sizeof(load->generation[0]));
	load->free = calloc(buffers, sizeof(load->free[0]));
	if (!load->order || !load->generation || !load->free)
		return nvme_fail(-ENOMEM, "tables for %u units", load->units);
	for (uint32_t i = 0; i < load->units; i++)
		load->order[i] = i;
	while (load->free_count < buffers) {
		load->free[load->free_count] = load->free_count;
		load->free_count++;
	}
	return 0;
}

int nvme_load_run(struct nvme_io *io, struct ioas_mem *arena,
		  const struct nvme_load_options *options, struct nvme_load_result *result)
{
	struct load load = { .io = io,
			     .options = options,
			     .result = result,
			     .random = 88172645463325252 + options->part,
			     .progress_ms = nvme_now_ms() + options->progress_ms };
	int ret;

	memset(result, 0, sizeof(*result));
	ret = prepare(&load, arena);
	while (!ret && result->read_bytes < options->bytes)
		ret = pass(&load, true) ?: pass(&load, false);
	free(load.order);
	free(load.generation);
	free(load.free);
	return ret;
}
