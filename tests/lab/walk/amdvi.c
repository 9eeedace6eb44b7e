// SPDX-License-Identifier: BSD-3-Clause
/*
 * AMD-Vi: host tables of 4, 5 and 6 levels.
 *
 * Source: AMD I/O Virtualization Technology (IOMMU) Specification (48882): 2.2.2 "Device Table"
 * and its entry, 2.4 "Commands", 2.5 "Event Logging", 3.4 "MMIO Registers".
 */
#include <stdlib.h>

#include "iommu.h"

#define REGS 0xfed80000 /* where QEMU's q35 has it */

#define DEVICE_TABLE	(REGS + 0x0000)
#define COMMAND_BASE	(REGS + 0x0008)
#define EVENT_BASE	(REGS + 0x0010)
#define CONTROL		(REGS + 0x0018)
#define COMMAND_HEAD	(REGS + 0x2000)
#define COMMAND_TAIL	(REGS + 0x2008)
#define EVENT_HEAD	(REGS + 0x2010)
#define EVENT_TAIL	(REGS + 0x2018)
#define CONTROL_IOMMU	FIELD(1, 0)
#define CONTROL_EVENTS	FIELD(1, 2)
#define CONTROL_COMMAND FIELD(1, 12)

#define QUEUE_LG2     12
#define QUEUE_ENTRIES 8 /* 2^8 of 16 bytes */
#define DOMAIN	      7

struct amdvi {
	uint64_t *device; /* entry of the device */
	uint64_t *commands, *events;
	unsigned int tail, head; /* bytes */
};

static void command(struct iommu *iommu, uint64_t low, uint64_t high)
{
	struct amdvi *amd = iommu->own;

	amd->commands[amd->tail / 8] = low;
	amd->commands[amd->tail / 8 + 1] = high;
	amd->tail = (amd->tail + 16) % (1 << QUEUE_LG2);
	iommu_write64(iommu, COMMAND_TAIL, amd->tail);
	while (iommu_read64(iommu, COMMAND_HEAD) % (1 << QUEUE_LG2) != amd->tail)
		;
}

/*
 * 2.4.3 INVALIDATE_IOMMU_PAGES: S says that the zero bit which comes first in the address gives
 * the size; the address with all bits but the highest set is everything. PDE 0: leaves only.
 */
static void amd_forget(struct iommu *iommu, uint64_t iova, uint64_t bytes)
{
	const uint64_t low = FIELD(3, 60) | FIELD(DOMAIN, 32);
	unsigned int order = 0;

	while ((iova ^ (iova + bytes - 1)) >> 12 >> order)
		order++;
	if (!order)
		command(iommu, low, iova & ~UINT64_C(0xfff));
	else
		command(iommu, low,
			(iova >> 12 >> order << order << 12) |
				FIELD((1ULL << (order - 1)) - 1, 12) | 1);
}

static void amd_flush(struct iommu *iommu)
{
	const uint64_t pde = 2, s = 1;

	command(iommu, FIELD(3, 60) | FIELD(DOMAIN, 32), UINT64_C(0x7ffffffffffff000) | pde | s);
}

static void amd_start(struct iommu *iommu)
{
	struct amdvi *amd = calloc(1, sizeof(*amd));
	uint64_t devices, commands, events;

	iommu->own = amd;
	amd->device = (uint64_t *)board_page(iommu->board, 12, &devices) + EDU_DEVFN * 4;
	amd->commands = board_page(iommu->board, QUEUE_LG2, &commands);
	amd->events = board_page(iommu->board, QUEUE_LG2, &events);
	iommu_write64(iommu, DEVICE_TABLE, devices);
	iommu_write64(iommu, COMMAND_BASE, commands | FIELD(QUEUE_ENTRIES, 56));
	iommu_write64(iommu, EVENT_BASE, events | FIELD(QUEUE_ENTRIES, 56));
	iommu_write64(iommu, CONTROL, CONTROL_IOMMU | CONTROL_EVENTS | CONTROL_COMMAND);
}

static void amd_attach(struct iommu *iommu, enum ioas_format format, uint64_t root)
{
	const uint64_t valid = FIELD(3, 0), rights = FIELD(3, 61);
	const unsigned int mode = 4 + (format - IOAS_FORMAT_AMDV1_L4);
	struct amdvi *amd = iommu->own;

	amd->device[1] = DOMAIN;
	amd->device[0] = valid | FIELD(mode, 9) | root | rights;
	command(iommu, FIELD(2, 60) | EDU_DEVFN, 0); /* INVALIDATE_DEVTAB_ENTRY */
	amd_flush(iommu);
}

/*
 * 2.5.3 IO_PAGE_FAULT. In place of RW, bit 53, QEMU has the rights asked for in bits 48 (read) and
 * 49 (write): amdvi_page_fault().
 */
static bool amd_fault(struct iommu *iommu, struct iommu_fault *fault)
{
	const unsigned int io_page_fault = 2;
	const unsigned int any = 1U << SPEC_NOT_PRESENT | 1U << SPEC_NO_RIGHT |
				 1U << SPEC_NO_ADDRESS | 1U << SPEC_RESERVED;
	struct amdvi *amd = iommu->own;
	const uint64_t *event = amd->events + amd->head / 8;

	if (iommu_read64(iommu, EVENT_TAIL) == amd->head)
		return false;
	*fault = (struct iommu_fault){
		.page = event[1] & ~UINT64_C(0xfff),
		.prot = event[0] >> 48 & IOAS_RW,
		.reasons = event[0] >> 60 == io_page_fault && (uint16_t)event[0] == EDU_DEVFN ? any
											      : 0,
	};
	amd->head = (amd->head + 16) % (1 << QUEUE_LG2);
	iommu_write64(iommu, EVENT_HEAD, amd->head);
	return true;
}

#define OF_ALL_VERSIONS                                                                    \
	.map = &board_x86,                                                                 \
	.formats = { IOAS_FORMAT_AMDV1_L4, IOAS_FORMAT_AMDV1_L5, IOAS_FORMAT_AMDV1_L6 },   \
	.output_bits = 52, .start = amd_start, .attach = amd_attach, .forget = amd_forget, \
	.flush = amd_flush, .fault = amd_fault, .hole = 0xfee00000, .hole_end = 0xfef00000

const struct iommu_ops iommu_amd = {
	.name = "amd",
	.hits_are_silent = true,
	.no_pages = true,
	.unread_table = FIELD(3, 61), /* IR, IW */
	.key_bits = 64,
	OF_ALL_VERSIONS,
};

/* As it is in QEMU 7.2 and 10.0. */
const struct iommu_ops iommu_amd_7_2 = {
	.name = "amd-7.2",
	.no_records = true,
	.aliases = true,
	.unread_leaf = FIELD(1, 0), /* PR */
	.key_bits = 48,
	OF_ALL_VERSIONS,
};
