/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory maps: told of every region, and what they were given is what they translate to. */
#include "env_rig.h"

#include <errno.h>
#include <sys/mman.h>

#define NONE UINT64_C(0xdead)

struct listener {
	size_t bytes;  /* of regions that are there */
	int refuse_at; /* the call that is refused, 0: none */
	int calls;
};

static int listen(void *arg, struct spdk_mem_map *map, enum spdk_mem_map_notify_action action,
		  void *va, size_t bytes)
{
	struct listener *listener = arg;

	if (++listener->calls == listener->refuse_at)
		return -EACCES;
	listener->bytes += action == SPDK_MEM_MAP_NOTIFY_REGISTER ? bytes : -bytes;
	return 0;
}

static int follows(uint64_t first, uint64_t second)
{
	return first == second;
}

static const struct spdk_mem_map_ops listening = { .notify_cb = listen };
static const struct spdk_mem_map_ops contiguous = { .are_contiguous = follows };

static void told_of_what_is_there_and_what_comes(void **state)
{
	struct listener listener = { 0 };
	struct spdk_mem_map *map;
	char *before = spdk_zmalloc(MIB(16), 0, NULL, -1, 0), *after;
	size_t at_first;

	map = spdk_mem_map_alloc(NONE, &listening, &listener);
	assert_non_null(map);
	assert_true(listener.bytes >= MIB(16));
	at_first = listener.bytes;
	after = spdk_zmalloc(MIB(32), 0, NULL, -1, 0);
	assert_int_equal(listener.bytes, at_first + MIB(32));
	spdk_free(before);
	spdk_free(after);
	assert_int_equal(listener.bytes, at_first - MIB(16));
	spdk_mem_map_free(&map);
	assert_null(map);
	assert_int_equal(listener.bytes, 0);
}

/* Nothing half done: neither in the map that refuses nor in the others, nor for devices. */
static void who_refuses_undoes(void **state)
{
	struct listener first = { 0 }, second = { 0 };
	struct spdk_mem_map *one = spdk_mem_map_alloc(NONE, &listening, &first);
	struct spdk_mem_map *two = spdk_mem_map_alloc(NONE, &listening, &second);
	char *va = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const size_t at_first = first.bytes;

	first.refuse_at = first.calls + 1;
	assert_int_equal(spdk_mem_register(va, PAGE), -EACCES);
	assert_int_equal(first.bytes, at_first);
	assert_int_equal(second.bytes, at_first);
	assert_int_equal(spdk_vtophys(va, NULL), SPDK_VTOPHYS_ERROR);
	first.refuse_at = 0;
	assert_int_equal(spdk_mem_register(va, PAGE), 0);
	assert_int_equal(spdk_mem_unregister(va, PAGE), 0);
	munmap(va, PAGE);
	spdk_mem_map_free(&one);
	spdk_mem_map_free(&two);
}

/* Against an array, over random ranges. */
static void translations_are_those_set(void **state)
{
	enum { PAGES = 3 * 512 };
	struct spdk_mem_map *map = spdk_mem_map_alloc(NONE, NULL, NULL);
	static uint64_t expected[PAGES];
	unsigned int seed = 1;

	for (int i = 0; i < PAGES; i++)
		expected[i] = NONE;
	for (int step = 0; step < 2000; step++) {
		unsigned int start = rand_r(&seed) % PAGES;
		unsigned int count = 1 + rand_r(&seed) % (step % 2 ? 8 : 400);
		const bool set = rand_r(&seed) % 4;

		if (count > PAGES - start)
			count = PAGES - start;
		assert_int_equal(set ? spdk_mem_map_set_translation(map, MIB(1024) + start * PAGE,
								    count * PAGE, step)
				     : spdk_mem_map_clear_translation(map, MIB(1024) + start * PAGE,
								      count * PAGE),
				 0);
		for (unsigned int i = start; i < start + count; i++)
			expected[i] = set ? (uint64_t)step : NONE;
		for (unsigned int i = step % 7; i < PAGES; i += 7)
			assert_int_equal(
				spdk_mem_map_translate(map, MIB(1024) + i * PAGE + 5, NULL),
				expected[i]);
	}
	assert_int_equal(spdk_mem_map_set_translation(map, 17, PAGE, 1), -EINVAL);
	assert_int_equal(spdk_mem_map_set_translation(map, 0, 0, 1), -EINVAL);
	spdk_mem_map_free(&map);
}

static uint64_t run_of(struct spdk_mem_map *map, uint64_t va, uint64_t size)
{
	spdk_mem_map_translate(map, va, &size);
	return size;
}

static void runs_end_where_they_end(void **state)
{
	struct spdk_mem_map *single = spdk_mem_map_alloc(NONE, NULL, NULL);
	struct spdk_mem_map *joined = spdk_mem_map_alloc(NONE, &contiguous, NULL);

	spdk_mem_map_set_translation(single, MIB(2), MIB(4), 7);
	spdk_mem_map_set_translation(joined, MIB(2), MIB(4), 7);
	spdk_mem_map_set_translation(joined, MIB(6), MIB(2), 7);
	spdk_mem_map_set_translation(joined, MIB(8), MIB(2), 8);
	assert_int_equal(run_of(single, MIB(3), MIB(2)), MIB(1));
	assert_int_equal(run_of(joined, MIB(3), MIB(2)), MIB(2));
	assert_int_equal(run_of(joined, MIB(3), MIB(16)), MIB(5));
	assert_int_equal(run_of(joined, MIB(8), MIB(16)), MIB(2));
	spdk_mem_map_free(&single);
	spdk_mem_map_free(&joined);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_of_what_is_there_and_what_comes),
		cmocka_unit_test(who_refuses_undoes),
		cmocka_unit_test(translations_are_those_set),
		cmocka_unit_test(runs_end_where_they_end),
	};

	return cmocka_run_group_tests_name("env_mem_map", tests, rig_open, rig_close);
}
