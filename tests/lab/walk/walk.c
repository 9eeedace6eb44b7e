// SPDX-License-Identifier: BSD-3-Clause
/*
 * Tables built by pt_map(), walked by an emulated IOMMU of QEMU: for thousands of accesses of a
 * device, what the IOMMU does is compared with what pt_lookup() and the list of mappings say, and
 * the records of those that it stopped with where and why they ought to be.
 *
 *	walk IOMMU QEMU-FD RAM-FD WINDOW-FD [SEED]
 *
 * The suite starts it beside a QEMU. It prints TAP when CMOCKA_MESSAGE_OUTPUT says so. The same
 * seed makes the same tables and accesses.
 */
#include "iommu.h"

#include "../../pgtable/random_maps.h"
#include "ours.h"

#define ROUNDS	      8
#define PROBES	      200
#define CHANGES	      60 /* of each size */
#define ENTRIES_TRIED 50 /* at random, on each level */
#define SEED	      1
#define SCRATCH	      0 /* offset in data memory of a page that nothing is mapped to */
#define MAILBOX	      4096
#define WINDOW_BIT    40 /* memory ends below */
#define FIRST_DATA    ((uint64_t)1 << 30)

static struct board board;
static struct iommu iommu = { .board = &board };
static uint64_t seed = SEED;

/**
 * struct rig - a table that the IOMMU has been given
 * @tables: for entry_at()
 * @mailbox: its second way to memory: what edu has read goes there, what it is to write comes
 *	from there
 * @recorded, @fault: of the last access
 * @strayed: the last access touched memory that nobody had touched before
 */
struct rig {
	struct tables tables;
	struct maps maps;
	uint64_t mailbox;
	bool recorded, strayed;
	struct iommu_fault fault;
};

/* Of all tests; @unanswered: requests to which QEMU has no answer. */
static struct {
	unsigned long accesses, records, unanswered;
} counts;

static struct rig *rig_of(struct maps *maps)
{
	return (struct rig *)((char *)maps - offsetof(struct rig, maps));
}

static uint64_t token(struct rig *r)
{
	return 1 + roll(&r->maps.dice, UINT64_MAX >> 12);
}

static volatile uint64_t *memory_at(uint64_t addr)
{
	return board_at(&board, addr);
}

/* Of the way to the mailbox, which may be barred when a table is wrong. */
static void drop_records(void)
{
	struct iommu_fault fault;

	while (iommu.ops->fault(&iommu, &fault))
		;
}

/* QEMU may split an access: all its records are to say the same. */
static void take_records(struct rig *r)
{
	struct iommu_fault next;

	r->recorded = iommu.ops->fault(&iommu, &r->fault);
	while (r->recorded && iommu.ops->fault(&iommu, &next))
		assert_memory_equal(&next, &r->fault, sizeof(next));
}

/*
 * One access to 8 bytes. Return: it got through to (from) memory at @oa, which is another's if it
 * must not.
 */
static bool lands(struct rig *r, uint64_t iova, uint32_t prot, uint64_t oa)
{
	volatile uint64_t *memory = memory_at(oa);
	volatile uint64_t *mailbox = memory_at(board_data(&board) + MAILBOX);
	const uint64_t sent = token(r);
	uint64_t touched;

	if (prot == IOAS_WRITE) {
		*mailbox = sent;
		edu_read(&board, r->mailbox);
		drop_records();
	}
	*memory = prot == IOAS_READ ? sent : ~sent;
	touched = board_touched(&board);
	if (prot == IOAS_READ)
		edu_read(&board, iova);
	else
		edu_write(&board, iova);
	r->strayed = board_touched(&board) != touched;
	take_records(r);
	counts.accesses++;
	counts.records += r->recorded;
	if (prot == IOAS_WRITE)
		return *memory == sent;
	*mailbox = ~sent;
	edu_write(&board, r->mailbox);
	drop_records();
	return *mailbox == sent;
}

/* Return: why not, or NULL. */
static const char *is_let_through(struct rig *r, uint64_t iova, uint32_t prot, uint64_t oa)
{
	if (!lands(r, iova, prot, oa))
		return r->recorded ? "it was stopped" : "it came to somewhere else";
	if (r->recorded)
		return "it got through and left a record";
	if (r->strayed)
		return "it touched other memory as well";
	return NULL;
}

