// SPDX-License-Identifier: BSD-3-Clause
/*
 * Each step is done again and again while the kernel's first, second, third... allocation in it
 * fails, until it gets through. A step that fails must leave nothing behind, no pin, no mapping;
 * and the same step must work afterwards.
 *
 * Attaching is not among the steps: in 7.3 a failed allocation there has the kernel itself warn and
 * then crash, in what must not fail, when the device goes back to its default domain.
 */
#include "../prog/fail_nth.h"
#include "be_lab.h"

#include <stdio.h>

#define IOVA  0x123000000UL
#define BYTES (64 * KIB)

struct world {
	struct be_lab lab;
	struct be_space *a;
	uint8_t *memory;
};

/* A step that can be done, and undone once it has been done. */
struct step {
	const char *name;
	int (*run)(struct world *world);
	void (*undo)(struct world *world);
};

static int create_space(struct world *world)
{
	const struct be_space_attr attr = { .kind = IOAS_KIND_KERNEL };

	return world->lab.ops->space_create(world->lab.be, &attr, &world->a);
}

static void destroy_space(struct world *world)
{
	world->lab.ops->space_destroy(world->a);
}

static int map(struct world *world)
{
	return be_lab_map(world->a, IOVA, world->memory, BYTES, IOAS_RW);
}

static void unmap(struct world *world)
{
	CHECK(be_lab_unmap(world->a, IOVA, BYTES) == 0);
}

/* Return: how often it failed. */
static unsigned int check(struct world *world, const struct step *step)
{
	unsigned int failures = 0;
	bool failed = true;

	for (unsigned int nth = 1; failed; nth++) {
		uint64_t pins = lab_pins();
		int ret;

		fail_nth_begin(nth);
		ret = step->run(world);
		failed = fail_nth_end();
		if (!ret) {
			step->undo(world);
			continue;
		}
		failures++;
		if (lab_pins() != pins)
			FAIL("%s, allocation %u: pins stay behind (%s)", step->name, nth,
			     world->lab.diag.text);
		if (step->run(world))
			FAIL("%s after allocation %u failed: %s", step->name, nth,
			     world->lab.diag.text);
		step->undo(world);
	}
	printf("    %s: failed %u times\n", step->name, failures);
	return failures;
}

int main(int argc, char **argv)
{
	static const struct step create_step = { "create", create_space, destroy_space },
				 map_step = { "map", map, unmap };
	static struct world world;
	struct be_lab *lab = &world.lab;

	be_lab_init(lab, argc, argv);
	fail_nth_open();
	be_lab_open(lab);
	be_lab_bind(lab);
	world.memory = lab_buffer(BYTES, 0, 1);
	CHECK(check(&world, &create_step) > 0);
	CHECK(create_space(&world) == 0);
	CHECK(lab->ops->attach(world.a, lab->dev) == 0);
	CHECK(check(&world, &map_step) > 0);

	lab_step("after all that, the device reaches what it should");
	be_lab_registers_open(lab);
	CHECK(map(&world) == 0);
	CHECK(be_lab_reaches(lab, IOVA, world.memory));
	unmap(&world);
	CHECK(!be_lab_reaches(lab, IOVA, world.memory));
	return 0;
}
