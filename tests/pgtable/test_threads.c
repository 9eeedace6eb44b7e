/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads on one tree: tables are installed once, each page has one owner, each mapping
 * is unmapped once, and readers need no lock. Run it under ThreadSanitizer as well.
 *
 * Threads count what is wrong, the test asserts: cmocka's assertions belong to the main thread.
 */
#include "tables.h"

#include <pthread.h>
#include <sched.h>

#define THREADS 4

/* All start at once: a barrier that spins, so that nobody is still waking up. */
struct gate {
	_Atomic unsigned int arrived;
	_Atomic unsigned int round;
};

static void pass_gate(struct gate *gate)
{
	unsigned int round = atomic_load(&gate->round);

	if (atomic_fetch_add(&gate->arrived, 1) + 1 == THREADS) {
		atomic_store(&gate->arrived, 0);
		atomic_fetch_add(&gate->round, 1);
		return;
	}
	for (unsigned int spins = 0; atomic_load(&gate->round) == round; spins++)
		if (spins > 200)
			sched_yield();
}

struct crowd;

struct member {
	struct crowd *crowd;
	unsigned int id;
	struct dice dice;
	struct pt_cursor cursor;
	unsigned int won;
	uint64_t errors;
};

struct crowd {
	struct tables t;
	struct gate gate;
	unsigned int rounds;
	struct member members[THREADS];
	_Atomic bool stop;
	_Atomic bool seen; /* by a reader */
	/* Of the races for pages and for mappings. */
	_Atomic unsigned int owners[64];
	_Atomic unsigned int wins;
	_Atomic uint64_t over[THREADS]; /* calls of each that have returned */
};

static void crowd_start(struct crowd *c, const struct format *f, unsigned int rounds)
{
	memset(c, 0, sizeof(*c));
	tables_start(&c->t, f);
	c->rounds = rounds;
	for (unsigned int i = 0; i < THREADS; i++)
		c->members[i] = (struct member){
			.crowd = c, .id = i, .dice = { i + 1 }, .cursor = PT_CURSOR_INIT
		};
}

static void crowd_run(struct crowd *c, void *(*run)(void *))
{
	pthread_t threads[THREADS];

	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run, &c->members[i]), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(c->members[i].errors, 0);
}

static uint64_t translate(const struct tables *t, uint64_t iova)
{
	uint64_t oa;

	return pt_lookup(t->pt, iova, &oa, NULL, NULL) ? UINT64_MAX : oa;
}

/* Hardware comes to a leaf for @oa. */
static bool hardware_sees(const struct tables *t, uint64_t iova, uint64_t oa, unsigned int level)
{
	_Atomic uint64_t *entry = entry_at(t, iova, level);

	return entry && (atomic_load(entry) & t->format->present) &&
	       address_in(t->format, atomic_load(entry)) == oa;
}

/*
 * Each thread has its own pages, but shares the tables with the others: in the first round they
 * do not exist yet. A page that was mapped is reachable by hardware when pt_map() returns, even
 * if another thread was installing the table.
 */
#define OWN_PAGES 48

static uint64_t own_iova(const struct member *me, unsigned int round, unsigned int i)
{
	const uint64_t spread[] = { 0,	   L1(1), L1(ENTRIES - 1), L2(1),
				    L2(3), L2(5), L2(7),	   seam() / 2 };
	/* A corner of its own of the root, as far as there are any. */
	uint64_t top = leaf_size(fmt->levels - 1);
	uint64_t corner = round * (top < L2(8) ? L2(8) : top);

	return corner % (beyond(fmt) / 2) + spread[i % COUNT(spread)] +
	       (i / COUNT(spread) * THREADS + me->id) * PAGE;
}

static uint64_t own_oa(uint64_t iova)
{
	return (iova & (BIT(46) - 1)) ^ L2(1);
}

static void *own_pages(void *arg)
{
	struct member *me = arg;
	struct tables *t = &me->crowd->t;

	for (unsigned int round = 0; round < me->crowd->rounds; round++) {
		pass_gate(&me->crowd->gate);
		for (unsigned int i = 0; i < OWN_PAGES; i++) {
			uint64_t iova = own_iova(me, round, i);
			struct pt_map_args args = { .oa = own_oa(iova), .prot = IOAS_RW };

			me->errors += pt_map(t->pt, &me->cursor, iova, PAGE, &args, me->id) != 0;
			me->errors += !hardware_sees(t, iova, own_oa(iova), 0);
			me->errors += translate(t, iova) != own_oa(iova);
			if (i % 3) {
				me->errors += pt_unmap(t->pt, &me->cursor, iova, PAGE, i) != 0;
				me->errors += translate(t, iova) != UINT64_MAX;
			}
		}
		/* What stays is still there when the others are through. */
		pass_gate(&me->crowd->gate);
		for (unsigned int i = 0; i < OWN_PAGES; i += 3) {
			uint64_t iova = own_iova(me, round, i);

			me->errors += translate(t, iova) != own_oa(iova);
			me->errors += !hardware_sees(t, iova, own_oa(iova), 0);
			me->errors += pt_unmap(t->pt, &me->cursor, iova, PAGE, 0) != 0;
		}
	}
	return NULL;
}

