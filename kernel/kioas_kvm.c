// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory slots of a KVM machine, as windows of a mirror.
 *
 * KVM tells those who track its pages when a slot goes, or moves, once no processor uses it: the
 * window is gone when the ioctl() of the machine's owner returns. It tells nobody when a slot
 * comes: that is seen by the next scan.
 *
 * No slot is missed that goes during a scan: slots are read and windows are added under
 * kioas_mirror.lock, within a reader's section of kvm->srcu. KVM marks a slot invalid, waits for all
 * readers, and only then calls; the call waits for the lock. A scan that begins after the mark does
 * not see the slot.
 *
 * Locks: kvm->slots_lock, the reader's section of KVM's trackers, kioas_mirror.lock and what comes
 * after it. Nothing takes slots_lock under kioas_mirror.lock, nor waits for trackers.
 *
 * The module does not depend on KVM: it borrows KVM's functions while there is a space that needs
 * them.
 */
#include "kioas_mirror.h"

#if KIOAS_HAS_KVM
#include <linux/file.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>
#include <asm/kvm_page_track.h>

struct kioas_kvm_calls {
	typeof(&kvm_get_kvm) get;
	typeof(&kvm_put_kvm) put;
	typeof(&kvm_page_track_register_notifier) track;
	typeof(&kvm_page_track_unregister_notifier) untrack;
};

struct kioas_kvm {
	struct kvm_page_track_notifier_node node;
	struct kioas_mirror *mirror;
	struct kvm *kvm;
	struct kioas_kvm_calls calls;
};

static void kioas_kvm_calls_put(struct kioas_kvm_calls *calls)
{
	if (calls->get)
		symbol_put(kvm_get_kvm);
	if (calls->put)
		symbol_put(kvm_put_kvm);
	if (calls->track)
		symbol_put(kvm_page_track_register_notifier);
	if (calls->untrack)
		symbol_put(kvm_page_track_unregister_notifier);
}

static bool kioas_kvm_calls_get(struct kioas_kvm_calls *calls)
{
	calls->get = symbol_get(kvm_get_kvm);
	calls->put = symbol_get(kvm_put_kvm);
	calls->track = symbol_get(kvm_page_track_register_notifier);
	calls->untrack = symbol_get(kvm_page_track_unregister_notifier);
	return calls->get && calls->put && calls->track && calls->untrack;
}

/* Where KVM is not loaded nothing can be its file. */
static bool kioas_file_is_kvm(struct file *filp)
{
	typeof(&file_is_kvm) is_kvm = symbol_get(file_is_kvm);
	bool yes = is_kvm && is_kvm(filp);

	if (is_kvm)
		symbol_put(file_is_kvm);
	return yes;
}

static void kioas_kvm_removed(struct kvm_page_track_notifier_node *node, gfn_t first, u64 pages)
{
	struct kioas_kvm *kvm = container_of(node, struct kioas_kvm, node);
	const u64 start = first << PAGE_SHIFT, last = start + (pages << PAGE_SHIFT) - 1;
	struct kioas_window *window;

	mutex_lock(&kvm->mirror->lock);
	while ((window = kioas_window_first(kvm->mirror, start, last)))
		kioas_window_remove(window);
	mutex_unlock(&kvm->mirror->lock);
}

#if KIOAS_KVM_TELLS_REGIONS
static void kioas_kvm_flush(gfn_t gfn, unsigned long pages,
			    struct kvm_page_track_notifier_node *node)
{
	kioas_kvm_removed(node, gfn, pages);
}

static int kioas_kvm_track(struct kioas_kvm *kvm)
{
	kvm->node.track_remove_region = kioas_kvm_flush;
	return kvm->calls.track(kvm->kvm, &kvm->node);
}
#else
static void kioas_kvm_flush(struct kvm *machine, struct kvm_memory_slot *slot,
			    struct kvm_page_track_notifier_node *node)
{
	/* Addresses in system management mode are no device's. */
	if (!slot->as_id)
		kioas_kvm_removed(node, slot->base_gfn, slot->npages);
}

static int kioas_kvm_track(struct kioas_kvm *kvm)
{
	kvm->node.track_flush_slot = kioas_kvm_flush;
	kvm->calls.track(kvm->kvm, &kvm->node);
	return 0;
}
#endif

/* Of KVM's own slots (the local APIC's page...) devices see nothing. */
static bool kioas_slot_shown(const struct kvm_memory_slot *slot)
{
	return !(slot->flags & KVM_MEMSLOT_INVALID) && slot->id < KVM_USER_MEM_SLOTS;
}

