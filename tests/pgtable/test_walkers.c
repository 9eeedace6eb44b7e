/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables built by pt_map(), walked by others: by the software IOMMU, which was written from the
 * specification and shares nothing with the builder, or, for formats that it does not have, by
 * the walkers of spec_walkers.h. First-stage formats of the software IOMMU are nested over a
 * second stage, written here by hand, that is the identity for every address; the second-stage
 * format stands alone.
 *
 * What is compared for each request: whether it is let through, to which address, how far the
 * page goes, or the reason of the fault.
 */
#include "../soft/machine.h"

#undef PAGE
#define entry_at table_entry_at
#define index_of table_index_of
#include "random_maps.h"
#undef entry_at
#undef index_of

#define ROUNDS 40
#define PROBES 400 /* random ones in a round */

struct walkers {
	struct machine m;
	struct pt_mem mem;
	struct maps maps;
	bool soft;
	uint16_t domain;
	int64_t live;
};

static struct walkers *walkers_of(struct maps *maps)
{
	return (struct walkers *)((char *)maps - offsetof(struct walkers, maps));
}

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

static enum spec_outcome soft_outcome(unsigned int fault_reason)
{
	switch (fault_reason) {
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

static void is_stopped(struct maps *maps, uint64_t iova, uint32_t prot, enum spec_outcome reason)
{
	struct walkers *w = walkers_of(maps);
	struct spec_leaf leaf;

	assert_int_equal(w->soft ? soft_outcome(stopped(&w->m, iova, prot))
				 : spec_walk(maps->f->format, pt_root(maps->pt), iova, prot, &leaf),
			 reason);
}

static void passes(struct maps *maps, uint64_t iova, uint32_t prot, uint64_t oa, uint64_t left)
{
	struct walkers *w = walkers_of(maps);
	struct spec_leaf leaf;
	size_t bytes = SIZE_MAX;

	if (w->soft) {
		assert_int_equal(addr_of(dma(&w->m, iova, &bytes, prot)), oa);
		assert_int_equal(bytes, left);
		return;
	}
	assert_int_equal(spec_walk(maps->f->format, pt_root(maps->pt), iova, prot, &leaf),
			 SPEC_PASSED);
	assert_int_equal(leaf.oa, oa);
	assert_int_equal(leaf.bytes - iova % leaf.bytes, left);
}

static void forget(struct maps *maps, uint64_t iova, uint64_t bytes)
{
	struct walkers *w = walkers_of(maps);

	invalidate(&w->m, w->domain, iova, bytes, true);
}

static void forget_all(struct maps *maps)
{
	struct walkers *w = walkers_of(maps);

	flush(&w->m, w->domain);
}

static void no_cache(struct maps *maps, uint64_t iova, uint64_t bytes)
{
	(void)maps;
	(void)iova;
	(void)bytes;
}

static const struct maps_ops soft_ops = { passes, is_stopped, forget, forget_all };
static const struct maps_ops spec_ops = { passes, is_stopped, no_cache, NULL };

static void walkers_start(struct walkers *w, const struct format *f, const char *options,
			  uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->mem = (struct pt_mem){ identity_alloc, identity_free, f->page_lg2 };
	w->soft = f->format <= IOAS_FORMAT_VTDSS_L4;
	/* Below 2^47, so that it is an address in the process; what is there does not matter. */
	w->maps = (struct maps){ .ops = w->soft ? &soft_ops : &spec_ops,
				 .f = f,
				 .dice.state = seed,
				 .oa_bytes = BIT(46) };
	if (w->soft)
		machine_start(&w->m, options);
	assert_int_equal(pt_create(f->format, &w->mem, &w->maps.pt), 0);
	if (!w->soft)
		return;
	if (f->format == IOAS_FORMAT_VTDSS_L4) {
		w->domain = PARENT;
		soft_endpoint_set(&w->m.device,
				  &(struct soft_context){ .kind = SOFT_SECOND_STAGE,
							  .domain = PARENT,
							  .root = pt_root(w->maps.pt) });
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
						  .root = pt_root(w->maps.pt),
						  .parent_domain = PARENT,
						  .parent_root = addr_of(w->m.parent) });
}

static void walkers_stop(struct walkers *w)
{
	pt_destroy(w->maps.pt);
	assert_int_equal(w->live, 0);
	if (w->soft)
		machine_stop(&w->m);
}

static void run_random_maps(const struct format *f, const char *options, uint64_t seed)
{
	struct walkers *w = malloc(sizeof(*w));

	assert_non_null(w);
	walkers_start(w, f, options, seed);
	random_maps(&w->maps, ROUNDS, PROBES);
	check_outcomes(&w->maps, 500);
	walkers_stop(w);
	free(w);
}

static void caches_as_usual(void **state)
{
	run_random_maps(*state, NULL, 7);
}

/* Hardly any caches: nearly every request is a walk. */
static void caches_too_small(void **state)
{
	run_random_maps(*state, "iotlb_sets=1,iotlb_ways=1,psc_entries=1", 8);
}

/* Large caches: whatever is missing an invalidation stays. */
static void caches_too_large(void **state)
{
	run_random_maps(*state, "iotlb_sets=1024,iotlb_ways=16,psc_entries=256", 9);
}

static void every_size_at_the_edges(void **state)
{
	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
		for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
			struct walkers w;

			walkers_start(&w, *state, NULL, 1);
			map_at_the_edges(&w.maps, level, prot);
			walkers_stop(&w);
		}
}

static void a_claim_is_invisible(void **state)
{
	struct walkers w;

	walkers_start(&w, *state, NULL, 1);
	claim_and_clear(&w.maps);
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
