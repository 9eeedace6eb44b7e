/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: slots that are granted are visible at their place, the others are not. */
#include "rig.h"

static struct ioas_window *window_new(struct rig *r, void *va, uint64_t bytes, uint64_t slot_bytes,
				      ioas_iova_t iova)
{
	struct ioas_window_opts opts = { .size = sizeof(opts),
					 .prot = IOAS_RW,
					 .va = va,
					 .bytes = bytes,
					 .slot_bytes = slot_bytes,
					 .iova = iova };
	struct ioas_window *window;

	assert_int_equal(ioas_window_create(r->as, &opts, &window), 0);
	if (iova)
		assert_int_equal(ioas_window_iova(window), iova);
	assert_int_equal(ioas_window_slots(window), bytes / slot_bytes);
	return window;
}

static struct ioas_window *identity_new(struct rig *r, void *va, uint64_t bytes, uint64_t slot)
{
	struct ioas_window_opts opts = { .size = sizeof(opts),
					 .prot = IOAS_RW,
					 .va = va,
					 .bytes = bytes,
					 .slot_bytes = slot,
					 .identity = true };
	struct ioas_window *window;

	assert_int_equal(ioas_window_create(r->as, &opts, &window), 0);
	assert_int_equal(ioas_window_iova(window), (uintptr_t)va);
	return window;
}

/* Every slot of one page: is it visible where @granted says so, and only there? */
static bool shows(struct rig *r, struct ioas_window *window, uint8_t *va, const bool *granted)
{
	for (unsigned int i = 0; i < ioas_window_slots(window); i++) {
		ioas_iova_t iova = ioas_window_iova(window) + i * PAGE;

		if (granted[i] ? !writes(r, iova, va + i * PAGE) : !refused(r, iova, PAGE)) {
			printf("# slot %u is %sgranted\n", i, granted[i] ? "" : "not ");
			return false;
		}
	}
	return true;
}

static void grant_and_revoke(void **state)
{
	static const uint32_t runs[][6] = {
		{ 1, 0 }, { 1, 63 }, { 2, 5, 6 }, { 5, 9, 1, 30, 2, 10 }, { 4, 62, 61, 60, 59 },
	};
	bool granted[64] = { false };
	struct ioas_window *window;
	struct rig r;

	rig_start(&r, *state, NULL);
	window = window_new(&r, r.va + 16 * PAGE, 64 * PAGE, PAGE, 0);
	assert_true(shows(&r, window, r.va + 16 * PAGE, granted));
	for (unsigned int round = 0; round < 100; round++) {
		const uint32_t *run = runs[round % 5];

		assert_int_equal(ioas_window_grant(r.q, window, run + 1, run[0]), 0);
		for (unsigned int i = 1; i <= run[0]; i++)
			granted[run[i]] = true;
		if (round < 10)
			assert_true(shows(&r, window, r.va + 16 * PAGE, granted));
		for (unsigned int i = 1; i <= run[0]; i++) {
			assert_true(writes(&r, ioas_window_iova(window) + run[i] * PAGE,
					   r.va + (16 + run[i]) * PAGE));
			granted[run[i]] = false;
		}
		assert_int_equal(ioas_window_revoke(r.q, window, run + 1, run[0]), 0);
		assert_int_equal(ioas_flush(r.q), 0);
		if (round < 10)
			assert_true(shows(&r, window, r.va + 16 * PAGE, granted));
		for (unsigned int i = 1; i <= run[0]; i++)
			assert_true(refused(&r, ioas_window_iova(window) + run[i] * PAGE, PAGE));
		drain_faults(&r);
	}
	assert_int_equal(ioas_window_grant(r.q, window, runs[0], 0), 0);
	assert_int_equal(ioas_window_revoke(r.q, window, runs[0], 0), 0);
	assert_int_equal(ioas_window_destroy(window), 0);
	rig_stop(&r);
}

