/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library on the kernel's mock of an IOMMU (CONFIG_IOMMUFD_TEST): the real iommufd, with
 * devices and IOMMUs that do nothing but keep accounts. The mock has structs of its own for nested
 * page tables, invalidations and events, so there are makes for it here, as in nested.h: one with a
 * vIOMMU, as Arm has it, and one without, as VT-d. Nobody walks the tables.
 *
 * VFIO does not know the mock's devices: tests/backend/unreal.c and what follows ioctl() here make
 * up its part. Devices are called "NUMBER:GROUP".
 *
 * Source: Linux drivers/iommu/iommufd/selftest.c, iommufd_test.h.
 */
#ifndef LAB_MOCK_LAB_H
#define LAB_MOCK_LAB_H

#include "../../../engine/backend/iommufd.h"
#include "../../../engine/objects.h"
#include "../prog/lab_prog.h"

#include <ioas/ioas.h>

#define PAGE IOAS_PAGE_SIZE

#define MOCK_CACHED 4 /* entries in the mock's caches */

/* The mock refuses to invalidate there. */
#define MOCK_BAD_IOVA (UINT64_C(1) << 40)

struct mock_lab {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *queue;
};

extern const struct nested_ops mock_plain;
extern const struct nested_ops mock_viommu;
/* VT-d's own structs, which the mock does not know. */
extern const struct nested_ops mock_vtd;

/* A context with one device and some memory. Skips the program where there is no mock. */
void mock_open(struct mock_lab *lab, const struct nested_ops *make);
void mock_close(struct mock_lab *lab);

/* A STRICT space over a parent of its own, if @parent is not NULL. */
void mock_create(struct mock_lab *lab, struct ioas *parent);
/* With a handler for page requests. */
void mock_create_on_demand(struct mock_lab *lab, struct ioas *parent, ioas_page_request_fn handler,
			   void *arg);
void mock_destroy(struct mock_lab *lab);
struct ioas *mock_parent(struct mock_lab *lab);

void *mock_page(struct mock_lab *lab, unsigned int page);
void mock_map(struct mock_lab *lab, ioas_iova_t iova);

/* Is entry @index in the mock's cache: of the nested page table, or of the device (vIOMMU)? */
bool mock_is_cached(struct mock_lab *lab, unsigned int index);

/* Nothing is pinned of the memory but by the mappings of @parents. */
void mock_check_pins(struct mock_lab *lab, unsigned int parents);

/* The device wants a page, and waits for it: answered by nobody but the library. */
void mock_trigger_request(struct mock_lab *lab, ioas_iova_t iova, uint32_t prot);

/* The device has something to tell, which is no more than that. Return: 0 or a negative errno. */
int mock_trigger_event(struct mock_lab *lab);

#endif
