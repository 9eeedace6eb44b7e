/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process's one glue context: libioas context, address space, a queue for each lcore.
 *
 * DPDK gives mempool ops no argument of the user's, so the mempool driver and the net driver must
 * meet in a registry of the process. It is `struct glue` and nothing else.
 *
 * Life: opened by the first pool or port (glue_open()), closed by the last (glue_close()).
 * Locks, outermost first: EAL's memory lock, glue.lock (open, close), glue_lcore.lock (one lcore's
 * queue and its share of every pool), glue.setup_lock (the queue for slow calls and the list of
 * EAL's memory). DPDK memory is never allocated under glue.setup_lock, because EAL's memory events
 * take it.
 */
#ifndef IOAS_DPDK_GLUE_H
#define IOAS_DPDK_GLUE_H

#include <pthread.h>

#include <rte_branch_prediction.h>
#include <rte_lcore.h>
#include <rte_spinlock.h>

#include <ioas/ioas.h>
#include <ioas/soft.h>

#include "config.h"

/* One more than lcores: all threads that are no lcore share the last one. */
#define GLUE_LCORES (RTE_MAX_LCORE + 1)

/*
 * One lcore's handle. The lock is all but uncontended: others take it only to bring back buffers
 * when a pool runs dry. @owner is the number of the thread that the queue belongs to now.
 */
struct glue_lcore {
	rte_spinlock_t lock;
	uint32_t id;
	uint64_t owner;
	struct ioas_queue *queue; /* NULL where the mode has no hot calls */
} __attribute__((aligned(64)));

/* How one mode treats a buffer that leaves or enters a pool. */
enum glue_visibility {
	GLUE_VISIBLE_ALWAYS, /* passthrough, static */
	GLUE_VISIBLE_CALLS,  /* ioas_map(), ioas_unmap() */
	GLUE_VISIBLE_WINDOW, /* ioas_window_grant(), ioas_window_revoke() */
};

struct glue_region;
struct glue_pci;

struct glue {
	pthread_mutex_t lock;
	unsigned int users;
	struct glue_config config;
	enum glue_visibility visibility;
	struct ioas_ctx *ctx;
	struct ioas *as;
	pthread_mutex_t setup_lock;
	struct ioas_queue *setup_queue; /* adopted by each user, under setup_lock */
	struct glue_pci *pci;		/* devices; set once, before ports are there */
	void *eal_pieces; /* eal_memory.c: EAL's memory that is mapped, by address; setup_lock */
	bool eal_mapped;
	bool eal_events;
	uint64_t faults; /* of real devices */
	uint64_t pool_steals; /* a dequeue had to take buffers from other lcores */
	uint64_t pool_errors; /* buffers lost to a failed call */
	struct glue_lcore lcores[GLUE_LCORES];
};

extern struct glue glue __attribute__((visibility("hidden")));
extern _Thread_local uint64_t glue_thread __attribute__((visibility("hidden")));

/*
 * Open, or join, the context. @want: what this user asks for; keys it leaves out come from
 * IOAS_DPDK, then from the defaults. Return: 0; -EINVAL contradiction, bad IOAS_DPDK; else what
 * the library returned. The log has the reason.
 */
int glue_open(const struct glue_config *want);
void glue_close(void);

/* Is @want, with what IOAS_DPDK adds, for real devices? Return: 1, 0, or -EINVAL: bad IOAS_DPDK. */
int glue_wants_devices(const struct glue_config *want);

/* What it has cost so far, as one line of the log. */
void glue_log_counters(void);

/*
 * Mode batched: how many freed buffers an lcore's share of a pool may keep visible. They are half
 * of batch_max; the library's own batching has the other half.
 */
#define GLUE_WARM_MAX 2048
uint32_t glue_warm_max(void);

/* Bound of the time for which a buffer that was freed can still be reached, in ns. */
uint64_t glue_exposure_ns(void);

/* Log what a failed call of the context left as text. */
void glue_log_failure(const char *what, int rc);

/* A device of the context, attached. Return: 0 or a negative errno (logged). */
int glue_dev_add(const char *name, struct ioas_dev **dev);
void glue_dev_remove(struct ioas_dev *dev);

/*
 * Memory that is visible to devices for as long as the handle lives (descriptor rings), or only
 * registered (pools). @va and @bytes: multiples of 4096. IOVA = VA. A no-op where the mode maps
 * everything. Return: 0 or a negative errno (logged).
 */
int glue_region_add(void *va, size_t bytes, bool map, struct glue_region **region);
void glue_region_remove(struct glue_region *region);

/*
 * Map all memory that EAL has or will have, but what is hidden: in static mode, and under real
 * devices, whose drivers keep rings anywhere in it. eal_memory.c
 */
#define GLUE_EAL_PIECE (UINT64_C(2) << 20)
int glue_eal_memory_start(void);
void glue_eal_memory_stop(void);

/*
 * Pages that a pool takes out of that, or gives back; a no-op where none of it is mapped. @va and
 * @bytes: multiples of GLUE_EAL_PIECE. Return: 0; -ENOTSUP part of it is no piece of its own.
 */
int glue_eal_memory_hide(void *va, size_t bytes);
void glue_eal_memory_show(void *va, size_t bytes);

/*
 * pci.c: PCI devices of EAL's drivers, if the backend is one of real devices. They are bound before
 * the address space is made, since that depends on them, and attached when it maps EAL's memory.
 */
int glue_pci_bind(void);
int glue_pci_attach(void);
void glue_pci_release(void);
/*
 * dma_map.c: rte_dev_dma_map() of a port, and its undoing; what is left is undone at the end. Return:
 * 0; -EINVAL, -ENOTSUP @iova is not the virtual address; -EEXIST; -ENOENT not exactly what was
 * mapped; or what the library returned. rte_errno as well.
 */
int glue_dma_map(void *va, uint64_t iova, size_t bytes);
int glue_dma_unmap(void *va, uint64_t iova, size_t bytes);
void glue_dma_unmap_all(void);

/*
 * For eal_memory.c and dma_map.c: setup_lock held. Register a region, and map it; or undo that, which is a no-op
 * for one that is not there. Return: 0 or a negative errno (logged).
 */
int glue_map_locked(struct glue_region *region, bool map);
void glue_unmap_locked(struct glue_region *region);

/* One page, or stretch, of memory that the library knows; @mem is NULL while a pool has it. */
struct glue_region {
	struct glue_region *next;
	void *va;
	size_t bytes;
	struct ioas_mem *mem;
	bool mapped;
};

/* Make the calling thread the owner of @lcore's queue. Lock held. Slow. */
int glue_lcore_own(struct glue_lcore *lcore);

/*
 * Lock the calling thread's handle and own its queue. Return: the handle, or NULL (logged, no lock
 * held) when a queue cannot be made.
 */
static inline struct glue_lcore *glue_lcore_enter(void)
{
	unsigned int id = rte_lcore_id();
	struct glue_lcore *lcore = &glue.lcores[id < RTE_MAX_LCORE ? id : RTE_MAX_LCORE];

	rte_spinlock_lock(&lcore->lock);
	if (unlikely(lcore->owner != glue_thread || glue_thread == 0) &&
	    glue_lcore_own(lcore) != 0) {
		rte_spinlock_unlock(&lcore->lock);
		return NULL;
	}
	return lcore;
}

static inline void glue_lcore_leave(struct glue_lcore *lcore)
{
	rte_spinlock_unlock(&lcore->lock);
}

#endif
