/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables built by pt_map(), walked by others: by the software IOMMU, which was written from the
 * specification and shares nothing with the builder, or, for formats that it does not have, by
 * the walkers of spec_walkers.h. First-stage formats of the software IOMMU are nested over a
 * second stage, written here by hand, that is the identity for every address; the second-stage
 * format stands alone.
 *
 * What is compared for each request: whether it is let through, to which address, how far the
 * page goes, or the reason of the fault. Mapping is not followed by an invalidation: entries that
 * were not present are not cached (VT-d 6.1). Unmapping is.
 */
#include "../soft/machine.h"

#include "spec_walkers.h"

#undef PAGE
#define entry_at table_entry_at
#define index_of table_index_of
#include "tables.h"
#undef entry_at
#undef index_of

#define MAPPINGS 200
#define ROUNDS	 40
#define PROBES	 400 /* random ones in a round */

struct mapping {
	uint64_t iova, bytes, oa;
	uint32_t prot;
};

struct walkers {
	struct machine m;
	struct pt_mem mem;
	const struct format *f;
	struct pt *pt;
	struct dice dice;
	struct mapping mappings[MAPPINGS];
	unsigned int count;
	bool soft;
	uint16_t domain;
	int64_t live;
	unsigned int outcomes[5];
};

enum { PASSED, NOT_PRESENT, NO_RIGHT, NO_ADDRESS, LARGE };

/* The walker's addresses are those of the process. */
static void *identity_alloc(struct pt_mem *mem, uint64_t *addr)
{
	struct walkers *w = (struct walkers *)((char *)mem - offsetof(struct walkers, mem));
	void *page = aligned_alloc(PAGE, PAGE);

	assert_non_null(page);
	memset(page, 0, PAGE);
	*addr = addr_of(page);
	w->live++;
	return page;
}

static void identity_free(struct pt_mem *mem, void *page, uint64_t addr)
{
	struct walkers *w = (struct walkers *)((char *)mem - offsetof(struct walkers, mem));

	assert_int_equal(addr, addr_of(page));
	w->live--;
	free(page);
}

static void walkers_start(struct walkers *w, const struct format *f, const char *options,
			  uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->f = f;
	w->dice.state = seed;
	w->mem = (struct pt_mem){ identity_alloc, identity_free, f->page_lg2 };
	w->soft = f->format <= IOAS_FORMAT_VTDSS_L4;
	if (w->soft)
		machine_start(&w->m, options);
	assert_int_equal(pt_create(f->format, &w->mem, &w->pt), 0);
	if (!w->soft)
		return;
	if (f->format == IOAS_FORMAT_VTDSS_L4) {
		w->domain = PARENT;
		soft_endpoint_set(&w->m.device, &(struct soft_context){ .kind = SOFT_SECOND_STAGE,
									.domain = PARENT,
									.root = pt_root(w->pt) });
		return;
	}
	w->domain = CHILD;
	/* All 48 bits, in leaves of 1 GiB. */
	w->m.parent = page_new(&w->m);
	for (uint64_t at = 0; at < UINT64_C(1) << 48; at += GIB(1))
		set_entry(second(&w->m, at, 2), at | SRW | PS);
	soft_endpoint_set(&w->m.device,
			  &(struct soft_context){ .kind = SOFT_NESTED,
						  .levels = f->levels,
						  .domain = CHILD,
						  .root = pt_root(w->pt),
						  .parent_domain = PARENT,
						  .parent_root = addr_of(w->m.parent) });
}

static void walkers_stop(struct walkers *w)
{
	pt_destroy(w->pt);
	assert_int_equal(w->live, 0);
	if (w->soft)
		machine_stop(&w->m);
}

static const struct mapping *mapping_at(const struct walkers *w, uint64_t iova)
{
	for (unsigned int i = 0; i < w->count; i++)
		if (iova - w->mappings[i].iova < w->mappings[i].bytes)
			return &w->mappings[i];
	return NULL;
}

static enum spec_outcome spec_walk(struct walkers *w, uint64_t iova, uint32_t prot,
				   struct spec_leaf *leaf)
{
	uint64_t root = pt_root(w->pt);

