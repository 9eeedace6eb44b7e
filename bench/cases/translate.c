/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual address to IOVA on a KERNEL space: 8 GiB in 4096 mappings of 2 MiB, mapped in random
 * order with IOVAs of the library's choice.
 *
 * The 8 GiB are addresses: one 2 MiB page is behind all of them (memfd, mapped 4096 times), as
 * translation never looks at the memory. Without a free huge page it is 512 pages of 4 KiB.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ioas/ioas.h>

#include "cases.h"
#include "lookup.h"

#define PAGE_BYTES (UINT64_C(1) << LOOKUP_PAGE_LG2)

struct translate {
	uint8_t *reserved; /* LOOKUP_BYTES and a page more, for alignment */
	uint8_t *base;
	int fd;
	struct ioas_ctx *ctx;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *owner; /* the queue that mapped */
	unsigned int mapped;
	struct ioas_seg segs[LOOKUP_PAGES];
	uint64_t expected[LOOKUP_PAGES];
};

static int map_file(struct translate *tr, int fd)
{
	int flags = MAP_SHARED | MAP_FIXED;

	for (uint64_t i = 0; i < LOOKUP_PAGES; i++)
		if (mmap(tr->base + i * PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_WRITE, flags, fd,
			 0) == MAP_FAILED)
			return -errno;
	return 0;
}

