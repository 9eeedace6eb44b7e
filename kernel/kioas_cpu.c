// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kind CPU: the memory of the calling process as an I/O address space, IOVA = its address; David
 * Gibson's "giant MAP" of June 2021.
 *
 * What a device reaches is what the process had when it was last looked at, less what it has given
 * up since. The kernel tells a module at once when a process loses memory (kioas_block.c), but
 * not when it gets some: that comes with the next IOASID_INVALIDATE_CACHE, or attach. What a
 * notifier took away though the process still has it (the rest of a large page, another
 * protection) a worker brings back, as far as it is present and without being asked.
 *
 * The kernel's own sharing of page tables, iommu_sva_bind_device(), is not used. It gives a PASID
 * of the device to the process, and wants a device that has PASIDs and whose page requests the
 * IOMMU serves: a device without has max_pasids 0, and the call fails with EOPNOTSUPP (6.1) or
 * ENOSPC (7.3: iommu_alloc_mm_data()). Devices cannot be attached with a PASID here.
 */
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>

#include "kioas_cpu.h"

/*
 * Registers of devices stay out, and what a userfaultfd watches: to touch that is to wait for
 * another process. Memory that can be written can be read.
 */
u32 kioas_cpu_prot(const struct kioas_cpu *cpu, struct vm_area_struct *vma)
{
	u32 prot = 0;

	if (vma->vm_flags & (VM_IO | VM_PFNMAP) || userfaultfd_armed(vma))
		return 0;
	if (vma->vm_flags & VM_WRITE)
		prot = IOASID_PROT_READ | IOASID_PROT_WRITE;
	else if (vma->vm_flags & VM_READ)
		prot = IOASID_PROT_READ;
	return prot & cpu->prot;
}

int kioas_cpu_account(struct kioas_cpu *cpu, unsigned long pages)
{
	int ret = mmap_write_lock_killable(cpu->mm);

	if (ret)
		return ret;
	ret = __account_locked_vm(cpu->mm, pages, true, cpu->task, cpu->unlimited);
	mmap_write_unlock(cpu->mm);
	return ret ? -EDQUOT : 0;
}

void kioas_cpu_unaccount(struct kioas_cpu *cpu, unsigned long pages)
{
	mmap_write_lock(cpu->mm);
	__account_locked_vm(cpu->mm, pages, false, cpu->task, cpu->unlimited);
	mmap_write_unlock(cpu->mm);
}

void kioas_cpu_gone(struct kioas_cpu *cpu)
{
	const struct ioasid_event_record record = {
		.event = IOASID_EVENT_SPACE_BROKEN,
		.ioasid = cpu->space->object.id,
	};

	if (!atomic_xchg(&cpu->gone, 1))
		kioas_event(cpu->space->file, NULL, &record);
}

/* The worker: under kioas_cpu.lock only */

static void kioas_cpu_tidy(struct kioas_block *block, bool alive)
{
	if (READ_ONCE(block->disturbed) || !bitmap_empty(block->wanted, KIOAS_BLOCK_PAGES)) {
		if (!alive)
			kioas_block_clean(block, true);
		else if (kioas_block_fill(block, false) == -EAGAIN)
			queue_work(kioas_workqueue(), &block->cpu->work);
	}
	if (kioas_block_empty(block))
		kioas_block_free(block);
}

static void kioas_cpu_work(struct work_struct *work)
{
	struct kioas_cpu *cpu = container_of(work, struct kioas_cpu, work);
	const bool alive = mmget_not_zero(cpu->mm);
	struct kioas_block *block;
	unsigned long index;

	mutex_lock(&cpu->lock);
	xa_for_each(&cpu->blocks, index, block) kioas_cpu_tidy(block, alive);
	mutex_unlock(&cpu->lock);
	if (alive)
		mmput(cpu->mm);
}

/* Looking at the process: under kioas_space.lock and kioas_cpu.lock */

/* The table, the devices of the space, and those that are being attached. */
static bool kioas_cpu_reached(struct kioas_cpu *cpu, const struct kioas_group *joining, u64 start,
			      u64 last)
{
	return (!joining || kioas_group_reaches(joining, start, last)) &&
	       kioas_space_reaches(cpu->space, start, last);
}

/* Slots of the block at @start that devices reach, of @from to @last: in @missing */
static void kioas_cpu_want(struct kioas_cpu *cpu, u64 start, const struct kioas_group *joining,
			   u64 from, u64 last)
{
	const u64 end = min(last, start + (KIOAS_BLOCK_BYTES - 1));
	u64 address = max(from, start);

	bitmap_zero(cpu->missing, KIOAS_BLOCK_PAGES);
	if (kioas_cpu_reached(cpu, joining, address, end)) {
		bitmap_set(cpu->missing, (address - start) >> PAGE_SHIFT,
			   (end - address + 1) >> PAGE_SHIFT);
		return;
	}
	for (; address <= end; address += PAGE_SIZE)
		if (kioas_cpu_reached(cpu, joining, address, address + (PAGE_SIZE - 1)))
			__set_bit((address - start) >> PAGE_SHIFT, cpu->missing);
}

