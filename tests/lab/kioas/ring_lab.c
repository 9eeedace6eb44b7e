// SPDX-License-Identifier: BSD-3-Clause
/* See ring_lab.h. */
#include "ring_lab.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

static uint32_t load(const uint32_t *position)
{
	return atomic_load_explicit((const _Atomic uint32_t *)position, memory_order_acquire);
}

static void store(uint32_t *position, uint32_t value)
{
	atomic_store_explicit((_Atomic uint32_t *)position, value, memory_order_release);
}

int ring_setup(int fd, uint32_t sq_entries, uint32_t cq_entries, uint32_t flags,
	       struct ioasid_ring_setup *setup)
{
	*setup = (struct ioasid_ring_setup){
		.size = sizeof(*setup),
		.flags = flags,
		.sq_entries = sq_entries,
		.cq_entries = cq_entries,
	};
	return kioas_call(fd, IOASID_RING_SETUP, setup);
}

void ring_open(struct ring *ring, int fd, uint32_t sq_entries, uint32_t cq_entries, uint32_t flags)
{
	uint8_t *memory;

	ring->fd = fd;
	CHECK(ring_setup(fd, sq_entries, cq_entries, flags, &ring->setup) == 0);
	memory = mmap(NULL, ring->setup.out_length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      IOASID_RING_OFFSET);
	CHECK(memory != MAP_FAILED);
	ring->head = (struct ioasid_ring_head *)memory;
	ring->sqes = (struct ioasid_sqe *)(memory + ring->setup.out_sq_offset);
	ring->cqes = (struct ioasid_cqe *)(memory + ring->setup.out_cq_offset);
	ring->pushed = 0;
}

void ring_push(struct ring *ring, const struct ioasid_sqe *sqe)
{
	CHECK(ring->pushed - load(&ring->head->sq_head) < ring->setup.sq_entries);
	ring->sqes[ring->pushed++ & (ring->setup.sq_entries - 1)] = *sqe;
}

void ring_submit(struct ring *ring)
{
	store(&ring->head->sq_tail, ring->pushed);
}

int ring_enter(struct ring *ring, uint32_t to_submit, uint32_t min_complete, uint32_t flags)
{
	struct ioasid_ring_enter enter = {
		.size = sizeof(enter),
		.flags = flags,
		.to_submit = to_submit,
		.min_complete = min_complete,
	};
	int ret = kioas_call(ring->fd, IOASID_RING_ENTER, &enter);

	return ret ? ret : (int)enter.out_submitted;
}

void ring_flush(struct ring *ring)
{
	const uint32_t count = ring->pushed - ring->head->sq_tail;

	ring_submit(ring);
	CHECK(ring_enter(ring, count, 0, 0) == (int)count);
}

bool ring_reap(struct ring *ring, struct ioasid_cqe *cqe)
{
	const uint32_t head = ring->head->cq_head;

	if (load(&ring->head->cq_tail) == head)
		return false;
	*cqe = ring->cqes[head & (ring->setup.out_cq_entries - 1)];
	store(&ring->head->cq_head, head + 1);
	return true;
}

static void check_cqe(const struct ioasid_cqe *cqe, uint64_t user_data, int result)
{
	if (cqe->user_data != user_data || cqe->result != result || cqe->__reserved)
		FAIL("completion of %llu with %d, where %llu with %d was expected",
		     (unsigned long long)cqe->user_data, cqe->result, (unsigned long long)user_data,
		     result);
}

void ring_expect(struct ring *ring, uint64_t user_data, int result)
{
	struct ioasid_cqe cqe;

	CHECK(ring_reap(ring, &cqe));
	check_cqe(&cqe, user_data, result);
}

void ring_await(struct ring *ring, uint64_t user_data, int result)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	struct ioasid_cqe cqe;
	int attempts;

	for (attempts = 0; !ring_reap(ring, &cqe); attempts++) {
		CHECK(attempts < 100000);
		nanosleep(&pause, NULL);
	}
	check_cqe(&cqe, user_data, result);
}

bool ring_sleeps(struct ring *ring)
{
	atomic_thread_fence(memory_order_seq_cst);
	return load(&ring->head->sq_flags) & IOASID_RING_NEED_WAKEUP;
}

struct ioasid_sqe ring_map(uint32_t ioasid, uint64_t iova, const void *va, uint64_t length,
			   uint64_t user_data)
{
	return (struct ioasid_sqe){
		.op = IOASID_RING_MAP,
		.op_flags = RW,
		.ioasid = ioasid,
		.iova = iova,
		.address = (uintptr_t)va,
		.length = length,
		.user_data = user_data,
	};
}

struct ioasid_sqe ring_unmap(uint32_t ioasid, uint64_t iova, uint64_t length, uint64_t user_data)
{
	return (struct ioasid_sqe){
		.op = IOASID_RING_UNMAP,
		.ioasid = ioasid,
		.iova = iova,
		.length = length,
		.user_data = user_data,
	};
}

struct ioasid_sqe ring_nop(uint64_t user_data)
{
	return (struct ioasid_sqe){ .op = IOASID_RING_NOP, .user_data = user_data };
}
