/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs of this folder share: a context on the backend iommufd with one device of the
 * mock IOMMU on a KERNEL space, and memory. A program ends at the first thing that is not as
 * promised.
 */
#ifndef LAB_RECORD_LAB_H
#define LAB_RECORD_LAB_H

#include <ioas/ioas.h>

#include "../prog/lab_prog.h"
#include "mock_device.h"

#define PAGE  IOAS_PAGE_SIZE
#define PAGES 512 /* of the memory */

struct record_lab {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev; /* edu's name, the mock's IOMMU */
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *queue;
	struct mock_device *mock;
};

void record_open(struct record_lab *lab);
void record_close(struct record_lab *lab); /* all is unmapped */

/* Pages of the memory, at an IOVA of the mock's. */
void record_map(struct record_lab *lab, uint64_t iova, unsigned int page, unsigned int count);
void record_unmap(struct record_lab *lab, uint64_t iova, unsigned int count);
void *record_page(struct record_lab *lab, unsigned int page);

/* The text of the last failure of the context holds @words. */
void record_check_text(struct record_lab *lab, const char *words);

#endif
