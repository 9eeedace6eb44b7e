/* SPDX-License-Identifier: BSD-3-Clause */
/* Registered memory. See vfio.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vfio.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

void vfio_memories_init(struct vfio_memories *set)
{
	vfio_rwlock_init(&set->lock);
	set->extents = (struct extents)EXTENTS_INIT;
}

void vfio_memories_destroy(struct vfio_memories *set)
{
	pthread_rwlock_destroy(&set->lock);
}

/* Fault all of it in; a kernel that does not know how leaves that to the pinning. */
static int populate(struct be *be, void *va, uint64_t bytes)
{
	if (madvise(va, 0, MADV_POPULATE_WRITE) || !madvise(va, bytes, MADV_POPULATE_WRITE))
		return 0;
	switch (errno) {
	case ENOMEM:
	case EINVAL:
	case EFAULT:
	case EACCES:
		return diag_fail(be->diag, -EFAULT,
				 "%s: memory at %p, %" PRIu64
				 " bytes: not mapped, not writable, or no memory behind it",
				 be->ops->name, va, bytes);
	}
	return diag_fail(be->diag, -errno, "%s: memory at %p, %" PRIu64 " bytes: %s", be->ops->name,
			 va, bytes, strerror(errno));
}

int vfio_memory_add(struct be *be, struct vfio_memories *set, const struct be_mem_attr *attr,
		    struct be_mem **out)
{
	uint64_t start = (uintptr_t)attr->va;
	uint64_t last = start + attr->bytes - 1;
	struct vfio_memory *mem;
	bool overlap;
	int ret;

	if (!attr->bytes || ((start | attr->bytes) & (IOAS_PAGE_SIZE - 1)) || last < start)
		return diag_fail(be->diag, -EINVAL,
				 "%s: memory at %p, %" PRIu64 " bytes: not whole pages",
				 be->ops->name, attr->va, attr->bytes);
	ret = populate(be, attr->va, attr->bytes);
	if (ret)
		return ret;
	mem = calloc(1, sizeof(*mem));
	if (!mem)
		return diag_fail(be->diag, -ENOMEM, "%s: no memory", be->ops->name);
	mem->base.be = be;
	mem->extent.start = start;
	mem->extent.last = last;
	mem->set = set;

	pthread_rwlock_wrlock(&set->lock);
	overlap = extents_overlap(&set->extents, start, last);
	if (!overlap)
		extents_insert(&set->extents, &mem->extent);
	pthread_rwlock_unlock(&set->lock);
	if (overlap) {
		free(mem);
		return diag_fail(be->diag, -EEXIST, "%s: memory at %p overlaps registered memory",
				 be->ops->name, attr->va);
	}
	*out = &mem->base;
	return 0;
}

void vfio_memory_del(struct be_mem *base)
{
	struct vfio_memory *mem = (struct vfio_memory *)base;

	pthread_rwlock_wrlock(&mem->set->lock);
	extents_remove(&mem->set->extents, &mem->extent);
	pthread_rwlock_unlock(&mem->set->lock);
	free(mem);
}

struct vfio_memory *vfio_memory_find(struct vfio_memories *set, const void *va, uint64_t bytes)
{
	uint64_t start = (uintptr_t)va;
	struct extent *extent;

	pthread_rwlock_rdlock(&set->lock);
	extent = extents_find(&set->extents, start);
	if (extent && bytes - 1 > extent->last - start)
		extent = NULL;
	pthread_rwlock_unlock(&set->lock);
	return extent ? (struct vfio_memory *)((char *)extent -
					       offsetof(struct vfio_memory, extent))
		      : NULL;
}
