/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random steps over the whole address space, with leaves of every size, against a sorted list of
 * the leaves that there must be. Which tables exist decides about leaf sizes, so the test knows
 * them too, and with them how many pages the tree must have.
 */
#include "tables.h"

#define ISLANDS	     40 /* all over the address space */
#define ISLAND_BYTES L2(4)
#define TREE_STEPS   800 /* until a new tree begins */
#define TABLES_MAX   16384

/* Of each format. Where the largest leaves are missing there are thousands in their place. */
#define TREES (fmt->leaf_levels > 2 ? 10U : 3U)

struct leaf {
	uint64_t iova, oa, bytes;
	uint32_t prot;
	bool start;
};

/* A set of (level, first address), open addressing; entries are never removed. */
struct table_set {
	uint64_t key[TABLES_MAX]; /* address | level + 1; 0: free */
	unsigned int count;
};

struct sparse {
	struct tables t;
	struct dice dice;
	uint64_t islands[ISLANDS];
	struct leaf *leaves;
	size_t count, room;
	struct leaf *fresh; /* of the mapping under way */
	size_t fresh_count, fresh_room;
	struct table_set tables;
	unsigned int mapped, refused, unmapped;
	unsigned int sizes[3];
};

static uint64_t *table_slot(struct table_set *set, uint64_t iova, unsigned int level)
{
	uint64_t key = (iova & ~(leaf_size(level + 1) - 1)) | (level + 1);
	uint64_t i = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

	while (set->key[i % TABLES_MAX] && set->key[i % TABLES_MAX] != key)
		i++;
	return &set->key[i % TABLES_MAX];
}

static bool has_table(struct table_set *set, uint64_t iova, unsigned int level)
{
	return *table_slot(set, iova, level);
}

/* A leaf at @level needs a table there, and those above. */
static void add_tables(struct sparse *s, uint64_t iova, unsigned int level)
{
	for (; level < s->t.format->levels - 1; level++) {
		uint64_t *slot = table_slot(&s->tables, iova, level);

		if (*slot)
			continue;
		*slot = (iova & ~(leaf_size(level + 1) - 1)) | (level + 1);
		s->tables.count++;
		assert_true(s->tables.count < TABLES_MAX / 2);
	}
}

