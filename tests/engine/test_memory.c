/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory: arenas of 4 KiB pages, the caller's own memory, what may not be registered, release. */
#include "rig.h"

static int alloc(struct ioas_ctx *ctx, uint64_t bytes, uint64_t page_bytes, struct ioas_mem **mem)
{
	struct ioas_mem_opts opts = { .size = sizeof(opts),
				      .numa_node = IOAS_NUMA_ANY,
				      .bytes = bytes,
				      .page_bytes = page_bytes };

	return ioas_mem_alloc(ctx, &opts, mem);
}

static void arena_of_small_pages(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	unsigned char resident[3];
	struct ioas_mem *mem;
	uint64_t *va, *seen;

	(void)state;
	assert_int_equal(alloc(ctx, 2 * PAGE + 1, PAGE, &mem), 0);
	va = ioas_mem_va(mem);
	assert_int_equal(ioas_mem_bytes(mem), 3 * PAGE);
	assert_int_equal(ioas_mem_page_bytes(mem), PAGE);
	assert_int_equal((uintptr_t)va % PAGE, 0);
	assert_int_equal(mincore(va, 3 * PAGE, resident), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(resident[i] & 1, 1);
	for (unsigned int i = 0; i < 3 * PAGE / 8; i++)
		assert_int_equal(va[i], 0);
	/* The file behind it is the same memory. */
	assert_true(ioas_mem_fd(mem) >= 0);
	seen = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, ioas_mem_fd(mem), 0);
	assert_ptr_not_equal(seen, MAP_FAILED);
	va[2 * PAGE / 8 + 1] = 77;
	assert_int_equal(seen[2 * PAGE / 8 + 1], 77);
	munmap(seen, 3 * PAGE);
	assert_int_equal(stats_of(ctx).bytes_pinned, 3 * PAGE);
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(stats_of(ctx).bytes_pinned, 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

/* What is too small for a huge page gets none, and nobody is warned. */
static void small_arena_by_itself(void **state)
{
	struct ioas_mem *mem;
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	assert_int_equal(alloc(r.ctx, KIB(8), 0, &mem), 0);
	assert_int_equal(ioas_mem_page_bytes(mem), PAGE);
	assert_int_equal(ioas_mem_bytes(mem), KIB(8));
	assert_int_equal(log_lines(&r.log, IOAS_LOG_WARNING), 0);
	assert_int_equal(ioas_mem_free(mem), 0);
	rig_close(&r);
}

static void bad_arenas(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	struct ioas_mem_opts opts = { .size = sizeof(opts),
				      .numa_node = IOAS_NUMA_ANY,
				      .bytes = PAGE };
	struct ioas_mem *mem;
	int ret;

	(void)state;
	assert_int_equal(alloc(ctx, 0, PAGE, &mem), -EINVAL);
	assert_true(ctx_says(ctx, "bytes"));
	assert_int_equal(alloc(ctx, PAGE, 8192, &mem), -EINVAL);
	assert_true(ctx_says(ctx, "page_bytes"));
	assert_int_equal(alloc(ctx, PAGE, 1, &mem), -EINVAL);
	for (uint64_t page = PAGE; page <= GIB(1); page <<= 9) {
		ret = alloc(ctx, UINT64_MAX - 100, page, &mem);
		assert_true(ret == -EINVAL || ret == -ENOMEM);
	}
	ret = alloc(ctx, UINT64_C(1) << 50, PAGE, &mem);
	assert_true(ret == -EINVAL || ret == -ENOMEM);
	opts.size = 0;
	assert_int_equal(ioas_mem_alloc(ctx, &opts, &mem), -EINVAL);
	assert_true(ctx_says(ctx, "size"));
	assert_int_equal(stats_of(ctx).bytes_pinned, 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void numa_node(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	struct ioas_mem_opts opts = { .size = sizeof(opts), .bytes = PAGE, .page_bytes = PAGE };
	struct ioas_mem *mem;

	(void)state;
	if (!access("/sys/devices/system/node/node0", F_OK)) {
		assert_int_equal(ioas_mem_alloc(ctx, &opts, &mem), 0);
		assert_int_equal(ioas_mem_free(mem), 0);
	}
	for (unsigned int i = 0; i < 3; i++) {
		opts.numa_node = (int[]){ -2, 1000, INT32_MAX }[i];
		assert_int_equal(ioas_mem_alloc(ctx, &opts, &mem), -EINVAL);
		assert_true(ctx_says(ctx, "node"));
	}
	assert_int_equal(stats_of(ctx).bytes_pinned, 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void registered_memory(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	uint8_t *va = memory_new(MIB(2));
	struct ioas_mem *mem, *next, *other;

	(void)state;
	va[PAGE] = 123;
	assert_int_equal(ioas_mem_register(ctx, va + PAGE, 4 * PAGE, &mem), 0);
	assert_ptr_equal(ioas_mem_va(mem), va + PAGE);
	assert_int_equal(ioas_mem_bytes(mem), 4 * PAGE);
	assert_int_equal(ioas_mem_page_bytes(mem), PAGE);
	assert_int_equal(ioas_mem_fd(mem), -1);
	assert_int_equal(va[PAGE], 123); /* what is in it stays */
	assert_int_equal(stats_of(ctx).bytes_pinned, 4 * PAGE);

	/* Neighbours are no overlap. */
	assert_int_equal(ioas_mem_register(ctx, va + 5 * PAGE, PAGE, &next), 0);
	assert_int_equal(ioas_mem_register(ctx, va, PAGE, &other), 0);
	assert_int_equal(stats_of(ctx).bytes_pinned, 6 * PAGE);
	assert_int_equal(ioas_mem_free(other), 0);
	assert_int_equal(ioas_mem_free(next), 0);

	assert_int_equal(ioas_mem_register(ctx, va + PAGE, 4 * PAGE, &other), -EEXIST);
	assert_true(ctx_says(ctx, "overlap"));
	assert_int_equal(ioas_mem_register(ctx, va + 2 * PAGE, PAGE, &other), -EEXIST);
	assert_int_equal(ioas_mem_register(ctx, va, 2 * PAGE, &other), -EEXIST);
	assert_int_equal(ioas_mem_register(ctx, va + 4 * PAGE, 2 * PAGE, &other), -EEXIST);
	assert_int_equal(ioas_mem_register(ctx, va, 8 * PAGE, &other), -EEXIST);
	assert_int_equal(stats_of(ctx).bytes_pinned, 4 * PAGE);
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(ioas_mem_register(ctx, va, MIB(2), &mem), 0);
	assert_int_equal(ioas_mem_free(mem), 0);

	/* An arena is registered memory too. */
	assert_int_equal(alloc(ctx, 4 * PAGE, PAGE, &mem), 0);
	assert_int_equal(ioas_mem_register(ctx, ioas_mem_va(mem), PAGE, &other), -EEXIST);
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
	munmap(va, MIB(2));
}

static void bad_registrations(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	uint8_t *va = memory_new(MIB(2));
	struct ioas_mem *mem;

	(void)state;
	assert_int_equal(ioas_mem_register(ctx, va + 8, PAGE, &mem), -EINVAL);
	assert_true(ctx_says(ctx, "va"));
	assert_int_equal(ioas_mem_register(ctx, va, PAGE + 8, &mem), -EINVAL);
	assert_true(ctx_says(ctx, "bytes"));
	assert_int_equal(ioas_mem_register(ctx, va, 0, &mem), -EINVAL);
	assert_true(ctx_says(ctx, "bytes"));
	assert_int_equal(ioas_mem_register(ctx, va, -PAGE, &mem), -EINVAL);

	/* A hole at the end: all or nothing. */
	munmap(va + 8 * PAGE, PAGE);
	assert_int_equal(ioas_mem_register(ctx, va + 4 * PAGE, 8 * PAGE, &mem), -EFAULT);
	assert_true(ctx_says(ctx, "not mapped"));
	assert_int_equal(ioas_mem_register(ctx, va + 8 * PAGE, PAGE, &mem), -EFAULT);
	assert_int_equal(stats_of(ctx).bytes_pinned, 0);
	assert_int_equal(ioas_mem_register(ctx, va + 4 * PAGE, 4 * PAGE, &mem), 0);
	assert_int_equal(ioas_mem_free(mem), 0);

	assert_int_equal(mprotect(va, PAGE, PROT_READ), 0);
	assert_int_equal(ioas_mem_register(ctx, va, 2 * PAGE, &mem), -EFAULT);
	assert_true(ctx_says(ctx, "writable"));
	assert_int_equal(mprotect(va, PAGE, PROT_NONE), 0);
	assert_int_equal(ioas_mem_register(ctx, va, PAGE, &mem), -EFAULT);
	assert_int_equal(stats_of(ctx).bytes_pinned, 0);
	assert_int_equal(mprotect(va, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(ioas_mem_register(ctx, va, 2 * PAGE, &mem), 0);
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
	munmap(va, MIB(2));
}

/* The IOVA of a mapping that keeps memory busy is in the text. */
static bool names_iova(struct rig *r, ioas_iova_t iova)
{
	char hex[32];

	snprintf(hex, sizeof(hex), "0x%llx", (unsigned long long)iova);
	return ctx_says(r->ctx, hex);
}

static void busy_while_mapped(void **state)
{
	struct ioas_mem *mem;
	ioas_iova_t iova, fixed = GIB(4);
	struct rig r;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_map(r.q, r.va + 5 * PAGE, 2 * PAGE, IOAS_RW, &iova), 0);
	assert_int_equal(ioas_mem_free(r.mem), -EBUSY);
	assert_true(names_iova(&r, iova));
	/* Nothing is changed. */
	assert_true(reaches(&r, iova, r.va + 5 * PAGE, 2 * PAGE));
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &fixed), 0);
	assert_true(reaches(&r, fixed, r.va, PAGE));
	assert_int_equal(ioas_unmap(r.q, iova, 2 * PAGE), 0);
	assert_int_equal(ioas_mem_free(r.mem), -EBUSY);
	assert_true(names_iova(&r, fixed));
	/* Other memory is not held up by it. */
	assert_int_equal(alloc(r.ctx, PAGE, PAGE, &mem), 0);
	assert_int_equal(ioas_map(r.q, ioas_mem_va(mem), PAGE, IOAS_RW, &iova), 0);
	assert_true(writes(&r, iova, ioas_mem_va(mem)));
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(ioas_unmap(r.q, fixed, PAGE), 0);
	rig_stop(&r);
}

static void busy_in_a_window(void **state)
{
	struct ioas_window_opts opts = {
		.size = sizeof(opts), .prot = IOAS_RW, .bytes = 8 * PAGE, .slot_bytes = PAGE
	};
	struct ioas_window *window;
	uint32_t slot = 3;
	struct rig r;

	rig_start(&r, *state, NULL);
	opts.va = r.va;
	assert_int_equal(ioas_window_create(r.as, &opts, &window), 0);
	assert_int_equal(ioas_window_grant(r.q, window, &slot, 1), 0);
	assert_int_equal(ioas_mem_free(r.mem), -EBUSY);
	assert_true(writes(&r, ioas_window_iova(window) + 3 * PAGE, r.va + 3 * PAGE));
	assert_int_equal(ioas_window_revoke(r.q, window, &slot, 1), 0);
	assert_int_equal(ioas_window_destroy(window), 0);
	rig_stop(&r);
}

/*
 * BATCHED: the mapping is gone but the device may reach the memory still. Once it has been
 * released the device may not: what is written there then would be somebody else's.
 */
static void release_waits_for_invalidation(void **state)
{
	struct ioas_opts opts = opts_of(*state);
	ioas_iova_t iova;
	struct rig r;

	rig_open(&r, NULL);
	if (opts.mode == IOAS_BATCHED)
		opts.batch_ns = UINT64_C(60000000000);
	rig_space(&r, &opts);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova), 0);
		assert_true(writes(&r, iova, r.va));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
		assert_int_equal(ioas_mem_free(r.mem), 0);
		assert_true(refused(&r, iova, PAGE));
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova), -ENOENT);
		assert_int_equal(ioas_mem_register(r.ctx, r.va, RIG_BYTES, &r.mem), 0);
	}
	rig_stop(&r);
}

