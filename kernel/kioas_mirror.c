// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mirrors: intervals of a process's memory at IOVAs, kept in step with the process. See
 * kioas_mirror.h.
 *
 * What a device reaches is what the process had when it was last looked at, less what it has given
 * up since. The kernel tells a module at once when a process loses memory (kioas_block.c), but
 * not when it gets some: that comes with the next sync. What a notifier took away though the
 * process still has it (the rest of a large page, another protection) a worker brings back, as far
 * as it is present and without being asked.
 */
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>

#include "kioas_mirror.h"

#define WINDOW_START(window) ((window)->start)
#define WINDOW_LAST(window)  ((window)->last)

INTERVAL_TREE_DEFINE(struct kioas_window, node, u64, __subtree_last, WINDOW_START, WINDOW_LAST,
		     static, kioas_window_tree)

/*
 * Registers of devices stay out, and what a userfaultfd watches: to touch that is to wait for
 * another process. Memory that can be written can be read.
 */
u32 kioas_window_prot(const struct kioas_window *window, struct vm_area_struct *vma)
{
	u32 prot = 0;

	if (vma->vm_flags & (VM_IO | VM_PFNMAP) || userfaultfd_armed(vma))
		return 0;
	if (vma->vm_flags & VM_WRITE)
		prot = IOASID_PROT_READ | IOASID_PROT_WRITE;
	else if (vma->vm_flags & VM_READ)
		prot = IOASID_PROT_READ;
	return prot & window->prot;
}

int kioas_mirror_account(struct kioas_mirror *mirror, unsigned long pages)
{
	int ret = mmap_write_lock_killable(mirror->mm);

	if (ret)
		return ret;
	ret = __account_locked_vm(mirror->mm, pages, true, mirror->task, mirror->unlimited);
	mmap_write_unlock(mirror->mm);
	return ret ? -EDQUOT : 0;
}

void kioas_mirror_unaccount(struct kioas_mirror *mirror, unsigned long pages)
{
	mmap_write_lock(mirror->mm);
	__account_locked_vm(mirror->mm, pages, false, mirror->task, mirror->unlimited);
	mmap_write_unlock(mirror->mm);
}

void kioas_mirror_gone(struct kioas_mirror *mirror)
{
	const struct ioasid_event_record record = {
		.event = IOASID_EVENT_SPACE_BROKEN,
		.ioasid = mirror->space->object.id,
	};

	if (!atomic_xchg(&mirror->gone, 1))
		kioas_event(mirror->space->file, NULL, &record);
}

/* Windows */

struct kioas_window *kioas_window_first(struct kioas_mirror *mirror, u64 start, u64 last)
{
	return kioas_window_tree_iter_first(&mirror->windows, start, last);
}

struct kioas_window *kioas_window_next(struct kioas_window *window, u64 start, u64 last)
{
	return kioas_window_tree_iter_next(window, start, last);
}

int kioas_window_add(struct kioas_mirror *mirror, u64 start, u64 last, u64 address, u32 prot)
{
	struct kioas_window *window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);

	if (!window)
		return -ENOMEM;
	window->mirror = mirror;
	window->start = start;
	window->last = last;
	window->address = address;
	window->prot = prot;
	xa_init(&window->blocks);
	kioas_window_tree_insert(window, &mirror->windows);
	return 0;
}

void kioas_window_remove(struct kioas_window *window)
{
	struct kioas_block *block;
	unsigned long index;

	kioas_window_tree_remove(window, &window->mirror->windows);
	xa_for_each(&window->blocks, index, block) kioas_block_free(block);
	xa_destroy(&window->blocks);
	kfree(window);
}

/* The worker: under kioas_mirror.lock only */

static void kioas_mirror_tidy(struct kioas_block *block, bool alive)
{
	if (READ_ONCE(block->disturbed) || !bitmap_empty(block->wanted, KIOAS_BLOCK_PAGES)) {
		if (!alive)
			kioas_block_clean(block, true);
		else if (kioas_block_fill(block, false) == -EAGAIN)
			queue_work(kioas_workqueue(), &block->window->mirror->work);
	}
	if (kioas_block_empty(block))
		kioas_block_free(block);
}

static void kioas_mirror_work(struct work_struct *work)
{
	struct kioas_mirror *mirror = container_of(work, struct kioas_mirror, work);
	const bool alive = mmget_not_zero(mirror->mm);
	struct kioas_window *window;
	struct kioas_block *block;
	unsigned long index;

	mutex_lock(&mirror->lock);
	for (window = kioas_window_first(mirror, 0, U64_MAX); window;
	     window = kioas_window_next(window, 0, U64_MAX))
		xa_for_each(&window->blocks, index, block) kioas_mirror_tidy(block, alive);
	mutex_unlock(&mirror->lock);
	if (alive)
		mmput(mirror->mm);
}

/* Looking at the process */

