/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O address spaces: creation, attachment, and the windows and queues on them.
 *
 * Kind, format, parent and mode are fixed at creation.
 */
#ifndef IOAS_SPACE_H
#define IOAS_SPACE_H

#include <ioas/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rcu_flavor_struct; /* <urcu/flavor.h> */

/**
 * struct ioas_page_request - an access that waits for its page
 * @as: address space, which was created with a handler
 * @dev: device that waits
 * @iova: page address of the access
 * @prot: what it wants to do: mask of enum ioas_prot. The page may be mapped, with fewer rights
 */
struct ioas_page_request {
	struct ioas *as;
	struct ioas_dev *dev;
	ioas_iova_t iova;
	uint32_t prot;
};

/*
 * Map the page (ioas_map() at request->iova with IOAS_MAP_FIXED, of any size that holds it) through
 * @queue, which is the library's and good for this call only; to widen rights, unmap it first.
 * Return: 0, and the device tries again; anything else, and the access is stopped and reported as
 * a fault.
 *
 * Called from a thread of the context, one request at a time over all of its address spaces. It may
 * make slow calls, but must not destroy its address space, unbind the device or close the context:
 * these wait for it. While it runs the device may be detached or moved; the answer does no harm.
 */
typedef int (*ioas_page_request_fn)(void *arg, struct ioas_queue *queue,
				    const struct ioas_page_request *request);

/**
 * struct ioas_opts - a new address space
 * @size: sizeof(struct ioas_opts)
 * @kind: enum ioas_kind
 * @format: USER: page-table format, IOAS_FORMAT_NONE for the backend's first choice
 * @mode: enum ioas_mode. BATCHED is legal on USER spaces; the kernel invalidates KERNEL ones
 *	before their unmap returns
 * @parent: USER: the KERNEL space under it, or NULL to have one made that maps all registered
 *	memory of the context, as it comes and goes
 * @aperture: lowest and highest IOVA that the library may use; 0,0 for all that the table and
 *	the backend allow, less the first MiB (so that 0 is never handed out). CPU: addresses of
 *	the process that devices reach; 0,0 for all that they and the process have in common.
 *	Named ones stay usable: iommufd refuses to attach devices that allow less (-ERANGE)
 * @reserved: ranges inside @aperture that must not be used, or NULL
 * @reserved_count: entries of @reserved
 * @batch_max: BATCHED: ranges unmapped through one queue before its invalidations leave; 0 for
 *	256, at most 4096
 * @batch_ns: BATCHED: upper bound of the time until they leave; 0 for 10 ms; at least 100 us
 * @prot: CPU: most that devices may do, enum ioas_prot; 0 for IOAS_RW. The process's own rights
 *	limit it, page by page
 * @vm_fd: VM: file of a KVM machine (KVM_CREATE_VM) of this process; it stays the caller's
 * @page_request: USER: called for an access that finds no page, or one with too few rights, of a
 *	device that can wait for it (ioas_caps.page_requests); NULL: such accesses are stopped
 * @page_request_arg: first argument of @page_request
 * @readers: KERNEL: flavour of liburcu whose readers unmap waits for, NULL for none: see
 *	<ioas/translate.h>
 *
 * Fields of other kinds than the space's must be 0.
 */
struct ioas_opts {
	uint32_t size;
	uint32_t kind;
	uint32_t format;
	uint32_t mode;
	struct ioas *parent;
	struct ioas_range aperture;
	const struct ioas_range *reserved;
	uint32_t reserved_count;
	uint32_t batch_max;
	uint64_t batch_ns;
	uint32_t prot;
	int32_t vm_fd;
	ioas_page_request_fn page_request;
	void *page_request_arg;
	const struct rcu_flavor_struct *readers;
};

/**
 * ioas_create - make an address space
 *
 * Return: 0; -EINVAL a field is out of range; -EOPNOTSUPP the backend has no such kind or
 * format; -EXDEV @parent is of another context; -EBUSY it records (ioas/dirty.h);
 * -ENOMEM.
 */
int ioas_create(struct ioas_ctx *ctx, const struct ioas_opts *opts, struct ioas **as);

/* Return: 0, or -EBUSY while devices, queues, windows or children are on it. */
int ioas_destroy(struct ioas *as);

