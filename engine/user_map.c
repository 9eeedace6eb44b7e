/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Map and unmap on USER spaces: stores into a page table of our own. Mapping enters no kernel;
 * unmapping is a share of one invalidation.
 *
 * Why mapping needs no invalidation: the entry goes from not present to present, and hardware
 * caches nothing of entries that are not present (VT-d 6.1, which exempts first-stage tables
 * even in caching mode). A kernel that walks the table and shadows it (be_caps.shadows) does keep
 * them: it is told of what was mapped by one invalidation for each call, before the call returns.
 *
 * Memory is found in the parent's mapping cache, which gives the output address as well. The
 * IOVA is this queue's (iova.h), so entries are written without looking at them; a fixed IOVA is
 * anybody's, so its entries are taken with compare-and-swap, and the stamp in an entry says what
 * its reuse waits for.
 *
 * A table may have larger pages than 4 KiB (ioas.page_mask): what follows for pages of 4 KiB is
 * then not used, and neither are windows.
 *
 * Budget at batches of 32 buffers of 4 KiB, per buffer: one load of the cache, one store to map;
 * one compare-and-swap and one store to unmap; a thirty-second of a commit.
 */
#include "objects.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define PIECE	 64 /* elements handled at once */
#define TAG_OPEN 1  /* of a leaf table: its block is open for fixed pages */

/* Mapping: memory. */

static int not_registered(struct ioas_queue *q, const struct ioas_seg *seg, unsigned int index)
{
	return queue_fail(q, -ENOENT,
			  "[%u]: va %p, %" PRIu64
			  " bytes: not registered with the context (ioas_mem_register()), or not "
			  "mapped in the parent",
			  index, seg->va, seg->bytes);
}

/*
 * Output addresses of @count elements. UINT64_MAX: contiguous memory, but not contiguous in the
 * parent. Return: 0 or -ENOENT.
 */
static int find_memory(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count,
		       unsigned int index, uint64_t *oa)
{
	const struct vamap *cache = &q->as->parent->cache;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t va = (uintptr_t)segs[i].va;
		uint64_t run;

		oa[i] = vamap_find(cache, va, &run);
		if (__builtin_expect(oa[i] != UINT64_MAX && run >= segs[i].bytes, 1))
			continue;
		run = segs[i].bytes;
		oa[i] = vamap_find_run(cache, va, &run);
		if (oa[i] == UINT64_MAX)
			return not_registered(q, &segs[i], index + i);
		if (run == segs[i].bytes)
			continue;
		oa[i] = UINT64_MAX;
		for (uint64_t done = run; done < segs[i].bytes; done += run) {
			run = segs[i].bytes - done;
			if (vamap_find_run(cache, va + done, &run) == UINT64_MAX)
				return not_registered(q, &segs[i], index + i);
		}
	}
	return 0;
}

/* Mapping: IOVA. */

static int no_iova(struct ioas_queue *q, unsigned int index, uint64_t bytes, int ret)
{
	return queue_fail(q, ret, "[%u]: no IOVA left for %" PRIu64 " bytes", index, bytes);
}

/* Up to @count neighbouring units. Return: how many, 0 if there are none. */
static unsigned int take_units(struct ioas_queue *q, unsigned int class, unsigned int count,
			       uint64_t *start)
{
	const struct iova_magazine *magazine = &q->magazines.class[class];
	struct iova *iova = &q->as->iova;
	unsigned int got;

	/* Units that have become free come first: their part of the table is warm. */
	if (__builtin_expect(magazine->next == magazine->end, 0))
		queue_harvest(q);
	got = iova_take(iova, &q->magazines, class, count, start);
	if (got || q->quarantine.head == q->quarantine.tail || ioas_flush(q))
		return got;
	return iova_take(iova, &q->magazines, class, count, start);
}

static int take_iova(struct ioas_queue *q, uint64_t bytes, unsigned int index, uint64_t *start)
{
	unsigned int class = iova_class(bytes);
	int ret = 0;

	if (class < IOVA_CLASSES)
		ret = take_units(q, class, 1, start) ? 0 : -ENOSPC;
	else
		ret = iova_take_long(&q->as->iova, bytes, start);
	return ret ? no_iova(q, index, bytes, ret) : 0;
}

