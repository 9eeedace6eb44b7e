/* SPDX-License-Identifier: BSD-3-Clause */
/* Options that cannot be: the log names the field, and nothing stays open. */
#include "env_rig.h"

#include <errno.h>

#include "ioas_env.h"

static void check(const struct spdk_env_opts *opts, int code, const char *text)
{
	rig_forget();
	assert_int_equal(spdk_env_init(opts), code);
	assert_non_null(strstr(rig_error(), text));
	assert_false(ioas_env.is_open);
	assert_null(ioas_env.ctx);
	assert_null(spdk_malloc(64, 0, NULL, -1, 0));
	assert_int_equal(spdk_vtophys(&code, NULL), SPDK_VTOPHYS_ERROR);
	assert_int_equal(spdk_mem_register(&code, 4096), -EINVAL);
}

#define CHECK_FIELD(field, value, code, text)           \
	do {                                            \
		struct spdk_env_opts o = rig_options(); \
		o.field = (value);                      \
		check(&o, code, text);                  \
	} while (0)

static void fields_out_of_range(void **state)
{
	check(NULL, -EINVAL, "no options");
	CHECK_FIELD(opts_size, 8, -EINVAL, "opts_size");
	CHECK_FIELD(iova_mode, "pa", -EINVAL, "iova_mode");
	CHECK_FIELD(core_mask, "0x0", -EINVAL, "core_mask");
	CHECK_FIELD(core_mask, "[1", -EINVAL, "core_mask");
	CHECK_FIELD(core_mask, "[3-1]", -EINVAL, "core_mask");
	CHECK_FIELD(core_mask, "zwei", -EINVAL, "core_mask");
	CHECK_FIELD(core_mask, NULL, -EINVAL, "core_mask");
	CHECK_FIELD(core_mask, "[0,1023]", -EINVAL, "may not run on core 1023");
	CHECK_FIELD(lcore_map, "0@0", -EINVAL, "lcore_map");
	CHECK_FIELD(main_core, 7, -EINVAL, "main_core");
	CHECK_FIELD(env_context, (void *)"backend=none", -ENODEV, "no context");
	CHECK_FIELD(env_context, (void *)"fast=yes", -EINVAL, "fast=yes");
	CHECK_FIELD(env_context, (void *)"backend=a-name-that-is-too-long", -EINVAL, "backend");
	CHECK_FIELD(env_context, (void *)"backend=soft,options=what=1", -EINVAL, "no context");
}

static void both_lists_of_devices(void **state)
{
	struct spdk_env_opts opts = rig_options();
	struct spdk_pci_addr addr = { 0 };

	opts.num_pci_addr = 1;
	opts.pci_allowed = &addr;
	opts.pci_blocked = &addr;
	check(&opts, -EINVAL, "pci_blocked");
}

static void opened_twice(void **state)
{
	const struct spdk_env_opts opts = rig_options();

	assert_int_equal(spdk_env_init(&opts), 0);
	rig_forget();
	assert_int_equal(spdk_env_init(&opts), -EALREADY);
	assert_non_null(strstr(rig_error(), "called twice"));
	spdk_env_fini();
	spdk_env_fini();
}

/* Each environment is a new one, also for a thread that translated in the last. */
static void opened_again(void **state)
{
	const struct spdk_env_opts opts = rig_options();

	for (int i = 0; i < 3; i++) {
		void *va;

		assert_int_equal(spdk_env_init(&opts), 0);
		va = spdk_malloc(64, 0, NULL, -1, 0);
		assert_non_null(va);
		assert_int_not_equal(spdk_vtophys(va, NULL), SPDK_VTOPHYS_ERROR);
		rig_forget();
		spdk_env_fini();
		assert_string_equal(rig_error(), "");
		assert_int_equal(spdk_vtophys(va, NULL), SPDK_VTOPHYS_ERROR);
	}
}

static void settings_from_the_environment(void **state)
{
	struct spdk_env_opts opts = rig_options();

	opts.env_context = NULL;
	setenv("IOAS_SPDK", "backend=soft,options=units=2;faults=64", 1);
	rig_forget();
	if (spdk_env_init(&opts))
		fail_msg("%s", rig_error());
	assert_string_equal(ioas_ctx_backend(ioas_env.ctx), "soft");
	spdk_env_fini();
	unsetenv("IOAS_SPDK");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_out_of_range),
		cmocka_unit_test(both_lists_of_devices),
		cmocka_unit_test(opened_twice),
		cmocka_unit_test(opened_again),
		cmocka_unit_test(settings_from_the_environment),
	};

	return cmocka_run_group_tests_name("env_errors", tests, NULL, NULL);
}
