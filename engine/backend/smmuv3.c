/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See smmuv3.h.
 *
 * Mapping enters nothing here: an entry goes from invalid to valid, and SMMUs cache nothing of
 * invalid ones (IHI 0070, 3.17). What a device must not see before its entry is written is the
 * driver's doorbell, which its own barrier orders.
 *
 * Memory ordering of an invalidation: entries were cleared by stores that happen before the call
 * (inval.h). The kernel writes our commands to its queue and then tells the SMMU by a register; the
 * barrier before that register (dma_wmb() in arm_smmu_cmdq_issue_cmdlist(), a DMB OSHST) orders all
 * stores that its processor has done or seen by then, ours included, so whatever the SMMU reads
 * after it has consumed the command is newer than the clear. It reads tables coherently
 * (IDR0.COHACC, checked), so no cache has to be cleaned and no barrier of our own is needed. The
 * kernel relies on the same for its own tables (arm_smmu_tlb_inv_context()). CMD_SYNC at the end
 * of the call waits for DMA in flight.
 *
 * Break-before-make (DDI 0487, D8.16.1): fmt/arm64_s1.h.
 *
 * A refused batch: the kernel issues commands in blocks and executes nothing of the block in which
 * one is refused (arm_vsmmu_cache_invalidate()), so that iommufd_user.c does all of it again.
 */
#include "smmuv3.h"

#include <string.h>

#include <ioas/ctx.h>
#include <ioas/types.h>

#define BIT(n)		     (UINT64_C(1) << (n))
#define FIELD(value, low)    ((uint64_t)(value) << (low))
#define MASK(high, low)	     (UINT64_MAX >> (63 - (high)) & ~(BIT(low) - 1))
#define GET(word, high, low) (((uint64_t)(word)&MASK(high, low)) >> (low))

/* IHI 0070, 6.3.1 to 6.3.6: SMMU_IDR0 to SMMU_IDR5. */
#define IDR0_S2P	    BIT(0)
#define IDR0_S1P	    BIT(1)
#define IDR0_TTF(idr0)	    GET(idr0, 3, 2)
#define IDR0_TTF_AARCH64    2 /* bit 1 of the field: 2, or 3 with AArch32 */
#define IDR0_COHACC	    BIT(4)
#define IDR0_ASID16	    BIT(12)
#define IDR0_TTENDIAN(idr0) GET(idr0, 22, 21)
#define TTENDIAN_BIG	    3
#define IDR0_STALL(idr0)    GET(idr0, 25, 24)
#define STALL_FORCED	    2
#define IDR3_RIL	    BIT(10)
#define IDR5_OAS(idr5)	    GET(idr5, 2, 0)
#define OAS_48		    5 /* the most that our formats hold */

/* What the granules are called: in IDR5, in a context descriptor, in a command; lg2 of a page. */
static const struct granule {
	enum ioas_format format;
	uint32_t idr5;
	uint8_t cd_tg0;
	uint8_t tlbi_tg;
	uint8_t page_lg2;
} granules[] = {
	{ IOAS_FORMAT_ARM64_S1_4K, BIT(4), 0, 1, 12 },
	{ IOAS_FORMAT_ARM64_S1_16K, BIT(5), 2, 2, 14 },
	{ IOAS_FORMAT_ARM64_S1_64K, BIT(6), 1, 3, 16 },
};

static const struct granule *granule_of(enum ioas_format format)
{
	return &granules[format - IOAS_FORMAT_ARM64_S1_4K];
}

uint32_t smmuv3_formats(const uint32_t idr[SMMUV3_IDRS])
{
	uint32_t formats = 0;

	for (unsigned int i = 0; i < sizeof(granules) / sizeof(granules[0]); i++)
		if (idr[5] & granules[i].idr5)
			formats |= 1U << granules[i].format;
	return formats;
}

const char *smmuv3_why_not(const uint32_t idr[SMMUV3_IDRS])
{
	if (!(idr[0] & IDR0_S1P) || !(idr[0] & IDR0_S2P))
		return "its SMMU does not have both stages";
	if (!(IDR0_TTF(idr[0]) & IDR0_TTF_AARCH64) || !smmuv3_formats(idr))
		return "its SMMU has no AArch64 tables";
	if (IDR0_TTENDIAN(idr[0]) == TTENDIAN_BIG)
		return "its SMMU reads big-endian tables only";
	/* Without, every store into a table would have to be cleaned to memory. */
	if (!(idr[0] & IDR0_COHACC))
		return "its SMMU does not read tables coherently (IDR0.COHACC)";
	/* A stalled access waits for an answer that nobody here gives. */
	if (IDR0_STALL(idr[0]) == STALL_FORCED)
		return "its SMMU stalls on every fault";
	return NULL;
}

