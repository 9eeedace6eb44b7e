/* SPDX-License-Identifier: BSD-3-Clause */
/* The hot calls of map.h: what is common to all kinds, then the kind's own file. */
#include "objects.h"
#include "trace.h"

#include <errno.h>
#include <inttypes.h>

static int check_flags(struct ioas_queue *q, uint32_t flags)
{
	const uint32_t known = IOAS_RW | IOAS_MAP_FIXED | IOAS_MAP_IDENTITY | IOAS_MAP_TOGETHER;

	if (flags & ~known)
		return queue_fail(q, -EINVAL, "flags 0x%x: unknown bits 0x%x", flags,
				  flags & ~known);
	if (!(flags & IOAS_RW))
		return queue_fail(q, -EINVAL, "flags 0x%x: neither IOAS_READ nor IOAS_WRITE",
				  flags);
	if ((flags & IOAS_MAP_FIXED) && (flags & IOAS_MAP_IDENTITY))
		return queue_fail(q, -EINVAL, "flags 0x%x: FIXED and IDENTITY exclude each other",
				  flags);
	return 0;
}

static int bad_seg(struct ioas_queue *q, const struct ioas_seg *seg, unsigned int index,
		   uint32_t flags)
{
	const uint32_t mask = q->as->page_mask;
	const char *what = "";

	if (!seg->bytes)
		what = "bytes is zero";
	else if (seg->bytes & mask)
		what = "bytes is not whole pages";
	else if ((uintptr_t)seg->va & mask)
		what = "va is not aligned to a page";
	else if ((uintptr_t)seg->va + seg->bytes - 1 < (uintptr_t)seg->va)
		what = "va + bytes overflows";
	else if (seg->iova & mask)
		what = "iova is not aligned to a page";
	else
		what = "iova + bytes overflows";
	(void)flags;
	return queue_fail(q, -EINVAL,
			  "[%u]: %s (va %p, bytes %" PRIu64 ", iova 0x%" PRIx64 "; pages of %u)",
			  index, what, seg->va, seg->bytes, (uint64_t)seg->iova, mask + 1);
}

static inline bool range_is_bad(const struct ioas_queue *q, uint64_t start, uint64_t bytes)
{
	return !bytes || ((start | bytes) & q->as->page_mask) || start + bytes - 1 < start;
}

static int check_segs(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count,
		      uint32_t flags)
{
	for (unsigned int i = 0; i < count; i++)
		if (__builtin_expect(range_is_bad(q, (uintptr_t)segs[i].va, segs[i].bytes) ||
					     ((flags & IOAS_MAP_FIXED) &&
					      range_is_bad(q, segs[i].iova, segs[i].bytes)),
				     0))
			return bad_seg(q, &segs[i], i, flags);
	return 0;
}

static int map_batch(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count,
		     uint32_t flags)
{
	int ret;

	if (!queue_is_mine(q))
		return queue_not_owner(q);
	ret = check_flags(q, flags) ?: check_segs(q, segs, count, flags);
	if (ret)
		return ret;
	TRACE(map, q, segs, count, flags);
	if (q->as->kind == IOAS_KIND_USER)
		return user_map_batch(q, segs, count, flags, false);
	if (q->as->kind == IOAS_KIND_KERNEL)
		return kernel_map_batch(q, segs, count, flags);
	return queue_wrong_kind(q, "map");
}

int ioas_map(struct ioas_queue *q, void *va, size_t bytes, uint32_t flags, ioas_iova_t *iova)
{
	struct ioas_seg seg = { .va = va, .bytes = bytes };
	int ret;

	if (flags & IOAS_MAP_FIXED)
		seg.iova = *iova;
	ret = map_batch(q, &seg, 1, flags);
	if (!ret)
		*iova = seg.iova;
	return ret;
}

int ioas_map_batch(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count, uint32_t flags)
{
	return map_batch(q, segs, count, flags) ?: (int)count;
}

int ioas_map_sg(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count, uint32_t flags,
		ioas_iova_t *iova)
{
	uint64_t total = 0;
	int ret;

	if (!queue_is_mine(q))
		return queue_not_owner(q);
	if (q->as->kind != IOAS_KIND_USER)
		return queue_wrong_kind(q, "map_sg");
	if (!count)
		return queue_fail(q, -EINVAL, "count is zero");
	if (flags & IOAS_MAP_IDENTITY)
		return queue_fail(q, -EINVAL, "flags 0x%x: IDENTITY of scattered memory", flags);
	ret = check_flags(q, flags) ?: check_segs(q, segs, count, 0);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < count; i++)
		if (__builtin_add_overflow(total, segs[i].bytes, &total))
			return queue_fail(q, -EINVAL, "[%u]: the sum of bytes overflows", i);
	if (flags & IOAS_MAP_FIXED) {
		if (range_is_bad(q, *iova, total))
			return queue_fail(q, -EINVAL,
					  "iova 0x%" PRIx64 ", %" PRIu64
					  " bytes: not whole pages of %u, or overflows",
					  (uint64_t)*iova, total, q->as->page_mask + 1);
		segs[0].iova = *iova;
	}
	TRACE(map, q, segs, count, flags);
	ret = user_map_batch(q, segs, count, flags, true);
	if (!ret)
		*iova = segs[0].iova;
	return ret;
}

static int unmap_batch(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count)
{
	if (!queue_is_mine(q))
		return queue_not_owner(q);
	for (unsigned int i = 0; i < count; i++)
		if (__builtin_expect(range_is_bad(q, segs[i].iova, segs[i].bytes), 0))
			return queue_fail(q, -EINVAL,
					  "[%u]: iova 0x%" PRIx64 ", bytes %" PRIu64
					  ": zero, not whole pages of %u, or overflows",
					  i, (uint64_t)segs[i].iova, segs[i].bytes,
					  q->as->page_mask + 1);
	TRACE(unmap, q, segs, count);
	if (q->as->kind == IOAS_KIND_USER)
		return user_unmap_batch(q, segs, count);
	if (q->as->kind == IOAS_KIND_KERNEL)
		return kernel_unmap_batch(q, segs, count);
	return queue_wrong_kind(q, "unmap");
}

int ioas_unmap(struct ioas_queue *q, ioas_iova_t iova, size_t bytes)
{
	struct ioas_seg seg = { .bytes = bytes, .iova = iova };

	return unmap_batch(q, &seg, 1);
}

int ioas_unmap_batch(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count)
{
	return unmap_batch(q, segs, count) ?: (int)count;
}
