/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SGLs against a reader written from the specification (NVM Express 1.4, 4.4), byte by byte.
 */
#include "lists_rig.h"

static void expand(const struct rig *r, const struct nvme_sgl_descriptor *first)
{
	struct walk walk = { .rig = r };
	struct nvme_sgl_descriptor segment = *first;

	if (segment.identifier == NVME_SGL_DATA_BLOCK) {
		walk_bytes(&walk, segment.address, segment.length);
		walk_end(&walk);
		return;
	}
	for (;;) {
		const bool last = segment.identifier == NVME_SGL_LAST_SEGMENT;
		const unsigned int count = segment.length / sizeof(segment);
		const struct nvme_sgl_descriptor *list =
			rig_list(r, segment.address, segment.length);

		assert_true(last || segment.identifier == NVME_SGL_SEGMENT);
		assert_true(count && segment.length % sizeof(segment) == 0);
		assert_int_equal(segment.address & 7, 0);
		for (unsigned int i = 0; i < count - !last; i++) {
			assert_int_equal(list[i].identifier, NVME_SGL_DATA_BLOCK);
			assert_int_equal(
				list[i].reserved[0] | list[i].reserved[1] | list[i].reserved[2], 0);
			walk_bytes(&walk, list[i].address, list[i].length);
		}
		if (last)
			break;
		segment = list[count - 1];
	}
	walk_end(&walk);
}

static void build_and_expand(struct rig *r)
{
	struct nvme_sgl_descriptor first;

	memset(&first, 0xee, sizeof(first));
	assert_int_equal(nvme_sgl_build(r->runs, r->run_count, &r->memory, &first), 0);
	expand(r, &first);
}

/* Pages of 64 bytes: 4 descriptors each. */
static void every_alignment_and_length(void **state)
{
	struct rig r;

	(void)state;
	for (uint32_t skip = 0; skip < 64; skip += 16) {
		rig_start(&r, 64, 16, skip);
		for (uint32_t offset = 0; offset < 64; offset++)
			for (uint64_t bytes = 1; bytes < 64 * 30; bytes += bytes < 300 ? 1 : 17) {
				rig_data(&r, bytes, offset, 1 + offset % 3);
				build_and_expand(&r);
			}
		rig_stop(&r);
	}
}

/* SGLs need no pages: runs of any length. */
static void runs_of_any_length(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, 4096, 8, 4064);
	srand(1);
	for (unsigned int round = 0; round < 300; round++) {
		r.run_count = 1 + rand() % RUNS_MAX;
		r.bytes = 0;
		for (unsigned int i = 0; i < r.run_count; i++) {
			r.runs[i] = (struct nvme_run){ 0x10000000 + (uint64_t)rand() * 4096,
						       1 + rand() % 700 };
			r.bytes += r.runs[i].bytes;
		}
		build_and_expand(&r);
	}
	rig_stop(&r);
}

static void list_memory(void **state)
{
	struct rig r;

	(void)state;
	for (unsigned int runs = 1; runs < 60; runs++)
		for (uint32_t skip = 0; skip < 64; skip += 16) {
			const unsigned int slots = 4 - skip / 16;
			struct nvme_sgl_descriptor first;
			unsigned int needed = 0;

			if (runs > 1)
				needed = runs <= slots ? 1 : 1 + (runs - (slots - 1) - 2) / 3 + 1;
			rig_start(&r, 64, needed, skip);
			rig_data(&r, (uint64_t)runs * 64, 0, 1);
			build_and_expand(&r);
			r.memory.count = needed ? needed - 1 : 0;
			if (needed)
				assert_int_equal(
					nvme_sgl_build(r.runs, r.run_count, &r.memory, &first),
					-E2BIG);
			r.memory.count = needed;
			rig_stop(&r);
		}
}

static void bad_runs(void **state)
{
	const struct nvme_run empty[] = { { 0x1000, 64 }, { 0x2000, 0 } };
	const struct nvme_run huge[] = { { 0x1000, UINT64_C(1) << 32 } };
	const struct nvme_run most[] = { { 0x1000, UINT32_MAX } };
	struct nvme_sgl_descriptor first;
	struct rig r;

	(void)state;
	rig_start(&r, 64, 2, 0);
	assert_int_equal(nvme_sgl_build(empty, 0, &r.memory, &first), -EINVAL);
	assert_int_equal(nvme_sgl_build(empty, 2, &r.memory, &first), -EINVAL);
	assert_int_equal(nvme_sgl_build(huge, 1, &r.memory, &first), -EINVAL);
	assert_int_equal(nvme_sgl_build(most, 1, &r.memory, &first), 0);
	assert_int_equal(first.length, UINT32_MAX);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_alignment_and_length),
		cmocka_unit_test(runs_of_any_length),
		cmocka_unit_test(list_memory),
		cmocka_unit_test(bad_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
