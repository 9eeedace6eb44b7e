/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtual machine whose memory slots a VM space shows: one of KVM, or one of which there is
 * nothing but the slots, which are mapped into the space. A failure ends the program.
 */
#ifndef LAB_MACHINE_H
#define LAB_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_SLOTS 4

struct machine {
	int fd;	  /* of KVM; -1 */
	int vcpu; /* of KVM; -1 until it is needed */
	int ioasid_fd;
	uint32_t space; /* 0 before machine_show() */
	struct machine_slot {
		uint64_t gpa;
		uint8_t *memory;
		size_t bytes; /* 0: none */
		bool read_only;
	} slots[MACHINE_SLOTS];
};

struct machine machine_create(bool kvm);
/* Makes the space. */
void machine_show(struct machine *machine, int ioasid_fd);
/* Both */
struct machine machine_open(int ioasid_fd, bool kvm);
void machine_close(struct machine *machine);

/* Closes KVM's files. */
void machine_forget(struct machine *machine);

void machine_set(struct machine *machine, unsigned int slot, uint64_t gpa, uint8_t *memory,
		 size_t bytes, bool read_only);
void machine_delete(struct machine *machine, unsigned int slot);
void machine_move(struct machine *machine, unsigned int slot, uint64_t gpa);

/*
 * A processor in real mode, whose memory is a slot at address 0 that the process has at @memory.
 * The guest writes @word to GUEST_OUT and halts; when it is asked, it returns what is at GUEST_IN.
 */
#define GUEST_OUT 0x4000
#define GUEST_IN  0x6000

void machine_run_guest(struct machine *machine, uint8_t *memory, uint16_t word);
uint16_t machine_ask_guest(struct machine *machine, uint8_t *memory);

#endif
