/* SPDX-License-Identifier: BSD-3-Clause */
/* Page-table walks. See walk.h. */
#include "walk.h"

#include <ioas/ctx.h>

/* Address bits of a leaf that lie below its page size and must be 0: bits @low and up. */
static inline uint64_t misaligned(unsigned int level, unsigned int low)
{
	return soft_offset_mask(level) & ~((UINT64_C(1) << low) - 1);
}

/*
 * Where a walk may begin: the lowest level, of @levels, whose table a paging-structure cache
 * knows. Return: that level, *data what was cached; or @levels.
 */
static inline unsigned int find_start(struct soft_unit *unit, uint32_t id, uint64_t addr,
				      unsigned int levels, uint64_t *data)
{
	for (unsigned int level = 1; level < levels; level++) {
		*data = soft_psc_find(&unit->psc[level], soft_block(addr, level), id);
		if (likely(*data)) {
			unit->counters.psc_hits++;
			return level - 1;
		}
	}
	return levels;
}

static unsigned int walk_second(struct soft_unit *unit, struct soft_domain *domain, uint64_t root,
				uint64_t addr, struct soft_walk *walk)
{
	uint64_t start, table = root;
	unsigned int level = find_start(unit, domain->id, addr, 4, &start);
	uint32_t prot = IOAS_RW;

	if (level < 4) {
		table = start & SOFT_PA_MASK;
		prot = start & IOAS_RW;
	} else {
		level = 3;
	}
	for (;; level--) {
		uint64_t entry = soft_read_entry(table, addr, level);

		unit->counters.walk_reads++;
		if (!(entry & IOAS_RW))
			return IOAS_FAULT_NOT_PRESENT;
		if (entry & SOFT_RESERVED_HIGH)
			return IOAS_FAULT_RESERVED;
		prot &= entry;
		if (level == 0 || (entry & SS_PS)) {
			if (level > 2 || (entry & SOFT_PA_MASK & misaligned(level, 12)))
				return IOAS_FAULT_RESERVED;
			walk->addr = (entry & SOFT_PA_MASK) | (addr & soft_offset_mask(level));
			walk->prot = prot;
			walk->class = level;
			return 0;
		}
		table = entry & SOFT_PA_MASK;
		soft_psc_fill(&unit->psc[level], soft_block(addr, level), domain->id, table | prot);
	}
}

/* Second stage of a nested walk, through the cache for it. @addr is within the host's width. */
static inline unsigned int parent_translate(struct soft_endpoint *endpoint, uint64_t addr,
					    struct soft_walk *walk)
{
	struct soft_domain *domain = endpoint->parent_domain;
	struct soft_unit *unit = endpoint->unit;
	uint64_t data = soft_tlb_find(&unit->nested, addr, domain->id, domain->nested_classes,
				      &walk->class);
	unsigned int reason;

	if (likely(data)) {
		walk->addr = (data & SOFT_PA_MASK) | (addr & soft_offset_mask(walk->class));
		walk->prot = data & IOAS_RW;
		return 0;
	}
	reason = walk_second(unit, domain, endpoint->context.parent_root, addr, walk);
	if (reason || !walk->prot)
		return IOAS_FAULT_PARENT;
	soft_tlb_fill(&unit->nested, addr, walk->class, domain->id,
		      (walk->addr & ~soft_offset_mask(walk->class)) | walk->prot);
	domain->nested_classes |= 1 << walk->class;
	return 0;
}

/* Translate the address of a first-stage table, and see that it may be read. */
static unsigned int parent_table(struct soft_endpoint *endpoint, uint64_t addr, uint64_t *table)
{
	struct soft_walk walk;
	unsigned int reason;

	if (addr >> SOFT_HOST_BITS)
		return IOAS_FAULT_PARENT;
	reason = parent_translate(endpoint, addr, &walk);
	if (reason)
		return reason;
	if (!(walk.prot & IOAS_READ))
		return IOAS_FAULT_PARENT;
	*table = walk.addr;
	return 0;
}

