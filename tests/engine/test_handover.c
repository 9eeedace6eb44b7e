/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handing over, as far as the software IOMMU goes, which lives in the process and cannot be handed
 * over: clear refusals. tests/lab/engine/api_handover.c has the rest.
 */
#include "rig.h"

#include <fcntl.h>
#include <ioas/handover.h>

static void test_refused(void **state)
{
	int fds[8];
	struct rig r;

	rig_start(&r, &kernel_flavour, NULL);
	assert_int_equal(ioas_ctx_save(r.ctx, fds, 8), -EOPNOTSUPP);
	rig_stop(&r);
}

/* In the order in which they were made, as they come and go. */
static void test_objects(void **state)
{
	struct ioas_opts user = opts_of(&user_flavour);
	struct ioas *as, *child;
	struct ioas_dev *dev;
	struct rig r;

	rig_start(&r, &kernel_flavour, NULL);
	assert_int_equal(ioas_create(r.ctx, &user, &child), 0); /* its parent is the library's */
	as = space_new(r.ctx, &kernel_flavour);
	assert_int_equal(ioas_dev_bind(r.ctx, "disk", &dev), 0);
	assert_ptr_equal(ioas_ctx_dev(r.ctx, 0), r.dev);
	assert_ptr_equal(ioas_ctx_dev(r.ctx, 1), dev);
	assert_null(ioas_ctx_dev(r.ctx, 2));
	assert_ptr_equal(ioas_ctx_mem(r.ctx, 0), r.mem);
	assert_null(ioas_ctx_mem(r.ctx, 1));
	assert_ptr_equal(ioas_ctx_space(r.ctx, 0), r.as);
	assert_ptr_equal(ioas_ctx_space(r.ctx, 1), child);
	assert_ptr_equal(ioas_ctx_space(r.ctx, 2), as);
	assert_null(ioas_ctx_space(r.ctx, 3));
	assert_int_equal(ioas_destroy(child), 0);
	assert_ptr_equal(ioas_ctx_space(r.ctx, 1), as);
	assert_int_equal(ioas_dev_unbind(dev), 0);
	assert_null(ioas_ctx_dev(r.ctx, 1));
	assert_int_equal(ioas_destroy(as), 0);
	rig_stop(&r);
}

/* Whatever the files are, they do no harm. */
static void test_garbage(void **state)
{
	struct ioas_ctx_opts opts = { .size = sizeof(opts) };
	unsigned int seed = 5;
	struct ioas_ctx *ctx;
	int fds[3] = { -1, 0, 0 };

	assert_int_equal(ioas_ctx_restore(&opts, fds, 0, &ctx), -EINVAL);
	assert_int_equal(ioas_ctx_restore(&opts, fds, 1, &ctx), -EINVAL);
	fds[0] = memfd_create("garbage", MFD_CLOEXEC);
	assert_true(fds[0] >= 0);
	assert_int_equal(ioas_ctx_restore(&opts, fds, 3, &ctx), -EINVAL);
	for (unsigned int round = 0; round < 200; round++) {
		uint8_t bytes[600];

		for (unsigned int i = 0; i < sizeof(bytes); i++)
			bytes[i] = rand_r(&seed);
		memcpy(bytes, "ioaashv1", 8);
		assert_int_equal(pwrite(fds[0], bytes, sizeof(bytes), 0), sizeof(bytes));
		assert_int_equal(ioas_ctx_restore(&opts, fds, 3, &ctx), -EINVAL);
	}
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
