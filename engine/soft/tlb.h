/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Set-associative translation cache: the IOTLB, and the cache of second-stage translations that
 * nested walks use. Replacement is round robin, but a way freed by an invalidation is filled
 * first.
 *
 * An entry is two words:
 *   tag   63..19 address bits 56..12, those below the page size 0; 18..17 page class;
 *         16..0 cache id of the domain. Cache ids start at 1: tag 0 matches nothing
 *   data  47..12 output page address; bit 2 set; 1..0 enum ioas_prot
 *
 * A cache id stands for a domain until the domain is flushed: then the domain gets a new id, and
 * nothing can match the old entries any more. That makes a domain flush O(1).
 *
 * Hints make the model fast and are no part of what it models: a hint says in which way of its
 * set an address was last found. The entry's tag decides, so a wrong hint costs a scan of the set and
 * changes no result. A hit by hint touches one cache line of the entries and one of the hints.
 *
 * Locking: everything under the unit's lock.
 * Source: VT-d 6.2.1 "Tagging of Cached Translations", 6.2.4 "IOTLB".
 */
#ifndef ENGINE_SOFT_TLB_H
#define ENGINE_SOFT_TLB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOFT_ID_BITS	17
#define SOFT_ID_MAX	((UINT32_C(1) << SOFT_ID_BITS) - 1)
#define SOFT_INPUT_BITS 57 /* of the widest table, five levels */
#define SOFT_INPUT_LAST ((UINT64_C(1) << SOFT_INPUT_BITS) - 1)
#define SOFT_CLASSES	3 /* page sizes: 4 KiB, 2 MiB, 1 GiB */
#define SOFT_PA_MASK	UINT64_C(0x0000fffffffff000)
#define SOFT_TLB_VALID	UINT64_C(4) /* in data: an entry, whatever its rights */
#define SOFT_WAYS_MAX	32
#define SOFT_WAYS_USUAL 8

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

struct soft_tlb_entry {
	uint64_t tag;
	uint64_t data;
};

struct soft_tlb_set {
	uint32_t free; /* mask of ways that hold nothing */
	uint32_t next; /* victim, when no way is free */
};

struct soft_tlb {
	struct soft_tlb_entry *entries; /* ways of set 0, ways of set 1, ... */
	uint8_t *hints;			/* way of an entry, by hash */
	uint32_t hint_mask;
	uint32_t set_mask;
	uint32_t ways;
	uint32_t ways_lg2;
	struct soft_tlb_set *sets;
};

/* Both powers of two. Return: 0 or -ENOMEM. */
int soft_tlb_init(struct soft_tlb *tlb, uint32_t sets, uint32_t ways);
void soft_tlb_destroy(struct soft_tlb *tlb);
void soft_tlb_clear(struct soft_tlb *tlb);

/*
 * Remove every entry of cache id @id and of the page classes in @classes that overlaps
 * [first, last]. Probes the sets of a short range, scans all of them for a long one. Return: how
 * many entries went.
 */
uint32_t soft_tlb_drop(struct soft_tlb *tlb, uint64_t first, uint64_t last, uint32_t id,
		       uint32_t classes);

static inline unsigned int soft_shift(unsigned int level)
{
	return 12 + 9 * level;
}

static inline uint64_t soft_offset_mask(unsigned int level)
{
	return (UINT64_C(1) << soft_shift(level)) - 1;
}

static inline uint64_t soft_tlb_tag(uint64_t addr, unsigned int class, uint32_t id)
{
	return (addr & ~soft_offset_mask(class)) << 7 | class << SOFT_ID_BITS | id;
}

/*
 * Low bits select the set, some more the hint. Neighbouring pages have different sets; the fold
 * keeps equal strides of 2 MiB apart.
 */
static inline uint32_t soft_tlb_hash(uint64_t addr, unsigned int class)
{
	uint64_t page = addr >> soft_shift(class);

	return page ^ page >> 9;
}

