// SPDX-License-Identifier: BSD-3-Clause
/*
 * Tables of every granule that the IOMMU has: all of a page is reached and nothing beside it, an
 * unmap holds for the whole page, and what is mapped in its place is what the device then finds.
 */
#include "user_lab.h"

#include <stdio.h>

/*
 * Its entries lie in the first 4 KiB of each table. QEMU takes the address of a table through stage
 * 2 once, and finds the table's entries from there on as if it were contiguous behind stage 2, too
 * (smmu_ptw_64_s1(), translate_table_addr_ipa()), which a table of 16 or 64 KiB need not be.
 */
#define IOVA UINT64_C(0x20000000)

static void map_at(struct user_space *space, struct user_lab *lab, int page, uint64_t bytes)
{
	ioas_iova_t iova = IOVA;

	if (ioas_map(space->queue, user_page(lab, page), bytes, IOAS_RW | IOAS_MAP_FIXED, &iova))
		FAIL("map: %s", ioas_queue_error(space->queue));
}

static void unmap_at(struct user_space *space, uint64_t bytes)
{
	if (ioas_unmap(space->queue, IOVA, bytes))
		FAIL("unmap: %s", ioas_queue_error(space->queue));
}

static void check(struct user_lab *lab, struct user_space *space)
{
	const uint64_t granule = ioas_get_page_bytes(space->as);
	const int each = granule / PAGE; /* pages of 4 KiB */

	map_at(space, lab, 4 * each, 2 * granule);
	CHECK(user_reaches(lab, IOVA, 4 * each));
	CHECK(user_reaches(lab, IOVA + granule - PAGE, 5 * each - 1));
	CHECK(user_reaches(lab, IOVA + granule, 5 * each));
	CHECK(user_reaches(lab, IOVA + 2 * granule - PAGE, 6 * each - 1));
	user_check_no_fault(lab);
	CHECK(!user_reaches(lab, IOVA + 2 * granule, 6 * each));
	user_check_fault(lab, IOVA + 2 * granule, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);

	unmap_at(space, 2 * granule);
	CHECK(!user_reaches(lab, IOVA + 2 * granule - PAGE, 6 * each - 1));
	CHECK(!user_reaches(lab, IOVA, 4 * each));
	user_drop_faults(lab);

	/* Both pages are in the TLB from before; the other memory is found. */
	map_at(space, lab, 8 * each, 2 * granule);
	CHECK(user_reaches(lab, IOVA, 8 * each));
	CHECK(user_reaches(lab, IOVA + 2 * granule - PAGE, 10 * each - 1));
	unmap_at(space, 2 * granule);
}

int main(void)
{
	struct ioas_caps caps = { .size = sizeof(caps) };
	static struct user_lab lab;

	user_lab_open(&lab, 0, NULL);
	CHECK(ioas_ctx_caps(lab.ctx, &caps) == 0);
	for (int format = 1; format < IOAS_FORMAT_COUNT; format++) {
		const struct ioas_opts opts = { .size = sizeof(opts),
						.kind = IOAS_KIND_USER,
						.format = format };
		struct user_space space;

		if (!(caps.user_formats & 1U << format))
			continue;
		lab_step(ioas_format_name(format));
		CHECK(ioas_create(lab.ctx, &opts, &space.as) == 0);
		CHECK(ioas_queue_create(space.as, &space.queue) == 0);
		CHECK(ioas_attach(space.as, lab.dev) == 0);
		user_lab_registers_open(&lab);
		check(&lab, &space);
		user_lab_registers_close(&lab);
		CHECK(ioas_detach(lab.dev) == 0);
		user_space_close(&space);
	}
	user_lab_close(&lab);
	return 0;
}
