/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two files of kind CPU share: kioas_cpu.c has the space, kioas_block.c its blocks.
 *
 * Locks: kioas_space.lock, kioas_cpu.lock, mmap_lock, what the kernel holds when it calls a
 * notifier (of the page cache, of reverse maps, reclaim), kioas_block.lock. Under the last one
 * nothing waits for memory.
 */
#ifndef KIOAS_CPU_H
#define KIOAS_CPU_H

#include <linux/bitmap.h>
#include <linux/mmu_notifier.h>

#include "kioas.h"

/* Bytes of a table of the last level: what one leaf of the level above can map. */
#define KIOAS_BLOCK_BYTES PMD_SIZE
#define KIOAS_BLOCK_PAGES (KIOAS_BLOCK_BYTES >> PAGE_SHIFT)

/**
 * struct kioas_cpu - the mirror of a process's memory
 * @mm: of the process; counted, but not its memory map
 * @task: whose limit it is that pins are accounted to; the process's first thread
 * @unlimited: it may pin more than that
 * @whole: all of the process, as far as devices reach it
 * @start: first address
 * @last: last address
 * @prot: most that a device may do
 * @gone: the process has ended, or runs another program
 * @lock: held by who fills; over blocks, and what follows
 * @blocks: by number: address / KIOAS_BLOCK_BYTES
 * @domain: NULL before the first attach, and then there are no blocks
 * @work: cleans up behind the notifier, and brings back
 * @pages: scratch of a fill, by slot: what was pinned
 * @missing: scratch of a fill: slots to be pinned
 * @writable: scratch of a fill: pinned for writing
 */
struct kioas_cpu {
	struct kioas_space *space;
	struct mm_struct *mm;
	struct task_struct *task;
	bool unlimited;
	bool whole;
	u64 start;
	u64 last;
	u32 prot;
	atomic_t gone;
	struct mutex lock;
	struct xarray blocks;
	struct iommu_domain *domain;
	struct work_struct work;
	struct page *pages[KIOAS_BLOCK_PAGES];
	DECLARE_BITMAP(missing, KIOAS_BLOCK_PAGES);
	DECLARE_BITMAP(writable, KIOAS_BLOCK_PAGES);
};

/**
 * struct kioas_block - an aligned piece of the process's addresses; a slot for each page
 * @start: first address
 * @pages: by slot: what is pinned. Changed under @lock and kioas_cpu.lock
 * @wanted: slots that shall be filled; under kioas_cpu.lock
 * @lock: what follows, and the block's part of the table
 * @disturbed: @work has something to do here
 * @large: the table has one leaf for all of it
 * @mapped: slots in the table
 * @stale: slots whose page the process may not have any more; not in the table
 * @writable: slots that were pinned for writing
 */
struct kioas_block {
	struct mmu_interval_notifier notifier;
	struct kioas_cpu *cpu;
	u64 start;
	struct page **pages;
	DECLARE_BITMAP(wanted, KIOAS_BLOCK_PAGES);
	struct mutex lock;
	bool disturbed;
	bool large;
	DECLARE_BITMAP(mapped, KIOAS_BLOCK_PAGES);
	DECLARE_BITMAP(stale, KIOAS_BLOCK_PAGES);
	DECLARE_BITMAP(writable, KIOAS_BLOCK_PAGES);
};

/* What devices may do in a part of the process's memory. 0: nothing. Under mmap_lock. */
u32 kioas_cpu_prot(const struct kioas_cpu *cpu, struct vm_area_struct *vma);

/* Pages that are pinned, or not any more; without locks below kioas_cpu.lock. -EDQUOT: too many */
int kioas_cpu_account(struct kioas_cpu *cpu, unsigned long pages);
void kioas_cpu_unaccount(struct kioas_cpu *cpu, unsigned long pages);

/* Notifiers call it: the process ends. */
void kioas_cpu_gone(struct kioas_cpu *cpu);

/* All under kioas_cpu.lock, and but for the last two with the process's memory map held. */
struct kioas_block *kioas_block_new(struct kioas_cpu *cpu, u64 start);

/*
 * Pins and maps the slots that are wanted, as far as the process has something there: with @fault
 * what it could touch, otherwise what is present. Return: -EAGAIN: the process changes it all the
 * time; other failures: the slots that were not filled are not wanted any more.
 */
int kioas_block_fill(struct kioas_block *block, bool fault);

/* Gives back what the process does not have any more; with @forget it is not wanted again. */
void kioas_block_clean(struct kioas_block *block, bool forget);

/* Takes the slots out, of whatever state. */
void kioas_block_clear(struct kioas_block *block, unsigned int first, unsigned int end);
bool kioas_block_empty(const struct kioas_block *block);
void kioas_block_free(struct kioas_block *block);

#endif
