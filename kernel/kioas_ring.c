// SPDX-License-Identifier: GPL-2.0-only
/*
 * The submission ring: elements in memory that the owner shares with us, carried out by ENTER, or by
 * a poller.
 *
 * What is shared is written by its owner at any time: positions of ours are kept here, and only
 * written there; positions of the owner are read once and checked; an element is copied once. An
 * element is taken only if there is room for its completion, so that none is lost.
 *
 * Ordering. sq_tail is loaded with acquire before elements are copied, and sq_head stored with
 * release after: the owner may then write them again. cq_head is loaded with acquire before
 * completions are written over those that were seen, and cq_tail stored with release after. The
 * poller says that it sleeps, then looks at sq_tail; the owner stores sq_tail, then looks whether
 * it sleeps, each with a full barrier in between: one of them sees the other.
 *
 * The poller is a kernel thread. It takes the owner's memory and credentials for a batch at a time
 * and holds neither while it has nothing to do: an exit or exec of the owner ends the ring, and
 * nothing keeps the owner's memory alive.
 */
#include <linux/cred.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "kioas.h"

#define KIOAS_RING_BATCH       64   /* elements that are taken at once */
#define KIOAS_RING_IDLE_US     1000 /* unless the owner says otherwise */
#define KIOAS_RING_IDLE_MAX_US 1000000

/* Elements that follow each other, of one operation, in one space: what calls take as an array */
union kioas_ring_entries {
	struct ioasid_map_entry map[KIOAS_RING_BATCH];
	struct ioasid_unmap_entry unmap[KIOAS_RING_BATCH];
	struct ioasid_inval_entry inval[KIOAS_RING_BATCH];
};

/**
 * struct kioas_ring - a ring; as long as its file
 * @file: its file
 * @head: the shared memory, from its begin
 * @sqes: submissions, in there
 * @cqes: completions, in there
 * @length: bytes of it
 * @sq_entries: how many submissions fit
 * @cq_entries: how many completions fit
 * @owner: who made it: whose limits hold for the poller
 * @mm: the owner's; the structure, not its memory
 * @lock: everything below; outside of kioas_file.memory_lock and kioas_space.lock
 * @sq_head: elements below were taken
 * @cq_tail: elements below were completed; read without the lock by who waits
 * @dead: a position made no sense, or the owner is gone; read without the lock
 * @linked: the last element that was taken had LINK
 * @broken: and its chain has failed
 * @batch: elements that were taken
 * @batch_first: position of the first of them
 * @entries: some of them, as arrays
 * @wait: for completions
 * @poller: NULL: there is none
 * @poller_wait: where the poller sleeps
 * @wakeup: it has been woken
 * @credentials: the owner's, for the poller
 * @idle_us: how long the poller looks for elements before it sleeps
 */
struct kioas_ring {
	struct kioas_file *file;
	struct ioasid_ring_head *head;
	struct ioasid_sqe *sqes;
	struct ioasid_cqe *cqes;
	size_t length;
	u32 sq_entries;
	u32 cq_entries;
	struct task_struct *owner;
	struct mm_struct *mm;

	struct mutex lock;
	u32 sq_head;
	u32 cq_tail;
	bool dead;
	bool linked;
	bool broken;
	struct ioasid_sqe batch[KIOAS_RING_BATCH];
	u32 batch_first;
	union kioas_ring_entries entries;
	wait_queue_head_t wait;

	struct task_struct *poller;
	wait_queue_head_t poller_wait;
	bool wakeup;
	const struct cred *credentials;
	u32 idle_us;
};

/* Positions */

static void kioas_ring_end(struct kioas_ring *ring)
{
	WRITE_ONCE(ring->dead, true);
	WRITE_ONCE(ring->head->sq_flags, IOASID_RING_DEAD);
	wake_up_all(&ring->wait);
}

static u32 kioas_ring_pending(struct kioas_ring *ring)
{
	return smp_load_acquire(&ring->head->sq_tail) - ring->sq_head;
}

static u32 kioas_ring_unseen(struct kioas_ring *ring)
{
	return READ_ONCE(ring->cq_tail) - smp_load_acquire(&ring->head->cq_head);
}

