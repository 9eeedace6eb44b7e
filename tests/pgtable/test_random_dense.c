/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random steps in a few blocks, each of them a level-0 table or one large leaf, against arrays:
 * what each page is, and what each block's entry above it is. The arrays know everything that
 * pt.h promises: leaf sizes, START, claims, stamps, which tables exist, and what a failure leaves
 * behind.
 */
#include "tables.h"

#define BLOCK_PAGES ENTRIES
#define BLOCKS	    (ENTRIES == 512 ? 8U : 3U)
#define BLOCKS_MAX  8
#define PAGES	    (BLOCKS * BLOCK_PAGES)
#define PAGES_MAX   (3 * 8192)
#define TREES	    60				 /* times formats, times places */
#define STEPS	    (ENTRIES == 512 ? 500 : 200) /* until a new tree: large leaves need places */

struct page {
	bool present;
	bool start;
	uint64_t oa;
	uint32_t prot;
	uint64_t stamp; /* of the level-0 entry, if there is a table */
};

struct block {
	bool table;
	bool leaf;	/* one entry at level 1 is all of its pages */
	uint64_t stamp; /* of the level-1 entry, if there is neither */
};

struct model {
	struct page pages[PAGES_MAX];
	struct block blocks[BLOCKS_MAX];
	bool claimed; /* of the mapping that begins at claimed_page */
	unsigned int claimed_page;
	uint64_t busy_from; /* stamps that may not be reused yet */
};

struct dense {
	struct tables t;
	struct dice dice;
	struct model model;
	struct pt_cursor cursor;
	uint64_t base;
	uint64_t next_stamp;
	unsigned int done[8]; /* by outcome, so that a run that tests nothing is seen */
};

enum { MAPPED, MAP_EXISTS, MAP_BUSY, UNMAPPED, UNMAP_ABSENT, UNMAP_INEXACT, CLAIMED, INSTALLED };

static bool is_busy(void *arg, uint64_t stamp)
{
	return stamp >= ((struct model *)arg)->busy_from;
}

static bool busy(const struct model *m, bool ask, uint64_t stamp)
{
	return ask && stamp && stamp >= m->busy_from;
}

static void model_clear(struct model *m, unsigned int first, unsigned int count, uint64_t stamp)
{
	for (unsigned int i = first; i < first + count; i++) {
		struct block *block = &m->blocks[i / BLOCK_PAGES];

		if (block->leaf) {
			for (unsigned int j = 0; j < BLOCK_PAGES; j++)
				m->pages[i + j] = (struct page){ .present = false };
			block->leaf = false;
			block->stamp = stamp;
			i += BLOCK_PAGES - 1;
		} else {
			m->pages[i] = (struct page){ .stamp = stamp };
		}
	}
}

/* What pt_map() must do, by the arrays. */
static int model_map(struct model *m, unsigned int first, unsigned int count,
		     struct pt_map_args *args, bool ask)
{
	unsigned int at = first;
	uint64_t oa = args->oa;
	int ret = 0;

	while (at < first + count) {
		struct block *block = &m->blocks[at / BLOCK_PAGES];
		bool large = at % BLOCK_PAGES == 0 && oa % L1(1) == 0 &&
			     first + count - at >= BLOCK_PAGES && !block->table;
		unsigned int run = large ? BLOCK_PAGES : 1;
		uint64_t stamp = block->table ? m->pages[at].stamp : block->stamp;

		if (m->pages[at].present) {
			ret = -EEXIST;
			break;
		}
		if (busy(m, ask, stamp)) {
			args->busy_stamp = stamp;
			ret = -EAGAIN;
			break;
		}
		block->stamp = 0;
		block->leaf = large;
		block->table = !large;
		for (unsigned int i = 0; i < run; i++)
			m->pages[at + i] = (struct page){ .present = true,
							  .start = at + i == first && !args->cont,
							  .oa = oa + i * PAGE,
							  .prot = args->prot };
		at += run;
		oa += run * PAGE;
	}
	if (!ret)
		return 0;
	args->undone_bytes = (at - first) * PAGE;
	model_clear(m, first, at - first, args->undo_stamp);
	return ret;
}

