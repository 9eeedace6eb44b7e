/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the engine needs of a backend: the kernel interface, or the software IOMMU, under it.
 *
 * A backend states capabilities and does single steps; policy (IOVA choice, batching, when to
 * flush, merging) is the engine's. Objects are embedded: a backend's own structure begins with
 * the base structure defined here.
 *
 * Threads: open, close, dev_*, space_*, attach, detach and mem_* are called under the context's
 * lock. map, unmap, invalidate and fault_read may be called from any number of threads at once.
 *
 * Crossings: every call that enters the kernel adds the number of its system calls to
 * *crossings, failed ones included, so that the counters show what the program paid.
 *
 * Addresses: "parent address" is the address space of a KERNEL space's IOVAs; a USER table's
 * root, its table pages and its leaves hold parent addresses.
 */
#ifndef ENGINE_BACKEND_BACKEND_H
#define ENGINE_BACKEND_BACKEND_H

#include <ioas/types.h>
#include <ioas/ctx.h>

#include "../diag.h"

struct be;
struct be_dev;
struct be_space;
struct be_mem;

struct be_caps {
	uint32_t kinds;		/* mask of 1 << enum ioas_kind */
	uint32_t user_formats;	/* mask of 1 << enum ioas_format, for USER spaces */
	uint64_t page_sizes;	/* of KERNEL tables */
	struct ioas_range iova; /* of KERNEL spaces */
	uint64_t parent_last;	/* highest IOVA of KERNEL spaces under USER ones, 0 for iova.last */
	/*
	 * USER: where devices write to raise interrupts; last 0: unknown, or nowhere. No IOVA for
	 * anything else. If these writes go through tables the kernel maps the range in every
	 * parent, and USER tables have to map it as it is.
	 */
	struct ioas_range interrupts;
	bool maps_interrupts;
	bool parent_writeable; /* the parent of USER spaces cannot hold read-only mappings */
	/*
	 * USER: the kernel walks the table and keeps one of its own in step with it (software
	 * nesting). So it has to be told of what is mapped as of what is unmapped, by invalidate(),
	 * and IOVAs are those that KERNEL spaces may use.
	 */
	bool shadows;
	bool page_requests; /* devices of USER spaces may wait for pages */
	uint64_t max_maps;  /* live KERNEL mappings, 0 for no limit */
	bool map_spans;	    /* one of them may cover memories that are neighbours */
	/*
	 * Invalidation: from how many ranges on is one flush of the whole space cheaper, and how
	 * many fit one call.
	 */
	uint32_t inval_flush_ranges;
	uint32_t inval_call_ranges;
};

/* What another process needs of an object to go on with it. */
struct be_saved {
	int fd; /* an open file, or -1 */
	uint64_t value[2];
};

struct be_space_attr {
	enum ioas_kind kind;
	enum ioas_format format; /* USER: of the table */
	uint64_t root;		 /* USER: parent address of the root table */
	struct be_space *parent; /* USER */
	/*
	 * USER: a zeroed page of 4 KiB for the backend's own use, which lives as long as the space,
	 * and its parent address: read-only there, but for be_caps.parent_writeable.
	 */
	void *scratch;
	uint64_t scratch_addr;
	struct ioas_range range;      /* CPU: addresses of the process that are shared; 0,0: all */
	uint32_t prot;		      /* CPU: enum ioas_prot, most that devices may do */
	int vm_fd;		      /* VM: file of a KVM machine, the caller's */
	bool page_requests;	      /* USER: be_ops.request_next() gets what devices ask for */
	const struct be_saved *saved; /* KERNEL: it exists, in the kernel; NULL: make it */
};

struct be_map {
	uint64_t iova;
	uint64_t bytes;
	void *va;
	uint32_t prot; /* enum ioas_prot */
};

struct be_unmap {
	uint64_t iova;
	uint64_t bytes;
};

/* One range of a USER space whose translations must go. */
struct be_inval {
	uint64_t iova;
	uint64_t bytes;
	bool leaf; /* only leaf entries changed: paging-structure caches may stay */
};

struct be_fault {
	struct be_dev *dev; /* NULL: of no device, or of one that is not known any more */
	uint64_t iova;
	uint32_t reason; /* enum ioas_fault_reason */
	uint32_t prot;
};

/* An access that waits for its page. */
struct be_request {
	struct be_space *space;
	struct be_dev *dev;
	uint64_t iova; /* page address */
	uint32_t prot; /* what is missing: mask of enum ioas_prot */
	uint64_t cookie;
};