unsigned int smmuv3_asid_bits(const uint32_t idr[SMMUV3_IDRS])
{
	return idr[0] & IDR0_ASID16 ? 16 : 8;
}

bool smmuv3_has_ranges(const uint32_t idr[SMMUV3_IDRS])
{
	return (idr[3] & IDR3_RIL) != 0;
}

/* Attributes of the SMMU's own reads of descriptors and tables. */
#define CACHE_WRITE_BACK 1 /* read- and write-allocate */
#define INNER_SHAREABLE	 3

/*
 * IHI 0070, 5.2 "Stream Table Entry", the fields that a hypervisor takes from its guest. S1Fmt and
 * S1CDMax 0: one descriptor, no substreams. EATS 0: no ATS, so that there is no cache of
 * translations in the device to invalidate.
 */
void smmuv3_ste(uint64_t ste[2], uint64_t cd_addr)
{
	const uint64_t valid = BIT(0), stage1 = FIELD(5, 1);

	ste[0] = valid | stage1 | (cd_addr & MASK(51, 6));
	ste[1] =
		FIELD(CACHE_WRITE_BACK, 2) | FIELD(CACHE_WRITE_BACK, 4) | FIELD(INNER_SHAREABLE, 6);
}

/*
 * IHI 0070, 5.4 "Context Descriptor". TTB0 only. A fault is recorded and the access is aborted
 * (R, A), never stalled. HA and HD 0: the SMMU writes to no table, which is why tables can be
 * read-only in the parent. ASET: broadcast invalidations of the processors' address spaces are not
 * for this ASID. MAIR.Attr0 0xff: normal memory, write-back, which the leaves of the format name.
 */
void smmuv3_cd(uint64_t cd[SMMUV3_CD_WORDS], const uint32_t idr[SMMUV3_IDRS],
	       enum ioas_format format, uint64_t root, uint16_t asid)
{
	const uint64_t oas = IDR5_OAS(idr[5]);
	const uint64_t t0sz = 64 - 48, ttb1_off = BIT(30), valid = BIT(31), aa64 = BIT(41);
	const uint64_t record = BIT(45), abort = BIT(46), aset = BIT(47);

	memset(cd, 0, SMMUV3_CD_WORDS * sizeof(cd[0]));
	cd[0] = FIELD(t0sz, 0) | FIELD(granule_of(format)->cd_tg0, 6) | FIELD(CACHE_WRITE_BACK, 8) |
		FIELD(CACHE_WRITE_BACK, 10) | FIELD(INNER_SHAREABLE, 12) | ttb1_off | valid |
		FIELD(oas < OAS_48 ? oas : OAS_48, 32) | aa64 | record | abort | aset |
		FIELD(asid, 48);
	cd[1] = root & MASK(51, 4);
	cd[3] = 0xff;
}

/* IHI 0070, 4.4 "TLB invalidation". The kernel fills in the VMID. */
#define TLBI_NH_ASID 0x11
#define TLBI_NH_VA   0x12

struct smmuv3_cmd smmuv3_tlbi_asid(uint16_t asid)
{
	return (struct smmuv3_cmd){ .word = { TLBI_NH_ASID | FIELD(asid, 48) } };
}

/*
 * IHI 0070, 4.4.1 "Common TLB invalidation fields", 4.4.1.1 "Range-based invalidation": a command
 * with TG is for (NUM + 1) * 2^SCALE pages from Address on. One page by itself must not be said in
 * that form without TTL (NUM, SCALE and TTL 0 are reserved together): it is a command without TG.
 * TTL 0: the leaf may be on any level.
 */
unsigned int smmuv3_tlbi_range(struct smmuv3_cmd *cmds, unsigned int max, uint16_t asid,
			       enum ioas_format format, const struct be_inval *range, bool ranges)
{
	const struct granule *granule = granule_of(format);
	const uint64_t num_max = 32, scale_max = 31;
	uint64_t pages = range->bytes >> granule->page_lg2;
	uint64_t iova = range->iova;
	unsigned int count = 0;

	while (pages) {
		uint64_t scale = ranges ? __builtin_ctzll(pages) : 0;
		uint64_t num;
		struct smmuv3_cmd *cmd = &cmds[count];

		if (scale > scale_max)
			scale = scale_max;
		num = ranges ? pages >> scale & (num_max - 1) : 1;
		if (!num)
			num = num_max;

		if (count++ == max)
			return 0;
		cmd->word[0] = TLBI_NH_VA | FIELD(asid, 48);
		cmd->word[1] = (range->leaf ? BIT(0) : 0) | iova;
		if (num << scale > 1) {
			cmd->word[0] |= FIELD(num - 1, 12) | FIELD(scale, 20);
			cmd->word[1] |= FIELD(granule->tlbi_tg, 10);
		}
		iova += (num << scale) << granule->page_lg2;
		pages -= num << scale;
	}
	return count;
}

