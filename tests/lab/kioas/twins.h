/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for tests of spaces that mirror a process. A failure ends the program. */
#ifndef LAB_TWINS_H
#define LAB_TWINS_H

#include <stddef.h>
#include <stdint.h>

#define PROT_RW	   (PROT_READ | PROT_WRITE)
#define IOASID_RW  (IOASID_PROT_READ | IOASID_PROT_WRITE)
#define NOBODY_UID 1000

/* A page of a file, and a view of it that stays when another mapping has gone. */
struct twins {
	int fd;
	uint8_t *view;
};

struct twins twins_open(void);
void twins_close(struct twins *twins);
void twins_map(const struct twins *twins, uint8_t *address);

/* In place of what is there. */
void *map_at(uint8_t *address, size_t bytes, int prot, int flags, int fd);
void *map_anonymous(uint8_t *address, size_t bytes, int flags);

#endif
