/* SPDX-License-Identifier: BSD-3-Clause */
/* Dirty pages of KERNEL spaces: ioas/dirty.h on the backend's operations. */
#include "kernel_map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <ioas/dirty.h>

typedef int (*set_fn)(struct be_space *space, bool on);

/* @set: the backend's, or NULL. @state: of @as, whether it is on. */
static int switch_to(struct ioas *as, const char *what, set_fn set, bool *state, bool on)
{
	struct ioas_ctx *ctx = as->ctx;
	int ret = 0;

	if (!set || as->kind != IOAS_KIND_KERNEL)
		return diag_fail(&ctx->diag, -EOPNOTSUPP, "%s: not with %s spaces of backend %s",
				 what, ioas_kind_name(as->kind), ctx->be->ops->name);
	pthread_mutex_lock(&ctx->admin);
	if (on && atomic_load(&as->children))
		ret = diag_fail(&ctx->diag, -EBUSY,
				"%s: the address space has children, whose DMA would not be seen",
				what);
	pthread_mutex_lock(&ctx->lock);
	ret = ret ?: set(as->be_space, on);
	if (!ret)
		*state = on;
	pthread_mutex_unlock(&ctx->lock);
	pthread_mutex_unlock(&ctx->admin);
	return ret;
}

static int is_off(struct ioas *as, const char *start)
{
	return diag_fail(&as->ctx->diag, -EINVAL, "not started: %s()", start);
}

static int dirty_set(struct ioas *as, bool on)
{
	const struct be_dirty_ops *ops = as->ctx->be->ops->dirty;

	return switch_to(as, "dirty tracking", ops ? ops->set : NULL, &as->dirty, on);
}

int ioas_dirty_start(struct ioas *as)
{
	return dirty_set(as, true);
}

int ioas_dirty_stop(struct ioas *as)
{
	return dirty_set(as, false);
}

static int check_range(struct ioas *as, const struct ioas_dirty *range)
{
	struct diag *diag = &as->ctx->diag;
	const uint64_t iova = range->iova, page = range->page_bytes;

	if (range->size != sizeof(*range))
		return diag_fail(diag, -EINVAL, "size: %u is not that of struct ioas_dirty",
				 range->size);
	if (range->flags & ~IOAS_DIRTY_KEEP)
		return diag_fail(diag, -EINVAL, "flags: 0x%x: there is only IOAS_DIRTY_KEEP",
				 range->flags);
	if (page < IOAS_PAGE_SIZE || page & (page - 1))
		return diag_fail(diag, -EINVAL,
				 "page_bytes: %" PRIu64 " is no power of two from 4096 on", page);
	if (!range->bytes || ((iova | range->bytes) & (page - 1)) || iova + range->bytes - 1 < iova)
		return diag_fail(diag, -EINVAL,
				 "iova 0x%" PRIx64 ", bytes %" PRIu64
				 ": no range of whole pages of %" PRIu64 " bytes",
				 iova, range->bytes, page);
	if (!range->bitmap)
		return diag_fail(diag, -EINVAL, "bitmap: NULL");
	return 0;
}

/* The first mapping that reaches into [from, last]. */
static bool next_mapping(struct ioas *as, uint64_t from, uint64_t last, struct ioas_range *found)
{
	const struct kernel_map *map;

	pthread_mutex_lock(&as->maps_lock);
	map = kernel_map_from(as, from, last);
	if (map)
		*found = (struct ioas_range){ .start = map->range.start, .last = map->range.last };
	pthread_mutex_unlock(&as->maps_lock);
	return map;
}

/* Bits of 4 KiB from @from on into the caller's. */
static void add_bits(const struct ioas_dirty *range, uint64_t from, const uint64_t *bits,
		     uint64_t words)
{
	for (uint64_t i = 0; i < words; i++)
		for (uint64_t word = bits[i]; word; word &= word - 1) {
			uint64_t page = from + (i * 64 + __builtin_ctzll(word)) * IOAS_PAGE_SIZE;
			uint64_t bit = (page - range->iova) / range->page_bytes;

			range->bitmap[bit / 64] |= UINT64_C(1) << bit % 64;
		}
}

/*
 * Reads what is mapped at [start, last], in units of 4 KiB into bits of our own: a backend reads
 * mapped memory only, and what a bit of the caller's stands for may be mapped in part.
 */
static int read_mapped(struct ioas *as, const struct ioas_dirty *range, uint64_t start,
		       uint64_t last)
{
	const uint64_t words = ((last - start) / IOAS_PAGE_SIZE + 64) / 64;
	struct be_dirty some = { .iova = start,
				 .bytes = last - start + 1,
				 .page_bytes = IOAS_PAGE_SIZE,
				 .bitmap = calloc(words, sizeof(uint64_t)),
				 .keep = range->flags & IOAS_DIRTY_KEEP };
	int ret;

	if (!some.bitmap)
		return diag_fail(&as->ctx->diag, -ENOMEM, "no memory for a bitmap");
	ret = as->ctx->be->ops->dirty->read(as->be_space, &some);
	add_bits(range, start, some.bitmap, words);
	free(some.bitmap);
	return ret;
}

/* A leaf of the table has one bit, so it must not be cleared by somebody who wants half of it. */
static int read_one(struct ioas *as, const struct ioas_dirty *range, struct ioas_range *mapping)
{
	const uint64_t first = range->iova, last = first + range->bytes - 1;
	const bool whole = first <= mapping->start && mapping->last <= last;

	if (!whole && !(range->flags & IOAS_DIRTY_KEEP))
		return diag_fail(&as->ctx->diag, -EINVAL,
				 "iova 0x%" PRIx64 ", bytes %" PRIu64
				 ": cuts the mapping 0x%" PRIx64 "-0x%" PRIx64
				 ": read it whole, or with IOAS_DIRTY_KEEP",
				 first, range->bytes, mapping->start, mapping->last);
	return read_mapped(as, range, mapping->start > first ? mapping->start : first,
			   mapping->last < last ? mapping->last : last);
}

static int read_all(struct ioas *as, const struct ioas_dirty *range)
{
	const uint64_t last = range->iova + range->bytes - 1;
	struct ioas_range mapping = { .last = range->iova - 1 };
	int ret = 0;

	while (!ret && mapping.last + 1 - range->iova < range->bytes &&
	       next_mapping(as, mapping.last + 1, last, &mapping))
		ret = read_one(as, range, &mapping);
	return ret;
}

int ioas_dirty_read(struct ioas *as, const struct ioas_dirty *range)
{
	struct ioas_ctx *ctx = as->ctx;
	int ret = check_range(as, range);

	if (ret)
		return ret;
	pthread_mutex_lock(&ctx->lock);
	ret = as->dirty ? read_all(as, range) : is_off(as, "ioas_dirty_start");
	pthread_mutex_unlock(&ctx->lock);
	return ret;
}
