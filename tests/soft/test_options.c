/* SPDX-License-Identifier: BSD-3-Clause */
/* Options: defaults as in ioas/soft.h, and an error names its key. */
#include "machine.h"

static void defaults(void **state)
{
	struct soft_options o;
	struct diag diag;

	(void)state;
	diag_init(&diag, NULL, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(soft_options_parse(&diag, i ? "" : NULL, &o), 0);
		assert_int_equal(o.iotlb_sets, 64);
		assert_int_equal(o.iotlb_ways, 8);
		assert_int_equal(o.psc_entries, 64);
		assert_int_equal(o.units, 1);
		assert_int_equal(o.faults, 1024);
		assert_int_equal(o.inval_ns, 0);
		assert_int_equal(o.call_ns, 0);
		assert_int_equal(o.aperture_bits, 48);
		assert_int_equal(o.max_maps, 0);
		assert_int_equal(o.pin, 1);
		assert_int_equal(o.broken, SOFT_BREAK_NONE);
	}
}

static void all_of_them(void **state)
{
	struct soft_options o;
	struct diag diag;

	(void)state;
	diag_init(&diag, NULL, NULL);
	assert_int_equal(soft_options_parse(&diag,
					    "iotlb_sets=1,iotlb_ways=32,psc_entries=2,units=16,"
					    "faults=7,inval_ns=2000,call_ns=300,aperture_bits=39,"
					    "max_maps=65535,pin=0,break=drop-flush",
					    &o),
			 0);
	assert_int_equal(o.iotlb_sets, 1);
	assert_int_equal(o.iotlb_ways, 32);
	assert_int_equal(o.psc_entries, 2);
	assert_int_equal(o.units, 16);
	assert_int_equal(o.faults, 7);
	assert_int_equal(o.inval_ns, 2000);
	assert_int_equal(o.call_ns, 300);
	assert_int_equal(o.aperture_bits, 39);
	assert_int_equal(o.max_maps, 65535);
	assert_int_equal(o.pin, 0);
	assert_int_equal(o.broken, SOFT_BREAK_DROP_FLUSH);
}

static void errors_name_the_key(void **state)
{
	static const char *const cases[][2] = {
		{ "iotlb_sets=3", "iotlb_sets" },
		{ "iotlb_sets=0", "iotlb_sets" },
		{ "iotlb_sets=131072", "iotlb_sets" },
		{ "iotlb_ways=64", "iotlb_ways" },
		{ "psc_entries=6", "psc_entries" },
		{ "units=0", "units" },
		{ "units=17", "units" },
		{ "units=1x", "units" },
		{ "units= 1", "units" },
		{ "units=-1", "units" },
		{ "units=+1", "units" },
		{ "units=", "units" },
		{ "units", "units" },
		{ "faults=99999999999999999999", "faults" },
		{ "aperture_bits=31", "aperture_bits" },
		{ "aperture_bits=49", "aperture_bits" },
		{ "inval_ns=1000000001", "inval_ns" },
		{ "max_maps=4294967296", "max_maps" },
		{ "pin=2", "pin" },
		{ "break=drop", "break" },
		{ "break", "break" },
		{ "Units=1", "Units" },
		{ "unit=1", "unit" },
		{ "units=1,nonsense=1", "nonsense" },
		{ ",units=1", "\"\"" },
		{ "units=1,,faults=1", "\"\"" },
		{ "units=1,", "comma" },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct soft_options o;
		struct diag diag;

		diag_init(&diag, NULL, NULL);
		assert_int_equal(soft_options_parse(&diag, cases[i][0], &o), -EINVAL);
		if (!strstr(diag.text, cases[i][1]))
			fail_msg("\"%s\": \"%s\" does not name %s", cases[i][0], diag.text,
				 cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(all_of_them),
		cmocka_unit_test(errors_name_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
