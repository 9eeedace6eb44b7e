/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Objects of kioas, their locks and their lifetimes.
 *
 *	kioas_device	a PCI device that our driver has, with its file /dev/kioas/NAME. Counted: by
 *			the driver, open files, and by what is bound to it.
 *	kioas_file	an open /dev/ioasid: numbers, and everything below. Counted: the open file,
 *			and the removal of a device while it looks at the file.
 *	kioas_bound	a device bound to a file; has a number.
 *	kioas_group	an IOMMU group that a file owns, while a device of it is bound.
 *	kioas_space	an address space; has a number. Counted: its number, and calls under way.
 *	kioas_area	one mapping in a space.
 *	kioas_memory	pinned memory. Counted: its registration, and areas.
 *
 * Locks, outermost first:
 *
 *	device_lock()		of a PCI device: held by the kernel around probe and remove
 *	kioas_file.lock		bind, unbind, attach, detach, alloc, free, lists of them; who is
 *				attached to what; children of a space
 *	kioas_ring.lock		a ring's positions; not together with kioas_file.lock
 *	kioas_file.memory_lock	the tree of registered memory; held for reading by who maps from it
 *	kioas_device.lock	which file has the device
 *	kioas_space.lock	areas, domain, groups; a parent's before its child's
 *	kioas_mirror.lock		who fills a mirror; memory of the process is touched under it
 *	kioas_block.lock	a piece of a mirror: taken by notifiers, see kioas_mirror.h
 *	kioas_events.lock	events, and what their reporters look up; a spin lock, interrupts
 *				off
 *	kioas_file.errors_lock	a spin lock
 *
 * mmap_lock comes after all mutexes but kioas_block.lock: user memory may be touched under
 * kioas_file.lock but nothing that is called under mmap_lock (notifiers, mmap) may take one of
 * them. Memory is pinned and accounted before kioas_space.lock is taken, but for mirrors.
 *
 * Who may go on after an exit: DMA ends first. A device stops mastering the bus before it is
 * detached, and it is detached before tables are emptied and memory is unpinned.
 */
#ifndef KIOAS_H
#define KIOAS_H

#include <linux/interval_tree_generic.h>
#include <linux/iommu.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "kioas_compat.h"
#include "../include/uapi/linux/ioasid.h"

#define KIOAS_NAME	 "kioas"
#define KIOAS_ERRORS	 16  /* threads whose last failure a file keeps */
#define KIOAS_EVENTS	 256 /* events that wait to be read */
#define KIOAS_RANGES_MAX 64  /* of IOVAs, per group */

struct kioas_file;
struct kioas_space;
struct kioas_group;
struct kioas_memory;
struct kioas_ring;

/* One call */

/**
 * struct kioas_call - an ioctl under way, or an element of a ring; lives on the stack
 * @file: the file
 * @owner: whose limits hold, if it is not the calling thread
 * @user: where the caller's structure is
 * @user_size: how much of it both sides know
 * @answered: it has been written
 * @field: the name of the field that is to blame, NULL while nothing has failed; a constant
 * @index: array element at hand
 * @text: why
 */
struct kioas_call {
	struct kioas_file *file;
	struct task_struct *owner;
	void __user *user;
	size_t user_size;
	bool answered;
	const char *field;
	u32 index;
	char text[IOASID_ERROR_TEXT_BYTES];
};

/* Notes why a call fails. Return: @error. */
__printf(4, 5) int kioas_fail(struct kioas_call *call, int error, const char *field,
			      const char *format, ...);

/*
 * Writes the structure back now, rather than when the call has succeeded: for calls that make
 * something, before anybody can find it. Return: -EFAULT, and it has to be undone.
 */
int kioas_answer(struct kioas_call *call, const void *command);

struct kioas_error {
	u64 when;
	pid_t thread;
	u32 error;
	u32 call;
	u32 index;
	char field[IOASID_ERROR_FIELD_BYTES];
	char text[IOASID_ERROR_TEXT_BYTES];
};

void kioas_error_keep(struct kioas_call *call, int error, unsigned int number);

/* Copies an array of structures of @user_size, as copy_struct_from_user() does with one. */
int kioas_array_copy(struct kioas_call *call, void *to, size_t size, u64 from, u32 count,
		     u32 user_size);

/* Devices */

