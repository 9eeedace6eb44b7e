// SPDX-License-Identifier: BSD-3-Clause
/*
 * Dirty tracking: the bitmap has exactly the pages that devices have written to since they were
 * read last, whatever lies between mappings; devices come and go meanwhile, and one that does not
 * record is refused.
 */
#include "record_lab.h"

#include <errno.h>
#include <ioas/dirty.h>
#include <stdlib.h>
#include <string.h>

/* Two mappings with a hole between them; neither begins at a multiple of 64 pages. */
#define FIRST	    (MOCK_FIRST + 3 * PAGE)
#define FIRST_PAGES 150
#define HOLE_PAGES  37
#define NEXT	    (FIRST + (FIRST_PAGES + HOLE_PAGES) * PAGE)
#define NEXT_PAGES  100
#define ALL_PAGES   (FIRST_PAGES + HOLE_PAGES + NEXT_PAGES)
#define WORDS	    ((ALL_PAGES + 63) / 64)
#define ROUNDS	    300

static int read_all(struct record_lab *lab, uint32_t flags, uint64_t bits[WORDS])
{
	const struct ioas_dirty range = { .size = sizeof(range),
					  .flags = flags,
					  .iova = FIRST,
					  .bytes = ALL_PAGES * PAGE,
					  .page_bytes = PAGE,
					  .bitmap = bits };

	memset(bits, 0, WORDS * sizeof(bits[0]));
	return ioas_dirty_read(lab->as, &range);
}

static void check_bits(struct record_lab *lab, uint32_t flags, const uint64_t expected[WORDS])
{
	uint64_t bits[WORDS];

	CHECK(read_all(lab, flags, bits) == 0);
	for (int word = 0; word < WORDS; word++)
		if (bits[word] != expected[word])
			FAIL("word %d is 0x%llx, not 0x%llx", word, (unsigned long long)bits[word],
			     (unsigned long long)expected[word]);
}

static bool is_mapped(unsigned int page)
{
	return page < FIRST_PAGES || page >= FIRST_PAGES + HOLE_PAGES;
}

static void write_page(const struct mock_device *mock, unsigned int page, uint64_t expected[WORDS])
{
	mock_write_page(mock, FIRST + page * PAGE);
	expected[page / 64] |= UINT64_C(1) << page % 64;
}

static void check_random(struct record_lab *lab)
{
	const uint64_t none[WORDS] = { 0 };
	uint64_t expected[WORDS] = { 0 };
	unsigned int seed = 7;

	lab_step("writes at random, read with and without being cleared");
	for (int round = 0; round < ROUNDS; round++) {
		for (int count = rand_r(&seed) % 20; count; count--) {
			unsigned int page = rand_r(&seed) % ALL_PAGES;

			if (is_mapped(page))
				write_page(lab->mock, page, expected);
		}
		check_bits(lab, IOAS_DIRTY_KEEP, expected);
		if (rand_r(&seed) % 2)
			continue;
		check_bits(lab, 0, expected);
		check_bits(lab, 0, none);
		memset(expected, 0, sizeof(expected));
	}
	check_bits(lab, 0, expected);
}

static void check_units(struct record_lab *lab)
{
	uint64_t expected[WORDS] = { 0 }, bits = 0;
	struct ioas_dirty range = { .size = sizeof(range),
				    .iova = MOCK_FIRST,
				    .bytes = 20 * 16 * PAGE,
				    .page_bytes = 16 * PAGE,
				    .bitmap = &bits };

	lab_step("a bit for 64 KiB, mapped in part");
	write_page(lab->mock, 0, expected);		  /* page 3 from MOCK_FIRST on */
	write_page(lab->mock, FIRST_PAGES - 1, expected); /* 152 */
	write_page(lab->mock, FIRST_PAGES + HOLE_PAGES + 4, expected); /* 194 */
	CHECK(ioas_dirty_read(lab->as, &range) == 0);
	CHECK(bits == (1U << 0 | 1U << 152 / 16 | 1U << 194 / 16));

	lab_step("bad arguments");
	range.bytes -= 3 * 16 * PAGE;
	CHECK(ioas_dirty_read(lab->as, &range) == -EINVAL);
	record_check_text(lab, "cuts the mapping");
	range.bytes += 3 * 16 * PAGE;
	range.page_bytes = 3 * PAGE;
	CHECK(ioas_dirty_read(lab->as, &range) == -EINVAL);
	record_check_text(lab, "page_bytes");
	range.page_bytes = 16 * PAGE;
	range.iova += PAGE;
	CHECK(ioas_dirty_read(lab->as, &range) == -EINVAL);
	record_check_text(lab, "iova");
	range.iova -= PAGE;
	range.flags = 2;
	CHECK(ioas_dirty_read(lab->as, &range) == -EINVAL);
	record_check_text(lab, "flags");
	range.size = 1;
	CHECK(ioas_dirty_read(lab->as, &range) == -EINVAL);
	record_check_text(lab, "size");
}

