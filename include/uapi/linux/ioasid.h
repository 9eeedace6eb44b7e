/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/ioasid: I/O address spaces for drivers in user space, by the module kioas.
 *
 * Source of the model: "/dev/ioasid uAPI proposal" (RFC v1, May 2021) and "/dev/iommu uAPI
 * proposal" (RFC v2, July 2021). docs/uapi.md has a row for each call of both.
 *
 * A program opens /dev/ioasid, and the file /dev/kioas/NAME of each of its devices; binds the
 * devices (their DMA is blocked from then on), asks what they can do, allocates address spaces
 * whose kind, format and parent stay as they are, and attaches devices to them. Numbers that name
 * devices and spaces are the file's own; 0 names nothing.
 *
 * Structures. Each call takes a pointer to one. It begins with its size in bytes, as the caller
 * knows it. A shorter one than the kernel's is filled up with zeros; of a longer one, what the
 * kernel does not know must be zero (E2BIG). Fields whose names begin with out_ are written, and
 * only if the call succeeds, except where it is said otherwise. Where they cannot be written
 * (EFAULT) a call that makes something has made nothing; UNMAP_DMA has unmapped. Reserved
 * fields and unknown flags must be zero.
 *
 * Errors. Each has one meaning:
 *
 *	ENOTTY		there is no such call
 *	E2BIG		the structure has something behind its known end that is not zero
 *	EOPNOTSUPP	the call, or the value of a field, is known but not available here
 *	EINVAL		a value that can never be right, or an operation that the kind does not have
 *	EFAULT		memory of the caller is not there, or does not allow what is asked for
 *	ENOENT		nothing has this number or lies at this address
 *	EEXIST		something lies there
 *	EBUSY		in use: by a device, a child, a mapping, or another owner
 *	ERANGE		an IOVA that the devices of the space cannot use
 *	EACCES		memory was registered without the right that is asked for
 *	EXDEV		the device's IOMMU cannot use the table of this space: allocate another
 *	EMSGSIZE	an array is too short: its count field says how many there are
 *	EPERM		the machine's interrupts are not isolated (module option
 *			allow_unsafe_interrupts)
 *	ECANCELED	an element of a ring is linked to one that failed
 *	EINTR		a signal came
 *	ENODEV		the device has been taken away
 *	ENOMEM		out of memory, or RLIMIT_MEMLOCK would be exceeded
 *	EIO		the IOMMU driver failed
 *
 * IOASID_LAST_ERROR tells which field of which array element it was, in words.
 *
 * Threads. Any thread may make any call. Calls on one space exclude each other; attach, detach,
 * bind, allocation and registration exclude each other within a file. Calls that have returned are
 * seen by those that are made after them.
 */
#ifndef _UAPI_LINUX_IOASID_H
#define _UAPI_LINUX_IOASID_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define IOASID_TYPE (';')
#define IOASID_BASE 0xc0

/* The arrays of a call have at most so many elements. */
#define IOASID_ARRAY_MAX 4096

/* Names of things */

/**
 * enum ioasid_kind - where the table of an address space comes from
 * @IOASID_KIND_KERNEL: the kernel builds it from MAP and UNMAP. Without a parent, what is mapped is
 *	memory of the caller; with a parent, addresses of the parent.
 * @IOASID_KIND_USER: the caller writes it, in memory that the parent maps; the IOMMU walks it, or
 *	the kernel does and keeps a shadow (software nesting)
 * @IOASID_KIND_CPU: the page table of the calling process, whole or in part: IOVA is its address
 * @IOASID_KIND_VM: the guest-physical addresses of a virtual machine
 * @IOASID_KIND_PASSTHROUGH: IOVA is the parent's address. Without a parent: IOVA is the address in
 *	the calling process, of all memory that is registered (the identity root of RFC v2)
 */
enum ioasid_kind {
	IOASID_KIND_KERNEL = 1,
	IOASID_KIND_USER = 2,
	IOASID_KIND_CPU = 3,
	IOASID_KIND_VM = 4,
	IOASID_KIND_PASSTHROUGH = 5,
};

/**
 * enum ioasid_op - what a kind may allow; each is a bit of &ioasid_kind_info.out_ops
 * @IOASID_OP_MAP: IOASID_MAP_DMA and IOASID_UNMAP_DMA
 * @IOASID_OP_LOOKUP: IOASID_LOOKUP
 * @IOASID_OP_INVALIDATE: IOASID_INVALIDATE_CACHE
 * @IOASID_OP_PARENT: other spaces may have it as their parent
 * @IOASID_OP_ATTACH: devices may be attached
 * @IOASID_OP_DIRTY: IOASID_SET_DIRTY_TRACKING and IOASID_GET_DIRTY_BITMAP, where hardware can
 * @IOASID_OP_REGISTERED: IOASID_REGISTER_MEMORY maps into it
 */
enum ioasid_op {
	IOASID_OP_MAP = 1 << 0,
	IOASID_OP_LOOKUP = 1 << 1,
	IOASID_OP_INVALIDATE = 1 << 2,
	IOASID_OP_PARENT = 1 << 3,
	IOASID_OP_ATTACH = 1 << 4,
	IOASID_OP_DIRTY = 1 << 5,
	IOASID_OP_REGISTERED = 1 << 6,
};

/**
 * enum ioasid_format - format of a table, named neutrally
 * @IOASID_FORMAT_NONE: the kernel chooses
 * @IOASID_FORMAT_X86_64_L4: x86-64, 4 levels, 48 bits (VT-d first stage, AMD v2)
 * @IOASID_FORMAT_X86_64_L5: x86-64, 5 levels, 57 bits
 * @IOASID_FORMAT_VTDSS_L4: VT-d second stage, 4 levels, 48 bits
 * @IOASID_FORMAT_VTDSS_L5: VT-d second stage, 5 levels, 57 bits
 * @IOASID_FORMAT_ARM64_S1_4K: Arm VMSAv8-64 stage 1, granule of 4 KiB, 48 bits
 * @IOASID_FORMAT_ARM64_S1_16K: the same with 16 KiB
 * @IOASID_FORMAT_ARM64_S1_64K: the same with 64 KiB
 * @IOASID_FORMAT_AMDV1_L4: AMD host tables, 4 levels, 48 bits
 * @IOASID_FORMAT_AMDV1_L5: the same, 5 levels, 57 bits
 * @IOASID_FORMAT_AMDV1_L6: the same, 6 levels, 64 bits
 * @IOASID_FORMAT_RISCV_SV39: RISC-V first stage, 3 levels, 39 bits
 * @IOASID_FORMAT_RISCV_SV48: the same, 4 levels, 48 bits
 * @IOASID_FORMAT_RISCV_SV57: the same, 5 levels, 57 bits
 *
 * In masks of formats, bit N stands for the format of number N.
 */