struct kioas_device {
	struct kref ref;
	struct pci_dev *pdev;
	struct miscdevice node;
	struct mutex lock;
	struct kioas_file *file; /* who has it bound; under @lock */
	bool gone;		 /* removed; under @lock */
};

struct kioas_object {
	u32 id;
	enum kioas_object_type {
		KIOAS_OBJECT_BOUND = 1,
		KIOAS_OBJECT_SPACE,
	} type;
};

struct kioas_bound {
	struct kioas_object object;
	struct kioas_file *file;
	struct kioas_device *device;
	struct kioas_group *group;
	struct pci_saved_state *saved;
	struct list_head entry;	      /* kioas_file.bound */
	struct list_head event_entry; /* kioas_events.bound */
	u64 cookie;
	bool attached;
};

struct kioas_group {
	struct list_head entry; /* kioas_file.groups */
	struct iommu_group *iommu_group;
	unsigned int bound;	   /* devices */
	unsigned int attached;	   /* devices; all to the same space */
	struct kioas_space *space; /* to this one */
	struct kioas_link {
		struct list_head entry; /* kioas_space.groups of its table */
		struct kioas_group *group;
	} links[2];	   /* two, as it joins the next one before it leaves the last */
	unsigned int link; /* the one in use */
	u64 page_sizes;
	bool coherent;
	bool software_msi;     /* interrupts are writes that go through the table, */
	u64 software_msi_base; /* which the kernel maps from here on */
	unsigned int range_count;
	struct ioasid_range ranges[KIOAS_RANGES_MAX];
};

struct kioas_group *kioas_group_get(struct kioas_call *call, struct device *dev);
void kioas_group_put(struct kioas_group *group);
bool kioas_group_reaches(const struct kioas_group *group, u64 start, u64 last);
u64 kioas_group_last(const struct kioas_group *group);

/* With @removed the device is on its way out, under device_lock(). */
void kioas_bound_revoke(struct kioas_bound *bound, bool removed);
/* Under kioas_file.lock. */
int kioas_bound_get(struct kioas_call *call, u32 id, struct kioas_bound **bound);

extern struct pci_driver kioas_pci_driver;

/* Memory */

/*
 * Pages that are contiguous for the IOMMU: from page @first of the memory on, up to the next run's.
 */
struct kioas_run {
	unsigned long first;
	unsigned long pfn;
};

struct kioas_memory {
	refcount_t refs;
	u32 prot;
	u64 va;
	unsigned long pages;
	struct mm_struct *mm; /* who is accounted; not its memory map */
	unsigned int run_count;
	struct kioas_run *runs;
	struct kioas_run one_run; /* where @runs points if there is but one */
	struct rb_node node;	  /* kioas_file.memory, if it is registered */
};

/* Pages to be given back to a limit; collects those of many mappings. */
struct kioas_account {
	struct mm_struct *mm;
	unsigned long pages;
};

void kioas_account_flush(struct kioas_account *account);

/* Accounts pages to current->mm, within the limit of the call's owner; -ENOMEM names @field. */
int kioas_account(struct kioas_call *call, unsigned long pages, const char *field);

/* Pins pages that the caller has accounted for current->mm. */
int kioas_memory_pin(struct kioas_call *call, u64 va, u64 length, u32 prot,
		     struct kioas_memory **memory);
void kioas_memory_put(struct kioas_memory *memory, struct kioas_account *account);

/* Registered memory of the calling process that holds all of the range; counted. */
struct kioas_memory *kioas_memory_find(struct kioas_file *file, u64 va, u64 length);
int kioas_memory_map(struct kioas_memory *memory, u64 va, u64 length, struct iommu_domain *domain,
		     u64 iova, u32 prot);
/* The page at an address that the memory has. */
struct page *kioas_memory_page(const struct kioas_memory *memory, u64 va);
void kioas_memory_release(struct kioas_file *file);

/* enum ioasid_prot to IOMMU_READ... */
int kioas_prot_to_iommu(u32 prot);

/* Address spaces */

/**
 * struct kioas_area - a mapping
 * @entry: of a list of areas that come or go; empty otherwise
 * @node: in kioas_space.areas, by IOVA; they do not overlap
 * @address_node: in kioas_space.addresses, by the parent's address; children only
 * @start: first IOVA
 * @last: last IOVA
 * @address: what @start translates to: of the process, or of the parent
 * @prot: enum ioasid_prot
 * @memory: what lies there, counted; NULL in children
 * @__subtree_last: the tree's own
 * @__address_subtree_last: the other tree's
 */
