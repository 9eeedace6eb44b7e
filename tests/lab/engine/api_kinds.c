// SPDX-License-Identifier: BSD-3-Clause
/*
 * Kinds whose table is not the library's, on a real kernel: PASSTHROUGH shows registered memory and
 * nothing else, CPU whatever the process has, VM what a virtual machine has. What a backend does
 * not offer is left out, and said.
 */
#include "../prog/lab_prog.h"
#include "../prog/lab_state.h"

#include <errno.h>
#include <fcntl.h>
#include <ioas/ioas.h>
#include <ioas/pci.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
/* Addresses that fit the 39 bits of QEMU's VT-d, so that an IOVA can be the same. */
#define LOW	  UINT64_C(0x2000000000)
#define LOW_BYTES (64 * PAGE)
#define GUEST	  UINT64_C(0x100000) /* where the guest's memory begins */

struct world {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_caps caps;
	struct ioas *as;
	struct ioas_queue *queue;
	void *registers;
	uint64_t registers_bytes;
	struct edu edu;
};

static uint8_t *low_memory(uint64_t offset, uint64_t bytes, int protection)
{
	void *va = mmap((void *)(LOW + offset), bytes, protection,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	CHECK(va == (void *)(LOW + offset));
	return va;
}

static bool offers(const struct world *world, enum ioas_kind kind)
{
	if (world->caps.kinds & 1U << kind)
		return true;
	printf("    no %s spaces here\n", ioas_kind_name(kind));
	return false;
}

static void open_space(struct world *world, const struct ioas_opts *opts)
{
	CHECK(ioas_create(world->ctx, opts, &world->as) == 0);
	CHECK(ioas_queue_create(world->as, &world->queue) == 0);
	CHECK(ioas_attach(world->as, world->dev) == 0);
	CHECK(ioas_pci_bus_master(world->dev, true) == 0);
	CHECK(ioas_pci_bar_map(world->dev, 0, &world->registers, &world->registers_bytes) == 0);
	edu_open_registers(&world->edu, world->registers);
}

static void close_space(struct world *world)
{
	CHECK(ioas_pci_bar_unmap(world->dev, world->registers, world->registers_bytes) == 0);
	CHECK(ioas_detach(world->dev) == 0);
	CHECK(ioas_queue_destroy(world->queue) == 0);
	CHECK(ioas_destroy(world->as) == 0);
}

static bool reaches(struct world *world, uint8_t *va)
{
	return edu_reaches(&world->edu, (uintptr_t)va, va);
}

/* What the kernel says that an IOVA means. */
static void check_lookup(struct world *world, ioas_iova_t iova, const void *expected)
{
	void *va;

	CHECK(ioas_lookup(world->queue, iova, &va, NULL) == (expected ? 0 : -ENOENT));
	CHECK(!expected || va == expected);
}

static void check_passthrough(struct world *world)
{
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_PASSTHROUGH };
	uint8_t *first = low_memory(0, 4 * PAGE, PROT_READ | PROT_WRITE);
	uint8_t *second = low_memory(8 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE);
	struct ioas_mem *first_mem, *second_mem;
	ioas_iova_t iova;
	size_t bytes = 1;

	lab_step("PASSTHROUGH: memory that is registered, at its own address");
	if (!offers(world, IOAS_KIND_PASSTHROUGH))
		return;
	CHECK(ioas_mem_register(world->ctx, first, 4 * PAGE, &first_mem) == 0);
	open_space(world, &opts);
	CHECK(ioas_translate(world->queue, first, &bytes, &iova) == 0);
	CHECK(iova == (uintptr_t)first);
	CHECK(reaches(world, first) && reaches(world, first + 3 * PAGE));
	CHECK(!reaches(world, second));
	check_lookup(world, (uintptr_t)first + 5, first + 5);
	check_lookup(world, (uintptr_t)second, NULL);

	lab_step("PASSTHROUGH: it follows what is registered");
	CHECK(ioas_mem_register(world->ctx, second, 4 * PAGE, &second_mem) == 0);
	CHECK(reaches(world, second));
	CHECK(ioas_mem_free(first_mem) == 0);
	CHECK(!reaches(world, first) && reaches(world, second));
	close_space(world);
	CHECK(ioas_mem_free(second_mem) == 0);
}