/* @oa must not be reached; @reasons: of struct iommu_fault. */
static const char *is_stopped(struct rig *r, uint64_t iova, uint32_t prot, uint64_t oa,
			      unsigned int reasons, bool silent)
{
	if (lands(r, iova, prot, oa))
		return "it was not stopped";
	if (r->strayed)
		return "it came to somewhere else";
	if (!r->recorded)
		return silent ? NULL : "it left no record";
	if (!iommu.ops->no_pages && r->fault.page != (iova & ~UINT64_C(0xfff)))
		return "its record has another address";
	if (r->fault.prot != prot)
		return "its record is of the other direction";
	if (!(r->fault.reasons & reasons))
		return "its record has another reason";
	return NULL;
}

static void check(struct rig *r, uint64_t iova, uint32_t prot, const char *wrong)
{
	if (wrong)
		fail_msg("%s of 0x%" PRIx64 ": %s (record: page 0x%" PRIx64
			 ", reasons 0x%x); access %lu, seed %" PRIu64,
			 prot == IOAS_READ ? "read" : "write", iova, wrong, r->fault.page,
			 r->fault.reasons, counts.accesses, seed);
}

/* Does the access come to the IOMMU, and can its cache tell the address from others? */
static bool reaches(uint64_t iova)
{
	if (iova >= iommu.ops->hole && iova < iommu.ops->hole_end) {
		counts.unanswered++;
		return false;
	}
	if (iommu.ops->key_bits < 64 && iova >> iommu.ops->key_bits)
		iommu.ops->flush(&iommu);
	return true;
}

static void passes(struct maps *maps, uint64_t iova, uint32_t prot, uint64_t oa, uint64_t left)
{
	struct rig *r = rig_of(maps);

	(void)left;
	if (reaches(iova))
		check(r, iova, prot, is_let_through(r, iova & ~7ULL, prot, oa & ~7ULL));
}

static void stops(struct maps *maps, uint64_t iova, uint32_t prot, enum spec_outcome reason)
{
	struct rig *r = rig_of(maps);
	bool silent = iommu.ops->no_records;
	uint64_t oa;

	if (!reaches(iova))
		return;
	if (reason == SPEC_NO_ADDRESS && iommu.ops->aliases) {
		counts.unanswered++;
		return;
	}
	if (reason == SPEC_NO_RIGHT && iommu.ops->hits_are_silent) {
		/* With the cache, and as a walk. */
		if (roll(&maps->dice, 2))
			silent = true;
		else
			iommu.ops->flush(&iommu);
	}
	if (pt_lookup(maps->pt, iova & ~7ULL, &oa, NULL, NULL))
		oa = board_data(&board) + SCRATCH;
	check(r, iova, prot, is_stopped(r, iova & ~7ULL, prot, oa, 1U << reason, silent));
}

static void forget(struct maps *maps, uint64_t iova, uint64_t bytes)
{
	(void)maps;
	iommu.ops->forget(&iommu, iova, bytes);
}

static void flush(struct maps *maps)
{
	(void)maps;
	iommu.ops->flush(&iommu);
}

static const struct maps_ops iommu_maps = { passes, stops, forget, flush };

static void *page_at(const struct tables *t, uint64_t addr)
{
	(void)t;
	return board_at(&board, addr);
}

static void rig_start(struct rig *r, const struct format *f)
{
	memset(r, 0, sizeof(*r));
	board.mem.page_lg2 = f->page_lg2;
	r->maps = (struct maps){ .ops = &iommu_maps,
				 .f = f,
				 .dice.state = seed,
				 .oa_first = board_data(&board) + FIRST_DATA,
				 .oa_bytes = board_data_bytes(&board) - FIRST_DATA,
				 .one_right = true,
				 .kept = 1 };
	assert_int_equal(pt_create(f->format, &board.mem, &r->maps.pt), 0);
	r->tables = (struct tables){ .page_at = page_at, .format = f, .pt = r->maps.pt };
	r->mailbox = L2(20) + 5 * PAGE;
	/* The page that the mailbox is in; the scratch page may be in it as well. */
	map_listed(&r->maps,
		   (struct mapping){ r->mailbox, PAGE, (board_data(&board) + MAILBOX) & ~(PAGE - 1),
				     IOAS_RW });
	r->mailbox += MAILBOX % PAGE;
	iommu.ops->attach(&iommu, f->format, pt_root(r->maps.pt));
}

static void rig_stop(struct rig *r)
{
	pt_destroy(r->maps.pt);
}

static void random_tables(void **state)
{
	struct rig r;

	rig_start(&r, *state);
	random_maps(&r.maps, ROUNDS, PROBES);
	check_outcomes(&r.maps, 100);
	rig_stop(&r);
}

