/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walker, compiled once per format: the file that includes it has included walk_base.h, which
 * says what a format defines, and a format header.
 *
 * Ordering:
 * - a new table is zeroed before the release store that links it, in the tree and in hardware's
 *   entry, so neither a thread nor the walker can see it otherwise;
 * - present leaves are release stores: what the caller wrote to the memory before it mapped it
 *   is visible to a walker that sees the leaf. On x86 that is a plain store;
 * - clearing is a relaxed store. What makes it visible before the invalidation is the release
 *   that publishes the invalidation (engine/inval.c), and the system call that carries it.
 *
 * Budget with a warm cursor: a page mapped is a call, about fifteen instructions and a store, and
 * unmapped it is a locked exchange more; in a run, each entry is a load, a test and a store to
 * map, a load and a store to unmap.
 */
#define RELAXED memory_order_relaxed
#define ACQUIRE memory_order_acquire
#define RELEASE memory_order_release

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static inline unsigned int index_of(uint64_t iova, unsigned int level)
{
	return iova >> FMT_SHIFT(level) & (FMT_ENTRIES - 1);
}

/* Entries from @index on, in a table at @level, that [.., +@bytes) begins in. */
static inline unsigned int run_of(unsigned int index, unsigned int level, uint64_t bytes)
{
	uint64_t run = bytes >> FMT_SHIFT(level);

	return run < FMT_ENTRIES - index ? run : FMT_ENTRIES - index;
}

static inline bool is_present(uint64_t entry)
{
	return entry & FMT_PRESENT;
}

static inline bool is_table(uint64_t entry, unsigned int level)
{
	return level && is_present(entry) && !fmt_is_leaf(entry, level);
}

static inline uint64_t oa_of(uint64_t entry)
{
	return (entry & FMT_ADDRESS) << FMT_OA_SHIFT;
}

/*
 * Hardware's entry decides whether a leaf or a table is there. A child is in child[] before the
 * entry points to it, so whoever has seen the entry finds the child. One that lost the entry to a
 * leaf stays in child[], for the next who needs a table there.
 *
 * Return: 0, also if the entry is no longer @old and has to be looked at again; -ENOMEM.
 */
static int add_child(struct pt *pt, struct pt_table *table, unsigned int index, uint64_t old,
		     uint32_t tag)
{
	struct pt_table *child = atomic_load_explicit(&table->child[index], ACQUIRE);
	uint64_t entry;

	if (!child) {
		struct pt_table *fresh =
			pt_table_new(pt, table->level - 1, table->level == 1 ? tag : 0);

		if (!fresh)
			return -ENOMEM;
		if (atomic_compare_exchange_strong_explicit(&table->child[index], &child, fresh,
							    RELEASE, ACQUIRE))
			child = fresh;
		else
			pt_table_free(pt, fresh);
	}
	entry = FMT_TABLE(table->level) | child->addr >> FMT_OA_SHIFT;
	if (atomic_compare_exchange_strong_explicit(&table->entries[index], &old, entry, RELEASE,
						    RELAXED) &&
	    !child->level)
		atomic_store_explicit(&child->tag, tag, RELAXED);
	return 0;
}

static inline struct pt_table *get_child(const struct pt_table *table, unsigned int index)
{
	uint64_t entry = atomic_load_explicit(&table->entries[index], ACQUIRE);

	if (!is_table(entry, table->level))
		return NULL;
	return atomic_load_explicit(&table->child[index], ACQUIRE);
}

/* The lowest table on the way to @iova: that at level 0, or where there is no child. */
static inline struct pt_table *find_table(const struct pt *pt, uint64_t iova)
{
	struct pt_table *table = pt->root;

	while (table->level) {
		struct pt_table *child = get_child(table, index_of(iova, table->level));

		if (!child)
			break;
		table = child;
	}
	return table;
}

