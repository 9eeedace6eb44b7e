/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arenas of huge pages, and what happens where there are none. Root may reserve pages: those
 * that these tests reserve are given back. Other programs may do the same at the same time, so
 * the count is changed by a difference and never set.
 */
#include "rig.h"

#define HUGE_2M "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define HUGE_1G "/sys/kernel/mm/hugepages/hugepages-1048576kB/"

static long number_in(const char *folder, const char *name)
{
	char path[200];
	long number = -1;
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", folder, name);
	file = fopen(path, "r");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

static bool add_pages(long pages)
{
	long before = number_in(HUGE_2M, "nr_hugepages");
	FILE *file = before < 0 ? NULL : fopen(HUGE_2M "nr_hugepages", "w");
	bool done;

	if (!file)
		return false;
	done = fprintf(file, "%ld\n", before + pages) > 0;
	done &= !fclose(file);
	return done && number_in(HUGE_2M, "nr_hugepages") == before + pages;
}

/* Huge pages that an arena could get now. */
static long spare(const char *folder)
{
	long free_pages = number_in(folder, "free_hugepages");
	long reserved = number_in(folder, "resv_hugepages");
	long surplus = number_in(folder, "nr_overcommit_hugepages");

	if (free_pages < 0)
		return 0;
	return free_pages - (reserved > 0 ? reserved : 0) + (surplus > 0 ? surplus : 0);
}

static int alloc(struct rig *r, uint64_t bytes, uint64_t page_bytes, bool strict,
		 struct ioas_mem **mem)
{
	struct ioas_mem_opts opts = { .size = sizeof(opts),
				      .numa_node = IOAS_NUMA_ANY,
				      .bytes = bytes,
				      .page_bytes = page_bytes,
				      .strict_page = strict };

	return ioas_mem_alloc(r->ctx, &opts, mem);
}

static void check_arena(struct rig *r, struct ioas_mem *mem, uint64_t bytes, uint64_t page_bytes)
{
	uint8_t *va = ioas_mem_va(mem);
	ioas_iova_t iova;

	assert_int_equal(ioas_mem_page_bytes(mem), page_bytes);
	assert_int_equal(ioas_mem_bytes(mem), bytes);
	assert_int_equal((uintptr_t)va % page_bytes, 0);
	assert_true(ioas_mem_fd(mem) >= 0);
	for (uint64_t at = 0; at < bytes; at += PAGE)
		assert_int_equal(word_at(va + at), 0);
	assert_int_equal(ioas_map(r->q, va, bytes, IOAS_RW, &iova), 0);
	assert_true(reaches(r, iova, va, bytes));
	assert_int_equal(ioas_unmap(r->q, iova, bytes), 0);
}

static void arena_of_huge_pages(void **state)
{
	struct ioas_mem *mem;
	struct rig r;

	if (!add_pages(2))
		SKIP_TEST("no 2 MiB pages can be reserved (wants root: echo 2 > " HUGE_2M
			  "nr_hugepages)");
	rig_start(&r, *state, NULL);
	/* Asked for, strictly; then by itself, rounded up. */
	assert_int_equal(alloc(&r, MIB(4), MIB(2), true, &mem), 0);
	check_arena(&r, mem, MIB(4), MIB(2));
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(alloc(&r, MIB(2) + 1, 0, false, &mem), 0);
	check_arena(&r, mem, MIB(4), MIB(2));
	assert_int_equal(log_lines(&r.log, IOAS_LOG_WARNING), 0);
	assert_int_equal(ioas_mem_free(mem), 0);
	/* Zeroed, though the device has written to these pages before. */
	assert_int_equal(alloc(&r, MIB(4), MIB(2), true, &mem), 0);
	check_arena(&r, mem, MIB(4), MIB(2));
	assert_int_equal(ioas_mem_free(mem), 0);
	rig_stop(&r);
	assert_true(add_pages(-2));
}

/*
 * A node is part of the wish where the machine has nodes. Reserving by nr_hugepages spreads pages
 * over the nodes, so only machines of one node are sure to have them on node 0.
 */
static void arena_of_huge_pages_on_a_node(void **state)
{
	struct ioas_mem_opts opts = {
		.size = sizeof(opts), .bytes = MIB(2), .page_bytes = MIB(2), .strict_page = true
	};
	struct ioas_mem *mem;
	struct rig r;

	if (access("/sys/devices/system/node/node0", F_OK) ||
	    !access("/sys/devices/system/node/node1", F_OK))
		SKIP_TEST("not a machine of one node");
	if (!add_pages(1))
		SKIP_TEST("no 2 MiB pages can be reserved");
	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_mem_alloc(r.ctx, &opts, &mem), 0);
	check_arena(&r, mem, MIB(2), MIB(2));
	assert_int_equal(ioas_mem_free(mem), 0);
	rig_stop(&r);
	assert_true(add_pages(-1));
}

