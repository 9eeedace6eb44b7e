/* SPDX-License-Identifier: BSD-3-Clause */
/* Zero copy from memory that nobody has registered: controllers reach it while it is held. */
#include "env_rig.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioas_spdk_env.h"

static char *anywhere(size_t bytes)
{
	void *va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(va, MAP_FAILED);
	memset(va, 0x5a, bytes);
	return va;
}

/* The cache learns of it at once, and may need a moment to forget. */
static void check_forgotten(const void *va)
{
	for (unsigned int ms = 0; ms < 2000 && spdk_vtophys(va, NULL) != SPDK_VTOPHYS_ERROR; ms++)
		usleep(1000);
	assert_int_equal(spdk_vtophys(va, NULL), SPDK_VTOPHYS_ERROR);
}

static void held_memory_is_translated(void **state)
{
	struct ioas_spdk_hold hold;
	char *va = anywhere(MIB(1));
	uint64_t run = MIB(1);

	assert_int_equal(spdk_vtophys(va + 100, NULL), SPDK_VTOPHYS_ERROR);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(ioas_spdk_hold(va + 100, 3 * PAGE, &hold), 0);
		assert_int_equal(spdk_vtophys(va + 100, NULL), hold.reg.iova);
		assert_int_equal(spdk_vtophys(va + 100 + PAGE, NULL), hold.reg.iova + PAGE);
		rig_check_reach(va + 100, 3 * PAGE);
		ioas_spdk_release(&hold);
	}
	/* All that is known from there on is one run. */
	assert_int_equal(ioas_spdk_hold(va, MIB(1), &hold), 0);
	assert_int_equal(spdk_vtophys(va + PAGE, &run), hold.reg.iova + PAGE);
	assert_int_equal(run, MIB(1) - PAGE);
	rig_check_reach(va, MIB(1));
	ioas_spdk_release(&hold);
	munmap(va, MIB(1));
	check_forgotten(va);
}

/* Memory that came at the same place is other memory. */
static void replaced_memory_is_other_memory(void **state)
{
	struct ioas_spdk_hold hold;
	char *va = anywhere(MIB(1));

	assert_int_equal(ioas_spdk_hold(va, PAGE, &hold), 0);
	ioas_spdk_release(&hold);
	assert_ptr_equal(mmap(va, MIB(1), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 va);
	memset(va, 0x33, MIB(1));
	assert_int_equal(ioas_spdk_hold(va, PAGE, &hold), 0);
	rig_check_reach(va, PAGE);
	ioas_spdk_release(&hold);
	munmap(va, MIB(1));
}

static void what_cannot_be_held(void **state)
{
	struct ioas_spdk_hold hold;
	char *va = anywhere(2 * PAGE),
	     *own = spdk_zmalloc(PAGE, PAGE, NULL, SPDK_ENV_NUMA_ID_ANY, 1);

	munmap(va, 2 * PAGE);
	rig_forget();
	assert_int_equal(ioas_spdk_hold(va, PAGE, &hold), -EFAULT);
	assert_non_null(strstr(rig_error(), "hold"));
	assert_int_equal(ioas_spdk_hold(own, 0, &hold), -EINVAL);
	spdk_free(own);
}

static void *release(void *arg)
{
	ioas_spdk_release(arg);
	return NULL;
}

static void released_by_another_thread(void **state)
{
	struct ioas_spdk_hold hold;
	char *va = anywhere(MIB(1));
	pthread_t thread;

	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(ioas_spdk_hold(va + i * PAGE, PAGE, &hold), 0);
		assert_int_equal(pthread_create(&thread, NULL, release, &hold), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	munmap(va, MIB(1));
}

/* The rig's end wants all of it released. */
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_memory_is_translated),
		cmocka_unit_test(replaced_memory_is_other_memory),
		cmocka_unit_test(what_cannot_be_held),
		cmocka_unit_test(released_by_another_thread),
	};

	return cmocka_run_group_tests(tests, rig_open, rig_close);
}