/* Copies elements into the batch. Return: how many, at most @most and KIOAS_RING_BATCH. */
static u32 kioas_ring_take(struct kioas_ring *ring, u32 most)
{
	const u32 pending = kioas_ring_pending(ring), unseen = kioas_ring_unseen(ring);
	const u64 *from;
	u32 count, i, word;

	if (pending > ring->sq_entries || unseen > ring->cq_entries) {
		kioas_ring_end(ring);
		return 0;
	}
	count = min(min(pending, ring->cq_entries - unseen), min_t(u32, most, KIOAS_RING_BATCH));
	for (i = 0; i < count; i++) {
		from = (const u64 *)&ring->sqes[(ring->sq_head + i) & (ring->sq_entries - 1)];
		for (word = 0; word < sizeof(struct ioasid_sqe) / sizeof(u64); word++)
			((u64 *)&ring->batch[i])[word] = READ_ONCE(from[word]);
	}
	ring->batch_first = ring->sq_head;
	ring->sq_head += count;
	smp_store_release(&ring->head->sq_head, ring->sq_head);
	return count;
}

/* There is room. The owner sees it after kioas_ring_publish(). */
static void kioas_ring_complete(struct kioas_ring *ring, const struct ioasid_sqe *sqe, int result)
{
	struct ioasid_cqe *cqe = &ring->cqes[ring->cq_tail & (ring->cq_entries - 1)];

	cqe->user_data = sqe->user_data;
	cqe->result = result;
	cqe->__reserved = 0;
	WRITE_ONCE(ring->cq_tail, ring->cq_tail + 1);
	ring->linked = sqe->flags & IOASID_SQE_LINK;
	ring->broken = ring->linked && result;
}

static void kioas_ring_publish(struct kioas_ring *ring)
{
	smp_store_release(&ring->head->cq_tail, ring->cq_tail);
	if (wq_has_sleeper(&ring->wait))
		wake_up_all(&ring->wait);
}

/* Elements */

static int kioas_sqe_check(struct kioas_call *call, const struct ioasid_sqe *sqe)
{
	const u16 op_flags[] = {
		[IOASID_RING_NOP] = 0,
		[IOASID_RING_MAP] = U16_MAX, /* checked with the entry */
		[IOASID_RING_UNMAP] = IOASID_UNMAP_EXACT,
		[IOASID_RING_INVALIDATE] = IOASID_INVAL_LEAF,
	};

	if (sqe->op >= ARRAY_SIZE(op_flags))
		return kioas_fail(call, -EOPNOTSUPP, "op", "unknown operation %u", sqe->op);
	if (sqe->flags & ~IOASID_SQE_LINK)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", sqe->flags);
	if (sqe->op_flags & ~op_flags[sqe->op])
		return kioas_fail(call, -EOPNOTSUPP, "op_flags", "unknown flags 0x%x",
				  sqe->op_flags);
	if (sqe->__reserved || sqe->__reserved2[0] || sqe->__reserved2[1])
		return kioas_fail(call, -EINVAL, "__reserved", "must be 0");
	if (sqe->op != IOASID_RING_MAP && sqe->address)
		return kioas_fail(call, -EINVAL, "address", "must be 0");
	if (sqe->op == IOASID_RING_NOP && (sqe->ioasid || sqe->iova || sqe->length))
		return kioas_fail(call, -EINVAL, "ioasid", "NOP has no space and no range");
	return 0;
}

static u32 kioas_sqe_space_op(const struct ioasid_sqe *sqe)
{
	return sqe->op == IOASID_RING_INVALIDATE ? IOASID_OP_INVALIDATE : IOASID_OP_MAP;
}

