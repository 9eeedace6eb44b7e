/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The allocator: memkind's "fixed" heaps, each on one region, more of them when they are full. What
 * is large gets a region of its own, which goes when it is freed; heaps stay until the environment
 * ends. Everything allocated is contiguous for the device.
 *
 * A fixed heap gives nothing back to the system (its extents are neither decommitted nor purged),
 * so what a device was given stays where it is. Source: memkind(3).
 *
 * Any thread. The list of heaps only grows while the environment is open: it is read without a
 * lock (acquire, pairs with the release of the new head).
 */
#include "ioas_env.h"

#include <errno.h>
#include <memkind.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MIB	   ((size_t)1 << 20)
#define HEAP_MIN   (64 * MIB)
#define HEAP_MAX   (1024 * MIB)
#define LARGE	   (HEAP_MIN / 4)
#define LINE_BYTES 64
#define HUGE_PAGE  (2 * MIB) /* what memkind's extents are made of: no alignment beyond it */

struct heap {
	struct heap *next;
	memkind_t kind;
	char *va;
	size_t bytes;
	int numa_id;
};

static struct heap *_Atomic heaps;
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

static struct heap *first(void)
{
	return atomic_load_explicit(&heaps, memory_order_acquire);
}

/* Under `growing`. */
static int add_heap(size_t bytes, int numa_id)
{
	struct heap *heap = calloc(1, sizeof(*heap));
	struct ioas_env_region region;
	int ret = heap ? 0 : -ENOMEM;

	ret = ret ?: ioas_env_region_alloc(bytes, numa_id, &region);
	if (ret) {
		free(heap);
		return ret;
	}
	heap->va = region.va;
	heap->bytes = region.bytes;
	heap->numa_id = numa_id;
	if (memkind_create_fixed(heap->va, heap->bytes, &heap->kind)) {
		SPDK_ERRLOG("ioas: memkind makes no heap of %zu MiB\n", heap->bytes / MIB);
		ioas_env_region_remove(heap->va);
		free(heap);
		return -ENOMEM;
	}
	heap->next = first();
	atomic_store_explicit(&heaps, heap, memory_order_release);
	return 0;
}

static void *take(struct heap *heap, size_t size, size_t align, int numa_id)
{
	for (; heap; heap = heap->next) {
		void *va;

		if ((numa_id == SPDK_ENV_NUMA_ID_ANY || numa_id == heap->numa_id) &&
		    !memkind_posix_memalign(heap->kind, &va, align, size))
			return va;
	}
	return NULL;
}

/* A heap of twice the size, or one that is enough, unless another thread was faster. */
static void *take_after_growing(size_t size, size_t align, int numa_id)
{
	const size_t needed = HEAP_MIN + 2 * (size + align);
	size_t bytes = HEAP_MIN;
	struct heap *newest;
	void *va;

	pthread_mutex_lock(&growing);
	newest = first();
	va = take(newest, size, align, numa_id);
	if (newest && newest->bytes < HEAP_MAX)
		bytes = 2 * newest->bytes;
	if (bytes < needed && size >= LARGE)
		bytes = needed;
	if (!va && (!add_heap(bytes, numa_id) || !add_heap(needed, numa_id)))
		va = take(first(), size, align, numa_id);
	pthread_mutex_unlock(&growing);
	return va;
}

static void *take_region(size_t size, int numa_id)
{
	struct ioas_env_region region;

	return ioas_env_region_alloc(size, numa_id, &region) ? NULL : region.va;
}

static void *allocate(size_t size, size_t align, int numa_id, bool zero)
{
	void *va;

	if (align < LINE_BYTES)
		align = LINE_BYTES;
	if (!ioas_env.is_open || !size || (align & (align - 1)) || align > HUGE_PAGE)
		return NULL;
	/* Regions of their own are zeroed, and aligned to a page: 4096, or a huge one. */
	if (size >= LARGE && align <= IOAS_PAGE_SIZE)
		return take_region(size, numa_id);
	va = take(first(), size, align, numa_id) ?: take_after_growing(size, align, numa_id);
	if (va && zero)
		memset(va, 0, size);
	return va;
}

