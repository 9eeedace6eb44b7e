/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables built by pt_map() at random, for a walker that is not the builder's: for each request,
 * what the walker does has to be what the list of mappings and pt_lookup() say.
 *
 * A walker is struct maps_ops. Mapping is not followed by an invalidation: entries that were not
 * present are not cached (VT-d 6.1). Unmapping is.
 */
#ifndef TESTS_PGTABLE_RANDOM_MAPS_H
#define TESTS_PGTABLE_RANDOM_MAPS_H

#include "spec_walkers.h"
#include "tables.h"

#define MAPPINGS 200

struct mapping {
	uint64_t iova, bytes, oa;
	uint32_t prot;
};

struct maps;

/**
 * struct maps_ops - a walker
 * @passes: a request that has to pass, to @oa; @left: bytes from there to the page's end
 * @stopped: a request that has to be stopped, for @reason
 * @forget: invalidate a range that has been unmapped
 * @flush: invalidate everything; may be NULL: every walk reads the table
 */
struct maps_ops {
	void (*passes)(struct maps *m, uint64_t iova, uint32_t prot, uint64_t oa, uint64_t left);
	void (*stopped)(struct maps *m, uint64_t iova, uint32_t prot, enum spec_outcome reason);
	void (*forget)(struct maps *m, uint64_t iova, uint64_t bytes);
	void (*flush)(struct maps *m);
};

enum { PASSED, NOT_PRESENT, NO_RIGHT, NO_ADDRESS, LARGE, OUTCOMES };

/**
 * struct maps - a table, and what it ought to say
 * @oa_first, @oa_bytes: output addresses of mappings are there
 * @one_right: requests are for one right, not for both
 * @kept: so many mappings, the first ones, are never unmapped
 * @outcomes: how often each came
 */
struct maps {
	const struct maps_ops *ops;
	const struct format *f;
	struct pt *pt;
	struct dice dice;
	uint64_t oa_first, oa_bytes;
	bool one_right;
	struct mapping mappings[MAPPINGS];
	unsigned int count, kept;
	unsigned int outcomes[OUTCOMES];
};

static inline const struct mapping *mapping_at(const struct maps *m, uint64_t iova)
{
	for (unsigned int i = 0; i < m->count; i++)
		if (iova - m->mappings[i].iova < m->mappings[i].bytes)
			return &m->mappings[i];
	return NULL;
}

/* Is @iova of the upper canonical half, which is not handed out but hardware's? */
static inline bool is_upper(const struct format *f, uint64_t iova)
{
	const enum ioas_format format = f->format;

	if (format == IOAS_FORMAT_AMDV1_L6)
		return iova >> 63;
	return (format <= IOAS_FORMAT_X86_64_L5 || format >= IOAS_FORMAT_RISCV_SV39) &&
	       (iova | (beyond(f) - 1)) == UINT64_MAX;
}

/* One request. */
static inline void probe(struct maps *m, uint64_t iova, uint32_t prot)
{
	const struct mapping *mapping = mapping_at(m, iova);
	uint64_t oa = 0, leaf_bytes = 0;
	uint32_t found = 0;
	int ret = pt_lookup(m->pt, iova, &oa, &found, &leaf_bytes);

	assert_int_equal(ret, mapping ? 0 : -ENOENT);
	if (!mapping) {
		bool valid = iova < beyond(m->f) || is_upper(m->f, iova);

		m->ops->stopped(m, iova, prot, valid ? SPEC_NOT_PRESENT : SPEC_NO_ADDRESS);
		m->outcomes[valid ? NOT_PRESENT : NO_ADDRESS]++;
		return;
	}
	assert_int_equal(oa, mapping->oa + (iova - mapping->iova));
	assert_int_equal(found, rights(m->f, mapping->prot));
	if (prot & ~found) {
		m->ops->stopped(m, iova, prot, SPEC_NO_RIGHT);
		m->outcomes[NO_RIGHT]++;
		return;
	}
	m->ops->passes(m, iova, prot, oa, leaf_bytes - iova % leaf_bytes);
	m->outcomes[leaf_bytes > PAGE ? LARGE : PASSED]++;
}

