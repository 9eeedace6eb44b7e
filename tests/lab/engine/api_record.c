// SPDX-License-Identifier: BSD-3-Clause
/*
 * Dirty pages on the machine's own IOMMU: either they are recorded, judged by the
 * edu device's DMA, or that is refused with a text that names the device, and DMA goes on as before.
 * The mock IOMMU has more of it: record/.
 */
#include "api_lab.h"

#include <errno.h>
#include <ioas/dirty.h>

#define PAGES 64

struct world {
	struct api_lab lab;
	ioas_iova_t iova; /* of all the memory */
};

static bool reaches(struct world *world, unsigned int page)
{
	return api_lab_reaches(&world->lab, world->iova + page * PAGE, page);
}

static uint64_t read_bits(struct world *world)
{
	uint64_t bits = 0;
	const struct ioas_dirty range = { .size = sizeof(range),
					  .iova = world->iova,
					  .bytes = PAGES * PAGE,
					  .page_bytes = PAGE,
					  .bitmap = &bits };

	CHECK(ioas_dirty_read(world->lab.as, &range) == 0);
	return bits;
}

static void check_dirty(struct world *world)
{
	int ret = ioas_dirty_start(world->lab.as);

	lab_step("dirty pages");
	if (ret == 0) {
		CHECK(read_bits(world) == 0);
		CHECK(reaches(world, 5));
		CHECK(reaches(world, 33));
		CHECK(read_bits(world) == (UINT64_C(1) << 5 | UINT64_C(1) << 33));
		CHECK(read_bits(world) == 0);
		CHECK(ioas_dirty_stop(world->lab.as) == 0);
	} else {
		CHECK(ret == -EOPNOTSUPP);
		api_lab_check_text(&world->lab, "dirty");
	}
	CHECK(reaches(world, 7));
}

int main(int argc, char **argv)
{
	static struct world world;

	if (argc != 2)
		FAIL("usage: %s type1|iommufd", argv[0]);
	api_lab_context(&world.lab, argv[1]);
	api_lab_set_up(&world.lab, PAGES * PAGE, PAGE);
	CHECK(ioas_map(world.lab.queue, ioas_mem_va(world.lab.mem), PAGES * PAGE, IOAS_RW,
		       &world.iova) == 0);
	CHECK(reaches(&world, 0));
	check_dirty(&world);
	CHECK(ioas_unmap(world.lab.queue, world.iova, PAGES * PAGE) == 0);
	api_lab_tear_down(&world.lab);
	return 0;
}
