/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_ioas, the driver half's data path: mbufs to descriptors and back. It knows IOVAs, tail
 * registers and completions, and nothing of what the device does with them.
 */
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "net.h"

#define REFILL 32 /* mbufs that a refill takes from the pool at once */

typedef uint64_t __attribute__((may_alias)) word_alias;

/* Post fresh buffers, REFILL at a time. Return: buffers posted. */
int net_rx_refill(struct net_rxq *rxq)
{
	const uint32_t size = rxq->ring.mask + 1;
	int total = 0;

	while (rxq->posted - rxq->next + REFILL <= size) {
		uint32_t at = rxq->posted & rxq->ring.mask; /* a multiple of REFILL, as is the size */
		struct rte_mbuf **mbufs = &rxq->mbufs[at];
		struct net_desc *descs = &rxq->ring.descs[at];

		if (unlikely(rte_mempool_get_bulk(rxq->mp, (void **)mbufs, REFILL) != 0)) {
			rxq->no_mbuf += REFILL;
			break;
		}
		for (unsigned int i = 0; i < REFILL; i++) {
			descs[i].iova = rte_mbuf_data_iova_default(mbufs[i]);
			descs[i].word = 0;
		}
		rxq->posted += REFILL;
		total += REFILL;
		__atomic_store_n(&rxq->tail, rxq->posted, __ATOMIC_RELEASE);
	}
	return total;
}

/* Take completed descriptors. Return: mbufs delivered. */
static uint16_t harvest(struct net_rxq *rxq, struct rte_mbuf **mbufs, uint16_t count)
{
	const uint32_t mask = rxq->ring.mask;
	uint64_t bytes = 0;
	uint16_t done = 0;

	while (done < count && rxq->next != rxq->posted) {
		struct net_desc *desc = &rxq->ring.descs[rxq->next & mask];
		uint64_t word = __atomic_load_n(&desc->word, __ATOMIC_ACQUIRE);
		struct rte_mbuf *m = rxq->mbufs[rxq->next & mask];

		if (!(word & RX_DONE))
			break;
		rte_prefetch0(rxq->mbufs[(rxq->next + 4) & mask]);
		rxq->next++;
		if (unlikely(word & RX_FAULT)) {
			rxq->faulted++;
			rte_mempool_put(rxq->mp, m);
			continue;
		}
		/* data_off, refcnt, nb_segs and port lie side by side. */
		*(word_alias *)((char *)m + offsetof(struct rte_mbuf, data_off)) = rxq->rearm;
		m->ol_flags = 0;
		m->packet_type = 0;
		m->pkt_len = RX_LENGTH(word);
		m->data_len = (uint16_t)RX_LENGTH(word);
		bytes += RX_LENGTH(word);
		mbufs[done++] = m;
	}
	rxq->packets += done;
	rxq->bytes += bytes;
	return done;
}

uint16_t net_rx_burst(void *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	struct net_rxq *rxq = queue;
	uint16_t done;

	if (rxq->inline_device)
		net_device_rx(rxq, count);
	done = harvest(rxq, mbufs, count);
	net_rx_refill(rxq);
	return done;
}

static void free_run(struct net_txq *txq, struct rte_mbuf **mbufs, unsigned int count)
{
	if (txq->fast_free) { /* one pool, nobody else holds them */
		rte_mempool_put_bulk(mbufs[0]->pool, (void *const *)mbufs, count);
		return;
	}
	for (unsigned int i = 0; i < count;) {
		struct rte_mempool *mp = NULL;
		void *bulk[NET_BURST];
		unsigned int n = 0;

		while (i < count && n < NET_BURST) {
			struct rte_mbuf *m = rte_pktmbuf_prefree_seg(mbufs[i]);

			if (m != NULL) {
				if (n > 0 && m->pool != mp)
					rte_mempool_put_bulk(mp, bulk, n), n = 0;
				mp = m->pool;
				bulk[n++] = m;
			}
			i++;
		}
		if (n > 0)
			rte_mempool_put_bulk(mp, bulk, n);
	}
}

/* Give back what the device has read. */
void net_tx_reclaim(struct net_txq *txq)
{
	uint32_t head = __atomic_load_n(txq->ring.head_word, __ATOMIC_ACQUIRE);

	while (txq->freed != head) {
		uint32_t at = txq->freed & txq->ring.mask;
		uint32_t run = RTE_MIN(head - txq->freed, txq->ring.mask + 1 - at);

		free_run(txq, &txq->mbufs[at], run);
		txq->freed += run;
	}
}

static inline void post(struct net_txq *txq, struct rte_mbuf *segment, uint64_t flags)
{
	uint32_t at = txq->posted & txq->ring.mask;

	txq->ring.descs[at].iova = rte_mbuf_data_iova(segment);
	txq->ring.descs[at].word = (uint64_t)segment->data_len << TX_LENGTH_SHIFT | flags;
	txq->mbufs[at] = segment;
	txq->posted++;
}

uint16_t net_tx_burst(void *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	struct net_txq *txq = queue;
	const uint32_t size = txq->ring.mask + 1;
	uint64_t bytes = 0;
	uint16_t done;

	if (txq->posted - txq->freed >= txq->free_threshold)
		net_tx_reclaim(txq);
	for (done = 0; done < count; done++) {
		struct rte_mbuf *m = mbufs[done];

		if (unlikely(txq->posted - txq->freed + m->nb_segs > size))
			break;
		if (likely(m->nb_segs == 1)) {
			bytes += m->pkt_len;
			post(txq, m, TX_END);
			continue;
		}
		if (unlikely(m->nb_segs > NET_SEGMENTS_MAX)) { /* said in the limits */
			txq->too_many_segments++;
			rte_pktmbuf_free(m);
			continue;
		}
		bytes += m->pkt_len;
		while (m != NULL) {
			struct rte_mbuf *next = m->next;

			post(txq, m, next == NULL ? TX_END : 0);
			m = next;
		}
	}
	if (done == 0)
		return 0;
	txq->packets += done;
	txq->bytes += bytes;
	__atomic_store_n(&txq->tail, txq->posted, __ATOMIC_RELEASE);
	if (txq->inline_device)
		net_device_tx(txq);
	return done;
}