/* May fixed pages be mapped there? Opens the blocks when they are used for the first time. */
static int open_fixed(struct ioas_queue *q, uint64_t start, uint64_t bytes, unsigned int index)
{
	struct ioas *as = q->as;
	const struct pt_table *table;
	int ret = iova_check(&as->iova, start, bytes);

	if (ret)
		return queue_fail(
			q, ret,
			"[%u]: iova 0x%" PRIx64 ", %" PRIu64
			" bytes: outside the aperture 0x%" PRIx64 "-0x%" PRIx64 ", or reserved",
			index, start, bytes, as->iova.aperture.start, as->iova.aperture.last);
	if ((start ^ (start + bytes - 1)) >> IOVA_BLOCK_LG2 == 0) {
		table = pt_find(as->pt, start);
		if (table && atomic_load_explicit(&table->tag, memory_order_relaxed) == TAG_OPEN &&
		    iova_is_open(&as->iova, start))
			return 0;
	}
	ret = iova_open(&as->iova, start, bytes);
	return ret ? queue_fail(q, ret, "[%u]: iova 0x%" PRIx64 ", %" PRIu64 " bytes: %s", index,
				start, bytes,
				ret == -EEXIST ? "part of it is the allocator's" : "no memory")
		   : 0;
}

static bool is_busy(void *arg, uint64_t stamp)
{
	const struct ioas_queue *q = arg;
	const struct inval_source *source;

	if (stamp & INVAL_STAMP_WINDOW)
		return true;
	source = inval_stamp_source(&q->as->inval, stamp);
	return source && inval_stamp_behind(source, stamp);
}

/* Mapping: entries. */

/* What was entered for a call that fails: no device was told, but one may have guessed. */
static void undo(struct ioas_queue *q, uint64_t start, uint64_t bytes)
{
	if (!bytes)
		return;
	inval_add(q->source, start, bytes);
	inval_publish(q->source);
	q->pending++;
}

/* One mapping whose memory may be in several pieces of the parent. */
static int enter(struct ioas_queue *q, const struct ioas_seg *seg, uint64_t oa, uint64_t start,
		 uint32_t prot, bool fixed, bool cont)
{
	const struct vamap *cache = &q->as->parent->cache;
	struct pt_map_args args = {
		.prot = prot,
		.cont = cont,
		.claim = fixed,
		.busy = fixed ? is_busy : NULL,
		.busy_arg = q,
		.undo_stamp = fixed ? inval_stamp(q->source, inval_position(q->source)) : 0,
	};
	uint64_t done = 0;
	int ret = 0;

	while (done < seg->bytes) {
		uint64_t run = seg->bytes - done;

		args.oa = oa != UINT64_MAX ? oa
					   : vamap_find_run(cache, (uintptr_t)seg->va + done, &run);
		/* Of pages of 4 KiB it cannot be otherwise. */
		if ((args.oa | run) & q->as->page_mask) {
			ret = -EINVAL;
			break;
		}
		ret = pt_map(q->as->pt, &q->map_cursor, start + done, run, &args,
			     fixed ? TAG_OPEN : 0);
		if (ret == -EAGAIN && !(args.busy_stamp & INVAL_STAMP_WINDOW)) {
			undo(q, start + done, args.undone_bytes);
			args.undone_bytes = 0;
			args.undo_stamp = inval_stamp(q->source, inval_position(q->source));
			ret = inval_stamp_wait(&q->as->inval, args.busy_stamp);
			if (!ret)
				continue;
		}
		if (ret)
			break;
		done += run;
		args.cont = true;
	}
	if (!ret)
		return 0;
	if (done)
		pt_clear(q->as->pt, &q->map_cursor, start, done, args.undo_stamp);
	undo(q, start, done + args.undone_bytes);
	return ret == -EAGAIN ? -EEXIST : ret;
}

