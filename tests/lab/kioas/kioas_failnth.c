// SPDX-License-Identifier: BSD-3-Clause
/*
 * Each step is done again and again while the kernel's first, second, third... allocation in it
 * fails, until it gets through. A step that fails must leave nothing behind, no pin, no mapping, no
 * number; and the same step must work afterwards.
 */
#include "../prog/fail_nth.h"
#include "ring_lab.h"
#include "user_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IOVA	    0x123000000UL
#define CHILD_IOVA  0x223000000UL
#define PAGES	    24 /* more than fit one run, or the arrays on the kernel's stack */
#define RIGHTS	    (IOASID_PROT_READ | IOASID_PROT_WRITE)
#define SHADOW_PAGE (PAGES / 2)

struct world {
	struct kioas_lab lab;
	uint32_t space, child, identity;
	uint32_t made;
	uint8_t *memory, *low;
	struct ioasid_map_entry entries[PAGES];
	struct user_table table;
};

/* A step that can be done, and undone once it has been done. */
struct step {
	const char *name;
	int (*run)(struct world *world);
	void (*undo)(struct world *world);
};

static int do_alloc(struct world *world)
{
	return kioas_alloc(world->lab.fd, IOASID_KIND_KERNEL, 0, &world->made);
}

static int do_alloc_child(struct world *world)
{
	return kioas_alloc(world->lab.fd, IOASID_KIND_KERNEL, world->space, &world->made);
}

static int do_alloc_identity(struct world *world)
{
	return kioas_alloc(world->lab.fd, IOASID_KIND_PASSTHROUGH, 0, &world->made);
}

static int do_alloc_for_device(struct world *world)
{
	struct ioasid_alloc alloc = {
		.size = sizeof(alloc),
		.kind = IOASID_KIND_KERNEL,
		.dev_id = world->lab.dev_id,
	};
	int ret = kioas_call(world->lab.fd, IOASID_ALLOC, &alloc);

	world->made = alloc.out_ioasid;
	return ret;
}

static int do_alloc_user(struct world *world)
{
	return kioas_alloc_user(world->lab.fd, world->table.format, world->table.parent,
				pt_root(world->table.pt), &world->made);
}

static void undo_alloc(struct world *world)
{
	CHECK(kioas_free(world->lab.fd, world->made) == 0);
}

static int do_map(struct world *world)
{
	return kioas_map(world->lab.fd, world->space, world->entries, PAGES);
}

static void undo_map(struct world *world)
{
	CHECK(kioas_unmap_one(world->lab.fd, world->space, IOVA, PAGES * PAGE) == 0);
}

/* What the parent maps has to appear in its child. */
static int do_map_child(struct world *world)
{
	return kioas_map_one(world->lab.fd, world->child, CHILD_IOVA + 64 * MIB, (void *)IOVA,
			     PAGES * PAGE, RW);
}

static void undo_map_child(struct world *world)
{
	CHECK(kioas_unmap_one(world->lab.fd, world->child, CHILD_IOVA + 64 * MIB, PAGES * PAGE) ==
	      0);
}

/* The table says that the pages are there; the kernel has not looked yet. */
static int do_invalidate(struct world *world)
{
	return kioas_invalidate_all(world->lab.fd, world->table.space);
}

static void undo_invalidate(struct world *world)
{
	struct ioasid_lookup found;

	CHECK(kioas_lookup(world->lab.fd, world->table.space, IOVA, &found) == 0);
	user_table_unmap(&world->table, IOVA, PAGES * PAGE);
	CHECK(kioas_invalidate_all(world->lab.fd, world->table.space) == 0);
	CHECK(kioas_lookup(world->lab.fd, world->table.space, IOVA, &found) == -ENOENT);
	user_table_map(&world->table, IOVA, PAGES * PAGE, 0, RW);
}

static int do_register(struct world *world)
{
	return kioas_register(world->lab.fd, world->low, PAGES * PAGE, RIGHTS);
}

static void undo_register(struct world *world)
{
	CHECK(kioas_unregister(world->lab.fd, world->low, PAGES * PAGE) == 0);
}

static int do_bind(struct world *world)
{
	return kioas_bind(world->lab.fd, world->lab.device_fd, EDU_COOKIE, &world->lab.dev_id);
}

static void undo_bind(struct world *world)
{
	CHECK(kioas_unbind(world->lab.fd, world->lab.dev_id) == 0);
}

