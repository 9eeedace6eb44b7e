/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The port guide's code (docs/port): small drivers as they were, and as they are with libioas. The
 * pages quote what stands between "port: NAME" and "port: end"; check-pages holds the two together.
 *
 * What a driver was is compiled. What it becomes is run as well, against a device of the software
 * IOMMU that writes to what it finds in its ring (test_port.c).
 */
#ifndef TESTS_PORT_H
#define TESTS_PORT_H

#include <ioas/ioas.h>
#include <ioas/regcache.h>
#include <ioas/translate.h>

#define PORT_RING 64

/* The device's queue: where it may write, and how much. */
struct ring {
	uint64_t iova[PORT_RING];
	uint32_t bytes[PORT_RING];
	unsigned int count;
};

static inline void ring_post(struct ring *ring, uint64_t iova, uint32_t bytes)
{
	ring->iova[ring->count] = iova;
	ring->bytes[ring->count++] = bytes;
}

/* A driver after its port. All return 0 or a negative errno. */
struct port {
	const char *name;
	int (*start)(struct ioas_ctx *ctx, struct ioas_dev *dev);
	void *(*buffer)(void); /* of PORT_BYTES, that the application does its I/O with */
	int (*submit)(struct ring *ring, void *buffer, uint32_t bytes);
	int (*complete)(void *buffer); /* the device has said that it is done */
	int (*stop)(void);
	bool strict; /* the device cannot reach the buffer after complete() */
};

#define PORT_BYTES 16384

extern const struct port port_vfio, port_iommufd, port_spdk, port_libvfn;

#endif
