/* SPDX-License-Identifier: BSD-3-Clause */
/* mbufs and pools, as a device sees them. */
#include <errno.h>
#include <inttypes.h>

#include <rte_mbuf.h>

#include <ioas/translate.h>

#include "lib.h"

int ioas_dpdk_runs(struct ioas_queue *queue, struct ioas_hit *hit, const struct rte_mbuf *mbuf,
		   struct ioas_run *runs, unsigned int max)
{
	unsigned int count = 0;

	for (; mbuf != NULL; mbuf = mbuf->next) {
		const char *va = rte_pktmbuf_mtod(mbuf, const char *);
		size_t left = mbuf->data_len;

		while (left > 0) {
			struct ioas_run *last = count > 0 ? &runs[count - 1] : NULL;
			size_t bytes = left;
			ioas_iova_t iova;
			int rc = ioas_translate_hit(queue, hit, va, &bytes, &iova);

			if (rc != 0)
				return rc;
			if (last != NULL && last->iova + last->bytes == iova) {
				last->bytes += bytes;
			} else {
				if (count == max)
					return -E2BIG;
				runs[count++] = (struct ioas_run){ .iova = iova, .bytes = bytes };
			}
			va += bytes;
			left -= bytes;
		}
	}
	return (int)count;
}

struct check {
	struct ioas_dpdk *glue;
	int rc;
};

static void check_mbuf(struct rte_mempool *pool, void *arg, void *object, unsigned int index)
{
	struct check *check = arg;
	struct rte_mbuf *mbuf = object;
	size_t bytes = mbuf->buf_len;
	uint64_t iova = 0;
	int rc;

	if (check->rc != 0 || bytes == 0)
		return;
	rc = ioas_dpdk_lookup(check->glue, mbuf->buf_addr, &bytes, &iova);
	if (rc == 0 && bytes < mbuf->buf_len)
		rc = -ENOENT;
	if (rc == 0 && iova != rte_mbuf_iova_get(mbuf))
		rc = -EXDEV;
	check->rc = rc;
	if (rc == -EXDEV)
		LIB_LOG(ERR,
			"%s: pool %s: buffer %u at %p is mapped at 0x%" PRIx64
			", but its mbuf says 0x%" PRIx64 ": give ioas_dpdk_map() the pool's IOVA",
			check->glue->name, pool->name, index, mbuf->buf_addr, iova,
			(uint64_t)rte_mbuf_iova_get(mbuf));
	else if (rc != 0)
		LIB_LOG(ERR,
			"%s: pool %s: buffer %u at %p, %u bytes, is not mapped: ioas_dpdk_map() its "
			"memory",
			check->glue->name, pool->name, index, mbuf->buf_addr, mbuf->buf_len);
}

int ioas_dpdk_pool_check(struct ioas_dpdk *glue, struct rte_mempool *pool)
{
	struct check check = { .glue = glue };

	rte_mempool_obj_iter(pool, check_mbuf, &check);
	return check.rc;
}
