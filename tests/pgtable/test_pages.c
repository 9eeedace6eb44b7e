/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs of mappings of one page each: pt_map_pages() and pt_claim_pages() do what pt_map() and
 * pt_claim() would, page by page.
 */
#include "tables.h"

#include <pthread.h>
#include <sched.h>

/* Output addresses in no order, no two of them neighbours. */
static uint64_t scattered(unsigned int i)
{
	return L2(9) + (i * 7919 % 8192) * PAGE * 2;
}

static void scatter(uint64_t *oa, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		oa[i] = scattered(i);
}

static int map_pages(struct tables *t, uint64_t iova, unsigned int count, uint32_t prot)
{
	uint64_t oa[8192];

	scatter(oa, count);
	return pt_map_pages(t->pt, NULL, iova, oa, count, prot, 0);
}

/* Each page is a mapping of its own, with its own address and exactly the entry of pt_map(). */
static void each_page_is_a_mapping(void **state)
{
	const struct format *f = *state;
	const unsigned int last = ENTRIES - 1;
	const struct {
		unsigned int first, count;
	} runs[] = { { 0, 1 },	  { last, 1 }, { 0, last + 1 }, { 1, last },
		     { 0, last }, { 100, 32 }, { last - 7, 8 }, { 7, 2 } };

	for (unsigned int r = 0; r < COUNT(runs); r++)
		for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
			/* In the last block of the address space, too. */
			const uint64_t block = r & 1 ? L2(3) + L1(3) : beyond(f) - L1(1);
			const uint64_t iova = block + runs[r].first * PAGE;
			struct tables t;

			tables_start(&t, f);
			assert_int_equal(map_pages(&t, iova, runs[r].count, prot), 0);
			assert_int_equal(leaves(&t), runs[r].count);
			assert_int_equal(t.live, f->levels);
			for (unsigned int i = 0; i < runs[r].count; i++) {
				assert_int_equal(level_at(&t, iova + i * PAGE, scattered(i), prot),
						 0);
				assert_int_equal(entry_value(&t, iova + i * PAGE, 0),
						 leaf_entry(f, scattered(i), prot, 0) | f->start);
			}
			/* No two together, and each by itself. */
			if (runs[r].count > 1) {
				assert_int_equal(unmap(&t, iova, PAGE * 2), -EINVAL);
				assert_int_equal(unmap(&t, iova, PAGE * runs[r].count), -EINVAL);
			}
			for (unsigned int i = 0; i < runs[r].count; i++) {
				unsigned int page = (i * 5 + 3) % runs[r].count;

				if (runs[r].count % 5 == 0)
					page = i;
				assert_int_equal(unmap(&t, iova + page * PAGE, PAGE), 0);
			}
			assert_int_equal(leaves(&t), 0);
			tables_stop(&t);
		}
}

