// SPDX-License-Identifier: BSD-3-Clause
/* See board.h. */
#include "board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define GIB(n) ((uint64_t)(n) << 30)

const struct board_map board_x86 = { .ram = GIB(4), .low = GIB(2), .edu = 0xe0000000 };
const struct board_map board_arm = { .ram = GIB(1), .ecam = 0x3f000000, .edu = 0x10000000 };
const struct board_map board_riscv = { .ram = GIB(2), .ecam = 0x30000000, .edu = 0x40000000 };

/* Distance of pages that are handed out: all address bits get their turn. */
#define PAGE_STRIDE ((8 << 20) + (64 << 10))

static void die(const char *what)
{
	perror(what);
	exit(1);
}

bool board_has(const struct board *board, uint64_t addr)
{
	return addr - board->map->ram < board->ram_bytes;
}

void *board_at(const struct board *board, uint64_t addr)
{
	if (board->window && addr - board->window_addr < BOARD_WINDOW_BYTES)
		return board->window + (addr - board->window_addr);
	if (!board_has(board, addr)) {
		printf("# no memory at 0x%llx\n", (unsigned long long)addr);
		exit(1);
	}
	return (void *)(uintptr_t)addr;
}

uint64_t board_data(const struct board *board)
{
	return board->map->ram + GIB(4);
}

uint64_t board_data_bytes(const struct board *board)
{
	return board->ram_bytes / 2 - GIB(16);
}

void *board_page(struct board *board, unsigned int lg2, uint64_t *addr)
{
	struct board_page *page = board->free[lg2];
	uint64_t offset = page ? (uint64_t)((uint8_t *)page - board->ram)
			       : board->ram_bytes / 2 + board->pages * PAGE_STRIDE;

	if (page)
		board->free[lg2] = page->next;
	else if (++board->pages * PAGE_STRIDE > board->ram_bytes / 2)
		return NULL;
	*addr = board->map->ram + offset;
	return memset(board->ram + offset, 0, (size_t)1 << lg2);
}

static void *mem_alloc(struct pt_mem *mem, uint64_t *addr)
{
	struct board *board = (struct board *)((char *)mem - offsetof(struct board, mem));

	return board_page(board, mem->page_lg2 ? mem->page_lg2 : IOAS_PAGE_SHIFT, addr);
}

static void mem_free(struct pt_mem *mem, void *page, uint64_t addr)
{
	struct board *board = (struct board *)((char *)mem - offsetof(struct board, mem));
	unsigned int lg2 = mem->page_lg2 ? mem->page_lg2 : IOAS_PAGE_SHIFT;
	struct board_page *freed = page;

	(void)addr;
	freed->next = board->free[lg2];
	board->free[lg2] = freed;
}

uint64_t board_touched(const struct board *board)
{
	struct stat stat;

	if (fstat(board->ram_fd, &stat))
		die("fstat");
	return (uint64_t)stat.st_blocks * 512;
}

void board_config_write(struct board *board, unsigned int devfn, unsigned int reg, uint32_t value)
{
	if (board->map->ecam) {
		qemu_write32(&board->qemu, board->map->ecam + (devfn << 12) + reg, value);
		return;
	}
	qemu_out32(&board->qemu, 0xcf8, 1U << 31 | devfn << 8 | reg);
	qemu_out32(&board->qemu, 0xcfc, value);
}

#define PCI_COMMAND	       0x04
#define PCI_COMMAND_MEMORY_DMA 0x06
#define PCI_BAR0	       0x10
#define PCI_BAR2	       0x18

#define IVSHMEM_DEVFN 0x28

void board_move_window(struct board *board, uint64_t addr)
{
	board_config_write(board, IVSHMEM_DEVFN, PCI_BAR2, addr);
	board_config_write(board, IVSHMEM_DEVFN, PCI_BAR2 + 4, addr >> 32);
	board_config_write(board, IVSHMEM_DEVFN, PCI_COMMAND, PCI_COMMAND_MEMORY_DMA);
	board->window_addr = addr;
}

#define EDU_ID	     0x00
#define EDU_SOURCE   0x80
#define EDU_TARGET   0x88
#define EDU_COUNT    0x90
#define EDU_COMMAND  0x98
#define EDU_RUN	     (1U << 0)
#define EDU_TO_BUS   (1U << 1)
#define EDU_BUFFER   0x40000
#define EDU_ID_VALUE 0x010000ed

static void *share(void *where, uint64_t bytes, int flags, int fd, uint64_t offset)
{
	void *memory = mmap(where, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE | flags, fd, offset);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

void board_open(struct board *board, const struct board_map *map, int qemu_fd, int ram_fd,
		int window_fd)
{
	struct stat stat;
	uint32_t id;

	memset(board, 0, sizeof(*board));
	board->map = map;
	board->ram_fd = ram_fd;
	if (fstat(ram_fd, &stat))
		die("fstat");
	board->ram_bytes = stat.st_size - map->low;
	board->ram = share((void *)(uintptr_t)map->ram, board->ram_bytes, MAP_FIXED_NOREPLACE,
			   ram_fd, map->low);
	if (window_fd >= 0)
		board->window = share(NULL, BOARD_WINDOW_BYTES, 0, window_fd, 0);
	board->mem = (struct pt_mem){ mem_alloc, mem_free, 0 };
	qemu_open(&board->qemu, qemu_fd);
	board_config_write(board, EDU_DEVFN, PCI_BAR0, map->edu);
	board_config_write(board, EDU_DEVFN, PCI_COMMAND, PCI_COMMAND_MEMORY_DMA);
	id = qemu_read32(&board->qemu, map->edu + EDU_ID);
	if (id != EDU_ID_VALUE) {
		printf("# no edu: 0x%x\n", id);
		exit(1);
	}
}

static void transfer(struct board *board, uint64_t source, uint64_t target, uint32_t command)
{
	const uint64_t edu = board->map->edu;
	const time_t until = time(NULL) + QEMU_PATIENCE_S;

	qemu_write64(&board->qemu, edu + EDU_SOURCE, source);
	qemu_write64(&board->qemu, edu + EDU_TARGET, target);
	qemu_write64(&board->qemu, edu + EDU_COUNT, 8);
	qemu_write64(&board->qemu, edu + EDU_COMMAND, command | EDU_RUN);
	while (qemu_read64(&board->qemu, edu + EDU_COMMAND) & EDU_RUN)
		if (time(NULL) > until)
			qemu_stands("edu has not begun a transfer");
}

void edu_read(struct board *board, uint64_t addr)
{
	transfer(board, addr, EDU_BUFFER, 0);
}

void edu_write(struct board *board, uint64_t addr)
{
	transfer(board, EDU_BUFFER, addr, EDU_TO_BUS);
}
