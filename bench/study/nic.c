/* SPDX-License-Identifier: BSD-3-Clause */
/* The NIC and its driver, and what is counted. See study.h. */
#include "study.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <ioas/soft.h>

#define PAGE	  4096
#define TX_BYTES  64
#define TX_MEMORY (STUDY_TX_BURSTS * STUDY_TX_BURST * PAGE)
#define DESCS_MIN 2 /* one is filled while the other is taken back */
#define TURNS	  8 /* of all rings, before anything is counted, and again as many that are */
#define TURN_MIN  8192

int study_fail(struct study *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->error, sizeof(s->error), format, args);
	va_end(args);
	return -1;
}

static uint64_t next_random(struct study *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

/* Memory. */

static uint64_t desc_bytes(const struct study *s)
{
	return s->policy->huge ? STUDY_HUGE : STUDY_DESC_PAGES * PAGE;
}

static unsigned int desc_count(const struct study *s)
{
	uint64_t count = ((uint64_t)s->ring * s->stride + desc_bytes(s) - 1) / desc_bytes(s);

	return count < DESCS_MIN ? DESCS_MIN : count;
}

static void set_area(struct study_area *area, char *va, unsigned int count, uint64_t bytes)
{
	area->count = count;
	for (unsigned int i = 0; i < count; i++)
		area->segs[i] = (struct ioas_seg){ .va = va + i * bytes, .bytes = bytes };
}

/* Aligned, so that the parent has it in leaves of 2 MiB: the second stage is not what is compared.
 */
static int get_memory(struct study *s)
{
	uint64_t rx = desc_count(s) * desc_bytes(s);
	char *start;

	rx = (rx + STUDY_HUGE - 1) / STUDY_HUGE * STUDY_HUGE;
	s->memory_bytes = STUDY_QUEUES * (rx + TX_MEMORY) + STUDY_HUGE;
	s->memory = mmap(NULL, s->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (s->memory == MAP_FAILED)
		return study_fail(s, "no memory");
	start = s->memory + (-(uintptr_t)s->memory & (STUDY_HUGE - 1));
	for (unsigned int i = 0; i < STUDY_QUEUES; i++) {
		struct study_queue *queue = &s->queues[i];

		queue->desc_count = desc_count(s);
		queue->descs = calloc(queue->desc_count, sizeof(*queue->descs));
		if (!queue->descs)
			return study_fail(s, "no memory");
		for (unsigned int d = 0; d < queue->desc_count; d++)
			set_area(&queue->descs[d], start + d * desc_bytes(s),
				 s->policy->huge ? 1 : STUDY_DESC_PAGES,
				 s->policy->huge ? STUDY_HUGE : PAGE);
		for (unsigned int b = 0; b < STUDY_TX_BURSTS; b++)
			set_area(&queue->tx[b], start + rx + b * STUDY_TX_BURST * PAGE,
				 STUDY_TX_BURST, PAGE);
		if (s->policy->huge)
			set_area(&queue->tx[0], start + rx, 1, STUDY_HUGE);
		start += rx + TX_MEMORY;
	}
	return 0;
}

static int get_library(struct study *s)
{
	struct ioas_ctx_opts ctx_opts = { .size = sizeof(ctx_opts), .backend = "soft" };
	struct ioas_opts opts = { .size = sizeof(opts), .kind = s->policy->kind };
	char *start = s->memory + (-(uintptr_t)s->memory & (STUDY_HUGE - 1));
	int ret = ioas_ctx_open(&ctx_opts, &s->ctx);

	if (ret)
		return study_fail(s, "ioas_ctx_open: %s", strerror(-ret));
	ret = ioas_mem_register(s->ctx, start, s->memory_bytes - STUDY_HUGE, &s->mem);
	ret = ret ?: ioas_create(s->ctx, &opts, &s->as);
	ret = ret ?: ioas_dev_bind(s->ctx, "nic", &s->dev);
	ret = ret ?: ioas_attach(s->as, s->dev);
	if (ret) {
		ioas_ctx_error(s->ctx, s->error, sizeof(s->error));
		return -1;
	}
	return s->policy->open ? s->policy->open(s) : 0;
}

/* Giving and taking. */

static int give(struct study *s, unsigned int cpu, struct study_area *area, uint32_t prot)
{
	if (area->mapped)
		return 0;
	area->mapped = true;
	return s->policy->map(s, cpu, area, prot);
}

/* At most @count pieces of an area, or all of it. */
static int take(struct study *s, unsigned int cpu, struct study_area *area, unsigned int count)
{
	unsigned int left = area->count - area->taken;
	int ret;

	if (!area->mapped || s->policy->keep)
		return 0;
	if (count > left || s->policy->whole)
		count = left;
	ret = s->policy->unmap(s, cpu, area, count);
	area->taken += count;
	if (area->taken == area->count) {
		area->mapped = false;
		area->taken = 0;
	}
	return ret;
}

/* The driver goes on with what it takes back. Descriptors go back to the device. */
static int work(struct study *s, unsigned int index, unsigned int pages, unsigned int tx_pages)
{
	struct study_queue *queue = &s->queues[index];

	if (queue->tx_taking && take(s, index, queue->tx_taking, tx_pages))
		return -1;
	if (queue->tx_taking && (!queue->tx_taking->mapped || s->policy->keep))
		queue->tx_taking = NULL;
	if (!queue->taking)
		return 0;
	if (take(s, index, queue->taking, pages))
		return -1;
	if (queue->taking->mapped && !s->policy->keep)
		return 0;
	if (give(s, index, queue->taking, IOAS_WRITE))
		return -1;
	queue->taking = NULL;
	return 0;
}

/* The device reaches @bytes at @offset of an area; is it the memory that was meant? */
static int reach(struct study *s, const struct study_area *area, uint64_t offset, size_t bytes,
		 uint32_t prot)
{
	const uint64_t unit = area->segs[0].bytes;
	int ret = 0;

	ioas_soft_dma_begin(s->dev);
	while (bytes && !ret) {
		const struct ioas_seg *seg = &area->segs[offset / unit];
		size_t some = unit - offset % unit;
		char *at;

		if (some > bytes)
			some = bytes;
		at = ioas_soft_dma_ptr(s->dev, seg->iova + offset % unit, &some, prot);
		if (at != (char *)seg->va + offset % unit)
			ret = study_fail(s, "DMA at IOVA 0x%llx reaches %p, not %p",
					 (unsigned long long)seg->iova, (void *)at, seg->va);
		offset += some;
		bytes -= some;
	}
	ioas_soft_dma_end(s->dev);
	return ret;
}

/*
 * A burst of acknowledgements. They are mapped where the application runs, which is another
 * processor than that of the queue's interrupts, where they are unmapped. HUGE: all buffers are
 * one area, which is taken back when all have been used.
 */
static int send_burst(struct study *s, unsigned int index)
{
	struct study_queue *queue = &s->queues[index];
	const unsigned int burst = queue->tx_next, last = (burst - 1) % STUDY_TX_BURSTS;
	const bool huge = s->policy->huge;
	struct study_area *area = &queue->tx[huge ? 0 : burst];
	const uint64_t offset = huge ? burst * STUDY_TX_BURST * PAGE : 0;

	queue->tx_next = (burst + 1) % STUDY_TX_BURSTS;
	if (huge && !burst && take(s, index, area, 1))
		return -1;
	if (!huge)
		queue->tx_taking = &queue->tx[last];
	if (give(s, (index + 1) % STUDY_QUEUES, area, IOAS_READ))
		return -1;
	for (unsigned int i = 0; i < STUDY_TX_BURST; i++)
		if (reach(s, area, offset + i * PAGE, TX_BYTES, IOAS_READ))
			return -1;
	return 0;
}

static int receive(struct study *s, unsigned int index)
{
	struct study_queue *queue = &s->queues[index];
	struct study_area *area = &queue->descs[queue->at];

	if (reach(s, area, queue->offset, s->packet, IOAS_WRITE))
		return -1;
	s->packets++;
	queue->offset += s->stride;
	if (queue->offset + s->stride > desc_bytes(s)) {
		queue->offset = 0;
		queue->at = (queue->at + 1) % queue->desc_count;
		if (queue->taking)
			return study_fail(s, "the driver does not keep up");
		queue->taking = area;
	}
	if (work(s, index, 1 + s->stride / PAGE, 1))
		return -1;
	if (++queue->unsent < STUDY_TX_EVERY * STUDY_TX_BURST)
		return 0;
	queue->unsent = 0;
	return send_burst(s, index);
}

int study_run(struct study *s, uint64_t packets)
{
	for (uint64_t i = 0; i < packets; i++)
		if (receive(s, next_random(s) % STUDY_QUEUES))
			return -1;
	return 0;
}

int study_open(struct study *s, const struct study_policy *policy, unsigned int ring,
	       unsigned int packet)
{
	memset(s, 0, sizeof(*s));
	s->policy = policy;
	s->ring = ring;
	s->packet = packet;
	s->stride = (packet + STUDY_STRIDE - 1) / STUDY_STRIDE * STUDY_STRIDE;
	s->random = 88172645463325252;
	if (get_memory(s) || get_library(s))
		return -1;
	for (unsigned int i = 0; i < STUDY_QUEUES; i++) {
		struct study_queue *queue = &s->queues[i];

		for (unsigned int d = 0; d < queue->desc_count; d++)
			if (give(s, i, &queue->descs[d], IOAS_WRITE))
				return -1;
	}
	return 0;
}

static void take_all(struct study *s)
{
	for (unsigned int i = 0; i < STUDY_QUEUES; i++) {
		struct study_queue *queue = &s->queues[i];

		for (unsigned int d = 0; queue->descs && d < queue->desc_count; d++)
			take(s, i, &queue->descs[d], STUDY_DESC_PAGES);
		for (unsigned int b = 0; b < STUDY_TX_BURSTS; b++)
			take(s, i, &queue->tx[b], STUDY_DESC_PAGES);
	}
}

void study_close(struct study *s)
{
	if (s->dev) {
		ioas_detach(s->dev);
		ioas_dev_unbind(s->dev);
	}
	if (s->policy->close)
		s->policy->close(s);
	if (s->as)
		ioas_destroy(s->as);
	if (s->mem)
		ioas_mem_free(s->mem);
	if (s->ctx)
		ioas_ctx_close(s->ctx);
	for (unsigned int i = 0; i < STUDY_QUEUES; i++)
		free(s->queues[i].descs);
	if (s->memory && s->memory != MAP_FAILED)
		munmap(s->memory, s->memory_bytes);
}

/* Everything is taken back; then the device must reach nothing of it, unless that is the policy. */
int study_check(struct study *s)
{
	take_all(s);
	for (unsigned int i = 0; i < STUDY_QUEUES; i++)
		for (unsigned int d = 0; d < s->queues[i].desc_count; d++) {
			const struct study_area *area = &s->queues[i].descs[d];
			const bool visible = s->policy->keep;
			uint64_t word = 1;
			int ret = ioas_soft_dma_write(s->dev, area->segs[0].iova, &word,
						      sizeof(word));

			if (!s->policy->late && ret != (visible ? 0 : -EFAULT))
				return study_fail(s, "descriptor %u of queue %u: DMA %s", d, i,
						  ret ? "was stopped" : "went through");
		}
	return 0;
}

/* Results. */

static double predict(double packet, double reads)
{
	double gbps = packet * 8 / (STUDY_PACKET_NS + reads * STUDY_READ_NS);

	return gbps > STUDY_LINE_GBPS ? STUDY_LINE_GBPS : gbps;
}

static int measure(struct study *s, struct study_result *result)
{
	struct ioas_soft_stats before = { .size = sizeof(before) }, after = before;
	uint64_t packets = (uint64_t)s->ring * STUDY_QUEUES;

	if (packets < TURN_MIN)
		packets = TURN_MIN;
	packets *= TURNS;
	if (study_run(s, packets))
		return -1;
	ioas_soft_get_stats(s->ctx, &before);
	if (study_run(s, packets))
		return -1;
	ioas_soft_get_stats(s->ctx, &after);
	if (after.faults)
		return study_fail(s, "%llu faults", (unsigned long long)after.faults);
	result->reads = (double)(after.walk_reads - before.walk_reads) / packets;
	result->misses = (double)(after.iotlb_misses - before.iotlb_misses) / packets;
	result->descriptors = (double)(after.descriptors - before.descriptors) / packets;
	result->gbps = predict(s->packet, result->reads);
	return study_check(s);
}

int study_measure(const struct study_policy *policy, unsigned int ring, unsigned int packet,
		  struct study_result *result, char *error, size_t error_bytes)
{
	struct study s;
	int ret = study_open(&s, policy, ring, packet) ?: measure(&s, result);

	if (ret)
		snprintf(error, error_bytes, "%s", s.error);
	study_close(&s);
	return ret;
}