static int do_open(struct world *world)
{
	int fd = open("/dev/ioasid", O_RDWR);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* It goes with its file. */
static int do_ring(struct world *world)
{
	struct ioasid_ring_setup setup;
	int fd = open("/dev/ioasid", O_RDWR), ret;

	if (fd < 0)
		return -errno;
	ret = ring_setup(fd, 1024, 0, 0, &setup);
	close(fd);
	return ret;
}

/* A space that mirrors memory: all of it, or the device stays where it is. */
static int do_mirror(struct world *world)
{
	const struct ioasid_alloc_cpu data = {
		.start = (uintptr_t)world->low,
		.last = (uintptr_t)world->low + PAGES * PAGE - 1,
		.prot = RIGHTS,
	};
	int ret = kioas_alloc_cpu(world->lab.fd, &data, &world->made);

	if (ret)
		return ret;
	ret = kioas_attach(world->lab.fd, world->lab.dev_id, world->made);
	if (ret)
		undo_alloc(world);
	return ret;
}

static void undo_mirror(struct world *world)
{
	struct ioasid_lookup lookup;

	for (int i = 0; i < PAGES; i++)
		CHECK(kioas_lookup(world->lab.fd, world->made, (uintptr_t)world->low + i * PAGE,
				   &lookup) == 0);
	CHECK(kioas_attach(world->lab.fd, world->lab.dev_id, world->identity) == 0);
	undo_alloc(world);
}

/* A slot of a machine, likewise. */
static int do_slot(struct world *world)
{
	int ret = kioas_alloc_vm(world->lab.fd, -1, &world->made);

	if (ret)
		return ret;
	ret = kioas_map_one(world->lab.fd, world->made, (uintptr_t)world->low, world->low,
			    PAGES * PAGE, RW);
	ret = ret ?: kioas_attach(world->lab.fd, world->lab.dev_id, world->made);
	if (ret)
		undo_alloc(world);
	return ret;
}

/* One that comes while the device is attached. */
static int do_late_slot(struct world *world)
{
	return kioas_map_one(world->lab.fd, world->made, IOVA, world->low, PAGES * PAGE, RW);
}

static void undo_late_slot(struct world *world)
{
	struct ioasid_lookup lookup;

	for (int i = 0; i < PAGES; i++)
		CHECK(kioas_lookup(world->lab.fd, world->made, IOVA + i * PAGE, &lookup) == 0);
	CHECK(kioas_unmap_one(world->lab.fd, world->made, IOVA, PAGES * PAGE) == 0);
}

/* Into a space that has no table yet: it is made, and filled. */
static int do_attach(struct world *world)
{
	return kioas_attach(world->lab.fd, world->lab.dev_id, world->made);
}

static void prepare_attach(struct world *world)
{
	world->made = kioas_space(world->lab.fd, IOASID_KIND_KERNEL, 0);
	CHECK(kioas_map(world->lab.fd, world->made, world->entries, PAGES) == 0);
}

static void undo_attach(struct world *world)
{
	CHECK(kioas_attach(world->lab.fd, world->lab.dev_id, world->identity) == 0);
	undo_alloc(world);
	prepare_attach(world);
}

static void undo_nothing(struct world *world)
{
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
		/* Copies from and to the caller's memory fail, too. */
		if (ret != -ENOMEM && ret != -EFAULT)
			FAIL("%s, allocation %u: error %d", step->name, nth, ret);
		if (lab_pins() != pins)
			FAIL("%s, allocation %u: pins stay behind (error %d)", step->name, nth,
			     ret);
		ret = step->run(world);
		if (ret)
			FAIL("%s after allocation %u failed: error %d", step->name, nth, ret);
		step->undo(world);
	}
	printf("    %s: failed %u times\n", step->name, failures);
	CHECK(failures > 0);
	return failures;
}