	switch (w->f->format) {
	case IOAS_FORMAT_VTDSS_L5:
		return spec_vtdss_l5(root, iova, prot, leaf);
	case IOAS_FORMAT_ARM64_S1_4K:
		return spec_arm64(12, root, iova, prot, leaf);
	case IOAS_FORMAT_ARM64_S1_16K:
		return spec_arm64(14, root, iova, prot, leaf);
	case IOAS_FORMAT_ARM64_S1_64K:
		return spec_arm64(16, root, iova, prot, leaf);
	case IOAS_FORMAT_AMDV1_L4:
		return spec_amdv1(4, root, iova, prot, leaf);
	case IOAS_FORMAT_AMDV1_L5:
		return spec_amdv1(5, root, iova, prot, leaf);
	case IOAS_FORMAT_AMDV1_L6:
		return spec_amdv1(6, root, iova, prot, leaf);
	case IOAS_FORMAT_RISCV_SV39:
		return spec_riscv(3, root, iova, prot, leaf);
	case IOAS_FORMAT_RISCV_SV48:
		return spec_riscv(4, root, iova, prot, leaf);
	case IOAS_FORMAT_RISCV_SV57:
		return spec_riscv(5, root, iova, prot, leaf);
	default:
		fail_msg("%s: no walker", w->f->name);
		return SPEC_RESERVED;
	}
}

/* An access that is stopped. */
static enum spec_outcome why_not(struct walkers *w, uint64_t iova, uint32_t prot)
{
	struct spec_leaf leaf;

	if (!w->soft)
		return spec_walk(w, iova, prot, &leaf);
	switch (stopped(&w->m, iova, prot)) {
	case IOAS_FAULT_NOT_PRESENT:
		return SPEC_NOT_PRESENT;
	case IOAS_FAULT_ADDRESS:
		return SPEC_NO_ADDRESS;
	case IOAS_FAULT_PERMISSION:
		return SPEC_NO_RIGHT;
	default:
		return SPEC_RESERVED;
	}
}

/* An access that passes: to where, and how far the page goes. */
static void passes(struct walkers *w, uint64_t iova, uint32_t prot, uint64_t oa, uint64_t left)
{
	struct spec_leaf leaf;
	size_t bytes = SIZE_MAX;

	if (w->soft) {
		assert_int_equal(addr_of(dma(&w->m, iova, &bytes, prot)), oa);
		assert_int_equal(bytes, left);
		return;
	}
	assert_int_equal(spec_walk(w, iova, prot, &leaf), SPEC_PASSED);
	assert_int_equal(leaf.oa, oa);
	assert_int_equal(leaf.bytes - iova % leaf.bytes, left);
}

static void forget(struct walkers *w, uint64_t iova, uint64_t bytes)
{
	if (w->soft)
		invalidate(&w->m, w->domain, iova, bytes, true);
}

/* Is @iova of the upper canonical half, which is not handed out but hardware's? */
static bool is_upper(const struct walkers *w, uint64_t iova)
{
	const enum ioas_format format = w->f->format;

	if (format == IOAS_FORMAT_AMDV1_L6)
		return iova >> 63;
	return (format <= IOAS_FORMAT_X86_64_L5 || format >= IOAS_FORMAT_RISCV_SV39) &&
	       (iova | (beyond(w->f) - 1)) == UINT64_MAX;
}

/* One request: what the walker says is what the list of mappings and pt_lookup() say. */
static void probe(struct walkers *w, uint64_t iova, uint32_t prot)
{
	const struct mapping *mapping = mapping_at(w, iova);
	uint64_t oa = 0, leaf_bytes = 0;
	uint32_t found = 0;
	int ret = pt_lookup(w->pt, iova, &oa, &found, &leaf_bytes);

	assert_int_equal(ret, mapping ? 0 : -ENOENT);
	if (!mapping) {
		bool valid = iova < beyond(w->f) || is_upper(w, iova);

		assert_int_equal(why_not(w, iova, prot),
				 valid ? SPEC_NOT_PRESENT : SPEC_NO_ADDRESS);
		w->outcomes[valid ? NOT_PRESENT : NO_ADDRESS]++;
		return;
	}
	assert_int_equal(oa, mapping->oa + (iova - mapping->iova));
	assert_int_equal(found, rights(w->f, mapping->prot));
	if (prot & ~found) {
		assert_int_equal(why_not(w, iova, prot), SPEC_NO_RIGHT);
		w->outcomes[NO_RIGHT]++;
		return;
	}
	passes(w, iova, prot, oa, leaf_bytes - iova % leaf_bytes);
	w->outcomes[leaf_bytes > PAGE ? LARGE : PASSED]++;
}

