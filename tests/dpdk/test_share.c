/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table that secondary processes read: against an array of pages, step by step; never torn
 * while a writer changes it; not to be written to; a writer that has died is noticed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "share.h"

#define PAGE  4096
#define PAGES 256
#define BASE  UINT64_C(0x100000000)

/* IOVA of each page, 0: not mapped. */
static uint64_t oracle[PAGES];

static void check_all(const struct share *share)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		uint64_t iova = 0, va = BASE + i * PAGE + 123;
		size_t bytes = SIZE_MAX;
		unsigned int more = i;
		int rc = share_find(share, va, &bytes, &iova);

		if (oracle[i] == 0) {
			assert_int_equal(rc, -ENOENT);
			continue;
		}
		while (more < PAGES && oracle[more] != 0 &&
		       oracle[more] == oracle[i] + (uint64_t)(more - i) * PAGE)
			more++;
		assert_int_equal(rc, 0);
		assert_int_equal(iova, oracle[i] + 123);
		assert_int_equal(bytes, (uint64_t)(more - i) * PAGE - 123);
	}
}

/* A stretch of pages that is all mapped (to one run of IOVAs) or all not, from @at on. */
static unsigned int stretch(unsigned int at, unsigned int most)
{
	unsigned int count = 1;

	while (count < most && at + count < PAGES &&
	       (oracle[at] == 0 ? oracle[at + count] == 0
				: oracle[at + count] == oracle[at] + (uint64_t)count * PAGE))
		count++;
	return count;
}

static void random_steps(void **state)
{
	struct share share, reader;
	unsigned int seed = 1;

	memset(oracle, 0, sizeof(oracle));
	assert_int_equal(share_create(&share), 0);
	assert_int_equal(share_join(&reader, share.fd), 0);
	for (unsigned int step = 0; step < 3000; step++) {
		unsigned int at = rand_r(&seed) % PAGES;
		unsigned int count = stretch(at, 1 + rand_r(&seed) % 20);
		/* Two that often make neighbours. */
		uint64_t less = rand_r(&seed) & 1 ? UINT64_C(0x1000000) : UINT64_C(0x7000000);

		share_begin(&share);
		if (oracle[at] == 0)
			assert_true(share_insert(&share, BASE + at * PAGE, count * PAGE,
						 less + at * PAGE));
		else
			assert_true(share_remove(&share, BASE + at * PAGE, count * PAGE));
		share_end(&share);
		for (unsigned int i = 0, mapped = oracle[at] == 0; i < count; i++)
			oracle[at + i] = mapped ? less + (at + i) * PAGE : 0;
		check_all(&reader);
	}
	share_destroy(&reader);
	share_destroy(&share);
}

/*
 * One stretch is always there, elsewhere after each change; in the midst of a change it is not, and
 * what is before it has moved. Its length follows from its IOVA, so that a mixture of two shows.
 */
#define FOUND_ENOUGH 20000
#define TURNS_MIN    20000
#define TURNS_MAX    20000000

static uint64_t length_of(uint64_t iova)
{
	return (1 + iova / PAGE % 50) * PAGE;
}

struct reader {
	struct share share;
	const bool *stop;
	uint64_t found; /* atomic */
	uint64_t torn;
};

static void *read_all(void *arg)
{
	struct reader *reader = arg;

	while (!__atomic_load_n(reader->stop, __ATOMIC_RELAXED)) {
		size_t bytes = SIZE_MAX;
		uint64_t iova = 0;
		int rc = share_find(&reader->share, BASE, &bytes, &iova);

		reader->torn += rc != 0 || bytes != length_of(iova);
		__atomic_add_fetch(&reader->found, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static bool both_found(const struct reader *readers)
{
	return __atomic_load_n(&readers[0].found, __ATOMIC_RELAXED) >= FOUND_ENOUGH &&
	       __atomic_load_n(&readers[1].found, __ATOMIC_RELAXED) >= FOUND_ENOUGH;
}

static void change(struct share *share, uint64_t turn)
{
	const uint64_t before = turn * 7 * PAGE, after = before + 7 * PAGE;
	const uint64_t others = turn / 2 % 8; /* below it: inserted, then removed */

	share_begin(share);
	share_remove(share, BASE, length_of(before));
	if (turn % 2 == 0)
		share_insert(share, BASE - (2 + 2 * others) * PAGE, PAGE, PAGE);
	else
		share_remove(share, BASE - (2 + 2 * others) * PAGE, PAGE);
	share_insert(share, BASE, length_of(after), after);
	share_end(share);
}

static void never_torn(void **state)
{
	struct reader readers[2];
	struct share share;
	pthread_t threads[2];
	bool stop = false;

	assert_int_equal(share_create(&share), 0);
	share_begin(&share);
	share_insert(&share, BASE, length_of(0), 0);
	share_end(&share);
	for (unsigned int i = 0; i < 2; i++) {
		readers[i] = (struct reader){ .stop = &stop };
		assert_int_equal(share_join(&readers[i].share, share.fd), 0);
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
	}
	for (uint64_t turn = 0; turn < TURNS_MIN || (turn < TURNS_MAX && !both_found(readers));
	     turn++) {
		change(&share, turn);
		for (volatile unsigned int pause = 0; pause < 100; pause++)
			; /* a reader may get through */
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].torn, 0);
		share_destroy(&readers[i].share);
	}
	assert_true(both_found(readers));
	share_destroy(&share);
}

static void no_second_writer(void **state)
{
	struct share share, reader;

	assert_int_equal(share_create(&share), 0);
	assert_ptr_equal(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, share.fd, 0),
			 MAP_FAILED);
	assert_int_equal(share_join(&reader, share.fd), 0);
	assert_int_not_equal(mprotect(reader.table, PAGE, PROT_READ | PROT_WRITE), 0);
	share_destroy(&reader);
	share_destroy(&share);
	assert_int_equal(share_join(&reader, 0), -EINVAL);
}

/* It was killed in the middle of a change. */
static void dead_writer(void **state)
{
	struct share share;
	size_t bytes = 1;
	uint64_t iova;

	assert_int_equal(share_create(&share), 0);
	share_begin(&share);
	assert_int_equal(share_find(&share, BASE, &bytes, &iova), -EAGAIN);
	share_end(&share);
	assert_int_equal(share_find(&share, BASE, &bytes, &iova), -ENOENT);
	share_destroy(&share);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_steps),
		cmocka_unit_test(never_torn),
		cmocka_unit_test(no_second_writer),
		cmocka_unit_test(dead_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
