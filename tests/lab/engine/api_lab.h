/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs of this folder share: a context with the edu device on a KERNEL space, and
 * memory. A program ends at the first thing that is not as promised.
 */
#ifndef LAB_API_LAB_H
#define LAB_API_LAB_H

#include <ioas/ioas.h>

#include "../prog/lab_prog.h"

#define PAGE IOAS_PAGE_SIZE
#define MIB  (UINT64_C(1) << 20)

struct api_lab {
	const char *options; /* of the backend; NULL: none */
	const char *device;  /* how the backend is told of edu; NULL: its address */
	struct ioas_ctx *ctx;
	struct ioas_dev *dev; /* edu */
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *queue;
	void *registers;
	uint64_t registers_bytes;
	struct edu edu;
};

/* Backend: "auto", "type1", "iommufd"; skips where the kernel does not have it. */
void api_lab_context(struct api_lab *lab, const char *backend);

/* The rest; @page_bytes: of the memory, 0 for the best. */
void api_lab_set_up(struct api_lab *lab, uint64_t bytes, uint64_t page_bytes);

/* Maps the registers, of edu that is attached, and lets it master the bus. */
void api_lab_registers_open(struct api_lab *lab);

/* All of it goes; nothing is mapped any more. */
void api_lab_tear_down(struct api_lab *lab);

uint8_t *api_lab_page(struct api_lab *lab, unsigned int page);

/* What edu writes to @iova is what a page of the memory holds. */
bool api_lab_reaches(struct api_lab *lab, ioas_iova_t iova, unsigned int page);

/* The text of the context's last failure holds @words; it is shown. */
void api_lab_check_text(struct api_lab *lab, const char *words);

#endif