enum ioasid_format {
	IOASID_FORMAT_NONE = 0,
	IOASID_FORMAT_X86_64_L4 = 1,
	IOASID_FORMAT_X86_64_L5 = 2,
	IOASID_FORMAT_VTDSS_L4 = 3,
	IOASID_FORMAT_VTDSS_L5 = 4,
	IOASID_FORMAT_ARM64_S1_4K = 5,
	IOASID_FORMAT_ARM64_S1_16K = 6,
	IOASID_FORMAT_ARM64_S1_64K = 7,
	IOASID_FORMAT_AMDV1_L4 = 8,
	IOASID_FORMAT_AMDV1_L5 = 9,
	IOASID_FORMAT_AMDV1_L6 = 10,
	IOASID_FORMAT_RISCV_SV39 = 11,
	IOASID_FORMAT_RISCV_SV48 = 12,
	IOASID_FORMAT_RISCV_SV57 = 13,
};

/**
 * enum ioasid_prot - what a device may do
 * @IOASID_PROT_READ: read memory
 * @IOASID_PROT_WRITE: write memory; most tables then allow it to read as well
 */
enum ioasid_prot {
	IOASID_PROT_READ = 1 << 0,
	IOASID_PROT_WRITE = 1 << 1,
};

/**
 * struct ioasid_range - a closed interval of addresses
 * @start: first address
 * @last: last address, inclusive
 */
struct ioasid_range {
	__aligned_u64 start;
	__aligned_u64 last;
};

/* What is there */

/**
 * enum ioasid_extension - what IOASID_CHECK_EXTENSION can be asked for
 * @IOASID_EXT_VERSION: version of this interface, 1
 * @IOASID_EXT_KINDS: mask of the kinds that can be allocated: 1 << enum ioasid_kind
 * @IOASID_EXT_ARRAY_MAX: longest array that a call takes
 * @IOASID_EXT_ATOMIC_REPLACE: 1 if a device that is moved between spaces always has one of both; 0
 *	if its DMA is blocked in between
 * @IOASID_EXT_FAULTS: mask of the events that read() may deliver: 1 << enum ioasid_event
 * @IOASID_EXT_FAULT_RESPONSE: 1 if there can be faults that wait for a response
 * @IOASID_EXT_DIRTY_TRACKING: 1 if the module can track, where the hardware can
 * @IOASID_EXT_PASID: 1 if devices can be attached with a PASID
 * @IOASID_EXT_RING: largest number of submission entries, 0 if there are no rings
 * @IOASID_EXT_RING_POLL: 1 if the kernel can poll a ring
 * @IOASID_EXT_KVM: 1 if a VM space can follow a KVM machine; 0: the caller maps its slots
 */
enum ioasid_extension {
	IOASID_EXT_VERSION = 0,
	IOASID_EXT_KINDS = 1,
	IOASID_EXT_ARRAY_MAX = 2,
	IOASID_EXT_ATOMIC_REPLACE = 3,
	IOASID_EXT_FAULTS = 4,
	IOASID_EXT_FAULT_RESPONSE = 5,
	IOASID_EXT_DIRTY_TRACKING = 6,
	IOASID_EXT_PASID = 7,
	IOASID_EXT_RING = 8,
	IOASID_EXT_RING_POLL = 9,
	IOASID_EXT_KVM = 10,
};

/**
 * struct ioasid_check_extension - ioctl(IOASID_CHECK_EXTENSION)
 * @size: sizeof(struct ioasid_check_extension)
 * @extension: enum ioasid_extension; what the kernel does not know has the value 0
 * @out_value: see the extension
 */
struct ioasid_check_extension {
	__u32 size;
	__u32 extension;
	__aligned_u64 out_value;
};
#define IOASID_CHECK_EXTENSION _IO(IOASID_TYPE, IOASID_BASE + 0)

/**
 * struct ioasid_kind_info - ioctl(IOASID_KIND_GET_INFO): what is legal on a kind
 * @size: sizeof(struct ioasid_kind_info)
 * @kind: enum ioasid_kind. EOPNOTSUPP: known, but not to be had here
 * @out_ops: mask of enum ioasid_op
 * @out_parents: mask of the kinds that a parent may have: 1 << enum ioasid_kind; bit 0: it may have
 *	none
 * @out_formats: mask of the formats that may be asked for at allocation, less than which a device
 *	may allow
 * @__reserved: 0
 */
struct ioasid_kind_info {
	__u32 size;
	__u32 kind;
	__u32 out_ops;
	__u32 out_parents;
	__aligned_u64 out_formats;
	__aligned_u64 __reserved;
};
#define IOASID_KIND_GET_INFO _IO(IOASID_TYPE, IOASID_BASE + 1)

/* Devices */

/**
 * struct ioasid_bind_device - ioctl(IOASID_BIND_DEVICE)
 * @size: sizeof(struct ioasid_bind_device)
 * @flags: 0
 * @device_fd: an open file /dev/kioas/NAME. Opening it is what takes permission.
 * @out_dev_id: the device's number
 * @cookie: the caller's word for the device, part of every event that concerns it
 *
 * Takes the device's IOMMU group for this file: until the device is attached, none of its DMA
 * reaches anything. Bus mastering is off. EBUSY: the device is bound, or its group has another
 * owner or a device with a driver that does DMA.
 *
 * A device that is removed, or taken from its driver, is unbound at once; an event says so.
 */
