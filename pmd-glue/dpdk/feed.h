/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the wire brings: frames from a capture or from the generator, preloaded, replayed in a
 * loop. Read-only once made, so that every queue and every verifier may share it.
 *
 * Where packets are verified, the last 8 bytes of each frame on the wire are a stamp: the rx queue
 * it came in by and its number there. The frame it was made from follows from that number.
 */
#ifndef IOAS_DPDK_FEED_H
#define IOAS_DPDK_FEED_H

#include <stdbool.h>
#include <stdint.h>

#define FEED_STAMP_BYTES      8
#define FEED_SEQUENCE_BITS    48
#define FEED_SEQUENCE_MASK    ((UINT64_C(1) << FEED_SEQUENCE_BITS) - 1)
#define FEED_TAG(port, queue) ((uint16_t)(0x8000 | (port) << 6 | (queue)))
#define FEED_TAG_PORT(tag)    (((tag) & 0x7fff) >> 6)

struct feed_frame {
	const uint8_t *data;
	uint32_t bytes;
};

struct feed {
	uint8_t *arena;
	uint32_t count;
	bool stamped;
	struct feed_frame frames[];
};

/* A place in a feed. Packet number n of a queue is frame n % count. */
struct feed_cursor {
	uint64_t sequence;
	uint32_t index;
};

/* @bytes: length of the frames, 0 for IMIX (7 of 64, 4 of 594, 1 of 1514). */
int feed_generate(uint32_t bytes, struct feed **feed);
/* Errors (logged) name the file. -EINVAL: not a capture, truncated, empty, not Ethernet. */
int feed_load(const char *path, struct feed **feed);
void feed_free(struct feed *feed);

static inline void feed_next(const struct feed *feed, struct feed_cursor *cursor)
{
	cursor->sequence++;
	if (++cursor->index == feed->count)
		cursor->index = 0;
}

static inline void feed_seek(const struct feed *feed, struct feed_cursor *cursor,
			     uint64_t sequence)
{
	cursor->sequence = sequence;
	cursor->index = sequence % feed->count;
}

#endif
