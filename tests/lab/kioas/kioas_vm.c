// SPDX-License-Identifier: BSD-3-Clause
/*
 * Kind VM: devices reach the memory of a virtual machine at the guest's addresses, as its slots
 * say; what is taken from the machine, or from the process that runs it, they reach no more. With a
 * machine of KVM, where the module can follow one, and with slots that this program maps itself.
 */
#include "kioas_lab.h"
#include "machine.h"
#include "twins.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES	  (4 * MIB)
#define FIRST	  0x100000UL   /* guest-physical addresses of slots */
#define SECOND	  0x40000000UL /* aligned to large pages */
#define BEYOND	  (1UL << 39)  /* the IOMMU has 39 bits of IOVAs */
#define UNTOUCHED 0x33

static uint8_t *const low = LOW_ADDRESS;

static bool reaches(struct kioas_lab *lab, uint64_t gpa, uint8_t *view)
{
	return edu_reaches(&lab->edu, gpa, view);
}

static int sync_all(struct kioas_lab *lab, const struct machine *machine)
{
	return kioas_invalidate_all(lab->fd, machine->space);
}

static void attach(struct kioas_lab *lab, const struct machine *machine)
{
	CHECK(kioas_attach(lab->fd, lab->dev_id, machine->space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
}

static void leave(struct kioas_lab *lab, struct machine *machine)
{
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, machine->space) == 0);
	machine_close(machine);
	CHECK(munmap(low, BYTES) == 0);
}

static void check_arguments(struct kioas_lab *lab, bool kvm)
{
	const int closed = 999;
	uint32_t space;

	lab_step("what is no machine is refused by name");
	CHECK(kioas_alloc_vm(lab->fd, -2, &space) == -EINVAL);
	kioas_check_why(lab->fd, EINVAL, IOASID_ALLOC, "vm_fd", 0);
	CHECK(kioas_alloc_vm(lab->fd, closed, &space) == (kvm ? -ENOENT : -EOPNOTSUPP));
	kioas_check_why(lab->fd, kvm ? ENOENT : EOPNOTSUPP, IOASID_ALLOC, "vm_fd", 0);
	CHECK(kioas_alloc_vm(lab->fd, lab->fd, &space) == (kvm ? -EINVAL : -EOPNOTSUPP));
	kioas_check_why(lab->fd, kvm ? EINVAL : EOPNOTSUPP, IOASID_ALLOC, "vm_fd", 0);
}

static void check_slots(struct kioas_lab *lab, bool kvm)
{
	struct machine machine = machine_open(lab->fd, kvm);
	struct ioasid_lookup lookup;

	lab_step("slots are reached at the guest's addresses, and nothing else is");
	map_anonymous(low, BYTES, 0);
	machine_set(&machine, 0, FIRST, low, 4 * PAGE, false);
	machine_set(&machine, 1, SECOND, low + MIB, 2 * PAGE, true);
	machine_set(&machine, 2, SECOND + MIB, low + PAGE, PAGE, false);
	attach(lab, &machine);
	CHECK(reaches(lab, FIRST, low) && reaches(lab, FIRST + 3 * PAGE, low + 3 * PAGE));
	CHECK(!reaches(lab, FIRST - PAGE, low) && !reaches(lab, FIRST + 4 * PAGE, low + 4 * PAGE));
	CHECK(!reaches(lab, (uintptr_t)low, low));
	CHECK(kioas_lookup(lab->fd, machine.space, FIRST + PAGE + 5, &lookup) == 0);
	CHECK(lookup.out_address == (uintptr_t)low + PAGE + 5 && lookup.out_prot == IOASID_RW);
	CHECK(lookup.out_start == FIRST && lookup.out_last == FIRST + 4 * PAGE - 1);
	CHECK(kioas_lookup(lab->fd, machine.space, FIRST + 4 * PAGE, &lookup) == -ENOENT);

	lab_step("memory that the guest sees twice the device sees twice");
	CHECK(reaches(lab, SECOND + MIB, low + PAGE) && reaches(lab, FIRST + PAGE, low + PAGE));

	lab_step("a read-only slot is for reading only");
	CHECK(kioas_lookup(lab->fd, machine.space, SECOND, &lookup) == 0);
	CHECK(lookup.out_prot == IOASID_PROT_READ);
	CHECK(!reaches(lab, SECOND, low + MIB));
	lab_fill_random(low + MIB, PAGE, 1);
	edu_read_memory(&lab->edu, SECOND, EDU_TRANSFER_BYTES);
	edu_write_memory(&lab->edu, FIRST, EDU_TRANSFER_BYTES);
	CHECK(!memcmp(low, low + MIB, EDU_TRANSFER_BYTES));
	leave(lab, &machine);
}