struct ioasid_bind_device {
	__u32 size;
	__u32 flags;
	__s32 device_fd;
	__u32 out_dev_id;
	__aligned_u64 cookie;
};
#define IOASID_BIND_DEVICE _IO(IOASID_TYPE, IOASID_BASE + 2)

/**
 * struct ioasid_unbind_device - ioctl(IOASID_UNBIND_DEVICE)
 * @size: sizeof(struct ioasid_unbind_device)
 * @dev_id: the device
 *
 * EBUSY: it is attached. Bus mastering is switched off, the device is reset if it can be by itself,
 * and the last device of a group gives the group back to the kernel.
 */
struct ioasid_unbind_device {
	__u32 size;
	__u32 dev_id;
};
#define IOASID_UNBIND_DEVICE _IO(IOASID_TYPE, IOASID_BASE + 3)

/**
 * enum ioasid_device_cap - bits of &ioasid_device_info.out_caps
 * @IOASID_DEVICE_CAP_COHERENT: DMA is coherent with the processors' caches
 * @IOASID_DEVICE_CAP_PASID: may be attached with a PASID
 * @IOASID_DEVICE_CAP_FAULT: its page faults can be answered, so that it may share tables of
 *	processors without pinned memory
 * @IOASID_DEVICE_CAP_DIRTY: hardware tracks what the device writes
 * @IOASID_DEVICE_CAP_RESET: can be reset by itself
 */
enum ioasid_device_cap {
	IOASID_DEVICE_CAP_COHERENT = 1 << 0,
	IOASID_DEVICE_CAP_PASID = 1 << 1,
	IOASID_DEVICE_CAP_FAULT = 1 << 2,
	IOASID_DEVICE_CAP_DIRTY = 1 << 3,
	IOASID_DEVICE_CAP_RESET = 1 << 4,
};

/**
 * struct ioasid_device_info - ioctl(IOASID_DEVICE_GET_INFO)
 * @size: sizeof(struct ioasid_device_info)
 * @dev_id: the device; no address space need exist
 * @ranges_uptr: array of struct ioasid_range for the IOVAs that the device can use: ascending,
 *	apart
 * @range_count: length of the array; written in any case: how many ranges there are (EMSGSIZE: more
 *	than the array holds)
 * @flags: 0
 * @out_cookie: as given to IOASID_BIND_DEVICE
 * @out_caps: mask of enum ioasid_device_cap
 * @out_page_sizes: mask of the page sizes of the IOMMU's tables, in bytes
 * @out_user_formats: formats of USER tables that the IOMMU itself walks below a parent
 * @out_shadow_formats: formats of USER tables that the kernel walks and shadows for this device
 * @out_group: the IOMMU group; devices of one group are attached to the same space
 * @out_pasid_bits: PASIDs have so many bits, 0 if the device has none
 * @__reserved: 0
 */
struct ioasid_device_info {
	__u32 size;
	__u32 dev_id;
	__aligned_u64 ranges_uptr;
	__u32 range_count;
	__u32 flags;
	__aligned_u64 out_cookie;
	__aligned_u64 out_caps;
	__aligned_u64 out_page_sizes;
	__aligned_u64 out_user_formats;
	__aligned_u64 out_shadow_formats;
	__u32 out_group;
	__u32 out_pasid_bits;
	__aligned_u64 __reserved;
};
#define IOASID_DEVICE_GET_INFO _IO(IOASID_TYPE, IOASID_BASE + 4)

/**
 * enum ioasid_device_op - what IOASID_DEVICE_CONTROL does
 * @IOASID_DEVICE_MASTER_ON: lets the device master the bus. EINVAL: it is not attached
 * @IOASID_DEVICE_MASTER_OFF: stops that, and waits for what it has under way
 * @IOASID_DEVICE_RESET: resets it, if it can be by itself (EOPNOTSUPP); it does not master the bus
 *	after that
 */
enum ioasid_device_op {
	IOASID_DEVICE_MASTER_ON = 1,
	IOASID_DEVICE_MASTER_OFF = 2,
	IOASID_DEVICE_RESET = 3,
};

/**
 * struct ioasid_device_control - ioctl(IOASID_DEVICE_CONTROL)
 * @size: sizeof(struct ioasid_device_control)
 * @dev_id: the device
 * @op: enum ioasid_device_op
 * @flags: 0
 *
 * Registers are reached through the device's resource files in sysfs.
 */
struct ioasid_device_control {
	__u32 size;
	__u32 dev_id;
	__u32 op;
	__u32 flags;
};
#define IOASID_DEVICE_CONTROL _IO(IOASID_TYPE, IOASID_BASE + 5)

/* Address spaces */

/**
 * struct ioasid_alloc_user - data of a USER space
 * @root: where the table begins: an address of the parent, aligned to the format's page. ENOENT: the
 *	parent maps nothing to be read there
 * @flags: 0
 *
 * Where the kernel shadows the table it reads it now, when a device is attached, and as
 * IOASID_INVALIDATE_CACHE says; entries that were not present have to be invalidated, too. It does
 * not write to it: accessed and dirty bits stay as they are. Memory that leaves the parent is out of
 * reach at once, memory that comes to it is reached at once; tables that come and go are noticed
 * when they are read next. Formats of x86-64 and RISC-V: the lower half of the addresses. AMD:
 * without tables that skip a level, and pages of other sizes than their level's. RISC-V: without
 * Svnapot.
 */
struct ioasid_alloc_user {
	__aligned_u64 root;
	__aligned_u64 flags;
};

