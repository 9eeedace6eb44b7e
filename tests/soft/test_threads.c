/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device against a driver: one thread does bursts of DMA, the other maps, unmaps, invalidates
 * and reuses pages. What the device writes after an invalidation has completed must not be in a
 * page that was unmapped before. Run it under ThreadSanitizer as well: only table entries and
 * the words that the device shares with the driver are touched from both sides, all atomic.
 */
#include "machine.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#define LEAF   (P | RW | US | A | D)
#define PAGES  64
#define CYCLES 20000

struct race {
	struct machine m;
	_Atomic bool stop;
	uint64_t landed;
	uint64_t stopped;
};

static _Atomic uint64_t *word_of(struct race *race, unsigned int page)
{
	return (_Atomic uint64_t *)(race->m.memory + MIB(32) + page * PAGE);
}

static void *device_thread(void *arg)
{
	struct race *race = arg;
	unsigned int at = 0;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		soft_unit_begin(race->m.unit);
		for (unsigned int i = 0; i < 16; i++) {
			size_t bytes = 8;
			_Atomic uint64_t *word;

			at = (at * 13 + 7) % (PAGES * 31);
			word = soft_translate(&race->m.device, GIB(3) + at % PAGES * PAGE, &bytes,
					      IOAS_WRITE);
			if (word) {
				atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
				race->landed++;
			} else {
				race->stopped++;
			}
		}
		soft_unit_end(race->m.unit);
	}
	return NULL;
}

/* Until the device has written to the page, but not for ever: it may not be running. */
static void await_use(struct race *race, unsigned int page)
{
	uint64_t seen = atomic_load_explicit(word_of(race, page), memory_order_relaxed);

	for (unsigned int i = 0; i < 100000; i++) {
		if (atomic_load_explicit(word_of(race, page), memory_order_relaxed) != seen)
			return;
		if (i % 1000 == 999)
			sched_yield();
	}
}

static void device_against_driver(void **state)
{
	static struct race race;
	struct soft_counters c;
	unsigned int escaped = 0;
	pthread_t thread;

	(void)state;
	machine_start(&race.m, "iotlb_sets=16,iotlb_ways=4");
	for (unsigned int i = 0; i < PAGES; i++)
		first(&race.m, GIB(3) + i * PAGE, 0);
	assert_int_equal(pthread_create(&thread, NULL, device_thread, &race), 0);
	for (unsigned int i = 0; i < CYCLES; i++) {
		unsigned int page = i * 29 % PAGES, run = 1 + i % 5;
		uint64_t seen[8];

		for (unsigned int j = 0; j < run; j++)
			set_entry(first(&race.m, GIB(3) + (page + j) % PAGES * PAGE, 0),
				  addr_of(word_of(&race, (page + j) % PAGES)) | LEAF);
		if (i % 8 == 0)
			await_use(&race, page);
		for (unsigned int j = 0; j < run; j++)
			set_entry(first(&race.m, GIB(3) + (page + j) % PAGES * PAGE, 0), 0);
		if (i % 3) {
			for (unsigned int j = 0; j < run; j++)
				invalidate(&race.m, CHILD, GIB(3) + (page + j) % PAGES * PAGE, PAGE,
					   i & 1);
		} else {
			flush(&race.m, CHILD);
		}
		for (unsigned int j = 0; j < run; j++)
			seen[j] = atomic_load_explicit(word_of(&race, (page + j) % PAGES),
						       memory_order_relaxed);
		for (unsigned int j = 0; j < 50; j++)
			for (unsigned int k = 0; k < run; k++)
				escaped += atomic_load_explicit(word_of(&race, (page + k) % PAGES),
								memory_order_relaxed) != seen[k];
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	soft_unit_read_counters(race.m.unit, &c);
	printf("%lu landed, %lu stopped, %lu dropped\n", race.landed, race.stopped, c.dropped);
	assert_int_equal(escaped, 0);
	assert_true(race.landed > 0);
	assert_int_equal(c.faults, race.stopped);
	machine_stop(&race.m);
}

struct storm {
	struct machine *m;
	unsigned int count;
	int ret;
};

static void *invalidations(void *arg)
{
	struct storm *storm = arg;
	struct soft_desc descs[3] = { soft_desc_range(CHILD, GIB(3), 8 * PAGE, true),
				      soft_desc_domain(CHILD), soft_desc_global() };

	for (unsigned int i = 0; i < storm->count; i++)
		storm->ret |= soft_queue_submit(storm->m->unit, &descs[i % 64 ? 0 : i / 64 % 3], 1);
	return NULL;
}

/* Several submitters and a device: every wait comes back, none for long. */
static void submitters_share_the_queue(void **state)
{
	static struct race race;
	struct storm storms[3];
	pthread_t device, threads[3];
	struct timespec start, end;
	struct soft_counters c;

	(void)state;
	memset(&race, 0, sizeof(race));
	machine_start(&race.m, NULL);
	for (unsigned int i = 0; i < PAGES; i++)
		set_entry(first(&race.m, GIB(3) + i * PAGE, 0), addr_of(word_of(&race, i)) | LEAF);
	assert_int_equal(pthread_create(&device, NULL, device_thread, &race), 0);
	await_use(&race, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned int i = 0; i < 3; i++) {
		storms[i] = (struct storm){ .m = &race.m, .count = 3000 };
		assert_int_equal(pthread_create(&threads[i], NULL, invalidations, &storms[i]), 0);
	}
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(storms[i].ret, 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	atomic_store(&race.stop, true);
	pthread_join(device, NULL);
	soft_unit_read_counters(race.m.unit, &c);
	printf("%.1f us an invalidation, %lu landed\n",
	       ((end.tv_sec - start.tv_sec) * 1e6 + (end.tv_nsec - start.tv_nsec) / 1e3) / 9000,
	       race.landed);
	assert_int_equal(c.waits, 9000);
	assert_int_equal(race.stopped, 0);
	machine_stop(&race.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_against_driver),
		cmocka_unit_test(submitters_share_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
