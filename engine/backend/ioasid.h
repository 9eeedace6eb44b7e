/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Backend "ioasid": /dev/ioasid and devices in /dev/kioas, which the kernel module kioas makes.
 *
 *   ioasid.c         context, devices, address spaces
 *   ioasid_call.c    requests, and the kernel's words for why one failed
 *   ioasid_map.c     memory; maps, unmaps and invalidations, as arrays: one call each
 *   ioasid_ring.c    the same without calls, through a ring that the kernel polls
 *   ioasid_event.c   faults, and devices that are taken away
 *   ioasid_pci.c     registers of a device, through sysfs
 *
 * What these share with the backends over VFIO is in vfio.h.
 *
 * Locking: devices, spaces and attachment are guarded by the context's lock; the kernel excludes
 * calls on one space from each other. What events need to know of devices has a lock of its own.
 *
 * Source: include/uapi/linux/ioasid.h.
 */
#ifndef ENGINE_BACKEND_IOASID_H
#define ENGINE_BACKEND_IOASID_H

#include <uapi/linux/ioasid.h>

#include "vfio.h"

#define IOASID_FILE    "/dev/ioasid"
#define IOASID_DEVICES "/dev/kioas"
#define IOASID_DRIVER  "kioas"

struct ioasid_dev {
	struct vfio_dev vfio; /* fd: its file in IOASID_DEVICES */
	uint32_t id;
	uint64_t cookie;   /* never the same twice in a context */
	int removal_fd;	   /* eventfd, ours, or -1; under events_lock, as are the next two */
	_Atomic bool gone; /* removed: the kernel has unbound it; set once */
	struct ioasid_dev *next;
};

struct ioasid_space {
	struct vfio_space vfio; /* its maps are not used: the kernel keeps a record */
	uint32_t id;
};

struct ioasid_ring;

struct ioasid_be {
	struct vfio_be vfio;
	int given_fd;	  /* option, or -1 */
	int ring_entries; /* option, or 0 */
	int fd;
	uint32_t array_max;
	uint32_t kinds;	  /* mask of 1 << enum ioas_kind */
	uint64_t formats; /* of USER tables, that all devices allow */
	uint64_t next_cookie;
	/* Made with the first device; as long as the context. */
	_Atomic(struct ioasid_ring *) ring;
	pthread_mutex_t events_lock;
	struct ioasid_dev *devices;
};

static inline struct ioasid_be *ioasid_to_be(struct be *be)
{
	return (struct ioasid_be *)be;
}

static inline struct ioasid_dev *ioasid_to_dev(struct be_dev *dev)
{
	return (struct ioasid_dev *)dev;
}

/* Return: 0 or a negative errno, without a message. */
int ioasid_request(const struct ioasid_be *be, unsigned long request, void *argument);

/* The same, about a bound device. -ENODEV: it was taken away, and its number with it. */
int ioasid_device_request(const struct ioasid_dev *dev, unsigned long request, void *argument);

/* Why the calling thread's last request failed. */
struct ioasid_why {
	uint32_t index; /* array element, 0 if there is none */
	char text[192]; /* field and words of the kernel; what @code means if it has none */
};

void ioasid_why(const struct ioasid_be *be, int code, struct ioasid_why *why);

/* A request that failed with @code: "ioasid: WHAT: why". Return: @code. */
int ioasid_fail(struct ioasid_be *be, int code, const char *what, ...)
	__attribute__((format(printf, 3, 4)));

/* Operations as they are in struct be_ops. */
int ioasid_mem_add(struct be *be, const struct be_mem_attr *attr, struct be_mem **mem);
void ioasid_mem_del(struct be_mem *mem);
int ioasid_map(struct be_space *space, const struct be_map *maps, unsigned int count,
	       unsigned int *done, unsigned int *crossings);
int ioasid_unmap(struct be_space *space, const struct be_unmap *unmaps, unsigned int count,
		 unsigned int *done, unsigned int *crossings);
int ioasid_invalidate(struct be_space *space, const struct be_inval *ranges, unsigned int count,
		      unsigned int *crossings);
int ioasid_fault_read(struct be *be, struct be_fault *faults, unsigned int max, uint64_t *lost);

/* Events name the device from now on, and not any more. */
void ioasid_events_add(struct ioasid_be *be, struct ioasid_dev *dev);
void ioasid_events_remove(struct ioasid_be *be, struct ioasid_dev *dev);
/* Which eventfd says that the device is taken away; -1: none. It stays the caller's. */
int ioasid_events_removal(struct ioasid_be *be, struct ioasid_dev *dev, int eventfd);

extern const struct be_pci_ops ioasid_pci_ops;

#endif
