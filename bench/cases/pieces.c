/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES  (UINT64_C(1) << LOOKUP_PAGE_LG2)
#define RESERVED(p) ((p)->bytes + PIECES_SPARE + PAGE_BYTES) /* a page for alignment */

static int map_file(struct pieces *p, int fd)
{
	int flags = MAP_SHARED | MAP_FIXED;

	for (uint64_t at = 0; at < p->bytes + PIECES_SPARE; at += PAGE_BYTES)
		if (mmap(p->base + at, PAGE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0) ==
		    MAP_FAILED)
			return -errno;
	return 0;
}

static int make_memory(struct bench_thread *t, struct pieces *p)
{
	int ret;

	p->reserved = mmap(NULL, RESERVED(p), PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->reserved == MAP_FAILED) {
		p->reserved = NULL;
		return bench_fail(t, "mmap: %s", strerror(errno));
	}
	p->base = (uint8_t *)(((uintptr_t)p->reserved + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
	p->fd = memfd_create("bench", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	ret = p->fd < 0 || ftruncate(p->fd, PAGE_BYTES) ? -errno : map_file(p, p->fd);
	if (!ret)
		return 0;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = memfd_create("bench", MFD_CLOEXEC);
	ret = p->fd < 0 || ftruncate(p->fd, PAGE_BYTES) ? -errno : map_file(p, p->fd);
	return ret ? bench_fail(t, "memory: %s", strerror(-ret)) : 0;
}

static int open_space(struct bench_thread *t, struct pieces *p,
		      const struct rcu_flavor_struct *readers)
{
	struct ioas_ctx_opts ctx_opts = { .size = sizeof(ctx_opts), .backend = "soft" };
	struct ioas_opts opts = { .size = sizeof(opts),
				  .kind = IOAS_KIND_KERNEL,
				  .readers = readers };
	char text[160];
	int ret;

	ret = ioas_ctx_open(&ctx_opts, &p->ctx);
	if (ret)
		return bench_fail(t, "ioas_ctx_open: %s", strerror(-ret));
	ret = ioas_mem_register(p->ctx, p->base, p->bytes + PIECES_SPARE, &p->mem);
	ret = ret ?: ioas_create(p->ctx, &opts, &p->as);
	ret = ret ?: ioas_queue_create(p->as, &p->owner);
	if (!ret)
		return 0;
	ioas_ctx_error(p->ctx, text, sizeof(text));
	return bench_fail(t, "%s: %s", strerror(-ret), text);
}

/* 1613 is a prime, and divides neither count. */
static int map_all(struct bench_thread *t, struct pieces *p)
{
	for (uint64_t i = 0; i < p->count; i++) {
		uint64_t piece = i * 1613 % p->count;
		int ret = ioas_map(p->owner, p->base + piece * p->stride, p->piece_bytes, IOAS_RW,
				   &p->expected[piece]);

		if (ret)
			return bench_fail(t, "ioas_map: %s: %s", strerror(-ret),
					  ioas_queue_error(p->owner));
		p->mapped++;
	}
	return 0;
}

/* Spaces of one sort serve all rows: a process cannot have so many mappings that each has its own.
 */
#define SORTS 8

static struct pieces *kept[SORTS];

static struct pieces *find_kept(enum lookup_layout layout, const struct rcu_flavor_struct *readers,
				unsigned int sort)
{
	for (unsigned int i = 0; i < SORTS; i++)
		if (kept[i] && kept[i]->layout == layout && kept[i]->readers == readers &&
		    kept[i]->sort == sort)
			return kept[i];
	return NULL;
}

static void keep(struct pieces *p, struct pieces *in_place_of)
{
	for (unsigned int i = 0; i < SORTS; i++) {
		if (kept[i] == in_place_of) {
			kept[i] = p;
			return;
		}
	}
}

int pieces_setup(struct bench_thread *t, const struct rcu_flavor_struct *readers, unsigned int sort)
{
	const bool span = t->spec->args[1] == LOOKUP_SPAN;
	const enum lookup_layout layout = span ? LOOKUP_SPAN : LOOKUP_APART;
	struct pieces *p = find_kept(layout, readers, sort);

	if (p) {
		p->users++;
		*t->shared = p;
		return 0;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return bench_fail(t, "no memory");
	*t->shared = p;
	p->users = 1;
	p->layout = layout;
	p->readers = readers;
	p->sort = sort;
	p->fd = -1;
	p->count = span ? LOOKUP_PAGES : LOOKUP_REGIONS;
	p->piece_bytes = span ? PAGE_BYTES : LOOKUP_REGION_BYTES;
	p->stride = span ? PAGE_BYTES : LOOKUP_STRIDE;
	p->bytes = p->count * p->stride;
	p->expected = calloc(p->count, sizeof(p->expected[0]));
	if (!p->expected)
		return bench_fail(t, "no memory");
	if (make_memory(t, p) || open_space(t, p, readers))
		return -1;
	if (map_all(t, p))
		return -1;
	keep(p, NULL);
	return 0;
}

int pieces_setup_plain(struct bench_thread *t)
{
	return pieces_setup(t, NULL, 0);
}

void pieces_teardown(struct bench_thread *t)
{
	struct pieces *p = *t->shared;

	if (!p || --p->users)
		return;
	keep(NULL, p);
	if (p->cache)
		ioas_regcache_destroy(p->cache);
	if (p->owner)
		ioas_queue_adopt(p->owner);
	for (uint64_t i = 0; i < p->mapped; i++)
		ioas_unmap(p->owner, p->expected[i * 1613 % p->count], p->piece_bytes);
	if (p->owner)
		ioas_queue_destroy(p->owner);
	if (p->as)
		ioas_destroy(p->as);
	if (p->mem)
		ioas_mem_free(p->mem);
	if (p->ctx)
		ioas_ctx_close(p->ctx);
	if (p->reserved)
		munmap(p->reserved, RESERVED(p));
	if (p->fd >= 0)
		close(p->fd);
	free(p->expected);
	free(p);
}

int pieces_thread_setup(struct bench_thread *t)
{
	struct pieces *p = *t->shared;
	struct ioas_queue *queue;
	int ret = ioas_queue_create(p->as, &queue);

	if (ret)
		return bench_fail(t, "ioas_queue_create: %s", strerror(-ret));
	t->local = queue;
	return 0;
}

void pieces_thread_teardown(struct bench_thread *t)
{
	if (t->local)
		ioas_queue_destroy(t->local);
}

int pieces_lookup(void *queue, uint64_t va, uint64_t *iova)
{
	size_t bytes = 64;

	return ioas_translate(queue, (const void *)(uintptr_t)va, &bytes, iova);
}

int pieces_check(struct bench_thread *t)
{
	struct pieces *p = *t->shared;

	return lookup_verify(t, (uintptr_t)p->base, p->expected, pieces_lookup, t->local);
}
