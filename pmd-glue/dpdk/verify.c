/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does what leaves equal what came in? Each frame that a feed brings carries a stamp: rx queue and
 * number (feed.h). The number tells which frame it was made from, so that content and order can be
 * checked here. A DMA that went to the wrong buffer shows as a wrong content, or as a number that
 * was seen before; a number left out is a packet that was dropped on the way: a gap, not an error.
 *
 * Runs in the device half, so it trusts only what DMA has read.
 */
#include "frame.h"
#include "net.h"

static bool content_equal(const struct feed *feed, uint32_t index, const uint8_t *frame,
			  uint32_t bytes)
{
	const struct feed_frame *sent = &feed->frames[index];

	return sent->bytes == bytes && frame_equal(sent->data, frame, bytes - FEED_STAMP_BYTES);
}

/* Not the number that was expected: first of its source, after a gap, or wrong. */
static void unexpected(struct net_txq *txq, struct net_source *source, uint64_t stamp,
		       const uint8_t *frame, uint32_t bytes)
{
	const uint16_t tag = stamp >> FEED_SEQUENCE_BITS;
	const uint64_t sequence = stamp & FEED_SEQUENCE_MASK;
	const unsigned int port = FEED_TAG_PORT(tag);
	const struct feed *feed = NULL;

	if ((tag & 0x8000) && port < RTE_MAX_ETHPORTS)
		feed = net_feeds[port];
	if (feed == NULL || !feed->stamped ||
	    !content_equal(feed, sequence % feed->count, frame, bytes)) {
		txq->verify_errors++;
		return;
	}
	if (source->key == tag) {
		if (sequence < source->sequence) {
			txq->verify_errors++; /* seen before */
			return;
		}
		txq->gaps += sequence - source->sequence;
	}
	source->key = tag;
	feed_seek(feed, &source->cursor, sequence);
	feed_next(feed, &source->cursor);
	source->sequence = source->cursor.sequence;
	txq->verified++;
}

void net_verify(struct net_txq *txq, const uint8_t *frame, uint32_t bytes)
{
	struct net_source *source;
	const struct feed *feed;
	uint64_t stamp;
	uint16_t tag;

	if (unlikely(bytes < NET_FRAME_MIN)) {
		txq->verify_errors++;
		return;
	}
	memcpy(&stamp, frame + bytes - FEED_STAMP_BYTES, sizeof(stamp));
	tag = stamp >> FEED_SEQUENCE_BITS;
	source = &txq->sources[(tag ^ tag >> 6) % NET_SOURCES];
	if (likely(source->key == tag &&
		   source->sequence == (stamp & FEED_SEQUENCE_MASK))) {
		feed = net_feeds[FEED_TAG_PORT(tag)];
		if (likely(content_equal(feed, source->cursor.index, frame, bytes))) {
			feed_next(feed, &source->cursor);
			source->sequence++;
			txq->verified++;
			return;
		}
		txq->verify_errors++;
		return;
	}
	unexpected(txq, source, stamp, frame, bytes);
}
