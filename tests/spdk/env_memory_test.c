/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of the environment is what devices reach, for as long as it is there. */
#include "env_rig.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define ANY SPDK_ENV_NUMA_ID_ANY

static void fill(void *va, size_t bytes, unsigned int seed)
{
	for (size_t i = 0; i < bytes; i++)
		((unsigned char *)va)[i] = (seed + i) * 31;
}

static bool is_zero(const char *va, size_t bytes)
{
	return !*va && !memcmp(va, va + 1, bytes - 1);
}

static void every_size_and_alignment(void **state)
{
	for (size_t align = 0; align <= MIB(2); align = align ? 8 * align : 64) {
		for (size_t size = 1; size <= MIB(40); size *= 7) {
			uint64_t run = size;
			char *va = spdk_zmalloc(size, align, NULL, ANY, SPDK_MALLOC_DMA);

			assert_non_null(va);
			assert_int_equal((uintptr_t)va & (align ? align - 1 : 63), 0);
			assert_true(is_zero(va, size));
			fill(va, size, align);
			assert_int_not_equal(spdk_vtophys(va, &run), SPDK_VTOPHYS_ERROR);
			assert_int_equal(run, size); /* contiguous for the device */
			rig_check_reach(va, size < MIB(1) ? size : MIB(1));
			spdk_free(va);
		}
	}
}

static void what_cannot_be_is_null(void **state)
{
	uint64_t unused;

	assert_null(spdk_malloc(0, 0, NULL, ANY, 0));
	assert_null(spdk_malloc(64, 96, NULL, ANY, 0));
	assert_null(spdk_malloc(64, 0, &unused, ANY, 0));
	assert_null(spdk_malloc(64, MIB(4), NULL, ANY, 0));
	spdk_free(NULL);
	rig_forget();
	spdk_free(&unused);
	assert_non_null(strstr(rig_error(), "was not allocated here"));
}

/* More than one heap, then all of it again: heaps are used again. */
static void the_heap_grows_and_is_reused(void **state)
{
	enum { COUNT = 160 };
	char *blocks[COUNT], *lowest = NULL, *highest = NULL;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < COUNT; i++) {
			blocks[i] = spdk_dma_malloc(MIB(1), PAGE, NULL);
			assert_non_null(blocks[i]);
			fill(blocks[i], PAGE, i);
			if (!round && (!lowest || blocks[i] < lowest))
				lowest = blocks[i];
			if (!round && blocks[i] > highest)
				highest = blocks[i];
			assert_in_range((uintptr_t)blocks[i], (uintptr_t)lowest,
					(uintptr_t)highest);
		}
		for (int i = 0; i < COUNT; i++) {
			rig_check_reach(blocks[i], PAGE);
			spdk_dma_free(blocks[i]);
		}
	}
}

static void realloc_keeps_the_contents(void **state)
{
	char *va = spdk_realloc(NULL, 100, 0);
	static const size_t sizes[] = { 5000, MIB(20), MIB(30), 70 };
	size_t had = 100;

	fill(va, had, 1);
	for (unsigned int i = 0; i < 4; i++) {
		char expected[128];

		fill(expected, sizeof(expected), 1);
		va = spdk_dma_realloc(va, sizes[i], PAGE, NULL);
		assert_non_null(va);
		assert_int_equal((uintptr_t)va & (PAGE - 1), 0);
		assert_memory_equal(va, expected, had < sizes[i] ? had : sizes[i]);
		rig_check_reach(va, sizes[i] < PAGE ? sizes[i] : PAGE);
	}
	assert_null(spdk_realloc(va, 0, 0));
}

/* A large block goes when it is freed: devices do not reach it any more. */
static void what_is_freed_is_not_reached(void **state)
{
	char *va = spdk_zmalloc(MIB(32), 0, NULL, ANY, 0);

	rig_check_reach(va + MIB(31), PAGE);
	spdk_free(va);
	assert_int_equal(spdk_vtophys(va + MIB(31), NULL), SPDK_VTOPHYS_ERROR);
	assert_int_equal(spdk_vtophys(&va, NULL), SPDK_VTOPHYS_ERROR);
}

