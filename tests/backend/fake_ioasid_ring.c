/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's side of a submission ring, as the header has it: a thread that polls, sleeps when it
 * has had nothing to do for a moment, and is woken by ENTER. Positions of the owner are checked.
 */
#include "fake_ioasid.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IDLE_TURNS 2000

static struct ring {
	bool made;
	pthread_t thread;
	int memory; /* memfd behind it */
	struct ioasid_ring_head *head;
	struct ioasid_sqe *sqes;
	struct ioasid_cqe *cqes;
	uint64_t length;
	uint32_t entries;
	uint32_t cq_entries;
	uint32_t sq_head;
	uint32_t cq_tail;
	unsigned int done;
	unsigned int break_at;
	int break_with;
	pthread_mutex_t lock; /* sleeping */
	pthread_cond_t wake;
	bool woken;
	bool stop; /* atomic */
} ring = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static int carry_out(const struct ioasid_sqe *sqe)
{
	const struct ioasid_map_entry map = { .iova = sqe->iova,
					      .address = sqe->address,
					      .length = sqe->length,
					      .flags = sqe->op_flags };
	const struct ioasid_unmap_entry unmap = { .iova = sqe->iova, .length = sqe->length };
	const struct ioasid_inval_entry inval = { .type = sqe->length ? IOASID_INVAL_RANGE
								      : IOASID_INVAL_ALL,
						  .flags = sqe->op_flags,
						  .iova = sqe->iova,
						  .length = sqe->length };
	struct ioasid_map_dma map_call = { .size = sizeof(map_call),
					   .ioasid = sqe->ioasid,
					   .entries_uptr = (uintptr_t)&map,
					   .count = 1,
					   .entry_size = sizeof(map) };
	struct ioasid_unmap_dma unmap_call = { .size = sizeof(unmap_call),
					       .ioasid = sqe->ioasid,
					       .entries_uptr = (uintptr_t)&unmap,
					       .count = 1,
					       .entry_size = sizeof(unmap),
					       .flags = sqe->op_flags };
	struct ioasid_invalidate_cache inval_call = { .size = sizeof(inval_call),
						      .ioasid = sqe->ioasid,
						      .entries_uptr = (uintptr_t)&inval,
						      .count = 1,
						      .entry_size = sizeof(inval) };

	switch (sqe->op) {
	case IOASID_RING_MAP:
		return fake_run(IOASID_MAP_DMA, &map_call);
	case IOASID_RING_UNMAP:
		return fake_run(IOASID_UNMAP_DMA, &unmap_call);
	case IOASID_RING_INVALIDATE:
		return fake_run(IOASID_INVALIDATE_CACHE, &inval_call);
	}
	return -EOPNOTSUPP;
}

static uint32_t pending(void)
{
	return __atomic_load_n(&ring.head->sq_tail, __ATOMIC_SEQ_CST) - ring.sq_head;
}

static uint32_t unseen(void)
{
	return __atomic_load_n(&ring.cq_tail, __ATOMIC_ACQUIRE) -
	       __atomic_load_n(&ring.head->cq_head, __ATOMIC_ACQUIRE);
}

static void end(void)
{
	__atomic_store_n(&ring.head->sq_flags, IOASID_RING_DEAD, __ATOMIC_RELEASE);
}

static bool is_dead(void)
{
	return __atomic_load_n(&ring.head->sq_flags, __ATOMIC_ACQUIRE) & IOASID_RING_DEAD;
}

/* Return: was there one? */
static bool turn(void)
{
	struct ioasid_sqe sqe;
	struct ioasid_cqe *cqe = &ring.cqes[ring.cq_tail & (ring.cq_entries - 1)];
	int ret = 0;

	if (is_dead() || !pending())
		return false;
	/* The library never has more under way than fit. */
	if (pending() > ring.entries || unseen() >= ring.cq_entries)
		abort();
	sqe = ring.sqes[ring.sq_head & (ring.entries - 1)];
	fake_lock();
	if (ring.break_at && !--ring.break_at) {
		if (ring.break_with == FAKE_RING_ENDS_AFTER)
			carry_out(&sqe);
		if (ring.break_with <= 0)
			end();
		ret = -ring.break_with;
	}
	if (!ret && !is_dead()) {
		ret = carry_out(&sqe);
		ring.done++;
	}
	fake_unlock();
	if (is_dead())
		return false;
	__atomic_store_n(&ring.head->sq_head, ++ring.sq_head, __ATOMIC_RELEASE);
	*cqe = (struct ioasid_cqe){ .user_data = sqe.user_data, .result = ret };
	__atomic_store_n(&ring.cq_tail, ring.cq_tail + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&ring.head->cq_tail, ring.cq_tail, __ATOMIC_RELEASE);
	return true;
}

