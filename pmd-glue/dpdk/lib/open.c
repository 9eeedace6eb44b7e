/* SPDX-License-Identifier: BSD-3-Clause */
/* Open and close: what belongs together, in the order in which it depends on each other. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "lib.h"

RTE_LOG_REGISTER(lib_logtype, lib.ioas, NOTICE);

static void readers_end(struct ioas_dpdk *glue)
{
	if (glue->has_readers)
		readers_put();
	glue->has_readers = false;
}

void ioas_dpdk_log(void *arg, enum ioas_log_level level, const char *line)
{
	static const uint32_t levels[] = {
		[IOAS_LOG_ERROR] = RTE_LOG_ERR,
		[IOAS_LOG_WARNING] = RTE_LOG_WARNING,
		[IOAS_LOG_INFO] = RTE_LOG_INFO,
		[IOAS_LOG_DEBUG] = RTE_LOG_DEBUG,
	};

	(void)arg;
	rte_log((unsigned int)level < RTE_DIM(levels) ? levels[level] : RTE_LOG_INFO, lib_logtype,
		"ioas: %s\n", line);
}

static void say(struct ioas_dpdk *glue, const char *what, int rc)
{
	char text[256] = "";

	if (glue->ctx != NULL)
		ioas_ctx_error(glue->ctx, text, sizeof(text));
	LIB_LOG(ERR, "%s: %s: %s%s%s", glue->name, what, strerror(-rc), text[0] ? ": " : "", text);
}

static int read_name(const char *name, char *copy)
{
	const size_t length = strlen(name);

	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)name[i]) && strchr("_-.", name[i]) == NULL) {
			LIB_LOG(ERR, "name: '%s': want letters, digits, '_', '-', '.'", name);
			return -EINVAL;
		}
	}
	if (length == 0 || length >= IOAS_DPDK_NAME_BYTES) {
		LIB_LOG(ERR, "name: '%s': empty, or not shorter than %d", name,
			IOAS_DPDK_NAME_BYTES);
		return -EINVAL;
	}
	memcpy(copy, name, length + 1);
	return 0;
}

static int check_options(const struct ioas_dpdk_opts *opts)
{
	const uint32_t known = IOAS_DPDK_NO_MEMORY | IOAS_DPDK_REGISTER | IOAS_DPDK_KEEP_PAGES |
			       IOAS_DPDK_POLL_FAULTS;

	if (opts->size != sizeof(*opts)) {
		LIB_LOG(ERR, "size: %u is not that of struct ioas_dpdk_opts", opts->size);
		return -EINVAL;
	}
	if ((opts->flags & ~known) != 0) {
		LIB_LOG(ERR, "flags: 0x%x: unknown", opts->flags & ~known);
		return -EINVAL;
	}
	if ((opts->flags & IOAS_DPDK_NO_MEMORY) != 0 &&
	    (opts->flags & (IOAS_DPDK_REGISTER | IOAS_DPDK_KEEP_PAGES)) != 0) {
		LIB_LOG(ERR, "flags: NO_MEMORY excludes REGISTER and KEEP_PAGES");
		return -EINVAL;
	}
	if (opts->qsbr != NULL && opts->space != NULL && opts->space->readers != NULL) {
		LIB_LOG(ERR, "qsbr: space->readers is given as well");
		return -EINVAL;
	}
	if (opts->ctx != NULL && opts->ctx->fault != NULL &&
	    (opts->flags & IOAS_DPDK_POLL_FAULTS) != 0) {
		LIB_LOG(ERR, "flags: POLL_FAULTS, and ctx->fault is given as well");
		return -EINVAL;
	}
	return 0;
}

static int open_context(struct ioas_dpdk *glue, const struct ioas_dpdk_opts *opts)
{
	struct ioas_ctx_opts ctx = { .size = sizeof(ctx) };
	int rc;

	if (opts->ctx != NULL)
		ctx = *opts->ctx;
	if (ctx.log == NULL)
		ctx.log = ioas_dpdk_log;
	if ((opts->flags & IOAS_DPDK_POLL_FAULTS) == 0) {
		glue->fault = ctx.fault;
		glue->fault_arg = ctx.fault_arg;
		ctx.fault = fault_record;
		ctx.fault_arg = glue;
	}
	rc = ioas_ctx_open(&ctx, &glue->ctx);
	if (rc != 0)
		say(glue, "ctx", rc);
	for (uint32_t i = 0; i < opts->device_count && rc == 0; i++)
		rc = device_bind(glue, opts->devices[i], NULL);
	return rc;
}

static int open_space(struct ioas_dpdk *glue, const struct ioas_dpdk_opts *opts)
{
	struct ioas_opts space = { .size = sizeof(space), .kind = IOAS_KIND_KERNEL };
	int rc = 0;

	if (opts->space != NULL)
		space = *opts->space;
	if (opts->qsbr != NULL) {
		rc = readers_get(opts->qsbr, &space.readers);
		if (rc != 0) {
			LIB_LOG(ERR, "qsbr: this process has another one open already");
			return rc;
		}
		glue->has_readers = true;
	}
	rc = ioas_create(glue->ctx, &space, &glue->as);
	if (rc != 0)
		say(glue, "space", rc);
	return rc;
}

/* Return: 0, or the first error. What could be taken down has been. */
static int take_down(struct ioas_dpdk *glue)
{
	int rc = 0;

	if (glue->ctx != NULL)
		devices_remove_all(glue);
	queues_destroy(glue);
	if (glue->memory_on) {
		rc = memory_stop(&glue->memory);
		if (rc != 0)
			return rc;
		glue->memory_on = false;
	}
	if (glue->as != NULL) {
		rc = ioas_destroy(glue->as);
		if (rc != 0) {
			say(glue, "space", rc);
			return rc;
		}
		glue->as = NULL;
	}
	readers_end(glue);
	if (glue->ctx != NULL) {
		rc = ioas_ctx_close(glue->ctx);
		if (rc != 0) {
			say(glue, "ctx", rc);
			return rc;
		}
		glue->ctx = NULL;
	}
	return 0;
}

