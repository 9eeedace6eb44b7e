/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Windows: IOVA that is owned for good, with its leaf tables in place, so that a grant is one
 * store and a revocation another.
 *
 * An entry of a window's slot is present (granted; with CLAIM set, so that ioas_unmap() leaves it
 * alone) or holds a stamp with INVAL_STAMP_WINDOW, so that nobody maps there and a grant can see
 * what it has to wait for (I1). Slots are their users' to synchronise: entries are loaded and
 * stored, not exchanged.
 *
 * Budget at runs of ascending slots of one page: about eight instructions a slot, each way.
 */
#include "objects.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TAG_OPEN 1

/* Hot calls. */

static inline _Atomic uint64_t *entry_at(const struct ioas_window *window, uint64_t page)
{
	uint64_t at = window->first_index + page;

	return &window->entries[at / PT_ENTRIES][at % PT_ENTRIES];
}

static int check(struct ioas_queue *q, const struct ioas_window *window)
{
	if (!queue_is_mine(q))
		return queue_not_owner(q);
	if (q->as != window->as)
		return queue_fail(q, -EXDEV, "the window is of another address space");
	return 0;
}

static int bad_slot(struct ioas_queue *q, const struct ioas_window *window, const uint32_t *slots,
		    unsigned int index, int code)
{
	return queue_fail(q, code, "[%u]: slot %u of %u: %s", index, slots[index], window->slots,
			  code == -EINVAL   ? "there is no such slot"
			  : code == -EEXIST ? "granted already"
					    : "not granted");
}

/* Is the stamp of an entry one that has to be waited for? */
static inline bool must_wait(struct ioas_queue *q, uint64_t stamp)
{
	const struct inval_source *source = inval_stamp_source(&q->as->inval, stamp);

	return source && inval_stamp_behind(source, stamp);
}

/* Return: 0, or -EEXIST, or what the invalidation said; pages granted before it stay granted. */
static int grant_slow(struct ioas_queue *q, uint64_t stamp)
{
	int ret = inval_stamp_wait(&q->as->inval, stamp);

	if (!ret)
		queue_harvest(q);
	return ret;
}

/* Grant pages [page, page + count). Return: 0, or an error and *done pages are granted. */
static inline int grant_pages(struct ioas_queue *q, const struct ioas_window *window,
			      uint64_t page, uint32_t count, uint32_t *done)
{
	uint64_t value = window->entry_base + page * window->entry_step;

	for (*done = 0; *done < count; ++*done, value += window->entry_step) {
		_Atomic uint64_t *entry = entry_at(window, page + *done);
		uint64_t old = atomic_load_explicit(entry, memory_order_relaxed);
		uint64_t stamp = (old >> window->stamp_shift) & ~INVAL_STAMP_WINDOW;

		if (__builtin_expect(old & window->present, 0))
			return -EEXIST;
		if (__builtin_expect(stamp && must_wait(q, stamp), 0)) {
			int ret = grant_slow(q, stamp);

			if (ret)
				return ret;
		}
		atomic_store_explicit(entry, value, memory_order_release);
	}
	return 0;
}

/* Pages that were granted in vain: take them back as a revocation does. */
static void take_back(struct ioas_queue *q, const struct ioas_window *window, uint64_t page,
		      uint32_t count)
{
	uint64_t stamp = (inval_stamp(q->source, inval_position(q->source)) | INVAL_STAMP_WINDOW)
			 << window->stamp_shift;

	for (uint32_t i = 0; i < count; i++)
		atomic_store_explicit(entry_at(window, page + i), stamp, memory_order_relaxed);
	if (!count)
		return;
	inval_add(q->source, window->iova + page * IOAS_PAGE_SIZE, count * IOAS_PAGE_SIZE);
	inval_publish(q->source);
	q->pending++;
}

static int undo_grant(struct ioas_queue *q, const struct ioas_window *window,
		      const uint32_t *slots, unsigned int index, uint32_t pages, int code)
{
	if (pages)
		take_back(q, window, (uint64_t)slots[index] * window->slot_pages, pages);
	for (unsigned int i = 0; i < index; i++)
		take_back(q, window, (uint64_t)slots[i] * window->slot_pages, window->slot_pages);
	if (q->as->mode == IOAS_STRICT && q->pending)
		inval_commit(&q->as->inval, q->source, ioas_ticket(q));
	if (code != -EINVAL && code != -EEXIST)
		return queue_fail(q, code, "[%u]: slot %u: invalidation failed: %s", index,
				  slots[index], strerror(-code));
	return bad_slot(q, window, slots, index, code);
}