/**
 * struct ioasid_alloc_cpu - data of a CPU space
 * @start: first address of the process that devices reach; a multiple of the page size
 * @last: last one; the last byte of a page. 0 for both: all addresses that the process and the
 *	devices have in common
 * @prot: mask of enum ioasid_prot: most that a device may do; the process's own rights limit it
 * @flags: 0
 *
 * The process is the caller. Nothing is mapped before a device is attached: the kernel then pins
 * what the process has in the interval, with the process's rights, and accounts it. Memory that is
 * not there yet is made, as by a write or a read of the process. What cannot be pinned is left out,
 * as are registers of devices and memory that a userfaultfd watches.
 *
 * From then on the space follows the process:
 *
 *	- what the process gives up (unmaps, moves away, protects, discards, cuts off a file, by
 *	  exit) is out of the devices' reach when the call of the process returns
 *	- what it gets (maps, moves there, allows again) comes with the next IOASID_INVALIDATE_CACHE
 *	  of the range, or the next attach. When that has returned the space is in step: it holds
 *	  what the process had, and has not given up since
 *	- what had to leave though the process still has it comes back by itself a little later: the
 *	  rest of a large page of which a part was given up, memory whose rights changed, pages that
 *	  the kernel tried to move. DMA in between is refused and lost. The call above waits for it
 *
 * As long as the process leaves its mappings alone, and no other process changes the files that
 * they are of, nothing else leaves the space. A child of fork() gets copies; devices stay with the
 * parent. When the process ends or runs another program, the space is empty from then on
 * (IOASID_EVENT_SPACE_BROKEN), and the call above fails (EFAULT).
 *
 * IOASID_LOOKUP tells what is there now.
 */
struct ioasid_alloc_cpu {
	__aligned_u64 start;
	__aligned_u64 last;
	__u32 prot;
	__u32 flags;
};

/**
 * struct ioasid_alloc_vm - data of a VM space
 * @vm_fd: the file of a KVM machine whose memory is the calling process's; or -1: the caller maps
 *	the slots of its machine, whoever runs it. EOPNOTSUPP: IOASID_EXT_KVM is 0. EINVAL: no file
 *	of a KVM machine, or of another process's
 * @flags: 0
 *
 * IOVA is the guest's physical address. Each slot shows memory of the process; in what it shows a VM
 * space is as a CPU space: nothing is mapped before a device is attached, what is there then is
 * pinned and accounted, what the process gives up is out of the devices' reach at once, and what it
 * gets comes with the next IOASID_INVALIDATE_CACHE (see &struct ioasid_alloc_cpu).
 *
 * With a machine of KVM: a slot that it deletes or moves is out of reach when its ioctl() returns; a
 * slot that it gets comes with the next IOASID_INVALIDATE_CACHE, of whatever range, or attach
 * (ERANGE: devices cannot use all of it). Slots that are read-only are for reading only. Addresses
 * without a slot are not mapped, nor are those of system management mode. The space keeps the
 * machine alive. From Linux 6.5 on KVM refuses to move slots of a machine that such a space follows
 * (EINVAL): delete them and add them. IOASID_MAP_DMA is not to be had (EINVAL).
 *
 * Without: IOASID_MAP_DMA by the same process makes a slot, and IOASID_UNMAP_DMA takes it away. The
 * memory need not be there, and cannot be IOASID_MAP_REGISTERED.
 */
struct ioasid_alloc_vm {
	__s32 vm_fd;
	__u32 flags;
};

/**
 * struct ioasid_alloc - ioctl(IOASID_ALLOC)
 * @size: sizeof(struct ioasid_alloc)
 * @flags: 0
 * @kind: enum ioasid_kind
 * @format: enum ioasid_format; NONE where the kernel builds the table
 * @parent_id: the space whose addresses the table holds, or 0 (see &ioasid_kind_info.out_parents)
 * @dev_id: the device for whose IOMMU the table is made, or 0: the first that is attached
 * @data_uptr: struct ioasid_alloc_KIND for USER, CPU and VM; 0 otherwise
 * @data_len: size of that structure; what holds for @size holds for it
 * @out_ioasid: the space's number
 *
 * A space has one table. It may be filled before a device is attached; the device must be able to
 * use all that is in it then (ERANGE), and its IOMMU the table (EXDEV).
 */
struct ioasid_alloc {
	__u32 size;
	__u32 flags;
	__u32 kind;
	__u32 format;
	__u32 parent_id;
	__u32 dev_id;
	__aligned_u64 data_uptr;
	__u32 data_len;
	__u32 out_ioasid;
};
#define IOASID_ALLOC _IO(IOASID_TYPE, IOASID_BASE + 6)

/**
 * struct ioasid_free - ioctl(IOASID_FREE): of any kind
 * @size: sizeof(struct ioasid_free)
 * @ioasid: the space. What is mapped in it goes with it.
 *
 * EBUSY: a device is attached, or a child exists.
 */
struct ioasid_free {
	__u32 size;
	__u32 ioasid;
};
#define IOASID_FREE _IO(IOASID_TYPE, IOASID_BASE + 7)

/**
 * enum ioasid_attach_flags - how a device is attached
 * @IOASID_ATTACH_PASID: only DMA that carries @pasid
 */
enum ioasid_attach_flags {
	IOASID_ATTACH_PASID = 1 << 0,
};

/**
 * struct ioasid_attach - ioctl(IOASID_ATTACH)
 * @size: sizeof(struct ioasid_attach)
 * @flags: enum ioasid_attach_flags
 * @dev_id: the device
 * @ioasid: the space
 * @pasid: with IOASID_ATTACH_PASID
 * @__reserved: 0
 *
 * A device that is attached is moved: whether its DMA is blocked for a moment says
 * IOASID_EXT_ATOMIC_REPLACE. If the call fails it is where it was. Devices of a group move
 * together: EBUSY while another one of them is attached to another space.
 */
struct ioasid_attach {
	__u32 size;
	__u32 flags;
	__u32 dev_id;
	__u32 ioasid;
	__u32 pasid;
	__u32 __reserved;
};
#define IOASID_ATTACH _IO(IOASID_TYPE, IOASID_BASE + 8)

/**
 * struct ioasid_detach - ioctl(IOASID_DETACH)
 * @size: sizeof(struct ioasid_detach)
 * @flags: enum ioasid_attach_flags
 * @dev_id: the device. ENOENT: it is not attached
 * @pasid: with IOASID_ATTACH_PASID
 *
 * Bus mastering is switched off, then all DMA of the device is blocked.
 */
struct ioasid_detach {
	__u32 size;
	__u32 flags;
	__u32 dev_id;
	__u32 pasid;
};
#define IOASID_DETACH _IO(IOASID_TYPE, IOASID_BASE + 9)

/* Memory and mappings */

