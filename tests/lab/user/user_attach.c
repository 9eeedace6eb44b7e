// SPDX-License-Identifier: BSD-3-Clause
/*
 * Devices move between address spaces of kind USER and KERNEL: every DMA goes through the one that
 * was attached last, and nothing is left of the others.
 */
#include "user_lab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IOVA UINT64_C(0x4000000000)

/* The page of each space that is mapped at IOVA. */
static void map_at(struct user_space *space, struct user_lab *lab, int page)
{
	ioas_iova_t iova = IOVA;

	if (ioas_map(space->queue, user_page(lab, page), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova))
		FAIL("map: %s", ioas_queue_error(space->queue));
}

static void attach(struct user_lab *lab, const struct user_space *space)
{
	char text[256];

	if (ioas_attach(space->as, lab->dev)) {
		ioas_ctx_error(lab->ctx, text, sizeof(text));
		FAIL("attach: %s", text);
	}
}

static void check_replace(struct user_lab *lab)
{
	struct user_space one, other, kernel;
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };

	lab_step("two tables, the same IOVA: the device follows the one it is attached to");
	user_space_open(lab, &one, IOAS_STRICT, NULL);
	user_space_open(lab, &other, IOAS_STRICT, NULL);
	CHECK(ioas_create(lab->ctx, &opts, &kernel.as) == 0);
	CHECK(ioas_queue_create(kernel.as, &kernel.queue) == 0);
	map_at(&one, lab, 1);
	map_at(&other, lab, 2);
	map_at(&kernel, lab, 3);
	attach(lab, &one);
	user_lab_registers_open(lab);
	CHECK(user_reaches(lab, IOVA, 1));
	for (int round = 0; round < 3; round++) {
		attach(lab, &other);
		CHECK(!user_reaches(lab, IOVA, 1));
		CHECK(user_reaches(lab, IOVA, 2));
		attach(lab, &kernel);
		CHECK(!user_reaches(lab, IOVA, 2));
		CHECK(user_reaches(lab, IOVA, 3));
		attach(lab, &one);
		CHECK(!user_reaches(lab, IOVA, 3));
		CHECK(user_reaches(lab, IOVA, 1));
	}
	user_check_no_fault(lab);

	lab_step("an unmap in the table that is not attached is not seen, in the other it is");
	user_unmap(&other, IOVA);
	CHECK(user_reaches(lab, IOVA, 1));
	user_unmap(&one, IOVA);
	CHECK(!user_reaches(lab, IOVA, 1));
	user_check_fault(lab, IOVA, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);

	lab_step("what was unmapped while nobody was attached is not there for who comes");
	map_at(&one, lab, 1);
	CHECK(user_reaches(lab, IOVA, 1));
	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_unmap(&one, IOVA);
	map_at(&one, lab, 4);
	attach(lab, &one);
	user_lab_registers_open(lab);
	CHECK(!user_reaches(lab, IOVA, 1));
	CHECK(user_reaches(lab, IOVA, 4));
	user_unmap(&one, IOVA);
	user_unmap(&kernel, IOVA);

	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&one);
	user_space_close(&other);
	user_space_close(&kernel);
}

/* The name of a space in the TLBs (its ASID) is used again; its translations are not. */
static void check_names(struct user_lab *lab)
{
	struct user_space space;

	lab_step("address spaces that come and go leave no translations behind");
	for (int round = 0; round < 6; round++) {
		user_space_open(lab, &space, IOAS_STRICT, NULL);
		map_at(&space, lab, round);
		attach(lab, &space);
		user_lab_registers_open(lab);
		CHECK(!round || !user_reaches(lab, IOVA, round - 1));
		CHECK(user_reaches(lab, IOVA, round));
		user_lab_registers_close(lab);
		CHECK(ioas_detach(lab->dev) == 0);
		user_unmap(&space, IOVA);
		user_space_close(&space);
	}
	user_check_no_fault(lab);
}

