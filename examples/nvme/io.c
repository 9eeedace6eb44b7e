/* SPDX-License-Identifier: BSD-3-Clause */
#include "io.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "say.h"

#define INTERRUPT_MS	 2000
#define CHECK_MS	 100 /* the device may go while nothing completes, and while all goes well */
#define FAILURES_PRINTED 8
#define CHAIN_BYTES	 128 /* of the first page when lists are to be chained early */

/* Memory for lists: two pages a slot, or the end of one and the two that follow. */
static int make_lists(struct nvme_io *io, struct nvme_io_slot *slot)
{
	const unsigned int count = sizeof(slot->pieces) / sizeof(slot->pieces[0]);
	ioas_iova_t iova;
	char *va = nvme_host_alloc(io->ctrl->host, count * NVME_PAGE_BYTES, &iova);
	const uint32_t skip = io->options.chain ? NVME_PAGE_BYTES - CHAIN_BYTES : 0;

	if (!va)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++)
		slot->pieces[i] = (struct nvme_list_piece){ .va = va + i * NVME_PAGE_BYTES,
							    .iova = iova + i * NVME_PAGE_BYTES,
							    .bytes = NVME_PAGE_BYTES };
	slot->pieces[0].va = va + skip;
	slot->pieces[0].iova += skip;
	slot->pieces[0].bytes -= skip;
	return 0;
}

int nvme_io_open(struct nvme_io *io, struct nvme_ctrl *ctrl, struct nvme_mapper *mapper,
		 const struct nvme_io_options *options, uint16_t id)
{
	int ret = 0;

	memset(io, 0, sizeof(*io));
	io->ctrl = ctrl;
	io->mapper = mapper;
	io->options = *options;
	io->eventfd = -1;
	if (options->sgl && !ctrl->sgl_support)
		return nvme_fail(-ENOTSUP, "--sgl: the controller has no SGLs (SGLS is 0): use "
					   "--prp");
	if (options->interrupt) {
		io->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (io->eventfd < 0)
			return nvme_fail(-errno, "eventfd");
	}
	for (unsigned int i = 0; !ret && i < options->depth; i++) {
		ret = make_lists(io, &io->slots[i]);
		io->free[io->free_count++] = i;
	}
	/* A ring of N entries holds N - 1. */
	ret = ret ?: nvme_ctrl_create_queue(ctrl, &io->queue, id, options->depth + 1, io->eventfd);
	io->created = !ret;
	return ret;
}

void nvme_io_close(struct nvme_io *io)
{
	if (io->created)
		nvme_ctrl_delete_queue(io->ctrl, &io->queue);
	if (io->eventfd >= 0)
		close(io->eventfd);
	io->created = false;
	io->eventfd = -1;
}

uint32_t nvme_io_max_bytes(const struct nvme_ctrl *ctrl)
{
	if (ctrl->max_transfer_bytes && ctrl->max_transfer_bytes < NVME_IO_BYTES_MAX)
		return ctrl->max_transfer_bytes;
	return NVME_IO_BYTES_MAX;
}

unsigned int nvme_io_in_flight(const struct nvme_io *io)
{
	return io->options.depth - io->free_count;
}

/* The same data in runs of up to a page. Return: how many. */
static unsigned int split(const struct nvme_mapping *mapping, struct nvme_run *runs)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < mapping->count; i++) {
		const struct nvme_run *run = &mapping->runs[i];

		for (uint64_t at = 0; at < run->bytes; at += NVME_PAGE_BYTES) {
			const uint64_t left = run->bytes - at;

			runs[count++] = (struct nvme_run){
				.iova = run->iova + at,
				.bytes = left < NVME_PAGE_BYTES ? left : NVME_PAGE_BYTES,
			};
		}
	}
	return count;
}

static int describe(const struct nvme_io *io, const struct nvme_io_slot *slot,
		    struct nvme_command *command)
{
	const struct nvme_list_memory memory = {
		.pieces = slot->pieces,
		.count = sizeof(slot->pieces) / sizeof(slot->pieces[0]),
		.page_bytes = NVME_PAGE_BYTES,
	};
	const struct nvme_mapping *mapping = &slot->mapping;
	struct nvme_run pages[NVME_IO_BYTES_MAX / NVME_PAGE_BYTES + NVME_RUNS_MAX];

