/* SPDX-License-Identifier: BSD-3-Clause */
/* The fault queue: bounded, in order, and what does not fit is counted. */
#include "machine.h"

static void overflow_is_counted(void **state)
{
	struct soft_fault faults[8];
	struct soft_counters c;
	struct machine m;
	uint64_t lost = 0;

	(void)state;
	machine_start(&m, "faults=5");
	for (unsigned int round = 0; round < 3; round++) {
		lost = 0;
		for (unsigned int i = 0; i < 12; i++)
			assert_null(dma_read(&m, GIB(3) + i * PAGE + 77));
		assert_int_equal(soft_faults_read(&m.unit->faults, faults, 2, &lost), 2);
		assert_int_equal(lost, 7);
		assert_int_equal(faults[0].iova, GIB(3));
		assert_int_equal(faults[1].iova, GIB(3) + PAGE);
		assert_int_equal(faults[1].reason, IOAS_FAULT_NOT_PRESENT);
		assert_int_equal(faults[1].prot, IOAS_READ);
		/* Room again. */
		assert_null(dma_write(&m, GIB(9)));
		assert_int_equal(soft_faults_read(&m.unit->faults, faults, 8, &lost), 4);
		assert_int_equal(lost, 7);
		assert_int_equal(faults[0].iova, GIB(3) + 2 * PAGE);
		assert_int_equal(faults[3].iova, GIB(9));
		assert_int_equal(faults[3].prot, IOAS_WRITE);
		assert_int_equal(soft_faults_read(&m.unit->faults, faults, 8, &lost), 0);
		assert_int_equal(lost, 7);
	}
	soft_unit_read_counters(m.unit, &c);
	assert_int_equal(c.faults, 3 * 13);
	machine_stop(&m);
}

static void faults_of_a_device_that_leaves_are_lost(void **state)
{
	struct soft_endpoint other;
	struct soft_fault faults[8];
	struct machine m;
	uint64_t lost = 0;
	size_t one = 1;
	int cookie;

	(void)state;
	machine_start(&m, NULL);
	soft_endpoint_init(&other, m.unit, &cookie);
	for (unsigned int i = 0; i < 3; i++) {
		assert_null(dma_read(&m, GIB(3) + i * PAGE));
		soft_unit_begin(m.unit);
		assert_null(soft_translate(&other, GIB(3), &one, IOAS_READ));
		soft_unit_end(m.unit);
	}
	soft_faults_forget(&m.unit->faults, &cookie);
	assert_int_equal(soft_faults_read(&m.unit->faults, faults, 8, &lost), 3);
	assert_int_equal(lost, 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_ptr_equal(faults[i].source, &m);
		assert_int_equal(faults[i].iova, GIB(3) + i * PAGE);
	}
	machine_stop(&m);
}

/* Reading faults must not need the unit: a service thread does it while bursts are open. */
static void readable_inside_a_burst(void **state)
{
	struct soft_fault fault;
	struct machine m;
	uint64_t lost = 0;
	size_t one = 1;

	(void)state;
	machine_start(&m, NULL);
	soft_unit_begin(m.unit);
	assert_null(soft_translate(&m.device, GIB(3), &one, IOAS_READ));
	assert_int_equal(soft_faults_read(&m.unit->faults, &fault, 1, &lost), 1);
	soft_unit_end(m.unit);
	machine_stop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overflow_is_counted),
		cmocka_unit_test(faults_of_a_device_that_leaves_are_lost),
		cmocka_unit_test(readable_inside_a_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
