/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is legal on which kind is data, and the calls keep to it: each operation is tried on an
 * address space of each kind, and answers "not supported" exactly where its bit is missing.
 */
#include "rig.h"

static const struct flavour passthrough_flavour = { "PASSTHROUGH", IOAS_KIND_PASSTHROUGH,
						    IOAS_STRICT, IOAS_FORMAT_NONE };

static bool allows(enum ioas_kind kind, uint32_t ops)
{
	return (ioas_kind_ops(kind) & ops) == ops;
}

static bool forbids(enum ioas_kind kind, uint32_t ops)
{
	return !(ioas_kind_ops(kind) & ops);
}

static void operations_as_data(void **state)
{
	(void)state;
	assert_true(allows(IOAS_KIND_KERNEL, IOAS_OP_MAP | IOAS_OP_MAP_FIXED | IOAS_OP_UNMAP |
						     IOAS_OP_TRANSLATE | IOAS_OP_PARENT |
						     IOAS_OP_ATTACH));
	assert_true(forbids(IOAS_KIND_KERNEL, IOAS_OP_WINDOW | IOAS_OP_INVALIDATE));
	assert_true(allows(IOAS_KIND_USER, IOAS_OP_MAP | IOAS_OP_MAP_FIXED | IOAS_OP_UNMAP |
						   IOAS_OP_WINDOW | IOAS_OP_LOOKUP |
						   IOAS_OP_INVALIDATE | IOAS_OP_ATTACH));
	assert_true(forbids(IOAS_KIND_USER, IOAS_OP_TRANSLATE | IOAS_OP_PARENT));
	assert_true(allows(IOAS_KIND_PASSTHROUGH, IOAS_OP_TRANSLATE | IOAS_OP_ATTACH));
	assert_true(forbids(IOAS_KIND_PASSTHROUGH, IOAS_OP_MAP | IOAS_OP_MAP_FIXED | IOAS_OP_UNMAP |
							   IOAS_OP_WINDOW | IOAS_OP_INVALIDATE));
	assert_int_not_equal(ioas_kind_ops(IOAS_KIND_CPU), 0);
	assert_int_not_equal(ioas_kind_ops(IOAS_KIND_VM), 0);
	assert_int_equal(ioas_kind_ops(0), 0);
	assert_int_equal(ioas_kind_ops(6), 0);
	assert_int_equal(ioas_kind_ops(31), 0);
	assert_int_equal(ioas_kind_ops(-1), 0);
}

static void names(void **state)
{
	(void)state;
	for (int i = IOAS_KIND_KERNEL; i <= IOAS_KIND_PASSTHROUGH; i++) {
		assert_true(strlen(ioas_kind_name(i)) > 0);
		for (int j = i + 1; j <= IOAS_KIND_PASSTHROUGH; j++)
			assert_string_not_equal(ioas_kind_name(i), ioas_kind_name(j));
	}
	for (int i = IOAS_FORMAT_NONE; i < IOAS_FORMAT_COUNT; i++) {
		assert_true(strlen(ioas_format_name(i)) > 0);
		for (int j = i + 1; j < IOAS_FORMAT_COUNT; j++)
			assert_string_not_equal(ioas_format_name(i), ioas_format_name(j));
	}
}

/* What the kind's row says of @op, and what the call answered. */
static void agrees(struct rig *r, uint32_t op, int ret)
{
	if (ioas_kind_ops(ioas_get_kind(r->as)) & op)
		assert_int_not_equal(ret, -EOPNOTSUPP);
	else
		assert_int_equal(ret, -EOPNOTSUPP);
}

static void calls_agree_with_data(void **state)
{
	struct ioas_window_opts window_opts = {
		.size = sizeof(window_opts), .prot = IOAS_RW, .bytes = MIB(2), .slot_bytes = PAGE
	};
	struct ioas_window *window;
	struct ioas_seg seg = { .bytes = PAGE };
	ioas_iova_t iova = 0;
	size_t bytes = PAGE;
	struct ioas *child;
	struct rig r;
	void *va;
	int ret;

	rig_start(&r, *state, NULL);
	window_opts.va = seg.va = r.va;
	ret = ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova);
	agrees(&r, IOAS_OP_MAP, ret);
	agrees(&r, IOAS_OP_LOOKUP, ioas_lookup(r.q, ret ? (uintptr_t)r.va : iova, &va, NULL));
	agrees(&r, IOAS_OP_TRANSLATE, ioas_translate(r.q, r.va, &bytes, &seg.iova));
	agrees(&r, IOAS_OP_UNMAP, ioas_unmap(r.q, iova, PAGE));
	seg.iova = 0;
	ret = ioas_map_batch(r.q, &seg, 1, IOAS_RW);
	agrees(&r, IOAS_OP_MAP, ret);
	agrees(&r, IOAS_OP_UNMAP, ioas_unmap_batch(r.q, &seg, 1));
	iova = GIB(5);
	agrees(&r, IOAS_OP_MAP_FIXED, ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova));
	agrees(&r, IOAS_OP_UNMAP, ioas_unmap(r.q, iova, PAGE));
	agrees(&r, IOAS_OP_MAP_FIXED,
	       ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_IDENTITY, &iova));
	agrees(&r, IOAS_OP_UNMAP, ioas_unmap(r.q, (uintptr_t)r.va, PAGE));
	ret = ioas_window_create(r.as, &window_opts, &window);
	agrees(&r, IOAS_OP_WINDOW, ret);
	if (!ret)
		assert_int_equal(ioas_window_destroy(window), 0);

	/* Parents: the error for a wrong one is the field's, not "not supported". */
	ret = ioas_create(r.ctx,
			  &(struct ioas_opts){ .size = sizeof(struct ioas_opts),
					       .kind = IOAS_KIND_USER,
					       .parent = r.as },
			  &child);
	assert_int_equal(!ret, !!(ioas_kind_ops(ioas_get_kind(r.as)) & IOAS_OP_PARENT));
	if (!ret)
		assert_int_equal(ioas_destroy(child), 0);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_as_data),
		cmocka_unit_test(names),
		TEST_OF(calls_agree_with_data, kernel),
		TEST_OF(calls_agree_with_data, user),
		TEST_OF(calls_agree_with_data, batched),
		TEST_OF(calls_agree_with_data, passthrough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
