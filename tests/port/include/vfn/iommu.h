/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the port guide uses of libvfn's vfn/iommu.h, declared from its documentation (libvfn 5,
 * "iommu"), so that the guide's code is compiled where libvfn is not.
 */
#ifndef LIBVFN_IOMMU_H
#define LIBVFN_IOMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t iova_t;
struct iommu_ctx;

int iommu_map_vaddr(struct iommu_ctx *ctx, void *vaddr, size_t len, iova_t *iova,
		    unsigned long flags);
int iommu_unmap_vaddr(struct iommu_ctx *ctx, void *vaddr, size_t *len);
bool iommu_translate_vaddr(struct iommu_ctx *ctx, void *vaddr, iova_t *iova);

#endif