/**
 * struct ioasid_memory - ioctl(IOASID_REGISTER_MEMORY), ioctl(IOASID_UNREGISTER_MEMORY)
 * @size: sizeof(struct ioasid_memory)
 * @prot: mask of enum ioasid_prot: most that a mapping of it may ask for. UNREGISTER: 0
 * @va: address in the calling process; a multiple of the page size
 * @length: bytes; a multiple of the page size, not 0
 *
 * Pins the memory and accounts it to the caller's RLIMIT_MEMLOCK, once, however often it is mapped
 * then. Mappings mean the memory that was there when it was registered.
 *
 * EEXIST: overlaps other registered memory. UNREGISTER takes the very range of a REGISTER by the
 * same process (ENOENT); EBUSY: something maps it.
 */
struct ioasid_memory {
	__u32 size;
	__u32 prot;
	__aligned_u64 va;
	__aligned_u64 length;
};
#define IOASID_REGISTER_MEMORY	 _IO(IOASID_TYPE, IOASID_BASE + 10)
#define IOASID_UNREGISTER_MEMORY _IO(IOASID_TYPE, IOASID_BASE + 11)

/**
 * enum ioasid_map_flags - flags of a mapping, besides enum ioasid_prot
 * @IOASID_MAP_READ: as IOASID_PROT_READ
 * @IOASID_MAP_WRITE: as IOASID_PROT_WRITE
 * @IOASID_MAP_REGISTERED: memory that is not registered is refused (ENOENT) in place of pinning it
 */
enum ioasid_map_flags {
	IOASID_MAP_READ = 1 << 0,
	IOASID_MAP_WRITE = 1 << 1,
	IOASID_MAP_REGISTERED = 1 << 2,
};

/**
 * struct ioasid_map_entry - one mapping
 * @iova: where devices see it; a multiple of the page size
 * @address: address in the calling process; in spaces with a parent, the parent's
 * @length: bytes; a multiple of the page size, not 0
 * @flags: mask of enum ioasid_map_flags, at least READ or WRITE
 * @__reserved: 0
 */
struct ioasid_map_entry {
	__aligned_u64 iova;
	__aligned_u64 address;
	__aligned_u64 length;
	__u32 flags;
	__u32 __reserved;
};

/**
 * struct ioasid_map_dma - ioctl(IOASID_MAP_DMA): maps an array, all of it or nothing
 * @size: sizeof(struct ioasid_map_dma)
 * @ioasid: the space, of a kind with IOASID_OP_MAP
 * @entries_uptr: array of struct ioasid_map_entry
 * @count: its length, 1 to IOASID_ARRAY_MAX
 * @entry_size: sizeof(struct ioasid_map_entry); what holds for @size holds for each entry
 *
 * Memory that lies within one registered range is taken from there; other memory is pinned and
 * accounted for as long as this mapping lasts. EEXIST: there is a mapping, or another entry, at
 * this IOVA.
 */
struct ioasid_map_dma {
	__u32 size;
	__u32 ioasid;
	__aligned_u64 entries_uptr;
	__u32 count;
	__u32 entry_size;
};
#define IOASID_MAP_DMA _IO(IOASID_TYPE, IOASID_BASE + 12)

/**
 * struct ioasid_unmap_entry - one range
 * @iova: begin of a mapping
 * @length: bytes, up to the end of a mapping
 *
 * Takes all mappings in the range, at least one (ENOENT); cuts none in two (EINVAL).
 */
struct ioasid_unmap_entry {
	__aligned_u64 iova;
	__aligned_u64 length;
};

/**
 * enum ioasid_unmap_flags - flags of IOASID_UNMAP_DMA
 * @IOASID_UNMAP_ALL: everything; @count and @entries_uptr are 0. Nothing there is no error.
 * @IOASID_UNMAP_EXACT: each range is one mapping, from its begin to its end (EINVAL); not with ALL
 */
enum ioasid_unmap_flags {
	IOASID_UNMAP_ALL = 1 << 0,
	IOASID_UNMAP_EXACT = 1 << 1,
};

/**
 * struct ioasid_unmap_dma - ioctl(IOASID_UNMAP_DMA): unmaps an array, all of it or nothing
 * @size: sizeof(struct ioasid_unmap_dma)
 * @ioasid: the space, of a kind with IOASID_OP_MAP
 * @entries_uptr: array of struct ioasid_unmap_entry
 * @count: its length, 1 to IOASID_ARRAY_MAX
 * @entry_size: sizeof(struct ioasid_unmap_entry)
 * @flags: enum ioasid_unmap_flags
 * @__reserved: 0
 * @out_bytes: how many were unmapped
 *
 * When it returns, no device reaches the memory through these IOVAs: tables and the caches of the
 * IOMMU have been cleaned, in this space and in its children. Memory that is not registered is
 * unpinned.
 */
struct ioasid_unmap_dma {
	__u32 size;
	__u32 ioasid;
	__aligned_u64 entries_uptr;
	__u32 count;
	__u32 entry_size;
	__u32 flags;
	__u32 __reserved;
	__aligned_u64 out_bytes;
};
#define IOASID_UNMAP_DMA _IO(IOASID_TYPE, IOASID_BASE + 13)

/**
 * enum ioasid_inval_type - how much an invalidation covers
 * @IOASID_INVAL_ALL: everything
 * @IOASID_INVAL_RANGE: @iova and @length
 */
enum ioasid_inval_type {
	IOASID_INVAL_ALL = 0,
	IOASID_INVAL_RANGE = 1,
};

/**
 * enum ioasid_inval_flags - what has changed, and for whom
 * @IOASID_INVAL_LEAF: entries of the last level only
 * @IOASID_INVAL_DEVICE: for @dev_id only
 * @IOASID_INVAL_PASID: for @pasid only
 */
enum ioasid_inval_flags {
	IOASID_INVAL_LEAF = 1 << 0,
	IOASID_INVAL_DEVICE = 1 << 1,
	IOASID_INVAL_PASID = 1 << 2,
};

