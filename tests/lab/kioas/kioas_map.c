// SPDX-License-Identifier: BSD-3-Clause
/*
 * MAP_DMA and UNMAP_DMA: all of an array or nothing; memory is pinned and accounted once, and never
 * with more rights than the process has.
 */
#include "kioas_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define IOVA 0x40000000UL

static struct ioasid_map_entry entry(uint64_t iova, const void *va, uint64_t length, uint32_t flags)
{
	return (struct ioasid_map_entry){
		.iova = iova,
		.address = (uintptr_t)va,
		.length = length,
		.flags = flags,
	};
}

static bool is_mapped(int fd, uint32_t space, uint64_t iova)
{
	struct ioasid_lookup found;

	return kioas_lookup(fd, space, iova, &found) == 0;
}

static void check_lookup(int fd, uint32_t space, uint8_t *memory)
{
	struct ioasid_lookup found;

	lab_step("LOOKUP says what an IOVA means");
	CHECK(kioas_map_one(fd, space, IOVA, memory, 4 * PAGE, IOASID_MAP_READ) == 0);
	CHECK(kioas_lookup(fd, space, IOVA + 3 * PAGE + 5, &found) == 0);
	CHECK(found.out_address == (uintptr_t)memory + 3 * PAGE + 5);
	CHECK(found.out_start == IOVA && found.out_last == IOVA + 4 * PAGE - 1);
	CHECK(found.out_prot == IOASID_PROT_READ);
	CHECK(found.out_address_type == IOASID_ADDRESS_PROCESS);
	CHECK(kioas_lookup(fd, space, IOVA - 1, &found) == -ENOENT);
	CHECK(kioas_lookup(fd, space, IOVA + 4 * PAGE, &found) == -ENOENT);
	CHECK(kioas_unmap_one(fd, space, IOVA, 4 * PAGE) == 0);
}

/* Each of these refuses one element, and then none of the array is there. */
static void check_refusal(int fd, uint32_t space, uint8_t *memory,
			  const struct ioasid_map_entry *bad, int error, const char *field)
{
	const struct ioasid_map_entry maps[] = {
		entry(IOVA, memory, PAGE, RW),
		entry(IOVA + PAGE, memory + PAGE, PAGE, RW),
		*bad,
		entry(IOVA + 9 * PAGE, memory, PAGE, RW),
	};
	uint64_t pins = lab_pins();

	CHECK(kioas_map(fd, space, maps, 4) == -error);
	kioas_check_why(fd, error, IOASID_MAP_DMA, field, 2);
	CHECK(!is_mapped(fd, space, IOVA));
	CHECK(!is_mapped(fd, space, IOVA + 9 * PAGE));
	CHECK(lab_pins() == pins);
}

