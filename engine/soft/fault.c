/* SPDX-License-Identifier: BSD-3-Clause */
/* Fault queue. See fault.h. */
#include "fault.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int soft_faults_init(struct soft_faults *faults, uint32_t capacity)
{
	memset(faults, 0, sizeof(*faults));
	faults->ring = calloc(capacity, sizeof(*faults->ring));
	if (!faults->ring)
		return -ENOMEM;
	faults->capacity = capacity;
	pthread_mutex_init(&faults->lock, NULL);
	return 0;
}

void soft_faults_destroy(struct soft_faults *faults)
{
	if (!faults->ring)
		return;
	pthread_mutex_destroy(&faults->lock);
	free(faults->ring);
}

static struct soft_fault *slot(struct soft_faults *faults, uint32_t index)
{
	uint32_t at = faults->head + index;

	return &faults->ring[at < faults->capacity ? at : at - faults->capacity];
}

void soft_faults_record(struct soft_faults *faults, const struct soft_fault *fault)
{
	pthread_mutex_lock(&faults->lock);
	if (faults->count < faults->capacity)
		*slot(faults, faults->count++) = *fault;
	else
		faults->lost++;
	atomic_store_explicit(&faults->pending, true, memory_order_relaxed);
	pthread_mutex_unlock(&faults->lock);
}

unsigned int soft_faults_read(struct soft_faults *faults, struct soft_fault *out, unsigned int max,
			      uint64_t *lost)
{
	unsigned int done = 0;

	if (!atomic_load_explicit(&faults->pending, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&faults->lock);
	while (done < max && faults->count) {
		out[done++] = *slot(faults, 0);
		faults->head = faults->head + 1 < faults->capacity ? faults->head + 1 : 0;
		faults->count--;
	}
	*lost += faults->lost;
	faults->lost = 0;
	atomic_store_explicit(&faults->pending, faults->count, memory_order_relaxed);
	pthread_mutex_unlock(&faults->lock);
	return done;
}

void soft_faults_forget(struct soft_faults *faults, const void *source)
{
	uint32_t kept = 0;

	pthread_mutex_lock(&faults->lock);
	for (uint32_t i = 0; i < faults->count; i++) {
		if (slot(faults, i)->source == source)
			faults->lost++;
		else
			*slot(faults, kept++) = *slot(faults, i);
	}
	faults->count = kept;
	pthread_mutex_unlock(&faults->lock);
}
