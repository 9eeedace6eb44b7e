/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side: what engine/soft/soft.h declares, on the backend's devices. */
#include "kernel.h"

#include <errno.h>
#include <string.h>

#include <ioas/soft.h>

static struct soft_endpoint *endpoint_of(struct be_dev *dev)
{
	return &((struct soft_dev *)dev)->endpoint;
}

bool soft_is(const struct be *be)
{
	return be->ops == &soft_be_ops;
}

bool soft_is_dev(const struct be_dev *dev)
{
	return soft_is(dev->be);
}

void soft_dma_begin(struct be_dev *dev)
{
	soft_unit_begin(endpoint_of(dev)->unit);
}

void soft_dma_end(struct be_dev *dev)
{
	soft_unit_end(endpoint_of(dev)->unit);
}

void *soft_dma_ptr(struct be_dev *dev, uint64_t iova, size_t *bytes, uint32_t prot)
{
	return soft_translate(endpoint_of(dev), iova, bytes, prot);
}

/* A device that was told to try again in vain gives up sometime. */
#define TRIES 8

/*
 * soft_dma_ptr() for a device that can wait; the burst is closed while it does, so that what maps
 * the page can invalidate.
 */
static __attribute__((noinline)) void *wait_for_ptr(struct be_dev *base, uint64_t iova,
						    size_t *bytes, uint32_t prot)
{
	struct soft_dev *dev = (struct soft_dev *)base;
	struct soft_endpoint *endpoint = &dev->endpoint;
	const size_t wanted = *bytes;

	for (unsigned int tries = 0;; tries++) {
		struct soft_request request = {
			.dev = dev,
			.moves = dev->moves,
			.iova = iova & ~(IOAS_PAGE_SIZE - 1),
			.prot = prot,
		};
		enum soft_request_result result;
		void *memory;

		endpoint->can_wait = tries < TRIES;
		endpoint->must_wait = false;
		*bytes = wanted;
		memory = soft_dma_ptr(base, iova, bytes, prot);
		endpoint->can_wait = false;
		if (memory || !endpoint->must_wait)
			return memory;
		request.space = endpoint->context.space;
		soft_dma_end(base);
		result = soft_request_wait(&soft_to_be(base->be)->requests, &request);
		soft_dma_begin(base);
		if (result == SOFT_REQUEST_FAIL)
			return NULL;
		if (result == SOFT_REQUEST_FULL)
			tries = TRIES - 1;
	}
}

static inline void *ptr_or_wait(struct be_dev *dev, uint64_t iova, size_t *bytes, uint32_t prot)
{
	if (__builtin_expect(endpoint_of(dev)->context.space != NULL, 0))
		return wait_for_ptr(dev, iova, bytes, prot);
	return soft_dma_ptr(dev, iova, bytes, prot);
}

/* An aligned access of 8 bytes is one access, as on PCIe. */
static bool is_word(const void *memory, size_t bytes)
{
	return bytes == 8 && !((uintptr_t)memory & 7);
}

int soft_dma_read(struct be_dev *dev, uint64_t iova, void *dst, size_t bytes)
{
	int ret = 0;

	soft_dma_begin(dev);
	while (bytes) {
		size_t some = bytes;
		void *src = ptr_or_wait(dev, iova, &some, IOAS_READ);
		uint64_t word;

		if (!src) {
			ret = -EFAULT;
			break;
		}
		if (is_word(src, some)) {
			word = atomic_load_explicit((_Atomic uint64_t *)src, memory_order_acquire);
			memcpy(dst, &word, sizeof(word));
		} else {
			memcpy(dst, src, some);
		}
		dst = (char *)dst + some;
		iova += some;
		bytes -= some;
	}
	soft_dma_end(dev);
	return ret;
}

int soft_dma_write(struct be_dev *dev, uint64_t iova, const void *src, size_t bytes)
{
	int ret = 0;

	soft_dma_begin(dev);
	while (bytes) {
		size_t some = bytes;
		void *dst = ptr_or_wait(dev, iova, &some, IOAS_WRITE);
		uint64_t word;

		if (!dst) {
			ret = -EFAULT;
			break;
		}
		if (is_word(dst, some)) {
			memcpy(&word, src, sizeof(word));
			atomic_store_explicit((_Atomic uint64_t *)dst, word, memory_order_release);
		} else {
			memcpy(dst, src, some);
		}
		src = (const char *)src + some;
		iova += some;
		bytes -= some;
	}
	soft_dma_end(dev);
	return ret;
}

void soft_get_stats(struct be *base, struct ioas_soft_stats *stats)
{
	struct soft_be *be = soft_to_be(base);

	*stats = (struct ioas_soft_stats){ .size = stats->size };
	for (unsigned int i = 0; i < be->options.units; i++) {
		struct soft_counters counters;

		soft_unit_read_counters(be->units[i], &counters);
		stats->translations += counters.hits + counters.misses + counters.untranslated;
		stats->iotlb_hits += counters.hits;
		stats->iotlb_misses += counters.misses;
		stats->psc_hits += counters.psc_hits;
		stats->walk_reads += counters.walk_reads;
		stats->descriptors += counters.descriptors;
		stats->waits += counters.waits;
		stats->iotlb_dropped += counters.dropped;
		stats->faults += counters.faults;
	}
}
