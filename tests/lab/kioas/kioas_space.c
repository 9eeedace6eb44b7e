// SPDX-License-Identifier: BSD-3-Clause
/* Spaces under spaces: children of KERNEL spaces in step with them, and kind PASSTHROUGH. */
#include "kioas_lab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PARENT_IOVA 0x50000000UL
#define CHILD_IOVA  0x60000000UL

static int map_address(int fd, uint32_t ioasid, uint64_t iova, uint64_t address, uint64_t length,
		       uint32_t flags)
{
	return kioas_map_one(fd, ioasid, iova, (void *)address, length, flags);
}

static void attach_and_master(struct kioas_lab *lab, uint32_t space)
{
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
}

/* The child's table is the composition of both, whichever side changes. */
static void check_child(struct kioas_lab *lab)
{
	uint32_t parent = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0);
	uint32_t child = kioas_space(lab->fd, IOASID_KIND_KERNEL, parent), grandchild;
	uint8_t *memory = lab_buffer(4 * PAGE, 0, 1);
	struct ioasid_lookup found = { .size = sizeof(found),
				       .ioasid = child,
				       .iova = CHILD_IOVA + PAGE + 9 };

	lab_step("a child's mapping that spans two of the parent's");
	CHECK(kioas_map_one(lab->fd, parent, PARENT_IOVA, memory, 2 * PAGE, RW) == 0);
	CHECK(map_address(lab->fd, child, CHILD_IOVA, PARENT_IOVA + PAGE, 3 * PAGE, RW) == 0);
	attach_and_master(lab, child);
	CHECK(edu_reaches(&lab->edu, CHILD_IOVA, memory + PAGE));
	CHECK(!edu_reaches(&lab->edu, CHILD_IOVA + PAGE, memory + 2 * PAGE));
	CHECK(!edu_reaches(&lab->edu, PARENT_IOVA + PAGE, memory + PAGE));
	lab_step("what the parent maps later is there at once");
	CHECK(kioas_map_one(lab->fd, parent, PARENT_IOVA + 2 * PAGE, memory + 2 * PAGE, 2 * PAGE,
			    RW) == 0);
	CHECK(edu_reaches(&lab->edu, CHILD_IOVA + PAGE, memory + 2 * PAGE));
	CHECK(edu_reaches(&lab->edu, CHILD_IOVA + 2 * PAGE, memory + 3 * PAGE));
	lab_step("LOOKUP names the parent's address");
	CHECK(kioas_call(lab->fd, IOASID_LOOKUP, &found) == 0);
	CHECK(found.out_address == PARENT_IOVA + 2 * PAGE + 9);
	CHECK(found.out_address_type == IOASID_ADDRESS_PARENT);
	lab_step("what the parent unmaps is gone at once, the rest is not");
	CHECK(kioas_unmap_one(lab->fd, parent, PARENT_IOVA, 2 * PAGE) == 0);
	CHECK(!edu_reaches(&lab->edu, CHILD_IOVA, memory + PAGE));
	CHECK(edu_reaches(&lab->edu, CHILD_IOVA + PAGE, memory + 2 * PAGE));
	lab_step("the parent's rights limit the child's");
	CHECK(kioas_map_one(lab->fd, parent, PARENT_IOVA, memory, 2 * PAGE, IOASID_MAP_READ) == 0);
	CHECK(!edu_reaches(&lab->edu, CHILD_IOVA, memory + PAGE));
	lab_step("an unmap in the child");
	CHECK(kioas_unmap_one(lab->fd, child, CHILD_IOVA, 3 * PAGE) == 0);
	CHECK(!edu_reaches(&lab->edu, CHILD_IOVA + PAGE, memory + 2 * PAGE));
	lab_step("a parent is not freed, and has no grandchildren");
	CHECK(kioas_free(lab->fd, parent) == -EBUSY);
	CHECK(kioas_alloc(lab->fd, IOASID_KIND_KERNEL, child, &grandchild) == -EOPNOTSUPP);
	kioas_check_why(lab->fd, EOPNOTSUPP, IOASID_ALLOC, "parent_id", 0);
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, child) == 0);
	CHECK(kioas_free(lab->fd, parent) == 0);
}

