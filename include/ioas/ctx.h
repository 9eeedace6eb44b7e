/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Context: one open backend, the root of every other object; devices bound to it; faults and
 * counters. Nothing here is on the hot path.
 *
 * Threads: every function may be called from any thread at any time unless it says otherwise. An
 * object must not be used while another thread destroys it.
 *
 * Errors: 0 or a negative errno. The text of the last failure of a context names the field and,
 * where there is one, the command that mends it: ioas_ctx_error(). Hot calls leave theirs with
 * the queue: ioas_queue_error().
 */
#ifndef IOAS_CTX_H
#define IOAS_CTX_H

#include <ioas/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ioas_log_level {
	IOAS_LOG_ERROR = 0,
	IOAS_LOG_WARNING = 1,
	IOAS_LOG_INFO = 2,
	IOAS_LOG_DEBUG = 3,
};

/* @line has no newline. May be called from any thread that calls into the library. */
typedef void (*ioas_log_fn)(void *arg, enum ioas_log_level level, const char *line);

/* A ready-made ioas_log_fn: one line on stderr for each message up to INFO. */
void ioas_log_stderr(void *arg, enum ioas_log_level level, const char *line);

enum ioas_fault_reason {
	IOAS_FAULT_NOT_PRESENT = 1, /* no translation for the IOVA (stage 1, or the only stage) */
	IOAS_FAULT_PERMISSION = 2,  /* translation present, access not allowed */
	IOAS_FAULT_ADDRESS = 3,	    /* IOVA beyond the width of the table */
	IOAS_FAULT_RESERVED = 4,    /* reserved bit set in an entry */
	IOAS_FAULT_PARENT = 5,	    /* stopped by the parent stage */
	IOAS_FAULT_BLOCKED = 6,	    /* the device is attached to nothing */
	IOAS_FAULT_UNKNOWN = 7,	    /* the hardware does not say */
	IOAS_FAULT_MEMORY = 8,	    /* the kernel had no memory left for the translation */
	/* No DMA is lost, but none lands from now on: */
	IOAS_FAULT_GONE = 9,	/* the device was taken away: detach and unbind it */
	IOAS_FAULT_BROKEN = 10, /* a CPU or VM space could not follow: it translates nothing */
};

/**
 * struct ioas_fault - one DMA that was stopped
 * @dev: device that issued it; NULL if it is not known, and where none did: an entry of a USER
 *	table was refused when the kernel read it, a space broke
 * @iova: page address of the access
 * @reason: enum ioas_fault_reason
 * @prot: what was attempted, IOAS_READ or IOAS_WRITE
 */
struct ioas_fault {
	struct ioas_dev *dev;
	ioas_iova_t iova;
	uint32_t reason;
	uint32_t prot;
};

/* Called from the context's service thread; must not call ioas_ctx_close(). */
typedef void (*ioas_fault_fn)(void *arg, const struct ioas_fault *fault);

/**
 * struct ioas_ctx_opts - how to open a context
 * @size: sizeof(struct ioas_ctx_opts); lets the structure grow
 * @backend: "soft", "iommufd", "ioasid", "type1", or NULL / "auto" to pick one
 * @backend_options: "key=value,..." for that backend, or NULL; for "soft" see ioas/soft.h
 * @log: receives messages; NULL for silence
 * @log_arg: first argument of @log
 * @fault: called for each fault, or NULL to use ioas_fault_poll()
 * @fault_arg: first argument of @fault
 */
struct ioas_ctx_opts {
	uint32_t size;
	uint32_t reserved;
	const char *backend;
	const char *backend_options;
	ioas_log_fn log;
	void *log_arg;
	ioas_fault_fn fault;
	void *fault_arg;
};

/**
 * ioas_ctx_open - open a backend
 * @opts: NULL for all defaults
 * @ctx: receives the context
 *
 * Return: 0; -EINVAL bad option (the log says which); -ENODEV no such or no usable backend;
 * -E2BIG @opts is larger than this library knows and its tail is not zero; -ENOMEM.
 */
int ioas_ctx_open(const struct ioas_ctx_opts *opts, struct ioas_ctx **ctx);

/*
 * Close. Return: 0, or -EBUSY while devices, memory or address spaces of it exist (nothing is
 * changed then).
 */
int ioas_ctx_close(struct ioas_ctx *ctx);

/* Name of the backend in use, and one line that says why it was chosen. Valid until close. */
const char *ioas_ctx_backend(const struct ioas_ctx *ctx);
const char *ioas_ctx_why(const struct ioas_ctx *ctx);

/*
 * Copy the text of the last failure of a call on @ctx or on an object of it (other than a
 * queue). Several threads failing at once overwrite each other's text, never each other's codes.
 */
