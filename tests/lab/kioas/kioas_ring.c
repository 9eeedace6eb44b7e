// SPDX-License-Identifier: BSD-3-Clause
/*
 * The submission ring: order, results, chains, full completions, and contents that make no sense.
 */
#include "ring_lab.h"
#include "user_table.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define IOVA  0x40000000UL
#define SLOTS 16

static void push(struct ring *ring, struct ioasid_sqe sqe)
{
	ring_push(ring, &sqe);
}

static struct ioasid_sqe linked(struct ioasid_sqe sqe)
{
	sqe.flags = IOASID_SQE_LINK;
	return sqe;
}

static void check_setup(void)
{
	const struct {
		uint32_t sq, cq, flags;
		int error;
		const char *field;
	} refused[] = {
		{ 0, 0, 0, EINVAL, "sq_entries" },
		{ 3, 0, 0, EINVAL, "sq_entries" },
		{ 2 * IOASID_RING_ENTRIES_MAX, 0, 0, EINVAL, "sq_entries" },
		{ 8, 4, 0, EINVAL, "cq_entries" },
		{ 8, 12, 0, EINVAL, "cq_entries" },
		{ 8, 4 * IOASID_RING_ENTRIES_MAX, 0, EINVAL, "cq_entries" },
		{ 8, 0, 2, EOPNOTSUPP, "flags" },
		{ 8, 0, IOASID_RING_SETUP_POLL, EINVAL, "flags" }, /* no device */
	};
	struct ioasid_ring_setup setup;
	struct ring ring = { .fd = kioas_open() };
	void *memory;

	lab_step("what no ring can be made of");
	CHECK(kioas_extension(ring.fd, IOASID_EXT_RING) == IOASID_RING_ENTRIES_MAX);
	CHECK(kioas_extension(ring.fd, IOASID_EXT_RING_POLL) == 1);
	CHECK(ring_enter(&ring, 0, 0, 0) == -ENOENT);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ring.fd, IOASID_RING_OFFSET) == MAP_FAILED);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		CHECK(ring_setup(ring.fd, refused[i].sq, refused[i].cq, refused[i].flags, &setup) ==
		      -refused[i].error);
		kioas_check_why(ring.fd, refused[i].error, IOASID_RING_SETUP, refused[i].field, 0);
	}
	ring_open(&ring, ring.fd, 64, 0, 0);
	CHECK(ring.setup.out_cq_entries == 128);
	CHECK(ring_setup(ring.fd, 64, 0, 0, &setup) == -EBUSY);
	CHECK(ring_enter(&ring, 0, 129, 0) == -EINVAL);
	kioas_check_why(ring.fd, EINVAL, IOASID_RING_ENTER, "min_complete", 0);
	CHECK(ring_enter(&ring, 0, 0, IOASID_ENTER_WAKEUP) == -EINVAL);
	CHECK(ring_enter(&ring, 0, 0, 8) == -EOPNOTSUPP);

	lab_step("it is mapped shared, as a whole, at its offset; it does not grow");
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ring.fd, IOASID_RING_OFFSET) == MAP_FAILED);
	CHECK(mmap(NULL, ring.setup.out_length, PROT_READ, MAP_PRIVATE, ring.fd,
		   IOASID_RING_OFFSET) == MAP_FAILED);
	CHECK(mmap(NULL, ring.setup.out_length, PROT_READ, MAP_SHARED, ring.fd, 0) == MAP_FAILED);
	CHECK(mremap(ring.head, ring.setup.out_length, 2 * ring.setup.out_length, MREMAP_MAYMOVE) ==
	      MAP_FAILED);
	push(&ring, ring_nop(1));
	memory = mremap(ring.head, ring.setup.out_length, ring.setup.out_length,
			MREMAP_MAYMOVE | MREMAP_FIXED, LOW_ADDRESS);
	CHECK(memory == LOW_ADDRESS);
	ring.head = memory;
	ring.sqes = (void *)((uint8_t *)memory + ring.setup.out_sq_offset);
	ring.cqes = (void *)((uint8_t *)memory + ring.setup.out_cq_offset);
	ring_flush(&ring);
	ring_expect(&ring, 1, 0);
	close(ring.fd);
	CHECK(ring.head->cq_tail == 1);
	CHECK(munmap(memory, ring.setup.out_length) == 0);
}

