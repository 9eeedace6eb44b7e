/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libioas in an SPDK application: SPDK's memory follows into an address space, and I/O buffers are
 * visible to the controller from their submission to their completion only.
 *
 *	ioas_spdk_open(&opts, &memory);		 all that SPDK has registered, and will register
 *	ioas_spdk_io_open(memory, qpair, &io_opts, &io);
 *	ioas_spdk_read(io, ns, buffer, lba, blocks, done, arg, 0);
 *	ioas_spdk_poll(io, 0);			 in place of spdk_nvme_qpair_process_completions()
 *
 * The controller does its DMA through the address space that is named here: it is attached to it
 * (ioas_attach()), and its driver puts virtual addresses into commands, which are IOVAs as well.
 *
 * Errors: 0 or a negative errno; the text is ioas_ctx_error()'s, or ioas_spdk_io_error()'s.
 * Source: SPDK's documentation of env.h (memory maps) and nvme.h.
 */
#ifndef IOAS_SPDK_H
#define IOAS_SPDK_H

#include <ioas/ioas.h>

#ifdef __cplusplus
extern "C" {
#endif

struct spdk_nvme_cpl;
struct spdk_nvme_ns;
struct spdk_nvme_qpair;

/* Memory. */

struct ioas_spdk;

/**
 * struct ioas_spdk_opts - where SPDK's memory goes
 * @size: sizeof(struct ioas_spdk_opts)
 * @ctx: context of @as
 * @as: KERNEL: all of it is mapped, at IOVA = virtual address. USER: it is registered, and what the
 *	controller is to reach is mapped for each I/O, or by the application (queues, for instance)
 */
struct ioas_spdk_opts {
	uint32_t size;
	uint32_t reserved;
	struct ioas_ctx *ctx;
	struct ioas *as;
};

/**
 * ioas_spdk_open - have SPDK's registered memory follow into an address space
 *
 * After spdk_env_init(). What is registered is there when this returns, what is registered later
 * when spdk_mem_register() returns: its failure is that call's. Any thread. Return: 0; -EINVAL;
 * -EOPNOTSUPP another kind of space; -ENOMEM, or what the memory that is there already met:
 * -EEXIST it is registered with libioas by somebody else; others of ioas_mem_register(),
 * ioas_map().
 */
int ioas_spdk_open(const struct ioas_spdk_opts *opts, struct ioas_spdk **memory);

/* No more following. Return: 0, or -EBUSY while I/O queues are open, or memory is mapped. */
int ioas_spdk_close(struct ioas_spdk *memory);

/**
 * struct ioas_spdk_stats - memory that is followed
 * @size: sizeof(struct ioas_spdk_stats), set by the caller
 * @regions: registrations of SPDK
 * @bytes: of them
 */
struct ioas_spdk_stats {
	uint32_t size;
	uint32_t reserved;
	uint64_t regions;
	uint64_t bytes;
};

int ioas_spdk_get_stats(struct ioas_spdk *memory, struct ioas_spdk_stats *stats);

/* I/O. All calls on one ioas_spdk_io are the thread's that opened it, as with a qpair. */

struct ioas_spdk_io;

typedef void (*ioas_spdk_cb)(void *arg, const struct spdk_nvme_cpl *cpl); /* spdk_nvme_cmd_cb */
typedef void (*ioas_spdk_reset_sgl_fn)(void *arg, uint32_t offset);
typedef int (*ioas_spdk_next_sge_fn)(void *arg, void **address, uint32_t *length);

/**
 * struct ioas_spdk_io_opts - an I/O queue
 * @size: sizeof(struct ioas_spdk_io_opts)
 * @depth: I/Os at a time; 0 for 128, at most 4096
 * @max_segments: of one I/O; 0 for 32, at most 256
 */
struct ioas_spdk_io_opts {
	uint32_t size;
	uint32_t depth;
	uint32_t max_segments;
};

/**
 * ioas_spdk_io_open - I/O of one qpair, with its buffers mapped for it alone
 * @memory: of a USER space
 * @opts: NULL for the defaults
 *
 * Return: 0; -EINVAL; -EOPNOTSUPP not a USER space; -ENOMEM.
 */
int ioas_spdk_io_open(struct ioas_spdk *memory, struct spdk_nvme_qpair *qpair,
		      const struct ioas_spdk_io_opts *opts, struct ioas_spdk_io **io);

/* Return: 0, or -EBUSY while I/Os are under way (nothing is changed then), or a flush's error. */
int ioas_spdk_io_close(struct ioas_spdk_io *io);

/**
 * ioas_spdk_read - spdk_nvme_ns_cmd_read() with the buffer visible meanwhile, for writing
 * ioas_spdk_write - spdk_nvme_ns_cmd_write() with the buffer visible meanwhile, for reading
 * ioas_spdk_readv, ioas_spdk_writev - the same of SGLs
 *
 * The pages around the buffer are visible; the I/Os under way share none. @cb is called by
 * ioas_spdk_poll() (or by SPDK's own poll of the qpair, then with an invalidation for each I/O),
 * after the pages have been taken away. With ioas_opts.mode BATCHED a DMA may land until the batch
 * has left. Return: what SPDK returns; or before it is asked -EAGAIN: @depth I/Os are under way, or
 * one of them has a page of this one: try again after a completion; -EEXIST something else maps a
 * page of it; -ENOENT not memory that SPDK has registered; -E2BIG more than @max_segments; -EINVAL
 * no data, or less than the blocks want.
 */
int ioas_spdk_read(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, void *buffer, uint64_t lba,
		   uint32_t lba_count, ioas_spdk_cb cb, void *arg, uint32_t io_flags);
int ioas_spdk_write(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, void *buffer, uint64_t lba,
		    uint32_t lba_count, ioas_spdk_cb cb, void *arg, uint32_t io_flags);
int ioas_spdk_readv(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, uint64_t lba,
		    uint32_t lba_count, ioas_spdk_cb cb, void *arg, uint32_t io_flags,
		    ioas_spdk_reset_sgl_fn reset_sgl, ioas_spdk_next_sge_fn next_sge);
int ioas_spdk_writev(struct ioas_spdk_io *io, struct spdk_nvme_ns *ns, uint64_t lba,
		     uint32_t lba_count, ioas_spdk_cb cb, void *arg, uint32_t io_flags,
		     ioas_spdk_reset_sgl_fn reset_sgl, ioas_spdk_next_sge_fn next_sge);

/**
 * ioas_spdk_poll - take completions, take their pages away together, call their callbacks
 * @max: completions to take, 0 for all there are
 *
 * When an invalidation fails the I/Os are held back, with their callbacks, and it is tried again by
 * the next poll: no buffer comes back that the controller may still reach. Return: callbacks
 * called, or a negative errno of SPDK's or of the invalidation.
 */
int ioas_spdk_poll(struct ioas_spdk_io *io, uint32_t max);

/* I/Os that have been submitted and whose callback has not been called. */
uint32_t ioas_spdk_io_pending(const struct ioas_spdk_io *io);

const char *ioas_spdk_io_error(const struct ioas_spdk_io *io);

#ifdef __cplusplus
}
#endif

#endif
