// SPDX-License-Identifier: BSD-3-Clause
/*
 * unmap takes exactly one mapping. The kernels' own calls take all mappings inside a range, so
 * what is refused here must have had no effect: every mapping is still reached.
 */
#include "be_lab.h"

#include <errno.h>
#include <string.h>

#define BASE 0x80000000UL

struct world {
	struct be_lab lab;
	struct be_space *space;
	uint8_t *memory;
};

/* A: pages 0-3, B: pages 4-7, a hole, C: page 9. */
static void check_all_reached(struct world *world)
{
	static const unsigned int mapped[] = { 0, 3, 4, 7, 9 };

	for (size_t i = 0; i < sizeof(mapped) / sizeof(mapped[0]); i++)
		if (!be_lab_reaches(&world->lab, BASE + mapped[i] * PAGE,
				    world->memory + mapped[i] * PAGE))
			FAIL("page %u is not mapped any more", mapped[i]);
	CHECK(!be_lab_reaches(&world->lab, BASE + 8 * PAGE, world->memory + 8 * PAGE));
}

static void refuse(struct world *world, const char *what, uint64_t first, uint64_t pages, int code,
		   const char *words)
{
	int ret = be_lab_unmap(world->space, BASE + first * PAGE, pages * PAGE);

	lab_step(what);
	if (ret != code)
		FAIL("%s: %d in place of %d", what, ret, code);
	be_lab_check_text(&world->lab, words);
}

int main(int argc, char **argv)
{
	struct world world;
	struct be_lab *lab = &world.lab;

	be_lab_init(lab, argc, argv);
	be_lab_open(lab);
	be_lab_bind(lab);
	world.space = be_lab_space(lab);
	CHECK(lab->ops->attach(world.space, lab->dev) == 0);
	be_lab_registers_open(lab);
	world.memory = lab_buffer(16 * PAGE, 0, 0);

	CHECK(be_lab_map(world.space, BASE, world.memory, 4 * PAGE, IOAS_RW) == 0);
	CHECK(be_lab_map(world.space, BASE + 4 * PAGE, world.memory + 4 * PAGE, 4 * PAGE,
			 IOAS_RW) == 0);
	CHECK(be_lab_map(world.space, BASE + 9 * PAGE, world.memory + 9 * PAGE, PAGE, IOAS_RW) ==
	      0);
	check_all_reached(&world);

	refuse(&world, "the beginning of a mapping", 0, 2, -EINVAL, "as a whole");
	refuse(&world, "its end", 2, 2, -EINVAL, "as a whole");
	refuse(&world, "its middle", 1, 2, -EINVAL, "as a whole");
	refuse(&world, "two mappings", 0, 8, -EINVAL, "as a whole");
	refuse(&world, "one and a part of the next", 0, 6, -EINVAL, "as a whole");
	refuse(&world, "one and a hole", 9, 2, -EINVAL, "as a whole");
	refuse(&world, "all of them", 0, 16, -EINVAL, "as a whole");
	refuse(&world, "a hole", 8, 1, -ENOENT, "not mapped");
	refuse(&world, "nothing", 0, 0, -EINVAL, "no range");
	refuse(&world, "to beyond the end of all addresses", 9, UINT64_MAX / PAGE, -EINVAL,
	       "no range");
	check_all_reached(&world);

	lab_step("a mapping over others");
	CHECK(be_lab_map(world.space, BASE + 3 * PAGE, world.memory + 10 * PAGE, PAGE, IOAS_RW) ==
	      -EEXIST);
	CHECK(be_lab_map(world.space, BASE + 8 * PAGE, world.memory + 10 * PAGE, 2 * PAGE,
			 IOAS_RW) == -EEXIST);
	check_all_reached(&world);

	lab_step("exactly one, once");
	CHECK(be_lab_unmap(world.space, BASE + 4 * PAGE, 4 * PAGE) == 0);
	CHECK(be_lab_unmap(world.space, BASE + 4 * PAGE, 4 * PAGE) == -ENOENT);
	CHECK(be_lab_reaches(lab, BASE + 3 * PAGE, world.memory + 3 * PAGE));
	CHECK(!be_lab_reaches(lab, BASE + 4 * PAGE, world.memory + 4 * PAGE));
	CHECK(!be_lab_reaches(lab, BASE + 7 * PAGE, world.memory + 7 * PAGE));
	CHECK(be_lab_reaches(lab, BASE + 9 * PAGE, world.memory + 9 * PAGE));

	lab_step("its IOVA serves other memory");
	CHECK(be_lab_map(world.space, BASE + 5 * PAGE, world.memory + 12 * PAGE, PAGE, IOAS_RW) ==
	      0);
	CHECK(be_lab_reaches(lab, BASE + 5 * PAGE, world.memory + 12 * PAGE));
	CHECK(!be_lab_reaches(lab, BASE + 5 * PAGE, world.memory + 5 * PAGE));
	return 0;
}