/* The same for leaves at level 1: the cursor knows the table above them. */
static inline struct pt_table *seek_upper(const struct pt *pt, struct pt_cursor *cursor,
					  uint64_t iova)
{
	uint64_t block = iova >> FMT_SHIFT(2);
	struct pt_table *table, *child;

	if (unlikely(!cursor))
		return find_table(pt, iova);
	if (likely(cursor->upper_block == block)) {
		table = cursor->upper;
	} else {
		table = pt->root;
		while (table->level > 1) {
			child = get_child(table, index_of(iova, table->level));
			if (!child)
				return table;
			table = child;
		}
		cursor->upper_block = block;
		cursor->upper = table;
	}
	child = get_child(table, index_of(iova, 1));
	return child ? child : table;
}

/* The same for pages: the cursor knows the table itself. */
static inline struct pt_table *seek_table(const struct pt *pt, struct pt_cursor *cursor,
					  uint64_t iova)
{
	uint64_t block = iova >> FMT_SHIFT(1);
	struct pt_table *table;

	if (likely(cursor && cursor->block == block))
		return cursor->table;
	table = seek_upper(pt, cursor, iova);
	if (cursor && !table->level) {
		cursor->block = block;
		cursor->table = table;
	}
	return table;
}

/*
 * Entry of [iova, +bytes) if that is one page and its table the cursor's: the common case, which
 * gets by without the loops. Else NULL.
 */
static inline _Atomic uint64_t *page_at(struct pt_cursor *cursor, uint64_t iova, uint64_t bytes)
{
	if (likely(bytes == FMT_SIZE(0) && cursor && cursor->block == iova >> FMT_SHIFT(1)))
		return &cursor->table->entries[index_of(iova, 0)];
	return NULL;
}

/*
 * Go down from @table to @level, installing what is missing. A leaf in the way is -EEXIST, one
 * that was there and still waits for its invalidation -EAGAIN.
 */
static int install_to(struct pt *pt, struct pt_table **table, uint64_t iova, unsigned int level,
		      uint32_t tag, struct pt_map_args *args)
{
	while ((*table)->level > level) {
		unsigned int index = index_of(iova, (*table)->level);
		uint64_t entry = atomic_load_explicit(&(*table)->entries[index], ACQUIRE);

		if (is_present(entry)) {
			if (!is_table(entry, (*table)->level))
				return -EEXIST;
			*table = atomic_load_explicit(&(*table)->child[index], ACQUIRE);
			continue;
		}
		if (entry && args && args->busy) {
			args->busy_stamp = entry >> FMT_STAMP_SHIFT;
			if (args->busy(args->busy_arg, args->busy_stamp))
				return -EAGAIN;
		}
		if (add_child(pt, *table, index, entry, tag))
			return -ENOMEM;
	}
	return 0;
}

static int walk_install(struct pt *pt, uint64_t iova, uint32_t tag, struct pt_table **table)
{
	*table = pt->root;
	return install_to(pt, table, iova, 0, tag, NULL);
}

/* Highest level at which a leaf fits here. */
static inline unsigned int leaf_level(uint64_t iova, uint64_t oa, uint64_t bytes)
{
	unsigned int level = 0;

	while (level < FMT_LEAF_LEVEL && !((iova | oa) & (FMT_SIZE(level + 1) - 1)) &&
	       bytes >= FMT_SIZE(level + 1))
		level++;
	return level;
}

/* Take one entry that others may be taking, or that may carry a stamp. 0, -EEXIST, -EAGAIN. */
static int take_entry(_Atomic uint64_t *entry, uint64_t value, struct pt_map_args *args)
{
	uint64_t old = atomic_load_explicit(entry, RELAXED);

	do {
		if (is_present(old))
			return -EEXIST;
		if (old && args->busy) {
			uint64_t stamp = old >> FMT_STAMP_SHIFT;

			if (args->busy(args->busy_arg, stamp)) {
				args->busy_stamp = stamp;
				return -EAGAIN;
			}
		}
		if (!args->claim) {
			atomic_store_explicit(entry, value, RELEASE);
			return 0;
		}
	} while (!atomic_compare_exchange_weak_explicit(entry, &old, value, RELEASE, RELAXED));
	return 0;
}

