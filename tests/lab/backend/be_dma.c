// SPDX-License-Identifier: BSD-3-Clause
/*
 * map: the device reaches memory at its IOVA, and only as the protection allows; arrays, with the
 * count of system calls; memory with a file behind it; hugepages.
 */
#include "be_lab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int mapper_map(void *space, uint64_t iova, void *va, size_t bytes, bool writable)
{
	return be_lab_map(space, iova, va, bytes, writable ? IOAS_RW : IOAS_READ);
}

static int mapper_unmap(void *space, uint64_t iova, size_t bytes)
{
	return be_lab_unmap(space, iova, bytes);
}

static void check_array(struct be_lab *lab, struct be_space *space)
{
	enum { COUNT = 64, HELD = 40 };
	uint8_t *memory = lab_buffer(COUNT * PAGE, 0, 0);
	struct be_map maps[COUNT];
	struct be_unmap unmaps[COUNT];
	char iova[32];
	const bool at_once = be_lab_is(lab, "ioasid");
	const unsigned int calls = at_once ? 1 : COUNT;
	unsigned int done = 99, crossings = 0;

	lab_step(at_once ? "an array of maps costs one system call, and says so"
			 : "an array of maps costs a system call each, and says so");
	for (size_t i = 0; i < COUNT; i++) {
		/* Not neighbours, neither in IOVA nor in memory. */
		maps[i] = (struct be_map){ .iova = 0x20000000 + i * 8 * PAGE,
					   .bytes = PAGE,
					   .va = memory + (i * 37 % COUNT) * PAGE,
					   .prot = IOAS_RW };
		unmaps[i] = (struct be_unmap){ .iova = maps[i].iova, .bytes = PAGE };
	}
	CHECK(lab->ops->map(space, maps, COUNT, &done, &crossings) == 0);
	CHECK(done == COUNT && crossings == calls);
	for (size_t i = 0; i < COUNT; i += 21)
		CHECK(be_lab_reaches(lab, maps[i].iova, maps[i].va));
	crossings = 0;
	CHECK(lab->ops->unmap(space, unmaps, COUNT, &done, &crossings) == 0);
	CHECK(done == COUNT && crossings == calls);
	for (size_t i = 0; i < COUNT; i += 21)
		CHECK(!be_lab_reaches(lab, maps[i].iova, maps[i].va));

	lab_step("one that fails in the middle has done what it reports, and no more");
	CHECK(be_lab_map(space, maps[HELD].iova, memory, PAGE, IOAS_RW) == 0);
	CHECK(lab->ops->map(space, maps, COUNT, &done, &crossings) == -EEXIST);
	CHECK(done == (at_once ? 0 : HELD));
	be_lab_check_text(lab, at_once ? "iova" : "part of it is mapped");
	snprintf(iova, sizeof(iova), "IOVA 0x%llx", (unsigned long long)maps[HELD].iova);
	be_lab_check_text(lab, iova);
	CHECK(be_lab_reaches(lab, maps[HELD - 1].iova, maps[HELD - 1].va) == !at_once);
	CHECK(!be_lab_reaches(lab, maps[HELD + 1].iova, maps[HELD + 1].va));
	CHECK(be_lab_reaches(lab, maps[HELD].iova, memory));
	CHECK(lab->ops->unmap(space, unmaps, COUNT, &done, &crossings) == -ENOENT);
	CHECK(done == (at_once ? 0 : HELD + 1));
	if (at_once)
		CHECK(be_lab_unmap(space, maps[HELD].iova, PAGE) == 0);
	CHECK(munmap(memory, COUNT * PAGE) == 0);
}

/* Of @bytes at an offset into a file; the device must reach the file, whatever is mapped where. */
static void check_file(struct be_lab *lab, struct be_space *space, unsigned int memfd_flags,
		       uint64_t page_bytes)
{
	const uint64_t bytes = 2 * page_bytes, offset = page_bytes + (page_bytes > PAGE ? PAGE : 0);
	const uint64_t iova = 0x3000000000 + offset;
	struct be_mem_attr attr = { .bytes = bytes, .page_bytes = page_bytes };
	struct be_map map = { .iova = iova, .bytes = PAGE, .prot = IOAS_RW };
	unsigned int done, crossings = 0;
	struct be_mem *mem;
	uint8_t *second;

	attr.fd = memfd_create("lab", memfd_flags);
	CHECK(attr.fd >= 0);
	CHECK(ftruncate(attr.fd, (off_t)bytes) == 0);
	attr.va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, attr.fd, 0);
	CHECK(attr.va != MAP_FAILED);
	CHECK(lab->ops->mem_add(lab->be, &attr, &mem) == 0);
	map.va = (uint8_t *)attr.va + offset;
	CHECK(lab->ops->map(space, &map, 1, &done, &crossings) == 0);
	CHECK(crossings == 1);
	CHECK(be_lab_reaches(lab, iova, map.va));

	second = mmap(NULL, bytes, PROT_READ, MAP_SHARED, attr.fd, 0);
	CHECK(second != MAP_FAILED);
	if (memcmp(second + offset, map.va, EDU_TRANSFER_BYTES))
		FAIL("the device wrote to memory that is not the file's");
	CHECK(munmap(second, bytes) == 0);

	CHECK(be_lab_unmap(space, iova, PAGE) == 0);
	CHECK(!be_lab_reaches(lab, iova, map.va));
	lab->ops->mem_del(mem);
	CHECK(munmap(attr.va, bytes) == 0);
	CHECK(close(attr.fd) == 0);
}

/*
 * The kernel of the machine maps files as files: what lies at the address does not matter then. A
 * driver that passes its address in silence would reach other memory, here.
 */