/**
 * struct ioasid_inval_entry - one invalidation
 * @type: enum ioasid_inval_type
 * @flags: enum ioasid_inval_flags
 * @iova: a multiple of the page size; 0 for ALL
 * @length: bytes, a multiple of the page size; 0 for ALL
 * @dev_id: with IOASID_INVAL_DEVICE; otherwise 0
 * @pasid: with IOASID_INVAL_PASID; otherwise 0
 */
struct ioasid_inval_entry {
	__u32 type;
	__u32 flags;
	__aligned_u64 iova;
	__aligned_u64 length;
	__u32 dev_id;
	__u32 pasid;
};

/**
 * struct ioasid_invalidate_cache - ioctl(IOASID_INVALIDATE_CACHE)
 * @size: sizeof(struct ioasid_invalidate_cache)
 * @ioasid: the space, of a kind with IOASID_OP_INVALIDATE
 * @entries_uptr: array of struct ioasid_inval_entry
 * @count: its length, 1 to IOASID_ARRAY_MAX
 * @entry_size: sizeof(struct ioasid_inval_entry)
 *
 * When it returns, devices see the table as it was when the call was made, or newer, and DMA that
 * used older entries has ended. In a CPU space that is the process's memory (see &struct
 * ioasid_alloc_cpu), of the part of the range that lies in the interval; IOASID_INVAL_DEVICE is
 * not available there. Where the kernel shadows the table it reads the ranges anew;
 * entries that it refuses translate to nothing and are reported as events. Arguments are checked
 * before anything is done; if it fails later (ENOMEM, EIO, EINTR) nothing may be taken as done, and
 * the ranges do not translate. ENOMEM: also if the table is larger than the kernel shadows (module
 * option shadow_limit).
 */
struct ioasid_invalidate_cache {
	__u32 size;
	__u32 ioasid;
	__aligned_u64 entries_uptr;
	__u32 count;
	__u32 entry_size;
};
#define IOASID_INVALIDATE_CACHE _IO(IOASID_TYPE, IOASID_BASE + 14)

/**
 * enum ioasid_address_type - whose address IOASID_LOOKUP found
 * @IOASID_ADDRESS_PROCESS: of the process that mapped it
 * @IOASID_ADDRESS_PARENT: of the parent
 */
enum ioasid_address_type {
	IOASID_ADDRESS_PROCESS = 1,
	IOASID_ADDRESS_PARENT = 2,
};

/**
 * struct ioasid_lookup - ioctl(IOASID_LOOKUP): what does an IOVA mean?
 * @size: sizeof(struct ioasid_lookup)
 * @ioasid: the space, of a kind with IOASID_OP_LOOKUP
 * @iova: need not be aligned. ENOENT: nothing is mapped there
 * @out_address: what it translates to
 * @out_start: first IOVA of the mapping, or of the part that is contiguous
 * @out_last: last IOVA of it
 * @out_address_type: enum ioasid_address_type
 * @out_prot: mask of enum ioasid_prot
 */
struct ioasid_lookup {
	__u32 size;
	__u32 ioasid;
	__aligned_u64 iova;
	__aligned_u64 out_address;
	__aligned_u64 out_start;
	__aligned_u64 out_last;
	__u32 out_address_type;
	__u32 out_prot;
};
#define IOASID_LOOKUP _IO(IOASID_TYPE, IOASID_BASE + 15)

/* Why did it fail? */

#define IOASID_ERROR_FIELD_BYTES 32
#define IOASID_ERROR_TEXT_BYTES	 128

/**
 * struct ioasid_last_error - ioctl(IOASID_LAST_ERROR)
 * @size: sizeof(struct ioasid_last_error)
 * @flags: 0
 * @out_errno: positive; what the call returned
 * @out_call: number of the call, from IOASID_BASE on
 * @out_index: which array element, 0 if none
 * @__reserved: 0
 * @out_field: the name of the structure's field that is to blame, without out_ or _uptr; or empty
 * @out_text: one line in words
 *
 * The last failure of the calling thread on this file, which keeps the failures of the last few
 * threads that had one. ENOENT: there is none. The call itself never becomes the last error.
 */
struct ioasid_last_error {
	__u32 size;
	__u32 flags;
	__u32 out_errno;
	__u32 out_call;
	__u32 out_index;
	__u32 __reserved;
	__u8 out_field[IOASID_ERROR_FIELD_BYTES];
	__u8 out_text[IOASID_ERROR_TEXT_BYTES];
};
#define IOASID_LAST_ERROR _IO(IOASID_TYPE, IOASID_BASE + 16)

/* Dirty tracking */

/**
 * enum ioasid_dirty_flags - flags of dirty tracking
 * @IOASID_DIRTY_ENABLE: SET: on
 * @IOASID_DIRTY_NO_CLEAR: GET: leave the pages dirty
 */
enum ioasid_dirty_flags {
	IOASID_DIRTY_ENABLE = 1 << 0,
	IOASID_DIRTY_NO_CLEAR = 1 << 1,
};

/**
 * struct ioasid_set_dirty_tracking - ioctl(IOASID_SET_DIRTY_TRACKING)
 * @size: sizeof(struct ioasid_set_dirty_tracking)
 * @flags: IOASID_DIRTY_ENABLE or 0
 * @ioasid: the space. EOPNOTSUPP: no hardware for it, or no device yet
 * @__reserved: 0
 */
struct ioasid_set_dirty_tracking {
	__u32 size;
	__u32 flags;
	__u32 ioasid;
	__u32 __reserved;
};
#define IOASID_SET_DIRTY_TRACKING _IO(IOASID_TYPE, IOASID_BASE + 17)

/**
 * struct ioasid_get_dirty_bitmap - ioctl(IOASID_GET_DIRTY_BITMAP)
 * @size: sizeof(struct ioasid_get_dirty_bitmap)
 * @flags: IOASID_DIRTY_NO_CLEAR or 0
 * @ioasid: the space
 * @__reserved: 0
 * @iova: first IOVA
 * @length: bytes
 * @page_size: bytes that a bit of the bitmap stands for
 * @bitmap_uptr: array of __u64; bit N % 64 of element N / 64 is for iova + N * page_size. Bits are
 *	set, never cleared.
 */
