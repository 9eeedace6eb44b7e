/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line. */
#ifndef NVME_OPTIONS_H
#define NVME_OPTIONS_H

#include "io.h"
#include "load.h"

struct nvme_options {
	const char *device;
	const char *backend; /* NULL: the best */
	enum ioas_kind kind; /* 0: USER where the backend has it, else KERNEL */
	enum nvme_mode mode;
	unsigned int queues;
	struct nvme_io_options io;
	struct nvme_load_options load;
	uint64_t memory_bytes;
	uint64_t cache_bytes;
	unsigned int probe_rounds; /* 0: run the load */
};

/* Return: false when it is wrong, and the reason has been printed. Ends the program for --help. */
bool nvme_options_read(struct nvme_options *options, int argc, char **argv);

#endif
