/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registration cache, one thread at a time: what is mapped and for how long, budgets, merging,
 * and each way in which a program may replace its memory. DMA is the judge; that no old translation
 * is found under load is stress_regcache.c.
 */
#include "rig.h"

#include <linux/memfd.h>
#include <sys/wait.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

struct bed {
	struct ioas_ctx *ctx;
	struct ioas *as;
	struct ioas_queue *q;
	struct ioas_dev *dev;
	struct ioas_regcache *cache;
	uint64_t pinned; /* before anything was cached */
	uint64_t tag;
};

static struct ioas_regcache_stats cached(struct bed *b)
{
	struct ioas_regcache_stats stats = { .size = sizeof(stats) };

	assert_int_equal(ioas_regcache_get_stats(b->cache, &stats), 0);
	return stats;
}

static void start_with(struct bed *b, struct ioas_regcache_opts opts)
{
	memset(b, 0, sizeof(*b));
	b->ctx = ctx_new(NULL);
	b->as = space_new(b->ctx, &kernel_flavour);
	b->q = queue_new(b->as);
	assert_int_equal(ioas_dev_bind(b->ctx, "nic", &b->dev), 0);
	assert_int_equal(ioas_attach(b->as, b->dev), 0);
	b->pinned = stats_of(b->ctx).bytes_pinned;
	opts.size = sizeof(opts);
	assert_int_equal(ioas_regcache_create(b->as, &opts, &b->cache), 0);
}

static void start(struct bed *b)
{
	start_with(b, (struct ioas_regcache_opts){ 0 });
}

/* Nothing is held: all of it goes, pins included. */
static void stop(struct bed *b)
{
	assert_int_equal(ioas_regcache_destroy(b->cache), 0);
	assert_int_equal(stats_of(b->ctx).bytes_pinned, b->pinned);
	assert_int_equal(ioas_queue_destroy(b->q), 0);
	assert_int_equal(ioas_detach(b->dev), 0);
	assert_int_equal(ioas_dev_unbind(b->dev), 0);
	assert_int_equal(ioas_destroy(b->as), 0);
	assert_int_equal(ioas_ctx_close(b->ctx), 0);
}

static struct ioas_reg hold(struct bed *b, const void *va, size_t bytes)
{
	struct ioas_reg reg;
	int ret = ioas_regcache_get(b->q, va, bytes, &reg);

	if (ret)
		print_error("get: %d: %s\n", ret, ioas_queue_error(b->q));
	assert_int_equal(ret, 0);
	return reg;
}

static void use(struct bed *b, const void *va, size_t bytes)
{
	struct ioas_reg reg = hold(b, va, bytes);

	ioas_regcache_put(b->q, &reg);
	assert_int_equal(reg.entry, 0);
}

/* Does what the device writes there arrive at @va? */
static bool dma_lands(struct bed *b, ioas_iova_t iova, void *va)
{
	b->tag++;
	return !ioas_soft_dma_write(b->dev, iova, &b->tag, sizeof(b->tag)) &&
	       !memcmp(va, &b->tag, sizeof(b->tag));
}

/*
 * Addresses far below those that the kernel chooses by itself: nobody else's memory (a sanitizer's,
 * for a thread of the cache) comes to lie where ours was for a moment.
 */
static void *own_address(uint64_t bytes)
{
	static uintptr_t next;

	if (!next) {
		void *chosen = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_ptr_not_equal(chosen, MAP_FAILED);
		next = ((uintptr_t)chosen & ~(MIB(2) - 1)) - MIB(64 << 10);
		munmap(chosen, PAGE);
	}
	next -= (bytes + MIB(4) - 1) & ~(MIB(2) - 1);
	return (void *)next;
}

static void *map_at(void *at, uint64_t bytes)
{
	void *va =
		mmap(at ? at : own_address(bytes), bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : MAP_FIXED_NOREPLACE), -1, 0);

	assert_ptr_not_equal(va, MAP_FAILED);
	return va;
}