/* IHI 0070, 7.3 "Event records". */
#define EVENT_BAD_STE	    0x04
#define EVENT_BAD_SUBSTREAM 0x08
#define EVENT_BAD_CD	    0x0a
#define EVENT_TRANSLATION   0x10
#define EVENT_ADDRESS_SIZE  0x11
#define EVENT_ACCESS	    0x12
#define EVENT_PERMISSION    0x13

bool smmuv3_event(const uint64_t record[4], struct nested_event *event)
{
	const bool read = (record[1] & BIT(35)) != 0;

	*event = (struct nested_event){
		.virt_id = GET(record[0], 63, 32),
		.iova = record[2] & ~(uint64_t)(IOAS_PAGE_SIZE - 1),
		.prot = read ? IOAS_READ : IOAS_WRITE,
	};
	switch (GET(record[0], 7, 0)) {
	case EVENT_TRANSLATION:
		/* Also of an address that the table does not span: all of TTB1 is off. */
		event->reason = event->iova >> 48 ? IOAS_FAULT_ADDRESS : IOAS_FAULT_NOT_PRESENT;
		return true;
	case EVENT_PERMISSION:
		event->reason = IOAS_FAULT_PERMISSION;
		return true;
	case EVENT_ADDRESS_SIZE:
		/* Of what an entry holds: beyond what any parent maps. */
		event->reason = IOAS_FAULT_PARENT;
		return true;
	case EVENT_ACCESS:
		/* An entry without the access flag is none of ours. */
		event->reason = IOAS_FAULT_RESERVED;
		return true;
	case EVENT_BAD_STE:
	case EVENT_BAD_SUBSTREAM:
	case EVENT_BAD_CD:
		event->reason = IOAS_FAULT_BLOCKED;
		event->iova = 0;
		return true;
	}
	return false;
}

/* For iommufd_user.c. */

static const char *why_not(const union nested_info *info, struct nested_traits *traits)
{
	const char *why = smmuv3_why_not(info->smmuv3.idr);

	*traits = (struct nested_traits){
		.formats = smmuv3_formats(info->smmuv3.idr),
		.tags = 1U << smmuv3_asid_bits(info->smmuv3.idr),
		.repeat = info->smmuv3.flags & UAPI_SMMUV3_REPEAT_TLBI,
	};
	return why;
}

/* The scratch page is the context descriptor. */
static void table(const union nested_info *info, const struct nested_table *table, void *data)
{
	struct uapi_hwpt_smmuv3 *hwpt = data;

	smmuv3_cd(table->scratch, info->smmuv3.idr, table->format, table->root, table->tag);
	smmuv3_ste(hwpt->ste, table->scratch_addr);
}

static unsigned int inval(const union nested_info *info, const struct nested_table *table,
			  const struct be_inval *range, void *entries, unsigned int max)
{
	return smmuv3_tlbi_range(entries, max, table->tag, table->format, range,
				 smmuv3_has_ranges(info->smmuv3.idr));
}

static void inval_all(const struct nested_table *table, void *entry)
{
	*(struct smmuv3_cmd *)entry = smmuv3_tlbi_asid(table->tag);
}

static bool event(const void *record, struct nested_event *event)
{
	return smmuv3_event(record, event);
}

const struct nested_ops smmuv3_nested = {
	.info_type = UAPI_HW_INFO_ARM_SMMUV3,
	.viommu_type = UAPI_VIOMMU_SMMUV3,
	.data_type = UAPI_HWPT_DATA_SMMUV3,
	.data_bytes = sizeof(struct uapi_hwpt_smmuv3),
	.inval_type = UAPI_INVALIDATE_SMMUV3,
	.inval_bytes = sizeof(struct smmuv3_cmd),
	.event_type = UAPI_VEVENTQ_SMMUV3,
	.event_bytes = sizeof(struct uapi_vevent_smmuv3),
	.maps_interrupts = true,
	.no_viommu =
		"the firmware does not say that its memory accesses are coherent (CANWBS in the "
		"IORT), or the kernel lacks CONFIG_ARM_SMMU_V3_IOMMUFD",
	.why_not = why_not,
	.table = table,
	.inval = inval,
	.inval_all = inval_all,
	.event = event,
};