int ioas_window_grant(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		      unsigned int count)
{
	const uint32_t slot_pages = window->slot_pages;
	int ret = check(q, window);
	uint32_t done;

	if (ret)
		return ret;
	for (unsigned int i = 0; i < count; i++) {
		if (__builtin_expect(slots[i] >= window->slots, 0))
			return undo_grant(q, window, slots, i, 0, -EINVAL);
		if (slot_pages == 1)
			ret = grant_pages(q, window, slots[i], 1, &done);
		else
			ret = grant_pages(q, window, (uint64_t)slots[i] * slot_pages, slot_pages,
					  &done);
		if (__builtin_expect(ret != 0, 0))
			return undo_grant(q, window, slots, i, done, ret);
	}
	counter_add(&q->counters, COUNTER_MAPS, count);
	return 0;
}

/* Put back what a revocation that fails has taken: the device never saw it gone. */
static int undo_revoke(struct ioas_queue *q, const struct ioas_window *window,
		       const uint32_t *slots, unsigned int index, int code)
{
	for (unsigned int i = 0; i < index; i++)
		for (uint32_t j = 0; j < window->slot_pages; j++) {
			uint64_t page = (uint64_t)slots[i] * window->slot_pages + j;

			atomic_store_explicit(entry_at(window, page),
					      window->entry_base + page * window->entry_step,
					      memory_order_release);
		}
	return bad_slot(q, window, slots, index, code);
}

/* Runs of neighbouring slots, each asked for as one range. Return: how many runs. */
static uint32_t ask(struct ioas_queue *q, const struct ioas_window *window, const uint32_t *slots,
		    unsigned int count)
{
	const uint64_t slot_bytes = window->slot_pages * IOAS_PAGE_SIZE;
	uint32_t runs = 0;

	for (unsigned int i = 0; i < count; runs++) {
		unsigned int first = i++;

		while (i < count && slots[i] == slots[i - 1] + 1)
			i++;
		inval_add(q->source, window->iova + slots[first] * slot_bytes,
			  (i - first) * slot_bytes);
	}
	return runs;
}

int ioas_window_revoke(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		       unsigned int count)
{
	const uint32_t slot_pages = window->slot_pages;
	uint64_t stamp;
	uint32_t runs;
	int ret = check(q, window);

	if (ret || !count)
		return ret;
	stamp = (inval_stamp(q->source, inval_position(q->source)) | INVAL_STAMP_WINDOW)
		<< window->stamp_shift;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t page = (uint64_t)slots[i] * slot_pages;

		if (__builtin_expect(slots[i] >= window->slots, 0))
			return undo_revoke(q, window, slots, i, -EINVAL);
		for (uint32_t j = 0; j < slot_pages; j++) {
			_Atomic uint64_t *entry = entry_at(window, page + j);

			if (__builtin_expect(!(atomic_load_explicit(entry, memory_order_relaxed) &
					       window->present), 0))
				return undo_revoke(q, window, slots, i, -ENOENT);
			atomic_store_explicit(entry, stamp, memory_order_relaxed);
		}
	}
	runs = ask(q, window, slots, count);
	inval_publish(q->source);
	q->pending += count;
	counter_add(&q->counters, COUNTER_UNMAPS, count);
	counter_add(&q->counters, COUNTER_INVAL_ASKED, count);
	counter_add(&q->counters, COUNTER_INVAL_MERGED, count - runs);
	return queue_settle(q);
}

/* Slow calls. */

static int bad_option(struct ioas *as, int code, const char *what)
{
	return diag_fail(&as->ctx->diag, code, "window: %s", what);
}