/* Memory that is about to be mapped. */
struct be_mem_attr {
	void *va;
	uint64_t bytes;
	uint64_t page_bytes; /* of the pages behind it */
	int fd;		     /* file behind it, -1 for anonymous memory */
	uint64_t fd_offset;
	const struct be_saved *saved; /* the kernel knows it; NULL: it does not */
};

enum be_pci_irq {
	BE_PCI_MSI,
	BE_PCI_MSIX,
	BE_PCI_REMOVAL, /* one: the kernel wants the device back: unmap BARs, detach, unbind */
};

/*
 * Registers and interrupts of a PCI device. Any thread, as long as the device is bound and (type1)
 * attached; configuration space has no lock: writers to one register exclude each other.
 *
 * After detach() a driver starts from nothing: the device may have been reset, and does not master
 * the bus.
 */
struct be_pci_ops {
	/* Little-endian, as it is. Return: 0 or a negative errno and nothing is read or written. */
	int (*config_read)(struct be_dev *dev, uint32_t offset, void *data, uint32_t bytes);
	int (*config_write)(struct be_dev *dev, uint32_t offset, const void *data, uint32_t bytes);

	/* Off after dev_bind() and detach(). On lets the device answer at its BARs, too. */
	int (*bus_master)(struct be_dev *dev, bool on);

	/*
	 * A BAR as a whole. -ENOENT: the device does not have it; -EOPNOTSUPP: ports. It must be
	 * unmapped before the device is detached or moved (type1: -EBUSY) or unbound.
	 */
	int (*bar_map)(struct be_dev *dev, unsigned int bar, void **va, uint64_t *bytes);
	int (*bar_unmap)(struct be_dev *dev, void *va, uint64_t bytes);

	/* -ENOTTY: this device cannot be reset by itself. */
	int (*reset)(struct be_dev *dev);

	/*
	 * One eventfd for each vector from 0 on, -1 for none; @count 0 switches the kind off.
	 * -EINVAL: more than the device has.
	 */
	int (*irq_set)(struct be_dev *dev, enum be_pci_irq kind, const int *eventfds,
		       unsigned int count);
};

struct be_dirty {
	uint64_t iova;
	uint64_t bytes;
	uint64_t page_bytes;
	uint64_t *bitmap;
	bool keep;
};

/*
 * What devices write to, of KERNEL spaces: see ioas/dirty.h. Under the context's lock. A space is
 * off until it is set.
 */
struct be_dirty_ops {
	/* Changes nothing on error. -EOPNOTSUPP: the kernel or a device's IOMMU does not do this.
	 */
	int (*set)(struct be_space *space, bool on);

	/* All of the range is mapped, page_bytes is of an order that the table has. */
	int (*read)(struct be_space *space, const struct be_dirty *range);
};

/*
 * Handing everything over to another process: see ioas/handover.h. Under the context's lock. A save
 * changes nothing, and its files stay the backend's. A restore makes copies of the files.
 */
struct be_handover_ops {
	void (*save)(struct be *be, struct be_saved *saved);
	void (*save_space)(struct be_space *space, struct be_saved *saved);
	void (*save_dev)(struct be_dev *dev, struct be_saved *saved);
	void (*save_mem)(struct be_mem *mem, struct be_saved *saved);

	/*
	 * Pins are accounted to this process from now on. Then space_create() and mem_add() with
	 * what was saved, and devices; @space: that it is attached to, or NULL.
	 */
	int (*restore)(struct diag *diag, const struct be_saved *saved, struct be **be);
	int (*restore_dev)(struct be *be, const char *name, const struct be_saved *saved,
			   struct be_space *space, struct be_dev **dev);
	int (*restore_map)(struct be_space *space, const struct be_map *map);

	/* From now on nothing reaches the kernel any more: objects go, and stay there as they are.
	 */
	void (*abandon)(struct be *be);
};

struct be_ops {
	const char *name;

	/*
	 * Can this backend work here? 0 or a negative errno; @why receives one line: what was
	 * found, or what is missing and the command that mends it.
	 */
	int (*probe)(char *why, size_t why_bytes);

	int (*open)(struct diag *diag, const char *options, struct be **be);
	void (*close)(struct be *be); /* everything under it has been destroyed */
	void (*caps)(struct be *be, struct be_caps *caps);

