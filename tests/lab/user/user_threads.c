// SPDX-License-Identifier: BSD-3-Clause
/*
 * Threads map and unmap in one table while the device comes and moves: each unmap that has returned
 * is safe, whoever's system call it was. Each thread has pages of its own; now and then it stops
 * with a page unmapped, and the device tries to reach it.
 */
#include "user_lab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define THREADS 4
#define EACH	64 /* pages of a thread */
#define TRIES	40
#define ROUNDS	16 /* between two looks */

struct worker {
	struct user_lab *lab;
	struct ioas *as;
	int first;
	pthread_t thread;
	_Atomic ioas_iova_t gone; /* unmapped a moment ago, page `page`; 0: at work */
	_Atomic int page;
	_Atomic bool go_on;
	_Atomic bool stop;
	_Atomic uint64_t unmaps;
};

/* Waits until the device has tried. */
static void show(struct worker *worker, ioas_iova_t iova, int page)
{
	worker->page = page;
	worker->gone = iova;
	while (!worker->go_on && !worker->stop)
		usleep(100);
	worker->gone = 0;
	worker->go_on = false;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct user_space space = { .as = worker->as };
	ioas_iova_t iova[EACH];

	CHECK(ioas_queue_create(space.as, &space.queue) == 0);
	for (unsigned int round = 0; !worker->stop; round++) {
		const int victim = round % EACH;

		for (int i = 0; i < EACH; i++)
			iova[i] = user_map(&space, user_page(worker->lab, worker->first + i),
					   IOAS_RW);
		for (int i = 0; i < EACH; i++)
			if (i != victim)
				user_unmap(&space, iova[i]);
		user_unmap(&space, iova[victim]);
		worker->unmaps += EACH;
		if (round % ROUNDS == 0)
			show(worker, iova[victim], worker->first + victim);
	}
	CHECK(ioas_queue_destroy(space.queue) == 0);
	return NULL;
}

static void try_one(struct user_lab *lab, struct worker *worker)
{
	while (!worker->gone)
		usleep(100);
	CHECK(!user_reaches(lab, worker->gone, worker->page));
	worker->go_on = true;
}

static void run(struct user_lab *lab)
{
	static struct worker workers[THREADS];
	struct user_space space, other;
	struct ioas_stats before, after;
	uint64_t unmaps = 0;

	user_space_open(lab, &space, IOAS_STRICT, NULL);
	user_space_open(lab, &other, IOAS_STRICT, NULL);
	user_lab_stats(lab, &before);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .lab = lab, .as = space.as, .first = i * EACH };
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	}
	CHECK(ioas_attach(space.as, lab->dev) == 0);
	user_lab_registers_open(lab);
	for (int i = 0; i < TRIES; i++) {
		try_one(lab, &workers[i % THREADS]);
		if (i % 8 == 7) {
			CHECK(ioas_attach(other.as, lab->dev) == 0);
			CHECK(ioas_attach(space.as, lab->dev) == 0);
		}
	}
	for (int i = 0; i < THREADS; i++)
		workers[i].stop = true;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		unmaps += workers[i].unmaps;
	}
	user_lab_stats(lab, &after);
	printf("    %d of %d tries refused; %llu unmaps, %llu system calls\n", TRIES, TRIES,
	       (unsigned long long)unmaps,
	       (unsigned long long)(after.inval_crossings - before.inval_crossings));
	user_drop_faults(lab);
	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
	user_space_close(&other);
}

int main(int argc, char **argv)
{
	static struct user_lab lab;

	user_lab_open(&lab, argc, argv);
	lab_step("four threads, STRICT");
	run(&lab);
	user_lab_close(&lab);
	return 0;
}
