/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libioas_spdk over SPDK in small (fake_spdk.h). The judge is the controller's DMA: it must be
 * stopped before submission, go through while the command is under way, and be stopped again when
 * the callback runs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <ioas/soft.h>

#include "fake_spdk.h"
#include "ioas_spdk.h"

#define MEMORY (UINT64_C(2) << 20)
#define BUFFER 8192u
#define BLOCKS (BUFFER / FAKE_BLOCK)
#define DEPTH  32

struct rig {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas *as;
	struct ioas_spdk *memory;
	struct ioas_spdk_io *io;
	struct spdk_nvme_ns *ns;
	struct spdk_nvme_qpair qpair;
	unsigned char *va;
};

static unsigned char *new_memory(void)
{
	void *va = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(va, MAP_FAILED);
	assert_int_equal(spdk_mem_register(va, MEMORY), 0);
	return va;
}

static void start(struct rig *r, enum ioas_kind kind)
{
	struct ioas_ctx_opts soft = { .size = sizeof(soft), .backend = "soft" };
	struct ioas_opts space = { .size = sizeof(space), .kind = kind };
	struct ioas_spdk_opts opts = { .size = sizeof(opts) };

	memset(r, 0, sizeof(*r));
	r->va = new_memory(); /* there already */
	assert_int_equal(ioas_ctx_open(&soft, &r->ctx), 0);
	assert_int_equal(ioas_dev_bind(r->ctx, "nvme", &r->dev), 0);
	assert_int_equal(ioas_create(r->ctx, &space, &r->as), 0);
	assert_int_equal(ioas_attach(r->as, r->dev), 0);
	opts.ctx = r->ctx;
	opts.as = r->as;
	assert_int_equal(ioas_spdk_open(&opts, &r->memory), 0);
	fake_qpair_init(&r->qpair, r->dev, DEPTH);
	r->ns = calloc(1, sizeof(*r->ns));
	for (size_t i = 0; i < sizeof(r->ns->media); i++)
		r->ns->media[i] = (unsigned char)(i / FAKE_BLOCK + i);
}

static void start_io(struct rig *r, const struct ioas_spdk_io_opts *opts)
{
	start(r, IOAS_KIND_USER);
	assert_int_equal(ioas_spdk_io_open(r->memory, &r->qpair, opts, &r->io), 0);
}

static void stop(struct rig *r)
{
	if (r->io) {
		assert_int_equal(ioas_spdk_close(r->memory), -EBUSY);
		assert_int_equal(ioas_spdk_io_pending(r->io), 0);
		assert_int_equal(ioas_spdk_io_close(r->io), 0);
	}
	assert_int_equal(ioas_detach(r->dev), 0);
	assert_int_equal(ioas_spdk_close(r->memory), 0);
	assert_int_equal(ioas_destroy(r->as), 0);
	assert_int_equal(ioas_dev_unbind(r->dev), 0);
	assert_int_equal(ioas_ctx_close(r->ctx), 0);
	assert_int_equal(spdk_mem_unregister(r->va, MEMORY), 0);
	munmap(r->va, MEMORY);
	free(r->ns);
}

static bool reaches(const struct rig *r, const void *va, enum ioas_prot prot)
{
	unsigned char byte = *(const unsigned char *)va;

	if (prot == IOAS_READ)
		return !ioas_soft_dma_read(r->dev, (uintptr_t)va, &byte, 1);
	return !ioas_soft_dma_write(r->dev, (uintptr_t)va, &byte, 1);
}

static uint64_t regions(const struct rig *r)
{
	struct ioas_spdk_stats stats = { .size = sizeof(stats) };

	assert_int_equal(ioas_spdk_get_stats(r->memory, &stats), 0);
	assert_int_equal(stats.bytes, stats.regions * MEMORY);
	return stats.regions;
}

/* Memory. */

static void memory_follows(void **state)
{
	unsigned char *later;
	struct rig r;

	(void)state;
	start(&r, IOAS_KIND_KERNEL);
	assert_int_equal(regions(&r), 1);
	assert_true(reaches(&r, r.va, IOAS_WRITE) && reaches(&r, r.va + MEMORY - 1, IOAS_WRITE));
	later = new_memory();
	assert_int_equal(regions(&r), 2);
	assert_true(reaches(&r, later + 4096, IOAS_WRITE));
	assert_int_equal(spdk_mem_unregister(later, MEMORY), 0);
	assert_int_equal(regions(&r), 1);
	assert_false(reaches(&r, later + 4096, IOAS_WRITE));
	munmap(later, MEMORY);
	stop(&r);
}

