// SPDX-License-Identifier: BSD-3-Clause
/*
 * Every call with random and hostile arguments, from several threads of several processes, which
 *share one file and have others of their own, and are killed at random. What it proves is what does
 *not happen: the kernel reports nothing, and in the end no page is pinned and the device works.
 *
 *	kioas_fuzz [SECONDS [SEED]]
 */
#include "kioas_lab.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS	   4
#define PROCESSES  2
#define SECONDS	   15
#define MEMORY	   (4 * MIB)
#define FIRST_IOVA 0x10000000UL
#define CALLS	   24 /* a few more than there are */

/* Shared by all processes. */
struct tally {
	atomic_ulong tried[CALLS];
	atomic_ulong done[CALLS];
};

struct fuzzer {
	uint64_t state;
	int fd;
	int device_fd;
	int machine_fd; /* of KVM, or -1 */
	uint8_t *memory;
	struct tally *tally;
	uint8_t *ring; /* mapped, or NULL */
};

static uint64_t any(struct fuzzer *fuzzer)
{
	fuzzer->state ^= fuzzer->state << 13;
	fuzzer->state ^= fuzzer->state >> 7;
	fuzzer->state ^= fuzzer->state << 17;
	return fuzzer->state * 0x2545f4914f6cdd1d;
}

static uint64_t below(struct fuzzer *fuzzer, uint64_t limit)
{
	return (any(fuzzer) >> 16) % limit;
}

static bool once_in(struct fuzzer *fuzzer, unsigned int times)
{
	return below(fuzzer, times) == 0;
}

/* Values at the edges, for any field. */
static uint64_t hostile(struct fuzzer *fuzzer)
{
	static const uint64_t values[] = {
		0,
		1,
		4095,
		4096,
		0xfee00000,
		1UL << 31,
		UINT32_MAX,
		1UL << 39,
		1UL << 47,
		(1UL << 47) - 4096,
		1UL << 63,
		INT64_MAX,
		UINT64_MAX,
		-4096UL,
		0xffff800000000000,
		1UL << 48,
		0x7fffffff000,
		0xfffff000,
		1UL << 57,
		0xffffffff81000000,
	};

	if (once_in(fuzzer, 4))
		return any(fuzzer);
	return values[below(fuzzer, sizeof(values) / sizeof(values[0]))];
}

/* Numbers of objects are small: most of the time somebody has one like that. */
static uint32_t number(struct fuzzer *fuzzer)
{
	return once_in(fuzzer, 50) ? hostile(fuzzer) : 1 + below(fuzzer, 10);
}

static uint64_t iova(struct fuzzer *fuzzer)
{
	return once_in(fuzzer, 40) ? hostile(fuzzer) : FIRST_IOVA + below(fuzzer, 512) * PAGE;
}

static uint64_t address(struct fuzzer *fuzzer)
{
	if (once_in(fuzzer, 40))
		return hostile(fuzzer);
	/* Often an address of a parent */
	return once_in(fuzzer, 4) ? iova(fuzzer)
				  : (uintptr_t)fuzzer->memory + below(fuzzer, MEMORY / PAGE) * PAGE;
}

static uint64_t length(struct fuzzer *fuzzer)
{
	return once_in(fuzzer, 40) ? hostile(fuzzer) : (1 + below(fuzzer, 8)) * PAGE;
}

static uint64_t flags(struct fuzzer *fuzzer, uint64_t known)
{
	return once_in(fuzzer, 40) ? hostile(fuzzer) : any(fuzzer) & known;
}

union command {
	uint32_t size;
	uint8_t bytes[512];
	struct ioasid_check_extension check;
	struct ioasid_kind_info kind;
	struct ioasid_bind_device bind;
	struct ioasid_unbind_device unbind;
	struct ioasid_device_info info;
	struct ioasid_device_control control;
	struct ioasid_alloc alloc;
	struct ioasid_free free;
	struct ioasid_attach attach;
	struct ioasid_detach detach;
	struct ioasid_memory memory;
	struct ioasid_map_dma map;
	struct ioasid_unmap_dma unmap;
	struct ioasid_invalidate_cache invalidate;
	struct ioasid_lookup lookup;
	struct ioasid_set_dirty_tracking dirty;
	struct ioasid_get_dirty_bitmap bitmap;
	struct ioasid_ring_setup ring;
	struct ioasid_ring_enter enter;
};