static void check_cpu(struct world *world)
{
	struct ioas_opts opts = { .size = sizeof(opts),
				  .kind = IOAS_KIND_CPU,
				  .aperture = { LOW, LOW + LOW_BYTES - 1 } };
	uint8_t *memory = low_memory(0, 4 * PAGE, PROT_READ | PROT_WRITE);
	uint8_t *late = (uint8_t *)(LOW + 16 * PAGE);

	lab_step("CPU: whatever the process has in the interval, at its own address");
	if (!offers(world, IOAS_KIND_CPU))
		return;
	open_space(world, &opts);
	CHECK(reaches(world, memory) && reaches(world, memory + 3 * PAGE));
	check_lookup(world, (uintptr_t)memory, memory);

	lab_step("CPU: it follows what the process maps and unmaps");
	late = low_memory(16 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	CHECK(ioas_sync(world->as, late, PAGE) == 0);
	CHECK(reaches(world, late));
	CHECK(munmap(memory, PAGE) == 0);
	memory = low_memory(0, PAGE, PROT_READ | PROT_WRITE);
	CHECK(ioas_sync(world->as, NULL, 0) == 0);
	CHECK(reaches(world, memory));

	lab_step("CPU: what the process may not write a device does not");
	memset(memory, 0x42, PAGE);
	CHECK(mprotect(memory, PAGE, PROT_READ) == 0);
	edu_write_memory(&world->edu, (uintptr_t)memory, EDU_TRANSFER_BYTES);
	CHECK(lab_all_bytes_are(memory, PAGE, 0x42));
	CHECK(mprotect(memory, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(ioas_sync(world->as, memory, PAGE) == 0);
	CHECK(reaches(world, memory));
	close_space(world);

	lab_step("CPU: no more than the space allows");
	opts.prot = IOAS_READ;
	open_space(world, &opts);
	CHECK(!reaches(world, memory));
	close_space(world);
}

/* A machine with some memory, and no processor. Return: its file */
static int make_machine(const struct kvm_userspace_memory_region *region)
{
	int kvm, machine;

	if (access("/dev/kvm", F_OK))
		lab_run("modprobe kvm-amd");
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	CHECK(kvm >= 0);
	machine = ioctl(kvm, KVM_CREATE_VM, 0);
	close(kvm);
	CHECK(machine >= 0);
	CHECK(ioctl(machine, KVM_SET_USER_MEMORY_REGION, region) == 0);
	return machine;
}

static void check_vm(struct world *world)
{
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_VM };
	uint8_t *memory = lab_buffer(4 * PAGE, 0, 0);
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = GUEST,
		.memory_size = 4 * PAGE,
		.userspace_addr = (uintptr_t)memory,
	};

	lab_step("VM: the memory of a virtual machine, at the guest's addresses");
	if (!offers(world, IOAS_KIND_VM))
		return;
	opts.vm_fd = make_machine(&region);
	open_space(world, &opts);
	CHECK(edu_reaches(&world->edu, GUEST, memory));
	CHECK(edu_reaches(&world->edu, GUEST + 3 * PAGE, memory + 3 * PAGE));
	check_lookup(world, GUEST + PAGE, memory + PAGE);
	check_lookup(world, GUEST + 4 * PAGE, NULL);

	lab_step("VM: it follows what the machine gets and loses");
	region.slot = 1;
	region.guest_phys_addr += 64 * PAGE;
	CHECK(ioctl(opts.vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0);
	CHECK(ioas_sync(world->as, NULL, 0) == 0);
	CHECK(edu_reaches(&world->edu, GUEST + 64 * PAGE, memory));
	region.memory_size = 0;
	CHECK(ioctl(opts.vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0);
	CHECK(!edu_reaches(&world->edu, GUEST + 64 * PAGE, memory));
	check_lookup(world, GUEST + 64 * PAGE, NULL);
	close_space(world);
	close(opts.vm_fd);
}

int main(int argc, char **argv)
{
	struct ioas_ctx_opts opts = { .size = sizeof(opts), .log = ioas_log_stderr };
	static struct world world;
	uint64_t pins;

	if (argc != 3)
		FAIL("usage: %s BACKEND DRIVER", argv[0]);
	if (!strcmp(argv[1], "ioasid") && access("/dev/ioasid", F_OK))
		lab_skip("the module kioas is not there");
	lab_bind_devices(argv[2]);
	pins = lab_pins();
	opts.backend = argv[1];
	CHECK(ioas_ctx_open(&opts, &world.ctx) == 0);
	CHECK(ioas_dev_bind(world.ctx, lab_device("edu"), &world.dev) == 0);
	world.caps.size = sizeof(world.caps);
	CHECK(ioas_ctx_caps(world.ctx, &world.caps) == 0);
	check_passthrough(&world);
	check_cpu(&world);
	check_vm(&world);
	CHECK(ioas_dev_unbind(world.dev) == 0);
	CHECK(ioas_ctx_close(world.ctx) == 0);
	CHECK(lab_pins() == pins);
	return 0;
}
