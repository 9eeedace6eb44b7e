/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Extended statistics of a port. Those that begin with "ioas_" and "iotlb_" are of the process's
 * one context, the same at every port; the clock lets a reader turn two samples into rates.
 *
 * They count from the opening of the context or the set-up of the queue; a reset does not touch
 * them, so that samples can always be subtracted.
 */
#include <stdio.h>
#include <time.h>

#include "net.h"

enum {
	X_RX_DMA_FAULTS,
	X_RX_OVERSIZE,
	X_TX_DMA_FAULTS,
	X_TX_TOO_MANY_SEGMENTS,
	X_TX_VERIFIED,
	X_TX_VERIFY_ERRORS,
	X_TX_GAPS,
	X_ROGUE_WRITES,
	X_ROGUE_LANDED,
	X_ROGUE_OVERWRITTEN,
	X_ROGUE_BLOCKED,
	X_ROGUE_FAULTS,
	X_CLOCK_NS,
	X_RX_COUNT,
	X_TX_COUNT,
	X_CROSSINGS,
	X_MAPS,
	X_UNMAPS,
	X_INVAL_ASKED,
	X_INVAL_ISSUED,
	X_INVAL_FLUSHES,
	X_FAULTS,
	X_FAULTS_LOST,
	X_BYTES_PINNED,
	X_POOL_STEALS,
	X_POOL_ERRORS,
	X_TRANSLATIONS,
	X_IOTLB_MISSES,
	X_WALK_READS,
	X_COUNT,
};

static const char *const names[X_COUNT] = {
	[X_RX_DMA_FAULTS] = "rx_dma_faults",
	[X_RX_OVERSIZE] = "rx_oversize",
	[X_TX_DMA_FAULTS] = "tx_dma_faults",
	[X_TX_TOO_MANY_SEGMENTS] = "tx_too_many_segments",
	[X_TX_VERIFIED] = "tx_verified",
	[X_TX_VERIFY_ERRORS] = "tx_verify_errors",
	[X_TX_GAPS] = "tx_gaps",
	[X_ROGUE_WRITES] = "rogue_writes",
	[X_ROGUE_LANDED] = "rogue_landed",
	[X_ROGUE_OVERWRITTEN] = "rogue_overwritten",
	[X_ROGUE_BLOCKED] = "rogue_blocked",
	[X_ROGUE_FAULTS] = "rogue_faults",
	[X_CLOCK_NS] = "clock_ns",
	[X_RX_COUNT] = "rx_count",
	[X_TX_COUNT] = "tx_count",
	[X_CROSSINGS] = "ioas_crossings",
	[X_MAPS] = "ioas_maps",
	[X_UNMAPS] = "ioas_unmaps",
	[X_INVAL_ASKED] = "ioas_inval_asked",
	[X_INVAL_ISSUED] = "ioas_inval_issued",
	[X_INVAL_FLUSHES] = "ioas_inval_flushes",
	[X_FAULTS] = "ioas_faults",
	[X_FAULTS_LOST] = "ioas_faults_lost",
	[X_BYTES_PINNED] = "ioas_bytes_pinned",
	[X_POOL_STEALS] = "ioas_pool_steals",
	[X_POOL_ERRORS] = "ioas_pool_errors",
	[X_TRANSLATIONS] = "iotlb_translations",
	[X_IOTLB_MISSES] = "iotlb_misses",
	[X_WALK_READS] = "iotlb_walk_reads",
};

static void fill_queues(const struct rte_eth_dev_data *data, uint64_t *values)
{
	for (unsigned int i = 0; i < data->nb_rx_queues; i++) {
		const struct net_rxq *rxq = data->rx_queues[i];

		if (rxq == NULL)
			continue;
		values[X_RX_DMA_FAULTS] += rxq->dma_faults;
		values[X_RX_OVERSIZE] += rxq->oversize;
		values[X_RX_COUNT] += rxq->packets;
	}
	for (unsigned int i = 0; i < data->nb_tx_queues; i++) {
		const struct net_txq *txq = data->tx_queues[i];

		if (txq == NULL)
			continue;
		values[X_TX_DMA_FAULTS] += txq->dma_faults;
		values[X_TX_TOO_MANY_SEGMENTS] += txq->too_many_segments;
		values[X_TX_VERIFIED] += txq->verified;
		values[X_TX_VERIFY_ERRORS] += txq->verify_errors;
		values[X_TX_GAPS] += txq->gaps;
		values[X_TX_COUNT] += txq->packets;
	}
}

static void fill_context(uint64_t *values)
{
	struct ioas_stats stats = { .size = sizeof(stats) };
	struct ioas_soft_stats soft = { .size = sizeof(soft) };

	if (ioas_ctx_stats(glue.ctx, &stats) == 0) {
		values[X_CROSSINGS] =
			stats.map_crossings + stats.unmap_crossings + stats.inval_crossings;
		values[X_MAPS] = stats.maps;
		values[X_UNMAPS] = stats.unmaps;
		values[X_INVAL_ASKED] = stats.inval_asked;
		values[X_INVAL_ISSUED] = stats.inval_issued;
		values[X_INVAL_FLUSHES] = stats.inval_flushes;
		values[X_FAULTS] = stats.faults;
		values[X_FAULTS_LOST] = stats.faults_lost;
		values[X_BYTES_PINNED] = stats.bytes_pinned;
	}
	if (ioas_soft_get_stats(glue.ctx, &soft) == 0) {
		values[X_TRANSLATIONS] = soft.translations;
		values[X_IOTLB_MISSES] = soft.iotlb_misses;
		values[X_WALK_READS] = soft.walk_reads;
	}
}

int net_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *stats, unsigned int count)
{
	const struct net_port *port = dev->data->dev_private;
	uint64_t values[X_COUNT] = { 0 };
	struct timespec now;

	if (count < X_COUNT)
		return X_COUNT;
	values[X_ROGUE_WRITES] = port->rogue.writes;
	values[X_ROGUE_LANDED] = port->rogue.landed;
	values[X_ROGUE_OVERWRITTEN] = port->rogue.overwritten;
	values[X_ROGUE_BLOCKED] = port->rogue.blocked;
	values[X_ROGUE_FAULTS] = port->rogue.faults;
	values[X_POOL_STEALS] = __atomic_load_n(&glue.pool_steals, __ATOMIC_RELAXED);
	values[X_POOL_ERRORS] = __atomic_load_n(&glue.pool_errors, __ATOMIC_RELAXED);
	fill_context(values);
	fill_queues(dev->data, values);
	clock_gettime(CLOCK_MONOTONIC, &now);
	values[X_CLOCK_NS] = now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
	for (unsigned int i = 0; i < X_COUNT; i++) {
		stats[i].id = i;
		stats[i].value = values[i];
	}
	return X_COUNT;
}

int net_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *out, unsigned int count)
{
	(void)dev;
	if (out == NULL || count < X_COUNT)
		return X_COUNT;
	for (unsigned int i = 0; i < X_COUNT; i++)
		snprintf(out[i].name, sizeof(out[i].name), "%s", names[i]);
	return X_COUNT;
}
