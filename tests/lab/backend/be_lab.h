/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs that drive a backend directly (struct be_ops) share. Each is run as
 * `PROGRAM BACKEND` and ends at the first thing that is not as promised.
 */
#ifndef LAB_BE_LAB_H
#define LAB_BE_LAB_H

#include "../../../engine/backend/backend.h"
#include "../prog/lab_prog.h"
#include "../prog/lab_state.h"

#define KIB  1024UL
#define MIB  (1024UL * KIB)
#define PAGE (4 * KIB)

struct be_lab {
	const struct be_ops *ops;
	const char *driver; /* whose its devices are */
	struct diag diag;
	struct be *be;
	/* edu, once lab_bind_edu() has run */
	const char *address;
	struct be_dev *dev;
	void *registers;
	uint64_t registers_bytes;
	struct edu edu;
};

/*
 * The backend of the command line; skips if the machine does not have it. Binds the machine's
 * devices to its driver. Does not open it.
 */
void be_lab_init(struct be_lab *lab, int argc, char **argv);
void be_lab_open(struct be_lab *lab); /* the same, opened */
void be_lab_close(struct be_lab *lab);
bool be_lab_is(const struct be_lab *lab, const char *backend);

/* Takes the edu device. */
void be_lab_bind(struct be_lab *lab);
void be_lab_unbind(struct be_lab *lab);

/* It is attached: its registers are mapped and it masters the bus. */
void be_lab_registers_open(struct be_lab *lab);
void be_lab_registers_close(struct be_lab *lab);

struct be_space *be_lab_space(struct be_lab *lab);

/* One element. Return: what the backend returned; *done and *crossings are checked. */
int be_lab_map(struct be_space *space, uint64_t iova, void *va, uint64_t bytes, uint32_t prot);
int be_lab_unmap(struct be_space *space, uint64_t iova, uint64_t bytes);

/* The device writes, through the IOVA, what it read from elsewhere: @va is reached or not. */
bool be_lab_reaches(struct be_lab *lab, uint64_t iova, uint8_t *va);

/* The last failure's text holds @words. */
void be_lab_check_text(struct be_lab *lab, const char *words);

/* Runs the command that the last failure's text has between backquotes. */
void be_lab_mend(struct be_lab *lab);

/* RLIMIT_MEMLOCK holds from now on, also for root. */
void be_lab_drop_memlock_capability(void);

/* Runs @run in a process of its own, for what does not come back. Return: its exit status. */
int be_lab_in_child(void (*run)(void *arg), void *arg);

#endif
