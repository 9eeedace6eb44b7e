/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs of this folder share: a context on the backend iommufd, or ioasid, with the edu
 * device, and USER spaces in it. A program ends at the first thing that is not as promised; where
 * the machine has no USER spaces it is skipped.
 *
 * Hardware that nests walks the table itself: a map is no system call, and a refused DMA is
 * reported. Where the kernel shadows the table (ioasid) a map is one, and who reports is the
 * IOMMU's driver: those of x86 write to the kernel's log only, so nothing is read from faults
 * there.
 */
#ifndef LAB_USER_LAB_H
#define LAB_USER_LAB_H

#include "../prog/lab_prog.h"

#include <ioas/ioas.h>
#include <ioas/pci.h>

#define PAGE  IOAS_PAGE_SIZE
#define PAGES 1024 /* of the memory */

struct user_lab {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev; /* edu */
	struct ioas_mem *mem;
	bool shadowed;
	unsigned int map_calls; /* system calls of a map */
	struct ioas_caps caps;
	void *registers;
	uint64_t registers_bytes;
	struct edu edu;
};

struct user_space {
	struct ioas *as;
	struct ioas_queue *queue;
};

/* The backend is that of the command line, iommufd if there is none. */
void user_lab_open(struct user_lab *lab, int argc, char **argv);
void user_lab_close(struct user_lab *lab);

/* How many objects the kernel would not destroy: something was left on them. */
int user_lab_destroy_errors(void);

/* edu is attached: its registers are mapped and it masters the bus. */
void user_lab_registers_open(struct user_lab *lab);
void user_lab_registers_close(struct user_lab *lab);

void user_lab_stats(struct user_lab *lab, struct ioas_stats *stats);
void *user_page(struct user_lab *lab, int page);

void user_space_open(struct user_lab *lab, struct user_space *space, enum ioas_mode mode,
		     struct ioas *parent);
void user_space_close(struct user_space *space);

/* One page. */
ioas_iova_t user_map(struct user_space *space, void *va, uint32_t prot);
void user_unmap(struct user_space *space, ioas_iova_t iova);

/* What edu writes to (reads from) an IOVA is what a page of the memory holds. */
bool user_reaches(struct user_lab *lab, ioas_iova_t iova, int page);
bool user_is_read(struct user_lab *lab, ioas_iova_t iova, int page); /* not if shadowed */

/* Every fault since the last look was of edu, at this IOVA, and there was at least one (unless
 * shadowed). */
void user_check_fault(struct user_lab *lab, ioas_iova_t iova, enum ioas_fault_reason reason,
		      uint32_t prot);
/* Reads faults until none come any more. Return: how many. */
int user_drop_faults(struct user_lab *lab);
void user_check_no_fault(struct user_lab *lab);

#endif