/* Into a table that is there; past neighbours; through a cursor; tags as with pt_map(). */
static void tables_and_neighbours(void **state)
{
	struct pt_cursor cursor = PT_CURSOR_INIT;
	uint64_t oa[16];
	struct tables t;

	scatter(oa, 16);
	tables_start(&t, *state);
	assert_int_equal(map(&t, L2(3) + PAGE * 9, PAGE, L2(1), IOAS_READ), 0);
	assert_int_equal(map(&t, L2(3) + PAGE * 26, PAGE * 3, L2(2), IOAS_READ), 0);
	assert_int_equal(pt_map_pages(t.pt, &cursor, L2(3) + PAGE * 10, oa, 16, IOAS_RW, 5), 0);
	assert_int_equal(leaves(&t), 20);
	assert_int_equal(level_at(&t, L2(3) + PAGE * 9, L2(1), IOAS_READ), 0);
	assert_int_equal(level_at(&t, L2(3) + PAGE * 26, L2(2), IOAS_READ), 0);
	assert_int_equal(atomic_load(&pt_find(t.pt, L2(3))->tag), 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(pt_unmap(t.pt, &cursor, L2(3) + PAGE * (10 + i), PAGE, 0), 0);
	assert_int_equal(unmap(&t, L2(3) + PAGE * 26, PAGE * 3), 0);

	/* Another block, with the same cursor; and back. */
	assert_int_equal(pt_map_pages(t.pt, &cursor, L2(3) + L1(1), oa, 2, IOAS_RW, 6), 0);
	assert_int_equal(atomic_load(&pt_find(t.pt, L2(3) + L1(1))->tag), 6);
	assert_int_equal(pt_map_pages(t.pt, &cursor, L2(3), oa, 2, IOAS_RW, 7), 0);
	assert_int_equal(pt_claim_pages(t.pt, &cursor, L2(3), 2), 2);
	pt_clear(t.pt, &cursor, L2(3), PAGE * 2, 0);
	assert_int_equal(unmap(&t, L2(3) + PAGE * 9, PAGE), 0);
	assert_int_equal(pt_claim_pages(t.pt, &cursor, L2(3), 2), 0);
	assert_int_equal(pt_map_pages(t.pt, &cursor, L2(3), oa, 2, IOAS_RW, 8), 0);
	/* The table stays, and so does its tag. */
	assert_int_equal(atomic_load(&pt_find(t.pt, L2(3))->tag), 0);
	assert_int_equal(level_at(&t, L2(3) + PAGE, oa[1], IOAS_RW), 0);
	assert_int_equal(leaves(&t), 4);
	tables_stop(&t);
}

/* What fails leaves nothing: a large leaf in the way, every page that cannot be had. */
static void failures(void **state)
{
	const struct format *f = *state;

	for (unsigned int level = 1; level < fmt->leaf_levels; level++) {
		struct tables t;

		tables_start(&t, f);
		assert_int_equal(map(&t, L2(3), leaf_size(level), L2(1), IOAS_READ), 0);
		assert_int_equal(map_pages(&t, L2(3) + L1(1) / 2, 4, IOAS_RW), -EEXIST);
		assert_int_equal(pt_claim_pages(t.pt, NULL, L2(3), 1), 0);
		assert_int_equal(leaves(&t), 1);
		assert_int_equal(level_at(&t, L2(3) + L1(1) / 2, L2(1) + L1(1) / 2, IOAS_READ),
				 level);
		assert_int_equal(unmap(&t, L2(3), leaf_size(level)), 0);
		assert_int_equal(map_pages(&t, L2(3) + L1(1) / 2, 4, IOAS_RW), 0);
		tables_stop(&t);
	}
	for (int64_t n = 2; n <= f->levels; n++) {
		struct tables t;

		tables_start(&t, f);
		t.fail_at = n;
		assert_int_equal(map_pages(&t, L2(3), 4, IOAS_RW), -ENOMEM);
		assert_int_equal(leaves(&t), 0);
		tables_check(&t);
		assert_int_equal(map_pages(&t, L2(3), 4, IOAS_RW), 0);
		assert_int_equal(t.live, f->levels);
		tables_stop(&t);
	}
}

/* A run of claims: no other can claim them, they translate until they are cleared, as one. */
static void claims_of_a_run(void **state)
{
	const struct format *f = *state;
	const uint64_t iova = L2(3) + L1(1) - PAGE * 40;
	struct tables t;

	tables_start(&t, f);
	assert_int_equal(pt_claim_pages(t.pt, NULL, iova, 40), 0);
	assert_int_equal(map_pages(&t, iova, 40, IOAS_RW), 0);
	assert_int_equal(pt_entry_form(t.pt)->claim, f->claim);
	assert_int_equal(pt_claim_pages(t.pt, NULL, iova + PAGE * 8, 16), 16);
	for (unsigned int i = 0; i < 40; i++) {
		bool claimed = i >= 8 && i < 24;

		assert_int_equal(entry_value(&t, iova + i * PAGE, 0),
				 leaf_entry(f, scattered(i), IOAS_RW, 0) | f->start |
					 (claimed ? f->claim : 0));
		assert_int_equal(level_at(&t, iova + i * PAGE, scattered(i), IOAS_RW), 0);
		if (claimed)
			assert_int_equal(pt_claim(t.pt, NULL, iova + i * PAGE, PAGE), -ENOENT);
	}
	/* Up to the first of them; none beginning at one of them. */
	assert_int_equal(pt_claim_pages(t.pt, NULL, iova, 40), 8);
	assert_int_equal(pt_claim_pages(t.pt, NULL, iova + PAGE * 9, 20), 0);
	for (unsigned int i = 0; i < 8; i++)
		pt_unclaim(t.pt, NULL, iova + i * PAGE);

	pt_clear(t.pt, NULL, iova + PAGE * 8, PAGE * 16, 321);
	assert_int_equal(leaves(&t), 24);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(entry_value(&t, iova + i * PAGE, 0),
				 i >= 8 && i < 24
					 ? UINT64_C(321) << f->stamp_shift
					 : leaf_entry(f, scattered(i), IOAS_RW, 0) | f->start);
	/* The hole stops a run. To the end of the table: the last has no neighbour there. */
	assert_int_equal(pt_claim_pages(t.pt, NULL, iova, 40), 8);
	assert_int_equal(pt_claim_pages(t.pt, NULL, iova + PAGE * 24, 16), 16);
	tables_stop(&t);
}

/* A mapping of more pages than one is no part of a run, wherever it meets it. */
static void longer_mappings_stop_a_run(void **state)
{
	const uint64_t block = L2(3);
	struct tables t;

	/* Inside a table: from its first page on, and from the middle. */
	tables_start(&t, *state);
	assert_int_equal(map_pages(&t, block, 4, IOAS_RW), 0);
	assert_int_equal(map(&t, block + PAGE * 4, PAGE * 2, L2(1), IOAS_RW), 0);
	assert_int_equal(map_pages(&t, block + PAGE * 6, 4, IOAS_RW), 0);
	assert_int_equal(pt_claim_pages(t.pt, NULL, block + PAGE * 2, 8), 2);
	assert_int_equal(pt_claim_pages(t.pt, NULL, block + PAGE * 4, 4), 0);
	assert_int_equal(pt_claim_pages(t.pt, NULL, block + PAGE * 5, 4), 0);
	assert_int_equal(pt_claim_pages(t.pt, NULL, block + PAGE * 6, 4), 4);
	/* Nothing of it was claimed. */
	assert_int_equal(unmap(&t, block + PAGE * 4, PAGE * 2), 0);
	tables_stop(&t);

	/* The last page of a table: its mapping goes on in the next table, in a large leaf, or not.
	 */
	for (unsigned int next = 0; next < 4; next++) {
		const uint64_t last = block + L1(1) - PAGE;
		bool goes_on = next < 2;

		tables_start(&t, *state);
		assert_int_equal(map_pages(&t, last - PAGE * 3, 3, IOAS_RW), 0);
		if (next == 0) {
			assert_int_equal(map(&t, last, PAGE * 2, L2(1), IOAS_RW), 0);
		} else if (next == 1) {
			assert_int_equal(map(&t, last, PAGE + L1(1), L2(1) - PAGE, IOAS_RW), 0);
		} else {
			assert_int_equal(map_pages(&t, last, 1, IOAS_RW), 0);
			assert_int_equal(
				map(&t, last + PAGE, next == 2 ? PAGE : L1(1), L2(1), IOAS_RW), 0);
		}
		assert_int_equal(pt_claim_pages(t.pt, NULL, last - PAGE * 3, 4), 3 + !goes_on);
		assert_int_equal(pt_claim_pages(t.pt, NULL, last, 1), 0);
		if (next == 1)
			assert_int_equal(unmap(&t, last, PAGE + L1(1)), 0);
		tables_stop(&t);
	}
}

/* One page at the end of a run of another's: its neighbour decides, also beyond the run asked. */
static void the_page_after_the_run_counts(void **state)
{
	struct pt_map_args args = { .oa = L2(1), .prot = IOAS_RW, .cont = true };
	struct tables t;

	tables_start(&t, *state);
	assert_int_equal(map_pages(&t, L2(3), 4, IOAS_RW), 0);
	assert_int_equal(pt_map(t.pt, NULL, L2(3) + PAGE * 4, PAGE, &args, 0), 0);
	assert_int_equal(pt_claim_pages(t.pt, NULL, L2(3), 4), 3);
	assert_int_equal(unmap(&t, L2(3) + PAGE * 3, PAGE * 2), 0);
	tables_stop(&t);
}

/* Threads that claim one run: each page is claimed once. Two, so that both are running. */
#define CLAIMERS 2
#define ROUNDS	 400
#define RUN	 512 /* a block with 4 KiB, a part of it with others */

struct claimer {
	struct tables *t;
	_Atomic unsigned int *arrived;
	unsigned int claimed[ROUNDS];
};

static uint64_t round_iova(unsigned int round)
{
	return L2(3) + round * L1(1);
}

static void *claim_runs(void *arg)
{
	struct claimer *me = arg;
	struct pt_cursor cursor = PT_CURSOR_INIT;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int at = 0;

		atomic_fetch_add(&me->arrived[round], 1);
		for (unsigned int spins = 0; atomic_load(&me->arrived[round]) < CLAIMERS; spins++)
			if (spins > 5000)
				sched_yield();
		/* Past what others have. */
		while (at < RUN) {
			unsigned int got = pt_claim_pages(me->t->pt, &cursor,
							  round_iova(round) + at * PAGE, RUN - at);

			if (got)
				pt_clear(me->t->pt, &cursor, round_iova(round) + at * PAGE,
					 got * PAGE, round + 1);
			me->claimed[round] += got;
			at += got + 1;
		}
	}
	return NULL;
}