/* The table, the devices of the space, and those that are being attached. */
static bool kioas_window_reached(const struct kioas_window *window,
				 const struct kioas_group *joining, u64 address, u64 last)
{
	const u64 start = kioas_window_iova(window, address);
	const u64 end = kioas_window_iova(window, last);

	return (!joining || kioas_group_reaches(joining, start, end)) &&
	       kioas_space_reaches(window->mirror->space, start, end);
}

/* Slots of the block at @start that devices reach, of @from to @last: in @missing */
static void kioas_window_want(struct kioas_window *window, u64 start,
			      const struct kioas_group *joining, u64 from, u64 last)
{
	const u64 end = min(last, start + (KIOAS_BLOCK_BYTES - 1));
	unsigned long *missing = window->mirror->missing;
	u64 address = max(from, start);

	bitmap_zero(missing, KIOAS_BLOCK_PAGES);
	if (kioas_window_reached(window, joining, address, end)) {
		bitmap_set(missing, (address - start) >> PAGE_SHIFT,
			   (end - address + 1) >> PAGE_SHIFT);
		return;
	}
	for (; address <= end; address += PAGE_SIZE)
		if (kioas_window_reached(window, joining, address, address + (PAGE_SIZE - 1)))
			__set_bit((address - start) >> PAGE_SHIFT, missing);
}

/* The first address from @from to @last where there may be something. Return: is there one? */
static bool kioas_window_seek(struct kioas_window *window, u64 *from, u64 last)
{
	struct mm_struct *mm = window->mirror->mm;
	struct vm_area_struct *vma;
	bool found = false;

	mmap_read_lock(mm);
	while (!found && *from <= last) {
		vma = find_vma(mm, *from);
		if (!vma)
			break;
		*from = max_t(u64, *from, vma->vm_start);
		found = *from <= last && kioas_window_prot(window, vma);
		if (!found)
			*from = vma->vm_end;
	}
	mmap_read_unlock(mm);
	return found;
}

static int kioas_window_fill_block(struct kioas_window *window, const struct kioas_group *joining,
				   u64 from, u64 last)
{
	const u64 start = round_down(from, KIOAS_BLOCK_BYTES);
	struct kioas_block *block = xa_load(&window->blocks, start / KIOAS_BLOCK_BYTES);
	unsigned long *missing = window->mirror->missing;
	int ret;

	kioas_window_want(window, start, joining, from, last);
	if (bitmap_empty(missing, KIOAS_BLOCK_PAGES))
		return 0;
	if (!block)
		block = kioas_block_new(window, start);
	if (IS_ERR(block))
		return PTR_ERR(block);
	bitmap_or(block->wanted, block->wanted, missing, KIOAS_BLOCK_PAGES);
	do {
		ret = kioas_block_fill(block, true);
	} while (ret == -EAGAIN);
	if (kioas_block_empty(block))
		kioas_block_free(block);
	return ret;
}

/* What the process has lost is out already; what has changed its rights as well. */
static int kioas_window_fill(struct kioas_window *window, const struct kioas_group *joining,
			     u64 from, u64 last)
{
	int ret = 0;

	while (!ret && kioas_window_seek(window, &from, last)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = kioas_window_fill_block(window, joining, from, last);
		from = round_down(from, KIOAS_BLOCK_BYTES) + KIOAS_BLOCK_BYTES;
		cond_resched();
	}
	return ret;
}

int kioas_mirror_fill(struct kioas_mirror *mirror, const struct kioas_group *joining, u64 start,
		      u64 last)
{
	struct kioas_window *window;
	int ret = 0;

	if (!mmget_not_zero(mirror->mm))
		return -ESRCH;
	for (window = kioas_window_first(mirror, start, last); window && !ret;
	     window = kioas_window_next(window, start, last))
		ret = kioas_window_fill(window, joining,
					kioas_window_address(window, max(start, window->start)),
					kioas_window_address(window, min(last, window->last)));
	mmput(mirror->mm);
	return ret;
}

int kioas_mirror_sync(struct kioas_call *call, struct kioas_mirror *mirror,
		      const struct kioas_group *joining, u64 start, u64 last)
{
	int ret = kioas_mirror_fill(mirror, joining, start, last);

	return ret ? kioas_fill_failed(call, ret, "ioasid") : 0;
}

/* What kinds have in common */

struct kioas_mirror *kioas_mirror_new(struct kioas_space *space)
{
	struct kioas_mirror *mirror = kvzalloc(sizeof(*mirror), GFP_KERNEL_ACCOUNT);

	if (!mirror)
		return NULL;
	mirror->space = space;
	mirror->mm = current->mm;
	mmgrab(mirror->mm);
	mirror->task = get_task_struct(current->group_leader);
	mirror->unlimited = capable(CAP_IPC_LOCK);
	mutex_init(&mirror->lock);
	mirror->windows = RB_ROOT_CACHED;
	INIT_WORK(&mirror->work, kioas_mirror_work);
	return mirror;
}

