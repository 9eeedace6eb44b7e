/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libioas in a DPDK application: the memory of EAL follows into an address space by itself, each
 * lcore has a queue, mbufs become vectors for a device, secondary processes see what is mapped, and
 * telemetry shows it.
 *
 *	struct ioas_dpdk_opts opts = { .size = sizeof(opts), .devices = names, .device_count = 1 };
 *
 *	rte_eal_init(argc, argv);
 *	ioas_dpdk_open(&opts, &glue);	   all memory of EAL is mapped: IOVAs are those of DPDK
 *
 * Source: DPDK Programmer's Guide, "Environment Abstraction Layer" and "Multi-process Support".
 *
 * Threads: any, unless a function says otherwise. Nothing here may be called from a memory event
 * callback. Errors: 0 or a negative errno; the reason is in the log (type "lib.ioas").
 */
#ifndef IOAS_DPDK_H
#define IOAS_DPDK_H

#include <ioas/ioas.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rte_mbuf;
struct rte_mempool;
struct rte_rcu_qsbr;

/* One context, one address space, and the memory of EAL in it. */
struct ioas_dpdk;

#define IOAS_DPDK_NAME_BYTES 32

enum ioas_dpdk_flags {
	/* EAL's memory is left alone. So it is in PASSTHROUGH, CPU and VM spaces, which need none.
	 */
	IOAS_DPDK_NO_MEMORY = 1 << 0,
	/*
	 * EAL's memory is registered, not mapped: the application maps what it gives to the device.
	 * So it is in USER spaces, and may be in KERNEL ones.
	 */
	IOAS_DPDK_REGISTER = 1 << 1,
	/*
	 * Pages of EAL that have been mapped are never given back to the system. Neighbours are one
	 * mapping then: one entry of a limit (ioas_caps.max_maps), one call.
	 */
	IOAS_DPDK_KEEP_PAGES = 1 << 2,
	/* Faults are left to ioas_fault_poll(), and telemetry only counts them. */
	IOAS_DPDK_POLL_FAULTS = 1 << 3,
};

/**
 * struct ioas_dpdk_opts - what to open
 * @size: sizeof(struct ioas_dpdk_opts)
 * @flags: enum ioas_dpdk_flags
 * @name: what telemetry and secondary processes call it; NULL for "ioas"; shorter than
 *	IOAS_DPDK_NAME_BYTES, of letters, digits, '_', '-' and '.'
 * @ctx: how to open the context, or NULL for its defaults. Without a log function of its own it
 *	logs to rte_log, type "lib.ioas"
 * @space: the address space, or NULL for a KERNEL one
 * @devices: names of devices to bind before the space is made (they limit what it may use) and to
 *	attach to it, as for ioas_dpdk_dev_add()
 * @device_count: entries of @devices
 * @qsbr: KERNEL spaces: the application's own variable, on which the lcores that translate report
 *	quiescent states, thread number = lcore number; NULL for none. ioas_unmap() then waits as
 *	<ioas/translate.h> says for QSBR; what EAL itself gives back is not waited for. All that
 *	are open in a process name the same, and @space->readers is NULL
 */
struct ioas_dpdk_opts {
	uint32_t size;
	uint32_t flags;
	const char *name;
	const struct ioas_ctx_opts *ctx;
	const struct ioas_opts *space;
	const char *const *devices;
	uint32_t device_count;
	struct rte_rcu_qsbr *qsbr;
};

/**
 * ioas_dpdk_open - open a context and an address space, and have EAL's memory follow into it
 *
 * After rte_eal_init(). What EAL has is there when this returns, what it gets later when the call
 * that got it returns (DPDK's memory events; nothing is missed in between). It is mapped at the
 * IOVA that DPDK knows it by: the virtual address, or in EAL's mode PA the physical one. External
 * memory that is a heap's is EAL's as well; for other external memory see ioas_dpdk_map().
 *
 * In a secondary process (only @opts->name is read) it joins what the primary has open, for
 * ioas_dpdk_lookup(), _map() and _unmap(); the other calls fail there (-ENOTSUP, NULL).
 *
 * Return: 0; or nothing is open and -EINVAL a field (the log says which); -EEXIST the name is
 * taken; -ENOTSUP IOVA mode PA without physical addresses; -ENOENT (secondary) the primary has no
 * such name; -ECONNREFUSED (secondary) no primary answers; -EBUSY another @qsbr; or what the
 * library returned for the context, the space, a device, or the first memory that could not be
 * mapped.
 */
int ioas_dpdk_open(const struct ioas_dpdk_opts *opts, struct ioas_dpdk **glue);

/**
 * ioas_dpdk_close - take everything down again
 *
 * rte_eal_cleanup() does it for what is still open, after drivers' devices are gone and before
 * memory is. Devices are detached and unbound, lcores' queues destroyed: lcores must have stopped
 * using them. Secondary processes that have joined find nothing mapped. Return: 0, or -EBUSY the
 * application has objects of its own on the context: what could be done has been, and EAL's memory
 * no longer follows; free them, call again.
 */
int ioas_dpdk_close(struct ioas_dpdk *glue);

/* What is open in this process under @name (NULL: "ioas"), or NULL. */
struct ioas_dpdk *ioas_dpdk_find(const char *name);