static int check_options(struct ioas *as, const struct ioas_window_opts *opts)
{
	uint64_t va = (uintptr_t)opts->va;
	uint64_t iova = opts->identity ? va : (uint64_t)opts->iova;
	uint64_t last;

	if (opts->size != sizeof(*opts))
		return bad_option(as, -EINVAL, "size: not that of struct ioas_window_opts");
	if (as->kind != IOAS_KIND_USER)
		return bad_option(as, -EOPNOTSUPP, "only USER address spaces have windows");
	if (!opts->prot || (opts->prot & ~IOAS_RW))
		return bad_option(as, -EINVAL, "prot: not a combination of READ and WRITE");
	if (va & (IOAS_PAGE_SIZE - 1))
		return bad_option(as, -EINVAL, "va: not aligned to 4096");
	if (!opts->slot_bytes || (opts->slot_bytes & (IOAS_PAGE_SIZE - 1)))
		return bad_option(as, -EINVAL, "slot_bytes: zero, or not a multiple of 4096");
	if (!opts->bytes || opts->bytes % opts->slot_bytes)
		return bad_option(as, -EINVAL, "bytes: zero, or not a multiple of slot_bytes");
	if (opts->bytes / opts->slot_bytes > UINT32_MAX)
		return bad_option(as, -EINVAL, "bytes: more than 2^32 slots");
	if (__builtin_add_overflow(va, opts->bytes - 1, &last))
		return bad_option(as, -EINVAL, "bytes: va + bytes overflows");
	if (opts->identity && opts->iova)
		return bad_option(as, -EINVAL, "iova: not zero, with identity");
	if (iova & (IOAS_PAGE_SIZE - 1))
		return bad_option(as, -EINVAL, "iova: not aligned to 4096");
	if (iova && (__builtin_add_overflow(iova, opts->bytes - 1, &last) ||
		     iova_check(&as->iova, iova, opts->bytes)))
		return diag_fail(&as->ctx->diag, -ERANGE,
				 "window: iova 0x%" PRIx64 ", %" PRIu64
				 " bytes: outside the aperture, or reserved",
				 iova, opts->bytes);
	return 0;
}

/* Own the IOVA: the blocks, then each page. */
static int own_range(struct ioas_window *window, uint64_t fixed)
{
	struct iova *iova = &window->as->iova;

	window->iova = fixed;
	return fixed ? iova_open(iova, fixed, window->bytes)
		     : iova_open_anywhere(iova, window->bytes, &window->iova);
}

static int install_tables(struct ioas_window *window)
{
	struct pt *pt = window->as->pt;
	uint64_t block = window->iova & ~(IOVA_BLOCK - 1);
	uint64_t blocks = ((window->iova + window->bytes - 1 - block) >> IOVA_BLOCK_LG2) + 1;

	window->first_index = window->iova >> IOAS_PAGE_SHIFT & (PT_ENTRIES - 1);
	for (uint64_t i = 0; i < blocks; i++) {
		struct pt_table *table;
		int ret = pt_install(pt, block + i * IOVA_BLOCK, TAG_OPEN, &table);

		if (ret)
			return ret;
		window->entries[i] = table->entries;
	}
	return 0;
}