struct ioasid_get_dirty_bitmap {
	__u32 size;
	__u32 flags;
	__u32 ioasid;
	__u32 __reserved;
	__aligned_u64 iova;
	__aligned_u64 length;
	__aligned_u64 page_size;
	__aligned_u64 bitmap_uptr;
};
#define IOASID_GET_DIRTY_BITMAP _IO(IOASID_TYPE, IOASID_BASE + 18)

/* Events: read(), poll() and write() on the file */

/**
 * enum ioasid_event - what has happened
 * @IOASID_EVENT_FAULT: a DMA was refused and is lost
 * @IOASID_EVENT_FAULT_PENDING: a DMA waits for a response by write()
 * @IOASID_EVENT_TABLE: a shadowed USER table has an entry that is refused
 * @IOASID_EVENT_DEVICE_GONE: a device was removed, and unbound
 * @IOASID_EVENT_SPACE_BROKEN: a mirror of a process's or a machine's memory could not follow it:
 *	the space translates nothing from now on
 */
enum ioasid_event {
	IOASID_EVENT_FAULT = 1,
	IOASID_EVENT_FAULT_PENDING = 2,
	IOASID_EVENT_TABLE = 3,
	IOASID_EVENT_DEVICE_GONE = 4,
	IOASID_EVENT_SPACE_BROKEN = 5,
};

/**
 * enum ioasid_event_reason - why a DMA or an entry was refused
 * @IOASID_REASON_UNKNOWN: the hardware does not say
 * @IOASID_REASON_NOT_PRESENT: nothing is mapped there
 * @IOASID_REASON_PROTECTION: it is, without this right
 * @IOASID_REASON_RESERVED: reserved bits are set in the entry
 * @IOASID_REASON_PARENT: an address that the parent does not map
 * @IOASID_REASON_RANGE: an IOVA that the devices cannot use
 * @IOASID_REASON_MEMORY: the kernel had no memory left
 */
enum ioasid_event_reason {
	IOASID_REASON_UNKNOWN = 0,
	IOASID_REASON_NOT_PRESENT = 1,
	IOASID_REASON_PROTECTION = 2,
	IOASID_REASON_RESERVED = 3,
	IOASID_REASON_PARENT = 4,
	IOASID_REASON_RANGE = 5,
	IOASID_REASON_MEMORY = 6,
};

/**
 * struct ioasid_event_record - what read() delivers: a multiple of these, oldest first
 * @event: enum ioasid_event
 * @reason: enum ioasid_event_reason
 * @dev_id: the device, 0 if unknown
 * @ioasid: the space, 0 if unknown
 * @cookie: of the device
 * @address: IOVA
 * @prot: mask of enum ioasid_prot: what was tried
 * @pasid: 0 for none
 * @lost: how many events were lost before this one because the queue was full
 * @token: of IOASID_EVENT_FAULT_PENDING, for the response
 *
 * read() waits for one event unless the file is O_NONBLOCK (EAGAIN); poll() says POLLIN. A buffer
 * shorter than a record: EINVAL.
 */
struct ioasid_event_record {
	__u32 event;
	__u32 reason;
	__u32 dev_id;
	__u32 ioasid;
	__aligned_u64 cookie;
	__aligned_u64 address;
	__u32 prot;
	__u32 pasid;
	__u32 lost;
	__u32 token;
};

/**
 * struct ioasid_response - what write() takes: one or more of these
 * @token: of the event
 * @code: 0: the DMA is tried again; 1: it is refused
 *
 * EOPNOTSUPP: IOASID_EXT_FAULT_RESPONSE is 0. ENOENT: nothing waits under this token.
 */
struct ioasid_response {
	__u32 token;
	__u32 code;
};

/* The submission ring */

/*
 * A file may have one ring, made by IOASID_RING_SETUP and mapped with mmap(): offset
 * IOASID_RING_OFFSET, the length that the call returns. The mapping begins with struct
 * ioasid_ring_head; at sq_offset lie sq_entries elements of struct ioasid_sqe, at cq_offset
 * cq_entries elements of struct ioasid_cqe.
 *
 * Positions count up for ever (modulo 2^32); position P is element P & (entries - 1).
 *
 *	submit		write elements from sq_tail on; store sq_tail with release; then
 *			IOASID_RING_ENTER, unless the kernel polls and sq_flags (loaded after a full
 *			barrier) has no IOASID_RING_NEED_WAKEUP
 *	the kernel	loads sq_tail with acquire, copies an element once, and only then stores
 *			sq_head with release: an element below sq_head may be written again
 *	complete	the kernel writes an element at cq_tail and stores cq_tail with release; the
 *			user loads it with acquire, reads elements, and stores cq_head with release
 *
 * Order. Elements are carried out in the order in which they were submitted, and complete in that
 * order, one completion for each element. A completion of UNMAP or INVALIDATE says that no device
 * reaches the memory any more: unmaps that follow each other without a flag may share one
 * invalidation, and complete after it. With IOASID_SQE_LINK an element whose predecessor failed is
 * not carried out (ECANCELED), up to the end of the chain.
 * Between the ring and calls there is no order but that of what has completed.
 *
 * When the completions are full no element is taken until there is room: nothing is lost. A user who
 * has made room, after completions were full, looks at IOASID_RING_NEED_WAKEUP as after a
 * submission.
 *
 * What an element failed for is the last error (IOASID_LAST_ERROR) of the thread that called
 * IOASID_RING_ENTER, or of the one that made a ring that the kernel polls: out_call is the number
 * of IOASID_RING_ENTER, out_index the place of the element in the ring.
 *
 * What the mapping holds is never trusted: positions that make no sense end the ring (EINVAL from
 * ENTER, and IOASID_RING_DEAD), and harm nobody but its owner.
 */
#define IOASID_RING_OFFSET	0x100000000ULL
#define IOASID_RING_ENTRIES_MAX 32768

/**
 * enum ioasid_ring_flags - &ioasid_ring_head.sq_flags, written by the kernel
 * @IOASID_RING_NEED_WAKEUP: the poller sleeps: ENTER with IOASID_ENTER_WAKEUP
 * @IOASID_RING_DEAD: the ring is not served any more
 */
