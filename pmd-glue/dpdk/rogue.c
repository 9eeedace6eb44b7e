/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rogue device: after the ports are stopped, all buffers are back in the pool, and the time
 * for which a free buffer may still be reachable is over, each device writes a marker to buffers
 * that it had been given earlier. What landed, what was stopped, and was it reported?
 *
 * Runs when the last port stops. The write is DMA like any other; whether it landed is read from
 * the buffer's memory, and not believed from the DMA's return code alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "log.h"
#include "net.h"

#define FAULTS_AT_ONCE 64

static const uint8_t marker[32] = "rogue device was here, unasked!";

static void drop_old_faults(void)
{
	struct ioas_fault faults[FAULTS_AT_ONCE];

	while (ioas_fault_poll(glue.ctx, faults, FAULTS_AT_ONCE) > 0)
		;
}

/* How many reports are there of writes to @page by @dev? */
static unsigned int reports_of(const struct ioas_dev *dev, ioas_iova_t page)
{
	struct ioas_fault faults[FAULTS_AT_ONCE];
	unsigned int found = 0;
	int count;

	while ((count = ioas_fault_poll(glue.ctx, faults, FAULTS_AT_ONCE)) > 0) {
		for (int i = 0; i < count; i++)
			found += faults[i].dev == dev && faults[i].iova == page &&
				 faults[i].prot == IOAS_WRITE;
	}
	return found;
}

static void write_marker(struct net_port *port, ioas_iova_t iova)
{
	/* IOVA = VA: the process can look at the very memory that the device aims at. */
	volatile uint8_t *memory = (volatile uint8_t *)(uintptr_t)iova;
	uint8_t before[sizeof(marker)];
	bool differs = false;
	bool changed = false;
	int rc;

	for (unsigned int i = 0; i < sizeof(marker); i++)
		before[i] = memory[i];
	rc = ioas_soft_dma_write(port->dev, iova, marker, sizeof(marker));
	for (unsigned int i = 0; i < sizeof(marker); i++) {
		changed |= memory[i] != before[i];
		differs |= memory[i] != marker[i];
	}
	port->rogue.writes++;
	port->rogue.landed += rc == 0;
	port->rogue.blocked += rc == -EFAULT;
	port->rogue.overwritten += changed && !differs;
	port->rogue.faults += reports_of(port->dev, iova & ~(IOAS_PAGE_SIZE - 1));
}

static void report(const struct net_port *port)
{
	FILE *file;

	GLUE_LOG(NOTICE,
		 "rogue device of port %u, mode %s: %" PRIu64 " writes to returned buffers, %" PRIu64
		 " landed, %" PRIu64 " overwrote memory, %" PRIu64 " blocked, %" PRIu64
		 " faults reported",
		 port->id, glue_mode_name(glue.config.mode), port->rogue.writes,
		 port->rogue.landed, port->rogue.overwritten, port->rogue.blocked,
		 port->rogue.faults);
	if (port->config.rogue_file[0] == '\0')
		return;
	file = fopen(port->config.rogue_file, "w");
	if (file == NULL) {
		GLUE_LOG(ERR, "rogue_file: cannot write %s: %s", port->config.rogue_file,
			 strerror(errno));
		return;
	}
	fprintf(file,
		"{\"mode\":\"%s\",\"writes\":%" PRIu64 ",\"landed\":%" PRIu64
		",\"overwritten\":%" PRIu64 ",\"blocked\":%" PRIu64 ",\"faults\":%" PRIu64 "}\n",
		glue_mode_name(glue.config.mode), port->rogue.writes, port->rogue.landed,
		port->rogue.overwritten, port->rogue.blocked, port->rogue.faults);
	if (fclose(file) != 0)
		GLUE_LOG(ERR, "rogue_file: cannot write %s: %s", port->config.rogue_file,
			 strerror(errno));
}

void net_rogue_run(void)
{
	bool any = false;

	for (struct net_port *port = net_ports; port != NULL; port = port->next)
		any |= port->config.rogue > 0;
	if (!any)
		return;
	/* The promise, and some time for the thread that keeps it to be scheduled. */
	usleep((useconds_t)(glue_exposure_ns() / 1000 + 2000));
	drop_old_faults();
	for (struct net_port *port = net_ports; port != NULL; port = port->next) {
		if (port->config.rogue == 0)
			continue;
		memset(&port->rogue, 0, sizeof(port->rogue));
		for (unsigned int q = 0; q < port->data->nb_rx_queues; q++) {
			const struct net_rxq *rxq = port->data->rx_queues[q];

			for (uint32_t i = 0; rxq != NULL && i < rxq->rogue.count; i++)
				write_marker(port, rxq->rogue.iovas[i]);
		}
		report(port);
	}
}
