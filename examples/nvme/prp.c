/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Physical region pages. Source: NVM Express 1.4, 4.3: only the first entry may have an offset into
 * its page; a list is a page of entries, whose last one, if more follow, points to the next page.
 */
#include "lists.h"

#include <errno.h>

bool nvme_run_add(struct nvme_run *runs, unsigned int *count, unsigned int max, ioas_iova_t iova,
		  uint64_t bytes)
{
	if (*count && runs[*count - 1].iova + runs[*count - 1].bytes == iova) {
		runs[*count - 1].bytes += bytes;
		return true;
	}
	if (*count == max)
		return false;
	runs[(*count)++] = (struct nvme_run){ .iova = iova, .bytes = bytes };
	return true;
}

/* Where in the data the next entry begins. */
struct cursor {
	const struct nvme_run *run;
	uint64_t offset;
};

static uint64_t next_entry(struct cursor *at, uint32_t page_bytes)
{
	uint64_t iova = at->run->iova + at->offset;

	at->offset += page_bytes - (iova & (page_bytes - 1));
	if (at->offset >= at->run->bytes) {
		at->run++;
		at->offset = 0;
	}
	return iova;
}

/* Return: the number of entries, or -EINVAL. */
static int64_t count_entries(const struct nvme_run *runs, unsigned int count, uint32_t page_bytes)
{
	const uint64_t mask = page_bytes - 1;
	int64_t entries = 0;

	if (!count || (runs[0].iova & 3))
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++) {
		const uint64_t begin = runs[i].iova, end = begin + runs[i].bytes;

		if (!runs[i].bytes || (i && (begin & mask)) || (i + 1 < count && (end & mask)))
			return -EINVAL;
		entries += ((end + mask) & ~mask) / page_bytes - begin / page_bytes;
	}
	return entries;
}

int nvme_prp_build(const struct nvme_run *runs, unsigned int count,
		   const struct nvme_list_memory *memory, uint64_t prp[2])
{
	const int64_t entries = count_entries(runs, count, memory->page_bytes);
	struct cursor at = { .run = runs };
	unsigned int piece = 0, slot = 0;
	int64_t left = entries - 1;

	if (entries < 0)
		return (int)entries;
	prp[0] = next_entry(&at, memory->page_bytes);
	prp[1] = 0;
	if (left == 1)
		prp[1] = next_entry(&at, memory->page_bytes);
	if (left <= 1)
		return 0;

	if (!memory->count)
		return -E2BIG;
	prp[1] = memory->pieces[0].iova;
	while (left) {
		uint64_t *list = memory->pieces[piece].va;
		const unsigned int slots = memory->pieces[piece].bytes / sizeof(*list);

		if (slot + 1 == slots && left > 1) {
			if (++piece == memory->count)
				return -E2BIG;
			list[slot] = memory->pieces[piece].iova;
			slot = 0;
			continue;
		}
		list[slot++] = next_entry(&at, memory->page_bytes);
		left--;
	}
	return 0;
}