static void check_passthrough_child(struct kioas_lab *lab)
{
	uint32_t parent = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0);
	uint32_t child = kioas_space(lab->fd, IOASID_KIND_PASSTHROUGH, parent);
	uint8_t *memory = lab_buffer(2 * PAGE, 0, 1);

	lab_step("PASSTHROUGH under a parent: the parent's addresses, no mappings of its own");
	CHECK(kioas_map_one(lab->fd, parent, PARENT_IOVA, memory, PAGE, RW) == 0);
	attach_and_master(lab, child);
	CHECK(edu_reaches(&lab->edu, PARENT_IOVA, memory));
	CHECK(kioas_map_one(lab->fd, child, PARENT_IOVA + PAGE, memory, PAGE, RW) == -EINVAL);
	kioas_check_why(lab->fd, EINVAL, IOASID_MAP_DMA, "ioasid", 0);
	CHECK(kioas_map_one(lab->fd, parent, PARENT_IOVA + PAGE, memory + PAGE, PAGE, RW) == 0);
	CHECK(edu_reaches(&lab->edu, PARENT_IOVA + PAGE, memory + PAGE));
	CHECK(kioas_map_one(lab->fd, parent, 0xfee00000, memory, PAGE, RW) == -ERANGE);
	lab_step("moving between both changes nothing that the device sees");
	CHECK(kioas_attach(lab->fd, lab->dev_id, parent) == 0);
	CHECK(edu_reaches(&lab->edu, PARENT_IOVA, memory));
	CHECK(kioas_free(lab->fd, child) == 0);
	CHECK(kioas_free(lab->fd, parent) == -EBUSY);
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, parent) == 0);
}

static void check_identity(struct kioas_lab *lab)
{
	const uint32_t rights = IOASID_PROT_READ | IOASID_PROT_WRITE;
	uint8_t *memory = mmap(LOW_ADDRESS, 4 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	uint64_t pins = lab_pins(), iova = (uintptr_t)memory;
	uint32_t root, child;

	CHECK(memory == LOW_ADDRESS);
	lab_step("PASSTHROUGH without a parent: registered memory at its own address");
	CHECK(kioas_register(lab->fd, memory, PAGE, rights) == 0);
	root = kioas_space(lab->fd, IOASID_KIND_PASSTHROUGH, 0);
	attach_and_master(lab, root);
	CHECK(edu_reaches(&lab->edu, iova, memory));
	CHECK(!edu_reaches(&lab->edu, iova + PAGE, memory + PAGE));
	CHECK(kioas_register(lab->fd, memory + PAGE, PAGE, rights) == 0);
	CHECK(edu_reaches(&lab->edu, iova + PAGE, memory + PAGE));
	CHECK(lab_pins() == pins + 2);
	lab_step("memory that the device could not reach there is not registered");
	CHECK(kioas_register(lab->fd, lab_buffer(PAGE, 0, 1), PAGE, rights) == -ERANGE);
	CHECK(lab_pins() == pins + 2);
	lab_step("a child of it maps what the process calls by its address");
	child = kioas_space(lab->fd, IOASID_KIND_KERNEL, root);
	CHECK(map_address(lab->fd, child, CHILD_IOVA, iova, 2 * PAGE, RW) == 0);
	attach_and_master(lab, child);
	CHECK(edu_reaches(&lab->edu, CHILD_IOVA + PAGE, memory + PAGE));
	lab_step("unregistered memory is gone from all of them");
	CHECK(kioas_unregister(lab->fd, memory + PAGE, PAGE) == 0);
	CHECK(!edu_reaches(&lab->edu, CHILD_IOVA + PAGE, memory + PAGE));
	CHECK(edu_reaches(&lab->edu, CHILD_IOVA, memory));
	CHECK(lab_pins() == pins + 1);
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, child) == 0);
	CHECK(kioas_free(lab->fd, root) == 0);
	CHECK(kioas_unregister(lab->fd, memory, PAGE) == 0);
	CHECK(lab_pins() == pins);
}

int main(void)
{
	struct kioas_lab lab;

	kioas_lab_open(&lab);
	check_child(&lab);
	check_passthrough_child(&lab);
	check_identity(&lab);
	kioas_lab_close(&lab);
	return 0;
}