enum ioasid_ring_flags {
	IOASID_RING_NEED_WAKEUP = 1 << 0,
	IOASID_RING_DEAD = 1 << 1,
};

/**
 * struct ioasid_ring_head - positions; each written by one side only
 * @sq_head: kernel: elements below were taken
 * @sq_flags: kernel: enum ioasid_ring_flags
 * @__pad0: keeps the sides apart
 * @sq_tail: user: elements below were submitted
 * @__pad1: keeps the sides apart
 * @cq_tail: kernel: elements below were completed
 * @__pad2: keeps the sides apart
 * @cq_head: user: elements below were seen
 * @__pad3: keeps the sides apart
 */
struct ioasid_ring_head {
	__u32 sq_head;
	__u32 sq_flags;
	__u32 __pad0[14];
	__u32 sq_tail;
	__u32 __pad1[15];
	__u32 cq_tail;
	__u32 __pad2[15];
	__u32 cq_head;
	__u32 __pad3[15];
};

/**
 * enum ioasid_ring_op - what an element does
 * @IOASID_RING_NOP: nothing; completes in its turn
 * @IOASID_RING_MAP: as one entry of IOASID_MAP_DMA
 * @IOASID_RING_UNMAP: as one entry of IOASID_UNMAP_DMA
 * @IOASID_RING_INVALIDATE: as one entry of IOASID_INVALIDATE_CACHE: RANGE, or ALL if @length is 0
 */
enum ioasid_ring_op {
	IOASID_RING_NOP = 0,
	IOASID_RING_MAP = 1,
	IOASID_RING_UNMAP = 2,
	IOASID_RING_INVALIDATE = 3,
};

/**
 * enum ioasid_sqe_flags - flags of an element
 * @IOASID_SQE_LINK: the next one is carried out only if this one succeeds
 */
enum ioasid_sqe_flags {
	IOASID_SQE_LINK = 1 << 0,
};

/**
 * struct ioasid_sqe - an element that is submitted
 * @op: enum ioasid_ring_op
 * @flags: enum ioasid_sqe_flags
 * @op_flags: MAP: enum ioasid_map_flags; INVALIDATE: enum ioasid_inval_flags without DEVICE, PASID;
 *	UNMAP: IOASID_UNMAP_EXACT or 0
 * @ioasid: the space
 * @__reserved: 0
 * @iova: as in the entry of the call
 * @address: MAP: as in its entry; otherwise 0
 * @length: as in the entry of the call
 * @user_data: returned by the completion
 * @__reserved2: 0
 */
struct ioasid_sqe {
	__u8 op;
	__u8 flags;
	__u16 op_flags;
	__u32 ioasid;
	__aligned_u64 __reserved;
	__aligned_u64 iova;
	__aligned_u64 address;
	__aligned_u64 length;
	__aligned_u64 user_data;
	__aligned_u64 __reserved2[2];
};

/**
 * struct ioasid_cqe - a completion
 * @user_data: of the element
 * @result: 0 or a negative errno, with the meanings above
 * @__reserved: 0
 */
struct ioasid_cqe {
	__aligned_u64 user_data;
	__s32 result;
	__u32 __reserved;
};

/**
 * enum ioasid_ring_setup_flags - flags of IOASID_RING_SETUP
 * @IOASID_RING_SETUP_POLL: a kernel thread looks for elements, as a thread of the calling process:
 *	its memory, its limits. EINVAL: the file has no device that is bound. When the process ends,
 *	or executes another program, so does the ring
 */
enum ioasid_ring_setup_flags {
	IOASID_RING_SETUP_POLL = 1 << 0,
};

/**
 * struct ioasid_ring_setup - ioctl(IOASID_RING_SETUP)
 * @size: sizeof(struct ioasid_ring_setup)
 * @flags: enum ioasid_ring_setup_flags
 * @sq_entries: a power of two, up to IOASID_RING_ENTRIES_MAX
 * @cq_entries: a power of two, at least @sq_entries, up to twice IOASID_RING_ENTRIES_MAX; 0: twice
 *	@sq_entries
 * @idle_us: the poller sleeps after so long without an element, up to 1000000; 0: 1000
 * @out_sq_offset: where the submissions begin in the mapping
 * @out_cq_offset: where the completions begin
 * @out_cq_entries: how many there are
 * @out_length: bytes to map, at IOASID_RING_OFFSET
 *
 * EBUSY: the file has a ring. The memory of a ring is accounted as pinned memory is. It is mapped
 * shared and as a whole; a child does not inherit it.
 */
struct ioasid_ring_setup {
	__u32 size;
	__u32 flags;
	__u32 sq_entries;
	__u32 cq_entries;
	__u32 idle_us;
	__u32 out_sq_offset;
	__u32 out_cq_offset;
	__u32 out_cq_entries;
	__aligned_u64 out_length;
};
#define IOASID_RING_SETUP _IO(IOASID_TYPE, IOASID_BASE + 19)

/**
 * enum ioasid_ring_enter_flags - flags of IOASID_RING_ENTER
 * @IOASID_ENTER_WAKEUP: wake the poller
 */
enum ioasid_ring_enter_flags {
	IOASID_ENTER_WAKEUP = 1 << 0,
};

/**
 * struct ioasid_ring_enter - ioctl(IOASID_RING_ENTER): the doorbell
 * @size: sizeof(struct ioasid_ring_enter)
 * @flags: enum ioasid_ring_enter_flags
 * @to_submit: take up to so many elements, by the memory and limits of the caller; 0 where the
 *	kernel polls
 * @min_complete: then wait until so many completions are there that the user has not seen
 * @out_submitted: how many elements were taken
 * @__reserved: 0
 *
 * ENOENT: no ring. EINVAL: it is dead. EINTR: a signal came while it waited; @out_submitted is
 * written. Where completions are full, fewer elements are taken than were asked for.
 */
struct ioasid_ring_enter {
	__u32 size;
	__u32 flags;
	__u32 to_submit;
	__u32 min_complete;
	__u32 out_submitted;
	__u32 __reserved;
};
#define IOASID_RING_ENTER _IO(IOASID_TYPE, IOASID_BASE + 20)

#endif /* _UAPI_LINUX_IOASID_H */
