/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_ioas, the device half of reception: frames from the wire go to the buffers that the driver
 * posted. Every access to memory is translated by the software IOMMU; this file holds no pointer
 * that did not come from it.
 *
 * A burst is: fetch descriptors, translate all buffers, copy, write completions back. Translating
 * ahead of the data is what hardware does too.
 */
#include "frame.h"
#include "net.h"

/* One packet on its way into a buffer. */
struct landing {
	uint8_t *to; /* NULL: faulted */
	size_t room; /* up to the end of the translation */
	uint64_t stamp;
	struct feed_frame frame;
};

static void remember(struct net_rogue *rogue, ioas_iova_t iova)
{
	for (uint32_t i = 0; i < rogue->count; i++)
		if (rogue->iovas[i] == iova)
			return;
	rogue->iovas[rogue->count++] = iova;
}

/* The rest of a frame whose buffer goes over a page's end. Return: 0 or -EFAULT. */
static int copy_rest(struct ioas_dev *dev, ioas_iova_t iova, const uint8_t *from, size_t bytes)
{
	while (bytes > 0) {
		size_t room = bytes;
		uint8_t *to = ioas_soft_dma_ptr(dev, iova, &room, IOAS_WRITE);

		if (to == NULL)
			return -EFAULT;
		room = RTE_MIN(room, bytes);
		memcpy(to, from, room);
		iova += room;
		from += room;
		bytes -= room;
	}
	return 0;
}

static int write_stamp(struct ioas_dev *dev, ioas_iova_t iova, uint64_t stamp)
{
	return copy_rest(dev, iova, (const uint8_t *)&stamp, sizeof(stamp));
}

/* Next frame of the feed that fits the buffers. Longer ones are dropped, as by a real device. */
static inline bool next_frame(struct net_rxq *rxq, const struct feed *feed,
			      struct landing *landing)
{
	for (uint32_t tries = 0; tries < feed->count; tries++) {
		landing->frame = feed->frames[rxq->cursor.index];
		landing->stamp = (uint64_t)FEED_TAG(rxq->port_id, rxq->id) << FEED_SEQUENCE_BITS |
				 (rxq->cursor.sequence & FEED_SEQUENCE_MASK);
		feed_next(feed, &rxq->cursor);
		if (likely(landing->frame.bytes <= rxq->buf_bytes))
			return true;
		rxq->oversize++;
	}
	return false;
}

/* Move one frame. Return: status word of its descriptor. */
static inline uint64_t land(struct net_rxq *rxq, const struct landing *landing, ioas_iova_t iova,
			    bool stamped)
{
	const uint32_t bytes = landing->frame.bytes;

	if (unlikely(landing->to == NULL))
		goto fault;
	if (likely(landing->room >= bytes)) {
		frame_copy(landing->to, landing->frame.data, bytes);
		if (stamped)
			memcpy(landing->to + bytes - FEED_STAMP_BYTES, &landing->stamp,
			       FEED_STAMP_BYTES);
	} else {
		memcpy(landing->to, landing->frame.data, landing->room);
		if (copy_rest(rxq->dev, iova + landing->room, landing->frame.data + landing->room,
			      bytes - landing->room) != 0)
			goto fault;
		if (stamped && write_stamp(rxq->dev, iova + bytes - FEED_STAMP_BYTES,
					   landing->stamp) != 0)
			goto fault;
	}
	return (uint64_t)bytes << RX_LENGTH_SHIFT | RX_DONE;
fault:
	rxq->dma_faults++;
	return RX_FAULT | RX_DONE;
}

/* Fetch up to @want descriptors from position @at. Return: how many, 0 on a fault. */
static unsigned int fetch(struct net_rxq *rxq, struct net_desc *descs, unsigned int want)
{
	uint32_t at = rxq->filled & rxq->ring.mask;
	size_t bytes;
	const struct net_desc *from;

	want = RTE_MIN(want, rxq->ring.mask + 1 - at);
	bytes = want * sizeof(*descs);
	from = ioas_soft_dma_ptr(rxq->dev, rxq->ring.iova + at * sizeof(*descs), &bytes,
				 IOAS_READ);
	if (unlikely(from == NULL)) {
		rxq->dma_faults++;
		return 0;
	}
	want = RTE_MIN(want, bytes / sizeof(*descs));
	memcpy(descs, from, want * sizeof(*descs));
	return want;
}

