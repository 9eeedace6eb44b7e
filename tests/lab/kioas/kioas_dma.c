// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a device reaches: what is mapped in the space that it is attached to, and nothing before it
 * is attached, after it is detached, and after an unmap.
 */
#include "kioas_lab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define IOVA 0x10000000UL

static int map_one(void *state, uint64_t iova, void *address, size_t size_bytes, bool writable)
{
	struct kioas_lab *lab = ((void **)state)[0];
	uint32_t *space = ((void **)state)[1];

	return kioas_map_one(lab->fd, *space, iova, address, size_bytes,
			     writable ? RW : IOASID_MAP_READ);
}

static int unmap_one(void *state, uint64_t iova, size_t size_bytes)
{
	struct kioas_lab *lab = ((void **)state)[0];
	uint32_t *space = ((void **)state)[1];

	return kioas_unmap_one(lab->fd, *space, iova, size_bytes);
}

/* A space that is filled before any device is known to it, as well as after. */
static void check_attach(struct kioas_lab *lab)
{
	uint32_t space = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0), other;
	uint8_t *first = lab_buffer(PAGE, 0, 1), *second = lab_buffer(PAGE, 0, 1);

	lab_step("a device that is bound only cannot be told to master the bus");
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == -EINVAL);
	kioas_check_why(lab->fd, EINVAL, IOASID_DEVICE_CONTROL, "op", 0);

	lab_step("what was mapped before the first attach is reached after it");
	CHECK(kioas_map_one(lab->fd, space, IOVA, first, PAGE, RW) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA, first));
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA, first));
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA, first));

	lab_step("a device that moves reaches the new space only, and still masters the bus");
	other = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0);
	CHECK(kioas_map_one(lab->fd, other, IOVA + PAGE, second, PAGE, RW) == 0);
	CHECK(kioas_attach(lab->fd, lab->dev_id, other) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA, first));
	CHECK(edu_reaches(&lab->edu, IOVA + PAGE, second));
	CHECK(kioas_free(lab->fd, other) == -EBUSY);
	kioas_check_why(lab->fd, EBUSY, IOASID_FREE, "ioasid", 0);
	CHECK(kioas_unbind(lab->fd, lab->dev_id) == -EBUSY);

	lab_step("a move that fails leaves it where it is");
	CHECK(kioas_map_one(lab->fd, space, 0xfee00000, first, PAGE, RW) == 0);
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == -ERANGE);
	kioas_check_why(lab->fd, ERANGE, IOASID_ATTACH, "dev_id", 0);
	CHECK(edu_reaches(&lab->edu, IOVA + PAGE, second));

	lab_step("a device that is detached reaches nothing");
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_detach(lab->fd, lab->dev_id) == -ENOENT);
	CHECK(!edu_reaches(&lab->edu, IOVA + PAGE, second));
	lab_step("a table that a device has used stays as narrow as that device");
	CHECK(kioas_map_one(lab->fd, other, 1UL << 60, second, PAGE, RW) == -ERANGE);
	CHECK(kioas_map_one(lab->fd, other, -PAGE, second, PAGE, RW) == -ERANGE);
	CHECK(kioas_free(lab->fd, other) == 0);
	CHECK(kioas_free(lab->fd, space) == 0);
	CHECK(kioas_free(lab->fd, space) == -ENOENT);
}

static void check_array(struct kioas_lab *lab)
{
	enum { COUNT = 64 };
	uint32_t space = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0);
	uint8_t *pages = lab_buffer(COUNT * PAGE, 0, 3);
	struct ioasid_unmap_entry unmaps[COUNT];
	struct ioasid_map_entry maps[COUNT];
	int i;

	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	for (i = 0; i < COUNT; i++) {
		/* The order of addresses is not that of IOVAs, and there are holes between them. */
		maps[i] = (struct ioasid_map_entry){
			.iova = IOVA + i * 3 * PAGE,
			.address = (uintptr_t)pages + (i * 7 % COUNT) * PAGE,
			.length = PAGE,
			.flags = RW,
		};
		unmaps[i] = (struct ioasid_unmap_entry){ maps[i].iova, PAGE };
	}
	lab_step("an array of 64 maps: first, middle and last are reached");
	CHECK(kioas_map(lab->fd, space, maps, COUNT) == 0);
	for (i = 0; i < COUNT; i += COUNT / 2 - 1)
		CHECK(edu_reaches(&lab->edu, maps[i].iova, (uint8_t *)maps[i].address));
	lab_step("after an array of unmaps none is");
	CHECK(kioas_unmap(lab->fd, space, unmaps, COUNT) == 0);
	for (i = 0; i < COUNT; i += COUNT / 2 - 1)
		CHECK(!edu_reaches(&lab->edu, maps[i].iova, (uint8_t *)maps[i].address));
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, space) == 0);
}

int main(void)
{
	struct kioas_lab lab;
	uint32_t space;
	void *state[] = { &lab, &space };
	const struct mapper mapper = { map_one, unmap_one, state };

	kioas_lab_open(&lab);
	check_attach(&lab);
	check_array(&lab);
	space = kioas_space(lab.fd, IOASID_KIND_KERNEL, 0);
	CHECK(kioas_attach(lab.fd, lab.dev_id, space) == 0);
	CHECK(kioas_control(lab.fd, lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	edu_check_mapper(&lab.edu, &mapper);
	kioas_lab_close(&lab);
	return 0;
}