static void every_size_at_the_edges(void **state)
{
	for (unsigned int level = 0; level < fmt->leaf_levels; level++)
		for (uint32_t prot = IOAS_READ; prot <= IOAS_RW; prot++) {
			struct rig r;

			rig_start(&r, *state);
			map_at_the_edges(&r.maps, level, prot);
			rig_stop(&r);
		}
}

static void a_claim_is_invisible(void **state)
{
	struct rig r;

	rig_start(&r, *state);
	claim_and_clear(&r.maps);
	rig_stop(&r);
}

/* A mapping of one leaf at a place of its own, listed. */
static struct mapping *one_leaf(struct rig *r, unsigned int level, uint64_t iova)
{
	struct mapping mapping = { .iova = iova, .bytes = leaf_size(level), .prot = IOAS_RW };

	mapping.oa = r->maps.oa_first +
		     roll(&r->maps.dice, r->maps.oa_bytes / mapping.bytes) * mapping.bytes;
	return map_listed(&r->maps, mapping);
}

static void remove_last(struct rig *r)
{
	const struct mapping *last = &r->maps.mappings[r->maps.count - 1];

	assert_int_equal(
		pt_unmap(r->maps.pt, NULL, last->iova, last->bytes, roll(&r->maps.dice, BIT(40))),
		0);
	r->maps.count--;
}

/*
 * What was absent is followed as soon as it is mapped. What is changed or removed may be followed
 * as it was, and as it is after its invalidation; that something was, shows that there is a cache
 * which the invalidation reached.
 */
static void a_change_needs_its_invalidation(void **state)
{
	unsigned int stale = 0;
	struct rig r;

	rig_start(&r, *state);
	for (unsigned int i = 0; i < CHANGES * fmt->leaf_levels; i++) {
		/* Tables stay: where one has come, there is no more room for a larger leaf. */
		const unsigned int level = i % fmt->leaf_levels, place = level * 20;
		const uint64_t iova =
			L2(40) + (place + roll(&r.maps.dice, 20)) * leaf_size(fmt->leaf_levels - 1);
		const uint64_t at = roll(&r.maps.dice, leaf_size(level) / 8) * 8;
		const uint32_t prot = random_rights(&r.maps);
		struct mapping old, *mapping;

		probe(&r.maps, iova + at, prot);
		old = *one_leaf(&r, level, iova);
		probe(&r.maps, iova + at, prot);
		remove_last(&r);
		mapping = one_leaf(&r, level, iova);
		if (!lands(&r, iova + at, prot, mapping->oa + at)) {
			check(&r, iova, prot, is_let_through(&r, iova + at, prot, old.oa + at));
			stale++;
		}
		forget(&r.maps, iova, mapping->bytes);
		probe(&r.maps, iova + at, prot);

		remove_last(&r);
		stale += lands(&r, iova + at, prot, mapping->oa + at);
		forget(&r.maps, iova, mapping->bytes);
		probe(&r.maps, iova + at, prot);
	}
	printf("# %s: %u accesses followed what had been\n", fmt->name, stale);
	assert_in_range(stale, CHANGES / 2, UINT64_MAX);
	rig_stop(&r);
}

/* Is an access to the mapping other than it ought to be? */
static bool disagrees(struct rig *r, const struct mapping *mapping)
{
	const uint64_t at = mapping->iova + 8, oa = mapping->oa + 8;
	bool wrong = false;

	iommu.ops->flush(&iommu);
	for (uint32_t prot = IOAS_READ; prot <= IOAS_WRITE; prot++) {
		bool allowed = rights(r->maps.f, mapping->prot) & prot;

		wrong |= (allowed ? is_let_through(r, at, prot, oa)
				  : is_stopped(r, at, prot, oa, 1U << SPEC_NO_RIGHT, true)) != NULL;
		iommu.ops->flush(&iommu);
	}
	return wrong;
}

/* Changes one bit after the other of the entry at @level on the way to a mapping. */
static void change_bits(struct rig *r, const struct mapping *mapping, unsigned int level,
			uint64_t bits, bool noticed)
{
	_Atomic uint64_t *entry = entry_at(&r->tables, mapping->iova, level);
	const uint64_t right = *entry;

	for (uint64_t bit = 1; bit; bit <<= 1) {
		if (!(bits & bit))
			continue;
		*entry = right ^ bit;
		if (disagrees(r, mapping) != noticed)
			fail_msg("bit 0x%" PRIx64 " of 0x%" PRIx64 " at level %u was %s", bit,
				 right, level, noticed ? "not missed" : "missed");
	}
	*entry = right;
	assert_false(disagrees(r, mapping));
}

