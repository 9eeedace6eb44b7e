/* SPDX-License-Identifier: BSD-3-Clause */
/* Address spaces: what can be made of which options, what they keep to, and when they go. */
#include "rig.h"

static int create(struct ioas_ctx *ctx, const struct ioas_opts *opts)
{
	struct ioas *as;
	int ret = ioas_create(ctx, opts, &as);

	if (!ret)
		assert_int_equal(ioas_destroy(as), 0);
	return ret;
}

static void kinds(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	struct ioas_opts opts = { .size = sizeof(opts) };
	struct ioas *as;

	(void)state;
	for (int kind = 0; kind < 8; kind++) {
		opts.kind = kind;
		if (kind < IOAS_KIND_KERNEL || kind > IOAS_KIND_PASSTHROUGH) {
			assert_int_equal(create(ctx, &opts), -EINVAL);
			assert_true(ctx_says(ctx, "kind"));
		} else if (kind == IOAS_KIND_CPU || kind == IOAS_KIND_VM) {
			assert_int_equal(create(ctx, &opts), -EOPNOTSUPP);
			assert_true(ctx_says(ctx, "kind"));
		} else {
			assert_int_equal(ioas_create(ctx, &opts, &as), 0);
			assert_int_equal(ioas_get_kind(as), kind);
			assert_int_equal(ioas_get_mode(as), IOAS_STRICT);
			assert_int_equal(ioas_destroy(as), 0);
		}
	}
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void formats(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_USER };
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas *as;

	(void)state;
	assert_int_equal(ioas_ctx_caps(ctx, &caps), 0);
	assert_int_equal(ioas_create(ctx, &opts, &as), 0);
	assert_true(caps.user_formats & 1 << ioas_get_format(as)); /* its first choice */
	assert_int_not_equal(ioas_get_format(as), IOAS_FORMAT_NONE);
	assert_int_equal(ioas_destroy(as), 0);
	for (int format = IOAS_FORMAT_X86_64_L4; format < IOAS_FORMAT_COUNT; format++) {
		opts.format = format;
		if (caps.user_formats & 1 << format) {
			assert_int_equal(ioas_create(ctx, &opts, &as), 0);
			assert_int_equal(ioas_get_format(as), format);
			assert_int_equal(ioas_destroy(as), 0);
		} else {
			assert_int_equal(create(ctx, &opts), -EOPNOTSUPP);
			assert_true(ctx_says(ctx, "format"));
		}
	}
	opts.format = 99;
	assert_int_equal(create(ctx, &opts), -EINVAL);
	assert_true(ctx_says(ctx, "format"));
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void modes(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	struct ioas_opts opts = opts_of(&batched_flavour);
	struct ioas *as;
	int ret;

	(void)state;
	assert_int_equal(ioas_create(ctx, &opts, &as), 0);
	assert_int_equal(ioas_get_mode(as), IOAS_BATCHED);
	assert_int_equal(ioas_destroy(as), 0);
	opts.mode = 2;
	assert_int_equal(create(ctx, &opts), -EINVAL);
	assert_true(ctx_says(ctx, "mode"));
	opts.mode = IOAS_BATCHED;
	opts.format = IOAS_FORMAT_NONE;
	for (unsigned int i = 0; i < 2; i++) {
		opts.kind = i ? IOAS_KIND_KERNEL : IOAS_KIND_PASSTHROUGH;
		ret = create(ctx, &opts);
		assert_true(ret == -EINVAL || ret == -EOPNOTSUPP);
		assert_true(ctx_says(ctx, "BATCHED"));
	}
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void batch_limits(void **state)
{
	static const struct {
		uint32_t max;
		uint64_t ns;
		int ret;
		const char *word;
	} cases[] = {
		{ 0, 0, 0, NULL },
		{ 1, 100000, 0, NULL },
		{ 4096, UINT64_C(3600000000000), 0, NULL },
		{ 4097, 0, -EINVAL, "batch_max" },
		{ UINT32_MAX, 0, -EINVAL, "batch_max" },
		{ 0, 99999, -EINVAL, "batch_ns" },
		{ 0, 1, -EINVAL, "batch_ns" },
	};
	struct ioas_ctx *ctx = ctx_new(NULL);

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ioas_opts opts = opts_of(&batched_flavour);

		opts.batch_max = cases[i].max;
		opts.batch_ns = cases[i].ns;
		assert_int_equal(create(ctx, &opts), cases[i].ret);
		if (cases[i].word)
			assert_true(ctx_says(ctx, cases[i].word));
	}
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void sizes(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	struct {
		struct ioas_opts opts;
		uint64_t tail;
	} later = { .opts = opts_of(&user_flavour), .tail = 1 };
	int ret;

	(void)state;
	assert_int_equal(create(ctx, &later.opts), 0);
	later.opts.size = sizeof(later);
	ret = create(ctx, &later.opts);
	assert_true(ret == -E2BIG || ret == -EINVAL);
	later.opts.size = 0;
	assert_int_equal(create(ctx, &later.opts), -EINVAL);
	assert_true(ctx_says(ctx, "size"));
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

/* The default aperture: from 1 MiB to the end of the table, and all of it works. */
static void default_aperture(void **state)
{
	const struct flavour *flavour = *state;
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas_range aperture;
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, flavour, NULL);
	assert_int_equal(ioas_ctx_caps(r.ctx, &caps), 0);
	aperture = ioas_get_aperture(r.as);
	printf("# 0x%lx to 0x%lx\n", aperture.start, aperture.last);
	assert_int_equal(aperture.start, MIB(1));
	assert_int_equal((aperture.last + 1) % PAGE, 0);
	if (flavour->kind == IOAS_KIND_KERNEL)
		assert_int_equal(aperture.last, caps.iova.last);
	else
		assert_true(aperture.last >= (UINT64_C(1) << 47) - 1);

	for (unsigned int i = 0; i < 2; i++) {
		iova = i ? aperture.last + 1 - PAGE : aperture.start;
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		assert_true(reaches(&r, iova, r.va, PAGE));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	}
	iova = aperture.start - PAGE;
	assert_int_equal(ioas_map(r.q, r.va, 2 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), -ERANGE);
	iova = aperture.last + 1 - PAGE;
	assert_int_equal(ioas_map(r.q, r.va, 2 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), -ERANGE);
	assert_int_equal(ioas_flush(r.q), 0);
	assert_true(refused(&r, iova, PAGE));
	rig_stop(&r);
}

static void bad_apertures(void **state)
{
	static const struct ioas_range bad[] = {
		{ MIB(2), MIB(1) },
		{ MIB(2), UINT64_C(1) << 60 },
		{ UINT64_C(1) << 59, (UINT64_C(1) << 59) + MIB(4) - 1 },
		{ 1, 0 },
	};
	struct ioas_ctx *ctx = ctx_new("aperture_bits=40");

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ioas_opts opts = opts_of(*state);

		opts.aperture = bad[i];
		assert_int_equal(create(ctx, &opts), -EINVAL);
		assert_true(ctx_says(ctx, "aperture"));
	}
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

/* What the library chooses lies in the aperture and in no reserved range. */
static void aperture_and_reserved(void **state)
{
	static const struct ioas_range reserved[] = {
		{ GIB(1) + MIB(1), GIB(1) + MIB(2) - 1 },
		{ GIB(1) + MIB(4), GIB(1) + MIB(4) + PAGE - 1 },
		{ GIB(1) + MIB(6) + 16, GIB(1) + MIB(6) + 17 }, /* not whole pages: they go whole */
	};
	struct ioas_opts opts = opts_of(*state);
	ioas_iova_t iovas[2048], iova;
	unsigned int count = 0;
	struct rig r;
	int ret = 0;

	rig_open(&r, NULL);
	opts.aperture = (struct ioas_range){ GIB(1), GIB(1) + MIB(8) - 1 };
	opts.reserved = reserved;
	opts.reserved_count = 3;
	rig_space(&r, &opts);
	assert_int_equal(ioas_get_aperture(r.as).start, opts.aperture.start);
	assert_int_equal(ioas_get_aperture(r.as).last, opts.aperture.last);

	while (count < 2048) {
		ret = ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova);
		if (ret)
			break;
		iovas[count++] = iova;
		assert_true(iova >= opts.aperture.start && iova + PAGE - 1 <= opts.aperture.last);
		for (unsigned int i = 0; i < 3; i++)
			assert_true(iova + PAGE - 1 < reserved[i].start || iova > reserved[i].last);
	}
	printf("# %u pages of 2048\n", count);
	assert_int_equal(ret, -ENOSPC);
	assert_true(count > 512);
	while (count--)
		assert_int_equal(ioas_unmap(r.q, iovas[count], PAGE), 0);

	/* Fixed places, in a space where nothing is the allocator's. */
	rig_drop_space(&r);
	rig_space(&r, &opts);
	for (unsigned int i = 0; i < 3; i++) {
		iova = reserved[i].start & ~(PAGE - 1);
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 -ERANGE);
		assert_true(queue_says(r.q, "reserved"));
		iova -= PAGE;
		assert_int_equal(ioas_map(r.q, r.va, 3 * PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 -ERANGE);
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		assert_true(writes(&r, iova, r.va));
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	}
	rig_stop(&r);
}

static void bad_reserved(void **state)
{
	const struct ioas_range reversed = { GIB(2), GIB(1) };
	struct ioas_opts opts = opts_of(*state);
	struct ioas_ctx *ctx = ctx_new(NULL);

	opts.reserved_count = 1;
	assert_int_equal(create(ctx, &opts), -EINVAL);
	assert_true(ctx_says(ctx, "reserved"));
	opts.reserved = &reversed;
	assert_int_equal(create(ctx, &opts), -EINVAL);
	assert_true(ctx_says(ctx, "reserved"));
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void other_contexts(void **state)
{
	struct ioas_ctx *a = ctx_new(NULL), *b = ctx_new(NULL);
	struct ioas_opts opts = opts_of(&user_flavour);
	struct ioas_dev *dev;
	struct ioas *as, *child;

	(void)state;
	as = space_new(a, &kernel_flavour);
	assert_int_equal(ioas_dev_bind(b, "nic", &dev), 0);
	assert_int_equal(ioas_attach(as, dev), -EXDEV);
	assert_int_equal(ioas_detach(dev), -ENOENT);
	opts.parent = as;
	assert_int_equal(ioas_create(b, &opts, &child), -EXDEV);
	assert_true(ctx_says(b, "parent"));
	assert_int_equal(ioas_dev_unbind(dev), 0);
	assert_int_equal(ioas_destroy(as), 0);
	assert_int_equal(ioas_ctx_close(a), 0);
	assert_int_equal(ioas_ctx_close(b), 0);
}

static void destroy_is_refused_while_in_use(void **state)
{
	struct ioas_window_opts window_opts = {
		.size = sizeof(window_opts), .prot = IOAS_RW, .bytes = PAGE, .slot_bytes = PAGE
	};
	struct ioas_window *window;
	ioas_iova_t iova;
	struct ioas *child;
	struct rig r;

	rig_start(&r, *state, NULL);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova), 0);
	assert_int_equal(ioas_queue_destroy(r.q), 0);
	assert_int_equal(ioas_destroy(r.as), -EBUSY);
	assert_true(ctx_says(r.ctx, "device"));
	assert_true(writes(&r, iova, r.va)); /* nothing is changed */
	r.q = queue_new(r.as);
	assert_int_equal(ioas_detach(r.dev), 0);
	assert_int_equal(ioas_destroy(r.as), -EBUSY);
	assert_true(ctx_says(r.ctx, "queue"));
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	assert_int_equal(ioas_queue_destroy(r.q), 0);
	if (ioas_get_kind(r.as) == IOAS_KIND_USER) {
		window_opts.va = r.va;
		assert_int_equal(ioas_window_create(r.as, &window_opts, &window), 0);
		assert_int_equal(ioas_destroy(r.as), -EBUSY);
		assert_true(ctx_says(r.ctx, "window"));
		assert_int_equal(ioas_window_destroy(window), 0);
	} else {
		struct ioas_opts opts = opts_of(&user_flavour);

		opts.parent = r.as;
		assert_int_equal(ioas_create(r.ctx, &opts, &child), 0);
		assert_int_equal(ioas_destroy(r.as), -EBUSY);
		assert_true(ctx_says(r.ctx, "child"));
		assert_int_equal(ioas_destroy(child), 0);
	}
	assert_int_equal(ioas_destroy(r.as), 0);
	rig_close(&r);
}

