/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RLIMIT_MEMLOCK too small: a clear error that names the limit and the command, nothing half
 * done. Each case is a process of its own without privileges.
 */
#include "rig.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define LIMIT_BYTES KIB(256)

enum { PASSED = 0, CANNOT_TELL = 77 };

static bool says_memlock(struct ioas_ctx *ctx)
{
	return ctx_says(ctx, "memlock") && ctx_says(ctx, "ulimit -l");
}

static int register_too_much(struct ioas_ctx *ctx)
{
	uint8_t *va =
		mmap(NULL, MIB(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ioas_mem *mem;

	if (va == MAP_FAILED)
		return CANNOT_TELL;
	if (ioas_mem_register(ctx, va, MIB(1), &mem) != -ENOMEM)
		return 1;
	if (!says_memlock(ctx))
		return 2;
	if (stats_of(ctx).bytes_pinned)
		return 3;
	/* Nothing of the failed attempt is left: the limit is free for what fits it. */
	if (ioas_mem_register(ctx, va, KIB(64), &mem))
		return 4;
	if (ioas_mem_free(mem))
		return 5;
	return ioas_ctx_close(ctx) ? 6 : PASSED;
}

static int allocate_too_much(struct ioas_ctx *ctx)
{
	struct ioas_mem_opts opts = { .size = sizeof(opts),
				      .numa_node = IOAS_NUMA_ANY,
				      .bytes = MIB(1),
				      .page_bytes = PAGE };
	struct ioas_mem *mem;

	if (ioas_mem_alloc(ctx, &opts, &mem) != -ENOMEM)
		return 1;
	if (!says_memlock(ctx))
		return 2;
	if (stats_of(ctx).bytes_pinned)
		return 3;
	opts.bytes = KIB(64);
	if (ioas_mem_alloc(ctx, &opts, &mem))
		return 4;
	if (ioas_mem_free(mem))
		return 5;
	return ioas_ctx_close(ctx) ? 6 : PASSED;
}

/* What is released no longer counts. */
static int again_and_again(struct ioas_ctx *ctx)
{
	uint8_t *va =
		mmap(NULL, KIB(192), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ioas_mem *mem;

	for (unsigned int i = 0; i < 50; i++)
		if (ioas_mem_register(ctx, va, KIB(192), &mem) || ioas_mem_free(mem))
			return 1;
	return ioas_ctx_close(ctx) ? 2 : PASSED;
}

static int child(int (*fn)(struct ioas_ctx *ctx))
{
	struct ioas_ctx_opts opts = { .size = sizeof(opts), .backend = "soft" };
	struct rlimit limit = { LIMIT_BYTES, LIMIT_BYTES };
	struct ioas_ctx *ctx;
	void *probe;

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || (!getuid() && setuid(65534)))
		return CANNOT_TELL;
	probe = mmap(NULL, MIB(1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (probe == MAP_FAILED || !mlock(probe, MIB(1)))
		return CANNOT_TELL; /* sanitizers make mlock() do nothing */
	munmap(probe, MIB(1));
	if (ioas_ctx_open(&opts, &ctx))
		return 100;
	return fn(ctx);
}

static void in_child(int (*fn)(struct ioas_ctx *ctx))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		status = child(fn);
		fflush(stdout);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CANNOT_TELL)
		SKIP_TEST("RLIMIT_MEMLOCK does not bind here");
	assert_int_equal(WEXITSTATUS(status), PASSED);
}

static void registering(void **state)
{
	(void)state;
	in_child(register_too_much);
}

static void allocating(void **state)
{
	(void)state;
	in_child(allocate_too_much);
}

static void releasing(void **state)
{
	(void)state;
	in_child(again_and_again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registering),
		cmocka_unit_test(allocating),
		cmocka_unit_test(releasing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