/*
 * The test of this test: an entry that is wrong in one bit is noticed; one that differs in a bit
 * which is the builder's is not.
 */
static void a_wrong_bit_is_noticed(void **state)
{
	const struct format *f = *state;
	struct rig r;

	rig_start(&r, f);
	for (unsigned int level = 0; level < fmt->leaf_levels; level++) {
		/* Of the address, the bits that memory has. */
		const uint64_t page = BIT(f->page_lg2) >> f->oa_shift;
		const uint64_t address = BIT(34) >> f->oa_shift;
		const struct mapping *mapping = one_leaf(&r, level, L2(30 + level));
		uint64_t bits;

		bits = f->present | f->read | f->write | f->no_write | address |
		       leaf_size(level) >> f->oa_shift | (level ? f->large : f->page);
		change_bits(&r, mapping, level, bits & ~iommu.ops->unread_leaf, true);
		change_bits(&r, mapping, level, f->start | f->claim, false);
		for (unsigned int above = level + 1; above < f->levels; above++)
			change_bits(&r, mapping, above, f->present | page, true);
		remove_last(&r);
		iommu.ops->flush(&iommu);
	}
	rig_stop(&r);
}

/**
 * struct strange - a table with an entry that the builder did not write
 * @passed, @stopped, @other: accesses that our walker lets through, stops, and those that it stops
 *	because of bits which are reserved or which the library does not use: QEMU may have both
 * @lenient: bits at which QEMU lets such an access through; of a leaf, of a table
 */
struct strange {
	struct rig rig;
	struct mapping mapping;
	unsigned int level; /* of the entry */
	_Atomic uint64_t *entry;
	uint64_t right;
	unsigned int passed, stopped, other;
	uint64_t lenient[2];
};

/* Do our walker and QEMU's agree on the entry @value? */
static void try_entry(struct strange *s, uint64_t value)
{
	const struct format *f = s->rig.maps.f;
	const uint64_t at = s->mapping.iova + 8;
	const bool table = is_table(f, value, s->level);
	const uint64_t unread = table ? iommu.ops->unread_table : iommu.ops->unread_leaf;
	/* Of several faults any may be reported. */
	const bool one = !((value ^ s->right) & ((value ^ s->right) - 1));
	struct rig *r = &s->rig;

	/* Ours does without a machine's answer to reads of what is not there. */
	if (table && !board_has(&board, address_in(f, value)))
		return;
	*s->entry = value;
	for (uint32_t prot = IOAS_READ; prot <= IOAS_WRITE; prot++) {
		uint64_t oa = 0;
		enum spec_outcome ours = our_walk(f->format, pt_root(r->maps.pt), at, prot, &oa);
		const char *wrong = NULL;

		iommu.ops->flush(&iommu);
		if (ours == SPEC_PASSED && board_has(&board, oa)) {
			s->passed++;
			wrong = is_let_through(r, at, prot, oa);
		} else if (ours == SPEC_RESERVED) {
			s->other++;
			lands(r, at, prot, board_data(&board) + SCRATCH);
			if (one && !r->recorded && !iommu.ops->no_records)
				s->lenient[!table] |= value ^ s->right;
		} else if (ours != SPEC_PASSED && !(~value & unread)) {
			s->stopped++;
			wrong = is_stopped(r, at, prot, s->mapping.oa + 8, one ? 1U << ours : -1U,
					   iommu.ops->no_records);
		}
		if (wrong)
			fail_msg("entry 0x%" PRIx64 " (was 0x%" PRIx64 ") at level %u, %s: we say "
				 "%u, and 0x%" PRIx64 "; %s; record: reasons 0x%x; seed %" PRIu64,
				 value, s->right, s->level, prot == IOAS_READ ? "read" : "write",
				 ours, oa, wrong, r->recorded ? r->fault.reasons : 0, seed);
	}
	*s->entry = s->right;
}

/* A random entry, with an address that is memory's. */
static uint64_t random_entry(struct strange *s)
{
	const struct format *f = s->rig.maps.f;
	struct dice *dice = &s->rig.maps.dice;
	uint64_t address = s->rig.maps.oa_first +
			   roll(dice, s->rig.maps.oa_bytes >> f->page_lg2 << f->page_lg2);
	uint64_t bits = roll(dice, BIT(53)) << 11 ^ roll(dice, BIT(53));

	/* Half of them are nearly right. */
	if (roll(dice, 2))
		bits = s->right ^ (bits & roll(dice, BIT(53)) << 11 & roll(dice, BIT(53)));
	return (bits & ~f->address) | (address >> f->oa_shift & f->address);
}

