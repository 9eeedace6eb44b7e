/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of a process, pinned and in a table, that follows what the process does with it: what
 * kinds CPU and VM are made of. kioas_mirror.c has the mirror and its windows, kioas_block.c their
 * blocks.
 *
 * Locks: kioas_space.lock, kioas_mirror.lock, mmap_lock, what the kernel holds when it calls a
 * notifier (of the page cache, of reverse maps, reclaim), kioas_block.lock. Under the last one
 * nothing waits for memory.
 */
#ifndef KIOAS_MIRROR_H
#define KIOAS_MIRROR_H

#include <linux/bitmap.h>
#include <linux/mmu_notifier.h>

#include "kioas.h"

/* Bytes of a table of the last level: what one leaf of the level above can map. */
#define KIOAS_BLOCK_BYTES PMD_SIZE
#define KIOAS_BLOCK_PAGES (KIOAS_BLOCK_BYTES >> PAGE_SHIFT)

/**
 * struct kioas_mirror - what a space shows of a process's memory
 * @mm: of the process; counted, but not its memory map
 * @task: whose limit it is that pins are accounted to; the process's first thread
 * @unlimited: it may pin more than that
 * @gone: the process has ended, or runs another program
 * @lock: held by who fills; over windows and blocks, and what follows
 * @windows: by IOVA; they do not overlap
 * @domain: NULL before the first attach, and then there are no blocks
 * @kvm: the machine whose slots the windows are, or NULL
 * @work: cleans up behind the notifier, and brings back
 * @pages: scratch of a fill, by slot: what was pinned
 * @missing: scratch of a fill: slots to be pinned
 * @writable: scratch of a fill: pinned for writing
 */
struct kioas_mirror {
	struct kioas_space *space;
	struct mm_struct *mm;
	struct task_struct *task;
	bool unlimited;
	atomic_t gone;
	struct mutex lock;
	struct rb_root_cached windows;
	struct iommu_domain *domain;
	struct kioas_kvm *kvm;
	struct work_struct work;
	struct page *pages[KIOAS_BLOCK_PAGES];
	DECLARE_BITMAP(missing, KIOAS_BLOCK_PAGES);
	DECLARE_BITMAP(writable, KIOAS_BLOCK_PAGES);
};

/**
 * struct kioas_window - an interval of the process's memory, and where devices see it
 * @node: in kioas_mirror.windows
 * @start: first IOVA
 * @last: last IOVA
 * @address: the process's, of @start
 * @prot: most that a device may do
 * @blocks: by number: address / KIOAS_BLOCK_BYTES
 * @__subtree_last: the tree's own
 */
struct kioas_window {
	struct kioas_mirror *mirror;
	struct rb_node node;
	u64 start;
	u64 last;
	u64 address;
	u32 prot;
	struct xarray blocks;
	u64 __subtree_last;
};

static inline u64 kioas_window_iova(const struct kioas_window *window, u64 address)
{
	return address - window->address + window->start;
}

static inline u64 kioas_window_address(const struct kioas_window *window, u64 iova)
{
	return iova - window->start + window->address;
}

/**
 * struct kioas_block - an aligned piece of the process's addresses; a slot for each page
 * @start: first address; the first of the window may come later
 * @pages: by slot: what is pinned. Changed under @lock and kioas_mirror.lock
 * @wanted: slots that shall be filled; under kioas_mirror.lock
 * @lock: what follows, and the block's part of the table
 * @disturbed: @work has something to do here
 * @large: the table has one leaf for all of it
 * @mapped: slots in the table
 * @stale: slots whose page the process may not have any more; not in the table
 * @writable: slots that were pinned for writing
 */
struct kioas_block {
	struct mmu_interval_notifier notifier;
	struct kioas_window *window;
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

/* Of the calling process's memory. NULL: no memory */
struct kioas_mirror *kioas_mirror_new(struct kioas_space *space);
/* Nobody else uses it any more, but for its notifiers and its worker. */
void kioas_mirror_free(struct kioas_mirror *mirror);

/* All under kioas_mirror.lock. A window that is added is filled by the next sync. */
struct kioas_window *kioas_window_first(struct kioas_mirror *mirror, u64 start, u64 last);
struct kioas_window *kioas_window_next(struct kioas_window *window, u64 start, u64 last);
/* There is no other window. Return: -ENOMEM */
int kioas_window_add(struct kioas_mirror *mirror, u64 start, u64 last, u64 address, u32 prot);
/* On return no device reaches the memory through it. */
void kioas_window_remove(struct kioas_window *window);

/*
 * Under kioas_space.lock and kioas_mirror.lock: fills what the process has from @start to @last,
 * as far as the devices reach it, those of @joining (may be NULL) included.
 */
int kioas_mirror_sync(struct kioas_call *call, struct kioas_mirror *mirror,
		      const struct kioas_group *joining, u64 start, u64 last);

/*
 * The same without words. Return: -EDQUOT: RLIMIT_MEMLOCK; -ESRCH: the process has ended; -EINTR,
 * -ENOMEM, or what the IOMMU's driver says
 */
int kioas_mirror_fill(struct kioas_mirror *mirror, const struct kioas_group *joining, u64 start,
		      u64 last);

/* Operations that kinds whose kioas_space.private is a mirror have in common; see kioas_kind_ops */
int kioas_mirror_lookup(struct kioas_call *call, struct kioas_space *space,
			struct ioasid_lookup *command);
/* The mirror stands in a table now, for @group as well. */
void kioas_mirror_enter(struct kioas_mirror *mirror, const struct kioas_group *group);
/*
 * Syncs what each of the entries names, once @prepare (may be NULL) has seen to the windows; under
 * the locks above.
 */
int kioas_mirror_invalidate(struct kioas_call *call, struct kioas_space *space,
			    const struct ioasid_inval_entry *entries, u32 count,
			    int (*prepare)(struct kioas_call *call, struct kioas_space *space));

/* The slots of a machine that is open as file @fd; when it is closed nothing comes from KVM. */
int kioas_kvm_open(struct kioas_call *call, struct kioas_mirror *mirror, int fd);
void kioas_kvm_close(struct kioas_kvm *kvm);
/* Under the locks above: adds windows for slots that have none. -ERANGE: devices cannot reach it */
int kioas_kvm_scan(struct kioas_call *call, struct kioas_kvm *kvm,
		   const struct kioas_group *joining);

/* What devices may do in a part of the process's memory. 0: nothing. Under mmap_lock. */
u32 kioas_window_prot(const struct kioas_window *window, struct vm_area_struct *vma);

/* Pages that are pinned, or not any more; without locks below kioas_mirror.lock. -EDQUOT: too many */
int kioas_mirror_account(struct kioas_mirror *mirror, unsigned long pages);
void kioas_mirror_unaccount(struct kioas_mirror *mirror, unsigned long pages);

/* Notifiers call it: the process ends. */
void kioas_mirror_gone(struct kioas_mirror *mirror);

/* All under kioas_mirror.lock, and but for the last two with the process's memory map held. */
struct kioas_block *kioas_block_new(struct kioas_window *window, u64 start);

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

static inline u64 kioas_block_iova(const struct kioas_block *block, unsigned int slot)
{
	return kioas_window_iova(block->window, block->start + ((u64)slot << PAGE_SHIFT));
}

#endif
