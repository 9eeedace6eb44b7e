/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SMMUv3 structures, held against literal words that were put together by hand from the field
 * tables of IHI 0070, and range commands against a decoder written from its text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ioas/ctx.h>

#include "../../engine/backend/smmuv3.h"

/* What QEMU 10.0 says of itself: both stages, coherent, ASIDs of 16 bits, 4K and 64K, OAS 44. */
static const uint32_t qemu[SMMUV3_IDRS] = { 0x0d44101b, 0x02730010, 0, 0x00001400, 0, 0x00000074 };

static void with(uint32_t idr[SMMUV3_IDRS], unsigned int index, uint32_t clear, uint32_t set)
{
	memcpy(idr, qemu, sizeof(qemu));
	idr[index] = (idr[index] & ~clear) | set;
}

static void test_capable(void **state)
{
	uint32_t idr[SMMUV3_IDRS];

	(void)state;
	assert_null(smmuv3_why_not(qemu));
	assert_int_equal(smmuv3_asid_bits(qemu), 16);
	assert_true(smmuv3_has_ranges(qemu));

	with(idr, 0, 1 << 1, 0); /* no stage 1 */
	assert_non_null(strstr(smmuv3_why_not(idr), "both stages"));
	with(idr, 0, 1 << 0, 0); /* no stage 2 */
	assert_non_null(strstr(smmuv3_why_not(idr), "both stages"));
	with(idr, 0, 3 << 2, 1 << 2); /* AArch32 only */
	assert_non_null(strstr(smmuv3_why_not(idr), "AArch64"));
	with(idr, 0, 3 << 2, 3 << 2); /* AArch32 as well */
	assert_null(smmuv3_why_not(idr));
	with(idr, 5, 7 << 4, 0); /* no granule at all */
	assert_non_null(strstr(smmuv3_why_not(idr), "AArch64"));
	with(idr, 0, 1 << 4, 0); /* non-coherent walks */
	assert_non_null(strstr(smmuv3_why_not(idr), "COHACC"));
	with(idr, 0, 3 << 21, 3 << 21); /* big endian only */
	assert_non_null(strstr(smmuv3_why_not(idr), "big-endian"));
	with(idr, 0, 3 << 24, 2 << 24); /* stalls forced */
	assert_non_null(strstr(smmuv3_why_not(idr), "stalls"));
	with(idr, 0, 1 << 12, 0);
	assert_int_equal(smmuv3_asid_bits(idr), 8);
	with(idr, 3, 1 << 10, 0);
	assert_false(smmuv3_has_ranges(idr));
}

static void test_granules(void **state)
{
	static const struct {
		uint32_t idr5;
		enum ioas_format format;
		uint64_t cd; /* TG0 */
		uint64_t tg; /* of a command for a range */
		uint64_t page;
	} cases[] = {
		{ 1 << 4, IOAS_FORMAT_ARM64_S1_4K, 0 << 6, 1 << 10, 4096 },
		{ 1 << 5, IOAS_FORMAT_ARM64_S1_16K, 2 << 6, 2 << 10, 16384 },
		{ 1 << 6, IOAS_FORMAT_ARM64_S1_64K, 1 << 6, 3 << 10, 65536 },
	};
	uint64_t cd[SMMUV3_CD_WORDS];
	uint32_t idr[SMMUV3_IDRS];
	struct smmuv3_cmd cmd;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		const struct be_inval range = { 0x40000000, 3 * cases[i].page, true };
		const struct be_inval page = { 0x40000000, cases[i].page, true };

		with(idr, 5, 7 << 4, cases[i].idr5);
		assert_null(smmuv3_why_not(idr));
		assert_int_equal(smmuv3_formats(idr), 1 << cases[i].format);
		smmuv3_cd(cd, idr, cases[i].format, 0x10000, 1);
		assert_int_equal(cd[0] >> 6 << 6 & 0xc0, cases[i].cd);
		assert_int_equal(smmuv3_tlbi_range(&cmd, 1, 1, cases[i].format, &page, true), 1);
		assert_int_equal(cmd.word[0], 0x0001000000000012);
		assert_int_equal(cmd.word[1], 0x40000001);
		/* (2 + 1) * 2^0 pages */
		assert_int_equal(smmuv3_tlbi_range(&cmd, 1, 1, cases[i].format, &range, true), 1);
		assert_int_equal(cmd.word[0], 0x0001000000002012);
		assert_int_equal(cmd.word[1], 0x40000001 | cases[i].tg);
	}
	assert_int_equal(smmuv3_formats(qemu), 1 << IOAS_FORMAT_ARM64_S1_4K |
						       1 << IOAS_FORMAT_ARM64_S1_16K |
						       1 << IOAS_FORMAT_ARM64_S1_64K);
}