/* A child has neither its parent's ring, nor more locked memory than it may have. */
static void check_child(void)
{
	const struct rlimit small = { 64 * KIB, 64 * KIB };
	struct ioasid_ring_setup setup;
	struct ring ring;
	int status;
	pid_t child;

	lab_step("a child does not have it; RLIMIT_MEMLOCK holds");
	ring_open(&ring, kioas_open(), 64, 0, 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child)
		_exit(ring.head->sq_head);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		int fd = kioas_open();

		CHECK(setrlimit(RLIMIT_MEMLOCK, &small) == 0 && setresuid(9, 9, 9) == 0);
		CHECK(ring_setup(fd, 1024, 0, 0, &setup) == -ENOMEM);
		kioas_check_why(fd, ENOMEM, IOASID_RING_SETUP, "sq_entries", 0);
		CHECK(ring_setup(fd, 256, 0, 0, &setup) == 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	close(ring.fd);
	CHECK(munmap(ring.head, ring.setup.out_length) == 0);
}

/* Each element has its own result, in the order of submission. */
static void check_results(struct ring *ring, uint32_t space, uint8_t *memory)
{
	struct ioasid_sqe bad[] = {
		{ .op = 4 },
		{ .op = IOASID_RING_NOP, .flags = 2 },
		{ .op = IOASID_RING_NOP, .iova = PAGE },
		{ .op = IOASID_RING_NOP, .__reserved = 1 },
		{ .op = IOASID_RING_NOP, .__reserved2 = { 0, 1 } },
		{ .op = IOASID_RING_UNMAP, .ioasid = space, .op_flags = IOASID_UNMAP_ALL },
		{ .op = IOASID_RING_UNMAP, .ioasid = space, .length = PAGE, .address = PAGE },
		{ .op = IOASID_RING_MAP, .ioasid = space, .length = PAGE, .op_flags = 0x103 },
		{ .op = IOASID_RING_INVALIDATE, .ioasid = space },
		{ .op = IOASID_RING_INVALIDATE, .op_flags = IOASID_INVAL_DEVICE, .ioasid = space },
		{ .op = IOASID_RING_MAP, .ioasid = 0, .length = PAGE, .op_flags = RW },
	};
	static const int errors[] = { EOPNOTSUPP, EOPNOTSUPP, EINVAL, EINVAL,
				      EINVAL,	  EOPNOTSUPP, EINVAL, EOPNOTSUPP,
				      EINVAL,	  EOPNOTSUPP, ENOENT };
	static const char *const fields[] = { "op",	    "flags",	"ioasid",  "__reserved",
					      "__reserved", "op_flags", "address", "flags",
					      "ioasid",	    "op_flags", "ioasid" };
	uint32_t place;

	lab_step("what an element may not say, and why");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bad[i].user_data = i;
		place = ring->pushed & (ring->setup.sq_entries - 1);
		push(ring, bad[i]);
		ring_flush(ring);
		ring_expect(ring, i, -errors[i]);
		kioas_check_why(ring->fd, errors[i], IOASID_RING_ENTER, fields[i], place);
	}
	lab_step("of elements that are carried out together each has its own result");
	push(ring, ring_map(space, IOVA, memory, PAGE, 10));
	push(ring, ring_map(space, IOVA + PAGE, memory, PAGE, 11));
	push(ring, ring_map(space, IOVA + PAGE, memory, PAGE, 12));
	push(ring, ring_map(space, IOVA + 2 * PAGE, memory, PAGE, 13));
	push(ring, ring_nop(14));
	push(ring, ring_unmap(space, IOVA, PAGE, 15));
	push(ring, ring_unmap(space, IOVA, PAGE, 16));
	push(ring, ring_unmap(space, IOVA + PAGE, PAGE, 17));
	push(ring, ring_unmap(space, IOVA + 9 * PAGE, PAGE, 18));
	push(ring, ring_unmap(space, IOVA + 2 * PAGE, PAGE, 19));
	ring_flush(ring);
	for (uint64_t i = 10; i < 20; i++)
		ring_expect(ring, i, i == 12 ? -EEXIST : i == 16 || i == 18 ? -ENOENT : 0);
	lab_step("exactly one mapping, where that is asked for");
	push(ring, ring_map(space, IOVA, memory, 2 * PAGE, 20));
	push(ring, (struct ioasid_sqe){ .op = IOASID_RING_UNMAP,
					.op_flags = IOASID_UNMAP_EXACT,
					.ioasid = space,
					.iova = IOVA,
					.length = 4 * PAGE,
					.user_data = 21 });
	push(ring, ring_unmap(space, IOVA, 4 * PAGE, 22));
	ring_flush(ring);
	ring_expect(ring, 20, 0);
	ring_expect(ring, 21, -EINVAL);
	ring_expect(ring, 22, 0);
}

