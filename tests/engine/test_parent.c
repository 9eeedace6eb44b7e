/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A USER space over a parent of the caller's: the parent bounds what its children can reach,
 * whatever their tables hold (I5).
 */
#include "rig.h"

struct family {
	struct rig r; /* r.as, r.q: the child, with the device on it */
	struct ioas *parent;
	struct ioas_queue *pq;
};

static void family_start(struct family *f, const struct flavour *flavour)
{
	struct ioas_opts opts = opts_of(flavour);

	rig_open(&f->r, NULL);
	f->parent = space_new(f->r.ctx, &kernel_flavour);
	f->pq = queue_new(f->parent);
	opts.parent = f->parent;
	rig_space(&f->r, &opts);
	assert_ptr_equal(ioas_get_parent(f->r.as), f->parent);
}

static void family_stop(struct family *f)
{
	rig_drop_space(&f->r);
	assert_int_equal(ioas_queue_destroy(f->pq), 0);
	assert_int_equal(ioas_destroy(f->parent), 0);
	rig_close(&f->r);
}

/* At a parent address that is not the virtual one: the child's leaves hold the former. */
static void maps_through_the_parent(void **state)
{
	ioas_iova_t pages[3] = { GIB(7), GIB(9), 0 }, iova;
	struct family f;

	family_start(&f, *state);
	assert_int_equal(ioas_map(f.pq, f.r.va, MIB(1), IOAS_RW | IOAS_MAP_FIXED, &pages[0]), 0);
	assert_int_equal(
		ioas_map(f.pq, f.r.va + MIB(2), MIB(2), IOAS_RW | IOAS_MAP_FIXED, &pages[1]), 0);
	for (unsigned int i = 0; i < 100; i++) {
		uint8_t *va = f.r.va + (i & 1 ? MIB(2) : 0) + i % 50 * PAGE;

		assert_int_equal(ioas_map(f.r.q, va, 3 * PAGE, IOAS_RW, &iova), 0);
		assert_true(reaches(&f.r, iova, va, 3 * PAGE));
		assert_int_equal(ioas_unmap(f.r.q, iova, 3 * PAGE), 0);
		assert_int_equal(ioas_flush(f.r.q), 0);
		assert_true(refused(&f.r, iova, 3 * PAGE));
	}
	assert_int_equal(ioas_unmap(f.pq, pages[0], MIB(1)), 0);
	assert_int_equal(ioas_unmap(f.pq, pages[1], MIB(2)), 0);
	family_stop(&f);
}

/* Two pieces of memory that are neighbours here and not in the parent: one mapping all the same. */
static void pieces_of_the_parent(void **state)
{
	ioas_iova_t low = GIB(9), high = GIB(7), iova;
	struct family f;

	family_start(&f, *state);
	assert_int_equal(ioas_map(f.pq, f.r.va, MIB(2), IOAS_RW | IOAS_MAP_FIXED, &low), 0);
	assert_int_equal(ioas_map(f.pq, f.r.va + MIB(2), MIB(2), IOAS_RW | IOAS_MAP_FIXED, &high),
			 0);
	assert_int_equal(ioas_map(f.r.q, f.r.va + MIB(2) - 2 * PAGE, 4 * PAGE, IOAS_RW, &iova), 0);
	assert_true(reaches(&f.r, iova, f.r.va + MIB(2) - 2 * PAGE, 4 * PAGE));
	assert_int_equal(ioas_unmap(f.r.q, iova, 4 * PAGE), 0);
	assert_int_equal(ioas_unmap(f.pq, low, MIB(2)), 0);
	assert_int_equal(ioas_unmap(f.pq, high, MIB(2)), 0);
	family_stop(&f);
}

static void stops_what_it_does_not_map(void **state)
{
	ioas_iova_t parent_iova = GIB(7), iova;
	struct family f;
	int ret;

	family_start(&f, *state);
	assert_int_equal(ioas_map(f.pq, f.r.va, MIB(1), IOAS_RW | IOAS_MAP_FIXED, &parent_iova), 0);
	/* Registered, and not in the parent: refused here or by the parent stage. */
	ret = ioas_map(f.r.q, f.r.va + MIB(2), PAGE, IOAS_RW, &iova);
	if (!ret) {
		assert_int_equal(reason_of(&f.r, iova, IOAS_WRITE), IOAS_FAULT_PARENT);
		assert_int_equal(ioas_unmap(f.r.q, iova, PAGE), 0);
	}
	ret = ioas_map(f.r.q, f.r.va + MIB(1) - PAGE, 2 * PAGE, IOAS_RW, &iova);
	if (!ret) {
		assert_int_equal(reason_of(&f.r, iova + PAGE, IOAS_WRITE), IOAS_FAULT_PARENT);
		assert_int_equal(ioas_unmap(f.r.q, iova, 2 * PAGE), 0);
	}
	assert_int_equal(ioas_unmap(f.pq, parent_iova, MIB(1)), 0);
	family_stop(&f);
}

