/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_ioas, the device half of transmission: read what the driver posted, check it or send it on,
 * write the head back. As in device_rx.c, every access to memory is translated.
 */
#include "frame.h"
#include "net.h"

/* One descriptor's data. */
struct segment {
	const uint8_t *from; /* NULL: faulted */
	size_t room;
	uint32_t bytes;
};

static void leave(struct net_txq *txq, const uint8_t *frame, uint32_t bytes)
{
	struct net_port *port = txq->port;

	if (txq->verify)
		net_verify(txq, frame, bytes);
	if (unlikely(port->dump != NULL))
		net_dump_write(port->dump, frame, bytes);
	if (unlikely(port->peer_wire != NULL))
		net_wire_send(port->peer_wire, frame, bytes);
}

/* Gather what is in several pieces: segments, or a buffer that goes over a page's end. */
static int gather(struct net_txq *txq, const struct net_desc *desc, uint8_t *frame, uint32_t *bytes)
{
	uint32_t length = TX_LENGTH(desc->word);
	uint32_t done = 0;

	if (*bytes + length > NET_FRAME_MAX)
		return -EMSGSIZE;
	while (done < length) {
		size_t room = length - done;
		const uint8_t *from =
			ioas_soft_dma_ptr(txq->dev, desc->iova + done, &room, IOAS_READ);

		if (from == NULL)
			return -EFAULT;
		room = RTE_MIN(room, (size_t)length - done);
		memcpy(frame + *bytes + done, from, room);
		done += room;
	}
	*bytes += length;
	return 0;
}

/* The general case: packets of several descriptors. Return: descriptors that form whole packets. */
static unsigned int send_gathered(struct net_txq *txq, const struct net_desc *descs,
				  unsigned int count)
{
	uint8_t frame[NET_FRAME_MAX];
	unsigned int whole = 0;
	uint32_t bytes = 0;
	int rc = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (rc == 0)
			rc = gather(txq, &descs[i], frame, &bytes);
		if (!(descs[i].word & TX_END))
			continue;
		if (rc == 0)
			leave(txq, frame, bytes);
		else
			txq->dma_faults++;
		rc = 0;
		bytes = 0;
		whole = i + 1;
	}
	return whole;
}

static unsigned int send_burst(struct net_txq *txq, const struct net_desc *descs,
			       unsigned int count)
{
	struct segment segments[NET_BURST];
	uint8_t sink[NET_FRAME_MAX];
	const bool looked_at = txq->verify || txq->port->dump != NULL ||
			       txq->port->peer_wire != NULL;
	unsigned int i;

	for (i = 0; i < count; i++) {
		segments[i].bytes = TX_LENGTH(descs[i].word);
		segments[i].room = segments[i].bytes;
		segments[i].from = ioas_soft_dma_ptr(txq->dev, descs[i].iova, &segments[i].room,
						     IOAS_READ);
		if (unlikely(!(descs[i].word & TX_END)))
			return send_gathered(txq, descs, count);
	}
	for (i = 0; i < count; i++) {
		if (unlikely(segments[i].from == NULL))
			txq->dma_faults++;
		else if (unlikely(segments[i].room < segments[i].bytes))
			send_gathered(txq, &descs[i], 1);
		else if (likely(looked_at))
			leave(txq, segments[i].from, segments[i].bytes);
		else /* a device reads what it sends, even when nobody listens */
			frame_copy(sink, segments[i].from, segments[i].bytes);
		__asm__ volatile("" : : "r"(sink) : "memory");
	}
	return count;
}

/* A packet may go over the ring's end, or a page's: fetch in as many pieces as it takes. */
static unsigned int fetch(struct net_txq *txq, struct net_desc *descs, unsigned int want)
{
	unsigned int count = 0;

	while (count < want) {
		uint32_t at = (txq->sent + count) & txq->ring.mask;
		size_t bytes = RTE_MIN(want - count, txq->ring.mask + 1 - at) * sizeof(*descs);
		size_t wanted = bytes;
		const struct net_desc *from = ioas_soft_dma_ptr(
			txq->dev, txq->ring.iova + at * sizeof(*descs), &bytes, IOAS_READ);

		if (unlikely(from == NULL)) {
			txq->dma_faults++;
			break;
		}
		bytes = RTE_MIN(bytes, wanted);
		memcpy(descs + count, from, bytes);
		count += bytes / sizeof(*descs);
	}
	return count;
}

/* Return: descriptors completed, 0 when there are none or the ring itself faults. */
static unsigned int burst(struct net_txq *txq, unsigned int want)
{
	struct net_desc descs[NET_BURST];
	unsigned int count = fetch(txq, descs, want);
	uint32_t *head;
	size_t bytes;

	if (count == 0)
		return 0;
	count = send_burst(txq, descs, count);
	bytes = sizeof(*head);
	head = ioas_soft_dma_ptr(txq->dev, txq->ring.head_iova, &bytes, IOAS_WRITE);
	if (unlikely(head == NULL)) {
		txq->dma_faults++;
		return 0;
	}
	__atomic_store_n(head, txq->sent + count, __ATOMIC_RELEASE);
	return count;
}

unsigned int net_device_tx(struct net_txq *txq)
{
	unsigned int total = 0;

	for (;;) {
		uint32_t posted = __atomic_load_n(&txq->tail, __ATOMIC_ACQUIRE) - txq->sent;
		unsigned int done;

		if (posted == 0 || ioas_soft_dma_begin(txq->dev) != 0)
			break;
		done = burst(txq, RTE_MIN(posted, (uint32_t)NET_BURST));
		ioas_soft_dma_end(txq->dev);
		if (done == 0)
			break;
		txq->sent += done;
		total += done;
	}
	return total;
}