static void test_ste(void **state)
{
	uint64_t ste[2];

	(void)state;
	smmuv3_ste(ste, 0x0000123456789fc0);
	/* V 1, Config 0b101 (stage 1 only), S1Fmt 0, S1ContextPtr, S1CDMax 0 */
	assert_int_equal(ste[0], 0x0000123456789fcb);
	/* S1DSS 0, S1CIR 1, S1COR 1, S1CSH 3, EATS 0 */
	assert_int_equal(ste[1], 0xd4);
}

static void test_cd(void **state)
{
	uint64_t cd[SMMUV3_CD_WORDS];
	uint32_t idr[SMMUV3_IDRS];

	(void)state;
	memset(cd, 0xff, sizeof(cd));
	smmuv3_cd(cd, qemu, IOAS_FORMAT_ARM64_S1_4K, 0x0000023456789000, 0xabcd);
	/* ASID, ASET A R, AA64, IPS 4 (44 bits), V EPD1, SH0 3, OR0 1, IR0 1, TG0 0, T0SZ 16 */
	assert_int_equal(cd[0], 0xabcde204c0003510);
	assert_int_equal(cd[1], 0x0000023456789000);
	assert_int_equal(cd[2], 0);
	assert_int_equal(cd[3], 0xff);
	for (int i = 4; i < SMMUV3_CD_WORDS; i++)
		assert_int_equal(cd[i], 0);

	/* Output addresses of 52 bits are not for pages of 4 KiB. */
	with(idr, 5, 7, 6);
	smmuv3_cd(cd, idr, IOAS_FORMAT_ARM64_S1_4K, 0x1000, 1);
	assert_int_equal(cd[0], 0x0001e205c0003510);
}

static void test_tlbi_asid(void **state)
{
	struct smmuv3_cmd cmd = smmuv3_tlbi_asid(0x1234);

	(void)state;
	assert_int_equal(cmd.word[0], 0x1234000000000011);
	assert_int_equal(cmd.word[1], 0);
}

static void test_tlbi_page(void **state)
{
	const struct be_inval page = { 0x0000765432109000, 4096, true };
	const struct be_inval two = { 0x0000765432109000, 8192, false };
	struct smmuv3_cmd cmd[2];

	(void)state;
	/* The same with and without range commands: NUM, SCALE, TTL and TG 0. */
	for (int ranges = 0; ranges < 2; ranges++) {
		assert_int_equal(
			smmuv3_tlbi_range(cmd, 2, 7, IOAS_FORMAT_ARM64_S1_4K, &page, ranges), 1);
		assert_int_equal(cmd[0].word[0], 0x0007000000000012);
		assert_int_equal(cmd[0].word[1], 0x0000765432109001);
	}
	assert_int_equal(smmuv3_tlbi_range(cmd, 2, 7, IOAS_FORMAT_ARM64_S1_4K, &two, false), 2);
	assert_int_equal(cmd[0].word[1], 0x0000765432109000);
	assert_int_equal(cmd[1].word[1], 0x000076543210a000);
	/* (0 + 1) * 2^1 pages of 4 KiB (TG 1) */
	assert_int_equal(smmuv3_tlbi_range(cmd, 2, 7, IOAS_FORMAT_ARM64_S1_4K, &two, true), 1);
	assert_int_equal(cmd[0].word[0], 0x0007000000100012);
	assert_int_equal(cmd[0].word[1], 0x0000765432109400);
}

/* What a command covers, by 4.4.1.1; the ways in which it could be malformed are refused. */
static uint64_t pages_of(const struct smmuv3_cmd *cmd, uint64_t *iova)
{
	const uint64_t tg = cmd->word[1] >> 10 & 3, ttl = cmd->word[1] >> 8 & 3;
	const uint64_t num = cmd->word[0] >> 12 & 31, scale = cmd->word[0] >> 20 & 63;

	assert_int_equal(cmd->word[0] & ~UINT64_C(0xffff000003f1f0ff), 0);
	assert_int_equal(cmd->word[0] & 0xff, 0x12);
	assert_int_equal(cmd->word[1] & 0xfe, 0);
	assert_int_equal(ttl, 0);
	assert_true(scale < 32);
	*iova = cmd->word[1] & ~UINT64_C(0xfff);
	if (!tg) {
		assert_true(!num && !scale);
		return 1;
	}
	assert_int_equal(tg, 1);
	assert_true(num || scale);
	return (num + 1) << scale;
}