static bool stopped(void)
{
	return __atomic_load_n(&ring.stop, __ATOMIC_ACQUIRE);
}

static void sleep_until_woken(void)
{
	__atomic_store_n(&ring.head->sq_flags, IOASID_RING_NEED_WAKEUP, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&ring.lock);
	while (!pending() && !ring.woken && !stopped())
		pthread_cond_wait(&ring.wake, &ring.lock);
	ring.woken = false;
	pthread_mutex_unlock(&ring.lock);
	__atomic_store_n(&ring.head->sq_flags, 0, __ATOMIC_RELAXED);
}

static void *poll_ring(void *arg)
{
	unsigned int idle = 0;

	while (!stopped()) {
		if (turn())
			idle = 0;
		else if (is_dead())
			sched_yield();
		else if (++idle > IDLE_TURNS)
			sleep_until_woken();
	}
	return NULL;
}

int fake_ring_setup(struct ioasid_ring_setup *request)
{
	void *shared;

	if (ring.made)
		return -EBUSY;
	ring.entries = request->sq_entries;
	ring.cq_entries = 2 * ring.entries;
	request->out_sq_offset = sizeof(struct ioasid_ring_head);
	request->out_cq_offset = request->out_sq_offset + ring.entries * sizeof(struct ioasid_sqe);
	request->out_cq_entries = ring.cq_entries;
	request->out_length =
		(request->out_cq_offset + ring.cq_entries * sizeof(struct ioasid_cqe) + 4095) &
		~4095ULL;
	ring.length = request->out_length;
	ring.memory = memfd_create("ring", MFD_CLOEXEC);
	if (ring.memory < 0 || ftruncate(ring.memory, ring.length))
		abort();
	shared = mmap(NULL, ring.length, PROT_READ | PROT_WRITE, MAP_SHARED, ring.memory, 0);
	if (shared == MAP_FAILED)
		abort();
	ring.head = shared;
	ring.sqes = (void *)((char *)shared + request->out_sq_offset);
	ring.cqes = (void *)((char *)shared + request->out_cq_offset);
	ring.sq_head = ring.cq_tail = 0;
	ring.done = ring.break_at = 0;
	ring.stop = ring.woken = false;
	ring.made = true;
	if (pthread_create(&ring.thread, NULL, poll_ring, NULL))
		abort();
	return 0;
}

int fake_ring_enter(const struct ioasid_ring_enter *request)
{
	if (!ring.made)
		return -ENOENT;
	pthread_mutex_lock(&ring.lock);
	ring.woken = true;
	pthread_cond_signal(&ring.wake);
	pthread_mutex_unlock(&ring.lock);
	while (!is_dead() && unseen() < request->min_complete)
		sched_yield();
	return is_dead() ? -EINVAL : 0;
}

unsigned int fake_ring_stop(void)
{
	if (!ring.made)
		return 0;
	pthread_mutex_lock(&ring.lock);
	__atomic_store_n(&ring.stop, true, __ATOMIC_RELEASE);
	pthread_cond_signal(&ring.wake);
	pthread_mutex_unlock(&ring.lock);
	pthread_join(ring.thread, NULL);
	munmap(ring.head, ring.length);
	close(ring.memory);
	ring.made = false;
	return ring.done;
}

void fake_ring_break(unsigned int element, int error)
{
	fake_lock();
	ring.break_at = element;
	ring.break_with = error;
	fake_unlock();
}

void *__real_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (offset == (off_t)IOASID_RING_OFFSET)
		return __real_mmap64(at, bytes, protection, flags, ring.memory, 0);
	return __real_mmap64(at, bytes, protection, flags, fd, offset);
}