/**
 * ioas_attach - let a device do DMA through an address space
 *
 * Attaching an attached device replaces its space: every DMA of the device goes through the old
 * or the new one. Return: 0; -EXDEV different contexts; -EOPNOTSUPP the kind allows no devices.
 */
int ioas_attach(struct ioas *as, struct ioas_dev *dev);

/* Block the device. Return: 0, or -ENOENT when it is not attached. */
int ioas_detach(struct ioas_dev *dev);

/**
 * ioas_sync - bring a CPU or VM space into step with what the process, or the machine, has
 * @va: start, aligned to 4096; VM: a guest-physical address
 * @bytes: length, a multiple of 4096; 0 for the whole space, whatever @va is
 *
 * What the process unmaps or protects is out of the devices' reach when its own call returns. What
 * it maps, or allows again, comes with this call: devices reach it when it returns. (Attaching does
 * the same for all of the space.) The same holds for the memory below the slots of a machine, and
 * for slots: KVM_SET_USER_MEMORY_REGION takes one away by itself, a new one comes with this call,
 * whatever its range. Any thread. Return: 0; -EINVAL; -EOPNOTSUPP of another kind; -ENOMEM no
 * memory, or RLIMIT_MEMLOCK; -ERANGE a slot that the devices cannot use; or another error of the
 * backend.
 */
int ioas_sync(struct ioas *as, const void *va, size_t bytes);

enum ioas_kind ioas_get_kind(const struct ioas *as);
enum ioas_mode ioas_get_mode(const struct ioas *as);
enum ioas_format ioas_get_format(const struct ioas *as);
struct ioas *ioas_get_parent(const struct ioas *as);

/*
 * Smallest page of the table: addresses and lengths of map and unmap are multiples of it. 4096, but
 * for USER spaces of a format with larger ones.
 */
uint64_t ioas_get_page_bytes(const struct ioas *as);

struct ioas_range ioas_get_aperture(const struct ioas *as);

/**
 * ioas_queue_create - a thread's handle for the hot calls of one address space
 *
 * A queue belongs to the thread that created it until another adopts it. Return: 0; -ENOSPC more
 * than 1024 queues on this space; -ENOMEM.
 */
int ioas_queue_create(struct ioas *as, struct ioas_queue **queue);

/* Flushes what is pending first. Return: 0, or the error of that flush (nothing is freed then). */
int ioas_queue_destroy(struct ioas_queue *queue);

/*
 * Make the calling thread the owner. The previous owner must have stopped using the queue, and
 * that must happen before this call in the sense of the C memory model.
 */
void ioas_queue_adopt(struct ioas_queue *queue);

/**
 * struct ioas_window_opts - an exclusive IOVA window over registered memory
 * @size: sizeof(struct ioas_window_opts)
 * @prot: enum ioas_prot of every slot
 * @va: start of the memory, aligned to 4096, wholly inside one registered ioas_mem
 * @bytes: length, a multiple of @slot_bytes
 * @slot_bytes: unit of grant and revoke: a multiple of 4096
 * @identity: IOVA = virtual address; else @iova
 * @iova: fixed start, aligned to 4096; 0 to have one chosen
 *
 * Slot i is the memory [va + i * slot_bytes, + slot_bytes); its IOVA is the window's start plus
 * the same offset.
 */
struct ioas_window_opts {
	uint32_t size;
	uint32_t prot;
	void *va;
	uint64_t bytes;
	uint64_t slot_bytes;
	ioas_iova_t iova;
	bool identity;
};

/**
 * ioas_window_create - own a stretch of IOVA for good, so that map is one store
 *
 * The leaf page tables of the whole window are installed here and kept until it is destroyed.
 * Return: 0; -EINVAL; -EEXIST the IOVA range is in use; -ERANGE outside the aperture; -ENOENT
 * @va is not registered; -EOPNOTSUPP not a USER space, or not one of 4 KiB pages; -ENOMEM.
 */
int ioas_window_create(struct ioas *as, const struct ioas_window_opts *opts,
		       struct ioas_window **window);

/* Return: 0, or -EBUSY while a slot is granted. Waits for a completed invalidation (I1). */
int ioas_window_destroy(struct ioas_window *window);

ioas_iova_t ioas_window_iova(const struct ioas_window *window);
uint32_t ioas_window_slots(const struct ioas_window *window);

#ifdef __cplusplus
}
#endif
#endif
