// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pinned memory. It is pinned for the process whose addresses it has, and accounted to that
 * process's RLIMIT_MEMLOCK, page by page and once: by a registration, or by the one mapping that it
 * was pinned for.
 *
 * Memory that a device may write must be writable in the process. What is pinned stays what it was
 * when the process maps something else at the address.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "kioas.h"

#define KIOAS_PIN_BATCH (PAGE_SIZE / sizeof(struct page *))

/* Accounts */

void kioas_account_flush(struct kioas_account *account)
{
	if (!account->mm)
		return;
	account_locked_vm(account->mm, account->pages, false);
	mmdrop(account->mm);
	account->mm = NULL;
	account->pages = 0;
}

static void kioas_account_add(struct kioas_account *account, struct mm_struct *mm,
			      unsigned long pages)
{
	if (account->mm != mm) {
		kioas_account_flush(account);
		mmgrab(mm);
		account->mm = mm;
	}
	account->pages += pages;
}

/* A poller has no limits of its own, but its owner's credentials. */
int kioas_account(struct kioas_call *call, unsigned long pages, const char *field)
{
	struct task_struct *owner = call->owner ?: current;
	struct mm_struct *mm = current->mm;
	int ret;

	mmap_write_lock(mm);
	ret = __account_locked_vm(mm, pages, true, owner, capable(CAP_IPC_LOCK));
	mmap_write_unlock(mm);
	if (ret)
		return kioas_fail(call, -ENOMEM, field, "RLIMIT_MEMLOCK is %lu bytes",
				  task_rlimit(owner, RLIMIT_MEMLOCK));
	return 0;
}

/* Pinning */

static void kioas_memory_unpin(struct kioas_memory *memory)
{
	unsigned long end = memory->pages;
	unsigned int i;

	for (i = memory->run_count; i-- > 0;) {
		unpin_user_page_range_dirty_lock(pfn_to_page(memory->runs[i].pfn),
						 end - memory->runs[i].first,
						 memory->prot & IOASID_PROT_WRITE);
		end = memory->runs[i].first;
	}
}

static void kioas_memory_free(struct kioas_memory *memory)
{
	if (memory->runs != &memory->one_run)
		kvfree(memory->runs);
	mmdrop(memory->mm);
	kfree(memory);
}

void kioas_memory_put(struct kioas_memory *memory, struct kioas_account *account)
{
	if (!refcount_dec_and_test(&memory->refs))
		return;
	kioas_memory_unpin(memory);
	kioas_account_add(account, memory->mm, memory->pages);
	kioas_memory_free(memory);
}

/* Makes room for one more run: there is room for 1, 2, 4, 8... */
static int kioas_runs_grow(struct kioas_memory *memory)
{
	const unsigned int count = memory->run_count;
	struct kioas_run *runs;

	if (!count || !is_power_of_2(count))
		return 0;
	runs = kvmalloc_array(count * 2, sizeof(*runs), GFP_KERNEL_ACCOUNT);
	if (!runs)
		return -ENOMEM;
	memcpy(runs, memory->runs, count * sizeof(*runs));
	if (memory->runs != &memory->one_run)
		kvfree(memory->runs);
	memory->runs = runs;
	return 0;
}

/* memory->pages counts what is in runs; on failure the page is not. */
static int kioas_runs_add(struct kioas_memory *memory, unsigned long pfn)
{
	struct kioas_run *run = &memory->runs[memory->run_count - 1];
	int ret;

	if (!memory->run_count || pfn != run->pfn + (memory->pages - run->first)) {
		ret = kioas_runs_grow(memory);
		if (ret)
			return ret;
		run = &memory->runs[memory->run_count++];
		run->first = memory->pages;
		run->pfn = pfn;
	}
	memory->pages++;
	return 0;
}

