/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests: accesses that found no translation, of devices that can wait for one. What PRI is
 * between a device and hardware (VT-d 7.4 to 7.9): a request in a queue, and a response after which
 * the device tries again or gives up. The device here is the thread that makes the access, and
 * waits.
 *
 * Departures: a group is one page; a request that finds the queue full is refused at once, and the
 * access is a fault like others.
 *
 * Locking: one mutex, inside of the unit's. A request is its waiter's, on whose stack it lies.
 */
#ifndef ENGINE_SOFT_REQUEST_H
#define ENGINE_SOFT_REQUEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct soft_dev;
struct soft_space;

enum soft_request_state {
	SOFT_REQUEST_QUEUED,
	SOFT_REQUEST_TAKEN, /* somebody is going to answer it */
	SOFT_REQUEST_SERVED,
	SOFT_REQUEST_REFUSED,
};

struct soft_request {
	struct soft_dev *dev;
	struct soft_space *space;
	uint64_t iova; /* page address */
	uint32_t prot;
	uint64_t moves; /* dev->moves when it was found wanting */
	enum soft_request_state state;
	struct soft_request *next;
};

struct soft_requests {
	pthread_mutex_t lock;
	pthread_cond_t queued;
	pthread_cond_t answered;
	struct soft_request *first; /* oldest; of those that are queued */
	struct soft_request **last;
	uint64_t count;
	uint64_t capacity;
};

void soft_requests_init(struct soft_requests *requests, uint64_t capacity);
void soft_requests_destroy(struct soft_requests *requests);

enum soft_request_result {
	SOFT_REQUEST_RETRY, /* the page is there now, or the device is elsewhere */
	SOFT_REQUEST_FAIL,  /* it will not be, and somebody knows */
	SOFT_REQUEST_FULL,  /* nobody was asked */
};

/* Ask, and wait for the answer. No burst of DMA is open. */
enum soft_request_result soft_request_wait(struct soft_requests *requests,
					   struct soft_request *request);

/*
 * A device has left its space: what it asked for there, and nobody has taken, is asked for no more;
 * it tries again where it is now.
 */
void soft_requests_move(struct soft_requests *requests, struct soft_dev *dev);

/* Wait for a request for at most so long. */
void soft_requests_poll(struct soft_requests *requests, unsigned int timeout_ms);

/* The oldest, or NULL; has to be answered. */
struct soft_request *soft_request_take(struct soft_requests *requests);
void soft_request_answer(struct soft_requests *requests, struct soft_request *request, bool served);

#endif