/* All of a large window in one call, slots of several pages, across table pages. */
static void large_slots(void **state)
{
	static const uint64_t slot_sizes[] = { PAGE, 3 * PAGE, KIB(64), MIB(2) };
	static uint32_t slots[RIG_PAGES];
	struct ioas_window *window;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t slot = slot_sizes[i], bytes = RIG_BYTES / slot * slot;
		unsigned int count = bytes / slot;

		window = window_new(&r, r.va, bytes, slot, 0);
		for (unsigned int j = 0; j < count; j++)
			slots[j] = j;
		assert_int_equal(ioas_window_grant(r.q, window, slots, count), 0);
		assert_true(reaches(&r, ioas_window_iova(window), r.va, bytes));
		/* One in the middle goes, and only that. */
		if (count > 2) {
			assert_int_equal(ioas_window_revoke(r.q, window, &slots[count / 2], 1), 0);
			assert_int_equal(ioas_flush(r.q), 0);
			assert_true(refused(&r, ioas_window_iova(window) + count / 2 * slot, slot));
			assert_true(reaches(&r, ioas_window_iova(window), r.va, count / 2 * slot));
			assert_true(writes(&r, ioas_window_iova(window) + (count / 2 + 1) * slot,
					   r.va + (count / 2 + 1) * slot));
			assert_int_equal(ioas_window_grant(r.q, window, &slots[count / 2], 1), 0);
		}
		assert_true(refused(&r, ioas_window_iova(window) - PAGE, PAGE));
		assert_true(refused(&r, ioas_window_iova(window) + bytes, PAGE));
		assert_int_equal(ioas_window_revoke(r.q, window, slots, count), 0);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_true(refused(&r, ioas_window_iova(window), bytes));
		drain_faults(&r);
		assert_int_equal(ioas_window_destroy(window), 0);
	}
	rig_stop(&r);
}

static void read_only(void **state)
{
	struct ioas_window_opts opts = {
		.size = sizeof(opts), .prot = IOAS_READ, .bytes = 4 * PAGE, .slot_bytes = PAGE
	};
	struct ioas_window *window;
	uint32_t slot = 2, prot;
	ioas_iova_t iova;
	struct rig r;
	void *va;

	rig_start(&r, *state, NULL);
	opts.va = r.va;
	assert_int_equal(ioas_window_create(r.as, &opts, &window), 0);
	iova = ioas_window_iova(window) + 2 * PAGE;
	assert_int_equal(ioas_lookup(r.q, iova, &va, NULL), -ENOENT);
	assert_int_equal(ioas_window_grant(r.q, window, &slot, 1), 0);
	assert_true(reads(&r, iova, r.va + 2 * PAGE));
	assert_int_equal(reason_of(&r, iova, IOAS_WRITE), IOAS_FAULT_PERMISSION);
	assert_int_equal(ioas_lookup(r.q, iova, &va, &prot), 0);
	assert_ptr_equal(va, r.va + 2 * PAGE);
	assert_int_equal(prot, IOAS_READ);
	assert_int_equal(ioas_window_revoke(r.q, window, &slot, 1), 0);
	assert_int_equal(ioas_window_destroy(window), 0);
	rig_stop(&r);
}

/*
 * A slot may be granted again at once, also while its invalidation is pending: its translation is
 * the same as before. Those that are not granted again are gone no later than they would be.
 */
static void grant_again_at_once(void **state)
{
	struct ioas_opts opts = opts_of(*state);
	struct ioas_window *window;
	uint32_t slots[8] = { 3, 4, 5, 6, 20, 21, 22, 40 };
	struct rig r;

	rig_open(&r, NULL);
	if (opts.mode == IOAS_BATCHED)
		opts.batch_ns = UINT64_C(60000000000);
	rig_space(&r, &opts);
	window = window_new(&r, r.va, 64 * PAGE, PAGE, 0);
	for (unsigned int round = 0; round < 300; round++) {
		unsigned int first = round % 8, count = 1 + round % (8 - first);

		assert_int_equal(ioas_window_grant(r.q, window, slots, 8), 0);
		for (unsigned int i = 0; i < 8; i++)
			assert_true(writes(&r, ioas_window_iova(window) + slots[i] * PAGE,
					   r.va + slots[i] * PAGE));
		assert_int_equal(ioas_window_revoke(r.q, window, slots, 8), 0);
		assert_int_equal(ioas_window_grant(r.q, window, slots + first, count), 0);
		for (unsigned int i = first; i < first + count; i++)
			assert_true(writes(&r, ioas_window_iova(window) + slots[i] * PAGE,
					   r.va + slots[i] * PAGE));
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < 8; i++) {
			ioas_iova_t iova = ioas_window_iova(window) + slots[i] * PAGE;

			if (i < first || i >= first + count)
				assert_true(refused(&r, iova, PAGE));
			else
				assert_true(writes(&r, iova, r.va + slots[i] * PAGE));
		}
		/* And those that were are gone when they are revoked in their turn. */
		assert_int_equal(ioas_window_revoke(r.q, window, slots + first, count), 0);
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < 8; i++)
			assert_true(refused(&r, ioas_window_iova(window) + slots[i] * PAGE, PAGE));
		drain_faults(&r);
	}
	assert_int_equal(ioas_window_destroy(window), 0);
	rig_stop(&r);
}

