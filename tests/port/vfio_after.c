/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/vfio.md: the same driver. */
#include "port.h"

/* port: state */
static struct {
	struct ioas_mem *arena;
	struct ioas *as;
	struct ioas_queue *queue;
	ioas_iova_t iova; /* of the buffer that the device has */
	uint32_t bytes;
} d;
/* port: end */

/* port: start */
static int start(struct ioas_ctx *ctx, struct ioas_dev *dev)
{
	struct ioas_mem_opts memory = { .size = sizeof(memory),
					.numa_node = IOAS_NUMA_ANY,
					.bytes = UINT64_C(2) << 20 };
	struct ioas_opts space = { .size = sizeof(space), .kind = IOAS_KIND_USER };
	int ret;

	ret = ioas_mem_alloc(ctx, &memory, &d.arena);
	ret = ret ?: ioas_create(ctx, &space, &d.as);
	ret = ret ?: ioas_attach(d.as, dev);
	return ret ?: ioas_queue_create(d.as, &d.queue);
}
/* port: end */

/* port: io */
static int submit(struct ring *ring, void *buffer, uint32_t bytes)
{
	int ret = ioas_map(d.queue, buffer, bytes, IOAS_RW, &d.iova);

	if (ret)
		return ret; /* ioas_queue_error(d.queue) says why */
	d.bytes = bytes;
	ring_post(ring, d.iova, bytes);
	return 0;
}

static int complete(void *buffer)
{
	(void)buffer;
	return ioas_unmap(d.queue, d.iova, d.bytes);
}
/* port: end */

static void *buffer(void)
{
	return (char *)ioas_mem_va(d.arena) + 4096;
}

/* port: stop */
static int stop(void)
{
	int ret = ioas_queue_destroy(d.queue);

	ret = ret ?: ioas_destroy(d.as);
	return ret ?: ioas_mem_free(d.arena);
}
/* port: end */

const struct port port_vfio = { "vfio", start, buffer, submit, complete, stop, true };