static void check_links(struct ring *ring, uint32_t space, uint8_t *memory)
{
	lab_step("a chain ends where it fails");
	push(ring, linked(ring_map(space, IOVA, memory, PAGE, 0)));
	push(ring, linked(ring_map(space, IOVA, memory, PAGE, 1)));
	push(ring, linked(ring_map(space, IOVA + PAGE, memory, PAGE, 2)));
	push(ring, ring_map(space, IOVA + 2 * PAGE, memory, PAGE, 3));
	push(ring, ring_map(space, IOVA + 3 * PAGE, memory, PAGE, 4));
	ring_flush(ring);
	ring_expect(ring, 0, 0);
	ring_expect(ring, 1, -EEXIST);
	ring_expect(ring, 2, -ECANCELED);
	ring_expect(ring, 3, -ECANCELED);
	ring_expect(ring, 4, 0);
	lab_step("from one doorbell to the next");
	push(ring, linked(ring_unmap(space, IOVA + PAGE, PAGE, 5)));
	ring_flush(ring);
	push(ring, ring_unmap(space, IOVA, PAGE, 6));
	push(ring, ring_unmap(space, IOVA, 4 * PAGE, 7));
	ring_flush(ring);
	ring_expect(ring, 5, -ENOENT);
	ring_expect(ring, 6, -ECANCELED);
	ring_expect(ring, 7, 0);
	lab_step("and one that does not fail is carried out");
	push(ring, linked(ring_map(space, IOVA, memory, PAGE, 8)));
	push(ring, linked(ring_unmap(space, IOVA, PAGE, 9)));
	push(ring, ring_nop(10));
	ring_flush(ring);
	for (uint64_t i = 8; i < 11; i++)
		ring_expect(ring, i, 0);
}

/* Random maps and unmaps of a few slots mean the same as if each were a call. */
static void check_random(struct ring *ring, uint32_t space, uint8_t *memory)
{
	bool mapped[SLOTS] = {}, chain = false, failed = false;
	uint64_t state = 88172645463325252;
	struct ioasid_lookup found;
	int expected[64];

	lab_step("random batches against a model");
	for (unsigned int round = 0; round < 60; round++) {
		const unsigned int count = 1 + (state >> 20) % 64;

		for (unsigned int i = 0; i < count; i++) {
			unsigned int slot;
			bool map, link;

			state = state * 6364136223846793005 + 1442695040888963407;
			slot = (state >> 40) % SLOTS;
			/* Long runs of the same operation, mostly. */
			map = (state >> 50) % 8 == 0 ? state >> 63 : round % 2;
			link = (state >> 55) % 16 == 0;
			if (chain && failed)
				expected[i] = -ECANCELED;
			else if (mapped[slot] == map)
				expected[i] = map ? -EEXIST : -ENOENT;
			else
				expected[i] = 0;
			if (!expected[i])
				mapped[slot] = map;
			chain = link;
			failed = expected[i];
			push(ring, (map ? ring_map(space, IOVA + slot * 2 * PAGE,
						   memory + slot * PAGE, PAGE, i)
					: ring_unmap(space, IOVA + slot * 2 * PAGE, PAGE, i)));
			ring->sqes[(ring->pushed - 1) & (ring->setup.sq_entries - 1)].flags =
				link ? IOASID_SQE_LINK : 0;
		}
		ring_flush(ring);
		for (unsigned int i = 0; i < count; i++)
			ring_expect(ring, i, expected[i]);
		for (unsigned int slot = 0; slot < SLOTS; slot++)
			CHECK(!kioas_lookup(ring->fd, space, IOVA + slot * 2 * PAGE, &found) ==
			      mapped[slot]);
	}
	push(ring, ring_nop(0));
	ring_flush(ring);
	ring_expect(ring, 0, chain && failed ? -ECANCELED : 0);
	kioas_unmap_one(ring->fd, space, IOVA, 2 * SLOTS * PAGE);
}

static void check_device(struct kioas_lab *lab, struct ring *ring, uint32_t space, uint8_t *memory)
{
	lab_step("after the completion of an unmap the device reaches nothing");
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	push(ring, ring_map(space, IOVA, memory, PAGE, 1));
	push(ring, ring_map(space, IOVA + PAGE, memory + PAGE, PAGE, 2));
	ring_flush(ring);
	ring_expect(ring, 1, 0);
	ring_expect(ring, 2, 0);
	CHECK(edu_reaches(&lab->edu, IOVA + PAGE, memory + PAGE));
	push(ring, ring_unmap(space, IOVA, PAGE, 3));
	push(ring, ring_unmap(space, IOVA + PAGE, PAGE, 4));
	ring_flush(ring);
	ring_expect(ring, 3, 0);
	ring_expect(ring, 4, 0);
	CHECK(!edu_reaches(&lab->edu, IOVA, memory));
	CHECK(!edu_reaches(&lab->edu, IOVA + PAGE, memory + PAGE));
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
}

