/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PRP lists against a reader written from the specification (NVM Express 1.4, 4.3), byte by byte:
 * every alignment, every crossing of a page, every place where a list can begin, chains of lists.
 * Small pages make long chains short.
 */
#include "lists_rig.h"

/* What a controller does with the two entries of a command. */
static void expand(const struct rig *r, const uint64_t prp[2])
{
	const uint32_t page = r->page_bytes;
	struct walk walk = { .rig = r };
	uint64_t left = r->bytes, at;
	uint64_t first = page - (prp[0] & (page - 1));

	assert_int_equal(prp[0] & 3, 0);
	if (first > left)
		first = left;
	walk_bytes(&walk, prp[0], first);
	left -= first;
	if (!left) {
		assert_int_equal(prp[1], 0);
		walk_end(&walk);
		return;
	}
	if (left <= page) {
		assert_int_equal(prp[1] & (page - 1), 0);
		walk_bytes(&walk, prp[1], left);
		walk_end(&walk);
		return;
	}
	at = prp[1];
	assert_int_equal(at & 7, 0);
	while (left) {
		const uint64_t *entry = rig_list(r, at, sizeof(*entry));
		const bool last_of_page = (at & (page - 1)) == page - sizeof(*entry);
		const uint64_t bytes = left < page ? left : page;

		assert_int_equal(*entry & (page - 1), 0);
		if (last_of_page && left > page) {
			at = *entry;
			continue;
		}
		walk_bytes(&walk, *entry, bytes);
		left -= bytes;
		at += sizeof(*entry);
	}
	walk_end(&walk);
}

static void build_and_expand(struct rig *r)
{
	uint64_t prp[2] = { ~0ULL, ~0ULL };

	assert_int_equal(nvme_prp_build(r->runs, r->run_count, &r->memory, prp), 0);
	expand(r, prp);
}

/* Pages of 64 bytes: 8 entries each. */
static void every_alignment_and_length(void **state)
{
	struct rig r;

	(void)state;
	for (uint32_t skip = 0; skip < 64; skip += 8) {
		rig_start(&r, 64, 8, skip);
		for (uint32_t offset = 0; offset < 64; offset += 4)
			for (uint64_t bytes = 1; bytes < 64 * 30; bytes += bytes < 300 ? 1 : 7)
				for (unsigned int pages = 1; pages <= 3; pages++) {
					rig_data(&r, bytes, offset, pages);
					build_and_expand(&r);
				}
		rig_stop(&r);
	}
}

static void pages_of_4096_bytes(void **state)
{
	static const uint32_t skips[] = { 0, 8, 2048, 4080, 4088 };
	static const uint64_t lengths[] = {
		512,	    4096,	8192,	    8704,	3 * 4096,    128 * 4096,
		511 * 4096, 512 * 4096, 513 * 4096, 514 * 4096, 1023 * 4096, 1024 * 4096 - 512
	};
	struct rig r;

	(void)state;
	for (unsigned int i = 0; i < sizeof(skips) / sizeof(skips[0]); i++) {
		rig_start(&r, 4096, 4, skips[i]);
		for (unsigned int j = 0; j < sizeof(lengths) / sizeof(lengths[0]); j++)
			for (uint32_t offset = 0; offset < 4096; offset += 1364) {
				rig_data(&r, lengths[j], offset, 2);
				build_and_expand(&r);
			}
		rig_stop(&r);
	}
}

/* As few pieces as the specification needs are enough, one less is an error. */
static void list_memory(void **state)
{
	struct rig r;

	(void)state;
	for (unsigned int pages = 1; pages < 100; pages++)
		for (uint32_t skip = 0; skip < 64; skip += 8) {
			const unsigned int entries = pages - 1, slots = 8 - skip / 8;
			unsigned int needed = 0;
			uint64_t prp[2];

			if (entries > 1)
				needed = entries <= slots ? 1
							  : 1 + (entries - (slots - 1) - 2) / 7 + 1;
			rig_start(&r, 64, needed, skip);
			rig_data(&r, (uint64_t)pages * 64, 0, 1);
			build_and_expand(&r);
			r.memory.count = needed ? needed - 1 : 0;
			if (needed)
				assert_int_equal(
					nvme_prp_build(r.runs, r.run_count, &r.memory, prp),
					-E2BIG);
			r.memory.count = needed;
			rig_stop(&r);
		}
}

static int build(struct rig *r, const struct nvme_run *runs, unsigned int count)
{
	uint64_t prp[2];

	return nvme_prp_build(runs, count, &r->memory, prp);
}

static void what_prps_cannot_express(void **state)
{
	const struct nvme_run odd[] = { { 0x1002, 64 } };
	const struct nvme_run empty[] = { { 0x1000, 0 } };
	const struct nvme_run gap[] = { { 0x1000, 32 }, { 0x2000, 64 } };
	const struct nvme_run late[] = { { 0x1000, 64 }, { 0x2004, 60 } };
	const struct nvme_run hollow[] = { { 0x1000, 64 }, { 0x2000, 0 } };
	const struct nvme_run good[] = { { 0x1020, 32 }, { 0x2000, 10 } };
	struct rig r;

	(void)state;
	rig_start(&r, 64, 2, 0);
	assert_int_equal(build(&r, odd, 1), -EINVAL);
	assert_int_equal(build(&r, empty, 1), -EINVAL);
	assert_int_equal(build(&r, empty, 0), -EINVAL);
	assert_int_equal(build(&r, gap, 2), -EINVAL);
	assert_int_equal(build(&r, late, 2), -EINVAL);
	assert_int_equal(build(&r, hollow, 2), -EINVAL);
	assert_int_equal(build(&r, good, 2), 0);
	rig_stop(&r);
}

static void runs_are_joined(void **state)
{
	struct nvme_run runs[2];
	unsigned int count = 0;

	(void)state;
	assert_true(nvme_run_add(runs, &count, 2, 0x1000, 0x100));
	assert_true(nvme_run_add(runs, &count, 2, 0x1100, 0xf00));
	assert_int_equal(count, 1);
	assert_int_equal(runs[0].bytes, 0x1000);
	assert_true(nvme_run_add(runs, &count, 2, 0x5000, 0x1000));
	assert_int_equal(count, 2);
	assert_false(nvme_run_add(runs, &count, 2, 0x9000, 0x1000));
	assert_true(nvme_run_add(runs, &count, 2, 0x6000, 0x1000));
	assert_int_equal(count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_alignment_and_length),
		cmocka_unit_test(pages_of_4096_bytes),
		cmocka_unit_test(list_memory),
		cmocka_unit_test(what_prps_cannot_express),
		cmocka_unit_test(runs_are_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
