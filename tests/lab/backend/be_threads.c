// SPDX-License-Identifier: BSD-3-Clause
/*
 * map and unmap from several threads at once, while the device is attached and detached: no call
 * fails, and in the end the device reaches exactly what is mapped.
 */
#include "be_lab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define THREADS		   4
#define SLOTS		   16
#define ROUNDS		   400
#define MOVES		   20
#define IOVA(thread, slot) (0x40000000UL + ((thread)*SLOTS + (slot)) * PAGE)

static atomic_bool stop;

struct worker {
	pthread_t thread;
	unsigned int number;
	struct be_space *space;
	uint8_t *memory;
	bool mapped[SLOTS];
};

static void *work(void *argument)
{
	struct worker *worker = argument;
	unsigned int seed = worker->number;

	while (!stop) {
		unsigned int slot = rand_r(&seed) % SLOTS;
		uint64_t iova = IOVA(worker->number, slot);

		if (worker->mapped[slot])
			CHECK(be_lab_unmap(worker->space, iova, PAGE) == 0);
		else
			CHECK(be_lab_map(worker->space, iova, worker->memory + slot * PAGE, PAGE,
					 IOAS_RW) == 0);
		worker->mapped[slot] = !worker->mapped[slot];
	}
	return NULL;
}

static void check_slots(struct be_lab *lab, struct worker *worker)
{
	for (unsigned int slot = 0; slot < SLOTS; slot += 3)
		if (be_lab_reaches(lab, IOVA(worker->number, slot), worker->memory + slot * PAGE) !=
		    worker->mapped[slot])
			FAIL("slot %u of thread %u: %s", slot, worker->number,
			     worker->mapped[slot] ? "not reached" : "reached");
}

int main(int argc, char **argv)
{
	struct worker workers[THREADS];
	struct be_space *space;
	struct be_lab lab;
	uint64_t pins;

	be_lab_init(&lab, argc, argv);
	be_lab_open(&lab);
	be_lab_bind(&lab);
	space = be_lab_space(&lab);
	pins = lab_pins();
	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .number = i,
					      .space = space,
					      .memory = lab_buffer(SLOTS * PAGE, 0, 0) };
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	}
	for (int move = 0; move < MOVES; move++) {
		CHECK(lab.ops->attach(space, lab.dev) == 0);
		CHECK(lab.ops->detach(lab.dev) == 0);
	}
	stop = true;
	for (unsigned int i = 0; i < THREADS; i++)
		CHECK(pthread_join(workers[i].thread, NULL) == 0);
	CHECK(lab.ops->attach(space, lab.dev) == 0);
	be_lab_registers_open(&lab);
	for (unsigned int i = 0; i < THREADS; i++)
		check_slots(&lab, &workers[i]);
	be_lab_registers_close(&lab);
	CHECK(lab.ops->detach(lab.dev) == 0);
	lab.ops->space_destroy(space);
	CHECK(lab_pins() == pins);
	return 0;
}