struct kioas_area {
	struct list_head entry;
	struct rb_node node;
	struct rb_node address_node;
	u64 start;
	u64 last;
	u64 address;
	u32 prot;
	struct kioas_memory *memory;
	u64 __subtree_last;
	u64 __address_subtree_last;
};

static inline u64 kioas_area_address_last(const struct kioas_area *area)
{
	return area->address + (area->last - area->start);
}

struct kioas_area *kioas_area_first(struct kioas_space *space, u64 start, u64 last);
struct kioas_area *kioas_area_next(struct kioas_area *area, u64 start, u64 last);
struct kioas_area *kioas_area_first_address(struct kioas_space *space, u64 start, u64 last);
struct kioas_area *kioas_area_next_address(struct kioas_area *area, u64 start, u64 last);

/* An area of the tree: puts what it says into the domain, or takes it out. */
int kioas_area_fill(struct kioas_space *space, struct kioas_area *area);
void kioas_area_clear(struct kioas_space *space, struct kioas_area *area,
		      struct iommu_iotlb_gather *gather);

/**
 * struct kioas_kind_ops - what makes a kind; one table for each, in kioas_kinds[]
 * @name: for texts
 * @kind: enum ioasid_kind
 * @ops: mask of enum ioasid_op; operations without a function below work on areas and are common
 *	to all kinds
 * @parents: mask of 1 << enum ioasid_kind; bit 0: may have none. Parents have no parents.
 * @formats: mask of the formats that IOASID_ALLOC may ask for; bit 0 is NONE
 * @data_size: of the kind's struct ioasid_alloc_*, 0 if it has none. All of it must be given.
 * @create: the space's fields are set but for the kind's own; under kioas_file.lock. May touch user
 *	memory. On failure nothing is left.
 * @destroy: nothing is attached, and there are no children; the space is dead, so that calls
 *	under way do nothing any more. Under kioas_file.lock, and the space's and its parent's.
 *	What the kind has put into the domain has to leave it; areas leave it after this.
 * @invalidate: entries have been checked; without locks
 * @lookup: fills in out_*; under the space's and the parent's lock. Default: areas.
 * @parent_filled: something was mapped in the parent: under the parent's and the space's lock. On
 *	failure nothing of it is in the table.
 * @parent_cleared: it is about to leave the parent, and memory to be unpinned: on return no device
 *	reaches it through this space. Locks as above. Both are for spaces that have a parent and a
 *	table of their own.
 * @registered: memory was registered; under kioas_file.lock. On failure nothing has happened. A
 *	space holds one reference to each memory that it shows.
 * @unregistered: it is about to leave. Both are for spaces without a parent.
 * @attach: a group has been attached to the domain: puts into it what is not there yet. Under
 *	kioas_file.lock, the space's and its parent's lock. Areas are there already.
 *
 * @may_map: may this area be added? Under the space's lock
 * @area_fill: in place of what areas do otherwise: their memory is neither registered nor pinned
 *	beforehand. Return: see kioas_fill_failed(). Under the space's lock
 * @area_clear: undoes it. These three come together.
 *
 * All functions but those of @ops are optional.
 */
struct kioas_kind_ops {
	const char *name;
	u32 kind;
	u32 ops;
	u32 parents;
	u64 formats;
	size_t data_size;
	int (*create)(struct kioas_call *call, struct kioas_space *space, const void *data);
	void (*destroy)(struct kioas_space *space);
	int (*invalidate)(struct kioas_call *call, struct kioas_space *space,
			  const struct ioasid_inval_entry *entries, u32 count);
	int (*lookup)(struct kioas_call *call, struct kioas_space *space,
		      struct ioasid_lookup *lookup);
	int (*parent_filled)(struct kioas_space *space, u64 start, u64 last);
	void (*parent_cleared)(struct kioas_space *space, u64 start, u64 last);
	int (*registered)(struct kioas_call *call, struct kioas_space *space,
			  struct kioas_memory *memory);
	void (*unregistered)(struct kioas_space *space, struct kioas_memory *memory);
	int (*attach)(struct kioas_call *call, struct kioas_space *space,
		      struct kioas_group *group);
	int (*may_map)(struct kioas_call *call, struct kioas_space *space,
		       const struct kioas_area *area);
	int (*area_fill)(struct kioas_space *space, struct kioas_area *area);
	void (*area_clear)(struct kioas_space *space, struct kioas_area *area);
};

