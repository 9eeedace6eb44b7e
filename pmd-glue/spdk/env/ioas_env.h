/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An environment of SPDK (its env.h) on libioas, in place of env_dpdk: what its files share.
 *
 * SPDK's interface has no handle, so there is one environment in a process: `ioas_env`. It has one
 * context and one KERNEL address space, in which all memory that this environment hands out, and
 * all that is registered with it, is mapped for as long as it exists. Devices that are enumerated
 * are attached to it.
 *
 * Locks: ioas_env.lock orders what changes memory (arenas, regions, maps of memory); the lists of
 * devices have their own. Translation takes none.
 *
 * Source: SPDK's documentation, Env Abstraction Layer (spdk.io/doc/env_8h.html), and "SPDK
 * Porting Guide" (spdk.io/doc/porting.html).
 */
#ifndef IOAS_ENV_H
#define IOAS_ENV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spdk/env.h>
#include <spdk/log.h>

#include <ioas/ioas.h>
#include <ioas/regcache.h>

#define IOAS_ENV_SETTINGS "IOAS_SPDK" /* environment variable: see settings.h */

struct ioas_env {
	pthread_mutex_t lock;
	struct ioas_ctx *ctx;
	struct ioas *as;
	struct ioas_queue *queue;	     /* of whoever holds the lock */
	struct ioas_regcache *_Atomic cache; /* made by the first hold, under the lock */
	unsigned int generation; /* of the address space: grows when one is opened; never 0 */
	bool is_open;
	bool no_pci;
	bool small_pages; /* no hugepages wanted */
};

extern struct ioas_env ioas_env;

/* Log what failed with the context's own text. Return: @code. */
int ioas_env_fail(int code, const char *what);

/*
 * Regions: memory that devices reach. They never overlap. Callers get copies. All but the walk are
 * called without the lock.
 */
struct ioas_env_region {
	char *va;
	size_t bytes;
	struct ioas_mem *mem;
	ioas_iova_t iova;
	int numa_id;
};

/* Map @mem, which becomes the region's. Return: 0 or a negative errno; @mem is the caller's then.
 */
int ioas_env_region_add(struct ioas_mem *mem, int numa_id, struct ioas_env_region *region);

/* Allocate whole pages, zeroed, and map them. */
int ioas_env_region_alloc(size_t bytes, int numa_id, struct ioas_env_region *region);

/* Unmap and free the region that begins at @va. Return: 0 or a negative errno; it stays then. */
int ioas_env_region_remove(void *va);

/* Copy the region that holds @va. */
bool ioas_env_region_find(const void *va, struct ioas_env_region *region);

/* Called with the lock held. Stops at the first that returns nonzero, and returns that. */
int ioas_env_region_walk(int (*fn)(void *arg, const struct ioas_env_region *region), void *arg);

void ioas_env_regions_remove_all(void);

/* Tell every memory map of a region, in mem_map.c. Called with the lock held. */
int ioas_env_maps_notify(enum spdk_mem_map_notify_action action, void *va, size_t bytes);

/* The calling thread's queue on the address space, or NULL. */
struct ioas_queue *ioas_env_queue(void);

/* The rest of what comes and goes with the environment. */
int ioas_env_cores_open(const struct spdk_env_opts *opts);
void ioas_env_cores_close(void);
int ioas_env_heap_open(int mem_size_mib);
void ioas_env_heap_close(void);
void ioas_env_memzones_close(void);
void ioas_env_queues_close(void);
void ioas_env_holds_close(void); /* before the queues */
int ioas_env_pci_open(const struct spdk_env_opts *opts);
void ioas_env_pci_close(void);

#endif