/*
 * Take @count entries for leaves from @entry's on; only the first has the bits @mark. Return: how
 * many were taken. If not all, @ret is an error, or 0 where a table is in the way.
 */
static inline unsigned int take_run(struct pt_table *table, unsigned int index, unsigned int count,
				    uint64_t entry, uint64_t mark, struct pt_map_args *args,
				    int *ret)
{
	const uint64_t step = FMT_SIZE(table->level) >> FMT_OA_SHIFT;
	const bool plain = !args->claim && !args->busy;
	_Atomic uint64_t *entries = &table->entries[index];

	*ret = 0;
	for (unsigned int i = 0; i < count; i++, entry += step, mark = 0) {
		if (likely(plain)) {
			uint64_t old = atomic_load_explicit(&entries[i], RELAXED);

			if (likely(!is_present(old))) {
				atomic_store_explicit(&entries[i], entry | mark, RELEASE);
				continue;
			}
		}
		/* At the first, a table that has just come is somebody else's mapping. */
		if (i && get_child(table, index + i))
			return i;
		*ret = take_entry(&entries[i], entry | mark, args);
		if (*ret)
			return i;
	}
	return count;
}

/* Clear [iova, end), all of it present. */
static inline void clear_range(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t end,
			       uint64_t entry)
{
	while (iova < end) {
		struct pt_table *table = seek_table(pt, cursor, iova);
		const unsigned int level = table->level;
		unsigned int index = index_of(iova, level);
		unsigned int count = run_of(index, level, end - iova);
		_Atomic uint64_t *entries = &table->entries[index];
		unsigned int i;

		if (likely(!level)) {
#pragma GCC unroll 8
			for (i = 0; i < count; i++)
				atomic_store_explicit(&entries[i], entry, RELAXED);
		} else {
			/* Leaves and children may be side by side. */
			for (i = 0; i < count && !get_child(table, index + i); i++)
				atomic_store_explicit(&entries[i], entry, RELAXED);
		}
		iova += (uint64_t)i << FMT_SHIFT(level);
	}
}

static __attribute__((noinline)) int map_range(struct pt *pt, struct pt_cursor *cursor,
					       uint64_t iova, uint64_t bytes,
					       struct pt_map_args *args, uint32_t tag)
{
	const uint64_t start = iova, end = iova + bytes, delta = args->oa - iova;
	uint64_t mark = args->cont ? 0 : FMT_START;
	int ret = 0;

	while (iova < end) {
		unsigned int level = leaf_level(iova, iova + delta, end - iova);
		struct pt_table *table =
			level ? seek_upper(pt, cursor, iova) : seek_table(pt, cursor, iova);
		unsigned int index, taken;
		uint64_t entry;

		/* It may be below @level, where a table is in the way. */
		if (unlikely(table->level > level)) {
			ret = install_to(pt, &table, iova, level, tag, args);
			if (ret)
				break;
		}
		level = table->level;
		index = index_of(iova, level);
		entry = FMT_LEAF(args->prot, level) | (iova + delta) >> FMT_OA_SHIFT;
		taken = take_run(table, index, run_of(index, level, end - iova), entry, mark, args,
				 &ret);
		iova += (uint64_t)taken << FMT_SHIFT(level);
		if (unlikely(ret))
			break;
		mark = 0;
	}
	if (likely(!ret))
		return 0;
	/* No device was told of these, but one that guessed may have cached them. */
	clear_range(pt, cursor, start, iova, args->undo_stamp << FMT_STAMP_SHIFT);
	args->undone_bytes = iova - start;
	return ret;
}

static int walk_map(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
		    struct pt_map_args *args, uint32_t tag)
{
	_Atomic uint64_t *entry = page_at(cursor, iova, bytes);

