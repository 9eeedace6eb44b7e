/* SPDX-License-Identifier: BSD-3-Clause */
/* The user's side of a submission ring: one thread, or callers that exclude each other. */
#ifndef LAB_RING_LAB_H
#define LAB_RING_LAB_H

#include "kioas_lab.h"

struct ring {
	int fd;
	struct ioasid_ring_setup setup;
	struct ioasid_ring_head *head;
	struct ioasid_sqe *sqes;
	struct ioasid_cqe *cqes;
	uint32_t pushed; /* position; sq_tail follows */
};

int ring_setup(int fd, uint32_t sq_entries, uint32_t cq_entries, uint32_t flags,
	       struct ioasid_ring_setup *setup);

/* Makes and maps it; ends the program if that fails. */
void ring_open(struct ring *ring, int fd, uint32_t sq_entries, uint32_t cq_entries, uint32_t flags);

/* There must be room. The kernel sees it after ring_submit(). */
void ring_push(struct ring *ring, const struct ioasid_sqe *sqe);
void ring_submit(struct ring *ring);

/* The doorbell. Return: how many elements were taken, or a negative errno. */
int ring_enter(struct ring *ring, uint32_t to_submit, uint32_t min_complete, uint32_t flags);

/* ring_submit() and the doorbell: all that was pushed is taken, or the program ends. */
void ring_flush(struct ring *ring);

/* The next completion, if there is one. */
bool ring_reap(struct ring *ring, struct ioasid_cqe *cqe);

/* The next one is there, and is this. */
void ring_expect(struct ring *ring, uint64_t user_data, int result);

/* The same with a poller: waits for it, by looking. */
void ring_await(struct ring *ring, uint64_t user_data, int result);

bool ring_sleeps(struct ring *ring);

struct ioasid_sqe ring_map(uint32_t ioasid, uint64_t iova, const void *va, uint64_t length,
			   uint64_t user_data);
struct ioasid_sqe ring_unmap(uint32_t ioasid, uint64_t iova, uint64_t length, uint64_t user_data);
struct ioasid_sqe ring_nop(uint64_t user_data);

#endif
