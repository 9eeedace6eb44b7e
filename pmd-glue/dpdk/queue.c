/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_ioas: queues, their rings, and what happens to buffers when a port starts and stops.
 *
 * Ring memory is a memzone with pages of its own, mapped for the device for as long as it exists.
 */
#include <errno.h>

#include <rte_malloc.h>
#include <rte_memzone.h>

#include "log.h"
#include "net.h"
#include "pool.h"

static void ring_free(struct net_ring *ring)
{
	if (ring->zone == NULL)
		return;
	glue_region_remove(ring->region);
	rte_memzone_free(ring->zone);
	ring->zone = NULL;
	ring->region = NULL;
}

static int ring_make(struct net_ring *ring, const char *direction, const struct net_port *port,
		     uint16_t id, uint16_t descs, unsigned int socket)
{
	uint32_t size = rte_align32pow2(descs);
	size_t desc_bytes = RTE_ALIGN_CEIL(size * sizeof(struct net_desc), RTE_CACHE_LINE_SIZE);
	size_t bytes = RTE_ALIGN_CEIL(desc_bytes + RTE_CACHE_LINE_SIZE, IOAS_PAGE_SIZE);
	char name[RTE_MEMZONE_NAMESIZE];
	int rc;

	snprintf(name, sizeof(name), "ioas_%s_%u_%u", direction, port->id, id);
	ring->zone = rte_memzone_reserve_aligned(name, bytes, (int)socket,
						 RTE_MEMZONE_IOVA_CONTIG, IOAS_PAGE_SIZE);
	if (ring->zone == NULL) {
		GLUE_LOG(ERR, "port %u: no memory for %s ring %u of %u descriptors", port->id,
			 direction, id, size);
		return -ENOMEM;
	}
	memset(ring->zone->addr, 0, bytes);
	rc = glue_region_add(ring->zone->addr, bytes, true, &ring->region);
	if (rc != 0) {
		rte_memzone_free(ring->zone);
		ring->zone = NULL;
		return rc;
	}
	ring->descs = ring->zone->addr;
	ring->head_word = RTE_PTR_ADD(ring->zone->addr, desc_bytes);
	ring->iova = ring->zone->iova;
	ring->head_iova = ring->zone->iova + desc_bytes;
	ring->mask = size - 1;
	return 0;
}

void net_rx_queue_release(struct rte_eth_dev *dev, uint16_t id)
{
	struct net_rxq *rxq = dev->data->rx_queues[id];

	if (rxq == NULL)
		return;
	ring_free(&rxq->ring);
	rte_free(rxq->rogue.iovas);
	rte_free(rxq->mbufs);
	rte_free(rxq);
	dev->data->rx_queues[id] = NULL;
}

void net_tx_queue_release(struct rte_eth_dev *dev, uint16_t id)
{
	struct net_txq *txq = dev->data->tx_queues[id];

	if (txq == NULL)
		return;
	ring_free(&txq->ring);
	rte_free(txq->mbufs);
	rte_free(txq);
	dev->data->tx_queues[id] = NULL;
}

static uint64_t rearm_word(uint16_t port_id)
{
	struct rte_mbuf m;
	uint64_t word;

	memset(&m, 0, sizeof(m));
	m.data_off = RTE_PKTMBUF_HEADROOM;
	rte_mbuf_refcnt_set(&m, 1);
	m.nb_segs = 1;
	m.port = port_id;
	memcpy(&word, (const char *)&m + offsetof(struct rte_mbuf, data_off), sizeof(word));
	return word;
}

