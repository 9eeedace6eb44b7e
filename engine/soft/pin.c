/* SPDX-License-Identifier: BSD-3-Clause */
/* Pinned memory. See pin.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <ioas/types.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

void soft_pins_init(struct soft_pins *pins)
{
	pthread_rwlockattr_t attr;

	memset(pins, 0, sizeof(*pins));
	pins->extents = (struct extents)EXTENTS_INIT;
	/* Else maps that keep coming would keep memory from being registered. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&pins->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void soft_pins_destroy(struct soft_pins *pins)
{
	pthread_rwlock_destroy(&pins->lock);
}

bool soft_pins_contain(struct soft_pins *pins, const void *va, uint64_t bytes)
{
	const uint64_t start = (uintptr_t)va;
	const struct extent *extent;
	bool inside;

	pthread_rwlock_rdlock(&pins->lock);
	extent = extents_find(&pins->extents, start);
	inside = extent && bytes - 1 <= extent->last - start;
	pthread_rwlock_unlock(&pins->lock);
	return inside;
}

/* Fault all of it in, for writing. */
static int populate(struct diag *diag, void *va, uint64_t bytes)
{
	/* No length: only asks whether the kernel knows this advice (else mlock() faults in). */
	bool known = !madvise(va, 0, MADV_POPULATE_WRITE);

	if (!known || !madvise(va, bytes, MADV_POPULATE_WRITE))
		return 0;
	switch (errno) {
	case ENOMEM:
		return diag_fail(diag, -EFAULT,
				 "soft: memory at %p, %" PRIu64
				 " bytes: not mapped, or no memory behind it",
				 va, bytes);
	case EINVAL:
	case EFAULT:
	case EACCES:
		return diag_fail(diag, -EFAULT,
				 "soft: memory at %p, %" PRIu64 " bytes: not writable", va, bytes);
	default:
		return diag_fail(diag, -errno, "soft: memory at %p, %" PRIu64 " bytes: %s", va,
				 bytes, strerror(errno));
	}
}

static int lock_memory(struct soft_pins *pins, struct diag *diag, void *va, uint64_t bytes)
{
	uint64_t wanted = pins->locked_bytes + bytes;
	struct rlimit limit;
	int code;

	if (!mlock(va, bytes))
		return 0;
	code = errno;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur != RLIM_INFINITY && wanted > limit.rlim_cur)
		return diag_fail(diag, -ENOMEM,
				 "soft: RLIMIT_MEMLOCK is %" PRIu64 " KiB, %" PRIu64
				 " KiB are wanted: `ulimit -l %" PRIu64
				 "`, or memlock in /etc/security/limits.conf",
				 (uint64_t)limit.rlim_cur >> 10, (wanted + 1023) >> 10,
				 (wanted + 1023) >> 10);
	return diag_fail(diag, code == ENOMEM || code == EPERM || code == EAGAIN ? -ENOMEM : -code,
			 "soft: cannot lock %" PRIu64 " bytes at %p: %s (RLIMIT_MEMLOCK, see "
			 "`ulimit -l`, counts the whole process)",
			 bytes, va, strerror(code));
}

static int add(struct soft_pins *pins, struct diag *diag, struct soft_pin *pin, void *va,
	       uint64_t bytes, bool hugetlb)
{
	int ret = 0;

	pin->extent.start = (uintptr_t)va;
	pin->extent.last = (uintptr_t)va + bytes - 1;
	pin->locked = !hugetlb && !pins->lazy;
	if (extents_overlap(&pins->extents, pin->extent.start, pin->extent.last))
		return diag_fail(diag, -EEXIST, "soft: memory at %p overlaps registered memory",
				 va);
	if (!pins->lazy)
		ret = populate(diag, va, bytes);
	if (!ret && pin->locked)
		ret = lock_memory(pins, diag, va, bytes);
	if (ret)
		return ret;
	extents_insert(&pins->extents, &pin->extent);
	pins->locked_bytes += pin->locked ? bytes : 0;
	return 0;
}

int soft_pins_add(struct soft_pins *pins, struct diag *diag, struct soft_pin *pin, void *va,
		  uint64_t bytes, bool hugetlb)
{
	uint64_t start = (uintptr_t)va;
	int ret;

	if (!bytes || ((start | bytes) & (IOAS_PAGE_SIZE - 1)) || start + bytes < start)
		return diag_fail(diag, -EINVAL,
				 "soft: memory at %p, %" PRIu64 " bytes: not whole pages", va,
				 bytes);
	pthread_rwlock_wrlock(&pins->lock);
	ret = add(pins, diag, pin, va, bytes, hugetlb);
	pthread_rwlock_unlock(&pins->lock);
	return ret;
}

void soft_pins_remove(struct soft_pins *pins, struct soft_pin *pin)
{
	const uint64_t start = pin->extent.start, bytes = pin->extent.last - start + 1;

	pthread_rwlock_wrlock(&pins->lock);
	extents_remove(&pins->extents, &pin->extent);
	if (pin->locked) {
		pins->locked_bytes -= bytes;
		munlock((void *)(uintptr_t)start, bytes);
	}
	pthread_rwlock_unlock(&pins->lock);
}
