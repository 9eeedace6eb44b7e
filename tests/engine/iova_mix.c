/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The IOVA allocator under a mix of sizes and lifetimes, for as long as one likes:
 *
 *	iova_mix [OPERATIONS]
 *
 * Packets and pages in rings, blocks of 64 KiB to 1 MiB, huge pages, arenas; fixed ranges; reserved
 * holes. In an aperture that is roomy, and in small ones that are 60 % full. The same sequence goes
 * to a first-fit over a tree of free ranges with nothing above it (the peer), and to nothing at all
 * (the floor, which is the driver's own time). Up to a million operations each range is checked
 * against all others that are out: the default, and the test. At the end all is given back, and
 * what was not reserved has to be there in one piece.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "iova.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define PAGE   IOAS_PAGE_SIZE

#define SLOTS	   32768
#define CHECKED	   1000000 /* operations, at most, that are checked */
#define HOLES	   3
#define DEFAULT_OF "1000000"

struct range {
	uint64_t start;
	uint64_t bytes; /* 0: nothing */
	bool fixed;
};

struct mix {
	const struct allocator *allocator;
	struct ioas_range aperture;
	struct ioas_range holes[HOLES];
	uint64_t most_bytes; /* out at a time */
	bool checked;

	/* What is under test. */
	struct iova *iova;
	struct iova_magazines magazines;
	struct extents free; /* the peer's */

	struct range slots[SLOTS];
	uint64_t seed;
	uint32_t ring; /* the next slot of the rings, which are half of them */
	void *out;     /* tree of ranges, if they are checked */
	uint64_t out_bytes;
	uint64_t takes, fixed, refused, refused_bytes;
};

struct allocator {
	const char *name;
	int (*begin)(struct mix *m);
	int (*take)(struct mix *m, uint64_t bytes, uint64_t *start);
	int (*claim)(struct mix *m, uint64_t start, uint64_t bytes);
	void (*give)(struct mix *m, const struct range *range);
	uint64_t (*largest)(struct mix *m);
	int (*end)(struct mix *m); /* all is given back: is it there? */
};

static void stop(const char *what, uint64_t start, uint64_t bytes)
{
	printf("not ok - %s: 0x%" PRIx64 ", %" PRIu64 " bytes\n", what, start, bytes);
	exit(1);
}

static uint64_t draw(struct mix *m, uint64_t below)
{
	m->seed = m->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (m->seed >> 33) % below;
}

/* The library's. */

static int ours_begin(struct mix *m)
{
	m->iova = aligned_alloc(64, (sizeof(*m->iova) + 63) / 64 * 64);
	memset(&m->magazines, 0, sizeof(m->magazines));
	return m->iova ? iova_init(m->iova, m->aperture, m->holes, HOLES) : -ENOMEM;
}

static int ours_take(struct mix *m, uint64_t bytes, uint64_t *start)
{
	const unsigned int class = iova_class(bytes);

	if (class == IOVA_CLASSES)
		return iova_take_long(m->iova, bytes, start);
	return iova_take(m->iova, &m->magazines, class, 1, start) ? 0 : -ENOSPC;
}

static int ours_claim(struct mix *m, uint64_t start, uint64_t bytes)
{
	return iova_check(m->iova, start, bytes) ?: iova_claim(m->iova, start, bytes);
}

static void ours_give(struct mix *m, const struct range *range)
{
	struct iova_chunk *chunk = range->fixed ? NULL : iova_chunk_of(m->iova, range->start);

	if (chunk)
		iova_give(m->iova, &m->magazines, chunk, 1);
	else
		iova_unclaim(m->iova, range->start, range->bytes);
}

static uint64_t largest_of(const struct extents *free)
{
	return free->root ? free->root->longest + 1 : 0;
}

static uint64_t ours_largest(struct mix *m)
{
	return largest_of(&m->iova->free);
}

/* Each piece between the holes can be claimed whole. */
static int ours_end(struct mix *m)
{
	uint64_t start = m->aperture.start;
	int ret = 0;

	iova_magazines_drain(m->iova, &m->magazines);
	for (unsigned int i = 0; !ret && i <= HOLES; i++) {
		const uint64_t last = i < HOLES ? m->holes[i].start - 1 : m->aperture.last;

		ret = iova_claim(m->iova, start, last - start + 1);
		start = i < HOLES ? m->holes[i].last + 1 : 0;
	}
	iova_destroy(m->iova);
	free(m->iova);
	return ret;
}

/* First fit. */

static int fit_begin(struct mix *m)
{
	int ret;

	m->free = (struct extents)EXTENTS_INIT;
	ret = extents_add(&m->free, m->aperture.start, m->aperture.last);
	for (unsigned int i = 0; !ret && i < HOLES; i++)
		ret = extents_carve(&m->free, m->holes[i].start, m->holes[i].last);
	return ret;
}

static uint64_t natural(uint64_t bytes)
{
	const unsigned int class = iova_class(bytes);

	return class < IOVA_CLASSES ? iova_unit(class) : GIB(1);
}

static int fit_take(struct mix *m, uint64_t bytes, uint64_t *start)
{
	if (!extents_fit(&m->free, bytes, natural(bytes), start))
		return -ENOSPC;
	return extents_carve(&m->free, *start, *start + bytes - 1);
}

static int fit_claim(struct mix *m, uint64_t start, uint64_t bytes)
{
	if (!extents_cover(&m->free, start, start + bytes - 1))
		return -EEXIST;
	return extents_carve(&m->free, start, start + bytes - 1);
}

static void fit_give(struct mix *m, const struct range *range)
{
	extents_add(&m->free, range->start, range->start + range->bytes - 1);
}

static uint64_t fit_largest(struct mix *m)
{
	return largest_of(&m->free);
}

static int fit_end(struct mix *m)
{
	extents_free(&m->free);
	return 0;
}

/* The driver alone. */

static int none_begin(struct mix *m)
{
	m->checked = false;
	return 0;
}

static int none_take(struct mix *m, uint64_t bytes, uint64_t *start)
{
	(void)m;
	*start = bytes;
	return 0;
}

static int none_claim(struct mix *m, uint64_t start, uint64_t bytes)
{
	(void)m;
	(void)start;
	(void)bytes;
	return 0;
}

static void none_give(struct mix *m, const struct range *range)
{
	(void)m;
	(void)range;
}

static uint64_t none_largest(struct mix *m)
{
	(void)m;
	return 0;
}

static int none_end(struct mix *m)
{
	(void)m;
	return 0;
}

static const struct allocator allocators[] = {
	{ "floor", none_begin, none_take, none_claim, none_give, none_largest, none_end },
	{ "first-fit", fit_begin, fit_take, fit_claim, fit_give, fit_largest, fit_end },
	{ "ours", ours_begin, ours_take, ours_claim, ours_give, ours_largest, ours_end },
};

/* The oracle. */

/* Ranges that overlap are equal. */
static int compare(const void *a, const void *b)
{
	const struct range *one = a, *other = b;

	if (one->start + one->bytes <= other->start)
		return -1;
	return one->start >= other->start + other->bytes;
}

static void check_taken(struct mix *m, const struct range *range)
{
	const uint64_t last = range->start + range->bytes - 1;
	const uint64_t align = range->fixed || range->bytes > GIB(1) ? PAGE : natural(range->bytes);

	if (last < range->start || range->start < m->aperture.start || last > m->aperture.last)
		stop("outside the aperture", range->start, range->bytes);
	if (range->start % align)
		stop("not aligned to its size", range->start, range->bytes);
	for (unsigned int i = 0; i < HOLES; i++)
		if (range->start <= m->holes[i].last && m->holes[i].start <= last)
			stop("in a reserved hole", range->start, range->bytes);
	if (*(const struct range **)tsearch(range, &m->out, compare) != range)
		stop("part of it is out already", range->start, range->bytes);
}

/* The mix. */

static uint64_t some_bytes(struct mix *m)
{
	const uint64_t at = draw(m, 1000);

	if (at < 620)
		return PAGE;
	if (at < 720)
		return PAGE << draw(m, 4);
	if (at < 860)
		return KIB(64);
	if (at < 960)
		return KIB(64) * (1 + draw(m, 16));
	if (at < 994)
		return MIB(2);
	if (at < 999)
		return MIB(2) * (1 + draw(m, 32));
	return draw(m, 4) ? MIB(256) : MIB(1024) + MIB(2) * draw(m, 256);
}

static void give(struct mix *m, struct range *range)
{
	if (m->checked)
		tdelete(range, &m->out, compare);
	m->allocator->give(m, range);
	m->out_bytes -= range->bytes;
	range->bytes = 0;
}

static void take(struct mix *m, struct range *range)
{
	const uint64_t bytes = some_bytes(m), span = m->aperture.last - m->aperture.start + 1;
	const uint64_t place = draw(m, span / PAGE) * PAGE;
	const bool fixed = !draw(m, 500);
	int ret;

	if (m->out_bytes + bytes > m->most_bytes)
		return;
	range->start = m->aperture.start + place;
	range->fixed = fixed;
	if (fixed && (place + bytes > span))
		return;
	ret = fixed ? m->allocator->claim(m, range->start, bytes)
		    : m->allocator->take(m, bytes, &range->start);
	if (ret && fixed) /* another's, or a hole: no news */
		return;
	m->takes++;
	m->fixed += fixed;
	m->refused += ret != 0;
	m->refused_bytes += ret ? bytes : 0;
	if (ret)
		return;
	range->bytes = bytes;
	m->out_bytes += bytes;
	if (m->checked)
		check_taken(m, range);
}

/* A ring gives back what it has had longest; what is no ring, anything. */
static void step(struct mix *m)
{
	const bool in_ring = draw(m, 4);
	const uint32_t slot = in_ring ? m->ring++ % (SLOTS / 2) : SLOTS / 2 + draw(m, SLOTS / 2);
	struct range *range = &m->slots[slot];

	if (range->bytes)
		give(m, range);
	else
		take(m, range);
	if (in_ring && !range->bytes)
		take(m, range);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Return: takes that were refused. */
static uint64_t run(const struct allocator *allocator, unsigned int bits, uint64_t most_bytes,
		    uint64_t operations)
{
	static struct mix m;
	const uint64_t top = UINT64_C(1) << bits;
	double begin, ns;
	uint64_t largest, free_bytes;

	memset(&m, 0, sizeof(m));
	m = (struct mix){ .allocator = allocator,
			  .aperture = { PAGE, top - 1 },
			  .holes = { { MIB(16), MIB(17) - 1 },
				     { 0xfee00000, 0xfeefffff },
				     { top - MIB(64), top - MIB(32) - 1 } },
			  .most_bytes = most_bytes,
			  .checked = operations <= CHECKED,
			  .seed = 20240607 };
	if (allocator->begin(&m))
		stop("no memory", 0, 0);
	begin = seconds();
	for (uint64_t done = 0; done < operations; done++)
		step(&m);
	ns = (seconds() - begin) * 1e9 / operations;
	largest = allocator->largest(&m);
	free_bytes = top - m.out_bytes;
	printf("# %-9s %2u bits, %" PRIu64 " steps: %6.1f ns, %" PRIu64 " takes, %" PRIu64
	       " fixed, %" PRIu64 " refused",
	       allocator->name, bits, operations, ns, m.takes, m.fixed, m.refused);
	if (m.refused)
		printf(" (%" PRIu64 " MiB on average)", m.refused_bytes / m.refused >> 20);
	if (largest)
		printf("; %" PRIu64 " MiB out, largest free run %" PRIu64 " MiB of %" PRIu64,
		       m.out_bytes >> 20, largest >> 20, free_bytes >> 20);
	printf("\n");
	for (unsigned int i = 0; i < SLOTS; i++)
		if (m.slots[i].bytes)
			give(&m, &m.slots[i]);
	if (allocator->end(&m))
		stop("not all of it is there in the end", 0, top);
	return m.refused;
}

int main(int argc, char **argv)
{
	static const struct {
		unsigned int bits;
		uint64_t most_bytes;
	} apertures[] = {
		{ 47, GIB(256) },
		{ 39, GIB(300) },
		{ 36, GIB(38) },
		{ 33, GIB(4) },
	};
	const uint64_t operations = strtoull(argc > 1 ? argv[1] : DEFAULT_OF, NULL, 10);
	const unsigned int count = sizeof(apertures) / sizeof(apertures[0]);

	if (!operations) {
		fprintf(stderr, "usage: iova_mix [OPERATIONS]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%u\n", count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t refused = 0;

		for (unsigned int a = 0; a < sizeof(allocators) / sizeof(allocators[0]); a++)
			refused = run(&allocators[a], apertures[i].bits, apertures[i].most_bytes,
				      operations);
		/* The last one was ours. */
		if (!i && refused)
			stop("refused in a roomy aperture", 0, refused);
		printf("ok %u - %u bits\n", i + 1, apertures[i].bits);
	}
	return 0;
}
