// SPDX-License-Identifier: BSD-3-Clause
/*
 * Kind CPU: devices reach the process's memory at its addresses, with its rights, and what the
 * process gives up they reach no more when it has given it up.
 *
 * Most memory here is of a memfd that is mapped twice: at an address that the device can use, and
 * somewhere else, where one can see what became of a page after the first mapping has gone.
 */
#include "kioas_lab.h"
#include "twins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BYTES	  (4 * MIB)
#define LARGE	  (2 * MIB)
#define UNTOUCHED 0x33
#define BACK_MS	  5000

static uint8_t *const low = LOW_ADDRESS;

/* Does what the device writes to this address get there? */
static bool reaches(struct kioas_lab *lab, uint8_t *address, const struct twins *twins)
{
	return edu_reaches(&lab->edu, (uintptr_t)address, twins->view);
}

static uint32_t space_of(struct kioas_lab *lab, uint8_t *start, size_t bytes, uint32_t prot)
{
	const struct ioasid_alloc_cpu data = {
		.start = (uintptr_t)start,
		.last = bytes ? (uintptr_t)start + bytes - 1 : 0,
		.prot = prot,
	};
	uint32_t space;

	CHECK(kioas_alloc_cpu(lab->fd, &data, &space) == 0);
	return space;
}

static uint32_t attached_space(struct kioas_lab *lab, uint8_t *start, size_t bytes, uint32_t prot)
{
	uint32_t space = space_of(lab, start, bytes, prot);

	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	return space;
}

static void leave(struct kioas_lab *lab, uint32_t space)
{
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, space) == 0);
	CHECK(munmap(low, BYTES) == 0);
}

static bool present(struct kioas_lab *lab, uint32_t space, const uint8_t *address)
{
	struct ioasid_lookup lookup;
	int ret = kioas_lookup(lab->fd, space, (uintptr_t)address, &lookup);

	CHECK(!ret || ret == -ENOENT);
	return !ret;
}

static int sync_all(struct kioas_lab *lab, uint32_t space)
{
	return kioas_invalidate_all(lab->fd, space);
}

static void check_arguments(struct kioas_lab *lab)
{
	const struct ioasid_alloc_cpu good = { PAGE, 2 * PAGE - 1, IOASID_RW, 0 };
	struct ioasid_alloc_cpu bad;
	uint32_t space;

	lab_step("arguments that make no sense are refused by name");
	CHECK(kioas_extension(lab->fd, IOASID_EXT_KINDS) & 1 << IOASID_KIND_CPU);
	bad = good, bad.prot = 0;
	CHECK(kioas_alloc_cpu(lab->fd, &bad, &space) == -EINVAL);
	kioas_check_why(lab->fd, EINVAL, IOASID_ALLOC, "prot", 0);
	bad = good, bad.flags = 1;
	CHECK(kioas_alloc_cpu(lab->fd, &bad, &space) == -EOPNOTSUPP);
	kioas_check_why(lab->fd, EOPNOTSUPP, IOASID_ALLOC, "flags", 0);
	bad = good, bad.start = 1;
	CHECK(kioas_alloc_cpu(lab->fd, &bad, &space) == -EINVAL);
	kioas_check_why(lab->fd, EINVAL, IOASID_ALLOC, "start", 0);
	bad = good, bad.last = 2 * PAGE;
	CHECK(kioas_alloc_cpu(lab->fd, &bad, &space) == -EINVAL);
	kioas_check_why(lab->fd, EINVAL, IOASID_ALLOC, "last", 0);
	bad = good, bad.last = UINT64_MAX;
	CHECK(kioas_alloc_cpu(lab->fd, &bad, &space) == -EINVAL);

	lab_step("so is an interval that the device cannot use, when it is attached");
	bad = good, bad.start = 0xfee00000, bad.last = 0xfeefffff;
	CHECK(kioas_alloc_cpu(lab->fd, &bad, &space) == 0);
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == -ERANGE);
	kioas_check_why(lab->fd, ERANGE, IOASID_ATTACH, "dev_id", 0);
	CHECK(kioas_map_one(lab->fd, space, PAGE, low, PAGE, RW) == -EINVAL);
	CHECK(kioas_free(lab->fd, space) == 0);
}

/* All of the process: what its addresses and the device's have in common. */
static void check_whole(struct kioas_lab *lab)
{
	struct twins twins = twins_open();
	uint64_t pins = lab_pins();
	uint32_t space;

	lab_step("all of the process: memory is reached at its address");
	twins_map(&twins, low);
	space = attached_space(lab, 0, 0, IOASID_RW);
	CHECK(reaches(lab, low, &twins));
	CHECK(lab_pins() > pins);
	lab_step("what comes later is reached after IOASID_INVALIDATE_CACHE");
	twins_map(&twins, low + 8 * PAGE);
	CHECK(!present(lab, space, low + 8 * PAGE));
	CHECK(!reaches(lab, low + 8 * PAGE, &twins));
	CHECK(sync_all(lab, space) == 0);
	CHECK(reaches(lab, low + 8 * PAGE, &twins));
	lab_step("a space that no device is in keeps to what its table can hold");
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	twins_map(&twins, low + 9 * PAGE);
	CHECK(sync_all(lab, space) == 0);
	CHECK(present(lab, space, low + 9 * PAGE) && !present(lab, space, (uint8_t *)&twins));
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(reaches(lab, low + 9 * PAGE, &twins));
	leave(lab, space);
	CHECK(lab_pins() == pins);
	twins_close(&twins);
}