/* A space that goes takes its mappings along, and holds no memory busy any more. */
static void destroy_takes_mappings_along(void **state)
{
	ioas_iova_t iova;
	struct rig r;

	rig_open(&r, NULL);
	for (unsigned int i = 0; i < 20; i++) {
		struct ioas_opts opts = opts_of(*state);

		rig_space(&r, &opts);
		assert_int_equal(ioas_map(r.q, r.va, MIB(2), IOAS_RW, &iova), 0);
		assert_int_equal(ioas_map(r.q, r.va + PAGE, 3 * PAGE, IOAS_RW, &iova), 0);
		assert_true(reaches(&r, iova, r.va + PAGE, 3 * PAGE));
		rig_drop_space(&r);
		assert_int_equal(ioas_mem_free(r.mem), 0);
		assert_int_equal(ioas_mem_register(r.ctx, r.va, RIG_BYTES, &r.mem), 0);
	}
	assert_int_equal(stats_of(r.ctx).table_bytes, 0);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(formats),
		cmocka_unit_test(modes),
		cmocka_unit_test(batch_limits),
		cmocka_unit_test(sizes),
		ALL_FLAVOURS(default_aperture),
		TEST_OF(bad_apertures, kernel),
		TEST_OF(bad_apertures, user),
		TEST_OF(bad_apertures, user5),
		ALL_FLAVOURS(aperture_and_reserved),
		TEST_OF(bad_reserved, kernel),
		TEST_OF(bad_reserved, user),
		cmocka_unit_test(other_contexts),
		ALL_FLAVOURS(destroy_is_refused_while_in_use),
		ALL_FLAVOURS(destroy_takes_mappings_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
