// SPDX-License-Identifier: BSD-3-Clause
/* See lab_prog.h. */
#include "lab_prog.h"

#include <ctype.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PCI_COMMAND		      0x04
#define PCI_COMMAND_MEMORY_AND_MASTER 0x06

#define EDU_IDENTIFICATION	 0x00
#define EDU_IDENTIFICATION_MAGIC 0xed
#define EDU_DMA_SOURCE		 0x80
#define EDU_DMA_DESTINATION	 0x88
#define EDU_DMA_COUNT		 0x90
#define EDU_DMA_COMMAND		 0x98
#define EDU_DMA_START		 0x1
#define EDU_DMA_TO_MEMORY	 0x2
#define EDU_BUFFER		 0x40000

#define KIB 1024UL
#define MIB (1024UL * KIB)

_Noreturn void lab_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "FAIL %s:%d: ", file, line);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

_Noreturn void lab_skip(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("SKIP ", stdout);
	vprintf(format, arguments);
	putchar('\n');
	va_end(arguments);
	exit(LAB_EXIT_SKIP);
}

const char *lab_device(const char *name)
{
	char variable[32] = "LAB_";
	size_t at;

	for (at = 4; *name && at < sizeof(variable) - 1; at++)
		variable[at] = (char)toupper((unsigned char)*name++);
	return getenv(variable);
}

uint8_t *lab_buffer(size_t size_bytes, int mmap_flags, uint8_t fill)
{
	uint8_t *buffer = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | mmap_flags, -1, 0);

	CHECK(buffer != MAP_FAILED);
	memset(buffer, fill, size_bytes);
	return buffer;
}

void edu_open(struct edu *edu, int device_fd)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command;
	void *registers;

	CHECK(ioctl(device_fd, VFIO_DEVICE_GET_REGION_INFO, &config) == 0);
	CHECK(ioctl(device_fd, VFIO_DEVICE_GET_REGION_INFO, &bar) == 0);
	CHECK(pread(device_fd, &command, 2, (off_t)config.offset + PCI_COMMAND) == 2);
	command |= PCI_COMMAND_MEMORY_AND_MASTER;
	CHECK(pwrite(device_fd, &command, 2, (off_t)config.offset + PCI_COMMAND) == 2);
	registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device_fd,
			 (off_t)bar.offset);
	CHECK(registers != MAP_FAILED);
	edu_open_registers(edu, registers);
}

void edu_open_registers(struct edu *edu, volatile void *registers)
{
	edu->registers = registers;
	if ((*(volatile uint32_t *)(edu->registers + EDU_IDENTIFICATION) & 0xff) !=
	    EDU_IDENTIFICATION_MAGIC)
		FAIL("this is no edu device");
}

static void edu_register_write(struct edu *edu, size_t offset, uint64_t value)
{
	*(volatile uint64_t *)(edu->registers + offset) = value;
}

static uint64_t edu_register_read(struct edu *edu, size_t offset)
{
	return *(volatile uint64_t *)(edu->registers + offset);
}

static void edu_begin(struct edu *edu, uint64_t source, uint64_t destination, size_t size_bytes,
		      uint64_t direction)
{
	edu_register_write(edu, EDU_DMA_SOURCE, source);
	edu_register_write(edu, EDU_DMA_DESTINATION, destination);
	edu_register_write(edu, EDU_DMA_COUNT, size_bytes);
	edu_register_write(edu, EDU_DMA_COMMAND, EDU_DMA_START | direction);
}

static void edu_transfer(struct edu *edu, uint64_t source, uint64_t destination, size_t size_bytes,
			 uint64_t direction)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	int attempts;

	edu_begin(edu, source, destination, size_bytes, direction);
	for (attempts = 0; attempts < 2000; attempts++) {
		if (!(edu_register_read(edu, EDU_DMA_COMMAND) & EDU_DMA_START))
			return;
		nanosleep(&pause, NULL);
	}
	FAIL("edu: a transfer does not end");
}

void edu_read_memory(struct edu *edu, uint64_t iova, size_t size_bytes)
{
	edu_transfer(edu, iova, EDU_BUFFER, size_bytes, 0);
}

void edu_write_memory(struct edu *edu, uint64_t iova, size_t size_bytes)
{
	edu_transfer(edu, EDU_BUFFER, iova, size_bytes, EDU_DMA_TO_MEMORY);
}

void edu_begin_write(struct edu *edu, uint64_t iova, size_t size_bytes)
{
	edu_begin(edu, EDU_BUFFER, iova, size_bytes, EDU_DMA_TO_MEMORY);
}

bool edu_reaches(struct edu *edu, uint64_t iova, uint8_t *va)
{
	static uint8_t count;
	uint8_t value = ++count % 2 ? 0xa5 : 0x5a;

	/* The device's buffer holds whatever it read last; only a change of all bytes counts. */
	memset(va, value, EDU_TRANSFER_BYTES);
	edu_write_memory(edu, iova, EDU_TRANSFER_BYTES);
	return !lab_all_bytes_are(va, EDU_TRANSFER_BYTES, value);
}

