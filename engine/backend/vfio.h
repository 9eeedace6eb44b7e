/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the backends of real kernels share, type1 and iommufd over VFIO, and ioasid, whose devices
 * belong to a driver of its own:
 *
 *   vfio.c            what their operations have in common
 *   vfio_host.c       the host's view of a PCI device, and messages that say what mends it
 *   vfio_ranges.c     the IOVAs that devices allow
 *   vfio_options.c    "key=value,..."
 *   vfio_memory.c     type1, iommufd: registered memory: where it is
 *   vfio_maps.c       type1, iommufd: the mappings of an address space
 *   vfio_container.c  type1's container
 *   vfio_pci.c        type1, iommufd: registers and interrupts of a device: struct be_pci_ops
 *
 * Messages begin with the backend's name and end with the command that mends the matter, where
 * there is one.
 *
 * Locking: see each part; what has no lock of its own is guarded by the context's (backend.h).
 */
#ifndef ENGINE_BACKEND_VFIO_H
#define ENGINE_BACKEND_VFIO_H

#include <pthread.h>
#include <stdatomic.h>

#include "../extent.h"
#include "backend.h"

#define VFIO_RANGES_MAX	   64
#define VFIO_ADDRESS_BYTES 16 /* "0000:00:08.0"; PCI domains may have five digits */
#define VFIO_PATH_BYTES	   128
#define VFIO_DIGITS	   "0123456789"
#define VFIO_PCI	   "vfio-pci"

/* One whose writers get their turn. */
void vfio_rwlock_init(pthread_rwlock_t *lock);

/* Ascending, disjoint. */
struct vfio_ranges {
	unsigned int count;
	struct ioas_range range[VFIO_RANGES_MAX];
};

void vfio_ranges_set(struct vfio_ranges *ranges, uint64_t start, uint64_t last);
void vfio_ranges_intersect(struct vfio_ranges *ranges, const struct vfio_ranges *with);
bool vfio_ranges_hold(const struct vfio_ranges *ranges, uint64_t iova, uint64_t bytes);

/*
 * What the devices bound to a context allow together. Read on every map call, so it has a lock.
 */
struct vfio_limits {
	pthread_rwlock_t lock;
	struct vfio_ranges ranges;
	uint64_t page_sizes;
	bool known; /* by a device; else a guess that is right on common machines */
};

void vfio_limits_init(struct vfio_limits *limits);
void vfio_limits_destroy(struct vfio_limits *limits);
void vfio_limits_narrow(struct vfio_limits *limits, const struct vfio_ranges *ranges,
			uint64_t page_sizes);
void vfio_limits_caps(struct vfio_limits *limits, struct be_caps *caps);
unsigned int vfio_limits_ranges(struct vfio_limits *limits, struct ioas_range *ranges,
				unsigned int max);

/* Whole pages, a protection, and inside the ranges. Return: 0, -EINVAL or -ERANGE. */
int vfio_limits_check(struct be *be, struct vfio_limits *limits, const struct be_map *map);

/* Registered memory, ordered by virtual address; has a lock of its own. */
struct vfio_memory {
	struct be_mem base;
	struct extent extent; /* virtual addresses */
	struct vfio_memories *set;
	uint64_t original; /* iommufd: its IOVA in the IOAS of registered memory */
};

struct vfio_memories {
	pthread_rwlock_t lock;
	struct extents extents;
};

void vfio_memories_init(struct vfio_memories *set);
void vfio_memories_destroy(struct vfio_memories *set);

/* Makes sure that the memory is there, for writing; the kernel pins it when it is mapped. */
int vfio_memory_add(struct be *be, struct vfio_memories *set, const struct be_mem_attr *attr,
		    struct be_mem **mem);
void vfio_memory_del(struct be_mem *mem);

/*
 * The memory that holds all of [va, va + bytes), or NULL. It stays while the caller has its
 * mapping in a vfio_maps, since the engine frees memory only when nothing maps it.
 */
struct vfio_memory *vfio_memory_find(struct vfio_memories *set, const void *va, uint64_t bytes);

