// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks of a mirror: a piece of a process's memory that is pinned, in the table, and watched.
 *
 * Devices that cannot fault need pages that stay, so all that is in the table is pinned: as long as
 * the process leaves its mappings alone nothing moves, and no DMA is lost. When it changes them the
 * notifier takes the pages out of the table before the kernel goes on: it returns after the
 * IOMMU's caches are clean. The pin is given back later, so that not even a DMA that is under way
 * meets a page with a new owner.
 *
 * A fill pins without kioas_block.lock and then, under it, maps only if no notifier has come
 * since: the usual protocol of mmu_interval_read_begin(). Tables are allocated without waiting,
 * since reclaim may call the notifier.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "kioas_mirror.h"

#define KIOAS_FILL_TRIES 8

/* The table: under kioas_block.lock */

static void kioas_block_unmap(struct kioas_block *block, unsigned int first, unsigned int end)
{
	struct iommu_domain *domain = block->window->mirror->domain;
	struct iommu_iotlb_gather gather;
	unsigned int run, run_end;

	/* A leaf goes as a whole. */
	if (block->large) {
		first = 0;
		end = KIOAS_BLOCK_PAGES;
		block->large = false;
	}
	iommu_iotlb_gather_init(&gather);
	run = first;
	for_each_set_bitrange_from(run, run_end, block->mapped, end)
		iommu_unmap_fast(domain, kioas_block_iova(block, run),
				 (size_t)(run_end - run) << PAGE_SHIFT, &gather);
	iommu_iotlb_sync(domain, &gather);
	bitmap_clear(block->mapped, first, end - first);
}

static int kioas_block_map_run(struct kioas_block *block, unsigned int first, unsigned int count)
{
	const u32 prot =
		block->window->prot & (test_bit(first, block->writable) ? ~0 : ~IOASID_PROT_WRITE);
	int ret;

	ret = kioas_iommu_map_atomic(block->window->mirror->domain, kioas_block_iova(block, first),
				     page_to_phys(block->pages[first]), (size_t)count << PAGE_SHIFT,
				     kioas_prot_to_iommu(prot));
	if (!ret)
		bitmap_set(block->mapped, first, count);
	return ret;
}

static bool kioas_slot_ready(const struct kioas_block *block, unsigned int slot)
{
	return block->pages[slot] && !test_bit(slot, block->mapped) &&
	       !test_bit(slot, block->stale);
}

/* How many slots from @first on are ready, contiguous in memory, and of the same rights. */
static unsigned int kioas_block_run(const struct kioas_block *block, unsigned int first)
{
	const unsigned long pfn = page_to_pfn(block->pages[first]);
	const bool writable = test_bit(first, block->writable);
	unsigned int slot;

	for (slot = first + 1; slot < KIOAS_BLOCK_PAGES; slot++)
		if (!kioas_slot_ready(block, slot) || writable != test_bit(slot, block->writable) ||
		    page_to_pfn(block->pages[slot]) != pfn + (slot - first))
			break;
	return slot - first;
}

/*
 * Later any page may have to leave alone. So leaves are of one page, or of the whole block: a run
 * is only given to the driver at once if it has no other choice.
 */
static bool kioas_block_small_leaves(const struct kioas_block *block)
{
	return (block->window->mirror->domain->pgsize_bitmap & (KIOAS_BLOCK_BYTES - 1)) ==
	       PAGE_SIZE;
}

static int kioas_block_map(struct kioas_block *block)
{
	const unsigned long sizes = block->window->mirror->domain->pgsize_bitmap;
	unsigned int slot, count;
	int ret;

	for (slot = 0; slot < KIOAS_BLOCK_PAGES; slot += count) {
		count = 1;
		if (!kioas_slot_ready(block, slot))
			continue;
		count = kioas_block_run(block, slot);
		block->large = count == KIOAS_BLOCK_PAGES && sizes & KIOAS_BLOCK_BYTES &&
			       IS_ALIGNED(kioas_block_iova(block, slot), KIOAS_BLOCK_BYTES) &&
			       IS_ALIGNED(page_to_phys(block->pages[slot]), KIOAS_BLOCK_BYTES);
		if (!block->large && !kioas_block_small_leaves(block))
			count = 1;
		ret = kioas_block_map_run(block, slot, count);
		if (ret) {
			block->large = false;
			return ret;
		}
	}
	return 0;
}