struct kioas_space {
	struct kioas_object object;
	refcount_t refs;
	const struct kioas_kind_ops *kind;
	struct kioas_file *file;
	struct kioas_space *parent;
	struct kioas_space *table; /* whose domain it uses: its own or the parent's */
	u32 format;
	struct list_head entry;	   /* kioas_file.spaces */
	struct list_head children; /* changed under kioas_file.lock and @lock */
	struct list_head sibling;
	unsigned int attached; /* groups; under kioas_file.lock */

	struct mutex lock;
	bool dead;   /* freed, and only calls that began before know it */
	bool filled; /* the domain holds what the areas say */
	struct rb_root_cached areas;
	struct rb_root_cached addresses;
	struct iommu_domain *domain; /* NULL until a device is known */
	u64 reach;		     /* last IOVA that @domain takes, whoever is attached */
	struct list_head groups;     /* kioas_link, of those that use the domain */
	void *private;		     /* the kind's */
};

extern const struct kioas_kind_ops kioas_kernel_kind;
extern const struct kioas_kind_ops kioas_user_kind;
extern const struct kioas_kind_ops kioas_cpu_kind;
extern const struct kioas_kind_ops kioas_vm_kind;
extern const struct kioas_kind_ops kioas_passthrough_kind;

const struct kioas_kind_ops *kioas_kind(u32 kind);
u32 kioas_kinds_mask(void);

/* Counted; -ENOENT, or -EINVAL if its kind has not all of @ops. */
int kioas_space_get(struct kioas_call *call, u32 id, u32 ops, struct kioas_space **space);
void kioas_space_put(struct kioas_space *space);

/* Takes the space's lock, and its parent's. -ENOENT: it was freed meanwhile. */
int kioas_space_lock(struct kioas_call *call, struct kioas_space *space);
void kioas_space_unlock(struct kioas_space *space);

/* Under kioas_file.lock: unless it is there, makes the domain that @dev can use. */
int kioas_space_make_domain(struct kioas_call *call, struct kioas_space *space,
			    struct kioas_bound *bound);
int kioas_space_attach(struct kioas_call *call, struct kioas_space *space,
		       struct kioas_group *group);
void kioas_space_detach(struct kioas_group *group);
void kioas_space_destroy(struct kioas_space *space);

/* Can its table, and all devices that are attached, use these IOVAs? */
bool kioas_space_reaches(const struct kioas_space *space, u64 start, u64 last);
/* -ERANGE, unless they can. */
int kioas_space_check_range(struct kioas_call *call, struct kioas_space *space, u64 start,
			    u64 last);

/* An area that is in no tree; @memory (its reference moves there) may be NULL. NULL: no memory */
struct kioas_area *kioas_area_alloc(u64 start, u64 bytes, u64 address, u32 prot,
				    struct kioas_memory *memory);
/* Why an area, or what a kind mirrors, did not get into the table. Return: the call's error */
int kioas_fill_failed(struct kioas_call *call, int error, const char *field);

/* Areas that are in no tree yet: all of them get in, and in the table, or none. Under the lock. */
int kioas_areas_add(struct kioas_call *call, struct kioas_space *space, struct list_head *areas);
/* Areas of the tree leave it, and the table: no device reaches them any more on return. */
void kioas_areas_remove(struct kioas_space *space, struct list_head *areas);
/* Areas that are in no tree any more. Without locks. */
void kioas_areas_free(struct list_head *areas);

/* Does a change of areas have to reach the table? Before the first attach there is none. */
static inline bool kioas_space_live(const struct kioas_space *space)
{
	return space->domain && space->filled;
}

/* What calls and rings share; checks everything. All of it is done, or nothing. */
int kioas_map_entries(struct kioas_call *call, struct kioas_space *space,
		      const struct ioasid_map_entry *entries, u32 count);
int kioas_unmap_entries(struct kioas_call *call, struct kioas_space *space,
			const struct ioasid_unmap_entry *entries, u32 count, u32 flags, u64 *bytes);
int kioas_invalidate_entries(struct kioas_call *call, struct kioas_space *space,
			     const struct ioasid_inval_entry *entries, u32 count);

