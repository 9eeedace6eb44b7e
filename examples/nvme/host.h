/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's side of the driver: a context, an address space with the device attached to it, and
 * the driver's own memory (queues, lists), which is mapped for as long as the device is attached.
 * One thread.
 */
#ifndef NVME_HOST_H
#define NVME_HOST_H

#include <ioas/ioas.h>

enum nvme_mode {
	NVME_STATIC,  /* buffers are mapped once, for ever */
	NVME_STRICT,  /* for each I/O, and gone when it has completed */
	NVME_BATCHED, /* for each I/O, through a cache or with batched invalidation */
};

const char *nvme_mode_name(enum nvme_mode mode);

struct nvme_host {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas *as;
	struct ioas_queue *queue;
	struct ioas_regcache *cache; /* the mappers', or NULL */
	enum nvme_mode mode;
	bool attached;
	int removal; /* eventfd: somebody wants the device back; -1: nobody says so */

	struct ioas_mem *own;
	ioas_iova_t own_iova;
	size_t own_bytes;
	size_t own_used;
};

/*
 * @device: a PCI address; @backend: its name, or NULL for the best one; @kind: of the address
 * space, 0 for USER where the backend has that, else KERNEL; @queues: I/O queues that there is to
 * be memory for. Return: 0, or a negative errno and everything is closed.
 */
int nvme_host_open(struct nvme_host *host, const char *backend, const char *device,
		   enum ioas_kind kind, enum nvme_mode mode, unsigned int queues);

/* The device must have been made quiet before. */
void nvme_host_close(struct nvme_host *host);

/* Zeroed, whole pages; never freed before the host is closed. Return: NULL when used up. */
void *nvme_host_alloc(struct nvme_host *host, size_t bytes, ioas_iova_t *iova);

/* Does somebody want the device back? It goes when the host is closed. */
bool nvme_host_is_wanted(const struct nvme_host *host);

/* Does the address space have windows (kind USER)? */
bool nvme_host_is_user(const struct nvme_host *host);

/*
 * DMAs of the device that were stopped, so far; the first of those not seen yet are printed when
 * @show. Not every backend knows of them.
 */
uint64_t nvme_host_faults(struct nvme_host *host, bool show);

/* System calls made by the hot calls so far. */
uint64_t nvme_host_crossings(const struct nvme_host *host);

#endif