void ioas_ctx_error(struct ioas_ctx *ctx, char *text, size_t text_bytes);

/**
 * struct ioas_caps - what the backend can do
 * @size: sizeof(struct ioas_caps), set by the caller
 * @kinds: mask of 1 << enum ioas_kind
 * @user_formats: mask of 1 << enum ioas_format usable for IOAS_KIND_USER
 * @page_requests: 1 if USER spaces may be filled on demand: ioas_opts.page_request
 * @page_sizes: mask of page sizes that KERNEL tables can hold
 * @iova: lowest and highest IOVA of a KERNEL address space
 * @max_maps: live map calls that the kernel allows, 0 for no limit
 */
struct ioas_caps {
	uint32_t size;
	uint32_t kinds;
	uint32_t user_formats;
	uint32_t page_requests;
	uint64_t page_sizes;
	struct ioas_range iova;
	uint64_t max_maps;
};

int ioas_ctx_caps(struct ioas_ctx *ctx, struct ioas_caps *caps);

/**
 * ioas_kind_ops - legal operations of a kind, as data
 *
 * Return: mask of enum ioas_op, 0 for an unknown kind.
 */
uint32_t ioas_kind_ops(enum ioas_kind kind);
const char *ioas_kind_name(enum ioas_kind kind);
const char *ioas_format_name(enum ioas_format format);

/**
 * ioas_dev_bind - take a device
 * @name: backend's name of it: "0000:00:04.0" for PCI; any name for "soft", which makes it
 *
 * The device can do no DMA until ioas_attach(). Bind devices before address spaces are made: what
 * KERNEL spaces may use narrows with each device, and attaching one to a space that maps something
 * elsewhere fails (-ERANGE). Return: 0; -EBUSY bound already; -EINVAL empty
 * name; -ENODEV no such device; -ENOSPC too many.
 */
int ioas_dev_bind(struct ioas_ctx *ctx, const char *name, struct ioas_dev **dev);

/* Release a device. Return: 0, or -EBUSY while it is attached. */
int ioas_dev_unbind(struct ioas_dev *dev);

const char *ioas_dev_name(const struct ioas_dev *dev);

/**
 * ioas_fault_poll - fetch faults that have been recorded
 * @faults: filled from index 0
 * @max: capacity of @faults
 *
 * Return: number fetched, or a negative errno. Faults that found the queue full are counted in
 * ioas_stats.faults_lost, never silently dropped.
 */
int ioas_fault_poll(struct ioas_ctx *ctx, struct ioas_fault *faults, unsigned int max);

/**
 * struct ioas_stats - counters since the context was opened, summed over all threads
 * @size: sizeof(struct ioas_stats), set by the caller
 * @maps: ranges mapped
 * @unmaps: ranges unmapped
 * @map_crossings: system calls made by map calls, and by gets of registration caches that missed
 * @unmap_crossings: system calls made by unmap calls on kernel tables, and by registration caches
 * @inval_crossings: system calls that carried invalidations of user tables
 * @inval_asked: ranges whose invalidation was asked for
 * @inval_merged: of these, merged into a neighbour before leaving
 * @inval_issued: ranges that left
 * @inval_flushes: times the whole address space was flushed in place of ranges
 * @commits: group commits
 * @commit_joins: strict unmaps that were covered by another thread's commit
 * @faults: DMAs stopped, as the IOMMU counts them: one request of a device may be several
 * @faults_lost: of these, found the queue full: counted but not reported one by one
 * @page_requests: accesses that waited for a page
 * @page_requests_refused: of these, stopped for lack of one
 * @bytes_pinned: memory pinned now
 * @table_bytes: page-table memory in use now
 */
struct ioas_stats {
	uint32_t size;
	uint32_t reserved;
	uint64_t maps;
	uint64_t unmaps;
	uint64_t map_crossings;
	uint64_t unmap_crossings;
	uint64_t inval_crossings;
	uint64_t inval_asked;
	uint64_t inval_merged;
	uint64_t inval_issued;
	uint64_t inval_flushes;
	uint64_t commits;
	uint64_t commit_joins;
	uint64_t faults;
	uint64_t faults_lost;
	uint64_t page_requests;
	uint64_t page_requests_refused;
	uint64_t bytes_pinned;
	uint64_t table_bytes;
};

int ioas_ctx_stats(struct ioas_ctx *ctx, struct ioas_stats *stats);

/**
 * ioas_queue_stats - what one queue has counted
 *
 * Maps, unmaps and their crossings, inval_asked, inval_merged (in the queue itself) and commit_joins;
 * the other fields are 0. Any thread, but not while the queue is destroyed. Return: 0, or -EINVAL.
 */
int ioas_queue_stats(const struct ioas_queue *queue, struct ioas_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