/* One mapping. */
struct vfio_map {
	struct extent extent; /* IOVAs */
	uint64_t va;
	uint32_t prot;
	bool busy; /* on its way in or out */
};

/*
 * The mappings of an address space: the kernel tells them from each other, but not to us, and it
 * takes a range that covers several for a request to unmap them all. Has a lock of its own, so
 * that the calls into the kernel between begin and end may run side by side.
 */
struct vfio_maps {
	pthread_mutex_t lock;
	struct extents extents;
	uint64_t count;
	uint64_t limit; /* 0 for none */
};

void vfio_maps_init(struct vfio_maps *maps, uint64_t limit);
void vfio_maps_destroy(struct vfio_maps *maps); /* forgets all that is left */

/* Return: 0 and the new mapping, -EEXIST, -ENOSPC (the limit) or -ENOMEM. */
int vfio_maps_begin_map(struct be *be, struct vfio_maps *maps, const struct be_map *map,
			struct vfio_map **out);
void vfio_maps_end_map(struct vfio_maps *maps, struct vfio_map *map, bool mapped);

/* Return: 0 and the mapping that has exactly this range, -ENOENT or -EINVAL. */
int vfio_maps_begin_unmap(struct be *be, struct vfio_maps *maps, const struct be_unmap *unmap,
			  struct vfio_map **out);
void vfio_maps_end_unmap(struct vfio_maps *maps, struct vfio_map *map, bool unmapped);

/* The lowest mapping at @iova or above, or NULL. No other call may run on @maps. */
struct vfio_map *vfio_maps_from(struct vfio_maps *maps, uint64_t iova);

/* The bases of the backends' own structures. */

struct vfio_dev {
	struct be_dev base;
	char address[VFIO_ADDRESS_BYTES];
	unsigned int group;
	int given_fd; /* the caller's, of the group (type1) or device (iommufd), or -1 */
	int fd;	      /* of the device, -1 while there is none */
	uint64_t config_offset;
	_Atomic unsigned int bars_mapped;
	struct vfio_space *space; /* attached to, or NULL */
	struct vfio_dev *next;
};

struct vfio_space {
	struct be_space base;
	struct vfio_maps maps;
};

struct vfio_be {
	struct be base;
	const char *driver; /* of the kernel, that devices have to be bound to */
	struct vfio_limits limits;
	struct vfio_memories memories;
	struct vfio_dev *devices;
};

static inline struct vfio_be *vfio_to_be(struct be *be)
{
	return (struct vfio_be *)be;
}

void vfio_be_init(struct vfio_be *be, const struct be_ops *ops, struct diag *diag);
void vfio_be_destroy(struct vfio_be *be);

/* Operations as they are in struct be_ops. */
int vfio_mem_add(struct be *be, const struct be_mem_attr *attr, struct be_mem **mem);
unsigned int vfio_iova_ranges(struct be *be, struct ioas_range *ranges, unsigned int max);
int vfio_invalidate(struct be_space *space, const struct be_inval *ranges, unsigned int count,
		    unsigned int *crossings);
int vfio_fault_read(struct be *be, struct be_fault *faults, unsigned int max, uint64_t *lost);

/* Of the kind and format that both offer. Return: 0 or -EOPNOTSUPP. */
int vfio_check_space(struct be *be, const struct be_space_attr *attr);

/*
 * The beginning of dev_bind(): finds the device and checks that it is VFIO's and not bound yet.
 * The device is not listed yet: vfio_dev_add().
 */
int vfio_dev_init(struct vfio_dev *dev, struct be *be, const char *name);
void vfio_dev_add(struct vfio_dev *dev);
void vfio_dev_remove(struct vfio_dev *dev);

/* Another device of its group, or NULL; with @attached, one that is attached. */
struct vfio_dev *vfio_dev_neighbour(const struct vfio_dev *dev, bool attached);

/*
 * Devices of a group see one address space: their IOMMU cannot tell them from each other, so the
 * kernel attaches them together. Return: 0, or -EBUSY if that would move a neighbour of @dev.
 */