static void probe_all_rights(struct walkers *w, uint64_t iova)
{
	/* In an order that changes: a cached entry may have fewer rights than the leaf. */
	unsigned int first = roll(&w->dice, 3);

	for (unsigned int i = 0; i < 3; i++)
		probe(w, iova, 1 + (first + i) % 3);
}

static void probe_mapping(struct walkers *w, const struct mapping *mapping)
{
	probe_all_rights(w, mapping->iova);
	probe_all_rights(w, mapping->iova + mapping->bytes - 1);
	probe_all_rights(w, mapping->iova + roll(&w->dice, mapping->bytes));
	probe_all_rights(w, mapping->iova - 1);
	probe_all_rights(w, mapping->iova + mapping->bytes);
}

static uint64_t random_iova(struct walkers *w)
{
	switch (roll(&w->dice, 4)) {
	case 0: /* crowded */
		return L2(3) + roll(&w->dice, L1(32) / PAGE) * PAGE;
	case 1: /* where an upper table ends */
		return seam() - L1(8) + roll(&w->dice, L1(16) / PAGE) * PAGE;
	case 2: /* the end */
		return beyond(w->f) - (1 + roll(&w->dice, L2(4) / PAGE)) * PAGE;
	default:
		return roll(&w->dice, beyond(w->f) / PAGE) * PAGE;
	}
}

/* Return: mapped. */
static bool random_map(struct walkers *w)
{
	unsigned int level = roll(&w->dice, fmt->leaf_levels);
	struct mapping *mapping = &w->mappings[w->count];
	struct pt_map_args args;
	int ret;

	mapping->bytes = leaf_size(level) * (1 + roll(&w->dice, 3)) +
			 PAGE * (roll(&w->dice, 3) ? 0 : roll(&w->dice, 20));
	mapping->iova = random_iova(w);
	if (roll(&w->dice, 4))
		mapping->iova &= ~(leaf_size(level) - 1);
	if (mapping->iova + mapping->bytes > beyond(w->f))
		mapping->iova = beyond(w->f) - mapping->bytes;
	/* Below 2^47, so that it is an address in the process; what is there does not matter. */
	mapping->oa = roll(&w->dice, BIT(46) / L2(1)) * L2(1) + mapping->iova % L2(1);
	if (roll(&w->dice, 4) == 0)
		mapping->oa += roll(&w->dice, 512) * (mapping->bytes < L1(8) ? PAGE : L1(1));
	mapping->prot = 1 + roll(&w->dice, 3);
	args = (struct pt_map_args){ .oa = mapping->oa, .prot = mapping->prot };
	ret = pt_map(w->pt, NULL, mapping->iova, mapping->bytes, &args, 0);
	if (ret) {
		assert_int_equal(ret, -EEXIST);
		/* A device may have seen what was there for a moment. */
		if (args.undone_bytes)
			forget(w, mapping->iova, args.undone_bytes);
		return false;
	}
	w->count++;
	return true;
}

static void random_unmap(struct walkers *w)
{
	unsigned int i = roll(&w->dice, w->count);
	struct mapping gone = w->mappings[i];

	assert_int_equal(pt_unmap(w->pt, NULL, gone.iova, gone.bytes, roll(&w->dice, BIT(40))), 0);
	w->mappings[i] = w->mappings[--w->count];
	if (roll(&w->dice, 8))
		forget(w, gone.iova, gone.bytes);
	else if (w->soft)
		flush(&w->m, w->domain);
	probe_mapping(w, &gone);
}

static void probe_edges(struct walkers *w)
{
	const uint64_t edge = beyond(w->f);

	probe_all_rights(w, 0);
	probe_all_rights(w, edge - 1);
	probe_all_rights(w, edge - PAGE);
	probe_all_rights(w, UINT64_MAX);
	probe_all_rights(w, ~(edge - 1));
	for (unsigned int bit = w->f->address_bits; bit < 64; bit++) {
		/* Aliases of what is mapped. */
		probe(w, BIT(bit), IOAS_READ);
		if (w->count)
			probe(w, BIT(bit) | w->mappings[0].iova, IOAS_READ);
	}
}

