/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_ioas: probe, removal, and the control operations of a port. See net.h for the two halves.
 *
 * net_lock guards the registry of ports; DPDK serialises control operations of one port, not of
 * several.
 *
 * Source: DPDK Programmer's Guide, "Poll Mode Driver"; kernel-doc of ethdev_driver.h.
 */
#include <assert.h>
#include <errno.h>

#include <rte_ether.h>
#include <rte_malloc.h>
#include <rte_version.h>

#include "log.h"
#include "net.h"

pthread_mutex_t net_lock = PTHREAD_MUTEX_INITIALIZER;
struct net_port *net_ports;
const struct feed *net_feeds[RTE_MAX_ETHPORTS];

static const struct rte_eth_link link_up = {
	.link_speed = RTE_ETH_SPEED_NUM_100G,
	.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
	.link_autoneg = RTE_ETH_LINK_FIXED,
	.link_status = RTE_ETH_LINK_UP,
};

static int dev_configure(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

static int dev_infos_get(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct rte_eth_desc_lim limits = {
		.nb_max = NET_DESCS_MAX,
		.nb_min = NET_DESCS_MIN,
		.nb_align = 32,
		.nb_seg_max = NET_SEGMENTS_MAX,
		.nb_mtu_seg_max = NET_SEGMENTS_MAX,
	};

	(void)dev;
	info->max_mac_addrs = 1;
	info->min_rx_bufsize = NET_FRAME_MIN;
	info->max_rx_pktlen = NET_FRAME_MAX;
	info->max_mtu = NET_FRAME_MAX - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
	info->min_mtu = RTE_ETHER_MIN_MTU;
	info->max_rx_queues = NET_QUEUES_MAX;
	info->max_tx_queues = NET_QUEUES_MAX;
	info->rx_desc_lim = limits;
	info->tx_desc_lim = limits;
	info->tx_offload_capa =
		RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	info->tx_queue_offload_capa = info->tx_offload_capa;
	info->speed_capa = RTE_ETH_LINK_SPEED_100G;
	info->default_rxportconf.burst_size = NET_BURST;
	info->default_txportconf.burst_size = NET_BURST;
	info->default_rxportconf.ring_size = NET_DESCS_DEFAULT;
	info->default_txportconf.ring_size = NET_DESCS_DEFAULT;
	info->default_rxportconf.nb_queues = 1;
	info->default_txportconf.nb_queues = 1;
	return 0;
}

static struct net_port *find_port(const char *name)
{
	struct net_port *port = net_ports;

	while (port != NULL && strcmp(port->data->name, name) != 0)
		port = port->next;
	return port;
}

/* What is transmitted here is received there, and the other way round. */
static int join_peer(struct net_port *port)
{
	struct net_port *peer = find_port(port->config.peer);

	if (peer == NULL || peer->wire == NULL ||
	    strcmp(peer->config.peer, port->data->name) != 0) {
		GLUE_LOG(ERR, "port %u: peer=%s: no such net_ioas port, or its peer is not %s",
			 port->id, port->config.peer, port->data->name);
		return -EINVAL;
	}
	port->peer_wire = peer->wire;
	return 0;
}

static void set_queue_states(struct rte_eth_dev *dev, uint8_t state)
{
	memset(dev->data->rx_queue_state, state, dev->data->nb_rx_queues);
	memset(dev->data->tx_queue_state, state, dev->data->nb_tx_queues);
}

static void drain(struct rte_eth_dev *dev)
{
	for (unsigned int i = 0; i < dev->data->nb_rx_queues; i++)
		if (dev->data->rx_queues[i] != NULL)
			net_rx_queue_drain(dev->data->rx_queues[i]);
	for (unsigned int i = 0; i < dev->data->nb_tx_queues; i++)
		if (dev->data->tx_queues[i] != NULL)
			net_tx_queue_drain(dev->data->tx_queues[i]);
}

static int dev_start(struct rte_eth_dev *dev)
{
	struct net_port *port = dev->data->dev_private;
	int rc = 0;

	pthread_mutex_lock(&net_lock);
	if (port->config.peer[0] != '\0')
		rc = join_peer(port);
	for (unsigned int i = 0; rc == 0 && i < dev->data->nb_rx_queues; i++)
		rc = net_rx_queue_start(dev->data->rx_queues[i]);
	if (rc == 0 && port->config.thread)
		rc = net_device_thread_add(port);
	if (rc == 0) {
		port->started = true;
		dev->data->dev_link = link_up;
		set_queue_states(dev, RTE_ETH_QUEUE_STATE_STARTED);
	} else {
		drain(dev);
	}
	pthread_mutex_unlock(&net_lock);
	return rc;
}

static int dev_stop(struct rte_eth_dev *dev)
{
	struct net_port *port = dev->data->dev_private;
	bool last = true;

	pthread_mutex_lock(&net_lock);
	if (!port->started)
		goto out;
	if (port->config.thread)
		net_device_thread_remove(port);
	port->started = false;
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	set_queue_states(dev, RTE_ETH_QUEUE_STATE_STOPPED);
	drain(dev);
	if (port->dump != NULL)
		net_dump_flush(port->dump);
	for (struct net_port *other = net_ports; other != NULL; other = other->next)
		last &= !other->started;
	if (last) /* now all buffers are back */
		net_rogue_run();
out:
	pthread_mutex_unlock(&net_lock);
	return 0;
}

static void port_free(struct net_port *port)
{
	struct net_port **link = &net_ports;

	pthread_mutex_lock(&net_lock);
	while (*link != NULL && *link != port)
		link = &(*link)->next;
	if (*link != NULL)
		*link = port->next;
	for (struct net_port *other = net_ports; other != NULL; other = other->next)
		if (port->wire != NULL && other->peer_wire == port->wire)
			other->peer_wire = NULL;
	if (port->feed != NULL)
		net_feeds[port->id] = NULL;
	pthread_mutex_unlock(&net_lock);
	net_dump_close(port->dump);
	net_wire_free(port->wire);
	feed_free(port->feed);
	port->dump = NULL;
	port->wire = NULL;
	port->feed = NULL;
	if (port->dev != NULL)
		glue_dev_remove(port->dev);
	port->dev = NULL;
}

static int dev_close(struct rte_eth_dev *dev)
{
	struct net_port *port = dev->data->dev_private;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return 0;
	dev_stop(dev);
	for (unsigned int i = 0; i < dev->data->nb_rx_queues; i++)
		net_rx_queue_release(dev, i);
	for (unsigned int i = 0; i < dev->data->nb_tx_queues; i++)
		net_tx_queue_release(dev, i);
	port_free(port);
	dev->data->mac_addrs = NULL; /* part of the private data */
	glue_close();
	return 0;
}

static void sum_stats(const struct rte_eth_dev_data *data, struct rte_eth_stats *stats)
{
	for (unsigned int i = 0; i < data->nb_rx_queues; i++) {
		const struct net_rxq *rxq = data->rx_queues[i];

		if (rxq == NULL)
			continue;
		stats->ipackets += rxq->packets;
		stats->ibytes += rxq->bytes;
		stats->ierrors += rxq->faulted;
		stats->imissed += rxq->oversize;
		stats->rx_nombuf += rxq->no_mbuf;
	}
	for (unsigned int i = 0; i < data->nb_tx_queues; i++) {
		const struct net_txq *txq = data->tx_queues[i];

		if (txq == NULL)
			continue;
		stats->opackets += txq->packets;
		stats->obytes += txq->bytes;
		stats->oerrors += txq->dma_faults + txq->too_many_segments;
	}
}

#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
static int stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats,
		     struct eth_queue_stats *queues)
{
	sum_stats(dev->data, stats);
	if (queues == NULL)
		return 0;
	for (unsigned int i = 0; i < dev->data->nb_rx_queues; i++) {
		const struct net_rxq *rxq = dev->data->rx_queues[i];

		if (rxq == NULL)
			continue;
		queues->q_ipackets[i] = rxq->packets;
		queues->q_ibytes[i] = rxq->bytes;
		queues->q_errors[i] = rxq->faulted;
	}
	for (unsigned int i = 0; i < dev->data->nb_tx_queues; i++) {
		const struct net_txq *txq = dev->data->tx_queues[i];

		if (txq == NULL)
			continue;
		queues->q_opackets[i] = txq->packets;
		queues->q_obytes[i] = txq->bytes;
	}
	return 0;
}
#else
static int stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	sum_stats(dev->data, stats);
	for (unsigned int i = 0; i < dev->data->nb_rx_queues; i++) {
		const struct net_rxq *rxq = dev->data->rx_queues[i];

		if (rxq == NULL)
			continue;
		stats->q_ipackets[i] = rxq->packets;
		stats->q_ibytes[i] = rxq->bytes;
		stats->q_errors[i] = rxq->faulted;
	}
	for (unsigned int i = 0; i < dev->data->nb_tx_queues; i++) {
		const struct net_txq *txq = dev->data->tx_queues[i];

		if (txq == NULL)
			continue;
		stats->q_opackets[i] = txq->packets;
		stats->q_obytes[i] = txq->bytes;
	}
	return 0;
}
#endif
static_assert(NET_QUEUES_MAX <= RTE_ETHDEV_QUEUE_STAT_CNTRS, "statistics of all queues fit");

