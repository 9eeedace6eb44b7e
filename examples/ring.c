/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver with a pool of buffers and a ring, as a NIC's: a buffer is visible to the device from
 * the moment it is posted until it is reaped, and its content is looked at only when its ticket is
 * done: no device can change it under the reader's eyes then.
 *
 * The device is a model on the software IOMMU: it writes a sequence number into each buffer that
 * is posted. At the end it goes on with a buffer that was reaped, and is stopped.
 *
 * cc ring.c $(pkg-config --cflags --libs libioas) && ./a.out
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ioas/ioas.h>
#include <ioas/soft.h>

#define BUFFERS	     1024
#define BUFFER_BYTES 4096
#define BURST	     32
#define BURSTS	     1000

/* Buffers that were reaped, oldest first, each with the ticket it waits for. */
struct quarantine {
	uint32_t slots[BUFFERS];
	uint64_t tickets[BUFFERS];
	unsigned int head, tail;
};

struct driver {
	struct ioas_ctx *ctx;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_dev *dev;
	struct ioas_queue *queue;
	struct ioas_window *window;
	uint32_t free[BUFFERS];
	unsigned int free_count;
	struct quarantine quarantine;
	uint64_t received; /* buffers whose content has been looked at */
};

static void need(int rc, const struct driver *d, const char *what)
{
	char text[256] = "";

	if (rc >= 0)
		return;
	if (d->ctx)
		ioas_ctx_error(d->ctx, text, sizeof(text));
	fprintf(stderr, "%s: %s: %s\n", what, strerror(-rc), text);
	exit(1);
}

static void driver_start(struct driver *d)
{
	const struct ioas_ctx_opts how = { .size = sizeof(how),
					   .backend = "soft",
					   .log = ioas_log_stderr };
	const struct ioas_mem_opts arena = { .size = sizeof(arena),
					     .numa_node = IOAS_NUMA_ANY,
					     .bytes = (uint64_t)BUFFERS * BUFFER_BYTES };
	const struct ioas_opts space = { .size = sizeof(space),
					 .kind = IOAS_KIND_USER,
					 .mode = IOAS_BATCHED };
	struct ioas_window_opts window = { .size = sizeof(window),
					   .prot = IOAS_RW,
					   .bytes = (uint64_t)BUFFERS * BUFFER_BYTES,
					   .slot_bytes = BUFFER_BYTES };

	need(ioas_ctx_open(&how, &d->ctx), d, "context");
	need(ioas_mem_alloc(d->ctx, &arena, &d->mem), d, "memory");
	need(ioas_create(d->ctx, &space, &d->as), d, "address space");
	need(ioas_dev_bind(d->ctx, "nic", &d->dev), d, "device");
	need(ioas_attach(d->as, d->dev), d, "attach");
	need(ioas_queue_create(d->as, &d->queue), d, "queue");
	window.va = ioas_mem_va(d->mem);
	need(ioas_window_create(d->as, &window, &d->window), d, "window");
	for (d->free_count = 0; d->free_count < BUFFERS; d->free_count++)
		d->free[d->free_count] = BUFFERS - 1 - d->free_count;
}

/* The device is done with a buffer and cannot reach it any more: use what is in it. */
static void receive(struct driver *d, uint32_t slot)
{
	const char *data = ioas_mem_va(d->mem);
	uint64_t number;

	memcpy(&number, data + (size_t)slot * BUFFER_BYTES, sizeof(number));
	if (number != d->received++) {
		fprintf(stderr, "buffer %u holds %llu\n", slot, (unsigned long long)number);
		exit(1);
	}
	d->free[d->free_count++] = slot;
}

/* Take what has waited long enough; when buffers run short, complete what is pending. */
static void harvest(struct driver *d)
{
	struct quarantine *q = &d->quarantine;

	if (d->free_count < BURST)
		need(ioas_flush(d->queue), d, "flush");
	for (; q->head != q->tail; q->head++) {
		if (!ioas_ticket_done(d->queue, q->tickets[q->head % BUFFERS]))
			break;
		receive(d, q->slots[q->head % BUFFERS]);
	}
}

static void post(struct driver *d, uint32_t *slots)
{
	harvest(d);
	d->free_count -= BURST;
	memcpy(slots, &d->free[d->free_count], BURST * sizeof(slots[0]));
	need(ioas_window_grant(d->queue, d->window, slots, BURST), d, "grant");
}

static void reap(struct driver *d, const uint32_t *slots)
{
	struct quarantine *q = &d->quarantine;
	uint64_t ticket;

	need(ioas_window_revoke(d->queue, d->window, slots, BURST), d, "revoke");
	ticket = ioas_ticket(d->queue);
	for (unsigned int i = 0; i < BURST; i++, q->tail++) {
		q->slots[q->tail % BUFFERS] = slots[i];
		q->tickets[q->tail % BUFFERS] = ticket;
	}
}

static int device_write(struct driver *d, uint32_t slot, uint64_t number)
{
	ioas_iova_t iova = ioas_window_iova(d->window) + (uint64_t)slot * BUFFER_BYTES;

	return ioas_soft_dma_write(d->dev, iova, &number, sizeof(number));
}

static void driver_stop(struct driver *d)
{
	need(ioas_window_destroy(d->window), d, "window");
	need(ioas_queue_destroy(d->queue), d, "queue");
	need(ioas_detach(d->dev), d, "detach");
	need(ioas_dev_unbind(d->dev), d, "device");
	need(ioas_destroy(d->as), d, "address space");
	need(ioas_mem_free(d->mem), d, "memory");
	need(ioas_ctx_close(d->ctx), d, "context");
}

int main(void)
{
	static struct driver d;
	struct ioas_stats stats = { .size = sizeof(stats) };
	uint32_t slots[BURST];
	uint64_t number = 0;

	driver_start(&d);
	for (unsigned int burst = 0; burst < BURSTS; burst++) {
		post(&d, slots);
		for (unsigned int i = 0; i < BURST; i++)
			need(device_write(&d, slots[i], number++), &d, "DMA to a posted buffer");
		reap(&d, slots);
	}
	need(ioas_flush(d.queue), &d, "flush");
	harvest(&d);
	if (device_write(&d, slots[0], 0) == 0) {
		fprintf(stderr, "the device wrote to a buffer that was reaped\n");
		return 1;
	}
	need(ioas_ctx_stats(d.ctx, &stats), &d, "counters");
	printf("%llu of %llu buffers received, %llu invalidation requests, %llu DMA stopped\n",
	       (unsigned long long)d.received, (unsigned long long)stats.maps,
	       (unsigned long long)stats.inval_crossings, (unsigned long long)stats.faults);
	driver_stop(&d);
	return 0;
}