	if (likely(entry && !args->claim && !args->busy) &&
	    !is_present(atomic_load_explicit(entry, RELAXED))) {
		atomic_store_explicit(entry,
				      FMT_LEAF(args->prot, 0) | args->oa >> FMT_OA_SHIFT |
					      (args->cont ? 0 : FMT_START),
				      RELEASE);
		return 0;
	}
	return map_range(pt, cursor, iova, bytes, args, tag);
}

static int walk_map_pages(struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
			  const uint64_t *oa, unsigned int count, uint32_t prot, uint32_t tag)
{
	const uint64_t base = FMT_LEAF(prot, 0) | FMT_START;
	struct pt_table *table = seek_table(pt, cursor, iova);
	_Atomic uint64_t *entry;

	if (unlikely(table->level)) {
		int ret = install_to(pt, &table, iova, 0, tag, NULL);

		if (ret)
			return ret;
	}
	entry = &table->entries[index_of(iova, 0)];
	for (unsigned int i = 0; i < count; i++)
		atomic_store_explicit(&entry[i], base | oa[i] >> FMT_OA_SHIFT, RELEASE);
	return 0;
}

/* Does the mapping that ends at @end go on there? */
static bool goes_on(const struct pt *pt, uint64_t end)
{
	const struct pt_table *table;
	uint64_t entry;

	if (end > FMT_ADDRESS_LAST)
		return false;
	table = find_table(pt, end);
	entry = atomic_load_explicit(&table->entries[index_of(end, table->level)], RELAXED);
	return is_present(entry) && !is_table(entry, table->level) && !(entry & FMT_START);
}

/* Are these pages of one mapping, other than its first? Without a branch for each. */
static inline bool all_go_on(const _Atomic uint64_t *entries, unsigned int count)
{
	const bool one_bit = !(FMT_PRESENT & (FMT_PRESENT - 1));
	uint64_t wrong = 0;

#pragma GCC unroll 8
	for (unsigned int i = 0; i < count; i++) {
		uint64_t entry = atomic_load_explicit(&entries[i], RELAXED);

		wrong |= one_bit ? entry ^ FMT_PRESENT
				 : (entry & FMT_START) | (is_present(entry) ? 0 : FMT_PRESENT);
	}
	return !(wrong & (FMT_PRESENT | FMT_START));
}

/* Is everything in [iova, end) the rest of one mapping that ends there? 0, -ENOENT, -EINVAL. */
static inline int check_rest(struct pt *pt, struct pt_cursor *cursor, struct pt_table *table,
			     uint64_t iova, uint64_t end)
{
	while (iova < end) {
		unsigned int level, index, count, i;

		if (iova >> FMT_SHIFT(1) != (iova - 1) >> FMT_SHIFT(1) || table->level)
			table = seek_table(pt, cursor, iova);
		level = table->level;
		index = index_of(iova, level);
		/* A leaf that ends behind the range counts, and is seen to below. */
		count = run_of(index, level, end - iova + FMT_SIZE(level) - 1);
		i = likely(!level && all_go_on(&table->entries[index], count)) ? count : 0;
		for (; i < count; i++) {
			uint64_t entry = atomic_load_explicit(&table->entries[index + i], RELAXED);

			if (!is_present(entry))
				return -ENOENT;
			if (unlikely(level) && is_table(entry, level))
				break;
			if (entry & FMT_START)
				return -EINVAL;
		}
		iova += (uint64_t)i << FMT_SHIFT(level);
	}
	if (iova != end)
		return -EINVAL;
	if (likely(!table->level && index_of(end, 0))) {
		uint64_t next = atomic_load_explicit(&table->entries[index_of(end, 0)], RELAXED);

		return is_present(next) && !(next & FMT_START) ? -EINVAL : 0;
	}
	return goes_on(pt, end) ? -EINVAL : 0;
}

/* A mapping's first leaf. */
struct head {
	_Atomic uint64_t *entry;
	uint64_t value;
	uint64_t bytes; /* of the leaf */
};

