/* SPDX-License-Identifier: BSD-3-Clause */
/* Cores, threads on them, and time. */
#include "env_rig.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

static void the_thread_that_began_is_on_the_main_core(void **state)
{
	assert_int_equal(spdk_env_get_core_count(), 1);
	assert_int_equal(spdk_env_get_first_core(), 0);
	assert_int_equal(spdk_env_get_last_core(), 0);
	assert_int_equal(spdk_env_get_next_core(0), UINT32_MAX);
	assert_int_equal(spdk_env_get_main_core(), 0);
	assert_int_equal(spdk_env_get_current_core(), 0);
	assert_int_equal(sched_getcpu(), 0);
	assert_true(spdk_process_is_primary());
	assert_int_equal(spdk_env_thread_launch_pinned(0, NULL, NULL), -EINVAL);
	assert_int_equal(spdk_env_thread_launch_pinned(5, NULL, NULL), -EINVAL);
}

static void *allowed(void *arg)
{
	sched_getaffinity(0, sizeof(cpu_set_t), arg);
	return arg;
}

static void a_call_without_a_core(void **state)
{
	cpu_set_t inside, after;

	assert_ptr_equal(spdk_call_unaffinitized(allowed, &inside), &inside);
	allowed(&after);
	assert_int_equal(CPU_COUNT(&after), 1);
	assert_true(CPU_COUNT(&inside) >= CPU_COUNT(&after));
}

static void nodes_are_counted(void **state)
{
	const int32_t first = spdk_env_get_first_numa_id();
	const int32_t last = spdk_env_get_last_numa_id();

	assert_in_range(first, 0, last);
	assert_int_equal(spdk_env_get_next_numa_id(last), INT32_MAX);
	assert_in_range(spdk_env_get_numa_id(0), first, last);
	assert_int_equal(spdk_env_get_numa_id(UINT32_MAX), SPDK_ENV_NUMA_ID_ANY);
}

static void ticks_are_time(void **state)
{
	const uint64_t start = spdk_get_ticks();

	spdk_delay_us(2000);
	assert_true(spdk_get_ticks() - start >= spdk_get_ticks_hz() / 500);
}

static int where(void *arg)
{
	*(uint32_t *)arg = spdk_env_get_current_core();
	return 0;
}

/* The last test: it opens an environment of its own. */
static void threads_of_other_cores(void **state)
{
	struct spdk_env_opts opts = rig_options();
	uint32_t core = UINT32_MAX;

	rig_close(state);
	opts.core_mask = "[0-1]";
	opts.main_core = 1;
	if (spdk_env_init(&opts)) {
		/* A machine of one processor says so. */
		assert_non_null(strstr(rig_error(), "may not run on core 1"));
	} else {
		assert_int_equal(spdk_env_get_core_count(), 2);
		assert_int_equal(spdk_env_get_main_core(), 1);
		assert_int_equal(spdk_env_thread_launch_pinned(0, where, &core), 0);
		spdk_env_thread_wait_all();
		assert_int_equal(core, 0);
		spdk_env_fini();
	}
	rig_open(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_thread_that_began_is_on_the_main_core),
		cmocka_unit_test(a_call_without_a_core),
		cmocka_unit_test(nodes_are_counted),
		cmocka_unit_test(ticks_are_time),
		cmocka_unit_test(threads_of_other_cores),
	};

	return cmocka_run_group_tests_name("env_cores", tests, rig_open, rig_close);
}
