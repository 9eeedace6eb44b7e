/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scatter gather lists. Source: NVM Express 1.4, 4.4: a list is a chain of segments; the last
 * descriptor of each but the last one describes the next, and says whether that is the last.
 */
#include "lists.h"

#include <errno.h>

static struct nvme_sgl_descriptor describe(uint8_t identifier, uint64_t address, uint32_t bytes)
{
	return (struct nvme_sgl_descriptor){ .address = address,
					     .length = bytes,
					     .identifier = identifier };
}

static unsigned int slots_of(const struct nvme_list_piece *piece)
{
	return piece->bytes / sizeof(struct nvme_sgl_descriptor);
}

/* The descriptor of the segment in @piece, with @left data blocks from there on. */
static struct nvme_sgl_descriptor describe_segment(const struct nvme_list_piece *piece,
						   unsigned int left)
{
	const bool last = left <= slots_of(piece);
	const unsigned int slots = last ? left : slots_of(piece);

	return describe(last ? NVME_SGL_LAST_SEGMENT : NVME_SGL_SEGMENT, piece->iova,
			slots * (uint32_t)sizeof(struct nvme_sgl_descriptor));
}

int nvme_sgl_build(const struct nvme_run *runs, unsigned int count,
		   const struct nvme_list_memory *memory, struct nvme_sgl_descriptor *first)
{
	unsigned int piece = 0, slot = 0;

	if (!count)
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++)
		if (!runs[i].bytes || runs[i].bytes > UINT32_MAX)
			return -EINVAL;
	if (count == 1) {
		*first = describe(NVME_SGL_DATA_BLOCK, runs[0].iova, (uint32_t)runs[0].bytes);
		return 0;
	}

	if (!memory->count)
		return -E2BIG;
	*first = describe_segment(&memory->pieces[0], count);
	for (unsigned int i = 0; i < count;) {
		struct nvme_sgl_descriptor *list = memory->pieces[piece].va;

		if (slot + 1 == slots_of(&memory->pieces[piece]) && i + 1 < count) {
			if (++piece == memory->count)
				return -E2BIG;
			list[slot] = describe_segment(&memory->pieces[piece], count - i);
			slot = 0;
			continue;
		}
		list[slot++] = describe(NVME_SGL_DATA_BLOCK, runs[i].iova, (uint32_t)runs[i].bytes);
		i++;
	}
	return 0;
}