/* Tables that hardware can reach; each counts once. */
static int64_t reachable(const struct tables *t, uint64_t addr, unsigned int level)
{
	_Atomic uint64_t *entries = (_Atomic uint64_t *)(uintptr_t)(addr ^ ADDRESS_DISGUISE);
	int64_t count = 1;

	for (unsigned int i = 0; level && i < ENTRIES; i++) {
		uint64_t entry = atomic_load(&entries[i]);

		if (is_table(t->format, entry, level))
			count += reachable(t, address_in(t->format, entry), level - 1);
	}
	return count;
}

static void tables_are_installed_once(void **state)
{
	const struct format *f = *state;
	struct crowd c;

	for (unsigned int tree = 0; tree < 3; tree++) {
		crowd_start(&c, f, 40);
		crowd_run(&c, own_pages);
		assert_int_equal(leaves(&c.t), 0);
		/* What lost the race was given back. */
		assert_int_equal(reachable(&c.t, pt_root(c.t.pt), f->levels - 1), c.t.live);
		tables_stop(&c.t);
	}
}

/* Four threads want the same page, in a block that has no table yet or one with a stamp. */
static void *same_page(void *arg)
{
	struct member *me = arg;
	struct crowd *c = me->crowd;

	for (unsigned int round = 0; round < c->rounds; round++) {
		uint64_t iova = L2(3) + round / 4 * L1(1) + round % 4 * PAGE;
		struct pt_map_args args = { .oa = L2(8) * (me->id + 1),
					    .prot = IOAS_RW,
					    .claim = true };
		int ret;

		pass_gate(&c->gate);
		ret = pt_map(c->t.pt, &me->cursor, iova, PAGE, &args, 0);
		me->errors += ret && ret != -EEXIST;
		me->won += !ret;
		if (!ret)
			atomic_fetch_add(&c->wins, 1);
		pass_gate(&c->gate);
		me->errors += atomic_load(&c->wins) != 1;
		if (!ret)
			me->errors += translate(&c->t, iova) != L2(8) * (me->id + 1);
		pass_gate(&c->gate);
		if (!ret) {
			atomic_store(&c->wins, 0);
			me->errors += pt_unmap(c->t.pt, &me->cursor, iova, PAGE, round + 1) != 0;
		}
	}
	return NULL;
}

static void one_owner_of_a_page(void **state)
{
	struct crowd c;
	unsigned int won = 0;

	crowd_start(&c, *state, 1500);
	crowd_run(&c, same_page);
	for (unsigned int i = 0; i < THREADS; i++)
		won += c.members[i].won;
	assert_int_equal(won, 1500);
	assert_int_equal(leaves(&c.t), 0);
	tables_stop(&c.t);
}

/*
 * Ranges that overlap, of pages: who is told that they have it has all of it, and those who are
 * not leave nothing. Each notes its pages; a page with two owners is seen at once. What a call
 * clears is busy until the call is over, as the invalidation comes after it.
 */
static bool call_is_not_over(void *arg, uint64_t stamp)
{
	struct crowd *c = arg;

	return stamp / THREADS > atomic_load(&c->over[stamp % THREADS]);
}