/*
 * More than there are huge pages for, 0 where that would be too much to ask of the machine.
 * Others' pages are left alone: it is one page more than what is free.
 */
static uint64_t too_many_bytes(void)
{
	long pages = spare(HUGE_2M) + 1;

	return pages == 1 || (pages < 600 && !getuid()) ? pages * MIB(2) : 0;
}

/* One warning, and it names the command. */
static void falls_back(void **state)
{
	uint64_t bytes = too_many_bytes();
	struct ioas_mem *mem;
	struct rig r;

	if (!bytes)
		SKIP_TEST("%ld huge pages are free here", spare(HUGE_2M));
	rig_start(&r, *state, NULL);
	assert_int_equal(alloc(&r, bytes, MIB(2), false, &mem), 0);
	assert_int_equal(log_lines(&r.log, IOAS_LOG_WARNING), 1);
	assert_non_null(strstr(r.log.last[IOAS_LOG_WARNING], "hugepages"));
	assert_true(strstr(r.log.last[IOAS_LOG_WARNING], "echo") ||
		    strstr(r.log.last[IOAS_LOG_WARNING], "sysctl") ||
		    strstr(r.log.last[IOAS_LOG_WARNING], "hugeadm"));
	assert_int_equal(log_lines(&r.log, IOAS_LOG_ERROR), 0);
	assert_int_equal(ioas_mem_page_bytes(mem), PAGE);
	assert_int_equal(ioas_mem_bytes(mem), bytes);
	assert_int_equal(ioas_mem_free(mem), 0);
	rig_stop(&r);
}

static void falls_back_by_itself(void **state)
{
	uint64_t bytes = too_many_bytes();
	struct ioas_mem *mem;
	struct rig r;

	if (!bytes)
		SKIP_TEST("%ld huge pages are free here", spare(HUGE_2M));
	bytes += PAGE;
	rig_start(&r, *state, NULL);
	assert_int_equal(alloc(&r, bytes, 0, false, &mem), 0);
	assert_int_equal(log_lines(&r.log, IOAS_LOG_WARNING), 1);
	if (bytes < MIB(8))
		check_arena(&r, mem, bytes, PAGE);
	assert_int_equal(ioas_mem_page_bytes(mem), PAGE);
	assert_int_equal(ioas_mem_bytes(mem), bytes);
	assert_int_equal(ioas_mem_free(mem), 0);
	rig_stop(&r);
}

static void strict_page(void **state)
{
	struct ioas_mem *mem;
	uint64_t pinned;
	struct rig r;

	rig_start(&r, *state, NULL);
	pinned = stats_of(r.ctx).bytes_pinned;
	if (too_many_bytes()) {
		assert_int_equal(alloc(&r, too_many_bytes(), MIB(2), true, &mem), -ENOMEM);
		assert_true(ctx_says(r.ctx, "hugepages"));
	}
	if (spare(HUGE_1G) <= 0) {
		assert_int_equal(alloc(&r, MIB(2), GIB(1), true, &mem), -ENOMEM);
		assert_true(ctx_says(r.ctx, "hugepages"));
	}
	assert_int_equal(stats_of(r.ctx).bytes_pinned, pinned);
	assert_int_equal(log_lines(&r.log, IOAS_LOG_WARNING), 0);
	assert_int_equal(alloc(&r, PAGE, PAGE, true, &mem), 0);
	assert_int_equal(ioas_mem_free(mem), 0);
	rig_stop(&r);
}

/* From 1 GiB to what there is: the length is rounded to the pages in use, not to those wanted. */
static void falls_back_from_1g(void **state)
{
	struct ioas_mem *mem;
	struct rig r;
	uint64_t page;

	if (spare(HUGE_1G) > 0)
		SKIP_TEST("%ld 1 GiB pages are free here", spare(HUGE_1G));
	rig_start(&r, *state, NULL);
	assert_int_equal(alloc(&r, MIB(2), GIB(1), false, &mem), 0);
	assert_int_equal(log_lines(&r.log, IOAS_LOG_WARNING), 1);
	assert_non_null(strstr(r.log.last[IOAS_LOG_WARNING], "hugepages"));
	page = ioas_mem_page_bytes(mem);
	assert_true(page == PAGE || page == MIB(2));
	check_arena(&r, mem, MIB(2), page);
	assert_int_equal(ioas_mem_free(mem), 0);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_OF(falls_back, user),	   TEST_OF(falls_back_by_itself, kernel),
		TEST_OF(falls_back_from_1g, user), TEST_OF(strict_page, user),
		ALL_FLAVOURS(arena_of_huge_pages), TEST_OF(arena_of_huge_pages_on_a_node, user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
