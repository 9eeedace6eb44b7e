/* SPDX-License-Identifier: BSD-3-Clause */
/* The process's glue context; see glue.h for its life and its locks. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "glue.h"
#include "log.h"

struct glue glue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.setup_lock = PTHREAD_MUTEX_INITIALIZER,
};
_Thread_local uint64_t glue_thread;

RTE_LOG_REGISTER(glue_logtype, pmd.ioas, NOTICE);

static void log_from_library(void *arg, enum ioas_log_level level, const char *line)
{
	static const uint32_t levels[] = {
		[IOAS_LOG_ERROR] = RTE_LOG_ERR,
		[IOAS_LOG_WARNING] = RTE_LOG_WARNING,
		[IOAS_LOG_INFO] = RTE_LOG_INFO,
		[IOAS_LOG_DEBUG] = RTE_LOG_DEBUG,
	};

	(void)arg;
	rte_log((unsigned int)level < RTE_DIM(levels) ? levels[level] : RTE_LOG_INFO, glue_logtype,
		"ioas: %s\n", line);
}

void glue_log_failure(const char *what, int rc)
{
	char text[256] = "";

	if (glue.ctx != NULL)
		ioas_ctx_error(glue.ctx, text, sizeof(text));
	GLUE_LOG(ERR, "%s: %s%s%s", what, strerror(-rc), text[0] != '\0' ? ": " : "", text);
}

#define FAULTS_LOGGED 16 /* one by one; the rest is counted */

/* Real devices only: those of "soft" are asked for theirs (rogue.c). */
static void on_fault(void *arg, const struct ioas_fault *fault)
{
	uint64_t count = __atomic_add_fetch(&glue.faults, 1, __ATOMIC_RELAXED);

	(void)arg;
	if (count <= FAULTS_LOGGED)
		GLUE_LOG(WARNING, "fault: %s, %s of 0x%" PRIx64 " was stopped, reason %u%s",
			 fault->dev != NULL ? ioas_dev_name(fault->dev) : "a device",
			 fault->prot == IOAS_WRITE ? "write" : "read", (uint64_t)fault->iova,
			 fault->reason, count == FAULTS_LOGGED ? "; more are only counted" : "");
}

/* Keys that @want leaves out come from IOAS_DPDK, then from the defaults. */
static int merge_config(const struct glue_config *want, struct glue_config *config)
{
	int rc;

	glue_config_defaults(config);
	rc = glue_config_parse("IOAS_DPDK", getenv("IOAS_DPDK"), config, NULL);
	if (rc != 0)
		return rc;
	if (want->given & GLUE_GIVEN_MODE)
		config->mode = want->mode;
	if (want->given & GLUE_GIVEN_BACKEND)
		memcpy(config->backend, want->backend, sizeof(config->backend));
	if (want->given & GLUE_GIVEN_BACKEND_OPTIONS)
		memcpy(config->backend_options, want->backend_options,
		       sizeof(config->backend_options));
	if (want->given & GLUE_GIVEN_BATCH_MAX)
		config->batch_max = want->batch_max;
	if (want->given & GLUE_GIVEN_BATCH_NS)
		config->batch_ns = want->batch_ns;
	if (want->given & GLUE_GIVEN_CACHE)
		config->refuse_cache = want->refuse_cache;
	config->given |= want->given;
	return 0;
}

/* Where user space cannot own the table, the kernel's takes a map and an unmap of each buffer. */
static bool has_user_tables(void)
{
	struct ioas_caps caps = { .size = sizeof(caps) };

	return ioas_ctx_caps(glue.ctx, &caps) == 0 && (caps.kinds & (1U << IOAS_KIND_USER));
}

static int create_space(const struct glue_config *config)
{
	struct ioas_opts opts = { .size = sizeof(opts) };
	int rc;

	switch (config->mode) {
	case GLUE_MODE_PASSTHROUGH:
		opts.kind = IOAS_KIND_PASSTHROUGH;
		glue.visibility = GLUE_VISIBLE_ALWAYS;
		break;
	case GLUE_MODE_STATIC:
		opts.kind = IOAS_KIND_KERNEL;
		glue.visibility = GLUE_VISIBLE_ALWAYS;
		break;
	case GLUE_MODE_PERCALL:
		opts.kind = IOAS_KIND_KERNEL;
		glue.visibility = GLUE_VISIBLE_CALLS;
		break;
	default:
		opts.kind = has_user_tables() ? IOAS_KIND_USER : IOAS_KIND_KERNEL;
		glue.visibility =
			opts.kind == IOAS_KIND_USER ? GLUE_VISIBLE_WINDOW : GLUE_VISIBLE_CALLS;
		break;
	}
	if (config->mode == GLUE_MODE_BATCHED && opts.kind == IOAS_KIND_USER) {
		/* Pools use up the other half: see glue_warm_max() and pool_sweep(). */
		opts.mode = IOAS_BATCHED;
		opts.batch_max = RTE_MAX(config->batch_max / 2, 1U);
		opts.batch_ns = RTE_MAX(config->batch_ns / 2, UINT64_C(100000));
	}
	rc = ioas_create(glue.ctx, &opts, &glue.as);
	if (rc != 0)
		glue_log_failure("address space", rc);
	return rc;
}

