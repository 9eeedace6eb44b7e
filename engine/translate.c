/* SPDX-License-Identifier: BSD-3-Clause */
/* Translation. See translate.h; the maps are vamap.h. */
#include "objects.h"

#include <errno.h>
#include <inttypes.h>

#define HIT_ENTRIES 32 /* of the cache that one struct ioas_hit covers at most */

/* May the queue ask for @bytes at all? */
static inline int check(struct ioas_queue *q, uint64_t bytes)
{
	if (!queue_is_mine(q))
		return queue_not_owner(q);
	return bytes ? 0 : queue_fail(q, -EINVAL, "bytes is zero");
}

/* A run from @va on. Return: VAMAP_NONE if there is none. */
static inline uint64_t find(const struct ioas *as, uint64_t va, uint64_t *bytes)
{
	return __builtin_expect(as->kind == IOAS_KIND_KERNEL, 1)
		       ? vamap_find_run(&as->cache, va, bytes)
		       : va;
}

static inline bool translates(const struct ioas *as)
{
	return as->kind == IOAS_KIND_KERNEL || as->kind == IOAS_KIND_PASSTHROUGH ||
	       as->kind == IOAS_KIND_CPU;
}

int ioas_translate(struct ioas_queue *q, const void *va, size_t *bytes, ioas_iova_t *iova)
{
	uint64_t run = *bytes;
	uint64_t found;
	int ret = check(q, run);

	if (__builtin_expect(ret, 0))
		return ret;
	if (__builtin_expect(!translates(q->as), 0))
		return queue_wrong_kind(q, "translate");
	found = find(q->as, (uintptr_t)va, &run);
	if (__builtin_expect(found == VAMAP_NONE, 0))
		return queue_miss(q, "va", (uintptr_t)va);
	*bytes = run;
	*iova = found;
	return 0;
}

/* The entry around @va and what continues it. */
static void remember(const struct ioas *as, struct ioas_hit *hit, uint64_t va)
{
	unsigned int lg2;
	uint64_t entry = vamap_entry(&as->cache, va, &lg2);
	uint64_t start = va & ~((UINT64_C(1) << lg2) - 1);
	uint64_t bytes = (uint64_t)HIT_ENTRIES << lg2;

	hit->bytes = 0;
	if (!entry)
		return;
	hit->va = start;
	hit->iova_less_va = entry - VAMAP_LEAF - start;
	hit->bytes =
		vamap_extend_run(&as->cache, start, entry - VAMAP_LEAF, UINT64_C(1) << lg2, bytes);
}

int ioas_translate_refill(struct ioas_queue *q, struct ioas_hit *hit, const void *va, size_t *bytes,
			  ioas_iova_t *iova)
{
	struct ioas *as = q->as;

	/* Acquire, and before the look-up: what is removed after it makes the hit a miss. */
	hit->seen = atomic_load_explicit(&as->removals, memory_order_acquire);
	hit->removals = (const uint64_t *)&as->removals;
	if (queue_is_mine(q) && as->kind == IOAS_KIND_KERNEL) {
		remember(as, hit, (uintptr_t)va);
	} else {
		hit->va = 0;
		hit->iova_less_va = 0;
		hit->bytes = queue_is_mine(q) && translates(as) ? UINT64_MAX : 0;
	}
	return ioas_translate(q, va, bytes, iova);
}

int ioas_translate_iova(struct ioas_queue *q, ioas_iova_t iova, size_t *bytes, void **va)
{
	const struct ioas *as = q->as;
	uint64_t run = *bytes, found = iova;
	int ret = check(q, run);

	if (ret)
		return ret;
	if (!translates(as))
		return queue_wrong_kind(q, "translate_iova");
	if (as->kind == IOAS_KIND_KERNEL)
		found = vamap_find_run(&as->reverse, iova, &run);
	if (found == VAMAP_NONE)
		return queue_miss(q, "iova", iova);
	*bytes = run;
	*va = (void *)(uintptr_t)found;
	return 0;
}

