/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device of the kernel's mock IOMMU in place of a real one: the library binds a device of the
 * machine, as ever, and what it asks of the IOMMU is answered by the mock (CONFIG_IOMMUFD_TEST).
 * What a real IOMMU of the lab does not do can be tried there: dirty pages. A mock device
 * does no DMA; this file can say that it did.
 *
 * It works by standing between the library and the system calls ioctl() and close(). One thread.
 *
 * Source: Linux drivers/iommu/iommufd/iommufd_test.h, selftest.c.
 */
#ifndef LAB_MOCK_DEVICE_H
#define LAB_MOCK_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

/* IOVAs of the mock's tables. */
#define MOCK_FIRST 0x1000000
#define MOCK_LAST  0x7fffffff

struct mock_device {
	int fd; /* as the library opened it */
	int iommufd;
	uint32_t object;    /* the kernel's, for requests to the mock */
	uint32_t parked;    /* an IOAS: where it is while the library has it attached nowhere */
	uint32_t device_id; /* as the library knows it */
	uint32_t table;	    /* that it is attached to */
	bool attached;
	struct mock_device *next;
};

/* Skips the program if the kernel has no mock. */
void mock_check(void);

/* From the next bind on: devices whose IOMMU records no dirty pages. */
void mock_without_dirty(bool without);

/* The device that was bound @index-th, 0 is the last one. */
struct mock_device *mock_device(unsigned int index);

/* It wrote to a page. */
void mock_write_page(const struct mock_device *mock, uint64_t iova);

/* Its table maps @va there. */
bool mock_maps(const struct mock_device *mock, uint64_t iova, const void *va, uint64_t bytes);

#endif
