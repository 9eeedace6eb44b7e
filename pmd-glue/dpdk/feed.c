/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from a capture file or from the generator; see feed.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include <rte_common.h>
#include <rte_byteorder.h>
#include <rte_malloc.h>

#include "feed.h"
#include "log.h"

#define FRAME_MIN 60
#define FRAME_MAX 1518

/* A capture is held in memory: beyond this the rest is left out. */
#define FEED_FRAMES_MAX 65536
#define FEED_BYTES_MAX	(64u << 20)
/* Distinct frames of the generator: enough to tell them apart, few enough to stay in a cache. */
#define GENERATED 240 /* a multiple of the 12 of one IMIX round */

struct builder {
	struct feed *feed;
	size_t used;
	size_t room;
	uint32_t frames_max;
};

static int builder_start(struct builder *builder, uint32_t frames, size_t bytes)
{
	builder->feed = calloc(1, sizeof(struct feed) + frames * sizeof(struct feed_frame));
	if (builder->feed == NULL)
		return -ENOMEM;
	/* Each frame starts a cache line, and copies may read a line past its end. */
	builder->room = bytes + (size_t)frames * 64 + 64;
	builder->used = 0;
	builder->frames_max = frames;
	builder->feed->arena = rte_zmalloc("ioas_feed", builder->room, 64);
	if (builder->feed->arena == NULL) {
		free(builder->feed);
		GLUE_LOG(ERR, "no memory for %zu bytes of frames: reserve more huge pages",
			 builder->room);
		return -ENOMEM;
	}
	return 0;
}

static uint8_t *builder_add(struct builder *builder, const void *data, uint32_t bytes)
{
	struct feed *feed = builder->feed;
	uint32_t padded = RTE_MAX(bytes, (uint32_t)FRAME_MIN);
	uint8_t *place = feed->arena + builder->used;

	if (data != NULL)
		memcpy(place, data, bytes);
	feed->frames[feed->count].data = place;
	feed->frames[feed->count].bytes = padded;
	feed->count++;
	builder->used += RTE_ALIGN_CEIL(padded, 64u);
	return place;
}

/* UDP over IPv4 over Ethernet, told apart by the source port and by the payload. */
static void write_frame(uint8_t *frame, uint32_t bytes, uint32_t serial)
{
	static const uint8_t header[42] = {
		0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, /* Ethernet */
		0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2, /* IPv4 */
		0, 0, 0, 9, 0, 0, 0, 0, /* UDP, discard */
	};
	uint32_t sum = 0;

	memcpy(frame, header, sizeof(header));
	frame[16] = (bytes - 14) >> 8;
	frame[17] = (bytes - 14) & 0xff;
	for (unsigned int i = 14; i < 34; i += 2)
		sum += frame[i] << 8 | frame[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	frame[24] = sum >> 8;
	frame[25] = sum;
	frame[34] = serial >> 8;
	frame[35] = serial;
	frame[38] = (bytes - 34) >> 8;
	frame[39] = (bytes - 34) & 0xff;
	for (uint32_t i = sizeof(header); i < bytes; i++)
		frame[i] = (uint8_t)(serial * 31 + i);
}

int feed_generate(uint32_t bytes, struct feed **feed)
{
	static const uint16_t imix[12] = { 64, 594, 64, 64, 594, 64, 1514, 64, 594, 64, 594, 64 };
	struct builder builder;
	int rc = builder_start(&builder, GENERATED, (size_t)GENERATED * FRAME_MAX);

	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < GENERATED; i++) {
		uint32_t size = bytes != 0 ? bytes : imix[i % RTE_DIM(imix)];

		write_frame(builder_add(&builder, NULL, size), size, i);
	}
	*feed = builder.feed;
	return 0;
}

/* First pass: what is there? Also finds a file that ends too early. */
static int measure(const char *path, pcap_t *capture, uint32_t *frames, size_t *bytes)
{
	struct pcap_pkthdr *header;
	const u_char *data;
	uint32_t too_long = 0;
	uint32_t too_short = 0;
	bool full = false;
	int rc;

	while ((rc = pcap_next_ex(capture, &header, &data)) == 1) {
		if (header->caplen > FRAME_MAX) {
			too_long++;
		} else if (header->caplen < 14) {
			too_short++;
		} else if (*frames == FEED_FRAMES_MAX || *bytes + FRAME_MAX > FEED_BYTES_MAX) {
			full = true;
		} else {
			*bytes += RTE_MAX(header->caplen, (uint32_t)FRAME_MIN);
			(*frames)++;
		}
	}
	if (rc == PCAP_ERROR) {
		GLUE_LOG(ERR, "%s: capture is damaged or truncated after %u packets: %s", path,
			 *frames + too_long + too_short, pcap_geterr(capture));
		return -EINVAL;
	}
	if (*frames == 0) {
		GLUE_LOG(ERR, "%s: no usable packet in it (%u longer than %u bytes, %u shorter than 14)",
			 path, too_long, FRAME_MAX, too_short);
		return -EINVAL;
	}
	if (too_long + too_short > 0)
		GLUE_LOG(WARNING, "%s: left out %u packets longer than %u bytes, %u shorter than 14",
			 path, too_long, FRAME_MAX, too_short);
	if (full)
		GLUE_LOG(WARNING, "%s: only the first %u packets are used", path, *frames);
	return 0;
}

static pcap_t *open_capture(const char *path)
{
	char reason[PCAP_ERRBUF_SIZE] = "";
	pcap_t *capture = pcap_open_offline(path, reason);

	if (capture == NULL) {
		/* libpcap repeats the path in some messages, and not in others. */
		GLUE_LOG(ERR, "%s: cannot read it as a capture (pcap or pcapng): %s", path, reason);
		return NULL;
	}
	if (pcap_datalink(capture) != DLT_EN10MB) {
		GLUE_LOG(ERR, "%s: link type is %s, want Ethernet", path,
			 pcap_datalink_val_to_name(pcap_datalink(capture)) ?: "unknown");
		pcap_close(capture);
		return NULL;
	}
	return capture;
}

int feed_load(const char *path, struct feed **feed)
{
	pcap_t *capture = open_capture(path);
	struct pcap_pkthdr *header;
	struct builder builder;
	const u_char *data;
	uint32_t frames = 0;
	size_t bytes = 0;
	int rc;

	if (capture == NULL)
		return -EINVAL;
	rc = measure(path, capture, &frames, &bytes);
	pcap_close(capture);
	if (rc != 0)
		return rc;
	rc = builder_start(&builder, frames, bytes);
	if (rc != 0)
		return rc;
	capture = open_capture(path);
	while (capture != NULL && builder.feed->count < frames &&
	       pcap_next_ex(capture, &header, &data) == 1) {
		if (header->caplen <= FRAME_MAX && header->caplen >= 14)
			builder_add(&builder, data, header->caplen);
	}
	if (capture != NULL)
		pcap_close(capture);
	if (builder.feed->count != frames) {
		GLUE_LOG(ERR, "%s: changed while it was read", path);
		feed_free(builder.feed);
		return -EINVAL;
	}
	*feed = builder.feed;
	return 0;
}

void feed_free(struct feed *feed)
{
	if (feed == NULL)
		return;
	rte_free(feed->arena);
	free(feed);
}