void lab_fill_random(uint8_t *buffer, size_t size_bytes, uint64_t seed)
{
	size_t at;

	for (at = 0; at < size_bytes; at++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		buffer[at] = (uint8_t)(seed >> 56);
	}
}

bool lab_all_bytes_are(const uint8_t *buffer, size_t size_bytes, uint8_t value)
{
	size_t at;

	for (at = 0; at < size_bytes; at++)
		if (buffer[at] != value)
			return false;
	return true;
}

void lab_step(const char *text)
{
	printf("  %s\n", text);
	fflush(stdout);
}

/* The device copies source to destination, and touches nothing but that. */
static void check_round_trip(struct edu *edu, uint8_t *source, uint64_t source_iova,
			     uint8_t *destination, uint64_t destination_iova, uint64_t seed)
{
	lab_fill_random(source, EDU_TRANSFER_BYTES, seed);
	memset(destination, 0x5a, 4 * KIB);
	edu_read_memory(edu, source_iova, EDU_TRANSFER_BYTES);
	edu_write_memory(edu, destination_iova, EDU_TRANSFER_BYTES);
	if (memcmp(source, destination, EDU_TRANSFER_BYTES))
		FAIL("the copy at IOVA 0x%llx differs", (unsigned long long)destination_iova);
	if (!lab_all_bytes_are(destination + EDU_TRANSFER_BYTES, 4 * KIB - EDU_TRANSFER_BYTES,
			       0x5a))
		FAIL("bytes after the copy were written");
}

void edu_check_mapper(struct edu *edu, const struct mapper *mapper)
{
	/* Nothing like the addresses that the process or the machine uses: they have to be
	 * translated. */
	const uint64_t source_iova = 0x10000000, destination_iova = 0x1234567000;
	const uint64_t huge_iova = 0x40000000;
	const size_t huge_offset = 1 * MIB + 12 * KIB;
	uint8_t *source = lab_buffer(4 * KIB, 0, 0);
	uint8_t *destination = lab_buffer(4 * KIB, 0, 0);
	uint8_t *huge = lab_buffer(2 * MIB, MAP_HUGETLB, 0x77);

	lab_step("mapped memory is reached");
	CHECK(mapper->map(mapper->state, source_iova, source, 4 * KIB, false) == 0);
	CHECK(mapper->map(mapper->state, destination_iova, destination, 4 * KIB, true) == 0);
	check_round_trip(edu, source, source_iova, destination, destination_iova, 1);

	lab_step("so is the middle of a hugepage, and only that");
	CHECK(mapper->map(mapper->state, huge_iova, huge, 2 * MIB, true) == 0);
	check_round_trip(edu, source, source_iova, huge + huge_offset, huge_iova + huge_offset, 2);
	if (!lab_all_bytes_are(huge, huge_offset, 0x77) ||
	    !lab_all_bytes_are(huge + huge_offset + 4 * KIB, 2 * MIB - huge_offset - 4 * KIB, 0x77))
		FAIL("other parts of the hugepage were written");
	CHECK(mapper->unmap(mapper->state, huge_iova, 2 * MIB) == 0);

	lab_step("memory mapped read-only is not written");
	lab_fill_random(source, 4 * KIB, 3);
	memcpy(destination, source, 4 * KIB);
	edu_write_memory(edu, source_iova, EDU_TRANSFER_BYTES);
	if (memcmp(source, destination, 4 * KIB))
		FAIL("read-only memory was written");

	lab_step("unmapped memory is not written");
	CHECK(mapper->unmap(mapper->state, destination_iova, 4 * KIB) == 0);
	memset(destination, 0xc3, 4 * KIB);
	memset(huge, 0x3c, 2 * MIB);
	edu_write_memory(edu, destination_iova, EDU_TRANSFER_BYTES);
	edu_write_memory(edu, huge_iova + huge_offset, EDU_TRANSFER_BYTES);
	if (!lab_all_bytes_are(destination, 4 * KIB, 0xc3) ||
	    !lab_all_bytes_are(huge, 2 * MIB, 0x3c))
		FAIL("unmapped memory was written");

	lab_step("unmapped memory is not read");
	CHECK(mapper->unmap(mapper->state, source_iova, 4 * KIB) == 0);
	lab_fill_random(source, 4 * KIB, 4);
	edu_read_memory(edu, source_iova, EDU_TRANSFER_BYTES);
	CHECK(mapper->map(mapper->state, destination_iova, destination, 4 * KIB, true) == 0);
	edu_write_memory(edu, destination_iova, EDU_TRANSFER_BYTES);
	if (memcmp(source, destination, 64) == 0)
		FAIL("unmapped memory was read");

	lab_step("the same IOVA serves another page");
	CHECK(mapper->map(mapper->state, source_iova, source, 4 * KIB, false) == 0);
	check_round_trip(edu, source, source_iova, destination, destination_iova, 5);
	CHECK(mapper->unmap(mapper->state, source_iova, 4 * KIB) == 0);
	CHECK(mapper->unmap(mapper->state, destination_iova, 4 * KIB) == 0);
}
