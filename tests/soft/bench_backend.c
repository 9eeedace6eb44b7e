/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a call into the soft backend costs, in ns per call and per range: the floor of the
 * benchmarks that compare kernel-managed tables with user-managed ones. Not a test.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../../engine/backend/backend.h"
#include "../../engine/soft/soft.h"

#define PAGE   UINT64_C(4096)
#define BATCH  64
#define ROUNDS 5000

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

int main(void)
{
	const struct be_ops *ops = &soft_be_ops;
	struct be_space_attr space_attr = { .kind = IOAS_KIND_KERNEL };
	struct be_mem_attr mem_attr = { .bytes = BATCH * PAGE, .page_bytes = PAGE, .fd = -1 };
	struct be_map maps[BATCH];
	struct be_unmap unmaps[BATCH];
	struct be_inval invals[BATCH];
	unsigned int done, crossings;
	struct be_space *kernel, *user;
	struct be_mem *mem;
	struct be_dev *dev;
	struct diag diag;
	struct be *be;

	diag_init(&diag, ioas_log_stderr, NULL);
	mem_attr.va = mmap(NULL, mem_attr.bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ops->open(&diag, NULL, &be) || ops->mem_add(be, &mem_attr, &mem) ||
	    ops->dev_bind(be, "bench", &dev) || ops->space_create(be, &space_attr, &kernel))
		return 1;
	space_attr = (struct be_space_attr){ .kind = IOAS_KIND_USER,
					     .format = IOAS_FORMAT_X86_64_L4,
					     .parent = kernel };
	if (ops->space_create(be, &space_attr, &user) || ops->attach(user, dev))
		return 1;
	for (unsigned int i = 0; i < BATCH; i++) {
		uint64_t iova = (UINT64_C(1) << 30) + i * PAGE;

		maps[i] = (struct be_map){ iova, PAGE, (char *)mem_attr.va + i * PAGE, IOAS_RW };
		unmaps[i] = (struct be_unmap){ iova, PAGE };
		invals[i] = (struct be_inval){ iova, PAGE, true };
	}
	for (unsigned int count = 1; count <= BATCH; count *= 8) {
		double map = 0, unmap = 0, inval = 0;

		for (unsigned int round = 0; round < ROUNDS; round++) {
			double start = now_ns(), mapped, unmapped;

			ops->map(kernel, maps, count, &done, &crossings);
			mapped = now_ns();
			ops->unmap(kernel, unmaps, count, &done, &crossings);
			unmapped = now_ns();
			ops->invalidate(user, invals, count, &crossings);
			map += mapped - start;
			unmap += unmapped - mapped;
			inval += now_ns() - unmapped;
		}
		printf("%2u ranges a call: map %7.0f ns, unmap %7.0f ns, invalidate %7.0f ns\n",
		       count, map / ROUNDS, unmap / ROUNDS, inval / ROUNDS);
	}
	ops->detach(dev);
	ops->space_destroy(user);
	ops->space_destroy(kernel);
	ops->dev_unbind(dev);
	ops->mem_del(mem);
	ops->close(be);
	return 0;
}
