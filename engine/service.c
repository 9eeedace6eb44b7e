/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The context's own thread: keeps the time bound of BATCHED address spaces (I2) and delivers
 * faults to the callback. It runs only where one of these is wanted.
 *
 * It looks twice per batch_ns, and commits whatever is pending then, so that nothing stays
 * pending for longer than batch_ns, plus the time the thread waits for a processor.
 */
#include "objects.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define FAULT_PERIOD_NS UINT64_C(1000000)
#define NSEC_PER_SEC	UINT64_C(1000000000)
#define IDLE_PERIOD_NS	NSEC_PER_SEC

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* service.lock is held. Return: when to look again. */
static uint64_t look(struct ioas_ctx *ctx)
{
	uint64_t period = ctx->fault ? FAULT_PERIOD_NS : IDLE_PERIOD_NS;
	struct ioas *as;

	cds_list_for_each_entry (as, &ctx->service.spaces, service_entry) {
		/* An error has been logged by the backend; it is tried again next time. */
		if (inval_pending(&as->inval))
			inval_commit_all(&as->inval);
		if (as->batch_ns / 2 < period)
			period = as->batch_ns / 2;
	}
	return now_ns() + period;
}

static void *serve(void *arg)
{
	struct ioas_ctx *ctx = arg;
	struct service *service = &ctx->service;

	pthread_mutex_lock(&service->lock);
	while (!service->stop) {
		uint64_t next = look(ctx);
		struct timespec until = { .tv_sec = next / NSEC_PER_SEC,
					  .tv_nsec = next % NSEC_PER_SEC };

		if (ctx->fault) {
			pthread_mutex_unlock(&service->lock);
			faults_deliver(ctx);
			pthread_mutex_lock(&service->lock);
		}
		while (!service->stop && !service->changed &&
		       pthread_cond_timedwait(&service->wake, &service->lock, &until) == 0)
			;
		service->changed = false;
	}
	pthread_mutex_unlock(&service->lock);
	return NULL;
}

void service_init(struct service *service)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&service->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&service->wake, &attr);
	pthread_condattr_destroy(&attr);
	CDS_INIT_LIST_HEAD(&service->spaces);
}

int thread_start(struct ioas_ctx *ctx, pthread_t *thread, void *(*run)(void *ctx), const char *name)
{
	sigset_t all, old;
	int ret;

	/* Signals are the application's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(thread, NULL, run, ctx);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		return diag_fail(&ctx->diag, -ret, "cannot start the thread %s: %s", name,
				 strerror(ret));
	pthread_setname_np(*thread, name);
	return 0;
}

int service_start(struct ioas_ctx *ctx)
{
	struct service *service = &ctx->service;
	int ret;

	if (service->running)
		return 0;
	ret = thread_start(ctx, &service->thread, serve, "ioas-service");
	service->running = !ret;
	return ret;
}

static void wake(struct service *service)
{
	service->changed = true;
	pthread_cond_signal(&service->wake);
}

void service_stop(struct ioas_ctx *ctx)
{
	struct service *service = &ctx->service;

	if (service->running) {
		pthread_mutex_lock(&service->lock);
		service->stop = true;
		wake(service);
		pthread_mutex_unlock(&service->lock);
		pthread_join(service->thread, NULL);
	}
	pthread_cond_destroy(&service->wake);
	pthread_mutex_destroy(&service->lock);
}

int service_add(struct ioas *as)
{
	struct service *service = &as->ctx->service;
	int ret = service_start(as->ctx);

	if (ret)
		return ret;
	pthread_mutex_lock(&service->lock);
	cds_list_add(&as->service_entry, &service->spaces);
	wake(service);
	pthread_mutex_unlock(&service->lock);
	return 0;
}

void service_remove(struct ioas *as)
{
	struct service *service = &as->ctx->service;

	pthread_mutex_lock(&service->lock);
	cds_list_del(&as->service_entry);
	pthread_mutex_unlock(&service->lock);
}
