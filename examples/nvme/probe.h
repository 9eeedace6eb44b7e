/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other half of protection: a read whose buffer is no longer visible to the device must leave
 * memory as it is. The status of such a read is no evidence: some controllers say that all went
 * well. Mode strict only, since the others leave buffers visible.
 */
#ifndef NVME_PROBE_H
#define NVME_PROBE_H

#include "io.h"

struct nvme_probe_result {
	unsigned int rounds;
	unsigned int untouched; /* reads that did not land */
	unsigned int landed;
	uint64_t faults;    /* as the backend counts them, where it can */
	unsigned int wrong; /* visible buffers that did not receive what is on the device */
};

/* Return: 0 or a negative errno: it did not come to its end. */
int nvme_probe_run(struct nvme_io *io, struct ioas_mem *arena, unsigned int rounds,
		   struct nvme_probe_result *result);

#endif
