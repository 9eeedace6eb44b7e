/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load: passes over the image, each of which writes all of it and then reads it back and
 * compares it, in order or at random, with buffers from anywhere in the arena. One thread.
 */
#ifndef NVME_LOAD_H
#define NVME_LOAD_H

#include "io.h"

struct nvme_load_options {
	uint32_t io_bytes; /* of a request: whole blocks */
	uint32_t offset;   /* of buffers in their first page, a multiple of 4 */
	uint64_t bytes;	   /* to read back, in all */
	unsigned int part; /* of the image: which one, of how many */
	unsigned int parts;
	bool random;
	bool verify;
	unsigned int progress_ms; /* between lines that say how far it is */
};

struct nvme_load_result {
	uint64_t requests;
	uint64_t read_bytes; /* compared, with verify */
	uint64_t errors;     /* blocks that differ, requests that failed */
	uint64_t crossings;  /* system calls for mapping */
	double seconds;
};

/*
 * Leaves crossings and seconds to who runs several at once. Return: 0 (also with errors in the
 * result), or a negative errno: it did not come to its end.
 */
int nvme_load_run(struct nvme_io *io, struct ioas_mem *arena,
		  const struct nvme_load_options *options, struct nvme_load_result *result);

#endif