/* The parent that the library made follows the memory of the context. */
static void comes_and_goes(void **state)
{
	struct ioas_mem *mem;
	ioas_iova_t iova;
	struct rig r;
	void *va;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t bytes = (1 + i % 5) * PAGE;

		assert_int_equal(alloc(r.ctx, bytes, PAGE, &mem), 0);
		va = ioas_mem_va(mem);
		assert_int_equal(ioas_map(r.q, va, bytes, IOAS_RW, &iova), 0);
		assert_true(reaches(&r, iova, va, bytes));
		assert_int_equal(ioas_unmap(r.q, iova, bytes), 0);
		assert_int_equal(ioas_mem_free(mem), 0);
		assert_int_equal(ioas_map(r.q, va, bytes, IOAS_RW, &iova), -ENOENT);
	}
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_of_small_pages),
		cmocka_unit_test(small_arena_by_itself),
		cmocka_unit_test(bad_arenas),
		cmocka_unit_test(numa_node),
		cmocka_unit_test(registered_memory),
		cmocka_unit_test(bad_registrations),
		ALL_FLAVOURS(busy_while_mapped),
		USER_FLAVOURS(busy_in_a_window),
		ALL_FLAVOURS(release_waits_for_invalidation),
		ALL_FLAVOURS(comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
