/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fault queue of a unit: a bounded ring. What finds it full is counted as lost.
 *
 * Locking: its own mutex, so that reading faults never waits for a burst of DMA.
 * Source: VT-d 7.2 "Fault Recording and Reporting" (FRCD registers, PFO overflow).
 */
#ifndef ENGINE_SOFT_FAULT_H
#define ENGINE_SOFT_FAULT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct soft_fault {
	const void *source; /* who sent the request: the endpoint's cookie */
	uint64_t iova;	    /* page address */
	uint32_t reason;    /* enum ioas_fault_reason */
	uint32_t prot;
};

struct soft_faults {
	pthread_mutex_t lock;
	struct soft_fault *ring;
	uint32_t capacity;
	uint32_t head; /* oldest */
	uint32_t count;
	uint64_t lost;
	_Atomic bool pending; /* something to read or to report as lost; a hint to skip the lock */
};

int soft_faults_init(struct soft_faults *faults, uint32_t capacity);
void soft_faults_destroy(struct soft_faults *faults);
void soft_faults_record(struct soft_faults *faults, const struct soft_fault *fault);

/* Fetch up to @max, oldest first. Adds to *lost what was lost since the last call. */
unsigned int soft_faults_read(struct soft_faults *faults, struct soft_fault *out, unsigned int max,
			      uint64_t *lost);

/* @source goes away: what it left in the queue counts as lost. */
void soft_faults_forget(struct soft_faults *faults, const void *source);

#endif