/* What arrays lie in; the kernel copies it while another thread may be writing. */
static union {
	struct ioasid_map_entry maps[128];
	struct ioasid_unmap_entry unmaps[128];
	struct ioasid_inval_entry invals[128];
	struct ioasid_range ranges[64];
	struct ioasid_alloc_user user;
	struct ioasid_alloc_cpu cpu;
	struct ioasid_alloc_vm vm;
} array[THREADS];

static void fill_map(struct fuzzer *fuzzer, union command *command, unsigned int which)
{
	command->map.ioasid = number(fuzzer);
	command->map.count = once_in(fuzzer, 20) ? hostile(fuzzer) : 1 + below(fuzzer, 64);
	command->map.entry_size = sizeof(struct ioasid_map_entry);
	command->map.entries_uptr = (uintptr_t)array[which].maps;
	for (int i = 0; i < 64; i++)
		array[which].maps[i] = (struct ioasid_map_entry){
			.iova = iova(fuzzer),
			.address = address(fuzzer),
			.length = length(fuzzer),
			.flags = flags(fuzzer, once_in(fuzzer, 3) ? 7 : 3),
		};
	/* Most of longer arrays fail at once otherwise. */
	if (once_in(fuzzer, 2))
		command->map.count = 1;
}

static void fill_unmap(struct fuzzer *fuzzer, union command *command, unsigned int which)
{
	command->unmap.ioasid = number(fuzzer);
	command->unmap.count = once_in(fuzzer, 4) ? 1 + below(fuzzer, 64) : 1;
	command->unmap.entry_size = sizeof(struct ioasid_unmap_entry);
	command->unmap.entries_uptr = (uintptr_t)array[which].unmaps;
	for (int i = 0; i < 64; i++)
		array[which].unmaps[i] =
			(struct ioasid_unmap_entry){ iova(fuzzer), length(fuzzer) };
	if (once_in(fuzzer, 8)) {
		command->unmap.flags = IOASID_UNMAP_ALL;
		command->unmap.count = 0;
		command->unmap.entries_uptr = 0;
	}
}

static void fill_invalidate(struct fuzzer *fuzzer, union command *command, unsigned int which)
{
	command->invalidate.ioasid = number(fuzzer);
	command->invalidate.count = 1 + below(fuzzer, once_in(fuzzer, 4) ? 64 : 2);
	command->invalidate.entry_size = sizeof(struct ioasid_inval_entry);
	command->invalidate.entries_uptr = (uintptr_t)array[which].invals;
	for (int i = 0; i < 64; i++)
		array[which].invals[i] = (struct ioasid_inval_entry){
			.type = IOASID_INVAL_RANGE,
			.flags = flags(fuzzer, 1),
			.iova = iova(fuzzer),
			.length = once_in(fuzzer, 4) ? 1UL << 40 : length(fuzzer),
		};
	if (once_in(fuzzer, 2))
		array[which].invals[0] = (struct ioasid_inval_entry){ .type = below(fuzzer, 3) };
}