static int make_memory(struct bench_thread *t, struct translate *tr)
{
	int ret;

	tr->reserved = mmap(NULL, LOOKUP_BYTES + PAGE_BYTES, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (tr->reserved == MAP_FAILED) {
		tr->reserved = NULL;
		return bench_fail(t, "mmap: %s", strerror(errno));
	}
	tr->base = (uint8_t *)(((uintptr_t)tr->reserved + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
	tr->fd = memfd_create("bench", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	ret = tr->fd < 0 || ftruncate(tr->fd, PAGE_BYTES) ? -errno : map_file(tr, tr->fd);
	if (!ret)
		return 0;
	if (tr->fd >= 0)
		close(tr->fd);
	tr->fd = memfd_create("bench", MFD_CLOEXEC);
	ret = tr->fd < 0 || ftruncate(tr->fd, PAGE_BYTES) ? -errno : map_file(tr, tr->fd);
	return ret ? bench_fail(t, "memory: %s", strerror(-ret)) : 0;
}

static int open_space(struct bench_thread *t, struct translate *tr)
{
	struct ioas_ctx_opts ctx_opts = { .size = sizeof(ctx_opts), .backend = "soft" };
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	char text[160];
	int ret;

	ret = ioas_ctx_open(&ctx_opts, &tr->ctx);
	if (ret)
		return bench_fail(t, "ioas_ctx_open: %s", strerror(-ret));
	ret = ioas_mem_register(tr->ctx, tr->base, LOOKUP_BYTES, &tr->mem);
	ret = ret ?: ioas_create(tr->ctx, &opts, &tr->as);
	ret = ret ?: ioas_queue_create(tr->as, &tr->owner);
	if (!ret)
		return 0;
	ioas_ctx_error(tr->ctx, text, sizeof(text));
	return bench_fail(t, "%s: %s", strerror(-ret), text);
}

/* In an order in which neighbours are far apart. */
static int map_all(struct bench_thread *t, struct translate *tr)
{
	for (uint64_t i = 0; i < LOOKUP_PAGES; i++) {
		uint64_t page = i * 1613 % LOOKUP_PAGES;
		struct ioas_seg *seg = &tr->segs[i];
		int ret;

		seg->va = tr->base + page * PAGE_BYTES;
		seg->bytes = PAGE_BYTES;
		ret = ioas_map(tr->owner, seg->va, seg->bytes, IOAS_RW, &seg->iova);
		if (ret)
			return bench_fail(t, "ioas_map: %s: %s", strerror(-ret),
					  ioas_queue_error(tr->owner));
		tr->mapped++;
		tr->expected[page] = seg->iova;
	}
	return 0;
}

static int setup(struct bench_thread *t)
{
	struct translate *tr = calloc(1, sizeof(*tr));

	if (!tr)
		return bench_fail(t, "no memory");
	tr->fd = -1;
	*t->shared = tr;
	if (make_memory(t, tr) || open_space(t, tr))
		return -1;
	return map_all(t, tr);
}

static void teardown(struct bench_thread *t)
{
	struct translate *tr = *t->shared;

	if (!tr)
		return;
	if (tr->owner)
		ioas_queue_adopt(tr->owner);
	for (unsigned int i = 0; i < tr->mapped; i++)
		ioas_unmap(tr->owner, tr->segs[i].iova, tr->segs[i].bytes);
	if (tr->owner)
		ioas_queue_destroy(tr->owner);
	if (tr->as)
		ioas_destroy(tr->as);
	if (tr->mem)
		ioas_mem_free(tr->mem);
	if (tr->ctx)
		ioas_ctx_close(tr->ctx);
	if (tr->reserved)
		munmap(tr->reserved, LOOKUP_BYTES + PAGE_BYTES);
	if (tr->fd >= 0)
		close(tr->fd);
	free(tr);
}

static int thread_setup(struct bench_thread *t)
{
	struct translate *tr = *t->shared;
	struct ioas_queue *queue;
	int ret = ioas_queue_create(tr->as, &queue);

	if (ret)
		return bench_fail(t, "ioas_queue_create: %s", strerror(-ret));
	t->local = queue;
	return 0;
}

static void thread_teardown(struct bench_thread *t)
{
	if (t->local)
		ioas_queue_destroy(t->local);
}

static int lookup(void *queue, uint64_t va, uint64_t *iova)
{
	size_t bytes = 64;

	return ioas_translate(queue, (const void *)(uintptr_t)va, &bytes, iova);
}

static int run(struct bench_thread *t, uint64_t iterations)
{
	struct translate *tr = *t->shared;

	return lookup_loop(t, iterations, (uintptr_t)tr->base, lookup, t->local);
}

static int check(struct bench_thread *t)
{
	struct translate *tr = *t->shared;

	return lookup_verify(t, (uintptr_t)tr->base, tr->expected, lookup, t->local);
}

/* The floor: a call that answers without looking. */
static __attribute__((noinline)) int no_lookup(void *arg, uint64_t va, uint64_t *iova)
{
	(void)arg;
	bench_hide(va);
	*iova = va;
	return 0;
}

static int run_floor(struct bench_thread *t, uint64_t iterations)
{
	return lookup_loop(t, iterations, UINT64_C(1) << 40, no_lookup, NULL);
}

#define TRANSLATE(pattern_name, pattern)                                                    \
	{                                                                                   \
		.name = "translate/" pattern_name,                                          \
		.unit = "lookup",                                                           \
		.units = 1,                                                                 \
		.threads = 2,                                                               \
		.flags = BENCH_KEEP,                                                        \
		.floor = "floor/translate_call/" pattern_name,                              \
		.peer = "peer/urcu_lfht/" pattern_name,                                     \
		.args = { pattern },                                                        \
		.setup = setup,                                                             \
		.thread_setup = thread_setup,                                               \
		.run = run,                                                                 \
		.thread_check = check,                                                      \
		.thread_teardown = thread_teardown,                                         \
		.teardown = teardown,                                                       \
	},                                                                                  \
	{                                                                                   \
		.name = "floor/translate_call/" pattern_name, .unit = "lookup", .units = 1, \
		.role = BENCH_FLOOR, .args = { pattern }, .run = run_floor,                 \
	}

static const struct bench_case cases[] = {
	TRANSLATE("random", LOOKUP_RANDOM),
	TRANSLATE("dependent", LOOKUP_DEPENDENT),
	TRANSLATE("hot", LOOKUP_HOT),
};

const struct bench_table bench_translate_cases = BENCH_TABLE(cases);
