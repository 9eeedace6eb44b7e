/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests: a thread of the context hands them to their address space's handler, one at a
 * time, and answers them. It is not the service thread, whose promises must not wait for a handler.
 *
 * Lifetime: what a request names is looked at, and marked as in use, under requests.lock. Who
 * frees an address space or a device has detached the device before, after which the backend has no
 * requests of the two any more, and then waits here until the one that a handler has is done.
 * Handlers run without the lock, so they may make slow calls, but not those that would wait for
 * themselves.
 */
#include "objects.h"
#include "trace.h"

#include <errno.h>

#define LOOK_MS 20 /* how often to see whether to stop */

/* requests.lock is held, and let go while the handler runs. Return: is the page there? */
static bool serve(struct ioas_ctx *ctx, const struct be_request *from)
{
	struct requests *requests = &ctx->requests;
	struct ioas *as = from->space->owner;
	const struct ioas_page_request request = {
		.as = as,
		.dev = from->dev->owner,
		.iova = from->iova,
		.prot = from->prot,
	};
	int ret;

	requests->as = as;
	requests->dev = request.dev;
	pthread_mutex_unlock(&requests->lock);
	ioas_queue_adopt(as->request_queue);
	ret = as->page_request(as->page_request_arg, as->request_queue, &request);
	pthread_mutex_lock(&requests->lock);
	requests->as = NULL;
	requests->dev = NULL;
	pthread_cond_broadcast(&requests->idle);
	TRACE(page_request, as, request.dev, from->iova, from->prot, ret);
	return !ret;
}

/* requests.lock is held. */
static void account(struct ioas_ctx *ctx, const struct be_request *request, bool served)
{
	const struct be_fault fault = {
		.dev = request->dev,
		.iova = request->iova,
		.reason = IOAS_FAULT_NOT_PRESENT,
		.prot = request->prot,
	};

	ctx->requests.count++;
	if (served)
		return;
	ctx->requests.refused++;
	faults_add(ctx, &fault);
}

static void serve_all(struct ioas_ctx *ctx)
{
	const struct be_ops *ops = ctx->be->ops;
	struct requests *requests = &ctx->requests;
	struct be_request request;

	pthread_mutex_lock(&requests->lock);
	while (!requests->stop && ops->request_next(ctx->be, &request)) {
		bool served = serve(ctx, &request);

		/* First, so that who sees the access fail finds it counted. */
		account(ctx, &request, served);
		ops->request_answer(ctx->be, &request, served);
	}
	pthread_mutex_unlock(&requests->lock);
}

static void *run(void *arg)
{
	struct ioas_ctx *ctx = arg;

	while (!atomic_load_explicit(&ctx->requests.stop, memory_order_relaxed)) {
		serve_all(ctx);
		ctx->be->ops->request_wait(ctx->be, LOOK_MS);
	}
	return NULL;
}

void requests_init(struct requests *requests)
{
	pthread_mutex_init(&requests->lock, NULL);
	pthread_cond_init(&requests->idle, NULL);
}

void requests_destroy(struct requests *requests)
{
	if (requests->running) {
		atomic_store_explicit(&requests->stop, true, memory_order_relaxed);
		pthread_join(requests->thread, NULL);
	}
	pthread_cond_destroy(&requests->idle);
	pthread_mutex_destroy(&requests->lock);
}

int requests_start(struct ioas *as)
{
	struct ioas_ctx *ctx = as->ctx;
	struct requests *requests = &ctx->requests;
	int ret = ioas_queue_create(as, &as->request_queue);

	if (ret || requests->running)
		return ret;
	ret = thread_start(ctx, &requests->thread, run, "ioas-requests");
	requests->running = !ret;
	return ret;
}

int requests_stop(struct ioas *as)
{
	int ret = 0;

	if (as->request_queue)
		ret = ioas_queue_destroy(as->request_queue);
	if (!ret)
		as->request_queue = NULL;
	return ret;
}

void requests_wait(struct ioas_ctx *ctx, const struct ioas *as, const struct ioas_dev *dev)
{
	struct requests *requests = &ctx->requests;

	pthread_mutex_lock(&requests->lock);
	while ((as && requests->as == as) || (dev && requests->dev == dev))
		pthread_cond_wait(&requests->idle, &requests->lock);
	pthread_mutex_unlock(&requests->lock);
}

void requests_count(struct ioas_ctx *ctx, uint64_t *count, uint64_t *refused)
{
	pthread_mutex_lock(&ctx->requests.lock);
	*count = ctx->requests.count;
	*refused = ctx->requests.refused;
	pthread_mutex_unlock(&ctx->requests.lock);
}
