/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walker, compiled once per format: the file that includes it has included walk_base.h and a
 * format header, and has defined FMT_LEVELS, FMT_ADDRESS_BITS and FMT_OPS.
 *
 * Ordering:
 * - a new table is zeroed before the release store that links it, in the tree and in hardware's
 *   entry, so neither a thread nor the walker can see it otherwise;
 * - present leaves are release stores: what the caller wrote to the memory before it mapped it
 *   is visible to a walker that sees the leaf. On x86 that is a plain store;
 * - clearing is a relaxed store. What makes it visible before the invalidation is the release
 *   that publishes the invalidation (engine/inval.c), and the system call that carries it.
 */
#define RELAXED memory_order_relaxed
#define ACQUIRE memory_order_acquire
#define RELEASE memory_order_release

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
	if (atomic_compare_exchange_strong_explicit(
		    &table->entries[index], &old, fmt_table_entry(child->addr), RELEASE, RELAXED) &&
	    !child->level)
		atomic_store_explicit(&child->tag, tag, RELAXED);
	return 0;
}

static inline struct pt_table *get_child(const struct pt_table *table, unsigned int index)
{
	uint64_t entry = atomic_load_explicit(&table->entries[index], ACQUIRE);

	if (!fmt_present(entry) || fmt_is_leaf(entry, table->level))
		return NULL;
	return atomic_load_explicit(&table->child[index], ACQUIRE);
}

/* The table at @level on the way to @iova, or the lowest one above it. */
static inline struct pt_table *find_table(const struct pt *pt, uint64_t iova, unsigned int level)
{
	struct pt_table *table = pt->root;

	while (table->level > level) {
		struct pt_table *child = get_child(table, pt_index(iova, table->level));

		if (!child)
			break;
		table = child;
	}
	return table;
}

/* Level-0 table through the cursor; NULL if there is none. */
static inline struct pt_table *find_leaf_table(const struct pt *pt, struct pt_cursor *cursor,
					       uint64_t iova)
{
	uint64_t block = iova >> pt_shift(1);
	struct pt_table *table;

	if (cursor && cursor->block == block)
		return cursor->table;
	table = find_table(pt, iova, 0);
	if (table->level)
		return NULL;
	if (cursor)
		*cursor = (struct pt_cursor){ .block = block, .table = table };
	return table;
}

/*
 * Go down from @table to @level, installing what is missing. A leaf in the way is -EEXIST, one
 * that was there and still waits for its invalidation -EAGAIN.
 */