/* The reaper's work is done in time. */
static void wait_for_entries(struct bed *b, uint32_t entries)
{
	uint64_t end = now_ns() + UINT64_C(10000000000);

	while (cached(b).entries != entries && now_ns() < end)
		usleep(1000);
	assert_int_equal(cached(b).entries, entries);
}

static void stays_mapped(void **state)
{
	struct ioas_reg one, other;
	struct bed b;
	uint8_t *va;

	(void)state;
	start(&b);
	va = map_at(NULL, MIB(1));
	one = hold(&b, va + 100, 5000);
	assert_true(dma_lands(&b, one.iova, va + 100));
	assert_true(dma_lands(&b, one.iova + 4990, va + 5090));
	other = hold(&b, va + 200, 10);
	assert_int_equal(other.iova, one.iova + 100);
	ioas_regcache_put(b.q, &other);
	ioas_regcache_put(b.q, &one);
	assert_true(dma_lands(&b, other.iova, va + 200));
	for (unsigned int i = 0; i < 1000; i++)
		use(&b, va + i * 8, 64);
	assert_int_equal(cached(&b).misses, 1);
	assert_int_equal(cached(&b).gets, 1002);
	assert_int_equal(cached(&b).bytes, 2 * PAGE);

	/* Trimming spares what is held. */
	one = hold(&b, va, 1);
	assert_int_equal(ioas_regcache_trim(b.cache), 0);
	assert_true(dma_lands(&b, one.iova, va));
	ioas_regcache_put(b.q, &one);
	assert_int_equal(ioas_regcache_trim(b.cache), 0);
	assert_int_equal(cached(&b).entries, 0);
	assert_false(dma_lands(&b, one.iova, va));
	munmap(va, MIB(1));
	stop(&b);
}

/* What overlaps becomes one; who holds an old one keeps it, and it goes when it is put. */
static void overlaps(void **state)
{
	struct ioas_reg low, high, all;
	struct bed b;
	uint8_t *va;

	(void)state;
	start_with(&b, (struct ioas_regcache_opts){ .merge_bytes = PAGE });
	va = map_at(NULL, 16 * PAGE);
	low = hold(&b, va + 2 * PAGE, 4 * PAGE);
	high = hold(&b, va + 8 * PAGE, 4 * PAGE);
	assert_int_equal(cached(&b).entries, 2);
	all = hold(&b, va + 4 * PAGE, 6 * PAGE);
	assert_int_equal(cached(&b).merges, 2);
	assert_int_equal(cached(&b).entries, 3);
	assert_true(dma_lands(&b, low.iova, va + 2 * PAGE));
	assert_true(dma_lands(&b, high.iova + 4 * PAGE - 8, va + 12 * PAGE - 8));
	assert_true(dma_lands(&b, all.iova + 6 * PAGE - 8, va + 10 * PAGE - 8));
	use(&b, va + 2 * PAGE, 10 * PAGE);
	assert_int_equal(cached(&b).misses, 3);

	ioas_regcache_put(b.q, &low);
	wait_for_entries(&b, 2);
	assert_false(dma_lands(&b, low.iova, va + 2 * PAGE));
	assert_true(dma_lands(&b, high.iova, va + 8 * PAGE));
	ioas_regcache_put(b.q, &high);
	wait_for_entries(&b, 1);
	assert_false(dma_lands(&b, high.iova, va + 8 * PAGE));
	assert_true(dma_lands(&b, all.iova, va + 4 * PAGE));
	ioas_regcache_put(b.q, &all);
	munmap(va, 16 * PAGE);
	stop(&b);
}

