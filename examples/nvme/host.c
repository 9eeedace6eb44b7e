/* SPDX-License-Identifier: BSD-3-Clause */
#include "host.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ioas/pci.h>

#include "say.h"

/* A slow machine needs so long to fill a batch; a fast one never gets there. */
#define BATCH_MAX 512
#define BATCH_NS  UINT64_C(100000000)
#define OWN_BYTES (UINT64_C(2) << 20) /* for each I/O queue */

const char *nvme_mode_name(enum nvme_mode mode)
{
	static const char *const names[] = { "static", "strict", "batched" };

	return names[mode];
}

static void log_line(void *arg, enum ioas_log_level level, const char *line)
{
	(void)arg;
	if (level <= IOAS_LOG_INFO)
		nvme_say("%s", line);
}

/* The space has to exist after the device is bound, which narrows what is possible. */
static int make_space(struct nvme_host *host, enum ioas_kind kind)
{
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas_opts opts = { .size = sizeof(opts), .kind = kind };
	int ret = ioas_ctx_caps(host->ctx, &caps);

	if (ret)
		return ret;
	if (kind == IOAS_KIND_USER && !caps.user_formats)
		return nvme_fail(-EOPNOTSUPP,
				 "--kind user: backend %s has no such address spaces here",
				 ioas_ctx_backend(host->ctx));
	if (!kind)
		opts.kind = caps.user_formats ? IOAS_KIND_USER : IOAS_KIND_KERNEL;
	if (opts.kind == IOAS_KIND_USER && host->mode == NVME_BATCHED) {
		opts.mode = IOAS_BATCHED;
		opts.batch_max = BATCH_MAX;
		opts.batch_ns = BATCH_NS;
	}
	return ioas_create(host->ctx, &opts, &host->as);
}

static int make_own_memory(struct nvme_host *host)
{
	const struct ioas_mem_opts opts = { .size = sizeof(opts),
					    .numa_node = IOAS_NUMA_ANY,
					    .bytes = host->own_bytes,
					    .page_bytes = IOAS_PAGE_SIZE };
	int ret = ioas_mem_alloc(host->ctx, &opts, &host->own);

	if (ret)
		return ret;
	ret = ioas_map(host->queue, ioas_mem_va(host->own), host->own_bytes, IOAS_RW,
		       &host->own_iova);
	if (!ret)
		return 0;
	nvme_say("map of queues: %s", ioas_queue_error(host->queue));
	ioas_mem_free(host->own);
	host->own = NULL;
	return ret;
}

/* A device model has no such thing. */
static void watch_removal(struct nvme_host *host)
{
	host->removal = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (host->removal >= 0 &&
	    ioas_pci_irq_set(host->dev, IOAS_PCI_REMOVAL, &host->removal, 1)) {
		close(host->removal);
		host->removal = -1;
	}
}

bool nvme_host_is_wanted(const struct nvme_host *host)
{
	struct pollfd poller = { .fd = host->removal, .events = POLLIN };

	return host->removal >= 0 && poll(&poller, 1, 0) == 1;
}

int nvme_host_open(struct nvme_host *host, const char *backend, const char *device,
		   enum ioas_kind kind, enum nvme_mode mode, unsigned int queues)
{
	const struct ioas_ctx_opts opts = { .size = sizeof(opts),
					    .backend = backend,
					    .log = log_line };
	int ret;

	memset(host, 0, sizeof(*host));
	host->mode = mode;
	host->removal = -1;
	host->own_bytes = queues * OWN_BYTES;
	ret = ioas_ctx_open(&opts, &host->ctx);
	if (ret)
		return nvme_fail(ret, "no context");
	/* What the library says of a failure has been printed by log_line(). */
	ret = ioas_dev_bind(host->ctx, device, &host->dev);
	ret = ret ?: make_space(host, kind);
	ret = ret ?: ioas_attach(host->as, host->dev);
	host->attached = !ret;
	ret = ret ?: ioas_queue_create(host->as, &host->queue);
	ret = ret ?: make_own_memory(host);
	if (!ret) {
		watch_removal(host);
		return 0;
	}
	nvme_fail(ret, "device %s cannot be used with backend %s", device,
		  ioas_ctx_backend(host->ctx));
	nvme_host_close(host);
	return ret;
}

void nvme_host_close(struct nvme_host *host)
{
	int ret = 0;

	if (host->own) {
		ret = ioas_unmap(host->queue, host->own_iova, host->own_bytes);
		ret = ret ?: ioas_flush(host->queue);
		if (ret)
			nvme_say("unmap of queues: %s", ioas_queue_error(host->queue));
		ret = ret ?: ioas_mem_free(host->own);
	}
	if (host->cache)
		ret = ret ?: ioas_regcache_destroy(host->cache);
	if (host->queue)
		ret = ret ?: ioas_queue_destroy(host->queue);
	if (host->dev) {
		if (host->attached)
			ret = ret ?: ioas_detach(host->dev);
		ret = ret ?: ioas_dev_unbind(host->dev);
	}
	if (host->as)
		ret = ret ?: ioas_destroy(host->as);
	if (host->ctx)
		ret = ret ?: ioas_ctx_close(host->ctx);
	if (ret)
		nvme_fail(ret, "closing: something stays open until the program ends");
	if (host->removal >= 0)
		close(host->removal);
	memset(host, 0, sizeof(*host));
}

void *nvme_host_alloc(struct nvme_host *host, size_t bytes, ioas_iova_t *iova)
{
	const size_t at = host->own_used;

	bytes = (bytes + IOAS_PAGE_SIZE - 1) & ~(IOAS_PAGE_SIZE - 1);
	if (bytes > host->own_bytes - at) {
		nvme_say("the driver's own memory of %zu bytes is used up", host->own_bytes);
		return NULL;
	}
	host->own_used += bytes;
	*iova = host->own_iova + at;
	return (char *)ioas_mem_va(host->own) + at;
}

bool nvme_host_is_user(const struct nvme_host *host)
{
	return ioas_get_kind(host->as) == IOAS_KIND_USER;
}

uint64_t nvme_host_faults(struct nvme_host *host, bool show)
{
	struct ioas_stats stats = { .size = sizeof(stats) };
	struct ioas_fault faults[4];
	int count;

	if (show) {
		count = ioas_fault_poll(host->ctx, faults, 4);
		for (int i = 0; i < count; i++)
			nvme_say("a DMA was stopped: %s at IOVA 0x%" PRIx64 ", reason %u",
				 faults[i].prot & IOAS_WRITE ? "write" : "read",
				 (uint64_t)faults[i].iova, faults[i].reason);
	}
	ioas_ctx_stats(host->ctx, &stats);
	return stats.faults;
}

uint64_t nvme_host_crossings(const struct nvme_host *host)
{
	struct ioas_stats stats = { .size = sizeof(stats) };

	ioas_ctx_stats(host->ctx, &stats);
	return stats.map_crossings + stats.unmap_crossings + stats.inval_crossings;
}