static void random_maps(const struct format *f, const char *options, uint64_t seed)
{
	struct walkers *w = malloc(sizeof(*w));

	assert_non_null(w);
	walkers_start(w, f, options, seed);
	probe_edges(w);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int steps = roll(&w->dice, 30);

		for (unsigned int i = 0; i < steps; i++) {
			if (w->count < MAPPINGS && random_map(w))
				probe_mapping(w, &w->mappings[w->count - 1]);
			if (w->count && roll(&w->dice, 5) < 3)
				random_unmap(w);
		}
		for (unsigned int i = 0; i < w->count; i++)
			probe_mapping(w, &w->mappings[i]);
		for (unsigned int i = 0; i < PROBES; i++)
			probe(w, random_iova(w) + roll(&w->dice, PAGE), 1 + roll(&w->dice, 3));
		probe_edges(w);
	}
	for (unsigned int i = 0; i < COUNT(w->outcomes); i++)
		if (w->outcomes[i] < 500 &&
		    (i != NO_ADDRESS || f->format != IOAS_FORMAT_AMDV1_L6)) /* 64 bits */
			fail_msg("outcome %u came %u times", i, w->outcomes[i]);
	while (w->count)
		random_unmap(w);
	walkers_stop(w);
	free(w);
}

static void caches_as_usual(void **state)
{
	random_maps(*state, NULL, 7);
}

/* Hardly any caches: nearly every request is a walk. */
static void caches_too_small(void **state)
{
	random_maps(*state, "iotlb_sets=1,iotlb_ways=1,psc_entries=1", 8);
}

/* Large caches: whatever is missing an invalidation stays. */
static void caches_too_large(void **state)
{
	random_maps(*state, "iotlb_sets=1024,iotlb_ways=16,psc_entries=256", 9);
}

/* Every size at every edge, with every right: not left to chance. */
static void every_size_at_the_edges(void **state)
{
	const struct format *f = *state;

	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
		for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
			const uint64_t size = leaf_size(level);
			const uint64_t iovas[] = { 0,
						   size,
						   seam() - size,
						   seam(),
						   beyond(f) / 4 * 3 - size,
						   beyond(f) / 4 * 3,
						   beyond(f) - size };
			struct walkers w;

			walkers_start(&w, f, NULL, 1);
			for (unsigned int i = 0; i < COUNT(iovas); i++) {
				struct pt_map_args args = { .oa = L2(13) + size * i, .prot = prot };

				w.mappings[w.count++] =
					(struct mapping){ iovas[i], size, args.oa, prot };
				assert_int_equal(pt_map(w.pt, NULL, iovas[i], size, &args, 0), 0);
			}
			for (unsigned int i = 0; i < COUNT(iovas); i++)
				probe_mapping(&w, &w.mappings[i]);
			probe_edges(&w);
			walkers_stop(&w);
		}
}

/* A claim does not end a translation; the walker does not mind the builder's bits. */
static void a_claim_is_invisible(void **state)
{
	const struct format *f = *state;
	struct walkers w;

	walkers_start(&w, f, NULL, 1);
	for (unsigned int level = 0; level < fmt->leaf_levels; level++) {
		struct mapping *mapping = &w.mappings[w.count++];
		struct pt_map_args args = { .oa = L2(13), .prot = IOAS_RW };

		*mapping =
			(struct mapping){ L2(8) * (level + 1), leaf_size(level), L2(13), IOAS_RW };
		assert_int_equal(pt_map(w.pt, NULL, mapping->iova, mapping->bytes, &args, 0), 0);
		assert_int_equal(pt_claim(w.pt, NULL, mapping->iova, mapping->bytes), 0);
		probe_mapping(&w, mapping);
		pt_clear(w.pt, NULL, mapping->iova, mapping->bytes, BIT(PT_STAMP_BITS) - 1);
		forget(&w, mapping->iova, mapping->bytes);
		w.count = 0;
		probe_mapping(&w, mapping);
	}
	walkers_stop(&w);
}

int main(void)
{
	const struct CMUnitTest walker_tests[] = {
		cmocka_unit_test(caches_as_usual),	cmocka_unit_test(caches_too_small),
		cmocka_unit_test(caches_too_large),	cmocka_unit_test(every_size_at_the_edges),
		cmocka_unit_test(a_claim_is_invisible),
	};

	return RUN_FORMATS(walker_tests);
}
