/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/dpdk.md: the same driver. tests/dpdk runs these calls in an EAL. */
#include <ioas_dpdk.h>

#include <rte_errno.h>
#include <rte_mbuf.h>

#include "port.h"

int dpdk_after_start(const char *device, struct ioas_dpdk **glue);
int dpdk_after_submit(struct ioas_queue *queue, struct ioas_hit *hit, struct ring *ring,
		      const struct rte_mbuf *mbuf);

/* port: memory */
int dpdk_after_start(const char *device, struct ioas_dpdk **glue)
{
	struct ioas_dpdk_opts opts = { .size = sizeof(opts),
				       .devices = &device,
				       .device_count = 1 };

	/* All of EAL's memory, now and later, until ioas_dpdk_close(). */
	return ioas_dpdk_open(&opts, glue);
}
/* port: end */

/* port: io */
int dpdk_after_submit(struct ioas_queue *queue, struct ioas_hit *hit, struct ring *ring,
		      const struct rte_mbuf *mbuf)
{
	struct ioas_run runs[8];
	int count = ioas_dpdk_runs(queue, hit, mbuf, runs, RTE_DIM(runs));

	for (int i = 0; i < count; i++)
		ring_post(ring, runs[i].iova, runs[i].bytes);
	return count < 0 ? count : 0; /* -ENOENT: memory that nobody mapped */
}
/* port: end */