static int stats_reset(struct rte_eth_dev *dev)
{
	for (unsigned int i = 0; i < dev->data->nb_rx_queues; i++) {
		struct net_rxq *rxq = dev->data->rx_queues[i];

		if (rxq == NULL)
			continue;
		rxq->packets = rxq->bytes = rxq->faulted = rxq->oversize = rxq->no_mbuf = 0;
	}
	for (unsigned int i = 0; i < dev->data->nb_tx_queues; i++) {
		struct net_txq *txq = dev->data->tx_queues[i];

		if (txq == NULL)
			continue;
		txq->packets = txq->bytes = txq->dma_faults = txq->too_many_segments = 0;
	}
	return 0;
}

static int link_update(struct rte_eth_dev *dev, int wait)
{
	(void)wait;
	dev->data->dev_link = link_up;
	if (!dev->data->dev_started)
		dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	return 0;
}

/* The wire brings everything, whatever the filters say. */
static int accept_all(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

static int mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
	(void)dev;
	(void)mtu; /* ethdev has checked it against the limits */
	return 0;
}

static int mac_set(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	(void)dev;
	(void)mac;
	return 0;
}

static void rxq_info_get(struct rte_eth_dev *dev, uint16_t id, struct rte_eth_rxq_info *info)
{
	const struct net_rxq *rxq = dev->data->rx_queues[id];

	info->mp = rxq->mp;
	info->nb_desc = rxq->ring.mask + 1;
}