/* The notifier */

/*
 * The kernel copies a pinned page for the child of a fork() at once, and looks after pinned pages
 * that it wants to know clean: neither concerns who has pinned them.
 */
static bool kioas_event_harmless(const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_PROTECTION_PAGE || range->event == MMU_NOTIFY_SOFT_DIRTY;
}

/* Slots of [from, to). Return: is there something to do for kioas_mirror.work? */
static bool kioas_block_drop(struct kioas_block *block, u64 from, u64 to)
{
	const u64 end = min(to, block->start + KIOAS_BLOCK_BYTES);
	const unsigned int first = (max(from, block->start) - block->start) >> PAGE_SHIFT;
	const unsigned int last = PAGE_ALIGN(end - block->start) >> PAGE_SHIFT;
	const bool large = block->large;
	unsigned int slot;

	kioas_block_unmap(block, first, last);
	for (slot = first; slot < last; slot++)
		if (block->pages[slot]) {
			__set_bit(slot, block->stale);
			block->disturbed = true;
		}
	if (large)
		block->disturbed = true;
	return block->disturbed;
}

static bool kioas_block_invalidate(struct mmu_interval_notifier *notifier,
				   const struct mmu_notifier_range *range, unsigned long seq)
{
	struct kioas_block *block = container_of(notifier, struct kioas_block, notifier);
	struct kioas_mirror *mirror = block->window->mirror;
	bool work;

	if (kioas_event_harmless(range))
		return true;
	if (mmu_notifier_range_blockable(range))
		mutex_lock(&block->lock);
	else if (!mutex_trylock(&block->lock))
		return false;
	mmu_interval_set_seq(notifier, seq);
	work = kioas_block_drop(block, range->start, range->end);
	mutex_unlock(&block->lock);
	if (range->event == MMU_NOTIFY_RELEASE)
		kioas_mirror_gone(mirror);
	if (work)
		queue_work(kioas_workqueue(), &mirror->work);
	return true;
}

static const struct mmu_interval_notifier_ops kioas_block_notifier_ops = {
	.invalidate = kioas_block_invalidate,
};

/* Giving back */

static unsigned int kioas_pages_unpin(struct page **pages, const unsigned long *slots,
				      const unsigned long *writable)
{
	unsigned int slot, count = 0;

	for_each_set_bit(slot, slots, KIOAS_BLOCK_PAGES)
	{
		unpin_user_pages_dirty_lock(&pages[slot], 1, test_bit(slot, writable));
		pages[slot] = NULL;
		count++;
	}
	return count;
}

void kioas_block_clean(struct kioas_block *block, bool forget)
{
	struct kioas_mirror *mirror = block->window->mirror;
	unsigned int slot, count = 0;

	mutex_lock(&block->lock);
	block->disturbed = false;
	bitmap_zero(mirror->missing, KIOAS_BLOCK_PAGES);
	for_each_set_bit(slot, block->stale, KIOAS_BLOCK_PAGES)
	{
		mirror->pages[slot] = block->pages[slot];
		block->pages[slot] = NULL;
		__set_bit(slot, mirror->missing);
	}
	bitmap_zero(block->stale, KIOAS_BLOCK_PAGES);
	bitmap_copy(mirror->writable, block->writable, KIOAS_BLOCK_PAGES);
	mutex_unlock(&block->lock);
	if (!forget)
		bitmap_or(block->wanted, block->wanted, mirror->missing, KIOAS_BLOCK_PAGES);
	count = kioas_pages_unpin(mirror->pages, mirror->missing, mirror->writable);
	if (count)
		kioas_mirror_unaccount(mirror, count);
}

void kioas_block_clear(struct kioas_block *block, unsigned int first, unsigned int end)
{
	mutex_lock(&block->lock);
	kioas_block_drop(block, block->start + ((u64)first << PAGE_SHIFT),
			 block->start + ((u64)end << PAGE_SHIFT));
	mutex_unlock(&block->lock);
	kioas_block_clean(block, true);
	bitmap_clear(block->wanted, first, end - first);
}

/* Filling */