static void one_claim_of_each_page(void **state)
{
	static _Atomic unsigned int arrived[ROUNDS];
	static struct claimer claimers[CLAIMERS];
	pthread_t threads[CLAIMERS];
	struct tables t;

	tables_start(&t, *state);
	memset(arrived, 0, sizeof(arrived));
	for (unsigned int round = 0; round < ROUNDS; round++)
		assert_int_equal(map_pages(&t, round_iova(round), RUN, IOAS_RW), 0);
	for (unsigned int i = 0; i < CLAIMERS; i++) {
		claimers[i] = (struct claimer){ .t = &t, .arrived = arrived };
		assert_int_equal(pthread_create(&threads[i], NULL, claim_runs, &claimers[i]), 0);
	}
	for (unsigned int i = 0; i < CLAIMERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int sum = 0;

		for (unsigned int i = 0; i < CLAIMERS; i++)
			sum += claimers[i].claimed[round];
		assert_int_equal(sum, RUN);
	}
	assert_int_equal(leaves(&t), 0);
	tables_stop(&t);
}

int main(void)
{
	const struct CMUnitTest page_tests[] = {
		cmocka_unit_test(each_page_is_a_mapping),
		cmocka_unit_test(tables_and_neighbours),
		cmocka_unit_test(failures),
		cmocka_unit_test(claims_of_a_run),
		cmocka_unit_test(longer_mappings_stop_a_run),
		cmocka_unit_test(the_page_after_the_run_counts),
		cmocka_unit_test(one_claim_of_each_page),
	};

	return RUN_FORMATS(page_tests);
}