/* Vectors. */

/* Where in a vector of buffers a walk over its runs is. */
struct walk {
	const struct ioas *as;
	const struct iovec *iov;
	unsigned int left; /* buffers, the current one included */
	uint64_t done;	   /* of the current buffer */
};

/* The next run inside one buffer. Return: 1; 0 at the end; -ENOENT and its address. */
static inline int next_run(struct walk *walk, struct ioas_run *run, uint64_t *va)
{
	while (walk->left && walk->done == walk->iov->iov_len) {
		walk->iov++;
		walk->left--;
		walk->done = 0;
	}
	if (!walk->left)
		return 0;
	*va = (uintptr_t)walk->iov->iov_base + walk->done;
	run->bytes = walk->iov->iov_len - walk->done;
	run->iova = find(walk->as, *va, &run->bytes);
	if (run->iova == VAMAP_NONE)
		return -ENOENT;
	walk->done += run->bytes;
	return 1;
}

static int begin(struct ioas_queue *q, const char *call, const struct iovec *iov,
		 unsigned int count, struct walk *walk)
{
	*walk = (struct walk){ .as = q->as, .iov = iov, .left = count };
	if (!queue_is_mine(q))
		return queue_not_owner(q);
	return translates(q->as) ? 0 : queue_wrong_kind(q, call);
}

static int too_small(struct ioas_queue *q, unsigned int max)
{
	return queue_fail(q, -E2BIG, "max: the list needs more than %u entries", max);
}

int ioas_translate_iov(struct ioas_queue *q, const struct iovec *iov, unsigned int iov_count,
		       struct ioas_run *runs, unsigned int max)
{
	unsigned int count = 0;
	struct ioas_run run;
	struct walk walk;
	uint64_t va = 0;
	int ret = begin(q, "translate_iov", iov, iov_count, &walk);

	if (ret)
		return ret;
	while ((ret = next_run(&walk, &run, &va)) > 0) {
		if (count && runs[count - 1].iova + runs[count - 1].bytes == run.iova) {
			runs[count - 1].bytes += run.bytes;
			continue;
		}
		if (count == max)
			return too_small(q, max);
		runs[count++] = run;
	}
	return ret ? queue_miss(q, "va", va) : (int)count;
}

/* Two entries of a list, which is aligned to one. */
typedef uint64_t entry_pair __attribute__((vector_size(16), aligned(8), may_alias));

/* Entries of a run that begins at a page: a store for two, where there are four. */
static inline unsigned int fill_pages(uint64_t *list, uint64_t iova, unsigned int pages)
{
	const entry_pair step = { 4 * IOAS_PAGE_SIZE, 4 * IOAS_PAGE_SIZE };
	entry_pair low = { iova, iova + IOAS_PAGE_SIZE };
	entry_pair high = { iova + 2 * IOAS_PAGE_SIZE, iova + 3 * IOAS_PAGE_SIZE };
	unsigned int i;

	for (i = 0; i + 4 <= pages; i += 4) {
		*(entry_pair *)&list[i] = low;
		*(entry_pair *)&list[i + 2] = high;
		low += step;
		high += step;
	}
	for (; i < pages; i++)
		list[i] = iova + i * IOAS_PAGE_SIZE;
	return pages;
}