static void check_map_refusals(int fd, uint32_t space, uint8_t *memory)
{
	uint8_t *readonly = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t *nothing = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct {
		struct ioasid_map_entry entry;
		int error;
		const char *field;
	} cases[] = {
		{ entry(IOVA + 1, memory, PAGE, RW), EINVAL, "iova" },
		{ entry(IOVA + 2 * PAGE, memory + 8, PAGE, RW), EINVAL, "address" },
		{ entry(IOVA + 2 * PAGE, memory, PAGE / 2, RW), EINVAL, "length" },
		{ entry(IOVA + 2 * PAGE, memory, 0, RW), EINVAL, "length" },
		{ entry(-2 * PAGE, memory, 3 * PAGE, RW), EINVAL, "length" },
		{ entry(IOVA + 2 * PAGE, (void *)(-2 * PAGE), 3 * PAGE, RW), EINVAL, "length" },
		{ entry(IOVA + 2 * PAGE, memory, PAGE, 0), EINVAL, "flags" },
		{ entry(IOVA + 2 * PAGE, memory, PAGE, RW | 64), EOPNOTSUPP, "flags" },
		{ entry(IOVA + 2 * PAGE, memory, PAGE, RW | IOASID_MAP_REGISTERED), ENOENT,
		  "address" },
		{ entry(IOVA + PAGE, memory, PAGE, RW), EEXIST, "iova" },
		{ entry(IOVA - PAGE, memory, 2 * PAGE, RW), EEXIST, "iova" },
		{ entry(0xfee00000, memory, PAGE, RW), ERANGE, "iova" },
		{ entry(0xfedff000, memory, 3 * PAGE, RW), ERANGE, "iova" },
		{ entry(1UL << 60, memory, PAGE, RW), ERANGE, "iova" },
		{ entry(IOVA + 2 * PAGE, nothing, PAGE, IOASID_MAP_READ), EFAULT, "address" },
		{ entry(IOVA + 2 * PAGE, (void *)0x1000, PAGE, RW), EFAULT, "address" },
		{ entry(IOVA + 2 * PAGE, (void *)(~0UL << 47), PAGE, RW), EFAULT, "address" },
		{ entry(IOVA + 2 * PAGE, readonly, PAGE, RW), EFAULT, "address" },
	};
	struct ioasid_map_entry reserved = entry(IOVA + 2 * PAGE, memory, PAGE, RW);
	size_t i;

	CHECK(readonly != MAP_FAILED && nothing != MAP_FAILED);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_refusal(fd, space, memory, &cases[i].entry, cases[i].error, cases[i].field);
	reserved.__reserved = 1;
	check_refusal(fd, space, memory, &reserved, EINVAL, "__reserved");
	lab_step("memory that is read-only in the process can be mapped for reading");
	CHECK(kioas_map_one(fd, space, IOVA, readonly, PAGE, IOASID_MAP_READ) == 0);
	CHECK(kioas_unmap_one(fd, space, IOVA, PAGE) == 0);
}

/* For who has no limit such an array is too long for memory, not for its account. */
static void check_huge(int fd, uint32_t space, uint8_t *memory)
{
	const struct ioasid_map_entry maps[] = {
		entry(IOVA, memory, 1UL << 62, RW),
		entry(IOVA, memory, 1UL << 62, RW),
	};

	CHECK(kioas_map(fd, space, maps, 2) == -EFAULT);
	kioas_check_why(fd, EFAULT, IOASID_MAP_DMA, "address", 0);
}

static void check_unmap_refusals(int fd, uint32_t space, uint8_t *memory)
{
	const struct ioasid_map_entry maps[] = {
		entry(IOVA, memory, 2 * PAGE, RW),
		entry(IOVA + 2 * PAGE, memory, 2 * PAGE, RW),
		entry(IOVA + 8 * PAGE, memory, PAGE, RW),
	};
	const struct {
		struct ioasid_unmap_entry entry;
		int error;
		const char *field;
	} cases[] = {
		{ { IOVA + PAGE, PAGE }, EINVAL, "iova" },
		{ { IOVA + 2 * PAGE, PAGE }, EINVAL, "iova" },
		{ { IOVA, 3 * PAGE }, EINVAL, "iova" },
		{ { IOVA + 8 * PAGE, PAGE }, EINVAL, "iova" }, /* again: it is in element 0 */
		{ { IOVA + 4 * PAGE, PAGE }, ENOENT, "iova" },
		{ { IOVA, 0 }, EINVAL, "length" },
		{ { IOVA, -IOVA }, EINVAL, "iova" },
		{ { IOVA, -PAGE }, EINVAL, "length" },
	};
	struct ioasid_unmap_entry unmaps[2] = { { IOVA + 8 * PAGE, PAGE } };
	struct ioasid_unmap_dma all = {
		.size = sizeof(all),
		.ioasid = space,
		.flags = IOASID_UNMAP_ALL,
	};
	size_t i;

	CHECK(kioas_map(fd, space, maps, 3) == 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unmaps[1] = cases[i].entry;
		CHECK(kioas_unmap(fd, space, unmaps, 2) == -cases[i].error);
		kioas_check_why(fd, cases[i].error, IOASID_UNMAP_DMA, cases[i].field, 1);
		CHECK(is_mapped(fd, space, IOVA + 8 * PAGE));
		CHECK(is_mapped(fd, space, IOVA));
	}
	lab_step("one range takes several mappings");
	CHECK(kioas_unmap_one(fd, space, IOVA, 4 * PAGE) == 0);
	CHECK(!is_mapped(fd, space, IOVA) && !is_mapped(fd, space, IOVA + 3 * PAGE));
	lab_step("all is all, and may be nothing");
	CHECK(kioas_call(fd, IOASID_UNMAP_DMA, &all) == 0 && all.out_bytes == PAGE);
	CHECK(kioas_call(fd, IOASID_UNMAP_DMA, &all) == 0 && all.out_bytes == 0);
}

