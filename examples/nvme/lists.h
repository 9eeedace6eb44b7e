/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a command says where its data is: PRP entries (prp.c) or an SGL (sgl.c), made from runs of
 * IOVAs. Both builders only compute: no device, no mapping, no allocation. Any thread.
 */
#ifndef NVME_LISTS_H
#define NVME_LISTS_H

#include <ioas/types.h>

#include "spec.h"

/* Data, contiguous for the device. */
struct nvme_run {
	ioas_iova_t iova;
	uint64_t bytes;
};

/*
 * Memory for a list, inside one page of the device's. The first piece may begin anywhere in a page
 * (aligned to an entry) and reaches to the end of the page; the others are whole pages.
 */
struct nvme_list_piece {
	void *va;
	ioas_iova_t iova;
	uint32_t bytes;
};

struct nvme_list_memory {
	const struct nvme_list_piece *pieces;
	unsigned int count;
	uint32_t page_bytes; /* of the device: CC.MPS */
};

/* Appends to @runs, or lengthens the last one. Return: false when @max is reached. */
bool nvme_run_add(struct nvme_run *runs, unsigned int *count, unsigned int max, ioas_iova_t iova,
		  uint64_t bytes);

/*
 * The two PRP entries of a command, the second of which may point to a list.
 *
 * Return: 0; -EINVAL: the first run does not begin on a dword, there are no bytes, or data has a
 * gap inside a page, which PRPs cannot express; -E2BIG: @memory is too small.
 */
int nvme_prp_build(const struct nvme_run *runs, unsigned int count,
		   const struct nvme_list_memory *memory, uint64_t prp[2]);

/*
 * The descriptor of a command: the data itself, or the first segment of a list.
 *
 * Return: 0; -EINVAL: no bytes, or a run of 4 GiB and more; -E2BIG: @memory is too small.
 */
int nvme_sgl_build(const struct nvme_run *runs, unsigned int count,
		   const struct nvme_list_memory *memory, struct nvme_sgl_descriptor *first);

#endif
