/* SPDX-License-Identifier: BSD-3-Clause */
/* Beginning and end of the environment, in the order in which its parts depend on each other. */
#include "ioas_env.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

#define NAME "spdk"

/*
 * IOVAs that every IOMMU and every device can have: above 4 GiB, where machines have no holes for
 * interrupts and firmware, and below the 39 bits of the smallest VT-d. So memory can be mapped
 * before it is known which devices will come.
 */
#define IOVA_START (UINT64_C(1) << 32)
#define IOVA_LAST  ((UINT64_C(1) << 39) - 1)

struct ioas_env ioas_env = { .lock = PTHREAD_MUTEX_INITIALIZER, .generation = 1 };

int ioas_env_fail(int code, const char *what)
{
	char text[256] = "";

	if (ioas_env.ctx)
		ioas_ctx_error(ioas_env.ctx, text, sizeof(text));
	SPDK_ERRLOG("ioas: %s: %s%s%s\n", what, strerror(-code), *text ? ": " : "", text);
	return code;
}

static void log_line(void *arg, enum ioas_log_level level, const char *line)
{
	static const enum spdk_log_level levels[] = {
		[IOAS_LOG_ERROR] = SPDK_LOG_ERROR,
		[IOAS_LOG_WARNING] = SPDK_LOG_WARN,
		[IOAS_LOG_INFO] = SPDK_LOG_INFO,
		[IOAS_LOG_DEBUG] = SPDK_LOG_DEBUG,
	};

	(void)arg;
	spdk_log(levels[level], __FILE__, __LINE__, __func__, "ioas: %s\n", line);
}

static void fault(void *arg, const struct ioas_fault *fault)
{
	(void)arg;
	SPDK_ERRLOG("ioas: %s: DMA stopped: %s at IOVA 0x%" PRIx64 ", reason %" PRIu32 "\n",
		    fault->dev ? ioas_dev_name(fault->dev) : "a device",
		    fault->prot & IOAS_WRITE ? "write" : "read", (uint64_t)fault->iova,
		    fault->reason);
}

static int open_context(const char *text)
{
	struct ioas_env_settings settings;
	struct ioas_ctx_opts opts = { .size = sizeof(opts), .log = log_line, .fault = fault };
	int ret = ioas_env_settings_read(text, &settings);

	if (ret)
		return ret;
	opts.backend = *settings.backend ? settings.backend : NULL;
	opts.backend_options = *settings.options ? settings.options : NULL;
	ret = ioas_ctx_open(&opts, &ioas_env.ctx);
	if (ret)
		return ioas_env_fail(ret, "no context");
	SPDK_NOTICELOG("ioas: backend %s (%s)\n", ioas_ctx_backend(ioas_env.ctx),
		       ioas_ctx_why(ioas_env.ctx));
	return 0;
}

static int open_space(void)
{
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	int ret = ioas_ctx_caps(ioas_env.ctx, &caps);

	if (!ret && caps.iova.start <= IOVA_START && caps.iova.last >= IOVA_LAST)
		opts.aperture = (struct ioas_range){ .start = IOVA_START, .last = IOVA_LAST };
	ret = ret ?: ioas_create(ioas_env.ctx, &opts, &ioas_env.as);
	ret = ret ?: ioas_queue_create(ioas_env.as, &ioas_env.queue);
	return ret ? ioas_env_fail(ret, "no address space") : 0;
}

/* What stays open because of an error is leaked, and reported. */
static void close_space(void)
{
	int ret = 0;

	if (ioas_env.queue) {
		ioas_queue_adopt(ioas_env.queue);
		ret = ioas_queue_destroy(ioas_env.queue);
	}
	if (ioas_env.as)
		ret = ret ?: ioas_destroy(ioas_env.as);
	if (ioas_env.ctx)
		ret = ret ?: ioas_ctx_close(ioas_env.ctx);
	if (ret)
		ioas_env_fail(ret, "closing");
	ioas_env.queue = NULL;
	ioas_env.as = NULL;
	ioas_env.ctx = NULL;
}

/* Members that the caller's version of the structure does not have are left alone. */
#define FIELD_OK(opts, field) \
	(offsetof(struct spdk_env_opts, field) + sizeof((opts)->field) <= (opts)->opts_size)

void spdk_env_opts_init(struct spdk_env_opts *opts)
{
	const size_t bytes = opts ? opts->opts_size : 0;

	if (bytes < offsetof(struct spdk_env_opts, opts_size) + sizeof(bytes))
		return;
	memset(opts, 0, bytes < sizeof(*opts) ? bytes : sizeof(*opts));
	opts->opts_size = bytes;
	opts->name = NAME;
	opts->core_mask = "0x1";
	opts->shm_id = -1;
	opts->mem_size = -1;
	opts->main_core = -1;
	opts->mem_channel = -1;
}

static int check_options(const struct spdk_env_opts *opts)
{
	if (!FIELD_OK(opts, opts_size)) {
		SPDK_ERRLOG("ioas: opts_size: %zu is too small\n", opts->opts_size);
		return -EINVAL;
	}
	if (opts->iova_mode && !strcmp(opts->iova_mode, "pa")) {
		SPDK_ERRLOG("ioas: iova_mode: no physical addresses here, leave it out\n");
		return -EINVAL;
	}
	if (opts->shm_id >= 0)
		SPDK_WARNLOG("ioas: shm_id: %d is ignored: no memory is shared with other "
			     "processes\n",
			     opts->shm_id);
	return 0;
}

int spdk_env_init(const struct spdk_env_opts *opts)
{
	const char *text;
	int ret;

	/* Called again without options after spdk_env_fini(): nothing was kept. */
	if (!opts || ioas_env.is_open) {
		SPDK_ERRLOG("ioas: spdk_env_init: %s\n", opts ? "called twice" : "no options");
		return opts ? -EALREADY : -EINVAL;
	}
	ret = check_options(opts);
	if (ret)
		return ret;
	text = opts->env_context ? opts->env_context : getenv(IOAS_ENV_SETTINGS);
	ioas_env.no_pci = opts->no_pci;
	ioas_env.small_pages = opts->no_huge;
	ioas_env.generation++;
	ret = ioas_env_cores_open(opts);
	ret = ret ?: open_context(text);
	ret = ret ?: open_space();
	ret = ret ?: ioas_env_heap_open(opts->mem_size);
	ret = ret ?: ioas_env_pci_open(opts);
	ioas_env.is_open = true;
	if (ret)
		spdk_env_fini();
	return ret;
}

void spdk_env_fini(void)
{
	if (!ioas_env.is_open)
		return;
	ioas_env_pci_close();
	ioas_env_memzones_close();
	ioas_env_holds_close();
	ioas_env_queues_close();
	ioas_env_heap_close();
	ioas_env_regions_remove_all();
	close_space();
	ioas_env_cores_close();
	ioas_env.is_open = false;
}

/* There are no secondary processes. */
bool spdk_process_is_primary(void)
{
	return true;
}
