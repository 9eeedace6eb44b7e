/* SPDX-License-Identifier: BSD-3-Clause */
/* See ioasid_ring.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ioasid_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Times to look before the kernel is asked to say when it is done. */
#define SPINS 20000

static int enter(const struct ioasid_ring *ring, uint32_t flags, uint32_t min_complete,
		 unsigned int *crossings)
{
	struct ioasid_ring_enter request = {
		.size = sizeof(request),
		.flags = flags,
		.min_complete = min_complete,
	};

	(*crossings)++;
	return ioasid_request(ring->be, IOASID_RING_ENTER, &request);
}

int ioasid_ring_open(struct ioasid_be *be, uint32_t entries, struct ioasid_ring **out)
{
	struct ioasid_ring_setup setup = {
		.size = sizeof(setup),
		.flags = IOASID_RING_SETUP_POLL,
		.sq_entries = entries,
	};
	struct ioasid_ring *ring = calloc(1, sizeof(*ring));
	char *shared;
	int ret;

	if (!ring)
		return diag_fail(be->vfio.base.diag, -ENOMEM, "ioasid: no memory");
	ret = ioasid_request(be, IOASID_RING_SETUP, &setup);
	if (ret) {
		free(ring);
		return ioasid_fail(be, ret, "ring=%u: IOASID_RING_SETUP", entries);
	}
	shared = mmap(NULL, setup.out_length, PROT_READ | PROT_WRITE, MAP_SHARED, be->fd,
		      IOASID_RING_OFFSET);
	if (shared == MAP_FAILED) {
		ret = -errno;
		free(ring);
		return diag_fail(be->vfio.base.diag, ret, "ioasid: mmap of a ring: %s",
				 strerror(-ret));
	}
	pthread_mutex_init(&ring->lock, NULL);
	ring->be = be;
	ring->head = (struct ioasid_ring_head *)shared;
	ring->sqes = (struct ioasid_sqe *)(shared + setup.out_sq_offset);
	ring->cqes = (struct ioasid_cqe *)(shared + setup.out_cq_offset);
	ring->length = setup.out_length;
	ring->entries = entries;
	ring->cq_entries = setup.out_cq_entries;
	*out = ring;
	return 0;
}

void ioasid_ring_close(struct ioasid_ring *ring)
{
	munmap(ring->head, ring->length);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

static uint32_t unseen(const struct ioasid_ring *ring)
{
	return __atomic_load_n(&ring->head->cq_tail, __ATOMIC_ACQUIRE) - ring->cq_head;
}

static uint32_t flags_of(const struct ioasid_ring *ring)
{
	return __atomic_load_n(&ring->head->sq_flags, __ATOMIC_SEQ_CST);
}

/* The lock is held, as in all that follows. */
static int submit(struct ioasid_ring *ring, ioasid_ring_fill fill, const void *array,
		  unsigned int count, unsigned int *crossings)
{
	for (unsigned int i = 0; i < count; i++) {
		struct ioasid_sqe *sqe = &ring->sqes[ring->sq_tail++ & (ring->entries - 1)];

		memset(sqe, 0, sizeof(*sqe));
		fill(sqe, array, i);
	}
	/* Both sequentially consistent: the barrier between them. */
	__atomic_store_n(&ring->head->sq_tail, ring->sq_tail, __ATOMIC_SEQ_CST);
	if (flags_of(ring) & IOASID_RING_NEED_WAKEUP)
		return enter(ring, IOASID_ENTER_WAKEUP, 0, crossings);
	return 0;
}

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Return: 0, or a negative errno and the ring is dead. */
static int wait_for(struct ioasid_ring *ring, unsigned int count, unsigned int *crossings)
{
	unsigned int spins = 0;

	while (unseen(ring) < count) {
		int ret = 0;

		if (flags_of(ring) & IOASID_RING_DEAD)
			return -EPIPE;
		if (++spins % SPINS == 0)
			ret = enter(ring, 0, count, crossings);
		if (ret && ret != -EINTR)
			return ret;
		relax();
	}
	return 0;
}

static void take_results(struct ioasid_ring *ring, unsigned int count, int *results)
{
	uint32_t there = unseen(ring);

	for (unsigned int i = 0; i < count; i++)
		results[i] = i < there ? ring->cqes[ring->cq_head++ & (ring->cq_entries - 1)].result
				       : -EPIPE;
	__atomic_store_n(&ring->head->cq_head, ring->cq_head, __ATOMIC_RELEASE);
}

int ioasid_ring_run(struct ioasid_ring *ring, ioasid_ring_fill fill, const void *array,
		    unsigned int count, int *results, unsigned int *crossings)
{
	int ret = -EPIPE;

	pthread_mutex_lock(&ring->lock);
	if (!ring->dead) {
		ret = submit(ring, fill, array, count, crossings);
		ret = ret ?: wait_for(ring, count, crossings);
		take_results(ring, count, results);
		ring->dead = ret;
	} else {
		for (unsigned int i = 0; i < count; i++)
			results[i] = -EPIPE;
	}
	pthread_mutex_unlock(&ring->lock);
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = results[i];
	return ret;
}
