/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rte_dev_dma_map() and rte_dev_dma_unmap() of a net_ioas port: memory of the application's that
 * devices of the process's address space reach from one to the other, at IOVA = VA.
 *
 * Source: kernel-doc of rte_dev.h. The memory has been told to EAL, which checks nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <rte_errno.h>

#include "glue.h"
#include "log.h"

static struct glue_region *regions; /* glue.setup_lock */

static int fail(int rc)
{
	rte_errno = -rc;
	return rc;
}

static int check(const void *va, uint64_t iova, size_t bytes)
{
	if (bytes == 0 || (((uintptr_t)va | bytes) & (IOAS_PAGE_SIZE - 1)) != 0) {
		GLUE_LOG(ERR, "DMA map of %p, %zu bytes: zero, or not a multiple of 4096", va,
			 bytes);
		return -EINVAL;
	}
	if (iova != (uintptr_t)va) {
		GLUE_LOG(ERR, "DMA map of %p at 0x%" PRIx64 ": iova: the virtual address is wanted",
			 va, iova);
		return -ENOTSUP;
	}
	return 0;
}

int glue_dma_map(void *va, uint64_t iova, size_t bytes)
{
	struct glue_region *region;
	int rc = check(va, iova, bytes);

	if (rc != 0)
		return fail(rc);
	if (glue.config.mode == GLUE_MODE_PASSTHROUGH)
		return 0;
	region = calloc(1, sizeof(*region));
	if (region == NULL)
		return fail(-ENOMEM);
	region->va = va;
	region->bytes = bytes;
	pthread_mutex_lock(&glue.setup_lock);
	rc = glue_map_locked(region, true);
	if (rc == 0) {
		region->next = regions;
		regions = region;
	}
	pthread_mutex_unlock(&glue.setup_lock);
	if (rc == 0)
		return 0;
	free(region);
	return fail(rc);
}

int glue_dma_unmap(void *va, uint64_t iova, size_t bytes)
{
	struct glue_region **link = &regions, *region;
	int rc = check(va, iova, bytes);

	if (rc != 0)
		return fail(rc);
	if (glue.config.mode == GLUE_MODE_PASSTHROUGH)
		return 0;
	pthread_mutex_lock(&glue.setup_lock);
	while (*link != NULL && ((*link)->va != va || (*link)->bytes != bytes))
		link = &(*link)->next;
	region = *link;
	if (region != NULL) {
		*link = region->next;
		glue_unmap_locked(region);
	}
	pthread_mutex_unlock(&glue.setup_lock);
	free(region);
	return region != NULL ? 0 : fail(-ENOENT);
}

void glue_dma_unmap_all(void)
{
	struct glue_region *region;

	pthread_mutex_lock(&glue.setup_lock);
	while ((region = regions) != NULL) {
		regions = region->next;
		glue_unmap_locked(region);
		free(region);
	}
	pthread_mutex_unlock(&glue.setup_lock);
}
