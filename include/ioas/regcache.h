/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registration cache: application memory, wherever it comes from, mapped in a KERNEL space when a
 * buffer in it is first used, and kept mapped until its place is needed or the program gives the
 * memory back.
 *
 *                 | get | put | forget, trim | queue_destroy    - no outside exclusion needed
 *   get           |  -  |  -  |      -       |      -
 *   put           |  -  |  -  |      -       |      -
 *
 * A get that hits, and a put, take no lock and do no atomic read-modify-write: each queue counts
 * what it holds. A get that misses pins the pages and maps them; it may evict others.
 *
 * Memory that is replaced. The kernel tells a thread of the cache (userfaultfd) when the program
 * unmaps, moves or discards registered memory, and makes the program wait until the thread has
 * taken note. From then on no get finds the old translation; buffers that are held keep it, and
 * the old pages, until they are put. What a get may rely on is @watch:
 *
 *   IOAS_WATCH_EXACT    no get returns a translation for memory that has been replaced. The kernel
 *                       tells only after the addresses are free, so that another thread may be
 *                       given them before: each get asks whether an unmap is under way. That is a
 *                       system call, for a batch of gets one.
 *   IOAS_WATCH_ORDERED  the same, where a thread uses addresses anew only after the call that gave
 *                       them back has returned; a hit makes no system call. That is so with one
 *                       thread that unmaps and maps, or with an allocator of the program's own; it
 *                       is not so when several threads use malloc() with large blocks.
 *   IOAS_WATCH_NONE     the program calls ioas_regcache_forget() before it gives memory back.
 *
 * A get that runs at the same time as the call that takes its own memory away is an error of the
 * program, and what it returns is undefined. Holes punched through a file descriptor, shmdt() and
 * SHM_REMAP are not told of: call ioas_regcache_forget(). After MADV_FREE pinned pages stay what
 * they are. Memory of ioas_mem_alloc() and ioas_mem_register()
 * is not watched: its own contract says that it stays; ioas_mem_free() forgets it.
 *
 * Memory that cannot be watched (private mappings of files, memory that another userfaultfd has) is
 * mapped for one get, and unmapped when it is put.
 *
 * Watching splits the kernel's areas: mremap() of a block of which a part is cached fails (EFAULT).
 *
 * fork(): the parent keeps its registrations and its pages (Linux 5.12 or later copies pinned pages
 * for the child). In the child every get fails: -ECHILD.
 */
#ifndef IOAS_REGCACHE_H
#define IOAS_REGCACHE_H

#include <sys/uio.h>

#include <ioas/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ioas_regcache;

enum ioas_watch {
	IOAS_WATCH_EXACT = 0,
	IOAS_WATCH_ORDERED = 1,
	IOAS_WATCH_NONE = 2,
};

/**
 * struct ioas_regcache_opts - a registration cache
 * @size: sizeof(struct ioas_regcache_opts)
 * @watch: enum ioas_watch
 * @prot: enum ioas_prot of what is mapped, 0 for both
 * @max_entries: registrations at a time, those that wait to be unmapped included; 0 for 65536, at
 *	most 1 << 20
 * @max_bytes: of them, likewise; 0 for no bound
 * @merge_bytes: a new registration takes an idle neighbour in, up to this length together; 0 for
 *	2 MiB. Registrations that overlap are always made one
 * @linger_ns: how long what is dead may wait to be unmapped, in one batch; 0 for 1 ms
 */
struct ioas_regcache_opts {
	uint32_t size;
	uint32_t watch;
	uint32_t prot;
	uint32_t max_entries;
	uint64_t max_bytes;
	uint64_t merge_bytes;
	uint64_t linger_ns;
};

/**
 * ioas_regcache_create - give a KERNEL space its registration cache
 *
 * Return: 0; -EINVAL; -EEXIST it has one; -EOPNOTSUPP wrong kind, or no userfaultfd here (the text
 * says what would help); -ENOMEM.
 */
int ioas_regcache_create(struct ioas *as, const struct ioas_regcache_opts *opts,
			 struct ioas_regcache **cache);

/*
 * Unmap everything. No get or put may run. Return: 0, or -EBUSY while something is held (nothing
 * is changed then); -ECHILD in a child.
 */
int ioas_regcache_destroy(struct ioas_regcache *cache);

/**
 * struct ioas_reg - a buffer that is held; the caller's
 * @iova: of its first byte; all of it is contiguous
 * @entry: the library's, 0: nothing is held
 */
struct ioas_reg {
	ioas_iova_t iova;
	uint64_t entry;
};

/**
 * ioas_regcache_get - hold a buffer for DMA
 * @q: a queue of the cache's space
 * @va: any address; the pages around the buffer are mapped
 *
 * Return: 0; -EFAULT not mapped, or not writable; -ENOSPC the budget is used up by buffers that are
 * held; -EEXIST part of it is registered memory (ioas_mem) and part is not; -ENOMEM; -EAGAIN the
 * memory was replaced again and again meanwhile; -ECHILD; -EPERM; -EINVAL; -ENOENT the space has no
 * cache. The text is ioas_queue_error(), or for the kernel's refusals ioas_ctx_error().
 */
int ioas_regcache_get(struct ioas_queue *q, const void *va, size_t bytes, struct ioas_reg *reg);

/**
 * ioas_regcache_get_batch - hold several buffers, of one command or one burst
 *
 * As ioas_regcache_get() of each, but IOAS_WATCH_EXACT asks the kernel once for all that hit.
 * Return: 0, or an error as above and nothing of the batch is held.
 */
int ioas_regcache_get_batch(struct ioas_queue *q, const struct iovec *buffers, unsigned int count,
			    struct ioas_reg *regs);

/**
 * ioas_regcache_lookup - IOVA of memory that is held, for code that has only the address
 * @bytes: in: wanted; out: length of what is contiguous from @va, at most the input
 *
 * Does not hold it: what nobody holds may be gone when this returns. No lock, no system call. Return:
 * 0; -ENOENT not in the cache; -EINVAL; -EPERM.
 */
int ioas_regcache_lookup(struct ioas_queue *q, const void *va, size_t *bytes, ioas_iova_t *iova);

/* Let go of it. Any queue of the space may do that. The device must be done with the buffer. */
void ioas_regcache_put(struct ioas_queue *q, struct ioas_reg *reg);

/**
 * ioas_regcache_forget - the memory is about to be given back
 *
 * On return no get finds anything of the range, and what is not held of it is unmapped. Return: 0,
 * -ECHILD.
 */
int ioas_regcache_forget(struct ioas_regcache *cache, const void *va, size_t bytes);

/* Unmap everything that is not held. Return: 0, -ECHILD. */
int ioas_regcache_trim(struct ioas_regcache *cache);

/**
 * struct ioas_regcache_stats - counters
 * @size: sizeof(struct ioas_regcache_stats), set by the caller
 * @entries: registrations now, dead ones included
 * @bytes: of them
 * @gets: in all, of queues that exist
 * @misses: gets that mapped something
 * @merges: registrations that were taken into larger ones
 * @evictions: for the budget
 * @invalidations: because their memory was replaced
 * @uncached: gets of memory that cannot be watched
 * @unmap_batches: times that dead registrations were unmapped, together
 */
struct ioas_regcache_stats {
	uint32_t size;
	uint32_t entries;
	uint64_t bytes;
	uint64_t gets;
	uint64_t misses;
	uint64_t merges;
	uint64_t evictions;
	uint64_t invalidations;
	uint64_t uncached;
	uint64_t unmap_batches;
};

int ioas_regcache_get_stats(struct ioas_regcache *cache, struct ioas_regcache_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
