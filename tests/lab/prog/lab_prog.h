/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the lab's own programs share: verdicts, a device opened through VFIO, and the edu device as
 * a DMA engine. Single-threaded; everything lives until the process ends.
 *
 * Sources: QEMU's docs/specs/edu.rst; Linux include/uapi/linux/vfio.h.
 */
#ifndef LAB_PROG_H
#define LAB_PROG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAB_EXIT_SKIP 77

/* Ends the program: failed, or skipped because the machine lacks what the program needs. */
_Noreturn void lab_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void lab_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define FAIL(...) lab_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition)                                    \
	do {                                                \
		if (!(condition))                           \
			FAIL("%s (errno: %m)", #condition); \
	} while (0)

/* The PCI address of one of the machine's devices: "edu", "nvme0", "nic0". NULL if there is none.
 */
const char *lab_device(const char *name);

/* A readable page-aligned buffer of its own, filled with one byte. */
uint8_t *lab_buffer(size_t size_bytes, int mmap_flags, uint8_t fill);

/* An edu device reached through an open VFIO device file. */
struct edu {
	volatile uint8_t *registers;
};

/* Maps the registers, checks that it is an edu device and lets it master the bus. */
void edu_open(struct edu *edu, int device_fd);

/* The same with registers that are mapped, of a device that masters the bus. */
void edu_open_registers(struct edu *edu, volatile void *registers);

/* Largest transfer. One of all 4096 bytes of the buffer aborts QEMU 7.2. */
#define EDU_TRANSFER_BYTES 4080

/* One transfer between the device's own buffer and the bus address; waits for its end. */
void edu_read_memory(struct edu *edu, uint64_t iova, size_t size_bytes);
void edu_write_memory(struct edu *edu, uint64_t iova, size_t size_bytes);

/* Begins one, which happens 100 ms later. */
void edu_begin_write(struct edu *edu, uint64_t iova, size_t size_bytes);

/* The device writes, through the IOVA, what it read from elsewhere: is all of @va different now? */
bool edu_reaches(struct edu *edu, uint64_t iova, uint8_t *va);

void lab_fill_random(uint8_t *buffer, size_t size_bytes, uint64_t seed);
bool lab_all_bytes_are(const uint8_t *buffer, size_t size_bytes, uint8_t value);

/* Says what is tried now. */
void lab_step(const char *text);

/* How a program maps memory for its device; both return 0 or a negative errno. */
struct mapper {
	int (*map)(void *state, uint64_t iova, void *address, size_t size_bytes, bool writable);
	int (*unmap)(void *state, uint64_t iova, size_t size_bytes);
	void *state;
};

/*
 * The promise that every backend makes, told by what memory holds afterwards: mapped memory is
 * reached at its IOVA, memory that is unmapped or mapped read-only is not.
 */
void edu_check_mapper(struct edu *edu, const struct mapper *mapper);

#endif
