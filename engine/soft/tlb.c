/* SPDX-License-Identifier: BSD-3-Clause */
/* Translation caches: creation and invalidation. See tlb.h. */
#include "tlb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* To probe a page costs as much as to scan this many entries (bench_unit). */
#define PROBE_COST_ENTRIES 4

/* Hints per entry: few entries share one. */
#define HINTS_PER_ENTRY 2

int soft_tlb_init(struct soft_tlb *tlb, uint32_t sets, uint32_t ways)
{
	size_t entries = (size_t)sets * ways;
	size_t bytes = entries * sizeof(*tlb->entries);

	memset(tlb, 0, sizeof(*tlb));
	tlb->entries = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	tlb->hints = calloc(entries * HINTS_PER_ENTRY, sizeof(*tlb->hints));
	tlb->sets = calloc(sets, sizeof(*tlb->sets));
	if (!tlb->entries || !tlb->hints || !tlb->sets) {
		soft_tlb_destroy(tlb);
		memset(tlb, 0, sizeof(*tlb));
		return -ENOMEM;
	}
	tlb->hint_mask = entries * HINTS_PER_ENTRY - 1;
	tlb->set_mask = sets - 1;
	tlb->ways = ways;
	tlb->ways_lg2 = __builtin_ctz(ways);
	soft_tlb_clear(tlb);
	return 0;
}

void soft_tlb_destroy(struct soft_tlb *tlb)
{
	free(tlb->entries);
	free(tlb->hints);
	free(tlb->sets);
}

static uint32_t tlb_entries(const struct soft_tlb *tlb)
{
	return (tlb->set_mask + 1) << tlb->ways_lg2;
}

void soft_tlb_clear(struct soft_tlb *tlb)
{
	uint32_t all = tlb->ways == 32 ? UINT32_MAX : (UINT32_C(1) << tlb->ways) - 1;

	memset(tlb->entries, 0, tlb_entries(tlb) * sizeof(*tlb->entries));
	for (uint32_t index = 0; index <= tlb->set_mask; index++)
		tlb->sets[index] = (struct soft_tlb_set){ .free = all };
}

static void drop_at(struct soft_tlb *tlb, uint32_t at)
{
	tlb->entries[at].tag = 0;
	tlb->sets[at >> tlb->ways_lg2].free |= UINT32_C(1) << (at & (tlb->ways - 1));
}

static uint32_t probe(struct soft_tlb *tlb, uint64_t addr, unsigned int class, uint32_t id)
{
	uint32_t hash = soft_tlb_hash(addr, class);
	uint32_t at = (hash & tlb->set_mask) << tlb->ways_lg2;
	uint32_t guess = at + tlb->hints[hash & tlb->hint_mask];
	uint64_t tag = soft_tlb_tag(addr, class, id);
	uint32_t end;

	if (likely(tlb->entries[guess].tag == tag)) {
		drop_at(tlb, guess);
		return 1;
	}
	for (end = at + tlb->ways; at < end; at++)
		if (tlb->entries[at].tag == tag) {
			drop_at(tlb, at);
			return 1;
		}
	return 0;
}

static uint32_t scan(struct soft_tlb *tlb, uint64_t first, uint64_t last, uint32_t id,
		     unsigned int class)
{
	uint32_t wanted = class << SOFT_ID_BITS | id;
	uint32_t dropped = 0;

	for (uint32_t at = 0; at < tlb_entries(tlb); at++) {
		uint64_t tag = tlb->entries[at].tag;
		uint64_t start = tag >> 19 << 12;

		if ((tag & ((1 << 19) - 1)) != wanted || start > last ||
		    start + soft_offset_mask(class) < first)
			continue;
		drop_at(tlb, at);
		dropped++;
	}
	return dropped;
}

uint32_t soft_tlb_drop(struct soft_tlb *tlb, uint64_t first, uint64_t last, uint32_t id,
		       uint32_t classes)
{
	uint32_t dropped = 0;

	for (; classes; classes &= classes - 1) {
		unsigned int class = __builtin_ctz(classes);
		unsigned int shift = soft_shift(class);

		if ((last >> shift) - (first >> shift) >= tlb_entries(tlb) / PROBE_COST_ENTRIES) {
			dropped += scan(tlb, first, last, id, class);
			continue;
		}
		for (uint64_t page = first >> shift; page <= last >> shift; page++)
			dropped += probe(tlb, page << shift, class, id);
	}
	return dropped;
}
