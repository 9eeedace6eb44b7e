/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O whose buffers are visible to the controller while it has them.
 *
 * A request is free, under way, or done: done ones have their completion, and wait until their
 * pages have been taken away, together, before their callbacks are called.
 *
 * IOVA is virtual address, since it is SPDK's driver that writes addresses into commands. So two
 * I/Os cannot have one page each on its own, and the second is refused until the first is done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <urcu/list.h>

#include <spdk/nvme.h>

#include "spdk.h"

#define PAGE	     UINT64_C(4096)
#define DEPTH	     128
#define DEPTH_MAX    4096
#define SEGMENTS     32
#define SEGMENTS_MAX 256

struct request {
	struct cds_list_head entry; /* in free, or in done */
	struct ioas_spdk_io *io;
	ioas_spdk_cb cb;
	void *arg;
	ioas_spdk_reset_sgl_fn reset_sgl;
	ioas_spdk_next_sge_fn next_sge;
	struct spdk_nvme_cpl cpl;
	unsigned int count;
	struct ioas_seg *segs; /* mapped, whole pages */
};

struct ioas_spdk_io {
	struct ioas_spdk *memory;
	struct spdk_nvme_qpair *qpair;
	struct ioas_queue *queue;
	struct cds_list_head free;
	struct cds_list_head done;
	uint32_t max_segments;
	uint32_t pending;
	bool polling;	/* completions are collected */
	bool unsettled; /* an invalidation failed: those in done are unmapped, but not let go */
	uint32_t called;
	struct ioas_seg *batch; /* of all requests at once */
	struct ioas_seg *segs;
	struct request requests[];
};

/* Completion. */

/* Has unmap refused, and everything is as it was? Else only the invalidation has failed. */
static bool refused(int code)
{
	return code == -EPERM || code == -ENOENT || code == -EINVAL || code == -EBUSY;
}

/* Take the pages of all done requests away. Return: 0, or an error; then none may be let go. */
static int take_away(struct ioas_spdk_io *io)
{
	unsigned int count = 0;
	struct request *request;
	int ret = io->unsettled ? ioas_flush(io->queue) : 0;

	if (ret)
		return ret;
	io->unsettled = false;
	cds_list_for_each_entry (request, &io->done, entry) {
		memcpy(io->batch + count, request->segs, request->count * sizeof(io->batch[0]));
		count += request->count;
	}
	if (!count)
		return 0;
	ret = ioas_unmap_batch(io->queue, io->batch, count);
	if (ret < 0 && refused(ret))
		return ret;
	cds_list_for_each_entry (request, &io->done, entry)
		request->count = 0;
	io->unsettled = ret < 0;
	return ret < 0 ? ret : 0;
}

/* Callbacks may submit, also on this very request. */
static void call_back(struct ioas_spdk_io *io)
{
	CDS_LIST_HEAD(done);

	cds_list_splice(&io->done, &done);
	CDS_INIT_LIST_HEAD(&io->done);
	while (!cds_list_empty(&done)) {
		struct request *request = cds_list_first_entry(&done, struct request, entry);
		const struct request copy = *request;

		cds_list_move(&request->entry, &io->free);
		io->pending--;
		io->called++;
		copy.cb(copy.arg, &copy.cpl);
	}
}

static int settle(struct ioas_spdk_io *io)
{
	int ret = take_away(io);

	if (!ret)
		call_back(io);
	return ret;
}

static void on_completion(void *arg, const struct spdk_nvme_cpl *cpl)
{
	struct request *request = arg;
	struct ioas_spdk_io *io = request->io;

	request->cpl = *cpl;
	cds_list_add_tail(&request->entry, &io->done);
	if (!io->polling)
		settle(io); /* what fails is tried again by the next one, or by ioas_spdk_poll() */
}

int ioas_spdk_poll(struct ioas_spdk_io *io, uint32_t max)
{
	int32_t taken;
	int ret;

	io->called = 0;
	io->polling = true;
	taken = spdk_nvme_qpair_process_completions(io->qpair, max);
	io->polling = false;
	ret = settle(io);
	if (taken < 0)
		return taken;
	return ret ? ret : (int)io->called;
}

/* Submission. */

static int add_segment(struct ioas_spdk_io *io, struct request *request, void *address,
		       uint64_t bytes)
{
	const uint64_t start = (uintptr_t)address & ~(PAGE - 1);
	const uint64_t end = ((uintptr_t)address + bytes + PAGE - 1) & ~(PAGE - 1);
	struct ioas_seg *last = request->count ? &request->segs[request->count - 1] : NULL;

	if (last && start >= last->iova && start <= last->iova + last->bytes) {
		/* Goes on in the page, or the one behind it. */
		if (end > last->iova + last->bytes)
			last->bytes = end - last->iova;
		return 0;
	}
	if (request->count == io->max_segments)
		return -E2BIG;
	request->segs[request->count++] = (struct ioas_seg){ .va = (void *)(uintptr_t)start,
							     .bytes = end - start,
							     .iova = start };
	return 0;
}

