/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handing over: another process, or another program in the same one (exec), goes on with the
 * devices, address spaces, memory and mappings of a context. Devices stay attached and do DMA all
 * the time: for updates and restarts of a driver.
 *
 * For backend iommufd (Linux 6.14), KERNEL spaces, and memory of ioas_mem_alloc(). The predecessor
 * saves, makes no further call on the context, passes the files on and ends; nothing is torn down
 * then, since the successor has the files, too. What drivers know beside (rings, registers, who
 * owns which buffer) is theirs to pass on, best inside that memory.
 *
 * Source: Linux Documentation/userspace-api/iommufd.rst, IOMMU_IOAS_CHANGE_PROCESS.
 */
#ifndef IOAS_HANDOVER_H
#define IOAS_HANDOVER_H

#include <ioas/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * ioas_ctx_save - what a successor needs
 * @fds: receives open files, which become the caller's; closed by exec, unless FD_CLOEXEC is
 * cleared
 * @max: capacity of @fds; one for each device and each memory, and two
 *
 * Describes what there is now: maps and unmaps afterwards are not known to the successor. Changes
 * nothing, so that a predecessor whose successor does not come may go on. Return: how many files,
 * which must reach the successor in this order; or -EOPNOTSUPP the backend, or a USER space;
 * -EINVAL memory that was not made by ioas_mem_alloc(); -EBUSY an address space records dirty
 * pages; -ENOSPC @max is too small; -EMFILE, -ENOMEM.
 */
int ioas_ctx_save(struct ioas_ctx *ctx, int *fds, unsigned int max);

/**
 * ioas_ctx_restore - go on with what another process saved
 * @opts: as in ioas_ctx_open(); @backend is NULL or the same, no @backend_options
 * @fds: files from ioas_ctx_save(); they stay the caller's and may be closed afterwards
 * @count: how many
 *
 * Memory is mapped where it was if that place is free, else elsewhere: ioas_mem_va(). Pins count
 * against this process from now on; in between they count twice. Queues, BARs and interrupts are to
 * be made anew. Return: 0; or nothing has changed and -EINVAL not such files, or of another version
 * of the library; -ENOMEM, RLIMIT_MEMLOCK above all; -EOPNOTSUPP the kernel is too old.
 */
int ioas_ctx_restore(const struct ioas_ctx_opts *opts, const int *fds, unsigned int count,
		     struct ioas_ctx **ctx);

/*
 * The objects of a context: the @n-th from 0 on, in the order in which they were made, NULL behind
 * the last one. No object may come or go meanwhile.
 */
struct ioas_dev *ioas_ctx_dev(struct ioas_ctx *ctx, unsigned int n);
struct ioas_mem *ioas_ctx_mem(struct ioas_ctx *ctx, unsigned int n);
struct ioas *ioas_ctx_space(struct ioas_ctx *ctx, unsigned int n);

#ifdef __cplusplus
}
#endif
#endif