	/*
	 * Pin and account. mem_del() is called when nothing maps the memory any more, or when the
	 * program has replaced it: what is mapped then stays mapped, with the pages that it has.
	 */
	int (*mem_add)(struct be *be, const struct be_mem_attr *attr, struct be_mem **mem);
	void (*mem_del)(struct be_mem *mem);

	int (*dev_bind)(struct be *be, const char *name, struct be_dev **dev);
	void (*dev_unbind)(struct be_dev *dev); /* detached before */

	int (*space_create)(struct be *be, const struct be_space_attr *attr,
			    struct be_space **space);
	void (*space_destroy)(struct be_space *space); /* nothing attached, no children */

	/* Replaces what @dev was attached to. Old translations are gone when it returns. */
	int (*attach)(struct be_space *space, struct be_dev *dev);
	int (*detach)(struct be_dev *dev);

	/*
	 * KERNEL spaces. *done receives how many were carried out, from the first on; on error
	 * the rest have had no effect. unmap returns after the translations are gone from every
	 * cache. The range of an unmap is exactly that of a map.
	 */
	int (*map)(struct be_space *space, const struct be_map *maps, unsigned int count,
		   unsigned int *done, unsigned int *crossings);
	int (*unmap)(struct be_space *space, const struct be_unmap *unmaps, unsigned int count,
		     unsigned int *done, unsigned int *crossings);

	/*
	 * USER spaces, and CPU ones, for what the process has mapped. count 0 flushes everything of
	 * the space. Returns 0 only after all of it has completed in hardware, DMA in flight
	 * included; on error nothing may be taken as done and the caller issues all of it again.
	 */
	int (*invalidate)(struct be_space *space, const struct be_inval *ranges, unsigned int count,
			  unsigned int *crossings);

	/* Up to @max recorded faults; adds to *lost those that were not recorded. */
	int (*fault_read)(struct be *be, struct be_fault *faults, unsigned int max, uint64_t *lost);

	/*
	 * Where be_caps.page_requests. The next page request, or false: none for now; each has to
	 * be answered, in this order. Served: the device tries again. Else the access is stopped,
	 * without a record for fault_read(). What a device waits for when it is detached or moved
	 * is asked for no more, and an answer that comes later has no effect. request_wait()
	 * returns when there may be one, or after so long. One thread at a time.
	 */
	void (*request_wait)(struct be *be, unsigned int timeout_ms);
	bool (*request_next)(struct be *be, struct be_request *request);
	void (*request_answer)(struct be *be, const struct be_request *request, bool served);

	/*
	 * Optional. The IOVAs that KERNEL spaces may use: be_caps.iova less the holes in it, which
	 * are the machine's (interrupt windows and others). Ascending, up to @max; returns how many
	 * there are. What the bound devices allow together: it and be_caps narrow with dev_bind(),
	 * and are a guess that is right on common machines before the first one. map() returns
	 * -ERANGE elsewhere.
	 */
	unsigned int (*iova_ranges)(struct be *be, struct ioas_range *ranges, unsigned int max);

	/*
	 * Optional. What @iova means in a space whose table is not the engine's to know: CPU, VM,
	 * PASSTHROUGH. Return: 0, or -ENOENT: nothing. *va is of the process, *prot enum ioas_prot.
	 */
	int (*lookup)(struct be_space *space, uint64_t iova, uint64_t *va, uint32_t *prot);

	/*
	 * Optional. Devices that do not allow all of these IOVAs of a KERNEL space, ascending, are
	 * refused by attach(). Called once, before anything is mapped or attached.
	 */
	int (*iova_keep)(struct be_space *space, const struct ioas_range *ranges,
			 unsigned int count);

	const struct be_pci_ops *pci;		/* NULL: devices are no PCI devices */
	const struct be_dirty_ops *dirty;	/* NULL: never */
	const struct be_handover_ops *handover; /* NULL: never */
};

struct be {
	const struct be_ops *ops;
	struct diag *diag;
};

struct be_dev {
	struct be *be;
	void *owner; /* the engine's object, for fault reports */
};

struct be_space {
	struct be *be;
	void *owner; /* the engine's object, for page requests */
};

struct be_mem {
	struct be *be;
};

/* NULL-terminated, in the order in which "auto" tries them. */
extern const struct be_ops *const be_all[];

extern const struct be_ops iommufd_be_ops;
extern const struct be_ops ioasid_be_ops;
extern const struct be_ops type1_be_ops;

#endif
