// SPDX-License-Identifier: BSD-3-Clause
/*
 * RISC-V IOMMU: first stage, Sv39, Sv48 and Sv57.
 *
 * Source: RISC-V IOMMU Architecture Specification 1.0: 2.1 "Device-Directory-Table", the fields of
 * its extended-format device context; 3.1 "Command-Queue", 3.2 "Fault/Event-Queue"; 5
 * "Memory-mapped register interface".
 */
#include <stdlib.h>

#include "iommu.h"

#define REGS 0x3010000 /* where QEMU's virt has it */

#define DDTP	 (REGS + 0x10)
#define CQB	 (REGS + 0x18)
#define CQH	 (REGS + 0x20)
#define CQT	 (REGS + 0x24)
#define FQB	 (REGS + 0x28)
#define FQH	 (REGS + 0x30)
#define FQT	 (REGS + 0x34)
#define CQCSR	 (REGS + 0x48)
#define FQCSR	 (REGS + 0x4c)
#define QUEUE_EN (1U << 0)
#define QUEUE_ON (1U << 16)

#define DDTP_1LVL 2
#define PSCID	  5

#define COMMANDS_LG2 8 /* of 16 bytes */
#define FAULTS_LG2   7 /* of 32 bytes */

/* Address of a page, as registers and commands hold it. */
static uint64_t ppn_field(uint64_t addr)
{
	return addr >> 12 << 10;
}

struct riscv {
	uint64_t *device; /* context of the device */
	uint64_t *commands, *faults;
	uint32_t tail;
};

static void command(struct iommu *iommu, uint64_t first, uint64_t second)
{
	struct riscv *riscv = iommu->own;

	riscv->commands[2 * riscv->tail] = first;
	riscv->commands[2 * riscv->tail + 1] = second;
	riscv->tail = (riscv->tail + 1) % (1 << COMMANDS_LG2);
	iommu_write32(iommu, CQT, riscv->tail);
	while (iommu_read32(iommu, CQH) != riscv->tail)
		;
}

/* 3.1.1 IOTINVAL.VMA: with PSCV the entries of a PSCID, with AV those of an address. */
#define IOTINVAL_VMA (1 | FIELD(PSCID, 12) | FIELD(1, 32))
#define IOTINVAL_AV  FIELD(1, 10)

static void riscv_flush(struct iommu *iommu)
{
	command(iommu, IOTINVAL_VMA, 0);
}

static void riscv_forget(struct iommu *iommu, uint64_t iova, uint64_t bytes)
{
	if (bytes > 64 << 12) {
		riscv_flush(iommu);
		return;
	}
	for (uint64_t at = iova & ~UINT64_C(0xfff); at < iova + bytes; at += 1 << 12)
		command(iommu, IOTINVAL_VMA | IOTINVAL_AV, ppn_field(at));
}

static void enable_queue(struct iommu *iommu, uint64_t csr)
{
	iommu_write32(iommu, csr, QUEUE_EN);
	while (!(iommu_read32(iommu, csr) & QUEUE_ON))
		;
}

static void riscv_start(struct iommu *iommu)
{
	struct riscv *riscv = calloc(1, sizeof(*riscv));
	uint64_t devices, commands, faults;

	iommu->own = riscv;
	riscv->device = (uint64_t *)board_page(iommu->board, 12, &devices) + EDU_DEVFN * 8;
	riscv->commands = board_page(iommu->board, 12, &commands);
	riscv->faults = board_page(iommu->board, 12, &faults);
	iommu_write64(iommu, CQB, ppn_field(commands) | (COMMANDS_LG2 - 1));
	iommu_write64(iommu, FQB, ppn_field(faults) | (FAULTS_LG2 - 1));
	enable_queue(iommu, CQCSR);
	enable_queue(iommu, FQCSR);
	iommu_write64(iommu, DDTP, ppn_field(devices) | DDTP_1LVL);
}

/* 2.1.4: tc, iohgatp (bare), ta, fsc; no MSI table. */
static void riscv_attach(struct iommu *iommu, enum ioas_format format, uint64_t root)
{
	const unsigned int sv39_mode = 8;
	struct riscv *riscv = iommu->own;

	riscv->device[1] = 0;
	riscv->device[2] = FIELD(PSCID, 12);
	riscv->device[3] = FIELD(sv39_mode + (format - IOAS_FORMAT_RISCV_SV39), 60) | root >> 12;
	riscv->device[0] = 1;
	command(iommu, 3, 0); /* IODIR.INVAL_DDT: all */
	riscv_flush(iommu);
}

/* Causes are those of the privileged ISA: a page fault says no more than for what. */
static bool riscv_fault(struct iommu *iommu, struct iommu_fault *fault)
{
	const unsigned int any = 1U << SPEC_NOT_PRESENT | 1U << SPEC_NO_RIGHT |
				 1U << SPEC_NO_ADDRESS | 1U << SPEC_RESERVED;
	const unsigned int read_page_fault = 13, write_page_fault = 15;
	struct riscv *riscv = iommu->own;
	uint32_t head = iommu_read32(iommu, FQH);
	const uint64_t *record = riscv->faults + 4 * head;
	unsigned int cause;

	if (head == iommu_read32(iommu, FQT))
		return false;
	cause = record[0] & 0xfff;
	*fault = (struct iommu_fault){
		.page = record[2] & ~UINT64_C(0xfff),
		/* QEMU's TTYP is that of a write for reads as well: riscv_iommu_translate(). */
		.prot = cause == read_page_fault ? IOAS_READ : IOAS_WRITE,
		.reasons = record[0] >> 40 == EDU_DEVFN &&
					   (cause == read_page_fault || cause == write_page_fault)
				   ? any
				   : 0,
	};
	iommu_write32(iommu, FQH, (head + 1) % (1 << FAULTS_LG2));
	return true;
}

const struct iommu_ops iommu_riscv = {
	.name = "riscv",
	.map = &board_riscv,
	.formats = { IOAS_FORMAT_RISCV_SV39, IOAS_FORMAT_RISCV_SV48, IOAS_FORMAT_RISCV_SV57 },
	.start = riscv_start,
	.attach = riscv_attach,
	.forget = riscv_forget,
	.flush = riscv_flush,
	.fault = riscv_fault,
	.hits_are_silent = true,
	.unread_leaf = FIELD(1, 4), /* U */
	.key_bits = 56,
};