static void check_changes(struct kioas_lab *lab, bool kvm)
{
	struct machine machine = machine_open(lab->fd, kvm);
	uint64_t pins;

	map_anonymous(low, BYTES, 0);
	machine_set(&machine, 0, FIRST, low, 4 * PAGE, false);
	attach(lab, &machine);
	pins = lab_pins();

	lab_step("a slot that is added is reached after IOASID_INVALIDATE_CACHE");
	machine_set(&machine, 1, SECOND, low + MIB, PAGE, false);
	CHECK(reaches(lab, SECOND, low + MIB) == !kvm);
	CHECK(kioas_invalidate_range(lab->fd, machine.space, SECOND, PAGE) == 0);
	CHECK(reaches(lab, SECOND, low + MIB));
	CHECK(lab_pins() == pins + 1);

	lab_step("a slot that is deleted is not reached any more, nor pinned");
	machine_delete(&machine, 1);
	CHECK(lab_pins() == pins);
	CHECK(!reaches(lab, SECOND, low + MIB));
	CHECK(sync_all(lab, &machine) == 0);
	CHECK(!reaches(lab, SECOND, low + MIB) && reaches(lab, FIRST, low));

	lab_step("one that moves is reached at its new address only");
	machine_move(&machine, 0, SECOND + MIB);
	CHECK(!reaches(lab, FIRST, low));
	CHECK(sync_all(lab, &machine) == 0);
	CHECK(!reaches(lab, FIRST, low) && reaches(lab, SECOND + MIB, low));
	machine_move(&machine, 0, FIRST);

	lab_step("a slot that gets a hole has one");
	machine_delete(&machine, 0);
	machine_set(&machine, 0, FIRST, low, PAGE, false);
	machine_set(&machine, 1, FIRST + 2 * PAGE, low + 2 * PAGE, 2 * PAGE, false);
	CHECK(sync_all(lab, &machine) == 0);
	CHECK(reaches(lab, FIRST, low) && reaches(lab, FIRST + 2 * PAGE, low + 2 * PAGE));
	CHECK(!reaches(lab, FIRST + PAGE, low + PAGE));

	lab_step("a slot that the device cannot reach is refused, and nothing else is lost");
	if (kvm) {
		machine_set(&machine, 2, BEYOND, low + MIB, PAGE, false);
		CHECK(sync_all(lab, &machine) == -ERANGE);
		kioas_check_why(lab->fd, ERANGE, IOASID_INVALIDATE_CACHE, "ioasid", 0);
		machine_delete(&machine, 2);
		CHECK(sync_all(lab, &machine) == 0);
	} else {
		CHECK(kioas_map_one(lab->fd, machine.space, BEYOND, low, PAGE, RW) == -ERANGE);
	}
	CHECK(reaches(lab, FIRST, low));
	leave(lab, &machine);
}

static void check_process(struct kioas_lab *lab, bool kvm)
{
	struct machine machine = machine_open(lab->fd, kvm);
	struct twins twins = twins_open(), other = twins_open();
	struct ioasid_lookup lookup;

	lab_step("what the process discards, replaces or protects below a slot is followed");
	map_anonymous(low, BYTES, 0);
	twins_map(&twins, low);
	machine_set(&machine, 0, SECOND, low, BYTES, false);
	attach(lab, &machine);
	CHECK(reaches(lab, SECOND, twins.view) && reaches(lab, SECOND + MIB, low + MIB));
	memset(low + MIB, UNTOUCHED, PAGE);
	CHECK(madvise(low + MIB, PAGE, MADV_DONTNEED) == 0);
	edu_write_memory(&lab->edu, SECOND + MIB, EDU_TRANSFER_BYTES);
	CHECK(lab_all_bytes_are(low + MIB, PAGE, 0));
	twins_map(&other, low);
	CHECK(!reaches(lab, SECOND, twins.view));
	CHECK(sync_all(lab, &machine) == 0);
	CHECK(!reaches(lab, SECOND, twins.view) && reaches(lab, SECOND, other.view));
	CHECK(reaches(lab, SECOND + MIB, low + MIB));
	CHECK(mprotect(low, PAGE, PROT_READ) == 0);
	CHECK(sync_all(lab, &machine) == 0);
	CHECK(kioas_lookup(lab->fd, machine.space, SECOND, &lookup) == 0);
	CHECK(lookup.out_prot == IOASID_PROT_READ && !reaches(lab, SECOND, other.view));
	leave(lab, &machine);
	twins_close(&twins);
	twins_close(&other);
}

/* One leaf of the table needs both addresses aligned. */
static void check_large(struct kioas_lab *lab, bool kvm)
{
	const uint64_t places[] = { SECOND, SECOND + PAGE };

	lab_step("a large page, aligned for the guest or not");
	for (int i = 0; i < 2; i++) {
		struct machine machine = machine_open(lab->fd, kvm);

		map_anonymous(low, 2 * MIB, MAP_HUGETLB);
		map_anonymous(low + 2 * MIB, 2 * MIB, 0);
		machine_set(&machine, 0, places[i], low, BYTES, false);
		attach(lab, &machine);
		CHECK(reaches(lab, places[i], low));
		CHECK(reaches(lab, places[i] + 2 * MIB - PAGE, low + 2 * MIB - PAGE));
		CHECK(reaches(lab, places[i] + 2 * MIB, low + 2 * MIB));
		machine_delete(&machine, 0);
		CHECK(!reaches(lab, places[i] + 2 * MIB - PAGE, low + 2 * MIB - PAGE));
		leave(lab, &machine);
	}
}