static int cannot_enter(struct ioas_queue *q, int ret, unsigned int index, uint64_t start,
			uint64_t bytes)
{
	const char *what = ret == -EEXIST   ? "part of it is mapped, or a window's"
			   : ret == -ENOMEM ? "no memory for page tables (RLIMIT_MEMLOCK?)"
			   : ret == -EINVAL
				   ? "its memory is not aligned to the table's pages in the "
				     "parent: register it aligned to them"
				   : strerror(-ret);

	return queue_fail(q, ret, "[%u]: iova 0x%" PRIx64 ", %" PRIu64 " bytes: %s", index, start,
			  bytes, what);
}

/* Units that were taken for a mapping that failed go through the quarantine: see undo(). */
static void return_iova(struct ioas_queue *q, uint64_t start, uint64_t bytes, uint64_t units)
{
	uint64_t position = atomic_load_explicit(&q->source->published, memory_order_relaxed);
	struct iova_chunk *chunk = iova_chunk_of(&q->as->iova, start);

	queue_retire(q, chunk, start, chunk ? units : bytes, position);
}

static int map_one(struct ioas_queue *q, struct ioas_seg *seg, uint64_t oa, uint32_t flags,
		   unsigned int index)
{
	const bool fixed = flags & (IOAS_MAP_FIXED | IOAS_MAP_IDENTITY);
	uint64_t start = flags & IOAS_MAP_IDENTITY ? (uintptr_t)seg->va : (uint64_t)seg->iova;
	int ret;

	if (fixed)
		ret = open_fixed(q, start, seg->bytes, index);
	else
		ret = take_iova(q, seg->bytes, index, &start);
	if (ret)
		return ret;
	ret = enter(q, seg, oa, start, flags & IOAS_RW, fixed, false);
	if (ret) {
		if (!fixed)
			return_iova(q, start, seg->bytes, 1);
		return cannot_enter(q, ret, index, start, seg->bytes);
	}
	seg->iova = start;
	return 0;
}

/* Elements of one page each, as many as get neighbouring IOVAs. Return: how many, or an error. */
static int map_pages(struct ioas_queue *q, struct ioas_seg *segs, const uint64_t *oa,
		     unsigned int count, uint32_t prot, unsigned int index)
{
	uint64_t start;
	unsigned int got = take_units(q, 0, count, &start);
	int ret;

	if (__builtin_expect(!got, 0))
		return no_iova(q, index, segs[0].bytes, -ENOSPC);
	ret = pt_map_pages(q->as->pt, &q->map_cursor, start, oa, got, prot, 0);
	if (__builtin_expect(ret != 0, 0)) {
		return_iova(q, start, got * IOAS_PAGE_SIZE, got);
		return cannot_enter(q, ret, index, start, got * IOAS_PAGE_SIZE);
	}
	for (unsigned int i = 0; i < got; i++)
		segs[i].iova = start + i * IOAS_PAGE_SIZE;
	return got;
}

/* Return: how many of the first elements have been mapped, *error tells why not all. */
static unsigned int map_piece(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count,
			      uint32_t flags, unsigned int index, int *error)
{
	const bool fixed = flags & (IOAS_MAP_FIXED | IOAS_MAP_IDENTITY);
	uint64_t oa[PIECE];
	unsigned int done = 0;

	*error = find_memory(q, segs, count, index, oa);
	while (!*error && done < count) {
		unsigned int run = done;
		int ret;

		while (!fixed && run < count && segs[run].bytes == IOAS_PAGE_SIZE)
			run++;
		if (run > done) {
			ret = map_pages(q, &segs[done], &oa[done], run - done, flags & IOAS_RW,
					index + done);
			*error = ret < 0 ? ret : 0;
			done += ret < 0 ? 0 : ret;
		} else {
			*error = map_one(q, &segs[done], oa[done], flags, index + done);
			done += !*error;
		}
	}
	return done;
}

