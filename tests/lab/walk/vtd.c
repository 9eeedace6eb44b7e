// SPDX-License-Identifier: BSD-3-Clause
/*
 * Intel VT-d: second-stage tables in legacy mode, first-stage tables in scalable mode.
 *
 * Source: Intel VT-d specification: 9.1 to 9.6 root, context and PASID entries; 6.5 "Queued
 * Invalidation Interface" with its descriptors; 7 "Hardware Faults" and 7.1.3 "Fault Reasons"; 11
 * "Register Descriptions".
 */
#include <stdlib.h>

#include "iommu.h"

#define REGS 0xfed90000 /* where QEMU's q35 has it */

#define GCMD	    (REGS + 0x18)
#define GSTS	    (REGS + 0x1c)
#define RTADDR	    (REGS + 0x20)
#define FSTS	    (REGS + 0x34)
#define IQH	    (REGS + 0x80)
#define IQT	    (REGS + 0x88)
#define IQA	    (REGS + 0x90)
#define FRCD	    (REGS + 0x220) /* CAP.FRO says so */
#define GCMD_TE	    (1U << 31)
#define GCMD_SRTP   (1U << 30)
#define GCMD_QIE    (1U << 26)
#define RTADDR_SMT  FIELD(1, 10)
#define IQA_DW	    FIELD(1, 11) /* descriptors of 256 bits */
#define FSTS_PFO    (1U << 0)
#define FRCD_F	    FIELD(1, 63)
#define FRCD_T_READ FIELD(1, 62)

#define QUEUE_LG2     12
#define DOMAIN	      7
#define ORDER_MAX     18 /* CAP.MAMV: 2^18 pages in one descriptor */
#define PASID_OF_RIDS 0

#define PRESENT FIELD(1, 0)

struct vtd {
	bool scalable;
	uint64_t root, context, pasids; /* addresses of the tables */
	uint64_t *context_entry;	/* of the device */
	uint64_t *pasid_entry;
	uint64_t *queue;
	unsigned int tail; /* bytes */
};

static void queue(struct iommu *iommu, uint64_t low, uint64_t high)
{
	struct vtd *vtd = iommu->own;
	uint64_t *desc = vtd->queue + vtd->tail / 8;

	desc[0] = low;
	desc[1] = high;
	if (vtd->scalable)
		desc[2] = desc[3] = 0;
	vtd->tail = (vtd->tail + (vtd->scalable ? 32 : 16)) % (1 << QUEUE_LG2);
	iommu_write64(iommu, IQT, vtd->tail);
	while (iommu_read64(iommu, IQH) != vtd->tail)
		;
}

static void vtd_flush(struct iommu *iommu)
{
	struct vtd *vtd = iommu->own;

	if (vtd->scalable)
		queue(iommu, 0x6 | FIELD(2, 4) | FIELD(DOMAIN, 16) | FIELD(PASID_OF_RIDS, 32), 0);
	else
		queue(iommu, 0x2 | FIELD(2, 4) | FIELD(DOMAIN, 16), 0);
}

/* The smallest aligned power of two of pages around the range; leaves only (IH). */
static void vtd_forget(struct iommu *iommu, uint64_t iova, uint64_t bytes)
{
	struct vtd *vtd = iommu->own;
	const uint64_t ih = FIELD(1, 6);
	unsigned int order = 0;

	while ((iova ^ (iova + bytes - 1)) >> 12 >> order)
		order++;
	if (order > ORDER_MAX) {
		vtd_flush(iommu);
		return;
	}
	iova = iova >> 12 >> order << order << 12;
	if (vtd->scalable)
		queue(iommu, 0x6 | FIELD(3, 4) | FIELD(DOMAIN, 16) | FIELD(PASID_OF_RIDS, 32),
		      iova | ih | order);
	else
		queue(iommu, 0x2 | FIELD(3, 4) | FIELD(DOMAIN, 16), iova | ih | order);
}

static void global_command(struct iommu *iommu, uint32_t command)
{
	const uint32_t stays = GCMD_TE | GCMD_QIE;
	uint32_t status = iommu_read32(iommu, GSTS) & stays;

	iommu_write32(iommu, GCMD, status | command);
	while (!(iommu_read32(iommu, GSTS) & command))
		;
}

