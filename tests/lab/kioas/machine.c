// SPDX-License-Identifier: BSD-3-Clause
/* See machine.h. Source: Linux Documentation/virt/kvm/api.rst. */
#include "machine.h"

#include "kioas_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_CODE   0x1000
#define GUEST_RESULT 0x2000

static int open_kvm(void)
{
	int kvm, machine;

	if (access("/dev/kvm", F_OK))
		lab_run("modprobe kvm-amd");
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	CHECK(kvm >= 0);
	machine = ioctl(kvm, KVM_CREATE_VM, 0);
	CHECK(machine >= 0);
	close(kvm);
	return machine;
}

struct machine machine_create(bool kvm)
{
	return (struct machine){ .fd = kvm ? open_kvm() : -1, .vcpu = -1 };
}

void machine_show(struct machine *machine, int ioasid_fd)
{
	machine->ioasid_fd = ioasid_fd;
	CHECK(kioas_alloc_vm(ioasid_fd, machine->fd, &machine->space) == 0);
}

struct machine machine_open(int ioasid_fd, bool kvm)
{
	struct machine machine = machine_create(kvm);

	machine_show(&machine, ioasid_fd);
	return machine;
}

void machine_forget(struct machine *machine)
{
	if (machine->vcpu >= 0)
		close(machine->vcpu);
	close(machine->fd);
	machine->fd = machine->vcpu = -1;
}

void machine_close(struct machine *machine)
{
	if (machine->fd >= 0)
		machine_forget(machine);
}

static int try_region(const struct machine *machine, unsigned int slot)
{
	const struct machine_slot *have = &machine->slots[slot];
	const struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = have->read_only ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = have->gpa,
		.memory_size = have->bytes,
		.userspace_addr = (uintptr_t)have->memory,
	};

	return ioctl(machine->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

static void set_region(const struct machine *machine, unsigned int slot)
{
	CHECK(try_region(machine, slot) == 0);
}

/* From 6.5 on KVM refuses that while there is a tracker. */
static void move_region(struct machine *machine, unsigned int slot, uint64_t gpa)
{
	const struct machine_slot old = machine->slots[slot];
	int ret;

	machine->slots[slot].gpa = gpa;
	ret = try_region(machine, slot);
	CHECK(!ret || ret == -EINVAL);
	if (!ret)
		return;
	machine_delete(machine, slot);
	machine_set(machine, slot, gpa, old.memory, old.bytes, old.read_only);
}

static void map_slot(const struct machine *machine, const struct machine_slot *slot)
{
	CHECK(kioas_map_one(machine->ioasid_fd, machine->space, slot->gpa, slot->memory,
			    slot->bytes, slot->read_only ? IOASID_MAP_READ : RW) == 0);
}

static void unmap_slot(const struct machine *machine, const struct machine_slot *slot)
{
	CHECK(kioas_unmap_one(machine->ioasid_fd, machine->space, slot->gpa, slot->bytes) == 0);
}

void machine_set(struct machine *machine, unsigned int slot, uint64_t gpa, uint8_t *memory,
		 size_t bytes, bool read_only)
{
	machine->slots[slot] = (struct machine_slot){ gpa, memory, bytes, read_only };
	if (machine->fd >= 0)
		set_region(machine, slot);
	else
		map_slot(machine, &machine->slots[slot]);
}

void machine_delete(struct machine *machine, unsigned int slot)
{
	if (machine->fd < 0)
		unmap_slot(machine, &machine->slots[slot]);
	machine->slots[slot].bytes = 0;
	if (machine->fd >= 0)
		set_region(machine, slot);
}

void machine_move(struct machine *machine, unsigned int slot, uint64_t gpa)
{
	if (machine->fd >= 0) {
		move_region(machine, slot, gpa);
		return;
	}
	unmap_slot(machine, &machine->slots[slot]);
	machine->slots[slot].gpa = gpa;
	map_slot(machine, &machine->slots[slot]);
}

/* Runs from GUEST_CODE to a HLT, on a processor of its own. */
static void run_code(struct machine *machine, uint8_t *memory, const uint8_t *code, size_t bytes)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_run *run;
	int kvm, run_bytes;

	memcpy(memory + GUEST_CODE, code, bytes);
	if (machine->vcpu < 0)
		machine->vcpu = ioctl(machine->fd, KVM_CREATE_VCPU, 0);
	CHECK(machine->vcpu >= 0);
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	CHECK(kvm >= 0);
	run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	CHECK(run_bytes > 0);
	run = mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
	CHECK(run != MAP_FAILED);
	CHECK(ioctl(machine->vcpu, KVM_GET_SREGS, &sregs) == 0);
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.base = sregs.ds.selector = 0;
	CHECK(ioctl(machine->vcpu, KVM_SET_SREGS, &sregs) == 0);
	CHECK(ioctl(machine->vcpu, KVM_SET_REGS, &regs) == 0);
	CHECK(ioctl(machine->vcpu, KVM_RUN, 0) == 0);
	CHECK(run->exit_reason == KVM_EXIT_HLT);
	CHECK(munmap(run, run_bytes) == 0);
	close(kvm);
}

void machine_run_guest(struct machine *machine, uint8_t *memory, uint16_t word)
{
	/* mov word [GUEST_OUT], word; hlt */
	const uint8_t code[] = { 0xc7,	    0x06, GUEST_OUT & 0xff, GUEST_OUT >> 8, word & 0xff,
				 word >> 8, 0xf4 };

	run_code(machine, memory, code, sizeof(code));
}

uint16_t machine_ask_guest(struct machine *machine, uint8_t *memory)
{
	/* mov ax, [GUEST_IN]; mov [GUEST_RESULT], ax; hlt */
	static const uint8_t code[] = { 0xa1, GUEST_IN & 0xff,	   GUEST_IN >> 8,
					0xa3, GUEST_RESULT & 0xff, GUEST_RESULT >> 8,
					0xf4 };
	uint16_t word;

	run_code(machine, memory, code, sizeof(code));
	memcpy(&word, memory + GUEST_RESULT, sizeof(word));
	return word;
}