int net_rx_queue_setup(struct rte_eth_dev *dev, uint16_t id, uint16_t descs, unsigned int socket,
		       const struct rte_eth_rxconf *conf, struct rte_mempool *mp)
{
	struct net_port *port = dev->data->dev_private;
	struct net_rxq *rxq;

	(void)conf;
	if (pool_is_foreign(mp)) {
		GLUE_LOG(ERR,
			 "port %u: mode %s needs the buffers of pool '%s' to come from mempool "
			 "driver '%s', not '%s': --mbuf-pool-ops-name=%s",
			 port->id, glue_mode_name(glue.config.mode), mp->name, POOL_OPS_NAME,
			 rte_mempool_get_ops(mp->ops_index)->name, POOL_OPS_NAME);
		return -EINVAL;
	}
	net_rx_queue_release(dev, id);
	rxq = rte_zmalloc_socket("ioas_rxq", sizeof(*rxq), RTE_CACHE_LINE_SIZE, (int)socket);
	if (rxq == NULL)
		return -ENOMEM;
	dev->data->rx_queues[id] = rxq;
	rxq->id = id;
	rxq->port_id = port->id;
	rxq->port = port;
	rxq->dev = port->dev;
	rxq->mp = mp;
	rxq->buf_bytes = rte_pktmbuf_data_room_size(mp) - RTE_PKTMBUF_HEADROOM;
	rxq->rearm = rearm_word(port->id);
	rxq->inline_device = !port->config.thread;
	rxq->rogue.max = port->config.rogue;
	if (ring_make(&rxq->ring, "rx", port, id, descs, socket) == 0)
		rxq->mbufs = rte_zmalloc_socket("ioas_rxm",
						(rxq->ring.mask + 1) * sizeof(*rxq->mbufs),
						RTE_CACHE_LINE_SIZE, (int)socket);
	if (rxq->rogue.max > 0)
		rxq->rogue.iovas = rte_zmalloc("ioas_rogue",
					       rxq->rogue.max * sizeof(rxq->rogue.iovas[0]), 0);
	if (rxq->mbufs == NULL || (rxq->rogue.max > 0 && rxq->rogue.iovas == NULL)) {
		net_rx_queue_release(dev, id);
		return -ENOMEM;
	}
	return 0;
}

int net_tx_queue_setup(struct rte_eth_dev *dev, uint16_t id, uint16_t descs, unsigned int socket,
		       const struct rte_eth_txconf *conf)
{
	struct net_port *port = dev->data->dev_private;
	uint64_t offloads = conf->offloads | dev->data->dev_conf.txmode.offloads;
	struct net_txq *txq;

	net_tx_queue_release(dev, id);
	txq = rte_zmalloc_socket("ioas_txq", sizeof(*txq), RTE_CACHE_LINE_SIZE, (int)socket);
	if (txq == NULL)
		return -ENOMEM;
	dev->data->tx_queues[id] = txq;
	txq->id = id;
	txq->port_id = port->id;
	txq->port = port;
	txq->dev = port->dev;
	txq->fast_free = (offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0;
	txq->inline_device = !port->config.thread;
	txq->verify = port->config.verify;
	if (ring_make(&txq->ring, "tx", port, id, descs, socket) == 0)
		txq->mbufs = rte_zmalloc_socket("ioas_txm",
						(txq->ring.mask + 1) * sizeof(*txq->mbufs),
						RTE_CACHE_LINE_SIZE, (int)socket);
	if (txq->mbufs == NULL) {
		net_tx_queue_release(dev, id);
		return -ENOMEM;
	}
	txq->free_threshold = conf->tx_free_thresh != 0 ? conf->tx_free_thresh : NET_BURST;
	txq->free_threshold = RTE_MIN(txq->free_threshold, txq->ring.mask + 1);
	return 0;
}

int net_rx_queue_start(struct net_rxq *rxq)
{
	rxq->next = 0;
	rxq->posted = 0;
	rxq->filled = 0;
	rxq->tail = 0;
	net_rx_refill(rxq);
	if (rxq->posted == 0) {
		GLUE_LOG(ERR, "port %u: pool '%s' has no buffer for rx queue %u: %u are needed",
			 rxq->port_id, rxq->mp->name, rxq->id, rxq->ring.mask + 1);
		return -ENOMEM;
	}
	return 0;
}

/* The device is quiet: give back what it was given. */
void net_rx_queue_drain(struct net_rxq *rxq)
{
	for (; rxq->next != rxq->posted; rxq->next++)
		rte_mempool_put(rxq->mp, rxq->mbufs[rxq->next & rxq->ring.mask]);
	rxq->filled = rxq->posted;
}

void net_tx_queue_drain(struct net_txq *txq)
{
	for (; txq->freed != txq->posted; txq->freed++)
		rte_pktmbuf_free_seg(txq->mbufs[txq->freed & txq->ring.mask]);
	txq->posted = 0;
	txq->freed = 0;
	txq->sent = 0;
	txq->tail = 0;
	*txq->ring.head_word = 0;
}