static void start(struct iommu *iommu, bool scalable)
{
	struct vtd *vtd = calloc(1, sizeof(*vtd));
	uint64_t root, context, directory, pasids, queue_addr;
	uint64_t *root_table = board_page(iommu->board, 12, &root);

	iommu->own = vtd;
	vtd->scalable = scalable;
	vtd->context_entry =
		(uint64_t *)board_page(iommu->board, 12, &context) + EDU_DEVFN * (scalable ? 4 : 2);
	root_table[0] = context | PRESENT; /* bus 0; scalable: devices 0 to 15 */
	if (scalable) {
		uint64_t *directory_table = board_page(iommu->board, 12, &directory);

		vtd->pasid_entry = board_page(iommu->board, 12, &pasids);
		directory_table[0] = pasids | PRESENT;
		vtd->context_entry[0] = directory | PRESENT;
		vtd->context_entry[1] = PASID_OF_RIDS;
	}
	vtd->queue = board_page(iommu->board, QUEUE_LG2, &queue_addr);
	iommu_write64(iommu, IQT, 0);
	iommu_write64(iommu, IQA, queue_addr | (scalable ? IQA_DW : 0));
	global_command(iommu, GCMD_QIE);
	iommu_write64(iommu, RTADDR, root | (scalable ? RTADDR_SMT : 0));
	global_command(iommu, GCMD_SRTP);
	global_command(iommu, GCMD_TE);
}

static void vtd_start(struct iommu *iommu)
{
	start(iommu, false);
}

static void vtd_first_start(struct iommu *iommu)
{
	start(iommu, true);
}

/* 9.3: translation type 0, address width 2: 48 bits, 4 levels. */
static void vtd_attach(struct iommu *iommu, enum ioas_format format, uint64_t root)
{
	struct vtd *vtd = iommu->own;

	(void)format;
	vtd->context_entry[1] = 2 | FIELD(DOMAIN, 8);
	vtd->context_entry[0] = root | PRESENT;
	queue(iommu, 0x1 | FIELD(1, 4), 0); /* context cache: all */
	queue(iommu, 0x2 | FIELD(1, 4), 0); /* IOTLB: all */
}

/*
 * 9.6: PGTT 1: first stage only; FSPM 0: 4 levels. AW 2, 48 bits, is of the second stage and of no
 * meaning here, but for QEMU: vtd_get_iova_agaw().
 */
static void vtd_first_attach(struct iommu *iommu, enum ioas_format format, uint64_t root)
{
	struct vtd *vtd = iommu->own;

	(void)format;
	vtd->pasid_entry[1] = DOMAIN;
	vtd->pasid_entry[2] = root;
	vtd->pasid_entry[0] = FIELD(1, 6) | FIELD(2, 2) | PRESENT;
	queue(iommu, 0x1 | FIELD(1, 4), 0);
	queue(iommu, 0x7 | FIELD(3, 4), 0); /* PASID cache: all */
	vtd_flush(iommu);
}

/* 7.1.3. In legacy mode "the W field is clear" is also said of what is not present. */
static unsigned int meaning(unsigned int reason)
{
	switch (reason) {
	case 0x04: /* LGN.1.1: beyond the address width */
	case 0x80: /* SGN.1: not canonical */
		return 1U << SPEC_NO_ADDRESS;
	case 0x05: /* LGN.2: write */
	case 0x06: /* LGN.3: read */
		return 1U << SPEC_NOT_PRESENT | 1U << SPEC_NO_RIGHT;
	case 0x71: /* SFS.2: P is clear */
		return 1U << SPEC_NOT_PRESENT;
	case 0x81: /* SGN.2: U/S is clear */
	case 0x85: /* SGN.5: no right to write */
		return 1U << SPEC_NO_RIGHT;
	case 0x0c: /* LSL.2 */
	case 0x72: /* SFS.3 */
		return 1U << SPEC_RESERVED;
	default:
		return 0;
	}
}

static bool vtd_fault(struct iommu *iommu, struct iommu_fault *fault)
{
	uint64_t high = iommu_read64(iommu, FRCD + 8);

	if (!(high & FRCD_F))
		return false;
	*fault = (struct iommu_fault){
		.page = iommu_read64(iommu, FRCD),
		.prot = high & FRCD_T_READ ? IOAS_READ : IOAS_WRITE,
		.reasons = (uint16_t)high == EDU_DEVFN ? meaning(high >> 32 & 0xff) : 0,
	};
	iommu_write64(iommu, FRCD + 8, FRCD_F);
	iommu_write32(iommu, FSTS, FSTS_PFO);
	return true;
}

#define OF_BOTH_MODES                                                                    \
	.map = &board_x86, .output_bits = 48, .forget = vtd_forget, .flush = vtd_flush,  \
	.fault = vtd_fault, .hits_are_silent = true, .key_bits = 64, .hole = 0xfee00000, \
	.hole_end = 0xfef00000

const struct iommu_ops iommu_vtd = {
	.name = "vtd",
	.formats = { IOAS_FORMAT_VTDSS_L4 },
	.start = vtd_start,
	.attach = vtd_attach,
	OF_BOTH_MODES,
};

const struct iommu_ops iommu_vtd_first = {
	.name = "vtd-first",
	.formats = { IOAS_FORMAT_X86_64_L4 },
	.start = vtd_first_start,
	.attach = vtd_first_attach,
	OF_BOTH_MODES,
};