static void kioas_sqe_to_entry(const struct ioasid_sqe *sqe, union kioas_ring_entries *entries,
			       u32 i)
{
	switch (sqe->op) {
	case IOASID_RING_MAP:
		entries->map[i] = (struct ioasid_map_entry){
			.iova = sqe->iova,
			.address = sqe->address,
			.length = sqe->length,
			.flags = sqe->op_flags,
		};
		break;
	case IOASID_RING_UNMAP:
		entries->unmap[i] = (struct ioasid_unmap_entry){ sqe->iova, sqe->length };
		break;
	case IOASID_RING_INVALIDATE:
		entries->inval[i] = (struct ioasid_inval_entry){
			.type = sqe->length ? IOASID_INVAL_RANGE : IOASID_INVAL_ALL,
			.flags = sqe->op_flags,
			.iova = sqe->iova,
			.length = sqe->length,
		};
		break;
	}
}

/* Elements that are the same but for their ranges, as one array. On failure nothing was done. */
static int kioas_run_carry_out(struct kioas_call *call, struct kioas_ring *ring,
			       const struct ioasid_sqe *sqes, u32 count)
{
	union kioas_ring_entries *entries = &ring->entries;
	struct kioas_space *space;
	u64 bytes;
	u32 i;
	int ret;

	call->index = 0;
	ret = kioas_sqe_check(call, sqes);
	if (ret || sqes->op == IOASID_RING_NOP)
		return ret;
	ret = kioas_space_get(call, sqes->ioasid, kioas_sqe_space_op(sqes), &space);
	if (ret)
		return ret;
	for (i = 0; i < count; i++)
		kioas_sqe_to_entry(&sqes[i], entries, i);
	switch (sqes->op) {
	case IOASID_RING_MAP:
		ret = kioas_map_entries(call, space, entries->map, count);
		break;
	case IOASID_RING_UNMAP:
		ret = kioas_unmap_entries(call, space, entries->unmap, count, sqes->op_flags,
					  &bytes);
		break;
	case IOASID_RING_INVALIDATE:
		ret = kioas_invalidate_entries(call, space, entries->inval, count);
		break;
	}
	kioas_space_put(space);
	return ret;
}

/* May the second be in one array with the first? */
static bool kioas_sqe_same(const struct ioasid_sqe *first, const struct ioasid_sqe *sqe)
{
	return !first->flags && !sqe->flags && first->op == sqe->op &&
	       first->op_flags == sqe->op_flags && first->ioasid == sqe->ioasid &&
	       !sqe->__reserved && !sqe->__reserved2[0] && !sqe->__reserved2[1] &&
	       (sqe->op == IOASID_RING_MAP || !sqe->address);
}

static u32 kioas_run_length(const struct ioasid_sqe *sqes, u32 count)
{
	u32 i;

	for (i = 1; i < count && kioas_sqe_same(sqes, &sqes[i]); i++)
		;
	return i;
}

static void kioas_run_complete(struct kioas_ring *ring, const struct ioasid_sqe *sqes, u32 count,
			       int result)
{
	u32 i;

	for (i = 0; i < count; i++)
		kioas_ring_complete(ring, &sqes[i], result);
}

static void kioas_ring_keep_error(struct kioas_call *call, struct kioas_ring *ring,
				  const struct ioasid_sqe *sqe, int error)
{
	const u32 position = ring->batch_first + (sqe - ring->batch);

	call->index = position & (ring->sq_entries - 1);
	kioas_error_keep(call, error, _IOC_NR(IOASID_RING_ENTER) - IOASID_BASE);
	call->field = NULL;
}

/*
 * Each element has its own result: where an array fails, those before the one that is to blame are
 * tried without it, and it then alone.
 */
static void kioas_ring_run(struct kioas_call *call, struct kioas_ring *ring,
			   const struct ioasid_sqe *sqes, u32 count)
{
	u32 size = count;
	int ret;

	while (count) {
		ret = ring->linked && ring->broken
			      ? kioas_fail(call, -ECANCELED, "flags", "an element before failed")
			      : kioas_run_carry_out(call, ring, sqes, size);
		if (ret && size > 1) {
			size = clamp(call->index, 1U, size - 1);
			continue;
		}
		if (ret)
			kioas_ring_keep_error(call, ring, sqes, ret);
		kioas_run_complete(ring, sqes, size, ret);
		sqes += size;
		count -= size;
		size = count;
	}
}

