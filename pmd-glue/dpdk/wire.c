/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets on their way from one port to its peer, and the capture of what a port sends.
 *
 * A wire is device memory, not host memory: a fixed number of cells, moved between two rings of
 * rte_ring so that any queue of one port may send and any queue of the other may receive. Like a
 * wire it drops what finds it full.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>

#include <pcap/pcap.h>

#include <rte_malloc.h>
#include <rte_ring.h>

#include "log.h"
#include "net.h"

#define WIRE_CELLS 512

struct wire_cell {
	uint32_t bytes;
	uint8_t frame[NET_FRAME_MAX];
};

struct net_wire {
	struct rte_ring *idle;
	struct rte_ring *full;
	struct wire_cell *at_hand; /* taken by the receiver, not released yet */
	struct wire_cell cells[WIRE_CELLS];
};

struct net_wire *net_wire_create(uint16_t port_id)
{
	struct net_wire *wire = calloc(1, sizeof(*wire));
	char name[RTE_RING_NAMESIZE];

	if (wire == NULL)
		return NULL;
	snprintf(name, sizeof(name), "ioas_idle_%u", port_id);
	wire->idle = rte_ring_create(name, 2 * WIRE_CELLS, SOCKET_ID_ANY, 0);
	snprintf(name, sizeof(name), "ioas_full_%u", port_id);
	wire->full = rte_ring_create(name, 2 * WIRE_CELLS, SOCKET_ID_ANY, 0);
	if (wire->idle == NULL || wire->full == NULL) {
		net_wire_free(wire);
		return NULL;
	}
	for (unsigned int i = 0; i < WIRE_CELLS; i++)
		rte_ring_enqueue(wire->idle, &wire->cells[i]);
	return wire;
}

void net_wire_free(struct net_wire *wire)
{
	if (wire == NULL)
		return;
	rte_ring_free(wire->idle);
	rte_ring_free(wire->full);
	free(wire);
}

bool net_wire_send(struct net_wire *wire, const void *frame, uint32_t bytes)
{
	struct wire_cell *cell;

	if (rte_ring_dequeue(wire->idle, (void **)&cell) != 0)
		return false;
	memcpy(cell->frame, frame, bytes);
	cell->bytes = bytes;
	rte_ring_enqueue(wire->full, cell);
	return true;
}

uint32_t net_wire_receive(struct net_wire *wire, const void **frame)
{
	if (wire->at_hand == NULL && rte_ring_dequeue(wire->full, (void **)&wire->at_hand) != 0)
		return 0;
	*frame = wire->at_hand->frame;
	return wire->at_hand->bytes;
}

void net_wire_received(struct net_wire *wire)
{
	rte_ring_enqueue(wire->idle, wire->at_hand);
	wire->at_hand = NULL;
}

/* One capture file for all queues of a port. */
struct net_dump {
	pthread_mutex_t lock;
	pcap_t *capture;
	pcap_dumper_t *dumper;
};

struct net_dump *net_dump_open(const char *path)
{
	struct net_dump *dump = calloc(1, sizeof(*dump));

	if (dump == NULL)
		return NULL;
	pthread_mutex_init(&dump->lock, NULL);
	dump->capture = pcap_open_dead(DLT_EN10MB, NET_FRAME_MAX);
	if (dump->capture != NULL)
		dump->dumper = pcap_dump_open(dump->capture, path);
	if (dump->dumper == NULL) {
		GLUE_LOG(ERR, "tx_pcap: cannot write %s: %s", path,
			 dump->capture != NULL ? pcap_geterr(dump->capture) : "no memory");
		net_dump_close(dump);
		return NULL;
	}
	return dump;
}

void net_dump_write(struct net_dump *dump, const void *frame, uint32_t bytes)
{
	struct pcap_pkthdr header = { .caplen = bytes, .len = bytes };

	gettimeofday(&header.ts, NULL);
	pthread_mutex_lock(&dump->lock);
	pcap_dump((u_char *)dump->dumper, &header, frame);
	pthread_mutex_unlock(&dump->lock);
}

void net_dump_flush(struct net_dump *dump)
{
	pthread_mutex_lock(&dump->lock);
	if (pcap_dump_flush(dump->dumper) != 0)
		GLUE_LOG(ERR, "tx_pcap: write failed: %s", strerror(errno));
	pthread_mutex_unlock(&dump->lock);
}

void net_dump_close(struct net_dump *dump)
{
	if (dump == NULL)
		return;
	if (dump->dumper != NULL)
		pcap_dump_close(dump->dumper);
	if (dump->capture != NULL)
		pcap_close(dump->capture);
	pthread_mutex_destroy(&dump->lock);
	free(dump);
}