/* Pages of the mapping of which @page is one. */
static void model_find(const struct model *m, unsigned int page, unsigned int *first,
		       unsigned int *count)
{
	unsigned int end = page + 1;

	while (!m->pages[page].start)
		page--;
	while (end < PAGES && m->pages[end].present && !m->pages[end].start)
		end++;
	*first = page;
	*count = end - page;
}

static int model_claim(const struct model *m, unsigned int first, unsigned int count)
{
	unsigned int begin, pages;

	if (!m->pages[first].present)
		return -ENOENT;
	model_find(m, first, &begin, &pages);
	/* A large leaf is one entry, claimed or not for each of its pages. */
	if (m->claimed && m->claimed_page == begin &&
	    (begin == first ||
	     (m->blocks[begin / BLOCK_PAGES].leaf && first < begin + BLOCK_PAGES)))
		return -ENOENT;
	if (begin == first && pages == count)
		return 0;
	/* Not one mapping: -EINVAL; not all mapped: either answer is true. */
	for (unsigned int i = first; i < first + count; i++)
		if (!m->pages[i].present)
			return -ENOENT;
	return -EINVAL;
}

/* One page and its entries, as the builder and hardware have them. */
static void check_page(struct dense *d, unsigned int i)
{
	const struct format *f = d->t.format;
	const struct block *block = &d->model.blocks[i / BLOCK_PAGES];
	const struct page *page = &d->model.pages[i];
	const uint64_t iova = d->base + i * PAGE;
	const unsigned int level = !block->table;
	uint64_t entry = 0, expect;
	_Atomic uint64_t *place;

	if (page->present)
		assert_int_equal(level_at(&d->t, iova + i % PAGE, page->oa + i % PAGE, page->prot),
				 level);
	else
		assert_true(absent(&d->t, iova));

	place = entry_at(&d->t, iova, level);
	if (place)
		entry = atomic_load(place);
	if (page->present) {
		bool head = page->start || (block->leaf && d->model.pages[i - i % ENTRIES].start);
		unsigned int leaf_page = block->leaf ? i - i % ENTRIES : i;

		expect = leaf_entry(f, d->model.pages[leaf_page].oa, page->prot, level) |
			 (head ? f->start : 0);
		if (d->model.claimed && d->model.claimed_page == leaf_page)
			expect |= f->claim;
	} else {
		expect = (block->table ? page->stamp : block->stamp) << f->stamp_shift;
	}
	assert_int_equal(entry, expect);
}

struct sweep {
	struct dense *d;
	unsigned int next;
};

static bool sweep_leaf(void *arg, uint64_t iova, uint64_t oa, uint64_t leaf_bytes)
{
	struct sweep *sweep = arg;
	const struct model *m = &sweep->d->model;

	while (sweep->next < PAGES && !m->pages[sweep->next].present)
		sweep->next++;
	assert_true(sweep->next < PAGES);
	assert_int_equal(iova, sweep->d->base + sweep->next * PAGE);
	assert_int_equal(oa, m->pages[sweep->next].oa);
	assert_int_equal(leaf_bytes, m->blocks[sweep->next / BLOCK_PAGES].leaf ? L1(1) : PAGE);
	sweep->next += leaf_bytes / PAGE;
	return true;
}

static void check_all(struct dense *d)
{
	struct sweep sweep = { .d = d };

	for (unsigned int i = 0; i < PAGES; i++)
		check_page(d, i);
	assert_true(pt_each(d->t.pt, 0, beyond(d->t.format) - 1, sweep_leaf, &sweep));
	while (sweep.next < PAGES)
		assert_false(d->model.pages[sweep.next++].present);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		struct pt_table *table = pt_find(d->t.pt, d->base + i * L1(1));

		assert_int_equal(table != NULL, d->model.blocks[i].table);
	}
	tables_check(&d->t);
}

