/* SPDX-License-Identifier: BSD-3-Clause */
/* What memory.c and io.c share. */
#ifndef IOAS_SPDK_INTERNAL_H
#define IOAS_SPDK_INTERNAL_H

#include <pthread.h>

#include "ioas_spdk.h"

struct spdk_mem_map;

struct ioas_spdk {
	struct ioas_ctx *ctx;
	struct ioas *as;
	struct spdk_mem_map *map;
	pthread_mutex_t lock;	  /* of all below. SPDK's own lock is outside of it */
	struct ioas_queue *queue; /* KERNEL: adopted by each user */
	void *regions;		  /* of tsearch(), by address */
	uint64_t count;
	uint64_t bytes;
	uint32_t ios;
	int failed; /* the last notification: 0, or an errno */
};

#endif