/* Another device joins, writes and leaves; its IOMMU does (not) record. */
static void check_second(struct record_lab *lab, bool records)
{
	uint64_t expected[WORDS] = { 0 };
	const uint32_t table = lab->mock->table;
	struct ioas_dev *dev;

	lab_step(records ? "a second device joins" : "one that does not record is refused");
	mock_without_dirty(!records);
	CHECK(ioas_dev_bind(lab->ctx, lab_device("nvme0"), &dev) == 0);
	CHECK(ioas_attach(lab->as, dev) == (records ? 0 : -EOPNOTSUPP));
	if (records) {
		write_page(mock_device(0), 5, expected);
		CHECK(ioas_detach(dev) == 0);
	} else {
		record_check_text(lab, "records");
		record_check_text(lab, lab_device("nvme0"));
	}
	write_page(lab->mock, 6, expected);
	check_bits(lab, 0, expected);
	CHECK(lab->mock->table == table);
	CHECK(ioas_dev_unbind(dev) == 0);
	mock_without_dirty(false);
}

/* One of two devices does not record: neither moves. */
static void check_all_or_nothing(struct record_lab *lab)
{
	const uint32_t table = lab->mock->table;
	uint64_t bits[WORDS];
	struct ioas_dev *dev;

	lab_step("of two devices one does not record: nothing changes");
	mock_without_dirty(true);
	CHECK(ioas_dev_bind(lab->ctx, lab_device("nvme0"), &dev) == 0);
	mock_without_dirty(false);
	CHECK(ioas_attach(lab->as, dev) == 0);
	CHECK(ioas_dirty_start(lab->as) == -EOPNOTSUPP);
	record_check_text(lab, "does not record dirty pages");
	CHECK(lab->mock->table == table);
	CHECK(mock_maps(lab->mock, FIRST, record_page(lab, 0), FIRST_PAGES * PAGE));
	CHECK(mock_maps(mock_device(0), FIRST, record_page(lab, 0), FIRST_PAGES * PAGE));
	CHECK(read_all(lab, 0, bits) == -EINVAL);
	CHECK(ioas_detach(dev) == 0);
	CHECK(ioas_dev_unbind(dev) == 0);
}

static void check_children(struct record_lab *lab)
{
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_USER, .parent = lab->as };
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas *child;

	CHECK(ioas_ctx_caps(lab->ctx, &caps) == 0);
	if (!(caps.kinds & 1U << IOAS_KIND_USER))
		return;
	lab_step("no children");
	CHECK(ioas_create(lab->ctx, &opts, &child) == -EBUSY);
}

int main(void)
{
	static struct record_lab lab;
	uint64_t bits[WORDS], expected[WORDS] = { 0 };
	uint32_t table;

	record_open(&lab);
	table = lab.mock->table;
	record_map(&lab, FIRST, 0, FIRST_PAGES);
	check_all_or_nothing(&lab);

	lab_step("the device moves to a table that records, and maps the same");
	CHECK(read_all(&lab, 0, bits) == -EINVAL);
	record_check_text(&lab, "ioas_dirty_start");
	CHECK(ioas_dirty_start(lab.as) == 0);
	CHECK(ioas_dirty_start(lab.as) == 0);
	CHECK(lab.mock->table != table);
	CHECK(mock_maps(lab.mock, FIRST, record_page(&lab, 0), FIRST_PAGES * PAGE));
	record_map(&lab, NEXT, FIRST_PAGES, NEXT_PAGES);
	check_random(&lab);
	check_units(&lab);
	check_second(&lab, true);
	check_second(&lab, false);
	check_children(&lab);

	lab_step("devices that come when it is on record from their first write on");
	CHECK(ioas_detach(lab.dev) == 0);
	CHECK(ioas_attach(lab.as, lab.dev) == 0);
	write_page(lab.mock, 77, expected);
	check_bits(&lab, 0, expected);

	lab_step("off");
	CHECK(ioas_dirty_stop(lab.as) == 0);
	CHECK(ioas_dirty_stop(lab.as) == 0);
	CHECK(read_all(&lab, 0, bits) == -EINVAL);
	CHECK(mock_maps(lab.mock, FIRST, record_page(&lab, 0), FIRST_PAGES * PAGE));
	CHECK(mock_maps(lab.mock, NEXT, record_page(&lab, FIRST_PAGES), NEXT_PAGES * PAGE));
	record_unmap(&lab, FIRST, FIRST_PAGES);
	record_unmap(&lab, NEXT, NEXT_PAGES);
	CHECK(!mock_maps(lab.mock, FIRST, record_page(&lab, 0), PAGE));
	record_close(&lab);
	return 0;
}