	if (!io->options.sgl)
		return nvme_prp_build(mapping->runs, mapping->count, &memory, command->prp);
	command->flags |= NVME_FLAGS_SGL;
	if (io->options.chain)
		return nvme_sgl_build(pages, split(mapping, pages), &memory, &command->sgl);
	return nvme_sgl_build(mapping->runs, mapping->count, &memory, &command->sgl);
}

static int take_away(struct nvme_io *io, struct nvme_io_slot *slot)
{
	return slot->request.unmapped ? 0 : nvme_mapper_put(io->mapper, &slot->mapping);
}

int nvme_io_submit(struct nvme_io *io, const struct nvme_request *request)
{
	uint16_t id;

	if (!io->free_count)
		return -EAGAIN;
	id = io->free[--io->free_count];
	io->slots[id].request = *request;
	io->submitted[io->submitted_count++] = id;
	return 0;
}

static uint32_t prot_of(const struct nvme_request *request)
{
	return request->write ? IOAS_READ : IOAS_WRITE;
}

/* Buffers of submitted requests from @first on that are mapped alike. Return: how many, or an
 * error. */
static int make_visible(struct nvme_io *io, unsigned int first)
{
	struct nvme_mapping *mappings[NVME_DEPTH_MAX];
	struct nvme_io_slot *slot = &io->slots[io->submitted[first]];
	const uint32_t prot = prot_of(&slot->request);
	unsigned int count = 0;
	int ret;

	if (slot->request.unmapped) {
		slot->mapping.runs[0] =
			(struct nvme_run){ slot->request.iova, slot->request.bytes };
		slot->mapping.count = 1;
		return 1;
	}
	while (first + count < io->submitted_count) {
		slot = &io->slots[io->submitted[first + count]];
		if (slot->request.unmapped || prot_of(&slot->request) != prot)
			break;
		slot->mapping.va = slot->request.va;
		slot->mapping.bytes = slot->request.bytes;
		mappings[count++] = &slot->mapping;
	}
	ret = nvme_mapper_get_many(io->mapper, mappings, count, prot);
	return ret ? ret : (int)count;
}

static int put_command(struct nvme_io *io, uint16_t id)
{
	const struct nvme_io_slot *slot = &io->slots[id];
	const struct nvme_request *request = &slot->request;
	struct nvme_command command = {
		.opcode = request->write ? NVME_IO_WRITE : NVME_IO_READ,
		.id = id,
		.namespace_id = io->ctrl->namespace_id,
		.dword10 = (uint32_t)request->block,
		.dword11 = request->block >> 32,
		.dword12 = request->bytes / io->ctrl->block_bytes - 1,
	};
	int ret = describe(io, slot, &command);

	if (ret)
		return nvme_fail(ret, "request of %u bytes at %p cannot be described",
				 request->bytes, request->va);
	nvme_queue_put(&io->queue, &command);
	return 0;
}

int nvme_io_begin(struct nvme_io *io)
{
	int ret = 0;

	for (unsigned int at = 0; ret >= 0 && at < io->submitted_count;) {
		ret = make_visible(io, at);
		for (int i = 0; i < ret; i++)
			io->slots[io->submitted[at++]].busy = true;
	}
	for (unsigned int i = 0; ret >= 0 && i < io->submitted_count; i++)
		ret = put_command(io, io->submitted[i]);
	if (ret < 0)
		return ret;
	io->submitted_count = 0;
	nvme_queue_ring(&io->queue);
	return 0;
}

void nvme_io_release(struct nvme_io *io)
{
	for (unsigned int i = 0; i < NVME_DEPTH_MAX; i++) {
		if (io->slots[i].busy)
			take_away(io, &io->slots[i]);
		io->slots[i].busy = false;
	}
}

/* A request that has completed, and whose buffer is still visible. */
struct finished {
	struct nvme_io_slot *slot;
	uint16_t id;
	uint16_t status;
};