/* What cannot be had fails the call that wanted it, and leaves nothing behind. */
static void memory_refused(void **state)
{
	struct ioas_spdk_opts opts = { .size = sizeof(opts) };
	struct ioas_spdk *second;
	struct ioas_mem *mine;
	void *va;
	struct rig r;

	(void)state;
	start(&r, IOAS_KIND_KERNEL);
	va = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(ioas_mem_register(r.ctx, va, 4096, &mine), 0);
	assert_int_equal(spdk_mem_register(va, MEMORY), -EEXIST);
	assert_int_equal(regions(&r), 1);
	assert_int_equal(ioas_mem_free(mine), 0);
	assert_int_equal(spdk_mem_register(va, MEMORY), 0);
	assert_int_equal(spdk_mem_unregister(va, MEMORY), 0);
	munmap(va, MEMORY);
	/* A second follower in the same context meets what the first has registered. */
	opts.ctx = r.ctx;
	opts.as = r.as;
	assert_int_equal(ioas_spdk_open(&opts, &second), -EEXIST);
	opts.size--;
	assert_int_equal(ioas_spdk_open(&opts, &second), -EINVAL);
	assert_true(reaches(&r, r.va, IOAS_WRITE));
	stop(&r);
}

static void unregister_while_mapped(void **state)
{
	struct ioas_queue *q;
	ioas_iova_t iova;
	struct rig r;

	(void)state;
	start(&r, IOAS_KIND_USER);
	assert_false(reaches(&r, r.va, IOAS_WRITE));
	assert_int_equal(ioas_queue_create(r.as, &q), 0);
	assert_int_equal(ioas_map(q, r.va, 4096, IOAS_RW, &iova), 0);
	assert_int_equal(spdk_mem_unregister(r.va, MEMORY), -EBUSY);
	assert_int_equal(regions(&r), 1);
	assert_int_equal(ioas_unmap(q, iova, 4096), 0);
	assert_int_equal(ioas_queue_destroy(q), 0);
	stop(&r);
}

static void close_while_mapped(void **state)
{
	struct ioas_queue *q;
	ioas_iova_t iova;
	struct rig r;

	(void)state;
	start(&r, IOAS_KIND_USER);
	assert_int_equal(ioas_queue_create(r.as, &q), 0);
	assert_int_equal(ioas_map(q, r.va, 4096, IOAS_RW, &iova), 0);
	assert_int_equal(ioas_spdk_close(r.memory), -EBUSY);
	assert_int_equal(ioas_unmap(q, iova, 4096), 0);
	assert_int_equal(ioas_queue_destroy(q), 0);
	stop(&r);
}

/* I/O. */

struct job {
	struct rig *r;
	unsigned char *buffer;
	enum ioas_prot prot;
	unsigned int calls;
	uint32_t at; /* of the SGL */
	uint32_t piece;
	uint32_t gap;
};

static void on_done(void *arg, const struct spdk_nvme_cpl *cpl)
{
	struct job *job = arg;

	assert_non_null(cpl);
	job->calls++;
	for (uint32_t at = 0; at < BUFFER; at += 4096)
		assert_false(reaches(job->r, job->buffer + at, job->prot));
}

static void reset_sgl(void *arg, uint32_t offset)
{
	((struct job *)arg)->at = offset;
}

static int next_sge(void *arg, void **address, uint32_t *length)
{
	struct job *job = arg;

	*address = job->buffer + job->at / job->piece * (job->piece + job->gap);
	*length = job->piece;
	job->at += job->piece;
	return 0;
}

static void check_media(const struct rig *r, const unsigned char *buffer, uint64_t lba)
{
	assert_memory_equal(buffer, r->ns->media + lba * FAKE_BLOCK, BUFFER);
}

static void reads_and_writes(void **state)
{
	struct job jobs[DEPTH];
	struct rig r;

	(void)state;
	start_io(&r, NULL);
	for (unsigned int round = 0; round < 50; round++) {
		const bool write = round % 3 == 2;

		for (unsigned int i = 0; i < DEPTH; i++) {
			struct job *job = &jobs[i];
			const uint64_t lba = (uint64_t)i * BLOCKS;

			*job = (struct job){ .r = &r,
					     .buffer = r.va + i * BUFFER,
					     .prot = write ? IOAS_READ : IOAS_WRITE };
			assert_false(reaches(&r, job->buffer, job->prot));
			if (write)
				memset(job->buffer, (int)(round + i), BUFFER);
			assert_int_equal(write ? ioas_spdk_write(r.io, r.ns, job->buffer, lba,
								 BLOCKS, on_done, job, 0)
					       : ioas_spdk_read(r.io, r.ns, job->buffer, lba,
								BLOCKS, on_done, job, 0),
					 0);
			assert_true(reaches(&r, job->buffer, job->prot));
			assert_false(write && reaches(&r, job->buffer, IOAS_WRITE));
		}
		assert_int_equal(ioas_spdk_io_pending(r.io), DEPTH);
		assert_int_equal(ioas_spdk_poll(r.io, 5), 5);
		assert_int_equal(ioas_spdk_poll(r.io, 0), DEPTH - 5);
		for (unsigned int i = 0; i < DEPTH; i++) {
			assert_int_equal(jobs[i].calls, 1);
			check_media(&r, jobs[i].buffer, (uint64_t)i * BLOCKS);
		}
	}
	assert_int_equal(r.qpair.dma_errors, 0);
	stop(&r);
}

