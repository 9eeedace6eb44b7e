/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty tracking: the bitmap has exactly the pages that devices have written to since it was read
 * last; none is lost while a device writes all the time.
 */
#include "rig.h"

#include <ioas/dirty.h>

#define WORDS (RIG_PAGES / 64)
#define BASE  GIB(1)

static void start(struct rig *r, const struct flavour *flavour)
{
	ioas_iova_t iova = BASE;

	rig_start(r, flavour, NULL);
	if (flavour->kind == IOAS_KIND_KERNEL)
		assert_int_equal(ioas_map(r->q, r->va, RIG_BYTES, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 0);
}

static void stop(struct rig *r)
{
	assert_int_equal(ioas_unmap(r->q, BASE, RIG_BYTES), 0);
	rig_stop(r);
}

static int read_bits(struct rig *r, uint32_t flags, uint64_t *bits)
{
	const struct ioas_dirty range = { .size = sizeof(range),
					  .flags = flags,
					  .iova = BASE,
					  .bytes = RIG_BYTES,
					  .page_bytes = PAGE,
					  .bitmap = bits };

	return ioas_dirty_read(r->as, &range);
}

static void expect_bits(struct rig *r, uint32_t flags, const uint64_t *expected)
{
	uint64_t bits[WORDS] = { 0 };

	assert_int_equal(read_bits(r, flags, bits), 0);
	assert_memory_equal(bits, expected, sizeof(bits));
}

static void write_page(struct rig *r, uint64_t page)
{
	assert_int_equal(ioas_soft_dma_write(r->dev, BASE + page * PAGE + 8, "dirty", 6), 0);
}

static void read_page(struct rig *r, uint64_t page)
{
	char data[8];

	assert_int_equal(ioas_soft_dma_read(r->dev, BASE + page * PAGE, data, sizeof(data)), 0);
}

/*
 * The rig's memory is one mapping of 4 MiB of two leaves; here each page is a mapping, with a leaf
 * of its own.
 */
static void map_pages(struct rig *r)
{
	assert_int_equal(ioas_unmap(r->q, BASE, RIG_BYTES), 0);
	for (uint64_t page = 0; page < RIG_PAGES; page++) {
		ioas_iova_t iova = BASE + page * PAGE;

		assert_int_equal(
			ioas_map(r->q, r->va + page * PAGE, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
			0);
	}
}

static void unmap_pages(struct rig *r)
{
	for (uint64_t page = 0; page < RIG_PAGES; page++)
		assert_int_equal(ioas_unmap(r->q, BASE + page * PAGE, PAGE), 0);
	rig_stop(r);
}

static void test_random(void **state)
{
	uint64_t expected[WORDS] = { 0 };
	const uint64_t none[WORDS] = { 0 };
	unsigned int seed = 3;
	struct rig r;

	start(&r, &kernel_flavour);
	map_pages(&r);
	write_page(&r, 1); /* before the start, and cached as writable */
	assert_int_equal(ioas_dirty_start(r.as), 0);
	expect_bits(&r, IOAS_DIRTY_KEEP, none);
	for (unsigned int round = 0; round < 400; round++) {
		for (unsigned int i = rand_r(&seed) % 30; i; i--) {
			uint64_t page = rand_r(&seed) % RIG_PAGES;

			/* Reading does not count, whatever it leaves in the IOTLB. */
			read_page(&r, rand_r(&seed) % RIG_PAGES);
			write_page(&r, page);
			expected[page / 64] |= UINT64_C(1) << page % 64;
		}
		expect_bits(&r, IOAS_DIRTY_KEEP, expected);
		if (round % 3)
			continue;
		expect_bits(&r, 0, expected);
		expect_bits(&r, 0, none);
		memset(expected, 0, sizeof(expected));
	}
	assert_int_equal(ioas_dirty_stop(r.as), 0);
	write_page(&r, 5);
	unmap_pages(&r);
}

/* A leaf of 2 MiB has one dirty bit. */
static void test_large_leaf(void **state)
{
	uint64_t bits[WORDS] = { 0 }, half = 0;
	struct ioas_dirty range = { .size = sizeof(range),
				    .iova = BASE,
				    .bytes = MIB(2),
				    .page_bytes = MIB(2),
				    .bitmap = &half };
	struct rig r;

	start(&r, &kernel_flavour);
	assert_int_equal(ioas_dirty_start(r.as), 0);
	write_page(&r, RIG_PAGES - 1);
	assert_int_equal(ioas_dirty_read(r.as, &range), -EINVAL);
	range.flags = IOAS_DIRTY_KEEP;
	assert_int_equal(ioas_dirty_read(r.as, &range), 0);
	assert_int_equal(half, 0);
	range.iova += MIB(2);
	assert_int_equal(ioas_dirty_read(r.as, &range), 0);
	assert_int_equal(half, 1);
	assert_int_equal(read_bits(&r, 0, bits), 0);
	for (unsigned int word = 0; word < WORDS; word++)
		assert_int_equal(bits[word], word < WORDS / 2 ? 0 : UINT64_MAX);
	stop(&r);
}

static void test_refused(void **state)
{
	const struct flavour *flavour = *state;
	uint64_t bits[WORDS];
	struct ioas_opts child = opts_of(&user_flavour);
	struct ioas *as;
	struct rig r;

	start(&r, flavour);
	if (flavour->kind != IOAS_KIND_KERNEL) {
		assert_int_equal(ioas_dirty_start(r.as), -EOPNOTSUPP);
		assert_int_equal(read_bits(&r, 0, bits), -EINVAL);
		rig_stop(&r);
		return;
	}
	assert_int_equal(read_bits(&r, 0, bits), -EINVAL);
	child.parent = r.as;
	assert_int_equal(ioas_create(r.ctx, &child, &as), 0);
	assert_int_equal(ioas_dirty_start(r.as), -EBUSY);
	assert_int_equal(ioas_destroy(as), 0);
	assert_int_equal(ioas_dirty_start(r.as), 0);
	assert_int_equal(ioas_create(r.ctx, &child, &as), -EBUSY);
	assert_int_equal(ioas_dirty_stop(r.as), 0);
	stop(&r);
}

struct writer {
	struct rig *r;
	uint64_t next[RIG_PAGES]; /* what it writes to each page */
	_Atomic bool end;
};

static void *write_for_ever(void *arg)
{
	struct writer *writer = arg;
	unsigned int seed = 11;

	while (!atomic_load(&writer->end)) {
		uint64_t page = rand_r(&seed) % RIG_PAGES;
		uint64_t value = ++writer->next[page];

		if (ioas_soft_dma_write(writer->r->dev, BASE + page * PAGE, &value, 8))
			return writer;
	}
	return NULL;
}

/*
 * What migration does: copy what is dirty, again and again, while the device writes. When it has
 * stopped, one more round leaves a copy that is right.
 */
static void test_migration(void **state)
{
	static struct writer writer;
	const uint64_t end = now_ns() + test_ns() / 2;
	uint64_t copied = 0;
	uint8_t *copy = memory_new(RIG_BYTES);
	pthread_t thread;
	struct rig r;
	void *failed;
	bool last;

	start(&r, &kernel_flavour);
	map_pages(&r);
	writer.r = &r;
	assert_int_equal(ioas_dirty_start(r.as), 0);
	memcpy(copy, r.va, RIG_BYTES);
	assert_int_equal(pthread_create(&thread, NULL, write_for_ever, &writer), 0);
	do {
		uint64_t bits[WORDS] = { 0 };

		last = now_ns() > end;
		if (last) {
			atomic_store(&writer.end, true);
			pthread_join(thread, &failed);
			assert_null(failed);
		}
		assert_int_equal(read_bits(&r, 0, bits), 0);
		for (uint64_t page = 0; page < RIG_PAGES; page++)
			if (bits[page / 64] >> page % 64 & 1) {
				uint64_t at = page * PAGE, word;

				word = atomic_load((_Atomic uint64_t *)(r.va + at));
				memcpy(copy + at, &word, 8);
				copied++;
			}
	} while (!last);
	assert_true(copied > RIG_PAGES);
	assert_memory_equal(copy, r.va, RIG_BYTES);
	munmap(copy, RIG_BYTES);
	unmap_pages(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_large_leaf),
		ALL_FLAVOURS(test_refused),
		cmocka_unit_test(test_migration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
