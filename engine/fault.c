/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults: from the backend into a bounded ring, from there to who polls or to the callback. */
#include "objects.h"
#include "trace.h"

#include <errno.h>

#define AT_ONCE 64

/* faults.lock is held. */
static void put(struct faults *faults, const struct be_fault *fault)
{
	TRACE(fault, fault->dev, fault->iova, fault->reason, fault->prot);
	faults->stopped++;
	if (faults->count == FAULTS_MAX) {
		faults->lost++;
		return;
	}
	faults->ring[(faults->head + faults->count++) % FAULTS_MAX] = (struct ioas_fault){
		.dev = fault->dev ? fault->dev->owner : NULL,
		.iova = fault->iova,
		.reason = fault->reason,
		.prot = fault->prot,
	};
}

/* Returns with faults.lock held. Return: 0 or the backend's error. */
static int drain_and_lock(struct ioas_ctx *ctx)
{
	struct faults *faults = &ctx->faults;
	struct be_fault some[AT_ONCE];
	uint64_t lost = 0;
	int count;

	pthread_mutex_lock(&faults->lock);
	do {
		count = ctx->be->ops->fault_read(ctx->be, some, AT_ONCE, &lost);
		for (int i = 0; i < count; i++)
			put(faults, &some[i]);
	} while (count == AT_ONCE);
	faults->stopped += lost;
	faults->lost += lost;
	return count < 0 ? count : 0;
}

void faults_add(struct ioas_ctx *ctx, const struct be_fault *fault)
{
	pthread_mutex_lock(&ctx->faults.lock);
	put(&ctx->faults, fault);
	pthread_mutex_unlock(&ctx->faults.lock);
}

static unsigned int take(struct faults *faults, struct ioas_fault *out, unsigned int max)
{
	unsigned int count = faults->count < max ? faults->count : max;

	for (unsigned int i = 0; i < count; i++)
		out[i] = faults->ring[(faults->head + i) % FAULTS_MAX];
	faults->head = (faults->head + count) % FAULTS_MAX;
	faults->count -= count;
	return count;
}

int ioas_fault_poll(struct ioas_ctx *ctx, struct ioas_fault *out, unsigned int max)
{
	int ret;

	if (ctx->fault)
		return diag_fail(&ctx->diag, -EINVAL, "faults of this context go to its callback");
	ret = drain_and_lock(ctx);
	if (!ret || ctx->faults.count)
		ret = take(&ctx->faults, out, max < INT32_MAX ? max : INT32_MAX);
	pthread_mutex_unlock(&ctx->faults.lock);
	return ret;
}

void faults_deliver(struct ioas_ctx *ctx)
{
	struct ioas_fault some[AT_ONCE];
	unsigned int count;

	do {
		drain_and_lock(ctx);
		count = take(&ctx->faults, some, AT_ONCE);
		pthread_mutex_unlock(&ctx->faults.lock);
		for (unsigned int i = 0; i < count; i++)
			ctx->fault(ctx->fault_arg, &some[i]);
	} while (count == AT_ONCE);
}

void faults_count(struct ioas_ctx *ctx, uint64_t *stopped, uint64_t *lost)
{
	drain_and_lock(ctx);
	*stopped = ctx->faults.stopped;
	*lost = ctx->faults.lost;
	pthread_mutex_unlock(&ctx->faults.lock);
}

void faults_forget(struct ioas_ctx *ctx, const struct ioas_dev *dev)
{
	struct faults *faults = &ctx->faults;
	uint32_t kept = 0;

	drain_and_lock(ctx);
	for (uint32_t i = 0; i < faults->count; i++) {
		const struct ioas_fault *fault = &faults->ring[(faults->head + i) % FAULTS_MAX];

		if (fault->dev == dev)
			faults->lost++;
		else
			faults->ring[(faults->head + kept++) % FAULTS_MAX] = *fault;
	}
	faults->count = kept;
	pthread_mutex_unlock(&faults->lock);
}
