/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual net driver "net_ioas": what the driver half and the device half share.
 *
 * The two halves meet only where a driver and a NIC meet: descriptor rings in memory, tail
 * registers, and the IOVAs written there. The device half reaches memory through ioas_soft_dma_*
 * alone. It runs inline, at the end of a burst call, or on the device thread (thread=1).
 *
 * Rings. A position runs freely; its low bits index the ring.
 *   rx: the driver posts {iova, 0} and moves rx_tail; the device writes data, then the status word
 *       with DONE, the length, or FAULT.
 *   tx: the driver writes {iova, length and END} and moves tx_tail; the device reads data, then
 *       writes the position it has reached to the head word behind the ring (head write-back).
 *
 * Threads: the driver half of a queue belongs to the lcore that polls it, as in all of DPDK; the
 * device half to that lcore (inline) or to the device thread. Counters have one writer each.
 */
#ifndef IOAS_DPDK_NET_H
#define IOAS_DPDK_NET_H

#include <ethdev_driver.h>
#include <ethdev_vdev.h>

#include "config.h"
#include "feed.h"
#include "glue.h"

#define NET_QUEUES_MAX	 16
#define NET_DESCS_MIN	 64
#define NET_DESCS_MAX	 4096
#define NET_DESCS_DEFAULT 512
#define NET_BURST	 32 /* descriptors that one burst of DMA handles */
#define NET_FRAME_MIN	 60 /* shorter frames are padded, as by any NIC */
#define NET_FRAME_MAX	 9728
#define NET_SEGMENTS_MAX 8

struct net_desc {
	uint64_t iova;
	uint64_t word; /* rx: status; tx: command */
};

#define RX_DONE	      (UINT64_C(1) << 0)
#define RX_FAULT      (UINT64_C(1) << 1)
#define RX_LENGTH(w)  ((uint32_t)((w) >> 32))
#define RX_LENGTH_SHIFT 32
#define TX_END	      (UINT64_C(1) << 0) /* last descriptor of a packet */
#define TX_LENGTH(w)  ((uint32_t)((w) >> 32))
#define TX_LENGTH_SHIFT 32

/* Memory of one ring: descriptors, then (tx) the head word on a cache line of its own. */
struct net_ring {
	const struct rte_memzone *zone;
	struct glue_region *region;
	struct net_desc *descs;
	uint32_t *head_word;
	ioas_iova_t iova;
	ioas_iova_t head_iova;
	uint32_t mask;
};

/* Buffers that the device remembers having been given, for the rogue run. */
struct net_rogue {
	ioas_iova_t *iovas;
	uint32_t count;
	uint32_t max;
};

struct net_port;

struct net_rxq {
	/* Driver half. */
	struct net_ring ring;
	struct rte_mbuf **mbufs; /* by descriptor */
	struct rte_mempool *mp;
	uint64_t rearm;
	uint32_t next;	/* position to be completed next */
	uint32_t posted; /* position to be posted next */
	uint32_t buf_bytes;
	uint16_t port_id;
	uint16_t id;
	bool inline_device;
	uint64_t packets;
	uint64_t bytes;
	uint64_t no_mbuf;
	uint64_t faulted; /* descriptors that came back with FAULT */

	/* Tail register: written by the driver, read by the device. */
	uint32_t tail __rte_cache_aligned;

	/* Device half. */
	struct net_port *port __rte_cache_aligned;
	struct ioas_dev *dev;
	uint32_t filled; /* position to be filled next */
	struct feed_cursor cursor;
	struct net_rogue rogue;
	uint64_t dma_faults;
	uint64_t oversize;
};

/* Sequence expected from one (port, rx queue) that packets are seen to come from. */
struct net_source {
	uint16_t key; /* tag of the stamp; 0: unused */
	uint64_t sequence;
	struct feed_cursor cursor;
};

#define NET_SOURCES 32

struct net_txq {
	/* Driver half. */
	struct net_ring ring;
	struct rte_mbuf **mbufs; /* by descriptor */
	uint32_t posted;
	uint32_t freed; /* position up to which mbufs were given back */
	uint32_t free_threshold;
	uint16_t port_id;
	uint16_t id;
	bool inline_device;
	bool fast_free;
	uint64_t packets;
	uint64_t bytes;
	uint64_t too_many_segments;