/* Takes elements and completes them. Return: how many. Under the lock. */
static u32 kioas_ring_turn(struct kioas_ring *ring, struct task_struct *owner, u32 most)
{
	struct kioas_call call = { .file = ring->file, .owner = owner };
	const u32 count = ring->dead ? 0 : kioas_ring_take(ring, most);
	u32 at, length;

	for (at = 0; at < count; at += length) {
		length = kioas_run_length(&ring->batch[at], count - at);
		kioas_ring_run(&call, ring, &ring->batch[at], length);
		kioas_ring_publish(ring);
		cond_resched();
	}
	return count;
}

/* The poller */

/* Only the poller changes sq_head. */
static bool kioas_poller_has_work(struct kioas_ring *ring)
{
	return !READ_ONCE(ring->dead) && kioas_ring_pending(ring) &&
	       kioas_ring_unseen(ring) != ring->cq_entries;
}

/* Return: were there elements? */
static bool kioas_poller_turn(struct kioas_ring *ring)
{
	const struct cred *credentials;
	struct mem_cgroup *group, *own;
	u32 count = 0;

	if (!kioas_poller_has_work(ring))
		return false;
	if (!mmget_not_zero(ring->mm)) {
		kioas_ring_end(ring);
		return false;
	}
	kthread_use_mm(ring->mm);
	credentials = override_creds(ring->credentials);
	group = get_mem_cgroup_from_mm(ring->mm);
	own = set_active_memcg(group);
	mutex_lock(&ring->lock);
	count = kioas_ring_turn(ring, ring->owner, KIOAS_RING_BATCH);
	mutex_unlock(&ring->lock);
	set_active_memcg(own);
	mem_cgroup_put(group);
	revert_creds(credentials);
	kthread_unuse_mm(ring->mm);
	mmput(ring->mm);
	return count > 0;
}

static void kioas_poller_sleep(struct kioas_ring *ring)
{
	if (!READ_ONCE(ring->dead))
		WRITE_ONCE(ring->head->sq_flags, IOASID_RING_NEED_WAKEUP);
	/* Pairs with the owner's barrier between sq_tail and sq_flags. */
	smp_mb();
	wait_event_idle(ring->poller_wait, xchg(&ring->wakeup, false) ||
						   kioas_poller_has_work(ring) ||
						   kthread_should_stop());
	if (!READ_ONCE(ring->dead))
		WRITE_ONCE(ring->head->sq_flags, 0);
}

static int kioas_poller(void *data)
{
	struct kioas_ring *ring = data;
	ktime_t end = ktime_add_us(ktime_get(), ring->idle_us);

	allow_kernel_signal(SIGKILL);
	while (!kthread_should_stop()) {
		if (kioas_poller_turn(ring)) {
			end = ktime_add_us(ktime_get(), ring->idle_us);
		} else if (READ_ONCE(ring->dead) || ktime_after(ktime_get(), end)) {
			kioas_poller_sleep(ring);
			end = ktime_add_us(ktime_get(), ring->idle_us);
		} else {
			cpu_relax();
		}
		cond_resched();
	}
	return 0;
}

static int kioas_poller_start(struct kioas_ring *ring, u32 idle_us)
{
	struct task_struct *poller =
		kthread_create(kioas_poller, ring, "kioas-%d", task_pid_nr(current));

	if (IS_ERR(poller))
		return PTR_ERR(poller) == -EINTR ? -EINTR : -ENOMEM;
	ring->idle_us = idle_us;
	ring->credentials = get_current_cred();
	ring->poller = poller;
	return 0;
}

/* Making and ending a ring */

static void kioas_ring_free(struct kioas_ring *ring)
{
	if (ring->poller) {
		/* It may be waiting for memory of its owner, who may not answer any more. */
		send_sig(SIGKILL, ring->poller, 1);
		kthread_stop(ring->poller);
	}
	if (ring->credentials)
		put_cred(ring->credentials);
	vfree(ring->head);
	account_locked_vm(ring->mm, ring->length >> PAGE_SHIFT, false);
	mmdrop(ring->mm);
	put_task_struct(ring->owner);
	mutex_destroy(&ring->lock);
	kfree(ring);
}

