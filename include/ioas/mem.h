/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that devices may be given access to: arenas of huge pages allocated here, or the
 * caller's own. It is pinned and accounted once, however many address spaces map it: by "soft" at
 * registration, by iommufd from the first map to a device on. Type1 pins for each address space.
 */
#ifndef IOAS_MEM_H
#define IOAS_MEM_H

#include <ioas/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOAS_NUMA_ANY (-1)

/**
 * struct ioas_mem_opts - what to allocate
 * @size: sizeof(struct ioas_mem_opts)
 * @numa_node: node to place it on, or IOAS_NUMA_ANY
 * @bytes: length; rounded up to the page size in use
 * @page_bytes: 4096, 2 MiB or 1 GiB; 0 for the largest huge page that fits @bytes
 * @strict_page: fail with -ENOMEM rather than fall back to smaller pages
 */
struct ioas_mem_opts {
	uint32_t size;
	int32_t numa_node;
	uint64_t bytes;
	uint64_t page_bytes;
	bool strict_page;
};

/**
 * ioas_mem_alloc - allocate and register an arena
 *
 * Backed by a memfd (or a hugetlbfs file), zeroed, populated. Falls back to smaller pages with
 * one warning that names the command to reserve huge pages. Return: 0; -EINVAL; -ENOMEM no
 * memory, or RLIMIT_MEMLOCK too small (ioas_ctx_error() tells which).
 */
int ioas_mem_alloc(struct ioas_ctx *ctx, const struct ioas_mem_opts *opts, struct ioas_mem **mem);

/**
 * ioas_mem_register - register the caller's own memory
 * @va: start, aligned to 4096
 * @bytes: length, a multiple of 4096
 *
 * The range must stay mapped until ioas_mem_free(). Overlap with registered memory: -EEXIST.
 * Return: 0; -EINVAL; -EFAULT not mapped, or not writable; -EEXIST; -ENOMEM as above.
 */
int ioas_mem_register(struct ioas_ctx *ctx, void *va, size_t bytes, struct ioas_mem **mem);

/**
 * ioas_mem_free - release memory
 *
 * Returns after a completed invalidation covers every address space that could reach it (I1). What
 * it costs does not depend on how much else is registered; but where USER spaces have the library's
 * own parent, it walks all of their tables and waits for readers, which takes milliseconds. Return:
 * 0; -EBUSY while it is mapped somewhere: ioas_ctx_error() gives the IOVA. Nothing is changed then.
 */
int ioas_mem_free(struct ioas_mem *mem);

void *ioas_mem_va(const struct ioas_mem *mem);
size_t ioas_mem_bytes(const struct ioas_mem *mem);
size_t ioas_mem_page_bytes(const struct ioas_mem *mem); /* size of the pages behind it */
/* File behind an arena, which begins at its offset 0; -1 for registered memory. It stays ours. */
int ioas_mem_fd(const struct ioas_mem *mem);

#ifdef __cplusplus
}
#endif
#endif
