/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is written to the device and expected back: every 8 bytes depend on the block's number and
 * on its generation, so that a block in the wrong place, an old one, and a part of one are told
 * from the right one.
 */
#ifndef NVME_PATTERN_H
#define NVME_PATTERN_H

#include <stddef.h>
#include <stdint.h>

struct nvme_pattern {
	uint64_t block; /* first */
	uint32_t block_bytes;
	uint32_t generation;
};

/* @va is aligned to 4, @bytes are whole blocks. */
void nvme_pattern_fill(const struct nvme_pattern *pattern, void *va, size_t bytes);

/* Make every block in memory wrong, at its beginning and at its end. */
void nvme_pattern_spoil(const struct nvme_pattern *pattern, void *va, size_t bytes);

/* Compare every byte. Return: how many blocks differ; the first few are printed. */
uint64_t nvme_pattern_check(const struct nvme_pattern *pattern, const void *va, size_t bytes);

#endif