/* Windows do not keep 2 MiB to themselves: small ones and fixed maps lie side by side. */
static void side_by_side(void **state)
{
	struct ioas_window *windows[3];
	ioas_iova_t iova = GIB(5) + 40 * PAGE, inside;
	uint32_t slot = 1;
	struct rig r;

	rig_start(&r, *state, NULL);
	windows[0] = window_new(&r, r.va, 16 * PAGE, PAGE, GIB(5));
	windows[1] = window_new(&r, r.va + 16 * PAGE, 16 * PAGE, 2 * PAGE, GIB(5) + 16 * PAGE);
	windows[2] = window_new(&r, r.va + 508 * PAGE, 8 * PAGE, PAGE, GIB(5) + 508 * PAGE);
	assert_int_equal(ioas_map(r.q, r.va + MIB(3), 8 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
			 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(ioas_window_grant(r.q, windows[i], &slot, 1), 0);
	assert_true(writes(&r, GIB(5) + PAGE, r.va + PAGE));
	assert_true(reaches(&r, GIB(5) + 18 * PAGE, r.va + 18 * PAGE, 2 * PAGE));
	assert_true(writes(&r, GIB(5) + 509 * PAGE, r.va + 509 * PAGE));
	assert_true(reaches(&r, iova, r.va + MIB(3), 8 * PAGE));
	assert_true(refused(&r, GIB(5), PAGE));
	assert_true(refused(&r, GIB(5) + 2 * PAGE, 16 * PAGE));
	assert_true(refused(&r, GIB(5) + 20 * PAGE, 20 * PAGE));

	/* Inside a window, whether its slot is granted or not, and across its ends. */
	for (unsigned int page = 0; page < 32; page++) {
		inside = GIB(5) + page * PAGE;
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &inside),
				 -EEXIST);
	}
	inside = GIB(5) + 31 * PAGE;
	assert_int_equal(ioas_map(r.q, r.va, 4 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &inside), -EEXIST);
	assert_true(queue_says(r.q, "window") || queue_says(r.q, "iova"));
	inside = GIB(5) - 2 * PAGE;
	assert_int_equal(ioas_map(r.q, r.va, 4 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &inside), -EEXIST);
	assert_int_equal(ioas_map(r.q, r.va, 2 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &inside), 0);
	assert_true(reaches(&r, inside, r.va, 2 * PAGE));
	assert_int_equal(ioas_unmap(r.q, inside, 2 * PAGE), 0);
	assert_int_equal(ioas_flush(r.q), 0);
	assert_true(refused(&r, GIB(5), PAGE));

	/* A slot is no mapping. */
	assert_int_not_equal(ioas_unmap(r.q, GIB(5) + PAGE, PAGE), 0);
	assert_true(writes(&r, GIB(5) + PAGE, r.va + PAGE));

	/* The middle window goes: its place is free, the neighbours stay. */
	assert_int_equal(ioas_window_revoke(r.q, windows[1], &slot, 1), 0);
	assert_int_equal(ioas_window_destroy(windows[1]), 0);
	inside = GIB(5) + 16 * PAGE;
	assert_int_equal(ioas_map(r.q, r.va + MIB(2), 16 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &inside),
			 0);
	assert_true(reaches(&r, inside, r.va + MIB(2), 16 * PAGE));
	assert_true(writes(&r, GIB(5) + PAGE, r.va + PAGE));
	assert_true(reaches(&r, iova, r.va + MIB(3), 8 * PAGE));
	assert_int_equal(ioas_unmap(r.q, inside, 16 * PAGE), 0);
	assert_int_equal(ioas_unmap(r.q, iova, 8 * PAGE), 0);
	for (unsigned int i = 0; i < 3; i += 2) {
		assert_int_equal(ioas_window_revoke(r.q, windows[i], &slot, 1), 0);
		assert_int_equal(ioas_window_destroy(windows[i]), 0);
	}
	rig_stop(&r);
}