static void check_file_is_used(struct be_lab *lab, struct be_space *space)
{
	struct be_mem_attr attr = { .bytes = 4 * PAGE, .page_bytes = PAGE };
	const uint64_t iova = 0x3800000;
	struct be_mem *mem;
	uint8_t *file, *other;

	attr.fd = memfd_create("lab", MFD_CLOEXEC);
	CHECK(attr.fd >= 0);
	CHECK(ftruncate(attr.fd, 8 * PAGE) == 0);
	attr.fd_offset = 4 * PAGE;
	attr.va = mmap(NULL, attr.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, attr.fd, 4 * PAGE);
	file = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, attr.fd, 0);
	CHECK(attr.va != MAP_FAILED && file != MAP_FAILED);
	CHECK(lab->ops->mem_add(lab->be, &attr, &mem) == 0);
	other = mmap(attr.va, attr.bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(other == attr.va);
	CHECK(be_lab_map(space, iova, other + PAGE, PAGE, IOAS_RW) == 0);
	CHECK(be_lab_reaches(lab, iova, file + 5 * PAGE));
	CHECK(!be_lab_reaches(lab, iova, other + PAGE));
	CHECK(be_lab_unmap(space, iova, PAGE) == 0);
	lab->ops->mem_del(mem);
	CHECK(munmap(file, 8 * PAGE) == 0 && munmap(other, attr.bytes) == 0);
	CHECK(close(attr.fd) == 0);
}

/* A file of a kind that cannot be mapped as such: the address must serve. */
static void check_other_file(struct be_lab *lab, struct be_space *space)
{
	uint8_t *memory = lab_buffer(4 * PAGE, 0, 0);
	struct be_mem_attr attr = { .va = memory, .bytes = 4 * PAGE, .page_bytes = PAGE };
	struct be_mem *mem;
	int pipes[2];

	CHECK(pipe(pipes) == 0);
	attr.fd = pipes[0];
	CHECK(lab->ops->mem_add(lab->be, &attr, &mem) == 0);
	for (uint64_t page = 0; page < 2; page++) {
		const uint64_t iova = 0x3000000 + page * PAGE;

		CHECK(be_lab_map(space, iova, memory + page * PAGE, PAGE, IOAS_RW) == 0);
		CHECK(be_lab_reaches(lab, iova, memory + page * PAGE));
		CHECK(be_lab_unmap(space, iova, PAGE) == 0);
	}
	lab->ops->mem_del(mem);
	CHECK(munmap(memory, 4 * PAGE) == 0);
}

static void check_write_only(struct be_lab *lab, struct be_space *space)
{
	uint8_t *memory = lab_buffer(PAGE, 0, 0);

	lab_step("memory mapped for writing is written");
	CHECK(be_lab_map(space, 0x5000000, memory, PAGE, IOAS_WRITE) == 0);
	CHECK(be_lab_reaches(lab, 0x5000000, memory));
	CHECK(be_lab_unmap(space, 0x5000000, PAGE) == 0);
}

static void check_small_entries(struct be_lab *lab)
{
	uint8_t *memory = lab_buffer(2 * MIB, MAP_HUGETLB, 0);
	struct be_space *space;

	lab_step("page tables without large entries");
	if (lab->ops->open(&lab->diag, "huge_pages=0", &lab->be))
		FAIL("open: %s", lab->diag.text);
	be_lab_bind(lab);
	space = be_lab_space(lab);
	CHECK(lab->ops->attach(space, lab->dev) == 0);
	be_lab_registers_open(lab);
	CHECK(be_lab_map(space, 0x40000000, memory, 2 * MIB, IOAS_RW) == 0);
	CHECK(be_lab_reaches(lab, 0x40000000 + MIB, memory + MIB));
	CHECK(be_lab_unmap(space, 0x40000000, 2 * MIB) == 0);
	CHECK(!be_lab_reaches(lab, 0x40000000 + MIB, memory + MIB));
	be_lab_registers_close(lab);
	CHECK(lab->ops->detach(lab->dev) == 0);
	lab->ops->space_destroy(space);
	be_lab_unbind(lab);
	be_lab_close(lab);
}

int main(int argc, char **argv)
{
	struct mapper mapper = { mapper_map, mapper_unmap, NULL };
	struct be_lab lab;
	struct be_space *space;
	uint64_t pins;

	be_lab_init(&lab, argc, argv);
	be_lab_open(&lab);
	be_lab_bind(&lab);
	space = be_lab_space(&lab);
	CHECK(lab.ops->attach(space, lab.dev) == 0);
	be_lab_registers_open(&lab);
	pins = lab_pins();

	mapper.state = space;
	edu_check_mapper(&lab.edu, &mapper);
	check_write_only(&lab, space);
	check_array(&lab, space);
	lab_step("files: a memfd, one of hugepages, a file that is none");
	check_file(&lab, space, MFD_CLOEXEC, PAGE);
	check_file(&lab, space, MFD_CLOEXEC | MFD_HUGETLB, 2 * MIB);
	if (be_lab_is(&lab, "iommufd"))
		check_file_is_used(&lab, space);
	check_other_file(&lab, space);
	lab_step("nothing stays pinned");
	CHECK(lab_pins() == pins);

	be_lab_registers_close(&lab);
	CHECK(lab.ops->detach(lab.dev) == 0);
	lab.ops->space_destroy(space);
	be_lab_unbind(&lab);
	be_lab_close(&lab);
	if (be_lab_is(&lab, "iommufd"))
		check_small_entries(&lab);
	return 0;
}