unsigned int soft_walk_nested(struct soft_endpoint *endpoint, uint64_t iova, uint32_t prot,
			      struct soft_walk *walk)
{
	unsigned int levels = endpoint->context.levels;
	uint32_t id = endpoint->domain->id;
	struct soft_unit *unit = endpoint->unit;
	uint64_t start, table, entry;
	unsigned int level = find_start(unit, id, iova, levels, &start);
	uint32_t rights = IOAS_RW;
	unsigned int reason;

	if (likely(level < levels)) {
		table = start & SOFT_PA_MASK;
		rights = start & IOAS_RW;
	} else {
		level = levels - 1;
		reason = parent_table(endpoint, endpoint->context.root, &table);
		if (reason)
			return reason;
	}
	for (;; level--) {
		entry = soft_read_entry(table, iova, level);
		unit->counters.walk_reads++;
		if (!(entry & FS_P))
			return IOAS_FAULT_NOT_PRESENT;
		if (unlikely(entry & SOFT_RESERVED_HIGH))
			return IOAS_FAULT_RESERVED;
		if (unlikely(!(entry & FS_US)))
			return IOAS_FAULT_PERMISSION;
		if (!(entry & FS_RW))
			rights &= ~IOAS_WRITE;
		if (level == 0 || (entry & FS_PS))
			break;
		reason = parent_table(endpoint, entry & SOFT_PA_MASK, &table);
		if (reason)
			return reason;
		soft_psc_fill(&unit->psc[level], soft_block(iova, level), id, table | rights);
	}
	/* Bit 12 of a large leaf is PAT and no address bit; level 0 has bits 12 and up. */
	if (unlikely(level > 2 || (entry & misaligned(level, 13))))
		return IOAS_FAULT_RESERVED;
	if (unlikely(prot & ~rights))
		return IOAS_FAULT_PERMISSION;
	reason = parent_translate(endpoint,
				  (entry & SOFT_PA_MASK & ~soft_offset_mask(level)) |
					  (iova & soft_offset_mask(level)),
				  walk);
	if (unlikely(reason))
		return reason;
	if (unlikely(prot & ~walk->prot))
		return IOAS_FAULT_PARENT;
	walk->prot &= rights;
	if (walk->class > level)
		walk->class = level;
	return 0;
}

_Atomic uint64_t *soft_second_leaf(uint64_t root, uint64_t addr, unsigned int *level)
{
	uint64_t table = root, entry;

	for (*level = 3;; --*level) {
		entry = soft_read_entry(table, addr, *level);
		if (!(entry & IOAS_RW))
			return NULL;
		if (!*level || (entry & SS_PS))
			break;
		table = entry & SOFT_PA_MASK;
	}
	return (_Atomic uint64_t *)(uintptr_t)table + (addr >> soft_shift(*level) & 511);
}

/*
 * A write sets the dirty bit before it lands, and finds it set as long as its translation is
 * cached: what is cached for reading a clean page does not allow writes, so that the first one
 * comes here. Return: false: the leaf has changed since it was walked to.
 */
static bool mark(struct soft_endpoint *endpoint, uint64_t iova, uint32_t prot,
		 struct soft_walk *walk)
{
	unsigned int level;
	_Atomic uint64_t *leaf = soft_second_leaf(endpoint->context.root, iova, &level);
	uint64_t entry = leaf ? atomic_load_explicit(leaf, memory_order_acquire) : 0;
	const uint64_t addr = (entry & SOFT_PA_MASK) | (iova & soft_offset_mask(level));

	if (!(entry & IOAS_RW) || level != walk->class || addr != walk->addr)
		return false;
	if (entry & SS_D)
		return true;
	if (prot & IOAS_WRITE)
		return atomic_compare_exchange_strong(leaf, &entry, entry | SS_D);
	walk->prot &= ~IOAS_WRITE;
	return true;
}

unsigned int soft_walk_second(struct soft_endpoint *endpoint, uint64_t iova, uint32_t prot,
			      struct soft_walk *walk)
{
	unsigned int reason;

	do {
		reason = walk_second(endpoint->unit, endpoint->domain, endpoint->context.root, iova,
				     walk);
		if (!reason && (prot & ~walk->prot))
			reason = IOAS_FAULT_PERMISSION;
	} while (!reason && endpoint->context.dirty && !mark(endpoint, iova, prot, walk));
	return reason;
}
