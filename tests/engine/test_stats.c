/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters say what the calls asked for and what that cost. */
#include "rig.h"

#define FOREVER_NS UINT64_C(3600000000000)

/* What a piece of work added. */
static struct ioas_stats since(struct rig *r, const struct ioas_stats *before)
{
	struct ioas_stats now = stats_of(r->ctx);
	const uint64_t *from = &before->maps;
	uint64_t *to = &now.maps;

	/* The counters; bytes_pinned and table_bytes are not sums and stay. */
	for (size_t i = 0;
	     i < (offsetof(struct ioas_stats, bytes_pinned) - offsetof(struct ioas_stats, maps)) /
			 sizeof(uint64_t);
	     i++)
		to[i] -= from[i];
	return now;
}

static void start_at_zero(void **state)
{
	struct ioas_stats stats;
	struct ioas_ctx *ctx = ctx_new(NULL);
	const uint64_t *value = &stats.maps;

	(void)state;
	stats = stats_of(ctx);
	for (; value <= &stats.table_bytes; value++)
		assert_int_equal(*value, 0);
	stats.size = 0;
	assert_int_equal(ioas_ctx_stats(ctx, &stats), -EINVAL);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

/* KERNEL: a call is a crossing, a batch is one too. */
static void kernel_tables(void **state)
{
	struct ioas_stats before, d;
	struct ioas_seg segs[200];
	ioas_iova_t iova;
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	before = stats_of(r.ctx);
	assert_int_equal(ioas_map(r.q, r.va, 3 * PAGE, IOAS_RW, &iova), 0);
	d = since(&r, &before);
	assert_int_equal(d.maps, 1);
	assert_int_equal(d.map_crossings, 1);
	assert_int_equal(ioas_unmap(r.q, iova, 3 * PAGE), 0);
	d = since(&r, &before);
	assert_int_equal(d.unmaps, 1);
	assert_int_equal(d.unmap_crossings, 1);

	before = stats_of(r.ctx);
	for (unsigned int i = 0; i < 200; i++)
		segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, 0 };
	assert_int_equal(ioas_map_batch(r.q, segs, 200, IOAS_RW), 200);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 200), 200);
	d = since(&r, &before);
	assert_int_equal(d.maps, 200);
	assert_int_equal(d.unmaps, 200);
	assert_int_equal(d.map_crossings, 1);
	assert_int_equal(d.unmap_crossings, 1);
	/* The kernel invalidates: none of it is ours. */
	assert_int_equal(d.inval_crossings, 0);
	assert_int_equal(d.inval_asked, 0);
	assert_int_equal(d.inval_issued, 0);
	assert_int_equal(d.commits, 0);
	rig_stop(&r);
}

/* USER, STRICT: map costs nothing, unmap one crossing, and a batch shares it. */
static void user_tables(void **state)
{
	struct ioas_stats before, d;
	struct ioas_seg segs[64];
	ioas_iova_t iova;
	struct rig r;

	(void)state;
	rig_start(&r, &user_flavour, NULL);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova), 0); /* tables are there now */
	before = stats_of(r.ctx);
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	d = since(&r, &before);
	assert_int_equal(d.unmaps, 1);
	assert_int_equal(d.unmap_crossings, 0);
	assert_int_equal(d.inval_crossings, 1);
	assert_int_equal(d.inval_asked, 1);
	assert_int_equal(d.inval_merged, 0);
	assert_int_equal(d.inval_issued, 1);
	assert_int_equal(d.commits, 1);
	assert_int_equal(d.commit_joins, 0);

	/* Neighbours merge. */
	for (unsigned int i = 0; i < 32; i++)
		segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, 0 };
	before = stats_of(r.ctx);
	assert_int_equal(ioas_map_batch(r.q, segs, 32, IOAS_RW), 32);
	d = since(&r, &before);
	assert_int_equal(d.maps, 32);
	assert_int_equal(d.map_crossings, 0);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 32), 32);
	d = since(&r, &before);
	assert_int_equal(d.unmaps, 32);
	assert_int_equal(d.unmap_crossings, 0);
	assert_int_equal(d.inval_crossings, 1);
	assert_int_equal(d.inval_asked, 32);
	assert_int_equal(d.inval_asked, d.inval_merged + d.inval_issued);
	assert_true(d.inval_merged >= 24);
	assert_int_equal(d.inval_flushes, 0);

	/* Those that are far from each other do not. */
	for (unsigned int i = 0; i < 8; i++)
		segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, GIB(1 + i) };
	assert_int_equal(ioas_map_batch(r.q, segs, 8, IOAS_RW | IOAS_MAP_FIXED), 8);
	before = stats_of(r.ctx);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 8), 8);
	d = since(&r, &before);
	assert_int_equal(d.inval_asked, 8);
	assert_int_equal(d.inval_merged, 0);
	assert_int_equal(d.inval_issued, 8);
	assert_int_equal(d.inval_crossings, 1);
	rig_stop(&r);
}

