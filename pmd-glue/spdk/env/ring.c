/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings of pointers: Concurrency Kit's, whose three pairings of producers and consumers are those
 * of SPDK. Objects go in one by one, so that producers that run at once may interleave, and a ring
 * that fills up takes the first ones. Source: ck_ring(3), spdk_ring_enqueue()'s documentation.
 */
#include "ioas_env.h"

#include <ck_ring.h>
#include <stdlib.h>

struct spdk_ring {
	struct ck_ring ring;
	enum spdk_ring_type type;
	ck_ring_buffer_t *slots;
};

/* A ck_ring of a power of 2 holds one less. */
static unsigned int slots_for(size_t count)
{
	return count < (1u << 30) ? 1u << (64 - __builtin_clzll(count)) : 0;
}

struct spdk_ring *spdk_ring_create(enum spdk_ring_type type, size_t count, int numa_id)
{
	const unsigned int slots = count ? slots_for(count) : 0;
	struct spdk_ring *ring = NULL;

	(void)numa_id;
	if (!slots || type > SPDK_RING_TYPE_MP_MC ||
	    posix_memalign((void **)&ring, CK_MD_CACHELINE, sizeof(*ring)))
		return NULL;
	ring->type = type;
	ring->slots = calloc(slots, sizeof(*ring->slots));
	if (!ring->slots) {
		free(ring);
		return NULL;
	}
	ck_ring_init(&ring->ring, slots);
	return ring;
}

void spdk_ring_free(struct spdk_ring *ring)
{
	if (ring)
		free(ring->slots);
	free(ring);
}

size_t spdk_ring_count(struct spdk_ring *ring)
{
	return ck_ring_size(&ring->ring);
}

static bool put(struct spdk_ring *ring, void *object)
{
	switch (ring->type) {
	case SPDK_RING_TYPE_SP_SC:
		return ck_ring_enqueue_spsc(&ring->ring, ring->slots, object);
	case SPDK_RING_TYPE_MP_SC:
		return ck_ring_enqueue_mpsc(&ring->ring, ring->slots, object);
	default:
		return ck_ring_enqueue_mpmc(&ring->ring, ring->slots, object);
	}
}

static bool get(struct spdk_ring *ring, void **object)
{
	switch (ring->type) {
	case SPDK_RING_TYPE_SP_SC:
		return ck_ring_dequeue_spsc(&ring->ring, ring->slots, object);
	case SPDK_RING_TYPE_MP_SC:
		return ck_ring_dequeue_mpsc(&ring->ring, ring->slots, object);
	default:
		return ck_ring_dequeue_mpmc(&ring->ring, ring->slots, object);
	}
}

size_t spdk_ring_enqueue(struct spdk_ring *ring, void **objs, size_t count, size_t *free_space)
{
	size_t done = 0;

	while (done < count && put(ring, objs[done]))
		done++;
	if (free_space)
		*free_space = ck_ring_capacity(&ring->ring) - 1 - ck_ring_size(&ring->ring);
	return done;
}

size_t spdk_ring_dequeue(struct spdk_ring *ring, void **objs, size_t count)
{
	size_t done = 0;

	while (done < count && get(ring, &objs[done]))
		done++;
	return done;
}