/*
 * Areas of spaces with a parent: what the parent maps of the interval @start to @last of its
 * addresses
 */
int kioas_nest_fill(struct kioas_space *space, struct kioas_area *area, u64 start, u64 last);
void kioas_nest_clear(struct kioas_space *space, struct kioas_area *area, u64 start, u64 last,
		      struct iommu_iotlb_gather *gather);
int kioas_nest_parent_filled(struct kioas_space *space, u64 start, u64 last);
void kioas_nest_parent_cleared(struct kioas_space *space, u64 start, u64 last);

/* Events */

struct kioas_events {
	spinlock_t lock;
	wait_queue_head_t wait;
	struct list_head bound; /* kioas_bound.event_entry, for the lookup of devices */
	unsigned int first;	/* ring of @records */
	unsigned int count;
	u32 lost;
	struct ioasid_event_record *records;
};

int kioas_events_init(struct kioas_events *events);
void kioas_events_destroy(struct kioas_events *events);

/* Any context. @dev may be NULL; @record has what is known besides. */
void kioas_event(struct kioas_file *file, struct device *dev,
		 const struct ioasid_event_record *record);
void kioas_event_domain(struct iommu_domain *domain, struct kioas_space *space);
ssize_t kioas_event_read(struct file *file, char __user *buffer, size_t bytes, loff_t *position);
ssize_t kioas_event_write(struct file *file, const char __user *buffer, size_t bytes,
			  loff_t *position);
__poll_t kioas_event_poll(struct file *file, struct poll_table_struct *table);

/* Files */

struct kioas_file {
	struct kref ref;
	struct mutex lock;
	struct xarray objects;
	struct list_head bound;
	struct list_head groups;
	struct list_head spaces;
	struct rw_semaphore memory_lock;
	struct rb_root memory;
	struct kioas_events events;
	spinlock_t errors_lock;
	u64 errors_when;
	struct kioas_error *errors;
	struct kioas_ring *ring; /* NULL, until it is made; under @lock, or read with acquire */
};

int kioas_ring_mmap(struct file *file, struct vm_area_struct *vma);
/* No call is under way. */
void kioas_ring_release(struct kioas_file *file);

int kioas_file_open(struct inode *inode, struct file *file);
int kioas_file_release(struct inode *inode, struct file *file);
void kioas_file_put(struct kioas_file *file);

/* An object gets its number, but cannot be found before kioas_object_publish(). */
int kioas_object_init(struct kioas_file *file, struct kioas_object *object,
		      enum kioas_object_type type);
void kioas_object_publish(struct kioas_file *file, struct kioas_object *object);
void kioas_object_erase(struct kioas_file *file, struct kioas_object *object);
/* Under kioas_file.lock, or xa_lock() of the objects. NULL: none of this type. */
struct kioas_object *kioas_object_find(struct kioas_file *file, u32 id,
				       enum kioas_object_type type);

/* Calls, by their names in the header; @command is the structure, as long as the kernel knows it */
int kioas_check_extension(struct kioas_call *call, void *command);
int kioas_kind_get_info(struct kioas_call *call, void *command);
int kioas_bind_device(struct kioas_call *call, void *command);
int kioas_unbind_device(struct kioas_call *call, void *command);
int kioas_device_get_info(struct kioas_call *call, void *command);
int kioas_device_control(struct kioas_call *call, void *command);
int kioas_alloc(struct kioas_call *call, void *command);
int kioas_free(struct kioas_call *call, void *command);
int kioas_attach(struct kioas_call *call, void *command);
int kioas_detach(struct kioas_call *call, void *command);
int kioas_register_memory(struct kioas_call *call, void *command);
int kioas_unregister_memory(struct kioas_call *call, void *command);
int kioas_map_dma(struct kioas_call *call, void *command);
int kioas_unmap_dma(struct kioas_call *call, void *command);
int kioas_invalidate_cache(struct kioas_call *call, void *command);
int kioas_lookup(struct kioas_call *call, void *command);
int kioas_last_error(struct kioas_call *call, void *command);
int kioas_ring_setup(struct kioas_call *call, void *command);
int kioas_ring_enter(struct kioas_call *call, void *command);
int kioas_set_dirty_tracking(struct kioas_call *call, void *command);
int kioas_get_dirty_bitmap(struct kioas_call *call, void *command);

#endif