/* The first address from @from to @last where there may be something. Return: is there one? */
static bool kioas_cpu_next(struct kioas_cpu *cpu, u64 *from, u64 last)
{
	struct vm_area_struct *vma;
	bool found = false;

	mmap_read_lock(cpu->mm);
	while (!found && *from <= last) {
		vma = find_vma(cpu->mm, *from);
		if (!vma)
			break;
		*from = max_t(u64, *from, vma->vm_start);
		found = *from <= last && kioas_cpu_prot(cpu, vma);
		if (!found)
			*from = vma->vm_end;
	}
	mmap_read_unlock(cpu->mm);
	return found;
}

static int kioas_cpu_fill_block(struct kioas_cpu *cpu, const struct kioas_group *joining, u64 from,
				u64 last)
{
	const u64 start = round_down(from, KIOAS_BLOCK_BYTES);
	struct kioas_block *block = xa_load(&cpu->blocks, start / KIOAS_BLOCK_BYTES);
	int ret;

	kioas_cpu_want(cpu, start, joining, from, last);
	if (bitmap_empty(cpu->missing, KIOAS_BLOCK_PAGES))
		return 0;
	if (!block)
		block = kioas_block_new(cpu, start);
	if (IS_ERR(block))
		return PTR_ERR(block);
	bitmap_or(block->wanted, block->wanted, cpu->missing, KIOAS_BLOCK_PAGES);
	do {
		ret = kioas_block_fill(block, true);
	} while (ret == -EAGAIN);
	if (kioas_block_empty(block))
		kioas_block_free(block);
	return ret;
}

/* What the process has lost is out already; what has changed its rights as well. */
static int kioas_cpu_fill(struct kioas_cpu *cpu, const struct kioas_group *joining, u64 from,
			  u64 last)
{
	int ret = 0;

	while (!ret && kioas_cpu_next(cpu, &from, last)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = kioas_cpu_fill_block(cpu, joining, from, last);
		from = round_down(from, KIOAS_BLOCK_BYTES) + KIOAS_BLOCK_BYTES;
		cond_resched();
	}
	return ret;
}

static int kioas_cpu_sync(struct kioas_call *call, struct kioas_cpu *cpu,
			  const struct kioas_group *joining, u64 from, u64 last)
{
	int ret;

	if (!mmget_not_zero(cpu->mm))
		return kioas_fail(call, -EFAULT, "ioasid", "the process of space %u has ended",
				  cpu->space->object.id);
	ret = kioas_cpu_fill(cpu, joining, from, last);
	mmput(cpu->mm);
	switch (ret) {
	case 0:
	case -ENOMEM:
	case -EINTR:
		return ret;
	case -EDQUOT:
		return kioas_fail(call, -ENOMEM, "ioasid", "RLIMIT_MEMLOCK is %lu bytes",
				  task_rlimit(cpu->task, RLIMIT_MEMLOCK));
	default:
		return kioas_fail(call, -EIO, "ioasid", "the IOMMU refuses a page (%d)", ret);
	}
}

/* The kind */

static int kioas_cpu_check(struct kioas_call *call, const struct ioasid_alloc_cpu *data)
{
	const u32 rights = IOASID_PROT_READ | IOASID_PROT_WRITE;

	if (data->flags)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", data->flags);
	if (!data->prot || data->prot & ~rights)
		return kioas_fail(call, -EINVAL, "prot", "0x%x", data->prot);
	if (!data->start && !data->last)
		return 0;
	if (!PAGE_ALIGNED(data->start))
		return kioas_fail(call, -EINVAL, "start", "0x%llx is no multiple of the page size",
				  data->start);
	if (data->last < data->start || !PAGE_ALIGNED(data->last + 1) ||
	    data->last >= current->mm->task_size)
		return kioas_fail(call, -EINVAL, "last",
				  "0x%llx is no last byte of a page of the process behind start",
				  data->last);
	return 0;
}

static int kioas_cpu_create(struct kioas_call *call, struct kioas_space *space,
			    const void *arguments)
{
	const struct ioasid_alloc_cpu *data = arguments;
	struct kioas_cpu *cpu;
	int ret = kioas_cpu_check(call, data);

	if (ret)
		return ret;
	cpu = kvzalloc(sizeof(*cpu), GFP_KERNEL_ACCOUNT);
	if (!cpu)
		return -ENOMEM;
	cpu->space = space;
	cpu->whole = !data->last;
	cpu->start = data->start;
	cpu->last = cpu->whole ? current->mm->task_size - 1 : data->last;
	cpu->prot = data->prot;
	cpu->mm = current->mm;
	mmgrab(cpu->mm);
	cpu->task = get_task_struct(current->group_leader);
	cpu->unlimited = capable(CAP_IPC_LOCK);
	mutex_init(&cpu->lock);
	xa_init(&cpu->blocks);
	INIT_WORK(&cpu->work, kioas_cpu_work);
	space->private = cpu;
	return 0;
}