/* Is [iova, +bytes) a mapping that nobody has claimed? 0, -ENOENT, -EINVAL. */
static inline int find_mapping(struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
			       uint64_t bytes, struct head *head)
{
	struct pt_table *table = seek_table(pt, cursor, iova);
	const uint64_t size = FMT_SIZE(table->level);
	_Atomic uint64_t *entry = &table->entries[index_of(iova, table->level)];
	uint64_t value = atomic_load_explicit(entry, RELAXED);

	if (unlikely(!is_present(value) || (value & FMT_CLAIM)))
		return -ENOENT;
	if (unlikely(!(value & FMT_START) || (iova & (size - 1)))) /* a table has come: no leaf */
		return is_table(value, table->level) ? -ENOENT : -EINVAL;
	*head = (struct head){ .entry = entry, .value = value, .bytes = size };
	return check_rest(pt, cursor, table, iova + size, iova + bytes);
}

/* Of those who have found a mapping, one exchanges its first entry. */
static inline int exchange(struct head *head, uint64_t value)
{
	return atomic_compare_exchange_strong_explicit(head->entry, &head->value, value, RELAXED,
						       RELAXED)
		       ? 0
		       : -ENOENT;
}

static int walk_claim(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes)
{
	struct head head;

	return find_mapping(pt, cursor, iova, bytes, &head)
		       ?: exchange(&head, head.value | FMT_CLAIM);
}

static unsigned int walk_claim_pages(struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
				     unsigned int count)
{
	struct pt_table *table = seek_table(pt, cursor, iova);
	unsigned int index = index_of(iova, 0);
	uint64_t entry;

	if (unlikely(table->level))
		return 0;
	entry = atomic_load_explicit(&table->entries[index], RELAXED);
	for (unsigned int i = 0; i < count; i++, index++) {
		uint64_t next;

		if (!is_present(entry) || !(entry & FMT_START) || (entry & FMT_CLAIM))
			return i;
		if (index == FMT_ENTRIES - 1) /* what comes next is in another table */
			return i + !walk_claim(pt, cursor, iova + i * FMT_SIZE(0), FMT_SIZE(0));
		next = atomic_load_explicit(&table->entries[index + 1], RELAXED);
		if (is_present(next) && !(next & FMT_START))
			return i; /* the mapping goes on */
		if (!atomic_compare_exchange_strong_explicit(&table->entries[index], &entry,
							     entry | FMT_CLAIM, RELAXED, RELAXED))
			return i;
		entry = next;
	}
	return count;
}

static void walk_unclaim(struct pt *pt, struct pt_cursor *cursor, uint64_t iova)
{
	struct pt_table *table = seek_table(pt, cursor, iova);
	_Atomic uint64_t *head = &table->entries[index_of(iova, table->level)];

	atomic_store_explicit(head, atomic_load_explicit(head, RELAXED) & ~FMT_CLAIM, RELAXED);
}

static void walk_clear(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
		       uint64_t stamp)
{
	clear_range(pt, cursor, iova, iova + bytes, stamp << FMT_STAMP_SHIFT);
}

static __attribute__((noinline)) int unmap_range(struct pt *pt, struct pt_cursor *cursor,
						 uint64_t iova, uint64_t bytes, uint64_t stamp)
{
	const uint64_t cleared = stamp << FMT_STAMP_SHIFT;
	struct head head;
	int ret = find_mapping(pt, cursor, iova, bytes, &head);

	if (unlikely(ret))
		return ret;
	if (bytes == head.bytes)
		return exchange(&head, cleared);
	ret = exchange(&head, head.value | FMT_CLAIM);
	if (likely(!ret))
		clear_range(pt, cursor, iova, iova + bytes, cleared);
	return ret;
}

