// SPDX-License-Identifier: BSD-3-Clause
/*
 * A CPU space while its process maps, unmaps, moves, protects, discards and forks in several
 * threads, with DMA all the time. The oracle is a second view of the pages: one that is not mapped
 * where devices reach, or only for reading, keeps what was written to it; and what was synced and
 * not touched since is in the space.
 */
#include "kioas_lab.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOVERS	16 /* slots of a thread */
#define THREADS 3
#define SLOTS	(THREADS * MOVERS)
#define SECONDS 8

enum { OPEN = 0x11, CLOSED = 0x33 };

enum state {
	UNMAPPED,
	MAPPED,
	READ_ONLY,
	PRIVATE,
};

static struct {
	struct kioas_lab lab;
	uint32_t space;
	int memory; /* a page for each slot */
	uint8_t *view;
	uint8_t *arena;
	atomic_bool stop;
	atomic_ulong landed;
	atomic_ulong steps;
} churn;

struct mover {
	unsigned int first; /* slot */
	unsigned int seed;
	enum state state[MOVERS];
	pthread_t thread;
};

static uint8_t *view_of(unsigned int slot)
{
	return churn.view + slot * PAGE;
}

static uint8_t *address_of(unsigned int slot)
{
	return churn.arena + slot * PAGE;
}

static bool present(unsigned int slot)
{
	struct ioasid_lookup lookup;
	int ret = kioas_lookup(churn.lab.fd, churn.space, (uintptr_t)address_of(slot), &lookup);

	CHECK(!ret || ret == -ENOENT);
	return !ret;
}

static void sync_slot(unsigned int slot)
{
	CHECK(kioas_invalidate_range(churn.lab.fd, churn.space, (uintptr_t)address_of(slot),
				     PAGE) == 0);
}

/* The page is out of reach from now on. */
static void close_page(unsigned int slot)
{
	if (!lab_all_bytes_are(view_of(slot), PAGE, OPEN))
		churn.landed++;
	memset(view_of(slot), CLOSED, PAGE);
}

static void check_closed(unsigned int slot)
{
	if (!lab_all_bytes_are(view_of(slot), PAGE, CLOSED))
		FAIL("the device wrote to page %u, which was out of its reach", slot);
}

static void open_page(unsigned int slot)
{
	check_closed(slot);
	memset(view_of(slot), OPEN, PAGE);
	CHECK(mmap(address_of(slot), PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   churn.memory, (off_t)(slot * PAGE)) == address_of(slot));
}

static void map_page(unsigned int slot)
{
	open_page(slot);
	sync_slot(slot);
	CHECK(present(slot));
}

static void unmap_page(unsigned int slot)
{
	CHECK(munmap(address_of(slot), PAGE) == 0);
	CHECK(!present(slot));
	close_page(slot);
}

static void protect_page(unsigned int slot)
{
	CHECK(mprotect(address_of(slot), PAGE, PROT_READ) == 0);
	close_page(slot);
}