static void write_back(struct net_rxq *rxq, const uint64_t *words, unsigned int count)
{
	uint32_t at = rxq->filled & rxq->ring.mask;
	size_t bytes = count * sizeof(struct net_desc);
	struct net_desc *to = ioas_soft_dma_ptr(
		rxq->dev, rxq->ring.iova + at * sizeof(*to), &bytes, IOAS_WRITE);

	if (unlikely(to == NULL)) {
		rxq->dma_faults++;
		return;
	}
	/* Release: data first, then the word that tells of it. */
	for (unsigned int i = 0; i < count; i++)
		__atomic_store_n(&to[i].word, words[i], __ATOMIC_RELEASE);
}

static unsigned int burst_from_feed(struct net_rxq *rxq, const struct feed *feed,
				    unsigned int budget)
{
	struct net_desc descs[NET_BURST];
	struct landing landings[NET_BURST];
	uint64_t words[NET_BURST];
	unsigned int count = fetch(rxq, descs, budget);
	const bool stamped = feed->stamped;
	unsigned int i;

	for (i = 0; i < count && next_frame(rxq, feed, &landings[i]); i++) {
		landings[i].room = landings[i].frame.bytes;
		landings[i].to = ioas_soft_dma_ptr(rxq->dev, descs[i].iova, &landings[i].room,
						   IOAS_WRITE);
	}
	count = i;
	for (i = 0; i < count; i++)
		words[i] = land(rxq, &landings[i], descs[i].iova, stamped);
	if (unlikely(rxq->rogue.count < rxq->rogue.max)) {
		for (i = 0; i < count && rxq->rogue.count < rxq->rogue.max; i++)
			if (!(words[i] & RX_FAULT))
				remember(&rxq->rogue, descs[i].iova);
	}
	if (count > 0)
		write_back(rxq, words, count);
	return count;
}

static unsigned int burst_from_wire(struct net_rxq *rxq, struct net_wire *wire,
				    unsigned int budget)
{
	struct net_desc descs[NET_BURST];
	uint64_t words[NET_BURST];
	unsigned int count = fetch(rxq, descs, budget);
	unsigned int i = 0;

	while (i < count) {
		const void *frame;
		struct landing landing = { .frame.bytes = net_wire_receive(wire, &frame) };

		if (landing.frame.bytes == 0)
			break;
		if (landing.frame.bytes > rxq->buf_bytes) {
			rxq->oversize++;
			net_wire_received(wire);
			continue;
		}
		landing.frame.data = frame;
		landing.room = landing.frame.bytes;
		landing.to = ioas_soft_dma_ptr(rxq->dev, descs[i].iova, &landing.room, IOAS_WRITE);
		words[i] = land(rxq, &landing, descs[i].iova, false);
		if (rxq->rogue.count < rxq->rogue.max && !(words[i] & RX_FAULT))
			remember(&rxq->rogue, descs[i].iova);
		net_wire_received(wire);
		i++;
	}
	if (i > 0)
		write_back(rxq, words, i);
	return i;
}

unsigned int net_device_rx(struct net_rxq *rxq, unsigned int budget)
{
	const struct net_port *port = rxq->port;
	const uint64_t limit = port->config.count;
	unsigned int total = 0;

	while (total < budget) {
		uint32_t posted = __atomic_load_n(&rxq->tail, __ATOMIC_ACQUIRE) - rxq->filled;
		unsigned int want = RTE_MIN(RTE_MIN(budget - total, posted), (uint32_t)NET_BURST);
		unsigned int done = 0;

		if (unlikely(limit != 0) && port->feed != NULL)
			want = RTE_MIN(want, limit - RTE_MIN(limit, rxq->cursor.sequence));
		if (want == 0 || ioas_soft_dma_begin(rxq->dev) != 0)
			break;
		if (likely(port->feed != NULL))
			done = burst_from_feed(rxq, port->feed, want);
		else if (port->wire != NULL)
			done = burst_from_wire(rxq, port->wire, want);
		ioas_soft_dma_end(rxq->dev);
		if (done == 0)
			break;
		rxq->filled += done;
		total += done;
	}
	return total;
}