/* The parent's addresses are mapped one by one, so that a child's mapping has many parts. */
static void prepare(struct world *world)
{
	world->memory = lab_buffer(PAGES * PAGE, 0, 1);
	for (int i = 0; i < PAGES; i++)
		world->entries[i] = (struct ioasid_map_entry){
			.iova = IOVA + i * PAGE,
			.address = (uintptr_t)world->memory + (i * 7 % PAGES) * PAGE,
			.length = PAGE,
			.flags = RW,
		};
	world->low = mmap(LOW_ADDRESS, PAGES * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
	CHECK(world->low == LOW_ADDRESS);
}

/*
 * Enabled beforehand, so that binding does not ask the firmware for the device's interrupt: the
 * interpreter of ACPI (7.3) uses memory that it has freed when its allocations fail.
 */
static void enable_device(struct kioas_lab *lab)
{
	char command[160];

	snprintf(command, sizeof(command),
		 "lab-bind %s none && echo 1 >/sys/bus/pci/devices/%s/enable && lab-bind %s kioas",
		 lab->address, lab->address, lab->address);
	lab_run(command);
	close(lab->device_fd);
	lab->device_fd = kioas_open_device(lab->address);
}

static void attach(struct world *world, uint32_t space)
{
	CHECK(kioas_attach(world->lab.fd, world->lab.dev_id, space) == 0);
	CHECK(kioas_control(world->lab.fd, world->lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
}

static void check_user(struct world *world)
{
	static const struct step alloc = { "alloc a USER space", do_alloc_user, undo_alloc },
				 invalidate = { "invalidate", do_invalidate, undo_invalidate };

	lab_step("a table that is shadowed");
	user_table_open(&world->table, world->lab.fd, IOASID_FORMAT_X86_64_L4);
	user_table_map(&world->table, IOVA, PAGES * PAGE, 0, RW);
	check(world, &alloc);
	check(world, &invalidate);
	attach(world, world->table.space);
	undo_invalidate(world);
	check(world, &invalidate);
}

int main(void)
{
	static const struct step open_file = { "open", do_open, undo_nothing },
				 ring = { "a ring", do_ring, undo_nothing },
				 bind = { "bind", do_bind, undo_bind },
				 alloc[] = { { "alloc", do_alloc, undo_alloc },
					     { "alloc for a device", do_alloc_for_device,
					       undo_alloc },
					     { "alloc under a parent", do_alloc_child, undo_alloc },
					     { "alloc an identity root", do_alloc_identity,
					       undo_alloc } },
				 map = { "map", do_map, undo_map },
				 map_child = { "map in a child", do_map_child, undo_map_child },
				 memory = { "register", do_register, undo_register },
				 mirror = { "mirror", do_mirror, undo_mirror },
				 slot = { "a slot", do_slot, undo_mirror },
				 late_slot = { "a slot that comes late", do_late_slot,
					       undo_late_slot },
				 attach_step = { "attach", do_attach, undo_attach };
	static struct world world;
	struct kioas_lab *lab = &world.lab;
	uint8_t *page;

	fail_nth_open();
	kioas_lab_open(lab);
	prepare(&world);
	check(&world, &open_file);
	check(&world, &ring);
	CHECK(kioas_unbind(lab->fd, lab->dev_id) == 0);
	enable_device(lab);
	check(&world, &bind);
	CHECK(do_bind(&world) == 0);
	world.space = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0);
	CHECK(do_register(&world) == 0);
	for (size_t i = 0; i < sizeof(alloc) / sizeof(alloc[0]); i++)
		check(&world, &alloc[i]);
	undo_register(&world);

	check_user(&world);
	lab_step("in a space that no device has used");
	check(&world, &map);
	check(&world, &memory);
	lab_step("in one that has a table");
	attach(&world, world.space);
	check(&world, &map);
	lab_step("in one that has a child with a table");
	world.child = kioas_space(lab->fd, IOASID_KIND_KERNEL, world.space);
	CHECK(kioas_map_one(lab->fd, world.child, CHILD_IOVA, (void *)IOVA, PAGES * PAGE, RW) == 0);
	attach(&world, world.child);
	check(&world, &map);
	CHECK(do_map(&world) == 0);
	check(&world, &map_child);
	lab_step("registered memory that a device sees at once");
	world.identity = kioas_space(lab->fd, IOASID_KIND_PASSTHROUGH, 0);
	attach(&world, world.identity);
	check(&world, &memory);
	lab_step("memory that is mirrored");
	check(&world, &mirror);
	check(&world, &slot);
	CHECK(do_slot(&world) == 0);
	check(&world, &late_slot);
	undo_mirror(&world);
	lab_step("attach, to a table that has to be made");
	prepare_attach(&world);
	check(&world, &attach_step);
	undo_alloc(&world);

	lab_step("after all that, the device reaches what it should");
	attach(&world, world.child);
	page = world.memory + (SHADOW_PAGE * 7 % PAGES) * PAGE;
	CHECK(edu_reaches(&lab->edu, CHILD_IOVA + SHADOW_PAGE * PAGE, page));
	undo_map(&world);
	CHECK(!edu_reaches(&lab->edu, CHILD_IOVA + SHADOW_PAGE * PAGE, page));
	kioas_lab_close(lab);
	return 0;
}