static void txq_info_get(struct rte_eth_dev *dev, uint16_t id, struct rte_eth_txq_info *info)
{
	const struct net_txq *txq = dev->data->tx_queues[id];

	info->nb_desc = txq->ring.mask + 1;
	info->conf.tx_free_thresh = txq->free_threshold;
}

static int pool_ops_supported(struct rte_eth_dev *dev, const char *pool)
{
	(void)dev;
	if (strcmp(pool, "ioas") == 0)
		return 0; /* best */
	return glue.visibility == GLUE_VISIBLE_ALWAYS ? 1 : -ENOTSUP;
}

static const struct eth_dev_ops dev_ops = {
	.dev_configure = dev_configure,
	.dev_start = dev_start,
	.dev_stop = dev_stop,
	.dev_close = dev_close,
	.dev_infos_get = dev_infos_get,
	.rx_queue_setup = net_rx_queue_setup,
	.tx_queue_setup = net_tx_queue_setup,
	.rx_queue_release = net_rx_queue_release,
	.tx_queue_release = net_tx_queue_release,
	.rxq_info_get = rxq_info_get,
	.txq_info_get = txq_info_get,
	.link_update = link_update,
	.promiscuous_enable = accept_all,
	.promiscuous_disable = accept_all,
	.allmulticast_enable = accept_all,
	.allmulticast_disable = accept_all,
	.mac_addr_set = mac_set,
	.mtu_set = mtu_set,
	.stats_get = stats_get,
	.stats_reset = stats_reset,
	.xstats_get = net_xstats_get,
	.xstats_get_names = net_xstats_names,
	.pool_ops_supported = pool_ops_supported,
};