static int kioas_runs_add_pages(struct kioas_memory *memory, struct page **pages,
				unsigned long count)
{
	unsigned long i;
	int ret;

	for (i = 0; i < count; i++) {
		ret = kioas_runs_add(memory, page_to_pfn(pages[i]));
		if (ret) {
			unpin_user_pages(pages + i, count - i);
			return ret;
		}
	}
	return 0;
}

static int kioas_memory_pin_pages(struct kioas_memory *memory, unsigned long total,
				  struct page **pages, unsigned long room)
{
	const unsigned int flags =
		FOLL_LONGTERM | (memory->prot & IOASID_PROT_WRITE ? FOLL_WRITE : 0);
	long got;
	int ret;

	while (memory->pages < total) {
		if (fatal_signal_pending(current))
			return -EINTR;
		got = pin_user_pages_fast(memory->va + (memory->pages << PAGE_SHIFT),
					  min(total - memory->pages, room), flags, pages);
		if (got <= 0)
			return got ? got : -EFAULT;
		ret = kioas_runs_add_pages(memory, pages, got);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

static int kioas_memory_pin_all(struct kioas_memory *memory, unsigned long total)
{
	struct page *few[8], **pages = few;
	int ret;

	if (total <= ARRAY_SIZE(few))
		return kioas_memory_pin_pages(memory, total, few, ARRAY_SIZE(few));
	pages = (struct page **)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;
	ret = kioas_memory_pin_pages(memory, total, pages, KIOAS_PIN_BATCH);
	free_page((unsigned long)pages);
	return ret;
}

int kioas_memory_pin(struct kioas_call *call, u64 va, u64 length, u32 prot,
		     struct kioas_memory **out)
{
	struct kioas_memory *memory = kzalloc(sizeof(*memory), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!memory)
		return -ENOMEM;
	refcount_set(&memory->refs, 1);
	memory->prot = prot;
	memory->va = va;
	memory->runs = &memory->one_run;
	memory->mm = current->mm;
	mmgrab(memory->mm);
	ret = kioas_memory_pin_all(memory, length >> PAGE_SHIFT);
	if (!ret) {
		*out = memory;
		return 0;
	}
	va += (u64)memory->pages << PAGE_SHIFT;
	kioas_memory_unpin(memory);
	kioas_memory_free(memory);
	if (ret == -ENOMEM || ret == -EINTR)
		return ret;
	return kioas_fail(call, -EFAULT, "address", "0x%llx cannot be pinned for devices to %s", va,
			  prot & IOASID_PROT_WRITE ? "write" : "read");
}

/* Mapping */

static unsigned int kioas_run_find(const struct kioas_memory *memory, unsigned long page)
{
	unsigned int low = 0, high = memory->run_count - 1, middle;

	while (low < high) {
		middle = low + (high - low + 1) / 2;
		if (memory->runs[middle].first <= page)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

struct page *kioas_memory_page(const struct kioas_memory *memory, u64 va)
{
	const unsigned long page = (va - memory->va) >> PAGE_SHIFT;
	const struct kioas_run *run = &memory->runs[kioas_run_find(memory, page)];

	return pfn_to_page(run->pfn + (page - run->first));
}

int kioas_prot_to_iommu(u32 prot)
{
	return (prot & IOASID_PROT_READ ? IOMMU_READ : 0) |
	       (prot & IOASID_PROT_WRITE ? IOMMU_WRITE : 0) | IOMMU_CACHE;
}

/* All of it is mapped, or nothing. What is unmapped later has to have been mapped by one call. */
int kioas_memory_map(struct kioas_memory *memory, u64 va, u64 length, struct iommu_domain *domain,
		     u64 iova, u32 prot)
{
	unsigned long page = (va - memory->va) >> PAGE_SHIFT, end, count;
	const unsigned long last = page + (length >> PAGE_SHIFT);
	unsigned int at = kioas_run_find(memory, page);
	const struct kioas_run *run;
	u64 done = 0;
	int ret;

	for (; page < last; page += count, at++) {
		run = &memory->runs[at];
		end = at + 1 < memory->run_count ? run[1].first : memory->pages;
		count = min(end, last) - page;
		ret = kioas_iommu_map(domain, iova + done, PFN_PHYS(run->pfn + (page - run->first)),
				      count << PAGE_SHIFT, kioas_prot_to_iommu(prot));
		if (ret) {
			if (done)
				iommu_unmap(domain, iova, done);
			return ret;
		}
		done += (u64)count << PAGE_SHIFT;
		cond_resched();
	}
	return 0;
}

/* Registered memory: a tree by process and address */

static int kioas_memory_compare(const struct mm_struct *mm, u64 va, u64 last,
				const struct kioas_memory *memory)
{
	if (mm != memory->mm)
		return mm < memory->mm ? -1 : 1;
	if (last < memory->va)
		return -1;
	return va > memory->va + ((u64)memory->pages << PAGE_SHIFT) - 1 ? 1 : 0;
}

/* One that overlaps. */
static struct kioas_memory *kioas_memory_search(struct kioas_file *file, u64 va, u64 last)
{
	struct rb_node *node = file->memory.rb_node;
	struct kioas_memory *memory;
	int order;

	while (node) {
		memory = rb_entry(node, struct kioas_memory, node);
		order = kioas_memory_compare(current->mm, va, last, memory);
		if (!order)
			return memory;
		node = order < 0 ? node->rb_left : node->rb_right;
	}
	return NULL;
}

static bool kioas_memory_less(struct rb_node *node, const struct rb_node *other)
{
	const struct kioas_memory *memory = rb_entry(node, struct kioas_memory, node);
	const u64 last = memory->va + ((u64)memory->pages << PAGE_SHIFT) - 1;

	return kioas_memory_compare(memory->mm, memory->va, last,
				    rb_entry(other, struct kioas_memory, node)) < 0;
}

struct kioas_memory *kioas_memory_find(struct kioas_file *file, u64 va, u64 length)
{
	struct kioas_memory *memory;
	u64 end;

	down_read(&file->memory_lock);
	memory = kioas_memory_search(file, va, va);
	if (memory) {
		end = memory->va + ((u64)memory->pages << PAGE_SHIFT);
		if (length > end - va)
			memory = NULL;
		else
			refcount_inc(&memory->refs);
	}
	up_read(&file->memory_lock);
	return memory;
}

static int kioas_memory_check(struct kioas_call *call, const struct ioasid_memory *command)
{
	u64 end;

	if (!command->length || !PAGE_ALIGNED(command->length))
		return kioas_fail(call, -EINVAL, "length", "0x%llx is no multiple of the page size",
				  command->length);
	if (!PAGE_ALIGNED(command->va))
		return kioas_fail(call, -EINVAL, "va", "0x%llx is no multiple of the page size",
				  command->va);
	if (check_add_overflow(command->va, command->length, &end))
		return kioas_fail(call, -EINVAL, "length", "beyond the end of all addresses");
	return 0;
}

/* Spaces without a parent that show registered memory: all of them, or none. */
static int kioas_memory_announce(struct kioas_call *call, struct kioas_memory *memory)
{
	struct kioas_space *space;
	int ret;

	list_for_each_entry(space, &call->file->spaces, entry) {
		if (!space->kind->registered || space->parent)
			continue;
		ret = space->kind->registered(call, space, memory);
		if (!ret)
			continue;
		list_for_each_entry_continue_reverse(space, &call->file->spaces, entry)
			if (space->kind->registered && !space->parent)
				space->kind->unregistered(space, memory);
		return ret;
	}
	return 0;
}

static int kioas_memory_enter(struct kioas_call *call, struct kioas_memory *memory)
{
	const u64 last = memory->va + ((u64)memory->pages << PAGE_SHIFT) - 1;
	struct kioas_file *file = call->file;
	struct kioas_memory *other;
	int ret;

	down_write(&file->memory_lock);
	other = kioas_memory_search(file, memory->va, last);
	ret = other ? kioas_fail(call, -EEXIST, "va", "memory at 0x%llx is registered", other->va)
		    : kioas_memory_announce(call, memory);
	if (!ret)
		rb_add(&memory->node, &file->memory, kioas_memory_less);
	up_write(&file->memory_lock);
	return ret;
}

int kioas_register_memory(struct kioas_call *call, void *data)
{
	const u32 rights = IOASID_PROT_READ | IOASID_PROT_WRITE;
	struct ioasid_memory *command = data;
	struct kioas_account account = {};
	struct kioas_memory *memory;
	int ret;

	ret = kioas_memory_check(call, command);
	if (ret)
		return ret;
	if (!command->prot || command->prot & ~rights)
		return kioas_fail(call, -EINVAL, "prot", "0x%x", command->prot);
	ret = kioas_account(call, command->length >> PAGE_SHIFT, "length");
	if (ret)
		return ret;
	ret = kioas_memory_pin(call, command->va, command->length, command->prot, &memory);
	if (ret) {
		account_locked_vm(current->mm, command->length >> PAGE_SHIFT, false);
		return ret;
	}
	mutex_lock(&call->file->lock);
	ret = kioas_memory_enter(call, memory);
	mutex_unlock(&call->file->lock);
	if (ret) {
		kioas_memory_put(memory, &account);
		kioas_account_flush(&account);
	}
	return ret;
}

/*
 * How many references are not mappings: the registration's, and those of spaces that show all of
 * it.
 */
static unsigned int kioas_memory_own_refs(struct kioas_file *file)
{
	struct kioas_space *space;
	unsigned int count = 1;

	list_for_each_entry(space, &file->spaces, entry)
		count += space->kind->registered && !space->parent;
	return count;
}

static int kioas_memory_leave(struct kioas_call *call, const struct ioasid_memory *command,
			      struct kioas_memory **out)
{
	struct kioas_file *file = call->file;
	struct kioas_memory *memory =
		kioas_memory_search(file, command->va, command->va + command->length - 1);
	struct kioas_space *space;

	if (!memory || memory->va != command->va || memory->pages != command->length >> PAGE_SHIFT)
		return kioas_fail(call, -ENOENT, "va", "0x%llx: no memory of this very range",
				  command->va);
	if (refcount_read(&memory->refs) > kioas_memory_own_refs(file))
		return kioas_fail(call, -EBUSY, "va", "0x%llx is mapped", command->va);
	list_for_each_entry(space, &file->spaces, entry)
		if (space->kind->registered && !space->parent)
			space->kind->unregistered(space, memory);
	rb_erase(&memory->node, &file->memory);
	*out = memory;
	return 0;
}

int kioas_unregister_memory(struct kioas_call *call, void *data)
{
	struct ioasid_memory *command = data;
	struct kioas_file *file = call->file;
	struct kioas_account account = {};
	struct kioas_memory *memory;
	int ret;

	ret = kioas_memory_check(call, command);
	if (ret)
		return ret;
	if (command->prot)
		return kioas_fail(call, -EINVAL, "prot", "must be 0");
	mutex_lock(&file->lock);
	down_write(&file->memory_lock);
	ret = kioas_memory_leave(call, command, &memory);
	up_write(&file->memory_lock);
	mutex_unlock(&file->lock);
	if (!ret) {
		kioas_memory_put(memory, &account);
		kioas_account_flush(&account);
	}
	return ret;
}

/* Nothing maps it any more. */
void kioas_memory_release(struct kioas_file *file)
{
	struct kioas_account account = {};
	struct rb_node *node;

	while ((node = rb_first(&file->memory))) {
		rb_erase(node, &file->memory);
		kioas_memory_put(rb_entry(node, struct kioas_memory, node), &account);
	}
	kioas_account_flush(&account);
}
