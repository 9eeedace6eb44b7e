/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/spdk.md: a PRP list over any memory, which a cache keeps mapped while it is there. */
#include <stdlib.h>

#include "port.h"

static struct {
	struct ioas *as;
	struct ioas_queue *queue;
	struct ioas_regcache *cache;
	struct ioas_reg reg; /* a real driver has one in each request */
	void *heap;
} d;

/* port: start */
static int start(struct ioas_ctx *ctx, struct ioas_dev *dev)
{
	struct ioas_opts space = { .size = sizeof(space), .kind = IOAS_KIND_KERNEL };
	struct ioas_regcache_opts cache = { .size = sizeof(cache) };
	int ret;

	ret = ioas_create(ctx, &space, &d.as);
	ret = ret ?: ioas_attach(d.as, dev);
	ret = ret ?: ioas_queue_create(d.as, &d.queue);
	return ret ?: ioas_regcache_create(d.as, &cache, &d.cache);
}
/* port: end */

/* port: io */
static int submit(struct ring *ring, void *buffer, uint32_t bytes)
{
	int ret = ioas_regcache_get(d.queue, buffer, bytes, &d.reg);

	/* All of it is one run, so the entries need no look-up of their own. */
	for (uint32_t at = 0; at < bytes && !ret; at += 4096)
		ring_post(ring, d.reg.iova + at, 4096);
	return ret;
}

static int complete(void *buffer)
{
	(void)buffer;
	ioas_regcache_put(d.queue, &d.reg);
	return 0;
}
/* port: end */

static void *buffer(void)
{
	if (!d.heap && posix_memalign(&d.heap, 4096, PORT_BYTES))
		return NULL;
	return d.heap;
}

static int stop(void)
{
	int ret = ioas_regcache_destroy(d.cache);

	free(d.heap);
	d.heap = NULL;
	ret = ret ?: ioas_queue_destroy(d.queue);
	return ret ?: ioas_destroy(d.as);
}

const struct port port_spdk = { "spdk", start, buffer, submit, complete, stop, false };
