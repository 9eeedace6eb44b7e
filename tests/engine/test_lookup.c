/* SPDX-License-Identifier: BSD-3-Clause */
/* IOVA to virtual address, as the table stands. */
#include "rig.h"

static void finds_what_is_mapped(void **state)
{
	static const uint64_t pages[] = { 1, 3, 512, 1024 };
	uint32_t prot;
	ioas_iova_t iova;
	struct rig r;
	void *va;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t bytes = pages[i / 2] * PAGE;
		uint32_t rights = i & 1 ? IOAS_READ : IOAS_RW;

		assert_int_equal(ioas_map(r.q, r.va, bytes, rights, &iova), 0);
		for (uint64_t offset = 0; offset < bytes; offset += bytes / 8) {
			assert_int_equal(ioas_lookup(r.q, iova + offset, &va, &prot), 0);
			assert_ptr_equal(va, r.va + offset);
			assert_int_equal(prot, rights);
			assert_int_equal(ioas_lookup(r.q, iova + offset + 123, &va, NULL), 0);
			assert_ptr_equal(va, r.va + offset + 123);
		}
		assert_int_equal(ioas_lookup(r.q, iova + bytes, &va, &prot), -ENOENT);
		assert_int_equal(ioas_lookup(r.q, iova - 1, &va, &prot), -ENOENT);
		assert_int_equal(ioas_unmap(r.q, iova, bytes), 0);
		/* The table, not the IOTLB: BATCHED or not. */
		assert_int_equal(ioas_lookup(r.q, iova, &va, &prot), -ENOENT);
		assert_int_equal(ioas_lookup(r.q, iova + bytes - 1, &va, &prot), -ENOENT);
	}
	rig_stop(&r);
}

static void finds_nothing(void **state)
{
	static const uint64_t places[] = {
		0, 1, GIB(1), UINT64_C(1) << 47, UINT64_C(1) << 60, UINT64_MAX
	};
	struct rig r;
	void *va;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		assert_int_equal(ioas_lookup(r.q, places[i], &va, NULL), -ENOENT);
	rig_stop(&r);
}

/* What a caller of x86 formats asks for and gets: WRITE includes READ. */
static void write_includes_read(void **state)
{
	uint32_t prot;
	ioas_iova_t iova;
	struct rig r;
	void *va;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_WRITE, &iova), 0);
	assert_int_equal(ioas_lookup(r.q, iova, &va, &prot), 0);
	assert_int_equal(prot, IOAS_RW);
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	rig_stop(&r);
}

/* Through a parent whose addresses are not the virtual ones. */
static void through_a_parent(void **state)
{
	struct ioas_opts opts = opts_of(*state);
	ioas_iova_t parent_iova[2] = { GIB(7), GIB(5) }, iova;
	struct ioas_queue *pq;
	struct ioas *parent;
	struct rig r;
	void *va;

	rig_open(&r, NULL);
	parent = space_new(r.ctx, &kernel_flavour);
	pq = queue_new(parent);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(ioas_map(pq, r.va + i * MIB(2), MIB(2), IOAS_RW | IOAS_MAP_FIXED,
					  &parent_iova[i]),
				 0);
	opts.parent = parent;
	rig_space(&r, &opts);
	for (unsigned int i = 0; i < 1000; i += 101) {
		assert_int_equal(ioas_map(r.q, r.va + i * PAGE, PAGE, IOAS_RW, &iova), 0);
		assert_int_equal(ioas_lookup(r.q, iova + 5, &va, NULL), 0);
		assert_ptr_equal(va, r.va + i * PAGE + 5);
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(ioas_unmap(pq, parent_iova[i], MIB(2)), 0);
	rig_drop_space(&r);
	assert_int_equal(ioas_queue_destroy(pq), 0);
	assert_int_equal(ioas_destroy(parent), 0);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_FLAVOURS(finds_what_is_mapped),
		ALL_FLAVOURS(finds_nothing),
		USER_FLAVOURS(write_includes_read),
		USER_FLAVOURS(through_a_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