static bool kioas_pin_failed_hard(long error)
{
	return error == -ENOMEM || error == -EINTR || error == -ERESTARTSYS || error == -EAGAIN;
}

/* Pins slots of @mirror->missing from @slot to @end, all in one part of the memory map. */
static int kioas_block_pin_run(struct kioas_block *block, unsigned int slot, unsigned int end,
			       unsigned int flags)
{
	struct kioas_mirror *mirror = block->window->mirror;
	long got;

	while (slot < end) {
		got = kioas_pin_user_pages_remote(mirror->mm,
						  block->start + ((u64)slot << PAGE_SHIFT),
						  end - slot, flags, &mirror->pages[slot]);
		if (kioas_pin_failed_hard(got)) {
			bitmap_clear(mirror->missing, slot, KIOAS_BLOCK_PAGES - slot);
			return got;
		}
		/* Not to be had: behind the end of a file, of a kind that cannot be pinned... */
		if (got <= 0) {
			__clear_bit(slot, mirror->missing);
			got = 1;
		}
		slot += got;
	}
	return 0;
}

/*
 * Takes out of @mirror->missing what the process does not have; pins the rest, unless it is only to be
 * counted. On failure the slots that were pinned are those still in @mirror->missing.
 */
static int kioas_block_walk(struct kioas_block *block, bool pin, unsigned int flags)
{
	struct kioas_mirror *mirror = block->window->mirror;
	struct vm_area_struct *vma;
	unsigned int slot, end;
	u64 address;
	u32 prot;
	int ret = 0;

	mmap_read_lock(mirror->mm);
	for (slot = find_first_bit(mirror->missing, KIOAS_BLOCK_PAGES);
	     slot < KIOAS_BLOCK_PAGES && !ret;
	     slot = find_next_bit(mirror->missing, KIOAS_BLOCK_PAGES, end)) {
		address = block->start + ((u64)slot << PAGE_SHIFT);
		end = find_next_zero_bit(mirror->missing, KIOAS_BLOCK_PAGES, slot);
		vma = find_vma(mirror->mm, address);
		prot = vma && vma->vm_start <= address ? kioas_window_prot(block->window, vma) : 0;
		if (vma)
			end = min_t(u64, end,
				    ((vma->vm_start <= address ? vma->vm_end : vma->vm_start) -
				     block->start) >>
					    PAGE_SHIFT);
		if (!prot) {
			bitmap_clear(mirror->missing, slot, end - slot);
			continue;
		}
		if (!pin)
			continue;
		if (prot & IOASID_PROT_WRITE)
			bitmap_set(mirror->writable, slot, end - slot);
		else
			bitmap_clear(mirror->writable, slot, end - slot);
		ret = kioas_block_pin_run(block, slot, end,
					  flags | (prot & IOASID_PROT_WRITE ? FOLL_WRITE : 0));
	}
	mmap_read_unlock(mirror->mm);
	return ret;
}

/* Accounts and pins what is wanted and not there. What is pinned is in @mirror->missing. */
static int kioas_block_pin(struct kioas_block *block, bool fault)
{
	struct kioas_mirror *mirror = block->window->mirror;
	unsigned int slot, count;
	int ret;

	bitmap_copy(mirror->missing, block->wanted, KIOAS_BLOCK_PAGES);
	for_each_set_bit(slot, block->wanted, KIOAS_BLOCK_PAGES) if (block->pages[slot])
		__clear_bit(slot, mirror->missing);
	kioas_block_walk(block, false, 0);
	count = bitmap_weight(mirror->missing, KIOAS_BLOCK_PAGES);
	if (!count)
		return 0;
	ret = kioas_mirror_account(mirror, count);
	if (ret) {
		bitmap_zero(mirror->missing, KIOAS_BLOCK_PAGES);
		return ret;
	}
	ret = kioas_block_walk(block, true, FOLL_LONGTERM | (fault ? 0 : FOLL_NOFAULT));
	count -= bitmap_weight(mirror->missing, KIOAS_BLOCK_PAGES);
	if (count)
		kioas_mirror_unaccount(mirror, count);
	return ret;
}