static inline uint32_t random_rights(struct maps *m)
{
	return 1 + roll(&m->dice, m->one_right ? 2 : 3);
}

static inline void probe_all_rights(struct maps *m, uint64_t iova)
{
	const unsigned int kinds = m->one_right ? 2 : 3;
	/* In an order that changes: a cached entry may have fewer rights than the leaf. */
	unsigned int first = roll(&m->dice, kinds);

	for (unsigned int i = 0; i < kinds; i++)
		probe(m, iova, 1 + (first + i) % kinds);
}

static inline void probe_mapping(struct maps *m, const struct mapping *mapping)
{
	probe_all_rights(m, mapping->iova);
	probe_all_rights(m, mapping->iova + mapping->bytes - 1);
	probe_all_rights(m, mapping->iova + roll(&m->dice, mapping->bytes));
	probe_all_rights(m, mapping->iova - 1);
	probe_all_rights(m, mapping->iova + mapping->bytes);
}

static inline uint64_t random_iova(struct maps *m)
{
	switch (roll(&m->dice, 4)) {
	case 0: /* crowded */
		return L2(3) + roll(&m->dice, L1(32) / PAGE) * PAGE;
	case 1: /* where an upper table ends */
		return seam() - L1(8) + roll(&m->dice, L1(16) / PAGE) * PAGE;
	case 2: /* the end */
		return beyond(m->f) - (1 + roll(&m->dice, L2(4) / PAGE)) * PAGE;
	default:
		return roll(&m->dice, beyond(m->f) / PAGE) * PAGE;
	}
}

/* An output address for a mapping: for most, one that leaves of @level can have. */
static inline uint64_t random_oa(struct maps *m, const struct mapping *mapping, unsigned int level)
{
	const uint64_t size = leaf_size(level ? level : 1);
	uint64_t oa =
		m->oa_first + roll(&m->dice, m->oa_bytes / size) * size + mapping->iova % size;

	if (roll(&m->dice, 4) == 0)
		oa += roll(&m->dice, 512) * (mapping->bytes < L1(8) ? PAGE : L1(1));
	return oa;
}

static inline int map_one(struct maps *m, const struct mapping *mapping, uint64_t *undone_bytes)
{
	struct pt_map_args args = { .oa = mapping->oa, .prot = mapping->prot };
	int ret = pt_map(m->pt, NULL, mapping->iova, mapping->bytes, &args, 0);

	*undone_bytes = args.undone_bytes;
	return ret;
}

/* Mapped, and on the list. */
static inline struct mapping *map_listed(struct maps *m, struct mapping mapping)
{
	uint64_t undone_bytes;

	assert_int_equal(map_one(m, &mapping, &undone_bytes), 0);
	m->mappings[m->count] = mapping;
	return &m->mappings[m->count++];
}

/* Return: mapped. */
static inline bool random_map(struct maps *m)
{
	unsigned int level = roll(&m->dice, fmt->leaf_levels);
	struct mapping *mapping = &m->mappings[m->count];
	uint64_t undone_bytes;
	int ret;

	mapping->bytes = leaf_size(level) * (1 + roll(&m->dice, 3)) +
			 PAGE * (roll(&m->dice, 3) ? 0 : roll(&m->dice, 20));
	mapping->iova = random_iova(m);
	if (roll(&m->dice, 4))
		mapping->iova &= ~(leaf_size(level) - 1);
	if (mapping->iova + mapping->bytes > beyond(m->f))
		mapping->iova = beyond(m->f) - mapping->bytes;
	mapping->oa = random_oa(m, mapping, level);
	mapping->prot = 1 + roll(&m->dice, 3);
	ret = map_one(m, mapping, &undone_bytes);
	if (ret) {
		assert_int_equal(ret, -EEXIST);
		/* A device may have seen what was there for a moment. */
		if (undone_bytes)
			m->ops->forget(m, mapping->iova, undone_bytes);
		return false;
	}
	m->count++;
	return true;
}