static void check_unmap(struct kioas_lab *lab)
{
	struct twins twins = twins_open(), other = twins_open();
	uint32_t space;

	twins_map(&twins, low);
	space = attached_space(lab, low, BYTES, IOASID_RW);
	lab_step("what is unmapped is not reached any more, nor is what comes in its place");
	CHECK(reaches(lab, low, &twins));
	CHECK(munmap(low, PAGE) == 0);
	CHECK(!present(lab, space, low));
	CHECK(!reaches(lab, low, &twins));
	twins_map(&other, low);
	CHECK(!reaches(lab, low, &twins));
	CHECK(kioas_invalidate_range(lab->fd, space, (uintptr_t)low, PAGE) == 0);
	CHECK(!reaches(lab, low, &twins));
	CHECK(reaches(lab, low, &other));

	lab_step("what moves is reached at its new address only");
	CHECK(mremap(low, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, low + MIB) == low + MIB);
	CHECK(!reaches(lab, low, &other));
	CHECK(kioas_invalidate_range(lab->fd, space, (uintptr_t)low + MIB, PAGE) == 0);
	CHECK(reaches(lab, low + MIB, &other));

	lab_step("a file that another process cuts short takes its pages along");
	CHECK(ftruncate(other.fd, 0) == 0 && ftruncate(other.fd, PAGE) == 0);
	CHECK(!present(lab, space, low + MIB));
	CHECK(!reaches(lab, low + MIB, &other));
	CHECK(sync_all(lab, space) == 0);
	CHECK(reaches(lab, low + MIB, &other));
	leave(lab, space);
	twins_close(&twins);
	twins_close(&other);
}

static void check_rights(struct kioas_lab *lab)
{
	struct twins twins = twins_open(), target = twins_open();
	struct ioasid_lookup lookup;
	uint32_t space;

	twins_map(&twins, low);
	twins_map(&target, low + PAGE);
	space = attached_space(lab, low, BYTES, IOASID_RW);
	lab_step("memory that the process may only read the device may only read");
	CHECK(mprotect(low, PAGE, PROT_READ) == 0);
	CHECK(sync_all(lab, space) == 0);
	CHECK(kioas_lookup(lab->fd, space, (uintptr_t)low, &lookup) == 0);
	CHECK(lookup.out_prot == IOASID_PROT_READ && lookup.out_address == lookup.iova);
	CHECK(lookup.out_start == (uintptr_t)low && lookup.out_last == (uintptr_t)low + PAGE - 1);
	CHECK(!reaches(lab, low, &twins));
	lab_fill_random(twins.view, PAGE, 1);
	edu_read_memory(&lab->edu, (uintptr_t)low, EDU_TRANSFER_BYTES);
	edu_write_memory(&lab->edu, (uintptr_t)low + PAGE, EDU_TRANSFER_BYTES);
	CHECK(!memcmp(target.view, twins.view, EDU_TRANSFER_BYTES));

	lab_step("without rights there is nothing to be reached, and they can come back");
	CHECK(mprotect(low, PAGE, PROT_NONE) == 0);
	CHECK(sync_all(lab, space) == 0);
	CHECK(!present(lab, space, low));
	CHECK(mprotect(low, PAGE, PROT_RW) == 0);
	CHECK(sync_all(lab, space) == 0);
	CHECK(reaches(lab, low, &twins));
	leave(lab, space);

	lab_step("a space may be for reading only");
	twins_map(&twins, low);
	space = attached_space(lab, low, BYTES, IOASID_PROT_READ);
	CHECK(present(lab, space, low) && !reaches(lab, low, &twins));
	leave(lab, space);
	twins_close(&twins);
	twins_close(&target);
}

static void check_discard(struct kioas_lab *lab)
{
	uint32_t space;

	lab_step("a page that is discarded is gone, for the device as well");
	map_anonymous(low, PAGE, 0);
	space = attached_space(lab, low, BYTES, IOASID_RW);
	CHECK(edu_reaches(&lab->edu, (uintptr_t)low, low));
	CHECK(madvise(low, PAGE, MADV_DONTNEED) == 0);
	edu_write_memory(&lab->edu, (uintptr_t)low, EDU_TRANSFER_BYTES);
	CHECK(lab_all_bytes_are(low, PAGE, 0));
	CHECK(sync_all(lab, space) == 0);
	CHECK(edu_reaches(&lab->edu, (uintptr_t)low, low));
	leave(lab, space);
}