int vfio_check_neighbours(const struct vfio_dev *dev, const struct vfio_space *space);

/*
 * Arrays of maps and unmaps, one by one: checks and records each; the kernel's part is done by
 * @one, which returns 0 or a negative errno and adds its system calls to *crossings.
 */
typedef int (*vfio_map_one)(struct vfio_space *space, const struct be_map *map,
			    unsigned int *crossings);
typedef int (*vfio_unmap_one)(struct vfio_space *space, const struct be_unmap *unmap,
			      unsigned int *crossings);

int vfio_map_all(struct vfio_space *space, const struct be_map *maps, unsigned int count,
		 unsigned int *done, unsigned int *crossings, vfio_map_one one);
int vfio_unmap_all(struct vfio_space *space, const struct be_unmap *unmaps, unsigned int count,
		   unsigned int *done, unsigned int *crossings, vfio_unmap_one one);

extern const struct be_pci_ops vfio_pci_ops;

/* @fd becomes the device's. Return: 0, or a negative errno and it is closed. */
int vfio_dev_opened(struct vfio_dev *dev, int fd);

/* Stops the device's DMA and closes it; VFIO resets it then. */
void vfio_dev_close(struct vfio_dev *dev);

/* type1's container. */

#define VFIO_CONTAINER "/dev/vfio/vfio"

struct vfio_container_info {
	struct vfio_ranges ranges;
	uint64_t page_sizes;
	uint64_t max_maps; /* that it takes now */
};

uint64_t vfio_container_entry_limit(void); /* of new ones */
int vfio_container_open(struct be *be);
/* It has an IOMMU: what that allows. Return: 0 or a negative errno and a message. */
int vfio_container_info(struct be *be, int container, struct vfio_container_info *info);

/*
 * The host's view of a device. All of them: 0 or a negative errno and a message.
 */

/*
 * @name is a PCI address, "0000:00:08.0" or "00:08.0", of a device that exists. "@7" behind it: the
 * file that is to be opened for it is open as number 7, by a process that may open it. *fd is that
 * number, or -1.
 */
int vfio_find_device(struct be *be, const char *name, char address[static VFIO_ADDRESS_BYTES],
		     int *fd);
/* Digits only. No message. */
bool vfio_parse_number(const char *text, size_t length, int *number);
/* It is behind an IOMMU: its group. */
int vfio_find_group(struct be *be, const char *address, unsigned int *group);
/* It belongs to the backend's driver (vfio_be.driver). */
int vfio_check_driver(struct be *be, const char *address);
/* One that is not keeps the group from VFIO: -EBUSY and a message, or 0 if there is none. */
int vfio_fail_neighbour(struct be *be, unsigned int group);
/* An entry of a folder whose first letter is in @initials. No message. */
int vfio_find_entry(const char *folder, const char *initials, char *name, size_t name_bytes);

/* A copy of a file that was handed over. */
int vfio_dup(struct be *be, int fd);
/* Opens a device file; @module is what makes it. */
int vfio_open(struct be *be, const char *path, const char *module);
/* The same for a probe: @why receives the message. */
int vfio_probe_open(const char *path, const char *module, char *why, size_t why_bytes);
/* Some device belongs to @driver: there is a file in @folder, its first letter in @initials. */
int vfio_probe_devices(const char *folder, const char *initials, const char *driver, char *why,
		       size_t why_bytes);

/* Why a mapping call failed with @code (negative). */
int vfio_fail_map(struct be *be, const struct be_map *map, int code);
/* The same of -ENOMEM, if there is a limit that may be why. Return: is there? */
bool vfio_fail_memlock(struct be *be, uint64_t bytes);

/*
 * "key=value,..." of a backend. @one takes one of them, of @length bytes. Return: 0 or a negative
 * errno and a message.
 */
int vfio_parse_options(struct be *be, const char *options,
		       int (*one)(struct be *be, const char *text, size_t length));
/* Is it @key (with the "=") and a number? */
bool vfio_parse_option(const char *text, size_t length, const char *key, int *number);

#endif
