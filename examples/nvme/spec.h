/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers and data structures of an NVMe controller, as far as this driver uses them. Everything
 * is little-endian.
 *
 * Source: NVM Express Base Specification, revision 1.4; sections and figures are its own.
 */
#ifndef NVME_SPEC_H
#define NVME_SPEC_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fields are not converted");

/* Registers in BAR 0: 3.1 (figure 68) */
#define NVME_REG_CAP	  0x00 /* 64 bits */
#define NVME_REG_VS	  0x08
#define NVME_REG_CC	  0x14
#define NVME_REG_CSTS	  0x1c
#define NVME_REG_AQA	  0x24
#define NVME_REG_ASQ	  0x28 /* 64 bits */
#define NVME_REG_ACQ	  0x30 /* 64 bits */
#define NVME_REG_DOORBELL 0x1000

/* CAP: 3.1.1 */
#define NVME_CAP_MQES(cap)   ((uint32_t)((cap)&0xffff) + 1)	    /* entries of an I/O queue */
#define NVME_CAP_TO_MS(cap)  ((uint32_t)((cap) >> 24 & 0xff) * 500) /* for CSTS.RDY to follow */
#define NVME_CAP_DSTRD(cap)  (4u << ((cap) >> 32 & 0xf))	    /* bytes between doorbells */
#define NVME_CAP_CSS_NVM     (UINT64_C(1) << 37)		    /* has the NVM command set */
#define NVME_CAP_MPSMIN(cap) (12 + (unsigned int)((cap) >> 48 & 0xf))

/* CC: 3.1.5 */
#define NVME_CC_EN	   (1u << 0)
#define NVME_CC_SHN_MASK   (3u << 14)
#define NVME_CC_SHN_NORMAL (1u << 14)
#define NVME_CC_IOSQES	   (6u << 16) /* submission queue entries of 2^6 bytes */
#define NVME_CC_IOCQES	   (4u << 20) /* completion queue entries of 2^4 bytes */

/* CSTS: 3.1.6 */
#define NVME_CSTS_RDY		(1u << 0)
#define NVME_CSTS_CFS		(1u << 1) /* controller fatal status */
#define NVME_CSTS_SHST_MASK	(3u << 2)
#define NVME_CSTS_SHST_COMPLETE (2u << 2)

/* SGL descriptor: 4.4 */
struct nvme_sgl_descriptor {
	uint64_t address;
	uint32_t length;
	uint8_t reserved[3];
	uint8_t identifier; /* type in the upper half, subtype in the lower */
};

#define NVME_SGL_DATA_BLOCK   0x00
#define NVME_SGL_SEGMENT      0x20
#define NVME_SGL_LAST_SEGMENT 0x30

/* Submission queue entry: 4.2 (figure 105) */
struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t id;
	uint32_t namespace_id;
	uint64_t reserved;
	uint64_t metadata;
	union {
		uint64_t prp[2];
		struct nvme_sgl_descriptor sgl;
	};
	uint32_t dword10, dword11, dword12, dword13, dword14, dword15;
};

#define NVME_FLAGS_SGL (1u << 6) /* PSDT: the data pointer is an SGL; metadata is contiguous */

/* Completion queue entry: 4.6 */
struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t command_id;
	uint16_t status; /* bit 0 is the phase tag */
};

#define NVME_STATUS_PHASE    1u
#define NVME_STATUS_CODE(s)  ((s) >> 1 & 0xff)
#define NVME_STATUS_TYPE(s)  ((s) >> 9 & 7)
#define NVME_STATUS_IS_OK(s) (!((s) >> 1 & 0x7ff))

/* Admin commands: 5 (figure 138) */
#define NVME_ADMIN_DELETE_SQ	0x00
#define NVME_ADMIN_CREATE_SQ	0x01
#define NVME_ADMIN_DELETE_CQ	0x04
#define NVME_ADMIN_CREATE_CQ	0x05
#define NVME_ADMIN_IDENTIFY	0x06
#define NVME_ADMIN_SET_FEATURES 0x09

#define NVME_FEATURE_QUEUES 0x07 /* number of queues: 5.21.1.7 */

#define NVME_QUEUE_CONTIGUOUS 1u	/* 5.3, 5.4: dword 11 */
#define NVME_CQ_INTERRUPTS    (1u << 1) /* 5.3: dword 11; the vector is in its upper half */

#define NVME_IDENTIFY_NAMESPACE	 0 /* 5.15: CNS */
#define NVME_IDENTIFY_CONTROLLER 1
#define NVME_IDENTIFY_BYTES	 4096

/* Identify controller data: 5.15.2.2 (figure 247) */
struct nvme_identify_controller {
	uint16_t pci_vendor_id;
	uint16_t pci_subsystem_vendor_id;
	char serial_number[20];
	char model_number[40];
	char firmware_revision[8];
	uint8_t arbitration_burst;
	uint8_t ieee_oui[3];
	uint8_t multi_path;
	uint8_t max_data_transfer; /* MDTS: a power of two, in pages of CAP.MPSMIN; 0: no limit */
	uint8_t unused1[516 - 78];
	uint32_t namespace_count; /* NN */
	uint8_t unused2[536 - 520];
	uint32_t sgl_support; /* SGLS */
	uint8_t unused3[NVME_IDENTIFY_BYTES - 540];
};

#define NVME_SGLS_MASK	3u
#define NVME_SGLS_BYTE	1u /* data blocks of any alignment */
#define NVME_SGLS_DWORD 2u /* data blocks of whole dwords */

/* Identify namespace data: 5.15.2.1 (figure 245) */
struct nvme_identify_namespace {
	uint64_t size_blocks; /* NSZE */
	uint64_t capacity_blocks;
	uint64_t used_blocks;
	uint8_t features;
	uint8_t format_count;
	uint8_t format; /* FLBAS: index of the format in use in bits 3:0 */
	uint8_t unused1[128 - 27];
	struct {
		uint16_t metadata_bytes;
		uint8_t block_bytes_log2; /* LBADS */
		uint8_t performance;
	} formats[16];
	uint8_t unused2[NVME_IDENTIFY_BYTES - 192];
};

/* NVM commands: 6 (figure 346). Dwords 10 and 11: first block; 12: number of blocks less one. */
#define NVME_IO_WRITE 0x01
#define NVME_IO_READ  0x02

static_assert(sizeof(struct nvme_command) == 64, "4.2");
static_assert(offsetof(struct nvme_command, prp) == 24, "4.2");
static_assert(sizeof(struct nvme_completion) == 16, "4.6");
static_assert(sizeof(struct nvme_sgl_descriptor) == 16, "4.4");
static_assert(sizeof(struct nvme_identify_controller) == NVME_IDENTIFY_BYTES, "figure 247");
static_assert(offsetof(struct nvme_identify_controller, max_data_transfer) == 77, "figure 247");
static_assert(offsetof(struct nvme_identify_controller, namespace_count) == 516, "figure 247");
static_assert(offsetof(struct nvme_identify_controller, sgl_support) == 536, "figure 247");
static_assert(sizeof(struct nvme_identify_namespace) == NVME_IDENTIFY_BYTES, "figure 245");
static_assert(offsetof(struct nvme_identify_namespace, format) == 26, "figure 245");
static_assert(offsetof(struct nvme_identify_namespace, formats) == 128, "figure 245");

#endif