/* The child looks at its copy when it is told to. */
static void check_fork(struct kioas_lab *lab)
{
	int go[2], status;
	uint32_t space;
	pid_t child;

	lab_step("after a fork the device goes on with the parent's page, the child has its own");
	map_anonymous(low, 2 * PAGE, 0);
	memset(low, UNTOUCHED, 2 * PAGE);
	space = attached_space(lab, low, BYTES, IOASID_RW);
	CHECK(pipe(go) == 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		close(go[1]);
		CHECK(read(go[0], &status, 1) == 0);
		CHECK(lab_all_bytes_are(low, 2 * PAGE, UNTOUCHED));
		memset(low, 0, 2 * PAGE);
		_exit(0);
	}
	close(go[0]);
	CHECK(present(lab, space, low) && present(lab, space, low + PAGE));
	CHECK(edu_reaches(&lab->edu, (uintptr_t)low, low));
	memset(low + PAGE, ~UNTOUCHED, PAGE);
	close(go[1]);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(!lab_all_bytes_are(low, PAGE, 0));
	CHECK(edu_reaches(&lab->edu, (uintptr_t)low, low));
	CHECK(edu_reaches(&lab->edu, (uintptr_t)low + PAGE, low + PAGE));
	leave(lab, space);
}

static bool comes_back(struct kioas_lab *lab, uint32_t space, const uint8_t *address)
{
	int ms;

	for (ms = 0; ms < BACK_MS; ms++) {
		if (present(lab, space, address))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return false;
}

static void check_large(struct kioas_lab *lab)
{
	uint8_t *rest = low + LARGE / 2;
	uint32_t space;

	lab_step("a large page is reached at both of its ends");
	map_anonymous(low, LARGE, MAP_HUGETLB);
	map_anonymous(low + LARGE, LARGE, 0);
	CHECK(madvise(low + LARGE, LARGE, MADV_HUGEPAGE) == 0);
	memset(low, 0, BYTES);
	space = attached_space(lab, low, BYTES, IOASID_RW);
	CHECK(edu_reaches(&lab->edu, (uintptr_t)low, low));
	CHECK(edu_reaches(&lab->edu, (uintptr_t)low + LARGE - PAGE, low + LARGE - PAGE));
	rest += LARGE;
	CHECK(edu_reaches(&lab->edu, (uintptr_t)rest, rest));

	lab_step("when a part of it goes, the rest comes back by itself");
	CHECK(munmap(low + LARGE, PAGE) == 0);
	CHECK(comes_back(lab, space, rest));
	CHECK(!present(lab, space, low + LARGE));
	CHECK(edu_reaches(&lab->edu, (uintptr_t)rest, rest));
	leave(lab, space);
}

static void check_limit(struct kioas_lab *lab)
{
	const struct rlimit limit = { 64 * PAGE, 64 * PAGE };
	uint64_t pins = lab_pins();
	uint32_t space;
	int status;
	pid_t child;

	lab_step("RLIMIT_MEMLOCK holds, and what is given up counts no more");
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
		CHECK(setuid(NOBODY_UID) == 0);
		map_anonymous(low, 65 * PAGE, 0);
		space = space_of(lab, low, BYTES, IOASID_RW);
		CHECK(kioas_attach(lab->fd, lab->dev_id, space) == -ENOMEM);
		kioas_check_why(lab->fd, ENOMEM, IOASID_ATTACH, "ioasid", 0);
		CHECK(munmap(low, PAGE) == 0);
		CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
		map_anonymous(low + MIB, PAGE, 0);
		CHECK(sync_all(lab, space) == -ENOMEM);
		CHECK(munmap(low + PAGE, PAGE) == 0);
		CHECK(sync_all(lab, space) == 0);
		CHECK(present(lab, space, low + MIB));
		leave(lab, space);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(lab_pins() == pins);
}

/* A process whose file lives on in another one. */
static void check_exit(struct kioas_lab *lab)
{
	struct twins twins = twins_open();
	struct ioasid_event_record event;
	uint64_t pins = lab_pins();
	uint32_t *space = mmap(NULL, PAGE, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t child;

	lab_step("a process that has ended is not reached; an event says so");
	CHECK(space != MAP_FAILED);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		twins_map(&twins, low);
		*space = attached_space(lab, low, BYTES, IOASID_RW);
		CHECK(reaches(lab, low, &twins));
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(!reaches(lab, low, &twins));
	CHECK(read(lab->fd, &event, sizeof(event)) == sizeof(event));
	CHECK(event.event == IOASID_EVENT_SPACE_BROKEN && event.ioasid == *space);
	CHECK(sync_all(lab, *space) == -EFAULT);
	kioas_check_why(lab->fd, EFAULT, IOASID_INVALIDATE_CACHE, "ioasid", 0);
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, *space) == 0);
	CHECK(lab_pins() == pins);
	CHECK(munmap(space, PAGE) == 0);
	twins_close(&twins);
}

int main(void)
{
	struct kioas_lab lab;
	uint64_t pins;

	kioas_lab_open(&lab);
	pins = lab_pins();
	check_arguments(&lab);
	check_whole(&lab);
	check_unmap(&lab);
	check_rights(&lab);
	check_discard(&lab);
	check_fork(&lab);
	check_large(&lab);
	check_limit(&lab);
	check_exit(&lab);
	CHECK(lab_pins() == pins);
	kioas_lab_close(&lab);
	return 0;
}