/* First leaf that ends behind @iova. */
static size_t leaf_after(const struct sparse *s, uint64_t iova)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->leaves[middle].iova + s->leaves[middle].bytes > iova)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void check_at(struct sparse *s, uint64_t iova)
{
	size_t i = leaf_after(s, iova);
	uint64_t oa, bytes;
	uint32_t prot;
	int ret = pt_lookup(s->t.pt, iova, &oa, &prot, &bytes);

	if (i == s->count || s->leaves[i].iova > iova) {
		assert_int_equal(ret, -ENOENT);
		return;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(oa, s->leaves[i].oa + (iova - s->leaves[i].iova));
	assert_int_equal(prot, rights(s->t.format, s->leaves[i].prot));
	assert_int_equal(bytes, s->leaves[i].bytes);
}

struct sweep {
	struct sparse *s;
	size_t next;
};

static bool sweep_leaf(void *arg, uint64_t iova, uint64_t oa, uint64_t leaf_bytes)
{
	struct sweep *sweep = arg;
	const struct leaf *leaf = &sweep->s->leaves[sweep->next];

	assert_true(sweep->next < sweep->s->count);
	assert_int_equal(iova, leaf->iova);
	assert_int_equal(oa, leaf->oa);
	assert_int_equal(leaf_bytes, leaf->bytes);
	sweep->next++;
	return true;
}

static void check_all(struct sparse *s)
{
	struct sweep sweep = { .s = s };

	assert_true(pt_each(s->t.pt, 0, beyond(s->t.format) - 1, sweep_leaf, &sweep));
	assert_int_equal(sweep.next, s->count);
	for (size_t i = 0; i < s->count; i++) {
		check_at(s, s->leaves[i].iova);
		check_at(s, s->leaves[i].iova + s->leaves[i].bytes - 1);
	}
	assert_int_equal(s->t.live, s->tables.count + 1);
	tables_check(&s->t);
}

static uint64_t random_iova(struct sparse *s, uint64_t align)
{
	uint64_t island = s->islands[roll(&s->dice, ISLANDS)];

	/* Few places, so that they meet. */
	return island + (roll(&s->dice, 4) * L2(1) + roll(&s->dice, 4) * L1(1) * 127 +
			 roll(&s->dice, 3) * PAGE * 255) /
				align * align;
}

static uint64_t random_bytes(struct sparse *s)
{
	const uint64_t sizes[] = { PAGE, PAGE * 2, L1(1), L2(1) };
	uint64_t bytes = sizes[roll(&s->dice, 4)] * (1 + roll(&s->dice, 3));

	switch (roll(&s->dice, 6)) {
	case 0:
		return bytes + PAGE * roll(&s->dice, 600);
	case 1:
		return bytes > L1(1) ? bytes - L1(1) : bytes;
	default:
		return bytes;
	}
}

static void push(struct sparse *s, struct leaf leaf)
{
	if (s->fresh_count == s->fresh_room) {
		s->fresh_room = s->fresh_room ? 2 * s->fresh_room : 1024;
		s->fresh = realloc(s->fresh, s->fresh_room * sizeof(*s->fresh));
		assert_non_null(s->fresh);
	}
	s->fresh[s->fresh_count++] = leaf;
}

/* The leaves that pt_map() must make, and 0; or -EEXIST. Tables come either way. */
static int model_map(struct sparse *s, uint64_t iova, uint64_t bytes, uint64_t oa, uint32_t prot)
{
	const uint64_t end = iova + bytes;
	size_t next = leaf_after(s, iova);
	bool start = true;

	s->fresh_count = 0;
	while (iova < end) {
		unsigned int level = as_leaf(2);

		if (next < s->count && s->leaves[next].iova <= iova)
			return -EEXIST;
		while (level && ((iova | oa) % leaf_size(level) || end - iova < leaf_size(level) ||
				 has_table(&s->tables, iova, level - 1)))
			level--;
		add_tables(s, iova, level);
		push(s, (struct leaf){ iova, oa, leaf_size(level), prot, start });
		start = false;
		iova += leaf_size(level);
		oa += leaf_size(level);
	}
	return 0;
}

static void splice(struct sparse *s, size_t at, size_t remove, const struct leaf *insert,
		   size_t count)
{
	size_t total = s->count - remove + count;

	if (total > s->room) {
		s->room = 2 * total;
		s->leaves = realloc(s->leaves, s->room * sizeof(*s->leaves));
		assert_non_null(s->leaves);
	}
	memmove(s->leaves + at + count, s->leaves + at + remove,
		(s->count - at - remove) * sizeof(*s->leaves));
	if (count)
		memcpy(s->leaves + at, insert, count * sizeof(*s->leaves));
	s->count = total;
}

static void step_map(struct sparse *s)
{
	const uint64_t aligns[] = { PAGE, L1(1), L2(1) };
	uint64_t bytes = random_bytes(s), iova, oa;
	uint32_t prot = 1 + roll(&s->dice, 3);
	struct pt_map_args args;
	int expected;

	iova = random_iova(s, aligns[bytes % L1(1) ? 0 : roll(&s->dice, 3)]);
	if (iova + bytes > beyond(s->t.format) || roll(&s->dice, 16) == 0)
		iova = beyond(s->t.format) - bytes;
	oa = roll(&s->dice, BIT(47) / L2(1)) * L2(1) + iova % L2(1);
	/* Not congruent modulo 1 GiB, modulo 2 MiB: only short ones, or there is no end of leaves.
	 */
	if (roll(&s->dice, 4) == 0)
		oa += roll(&s->dice, 512) * L1(1);
	if (bytes < L1(4) && roll(&s->dice, 4) == 0)
		oa += roll(&s->dice, 512) * PAGE;
	expected = model_map(s, iova, bytes, oa, prot);
	args = (struct pt_map_args){ .oa = oa, .prot = prot, .claim = roll(&s->dice, 2) };
	assert_int_equal(pt_map(s->t.pt, NULL, iova, bytes, &args, 0), expected);
	if (!expected) {
		splice(s, leaf_after(s, iova), 0, s->fresh, s->fresh_count);
		s->mapped++;
		for (size_t i = 0; i < s->fresh_count; i++)
			for (unsigned int level = 0; level < fmt->leaf_levels; level++)
				s->sizes[level] += s->fresh[i].bytes == leaf_size(level);
	} else {
		assert_int_equal(args.undone_bytes,
				 s->fresh_count ? s->fresh[s->fresh_count - 1].iova +
							  s->fresh[s->fresh_count - 1].bytes - iova
						: 0);
		s->refused++;
	}
	check_at(s, iova);
	check_at(s, iova + bytes - 1);
	check_at(s, iova + roll(&s->dice, bytes));
	if (iova)
		check_at(s, iova - 1);
	check_at(s, iova + bytes);
}

static void step_unmap(struct sparse *s)
{
	size_t first, last;
	uint64_t iova, bytes, wrong;

	if (!s->count)
		return;
	first = roll(&s->dice, s->count);
	while (!s->leaves[first].start)
		first--;
	for (last = first + 1; last < s->count && !s->leaves[last].start; last++)
		;
	iova = s->leaves[first].iova;
	bytes = s->leaves[last - 1].iova + s->leaves[last - 1].bytes - iova;
	/* In part, or with what may come behind it: no. */
	wrong = PAGE << roll(&s->dice, 20);
	if (wrong < bytes) {
		assert_int_equal(unmap(&s->t, iova, bytes - wrong), -EINVAL);
		assert_int_equal(unmap(&s->t, iova + wrong, bytes - wrong), -EINVAL);
		check_at(s, iova);
		check_at(s, iova + bytes - 1);
	} else if (iova + bytes + wrong <= beyond(s->t.format)) {
		assert_int_not_equal(unmap(&s->t, iova, bytes + wrong), 0);
		check_at(s, iova);
	}
	assert_int_equal(unmap(&s->t, iova, bytes), 0);
	splice(s, first, last - first, NULL, 0);
	s->unmapped++;
	check_at(s, iova);
	check_at(s, iova + bytes - 1);
	check_at(s, iova + bytes);
	if (iova)
		check_at(s, iova - 1);
}

static void one_tree(struct sparse *s)
{
	tables_start(&s->t, s->t.format);
	memset(&s->tables, 0, sizeof(s->tables));
	s->count = 0;
	s->islands[0] = 0;
	s->islands[1] = beyond(s->t.format) - ISLAND_BYTES;
	s->islands[2] = seam() - ISLAND_BYTES / 2;
	s->islands[3] = beyond(s->t.format) / 2 - L2(1);
	for (unsigned int i = 4; i < ISLANDS; i++)
		s->islands[i] = roll(&s->dice, beyond(s->t.format) / ISLAND_BYTES) * ISLAND_BYTES;
	for (unsigned int step = 0; step < TREE_STEPS; step++) {
		if (roll(&s->dice, 5) < 3)
			step_map(s);
		else
			step_unmap(s);
		check_at(s, random_iova(s, PAGE));
		check_at(s, roll(&s->dice, beyond(s->t.format)));
		if (step % 100 == 99)
			check_all(s);
	}
	check_all(s);
	tables_stop(&s->t);
}

static void steps_against_a_list(void **state)
{
	struct sparse *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->t.format = *state;
	s->dice.state = 42;
	for (unsigned int i = 0; i < TREES; i++)
		one_tree(s);
	assert_true(s->mapped > TREES * TREE_STEPS / 10);
	assert_true(s->refused > TREES * TREE_STEPS / 10);
	assert_true(s->unmapped > TREES * TREE_STEPS / 10);
	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
		assert_true(s->sizes[level] > 200);
	free(s->leaves);
	free(s->fresh);
	free(s);
}

int main(void)
{
	const struct CMUnitTest sparse_tests[] = {
		cmocka_unit_test(steps_against_a_list),
	};

	return RUN_FORMATS(sparse_tests);
}