static void fill_alloc(struct fuzzer *fuzzer, union command *command, unsigned int which)
{
	struct ioasid_alloc *alloc = &command->alloc;

	alloc->kind = once_in(fuzzer, 20) ? hostile(fuzzer) : 1 + below(fuzzer, 5);
	alloc->parent_id = once_in(fuzzer, 2) ? number(fuzzer) : 0;
	alloc->dev_id = once_in(fuzzer, 4) ? number(fuzzer) : 0;
	alloc->format = once_in(fuzzer, 4) ? below(fuzzer, 16) : 0;
	if (alloc->kind == IOASID_KIND_USER) {
		alloc->format = once_in(fuzzer, 4) ? below(fuzzer, 16) : IOASID_FORMAT_X86_64_L4;
		array[which].user = (struct ioasid_alloc_user){ .root = iova(fuzzer) };
		alloc->data_len = sizeof(array[which].user);
	} else if (alloc->kind == IOASID_KIND_CPU) {
		array[which].cpu = (struct ioasid_alloc_cpu){
			.start = (uintptr_t)fuzzer->memory,
			.last = (uintptr_t)fuzzer->memory + MEMORY - 1,
			.prot = flags(fuzzer, 3),
		};
		alloc->data_len = sizeof(array[which].cpu);
	} else if (alloc->kind == IOASID_KIND_VM) {
		array[which].vm = (struct ioasid_alloc_vm){
			.vm_fd = once_in(fuzzer, 2)   ? -1
				 : once_in(fuzzer, 8) ? (int)below(fuzzer, 8)
						      : fuzzer->machine_fd,
		};
		alloc->data_len = sizeof(array[which].vm);
	}
	if (alloc->data_len)
		alloc->data_uptr = (uintptr_t)&array[which];
}

static uint32_t fill(struct fuzzer *fuzzer, union command *command, unsigned long call,
		     unsigned int which)
{
	switch (call) {
	case IOASID_CHECK_EXTENSION:
		command->check.extension = below(fuzzer, 13);
		return sizeof(command->check);
	case IOASID_KIND_GET_INFO:
		command->kind.kind = below(fuzzer, 8);
		return sizeof(command->kind);
	case IOASID_BIND_DEVICE:
		command->bind.device_fd =
			once_in(fuzzer, 8) ? (int)below(fuzzer, 8) : fuzzer->device_fd;
		command->bind.cookie = any(fuzzer);
		return sizeof(command->bind);
	case IOASID_UNBIND_DEVICE:
		command->unbind.dev_id = number(fuzzer);
		return sizeof(command->unbind);
	case IOASID_DEVICE_GET_INFO:
		command->info.dev_id = number(fuzzer);
		command->info.ranges_uptr = (uintptr_t)array[which].ranges;
		command->info.range_count = once_in(fuzzer, 4) ? hostile(fuzzer) : 64;
		return sizeof(command->info);
	case IOASID_DEVICE_CONTROL:
		command->control.dev_id = number(fuzzer);
		command->control.op = below(fuzzer, 5);
		return sizeof(command->control);
	case IOASID_ALLOC:
		fill_alloc(fuzzer, command, which);
		return sizeof(command->alloc);
	case IOASID_FREE:
		command->free.ioasid = number(fuzzer);
		return sizeof(command->free);
	case IOASID_ATTACH:
		command->attach.dev_id = number(fuzzer);
		command->attach.ioasid = number(fuzzer);
		return sizeof(command->attach);
	case IOASID_DETACH:
		command->detach.dev_id = number(fuzzer);
		return sizeof(command->detach);
	case IOASID_REGISTER_MEMORY:
		command->memory.prot = flags(fuzzer, 3);
		/* fallthrough */
	case IOASID_UNREGISTER_MEMORY:
		command->memory.va = once_in(fuzzer, 20) ? hostile(fuzzer)
							 : (uintptr_t)fuzzer->memory +
								   below(fuzzer, 8) * 64 * PAGE;
		command->memory.length = once_in(fuzzer, 20) ? hostile(fuzzer) : 64 * PAGE;
		return sizeof(command->memory);
	case IOASID_MAP_DMA:
		fill_map(fuzzer, command, which);
		return sizeof(command->map);
	case IOASID_UNMAP_DMA:
		fill_unmap(fuzzer, command, which);
		return sizeof(command->unmap);
	case IOASID_INVALIDATE_CACHE:
		fill_invalidate(fuzzer, command, which);
		return sizeof(command->invalidate);
	case IOASID_LOOKUP:
		command->lookup.ioasid = number(fuzzer);
		command->lookup.iova = iova(fuzzer) + below(fuzzer, PAGE);
		return sizeof(command->lookup);
	case IOASID_RING_SETUP:
		command->ring.flags = flags(fuzzer, 1);
		command->ring.sq_entries = 1U << below(fuzzer, 12);
		return sizeof(command->ring);
	case IOASID_RING_ENTER:
		command->enter.to_submit = once_in(fuzzer, 2) ? below(fuzzer, 16) : 0;
		command->enter.flags = flags(fuzzer, 1);
		return sizeof(command->enter);
	default:
		return 8 + below(fuzzer, 25) * 8;
	}
}

