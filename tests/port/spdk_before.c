/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/spdk.md: a PRP list from spdk_vtophys(), over memory that is registered for ever. */
#include <errno.h>
#include <spdk/env.h>

#include "port.h"

int spdk_before_memory(void *heap, size_t bytes);
int spdk_before_submit(struct ring *ring, char *buffer, uint32_t bytes);

/* port: memory */
int spdk_before_memory(void *heap, size_t bytes)
{
	return spdk_mem_register(heap, bytes); /* both multiples of 2 MiB */
}
/* port: end */

/* port: io */
int spdk_before_submit(struct ring *ring, char *buffer, uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes; at += 4096) {
		uint64_t iova = spdk_vtophys(buffer + at, NULL);

		if (iova == SPDK_VTOPHYS_ERROR)
			return -EFAULT;
		ring_post(ring, iova, 4096);
	}
	return 0;
}
/* port: end */
