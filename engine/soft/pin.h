/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that the soft backend's kernel half has pinned: the ranges that may be mapped.
 *
 * Pinned means faulted in, writable and locked (mlock), accounted to RLIMIT_MEMLOCK as the
 * kernel's pins are. Huge pages of hugetlbfs are never swapped and need no lock.
 *
 * Locking: a readers-writer lock; looking up is a reader. A pin is the caller's to keep.
 */
#ifndef ENGINE_SOFT_PIN_H
#define ENGINE_SOFT_PIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../diag.h"
#include "../extent.h"

struct soft_pin {
	struct extent extent; /* virtual addresses */
	bool locked;
};

struct soft_pins {
	pthread_rwlock_t lock;
	struct extents extents;
	uint64_t locked_bytes;
	bool lazy; /* nothing is faulted in or locked */
};

void soft_pins_init(struct soft_pins *pins);
void soft_pins_destroy(struct soft_pins *pins);

/*
 * Return: 0; -EFAULT not mapped or not writable; -EEXIST overlaps a pinned range; -ENOMEM no
 * memory, or RLIMIT_MEMLOCK; -EINVAL unaligned. @diag says which.
 */
int soft_pins_add(struct soft_pins *pins, struct diag *diag, struct soft_pin *pin, void *va,
		  uint64_t bytes, bool hugetlb);
void soft_pins_remove(struct soft_pins *pins, struct soft_pin *pin);

/* Is all of it inside one pinned range? */
bool soft_pins_contain(struct soft_pins *pins, const void *va, uint64_t bytes);

#endif
