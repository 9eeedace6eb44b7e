/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA that was stopped is reported: who, where, why; or counted as lost. Never silently. */
#include "rig.h"

static void reasons(void **state)
{
	const struct flavour *flavour = *state;
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, flavour, NULL);
	assert_int_equal(reason_of(&r, GIB(1), IOAS_READ), IOAS_FAULT_NOT_PRESENT);
	assert_int_equal(reason_of(&r, GIB(1) + 777, IOAS_WRITE), IOAS_FAULT_NOT_PRESENT);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_READ, &iova), 0);
	assert_int_equal(reason_of(&r, iova, IOAS_WRITE), IOAS_FAULT_PERMISSION);
	assert_true(reads(&r, iova, r.va));
	assert_int_equal(reason_of(&r, iova + 8, IOAS_WRITE), IOAS_FAULT_PERMISSION);
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	assert_int_equal(ioas_flush(r.q), 0);
	assert_int_equal(reason_of(&r, iova, IOAS_WRITE), IOAS_FAULT_NOT_PRESENT);
	assert_int_equal(reason_of(&r, UINT64_C(1) << 60, IOAS_READ), IOAS_FAULT_ADDRESS);
	assert_int_equal(reason_of(&r, UINT64_C(1) << 63, IOAS_WRITE), IOAS_FAULT_ADDRESS);
	assert_int_equal(ioas_detach(r.dev), 0);
	assert_int_equal(reason_of(&r, iova, IOAS_WRITE), IOAS_FAULT_BLOCKED);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	rig_stop(&r);
}

/* A transfer goes as far as it may: the page that stopped it is the one that is named. */
static void page_of_a_long_transfer(void **state)
{
	static uint8_t data[4 * PAGE];
	struct ioas_fault fault;
	ioas_iova_t iova = GIB(1);
	struct rig r;

	rig_start(&r, *state, NULL);
	memset(data, 0x77, sizeof(data));
	assert_int_equal(ioas_map(r.q, r.va, 2 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
	assert_int_equal(ioas_soft_dma_write(r.dev, iova + 100, data, sizeof(data)), -EFAULT);
	assert_int_equal(ioas_fault_poll(r.ctx, &fault, 1), 1);
	assert_int_equal(fault.iova, iova + 2 * PAGE);
	assert_int_equal(fault.prot, IOAS_WRITE);
	assert_memory_equal(r.va + 100, data, 2 * PAGE - 100);
	assert_int_equal(r.va[2 * PAGE], 0);
	assert_int_equal(ioas_fault_poll(r.ctx, &fault, 1), 0);
	assert_int_equal(ioas_unmap(r.q, iova, 2 * PAGE), 0);
	rig_stop(&r);
}

static void oldest_first(void **state)
{
	struct ioas_fault faults[40];
	struct ioas_dev *other;
	uint64_t word = 0;
	struct rig r;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_dev_bind(r.ctx, "other", &other), 0);
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 40), 0);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(
			ioas_soft_dma_read(i % 3 ? r.dev : other, GIB(1) + i * PAGE, &word, 8),
			-EFAULT);
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 0), 0);
	for (unsigned int at = 0; at < 100;) {
		unsigned int max = at % 40 + 1;
		int got = ioas_fault_poll(r.ctx, faults, max);

		assert_true(got > 0 && (unsigned int)got <= max);
		for (int i = 0; i < got; i++, at++) {
			assert_int_equal(faults[i].iova, GIB(1) + at * PAGE);
			assert_ptr_equal(faults[i].dev, at % 3 ? r.dev : other);
			assert_int_equal(faults[i].prot, IOAS_READ);
			assert_int_equal(faults[i].reason,
					 at % 3 ? IOAS_FAULT_NOT_PRESENT : IOAS_FAULT_BLOCKED);
		}
	}
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 40), 0);
	assert_int_equal(stats_of(r.ctx).faults, 100);
	assert_int_equal(stats_of(r.ctx).faults_lost, 0);
	assert_int_equal(ioas_dev_unbind(other), 0);
	rig_stop(&r);
}

/* More than anybody keeps: every one of them is reported or counted as lost. */
static void floods_are_counted(void **state)
{
	static const char *const options[] = { "faults=16", "faults=1", NULL };
	struct ioas_fault faults[100];
	uint64_t word = 0;
	struct rig r;

	for (unsigned int i = 0; i < 3; i++) {
		uint64_t reported = 0, stopped = 0;
		int got;

		rig_start(&r, *state, options[i]);
		for (unsigned int round = 0; round < 3; round++) {
			for (unsigned int j = 0; j < 7000; j++, stopped++)
				assert_int_equal(
					ioas_soft_dma_write(r.dev, GIB(1) + j * PAGE, &word, 8),
					-EFAULT);
			do {
				got = ioas_fault_poll(r.ctx, faults, 100);
				assert_true(got >= 0);
				reported += got;
			} while (got);
		}
		printf("# %s: %lu of %lu reported\n", options[i] ? options[i] : "default", reported,
		       stopped);
		assert_true(reported > 0);
		assert_int_equal(stats_of(r.ctx).faults, stopped);
		assert_int_equal(stats_of(r.ctx).faults_lost, stopped - reported);
		/* It works on after a flood. */
		assert_int_equal(reason_of(&r, GIB(7), IOAS_READ), IOAS_FAULT_NOT_PRESENT);
		rig_stop(&r);
	}
}