static void scattered(void **state)
{
	/* Pieces, gaps: in one page, of whole pages, over borders. */
	static const uint32_t shapes[][2] = { { 512, 0 },  { 512, 512 },   { 4096, 4096 },
					      { 4096, 0 }, { 1024, 7168 }, { 2048, 3072 } };
	struct rig r;

	(void)state;
	start_io(&r, NULL);
	for (unsigned int i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct job job = { .r = &r,
				   .buffer = r.va + 512,
				   .prot = IOAS_WRITE,
				   .piece = shapes[i][0],
				   .gap = shapes[i][1] };

		assert_int_equal(ioas_spdk_readv(r.io, r.ns, 3, BLOCKS, on_done, &job, 0, reset_sgl,
						 next_sge),
				 0);
		assert_int_equal(ioas_spdk_poll(r.io, 0), 1);
		for (uint32_t at = 0; at < BUFFER; at += job.piece)
			assert_memory_equal(job.buffer + at / job.piece * (job.piece + job.gap),
					    r.ns->media + 3 * FAKE_BLOCK + at, job.piece);
		job.prot = IOAS_READ;
		assert_int_equal(ioas_spdk_writev(r.io, r.ns, 100, BLOCKS, on_done, &job, 0,
						  reset_sgl, next_sge),
				 0);
		assert_int_equal(ioas_spdk_poll(r.io, 0), 1);
		assert_memory_equal(r.ns->media + 100 * FAKE_BLOCK, r.ns->media + 3 * FAKE_BLOCK,
				    BUFFER);
		assert_int_equal(job.calls, 2);
	}
	assert_int_equal(r.qpair.dma_errors, 0);
	stop(&r);
}

/* One unmapping, and one invalidation, for all that a poll takes. */
static void batches(void **state)
{
	struct ioas_stats before = { .size = sizeof(before) }, after = before;
	struct job jobs[DEPTH];
	struct rig r;

	(void)state;
	start_io(&r, NULL);
	for (unsigned int i = 0; i < DEPTH; i++) {
		jobs[i] = (struct job){ .r = &r, .buffer = r.va + i * BUFFER, .prot = IOAS_WRITE };
		assert_int_equal(
			ioas_spdk_read(r.io, r.ns, jobs[i].buffer, 0, BLOCKS, on_done, &jobs[i], 0),
			0);
	}
	assert_int_equal(ioas_ctx_stats(r.ctx, &before), 0);
	assert_int_equal(ioas_spdk_poll(r.io, 0), DEPTH);
	assert_int_equal(ioas_ctx_stats(r.ctx, &after), 0);
	assert_int_equal(after.unmaps - before.unmaps, DEPTH);
	assert_int_equal(after.inval_crossings - before.inval_crossings, 1);
	stop(&r);
}

/* SPDK's own poll, of a poll group for instance. */
static void polled_by_spdk(void **state)
{
	struct job job;
	struct rig r;

	(void)state;
	start_io(&r, NULL);
	job = (struct job){ .r = &r, .buffer = r.va, .prot = IOAS_WRITE };
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(
			ioas_spdk_read(r.io, r.ns, job.buffer, 8, BLOCKS, on_done, &job, 0), 0);
		assert_int_equal(spdk_nvme_qpair_process_completions(&r.qpair, 0), 1);
		assert_int_equal(job.calls, i);
	}
	check_media(&r, job.buffer, 8);
	stop(&r);
}

static void submit_again(void *arg, const struct spdk_nvme_cpl *cpl)
{
	struct job *job = arg;

	on_done(arg, cpl);
	if (job->calls < 5)
		assert_int_equal(ioas_spdk_read(job->r->io, job->r->ns, job->buffer, job->calls,
						BLOCKS, submit_again, job, 0),
				 0);
}

/* A callback that submits its buffer again, with a queue of one. */
static void from_a_callback(void **state)
{
	const struct ioas_spdk_io_opts one = { .size = sizeof(one), .depth = 1 };
	struct job job;
	struct rig r;

	(void)state;
	start_io(&r, &one);
	job = (struct job){ .r = &r, .buffer = r.va, .prot = IOAS_WRITE };
	assert_int_equal(ioas_spdk_read(r.io, r.ns, job.buffer, 0, BLOCKS, submit_again, &job, 0),
			 0);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(ioas_spdk_poll(r.io, 0), 1);
	assert_int_equal(ioas_spdk_poll(r.io, 0), 0);
	assert_int_equal(job.calls, 5);
	check_media(&r, job.buffer, 4);
	stop(&r);
}

