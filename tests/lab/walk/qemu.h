/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine of QEMU's without a program in it: its physical address space, reached from outside
 * over the socket that QEMU calls qtest (docs/devel/testing/qtest.rst). Its processors sleep.
 *
 * Writes are kept back until something is read, which is also the moment at which all of them
 * have had their effect. A QEMU that has gone ends the program; so does one that stands still, with
 * a status of its own, as that says nothing about tables.
 */
#ifndef TESTS_LAB_WALK_QEMU_H
#define TESTS_LAB_WALK_QEMU_H

#include <stddef.h>
#include <stdint.h>

struct qemu {
	int fd;
	unsigned int unanswered;
	size_t out_bytes, in_bytes, in_at;
	char out[2048];
	char in[2048];
};

#define QEMU_PATIENCE_S 30 /* for an answer, or for a device that is to act */
#define QEMU_STANDS	75 /* exit status */

void qemu_open(struct qemu *qemu, int fd);
_Noreturn void qemu_stands(const char *what);

void qemu_write32(struct qemu *qemu, uint64_t addr, uint32_t value);
void qemu_write64(struct qemu *qemu, uint64_t addr, uint64_t value);
uint32_t qemu_read32(struct qemu *qemu, uint64_t addr);
uint64_t qemu_read64(struct qemu *qemu, uint64_t addr);

/* x86: a port. */
void qemu_out32(struct qemu *qemu, uint16_t port, uint32_t value);

#endif
