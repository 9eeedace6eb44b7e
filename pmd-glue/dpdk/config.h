/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options of the DPDK glue: the process-wide ones (mode, backend) and those of one net_ioas port.
 *
 * Both come as "key=value,..." text: the environment variable IOAS_DPDK for the process, devargs
 * for a port (which may hold process-wide keys too). Parsing is strict: an unknown key, a repeated
 * key or a bad value is an error that names the key.
 */
#ifndef IOAS_DPDK_CONFIG_H
#define IOAS_DPDK_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define GLUE_TEXT_MAX 256

/* How buffers become visible to devices. The first two give no protection. */
enum glue_mode {
	GLUE_MODE_PASSTHROUGH, /* no IOMMU */
	GLUE_MODE_STATIC,      /* all memory of EAL mapped for ever */
	GLUE_MODE_PERCALL,     /* one map and one unmap call per buffer, on a kernel table */
	GLUE_MODE_STRICT,      /* window over a user table, invalidated before the free returns */
	GLUE_MODE_BATCHED,     /* window over a user table, invalidated in batches */
	GLUE_MODE_COUNT,
};

/* Which process-wide keys were given: two users of the process must not contradict each other. */
enum glue_given {
	GLUE_GIVEN_MODE = 1 << 0,
	GLUE_GIVEN_BACKEND = 1 << 1,
	GLUE_GIVEN_BACKEND_OPTIONS = 1 << 2,
	GLUE_GIVEN_BATCH_MAX = 1 << 3,
	GLUE_GIVEN_BATCH_NS = 1 << 4,
	GLUE_GIVEN_CACHE = 1 << 5,
};

struct glue_config {
	uint32_t given; /* mask of enum glue_given */
	enum glue_mode mode;
	uint32_t batch_max; /* buffers of an lcore that may still be reached after they were freed */
	uint64_t batch_ns;  /* and for how long */
	bool refuse_cache;  /* no pools with a cache of DPDK's, which keeps more, and for ever */
	char backend[32];
	char backend_options[GLUE_TEXT_MAX];
};

struct port_config {
	char rx_pcap[PATH_MAX];
	char tx_pcap[PATH_MAX];
	char rogue_file[PATH_MAX];
	char peer[64];
	uint32_t gen_bytes; /* 0: none */
	bool gen_imix;
	bool verify;
	bool thread;
	int32_t cpu;	/* of the device thread, -1: wherever */
	uint32_t rogue; /* buffers that the device goes on using after it is stopped */
	uint64_t count; /* packets that each rx queue receives, 0: no limit */
};

void glue_config_defaults(struct glue_config *config);
void port_config_defaults(struct port_config *config);

/*
 * Parse @text. @port may be NULL: port keys are unknown keys then. @where names the text in error
 * messages. Return: 0 or -EINVAL, after an error in the log.
 */
int glue_config_parse(const char *where, const char *text, struct glue_config *glue,
		      struct port_config *port);

/* Does @want ask for anything that @have contradicts? Return: name of the key, or NULL. */
const char *glue_config_conflict(const struct glue_config *have, const struct glue_config *want);

const char *glue_mode_name(enum glue_mode mode);

#endif
