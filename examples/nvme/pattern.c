/* SPDX-License-Identifier: BSD-3-Clause */
#include "pattern.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "say.h"

#define STEP	    UINT64_C(0x9e3779b97f4a7c15)
#define PRINTED_MAX 8

/* Buffers need not be aligned to 8. */
struct word {
	uint64_t value;
} __attribute__((packed, aligned(4), may_alias));

static uint64_t mix(uint64_t block, uint32_t generation)
{
	uint64_t x =
		block * UINT64_C(0xbf58476d1ce4e5b9) ^ generation * UINT64_C(0x94d049bb133111eb);

	x ^= x >> 31;
	x *= STEP;
	return x ^ x >> 29;
}

/* Words 0 and 1 of a block name it; the others follow from these. */
void nvme_pattern_fill(const struct nvme_pattern *pattern, void *va, size_t bytes)
{
	const size_t words = pattern->block_bytes / sizeof(struct word);
	struct word *to = va;

	for (uint64_t block = pattern->block; bytes; block++) {
		uint64_t value = mix(block, pattern->generation);

		to[0].value = block;
		to[1].value = pattern->generation;
		for (size_t i = 2; i < words; i++, value += STEP)
			to[i].value = value;
		to += words;
		bytes -= pattern->block_bytes;
	}
}

void nvme_pattern_spoil(const struct nvme_pattern *pattern, void *va, size_t bytes)
{
	const size_t words = pattern->block_bytes / sizeof(struct word);
	struct word *to = va;

	for (; bytes; bytes -= pattern->block_bytes, to += words) {
		to[0].value = ~UINT64_C(0);
		to[words - 1].value = ~to[words - 1].value;
	}
}

static void print_first(const struct nvme_pattern *pattern, uint64_t block,
			const struct word *found)
{
	static atomic_uint printed;

	if (atomic_fetch_add(&printed, 1) < PRINTED_MAX)
		nvme_say("block %" PRIu64 " of generation %u is wrong: it names itself %" PRIu64
			 ", generation %" PRIu64 ", third word 0x%016" PRIx64 ", at %p",
			 block, pattern->generation, found[0].value, found[1].value, found[2].value,
			 (const void *)found);
}

uint64_t nvme_pattern_check(const struct nvme_pattern *pattern, const void *va, size_t bytes)
{
	const size_t words = pattern->block_bytes / sizeof(struct word);
	const struct word *found = va;
	uint64_t wrong = 0;

	for (uint64_t block = pattern->block; bytes; block++) {
		uint64_t value = mix(block, pattern->generation);
		uint64_t differs =
			(found[0].value ^ block) | (found[1].value ^ pattern->generation);

		for (size_t i = 2; i < words; i++, value += STEP)
			differs |= found[i].value ^ value;
		if (differs) {
			print_first(pattern, block, found);
			wrong++;
		}
		found += words;
		bytes -= pattern->block_bytes;
	}
	return wrong;
}