/* What the callbacks of the caller's SGL give. They are asked again by SPDK. */
static int add_sgl(struct ioas_spdk_io *io, struct request *request, uint64_t bytes)
{
	request->reset_sgl(request->arg, 0);
	while (bytes) {
		uint32_t length = 0;
		void *address = NULL;
		int ret = request->next_sge(request->arg, &address, &length);

		if (!ret && !length)
			ret = -EINVAL;
		if (length > bytes)
			length = bytes;
		ret = ret ? ret : add_segment(io, request, address, length);
		if (ret)
			return ret;
		bytes -= length;
	}
	return 0;
}

static int make_visible(struct ioas_spdk_io *io, struct request *request, uint32_t prot)
{
	int ret =
		ioas_map_batch(io->queue, request->segs, request->count, prot | IOAS_MAP_IDENTITY);

	if (ret >= 0)
		return 0;
	return ret == -EEXIST && io->pending ? -EAGAIN : ret;
}

/* A request whose pages are visible. Return: 0 or an error, and nothing has changed. */
static int begin(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, const struct request *wanted,
		 void *buffer, uint32_t lba_count, uint32_t prot, struct request **out)
{
	const uint64_t bytes = (uint64_t)lba_count * spdk_nvme_ns_get_extended_sector_size(ns);
	struct request *request;
	int ret;

	if (cds_list_empty(&io->free))
		return -EAGAIN;
	if (!bytes)
		return -EINVAL;
	request = cds_list_first_entry(&io->free, struct request, entry);
	request->cb = wanted->cb;
	request->arg = wanted->arg;
	request->reset_sgl = wanted->reset_sgl;
	request->next_sge = wanted->next_sge;
	request->count = 0;
	if (request->next_sge)
		ret = add_sgl(io, request, bytes);
	else
		ret = add_segment(io, request, buffer, bytes);
	ret = ret ? ret : make_visible(io, request, prot);
	if (ret) {
		request->count = 0;
		return ret;
	}
	cds_list_del(&request->entry);
	io->pending++;
	*out = request;
	return 0;
}

/* SPDK has not taken it. No DMA was asked for, so that only a failed invalidation is left to say.
 */
static int give_up(struct ioas_spdk_io *io, struct request *request, int code)
{
	if (ioas_unmap_batch(io->queue, request->segs, request->count) < 0)
		io->unsettled = true;
	request->count = 0;
	cds_list_add(&request->entry, &io->free);
	io->pending--;
	return code;
}

static void reset_sgl(void *arg, uint32_t offset)
{
	const struct request *request = arg;

	request->reset_sgl(request->arg, offset);
}

static int next_sge(void *arg, void **address, uint32_t *length)
{
	const struct request *request = arg;

	return request->next_sge(request->arg, address, length);
}

typedef int (*flat_fn)(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, void *buffer,
		       uint64_t lba, uint32_t lba_count, spdk_nvme_cmd_cb cb, void *arg,
		       uint32_t io_flags);
typedef int (*sgl_fn)(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, uint64_t lba,
		      uint32_t lba_count, spdk_nvme_cmd_cb cb, void *arg, uint32_t io_flags,
		      spdk_nvme_req_reset_sgl_cb reset, spdk_nvme_req_next_sge_cb next);

static int submit_flat(struct ioas_spdk_io *io, flat_fn submit, uint32_t prot,
		       struct spdk_nvme_ns *ns, void *buffer, uint64_t lba, uint32_t lba_count,
		       const struct request *wanted, uint32_t io_flags)
{
	struct request *request;
	int ret = begin(io, ns, wanted, buffer, lba_count, prot, &request);

	if (ret)
		return ret;
	ret = submit(ns, io->qpair, buffer, lba, lba_count, on_completion, request, io_flags);
	return ret ? give_up(io, request, ret) : 0;
}

static int submit_sgl(struct ioas_spdk_io *io, sgl_fn submit, uint32_t prot,
		      struct spdk_nvme_ns *ns, uint64_t lba, uint32_t lba_count,
		      const struct request *wanted, uint32_t io_flags)
{
	struct request *request;
	int ret = begin(io, ns, wanted, NULL, lba_count, prot, &request);

	if (ret)
		return ret;
	ret = submit(ns, io->qpair, lba, lba_count, on_completion, request, io_flags, reset_sgl,
		     next_sge);
	return ret ? give_up(io, request, ret) : 0;
}