static void *overlapping_ranges(void *arg)
{
	struct member *me = arg;
	struct crowd *c = me->crowd;
	uint64_t calls = 0;

	for (unsigned int i = 0; i < c->rounds; i++) {
		unsigned int first = roll(&me->dice, 64), count = 1 + roll(&me->dice, 8);
		uint64_t iova = L2(4) - 32 * PAGE + first * PAGE;
		struct pt_map_args args = { .oa = L2(8) * (me->id + 1) + first * PAGE,
					    .prot = IOAS_RW,
					    .claim = true,
					    .busy = call_is_not_over,
					    .busy_arg = c,
					    .undo_stamp = ++calls * THREADS + me->id };
		int ret;

		if (first + count > 64)
			count = 64 - first;
		ret = pt_map(c->t.pt, &me->cursor, iova, count * PAGE, &args, 0);
		atomic_store(&c->over[me->id], calls);
		if (ret) {
			me->errors += ret != -EEXIST && ret != -EAGAIN;
			continue;
		}
		me->won++;
		for (unsigned int j = 0; j < count; j++)
			me->errors += atomic_exchange(&c->owners[first + j], me->id + 1) != 0;
		for (unsigned int j = 0; j < count; j++)
			me->errors += translate(&c->t, iova + j * PAGE) !=
				      L2(8) * (me->id + 1) + (first + j) * PAGE;
		if (roll(&me->dice, 8) == 0)
			sched_yield();
		for (unsigned int j = 0; j < count; j++)
			me->errors += atomic_exchange(&c->owners[first + j], 0) != me->id + 1;
		calls++;
		me->errors += pt_unmap(c->t.pt, &me->cursor, iova, count * PAGE,
				       calls * THREADS + me->id) != 0;
		atomic_store(&c->over[me->id], calls);
	}
	return NULL;
}

static void one_owner_of_each_page_of_a_range(void **state)
{
	struct crowd c;

	crowd_start(&c, *state, 15000);
	crowd_run(&c, overlapping_ranges);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_true(c.members[i].won > 10);
	assert_int_equal(leaves(&c.t), 0);
	tables_stop(&c.t);
}

/*
 * A page against the large leaf that would cover it, in a place without tables: the entry above
 * is either a leaf or a table, and exactly one of the two callers has what it asked for.
 */
static void *page_or_large_leaf(void *arg)
{
	struct member *me = arg;
	struct crowd *c = me->crowd;

	for (unsigned int round = 0; round < c->rounds; round++) {
		bool largest = round & 1 && fmt->leaf_levels > 2;
		uint64_t size = largest ? L2(1) : L1(1);
		uint64_t iova =
			seam() + round * (fmt->leaf_levels > 2 ? L2(1) + L1(!largest) : L1(3));
		bool large = me->id & 1;
		struct pt_map_args args = { .oa = L2(4) * (me->id + 1),
					    .prot = IOAS_RW,
					    .claim = true };
		uint64_t bytes, oa;
		int ret;

		iova &= ~(size - 1);
		pass_gate(&c->gate);
		/* So that each gets to be the first. */
		for (unsigned int i = roll(&me->dice, 200); i; i--)
			__asm__ volatile("");
		bytes = large ? size : PAGE;
		oa = args.oa;
		ret = pt_map(c->t.pt, NULL, iova, bytes, &args, 0);
		me->errors += ret && ret != -EEXIST;
		if (!ret)
			atomic_fetch_add(&c->wins, 1);
		pass_gate(&c->gate);
		me->errors += atomic_load(&c->wins) != 1;
		if (!ret) {
			uint64_t leaf = 0, found = 0;
			unsigned int level = 0;

			me->errors += pt_lookup(c->t.pt, iova, &found, NULL, &leaf) != 0;
			me->errors += found != oa;
			while (level < 2 && leaf_size(level) < leaf)
				level++;
			me->errors += !hardware_sees(&c->t, iova, oa, level);
		}
		pass_gate(&c->gate);
		if (!ret) {
			atomic_store(&c->wins, 0);
			me->errors += pt_unmap(c->t.pt, NULL, iova, bytes, 1) != 0;
			me->errors += translate(&c->t, iova) != UINT64_MAX;
			me->won += large;
		}
	}
	return NULL;
}

static void leaf_or_table(void **state)
{
	/* Each round needs a new one. */
	uint64_t places = (beyond(fmt) - seam()) / (fmt->leaf_levels > 2 ? L2(1) : L1(3)) - 2;
	struct crowd c;

	for (unsigned int tree = 0; tree < 3; tree++) {
		crowd_start(&c, *state, places < 1000 ? places : 1000);
		crowd_run(&c, page_or_large_leaf);
		assert_int_equal(leaves(&c.t), 0);
		tables_stop(&c.t);
	}
}

