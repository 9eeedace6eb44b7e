/* SPDX-License-Identifier: BSD-3-Clause */
/* ioas/soft.h on the engine's objects. */
#include "objects.h"

#include <errno.h>

#include <ioas/soft.h>

#include "soft/soft.h"

int ioas_soft_dma_begin(struct ioas_dev *dev)
{
	if (__builtin_expect(!soft_is_dev(dev->be_dev), 0))
		return -ENOTSUP;
	soft_dma_begin(dev->be_dev);
	return 0;
}

void ioas_soft_dma_end(struct ioas_dev *dev)
{
	soft_dma_end(dev->be_dev);
}

void *ioas_soft_dma_ptr(struct ioas_dev *dev, ioas_iova_t iova, size_t *bytes, uint32_t prot)
{
	return soft_dma_ptr(dev->be_dev, iova, bytes, prot);
}

int ioas_soft_dma_read(struct ioas_dev *dev, ioas_iova_t iova, void *dst, size_t bytes)
{
	return soft_is_dev(dev->be_dev) ? soft_dma_read(dev->be_dev, iova, dst, bytes) : -ENOTSUP;
}

int ioas_soft_dma_write(struct ioas_dev *dev, ioas_iova_t iova, const void *src, size_t bytes)
{
	return soft_is_dev(dev->be_dev) ? soft_dma_write(dev->be_dev, iova, src, bytes) : -ENOTSUP;
}

int ioas_soft_get_stats(struct ioas_ctx *ctx, struct ioas_soft_stats *stats)
{
	if (stats->size != sizeof(*stats))
		return diag_fail(&ctx->diag, -EINVAL,
				 "size: %u is not that of struct ioas_soft_stats", stats->size);
	if (!soft_is(ctx->be))
		return diag_fail(&ctx->diag, -ENOTSUP, "the context's backend is %s, not soft",
				 ctx->be->ops->name);
	soft_get_stats(ctx->be, stats);
	return 0;
}