/* A device that goes leaves no report that names it. */
static void unbound_devices(void **state)
{
	struct ioas_fault faults[100];
	struct ioas_dev *other;
	uint64_t word = 0;
	int got;
	struct rig r;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_dev_bind(r.ctx, "other", &other), 0);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(
			ioas_soft_dma_write(i & 1 ? r.dev : other, GIB(1) + i * PAGE, &word, 8),
			-EFAULT);
	/* Some may have been fetched into the library by now. */
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 2), 2);
	assert_int_equal(ioas_dev_unbind(other), 0);
	got = ioas_fault_poll(r.ctx, faults, 100);
	assert_int_equal(got, 19);
	for (int i = 0; i < got; i++)
		assert_ptr_equal(faults[i].dev, r.dev);
	assert_int_equal(stats_of(r.ctx).faults, 40);
	assert_int_equal(stats_of(r.ctx).faults_lost, 19);
	rig_stop(&r);
}

struct collected {
	pthread_mutex_t lock;
	struct ioas_fault last;
	_Atomic uint64_t count;
};

static void collect(void *arg, const struct ioas_fault *fault)
{
	struct collected *collected = arg;

	pthread_mutex_lock(&collected->lock);
	collected->last = *fault;
	pthread_mutex_unlock(&collected->lock);
	atomic_fetch_add(&collected->count, 1);
}

/* Wait until all that was stopped has been reported or lost; not for ever. */
static bool all_accounted(struct rig *r, struct collected *collected, uint64_t stopped)
{
	uint64_t end = now_ns() + UINT64_C(5000000000);
	struct timespec pause = { 0, 1000000 };

	do {
		struct ioas_stats stats = stats_of(r->ctx);

		if (stats.faults == stopped &&
		    atomic_load(&collected->count) + stats.faults_lost == stopped)
			return true;
		nanosleep(&pause, NULL);
	} while (now_ns() < end);
	return false;
}

static void callback(void **state)
{
	struct ioas_opts space = opts_of(*state);
	struct ioas_ctx_opts opts = { .size = sizeof(opts),
				      .backend = "soft",
				      .backend_options = "faults=64",
				      .fault = collect };
	struct collected collected = { .lock = PTHREAD_MUTEX_INITIALIZER };
	uint64_t word = 0, stopped = 0, alone;
	struct rig r;

	memset(&r, 0, sizeof(r));
	opts.fault_arg = &collected;
	assert_int_equal(ioas_ctx_open(&opts, &r.ctx), 0);
	assert_int_equal(ioas_dev_bind(r.ctx, "nic", &r.dev), 0);
	assert_int_equal(ioas_create(r.ctx, &space, &r.as), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(ioas_soft_dma_write(r.dev, GIB(1) + i * PAGE + 9, &word, 8),
				 -EFAULT);
		assert_true(all_accounted(&r, &collected, ++stopped));
		assert_int_equal(stats_of(r.ctx).faults_lost, 0);
		pthread_mutex_lock(&collected.lock);
		assert_ptr_equal(collected.last.dev, r.dev);
		assert_int_equal(collected.last.iova, GIB(1) + i * PAGE);
		assert_int_equal(collected.last.reason, IOAS_FAULT_NOT_PRESENT);
		assert_int_equal(collected.last.prot, IOAS_WRITE);
		pthread_mutex_unlock(&collected.lock);
	}
	alone = atomic_load(&collected.count);
	assert_int_equal(alone, 10);
	for (unsigned int i = 0; i < 50000; i++, stopped++)
		assert_int_equal(ioas_soft_dma_read(r.dev, GIB(1) + i * PAGE, &word, 8), -EFAULT);
	assert_true(all_accounted(&r, &collected, stopped));
	printf("# flood: %lu of 50000 by callback\n", atomic_load(&collected.count) - alone);
	assert_true(atomic_load(&collected.count) > alone);
	assert_int_equal(ioas_detach(r.dev), 0);
	assert_int_equal(ioas_dev_unbind(r.dev), 0);
	assert_int_equal(ioas_destroy(r.as), 0);
	assert_int_equal(ioas_ctx_close(r.ctx), 0);
	pthread_mutex_destroy(&collected.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_FLAVOURS(reasons),
		ALL_FLAVOURS(page_of_a_long_transfer),
		TEST_OF(oldest_first, user),
		TEST_OF(oldest_first, kernel),
		TEST_OF(floods_are_counted, user),
		TEST_OF(unbound_devices, user),
		TEST_OF(callback, user),
		TEST_OF(callback, kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
