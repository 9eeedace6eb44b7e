/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/dpdk.md: a driver of a device that EAL does not know, in EAL's container. */
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_vfio.h>

#include "port.h"

int dpdk_before_memory(void *area, uint64_t bytes);
void dpdk_before_submit(struct ring *ring, struct rte_mbuf *mbuf);

/* port: memory */
int dpdk_before_memory(void *area, uint64_t bytes)
{
	/* For ever: an unmap for each buffer, or one when EAL gives pages back, is up to you. */
	if (rte_vfio_container_dma_map(RTE_VFIO_DEFAULT_CONTAINER_FD, (uintptr_t)area,
				       (uintptr_t)area, bytes) != 0)
		return -rte_errno;
	return 0;
}
/* port: end */

/* port: io */
void dpdk_before_submit(struct ring *ring, struct rte_mbuf *mbuf)
{
	for (; mbuf != NULL; mbuf = mbuf->next)
		ring_post(ring, rte_mbuf_data_iova(mbuf), mbuf->data_len);
}
/* port: end */