static int open_primary(struct ioas_dpdk *glue, const struct ioas_dpdk_opts *opts)
{
	int rc = share_create(&glue->share);

	if (rc != 0)
		LIB_LOG(ERR, "%s: table: %s", glue->name, strerror(-rc));
	if (rc == 0)
		rc = open_context(glue, opts);
	if (rc == 0)
		rc = open_space(glue, opts);
	if (rc == 0) {
		rc = memory_start(&glue->memory, glue->name, glue->ctx, glue->as, opts->flags,
				  &glue->share);
		glue->memory_on = rc == 0;
	}
	if (rc == 0)
		rc = devices_attach(glue);
	if (rc != 0) {
		take_down(glue);
		return rc;
	}
	LIB_LOG(NOTICE,
		"%s: backend %s (%s), %s space, EAL's IOVA mode %s: %" PRIu64 " MiB in %" PRIu64
		" mappings",
		glue->name, ioas_ctx_backend(glue->ctx), ioas_ctx_why(glue->ctx),
		ioas_kind_name(ioas_get_kind(glue->as)),
		rte_eal_iova_mode() == RTE_IOVA_PA ? "PA" : "VA", glue->memory.bytes >> 20,
		glue->memory.regions);
	return 0;
}

int ioas_dpdk_open(const struct ioas_dpdk_opts *opts, struct ioas_dpdk **out)
{
	const struct ioas_dpdk_opts defaults = { .size = sizeof(defaults) };
	struct ioas_dpdk *glue = calloc(1, sizeof(*glue));
	int rc = glue != NULL ? 0 : -ENOMEM;

	if (opts == NULL)
		opts = &defaults;
	if (rc == 0)
		rc = check_options(opts);
	if (rc == 0)
		rc = read_name(opts->name != NULL ? opts->name : DEFAULT_NAME, glue->name);
	if (rc != 0) {
		free(glue);
		return rc;
	}
	glue->share.fd = -1;
	pthread_mutex_init(&glue->lock, NULL);
	glue->secondary = rte_eal_process_type() == RTE_PROC_SECONDARY;
	rc = registry_reserve(glue);
	if (rc != 0)
		LIB_LOG(ERR, "name: '%s' is open already", glue->name);
	if (rc == 0) {
		rc = glue->secondary ? secondary_open(glue) : open_primary(glue, opts);
		if (rc != 0)
			registry_remove(glue);
	}
	if (rc != 0) {
		share_destroy(&glue->share);
		free(glue);
		return rc;
	}
	telemetry_start();
	cleanup_start();
	if (!glue->secondary)
		primary_start();
	registry_show(glue);
	*out = glue;
	return 0;
}

int ioas_dpdk_close(struct ioas_dpdk *glue)
{
	int rc;

	registry_hide(glue);
	if (glue->secondary) {
		secondary_close(glue);
	} else {
		primary_stop(glue);
		rc = take_down(glue);
		if (rc != 0)
			return rc;
	}
	registry_remove(glue);
	share_destroy(&glue->share);
	pthread_mutex_destroy(&glue->lock);
	free(glue);
	return 0;
}

struct ioas_ctx *ioas_dpdk_ctx(struct ioas_dpdk *glue)
{
	return glue->ctx;
}

struct ioas *ioas_dpdk_space(struct ioas_dpdk *glue)
{
	return glue->as;
}

/* Only the primary can. */
static int not_here(const struct ioas_dpdk *glue, const char *what)
{
	LIB_LOG(ERR, "%s: %s: not in a secondary process", glue->name, what);
	return -ENOTSUP;
}

int ioas_dpdk_sync(struct ioas_dpdk *glue)
{
	if (glue->secondary)
		return not_here(glue, "sync");
	return memory_sync(&glue->memory);
}

int ioas_dpdk_map(struct ioas_dpdk *glue, void *va, size_t bytes, uint64_t iova)
{
	if (glue->secondary)
		return secondary_map(glue, va, bytes, iova);
	return memory_map(&glue->memory, va, bytes, iova, MEMORY_PRIMARY);
}

int ioas_dpdk_unmap(struct ioas_dpdk *glue, void *va, size_t bytes)
{
	if (glue->secondary)
		return secondary_unmap(glue, va, bytes);
	return memory_unmap(&glue->memory, va, bytes, MEMORY_PRIMARY);
}

int ioas_dpdk_lookup(struct ioas_dpdk *glue, const void *va, size_t *bytes, uint64_t *iova)
{
	if (*bytes == 0)
		return -EINVAL;
	if (__atomic_load_n(&glue->primary_gone, __ATOMIC_ACQUIRE))
		return -EOWNERDEAD;
	return share_find(&glue->share, (uintptr_t)va, bytes, iova);
}

int ioas_dpdk_get_stats(struct ioas_dpdk *glue, struct ioas_dpdk_stats *stats)
{
	if (stats->size != sizeof(*stats))
		return -EINVAL;
	if (glue->secondary)
		return not_here(glue, "stats");
	*stats = (struct ioas_dpdk_stats){ .size = sizeof(*stats) };
	memory_stats(&glue->memory, stats);
	stats->secondaries = primary_count(glue);
	return 0;
}