/* One range, one mapping. */
static void check_exact(int fd, uint32_t space, uint8_t *memory)
{
	const struct ioasid_map_entry maps[] = {
		entry(IOVA, memory, 2 * PAGE, RW),
		entry(IOVA + 2 * PAGE, memory, 2 * PAGE, RW),
	};
	const struct ioasid_unmap_entry wrong[] = {
		{ IOVA, 4 * PAGE },	   { IOVA, PAGE },
		{ IOVA, 3 * PAGE },	   { IOVA + 2 * PAGE, 3 * PAGE },
		{ IOVA - PAGE, 3 * PAGE },
	};
	const struct ioasid_unmap_entry both[] = { { IOVA, 2 * PAGE },
						   { IOVA + 2 * PAGE, 2 * PAGE } };
	struct ioasid_unmap_dma request = {
		.size = sizeof(request),
		.ioasid = space,
		.count = 1,
		.entry_size = sizeof(wrong[0]),
		.flags = IOASID_UNMAP_EXACT,
	};
	size_t i;

	lab_step("exactly one mapping goes, where that is asked for");
	CHECK(kioas_map(fd, space, maps, 2) == 0);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		request.entries_uptr = (uintptr_t)&wrong[i];
		CHECK(kioas_call(fd, IOASID_UNMAP_DMA, &request) == -EINVAL);
		kioas_check_why(fd, EINVAL, IOASID_UNMAP_DMA, "length", 0);
		CHECK(is_mapped(fd, space, IOVA) && is_mapped(fd, space, IOVA + 3 * PAGE));
	}
	request.entries_uptr = (uintptr_t)both;
	request.count = 2;
	CHECK(kioas_call(fd, IOASID_UNMAP_DMA, &request) == 0 && request.out_bytes == 4 * PAGE);
	request.flags |= IOASID_UNMAP_ALL;
	CHECK(kioas_call(fd, IOASID_UNMAP_DMA, &request) == -EINVAL);
	kioas_check_why(fd, EINVAL, IOASID_UNMAP_DMA, "flags", 0);
}

static void check_registered(int fd, uint32_t space, uint8_t *memory)
{
	uint32_t other = kioas_space(fd, IOASID_KIND_KERNEL, 0);
	uint64_t pins = lab_pins();

	lab_step("registered memory is pinned once, however often it is mapped");
	CHECK(kioas_register(fd, memory, 8 * PAGE, IOASID_PROT_READ) == 0);
	CHECK(lab_pins() == pins + 8);
	CHECK(kioas_map_one(fd, space, IOVA, memory, 8 * PAGE,
			    IOASID_MAP_READ | IOASID_MAP_REGISTERED) == 0);
	CHECK(kioas_map_one(fd, other, 2 * IOVA, memory + PAGE, 2 * PAGE, IOASID_MAP_READ) == 0);
	CHECK(lab_pins() == pins + 8);
	CHECK(kioas_unregister(fd, memory, 8 * PAGE) == -EBUSY);
	kioas_check_why(fd, EBUSY, IOASID_UNREGISTER_MEMORY, "va", 0);

	lab_step("what was registered for reading is not mapped for writing");
	CHECK(kioas_map_one(fd, other, IOVA, memory, PAGE, RW) == -EACCES);
	kioas_check_why(fd, EACCES, IOASID_MAP_DMA, "flags", 0);
	lab_step("registrations do not overlap, and go as they came");
	CHECK(kioas_register(fd, memory + 7 * PAGE, 2 * PAGE, IOASID_PROT_READ) == -EEXIST);
	CHECK(kioas_unregister(fd, memory, 7 * PAGE) == -ENOENT);
	CHECK(kioas_free(fd, other) == 0);
	CHECK(kioas_unmap_one(fd, space, IOVA, 8 * PAGE) == 0);
	CHECK(kioas_unregister(fd, memory, 8 * PAGE) == 0);
	CHECK(kioas_unregister(fd, memory, 8 * PAGE) == -ENOENT);
	CHECK(lab_pins() == pins);
}