static int install_to(struct pt *pt, struct pt_table **table, uint64_t iova, unsigned int level,
		      uint32_t tag, struct pt_map_args *args)
{
	while ((*table)->level > level) {
		unsigned int index = pt_index(iova, (*table)->level);
		uint64_t entry = atomic_load_explicit(&(*table)->entries[index], ACQUIRE);

		if (fmt_present(entry)) {
			if (fmt_is_leaf(entry, (*table)->level))
				return -EEXIST;
			*table = atomic_load_explicit(&(*table)->child[index], ACQUIRE);
			continue;
		}
		if (entry && args && args->busy) {
			args->busy_stamp = entry >> FMT_OPS.form.stamp_shift;
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
static unsigned int leaf_level(uint64_t iova, uint64_t oa, uint64_t bytes)
{
	unsigned int level = FMT_LEAF_LEVEL;

	while (level && (((iova | oa) & ((UINT64_C(1) << pt_shift(level)) - 1)) ||
			 bytes >> pt_shift(level) == 0))
		level--;
	return level;
}

/* The table that will hold the leaf: at leaf_level(), or below where a table is in the way. */
static int table_for(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t oa,
		     uint64_t bytes, uint32_t tag, struct pt_map_args *args,
		     struct pt_table **table)
{
	unsigned int level = leaf_level(iova, oa, bytes);

	*table = level ? NULL : find_leaf_table(pt, cursor, iova);
	if (*table)
		return 0;
	/* Stops where there is no child: at @level, above it, or below where one is in the way. */
	*table = find_table(pt, iova, 0);
	return install_to(pt, table, iova, level, tag, args);
}

/* Take one entry. 0, -EEXIST, -EAGAIN. */
static inline int set_entry(_Atomic uint64_t *entry, uint64_t value, struct pt_map_args *args)
{
	uint64_t old = atomic_load_explicit(entry, RELAXED);

	do {
		if (fmt_present(old))
			return -EEXIST;
		if (old && args->busy) {
			uint64_t stamp = old >> FMT_OPS.form.stamp_shift;

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

/* Clear [iova, end), all of it present. */
static void clear_range(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t end,
			uint64_t entry)
{
	while (iova < end) {
		struct pt_table *table = find_leaf_table(pt, cursor, iova);
		unsigned int index, count;
		uint64_t left;

		if (!table)
			table = find_table(pt, iova, 0);
		index = pt_index(iova, table->level);
		left = (end - iova) >> pt_shift(table->level);
		count = left < PT_ENTRIES - index ? left : PT_ENTRIES - index;
		for (unsigned int i = 0; i < count; i++) {
			/* An upper table may hold leaves and children side by side. */
			if (table->level && get_child(table, index + i)) {
				count = i;
				break;
			}
			atomic_store_explicit(&table->entries[index + i], entry, RELAXED);
		}
		iova += (uint64_t)count << pt_shift(table->level);
	}
}

static int walk_map(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
		    struct pt_map_args *args, uint32_t tag)
{
	const uint64_t start = iova, end = iova + bytes;
	uint64_t oa = args->oa;
	bool first = !args->cont;
	int ret = 0;

	while (iova < end) {
		struct pt_table *table;
		uint64_t step, entry;
		unsigned int index;

		ret = table_for(pt, cursor, iova, oa, end - iova, tag, args, &table);
		if (ret)
			goto undo;
		step = UINT64_C(1) << pt_shift(table->level);
		index = pt_index(iova, table->level);
		entry = fmt_leaf_entry(oa, args->prot, table->level) | (first ? FMT_START : 0);
		/* A run in one table: walked once. */
		do {
			ret = set_entry(&table->entries[index], entry, args);
			if (ret)
				goto undo;
			first = false;
			iova += step;
			oa += step;
			index++;
			entry = fmt_leaf_entry(oa, args->prot, table->level);
		} while (end - iova >= step && index < PT_ENTRIES &&
			 (!table->level || !get_child(table, index)));
	}
	return 0;
undo:
	/* No device was told of these, but one that guessed may have cached them. */
	clear_range(pt, cursor, start, iova,
		    args->undo_stamp << FMT_OPS.form.stamp_shift);
	args->undone_bytes = iova - start;
	return ret;
}

static int walk_map_pages(struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
			  const uint64_t *oa, unsigned int count, uint32_t prot, uint32_t tag)
{
	struct pt_table *table = find_leaf_table(pt, cursor, iova);
	_Atomic uint64_t *entry;

	if (!table) {
		int ret = walk_install(pt, iova, tag, &table);

		if (ret)
			return ret;
	}
	entry = &table->entries[pt_index(iova, 0)];
	for (unsigned int i = 0; i < count; i++)
		atomic_store_explicit(&entry[i], fmt_leaf_entry(oa[i], prot, 0) | FMT_START,
				      RELEASE);
	return 0;
}

/* Entry that translates @iova, and its level; NULL where there is no table for it. */
static _Atomic uint64_t *entry_of(const struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
				  unsigned int *level)
{
	struct pt_table *table = find_leaf_table(pt, cursor, iova);

	if (!table)
		table = find_table(pt, iova, 0);
	if (table->level > FMT_LEAF_LEVEL)
		return NULL;
	*level = table->level;
	return &table->entries[pt_index(iova, table->level)];
}

static int walk_claim(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes)
{
	const uint64_t end = iova + bytes;
	unsigned int level;
	_Atomic uint64_t *head = entry_of(pt, cursor, iova, &level);
	uint64_t entry, at;

	if (!head)
		return -ENOENT;
	entry = atomic_load_explicit(head, RELAXED);
	if (!fmt_present(entry) || (entry & FMT_CLAIM))
		return -ENOENT;
	if (!(entry & FMT_START))
		return -EINVAL;
	if (iova & ((UINT64_C(1) << pt_shift(level)) - 1))
		return -EINVAL;

	/* The rest belongs to the same mapping, and the mapping ends where the range does. */
	for (at = iova + (UINT64_C(1) << pt_shift(level)); at < end;
	     at += UINT64_C(1) << pt_shift(level)) {
		_Atomic uint64_t *next = entry_of(pt, cursor, at, &level);
		uint64_t value = next ? atomic_load_explicit(next, RELAXED) : 0;

		if (!fmt_present(value))
			return -ENOENT;
		if (value & FMT_START)
			return -EINVAL;
	}
	if (at != end)
		return -EINVAL;
	if (!(end >> FMT_ADDRESS_BITS)) {
		_Atomic uint64_t *next = entry_of(pt, NULL, end, &level);
		uint64_t value = next ? atomic_load_explicit(next, RELAXED) : 0;

		if (fmt_present(value) && fmt_is_leaf(value, level) && !(value & FMT_START))
			return -EINVAL;
	}

	if (!atomic_compare_exchange_strong_explicit(head, &entry, entry | FMT_CLAIM, RELAXED,
						     RELAXED))
		return -ENOENT;
	return 0;
}

static unsigned int walk_claim_pages(struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
				     unsigned int count)
{
	struct pt_table *table = find_leaf_table(pt, cursor, iova);
	unsigned int index = pt_index(iova, 0);
	uint64_t entry;

	if (!table)
		return 0;
	entry = atomic_load_explicit(&table->entries[index], RELAXED);
	for (unsigned int i = 0; i < count; i++, index++) {
		uint64_t next;

		if (!fmt_present(entry) || !(entry & FMT_START) || (entry & FMT_CLAIM))
			return i;
		if (index == PT_ENTRIES - 1) /* what comes next is in another table */
			return i + !walk_claim(pt, cursor, iova + i * IOAS_PAGE_SIZE,
					       IOAS_PAGE_SIZE);
		next = atomic_load_explicit(&table->entries[index + 1], RELAXED);
		if (fmt_present(next) && !(next & FMT_START))
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
	unsigned int level;
	_Atomic uint64_t *head = entry_of(pt, cursor, iova, &level);

	atomic_store_explicit(head, atomic_load_explicit(head, RELAXED) & ~FMT_CLAIM, RELAXED);
}

static void walk_clear(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
		       uint64_t stamp)
{
	clear_range(pt, cursor, iova, iova + bytes, stamp << FMT_OPS.form.stamp_shift);
}

static int walk_lookup(const struct pt *pt, uint64_t iova, uint64_t *oa, uint32_t *prot,
		       uint64_t *leaf_bytes)
{
	const struct pt_table *table;
	uint64_t entry, size;

	if (iova >> FMT_ADDRESS_BITS)
		return -ENOENT;
	/* Takes no lock, writes nothing. */
	table = find_table(pt, iova, 0);
	if (table->level > FMT_LEAF_LEVEL)
		return -ENOENT;
	entry = atomic_load_explicit(&table->entries[pt_index(iova, table->level)], ACQUIRE);
	if (!fmt_present(entry) || !fmt_is_leaf(entry, table->level))
		return -ENOENT;
	size = UINT64_C(1) << pt_shift(table->level);
	*oa = fmt_oa(entry) + (iova & (size - 1));
	if (prot)
		*prot = fmt_prot(entry);
	if (leaf_bytes)
		*leaf_bytes = size;
	return 0;
}

static struct pt_table *walk_find(const struct pt *pt, uint64_t iova)
{
	struct pt_table *table;

	if (iova >> FMT_ADDRESS_BITS)
		return NULL;
	table = find_table(pt, iova, 0);
	return table->level ? NULL : table;
}

static bool each_in(const struct pt_table *table, uint64_t base, uint64_t start, uint64_t last,
		    pt_visit_fn visit, void *arg)
{
	const uint64_t size = UINT64_C(1) << pt_shift(table->level);
	uint64_t from = start > base ? (start - base) >> pt_shift(table->level) : 0;

	for (uint64_t i = from; i < PT_ENTRIES && base + i * size <= last; i++) {
		uint64_t entry = atomic_load_explicit(&table->entries[i], ACQUIRE);
		const struct pt_table *child = table->level ? get_child(table, i) : NULL;

		if (child) {
			if (!each_in(child, base + i * size, start, last, visit, arg))
				return false;
		} else if (table->level <= FMT_LEAF_LEVEL && fmt_present(entry) &&
			   fmt_is_leaf(entry, table->level)) {
			if (!visit(arg, base + i * size, fmt_oa(entry), size))
				return false;
		}
	}
	return true;
}

static bool walk_each(const struct pt *pt, uint64_t start, uint64_t last, pt_visit_fn visit,
		      void *arg)
{
	return each_in(pt->root, 0, start, last, visit, arg);
}

const struct pt_ops FMT_OPS = {
	.levels = FMT_LEVELS,
	.address_bits = FMT_ADDRESS_BITS,
	.form = FMT_FORM,
	.map = walk_map,
	.map_pages = walk_map_pages,
	.claim_pages = walk_claim_pages,
	.claim = walk_claim,
	.unclaim = walk_unclaim,
	.clear = walk_clear,
	.lookup = walk_lookup,
	.install = walk_install,
	.find = walk_find,
	.each = walk_each,
};