	uint32_t tail __rte_cache_aligned;

	/* Device half. */
	struct net_port *port __rte_cache_aligned;
	struct ioas_dev *dev;
	uint32_t sent; /* position to be read next */
	bool verify;
	uint64_t dma_faults;
	uint64_t verified;
	uint64_t verify_errors;
	uint64_t gaps; /* packets injected that never came by */
	struct net_source sources[NET_SOURCES];
};

struct net_wire;

struct net_port {
	struct port_config config;
	struct rte_eth_dev_data *data;
	struct ioas_dev *dev;
	uint16_t id;
	bool started;
	struct rte_ether_addr mac;
	struct feed *feed; /* NULL: nothing comes in */
	struct net_wire *wire; /* what comes in from a peer */
	struct net_wire *peer_wire; /* where transmitted packets go */
	struct net_dump *dump; /* tx_pcap */
	struct net_port *next; /* registry, under net_lock */
	struct {
		uint64_t writes;
		uint64_t landed;
		uint64_t overwritten;
		uint64_t blocked;
		uint64_t faults;
	} rogue;
};

/* ethdev.c: the registry of ports, under net_lock. */
extern pthread_mutex_t net_lock __attribute__((visibility("hidden")));
extern struct net_port *net_ports __attribute__((visibility("hidden")));
extern const struct feed *net_feeds[RTE_MAX_ETHPORTS] __attribute__((visibility("hidden")));

/* queue.c */
int net_rx_queue_setup(struct rte_eth_dev *dev, uint16_t id, uint16_t descs, unsigned int socket,
		       const struct rte_eth_rxconf *conf, struct rte_mempool *mp);
int net_tx_queue_setup(struct rte_eth_dev *dev, uint16_t id, uint16_t descs, unsigned int socket,
		       const struct rte_eth_txconf *conf);
void net_rx_queue_release(struct rte_eth_dev *dev, uint16_t id);
void net_tx_queue_release(struct rte_eth_dev *dev, uint16_t id);
int net_rx_queue_start(struct net_rxq *rxq);
void net_rx_queue_drain(struct net_rxq *rxq);
void net_tx_queue_drain(struct net_txq *txq);

/* rxtx.c, the driver half */
uint16_t net_rx_burst(void *queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t net_tx_burst(void *queue, struct rte_mbuf **mbufs, uint16_t count);
int net_rx_refill(struct net_rxq *rxq);
void net_tx_reclaim(struct net_txq *txq);

/* device_rx.c, device_tx.c: the device half. Return: descriptors completed. */
unsigned int net_device_rx(struct net_rxq *rxq, unsigned int budget);
unsigned int net_device_tx(struct net_txq *txq);

/* device_thread.c: one thread for all ports with thread=1 */
int net_device_thread_add(struct net_port *port);
void net_device_thread_remove(struct net_port *port);

/* verify.c: check one packet that left against what came in */
void net_verify(struct net_txq *txq, const uint8_t *frame, uint32_t bytes);

/* wire.c: packets on their way from one port to its peer, and tx_pcap */
struct net_wire *net_wire_create(uint16_t port_id);
void net_wire_free(struct net_wire *wire);
bool net_wire_send(struct net_wire *wire, const void *frame, uint32_t bytes);
/* Copy one frame out, or (with @frame NULL) tell its length. Return: bytes, 0 when empty. */
uint32_t net_wire_receive(struct net_wire *wire, const void **frame);
void net_wire_received(struct net_wire *wire);
struct net_dump *net_dump_open(const char *path);
void net_dump_write(struct net_dump *dump, const void *frame, uint32_t bytes);
void net_dump_flush(struct net_dump *dump);
void net_dump_close(struct net_dump *dump);

/* xstats.c */
int net_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *stats, unsigned int count);
int net_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names,
		     unsigned int count);

/* rogue.c: all ports are stopped; the devices go on. net_lock held. */
void net_rogue_run(void);

#endif