static void files_and_nodes_of_memory(void **state)
{
	char *va = spdk_zmalloc(3 * PAGE, PAGE, NULL, ANY, 0);
	uint64_t offset, size = PAGE;
	int fd = spdk_mem_get_fd_and_offset(va, &offset);
	char byte = 0;

	va[17] = 42;
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset + 17), 1);
	assert_int_equal(byte, 42);
	assert_int_equal(spdk_mem_get_numa_id(va, &size), ANY);
	assert_int_equal(size, PAGE);
	assert_int_equal(spdk_mem_get_fd_and_offset(&byte, &offset), -EINVAL);
	spdk_free(va);
}

static void registered_memory_is_reached(void **state)
{
	char *va = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t size = MIB(1);

	fill(va, 4 * PAGE, 9);
	assert_int_equal(spdk_mem_reserve(va, 2 * PAGE), 0);
	assert_int_equal(spdk_mem_register(va, 2 * PAGE), 0);
	assert_int_equal(spdk_mem_reserve(va, 2 * PAGE), -EBUSY);
	assert_int_equal(spdk_mem_register(va + PAGE, PAGE), -EBUSY);
	assert_int_equal(spdk_mem_register(va + 2 * PAGE, 2 * PAGE), 0);
	rig_check_reach(va, 4 * PAGE);
	/* Not more than there is. */
	assert_int_not_equal(spdk_vtophys(va + 3 * PAGE + 5, &size), SPDK_VTOPHYS_ERROR);
	assert_int_equal(size, PAGE - 5);

	assert_int_equal(spdk_mem_unregister(va, PAGE), -ERANGE);
	assert_int_equal(spdk_mem_unregister(va + PAGE, PAGE), -ERANGE);
	rig_check_reach(va, 4 * PAGE);
	assert_int_equal(spdk_mem_unregister(va, 4 * PAGE), 0);
	assert_int_equal(spdk_vtophys(va, NULL), SPDK_VTOPHYS_ERROR);
	assert_int_equal(spdk_mem_unregister(va, 4 * PAGE), -EINVAL);
	munmap(va, 4 * PAGE);
}

static void memory_of_the_environment_is_not_unregistered(void **state)
{
	char *va = spdk_zmalloc(MIB(16), 0, NULL, ANY, 0);

	assert_int_equal(spdk_mem_unregister(va, MIB(16)), -EINVAL);
	rig_check_reach(va, PAGE);
	spdk_free(va);
}

static void zones_have_names(void **state)
{
	char *va = spdk_memzone_reserve_aligned("one", 3 * PAGE, ANY, 0, 2 * PAGE);

	assert_non_null(va);
	assert_int_equal((uintptr_t)va & (2 * PAGE - 1), 0);
	assert_true(is_zero(va, 3 * PAGE));
	rig_check_reach(va, 3 * PAGE);
	assert_ptr_equal(spdk_memzone_lookup("one"), va);
	assert_null(spdk_memzone_lookup("two"));
	assert_null(spdk_memzone_reserve("one", 64, ANY, 0));
	assert_null(spdk_memzone_reserve("a name that is longer than 31 characters", 64, ANY, 0));
	assert_int_equal(spdk_memzone_free("one"), 0);
	assert_int_equal(spdk_memzone_free("one"), -ENOENT);
	/* The environment's end frees it. */
	assert_non_null(spdk_memzone_reserve("stays", 64, ANY, 0));
}

static void *use_memory(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		size_t size = 64 + 97 * (i % 300);
		unsigned char *va = spdk_malloc(size, 0, NULL, ANY, 0);

		if (!va || spdk_vtophys(va, NULL) == SPDK_VTOPHYS_ERROR)
			return "no memory";
		memset(va, (uintptr_t)arg, size);
		for (size_t at = 0; at < size; at += 61)
			if (va[at] != (uintptr_t)arg)
				return "somebody else's bytes";
		spdk_free(va);
	}
	return NULL;
}

static void threads_do_not_meet(void **state)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_memory, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++) {
		void *complaint;

		pthread_join(threads[i], &complaint);
		assert_null(complaint);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_and_alignment),
		cmocka_unit_test(what_cannot_be_is_null),
		cmocka_unit_test(the_heap_grows_and_is_reused),
		cmocka_unit_test(realloc_keeps_the_contents),
		cmocka_unit_test(what_is_freed_is_not_reached),
		cmocka_unit_test(files_and_nodes_of_memory),
		cmocka_unit_test(registered_memory_is_reached),
		cmocka_unit_test(memory_of_the_environment_is_not_unregistered),
		cmocka_unit_test(zones_have_names),
		cmocka_unit_test(threads_do_not_meet),
	};

	return cmocka_run_group_tests_name("env_memory", tests, rig_open, rig_close);
}
