/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Structures of Arm SMMUv3 that a user-managed stage 1 needs, packed and unpacked: what goes into
 * memory, into commands and comes out of events. smmuv3_nested (nested.h) is made of these.
 *
 * Source: Arm System Memory Management Unit architecture specification, SMMU architecture version 3
 * (IHI 0070). Each function names its section.
 */
#ifndef ENGINE_BACKEND_SMMUV3_H
#define ENGINE_BACKEND_SMMUV3_H

#include "nested.h"

#define SMMUV3_IDRS 6 /* SMMU_IDR0 to SMMU_IDR5 */

struct smmuv3_cmd {
	uint64_t word[2];
};

/*
 * Can this SMMU walk stage-1 tables that a processor writes with plain stores, under a second
 * stage? Return: NULL, or what is missing, in words for a message.
 */
const char *smmuv3_why_not(const uint32_t idr[SMMUV3_IDRS]);

/* Mask of 1 << enum ioas_format: IOAS_FORMAT_ARM64_S1_*, by granule. */
uint32_t smmuv3_formats(const uint32_t idr[SMMUV3_IDRS]);

unsigned int smmuv3_asid_bits(const uint32_t idr[SMMUV3_IDRS]);

/* Are there commands for ranges? */
bool smmuv3_has_ranges(const uint32_t idr[SMMUV3_IDRS]);

/* The part of a stream table entry that names one context descriptor, at an aligned address. */
#define SMMUV3_CD_WORDS 8
void smmuv3_ste(uint64_t ste[2], uint64_t cd_addr);

/* The context descriptor of a table of one of these formats. */
void smmuv3_cd(uint64_t cd[SMMUV3_CD_WORDS], const uint32_t idr[SMMUV3_IDRS],
	       enum ioas_format format, uint64_t root, uint16_t asid);

/* Everything that an ASID has in the TLBs. */
struct smmuv3_cmd smmuv3_tlbi_asid(uint16_t asid);

/*
 * Commands for a range of an ASID, whole pages of the format, with @ranges such that name more than
 * one page. Return: how many were written, or 0 if more than @max would be needed.
 */
unsigned int smmuv3_tlbi_range(struct smmuv3_cmd *cmds, unsigned int max, uint16_t asid,
			       enum ioas_format format, const struct be_inval *range, bool ranges);

/* Return: false for records that are no fault of a device's access. */
bool smmuv3_event(const uint64_t record[4], struct nested_event *event);

#endif