static unsigned int random_count(struct dense *d)
{
	switch (roll(&d->dice, 8)) {
	case 0:
		return 1 + roll(&d->dice, 3 * BLOCK_PAGES);
	case 1:
		return BLOCK_PAGES * (1 + roll(&d->dice, 3));
	case 2:
		return BLOCK_PAGES + roll(&d->dice, 5) - 2;
	default:
		return 1 + roll(&d->dice, 16);
	}
}

static void random_range(struct dense *d, unsigned int *first, unsigned int *count)
{
	*count = random_count(d);
	*first = roll(&d->dice, PAGES - *count + 1);
	if (roll(&d->dice, 3) == 0) /* near the edge of a block */
		*first = *first - *first % ENTRIES +
			 roll(&d->dice, 2) * (BLOCK_PAGES - *count % BLOCK_PAGES);
	if (*first + *count > PAGES)
		*first = PAGES - *count;
}

static struct pt_cursor *random_cursor(struct dense *d)
{
	return roll(&d->dice, 2) ? &d->cursor : NULL;
}

static void step_map(struct dense *d)
{
	struct pt_map_args args = { .prot = 1 + roll(&d->dice, 3),
				    .claim = roll(&d->dice, 2),
				    .busy = roll(&d->dice, 2) ? is_busy : NULL,
				    .busy_arg = &d->model,
				    .undo_stamp = roll(&d->dice, 2) ? d->next_stamp++ : 0 };
	struct pt_map_args expected;
	unsigned int first, count;
	int ret;

	random_range(d, &first, &count);
	/* Congruent to the IOVA more often than chance would have it. */
	args.oa = roll(&d->dice, BIT(47) / L1(1)) * L1(1) + first % BLOCK_PAGES * PAGE;
	if (roll(&d->dice, 4) == 0)
		args.oa += PAGE * roll(&d->dice, BLOCK_PAGES);
	/* The next part of a mapping, which must be there, and nobody about to unmap it. */
	args.cont = first && d->model.pages[first - 1].present && !d->model.claimed &&
		    roll(&d->dice, 2);
	expected = args;
	ret = model_map(&d->model, first, count, &expected, args.busy != NULL);
	assert_int_equal(
		pt_map(d->t.pt, random_cursor(d), d->base + first * PAGE, count * PAGE, &args, 0),
		ret);
	assert_int_equal(args.undone_bytes, expected.undone_bytes);
	if (ret == -EAGAIN)
		assert_int_equal(args.busy_stamp, expected.busy_stamp);
	d->done[!ret ? MAPPED : ret == -EEXIST ? MAP_EXISTS : MAP_BUSY]++;
	if (first)
		check_page(d, first - 1);
	check_page(d, first);
	check_page(d, first + count / 2);
	check_page(d, first + count - 1);
	if (first + count < PAGES)
		check_page(d, first + count);
}

static void step_unmap(struct dense *d)
{
	unsigned int first, count;
	uint64_t stamp = roll(&d->dice, 4) ? d->next_stamp++ : 0;
	int ret, expected;

	random_range(d, &first, &count);
	if (roll(&d->dice, 8)) {
		/* Some mapping, as it is or not quite. */
		for (unsigned int i = 0; i < PAGES && !d->model.pages[first].present; i++)
			first = (first + 1) % PAGES;
		if (d->model.pages[first].present)
			model_find(&d->model, first, &first, &count);
		if (roll(&d->dice, 4) == 0 && first)
			first--, count++;
		if (roll(&d->dice, 4) == 0 && first + count < PAGES)
			count++;
		if (roll(&d->dice, 4) == 0 && count > 1)
			count--;
		if (roll(&d->dice, 8) == 0 && count > 1)
			first++, count--;
	}
	if (first + count > PAGES)
		count = PAGES - first;
	expected = model_claim(&d->model, first, count);
	ret = pt_unmap(d->t.pt, random_cursor(d), d->base + first * PAGE, count * PAGE, stamp);
	if (expected == -ENOENT && ret == -EINVAL && d->model.pages[first].present)
		expected = -EINVAL;
	assert_int_equal(ret, expected);
	if (!ret)
		model_clear(&d->model, first, count, stamp);
	d->done[!ret ? UNMAPPED : ret == -ENOENT ? UNMAP_ABSENT : UNMAP_INEXACT]++;
	check_page(d, first);
	check_page(d, first + count - 1);
}