int ioas_spdk_read(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, void *buffer, uint64_t lba,
		   uint32_t lba_count, ioas_spdk_cb cb, void *arg, uint32_t io_flags)
{
	const struct request wanted = { .cb = cb, .arg = arg };

	return submit_flat(io, spdk_nvme_ns_cmd_read, IOAS_WRITE, ns, buffer, lba, lba_count,
			   &wanted, io_flags);
}

int ioas_spdk_write(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, void *buffer, uint64_t lba,
		    uint32_t lba_count, ioas_spdk_cb cb, void *arg, uint32_t io_flags)
{
	const struct request wanted = { .cb = cb, .arg = arg };

	return submit_flat(io, spdk_nvme_ns_cmd_write, IOAS_READ, ns, buffer, lba, lba_count,
			   &wanted, io_flags);
}

int ioas_spdk_readv(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, uint64_t lba,
		    uint32_t lba_count, ioas_spdk_cb cb, void *arg, uint32_t io_flags,
		    ioas_spdk_reset_sgl_fn reset, ioas_spdk_next_sge_fn next)
{
	const struct request wanted = {
		.cb = cb, .arg = arg, .reset_sgl = reset, .next_sge = next
	};

	return submit_sgl(io, spdk_nvme_ns_cmd_readv, IOAS_WRITE, ns, lba, lba_count, &wanted,
			  io_flags);
}

int ioas_spdk_writev(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, uint64_t lba,
		     uint32_t lba_count, ioas_spdk_cb cb, void *arg, uint32_t io_flags,
		     ioas_spdk_reset_sgl_fn reset, ioas_spdk_next_sge_fn next)
{
	const struct request wanted = {
		.cb = cb, .arg = arg, .reset_sgl = reset, .next_sge = next
	};

	return submit_sgl(io, spdk_nvme_ns_cmd_writev, IOAS_READ, ns, lba, lba_count, &wanted,
			  io_flags);
}

/* The object. */

static void count_io(struct ioas_spdk *memory, int change)
{
	pthread_mutex_lock(&memory->lock);
	memory->ios += change;
	pthread_mutex_unlock(&memory->lock);
}

static void free_io(struct ioas_spdk_io *io)
{
	free(io->batch);
	free(io->segs);
	free(io);
}

static struct ioas_spdk_io *make(struct ioas_spdk *memory, struct spdk_nvme_qpair *qpair,
				 uint32_t depth, uint32_t max_segments)
{
	struct ioas_spdk_io *io = calloc(1, sizeof(*io) + depth * sizeof(io->requests[0]));

	if (!io)
		return NULL;
	io->memory = memory;
	io->qpair = qpair;
	io->max_segments = max_segments;
	io->segs = calloc((size_t)depth * max_segments, sizeof(io->segs[0]));
	io->batch = calloc((size_t)depth * max_segments, sizeof(io->batch[0]));
	if (!io->segs || !io->batch) {
		free_io(io);
		return NULL;
	}
	CDS_INIT_LIST_HEAD(&io->free);
	CDS_INIT_LIST_HEAD(&io->done);
	for (uint32_t i = 0; i < depth; i++) {
		io->requests[i].io = io;
		io->requests[i].segs = io->segs + (size_t)i * max_segments;
		cds_list_add_tail(&io->requests[i].entry, &io->free);
	}
	return io;
}

int ioas_spdk_io_open(struct ioas_spdk *memory, struct spdk_nvme_qpair *qpair,
		      const struct ioas_spdk_io_opts *opts, struct ioas_spdk_io **out)
{
	const struct ioas_spdk_io_opts given =
		opts ? *opts : (struct ioas_spdk_io_opts){ .size = sizeof(given) };
	const uint32_t depth = given.depth ? given.depth : DEPTH;
	const uint32_t max_segments = given.max_segments ? given.max_segments : SEGMENTS;
	struct ioas_spdk_io *io;
	int ret;

	if (given.size != sizeof(given) || !qpair || depth > DEPTH_MAX ||
	    max_segments > SEGMENTS_MAX)
		return -EINVAL;
	if (ioas_get_kind(memory->as) != IOAS_KIND_USER)
		return -EOPNOTSUPP;
	io = make(memory, qpair, depth, max_segments);
	if (!io)
		return -ENOMEM;
	ret = ioas_queue_create(memory->as, &io->queue);
	if (ret) {
		free_io(io);
		return ret;
	}
	count_io(memory, 1);
	*out = io;
	return 0;
}

int ioas_spdk_io_close(struct ioas_spdk_io *io)
{
	int ret;

	if (io->pending)
		return -EBUSY;
	ret = ioas_queue_destroy(io->queue);
	if (ret)
		return ret;
	count_io(io->memory, -1);
	free_io(io);
	return 0;
}

uint32_t ioas_spdk_io_pending(const struct ioas_spdk_io *io)
{
	return io->pending;
}

const char *ioas_spdk_io_error(const struct ioas_spdk_io *io)
{
	return ioas_queue_error(io->queue);
}