/* Idle neighbours are taken in, up to a length; those that are held are not. */
static void neighbours(void **state)
{
	struct ioas_reg held;
	struct bed b;
	uint8_t *va;

	(void)state;
	start_with(&b, (struct ioas_regcache_opts){ .merge_bytes = 4 * PAGE });
	va = map_at(NULL, 32 * PAGE);
	for (unsigned int i = 0; i < 16; i++)
		use(&b, va + i * PAGE, PAGE);
	assert_int_equal(cached(&b).entries, 4);
	use(&b, va + 4 * PAGE, 4 * PAGE);
	assert_int_equal(cached(&b).misses, 16);
	held = hold(&b, va + 20 * PAGE, PAGE);
	use(&b, va + 19 * PAGE, PAGE);
	use(&b, va + 21 * PAGE, PAGE);
	assert_int_equal(cached(&b).entries, 7);
	ioas_regcache_put(b.q, &held);
	munmap(va, 32 * PAGE);
	stop(&b);
}

static void budgets(void **state)
{
	struct ioas_reg held[4], one;
	struct bed b;
	uint8_t *va;

	(void)state;
	start_with(&b, (struct ioas_regcache_opts){
			       .max_entries = 4, .max_bytes = 16 * PAGE, .merge_bytes = PAGE });
	va = map_at(NULL, 64 * PAGE);
	for (unsigned int i = 0; i < 32; i++) {
		use(&b, va + 2 * i * PAGE, PAGE);
		assert_true(cached(&b).entries <= 4);
	}
	assert_int_equal(cached(&b).misses, 32);
	assert_true(cached(&b).evictions >= 28);
	/* By bytes. */
	use(&b, va, 15 * PAGE);
	assert_true(cached(&b).bytes <= 16 * PAGE);
	assert_int_equal(ioas_regcache_get(b.q, va, 17 * PAGE, &one), -ENOSPC);
	/* Those that are held are never evicted. */
	for (unsigned int i = 0; i < 4; i++)
		held[i] = hold(&b, va + (20 + 4 * i) * PAGE, PAGE);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(dma_lands(&b, held[i].iova, va + (20 + 4 * i) * PAGE));
	assert_int_equal(ioas_regcache_get(b.q, va, PAGE, &one), -ENOSPC);
	assert_non_null(strstr(ioas_queue_error(b.q), "max_entries 4"));
	ioas_regcache_put(b.q, &held[2]);
	use(&b, va, PAGE);
	assert_false(dma_lands(&b, held[2].iova, va + 28 * PAGE));
	held[2] = hold(&b, va, PAGE);
	for (unsigned int i = 0; i < 4; i++)
		ioas_regcache_put(b.q, &held[i]);
	munmap(va, 64 * PAGE);
	stop(&b);
}

/* Ways to put other memory where @va is. Return: false if this kernel does not have it. */

static bool by_munmap(uint8_t *va, uint64_t bytes)
{
	munmap(va, bytes);
	map_at(va, bytes);
	return true;
}

static bool by_part(uint8_t *va, uint64_t bytes)
{
	munmap(va + bytes / 2, PAGE);
	map_at(va + bytes / 2, PAGE);
	return true;
}

static bool by_map_over(uint8_t *va, uint64_t bytes)
{
	map_at(va, bytes);
	return true;
}