int ioas_nvme_prp(struct ioas_queue *q, const struct iovec *iov, unsigned int iov_count,
		  uint64_t *prp1, uint64_t *list, unsigned int max)
{
	const uint64_t mask = IOAS_PAGE_SIZE - 1;
	bool first = true, ended = false; /* inside a page: nothing may follow */
	unsigned int count = 0;
	struct ioas_run run;
	struct walk walk;
	uint64_t va = 0;
	int ret = begin(q, "nvme_prp", iov, iov_count, &walk);

	if (ret)
		return ret;
	while ((ret = next_run(&walk, &run, &va)) > 0) {
		const uint64_t end = run.iova + run.bytes;
		uint64_t pages;

		if (__builtin_expect(ended || (run.iova & (first ? 3 : mask)), 0))
			return queue_fail(
				q, -EINVAL,
				"va 0x%" PRIx64
				": PRP entries cannot express a gap inside a page, nor data "
				"that is not aligned to a dword",
				va);
		ended = end & mask;
		if (first) {
			*prp1 = run.iova;
			run.iova = (run.iova | mask) + 1;
			first = false;
		}
		pages = end > run.iova ? (end - run.iova + mask) >> IOAS_PAGE_SHIFT : 0;
		if (__builtin_expect(pages > max - count, 0))
			return too_small(q, max);
		count += fill_pages(list + count, run.iova, (unsigned int)pages);
	}
	if (ret)
		return queue_miss(q, "va", va);
	return first ? queue_fail(q, -EINVAL, "iov: there is no data") : (int)count;
}

int ioas_nvme_sgl(struct ioas_queue *q, const struct iovec *iov, unsigned int iov_count,
		  struct ioas_nvme_sgl_entry *list, unsigned int max)
{
	unsigned int count = 0;
	struct ioas_run run;
	struct walk walk;
	uint64_t va = 0;
	int ret = begin(q, "nvme_sgl", iov, iov_count, &walk);

	if (ret)
		return ret;
	while ((ret = next_run(&walk, &run, &va)) > 0) {
		struct ioas_nvme_sgl_entry *last = count ? &list[count - 1] : NULL;

		if (run.bytes > UINT32_MAX)
			return queue_fail(
				q, -EINVAL,
				"va 0x%" PRIx64 ": 4 GiB and more do not fit one descriptor", va);
		if (last && last->address + last->length == run.iova &&
		    run.bytes <= UINT32_MAX - last->length) {
			last->length += (uint32_t)run.bytes;
			continue;
		}
		if (count == max)
			return too_small(q, max);
		list[count++] = (struct ioas_nvme_sgl_entry){ .address = run.iova,
							      .length = (uint32_t)run.bytes };
	}
	return ret ? queue_miss(q, "va", va) : (int)count;
}

/* The table itself, for tests and diagnosis. */

/* In a space without a table of the library's; a backend that cannot be asked has the identity. */
static int other_lookup(struct ioas *as, uint64_t iova, uint64_t *va, uint32_t *prot)
{
	const struct be_ops *ops = as->ctx->be->ops;

	return ops->lookup ? ops->lookup(as->be_space, iova, va, prot) : 0;
}

int ioas_lookup(struct ioas_queue *q, ioas_iova_t iova, void **va, uint32_t *prot)
{
	struct ioas *as = q->as;
	uint64_t oa = iova, address = iova;
	uint32_t rights = IOAS_RW;
	int ret = 0;

	if (!queue_is_mine(q))
		return queue_not_owner(q);
	switch (as->kind) {
	case IOAS_KIND_USER:
		urcu_bp_read_lock();
		ret = pt_lookup(as->pt, iova, &oa, &rights, NULL);
		urcu_bp_read_unlock();
		if (!ret && !kernel_lookup(as->parent, oa, &address, NULL))
			ret = -ENOENT;
		break;
	case IOAS_KIND_KERNEL:
		ret = kernel_lookup(as, iova, &address, &rights) ? 0 : -ENOENT;
		break;
	case IOAS_KIND_PASSTHROUGH:
	case IOAS_KIND_CPU:
	case IOAS_KIND_VM:
		ret = other_lookup(as, iova, &address, &rights);
		break;
	}
	if (ret == -ENOENT)
		return queue_miss(q, "iova", iova);
	if (ret)
		return queue_fail(q, ret, "iova 0x%" PRIx64 ": cannot be looked up", (uint64_t)iova);
	*va = (void *)(uintptr_t)address;
	if (prot)
		*prot = rights;
	return 0;
}