/* Another process on the same file: its addresses mean its own memory, not that of who registered.
 */
static void check_fork(int fd, uint32_t space, uint8_t *memory)
{
	int status;
	pid_t child;

	lab_step("registered memory is that of the process that registered it");
	CHECK(kioas_register(fd, memory, 8 * PAGE, IOASID_PROT_READ) == 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		CHECK(kioas_map_one(fd, space, IOVA, memory, PAGE,
				    IOASID_MAP_READ | IOASID_MAP_REGISTERED) == -ENOENT);
		CHECK(kioas_unregister(fd, memory, 8 * PAGE) == -ENOENT);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(kioas_unregister(fd, memory, 8 * PAGE) == 0);
}

/* Without the capability to lock memory the limit holds. */
static void check_limit(int fd, uint32_t space, uint8_t *memory)
{
	const struct rlimit limit = { 16 * PAGE, 16 * PAGE };
	struct ioasid_map_entry maps[4];
	int status, i;
	pid_t child;

	lab_step("RLIMIT_MEMLOCK holds: for an array, for registered memory, for both together");
	for (i = 0; i < 4; i++)
		maps[i] = entry(IOVA + i * 8 * PAGE, memory + i * 8 * PAGE, 8 * PAGE, RW);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
		CHECK(setuid(1000) == 0);
		CHECK(kioas_map(fd, space, maps, 4) == -ENOMEM);
		kioas_check_why(fd, ENOMEM, IOASID_MAP_DMA, "length", 0);
		CHECK(kioas_map(fd, space, maps, 2) == 0);
		CHECK(kioas_register(fd, memory + 24 * PAGE, PAGE, IOASID_PROT_READ) == -ENOMEM);
		CHECK(kioas_map_one(fd, space, 2 * IOVA, memory, PAGE, RW) == -ENOMEM);
		CHECK(kioas_unmap_one(fd, space, IOVA, 16 * PAGE) == 0);
		CHECK(kioas_register(fd, memory, 16 * PAGE, IOASID_PROT_READ | IOASID_PROT_WRITE) ==
		      0);
		CHECK(kioas_map(fd, space, maps, 2) == 0);
		CHECK(kioas_unmap_one(fd, space, IOVA, 16 * PAGE) == 0);
		CHECK(kioas_unregister(fd, memory, 16 * PAGE) == 0);
		/* Nothing of the failures above is still accounted. */
		CHECK(kioas_map(fd, space, maps + 2, 2) == 0);
		CHECK(kioas_unmap_one(fd, space, maps[2].iova, 16 * PAGE) == 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
	uint8_t *memory = lab_buffer(64 * PAGE, 0, 5);
	struct kioas_lab lab;
	uint64_t pins;
	uint32_t space;

	kioas_lab_open(&lab);
	pins = lab_pins();
	space = kioas_space(lab.fd, IOASID_KIND_KERNEL, 0);
	CHECK(kioas_attach(lab.fd, lab.dev_id, space) == 0);
	check_lookup(lab.fd, space, memory);
	check_map_refusals(lab.fd, space, memory);
	check_huge(lab.fd, space, memory);
	check_unmap_refusals(lab.fd, space, memory);
	check_exact(lab.fd, space, memory);
	check_registered(lab.fd, space, memory);
	check_fork(lab.fd, space, memory);
	check_limit(lab.fd, space, memory);
	CHECK(lab_pins() == pins);
	CHECK(kioas_map_one(lab.fd, space, IOVA, memory, 64 * PAGE, RW) == 0);
	kioas_lab_close(&lab);
	CHECK(lab_pins() == pins);
	return 0;
}