/* Away and back: what lies in between is a moment without a mapping here. */
static void move_page(unsigned int slot)
{
	uint8_t *away = churn.arena + 2 * SLOTS * PAGE + slot * PAGE;

	CHECK(mremap(address_of(slot), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away);
	CHECK(!present(slot));
	CHECK(mremap(away, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, address_of(slot)) ==
	      address_of(slot));
	sync_slot(slot);
	CHECK(present(slot));
}

static void map_private(unsigned int slot)
{
	CHECK(mmap(address_of(slot), PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == address_of(slot));
	sync_slot(slot);
	CHECK(present(slot));
	CHECK(madvise(address_of(slot), PAGE, MADV_DONTNEED) == 0);
}

static void step(struct mover *mover)
{
	const unsigned int index = rand_r(&mover->seed) % MOVERS, slot = mover->first + index;
	enum state *state = &mover->state[index];

	switch (*state) {
	case UNMAPPED:
		switch (rand_r(&mover->seed) % 4) {
		case 0:
			check_closed(slot);
			map_private(slot);
			*state = PRIVATE;
			break;
		case 1:
			/* Gone again, perhaps while another thread's sync looks at it. */
			open_page(slot);
			unmap_page(slot);
			break;
		default:
			map_page(slot);
			*state = MAPPED;
		}
		break;
	case MAPPED:
		switch (rand_r(&mover->seed) % 3) {
		case 0:
			unmap_page(slot);
			*state = UNMAPPED;
			break;
		case 1:
			protect_page(slot);
			*state = READ_ONLY;
			break;
		default:
			move_page(slot);
		}
		break;
	case READ_ONLY:
		check_closed(slot);
		CHECK(munmap(address_of(slot), PAGE) == 0);
		CHECK(!present(slot));
		*state = UNMAPPED;
		break;
	case PRIVATE:
		CHECK(munmap(address_of(slot), PAGE) == 0);
		check_closed(slot);
		*state = UNMAPPED;
	}
	churn.steps++;
}

static void *move(void *argument)
{
	struct mover *mover = argument;

	while (!churn.stop)
		step(mover);
	return NULL;
}

static void *sync_all(void *argument)
{
	while (!churn.stop)
		CHECK(kioas_invalidate_all(churn.lab.fd, churn.space) == 0);
	return NULL;
}

/* The child's memory is its own, whatever the device does. */
static void *fork_all(void *argument)
{
	uint8_t *own = churn.arena + SLOTS * PAGE;
	int status;
	pid_t child;

	CHECK(mmap(own, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == own);
	memset(own, CLOSED, PAGE);
	while (!churn.stop) {
		child = fork();
		CHECK(child >= 0);
		if (!child) {
			memset(own, OPEN, PAGE);
			_exit(!lab_all_bytes_are(own, PAGE, OPEN));
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
		if (!lab_all_bytes_are(own, PAGE, CLOSED))
			FAIL("the child's writes reached its parent");
	}
	return NULL;
}

static void start(struct mover *movers, pthread_t *others)
{
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		movers[i] = (struct mover){ .first = i * MOVERS, .seed = i + 1 };
		CHECK(pthread_create(&movers[i].thread, NULL, move, &movers[i]) == 0);
	}
	CHECK(pthread_create(&others[0], NULL, sync_all, NULL) == 0);
	CHECK(pthread_create(&others[1], NULL, fork_all, NULL) == 0);
}

static void open_space(void)
{
	const struct ioasid_alloc_cpu data = {
		.start = (uintptr_t)LOW_ADDRESS,
		.last = (uintptr_t)LOW_ADDRESS + 4 * MIB - 1,
		.prot = IOASID_PROT_READ | IOASID_PROT_WRITE,
	};

	/* Slots lie on both sides of the border of two blocks. */
	churn.arena = (uint8_t *)LOW_ADDRESS + 2 * MIB - SLOTS / 2 * PAGE;
	churn.memory = memfd_create("pages", MFD_CLOEXEC);
	CHECK(churn.memory >= 0 && ftruncate(churn.memory, SLOTS * PAGE) == 0);
	churn.view = mmap(NULL, SLOTS * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, churn.memory, 0);
	CHECK(churn.view != MAP_FAILED);
	memset(churn.view, CLOSED, SLOTS * PAGE);
	kioas_lab_open(&churn.lab);
	CHECK(kioas_alloc_cpu(churn.lab.fd, &data, &churn.space) == 0);
	CHECK(kioas_attach(churn.lab.fd, churn.lab.dev_id, churn.space) == 0);
	CHECK(kioas_control(churn.lab.fd, churn.lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
}

int main(void)
{
	const time_t end = time(NULL) + SECONDS;
	uint64_t pins = lab_pins();
	struct mover movers[THREADS];
	unsigned int seed = 0, count;
	pthread_t others[2];
	int i;

	open_space();
	start(movers, others);
	for (count = 0; time(NULL) < end; count++)
		edu_write_memory(&churn.lab.edu, (uintptr_t)address_of(rand_r(&seed) % SLOTS),
				 EDU_TRANSFER_BYTES);
	churn.stop = true;
	for (i = 0; i < THREADS; i++)
		CHECK(pthread_join(movers[i].thread, NULL) == 0);
	for (i = 0; i < 2; i++)
		CHECK(pthread_join(others[i], NULL) == 0);
	printf("    %lu steps, %u DMAs, %lu seen in pages that were closed later\n", churn.steps,
	       count, churn.landed);
	CHECK(churn.landed);
	CHECK(kioas_detach(churn.lab.fd, churn.lab.dev_id) == 0);
	CHECK(kioas_free(churn.lab.fd, churn.space) == 0);
	CHECK(lab_pins() == pins);
	kioas_lab_close(&churn.lab);
	return 0;
}