static int kioas_kvm_add(struct kioas_call *call, struct kioas_mirror *mirror,
			 const struct kvm_memory_slot *slot, const struct kioas_group *joining)
{
	const u64 start = slot->base_gfn << PAGE_SHIFT;
	const u64 last = start + ((u64)slot->npages << PAGE_SHIFT) - 1;
	const u32 prot = slot->flags & KVM_MEM_READONLY ? IOASID_PROT_READ
							: IOASID_PROT_READ | IOASID_PROT_WRITE;

	if ((joining && !kioas_group_reaches(joining, start, last)) ||
	    !kioas_space_reaches(mirror->space, start, last))
		return kioas_fail(call, -ERANGE, "ioasid",
				  "devices cannot use all of the slot at 0x%llx to 0x%llx", start,
				  last);
	if (kioas_window_first(mirror, start, last))
		return 0;
	return kioas_window_add(mirror, start, last, slot->userspace_addr, prot);
}

int kioas_kvm_scan(struct kioas_call *call, struct kioas_kvm *kvm,
		   const struct kioas_group *joining)
{
	const struct kvm_memory_slot *slot;
	int bucket, srcu, ret = 0;

	srcu = srcu_read_lock(&kvm->kvm->srcu);
	kvm_for_each_memslot(slot, bucket,
			     kvm_memslots(kvm->kvm)) if (!ret && kioas_slot_shown(slot)) ret =
		kioas_kvm_add(call, kvm->mirror, slot, joining);
	srcu_read_unlock(&kvm->kvm->srcu, srcu);
	return ret;
}

static int kioas_kvm_check(struct kioas_call *call, struct file *filp, int fd)
{
	const struct kvm *machine;

	if (!filp)
		return kioas_fail(call, -ENOENT, "vm_fd", "%d is no open file", fd);
	if (!kioas_file_is_kvm(filp))
		return kioas_fail(call, -EINVAL, "vm_fd", "%d is no file of a KVM machine", fd);
	machine = filp->private_data;
	if (machine->mm != current->mm)
		return kioas_fail(call, -EINVAL, "vm_fd",
				  "the memory of machine %d is another process's", fd);
	return 0;
}

static int kioas_kvm_start(struct kioas_call *call, struct kioas_kvm *kvm)
{
	int ret;

	if (!kioas_kvm_calls_get(&kvm->calls))
		return kioas_fail(call, -EOPNOTSUPP, "vm_fd", "KVM does not tell of its slots");
	kvm->calls.get(kvm->kvm);
	ret = kioas_kvm_track(kvm);
	if (!ret || ret == -ENOMEM)
		goto out;
	ret = kioas_fail(call, -EOPNOTSUPP, "vm_fd", "KVM does not let us track it (%d)", ret);
out:
	if (ret)
		kvm->calls.put(kvm->kvm);
	return ret;
}

int kioas_kvm_open(struct kioas_call *call, struct kioas_mirror *mirror, int fd)
{
	struct file *filp = fget(fd);
	struct kioas_kvm *kvm = NULL;
	int ret = kioas_kvm_check(call, filp, fd);

	if (!ret) {
		kvm = kzalloc(sizeof(*kvm), GFP_KERNEL_ACCOUNT);
		ret = kvm ? 0 : -ENOMEM;
	}
	if (!ret) {
		kvm->mirror = mirror;
		kvm->kvm = filp->private_data;
		ret = kioas_kvm_start(call, kvm);
	}
	if (!ret) {
		mirror->kvm = kvm;
	} else if (kvm) {
		kioas_kvm_calls_put(&kvm->calls);
		kfree(kvm);
	}
	if (filp)
		fput(filp);
	return ret;
}

void kioas_kvm_close(struct kioas_kvm *kvm)
{
	kvm->calls.untrack(kvm->kvm, &kvm->node);
	kvm->calls.put(kvm->kvm);
	kioas_kvm_calls_put(&kvm->calls);
	kfree(kvm);
}

#else

int kioas_kvm_open(struct kioas_call *call, struct kioas_mirror *mirror, int fd)
{
	return kioas_fail(
		call, -EOPNOTSUPP, "vm_fd",
		"KVM exports no file_is_kvm() or tracker here: vm_fd -1, and MAP_DMA of each slot");
}

void kioas_kvm_close(struct kioas_kvm *kvm)
{
}

int kioas_kvm_scan(struct kioas_call *call, struct kioas_kvm *kvm,
		   const struct kioas_group *joining)
{
	return 0;
}

#endif