/* A table that its owner writes, and the ring tells of it. */
static void check_invalidate(struct ring *ring)
{
	struct ioasid_sqe sqe = { .op = IOASID_RING_INVALIDATE, .length = PAGE };
	struct ioasid_lookup found;
	struct user_table table;

	lab_step("invalidations of a USER space: ranges, and all");
	user_table_open(&table, ring->fd, IOASID_FORMAT_X86_64_L4);
	sqe.ioasid = table.space;
	user_table_map(&table, IOVA, 4 * PAGE, 0, RW);
	for (uint64_t i = 0; i < 3; i++) {
		sqe.iova = IOVA + i * PAGE;
		sqe.user_data = i;
		push(ring, sqe);
	}
	ring_flush(ring);
	for (uint64_t i = 0; i < 3; i++)
		ring_expect(ring, i, 0);
	for (uint64_t i = 0; i < 3; i++)
		user_table_check(&table, ring->fd, IOVA + i * PAGE);
	CHECK(kioas_lookup(ring->fd, table.space, IOVA + 3 * PAGE, &found) == -ENOENT);
	user_table_unmap(&table, IOVA, 4 * PAGE);
	user_table_map(&table, IOVA + 3 * PAGE, PAGE, 0, RW);
	sqe.iova = sqe.length = 0;
	sqe.op_flags = IOASID_INVAL_LEAF;
	push(ring, sqe);
	ring_flush(ring);
	ring_expect(ring, 2, 0);
	for (uint64_t i = 0; i < 4; i++)
		user_table_check(&table, ring->fd, IOVA + i * PAGE);
	user_table_close(&table, ring->fd);
}

static void check_full(void)
{
	struct ioasid_cqe cqe;
	struct ring ring;

	lab_step("while completions are full nothing is taken, and nothing is lost");
	ring_open(&ring, kioas_open(), 8, 8, 0);
	for (uint64_t i = 0; i < 8; i++)
		push(&ring, ring_nop(i));
	ring_submit(&ring);
	CHECK(ring_enter(&ring, 5, 0, 0) == 5);
	CHECK(ring_enter(&ring, 100, 8, 0) == 3);
	for (uint64_t i = 8; i < 16; i++)
		push(&ring, ring_nop(i));
	ring_submit(&ring);
	CHECK(ring_enter(&ring, 8, 8, 0) == 0);
	for (uint64_t i = 0; i < 3; i++)
		ring_expect(&ring, i, 0);
	CHECK(ring_enter(&ring, 8, 0, 0) == 3);
	for (uint64_t i = 3; i < 11; i++)
		ring_expect(&ring, i, 0);
	CHECK(!ring_reap(&ring, &cqe));
	CHECK(ring_enter(&ring, 8, 5, 0) == 5);
	for (uint64_t i = 11; i < 16; i++)
		ring_expect(&ring, i, 0);
	CHECK(munmap(ring.head, ring.setup.out_length) == 0);
	close(ring.fd);
}

static void check_dead(uint32_t *(*position)(struct ring *ring), uint32_t value)
{
	struct ring ring;

	ring_open(&ring, kioas_open(), 8, 8, 0);
	push(&ring, ring_nop(7));
	ring_flush(&ring);
	*position(&ring) = value;
	CHECK(ring_enter(&ring, 1, 0, 0) == -EINVAL);
	kioas_check_why(ring.fd, EINVAL, IOASID_RING_ENTER, "", 0);
	CHECK(ring.head->sq_flags & IOASID_RING_DEAD);
	memset(ring.head, 0, sizeof(*ring.head));
	CHECK(ring_enter(&ring, 1, 1, 0) == -EINVAL);
	CHECK(ring.cqes[0].user_data == 7);
	CHECK(munmap(ring.head, ring.setup.out_length) == 0);
	close(ring.fd);
}

static uint32_t *sq_tail(struct ring *ring)
{
	return &ring->head->sq_tail;
}

static uint32_t *cq_head(struct ring *ring)
{
	return &ring->head->cq_head;
}