/* Open what the port's configuration names. */
static int open_ends(struct net_port *port)
{
	int rc = 0;

	if (port->config.rx_pcap[0] != '\0')
		rc = feed_load(port->config.rx_pcap, &port->feed);
	else if (port->config.gen_bytes != 0 || port->config.gen_imix)
		rc = feed_generate(port->config.gen_bytes, &port->feed);
	if (rc != 0)
		return rc;
	if (port->feed != NULL) {
		port->feed->stamped = port->config.verify;
		net_feeds[port->id] = port->feed;
	}
	if (port->config.peer[0] != '\0') {
		port->wire = net_wire_create(port->id);
		if (port->wire == NULL)
			return -ENOMEM;
	}
	if (port->config.tx_pcap[0] != '\0') {
		port->dump = net_dump_open(port->config.tx_pcap);
		if (port->dump == NULL)
			return -EINVAL;
	}
	return 0;
}

static int port_make(struct rte_vdev_device *vdev, const struct port_config *config)
{
	struct rte_eth_dev *dev = rte_eth_vdev_allocate(vdev, sizeof(struct net_port));
	struct net_port *port;
	int rc;

	if (dev == NULL)
		return -ENOMEM;
	port = dev->data->dev_private;
	port->config = *config;
	port->data = dev->data;
	port->id = dev->data->port_id;
	port->mac = (struct rte_ether_addr){ { 0x02, 'i', 'o', 'a', 's', (uint8_t)port->id } };
	dev->data->mac_addrs = &port->mac;
	dev->data->promiscuous = 1;
	dev->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	dev->data->dev_link = link_up;
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	dev->dev_ops = &dev_ops;
	dev->rx_pkt_burst = net_rx_burst;
	dev->tx_pkt_burst = net_tx_burst;
	rc = glue_dev_add(rte_vdev_device_name(vdev), &port->dev);
	if (rc == 0)
		rc = open_ends(port);
	if (rc != 0) {
		port_free(port);
		dev->data->mac_addrs = NULL;
		rte_eth_dev_release_port(dev);
		return rc;
	}
	pthread_mutex_lock(&net_lock);
	port->next = net_ports;
	net_ports = port;
	pthread_mutex_unlock(&net_lock);
	rte_eth_dev_probing_finish(dev);
	return 0;
}

static int probe(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	struct port_config port;
	struct glue_config glue_want;
	int rc;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		GLUE_LOG(ERR, "%s: works in the primary process only", name);
		return -ENOTSUP;
	}
	if (rte_eal_iova_mode() != RTE_IOVA_VA) {
		GLUE_LOG(ERR, "%s: needs IOVA as VA: start EAL with --iova-mode=va", name);
		return -ENOTSUP;
	}
	glue_config_defaults(&glue_want);
	port_config_defaults(&port);
	rc = glue_config_parse(name, rte_vdev_device_args(vdev), &glue_want, &port);
	if (rc == 0)
		rc = glue_open(&glue_want);
	if (rc != 0)
		return rc;
	rc = port_make(vdev, &port);
	if (rc != 0)
		glue_close();
	return rc;
}

static int remove_port(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL)
		return 0; /* closed already */
	dev_close(dev);
	return rte_eth_dev_release_port(dev);
}

/* rte_dev_dma_map(): one address space for all ports of the process. */
static int dma_map(struct rte_vdev_device *vdev, void *va, uint64_t iova, size_t bytes)
{
	(void)vdev;
	return glue_dma_map(va, iova, bytes);
}

static int dma_unmap(struct rte_vdev_device *vdev, void *va, uint64_t iova, size_t bytes)
{
	(void)vdev;
	return glue_dma_unmap(va, iova, bytes);
}

static struct rte_vdev_driver driver = {
	.probe = probe,
	.remove = remove_port,
	.dma_map = dma_map,
	.dma_unmap = dma_unmap,
	.drv_flags = RTE_VDEV_DRV_NEED_IOVA_AS_VA,
};

RTE_PMD_REGISTER_VDEV(net_ioas, driver);
RTE_PMD_REGISTER_ALIAS(net_ioas, eth_ioas);
RTE_PMD_REGISTER_PARAM_STRING(net_ioas,
			      "mode=<passthrough|static|percall|strict|batched> backend=<name> "
			      "backend_options=<[k=v,...]> batch_max=<n> batch_ns=<ns> "
			      "cache=<warn|refuse> "
			      "rx_pcap=<file> gen=<bytes|imix> peer=<port> count=<n> verify=<0|1> "
			      "tx_pcap=<file> thread=<0|1> cpu=<n> rogue=<n> rogue_file=<file>");
