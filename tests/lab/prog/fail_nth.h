/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's n-th allocation of this thread fails.
 *
 * Source: Linux Documentation/fault-injection/fault-injection.rst (fail-nth).
 */
#ifndef LAB_FAIL_NTH_H
#define LAB_FAIL_NTH_H

#include <stdbool.h>

/* So many allocations no step of a test makes. */
#define FAIL_NTH_LIMIT 400

/* Skips the program where the kernel has no such thing. */
void fail_nth_open(void);

void fail_nth_begin(unsigned int nth);
/* Return: was an allocation made to fail? */
bool fail_nth_end(void);

#endif