/*
 * Any one bit of any entry on the way to a leaf, flipped, and random entries in its place: the
 * walkers of this tree say what QEMU's do.
 */
static void our_walkers_agree(void **state)
{
	const struct format *f = *state;
	struct strange s = { 0 };

	rig_start(&s.rig, f);
	for (unsigned int leaf = 0; leaf < fmt->leaf_levels; leaf++) {
		/* Far from the mailbox: no entry is on the way to both. */
		s.mapping = *one_leaf(&s.rig, leaf, beyond(f) / 2 + L2(8 + leaf));
		for (s.level = leaf; s.level < f->levels; s.level++) {
			s.entry = entry_at(&s.rig.tables, s.mapping.iova, s.level);
			s.right = *s.entry;
			for (unsigned int bit = 0; bit < 64; bit++)
				try_entry(&s, s.right ^ BIT(bit));
			for (unsigned int i = 0; i < ENTRIES_TRIED; i++)
				try_entry(&s, random_entry(&s));
		}
	}
	printf("# %s: %u accesses passed, %u were stopped, %u were neither's; bits that QEMU does "
	       "not mind: 0x%" PRIx64 " of a table, 0x%" PRIx64 " of a leaf\n",
	       fmt->name, s.passed, s.stopped, s.other, s.lenient[0], s.lenient[1]);
	assert_in_range(s.passed, 50, UINT64_MAX);
	assert_in_range(s.stopped, 100, UINT64_MAX);
	iommu.ops->flush(&iommu);
	rig_stop(&s.rig);
}

/* Output addresses that memory does not have: a device's memory is there, in leaves of each size.
 */
static void every_output_address_bit(void **state)
{
	struct rig r;

	rig_start(&r, *state);
	for (unsigned int bit = WINDOW_BIT; bit < iommu.ops->output_bits; bit++) {
		board_move_window(&board, BIT(bit));
		for (unsigned int level = 0; level < fmt->leaf_levels; level++) {
			const uint64_t bytes = leaf_size(level);
			const uint64_t offset =
				roll(&r.maps.dice, BOARD_WINDOW_BYTES / bytes) * bytes;
			const struct mapping *mapping =
				map_listed(&r.maps, (struct mapping){ L2(30 + level), bytes,
								      BIT(bit) + offset, IOAS_RW });

			probe_mapping(&r.maps, mapping);
			remove_last(&r);
			forget(&r.maps, mapping->iova, bytes);
		}
	}
	rig_stop(&r);
}

static bool walked(enum ioas_format format)
{
	for (size_t i = 0; i < COUNT(iommu.ops->formats); i++)
		if (iommu.ops->formats[i] == format)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static const struct iommu_ops *const all[] = { &iommu_vtd,   &iommu_vtd_first,
						       &iommu_amd,   &iommu_amd_7_2,
						       &iommu_riscv, &iommu_smmuv3 };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_tables),
		cmocka_unit_test(every_size_at_the_edges),
		cmocka_unit_test(a_claim_is_invisible),
		cmocka_unit_test(a_change_needs_its_invalidation),
		cmocka_unit_test(a_wrong_bit_is_noticed),
		cmocka_unit_test(our_walkers_agree),
		cmocka_unit_test(every_output_address_bit), /* the last: some have it not */
	};

	int failed;

	for (size_t i = 0; argc >= 5 && i < COUNT(all); i++)
		if (!strcmp(all[i]->name, argv[1]))
			iommu.ops = all[i];
	if (!iommu.ops) {
		fprintf(stderr, "usage: walk IOMMU QEMU-FD RAM-FD WINDOW-FD [SEED]\n");
		return 2;
	}
	if (argc > 5)
		seed = strtoull(argv[5], NULL, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	board_open(&board, iommu.ops->map, atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
	iommu.ops->start(&iommu);
	failed =
		run_formats(iommu.ops->name, tests, COUNT(tests) - !iommu.ops->output_bits, walked);
	printf("# %s: %lu accesses, %lu records of faults, %lu requests not for QEMU, seed %" PRIu64
	       "\n",
	       iommu.ops->name, counts.accesses, counts.records, counts.unanswered, seed);
	return failed;
}
