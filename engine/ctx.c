/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts: one open backend; counters. */
#include "objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Choice of a backend. */

const struct be_ops *ctx_find_backend(const char *name)
{
	for (unsigned int i = 0; be_all[i]; i++)
		if (!strcmp(be_all[i]->name, name))
			return be_all[i];
	return NULL;
}

static int unknown_backend(struct ioas_ctx *ctx, const char *name)
{
	char names[DIAG_TEXT_BYTES / 2] = "";

	for (unsigned int i = 0; be_all[i]; i++) {
		strncat(names, " ", sizeof(names) - strlen(names) - 1);
		strncat(names, be_all[i]->name, sizeof(names) - strlen(names) - 1);
	}
	return diag_fail(&ctx->diag, -ENODEV, "backend \"%s\": unknown; there are: auto%s", name,
			 names);
}

/* The first that works here. */
static const struct be_ops *choose(struct ioas_ctx *ctx)
{
	char why[DIAG_TEXT_BYTES - 64];

	for (unsigned int i = 0; be_all[i]; i++) {
		if (!be_all[i]->probe(why, sizeof(why))) {
			snprintf(ctx->why, sizeof(ctx->why), "%s, the first that works here: %s",
				 be_all[i]->name, why);
			return be_all[i];
		}
		diag_log(&ctx->diag, IOAS_LOG_DEBUG, "backend %s: %s", be_all[i]->name, why);
	}
	return NULL;
}

static int open_backend(struct ioas_ctx *ctx, const struct ioas_ctx_opts *opts, void *arg)
{
	const struct be_ops *ops;

	if (!opts->backend || !strcmp(opts->backend, "auto")) {
		if (opts->backend_options)
			return diag_fail(&ctx->diag, -EINVAL,
					 "backend_options: they go with a backend by name");
		ops = choose(ctx);
		if (!ops)
			return diag_fail(&ctx->diag, -ENODEV, "no backend works here");
	} else {
		ops = ctx_find_backend(opts->backend);
		if (!ops)
			return unknown_backend(ctx, opts->backend);
		/*
		 * Not probed first: with files that another process has opened it may work where a
		 * probe finds nothing. open() says what is missing.
		 */
		snprintf(ctx->why, sizeof(ctx->why), "%s, as asked for", ops->name);
	}
	return ops->open(&ctx->diag, opts->backend_options, &ctx->be);
}

/* Opening and closing. */

/* A structure of a newer caller is fine as long as it says nothing that we do not know. */
static int read_options(const struct ioas_ctx_opts *given, struct ioas_ctx_opts *opts)
{
	const uint8_t *bytes = (const uint8_t *)given;

	memset(opts, 0, sizeof(*opts));
	if (!given)
		return 0;
	if (given->size < sizeof(given->size))
		return -EINVAL;
	for (uint32_t i = sizeof(*opts); i < given->size; i++)
		if (bytes[i])
			return -E2BIG;
	memcpy(opts, given, given->size < sizeof(*opts) ? given->size : sizeof(*opts));
	return opts->reserved ? -EINVAL : 0;
}

void ctx_free(struct ioas_ctx *ctx)
{
	requests_destroy(&ctx->requests);
	service_stop(ctx);
	if (ctx->be)
		ctx->be->ops->close(ctx->be);
	vamap_destroy(&ctx->mems);
	pthread_mutex_destroy(&ctx->admin);
	pthread_mutex_destroy(&ctx->lock);
	pthread_mutex_destroy(&ctx->mem_lock);
	pthread_mutex_destroy(&ctx->faults.lock);
	pthread_mutex_destroy(&ctx->diag.lock);
	free(ctx);
}

int ctx_make(const struct ioas_ctx_opts *given, ctx_open_fn open, void *arg, struct ioas_ctx **out)
{
	struct ioas_ctx_opts opts;
	struct ioas_ctx *ctx;
	int ret = read_options(given, &opts);

	if (ret) {
		if (ret == -EINVAL && opts.log)
			opts.log(opts.log_arg, IOAS_LOG_ERROR, "ioas_ctx_opts: size or reserved");
		return ret;
	}
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return -ENOMEM;
	diag_init(&ctx->diag, opts.log, opts.log_arg);
	pthread_mutex_init(&ctx->admin, NULL);
	pthread_mutex_init(&ctx->lock, NULL);
	pthread_mutex_init(&ctx->mem_lock, NULL);
	pthread_mutex_init(&ctx->faults.lock, NULL);
	service_init(&ctx->service);
	requests_init(&ctx->requests);
	CDS_INIT_LIST_HEAD(&ctx->spaces);
	CDS_INIT_LIST_HEAD(&ctx->devices);
	CDS_INIT_LIST_HEAD(&ctx->mem_list);
	ctx->fault = opts.fault;
	ctx->fault_arg = opts.fault_arg;
	ret = vamap_init(&ctx->mems, VAMAP_OBJECTS);
	ret = ret ?: open(ctx, &opts, arg);
	if (!ret && ctx->fault)
		ret = service_start(ctx);
	if (ret) {
		ctx_free(ctx);
		return ret;
	}
	ctx->be->ops->caps(ctx->be, &ctx->caps);
	diag_log(&ctx->diag, IOAS_LOG_INFO, "backend %s", ctx->why);
	*out = ctx;
	return 0;
}

