/* SPDX-License-Identifier: BSD-3-Clause */
/* docs/port/libvfn.md: buffers that are mapped once and looked up for each command. */
#include <errno.h>
#include <vfn/iommu.h>

#include "port.h"

int libvfn_before_memory(struct iommu_ctx *ctx, void *memory, size_t bytes);
int libvfn_before_submit(struct iommu_ctx *ctx, struct ring *ring, void *buffer, uint32_t bytes);

/* port: memory */
int libvfn_before_memory(struct iommu_ctx *ctx, void *memory, size_t bytes)
{
	return iommu_map_vaddr(ctx, memory, bytes, NULL, 0) ? -errno : 0;
}
/* port: end */

/* port: io */
int libvfn_before_submit(struct iommu_ctx *ctx, struct ring *ring, void *buffer, uint32_t bytes)
{
	iova_t iova;

	if (!iommu_translate_vaddr(ctx, buffer, &iova))
		return -EFAULT;
	ring_post(ring, iova, bytes);
	return 0;
}
/* port: end */
