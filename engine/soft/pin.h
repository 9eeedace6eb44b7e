/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that the soft backend's kernel half has pinned: the ranges that may be mapped.
 *
 * Pinned means faulted in, writable and locked (mlock), accounted to RLIMIT_MEMLOCK as the
 * kernel's pins are. Huge pages of hugetlbfs are never swapped and need no lock.
 *
 * Locking: a readers-writer lock; looking up is a reader.
 */
#ifndef ENGINE_SOFT_PIN_H
#define ENGINE_SOFT_PIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../diag.h"

struct soft_pin {
	uint64_t start;
	uint64_t bytes;
	bool locked;
};

struct soft_pins {
	pthread_rwlock_t lock;
	struct soft_pin *sorted; /* by start, disjoint */
	size_t count;
	size_t capacity;
	uint64_t locked_bytes;
};

void soft_pins_init(struct soft_pins *pins);
void soft_pins_destroy(struct soft_pins *pins);

/*
 * Return: 0; -EFAULT not mapped or not writable; -EEXIST overlaps a pinned range; -ENOMEM no
 * memory, or RLIMIT_MEMLOCK; -EINVAL unaligned. @diag says which.
 */
int soft_pins_add(struct soft_pins *pins, struct diag *diag, void *va, uint64_t bytes,
		  bool hugetlb);

/* @va is the start of a pinned range. */
void soft_pins_remove(struct soft_pins *pins, void *va);

/* Is all of it inside one pinned range? */
bool soft_pins_contain(struct soft_pins *pins, const void *va, uint64_t bytes);

#endif