static void check_limit(struct kioas_lab *lab, bool kvm)
{
	const struct rlimit limit = { 64 * PAGE, 64 * PAGE };
	uint64_t pins = lab_pins();
	struct machine machine;
	int status;
	pid_t child;

	lab_step("a user without privileges, and RLIMIT_MEMLOCK");
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		machine = machine_create(kvm);
		CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
		CHECK(setuid(NOBODY_UID) == 0);
		machine_show(&machine, lab->fd);
		map_anonymous(low, BYTES, 0);
		machine_set(&machine, 0, FIRST, low, 65 * PAGE, false);
		CHECK(kioas_attach(lab->fd, lab->dev_id, machine.space) == -ENOMEM);
		kioas_check_why(lab->fd, ENOMEM, IOASID_ATTACH, "ioasid", 0);
		machine_delete(&machine, 0);
		machine_set(&machine, 0, FIRST, low, 64 * PAGE, false);
		CHECK(kioas_attach(lab->fd, lab->dev_id, machine.space) == 0);
		if (kvm) {
			machine_set(&machine, 1, SECOND, low + MIB, PAGE, false);
			CHECK(sync_all(lab, &machine) == -ENOMEM);
			machine_delete(&machine, 0);
			CHECK(sync_all(lab, &machine) == 0);
		} else {
			CHECK(kioas_map_one(lab->fd, machine.space, SECOND, low + MIB, PAGE, RW) ==
			      -ENOMEM);
			kioas_check_why(lab->fd, ENOMEM, IOASID_MAP_DMA, "iova", 0);
		}
		leave(lab, &machine);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(lab_pins() == pins);
}

/* The space belongs to the process that made it, as the machine does. */
static void check_strangers(struct kioas_lab *lab, bool kvm)
{
	struct machine machine = machine_open(lab->fd, kvm);
	uint32_t space;
	int status;
	pid_t child;

	lab_step("another process gets neither the machine's memory nor its own into the space");
	map_anonymous(low, BYTES, 0);
	machine_set(&machine, 0, FIRST, low, PAGE, false);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		if (kvm) {
			CHECK(kioas_alloc_vm(lab->fd, machine.fd, &space) == -EINVAL);
			kioas_check_why(lab->fd, EINVAL, IOASID_ALLOC, "vm_fd", 0);
		}
		CHECK(kioas_map_one(lab->fd, machine.space, SECOND, low, PAGE, RW) == -EINVAL);
		kioas_check_why(lab->fd, EINVAL, IOASID_MAP_DMA, "ioasid", 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);

	lab_step("a machine that nobody else holds is still there for the device");
	attach(lab, &machine);
	if (kvm)
		machine_forget(&machine);
	CHECK(reaches(lab, FIRST, low));
	CHECK(sync_all(lab, &machine) == 0);
	leave(lab, &machine);
}

/* The guest writes, the device reads that and writes elsewhere, the guest compares. */
static void check_guest(struct kioas_lab *lab)
{
	struct machine machine = machine_open(lab->fd, true);

	lab_step("a guest that runs shares memory with the device, at its own addresses");
	map_anonymous(low, BYTES, 0);
	machine_set(&machine, 0, 0, low, 16 * PAGE, false);
	attach(lab, &machine);
	machine_run_guest(&machine, low, 0xbeef);
	edu_read_memory(&lab->edu, GUEST_OUT, EDU_TRANSFER_BYTES);
	edu_write_memory(&lab->edu, GUEST_IN, EDU_TRANSFER_BYTES);
	CHECK(machine_ask_guest(&machine, low) == 0xbeef);
	leave(lab, &machine);
}

static void check_machine(struct kioas_lab *lab, bool kvm)
{
	printf("  %s\n", kvm ? "a KVM machine" : "slots of the caller's");
	check_slots(lab, kvm);
	check_changes(lab, kvm);
	check_process(lab, kvm);
	check_large(lab, kvm);
	check_limit(lab, kvm);
	check_strangers(lab, kvm);
}

int main(void)
{
	struct kioas_lab lab;
	uint64_t pins;
	bool kvm;

	kioas_lab_open(&lab);
	pins = lab_pins();
	CHECK(kioas_extension(lab.fd, IOASID_EXT_KINDS) & 1 << IOASID_KIND_VM);
	kvm = kioas_extension(lab.fd, IOASID_EXT_KVM);
	check_arguments(&lab, kvm);
	check_machine(&lab, false);
	if (kvm) {
		check_machine(&lab, true);
		check_guest(&lab);
	} else {
		printf("  this kernel's KVM does not tell of its slots\n");
	}
	CHECK(lab_pins() == pins);
	kioas_lab_close(&lab);
	return 0;
}