/* The data of @addr in page class @class if its hint is right, else 0. */
static inline uint64_t soft_tlb_guess(const struct soft_tlb *tlb, uint64_t addr, uint32_t id,
				      unsigned int class)
{
	uint32_t hash = soft_tlb_hash(addr, class);
	const struct soft_tlb_entry *entry =
		&tlb->entries[((hash & tlb->set_mask) << tlb->ways_lg2) +
			      tlb->hints[hash & tlb->hint_mask]];

	return likely(entry->tag == soft_tlb_tag(addr, class, id)) ? entry->data : 0;
}

/* The entry with @tag among @ways at @entry, or NULL. Inlined with a constant, it is unrolled. */
static inline struct soft_tlb_entry *soft_tlb_match(struct soft_tlb_entry *entry, uint32_t ways,
						    uint64_t tag)
{
#pragma GCC unroll 8
	for (uint32_t way = 0; way < ways; way++)
		if (unlikely(entry[way].tag == tag))
			return &entry[way];
	return NULL;
}

/* The same by a look at the whole set, which corrects the hint. */
static inline uint64_t soft_tlb_scan_class(struct soft_tlb *tlb, uint64_t addr, uint32_t id,
					   unsigned int class)
{
	uint32_t hash = soft_tlb_hash(addr, class);
	struct soft_tlb_entry *set = &tlb->entries[(hash & tlb->set_mask) << tlb->ways_lg2];
	uint64_t tag = soft_tlb_tag(addr, class, id);
	struct soft_tlb_entry *entry;

	if (likely(tlb->ways == SOFT_WAYS_USUAL))
		entry = soft_tlb_match(set, SOFT_WAYS_USUAL, tag);
	else
		entry = soft_tlb_match(set, tlb->ways, tag);
	if (likely(!entry))
		return 0;
	tlb->hints[hash & tlb->hint_mask] = entry - set;
	return entry->data;
}

/* In the page classes of the mask @classes. *class receives the class of what was found. */
static inline uint64_t soft_tlb_scan(struct soft_tlb *tlb, uint64_t addr, uint32_t id,
				     uint32_t classes, unsigned int *class)
{
	uint64_t data = 0;

	/* Written out, so that each class is a constant. */
	*class = 0;
	if (classes & 1 << 0)
		data = soft_tlb_scan_class(tlb, addr, id, 0);
	if (!data && (classes & 1 << 1)) {
		*class = 1;
		data = soft_tlb_scan_class(tlb, addr, id, 1);
	}
	if (!data && (classes & 1 << 2)) {
		*class = 2;
		data = soft_tlb_scan_class(tlb, addr, id, 2);
	}
	return data;
}

/*
 * Look @addr up in the page classes of the mask @classes. Return: the data, 0 if there is none;
 * *class receives the page class.
 */
static inline uint64_t soft_tlb_find(struct soft_tlb *tlb, uint64_t addr, uint32_t id,
				     uint32_t classes, unsigned int *class)
{
#pragma GCC unroll 3
	for (unsigned int c = 0; c < SOFT_CLASSES; c++)
		if (classes & 1 << c) {
			uint64_t data = soft_tlb_guess(tlb, addr, id, c);

			*class = c;
			if (likely(data))
				return data;
		}
	return soft_tlb_scan(tlb, addr, id, classes, class);
}

/*
 * Enter what soft_tlb_find() has not found. Return: the tag that had to leave for it, 0 if a way
 * was free.
 */
static inline uint64_t soft_tlb_fill(struct soft_tlb *tlb, uint64_t addr, unsigned int class,
				     uint32_t id, uint64_t data)
{
	uint32_t hash = soft_tlb_hash(addr, class);
	uint32_t index = hash & tlb->set_mask;
	struct soft_tlb_set *set = &tlb->sets[index];
	struct soft_tlb_entry *entry;
	uint32_t way;
	uint64_t victim;

	if (set->free) {
		way = __builtin_ctz(set->free);
		set->free &= set->free - 1;
	} else {
		way = set->next;
		set->next = (set->next + 1) & (tlb->ways - 1);
	}
	entry = &tlb->entries[(index << tlb->ways_lg2) + way];
	victim = entry->tag;
	entry->tag = soft_tlb_tag(addr, class, id);
	entry->data = data | SOFT_TLB_VALID;
	tlb->hints[hash & tlb->hint_mask] = way;
	return victim;
}

#endif
