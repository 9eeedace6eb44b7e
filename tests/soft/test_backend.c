/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The soft backend's kernel half, through its table of operations: what backend.h promises, with
 * DMA through the model as the judge.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ioas/soft.h>

#include "../../engine/backend/backend.h"
#include "../../engine/pgtable/pt.h"
#include "../../engine/soft/soft.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define PAGE   UINT64_C(4096)

static const struct be_ops *const ops = &soft_be_ops;

struct setup {
	struct diag diag;
	struct be *be;
	uint8_t *va; /* 2 MiB-aligned, registered */
	uint64_t bytes;
	struct be_mem *mem;
	struct be_dev *dev;
	struct be_space *kernel;
	unsigned int crossings;
};

static uint8_t *memory_new(uint64_t bytes)
{
	uint8_t *raw = mmap(NULL, bytes + MIB(2), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *va = (uint8_t *)(((uintptr_t)raw + MIB(2) - 1) & ~(MIB(2) - 1));

	assert_ptr_not_equal(raw, MAP_FAILED);
	munmap(raw, va - raw);
	munmap(va + bytes, raw + MIB(2) - va);
	return va;
}

static struct be_space *kernel_new(struct setup *s)
{
	struct be_space_attr attr = { .kind = IOAS_KIND_KERNEL };
	struct be_space *space;

	assert_int_equal(ops->space_create(s->be, &attr, &space), 0);
	return space;
}

static void start(struct setup *s, const char *options)
{
	struct be_mem_attr attr = { .page_bytes = PAGE, .fd = -1 };

	memset(s, 0, sizeof(*s));
	diag_init(&s->diag, NULL, NULL);
	assert_int_equal(ops->open(&s->diag, options, &s->be), 0);
	s->bytes = MIB(8);
	s->va = memory_new(s->bytes);
	attr.va = s->va;
	attr.bytes = s->bytes;
	assert_int_equal(ops->mem_add(s->be, &attr, &s->mem), 0);
	assert_int_equal(ops->dev_bind(s->be, "nic", &s->dev), 0);
	s->kernel = kernel_new(s);
}

static void stop(struct setup *s)
{
	ops->detach(s->dev);
	ops->dev_unbind(s->dev);
	ops->space_destroy(s->kernel);
	ops->mem_del(s->mem);
	ops->close(s->be);
	munmap(s->va, s->bytes);
}

static int map(struct setup *s, uint64_t iova, void *va, uint64_t bytes, uint32_t prot)
{
	struct be_map one = { .iova = iova, .va = va, .bytes = bytes, .prot = prot };
	unsigned int done;
	int ret = ops->map(s->kernel, &one, 1, &done, &s->crossings);

	assert_int_equal(done, !ret);
	return ret;
}

static int unmap(struct setup *s, uint64_t iova, uint64_t bytes)
{
	struct be_unmap one = { .iova = iova, .bytes = bytes };
	unsigned int done;
	int ret = ops->unmap(s->kernel, &one, 1, &done, &s->crossings);

	assert_int_equal(done, !ret);
	return ret;
}

static void *dma(struct be_dev *dev, uint64_t iova, size_t *bytes, uint32_t prot)
{
	size_t one = 1;
	void *ptr;

	soft_dma_begin(dev);
	ptr = soft_dma_ptr(dev, iova, bytes ? bytes : &one, prot);
	soft_dma_end(dev);
	return ptr;
}

static struct ioas_soft_stats stats_of(struct setup *s)
{
	struct ioas_soft_stats stats = { .size = sizeof(stats) };

	soft_get_stats(s->be, &stats);
	return stats;
}

static bool says(struct setup *s, const char *word)
{
	return strstr(s->diag.text, word);
}

static void capabilities(void **state)
{
	struct be_caps caps;
	struct setup s;
	char why[80];

	(void)state;
	assert_int_equal(ops->probe(why, sizeof(why)), 0);
	assert_true(strlen(why) > 10);
	start(&s, "aperture_bits=39,max_maps=77");
	ops->caps(s.be, &caps);
	assert_int_equal(caps.kinds,
			 1 << IOAS_KIND_KERNEL | 1 << IOAS_KIND_USER | 1 << IOAS_KIND_PASSTHROUGH);
	assert_int_equal(caps.user_formats,
			 1 << IOAS_FORMAT_X86_64_L4 | 1 << IOAS_FORMAT_X86_64_L5);
	assert_int_equal(caps.page_sizes, PAGE | MIB(2) | GIB(1));
	assert_int_equal(caps.iova.start, 0);
	assert_int_equal(caps.iova.last, (UINT64_C(1) << 39) - 1);
	assert_int_equal(caps.max_maps, 77);
	assert_true(caps.inval_flush_ranges >= 8 && caps.inval_call_ranges >= 256);
	assert_true(soft_is(s.be) && soft_is_dev(s.dev));
	assert_int_equal(map(&s, (UINT64_C(1) << 39) - PAGE, s.va, PAGE, IOAS_RW), 0);
	assert_int_equal(map(&s, (UINT64_C(1) << 39) - PAGE, s.va, 2 * PAGE, IOAS_RW), -ERANGE);
	assert_int_equal(map(&s, UINT64_C(1) << 39, s.va, PAGE, IOAS_RW), -ERANGE);
	assert_int_equal(unmap(&s, (UINT64_C(1) << 39) - PAGE, PAGE), 0);
	stop(&s);
}

static void open_errors(void **state)
{
	struct diag diag;
	struct be *be;

	(void)state;
	diag_init(&diag, NULL, NULL);
	assert_int_equal(ops->open(&diag, "units=99", &be), -EINVAL);
	assert_non_null(strstr(diag.text, "units"));
}

static void devices(void **state)
{
	struct be_dev *dev, *other;
	struct setup s;

	(void)state;
	start(&s, "units=2");
	assert_int_equal(ops->dev_bind(s.be, "nic", &dev), -EBUSY);
	assert_int_equal(ops->dev_bind(s.be, "", &dev), -EINVAL);
	assert_int_equal(ops->dev_bind(s.be, "@1", &dev), -EINVAL);
	assert_int_equal(ops->dev_bind(s.be, "x@", &dev), -EINVAL);
	assert_int_equal(ops->dev_bind(s.be, "x@1y", &dev), -EINVAL);
	assert_int_equal(ops->dev_bind(s.be, "x@2", &dev), -ENODEV);
	assert_true(says(&s, "units"));
	assert_int_equal(ops->dev_bind(s.be, "x@1", &dev), 0);
	assert_int_equal(ops->dev_bind(s.be, "0000:00:04.0", &other), 0);
	/* Units exclude only their own bursts. */
	soft_dma_begin(dev);
	soft_dma_begin(other);
	soft_dma_end(other);
	soft_dma_end(dev);
	ops->dev_unbind(dev);
	assert_int_equal(ops->dev_bind(s.be, "x@1", &dev), 0);
	ops->dev_unbind(dev);
	ops->dev_unbind(other);
	stop(&s);
}

static void map_dma_unmap(void **state)
{
	struct be_fault fault;
	uint64_t lost = 0, word;
	struct setup s;
	size_t bytes;

	(void)state;
	start(&s, NULL);
	assert_null(dma(s.dev, MIB(1), NULL, IOAS_READ)); /* blocked */
	assert_int_equal(ops->fault_read(s.be, &fault, 1, &lost), 1);
	assert_int_equal(fault.reason, IOAS_FAULT_BLOCKED);
	assert_ptr_equal(fault.dev, s.dev);

	assert_int_equal(ops->attach(s.kernel, s.dev), 0);
	assert_int_equal(map(&s, MIB(1), s.va + PAGE, 3 * PAGE, IOAS_READ), 0);
	assert_int_equal(s.crossings, 1);
	for (unsigned int i = 0; i < 3; i++) {
		bytes = MIB(1);
		assert_ptr_equal(dma(s.dev, MIB(1) + i * PAGE, &bytes, IOAS_READ),
				 s.va + (i + 1) * PAGE);
		assert_int_equal(bytes, PAGE);
	}
	assert_int_equal(soft_dma_write(s.dev, MIB(1), "x", 1), -EFAULT);
	assert_int_equal(ops->fault_read(s.be, &fault, 1, &lost), 1);
	assert_int_equal(fault.reason, IOAS_FAULT_PERMISSION);
	assert_int_equal(fault.iova, MIB(1));
	assert_int_equal(fault.prot, IOAS_WRITE);

	assert_int_equal(unmap(&s, MIB(1), 2 * PAGE), -EINVAL);
	assert_int_equal(unmap(&s, MIB(1) + PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(unmap(&s, MIB(9), PAGE), -ENOENT);
	assert_int_equal(unmap(&s, MIB(1), 3 * PAGE), 0);
	assert_int_equal(s.crossings, 5);
	for (unsigned int i = 0; i < 3; i++)
		assert_null(dma(s.dev, MIB(1) + i * PAGE, NULL, IOAS_READ));

	/* Reads and writes across pages, and whole words. */
	assert_int_equal(map(&s, MIB(2) - PAGE, s.va, 4 * PAGE, IOAS_RW), 0);
	assert_int_equal(soft_dma_write(s.dev, MIB(2) - 3, "abcdef", 6), 0);
	assert_memory_equal(s.va + PAGE - 3, "abcdef", 6);
	word = UINT64_C(0x1122334455667788);
	assert_int_equal(soft_dma_write(s.dev, MIB(2) + 16, &word, 8), 0);
	word = 0;
	assert_int_equal(soft_dma_read(s.dev, MIB(2) + 16, &word, 8), 0);
	assert_true(word == UINT64_C(0x1122334455667788));
	assert_int_equal(soft_dma_read(s.dev, MIB(2) + 3 * PAGE - 4, &word, 8), -EFAULT);
	assert_int_equal(unmap(&s, MIB(2) - PAGE, 4 * PAGE), 0);
	assert_int_equal(lost, 0);
	stop(&s);
}

/* VA alignment is enough for large leaves, as a physical address is a virtual one. */
static void large_leaves(void **state)
{
	struct setup s;
	size_t bytes;

	(void)state;
	start(&s, NULL);
	assert_int_equal(ops->attach(s.kernel, s.dev), 0);
	assert_int_equal(map(&s, GIB(1), s.va, MIB(8), IOAS_RW), 0);
	bytes = GIB(1);
	assert_ptr_equal(dma(s.dev, GIB(1) + MIB(2), &bytes, IOAS_WRITE), s.va + MIB(2));
	assert_int_equal(bytes, MIB(2));
	assert_int_equal(unmap(&s, GIB(1), MIB(8)), 0);
	assert_null(dma(s.dev, GIB(1) + MIB(2), NULL, IOAS_READ));
	assert_int_equal(stats_of(&s).iotlb_dropped, 1);
	/* The same place in small pages. */
	assert_int_equal(map(&s, GIB(1) + PAGE, s.va, MIB(2), IOAS_RW), 0);
	bytes = GIB(1);
	assert_ptr_equal(dma(s.dev, GIB(1) + PAGE, &bytes, IOAS_WRITE), s.va);
	assert_int_equal(bytes, PAGE);
	assert_int_equal(unmap(&s, GIB(1) + PAGE, MIB(2)), 0);
	stop(&s);
}

static void arrays_stop_at_the_first_error(void **state)
{
	struct be_map maps[4];
	struct be_unmap unmaps[4];
	unsigned int done = 99;
	struct setup s;

	(void)state;
	start(&s, NULL);
	assert_int_equal(ops->attach(s.kernel, s.dev), 0);
	for (unsigned int i = 0; i < 4; i++) {
		maps[i] = (struct be_map){ MIB(1) + i * PAGE, PAGE, s.va + i * PAGE, IOAS_RW };
		unmaps[i] = (struct be_unmap){ MIB(1) + i * PAGE, PAGE };
	}
	assert_int_equal(map(&s, MIB(1) + 2 * PAGE, s.va, PAGE, IOAS_RW), 0);
	s.crossings = 0;
	assert_int_equal(ops->map(s.kernel, maps, 4, &done, &s.crossings), -EEXIST);
	assert_int_equal(done, 2);
	assert_true(says(&s, "0x102000"));
	assert_non_null(dma(s.dev, MIB(1) + PAGE, NULL, IOAS_READ));
	assert_null(dma(s.dev, MIB(1) + 3 * PAGE, NULL, IOAS_READ));
	assert_int_equal(ops->unmap(s.kernel, unmaps, 4, &done, &s.crossings), -ENOENT);
	assert_int_equal(done, 3);
	for (unsigned int i = 0; i < 4; i++)
		assert_null(dma(s.dev, MIB(1) + i * PAGE, NULL, IOAS_READ));
	assert_int_equal(s.crossings, 2);
	assert_int_equal(ops->map(s.kernel, maps, 4, &done, &s.crossings), 0);
	assert_int_equal(done, 4);
	assert_int_equal(ops->unmap(s.kernel, unmaps, 4, &done, &s.crossings), 0);
	assert_int_equal(done, 4);
	assert_int_equal(s.crossings, 4);
	stop(&s);
}

static void limit_of_mappings(void **state)
{
	struct be_map maps[3];
	unsigned int done;
	struct setup s;

	(void)state;
	start(&s, "max_maps=4");
	for (unsigned int i = 0; i < 3; i++)
		maps[i] = (struct be_map){ MIB(1) + i * PAGE, PAGE, s.va, IOAS_RW };
	assert_int_equal(map(&s, MIB(4), s.va, PAGE, IOAS_RW), 0);
	assert_int_equal(map(&s, MIB(5), s.va, PAGE, IOAS_RW), 0);
	assert_int_equal(ops->map(s.kernel, maps, 3, &done, &s.crossings), -ENOSPC);
	assert_int_equal(done, 0);
	assert_true(says(&s, "max_maps"));
	/* No effect, and failures do not eat into the limit. */
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(map(&s, MIB(4), s.va, PAGE, IOAS_RW), -EEXIST);
		assert_int_equal(unmap(&s, MIB(1), PAGE), -ENOENT);
	}
	assert_int_equal(ops->map(s.kernel, maps, 2, &done, &s.crossings), 0);
	assert_int_equal(map(&s, MIB(6), s.va, PAGE, IOAS_RW), -ENOSPC);
	assert_int_equal(unmap(&s, MIB(4), PAGE), 0);
	assert_int_equal(map(&s, MIB(6), s.va, PAGE, IOAS_RW), 0);
	assert_int_equal(unmap(&s, MIB(6), PAGE), 0);
	assert_int_equal(unmap(&s, MIB(5), PAGE), 0);
	stop(&s);
}

static void only_registered_memory(void **state)
{
	struct be_mem_attr attr = { .page_bytes = PAGE, .fd = -1 };
	struct be_mem *mems[40];
	struct setup s;
	uint8_t *va;

	(void)state;
	start(&s, NULL);
	va = memory_new(MIB(2));
	assert_int_equal(map(&s, MIB(1), va, PAGE, IOAS_RW), -EFAULT);
	assert_true(says(&s, "registered"));
	assert_int_equal(map(&s, MIB(1), s.va + s.bytes - PAGE, 2 * PAGE, IOAS_RW), -EFAULT);
	assert_int_equal(map(&s, MIB(1), s.va, 0, IOAS_RW), -EINVAL);
	assert_int_equal(map(&s, MIB(1) + 1, s.va, PAGE, IOAS_RW), -EINVAL);
	assert_int_equal(map(&s, MIB(1), s.va + 8, PAGE, IOAS_RW), -EINVAL);
	assert_int_equal(map(&s, MIB(1), s.va, PAGE, 0), -EINVAL);
	assert_int_equal(map(&s, MIB(1), s.va, PAGE, 4), -EINVAL);

	/* Many ranges, in an order that is not theirs, found again one by one. */
	for (unsigned int i = 0; i < 40; i++) {
		attr.va = va + i * 17 % 40 * 2 * PAGE;
		attr.bytes = PAGE;
		assert_int_equal(ops->mem_add(s.be, &attr, &mems[i]), 0);
	}
	assert_int_equal(ops->mem_add(s.be, &attr, &mems[0]), -EEXIST);
	for (unsigned int i = 0; i < 40; i++) {
		assert_int_equal(map(&s, MIB(1), va + i * 2 * PAGE, PAGE, IOAS_RW), 0);
		assert_int_equal(unmap(&s, MIB(1), PAGE), 0);
		assert_int_equal(map(&s, MIB(1), va + (i * 2 + 1) * PAGE, PAGE, IOAS_RW), -EFAULT);
		assert_int_equal(map(&s, MIB(1), va + i * 2 * PAGE, 2 * PAGE, IOAS_RW), -EFAULT);
	}
	for (unsigned int i = 0; i < 40; i++)
		ops->mem_del(mems[i]);
	assert_int_equal(map(&s, MIB(1), va, PAGE, IOAS_RW), -EFAULT);

	attr.va = va;
	attr.bytes = 100;
	assert_int_equal(ops->mem_add(s.be, &attr, &mems[0]), -EINVAL);
	attr.bytes = MIB(2);
	munmap(va + MIB(1), PAGE);
	assert_int_equal(ops->mem_add(s.be, &attr, &mems[0]), -EFAULT);
	munmap(va, MIB(2));
	va = mmap(NULL, MIB(2), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	attr.va = va;
	assert_int_equal(ops->mem_add(s.be, &attr, &mems[0]), -EFAULT);
	assert_true(says(&s, "not writable"));
	munmap(va, MIB(2));
	stop(&s);
}

/* In a process of its own, without the right to lock what it likes. */
static void memlock_limit(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid) {
		struct rlimit limit = { KIB(64), KIB(64) };
		struct be_mem_attr attr = { .page_bytes = PAGE, .fd = -1 };
		struct be_mem *mem;
		struct diag diag;
		struct be *be;
		int code = 0;

		diag_init(&diag, NULL, NULL);
		if (setrlimit(RLIMIT_MEMLOCK, &limit) || (!getuid() && setuid(65534)) ||
		    ops->open(&diag, NULL, &be))
			_exit(77);
		attr.va = memory_new(MIB(2));
		attr.bytes = MIB(2);
		if (!mlock(attr.va, attr.bytes))
			_exit(78); /* sanitizers make it do nothing */
		if (ops->mem_add(be, &attr, &mem) != -ENOMEM)
			code = 1;
		else if (!strstr(diag.text, "RLIMIT_MEMLOCK is 64 KiB, 2048 KiB") ||
			 !strstr(diag.text, "ulimit -l 2048"))
			code = 2;
		attr.bytes = KIB(64);
		if (!code && ops->mem_add(be, &attr, &mem))
			code = 3;
		_exit(code);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 78)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A USER table, built with the table builder in registered memory. */
struct user {
	struct pt_mem pt_mem;
	struct setup *s;
	uint64_t used;
	struct pt *pt;
	struct be_space *space;
};

static void *user_page(struct pt_mem *mem, uint64_t *addr)
{
	struct user *user = (struct user *)mem;

	user->used += PAGE;
	*addr = GIB(64) + user->used - PAGE; /* parent address: the parent maps va there */
	return user->s->va + user->used - PAGE;
}

static void user_page_free(struct pt_mem *mem, void *page, uint64_t addr)
{
	(void)mem;
	(void)page;
	(void)addr;
}

static void user_start(struct user *user, struct setup *s, enum ioas_format format)
{
	struct be_space_attr attr = { .kind = IOAS_KIND_USER, .format = format };

	*user = (struct user){ .pt_mem = { user_page, user_page_free }, .s = s };
	assert_int_equal(map(s, GIB(64), s->va, s->bytes, IOAS_RW), 0);
	assert_int_equal(pt_create(format, &user->pt_mem, &user->pt), 0);
	attr.root = pt_root(user->pt);
	attr.parent = s->kernel;
	assert_int_equal(ops->space_create(s->be, &attr, &user->space), 0);
	assert_int_equal(ops->attach(user->space, s->dev), 0);
}

static void user_stop(struct user *user)
{
	ops->detach(user->s->dev);
	ops->space_destroy(user->space);
	pt_destroy(user->pt);
}

static void user_map(struct user *user, uint64_t iova, uint64_t offset, uint64_t bytes,
		     uint32_t prot)
{
	struct pt_map_args args = { .oa = GIB(64) + offset, .prot = prot };

	assert_int_equal(pt_map(user->pt, NULL, iova, bytes, &args, 0), 0);
}

/* The table builder against the model: both were written from the manual, apart. */
static void user_tables(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		enum ioas_format format = i ? IOAS_FORMAT_X86_64_L5 : IOAS_FORMAT_X86_64_L4;
		uint64_t iova = i ? UINT64_C(0x00ab) << 48 : UINT64_C(0x12) << 40;
		struct be_inval inval = { iova, PAGE, true };
		struct user user;
		struct setup s;
		size_t bytes;

		start(&s, NULL);
		user_start(&user, &s, format);
		user_map(&user, iova, MIB(2), 2 * PAGE, IOAS_RW);
		user_map(&user, iova + MIB(2), MIB(4), MIB(4), IOAS_READ);
		assert_ptr_equal(dma(s.dev, iova + PAGE + 5, NULL, IOAS_WRITE),
				 s.va + MIB(2) + PAGE + 5);
		bytes = MIB(4);
		assert_ptr_equal(dma(s.dev, iova + MIB(5), &bytes, IOAS_READ), s.va + MIB(7));
		assert_int_equal(bytes, MIB(1));
		assert_null(dma(s.dev, iova + MIB(5), NULL, IOAS_WRITE));
		assert_null(dma(s.dev, iova + 2 * PAGE, NULL, IOAS_READ));

		assert_int_equal(pt_unmap(user.pt, NULL, iova, 2 * PAGE, 17), 0);
		assert_non_null(dma(s.dev, iova + PAGE, NULL, IOAS_WRITE)); /* stale */
		s.crossings = 0;
		inval.bytes = 2 * PAGE;
		assert_int_equal(ops->invalidate(user.space, &inval, 1, &s.crossings), 0);
		assert_int_equal(s.crossings, 1);
		assert_null(dma(s.dev, iova + PAGE, NULL, IOAS_WRITE));

		assert_int_equal(pt_unmap(user.pt, NULL, iova + MIB(2), MIB(4), 17), 0);
		assert_non_null(dma(s.dev, iova + MIB(5), NULL, IOAS_READ));
		assert_int_equal(ops->invalidate(user.space, NULL, 0, &s.crossings), 0);
		assert_null(dma(s.dev, iova + MIB(5), NULL, IOAS_READ));
		assert_int_equal(ops->invalidate(s.kernel, NULL, 0, &s.crossings), -EOPNOTSUPP);
		user_stop(&user);
		assert_int_equal(unmap(&s, GIB(64), s.bytes), 0);
		stop(&s);
	}
}

/* One call, one wait descriptor for each unit, however many ranges. */
static void many_ranges_one_wait(void **state)
{
	static struct be_inval invals[100];
	struct ioas_soft_stats before, after;
	struct user user;
	struct setup s;

	(void)state;
	start(&s, NULL);
	user_start(&user, &s, IOAS_FORMAT_X86_64_L4);
	for (unsigned int i = 0; i < 100; i++) {
		user_map(&user, GIB(1) + i * PAGE, MIB(4) + i * PAGE, PAGE, IOAS_RW);
		assert_non_null(dma(s.dev, GIB(1) + i * PAGE, NULL, IOAS_RW));
		assert_int_equal(pt_unmap(user.pt, NULL, GIB(1) + i * PAGE, PAGE, 0), 0);
		invals[i] = (struct be_inval){ GIB(1) + i * PAGE, PAGE, true };
	}
	before = stats_of(&s);
	assert_int_equal(ops->invalidate(user.space, invals, 100, &s.crossings), 0);
	after = stats_of(&s);
	assert_int_equal(after.descriptors - before.descriptors, 100);
	assert_int_equal(after.waits - before.waits, 1);
	assert_int_equal(after.iotlb_dropped - before.iotlb_dropped, 100);
	assert_int_equal(after.translations, after.iotlb_hits + after.iotlb_misses);
	user_stop(&user);
	assert_int_equal(unmap(&s, GIB(64), s.bytes), 0);
	stop(&s);
}

/* Unmapping in the parent takes the children's translations with it, before it returns. */
static void parent_unmap_reaches_children(void **state)
{
	struct be_fault fault;
	uint64_t lost = 0;
	struct user user;
	struct setup s;

	(void)state;
	start(&s, NULL);
	user_start(&user, &s, IOAS_FORMAT_X86_64_L4);
	assert_int_equal(map(&s, GIB(100), s.va + MIB(6), PAGE, IOAS_RW), 0);
	user_map(&user, GIB(1), GIB(36), PAGE, IOAS_RW); /* parent address 100 GiB */
	assert_ptr_equal(dma(s.dev, GIB(1), NULL, IOAS_RW), s.va + MIB(6));
	assert_int_equal(unmap(&s, GIB(100), PAGE), 0);
	assert_null(dma(s.dev, GIB(1), NULL, IOAS_READ));
	assert_int_equal(ops->fault_read(s.be, &fault, 1, &lost), 1);
	assert_int_equal(fault.reason, IOAS_FAULT_PARENT);
	/* The tables themselves may go as well. */
	assert_int_equal(unmap(&s, GIB(64), s.bytes), 0);
	assert_null(dma(s.dev, GIB(1), NULL, IOAS_READ));
	user_stop(&user);
	stop(&s);
}

/* Attach replaces; detach blocks; nothing of the old space is left when an id is used again. */
static void attachment(void **state)
{
	struct be_space_attr attr = { .kind = IOAS_KIND_PASSTHROUGH };
	struct be_space *direct, *second;
	struct be_dev *far;
	struct setup s;

	(void)state;
	start(&s, "units=3");
	assert_int_equal(ops->dev_bind(s.be, "far@2", &far), 0);
	assert_int_equal(ops->space_create(s.be, &attr, &direct), 0);
	assert_int_equal(map(&s, MIB(1), s.va, PAGE, IOAS_RW), 0);
	assert_int_equal(ops->attach(s.kernel, s.dev), 0);
	assert_int_equal(ops->attach(s.kernel, far), 0);
	assert_ptr_equal(dma(s.dev, MIB(1), NULL, IOAS_RW), s.va);
	assert_ptr_equal(dma(far, MIB(1), NULL, IOAS_RW), s.va);
	assert_int_equal(ops->attach(direct, s.dev), 0);
	assert_ptr_equal(dma(s.dev, (uintptr_t)s.va + 99, NULL, IOAS_RW), s.va + 99);
	/* Still reaches the other unit. */
	assert_int_equal(unmap(&s, MIB(1), PAGE), 0);
	assert_null(dma(far, MIB(1), NULL, IOAS_READ));
	assert_int_equal(ops->attach(s.kernel, s.dev), 0);
	assert_null(dma(s.dev, MIB(1), NULL, IOAS_READ));

	for (unsigned int i = 0; i < 10; i++) {
		struct be_space *mine = s.kernel;

		second = kernel_new(&s);
		s.kernel = second;
		assert_int_equal(ops->attach(second, s.dev), 0);
		assert_null(dma(s.dev, MIB(3), NULL, IOAS_READ));
		assert_int_equal(map(&s, MIB(3), s.va + i * PAGE, PAGE, IOAS_RW), 0);
		assert_ptr_equal(dma(s.dev, MIB(3), NULL, IOAS_RW), s.va + i * PAGE);
		assert_int_equal(ops->detach(s.dev), 0);
		assert_null(dma(s.dev, MIB(3), NULL, IOAS_READ));
		ops->space_destroy(second);
		s.kernel = mine;
	}
	assert_int_equal(ops->detach(far), 0);
	ops->dev_unbind(far);
	ops->space_destroy(direct);
	stop(&s);
}

static void spaces_that_cannot_be(void **state)
{
	static const struct {
		enum ioas_kind kind;
		enum ioas_format format;
		uint64_t root;
		bool parent;
		int ret;
	} cases[] = {
		{ IOAS_KIND_CPU, IOAS_FORMAT_NONE, 0, false, -EOPNOTSUPP },
		{ IOAS_KIND_VM, IOAS_FORMAT_NONE, 0, false, -EOPNOTSUPP },
		{ 0, IOAS_FORMAT_NONE, 0, false, -EOPNOTSUPP },
		{ IOAS_KIND_KERNEL, IOAS_FORMAT_X86_64_L4, 0, false, -EOPNOTSUPP },
		{ IOAS_KIND_USER, IOAS_FORMAT_VTDSS_L4, 0, true, -EOPNOTSUPP },
		{ IOAS_KIND_USER, IOAS_FORMAT_NONE, 0, true, -EOPNOTSUPP },
		{ IOAS_KIND_USER, IOAS_FORMAT_X86_64_L4, 0, false, -EINVAL },
		{ IOAS_KIND_USER, IOAS_FORMAT_X86_64_L4, 8, true, -EINVAL },
	};
	struct setup s;

	(void)state;
	start(&s, NULL);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct be_space_attr attr = { .kind = cases[i].kind,
					      .format = cases[i].format,
					      .root = cases[i].root,
					      .parent = cases[i].parent ? s.kernel : NULL };
		struct be_space *space;

		assert_int_equal(ops->space_create(s.be, &attr, &space), cases[i].ret);
	}
	/* A root that is nowhere: all DMA faults in the parent, nothing worse. */
	{
		struct be_space_attr attr = { .kind = IOAS_KIND_USER,
					      .format = IOAS_FORMAT_X86_64_L5,
					      .root = UINT64_C(0x7ffffffffffff000),
					      .parent = s.kernel };
		struct be_space *space;
		struct be_fault fault;
		uint64_t lost = 0;

		assert_int_equal(ops->space_create(s.be, &attr, &space), 0);
		assert_int_equal(ops->attach(space, s.dev), 0);
		assert_null(dma(s.dev, MIB(1), NULL, IOAS_READ));
		assert_int_equal(ops->fault_read(s.be, &fault, 1, &lost), 1);
		assert_int_equal(fault.reason, IOAS_FAULT_PARENT);
		assert_int_equal(ops->detach(s.dev), 0);
		ops->space_destroy(space);
	}
	stop(&s);
}

/* More than the sixteen that are fetched at a time, from several units; losses add up. */
static void faults_of_all_units(void **state)
{
	struct be_fault faults[100];
	struct be_dev *far;
	uint64_t lost = 5;
	struct setup s;

	(void)state;
	start(&s, "units=2,faults=32");
	assert_int_equal(ops->dev_bind(s.be, "far@1", &far), 0);
	for (unsigned int i = 0; i < 40; i++) {
		assert_null(dma(s.dev, i * PAGE, NULL, IOAS_READ));
		if (i < 20)
			assert_null(dma(far, i * PAGE, NULL, IOAS_WRITE));
	}
	assert_int_equal(ops->fault_read(s.be, faults, 10, &lost), 10);
	assert_int_equal(ops->fault_read(s.be, faults + 10, 90, &lost), 42);
	assert_int_equal(lost, 5 + 8);
	for (unsigned int i = 0; i < 52; i++) {
		assert_ptr_equal(faults[i].dev, i < 32 ? s.dev : far);
		assert_int_equal(faults[i].iova, (i < 32 ? i : i - 32) * PAGE);
	}
	assert_int_equal(stats_of(&s).faults, 60);
	ops->dev_unbind(far);
	stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capabilities),
		cmocka_unit_test(open_errors),
		cmocka_unit_test(devices),
		cmocka_unit_test(map_dma_unmap),
		cmocka_unit_test(large_leaves),
		cmocka_unit_test(arrays_stop_at_the_first_error),
		cmocka_unit_test(limit_of_mappings),
		cmocka_unit_test(only_registered_memory),
		cmocka_unit_test(memlock_limit),
		cmocka_unit_test(user_tables),
		cmocka_unit_test(many_ranges_one_wait),
		cmocka_unit_test(parent_unmap_reaches_children),
		cmocka_unit_test(attachment),
		cmocka_unit_test(spaces_that_cannot_be),
		cmocka_unit_test(faults_of_all_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