/* Many ranges apart from each other: one flush of all is cheaper, and counted. */
static void flushes(void **state)
{
	struct ioas_stats before, d;
	static struct ioas_seg segs[900];
	struct rig r;

	(void)state;
	rig_start(&r, &user_flavour, "iotlb_sets=4,iotlb_ways=4");
	for (unsigned int i = 0; i < 900; i++)
		segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, GIB(1) + 2 * i * PAGE };
	assert_int_equal(ioas_map_batch(r.q, segs, 900, IOAS_RW | IOAS_MAP_FIXED), 900);
	assert_true(writes(&r, segs[450].iova, segs[450].va));
	before = stats_of(r.ctx);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 900), 900);
	d = since(&r, &before);
	assert_int_equal(d.inval_asked, 900);
	assert_true(d.inval_flushes >= 1);
	assert_true(d.inval_issued < 900);
	assert_true(refused(&r, segs[450].iova, PAGE));
	rig_stop(&r);
}

/* BATCHED: crossings by the batch, not by the call. */
static void batched_tables(void **state)
{
	struct ioas_opts opts = opts_of(&batched_flavour);
	struct ioas_stats before, d;
	ioas_iova_t iova;
	struct rig r;

	(void)state;
	opts.batch_max = 64;
	opts.batch_ns = FOREVER_NS;
	rig_open(&r, NULL);
	rig_space(&r, &opts);
	assert_int_equal(ioas_flush(r.q), 0);
	before = stats_of(r.ctx);
	for (unsigned int i = 0; i < 640; i++) {
		assert_int_equal(ioas_map(r.q, r.va + i * PAGE, PAGE, IOAS_RW, &iova), 0);
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	}
	assert_int_equal(ioas_flush(r.q), 0);
	d = since(&r, &before);
	assert_int_equal(d.maps, 640);
	assert_int_equal(d.unmaps, 640);
	assert_int_equal(d.map_crossings, 0);
	assert_int_equal(d.unmap_crossings, 0);
	assert_true(d.inval_crossings >= 1 && d.inval_crossings <= 12);
	assert_int_equal(d.inval_asked, 640);
	assert_true(d.inval_issued + d.inval_merged <= 640);
	printf("# 640 ranges: %lu merged, %lu issued, %lu flushes, %lu crossings\n", d.inval_merged,
	       d.inval_issued, d.inval_flushes, d.inval_crossings);
	rig_stop(&r);
}

/* Scattered memory is one mapping. */
static void scattered(void **state)
{
	struct ioas_stats before, d;
	struct ioas_seg segs[10];
	ioas_iova_t iova;
	struct rig r;

	(void)state;
	rig_start(&r, &user_flavour, NULL);
	for (unsigned int i = 0; i < 10; i++)
		segs[i] = (struct ioas_seg){ r.va + 2 * i * PAGE, PAGE, 0 };
	before = stats_of(r.ctx);
	assert_int_equal(ioas_map_sg(r.q, segs, 10, IOAS_RW, &iova), 0);
	assert_int_equal(since(&r, &before).maps, 1);
	assert_int_equal(ioas_unmap(r.q, iova, 10 * PAGE), 0);
	d = since(&r, &before);
	assert_int_equal(d.unmaps, 1);
	assert_int_equal(d.inval_asked, 1);
	assert_int_equal(d.inval_issued, 1);
	rig_stop(&r);
}

/* What fails counts as nothing that was done. */
static void failures(void **state)
{
	struct ioas_stats before, d;
	struct ioas_seg segs[3];
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, NULL);
	before = stats_of(r.ctx);
	assert_int_equal(ioas_map(r.q, r.va, 1, IOAS_RW, &iova), -EINVAL);
	assert_int_equal(ioas_unmap(r.q, GIB(1), PAGE), -ENOENT);
	for (unsigned int i = 0; i < 3; i++)
		segs[i] = (struct ioas_seg){ r.va + i * PAGE, PAGE, GIB(1) };
	assert_int_equal(ioas_map_batch(r.q, segs, 3, IOAS_RW | IOAS_MAP_FIXED), -EEXIST);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 3), -ENOENT);
	d = since(&r, &before);
	assert_int_equal(d.maps, d.unmaps); /* undone, or never counted */
	assert_true(d.maps <= 1);
	rig_stop(&r);
}

