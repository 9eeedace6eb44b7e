/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A first stage that holds anything never takes DMA out of what the second stage gives, never
 * crashes the process, and translates as a naive walker says, caches or not: a million
 * translations over random tables.
 *
 * The naive walker knows the second stage as arithmetic and the first as an array of pages; it
 * shares no code with the model. Tables stand still between flushes, so that caches may not
 * change any result.
 */
#include "machine.h"

#include <stdio.h>

#define TABLES 24	       /* pages that are tables and data at once */
#define BASE   GIB(4096)       /* of their parent addresses */
#define LARGE  (BASE + MIB(2)) /* a 2 MiB parent page */
#define HUGE   (BASE + GIB(1)) /* a 1 GiB parent page */
#define ROUNDS 250
#define TRIES  4000

static uint64_t random_state;

static uint64_t random_word(void)
{
	/* xorshift64* */
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned int pick(unsigned int count)
{
	return (random_word() >> 33) % count;
}

struct world {
	struct machine m;
	uint64_t *pages; /* TABLES pages */
	uint8_t *large;
	uint8_t *huge;		 /* untouched memory: reads as zero */
	uint32_t rights[TABLES]; /* of page i in the second stage; 0: not mapped */
};

/* The second stage, as arithmetic. */
static bool naive_parent(const struct world *w, uint64_t gpa, uint64_t *pa, uint32_t *prot,
			 uint64_t *size)
{
	uint64_t page = (gpa - BASE) / PAGE;

	if (gpa >= BASE && page < TABLES) {
		*pa = addr_of(w->pages) + (gpa - BASE);
		*prot = w->rights[page];
		*size = PAGE;
		return *prot;
	}
	if (gpa >= LARGE && gpa < LARGE + MIB(2)) {
		*pa = addr_of(w->large) + (gpa - LARGE);
		*prot = IOAS_RW;
		*size = MIB(2);
		return true;
	}
	if (gpa >= HUGE && gpa < HUGE + GIB(1)) {
		*pa = addr_of(w->huge) + (gpa - HUGE);
		*prot = IOAS_READ;
		*size = GIB(1);
		return true;
	}
	return false;
}

/* Return: 0 and the result, or the reason. */
static unsigned int naive(const struct world *w, unsigned int levels, uint64_t root, uint64_t iova,
			  uint32_t want, uint64_t *pa, uint64_t *bytes)
{
	unsigned int width = levels == 4 ? 48 : 57;
	int64_t extended = (int64_t)(iova << (64 - width)) >> (64 - width);
	uint64_t table = root, size, entry;
	bool writable = true;
	uint32_t prot;

	if ((uint64_t)extended != iova)
		return IOAS_FAULT_ADDRESS;
	for (unsigned int level = levels; level-- > 0;) {
		uint64_t span = UINT64_C(1) << (12 + 9 * level);
		uint64_t at;

		if (!naive_parent(w, table, &at, &prot, &size) || !(prot & IOAS_READ))
			return IOAS_FAULT_PARENT;
		entry = ((uint64_t *)(uintptr_t)at)[iova / span % 512];
		if (!(entry & 1))
			return IOAS_FAULT_NOT_PRESENT;
		if (entry >> 48 & 15)
			return IOAS_FAULT_RESERVED;
		if (!(entry & 4))
			return IOAS_FAULT_PERMISSION;
		writable = writable && (entry & 2);
		table = entry & UINT64_C(0x0000fffffffff000);
		if (level && !(entry & 128))
			continue;
		if (level > 2 || (level && (table % span) >> 13))
			return IOAS_FAULT_RESERVED;
		if ((want & IOAS_WRITE) && !writable)
			return IOAS_FAULT_PERMISSION;
		table = table / span * span;
		if (!naive_parent(w, table + iova % span, pa, &prot, &size) || (want & ~prot))
			return IOAS_FAULT_PARENT;
		size = size < span ? size : span;
		*bytes = size - iova % size;
		return 0;
	}
	return 0; /* not reached */
}

static uint64_t random_gpa(void)
{
	switch (pick(40)) {
	case 0:
		return LARGE + pick(512) * PAGE;
	case 1:
		return HUGE + (uint64_t)pick(512 * 512) * PAGE;
	case 2:
		return LARGE;
	case 3:
		return HUGE;
	case 4:
		return random_word() & UINT64_C(0x0000fffffffff000);
	case 5: /* where the process's own memory would be, had it an identity mapping */
		return addr_of(&random_state) & ~(PAGE - 1);
	default:
		return BASE + pick(TABLES + 1) * PAGE;
	}
}

static uint64_t random_entry(void)
{
	uint64_t entry;

	if (pick(200) == 0)
		return random_word();
	entry = random_gpa() | P | US | (pick(8) ? RW : 0);
	if (pick(16) == 0)
		entry |= PS;
	if (pick(100) == 0)
		entry ^= UINT64_C(1) << pick(64);
	return entry;
}

static void new_tables(struct world *w)
{
	for (unsigned int i = 0; i < TABLES; i++) {
		w->rights[i] = pick(20) ? IOAS_RW : pick(4);
		set_entry(second(&w->m, BASE + i * PAGE, 0),
			  (addr_of(w->pages) + i * PAGE) | w->rights[i]);
		for (unsigned int j = 0; j < 512; j++)
			set_entry(&w->pages[i * 512 + j], random_entry());
	}
}

static void world_start(struct world *w, const char *options)
{
	uint8_t *raw;

	memset(w, 0, sizeof(*w));
	machine_start(&w->m, options);
	w->pages = page_new(&w->m);
	for (unsigned int i = 1; i < TABLES; i++)
		page_new(&w->m);
	w->large = w->m.memory + MIB(32);
	raw = mmap(NULL, GIB(2), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(raw, MAP_FAILED);
	w->huge = (uint8_t *)((addr_of(raw) + GIB(1) - 1) & ~(GIB(1) - 1));
	/* Nothing but what is listed here: no identity mapping of the machine's memory. */
	memset(w->m.parent, 0, PAGE);
	set_entry(second(&w->m, LARGE, 1), addr_of(w->large) | SRW | PS);
	set_entry(second(&w->m, HUGE, 2), addr_of(w->huge) | SR | PS);
}

static void fuzz(const char *options, unsigned int levels)
{
	static struct world w;
	unsigned int landed = 0, reasons[8] = { 0 };
	struct soft_counters c;

	world_start(&w, options);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct soft_context context = { .kind = SOFT_NESTED,
						.levels = levels,
						.domain = CHILD,
						.root = BASE + pick(TABLES) * PAGE,
						.parent_domain = PARENT,
						.parent_root = addr_of(w.m.parent) };
		uint64_t addresses[64];

		flush(&w.m, CHILD);
		flush(&w.m, PARENT);
		new_tables(&w);
		soft_endpoint_set(&w.m.device, &context);
		for (unsigned int i = 0; i < 64; i++) {
			addresses[i] = random_word();
			if (i) /* canonical, mostly */
				addresses[i] = (int64_t)(addresses[i] << (levels == 4 ? 16 : 7)) >>
					       (levels == 4 ? 16 : 7);
		}
		for (unsigned int i = 0; i < TRIES; i++) {
			/* Few upper parts, so that caches hit; all of the lower. */
			uint64_t iova =
				addresses[pick(64)] ^ (pick(3) ? pick(1 << 24) : pick(4096));
			uint32_t want = 1 + pick(3);
			uint64_t pa = 0, size = 0;
			size_t bytes = SIZE_MAX;
			struct soft_fault fault;
			uint64_t lost = 0;
			unsigned int reason =
				naive(&w, levels, context.root, iova, want, &pa, &size);
			void *ptr = dma(&w.m, iova, &bytes, want);

			reasons[reason & 7]++;
			if (!reason) {
				landed++;
				if (ptr != (void *)(uintptr_t)pa || bytes != size)
					fail_msg("iova %#lx: %p, %zu bytes; should be %#lx, %lu",
						 iova, ptr, bytes, pa, size);
				continue;
			}
			if (ptr)
				fail_msg("iova %#lx: %p; should be stopped, %u", iova, ptr, reason);
			soft_faults_read(&w.m.unit->faults, &fault, 1, &lost);
			if (fault.reason != reason)
				fail_msg("iova %#lx: reason %u; should be %u", iova, fault.reason,
					 reason);
		}
	}
	soft_unit_read_counters(w.m.unit, &c);
	printf("%u levels, %s: %u landed, %lu IOTLB hits, %lu PSC hits; stopped:", levels,
	       options ? options : "defaults", landed, c.hits, c.psc_hits);
	for (unsigned int i = 1; i < 6; i++)
		printf(" %u", reasons[i]);
	printf("\n");
	/* All of it happened. */
	assert_true(landed > TRIES * ROUNDS / 20);
	assert_true(c.hits > 1000 && c.psc_hits > TRIES);
	for (unsigned int i = 1; i < 6; i++)
		assert_true(reasons[i] > 100);
	munmap(w.huge, GIB(1));
	machine_stop(&w.m);
}

static void four_levels(void **state)
{
	(void)state;
	fuzz(NULL, 4);
}

static void five_levels(void **state)
{
	(void)state;
	fuzz(NULL, 5);
}

static void tiny_caches(void **state)
{
	(void)state;
	fuzz("iotlb_sets=2,iotlb_ways=2,psc_entries=1", 4);
}

static void wide_caches(void **state)
{
	(void)state;
	fuzz("iotlb_sets=1024,iotlb_ways=16,psc_entries=256", 5);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_levels),
		cmocka_unit_test(five_levels),
		cmocka_unit_test(tiny_caches),
		cmocka_unit_test(wide_caches),
	};

	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) | 1 : 0x10a5;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
