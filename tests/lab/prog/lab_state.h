/* SPDX-License-Identifier: BSD-3-Clause */
/* What the guest's kernel says of itself, and commands in the guest. A failure ends the program. */
#ifndef LAB_STATE_H
#define LAB_STATE_H

#include <stdint.h>

void lab_run(const char *command);

/* Every device of the machine that tests use belongs to this driver then. */
void lab_bind_devices(const char *driver);

uint64_t lab_vmstat(const char *name);
uint64_t lab_pins(void); /* pages that are pinned now */
uint64_t lab_read_number(const char *path);

#endif
