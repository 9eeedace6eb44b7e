/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Windows: IOVA that is owned for good, with its leaf tables in place, so that a grant is one
 * store and a revocation another.
 *
 * A page of a window has one translation and no other for as long as the window lives. So a slot
 * that was revoked may be granted again at once, whatever the state of its invalidation: what a
 * device may still have cached is the very translation that is granted. (I1 is about stale
 * translations that are wrong; this one is right again. Nothing else can come in its place before
 * the window is destroyed, which waits.) Source: "vIOMMU: Efficient IOMMU Emulation" (ATC'11),
 * optimistic teardown.
 *
 * An entry of a window's page is present (with CLAIM set, so that ioas_unmap() leaves it alone)
 * or holds INVAL_STAMP_WINDOW, so that nobody else maps there. Slots are their users' to
 * synchronise: entries are loaded and stored, not exchanged.
 *
 * A call that fails has changed nothing that a device could see: it looks at all slots first.
 *
 * Budget at runs of ascending slots of one page: about twelve instructions a slot, each way.
 */
#include "objects.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TAG_OPEN 1

#define RELAXED memory_order_relaxed
#define RELEASE memory_order_release

/* Hot calls. */

static inline _Atomic uint64_t *entry_at(const struct ioas_window *window, uint64_t page)
{
	uint64_t at = window->first_index + page;

	return &window->entries[at / PT_ENTRIES][at % PT_ENTRIES];
}

static inline bool is_granted(const struct ioas_window *window, uint64_t page)
{
	return atomic_load_explicit(entry_at(window, page), RELAXED) & window->present;
}

static inline uint64_t first_page(const struct ioas_window *window, uint32_t slot)
{
	return (uint64_t)slot * window->slot_pages;
}

/* Release: what the caller wrote to the pages comes before the entry that shows them. */
static inline void fill(struct ioas_window *window, uint32_t slot)
{
	uint64_t page = first_page(window, slot);
	uint64_t value = window->entry_base + page * window->entry_step;

	for (uint32_t i = 0; i < window->slot_pages; i++, value += window->entry_step)
		atomic_store_explicit(entry_at(window, page + i), value, RELEASE);
}

static inline void clear(struct ioas_window *window, uint32_t slot)
{
	uint64_t page = first_page(window, slot);

	for (uint32_t i = 0; i < window->slot_pages; i++)
		atomic_store_explicit(entry_at(window, page + i), window->free_entry, RELAXED);
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

/* Runs of neighbouring slots, each asked for as one range; publishes. */
static void ask(struct ioas_queue *q, const struct ioas_window *window, const uint32_t *slots,
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
	inval_publish(q->source);
	q->pending += count;
	counter_add(&q->counters, COUNTER_INVAL_ASKED, count);
	counter_add(&q->counters, COUNTER_INVAL_MERGED, count - runs);
}

/* A slot that is named twice: found when it is granted already. */
static int undo_grant(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		      unsigned int index)
{
	for (unsigned int i = 0; i < index; i++)
		clear(window, slots[i]);
	/* No device was told, but one may have guessed. */
	ask(q, window, slots, index);
	queue_settle(q);
	return bad_slot(q, window, slots, index, -EEXIST);
}

/* A kernel that shadows the table (be_caps.shadows) reads what was granted. */
static int tell(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		unsigned int count)
{
	int ret;

	ask(q, window, slots, count);
	ret = queue_commit(q);
	if (!ret)
		return 0;
	for (unsigned int i = 0; i < count; i++)
		clear(window, slots[i]);
	ask(q, window, slots, count);
	return queue_fail(q, ret, "the kernel could not read the table: %s", strerror(-ret));
}

int ioas_window_grant(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		      unsigned int count)
{
	int ret = check(q, window);

	if (ret)
		return ret;
	for (unsigned int i = 0; i < count; i++) {
		if (__builtin_expect(slots[i] >= window->slots, 0))
			return bad_slot(q, window, slots, i, -EINVAL);
		if (__builtin_expect(is_granted(window, first_page(window, slots[i])), 0))
			return bad_slot(q, window, slots, i, -EEXIST);
	}
	for (unsigned int i = 0; i < count; i++) {
		if (__builtin_expect(is_granted(window, first_page(window, slots[i])), 0))
			return undo_grant(q, window, slots, i);
		fill(window, slots[i]);
	}
	if (q->as->shadowed && count)
		ret = tell(q, window, slots, count);
	if (!ret)
		counter_add(&q->counters, COUNTER_MAPS, count);
	return ret;
}

/*
 * Mark a granted slot as about to be revoked, by a bit that devices ignore. Return: 0, or what is
 * wrong with it; a slot that is named twice is marked already.
 */
static inline int mark(struct ioas_window *window, uint32_t slot)
{
	_Atomic uint64_t *entry;
	uint64_t old;

	if (__builtin_expect(slot >= window->slots, 0))
		return -EINVAL;
	entry = entry_at(window, first_page(window, slot));
	old = atomic_load_explicit(entry, RELAXED);
	if (__builtin_expect(!(old & window->present) || !(old & window->start), 0))
		return -ENOENT;
	atomic_store_explicit(entry, old & ~window->start, RELAXED);
	return 0;
}

static int undo_mark(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		     unsigned int index, int code)
{
	for (unsigned int i = 0; i < index; i++)
		fill(window, slots[i]);
	return bad_slot(q, window, slots, index, code);
}

int ioas_window_revoke(struct ioas_queue *q, struct ioas_window *window, const uint32_t *slots,
		       unsigned int count)
{
	int ret = check(q, window);

	if (ret || !count)
		return ret;
	for (unsigned int i = 0; i < count; i++) {
		ret = mark(window, slots[i]);
		if (__builtin_expect(ret != 0, 0))
			return undo_mark(q, window, slots, i, ret);
	}
	for (unsigned int i = 0; i < count; i++)
		clear(window, slots[i]);
	ask(q, window, slots, count);
	counter_add(&q->counters, COUNTER_UNMAPS, count);
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
	if (as->page_mask != IOAS_PAGE_SIZE - 1)
		return bad_option(as, -EOPNOTSUPP, "only tables of 4 KiB pages have windows");
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

/* Mark one entry as a window's, whatever it may be waiting for. */
static bool own_page(const struct ioas_window *window, uint64_t page)
{
	_Atomic uint64_t *entry = entry_at(window, page);
	uint64_t old = atomic_load_explicit(entry, RELAXED);

	do {
		if ((old & window->present) || (old & window->free_entry))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(entry, &old, window->free_entry, RELAXED,
							RELAXED));
	return true;
}

/*
 * Whoever has unmapped something there before it was taken has published it when readers have
 * been waited for, since clearing and publishing are in one read-side section; nobody can map
 * there any more. So after this no device has anything cached of these pages (I1).
 */
static int settle(struct ioas *as)
{
	urcu_bp_synchronize_rcu();
	return inval_commit_all(&as->inval);
}

static void disown_pages(const struct ioas_window *window, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		atomic_store_explicit(entry_at(window, i), 0, RELAXED);
}

/* Own every page, or none. */
static int own_pages(const struct ioas_window *window)
{
	const uint64_t pages = window->bytes >> IOAS_PAGE_SHIFT;
	uint64_t owned = 0;
	int ret;

	while (owned < pages && own_page(window, owned))
		owned++;
	ret = settle(window->as);
	if (ret)
		return ret; /* the pages stay out of circulation */
	if (owned == pages)
		return 0;
	disown_pages(window, owned);
	return -EEXIST;
}

static int set_up(struct ioas_window *window, const struct ioas_window_opts *opts)
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
				 "not as one piece",
				 opts->va, opts->bytes);
	window->entry_base = form->base[opts->prot] | form->claim | oa >> form->oa_shift;
	window->entry_step = IOAS_PAGE_SIZE >> form->oa_shift;
	window->present = form->present;
	window->start = form->start;
	window->free_entry = INVAL_STAMP_WINDOW << form->stamp_shift;
	ret = own_range(window, opts->identity ? window->va : (uint64_t)opts->iova);
	ret = ret ?: install_tables(window);
	ret = ret ?: own_pages(window);
	return ret ? diag_fail(&as->ctx->diag, ret,
			       "window: iova 0x%" PRIx64 ", %" PRIu64 " bytes: %s", window->iova,
			       opts->bytes,
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
				"window: va %p, %" PRIu64
				" bytes: not inside one registered memory",
				opts->va, opts->bytes);
	else
		ret = set_up(window, opts);
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

int ioas_window_destroy(struct ioas_window *window)
{
	struct ioas *as = window->as;
	struct ioas_ctx *ctx = as->ctx;
	int ret;

	for (uint32_t slot = 0; slot < window->slots; slot++)
		if (is_granted(window, first_page(window, slot)))
			return diag_fail(&ctx->diag, -EBUSY, "window: slot %u is granted", slot);
	ret = inval_commit_all(&as->inval);
	if (ret)
		return diag_fail(&ctx->diag, ret, "window: invalidation failed: %s",
				 strerror(-ret));
	disown_pages(window, window->bytes >> IOAS_PAGE_SHIFT);
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
