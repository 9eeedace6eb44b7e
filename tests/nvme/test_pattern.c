/* SPDX-License-Identifier: BSD-3-Clause */
/* The pattern's own test: each wrong byte, wrong place and old generation is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pattern.h"

#define BLOCKS 4
#define BYTES  (BLOCKS * 512)

static const struct nvme_pattern pattern = { .block = 77, .block_bytes = 512, .generation = 5 };
static char memory[BYTES + 4] __attribute__((aligned(8)));

static void every_byte_counts(void **state)
{
	(void)state;
	/* Not aligned to 8, as buffers at an offset. */
	nvme_pattern_fill(&pattern, memory + 4, BYTES);
	assert_int_equal(nvme_pattern_check(&pattern, memory + 4, BYTES), 0);
	for (unsigned int i = 4; i < BYTES + 4; i++) {
		memory[i] ^= 1 << i % 8;
		assert_int_equal(nvme_pattern_check(&pattern, memory + 4, BYTES), 1);
		memory[i] ^= 1 << i % 8;
	}
	assert_int_equal(nvme_pattern_check(&pattern, memory + 4, BYTES), 0);
}

static void place_and_generation_count(void **state)
{
	struct nvme_pattern other = pattern;

	(void)state;
	nvme_pattern_fill(&pattern, memory, BYTES);
	other.block++;
	assert_int_equal(nvme_pattern_check(&other, memory, BYTES), BLOCKS);
	other = pattern;
	other.generation++;
	assert_int_equal(nvme_pattern_check(&other, memory, BYTES), BLOCKS);
	other = pattern;
	other.block += 2;
	assert_int_equal(nvme_pattern_check(&other, memory + 1024, BYTES - 1024), 0);
}

static void spoilt_blocks_are_wrong(void **state)
{
	(void)state;
	nvme_pattern_fill(&pattern, memory, BYTES);
	nvme_pattern_spoil(&pattern, memory, BYTES);
	assert_int_equal(nvme_pattern_check(&pattern, memory, BYTES), BLOCKS);
	/* One that is written again, but for its last word, is wrong still. */
	nvme_pattern_fill(&pattern, memory, BYTES);
	nvme_pattern_spoil(&pattern, memory, 512);
	memcpy(memory, (uint64_t[]){ 77, 5 }, 16);
	assert_int_equal(nvme_pattern_check(&pattern, memory, BYTES), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(place_and_generation_count),
		cmocka_unit_test(spoilt_blocks_are_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
