/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device side of the software IOMMU, as the engine and its tests see it: what ioas/soft.h
 * promises, on the backend's devices. Implemented by engine/backend/soft.c.
 *
 * Threads: any. Between soft_dma_begin() and soft_dma_end() the unit of the device is locked by
 * the calling thread, so that thread must not map, unmap, invalidate, attach, read counters or
 * begin a second burst on the same unit. Reading faults is allowed.
 */
#ifndef ENGINE_SOFT_SOFT_H
#define ENGINE_SOFT_SOFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct be;
struct be_dev;
struct be_ops;
struct ioas_soft_stats;

extern const struct be_ops soft_be_ops;

/* Do the functions below take it? */
bool soft_is(const struct be *be);
bool soft_is_dev(const struct be_dev *dev);

void soft_dma_begin(struct be_dev *dev);
void soft_dma_end(struct be_dev *dev);
void *soft_dma_ptr(struct be_dev *dev, uint64_t iova, size_t *bytes, uint32_t prot);

/* Each is a burst of its own. Return: 0, or -EFAULT with a fault recorded. */
int soft_dma_read(struct be_dev *dev, uint64_t iova, void *dst, size_t bytes);
int soft_dma_write(struct be_dev *dev, uint64_t iova, const void *src, size_t bytes);

/* Fills all but @stats->size. */
void soft_get_stats(struct be *be, struct ioas_soft_stats *stats);

#endif
