// SPDX-License-Identifier: BSD-3-Clause
/*
 * Arm SMMUv3: stage 1, with granules of 4, 16 and 64 KiB. Stream table entry, context descriptor,
 * invalidations and events are packed and read by the library's own engine/backend/smmuv3.c.
 *
 * Source: Arm SMMUv3 architecture (IHI 0070): 3.5 "Command and Event queues", 4 "Commands", 6.3
 * "Register formats".
 */
#include <stdlib.h>

#include <ioas/ctx.h>

#include "../../../engine/backend/smmuv3.h"
#include "iommu.h"

#define REGS 0x9050000 /* where QEMU's virt has it */

#define IDR0		(REGS + 0x00)
#define CR0		(REGS + 0x20)
#define CR0ACK		(REGS + 0x24)
#define STRTAB_BASE	(REGS + 0x80)
#define STRTAB_BASE_CFG (REGS + 0x88)
#define CMDQ_BASE	(REGS + 0x90)
#define CMDQ_PROD	(REGS + 0x98)
#define CMDQ_CONS	(REGS + 0x9c)
#define EVENTQ_BASE	(REGS + 0xa0)
#define EVENTQ_PROD	(REGS + 0x100a8)
#define EVENTQ_CONS	(REGS + 0x100ac)
#define CR0_SMMUEN	(1U << 0)
#define CR0_EVENTQEN	(1U << 2)
#define CR0_CMDQEN	(1U << 3)

#define STREAMS_LG2  6 /* of 64 bytes */
#define COMMANDS_LG2 8 /* of 16 bytes */
#define EVENTS_LG2   7 /* of 32 bytes */
#define ASID	     5
#define RANGES	     64

#define CMD_CFGI_ALL 0x04
#define CMD_SYNC     0x46

struct smmuv3 {
	uint32_t idr[SMMUV3_IDRS];
	uint64_t *stream, *cd;
	uint64_t cd_addr;
	uint64_t *commands, *events;
	uint32_t prod, cons;
	enum ioas_format format;
};

/* Producer and consumer are indices with one bit more, which tells full from empty. */
static void command(struct iommu *iommu, struct smmuv3_cmd cmd)
{
	struct smmuv3 *smmu = iommu->own;
	uint64_t *slot = smmu->commands + 2 * (smmu->prod % (1 << COMMANDS_LG2));

	slot[0] = cmd.word[0];
	slot[1] = cmd.word[1];
	smmu->prod = (smmu->prod + 1) % (2 << COMMANDS_LG2);
	iommu_write32(iommu, CMDQ_PROD, smmu->prod);
	while (iommu_read32(iommu, CMDQ_CONS) != smmu->prod)
		;
}

static void sync(struct iommu *iommu)
{
	command(iommu, (struct smmuv3_cmd){ .word = { CMD_SYNC } });
}

static void smmuv3_flush(struct iommu *iommu)
{
	command(iommu, smmuv3_tlbi_asid(ASID));
	sync(iommu);
}

static void smmuv3_forget(struct iommu *iommu, uint64_t iova, uint64_t bytes)
{
	struct smmuv3 *smmu = iommu->own;
	const struct be_inval range = { .iova = iova, .bytes = bytes, .leaf = true };
	struct smmuv3_cmd cmds[RANGES];
	unsigned int count =
		smmuv3_tlbi_range(cmds, RANGES, ASID, smmu->format, &range, true);

	if (!count) {
		smmuv3_flush(iommu);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		command(iommu, cmds[i]);
	sync(iommu);
}

static void enable(struct iommu *iommu, uint32_t bits)
{
	iommu_write32(iommu, CR0, bits);
	while (iommu_read32(iommu, CR0ACK) != bits)
		;
}

static void smmuv3_start(struct iommu *iommu)
{
	struct smmuv3 *smmu = calloc(1, sizeof(*smmu));
	uint64_t streams, commands, events;

	iommu->own = smmu;
	for (unsigned int i = 0; i < SMMUV3_IDRS; i++)
		smmu->idr[i] = iommu_read32(iommu, IDR0 + 4 * i);
	smmu->stream = (uint64_t *)board_page(iommu->board, 12, &streams) + EDU_DEVFN * 8;
	smmu->cd = board_page(iommu->board, 12, &smmu->cd_addr);
	smmu->commands = board_page(iommu->board, 12, &commands);
	smmu->events = board_page(iommu->board, 12, &events);
	iommu_write64(iommu, STRTAB_BASE, streams);
	iommu_write32(iommu, STRTAB_BASE_CFG, STREAMS_LG2);
	iommu_write64(iommu, CMDQ_BASE, commands | COMMANDS_LG2);
	iommu_write64(iommu, EVENTQ_BASE, events | EVENTS_LG2);
	enable(iommu, CR0_CMDQEN);
	enable(iommu, CR0_CMDQEN | CR0_EVENTQEN);
	enable(iommu, CR0_CMDQEN | CR0_EVENTQEN | CR0_SMMUEN);
}

static void smmuv3_attach(struct iommu *iommu, enum ioas_format format, uint64_t root)
{
	const struct smmuv3_cmd all = { .word = { CMD_CFGI_ALL, 31 } };
	struct smmuv3 *smmu = iommu->own;

	smmuv3_cd(smmu->cd, smmu->idr, format, root, ASID);
	smmuv3_ste(smmu->stream, smmu->cd_addr);
	smmu->format = format;
	command(iommu, all);
	smmuv3_flush(iommu);
}

static unsigned int meaning(unsigned int reason)
{
	switch (reason) {
	case IOAS_FAULT_NOT_PRESENT:
		return 1U << SPEC_NOT_PRESENT;
	case IOAS_FAULT_PERMISSION:
		return 1U << SPEC_NO_RIGHT;
	case IOAS_FAULT_ADDRESS:
		return 1U << SPEC_NO_ADDRESS;
	case IOAS_FAULT_RESERVED:
		return 1U << SPEC_RESERVED;
	default:
		return 0;
	}
}

static bool smmuv3_fault(struct iommu *iommu, struct iommu_fault *fault)
{
	struct smmuv3 *smmu = iommu->own;
	const uint64_t *record = smmu->events + 4 * (smmu->cons % (1 << EVENTS_LG2));
	struct nested_event event;

	if (smmu->cons == iommu_read32(iommu, EVENTQ_PROD))
		return false;
	*fault = (struct iommu_fault){ 0 };
	if (smmuv3_event(record, &event))
		*fault = (struct iommu_fault){
			.page = event.iova,
			.prot = event.prot,
			.reasons = event.virt_id == EDU_DEVFN ? meaning(event.reason) : 0,
		};
	smmu->cons = (smmu->cons + 1) % (2 << EVENTS_LG2);
	iommu_write32(iommu, EVENTQ_CONS, smmu->cons);
	return true;
}

const struct iommu_ops iommu_smmuv3 = {
	.name = "smmuv3",
	.map = &board_arm,
	.formats = { IOAS_FORMAT_ARM64_S1_4K, IOAS_FORMAT_ARM64_S1_16K, IOAS_FORMAT_ARM64_S1_64K },
	.start = smmuv3_start,
	.attach = smmuv3_attach,
	.forget = smmuv3_forget,
	.flush = smmuv3_flush,
	.fault = smmuv3_fault,
	.unread_leaf = FIELD(1, 6), /* AP[1] */
	.key_bits = 64,
};
