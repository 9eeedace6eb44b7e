// SPDX-License-Identifier: BSD-3-Clause
/* See ours.h. */
#include "../../soft/machine.h"

#include "ours.h"

/*
 * One access through a software IOMMU that has just been given the table, over a second stage that
 * is the identity for every address.
 */
static enum spec_outcome soft_walk(uint64_t root, uint64_t iova, uint32_t prot, uint64_t *oa)
{
	static struct machine m;
	struct soft_fault fault;
	uint64_t lost;
	void *memory;

	if (!m.unit) {
		machine_start(&m, "iotlb_sets=1,iotlb_ways=1,psc_entries=1");
		m.parent = page_new(&m);
		for (uint64_t at = 0; at < UINT64_C(1) << 48; at += GIB(1))
			set_entry(second(&m, at, 2), at | SRW | PS);
	}
	soft_endpoint_set(&m.device, &(struct soft_context){ .kind = SOFT_NESTED,
							     .levels = 4,
							     .domain = CHILD,
							     .root = root,
							     .parent_domain = PARENT,
							     .parent_root = addr_of(m.parent) });
	flush(&m, CHILD);
	memory = dma(&m, iova, NULL, prot);
	if (memory) {
		*oa = addr_of(memory);
		return SPEC_PASSED;
	}
	assert_int_equal(soft_faults_read(&m.unit->faults, &fault, 1, &lost), 1);
	switch (fault.reason) {
	case IOAS_FAULT_NOT_PRESENT:
		return SPEC_NOT_PRESENT;
	case IOAS_FAULT_PERMISSION:
		return SPEC_NO_RIGHT;
	case IOAS_FAULT_ADDRESS:
		return SPEC_NO_ADDRESS;
	default:
		return SPEC_RESERVED;
	}
}

enum spec_outcome our_walk(enum ioas_format format, uint64_t root, uint64_t iova, uint32_t prot,
			   uint64_t *oa)
{
	struct spec_leaf leaf = { 0 };
	enum spec_outcome outcome;

	if (format == IOAS_FORMAT_X86_64_L4)
		return soft_walk(root, iova, prot, oa);
	outcome = spec_walk(format, root, iova, prot, &leaf);
	*oa = leaf.oa;
	return outcome;
}