/* Counters of queues and spaces that are gone stay in the sums. */
static void nothing_is_forgotten(void **state)
{
	ioas_iova_t iova;
	struct rig r;

	rig_open(&r, NULL);
	for (unsigned int i = 1; i <= 20; i++) {
		struct ioas_opts opts = opts_of(*state);

		rig_space(&r, &opts);
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova), 0);
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
		rig_drop_space(&r);
		assert_int_equal(stats_of(r.ctx).maps, i);
		assert_int_equal(stats_of(r.ctx).unmaps, i);
	}
	rig_close(&r);
}

static void memory(void **state)
{
	struct ioas_mem_opts opts = { .size = sizeof(opts),
				      .numa_node = IOAS_NUMA_ANY,
				      .bytes = 16 * PAGE,
				      .page_bytes = PAGE };
	struct ioas_mem *mem;
	uint64_t pinned, tables;
	ioas_iova_t iova;
	struct rig r;

	rig_open(&r, NULL);
	assert_int_equal(stats_of(r.ctx).bytes_pinned, RIG_BYTES);
	assert_int_equal(stats_of(r.ctx).table_bytes, 0);
	assert_int_equal(ioas_mem_alloc(r.ctx, &opts, &mem), 0);
	assert_int_equal(stats_of(r.ctx).bytes_pinned, RIG_BYTES + 16 * PAGE);
	rig_space(&r, &(struct ioas_opts){ .size = sizeof(struct ioas_opts),
					   .kind = ((const struct flavour *)*state)->kind });
	pinned = stats_of(r.ctx).bytes_pinned; /* tables are pinned too */
	assert_true(pinned >= RIG_BYTES + 16 * PAGE);
	tables = stats_of(r.ctx).table_bytes;
	assert_int_equal(tables % PAGE, 0);
	if (ioas_get_kind(r.as) == IOAS_KIND_USER) {
		iova = GIB(100) + 5 * PAGE;
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
		assert_true(stats_of(r.ctx).table_bytes > tables);
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	}
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(stats_of(r.ctx).bytes_pinned, pinned - 16 * PAGE);
	rig_drop_space(&r);
	assert_int_equal(stats_of(r.ctx).table_bytes, 0);
	rig_close(&r);
}

#define JOIN_ROUNDS 3000

static int map_and_unmap(void *arg)
{
	struct rig *r = arg;
	struct ioas_queue *q;
	ioas_iova_t iova;

	if (ioas_queue_create(r->as, &q))
		return 1;
	for (unsigned int i = 0; i < JOIN_ROUNDS; i++)
		if (ioas_map(q, r->va + i % 512 * PAGE, PAGE, IOAS_RW, &iova) ||
		    ioas_unmap(q, iova, PAGE))
			return 2;
	return ioas_queue_destroy(q) ? 3 : 0;
}

/* Group commit: each unmap is a commit of its own or joins one; nothing is lost in the counting. */
static void group_commit(void **state)
{
	struct in_thread calls[3];
	pthread_t threads[3];
	struct ioas_stats stats;
	struct rig r;

	(void)state;
	rig_start(&r, &user_flavour, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		calls[i] = (struct in_thread){ map_and_unmap, &r, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, in_thread_main, &calls[i]), 0);
	}
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(calls[i].ret, 0);
	}
	stats = stats_of(r.ctx);
	printf("# %lu unmaps: %lu commits, %lu joined, %lu crossings\n", stats.unmaps,
	       stats.commits, stats.commit_joins, stats.inval_crossings);
	assert_int_equal(stats.maps, 3 * JOIN_ROUNDS);
	assert_int_equal(stats.unmaps, 3 * JOIN_ROUNDS);
	assert_int_equal(stats.inval_asked, 3 * JOIN_ROUNDS);
	assert_true(stats.commits + stats.commit_joins >= 3 * JOIN_ROUNDS);
	assert_true(stats.commits <= 3 * JOIN_ROUNDS);
	assert_true(stats.inval_crossings >= stats.commits);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_at_zero),  cmocka_unit_test(kernel_tables),
		cmocka_unit_test(user_tables),	  cmocka_unit_test(flushes),
		cmocka_unit_test(batched_tables), cmocka_unit_test(scattered),
		ALL_FLAVOURS(failures),		  ALL_FLAVOURS(nothing_is_forgotten),
		TEST_OF(memory, kernel),	  TEST_OF(memory, user),
		cmocka_unit_test(group_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
