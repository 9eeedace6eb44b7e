/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/iommufd.md: the same driver, whose buffers are slots of a window. */
#include "port.h"

#define SLOTS 32

static struct {
	struct ioas_mem *arena;
	struct ioas *as;
	struct ioas_queue *queue;
	struct ioas_window *window;
} d;

/* port: start */
static int start(struct ioas_ctx *ctx, struct ioas_dev *dev)
{
	struct ioas_mem_opts memory = { .size = sizeof(memory),
					.numa_node = IOAS_NUMA_ANY,
					.bytes = SLOTS * PORT_BYTES };
	struct ioas_opts space = { .size = sizeof(space), .kind = IOAS_KIND_USER };
	struct ioas_window_opts window = { .size = sizeof(window),
					   .prot = IOAS_RW,
					   .bytes = SLOTS * PORT_BYTES,
					   .slot_bytes = PORT_BYTES };
	int ret;

	ret = ioas_mem_alloc(ctx, &memory, &d.arena);
	ret = ret ?: ioas_create(ctx, &space, &d.as);
	ret = ret ?: ioas_attach(d.as, dev);
	ret = ret ?: ioas_queue_create(d.as, &d.queue);
	if (ret)
		return ret;
	window.va = ioas_mem_va(d.arena);
	return ioas_window_create(d.as, &window, &d.window);
}
/* port: end */

/* port: io */
static uint32_t slot_of(const void *buffer)
{
	return ((const char *)buffer - (const char *)ioas_mem_va(d.arena)) / PORT_BYTES;
}

static int submit(struct ring *ring, void *buffer, uint32_t bytes)
{
	const uint32_t slot = slot_of(buffer);
	int ret = ioas_window_grant(d.queue, d.window, &slot, 1);

	if (!ret)
		ring_post(ring, ioas_window_iova(d.window) + slot * PORT_BYTES, bytes);
	return ret;
}

static int complete(void *buffer)
{
	const uint32_t slot = slot_of(buffer);

	return ioas_window_revoke(d.queue, d.window, &slot, 1);
}
/* port: end */

static void *buffer(void)
{
	return (char *)ioas_mem_va(d.arena) + 7 * PORT_BYTES;
}

static int stop(void)
{
	int ret = ioas_window_destroy(d.window);

	ret = ret ?: ioas_queue_destroy(d.queue);
	ret = ret ?: ioas_destroy(d.as);
	return ret ?: ioas_mem_free(d.arena);
}

const struct port port_iommufd = { "iommufd", start, buffer, submit, complete, stop, true };
