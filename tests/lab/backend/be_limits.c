// SPDX-License-Identifier: BSD-3-Clause
/*
 * Limits: IOVA ranges and the holes in them, type1's number of mappings, RLIMIT_MEMLOCK. All are
 * known before they are met, and a call that meets one leaves things as they were.
 */
#include "be_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/* The first and the last page of each range are reached; those beside them cannot be mapped. */
static void check_ranges(struct be_lab *lab, struct be_space *space)
{
	struct ioas_range ranges[16];
	unsigned int count = lab->ops->iova_ranges(lab->be, ranges, 16);
	struct be_space *unattached = be_lab_space(lab);
	uint8_t *memory = lab_buffer(2 * PAGE, 0, 0);
	struct be_caps caps;

	lab_step("IOVA ranges");
	lab->ops->caps(lab->be, &caps);
	CHECK(caps.kinds & 1 << IOAS_KIND_KERNEL);
	CHECK(caps.page_sizes & PAGE);
	CHECK(caps.page_sizes & 2 * MIB);
	/* All machines have a hole for interrupts. */
	CHECK(count >= 2 && count <= 16);
	CHECK(caps.iova.start == ranges[0].start && caps.iova.last == ranges[count - 1].last);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t first = ranges[i].start, last = ranges[i].last - (PAGE - 1);

		printf("    0x%llx..0x%llx\n", (unsigned long long)ranges[i].start,
		       (unsigned long long)ranges[i].last);
		CHECK(!i || ranges[i - 1].last < first);
		CHECK(be_lab_map(space, last, memory, PAGE, IOAS_RW) == 0);
		CHECK(be_lab_reaches(lab, last, memory));
		CHECK(be_lab_unmap(space, last, PAGE) == 0);
		CHECK(!be_lab_reaches(lab, last, memory));
		CHECK(be_lab_map(space, first, memory, PAGE, IOAS_RW) == 0);
		CHECK(be_lab_reaches(lab, first, memory));
		CHECK(be_lab_unmap(space, first, PAGE) == 0);
		if (first) {
			CHECK(be_lab_map(space, first - PAGE, memory, PAGE, IOAS_RW) == -ERANGE);
			be_lab_check_text(lab, "outside of what the IOMMU allows");
		}
		CHECK(be_lab_map(space, last + PAGE, memory, PAGE, IOAS_RW) == -ERANGE);
		CHECK(be_lab_map(space, last, memory, 2 * PAGE, IOAS_RW) == -ERANGE);
		/* The kernel would not know yet. */
		CHECK(be_lab_map(unattached, last, memory, 2 * PAGE, IOAS_RW) == -ERANGE);
	}
	CHECK(be_lab_map(space, UINT64_MAX - (PAGE - 1), memory, PAGE, IOAS_RW) == -ERANGE);
	lab->ops->space_destroy(unattached);
}

/* A space that is to keep IOVAs: a device that does not allow all of them stays out. */
static void check_keep(struct be_lab *lab)
{
	struct be_space *space = be_lab_space(lab), *narrow = be_lab_space(lab);
	struct ioas_range ranges[16], all;
	unsigned int count = lab->ops->iova_ranges(lab->be, ranges, 16);

	if (!lab->ops->iova_keep)
		return;
	lab_step("IOVAs that are to be kept keep devices out that do not allow them");
	all = (struct ioas_range){ .start = ranges[0].start, .last = ranges[count - 1].last };
	CHECK(lab->ops->iova_keep(space, &all, 1) == 0);
	CHECK(lab->ops->attach(space, lab->dev) == -ERANGE);
	be_lab_check_text(lab, "the aperture of this address space");
	CHECK(lab->ops->iova_keep(narrow, ranges, count) == 0);
	CHECK(lab->ops->attach(narrow, lab->dev) == 0);
	CHECK(lab->ops->detach(lab->dev) == 0);
	lab->ops->space_destroy(narrow);
	lab->ops->space_destroy(space);
}