static int walk_unmap(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
		      uint64_t stamp)
{
	_Atomic uint64_t *entry = page_at(cursor, iova, bytes);

	if (likely(entry && index_of(iova, 0) < FMT_ENTRIES - 1)) {
		uint64_t value = atomic_load_explicit(&entry[0], RELAXED);
		uint64_t next = atomic_load_explicit(&entry[1], RELAXED);

		if (likely(is_present(value) && (value & FMT_START) && !(value & FMT_CLAIM) &&
			   (!is_present(next) || (next & FMT_START)) &&
			   atomic_compare_exchange_strong_explicit(
				   entry, &value, stamp << FMT_STAMP_SHIFT, RELAXED, RELAXED)))
			return 0;
	}
	return unmap_range(pt, cursor, iova, bytes, stamp);
}

static int walk_lookup(const struct pt *pt, uint64_t iova, uint64_t *oa, uint32_t *prot,
		       uint64_t *leaf_bytes)
{
	const struct pt_table *table;
	uint64_t entry, size;

	if (iova > FMT_ADDRESS_LAST)
		return -ENOENT;
	/* Takes no lock, writes nothing. */
	table = find_table(pt, iova);
	entry = atomic_load_explicit(&table->entries[index_of(iova, table->level)], ACQUIRE);
	if (!is_present(entry) || is_table(entry, table->level))
		return -ENOENT;
	size = FMT_SIZE(table->level);
	*oa = oa_of(entry) + (iova & (size - 1));
	if (prot)
		*prot = fmt_prot(entry);
	if (leaf_bytes)
		*leaf_bytes = size;
	return 0;
}

static struct pt_table *walk_find(const struct pt *pt, uint64_t iova)
{
	struct pt_table *table;

	if (iova > FMT_ADDRESS_LAST)
		return NULL;
	table = find_table(pt, iova);
	return table->level ? NULL : table;
}

static bool each_in(const struct pt_table *table, uint64_t base, uint64_t start, uint64_t last,
		    pt_visit_fn visit, void *arg)
{
	const uint64_t size = FMT_SIZE(table->level);
	uint64_t from = start > base ? (start - base) / size : 0;

	for (uint64_t i = from; i < FMT_ENTRIES && base + i * size <= last; i++) {
		uint64_t entry = atomic_load_explicit(&table->entries[i], ACQUIRE);

		if (!is_present(entry))
			continue;
		if (is_table(entry, table->level)) {
			if (!each_in(atomic_load_explicit(&table->child[i], ACQUIRE),
				     base + i * size, start, last, visit, arg))
				return false;
		} else if (!visit(arg, base + i * size, oa_of(entry), size)) {
			return false;
		}
	}
	return true;
}

static bool walk_each(const struct pt *pt, uint64_t start, uint64_t last, pt_visit_fn visit,
		      void *arg)
{
	return each_in(pt->root, 0, start, last < FMT_ADDRESS_LAST ? last : FMT_ADDRESS_LAST, visit,
		       arg);
}

const struct pt_ops FMT_OPS = {
	.levels = FMT_LEVELS,
	.page_lg2 = FMT_PAGE_LG2,
	.address_bits = FMT_ADDRESS_BITS,
	.form = {
		.base = {
			[IOAS_READ] = FMT_LEAF(IOAS_READ, 0) | FMT_START,
			[IOAS_WRITE] = FMT_LEAF(IOAS_WRITE, 0) | FMT_START,
			[IOAS_RW] = FMT_LEAF(IOAS_RW, 0) | FMT_START,
		},
		.start = FMT_START,
		.claim = FMT_CLAIM,
		.present = FMT_PRESENT,
		.oa_shift = FMT_OA_SHIFT,
		.stamp_shift = FMT_STAMP_SHIFT,
	},
	.map = walk_map,
	.map_pages = walk_map_pages,
	.claim_pages = walk_claim_pages,
	.claim = walk_claim,
	.unclaim = walk_unclaim,
	.clear = walk_clear,
	.unmap = walk_unmap,
	.lookup = walk_lookup,
	.install = walk_install,
	.find = walk_find,
	.each = walk_each,
};