void kioas_ring_release(struct kioas_file *file)
{
	if (file->ring)
		kioas_ring_free(file->ring);
	file->ring = NULL;
}

static struct kioas_ring *kioas_ring_new(struct kioas_call *call, struct ioasid_ring_setup *command)
{
	struct kioas_ring *ring = kzalloc(sizeof(*ring), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!ring)
		return ERR_PTR(-ENOMEM);
	ring->file = call->file;
	ring->length = command->out_length;
	ring->sq_entries = command->sq_entries;
	ring->cq_entries = command->out_cq_entries;
	ret = kioas_account(call, ring->length >> PAGE_SHIFT, "sq_entries");
	if (ret)
		goto out_free;
	ring->head = vmalloc_user(ring->length);
	if (!ring->head) {
		ret = -ENOMEM;
		goto out_account;
	}
	ring->sqes = (void *)ring->head + command->out_sq_offset;
	ring->cqes = (void *)ring->head + command->out_cq_offset;
	ring->mm = current->mm;
	mmgrab(ring->mm);
	ring->owner = get_task_struct(current);
	mutex_init(&ring->lock);
	init_waitqueue_head(&ring->wait);
	init_waitqueue_head(&ring->poller_wait);
	return ring;

out_account:
	account_locked_vm(current->mm, ring->length >> PAGE_SHIFT, false);
out_free:
	kfree(ring);
	return ERR_PTR(ret);
}

static int kioas_ring_check(struct kioas_call *call, const struct ioasid_ring_setup *command)
{
	const u32 sq = command->sq_entries, cq = command->cq_entries;

	if (command->flags & ~IOASID_RING_SETUP_POLL)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", command->flags);
	if (!is_power_of_2(sq) || sq > IOASID_RING_ENTRIES_MAX)
		return kioas_fail(call, -EINVAL, "sq_entries", "%u is no power of two up to %u", sq,
				  IOASID_RING_ENTRIES_MAX);
	if (cq && (!is_power_of_2(cq) || cq < sq || cq > 2 * IOASID_RING_ENTRIES_MAX))
		return kioas_fail(call, -EINVAL, "cq_entries",
				  "%u is no power of two from %u to %u", cq, sq,
				  2 * IOASID_RING_ENTRIES_MAX);
	if (command->idle_us > KIOAS_RING_IDLE_MAX_US ||
	    (command->idle_us && !(command->flags & IOASID_RING_SETUP_POLL)))
		return kioas_fail(call, -EINVAL, "idle_us", "%u: up to %u, and for a poller only",
				  command->idle_us, KIOAS_RING_IDLE_MAX_US);
	return 0;
}

static void kioas_ring_layout(struct ioasid_ring_setup *command)
{
	command->out_cq_entries = command->cq_entries ?: 2 * command->sq_entries;
	command->out_sq_offset = sizeof(struct ioasid_ring_head);
	command->out_cq_offset =
		command->out_sq_offset + command->sq_entries * sizeof(struct ioasid_sqe);
	command->out_length = PAGE_ALIGN(command->out_cq_offset +
					 command->out_cq_entries * sizeof(struct ioasid_cqe));
}

/* Under kioas_file.lock. */
static int kioas_ring_make(struct kioas_call *call, struct ioasid_ring_setup *command)
{
	struct kioas_file *file = call->file;
	struct kioas_ring *ring;
	int ret = 0;

	if (file->ring)
		return kioas_fail(call, -EBUSY, "", "the file has a ring");
	/* A thread of the kernel's is not for everybody: who has a device may have one. */
	if (command->flags & IOASID_RING_SETUP_POLL && list_empty(&file->bound))
		return kioas_fail(call, -EINVAL, "flags", "POLL needs a device that is bound");
	ring = kioas_ring_new(call, command);
	if (IS_ERR(ring))
		return PTR_ERR(ring);
	if (command->flags & IOASID_RING_SETUP_POLL)
		ret = kioas_poller_start(ring, command->idle_us ?: KIOAS_RING_IDLE_US);
	if (!ret)
		ret = kioas_answer(call, command);
	if (ret) {
		kioas_ring_free(ring);
		return ret;
	}
	/* mmap() and ENTER look without a lock. */
	smp_store_release(&file->ring, ring);
	if (ring->poller)
		wake_up_process(ring->poller);
	return 0;
}