static void check_range(uint64_t iova, uint64_t pages, bool ranges)
{
	const enum ioas_format format = IOAS_FORMAT_ARM64_S1_4K;
	const struct be_inval range = { iova, pages << 12, true };
	struct smmuv3_cmd cmds[1024];
	unsigned int count = smmuv3_tlbi_range(cmds, 1024, 3, format, &range, ranges);
	uint64_t at;

	assert_int_not_equal(count, 0);
	if (ranges)
		assert_true(count <= 8); /* 36 bits of pages, five in a command */
	for (unsigned int i = 0; i < count; i++) {
		uint64_t some = pages_of(&cmds[i], &at);

		assert_int_equal(at, iova);
		iova += some << 12;
		assert_true(some <= pages);
		pages -= some;
	}
	assert_int_equal(pages, 0);
	/* One place too few: nothing is said of half a range. */
	assert_int_equal(smmuv3_tlbi_range(cmds, count - 1, 3, format, &range, ranges), 0);
}

static void test_tlbi_ranges(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (uint64_t pages = 1; pages <= 1024; pages++) {
		check_range(0x10000000, pages, true);
		check_range(0x10003000, pages, false);
	}
	for (int i = 0; i < 10000; i++) {
		uint64_t bits = rand_r(&seed) % 35 + 1;
		uint64_t pages = (((uint64_t)rand_r(&seed) << 31) ^ rand_r(&seed)) &
				 ((UINT64_C(1) << bits) - 1);
		uint64_t iova = (uint64_t)(rand_r(&seed) & 0xfffff) << 12;

		if (pages)
			check_range(iova, pages, true);
	}
	check_range(0, UINT64_C(1) << 36, true); /* all of 48 bits */
}

static void check_event(uint64_t type, uint64_t flags, uint64_t address, bool is_fault,
			uint32_t reason, uint32_t prot, uint64_t iova)
{
	const uint64_t record[4] = { UINT64_C(0x89) << 32 | type, flags, address, 0 };
	struct nested_event event;

	assert_int_equal(smmuv3_event(record, &event), is_fault);
	if (!is_fault)
		return;
	assert_int_equal(event.virt_id, 0x89);
	assert_int_equal(event.reason, reason);
	assert_int_equal(event.prot, prot);
	assert_int_equal(event.iova, iova);
}

static void test_event(void **state)
{
	const uint64_t rnw = UINT64_C(1) << 35;

	(void)state;
	check_event(0x10, 0, 0x12345678, true, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE, 0x12345000);
	check_event(0x10, rnw, 0x12345678, true, IOAS_FAULT_NOT_PRESENT, IOAS_READ, 0x12345000);
	check_event(0x10, 0, UINT64_C(1) << 48, true, IOAS_FAULT_ADDRESS, IOAS_WRITE,
		    UINT64_C(1) << 48);
	check_event(0x11, 0, 0x1fff, true, IOAS_FAULT_PARENT, IOAS_WRITE, 0x1000);
	check_event(0x12, rnw, 0x1000, true, IOAS_FAULT_RESERVED, IOAS_READ, 0x1000);
	check_event(0x13, 0, 0x1000, true, IOAS_FAULT_PERMISSION, IOAS_WRITE, 0x1000);
	check_event(0x04, 0, 0x1000, true, IOAS_FAULT_BLOCKED, IOAS_WRITE, 0);
	check_event(0x0a, 0, 0x1000, true, IOAS_FAULT_BLOCKED, IOAS_WRITE, 0);
	/* A page request is none, nor what an implementation defines. */
	check_event(0x24, 0, 0x1000, false, 0, 0, 0);
	check_event(0xe0, 0, 0x1000, false, 0, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capable),	  cmocka_unit_test(test_ste),
		cmocka_unit_test(test_cd),	  cmocka_unit_test(test_tlbi_asid),
		cmocka_unit_test(test_tlbi_page), cmocka_unit_test(test_tlbi_ranges),
		cmocka_unit_test(test_event),	  cmocka_unit_test(test_granules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
