/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of PRPs and SGLs share: data in scattered pages, memory for lists in pages far
 * from each other, and a comparison byte by byte of what a list says with what it should say.
 */
#ifndef TESTS_NVME_LISTS_RIG_H
#define TESTS_NVME_LISTS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "lists.h"

#define PIECES_MAX 64
#define RUNS_MAX   1024
#define BYTES_MAX  (1 << 20)

struct rig {
	uint32_t page_bytes;
	struct nvme_list_piece pieces[PIECES_MAX];
	struct nvme_list_memory memory;
	struct nvme_run runs[RUNS_MAX];
	unsigned int run_count;
	uint64_t bytes;
};

/* Bus addresses of list pages: no two of them are neighbours, and data is elsewhere. */
static inline uint64_t piece_iova(const struct rig *r, unsigned int index)
{
	return UINT64_C(0x7000000000) + (uint64_t)(index * 7 % PIECES_MAX) * 3 * r->page_bytes;
}

/* Lists begin @skip_bytes into their first page. */
static inline void rig_start(struct rig *r, uint32_t page_bytes, unsigned int pieces,
			     uint32_t skip_bytes)
{
	r->page_bytes = page_bytes;
	for (unsigned int i = 0; i < pieces; i++) {
		const uint32_t skip = i ? 0 : skip_bytes;
		char *page = aligned_alloc(page_bytes, page_bytes);

		assert_non_null(page);
		memset(page, 0xee, page_bytes);
		r->pieces[i] = (struct nvme_list_piece){ .va = page + skip,
							 .iova = piece_iova(r, i) + skip,
							 .bytes = page_bytes - skip };
	}
	r->memory = (struct nvme_list_memory){ r->pieces, pieces, page_bytes };
}

static inline void rig_stop(struct rig *r)
{
	for (unsigned int i = 0; i < r->memory.count; i++)
		free((void *)((uintptr_t)r->pieces[i].va & ~(uintptr_t)(r->page_bytes - 1)));
}

/* Where the device finds @bytes of a list; fails the test when that is no list memory. */
static inline const void *rig_list(const struct rig *r, uint64_t iova, uint32_t bytes)
{
	for (unsigned int i = 0; i < r->memory.count; i++) {
		const struct nvme_list_piece *piece = &r->pieces[i];

		if (iova >= piece->iova && iova + bytes <= piece->iova + piece->bytes)
			return (const char *)piece->va + (iova - piece->iova);
	}
	fail_msg("the device is sent to 0x%llx, %u bytes, where no list is",
		 (unsigned long long)iova, bytes);
	return NULL;
}

/* Data of @bytes that begins @offset into a page. Runs are of @run_pages pages each. */
static inline void rig_data(struct rig *r, uint64_t bytes, uint32_t offset, unsigned int run_pages)
{
	uint64_t iova = UINT64_C(0x10000000) + offset;

	r->run_count = 0;
	r->bytes = bytes;
	while (bytes) {
		uint64_t run = (uint64_t)run_pages * r->page_bytes - (iova & (r->page_bytes - 1));

		if (run > bytes)
			run = bytes;
		assert_true(r->run_count < RUNS_MAX);
		r->runs[r->run_count++] = (struct nvme_run){ iova, run };
		bytes -= run;
		/* Back and forth, with a gap. */
		iova = (iova & ~(uint64_t)(r->page_bytes - 1)) +
		       (r->run_count % 2 ? 9 : -4) * (int64_t)run_pages * r->page_bytes;
	}
}

/* Bytes that a list has named so far, one by one. */
struct walk {
	const struct rig *rig;
	unsigned int run;
	uint64_t offset; /* in the run */
	uint64_t bytes;
};

static inline void walk_bytes(struct walk *walk, uint64_t iova, uint64_t bytes)
{
	const struct rig *r = walk->rig;

	for (uint64_t i = 0; i < bytes; i++) {
		if (walk->run == r->run_count)
			fail_msg("more data than there is: %llu bytes",
				 (unsigned long long)walk->bytes);
		if (iova + i != r->runs[walk->run].iova + walk->offset)
			fail_msg("byte %llu is said to be at 0x%llx, it is at 0x%llx",
				 (unsigned long long)walk->bytes, (unsigned long long)(iova + i),
				 (unsigned long long)(r->runs[walk->run].iova + walk->offset));
		walk->bytes++;
		if (++walk->offset == r->runs[walk->run].bytes) {
			walk->run++;
			walk->offset = 0;
		}
	}
}

static inline void walk_end(const struct walk *walk)
{
	assert_int_equal(walk->bytes, walk->rig->bytes);
}

#endif