static bool by_mremap(uint8_t *va, uint64_t bytes)
{
	void *to = map_at(NULL, bytes);

	assert_ptr_equal(mremap(va, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	map_at(va, bytes);
	munmap(to, bytes);
	return true;
}

static bool by_mremap_over(uint8_t *va, uint64_t bytes)
{
	void *from = map_at(NULL, bytes);

	assert_ptr_equal(mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, va), va);
	return true;
}

/* The memory is locked here; hardware backends pin it, and MADV_DONTNEED does it. */
static bool by_discard(uint8_t *va, uint64_t bytes)
{
	return !madvise(va, bytes, MADV_DONTNEED_LOCKED);
}

static void replaced(void **state)
{
	bool (*replace)(uint8_t *, uint64_t) = (bool (*)(uint8_t *, uint64_t))(uintptr_t)*state;

	for (unsigned int watch = IOAS_WATCH_EXACT; watch <= IOAS_WATCH_ORDERED; watch++) {
		struct ioas_reg reg;
		struct bed b;
		uint8_t *va;

		start_with(&b, (struct ioas_regcache_opts){ .watch = watch });
		va = map_at(NULL, 8 * PAGE);
		use(&b, va, 8 * PAGE);
		if (!replace(va, 8 * PAGE)) {
			munmap(va, 8 * PAGE);
			stop(&b);
			SKIP_TEST("madvise: %s", strerror(errno));
		}
		reg = hold(&b, va + 3 * PAGE, 2 * PAGE);
		assert_int_equal(cached(&b).misses, 2);
		assert_int_equal(cached(&b).invalidations, 1);
		assert_true(dma_lands(&b, reg.iova + PAGE, va + 4 * PAGE));
		ioas_regcache_put(b.q, &reg);
		munmap(va, 8 * PAGE);
		wait_for_entries(&b, 0);
		stop(&b);
	}
}

/* Shared memory whose pages are taken out of its file. */
static void hole_in_file(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct bed b;
	uint8_t *va;

	(void)state;
	assert_true(fd >= 0 && !ftruncate(fd, 8 * PAGE));
	va = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(va, MAP_FAILED);
	start(&b);
	use(&b, va, 8 * PAGE);
	if (cached(&b).uncached) {
		stop(&b);
		SKIP_TEST("this kernel cannot watch shared memory");
	}
	munlock(va, 8 * PAGE);
	assert_int_equal(madvise(va + PAGE, PAGE, MADV_REMOVE), 0);
	use(&b, va, 8 * PAGE);
	assert_int_equal(cached(&b).misses, 2);
	assert_int_equal(cached(&b).invalidations, 1);
	munmap(va, 8 * PAGE);
	close(fd);
	stop(&b);
}

/* What is held is mapped until it is put, whatever became of its memory. */
static void held_while_replaced(void **state)
{
	struct ioas_reg old, new;
	struct bed b;
	uint8_t *va;

	(void)state;
	start(&b);
	va = map_at(NULL, 4 * PAGE);
	old = hold(&b, va, 4 * PAGE);
	by_munmap(va, 4 * PAGE);
	new = hold(&b, va, 4 * PAGE);
	assert_int_not_equal(old.entry, new.entry);
	assert_int_not_equal(old.iova, new.iova);
	assert_int_equal(cached(&b).entries, 2);
	assert_int_equal(ioas_soft_dma_write(b.dev, old.iova, &b.tag, 8), 0);
	assert_true(dma_lands(&b, new.iova, va));
	ioas_regcache_put(b.q, &old);
	wait_for_entries(&b, 1);
	assert_int_equal(ioas_soft_dma_write(b.dev, old.iova, &b.tag, 8), -EFAULT);
	ioas_regcache_put(b.q, &new);
	munmap(va, 4 * PAGE);
	stop(&b);
}

static void by_hand(void **state)
{
	struct ioas_reg reg;
	struct bed b;
	uint8_t *va;

	(void)state;
	start_with(&b, (struct ioas_regcache_opts){ .watch = IOAS_WATCH_NONE });
	va = map_at(NULL, 4 * PAGE);
	reg = hold(&b, va, 4 * PAGE);
	ioas_regcache_put(b.q, &reg);
	assert_int_equal(ioas_regcache_forget(b.cache, va + 2 * PAGE, 1), 0);
	assert_int_equal(cached(&b).entries, 0);
	assert_false(dma_lands(&b, reg.iova, va));
	reg = hold(&b, va, 4 * PAGE);
	assert_int_equal(ioas_regcache_forget(b.cache, va, 4 * PAGE), 0);
	assert_true(dma_lands(&b, reg.iova, va));
	ioas_regcache_put(b.q, &reg);
	wait_for_entries(&b, 0);
	assert_int_equal(ioas_regcache_forget(b.cache, va, 0), 0);
	munmap(va, 4 * PAGE);
	stop(&b);
}

/* A child cannot use the cache, and nothing that it does reaches the parent. */
static int in_child(struct bed *b, uint8_t *va, struct ioas_reg *held)
{
	struct ioas_reg reg;

	if (ioas_regcache_get(b->q, va, PAGE, &reg) != -ECHILD ||
	    ioas_regcache_trim(b->cache) != -ECHILD ||
	    ioas_regcache_forget(b->cache, va, PAGE) != -ECHILD ||
	    ioas_regcache_destroy(b->cache) != -ECHILD)
		return 1;
	ioas_regcache_put(b->q, held);
	memset(va, 0x55, 4 * PAGE);
	if (munmap(va, 4 * PAGE))
		return 2;
	return 0;
}

static void forked(void **state)
{
	struct ioas_reg held;
	struct bed b;
	uint8_t *va;
	int status;
	pid_t pid;

	(void)state;
	start(&b);
	va = map_at(NULL, 4 * PAGE);
	held = hold(&b, va, 4 * PAGE);
	pid = fork();
	if (!pid)
		_exit(in_child(&b, va, &held));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(dma_lands(&b, held.iova, va));
	assert_int_equal(va[PAGE], 0);
	use(&b, va, 4 * PAGE);
	assert_int_equal(cached(&b).misses, 1);
	assert_int_equal(cached(&b).invalidations, 0);
	ioas_regcache_put(b.q, &held);
	munmap(va, 4 * PAGE);
	stop(&b);
}

/* Memory that is registered already is used as it is, and may go when nobody holds it. */
static void registered_memory(void **state)
{
	struct ioas_reg reg, other;
	struct ioas_mem *mem;
	struct bed b;
	uint8_t *va;

	(void)state;
	start(&b);
	va = map_at(NULL, 8 * PAGE);
	assert_int_equal(ioas_mem_register(b.ctx, va, 4 * PAGE, &mem), 0);
	reg = hold(&b, va + PAGE, PAGE);
	assert_true(dma_lands(&b, reg.iova, va + PAGE));
	assert_int_equal(stats_of(b.ctx).bytes_pinned, b.pinned + 4 * PAGE);
	assert_int_equal(ioas_mem_free(mem), -EBUSY);
	assert_true(dma_lands(&b, reg.iova, va + PAGE));
	assert_int_equal(ioas_regcache_get(b.q, va + 3 * PAGE, 2 * PAGE, &other), -EEXIST);
	ioas_regcache_put(b.q, &reg);
	use(&b, va, 4 * PAGE);
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(cached(&b).entries, 0);
	/* Application memory is nobody's, so that it cannot be registered while it is cached. */
	use(&b, va, 4 * PAGE);
	assert_int_equal(ioas_mem_register(b.ctx, va, 4 * PAGE, &mem), -EEXIST);
	assert_int_equal(ioas_regcache_forget(b.cache, va, 4 * PAGE), 0);
	assert_int_equal(ioas_mem_register(b.ctx, va, 4 * PAGE, &mem), 0);
	assert_int_equal(ioas_mem_free(mem), 0);
	munmap(va, 8 * PAGE);
	stop(&b);
}

static void queues_share(void **state)
{
	struct ioas_reg one, other;
	struct ioas_queue *q;
	struct bed b;
	uint8_t *va;

	(void)state;
	start(&b);
	q = queue_new(b.as);
	va = map_at(NULL, PAGE);
	assert_int_equal(ioas_regcache_get(q, va, 8, &one), 0);
	assert_int_equal(ioas_regcache_get(q, va, 8, &other), 0);
	ioas_regcache_put(b.q, &one); /* by another */
	assert_int_equal(ioas_regcache_trim(b.cache), 0);
	assert_true(dma_lands(&b, other.iova, va));
	assert_int_equal(ioas_queue_destroy(q), 0); /* it is still held */
	assert_int_equal(ioas_regcache_trim(b.cache), 0);
	assert_true(dma_lands(&b, other.iova, va));
	assert_int_equal(ioas_regcache_destroy(b.cache), -EBUSY);
	ioas_regcache_put(b.q, &other);
	assert_int_equal(ioas_regcache_trim(b.cache), 0);
	assert_false(dma_lands(&b, other.iova, va));
	munmap(va, PAGE);
	stop(&b);
}

/* What cannot be watched is mapped for as long as it is held. */
static void not_watchable(void **state)
{
	char name[] = "/var/tmp/ioas-regcache-XXXXXX";
	int fd = mkstemp(name);
	struct ioas_reg reg;
	struct bed b;
	uint8_t *va;

	(void)state;
	assert_true(fd >= 0 && !ftruncate(fd, PAGE));
	unlink(name);
	va = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(va, MAP_FAILED);
	start(&b);
	for (unsigned int i = 1; i <= 3; i++) {
		reg = hold(&b, va, PAGE);
		if (!cached(&b).uncached)
			print_message("# this file system's files can be watched\n");
		else
			assert_int_equal(cached(&b).misses, i);
		assert_true(dma_lands(&b, reg.iova, va));
		ioas_regcache_put(b.q, &reg);
		if (cached(&b).uncached) {
			wait_for_entries(&b, 0);
			assert_false(dma_lands(&b, reg.iova, va));
		}
	}
	munmap(va, PAGE);
	close(fd);
	stop(&b);
}

static void refusals(void **state)
{
	struct ioas_regcache_opts opts = { .size = sizeof(opts) };
	struct ioas_regcache *cache;
	struct ioas_reg reg;
	struct ioas *user;
	struct bed b;
	uint8_t *va;

	(void)state;
	start(&b);
	va = map_at(NULL, 2 * PAGE);
	munmap(va + PAGE, PAGE);
	assert_int_equal(ioas_regcache_get(b.q, va, 0, &reg), -EINVAL);
	assert_int_equal(ioas_regcache_get(b.q, (void *)-PAGE, 2 * PAGE, &reg), -EINVAL);
	assert_int_equal(ioas_regcache_get(b.q, va, 2 * PAGE, &reg), -EFAULT);
	assert_non_null(strstr(ioas_queue_error(b.q), "not mapped"));
	assert_int_equal(mprotect(va, PAGE, PROT_READ), 0);
	assert_int_equal(ioas_regcache_get(b.q, va, PAGE, &reg), -EFAULT);
	assert_int_equal(cached(&b).entries, 0);
	assert_int_equal(stats_of(b.ctx).bytes_pinned, b.pinned);

	assert_int_equal(ioas_destroy(b.as), -EBUSY);
	assert_int_equal(ioas_regcache_create(b.as, &opts, &cache), -EEXIST);
	user = space_new(b.ctx, &user_flavour);
	assert_int_equal(ioas_regcache_create(user, &opts, &cache), -EOPNOTSUPP);
	opts.watch = 3;
	assert_int_equal(ioas_regcache_create(user, &opts, &cache), -EINVAL);
	opts = (struct ioas_regcache_opts){ .size = sizeof(opts), .max_entries = UINT32_MAX };
	assert_int_equal(ioas_regcache_create(user, &opts, &cache), -EINVAL);
	opts.size = 8;
	assert_int_equal(ioas_regcache_create(user, &opts, &cache), -EINVAL);
	assert_int_equal(ioas_destroy(user), 0);
	munmap(va, PAGE);
	assert_int_equal(ioas_regcache_destroy(b.cache), 0);
	assert_int_equal(ioas_regcache_get(b.q, va, PAGE, &reg), -ENOENT);
	opts = (struct ioas_regcache_opts){ .size = sizeof(opts) };
	assert_int_equal(ioas_regcache_create(b.as, &opts, &b.cache), 0);
	stop(&b);
}

/* All of a batch is held, or nothing: else the cache could not be destroyed. */
/* By address alone, of what is held. */
static void looked_up(void **state)
{
	char *va = map_at(NULL, 16 * PAGE);
	struct ioas_queue *other;
	struct ioas_reg reg;
	ioas_iova_t iova;
	size_t bytes = 1;
	struct bed b;

	start(&b);
	other = queue_new(b.as);
	assert_int_equal(ioas_regcache_lookup(b.q, va, &bytes, &iova), -ENOENT);
	reg = hold(&b, va + 100, 3 * PAGE);
	for (size_t at = 0; at < 3 * PAGE; at += 512) {
		bytes = 1;
		assert_int_equal(ioas_regcache_lookup(other, va + 100 + at, &bytes, &iova), 0);
		assert_int_equal(iova, reg.iova + at);
		assert_int_equal(bytes, 1);
		bytes = MIB(1);
		assert_int_equal(ioas_regcache_lookup(b.q, va + 100 + at, &bytes, &iova), 0);
		assert_int_equal(bytes, 4 * PAGE - 100 - at); /* pages around it */
	}
	bytes = 0;
	assert_int_equal(ioas_regcache_lookup(b.q, va, &bytes, &iova), -EINVAL);
	bytes = 1;
	assert_int_equal(ioas_regcache_lookup(b.q, va + 4 * PAGE, &bytes, &iova), -ENOENT);
	ioas_regcache_put(other, &reg);
	assert_int_equal(ioas_regcache_forget(b.cache, va, 16 * PAGE), 0);
	assert_int_equal(ioas_regcache_lookup(b.q, va, &bytes, &iova), -ENOENT);
	assert_int_equal(ioas_queue_destroy(other), 0);
	stop(&b);
	munmap(va, 16 * PAGE);
}

static void batches(void **state)
{
	struct bed b;
	uint8_t *va = map_at(NULL, 16 * PAGE);
	struct iovec buffers[4];
	struct ioas_reg regs[4];

	(void)state;
	start(&b);
	for (unsigned int i = 0; i < 4; i++)
		buffers[i] = (struct iovec){ va + 4 * i * PAGE + 8, 2 * PAGE };
	use(&b, va, PAGE); /* one of them hits, in part */
	assert_int_equal(ioas_regcache_get_batch(b.q, buffers, 0, regs), 0);
	for (unsigned int round = 0; round < 2; round++) {
		assert_int_equal(ioas_regcache_get_batch(b.q, buffers, 4, regs), 0);
		for (unsigned int i = 0; i < 4; i++)
			assert_true(dma_lands(&b, regs[i].iova, buffers[i].iov_base));
		assert_int_equal(ioas_regcache_destroy(b.cache), -EBUSY);
		for (unsigned int i = 0; i < 4; i++)
			ioas_regcache_put(b.q, &regs[i]);
		assert_int_equal(ioas_regcache_trim(b.cache), 0);
		assert_int_equal(cached(&b).entries, 0);
	}
	for (unsigned int bad = 0; bad < 4; bad++) {
		void *right = buffers[bad].iov_base;

		buffers[bad].iov_base = (void *)PAGE;
		assert_int_equal(ioas_regcache_get_batch(b.q, buffers, 4, regs), -EFAULT);
		buffers[bad].iov_base = right;
		assert_int_equal(ioas_regcache_trim(b.cache), 0);
		assert_int_equal(cached(&b).entries, 0);
	}
	stop(&b);
	munmap(va, 16 * PAGE);
}

#define REPLACED(how)                                                          \
	{                                                                      \
		"replaced " #how, replaced, NULL, NULL, (void *)(uintptr_t)how \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_mapped),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(neighbours),
		cmocka_unit_test(budgets),
		REPLACED(by_munmap),
		REPLACED(by_part),
		REPLACED(by_map_over),
		REPLACED(by_mremap),
		REPLACED(by_mremap_over),
		REPLACED(by_discard),
		cmocka_unit_test(hole_in_file),
		cmocka_unit_test(held_while_replaced),
		cmocka_unit_test(by_hand),
		cmocka_unit_test(forked),
		cmocka_unit_test(registered_memory),
		cmocka_unit_test(queues_share),
		cmocka_unit_test(not_watchable),
		cmocka_unit_test(refusals),
		cmocka_unit_test(looked_up),
		cmocka_unit_test(batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