static const struct heap *heap_of(const void *va)
{
	const struct heap *heap = first();

	while (heap && (size_t)((const char *)va - heap->va) >= heap->bytes)
		heap = heap->next;
	return heap;
}

void *spdk_malloc(size_t size, size_t align, uint64_t *unused, int numa_id, uint32_t flags)
{
	(void)flags;
	return unused ? NULL : allocate(size, align, numa_id, false);
}

void *spdk_zmalloc(size_t size, size_t align, uint64_t *unused, int numa_id, uint32_t flags)
{
	(void)flags;
	return unused ? NULL : allocate(size, align, numa_id, true);
}

void spdk_free(void *buf)
{
	const struct heap *heap = buf ? heap_of(buf) : NULL;

	if (heap)
		memkind_free(heap->kind, buf);
	else if (buf && ioas_env_region_remove(buf))
		SPDK_ERRLOG("ioas: spdk_free: %p was not allocated here\n", buf);
}

/* Bytes behind @buf; 0 if it was not allocated here. */
static size_t usable(void *buf)
{
	const struct heap *heap = heap_of(buf);
	struct ioas_env_region region;

	if (heap)
		return memkind_malloc_usable_size(heap->kind, buf);
	return ioas_env_region_find(buf, &region) && region.va == buf ? region.bytes : 0;
}

void *spdk_realloc(void *buf, size_t size, size_t align)
{
	size_t had = buf ? usable(buf) : 0;
	void *va;

	if (!size) {
		spdk_free(buf);
		return NULL;
	}
	if (buf && !had)
		return NULL;
	va = allocate(size, align, SPDK_ENV_NUMA_ID_ANY, false);
	if (va && buf) {
		memcpy(va, buf, had < size ? had : size);
		spdk_free(buf);
	}
	return va;
}

void *spdk_dma_malloc_socket(size_t size, size_t align, uint64_t *unused, int numa_id)
{
	return spdk_malloc(size, align, unused, numa_id, SPDK_MALLOC_DMA);
}

void *spdk_dma_malloc(size_t size, size_t align, uint64_t *unused)
{
	return spdk_dma_malloc_socket(size, align, unused, SPDK_ENV_NUMA_ID_ANY);
}

void *spdk_dma_zmalloc_socket(size_t size, size_t align, uint64_t *unused, int numa_id)
{
	return spdk_zmalloc(size, align, unused, numa_id, SPDK_MALLOC_DMA);
}

void *spdk_dma_zmalloc(size_t size, size_t align, uint64_t *unused)
{
	return spdk_dma_zmalloc_socket(size, align, unused, SPDK_ENV_NUMA_ID_ANY);
}

void *spdk_dma_realloc(void *buf, size_t size, size_t align, uint64_t *unused)
{
	return unused ? NULL : spdk_realloc(buf, size, align);
}

void spdk_dma_free(void *buf)
{
	spdk_free(buf);
}

/*
 * One jemalloc arena for each heap: with one for each processor, which is memkind's default, what
 * one thread has freed is of no use to the others.
 */
int ioas_env_heap_open(int mem_size_mib)
{
	int ret = 0;

	setenv("MEMKIND_ARENA_NUM_PER_KIND", "1", 0);
	if (mem_size_mib > 0) {
		pthread_mutex_lock(&growing);
		ret = add_heap(mem_size_mib * MIB, SPDK_ENV_NUMA_ID_ANY);
		pthread_mutex_unlock(&growing);
	}
	return ret;
}

void ioas_env_heap_close(void)
{
	struct heap *heap = atomic_exchange(&heaps, NULL);

	while (heap) {
		struct heap *next = heap->next;

		memkind_destroy_kind(heap->kind);
		free(heap);
		heap = next;
	}
}