void kioas_mirror_free(struct kioas_mirror *mirror)
{
	struct kioas_window *window;

	mutex_lock(&mirror->lock);
	while ((window = kioas_window_first(mirror, 0, U64_MAX)))
		kioas_window_remove(window);
	mutex_unlock(&mirror->lock);
	/* Nobody queues it any more. */
	cancel_work_sync(&mirror->work);
	mutex_destroy(&mirror->lock);
	put_task_struct(mirror->task);
	mmdrop(mirror->mm);
	kvfree(mirror);
}

/* Blocks that the group cannot reach as a whole are filled anew. */
void kioas_mirror_enter(struct kioas_mirror *mirror, const struct kioas_group *group)
{
	struct kioas_window *window;
	struct kioas_block *block;
	unsigned long index;
	u64 start;

	mirror->domain = mirror->space->domain;
	for (window = kioas_window_first(mirror, 0, U64_MAX); window;
	     window = kioas_window_next(window, 0, U64_MAX))
		xa_for_each(&window->blocks, index, block)
		{
			start = max(block->start, window->address);
			if (!kioas_group_reaches(group, kioas_window_iova(window, start),
						 min(kioas_block_iova(block, KIOAS_BLOCK_PAGES) - 1,
						     window->last)))
				kioas_block_clear(block, 0, KIOAS_BLOCK_PAGES);
		}
}

static int kioas_mirror_entry(struct kioas_call *call, struct kioas_mirror *mirror,
			      const struct ioasid_inval_entry *entry)
{
	if (entry->type == IOASID_INVAL_RANGE)
		return kioas_mirror_sync(call, mirror, NULL, entry->iova,
					 entry->iova + (entry->length - 1));
	return kioas_mirror_sync(call, mirror, NULL, 0, U64_MAX);
}

int kioas_mirror_invalidate(struct kioas_call *call, struct kioas_space *space,
			    const struct ioasid_inval_entry *entries, u32 count,
			    int (*prepare)(struct kioas_call *call, struct kioas_space *space))
{
	struct kioas_mirror *mirror = space->private;
	int ret;

	for (call->index = 0; call->index < count; call->index++)
		if (entries[call->index].flags & IOASID_INVAL_DEVICE)
			return kioas_fail(call, -EOPNOTSUPP, "flags",
					  "all devices of a %s space have the same table",
					  space->kind->name);
	call->index = 0;
	ret = kioas_space_lock(call, space);
	if (ret)
		return ret;
	/* Destroyed with the space, which is not dead. */
	mutex_lock(&mirror->lock);
	if (mirror->domain && prepare)
		ret = prepare(call, space);
	for (; call->index < count && mirror->domain && !ret; call->index++) {
		ret = kioas_mirror_entry(call, mirror, &entries[call->index]);
		if (ret)
			break;
	}
	mutex_unlock(&mirror->lock);
	kioas_space_unlock(space);
	return ret;
}

/* Of the slots around @slot that are alike; within the block. */
static void kioas_block_describe(struct kioas_block *block, unsigned int slot,
				 struct ioasid_lookup *command)
{
	const bool writable = test_bit(slot, block->writable);
	unsigned int first = slot, last = slot;

	while (first && test_bit(first - 1, block->mapped) &&
	       test_bit(first - 1, block->writable) == writable)
		first--;
	while (last + 1 < KIOAS_BLOCK_PAGES && test_bit(last + 1, block->mapped) &&
	       test_bit(last + 1, block->writable) == writable)
		last++;
	command->out_address = kioas_window_address(block->window, command->iova);
	command->out_start = kioas_block_iova(block, first);
	command->out_last = kioas_block_iova(block, last + 1) - 1;
	command->out_prot = block->window->prot & (writable ? ~0 : ~IOASID_PROT_WRITE);
	command->out_address_type = IOASID_ADDRESS_PROCESS;
}

static bool kioas_window_lookup(struct kioas_window *window, struct ioasid_lookup *command)
{
	const u64 address = kioas_window_address(window, command->iova);
	struct kioas_block *block = xa_load(&window->blocks, address / KIOAS_BLOCK_BYTES);
	const unsigned int slot = (address % KIOAS_BLOCK_BYTES) >> PAGE_SHIFT;
	bool found;

	if (!block)
		return false;
	mutex_lock(&block->lock);
	found = test_bit(slot, block->mapped);
	if (found)
		kioas_block_describe(block, slot, command);
	mutex_unlock(&block->lock);
	return found;
}

int kioas_mirror_lookup(struct kioas_call *call, struct kioas_space *space,
			struct ioasid_lookup *command)
{
	struct kioas_mirror *mirror = space->private;
	struct kioas_window *window;
	bool found;

	mutex_lock(&mirror->lock);
	window = kioas_window_first(mirror, command->iova, command->iova);
	found = window && kioas_window_lookup(window, command);
	mutex_unlock(&mirror->lock);
	return found ? 0
		     : kioas_fail(call, -ENOENT, "iova", "nothing is mapped at 0x%llx",
				  command->iova);
}