struct ioas_ctx *ioas_dpdk_ctx(struct ioas_dpdk *glue);
struct ioas *ioas_dpdk_space(struct ioas_dpdk *glue);

/* A ready-made ioas_log_fn: rte_log, type "lib.ioas" (--log-level=lib.ioas:debug). @arg: NULL. */
void ioas_dpdk_log(void *arg, enum ioas_log_level level, const char *line);

/**
 * ioas_dpdk_dev_add - bind a device, attach it to the space
 *
 * When EAL reports that it was removed (rte_dev_event_monitor_start()) it is detached and unbound:
 * @dev is no more then. Return: 0, or what ioas_dev_bind() and ioas_attach() return.
 */
int ioas_dpdk_dev_add(struct ioas_dpdk *glue, const char *name, struct ioas_dev **dev);

/* Return: 0, or -ENOENT no such device: it was removed. */
int ioas_dpdk_dev_remove(struct ioas_dpdk *glue, const char *name);

/**
 * ioas_dpdk_map - map memory that is not EAL's, and memory of rte_extmem_register()
 * @va: start, aligned to 4096
 * @bytes: length, a multiple of 4096
 * @iova: where, or RTE_BAD_IOVA for what the IOVA mode says (VA: the virtual address)
 *
 * The counterpart of rte_dev_dma_map(), which tells the driver of one device, or EAL's own VFIO
 * container, and never this library: a device of this library's needs this call, one of EAL's that
 * one. Return: 0; -EEXIST part of it is mapped, as all of EAL's memory is; -ENOTSUP IOVA mode PA
 * and no @iova; others of ioas_mem_register() and ioas_map().
 */
int ioas_dpdk_map(struct ioas_dpdk *glue, void *va, size_t bytes, uint64_t iova);

/* Return: 0, or -ENOENT not exactly what this process mapped there; a secondary as above. */
int ioas_dpdk_unmap(struct ioas_dpdk *glue, void *va, size_t bytes);

/**
 * ioas_dpdk_lookup - virtual address to IOVA
 * @bytes: in: wanted; out: length of what is contiguous from @va, at most the input
 *
 * Knows EAL's memory and that of ioas_dpdk_map(), of all processes. It takes no lock and makes no
 * call: the primary keeps a table, which secondaries can read and not write. For a primary's hot
 * path there is ioas_translate(). Return: 0; -ENOENT not mapped; -EINVAL; -EOWNERDEAD (secondary)
 * the primary has ended, and its mappings with it; -EAGAIN the table did not stay still.
 */
int ioas_dpdk_lookup(struct ioas_dpdk *glue, const void *va, size_t *bytes, uint64_t *iova);

/**
 * ioas_dpdk_sync - walk EAL's memory again
 *
 * Tries again what could not be mapped when it came (the log told; ioas_dpdk_stats.bytes_failed).
 * Return: 0, or the first error.
 */
int ioas_dpdk_sync(struct ioas_dpdk *glue);

/**
 * struct ioas_dpdk_stats - the memory that is followed
 * @size: sizeof(struct ioas_dpdk_stats), set by the caller
 * @secondaries: processes that have joined
 * @regions: mappings (registrations, where nothing is mapped)
 * @bytes: of them
 * @bytes_failed: memory of EAL that could not be mapped, and is not
 * @events: memory events of EAL so far
 */
struct ioas_dpdk_stats {
	uint32_t size;
	uint32_t secondaries;
	uint64_t regions;
	uint64_t bytes;
	uint64_t bytes_failed;
	uint64_t events;
};

int ioas_dpdk_get_stats(struct ioas_dpdk *glue, struct ioas_dpdk_stats *stats);

/**
 * ioas_dpdk_queue - the calling lcore's queue on the space
 *
 * Made on first use; a thread that gets an lcore number that another had gets its queue. Ask once,
 * before a loop. Return: the queue, or NULL (logged): no lcore, no memory.
 */
struct ioas_queue *ioas_dpdk_queue(struct ioas_dpdk *glue);

/**
 * ioas_dpdk_runs - an mbuf's data as runs that are contiguous for the device
 * @queue: the caller's, on a KERNEL or PASSTHROUGH space
 * @hit: the caller's, see struct ioas_hit
 * @mbuf: all of its segments, whoever owns the buffers: pool, pinned or attached external memory
 * @runs: receives the runs in order; neighbours in IOVA are one run, across segments, too
 * @max: capacity of @runs
 *
 * Return: number of runs; -ENOENT a segment is not mapped; -E2BIG more than @max; others of
 * ioas_translate().
 */
int ioas_dpdk_runs(struct ioas_queue *queue, struct ioas_hit *hit, const struct rte_mbuf *mbuf,
		   struct ioas_run *runs, unsigned int max);

/**
 * ioas_dpdk_pool_check - can the device reach every buffer of a pool, at the pool's own IOVAs?
 *
 * Asks for each mbuf, external buffers of pinned pools included. On a KERNEL space. Return: 0; or
 * -ENOENT one is not mapped, -EXDEV one is at another IOVA than the mbuf says (logged, with how to
 * mend it).
 */
int ioas_dpdk_pool_check(struct ioas_dpdk *glue, struct rte_mempool *pool);

#ifdef __cplusplus
}
#endif
#endif
