/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/libvfn.md: the same driver. */
#include <errno.h>

#include "port.h"

static struct {
	struct ioas_mem *memory;
	struct ioas *as;
	struct ioas_queue *queue;
	struct ioas_hit hit; /* one for each of the device's queues */
	ioas_iova_t iova;
} d;

/* port: memory */
static int start(struct ioas_ctx *ctx, struct ioas_dev *dev)
{
	struct ioas_mem_opts memory = { .size = sizeof(memory),
					.numa_node = IOAS_NUMA_ANY,
					.bytes = UINT64_C(2) << 20 };
	struct ioas_opts space = { .size = sizeof(space), .kind = IOAS_KIND_KERNEL };
	int ret;

	ret = ioas_mem_alloc(ctx, &memory, &d.memory);
	ret = ret ?: ioas_create(ctx, &space, &d.as);
	ret = ret ?: ioas_attach(d.as, dev);
	ret = ret ?: ioas_queue_create(d.as, &d.queue);
	if (ret)
		return ret;
	return ioas_map(d.queue, ioas_mem_va(d.memory), ioas_mem_bytes(d.memory), IOAS_RW, &d.iova);
}
/* port: end */

/* port: io */
static int submit(struct ring *ring, void *buffer, uint32_t bytes)
{
	size_t run = bytes;
	ioas_iova_t iova;
	int ret = ioas_translate_hit(d.queue, &d.hit, buffer, &run, &iova);

	if (!ret && run < bytes)
		ret = -EXDEV; /* goes over the end of what is mapped as one: use
				 ioas_translate_iov() */
	if (!ret)
		ring_post(ring, iova, bytes);
	return ret;
}
/* port: end */

static int complete(void *buffer)
{
	(void)buffer;
	return 0;
}

static void *buffer(void)
{
	return (char *)ioas_mem_va(d.memory) + 8192;
}

static int stop(void)
{
	int ret = ioas_unmap(d.queue, d.iova, ioas_mem_bytes(d.memory));

	ret = ret ?: ioas_queue_destroy(d.queue);
	ret = ret ?: ioas_destroy(d.as);
	return ret ?: ioas_mem_free(d.memory);
}

const struct port port_libvfn = { "libvfn", start, buffer, submit, complete, stop, false };
