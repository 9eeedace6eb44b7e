/* SPDX-License-Identifier: BSD-3-Clause */
/* See request.h. */
#include "request.h"

#include <time.h>

#include "kernel.h"

void soft_requests_init(struct soft_requests *requests, uint64_t capacity)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&requests->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&requests->queued, &attr);
	pthread_cond_init(&requests->answered, &attr);
	pthread_condattr_destroy(&attr);
	requests->first = NULL;
	requests->last = &requests->first;
	requests->count = 0;
	requests->capacity = capacity;
}

void soft_requests_destroy(struct soft_requests *requests)
{
	pthread_cond_destroy(&requests->answered);
	pthread_cond_destroy(&requests->queued);
	pthread_mutex_destroy(&requests->lock);
}

enum soft_request_result soft_request_wait(struct soft_requests *requests,
					   struct soft_request *request)
{
	enum soft_request_result result = SOFT_REQUEST_FULL;

	pthread_mutex_lock(&requests->lock);
	if (request->moves != request->dev->moves) {
		result = SOFT_REQUEST_RETRY;
	} else if (requests->count < requests->capacity) {
		request->state = SOFT_REQUEST_QUEUED;
		request->next = NULL;
		*requests->last = request;
		requests->last = &request->next;
		requests->count++;
		pthread_cond_signal(&requests->queued);
		while (request->state < SOFT_REQUEST_SERVED)
			pthread_cond_wait(&requests->answered, &requests->lock);
		result = request->state == SOFT_REQUEST_SERVED ? SOFT_REQUEST_RETRY
							       : SOFT_REQUEST_FAIL;
	}
	pthread_mutex_unlock(&requests->lock);
	return result;
}

/* The lock is held. */
static void unlink_request(struct soft_requests *requests, struct soft_request **link)
{
	struct soft_request *request = *link;

	*link = request->next;
	if (requests->last == &request->next)
		requests->last = link;
	requests->count--;
}

void soft_requests_move(struct soft_requests *requests, struct soft_dev *dev)
{
	struct soft_request **link = &requests->first;

	pthread_mutex_lock(&requests->lock);
	dev->moves++;
	while (*link) {
		struct soft_request *request = *link;

		if (request->dev != dev) {
			link = &request->next;
			continue;
		}
		unlink_request(requests, link);
		request->state = SOFT_REQUEST_SERVED;
	}
	pthread_cond_broadcast(&requests->answered);
	pthread_mutex_unlock(&requests->lock);
}

void soft_requests_poll(struct soft_requests *requests, unsigned int timeout_ms)
{
	const long ns_per_s = 1000000000, ns_per_ms = 1000000;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (timeout_ms % 1000) * ns_per_ms;
	until.tv_sec += timeout_ms / 1000 + until.tv_nsec / ns_per_s;
	until.tv_nsec %= ns_per_s;
	pthread_mutex_lock(&requests->lock);
	while (!requests->first &&
	       !pthread_cond_timedwait(&requests->queued, &requests->lock, &until))
		;
	pthread_mutex_unlock(&requests->lock);
}

struct soft_request *soft_request_take(struct soft_requests *requests)
{
	struct soft_request *request;

	pthread_mutex_lock(&requests->lock);
	request = requests->first;
	if (request) {
		unlink_request(requests, &requests->first);
		request->state = SOFT_REQUEST_TAKEN;
	}
	pthread_mutex_unlock(&requests->lock);
	return request;
}

void soft_request_answer(struct soft_requests *requests, struct soft_request *request, bool served)
{
	pthread_mutex_lock(&requests->lock);
	request->state = served ? SOFT_REQUEST_SERVED : SOFT_REQUEST_REFUSED;
	pthread_cond_broadcast(&requests->answered);
	pthread_mutex_unlock(&requests->lock);
}