static void close_all(void)
{
	int rc = 0;

	glue_pci_release();
	glue_eal_memory_stop();
	glue_dma_unmap_all();
	for (unsigned int i = 0; i < GLUE_LCORES; i++) {
		if (glue.lcores[i].queue == NULL)
			continue;
		ioas_queue_adopt(glue.lcores[i].queue);
		rc = ioas_queue_destroy(glue.lcores[i].queue);
		if (rc != 0)
			glue_log_failure("queue", rc);
		glue.lcores[i].queue = NULL;
	}
	for (unsigned int i = 0; i < GLUE_LCORES; i++)
		glue.lcores[i].owner = 0;
	if (glue.setup_queue != NULL) {
		ioas_queue_adopt(glue.setup_queue);
		rc = ioas_queue_destroy(glue.setup_queue);
		if (rc != 0)
			glue_log_failure("queue", rc);
	}
	if (glue.as != NULL) {
		rc = ioas_destroy(glue.as);
		if (rc != 0)
			glue_log_failure("address space", rc);
	}
	if (glue.ctx != NULL) {
		rc = ioas_ctx_close(glue.ctx);
		if (rc != 0)
			glue_log_failure("context", rc);
	}
	glue.setup_queue = NULL;
	glue.as = NULL;
	glue.ctx = NULL;
}

static int open_all(const struct glue_config *config)
{
	struct ioas_ctx_opts opts = {
		.size = sizeof(opts),
		.backend = config->backend,
		.backend_options = config->backend_options[0] ? config->backend_options : NULL,
		.log = log_from_library,
		.fault = strcmp(config->backend, "soft") != 0 ? on_fault : NULL,
	};
	int rc;

	for (unsigned int i = 0; i < GLUE_LCORES; i++) {
		rte_spinlock_init(&glue.lcores[i].lock);
		glue.lcores[i].id = i;
	}
	rc = ioas_ctx_open(&opts, &glue.ctx);
	if (rc != 0) {
		GLUE_LOG(ERR, "cannot open backend '%s' (options '%s'): %s", config->backend,
			 config->backend_options, strerror(-rc));
		return rc;
	}
	rc = glue_pci_bind();
	if (rc == 0)
		rc = create_space(config);
	if (rc == 0 && config->mode != GLUE_MODE_PASSTHROUGH) {
		rc = ioas_queue_create(glue.as, &glue.setup_queue);
		if (rc != 0)
			glue_log_failure("queue", rc);
	}
	if (rc == 0 && (config->mode == GLUE_MODE_STATIC || glue.pci != NULL))
		rc = glue_eal_memory_start();
	if (rc == 0)
		rc = glue_pci_attach();
	if (rc != 0) {
		close_all();
		return rc;
	}
	GLUE_LOG(NOTICE, "mode %s on backend %s: %s", glue_mode_name(config->mode),
		 ioas_ctx_backend(glue.ctx), ioas_ctx_why(glue.ctx));
	return 0;
}

int glue_wants_devices(const struct glue_config *want)
{
	struct glue_config config;
	int rc = merge_config(want, &config);

	return rc != 0 ? rc : strcmp(config.backend, "soft") != 0;
}

void glue_log_counters(void)
{
	struct ioas_stats stats = { .size = sizeof(stats) };

	if (ioas_ctx_stats(glue.ctx, &stats) != 0)
		return;
	GLUE_LOG(NOTICE,
		 "mode %s on %s: maps=%" PRIu64 " unmaps=%" PRIu64 " map_calls=%" PRIu64
		 " unmap_calls=%" PRIu64 " invalidation_calls=%" PRIu64 " faults=%" PRIu64,
		 glue_mode_name(glue.config.mode), ioas_ctx_backend(glue.ctx), stats.maps,
		 stats.unmaps, stats.map_crossings, stats.unmap_crossings, stats.inval_crossings,
		 stats.faults);
}