/* Refusals leave nothing visible and nothing pending. */
static void refusals(void **state)
{
	const struct ioas_spdk_io_opts small = { .size = sizeof(small),
						 .depth = DEPTH + 8,
						 .max_segments = 3 };
	struct job job, other;
	unsigned char *foreign;
	struct rig r;

	(void)state;
	start_io(&r, &small);
	job = (struct job){ .r = &r, .buffer = r.va, .prot = IOAS_WRITE };
	other = (struct job){ .r = &r, .buffer = r.va + BUFFER, .prot = IOAS_WRITE };
	foreign = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(ioas_spdk_read(r.io, r.ns, foreign, 0, BLOCKS, on_done, &job, 0), -ENOENT);
	munmap(foreign, BUFFER);
	assert_int_equal(ioas_spdk_read(r.io, r.ns, r.va, 0, 0, on_done, &job, 0), -EINVAL);
	job.piece = 512;
	job.gap = 8192;
	assert_int_equal(
		ioas_spdk_readv(r.io, r.ns, 0, BLOCKS, on_done, &job, 0, reset_sgl, next_sge),
		-E2BIG);
	assert_false(reaches(&r, r.va, IOAS_WRITE));
	/* A page of an I/O under way. */
	assert_int_equal(ioas_spdk_read(r.io, r.ns, r.va, 0, BLOCKS, on_done, &job, 0), 0);
	assert_int_equal(ioas_spdk_read(r.io, r.ns, r.va + 4096, 0, BLOCKS, on_done, &other, 0),
			 -EAGAIN);
	assert_false(reaches(&r, r.va + BUFFER, IOAS_WRITE));
	assert_int_equal(ioas_spdk_poll(r.io, 0), 1);
	assert_int_equal(ioas_spdk_read(r.io, r.ns, r.va + BUFFER, 0, BLOCKS, on_done, &other, 0),
			 0);
	assert_int_equal(ioas_spdk_io_close(r.io), -EBUSY);
	assert_int_equal(ioas_spdk_poll(r.io, 0), 1);
	/* SPDK's queue is full before ours. */
	for (unsigned int i = 0; i < DEPTH; i++)
		assert_int_equal(
			ioas_spdk_read(r.io, r.ns, r.va + i * BUFFER, 0, BLOCKS, on_done, &job, 0),
			0);
	assert_int_equal(
		ioas_spdk_read(r.io, r.ns, r.va + DEPTH * BUFFER, 0, BLOCKS, on_done, &job, 0),
		-ENOMEM);
	assert_false(reaches(&r, r.va + DEPTH * BUFFER, IOAS_WRITE));
	job.buffer = r.va + DEPTH * BUFFER; /* the others' callbacks look there */
	assert_int_equal(ioas_spdk_poll(r.io, 0), DEPTH);
	assert_int_equal(job.calls, 1 + DEPTH);
	stop(&r);
}

static void bad_options(void **state)
{
	struct ioas_spdk_io_opts opts = { .size = sizeof(opts) - 1 };
	struct ioas_spdk_io *io;
	struct rig r;

	(void)state;
	start(&r, IOAS_KIND_USER);
	assert_int_equal(ioas_spdk_io_open(r.memory, &r.qpair, &opts, &io), -EINVAL);
	opts = (struct ioas_spdk_io_opts){ .size = sizeof(opts), .depth = 4097 };
	assert_int_equal(ioas_spdk_io_open(r.memory, &r.qpair, &opts, &io), -EINVAL);
	opts = (struct ioas_spdk_io_opts){ .size = sizeof(opts), .max_segments = 257 };
	assert_int_equal(ioas_spdk_io_open(r.memory, &r.qpair, &opts, &io), -EINVAL);
	assert_int_equal(ioas_spdk_io_open(r.memory, NULL, NULL, &io), -EINVAL);
	stop(&r);
	start(&r, IOAS_KIND_KERNEL);
	assert_int_equal(ioas_spdk_io_open(r.memory, &r.qpair, NULL, &io), -EOPNOTSUPP);
	stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_follows),
		cmocka_unit_test(memory_refused),
		cmocka_unit_test(unregister_while_mapped),
		cmocka_unit_test(close_while_mapped),
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(scattered),
		cmocka_unit_test(batches),
		cmocka_unit_test(polled_by_spdk),
		cmocka_unit_test(from_a_callback),
		cmocka_unit_test(refusals),
		cmocka_unit_test(bad_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