int ioas_ctx_open(const struct ioas_ctx_opts *opts, struct ioas_ctx **ctx)
{
	return ctx_make(opts, open_backend, NULL, ctx);
}

/* Memory that the user registered. */
static unsigned int count_mems(const struct ioas_ctx *ctx)
{
	unsigned int count = 0;
	const struct ioas_mem *mem;

	cds_list_for_each_entry (mem, &ctx->mem_list, entry)
		count++;
	return count;
}

int ioas_ctx_close(struct ioas_ctx *ctx)
{
	unsigned int mems;

	pthread_mutex_lock(&ctx->admin);
	mems = count_mems(ctx);
	if (ctx->device_count || ctx->space_count || mems) {
		pthread_mutex_unlock(&ctx->admin);
		return diag_fail(&ctx->diag, -EBUSY,
				 "context: %u devices, %u address spaces, %u memories of it exist",
				 ctx->device_count, ctx->space_count, mems);
	}
	auto_parent_free(ctx);
	pthread_mutex_unlock(&ctx->admin);
	ctx_free(ctx);
	return 0;
}

/* Reading. */

const char *ioas_ctx_backend(const struct ioas_ctx *ctx)
{
	return ctx->be->ops->name;
}

const char *ioas_ctx_why(const struct ioas_ctx *ctx)
{
	return ctx->why;
}

void ioas_ctx_error(struct ioas_ctx *ctx, char *text, size_t text_bytes)
{
	if (!text_bytes)
		return;
	pthread_mutex_lock(&ctx->diag.lock);
	snprintf(text, text_bytes, "%s", ctx->diag.text);
	pthread_mutex_unlock(&ctx->diag.lock);
}

static int bad_size(struct ioas_ctx *ctx, const char *what, uint32_t size)
{
	return diag_fail(&ctx->diag, -EINVAL, "size: %u is not that of struct %s", size, what);
}

int ioas_ctx_caps(struct ioas_ctx *ctx, struct ioas_caps *caps)
{
	if (caps->size != sizeof(*caps))
		return bad_size(ctx, "ioas_caps", caps->size);
	pthread_mutex_lock(&ctx->admin);
	*caps = (struct ioas_caps){
		.size = sizeof(*caps),
		.kinds = ctx->caps.kinds,
		.user_formats = ctx->caps.user_formats,
		.page_requests = ctx->caps.page_requests,
		.page_sizes = ctx->caps.page_sizes,
		.iova = ctx->caps.iova,
		.max_maps = ctx->caps.max_maps,
	};
	pthread_mutex_unlock(&ctx->admin);
	return 0;
}

/* Counters. */

static void add_counters(uint64_t *sum, const struct counters *counters)
{
	for (unsigned int i = 0; i < COUNTERS; i++)
		sum[i] += atomic_load_explicit(&counters->value[i], memory_order_relaxed);
}

/* Those that queues count. */
static struct ioas_stats stats_of(const uint64_t *sum)
{
	return (struct ioas_stats){
		.size = sizeof(struct ioas_stats),
		.maps = sum[COUNTER_MAPS],
		.unmaps = sum[COUNTER_UNMAPS],
		.map_crossings = sum[COUNTER_MAP_CROSSINGS],
		.unmap_crossings = sum[COUNTER_UNMAP_CROSSINGS],
		.inval_asked = sum[COUNTER_INVAL_ASKED],
		.inval_merged = sum[COUNTER_INVAL_MERGED],
		.commit_joins = sum[COUNTER_COMMIT_JOINS],
	};
}

int ioas_queue_stats(const struct ioas_queue *q, struct ioas_stats *stats)
{
	uint64_t sum[COUNTERS] = { 0 };

	if (stats->size != sizeof(*stats))
		return bad_size(q->as->ctx, "ioas_stats", stats->size);
	add_counters(sum, &q->counters);
	*stats = stats_of(sum);
	return 0;
}

int ioas_ctx_stats(struct ioas_ctx *ctx, struct ioas_stats *stats)
{
	uint64_t sum[COUNTERS] = { 0 };
	struct inval_totals inval;
	uint64_t table_bytes = 0;
	struct ioas_queue *q;
	struct ioas *as;

	if (stats->size != sizeof(*stats))
		return bad_size(ctx, "ioas_stats", stats->size);
	pthread_mutex_lock(&ctx->lock);
	add_counters(sum, &ctx->gone);
	inval = ctx->gone_inval;
	cds_list_for_each_entry (as, &ctx->spaces, entry) {
		cds_list_for_each_entry (q, &as->queues, entry)
			add_counters(sum, &q->counters);
		if (as->kind != IOAS_KIND_USER)
			continue;
		inval_count(&as->inval, &inval);
		table_bytes += pt_table_bytes(as->pt);
	}
	pthread_mutex_unlock(&ctx->lock);
	*stats = stats_of(sum);
	stats->inval_crossings = inval.crossings;
	stats->inval_merged += inval.merged;
	stats->inval_issued = inval.issued;
	stats->inval_flushes = inval.flushes;
	stats->commits = inval.commits;
	stats->bytes_pinned = atomic_load_explicit(&ctx->bytes_pinned, memory_order_relaxed);
	stats->table_bytes = table_bytes;
	faults_count(ctx, &stats->faults, &stats->faults_lost);
	requests_count(ctx, &stats->page_requests, &stats->page_requests_refused);
	return 0;
}