/* Four threads unmap one mapping; the last to arrive makes the next one. */
static void *same_mapping(void *arg)
{
	struct member *me = arg;
	struct crowd *c = me->crowd;
	/* Long ones, too: what is looked at before the claim takes its time. */
	const uint64_t sizes[] = { PAGE, PAGE * 5, PAGE * 400, L1(1), L1(1) + PAGE, L2(1) };

	for (unsigned int round = 0; round < c->rounds; round++) {
		uint64_t bytes = sizes[round % COUNT(sizes)];
		uint64_t iova = L2(round % COUNT(sizes) + 1);
		int ret;

		if (me->id == round % THREADS) {
			struct pt_map_args args = { .oa = L2(50), .prot = IOAS_RW };

			me->errors += pt_map(c->t.pt, NULL, iova, bytes, &args, 0) != 0;
		}
		pass_gate(&c->gate);
		ret = pt_unmap(c->t.pt, NULL, iova, bytes, round);
		me->errors += ret && ret != -ENOENT;
		if (!ret) {
			atomic_fetch_add(&c->wins, 1);
			me->won++;
			me->errors += translate(&c->t, iova) != UINT64_MAX;
		}
		pass_gate(&c->gate);
		me->errors += atomic_load(&c->wins) != round + 1;
		pass_gate(&c->gate);
	}
	return NULL;
}

static void one_thread_unmaps(void **state)
{
	unsigned int won = 0;
	struct crowd c;

	crowd_start(&c, *state, 1500);
	crowd_run(&c, same_mapping);
	for (unsigned int i = 0; i < THREADS; i++)
		won += c.members[i].won;
	assert_int_equal(won, 1500);
	assert_int_equal(leaves(&c.t), 0);
	tables_stop(&c.t);
}

/* Readers beside writers: an address is that of its page, or none. */
#define READ_PAGES 256

static uint64_t read_iova(unsigned int i)
{
	return seam() - 128 * L1(1) + i * (i % 2 ? L1(1) : L1(1) + PAGE);
}

static bool check_leaf(void *arg, uint64_t iova, uint64_t oa, uint64_t leaf_bytes)
{
	(void)leaf_bytes;
	if (oa != (iova ^ L2(1)))
		++*(uint64_t *)arg;
	return true;
}

static void *readers(void *arg)
{
	struct member *me = arg;
	struct tables *t = &me->crowd->t;

	while (!atomic_load_explicit(&me->crowd->stop, memory_order_relaxed)) {
		for (unsigned int i = 0; i < 64; i++) {
			uint64_t iova = read_iova(roll(&me->dice, READ_PAGES)), oa, bytes;
			uint32_t prot;

			if (pt_lookup(t->pt, iova + 5, &oa, &prot, &bytes))
				continue;
			atomic_store(&me->crowd->seen, true);
			me->errors += oa != (iova ^ L2(1)) + 5;
			me->errors += prot != IOAS_RW;
			me->errors += bytes != PAGE && bytes != L1(1);
		}
		pt_each(t->pt, 0, UINT64_MAX, check_leaf, &me->errors);
		pt_find(t->pt, read_iova(roll(&me->dice, READ_PAGES)));
	}
	return NULL;
}

static void *writers(void *arg)
{
	struct member *me = arg;
	struct tables *t = &me->crowd->t;

	/* On a busy machine the reader may come late. */
	for (unsigned int i = 0; i < me->crowd->rounds || !atomic_load(&me->crowd->seen); i++) {
		/* Each its own pages. Large ones where the number is odd. */
		unsigned int page = roll(&me->dice, READ_PAGES / THREADS) * THREADS + me->id;
		uint64_t iova = read_iova(page), bytes = page % 2 && !(page & 2) ? L1(1) : PAGE;
		struct pt_map_args args = { .oa = iova ^ L2(1), .prot = IOAS_RW };

		me->errors += pt_map(t->pt, &me->cursor, iova, bytes, &args, 0) != 0;
		if (roll(&me->dice, 64) == 0)
			sched_yield();
		me->errors += pt_unmap(t->pt, &me->cursor, iova, bytes, i) != 0;
	}
	return NULL;
}

static void readers_need_no_lock(void **state)
{
	struct crowd c;
	struct member reader = { .crowd = &c, .dice = { 99 } };
	pthread_t thread;

	crowd_start(&c, *state, 8000);
	assert_int_equal(pthread_create(&thread, NULL, readers, &reader), 0);
	crowd_run(&c, writers);
	atomic_store(&c.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(reader.errors, 0);
	assert_int_equal(leaves(&c.t), 0);
	tables_stop(&c.t);
}

int main(void)
{
	const struct CMUnitTest thread_tests[] = {
		cmocka_unit_test(tables_are_installed_once),
		cmocka_unit_test(one_owner_of_a_page),
		cmocka_unit_test(one_owner_of_each_page_of_a_range),
		cmocka_unit_test(leaf_or_table),
		cmocka_unit_test(one_thread_unmaps),
		cmocka_unit_test(readers_need_no_lock),
	};

	return RUN_FORMATS(thread_tests);
}