/* The parent takes memory away under a live mapping of the child. */
static void takes_away(void **state)
{
	ioas_iova_t parent_iova = GIB(7), iova;
	struct family f;
	int ret;

	family_start(&f, *state);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(
			ioas_map(f.pq, f.r.va, MIB(1), IOAS_RW | IOAS_MAP_FIXED, &parent_iova), 0);
		assert_int_equal(ioas_map(f.r.q, f.r.va, PAGE, IOAS_RW, &iova), 0);
		assert_true(reaches(&f.r, iova, f.r.va, PAGE));
		ret = ioas_unmap(f.pq, parent_iova, MIB(1));
		if (ret) { /* held by the child */
			assert_int_equal(ret, -EBUSY);
			assert_true(reaches(&f.r, iova, f.r.va, PAGE));
		} else {
			assert_int_equal(reason_of(&f.r, iova, IOAS_WRITE), IOAS_FAULT_PARENT);
			assert_int_equal(reason_of(&f.r, iova, IOAS_READ), IOAS_FAULT_PARENT);
		}
		assert_int_equal(ioas_unmap(f.r.q, iova, PAGE), 0);
		assert_int_equal(ioas_flush(f.r.q), 0);
		if (ret)
			assert_int_equal(ioas_unmap(f.pq, parent_iova, MIB(1)), 0);
	}
	family_stop(&f);
}

static void rights_of_the_parent(void **state)
{
	ioas_iova_t parent_iova = GIB(7), iova;
	uint64_t word = 5;
	struct family f;
	int ret;

	family_start(&f, *state);
	assert_int_equal(ioas_map(f.pq, f.r.va, MIB(1), IOAS_READ | IOAS_MAP_FIXED, &parent_iova),
			 0);
	ret = ioas_map(f.r.q, f.r.va, PAGE, IOAS_RW, &iova);
	if (!ret) {
		word_set(f.r.va, 7);
		assert_int_equal(ioas_soft_dma_write(f.r.dev, iova, &word, 8), -EFAULT);
		assert_int_equal(word_at(f.r.va), 7);
		assert_int_equal(ioas_unmap(f.r.q, iova, PAGE), 0);
	}
	drain_faults(&f.r);
	assert_int_equal(ioas_map(f.r.q, f.r.va, PAGE, IOAS_READ, &iova), 0);
	assert_true(reads(&f.r, iova, f.r.va));
	assert_int_equal(ioas_unmap(f.r.q, iova, PAGE), 0);
	assert_int_equal(ioas_unmap(f.pq, parent_iova, MIB(1)), 0);
	family_stop(&f);
}

/* Children of one parent know nothing of each other. */
static void siblings(void **state)
{
	ioas_iova_t parent_iova, iova = GIB(3);
	struct ioas_dev *dev;
	struct ioas_queue *q;
	struct ioas *sibling;
	struct ioas_opts opts = opts_of(*state);
	struct family f;

	family_start(&f, *state);
	opts.parent = f.parent;
	assert_int_equal(ioas_create(f.r.ctx, &opts, &sibling), 0);
	q = queue_new(sibling);
	assert_int_equal(ioas_dev_bind(f.r.ctx, "other", &dev), 0);
	assert_int_equal(ioas_attach(sibling, dev), 0);
	assert_int_equal(ioas_map(f.pq, f.r.va, RIG_BYTES, IOAS_RW, &parent_iova), 0);
	for (unsigned int i = 0; i < 100; i++) {
		struct ioas_dev *own = f.r.dev;

		assert_int_equal(ioas_map(f.r.q, f.r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		assert_int_equal(ioas_map(q, f.r.va + PAGE, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
				 0);
		assert_true(writes(&f.r, iova, f.r.va));
		f.r.dev = dev;
		assert_true(writes(&f.r, iova, f.r.va + PAGE));
		f.r.dev = own;
		assert_int_equal(ioas_unmap(f.r.q, iova, PAGE), 0);
		assert_int_equal(ioas_flush(f.r.q), 0);
		assert_true(refused(&f.r, iova, PAGE));
		f.r.dev = dev;
		assert_true(writes(&f.r, iova, f.r.va + PAGE));
		f.r.dev = own;
		assert_int_equal(ioas_unmap(q, iova, PAGE), 0);
	}
	assert_int_equal(ioas_unmap(f.pq, parent_iova, RIG_BYTES), 0);
	assert_int_equal(ioas_detach(dev), 0);
	assert_int_equal(ioas_dev_unbind(dev), 0);
	assert_int_equal(ioas_queue_destroy(q), 0);
	assert_int_equal(ioas_destroy(sibling), 0);
	family_stop(&f);
}

static void wrong_parents(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	struct ioas *user, *pass, *kernel, *child;
	struct ioas_opts opts = opts_of(&user_flavour);

	(void)state;
	user = space_new(ctx, &user_flavour);
	pass = space_new(ctx, &(struct flavour){ .kind = IOAS_KIND_PASSTHROUGH });
	kernel = space_new(ctx, &kernel_flavour);
	opts.parent = user;
	assert_int_equal(ioas_create(ctx, &opts, &child), -EINVAL);
	assert_true(ctx_says(ctx, "parent"));
	opts.parent = pass;
	assert_int_equal(ioas_create(ctx, &opts, &child), -EINVAL);
	assert_true(ctx_says(ctx, "parent"));
	opts = opts_of(&kernel_flavour);
	opts.parent = kernel;
	assert_int_equal(ioas_create(ctx, &opts, &child), -EINVAL);
	assert_true(ctx_says(ctx, "parent"));
	assert_null(ioas_get_parent(kernel));
	assert_int_equal(ioas_destroy(user), 0);
	assert_int_equal(ioas_destroy(pass), 0);
	assert_int_equal(ioas_destroy(kernel), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		USER_FLAVOURS(maps_through_the_parent),	   USER_FLAVOURS(pieces_of_the_parent),
		USER_FLAVOURS(stops_what_it_does_not_map), USER_FLAVOURS(takes_away),
		USER_FLAVOURS(rights_of_the_parent),	   USER_FLAVOURS(siblings),
		cmocka_unit_test(wrong_parents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