static void kioas_cpu_destroy(struct kioas_space *space)
{
	struct kioas_cpu *cpu = space->private;
	struct kioas_block *block;
	unsigned long index;

	mutex_lock(&cpu->lock);
	xa_for_each(&cpu->blocks, index, block) kioas_block_free(block);
	mutex_unlock(&cpu->lock);
	/* Nobody queues it any more. */
	cancel_work_sync(&cpu->work);
	xa_destroy(&cpu->blocks);
	mutex_destroy(&cpu->lock);
	put_task_struct(cpu->task);
	mmdrop(cpu->mm);
	kvfree(cpu);
	space->private = NULL;
}

/* Takes out what @group cannot reach. */
static void kioas_cpu_trim(struct kioas_cpu *cpu, const struct kioas_group *group)
{
	struct kioas_block *block;
	unsigned long index;

	xa_for_each(&cpu->blocks, index,
		    block) if (!kioas_group_reaches(group, block->start,
						    block->start + (KIOAS_BLOCK_BYTES - 1)))
		kioas_block_clear(block, 0, KIOAS_BLOCK_PAGES);
}

static int kioas_cpu_attach(struct kioas_call *call, struct kioas_space *space,
			    struct kioas_group *group)
{
	struct kioas_cpu *cpu = space->private;
	int ret;

	if (!cpu->whole && !kioas_group_reaches(group, cpu->start, cpu->last))
		return kioas_fail(call, -ERANGE, "dev_id", "it cannot use all of 0x%llx to 0x%llx",
				  cpu->start, cpu->last);
	mutex_lock(&cpu->lock);
	cpu->domain = space->domain;
	kioas_cpu_trim(cpu, group);
	ret = kioas_cpu_sync(call, cpu, group, cpu->start, cpu->last);
	mutex_unlock(&cpu->lock);
	return ret;
}

static int kioas_cpu_entry(struct kioas_call *call, struct kioas_cpu *cpu,
			   const struct ioasid_inval_entry *entry)
{
	u64 from = cpu->start, last = cpu->last;

	if (entry->type == IOASID_INVAL_RANGE) {
		from = max(from, entry->iova);
		last = min(last, entry->iova + (entry->length - 1));
	}
	return from > last ? 0 : kioas_cpu_sync(call, cpu, NULL, from, last);
}

static int kioas_cpu_invalidate(struct kioas_call *call, struct kioas_space *space,
				const struct ioasid_inval_entry *entries, u32 count)
{
	struct kioas_cpu *cpu = space->private;
	int ret;

	for (call->index = 0; call->index < count; call->index++)
		if (entries[call->index].flags & IOASID_INVAL_DEVICE)
			return kioas_fail(call, -EOPNOTSUPP, "flags",
					  "all devices of a CPU space have the same table");
	ret = kioas_space_lock(call, space);
	if (ret)
		return ret;
	mutex_lock(&cpu->lock);
	for (call->index = 0; call->index < count && cpu->domain && !ret; call->index++) {
		ret = kioas_cpu_entry(call, cpu, &entries[call->index]);
		if (ret)
			break;
	}
	mutex_unlock(&cpu->lock);
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
	command->out_address = command->iova;
	command->out_start = block->start + ((u64)first << PAGE_SHIFT);
	command->out_last = block->start + ((u64)(last + 1) << PAGE_SHIFT) - 1;
	command->out_prot = block->cpu->prot & (writable ? ~0 : ~IOASID_PROT_WRITE);
	command->out_address_type = IOASID_ADDRESS_PROCESS;
}

static int kioas_cpu_lookup(struct kioas_call *call, struct kioas_space *space,
			    struct ioasid_lookup *command)
{
	struct kioas_cpu *cpu = space->private;
	const unsigned int slot = (command->iova % KIOAS_BLOCK_BYTES) >> PAGE_SHIFT;
	struct kioas_block *block;
	bool found = false;

	mutex_lock(&cpu->lock);
	block = xa_load(&cpu->blocks, command->iova / KIOAS_BLOCK_BYTES);
	if (block) {
		mutex_lock(&block->lock);
		found = test_bit(slot, block->mapped);
		if (found)
			kioas_block_describe(block, slot, command);
		mutex_unlock(&block->lock);
	}
	mutex_unlock(&cpu->lock);
	return found ? 0
		     : kioas_fail(call, -ENOENT, "iova", "nothing is mapped at 0x%llx",
				  command->iova);
}

const struct kioas_kind_ops kioas_cpu_kind = {
	.name = "CPU",
	.kind = IOASID_KIND_CPU,
	.ops = IOASID_OP_LOOKUP | IOASID_OP_INVALIDATE | IOASID_OP_ATTACH,
	.parents = 1,
	.formats = BIT(IOASID_FORMAT_NONE),
	.data_size = sizeof(struct ioasid_alloc_cpu),
	.create = kioas_cpu_create,
	.destroy = kioas_cpu_destroy,
	.invalidate = kioas_cpu_invalidate,
	.lookup = kioas_cpu_lookup,
	.attach = kioas_cpu_attach,
};