static void check_positions(void)
{
	struct ring ring;

	lab_step("positions that make no sense end the ring");
	check_dead(sq_tail, 10);
	check_dead(sq_tail, 0);
	check_dead(sq_tail, UINT32_MAX);
	check_dead(cq_head, 2);
	check_dead(cq_head, UINT32_MAX / 2);
	lab_step("what the kernel writes there it does not read");
	ring_open(&ring, kioas_open(), 8, 8, 0);
	for (uint64_t i = 0; i < 30; i++) {
		push(&ring, ring_nop(i));
		ring_flush(&ring);
		ring_expect(&ring, i, 0);
		CHECK(ring.head->sq_head == i + 1 && ring.head->cq_tail == i + 1);
		ring.head->sq_flags = UINT32_MAX;
		ring.head->cq_tail = 12345;
	}
	CHECK(munmap(ring.head, ring.setup.out_length) == 0);
	close(ring.fd);
}

static void on_alarm(int signal)
{
}

static void check_signal(struct ring *ring)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval soon = { .it_value = { .tv_usec = 100000 } };
	struct ioasid_ring_enter enter = {
		.size = sizeof(enter),
		.to_submit = 1,
		.min_complete = 2,
		.out_submitted = 99,
	};

	lab_step("a signal ends the wait for a completion that does not come");
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	push(ring, ring_nop(1));
	ring_submit(ring);
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	CHECK(kioas_call(ring->fd, IOASID_RING_ENTER, &enter) == -EINTR);
	CHECK(enter.out_submitted == 1);
	ring_expect(ring, 1, 0);
}

/* Many threads ring the bell of one ring, and other threads make calls on the same space. */
struct crowd {
	struct ring *ring;
	pthread_mutex_t lock;
	uint32_t space;
	uint8_t *memory;
	uint64_t next;
	atomic_uint number;
};

#define THREADS	 4
#define ELEMENTS 4000

static void *crowd_thread(void *argument)
{
	struct crowd *crowd = argument;
	struct ring *ring = crowd->ring;
	const uint64_t own = IOVA + (1 + crowd->number++) * MIB;
	bool more = true;

	while (more) {
		pthread_mutex_lock(&crowd->lock);
		for (int i = 0; i < 8 && crowd->next < ELEMENTS; i++, crowd->next++) {
			const uint64_t iova = IOVA + crowd->next / 2 % SLOTS * PAGE;

			if (ring->pushed - atomic_load((_Atomic uint32_t *)&ring->head->sq_head) ==
			    ring->setup.sq_entries)
				break;
			push(ring, crowd->next % 2
					   ? ring_unmap(crowd->space, iova, PAGE, crowd->next)
					   : ring_map(crowd->space, iova, crowd->memory, PAGE,
						      crowd->next));
		}
		ring_submit(ring);
		more = crowd->next < ELEMENTS;
		pthread_mutex_unlock(&crowd->lock);
		CHECK(ring_enter(ring, 8, 0, 0) >= 0);
		CHECK(kioas_map_one(ring->fd, crowd->space, own, crowd->memory, PAGE, RW) == 0);
		CHECK(kioas_unmap_one(ring->fd, crowd->space, own, PAGE) == 0);
	}
	return NULL;
}

static void check_crowd(struct ring *ring, uint32_t space, uint8_t *memory)
{
	struct crowd crowd = {
		.ring = ring,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.space = space,
		.memory = memory,
	};
	pthread_t threads[THREADS];
	uint64_t seen = 0;

	lab_step("many threads, one ring: every element completes once, in order");
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, crowd_thread, &crowd) == 0);
	while (seen < ELEMENTS) {
		struct ioasid_cqe cqe;

		if (!ring_reap(ring, &cqe)) {
			CHECK(ring_enter(ring, 64, 0, 0) >= 0);
			continue;
		}
		CHECK(cqe.user_data == seen && cqe.result == 0);
		seen++;
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(void)
{
	const uint64_t pins = lab_pins();
	uint8_t *memory = lab_buffer(SLOTS * PAGE, 0, 1);
	struct kioas_lab lab;
	struct ring ring;
	uint32_t space;

	check_setup();
	check_child();
	kioas_lab_open(&lab);
	space = kioas_space(lab.fd, IOASID_KIND_KERNEL, 0);
	ring_open(&ring, lab.fd, 64, 0, 0);
	check_results(&ring, space, memory);
	check_links(&ring, space, memory);
	check_random(&ring, space, memory);
	check_device(&lab, &ring, space, memory);
	check_invalidate(&ring);
	check_full();
	check_positions();
	check_signal(&ring);
	check_crowd(&ring, space, memory);
	kioas_lab_close(&lab);
	CHECK(munmap(ring.head, ring.setup.out_length) == 0);
	CHECK(lab_pins() == pins);
	return 0;
}
