/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the machines have in common: memory, which is a file that QEMU and this process share, and
 * an edu device as the source of DMA (QEMU's docs/specs/edu.rst).
 *
 * Memory is mapped where the machine has it, so that its addresses are pointers here as well. It
 * is sparse: a page that has never been touched by anybody takes no space, so what the file
 * takes tells whether a transfer has gone astray (board_touched()). Its lower half is for data,
 * the upper half for tables and for what the IOMMU reads and writes.
 */
#ifndef TESTS_LAB_WALK_BOARD_H
#define TESTS_LAB_WALK_BOARD_H

#include "../../../engine/pgtable/pt.h"
#include "qemu.h"

/**
 * struct board_map - where things are in the physical address space
 * @ram: of memory; all of it lies together, but for the first @low bytes, which are at 0 and not
 *	used
 * @ecam: of PCI's configuration space; 0: x86's ports
 * @edu: where edu's registers are put
 */
struct board_map {
	uint64_t ram, low;
	uint64_t ecam;
	uint64_t edu;
};

extern const struct board_map board_x86, board_arm, board_riscv;

/* A page that was handed back. */
struct board_page {
	struct board_page *next;
};

struct board {
	struct qemu qemu;
	const struct board_map *map;
	int ram_fd;
	uint8_t *ram;
	uint64_t ram_bytes;
	uint8_t *window; /* memory of a device, or NULL */
	uint64_t window_addr;
	struct pt_mem mem; /* pages for a pt, in a size that may change from one pt to the next */
	uint64_t pages;	   /* handed out */
	struct board_page *free[17];
};

#define EDU_DEVFN 0x20 /* device 4, function 0, on the root bus */

/* @window_fd: memory of the device ivshmem; -1: there is none. */
void board_open(struct board *board, const struct board_map *map, int qemu_fd, int ram_fd,
		int window_fd);

/* Put the device's memory, 1 GiB, where no other memory could be. */
#define BOARD_WINDOW_BYTES ((uint64_t)1 << 30)
void board_move_window(struct board *board, uint64_t addr);

/* Memory at a physical address, the window's as well; an address that has none ends the test. */
void *board_at(const struct board *board, uint64_t addr);
/* Is it one of memory proper? */
bool board_has(const struct board *board, uint64_t addr);

/* Where data may be. */
uint64_t board_data(const struct board *board);
uint64_t board_data_bytes(const struct board *board);

/* A zeroed page of 2^@lg2 bytes for a table or a queue, which stays. */
void *board_page(struct board *board, unsigned int lg2, uint64_t *addr);

/* Bytes of memory that anybody has ever touched. */
uint64_t board_touched(const struct board *board);

/* PCI configuration space of a device on the root bus. */
void board_config_write(struct board *board, unsigned int devfn, unsigned int reg, uint32_t value);

/*
 * edu transfers the 8 bytes of its buffer, to or from bus address @addr, and has done so on
 * return. Of whether that worked the device knows nothing.
 */
void edu_read(struct board *board, uint64_t addr);
void edu_write(struct board *board, uint64_t addr);

#endif