/* Return: how many, up to @max; or a negative errno. */
static int take(struct nvme_io *io, struct finished *finished, unsigned int max)
{
	struct nvme_completion completion;
	unsigned int count = 0;

	while (count < max && nvme_queue_take(&io->queue, &completion)) {
		const uint16_t id = completion.command_id;

		if (id >= NVME_DEPTH_MAX || !io->slots[id].busy)
			return nvme_fail(-EIO, "completion of command %u, which is not in flight",
					 id);
		io->slots[id].busy = false;
		finished[count] = (struct finished){ .slot = &io->slots[id], .id = id };
		if (!NVME_STATUS_IS_OK(completion.status)) {
			finished[count].status = completion.status;
			if (io->failures++ < FAILURES_PRINTED)
				nvme_ctrl_failed(&completion, finished[count].slot->request.write
								      ? "write"
								      : "read");
		}
		count++;
	}
	nvme_queue_release(&io->queue);
	return (int)count;
}

/*
 * All that has completed is taken away from the device together, before the caller hears of it.
 * Return: how many requests, or a negative errno.
 */
static int reap(struct nvme_io *io, nvme_io_done_fn done, void *arg)
{
	struct finished finished[NVME_DEPTH_MAX];
	struct nvme_mapping *mappings[NVME_DEPTH_MAX];
	unsigned int visible = 0;
	int count = take(io, finished, NVME_DEPTH_MAX), ret;

	for (int i = 0; i < count; i++)
		if (!finished[i].slot->request.unmapped)
			mappings[visible++] = &finished[i].slot->mapping;
	ret = count < 0 ? count : nvme_mapper_put_many(io->mapper, mappings, visible);
	if (ret)
		return ret;
	for (int i = 0; i < count; i++) {
		io->free[io->free_count++] = finished[i].id;
		done(arg, &finished[i].slot->request, finished[i].status);
	}
	return count;
}

/* Sleep until the device interrupts. Completions without an interrupt are an error. */
static int sleep_until(struct nvme_io *io, uint64_t left_ms)
{
	struct pollfd poller = { .fd = io->eventfd, .events = POLLIN };
	uint64_t count;
	int ready = poll(&poller, 1, left_ms < CHECK_MS ? (int)left_ms : CHECK_MS);

	/* One that came at the last moment has its interrupt under way. */
	if (!ready && nvme_queue_has(&io->queue) && !poll(&poller, 1, INTERRUPT_MS))
		return nvme_fail(-EIO,
				 "completions come, interrupts do not: leave --irq out, or see "
				 "whether the device's MSI-X writes are translated");
	if (poller.revents && read(io->eventfd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return nvme_fail(-errno, "eventfd");
	return 0;
}

static int check_device(struct nvme_io *io)
{
	const uint64_t now = nvme_now_ms();

	if (now < io->check_ms)
		return 0;
	io->check_ms = now + CHECK_MS;
	return nvme_ctrl_check(io->ctrl);
}

static int pause_until(struct nvme_io *io, uint64_t deadline)
{
	const uint64_t now = nvme_now_ms();
	int ret = check_device(io);

	if (ret)
		return ret;
	if (now > deadline)
		return nvme_fail(-ETIMEDOUT, "no completion for %u s, %u in flight; CSTS is 0x%x",
				 NVME_TIMEOUT_MS / 1000, nvme_io_in_flight(io),
				 nvme_ctrl_status(io->ctrl));
	if (io->eventfd >= 0)
		return sleep_until(io, deadline - now + 1);
	sched_yield();
	return 0;
}

int nvme_io_wait(struct nvme_io *io, nvme_io_done_fn done, void *arg)
{
	uint64_t deadline = 0;
	int ret = check_device(io) ?: nvme_io_begin(io);

	if (ret)
		return ret;
	for (;;) {
		ret = reap(io, done, arg);
		if (ret)
			return ret < 0 ? ret : 0;
		if (!deadline)
			deadline = nvme_now_ms() + NVME_TIMEOUT_MS;
		ret = pause_until(io, deadline);
		if (ret)
			return ret;
	}
}