static void check_arguments(struct be_lab *lab, struct be_space *space)
{
	uint8_t *memory = lab_buffer(2 * PAGE, 0, 0);
	uint8_t *hole = lab_buffer(PAGE, 0, 0);
	struct be_mem_attr attr = { .va = hole, .bytes = PAGE, .page_bytes = PAGE, .fd = -1 };
	struct be_mem *mem, *second;
	uint64_t pins;

	lab_step("bad arguments");
	CHECK(munmap(hole, PAGE) == 0);
	pins = lab_pins();
	CHECK(be_lab_map(space, PAGE, memory, 0, IOAS_RW) == -EINVAL);
	CHECK(be_lab_map(space, PAGE, memory, PAGE / 2, IOAS_RW) == -EINVAL);
	CHECK(be_lab_map(space, PAGE, memory + 1, PAGE, IOAS_RW) == -EINVAL);
	CHECK(be_lab_map(space, PAGE + 1, memory, PAGE, IOAS_RW) == -EINVAL);
	CHECK(be_lab_map(space, PAGE, memory, PAGE, 0) == -EINVAL);
	CHECK(be_lab_map(space, PAGE, memory, PAGE, IOAS_RW | 4) == -EINVAL);
	CHECK(be_lab_map(space, PAGE, hole, PAGE, IOAS_RW) == -EFAULT);
	be_lab_check_text(lab, "cannot be pinned");
	CHECK(lab->ops->mem_add(lab->be, &attr, &mem) == -EFAULT);
	be_lab_check_text(lab, "not mapped");

	/* Half of it cannot be pinned: nothing of it may stay mapped or pinned. */
	CHECK(mprotect(memory + PAGE, PAGE, PROT_READ) == 0);
	CHECK(be_lab_map(space, PAGE, memory, 2 * PAGE, IOAS_RW) == -EFAULT);
	CHECK(lab_pins() == pins);
	CHECK(!be_lab_reaches(lab, PAGE, memory));
	attr.va = memory;
	attr.bytes = 2 * PAGE;
	CHECK(lab->ops->mem_add(lab->be, &attr, &mem) == -EFAULT);

	CHECK(mprotect(memory + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(lab->ops->mem_add(lab->be, &attr, &mem) == 0);
	attr.va = memory + PAGE;
	attr.bytes = PAGE;
	CHECK(lab->ops->mem_add(lab->be, &attr, &second) == -EEXIST);
	lab->ops->mem_del(mem);
	CHECK(lab->ops->mem_add(lab->be, &attr, &second) == 0);
	lab->ops->mem_del(second);
	CHECK(lab_pins() == pins);
}

/* As many mappings as the container takes, one more, and one for one. */
static void fill(struct be_lab *lab, uint64_t limit)
{
	struct be_map *maps = calloc(limit + 1, sizeof(*maps));
	uint8_t *memory = lab_buffer(PAGE, 0, 0);
	unsigned int done, crossings = 0;
	struct be_space *space;
	struct be_caps caps;

	be_lab_open(lab);
	be_lab_bind(lab);
	lab->ops->caps(lab->be, &caps);
	CHECK(caps.max_maps == limit);
	space = be_lab_space(lab);
	CHECK(lab->ops->attach(space, lab->dev) == 0);
	be_lab_registers_open(lab);

	for (uint64_t i = 0; i <= limit; i++)
		maps[i] = (struct be_map){
			.iova = 0x100000000 + i * PAGE, .bytes = PAGE, .va = memory, .prot = IOAS_RW
		};
	CHECK(lab->ops->map(space, maps, limit + 1, &done, &crossings) == -ENOSPC);
	be_lab_check_text(lab, "dma_entry_limit");
	/* The limit is kept, not run into. */
	CHECK(done == limit && crossings == limit);
	CHECK(be_lab_reaches(lab, maps[limit - 1].iova, memory));
	CHECK(!be_lab_reaches(lab, maps[limit].iova, memory));
	CHECK(be_lab_unmap(space, maps[1].iova, PAGE) == 0);
	CHECK(lab->ops->map(space, &maps[limit], 1, &done, &crossings) == 0);
	CHECK(be_lab_reaches(lab, maps[limit].iova, memory));
	CHECK(lab->ops->map(space, &maps[1], 1, &done, &crossings) == -ENOSPC);

	be_lab_registers_close(lab);
	CHECK(lab->ops->detach(lab->dev) == 0);
	lab->ops->space_destroy(space);
	be_lab_unbind(lab);
	be_lab_close(lab);
	free(maps);
}

static void check_entry_limit(struct be_lab *lab)
{
	const uint64_t usual = lab_read_number(ENTRY_LIMIT);

	lab_step("the number of mappings that the administrator set, and the usual one");
	lab_run("echo 100 >" ENTRY_LIMIT);
	fill(lab, 100);
	lab_run("echo 65535 >" ENTRY_LIMIT);
	CHECK(usual == 65535);
	fill(lab, usual);
}

/* In a process of its own, since the capability does not come back. */
static void check_memlock(void *arg)
{
	const struct rlimit limit = { .rlim_cur = 64 * KIB, .rlim_max = 64 * KIB };
	struct be_lab *lab = arg;
	uint8_t *memory = lab_buffer(128 * KIB, 0, 0);
	struct be_space *space;
	uint64_t pins;

	be_lab_open(lab);
	be_lab_bind(lab);
	space = be_lab_space(lab);
	CHECK(lab->ops->attach(space, lab->dev) == 0);
	be_lab_registers_open(lab);
	be_lab_drop_memlock_capability();
	CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);

	CHECK(be_lab_map(space, 0x10000, memory, 60 * KIB, IOAS_RW) == 0);
	pins = lab_pins();
	CHECK(be_lab_map(space, 0x100000, memory + 64 * KIB, 64 * KIB, IOAS_RW) == -ENOMEM);
	be_lab_check_text(lab, "RLIMIT_MEMLOCK is 64 KiB");
	CHECK(lab_pins() == pins);
	CHECK(!be_lab_reaches(lab, 0x100000, memory + 64 * KIB));
	CHECK(be_lab_reaches(lab, 0x10000, memory));
	CHECK(be_lab_unmap(space, 0x10000, 60 * KIB) == 0);
	CHECK(be_lab_map(space, 0x100000, memory + 64 * KIB, 60 * KIB, IOAS_RW) == 0);
	CHECK(be_lab_reaches(lab, 0x100000, memory + 64 * KIB));
}

int main(int argc, char **argv)
{
	struct be_space *space;
	struct be_lab lab;

	be_lab_init(&lab, argc, argv);
	be_lab_open(&lab);
	be_lab_bind(&lab);
	space = be_lab_space(&lab);
	CHECK(lab.ops->attach(space, lab.dev) == 0);
	be_lab_registers_open(&lab);
	check_ranges(&lab, space);
	check_arguments(&lab, space);
	be_lab_registers_close(&lab);
	CHECK(lab.ops->detach(lab.dev) == 0);
	check_keep(&lab);
	lab.ops->space_destroy(space);
	be_lab_unbind(&lab);
	be_lab_close(&lab);

	if (be_lab_is(&lab, "type1"))
		check_entry_limit(&lab);

	lab_step("RLIMIT_MEMLOCK");
	return be_lab_in_child(check_memlock, &lab);
}