/* Scattered memory as one mapping. */
static int map_as_one(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count,
		      uint32_t flags)
{
	const bool fixed = flags & IOAS_MAP_FIXED;
	uint64_t total = 0, done = 0, start = segs[0].iova;
	uint64_t oa;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < count; i++) {
		ret = find_memory(q, &segs[i], 1, i, &oa);
		total += segs[i].bytes;
	}
	if (!ret)
		ret = fixed ? open_fixed(q, start, total, 0) : take_iova(q, total, 0, &start);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < count; i++) {
		ret = find_memory(q, &segs[i], 1, i, &oa);
		ret = ret ?: enter(q, &segs[i], oa, start + done, flags & IOAS_RW, fixed, done);
		if (ret)
			break;
		segs[i].iova = start + done;
		done += segs[i].bytes;
	}
	if (!ret)
		return 0;
	if (done)
		pt_clear(q->as->pt, &q->map_cursor, start, done,
			 fixed ? inval_stamp(q->source, inval_position(q->source)) : 0);
	undo(q, start, done);
	if (!fixed)
		return_iova(q, start, total, 1);
	return cannot_enter(q, ret, 0, start, total);
}

static void take_back(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count);
static int tell(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count, bool as_one);

int user_map_batch(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count, uint32_t flags,
		   bool as_one)
{
	unsigned int done = 0;
	int ret = 0;

	urcu_bp_read_lock();
	if (as_one)
		ret = map_as_one(q, segs, count, flags);
	while (!as_one && !ret && done < count) {
		unsigned int some = count - done < PIECE ? count - done : PIECE;

		done += map_piece(q, &segs[done], some, flags, done, &ret);
	}
	if (ret)
		take_back(q, segs, done);
	urcu_bp_read_unlock();
	if (!ret && q->as->shadowed && count)
		ret = tell(q, segs, count, as_one);
	if (!ret)
		counter_add(&q->counters, COUNTER_MAPS, as_one ? 1 : count);
	else if (q->as->mode == IOAS_STRICT && q->pending)
		/* If that fails, the next flush does it; the error is that of the map. */
		inval_commit(&q->as->inval, q->source, ioas_ticket(q));
	return ret;
}

/* Unmapping. */

/* Elements from @segs on that are neighbouring pages of one 2 MiB block. */
static inline unsigned int page_run(const struct ioas_seg *segs, unsigned int count)
{
	uint64_t left = PT_ENTRIES - (segs[0].iova >> IOAS_PAGE_SHIFT & (PT_ENTRIES - 1));
	unsigned int run = 0;

	if (count > left)
		count = left;
	while (run < count && segs[run].bytes == IOAS_PAGE_SIZE &&
	       segs[run].iova == segs[0].iova + run * IOAS_PAGE_SIZE)
		run++;
	return run;
}

static int cannot_claim(struct ioas_queue *q, const struct ioas_seg *seg, unsigned int index,
			int ret)
{
	return queue_fail(q, ret, "[%u]: iova 0x%" PRIx64 ", %" PRIu64 " bytes: %s", index,
			  (uint64_t)seg->iova, seg->bytes,
			  ret == -ENOENT ? "not mapped (or by a window)"
					 : "not exactly one mapping: unmap it as it was mapped");
}

static int claim_all(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count)
{
	struct pt *pt = q->as->pt;
	const uint64_t end = UINT64_C(1) << pt_address_bits(pt);
	unsigned int done = 0;
	int ret = 0;

	while (done < count) {
		unsigned int run = 0;

		if (__builtin_expect(segs[done].iova + segs[done].bytes > end, 0)) {
			ret = -ENOENT;
			break;
		}
		run = page_run(&segs[done], count - done);
		if (run)
			run = pt_claim_pages(pt, &q->unmap_cursor, segs[done].iova, run);
		if (!run) {
			ret = pt_claim(pt, &q->unmap_cursor, segs[done].iova, segs[done].bytes);
			if (ret)
				break;
			run = 1;
		}
		done += run;
	}
	if (!ret)
		return 0;
	for (unsigned int i = 0; i < done; i++)
		pt_unclaim(pt, &q->unmap_cursor, segs[i].iova);
	return cannot_claim(q, &segs[done], done, ret);
}

