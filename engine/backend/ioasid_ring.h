/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A submission ring that the kernel polls: maps, unmaps and invalidations without a system call,
 * for as long as its thread is awake. (Without a poller a doorbell is a call like any other, and an
 * array is one call already: so there is no other sort of ring here.)
 *
 * Ordering, with (u) us and (k) the kernel's thread; the shared memory's layout and rules are in
 * include/uapi/linux/ioasid.h:
 *   u: write elements; store sq_tail, load sq_flags (both sequentially consistent)
 *   k: load sq_tail (acquire); copy elements; store sq_head (release); carry out; write
 *      completions; store cq_tail (release). Going to sleep: store sq_flags; full barrier; load
 * sq_tail u: load cq_tail (acquire); read completions; store cq_head (release) The barriers between
 * sq_tail and sq_flags are on both sides, so one of the two sees the other: the kernel the
 * elements, or we that it sleeps. Elements complete in their order, each once, so completion P is
 * of element P. Who has the lock has seen all completions before: at most @entries elements are
 * under way, which fit both rings, and an element that is written is one that was taken.
 *
 * Locking: one call at a time, from its first element to its last completion.
 */
#ifndef ENGINE_BACKEND_IOASID_RING_H
#define ENGINE_BACKEND_IOASID_RING_H

#include "ioasid.h"

struct ioasid_ring {
	pthread_mutex_t lock;
	const struct ioasid_be *be;
	struct ioasid_ring_head *head;
	struct ioasid_sqe *sqes;
	struct ioasid_cqe *cqes;
	uint64_t length;     /* of the mapping */
	uint32_t entries;    /* submissions; a power of two */
	uint32_t cq_entries; /* completions; the same */
	uint32_t sq_tail;    /* ours, as in the ring; so is cq_head */
	uint32_t cq_head;
	bool dead; /* not served any more */
};

/* A device is bound. Return: 0, or a negative errno and a message. */
int ioasid_ring_open(struct ioasid_be *be, uint32_t entries, struct ioasid_ring **ring);
void ioasid_ring_close(struct ioasid_ring *ring);

/* Writes element @index of the caller's array; all of it is 0 before. */
typedef void (*ioasid_ring_fill)(struct ioasid_sqe *sqe, const void *array, unsigned int index);

/*
 * Carries out @count elements, at most ring->entries, and waits for all of them. Each has a result:
 * 0 or a negative errno. Elements after one that failed are carried out as well. Return: 0 or, if
 * some did not succeed, a negative errno; -EPIPE is the result of those of which the ring ended
 * before anything was heard.
 */
int ioasid_ring_run(struct ioasid_ring *ring, ioasid_ring_fill fill, const void *array,
		    unsigned int count, int *results, unsigned int *crossings);

#endif