/* Claim now, clear or give back some steps later. */
static void step_claim(struct dense *d)
{
	struct model *m = &d->model;
	unsigned int first = roll(&d->dice, PAGES), count;

	if (m->claimed) {
		model_find(m, m->claimed_page, &first, &count);
		m->claimed = false;
		if (roll(&d->dice, 2)) {
			pt_unclaim(d->t.pt, random_cursor(d), d->base + first * PAGE);
		} else {
			pt_clear(d->t.pt, random_cursor(d), d->base + first * PAGE, count * PAGE,
				 d->next_stamp);
			model_clear(m, first, count, d->next_stamp++);
		}
		check_page(d, first);
		check_page(d, first + count - 1);
		d->done[CLAIMED]++;
		return;
	}
	if (!m->pages[first].present)
		return;
	model_find(m, first, &first, &count);
	assert_int_equal(pt_claim(d->t.pt, random_cursor(d), d->base + first * PAGE, count * PAGE),
			 0);
	m->claimed = true;
	m->claimed_page = first;
	check_page(d, first);
}

/* A table comes without a mapping. */
static void step_table(struct dense *d)
{
	unsigned int n = roll(&d->dice, BLOCKS);
	struct block *block = &d->model.blocks[n];
	struct pt_table *table;

	if (block->table || roll(&d->dice, 8))
		return;
	assert_int_equal(pt_install(d->t.pt, d->base + n * L1(1), 1, &table),
			 block->leaf ? -EEXIST : 0);
	if (block->leaf)
		return;
	*block = (struct block){ .table = true };
	d->done[INSTALLED]++;
}

static void one_tree(struct dense *d)
{
	memset(&d->model, 0, sizeof(d->model));
	d->next_stamp = 1;
	d->cursor = (struct pt_cursor)PT_CURSOR_INIT;
	tables_start(&d->t, d->t.format);
	for (unsigned int step = 0; step < STEPS; step++) {
		/* About the last 40 stamps are busy. */
		d->model.busy_from = d->next_stamp > 40 ? d->next_stamp - 40 : 1;
		switch (roll(&d->dice, 16)) {
		case 0 ... 5:
			step_map(d);
			break;
		case 6 ... 12:
			step_unmap(d);
			break;
		case 13:
			step_claim(d);
			break;
		default:
			step_table(d);
		}
		for (unsigned int i = 0; i < 4; i++)
			check_page(d, roll(&d->dice, PAGES));
	}
	check_all(d);
	tables_stop(&d->t);
}

static void run(const struct format *f, uint64_t base, uint64_t seed)
{
	struct dense *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->t.format = f;
	d->dice.state = seed;
	d->base = base;
	for (unsigned int i = 0; i < TREES; i++)
		one_tree(d);
	for (unsigned int i = 0; i < COUNT(d->done); i++)
		if (d->done[i] < TREES * BLOCKS / 40)
			fail_msg("outcome %u came %u times", i, d->done[i]);
	free(d);
}

/* In the middle of upper tables, and across a boundary of all of them but the root. */
static void steps_against_arrays(void **state)
{
	const struct format *f = *state;

	run(f, L2(3) + L1(1) * 100, 1);
	run(f, BIT(f->address_bits - 1) - L1(1) * 3, 2);
	run(f, beyond(f) - BLOCKS * L1(1), 3);
}

int main(void)
{
	const struct CMUnitTest dense_tests[] = {
		cmocka_unit_test(steps_against_arrays),
	};

	return RUN_FORMATS(dense_tests);
}