/* Under kioas_block.lock: what was pinned gets in, and all that is in gets mapped. */
static int kioas_block_enter(struct kioas_block *block)
{
	struct kioas_mirror *mirror = block->window->mirror;
	unsigned int slot;

	for_each_set_bit(slot, mirror->missing, KIOAS_BLOCK_PAGES)
	{
		block->pages[slot] = mirror->pages[slot];
		__assign_bit(slot, block->writable, test_bit(slot, mirror->writable));
	}
	return kioas_block_map(block);
}

#ifdef CONFIG_FAULT_INJECTION
static unsigned int kioas_fill_delay_ms;
module_param_named(fill_delay_ms, kioas_fill_delay_ms, uint, 0600);
MODULE_PARM_DESC(fill_delay_ms, "For tests: a fill waits so long between pin and map");

static void kioas_fill_delay(void)
{
	msleep(kioas_fill_delay_ms);
}
#else
static void kioas_fill_delay(void)
{
}
#endif

static int kioas_block_try(struct kioas_block *block, bool fault)
{
	struct kioas_mirror *mirror = block->window->mirror;
	unsigned long seq = mmu_interval_read_begin(&block->notifier);
	unsigned int count;
	bool retry;
	int ret, map_ret = 0;

	kioas_block_clean(block, false);
	ret = kioas_block_pin(block, fault);
	kioas_fill_delay();
	mutex_lock(&block->lock);
	retry = mmu_interval_read_retry(&block->notifier, seq);
	if (!retry)
		map_ret = kioas_block_enter(block);
	mutex_unlock(&block->lock);
	if (!retry)
		return ret ?: map_ret;
	count = kioas_pages_unpin(mirror->pages, mirror->missing, mirror->writable);
	if (count)
		kioas_mirror_unaccount(mirror, count);
	return ret ?: -EAGAIN;
}

/* Waits until there is memory again, as far as the kernel can do something for it. */
static int kioas_wait_for_memory(void)
{
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT);

	if (!page)
		return -ENOMEM;
	__free_page(page);
	return 0;
}

int kioas_block_fill(struct kioas_block *block, bool fault)
{
	int tries, ret = 0;

	for (tries = 0; tries < KIOAS_FILL_TRIES; tries++) {
		ret = kioas_block_try(block, fault);
		if (ret == -ENOMEM && kioas_wait_for_memory())
			break;
		if (ret != -EAGAIN && ret != -ENOMEM)
			break;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}
	if (ret != -EAGAIN)
		bitmap_zero(block->wanted, KIOAS_BLOCK_PAGES);
	return ret;
}

/* Coming and going */

struct kioas_block *kioas_block_new(struct kioas_window *window, u64 start)
{
	struct kioas_block *block = kzalloc(sizeof(*block), GFP_KERNEL_ACCOUNT);
	int ret = -ENOMEM;

	if (!block)
		return ERR_PTR(ret);
	block->window = window;
	block->start = start;
	mutex_init(&block->lock);
	block->pages = kvcalloc(KIOAS_BLOCK_PAGES, sizeof(*block->pages), GFP_KERNEL_ACCOUNT);
	if (block->pages)
		ret = xa_err(xa_store(&window->blocks, start / KIOAS_BLOCK_BYTES, block,
				      GFP_KERNEL_ACCOUNT));
	if (ret)
		goto out_free;
	ret = mmu_interval_notifier_insert(&block->notifier, window->mirror->mm, start,
					   KIOAS_BLOCK_BYTES, &kioas_block_notifier_ops);
	if (!ret)
		return block;
	xa_erase(&window->blocks, start / KIOAS_BLOCK_BYTES);
out_free:
	kvfree(block->pages);
	kfree(block);
	return ERR_PTR(ret);
}

bool kioas_block_empty(const struct kioas_block *block)
{
	return bitmap_empty(block->wanted, KIOAS_BLOCK_PAGES) &&
	       !memchr_inv(block->pages, 0, KIOAS_BLOCK_PAGES * sizeof(*block->pages));
}

void kioas_block_free(struct kioas_block *block)
{
	mmu_interval_notifier_remove(&block->notifier);
	kioas_block_clear(block, 0, KIOAS_BLOCK_PAGES);
	xa_erase(&block->window->blocks, block->start / KIOAS_BLOCK_BYTES);
	mutex_destroy(&block->lock);
	kvfree(block->pages);
	kfree(block);
}