/* Clear neighbouring mappings of one owner. Return: bytes. */
static uint64_t clear_run(struct ioas_queue *q, uint64_t start, uint64_t bytes, uint64_t unit,
			  uint64_t position)
{
	struct ioas *as = q->as;
	struct iova_chunk *chunk = iova_chunk_of(&as->iova, start);
	uint64_t stamp = 0;

	if (chunk) {
		uint64_t left = chunk->base + chunk->units * iova_unit(chunk->class) - start;

		if (bytes > left && unit < bytes)
			bytes = left;
		queue_retire(q, chunk, start, unit < bytes ? bytes / unit : 1, position);
	} else if (iova_class(bytes) == IOVA_CLASSES) {
		queue_retire(q, NULL, start, bytes, position);
		stamp = inval_stamp(q->source, position); /* it may have been a fixed one */
	} else {
		stamp = inval_stamp(q->source, position);
	}
	pt_clear(as->pt, &q->unmap_cursor, start, bytes, stamp);
	return bytes;
}

/* Invalidations that are asked for, neighbours as one. */
struct asked {
	uint64_t from;
	uint64_t to;
	uint32_t ranges;
};

static inline void ask_rest(struct ioas_queue *q, struct asked *asked)
{
	if (asked->from == asked->to)
		return;
	inval_add(q->source, asked->from, asked->to - asked->from);
	asked->ranges++;
}

static inline void ask(struct ioas_queue *q, struct asked *asked, uint64_t start, uint64_t end)
{
	if (start != asked->to || asked->from == asked->to) {
		ask_rest(q, asked);
		asked->from = start;
	}
	asked->to = end;
}

static inline void ask_publish(struct ioas_queue *q, struct asked *asked, unsigned int count)
{
	ask_rest(q, asked);
	inval_publish(q->source);
	q->pending += count;
	counter_add(&q->counters, COUNTER_INVAL_ASKED, count);
	counter_add(&q->counters, COUNTER_INVAL_MERGED, count - asked->ranges);
}

/* Clear, and ask for the invalidation of, claimed mappings; settles nothing. */
static void unmap_claimed(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count)
{
	uint64_t position = inval_position(q->source);
	struct asked asked = { 0 };

	for (unsigned int i = 0; i < count;) {
		unsigned int run = page_run(&segs[i], count - i) ?: 1;
		uint64_t start = segs[i].iova;
		uint64_t end = start + (run > 1 ? run * IOAS_PAGE_SIZE : segs[i].bytes);

		for (uint64_t at = start; at < end;)
			at += clear_run(q, at, end - at, run > 1 ? IOAS_PAGE_SIZE : end - start,
					position);
		ask(q, &asked, start, end);
		i += run;
	}
	ask_publish(q, &asked, count);
}

/* One by one: somebody may have unmapped one of them that has a fixed IOVA. */
static void take_back(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (!pt_claim(q->as->pt, &q->unmap_cursor, segs[i].iova, segs[i].bytes))
			unmap_claimed(q, &segs[i], 1);
}

/* Has the kernel read what was mapped. Return: 0, or an error and nothing of it is mapped. */
static int tell(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count, bool as_one)
{
	struct ioas_seg whole = { .iova = segs[0].iova };
	struct asked asked = { 0 };
	int ret;

	for (unsigned int i = 0; i < count; i++) {
		ask(q, &asked, segs[i].iova, segs[i].iova + segs[i].bytes);
		whole.bytes += segs[i].bytes;
	}
	ask_publish(q, &asked, count);
	ret = queue_commit(q);
	if (!ret)
		return 0;
	urcu_bp_read_lock();
	take_back(q, as_one ? &whole : segs, as_one ? 1 : count);
	urcu_bp_read_unlock();
	return queue_fail(q, ret, "the kernel could not read the table: %s", strerror(-ret));
}

int user_unmap_batch(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count)
{
	int ret;

	if (!count)
		return 0;
	urcu_bp_read_lock();
	ret = claim_all(q, segs, count);
	if (!ret)
		unmap_claimed(q, segs, count);
	urcu_bp_read_unlock();
	if (ret)
		return ret;
	counter_add(&q->counters, COUNTER_UNMAPS, count);
	return queue_settle(q);
}