int kioas_ring_setup(struct kioas_call *call, void *data)
{
	struct ioasid_ring_setup *command = data;
	int ret;

	ret = kioas_ring_check(call, command);
	if (ret)
		return ret;
	kioas_ring_layout(command);
	mutex_lock(&call->file->lock);
	ret = kioas_ring_make(call, command);
	mutex_unlock(&call->file->lock);
	return ret;
}

/*
 * Shared only. It cannot grow, and a child does not get it: it would write into the ring of its
 * parent. The mapping holds the file, whose ring therefore outlives it.
 */
int kioas_ring_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct kioas_file *file = filp->private_data;
	struct kioas_ring *ring = smp_load_acquire(&file->ring);

	if (!ring)
		return -ENOENT;
	if (vma->vm_pgoff != IOASID_RING_OFFSET >> PAGE_SHIFT || !(vma->vm_flags & VM_SHARED) ||
	    vma->vm_end - vma->vm_start != ring->length)
		return -EINVAL;
	kioas_vm_flags_set(vma, VM_DONTCOPY);
	return remap_vmalloc_range(vma, ring->head, 0);
}

/* The doorbell */

static int kioas_enter_submit(struct kioas_ring *ring, struct ioasid_ring_enter *command)
{
	u32 left = min(command->to_submit, ring->sq_entries), count;

	if (mutex_lock_interruptible(&ring->lock))
		return -EINTR;
	while (left && !signal_pending(current)) {
		count = kioas_ring_turn(ring, NULL, left);
		if (!count)
			break;
		command->out_submitted += count;
		left -= count;
	}
	mutex_unlock(&ring->lock);
	return 0;
}

static bool kioas_enter_done(struct kioas_ring *ring, u32 count)
{
	return READ_ONCE(ring->dead) || kioas_ring_unseen(ring) >= count;
}

static int kioas_enter_check(struct kioas_call *call, struct kioas_ring *ring,
			     const struct ioasid_ring_enter *command)
{
	if (command->flags & ~IOASID_ENTER_WAKEUP)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", command->flags);
	if (command->__reserved)
		return kioas_fail(call, -EINVAL, "__reserved", "must be 0");
	if (ring->poller && command->to_submit)
		return kioas_fail(call, -EINVAL, "to_submit", "the kernel polls");
	if (!ring->poller && command->flags & IOASID_ENTER_WAKEUP)
		return kioas_fail(call, -EINVAL, "flags", "there is no poller to wake");
	if (command->min_complete > ring->cq_entries)
		return kioas_fail(call, -EINVAL, "min_complete", "%u completions do not fit",
				  command->min_complete);
	return 0;
}

int kioas_ring_enter(struct kioas_call *call, void *data)
{
	struct ioasid_ring_enter *command = data;
	struct kioas_ring *ring = smp_load_acquire(&call->file->ring);
	int ret;

	if (!ring)
		return kioas_fail(call, -ENOENT, "", "the file has no ring");
	ret = kioas_enter_check(call, ring, command);
	if (ret)
		return ret;
	command->out_submitted = 0;
	if (command->to_submit)
		ret = kioas_enter_submit(ring, command);
	if (ring->poller && (command->flags & IOASID_ENTER_WAKEUP || command->min_complete)) {
		WRITE_ONCE(ring->wakeup, true);
		wake_up(&ring->poller_wait);
	}
	if (!ret && command->min_complete)
		ret = wait_event_interruptible(ring->wait,
					       kioas_enter_done(ring, command->min_complete))
			      ? -EINTR
			      : 0;
	if (!ret && READ_ONCE(ring->dead))
		return kioas_fail(
			call, -EINVAL, "",
			"the ring has ended: a position made no sense, or its process is gone");
	return ret;
}