/* A parent of the caller's own, whose mappings the child's table points into. */
static void check_parent(struct user_lab *lab)
{
	const struct ioas_opts opts = {
		.size = sizeof(opts),
		.kind = IOAS_KIND_KERNEL,
		.aperture = { 0x100000, lab->caps.iova.last < 0xffffffffff ? lab->caps.iova.last
									   : 0xffffffffff },
	};
	struct user_space space, automatic;
	struct ioas_queue *queue;
	struct ioas *parent;
	ioas_iova_t iova, child;

	lab_step("a parent of the caller's, then the library's, and back");
	CHECK(ioas_create(lab->ctx, &opts, &parent) == 0);
	CHECK(ioas_queue_create(parent, &queue) == 0);
	CHECK(ioas_map(queue, user_page(lab, 0), 8 * PAGE, IOAS_RW, &iova) == 0);
	user_space_open(lab, &space, IOAS_STRICT, parent);
	user_space_open(lab, &automatic, IOAS_STRICT, NULL);
	attach(lab, &space);
	user_lab_registers_open(lab);
	child = user_map(&space, user_page(lab, 5), IOAS_RW);
	map_at(&automatic, lab, 6);
	CHECK(user_reaches(lab, child, 5));
	/* Not mapped in the parent: cannot be in a child. */
	CHECK(ioas_map(space.queue, user_page(lab, 8), PAGE, IOAS_RW, &(ioas_iova_t){ 0 }) ==
	      -ENOENT);
	attach(lab, &automatic);
	CHECK(user_reaches(lab, IOVA, 6));
	attach(lab, &space);
	CHECK(user_reaches(lab, child, 5));
	user_unmap(&space, child);
	CHECK(!user_reaches(lab, child, 5));
	user_check_fault(lab, child, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);
	user_unmap(&automatic, IOVA);

	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
	user_space_close(&automatic);
	CHECK(ioas_unmap(queue, iova, 8 * PAGE) == 0);
	CHECK(ioas_queue_destroy(queue) == 0);
	CHECK(ioas_destroy(parent) == 0);
}

/* The second stage has fewer IOVAs than a KERNEL space by itself. */
static void check_parent_limits(struct user_lab *lab)
{
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	struct user_space space;
	struct ioas_queue *queue;
	struct ioas *parent;
	ioas_iova_t iova;
	char text[256];

	lab_step("a parent with mappings where the second stage has no IOVAs");
	CHECK(ioas_create(lab->ctx, &opts, &parent) == 0);
	CHECK(ioas_queue_create(parent, &queue) == 0);
	iova = ioas_get_aperture(parent).last - (PAGE - 1);
	CHECK(ioas_map(queue, user_page(lab, 0), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova) == 0);
	user_space_open(lab, &space, IOAS_STRICT, parent);
	CHECK(ioas_attach(space.as, lab->dev) == -ERANGE);
	ioas_ctx_error(lab->ctx, text, sizeof(text));
	CHECK(strstr(text, "lower aperture"));
	/* It goes, and all is well: the tables themselves lie low enough. */
	CHECK(ioas_unmap(queue, iova, PAGE) == 0);
	attach(lab, &space);
	CHECK(ioas_map(queue, user_page(lab, 0), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova) < 0);
	CHECK(ioas_map(queue, user_page(lab, 0), PAGE, IOAS_RW, &iova) == 0);
	user_lab_registers_open(lab);
	map_at(&space, lab, 0);
	CHECK(user_reaches(lab, IOVA, 0));
	user_unmap(&space, IOVA);
	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
	CHECK(ioas_unmap(queue, iova, PAGE) == 0);
	CHECK(ioas_queue_destroy(queue) == 0);
	CHECK(ioas_destroy(parent) == 0);
}

/* The NVMe controller does nothing here but be attached. */
static void check_two_devices(struct user_lab *lab)
{
	const char *address = lab_device("nvme0");
	struct user_space space;
	struct ioas_dev *nvme;
	ioas_iova_t iova;

	lab_step("two devices on one table");
	CHECK(ioas_dev_bind(lab->ctx, address, &nvme) == 0);
	user_space_open(lab, &space, IOAS_STRICT, NULL);
	CHECK(ioas_attach(space.as, nvme) == 0);
	attach(lab, &space);
	user_lab_registers_open(lab);
	iova = user_map(&space, user_page(lab, 0), IOAS_RW);
	CHECK(user_reaches(lab, iova, 0));
	CHECK(ioas_destroy(space.as) == -EBUSY);
	CHECK(ioas_detach(nvme) == 0);
	CHECK(user_reaches(lab, iova, 0));
	CHECK(ioas_dev_unbind(nvme) == 0);
	CHECK(user_reaches(lab, iova, 0));
	user_unmap(&space, iova);
	CHECK(!user_reaches(lab, iova, 0));
	user_check_fault(lab, iova, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);
	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
}

int main(int argc, char **argv)
{
	static struct user_lab lab;

	user_lab_open(&lab, argc, argv);
	check_replace(&lab);
	check_names(&lab);
	check_parent(&lab);
	if (!lab.shadowed)
		check_parent_limits(&lab);
	check_two_devices(&lab);
	user_lab_close(&lab);
	return 0;
}
