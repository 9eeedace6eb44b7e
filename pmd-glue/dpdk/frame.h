/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copy and compare of frames: short ones inline, since a call costs as much as moving 64 bytes.
 * At least 16 bytes; the last block overlaps the one before it, so that nothing is read or written
 * past the end.
 */
#ifndef IOAS_DPDK_FRAME_H
#define IOAS_DPDK_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FRAME_INLINE 128

typedef uint64_t frame_block __attribute__((vector_size(16), aligned(1), may_alias));

static inline void frame_copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	uint32_t i;

	if (bytes > FRAME_INLINE || bytes < 16) {
		memcpy(to, from, bytes);
		return;
	}
	for (i = 0; i + 16 <= bytes; i += 16)
		*(frame_block *)(to + i) = *(const frame_block *)(from + i);
	*(frame_block *)(to + bytes - 16) = *(const frame_block *)(from + bytes - 16);
}

static inline bool frame_equal(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	frame_block differ = { 0, 0 };
	uint32_t i;

	if (bytes > FRAME_INLINE || bytes < 16)
		return memcmp(a, b, bytes) == 0;
	for (i = 0; i + 16 <= bytes; i += 16)
		differ |= *(const frame_block *)(a + i) ^ *(const frame_block *)(b + i);
	differ |= *(const frame_block *)(a + bytes - 16) ^ *(const frame_block *)(b + bytes - 16);
	return (differ[0] | differ[1]) == 0;
}

#endif
