// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a USER space takes of the kernel is made again and again while the kernel's first, second,
 * third... allocation in it fails, until it gets through: what failed leaves nothing behind (the
 * parent's objects could not be destroyed else), and the same works afterwards. Then invalidations,
 * which must be carried out although the kernel is short of memory, or fail.
 *
 * The attachment itself is left out: see be_failnth.
 */
#include "../../../engine/backend/iommufd.h"
#include "../../../engine/objects.h"
#include "../prog/fail_nth.h"
#include "user_lab.h"

#include <stdio.h>

/* With a parent of its own, so that everything has to be made. */
static unsigned int check_prepare(struct user_lab *lab)
{
	const struct ioas_opts opts = {
		.size = sizeof(opts),
		.kind = IOAS_KIND_KERNEL,
		.aperture = { 0x100000, 0xffffffffff },
	};
	unsigned int failures = 0;
	bool failed = true;

	lab_step("what an attachment takes, with allocations that fail");
	for (unsigned int nth = 1; failed; nth++) {
		struct user_space space;
		struct iommufd_space *be_space;
		struct ioas *parent;
		int ret;

		CHECK(ioas_create(lab->ctx, &opts, &parent) == 0);
		user_space_open(lab, &space, IOAS_STRICT, parent);
		be_space = (struct iommufd_space *)space.as->be_space;
		fail_nth_begin(nth);
		ret = iommufd_user_prepare(be_space, (struct iommufd_dev *)lab->dev->be_dev);
		failed = fail_nth_end();
		if (ret) {
			CHECK(failed);
			failures++;
			CHECK(iommufd_user_prepare(be_space,
						   (struct iommufd_dev *)lab->dev->be_dev) == 0);
		}
		CHECK(be_space->pt_id);
		user_space_close(&space);
		CHECK(ioas_destroy(parent) == 0);
		/* Errors in the log: what could not be destroyed. */
		CHECK(user_lab_destroy_errors() == 0);
	}
	printf("    failed %u times\n", failures);
	return failures;
}

static void check_invalidate(struct user_lab *lab)
{
	struct user_space space;
	bool failed = true;

	lab_step("invalidations, with allocations that fail");
	user_space_open(lab, &space, IOAS_STRICT, NULL);
	CHECK(ioas_attach(space.as, lab->dev) == 0);
	user_lab_registers_open(lab);
	for (unsigned int nth = 1; failed; nth++) {
		ioas_iova_t iova = user_map(&space, user_page(lab, nth), IOAS_RW);
		struct ioas_stats before, after;

		CHECK(user_reaches(lab, iova, nth));
		user_lab_stats(lab, &before);
		fail_nth_begin(nth);
		user_unmap(&space, iova);
		failed = fail_nth_end();
		user_lab_stats(lab, &after);
		printf("    %s: %llu system calls\n", failed ? "one that fails" : "none",
		       (unsigned long long)(after.inval_crossings - before.inval_crossings));
		CHECK(!user_reaches(lab, iova, nth));
	}
	user_drop_faults(lab);
	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
}

int main(void)
{
	static struct user_lab lab;

	user_lab_open(&lab, 0, NULL);
	fail_nth_open();
	CHECK(check_prepare(&lab) > 0);
	check_invalidate(&lab);
	user_lab_close(&lab);
	CHECK(user_lab_destroy_errors() == 0);
	return 0;
}