/* Mark one entry as a window's. What waits for an invalidation has been settled before. */
static bool own_page(const struct ioas_window *window, uint64_t page)
{
	const uint64_t mark = INVAL_STAMP_WINDOW << window->stamp_shift;
	_Atomic uint64_t *entry = entry_at(window, page);
	uint64_t old = atomic_load_explicit(entry, memory_order_relaxed);

	do {
		if ((old & window->present) || (old & mark))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(entry, &old, mark, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static int own_pages(const struct ioas_window *window)
{
	const uint64_t pages = window->bytes >> IOAS_PAGE_SHIFT;

	for (uint64_t i = 0; i < pages; i++) {
		if (own_page(window, i))
			continue;
		while (i-- > 0)
			atomic_store_explicit(entry_at(window, i), 0, memory_order_relaxed);
		return -EEXIST;
	}
	return 0;
}

static int fill(struct ioas_window *window, const struct ioas_window_opts *opts)
{
	struct ioas *as = window->as;
	const struct pt_entry_form *form = pt_entry_form(as->pt);
	uint64_t run = opts->bytes;
	uint64_t oa;
	int ret;

	/* Readers are not waited for while the memory is in use: see ioas_mem_free(). */
	oa = vamap_find_run(&as->parent->cache, window->va, &run);
	if (oa == UINT64_MAX || run < opts->bytes)
		return diag_fail(&as->ctx->diag, -ENOENT,
				 "window: va %p, %" PRIu64 " bytes: not mapped in the parent, or "
				 "not as one piece", opts->va, opts->bytes);
	window->entry_base = form->base[opts->prot] | form->claim | oa >> form->oa_shift;
	window->entry_step = IOAS_PAGE_SIZE >> form->oa_shift;
	window->present = form->present;
	window->stamp_shift = form->stamp_shift;
	ret = own_range(window, opts->identity ? window->va : (uint64_t)opts->iova);
	/* Entries, and 2 MiB leaves, that were cleared must not be cached any more (I1). */
	ret = ret ?: inval_commit_all(&as->inval);
	ret = ret ?: install_tables(window);
	ret = ret ?: own_pages(window);
	return ret ? diag_fail(&as->ctx->diag, ret, "window: iova 0x%" PRIx64 ", %" PRIu64
			       " bytes: %s", window->iova, opts->bytes,
			       ret == -EEXIST ? "part of it is in use" : strerror(-ret))
		   : 0;
}

int ioas_window_create(struct ioas *as, const struct ioas_window_opts *opts,
		       struct ioas_window **out)
{
	struct ioas_ctx *ctx = as->ctx;
	struct ioas_window *window;
	uint64_t tables;
	int ret = check_options(as, opts);

	if (ret)
		return ret;
	tables = ((opts->bytes - 1) >> IOVA_BLOCK_LG2) + 2;
	window = calloc(1, sizeof(*window) + tables * sizeof(window->entries[0]));
	if (!window)
		return bad_option(as, -ENOMEM, "no memory");
	window->as = as;
	window->va = (uintptr_t)opts->va;
	window->bytes = opts->bytes;
	window->slot_pages = opts->slot_bytes >> IOAS_PAGE_SHIFT;
	window->slots = opts->bytes / opts->slot_bytes;
	pthread_mutex_lock(&ctx->admin);
	window->mem = mem_use(ctx, window->va, window->bytes);
	if (!window->mem)
		ret = diag_fail(&ctx->diag, -ENOENT,
				"window: va %p, %" PRIu64 " bytes: not inside one registered memory",
				opts->va, opts->bytes);
	else
		ret = fill(window, opts);
	if (!ret)
		as->windows++;
	else if (window->mem)
		mem_unuse(window->mem);
	pthread_mutex_unlock(&ctx->admin);
	if (ret) {
		free(window);
		return ret;
	}
	*out = window;
	return 0;
}

/* Is any page granted? */
static bool is_granted(const struct ioas_window *window, uint32_t *slot)
{
	const uint64_t pages = window->bytes >> IOAS_PAGE_SHIFT;

	for (uint64_t i = 0; i < pages; i++)
		if (atomic_load_explicit(entry_at(window, i), memory_order_relaxed) &
		    window->present) {
			*slot = i / window->slot_pages;
			return true;
		}
	return false;
}

int ioas_window_destroy(struct ioas_window *window)
{
	const uint64_t pages = window->bytes >> IOAS_PAGE_SHIFT;
	struct ioas *as = window->as;
	struct ioas_ctx *ctx = as->ctx;
	uint32_t slot;
	int ret;

	if (is_granted(window, &slot))
		return diag_fail(&ctx->diag, -EBUSY, "window: slot %u is granted", slot);
	ret = inval_commit_all(&as->inval);
	if (ret)
		return diag_fail(&ctx->diag, ret, "window: invalidation failed: %s",
				 strerror(-ret));
	for (uint64_t i = 0; i < pages; i++)
		atomic_store_explicit(entry_at(window, i), 0, memory_order_relaxed);
	pthread_mutex_lock(&ctx->admin);
	as->windows--;
	mem_unuse(window->mem);
	pthread_mutex_unlock(&ctx->admin);
	free(window);
	return 0;
}

ioas_iova_t ioas_window_iova(const struct ioas_window *window)
{
	return window->iova;
}

uint32_t ioas_window_slots(const struct ioas_window *window)
{
	return window->slots;
}