int glue_open(const struct glue_config *want)
{
	struct glue_config config;
	const char *key;
	int rc = 0;

	pthread_mutex_lock(&glue.lock);
	if (glue.users == 0) {
		rc = merge_config(want, &config);
		if (rc == 0)
			rc = open_all(&config);
		if (rc == 0)
			glue.config = config;
	} else {
		key = glue_config_conflict(&glue.config, want);
		if (key != NULL) {
			GLUE_LOG(ERR,
				 "%s: differs from what this process runs with already (mode %s): "
				 "give all ports the same, or set it in IOAS_DPDK",
				 key, glue_mode_name(glue.config.mode));
			rc = -EINVAL;
		}
	}
	if (rc == 0)
		glue.users++;
	pthread_mutex_unlock(&glue.lock);
	return rc;
}

void glue_close(void)
{
	pthread_mutex_lock(&glue.lock);
	if (--glue.users == 0)
		close_all();
	pthread_mutex_unlock(&glue.lock);
}

uint64_t glue_exposure_ns(void)
{
	return glue.config.mode == GLUE_MODE_BATCHED ? glue.config.batch_ns : 0;
}

uint32_t glue_warm_max(void)
{
	return RTE_MIN(glue.config.batch_max / 2, (uint32_t)GLUE_WARM_MAX);
}

int glue_lcore_own(struct glue_lcore *lcore)
{
	static uint64_t threads; /* numbers given out; a number is never used twice */
	int rc = 0;

	if (glue_thread == 0)
		glue_thread = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
	if (glue.visibility != GLUE_VISIBLE_ALWAYS) {
		if (lcore->queue == NULL)
			rc = ioas_queue_create(glue.as, &lcore->queue);
		else
			ioas_queue_adopt(lcore->queue);
	}
	if (rc != 0) {
		glue_log_failure("queue", rc);
		return rc;
	}
	lcore->owner = glue_thread;
	return 0;
}

int glue_dev_add(const char *name, struct ioas_dev **dev)
{
	int rc = ioas_dev_bind(glue.ctx, name, dev);

	if (rc != 0) {
		glue_log_failure(name, rc);
		return rc;
	}
	rc = ioas_attach(glue.as, *dev);
	if (rc != 0) {
		glue_log_failure(name, rc);
		ioas_dev_unbind(*dev);
	}
	return rc;
}

void glue_dev_remove(struct ioas_dev *dev)
{
	int rc = ioas_detach(dev);

	if (rc == 0)
		rc = ioas_dev_unbind(dev);
	if (rc != 0)
		glue_log_failure("device", rc);
}

int glue_map_locked(struct glue_region *region, bool map)
{
	ioas_iova_t iova = (uintptr_t)region->va;
	int rc = ioas_mem_register(glue.ctx, region->va, region->bytes, &region->mem);

	if (rc != 0) {
		glue_log_failure("register memory", rc);
		region->mem = NULL;
		return rc;
	}
	if (!map)
		return 0;
	ioas_queue_adopt(glue.setup_queue);
	rc = ioas_map(glue.setup_queue, region->va, region->bytes, IOAS_RW | IOAS_MAP_IDENTITY,
		      &iova);
	if (rc != 0) {
		GLUE_LOG(ERR, "map %zu bytes at %p: %s: %s", region->bytes, region->va,
			 strerror(-rc), ioas_queue_error(glue.setup_queue));
		ioas_mem_free(region->mem);
		region->mem = NULL;
		return rc;
	}
	region->mapped = true;
	return 0;
}

void glue_unmap_locked(struct glue_region *region)
{
	int rc = 0;

	if (region->mem == NULL)
		return;
	if (region->mapped) {
		ioas_queue_adopt(glue.setup_queue);
		rc = ioas_unmap(glue.setup_queue, (uintptr_t)region->va, region->bytes);
		/* The memory is about to be somebody else's: no batching here. */
		if (rc == 0)
			rc = ioas_flush(glue.setup_queue);
	}
	if (rc == 0)
		rc = ioas_mem_free(region->mem);
	if (rc != 0)
		glue_log_failure("release memory", rc);
	region->mem = NULL;
	region->mapped = false;
}

int glue_region_add(void *va, size_t bytes, bool map, struct glue_region **region)
{
	struct glue_region *new;
	int rc;

	*region = NULL;
	if (glue.visibility == GLUE_VISIBLE_ALWAYS)
		return 0;
	new = calloc(1, sizeof(*new));
	if (new == NULL)
		return -ENOMEM;
	new->va = va;
	new->bytes = bytes;
	pthread_mutex_lock(&glue.setup_lock);
	rc = glue_map_locked(new, map);
	pthread_mutex_unlock(&glue.setup_lock);
	if (rc != 0)
		free(new);
	else
		*region = new;
	return rc;
}

void glue_region_remove(struct glue_region *region)
{
	if (region == NULL)
		return;
	pthread_mutex_lock(&glue.setup_lock);
	glue_unmap_locked(region);
	pthread_mutex_unlock(&glue.setup_lock);
	free(region);
}
