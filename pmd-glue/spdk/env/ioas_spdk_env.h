/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What this environment has beyond SPDK's env.h: zero copy from memory that nobody has registered.
 *
 *	ioas_spdk_hold(buffer, bytes, &hold);
 *	spdk_bdev_write(desc, channel, buffer, ...);	as of any buffer of spdk_dma_malloc()
 *	ioas_spdk_release(&hold);			in the completion's callback
 *
 * Held memory is found by spdk_vtophys(), at any alignment that the driver takes. It is mapped when
 *it is first held, and stays mapped, for the next time, until its place is needed or the program
 *gives the memory back to the system: see <ioas/regcache.h>, whose mode EXACT it is.
 *
 * Threads: any. Errors: 0 or a negative errno; the log has the reason.
 */
#ifndef IOAS_SPDK_ENV_H
#define IOAS_SPDK_ENV_H

#include <ioas/regcache.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A buffer that is held; the caller's, one for each I/O. */
struct ioas_spdk_hold {
	struct ioas_reg reg;
};

/**
 * ioas_spdk_hold - make a buffer the controllers' for a while
 * @va: any address outside of what spdk_*malloc() gave and spdk_mem_register() was told of, which
 *	need no hold
 *
 * Return: 0; -EFAULT not mapped, or not writable; -EEXIST part of it is registered and part is not;
 * -EOPNOTSUPP no userfaultfd here; -ENOSPC too much is held; -ENODEV no environment; -ENOMEM;
 *others of ioas_regcache_get().
 */
int ioas_spdk_hold(const void *va, size_t bytes, struct ioas_spdk_hold *hold);

/* The controllers are done with it. From any thread. */
void ioas_spdk_release(struct ioas_spdk_hold *hold);

#ifdef __cplusplus
}
#endif

#endif