/* IOVA = VA, in pieces of any size of one memory, as a mempool of DPDK makes them. */
static void identity_windows(void **state)
{
	static const unsigned int pages[] = { 1, 7, 24, 480, 3, 509 };
	struct ioas_window *windows[6];
	ioas_iova_t iova;
	uint8_t *va;
	struct rig r;

	rig_start(&r, *state, NULL);
	for (unsigned int round = 0; round < 3; round++) {
		va = r.va;
		for (unsigned int i = 0; i < 6; va += pages[i++] * PAGE)
			windows[i] = identity_new(&r, va, pages[i] * PAGE, PAGE);
		va = r.va;
		for (unsigned int i = 0; i < 6; va += pages[i++] * PAGE) {
			uint32_t slot = pages[i] - 1;
			uint8_t *page = va + slot * PAGE;

			assert_true(refused(&r, (uintptr_t)va, pages[i] * PAGE));
			assert_int_equal(ioas_window_grant(r.q, windows[i], &slot, 1), 0);
			assert_true(writes(&r, (uintptr_t)page, page));
			if (slot)
				assert_true(refused(&r, (uintptr_t)va, slot * PAGE));
			assert_int_equal(
				ioas_map(r.q, va, PAGE, IOAS_RW | IOAS_MAP_IDENTITY, &iova),
				-EEXIST);
			assert_int_equal(ioas_window_revoke(r.q, windows[i], &slot, 1), 0);
			drain_faults(&r);
		}
		for (unsigned int i = 0; i < 6; i++)
			assert_int_equal(ioas_window_destroy(windows[i]), 0);
	}
	rig_stop(&r);
}

/* What a window owned can be owned by the next at once, with other memory. */
static void destroy_and_create_again(void **state)
{
	struct ioas_opts opts = opts_of(*state);
	struct ioas_window *window;
	ioas_iova_t iova;
	uint32_t slot = 2;
	struct rig r;

	rig_open(&r, NULL);
	if (opts.mode == IOAS_BATCHED)
		opts.batch_ns = UINT64_C(60000000000);
	rig_space(&r, &opts);
	for (unsigned int round = 0; round < 200; round++) {
		uint8_t *va = r.va + (round & 1 ? MIB(2) : 0);

		window = window_new(&r, va, 8 * PAGE, PAGE, GIB(6));
		assert_int_equal(ioas_window_grant(r.q, window, &slot, 1), 0);
		assert_true(writes(&r, GIB(6) + 2 * PAGE, va + 2 * PAGE));
		assert_int_equal(ioas_window_destroy(window), -EBUSY);
		assert_true(writes(&r, GIB(6) + 2 * PAGE, va + 2 * PAGE));
		assert_int_equal(ioas_window_revoke(r.q, window, &slot, 1), 0);
		assert_int_equal(ioas_window_destroy(window), 0);
		/* Its destruction has waited for the invalidation. */
		assert_true(refused(&r, GIB(6) + 2 * PAGE, PAGE));
		drain_faults(&r);
		if (round % 4 == 3) { /* and mappings may follow, of large leaves too */
			iova = GIB(6);
			assert_int_equal(
				ioas_map(r.q, r.va, MIB(2), IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
			assert_true(reaches(&r, iova, r.va, 8 * PAGE));
			assert_int_equal(ioas_unmap(r.q, iova, MIB(2)), 0);
		}
	}
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		USER_FLAVOURS(grant_and_revoke),
		USER_FLAVOURS(large_slots),
		USER_FLAVOURS(read_only),
		USER_FLAVOURS(grant_again_at_once),
		USER_FLAVOURS(side_by_side),
		USER_FLAVOURS(identity_windows),
		USER_FLAVOURS(destroy_and_create_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