static inline void random_unmap(struct maps *m)
{
	unsigned int i = m->kept + roll(&m->dice, m->count - m->kept);
	struct mapping gone = m->mappings[i];

	assert_int_equal(pt_unmap(m->pt, NULL, gone.iova, gone.bytes, roll(&m->dice, BIT(40))), 0);
	m->mappings[i] = m->mappings[--m->count];
	if (roll(&m->dice, 8))
		m->ops->forget(m, gone.iova, gone.bytes);
	else if (m->ops->flush)
		m->ops->flush(m);
	probe_mapping(m, &gone);
}

static inline void probe_edges(struct maps *m)
{
	const uint64_t edge = beyond(m->f);

	probe_all_rights(m, 0);
	probe_all_rights(m, edge - 1);
	probe_all_rights(m, edge - PAGE);
	probe_all_rights(m, UINT64_MAX);
	probe_all_rights(m, ~(edge - 1));
	for (unsigned int bit = m->f->address_bits; bit < 64; bit++) {
		/* Aliases of what is mapped. */
		probe(m, BIT(bit), IOAS_READ);
		if (m->count)
			probe(m, BIT(bit) | m->mappings[0].iova, IOAS_READ);
	}
}

/* Mappings come and go in @rounds, each of which ends with a look at all of them. */
static inline void random_maps(struct maps *m, unsigned int rounds, unsigned int probes)
{
	probe_edges(m);
	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int steps = roll(&m->dice, 30);

		for (unsigned int i = 0; i < steps; i++) {
			if (m->count < MAPPINGS && random_map(m))
				probe_mapping(m, &m->mappings[m->count - 1]);
			if (m->count > m->kept && roll(&m->dice, 5) < 3)
				random_unmap(m);
		}
		for (unsigned int i = 0; i < m->count; i++)
			probe_mapping(m, &m->mappings[i]);
		for (unsigned int i = 0; i < probes; i++)
			probe(m, random_iova(m) + roll(&m->dice, PAGE), random_rights(m));
		probe_edges(m);
	}
	while (m->count > m->kept)
		random_unmap(m);
}

/* Each outcome came at least so often. (AMD's six levels have no address that is too high.) */
static inline void check_outcomes(const struct maps *m, unsigned int least)
{
	for (unsigned int i = 0; i < OUTCOMES; i++)
		if (m->outcomes[i] < least &&
		    (i != NO_ADDRESS || m->f->format != IOAS_FORMAT_AMDV1_L6))
			fail_msg("outcome %u came %u times", i, m->outcomes[i]);
}

/* One size with one right at every edge: not left to chance. */
static inline void map_at_the_edges(struct maps *m, unsigned int level, uint32_t prot)
{
	const uint64_t size = leaf_size(level), edge = beyond(m->f);
	const uint64_t iovas[] = {
		0, size, seam() - size, seam(), edge / 4 * 3 - size, edge / 4 * 3, edge - size
	};
	const uint64_t oa = m->oa_first + 13 * leaf_size(fmt->leaf_levels - 1);

	for (unsigned int i = 0; i < COUNT(iovas); i++)
		map_listed(m, (struct mapping){ iovas[i], size, oa + size * i, prot });
	for (unsigned int i = 0; i < m->count; i++)
		probe_mapping(m, &m->mappings[i]);
	probe_edges(m);
}

/* A claim does not end a translation; the walker minds neither the builder's bits nor stamps. */
static inline void claim_and_clear(struct maps *m)
{
	const uint64_t oa = m->oa_first + 13 * leaf_size(fmt->leaf_levels - 1);

	for (unsigned int level = 0; level < fmt->leaf_levels; level++) {
		struct mapping *mapping = map_listed(
			m, (struct mapping){ L2(8) * (level + 1), leaf_size(level), oa, IOAS_RW });

		assert_int_equal(pt_claim(m->pt, NULL, mapping->iova, mapping->bytes), 0);
		probe_mapping(m, mapping);
		pt_clear(m->pt, NULL, mapping->iova, mapping->bytes, BIT(PT_STAMP_BITS) - 1);
		m->ops->forget(m, mapping->iova, mapping->bytes);
		m->count--;
		probe_mapping(m, mapping);
	}
}

#endif