/* The whole structure may be nonsense, or one of its words. */
static void spoil(struct fuzzer *fuzzer, union command *command)
{
	uint64_t value = hostile(fuzzer);

	if (once_in(fuzzer, 30))
		memcpy(command->bytes + below(fuzzer, 24) * 4, &value, 4);
	if (once_in(fuzzer, 200))
		for (size_t at = 4; at < sizeof(*command); at += 4)
			memcpy(command->bytes + at, &(uint32_t){ (uint32_t)any(fuzzer) }, 4);
	if (once_in(fuzzer, 100))
		command->size = hostile(fuzzer);
}

/* Half of the memory holds tables, of words that often mean something. */
static void change_tables(struct fuzzer *fuzzer)
{
	volatile uint64_t *words = (uint64_t *)(fuzzer->memory + MEMORY / 2);

	for (int i = 0; i < 64; i++)
		words[below(fuzzer, MEMORY / 2 / 8)] =
			once_in(fuzzer, 8) ? hostile(fuzzer) : iova(fuzzer) | (any(fuzzer) & 0x87);
}

/* The process's own address space changes under the calls. */
static void change_memory(struct fuzzer *fuzzer)
{
	uint8_t *at = fuzzer->memory + below(fuzzer, MEMORY / 2 / PAGE) * PAGE;

	if (once_in(fuzzer, 2))
		mmap(at, PAGE, once_in(fuzzer, 3) ? PROT_READ : PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	else
		mprotect(at, PAGE, once_in(fuzzer, 3) ? PROT_READ : PROT_READ | PROT_WRITE);
}

static void one_call(struct fuzzer *fuzzer, unsigned int which)
{
	unsigned int nr = below(fuzzer, CALLS);
	unsigned long call;
	union command command;
	int ret;

	/* Nothing else happens if spaces and bindings do not live for a while. */
	if ((nr == 3 || nr == 7 || nr == 9) && !once_in(fuzzer, 4))
		nr = 12;
	call = _IO(IOASID_TYPE, IOASID_BASE + nr);
	memset(&command, 0, sizeof(command));
	command.size = fill(fuzzer, &command, call, which);
	spoil(fuzzer, &command);
	ret = ioctl(fuzzer->fd, call, &command);
	fuzzer->tally->tried[nr]++;
	fuzzer->tally->done[nr] += !ret;
}

/* So does a machine that the process runs. */
static void change_machine(struct fuzzer *fuzzer)
{
	const struct kvm_userspace_memory_region region = {
		.slot = below(fuzzer, MACHINE_SLOTS),
		.flags = once_in(fuzzer, 8) ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = iova(fuzzer),
		.memory_size = once_in(fuzzer, 3) ? 0 : length(fuzzer),
		.userspace_addr = address(fuzzer),
	};

	ioctl(fuzzer->machine_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

#define RING_ENTRIES 64
#define RING_BYTES   (2 * PAGE)

static void open_ring(struct fuzzer *fuzzer)
{
	struct ioasid_ring_setup setup = {
		.size = sizeof(setup),
		.flags = below(fuzzer, 2),
		.sq_entries = RING_ENTRIES,
	};
	void *ring;

	if (kioas_call(fuzzer->fd, IOASID_RING_SETUP, &setup))
		return;
	CHECK(setup.out_length == RING_BYTES);
	ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fuzzer->fd,
		    IOASID_RING_OFFSET);
	if (ring != MAP_FAILED)
		fuzzer->ring = ring;
}

/* Elements that mean something, some of them while they are being read; and sometimes noise. */
static void change_ring(struct fuzzer *fuzzer)
{
	struct ioasid_ring_head *head = (struct ioasid_ring_head *)fuzzer->ring;
	struct ioasid_sqe *sqes = (struct ioasid_sqe *)(head + 1);

	for (unsigned int i = below(fuzzer, 8); i; i--) {
		struct ioasid_sqe *sqe = &sqes[below(fuzzer, RING_ENTRIES)];

		sqe->op = below(fuzzer, 5);
		sqe->flags = once_in(fuzzer, 8);
		sqe->op_flags = sqe->op == IOASID_RING_MAP ? 3 : once_in(fuzzer, 4);
		sqe->ioasid = number(fuzzer);
		sqe->iova = iova(fuzzer);
		sqe->address = sqe->op == IOASID_RING_MAP ? address(fuzzer) : 0;
		sqe->length = length(fuzzer);
	}
	head->sq_tail = head->sq_head + below(fuzzer, 16);
	head->cq_head = head->cq_tail - below(fuzzer, 4);
	if (once_in(fuzzer, 500))
		((uint32_t *)head)[below(fuzzer, sizeof(*head) / 4)] = hostile(fuzzer);
}

struct job {
	struct fuzzer fuzzer;
	unsigned int which;
	bool shared;
};

/* Most of what can be done needs a device, a space, and the one attached to the other. */
static void open_own_file(struct fuzzer *fuzzer)
{
	uint32_t dev_id, space, child;
	int fd = open("/dev/ioasid", O_RDWR | O_NONBLOCK);

	fuzzer->fd = fd;
	kioas_bind(fd, fuzzer->device_fd, any(fuzzer), &dev_id);
	if (kioas_alloc(fd, IOASID_KIND_KERNEL, 0, &space) == 0 &&
	    kioas_alloc(fd, once_in(fuzzer, 2) ? IOASID_KIND_KERNEL : IOASID_KIND_PASSTHROUGH,
			space, &child) == 0)
		kioas_attach(fd, dev_id, once_in(fuzzer, 2) ? space : child);
	/* Or a table, of the words of change_tables() */
	if (once_in(fuzzer, 3) &&
	    !kioas_map_one(fd, space, FIRST_IOVA, fuzzer->memory + MEMORY / 2, MEMORY / 2, RW) &&
	    !kioas_alloc_user(fd, IOASID_FORMAT_X86_64_L4, space,
			      FIRST_IOVA + below(fuzzer, 512) * PAGE, &child))
		kioas_attach(fd, dev_id, child);
	if (once_in(fuzzer, 3) &&
	    !kioas_alloc_vm(fd, once_in(fuzzer, 2) ? -1 : fuzzer->machine_fd, &space))
		kioas_attach(fd, dev_id, space);
	kioas_control(fd, dev_id, IOASID_DEVICE_MASTER_ON);
	open_ring(fuzzer);
}

static void *fuzz_thread(void *argument)
{
	struct job *job = argument;
	struct fuzzer *fuzzer = &job->fuzzer;
	uint8_t event[512];

	for (;;) {
		one_call(fuzzer, job->which);
		if (once_in(fuzzer, 64))
			change_memory(fuzzer);
		if (once_in(fuzzer, 64))
			change_tables(fuzzer);
		if (fuzzer->machine_fd >= 0 && once_in(fuzzer, 32))
			change_machine(fuzzer);
		if (fuzzer->ring && once_in(fuzzer, 4))
			change_ring(fuzzer);
		if (once_in(fuzzer, 128) && read(fuzzer->fd, event, below(fuzzer, 512)) < 0 &&
		    write(fuzzer->fd, event, 16) > 0)
			return NULL;
		if (once_in(fuzzer, 2048) && !job->shared) {
			close(fuzzer->fd);
			/* The mapping holds the file, too. */
			if (fuzzer->ring)
				munmap(fuzzer->ring, RING_BYTES);
			fuzzer->ring = NULL;
			open_own_file(fuzzer);
		}
	}
}

/* Runs until it is killed. Half of the threads share a file with the other processes. */
static _Noreturn void fuzz_process(struct tally *tally, int shared_fd, uint64_t seed)
{
	static const char *const devices[THREADS] = { "edu", "group0", "group1", "group2" };
	static struct job jobs[THREADS];
	uint8_t *memory = lab_buffer(MEMORY, 0, 1);
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int machine_fd = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	pthread_t thread;

	for (unsigned int i = 0; i < THREADS; i++) {
		const char *device = lab_device(devices[i]) ?: lab_device("edu");
		struct fuzzer *fuzzer = &jobs[i].fuzzer;

		*fuzzer = (struct fuzzer){
			.state = seed * 0x9e3779b97f4a7c15 + i + 1,
			.fd = shared_fd,
			.device_fd = kioas_open_device(device),
			.machine_fd = machine_fd,
			.memory = memory,
			.tally = tally,
		};
		jobs[i].which = i;
		jobs[i].shared = i % 2;
		if (!jobs[i].shared)
			open_own_file(fuzzer);
		CHECK(pthread_create(&thread, NULL, fuzz_thread, &jobs[i]) == 0);
	}
	for (;;)
		pause();
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void kill_at_random(struct fuzzer *fuzzer, long end_ms)
{
	pid_t children[PROCESSES] = {};
	unsigned long killed = 0;
	uint64_t seed = fuzzer->state;

	while (now_ms() < end_ms) {
		pid_t *child = &children[below(fuzzer, PROCESSES)];

		if (*child) {
			CHECK(kill(*child, SIGKILL) == 0);
			CHECK(waitpid(*child, NULL, 0) == *child);
			killed++;
		}
		fflush(stdout);
		*child = fork();
		CHECK(*child >= 0);
		if (!*child)
			fuzz_process(fuzzer->tally, fuzzer->fd, ++seed + killed);
		usleep(100000 + below(fuzzer, 900000));
	}
	for (int i = 0; i < PROCESSES; i++)
		if (children[i]) {
			CHECK(kill(children[i], SIGKILL) == 0);
			CHECK(waitpid(children[i], NULL, 0) == children[i]);
		}
	printf("    %lu processes were killed\n", killed + PROCESSES);
}

static void check_device(void)
{
	uint8_t *memory = lab_buffer(PAGE, 0, 1);
	struct kioas_lab lab;
	uint32_t space;

	kioas_lab_open(&lab);
	space = kioas_space(lab.fd, IOASID_KIND_KERNEL, 0);
	CHECK(kioas_attach(lab.fd, lab.dev_id, space) == 0);
	CHECK(kioas_control(lab.fd, lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(!edu_reaches(&lab.edu, 0x10000000, memory));
	CHECK(kioas_map_one(lab.fd, space, 0x10000000, memory, PAGE, RW) == 0);
	CHECK(edu_reaches(&lab.edu, 0x10000000, memory));
	kioas_lab_close(&lab);
}

int main(int argc, char **argv)
{
	const int seconds = argc > 1 ? atoi(argv[1]) : SECONDS;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	uint64_t pins = lab_pins(), tried = 0, done = 0;
	struct fuzzer fuzzer = { .state = seed | 1, .fd = kioas_open() };

	fuzzer.tally = mmap(NULL, sizeof(*fuzzer.tally), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(fuzzer.tally != MAP_FAILED);
	CHECK(fcntl(fuzzer.fd, F_SETFL, O_NONBLOCK) == 0);
	if (kioas_extension(fuzzer.fd, IOASID_EXT_KVM)) {
		struct machine machine = machine_create(true); /* KVM is loaded then */

		machine_close(&machine);
	}
	printf("    seed %llu, %d s\n", (unsigned long long)seed, seconds);
	kill_at_random(&fuzzer, now_ms() + seconds * 1000);
	for (unsigned int nr = 0; nr < CALLS; nr++) {
		tried += fuzzer.tally->tried[nr];
		done += fuzzer.tally->done[nr];
		printf("    call %2u: %7lu of %7lu did something\n", nr, fuzzer.tally->done[nr],
		       fuzzer.tally->tried[nr]);
	}
	printf("    %llu calls, of which %llu did something\n", (unsigned long long)tried,
	       (unsigned long long)done);
	CHECK(fuzzer.tally->done[12] > 0 && fuzzer.tally->done[13] > 0);
	CHECK(fuzzer.tally->done[8] > 0 && fuzzer.tally->done[14] > 0);
	CHECK(fuzzer.tally->done[20] > 0);
	close(fuzzer.fd);
	check_device();
	CHECK(lab_pins() == pins);
	return 0;
}
