/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registration at scale, on a backend that does nothing: thousands of memories of every size
 * against a model, a million of them, 1 TiB in one call, and a kernel that has few entries.
 */
#include "rig.h"

#include "regions.h"

static uint64_t draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*seed >> 33) % below;
}

/* The model: who has each page of 4 GiB. */
#define SPAN  GIB(4)
#define PAGES (SPAN / PAGE)
#define LIVE  5000

struct memory {
	struct ioas_mem *mem;
	uint64_t first; /* page */
	uint64_t pages;
	bool mapped;
	ioas_iova_t iova;
};

struct model {
	struct ioas_ctx *ctx;
	struct ioas *as;
	struct ioas_queue *q;
	uint16_t *owner; /* of each page: 1 + index of the memory, or 0 */
	struct memory live[LIVE];
	unsigned int count;
	uint64_t seed;
	unsigned int refused, busy;
};

static void *at(uint64_t page)
{
	return (void *)(uintptr_t)(REGIONS_BASE + page * PAGE);
}

static void own(struct model *m, const struct memory *memory, uint16_t owner)
{
	for (uint64_t i = 0; i < memory->pages; i++)
		m->owner[memory->first + i] = owner;
}

static bool is_free(const struct model *m, const struct memory *memory)
{
	for (uint64_t i = 0; i < memory->pages; i++)
		if (m->owner[memory->first + i])
			return false;
	return true;
}

static void register_one(struct model *m)
{
	static const uint64_t units[] = { 1, 1, 1, 1, 1, 16, 16, 16, 512, GIB(1) / PAGE };
	const uint64_t unit = units[draw(&m->seed, draw(&m->seed, 50) ? 9 : 10)];
	struct memory memory = { .first = draw(&m->seed, PAGES / unit) * unit,
				 .pages = unit * (1 + draw(&m->seed, unit > 512 ? 2 : 12)) };
	const bool off = !draw(&m->seed, 4);
	int ret;

	memory.first += off;
	if (memory.first + memory.pages > PAGES)
		return;
	ret = ioas_mem_register(m->ctx, at(memory.first), memory.pages * PAGE, &memory.mem);
	if (!is_free(m, &memory)) {
		assert_int_equal(ret, -EEXIST);
		m->refused++;
		return;
	}
	assert_int_equal(ret, 0);
	memory.mapped = draw(&m->seed, 5);
	if (memory.mapped)
		assert_int_equal(ioas_map(m->q, at(memory.first), memory.pages * PAGE, IOAS_RW,
					  &memory.iova),
				 0);
	m->live[m->count] = memory;
	own(m, &memory, ++m->count);
}

static void take_away(struct model *m, unsigned int index)
{
	struct memory *memory = &m->live[index];
	struct memory *last = &m->live[m->count - 1];

	if (memory->mapped && !draw(&m->seed, 4)) {
		char text[256];

		assert_int_equal(ioas_mem_free(memory->mem), -EBUSY);
		ioas_ctx_error(m->ctx, text, sizeof(text));
		assert_non_null(strstr(text, "is mapped at IOVA"));
		m->busy++;
	}
	if (memory->mapped)
		assert_int_equal(ioas_unmap(m->q, memory->iova, memory->pages * PAGE), 0);
	assert_int_equal(ioas_mem_free(memory->mem), 0);
	own(m, memory, 0);
	if (memory != last) {
		*memory = *last;
		own(m, memory, index + 1);
	}
	m->count--;
}

/* What look-ups say of a page is what the model says. */
static void check_page(struct model *m, uint64_t page)
{
	const struct memory *memory = m->owner[page] ? &m->live[m->owner[page] - 1] : NULL;
	const uint64_t offset = memory ? (page - memory->first) * PAGE : 0;
	size_t bytes = SPAN;
	ioas_iova_t iova;
	void *va;

	if (!memory || !memory->mapped) {
		assert_int_equal(ioas_translate(m->q, at(page), &bytes, &iova), -ENOENT);
		return;
	}
	assert_int_equal(ioas_translate(m->q, at(page), &bytes, &iova), 0);
	assert_int_equal(iova, memory->iova + offset);
	assert_true(bytes >= memory->pages * PAGE - offset);
	bytes = PAGE;
	assert_int_equal(ioas_translate_iova(m->q, iova, &bytes, &va), 0);
	assert_ptr_equal(va, at(page));
	assert_int_equal(ioas_lookup(m->q, iova, &va, NULL), 0);
	assert_ptr_equal(va, at(page));
}

static void model_start(struct model *m, uint64_t max_maps)
{
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };

	memset(m, 0, sizeof(*m));
	assert_int_equal(null_ctx_open(max_maps, &m->ctx), 0);
	assert_int_equal(ioas_create(m->ctx, &opts, &m->as), 0);
	assert_int_equal(ioas_queue_create(m->as, &m->q), 0);
}

static void model_stop(struct model *m)
{
	assert_int_equal(ioas_queue_destroy(m->q), 0);
	assert_int_equal(ioas_destroy(m->as), 0);
	assert_int_equal(ioas_ctx_close(m->ctx), 0);
	free(m->owner);
}

static void thousands_against_a_model(void **state)
{
	static struct model m;
	const unsigned int steps = SANITIZED ? 30000 : 200000;
	unsigned int most = 0;

	(void)state;
	model_start(&m, 0);
	m.seed = 6;
	m.owner = calloc(PAGES, sizeof(m.owner[0]));
	assert_non_null(m.owner);
	for (unsigned int step = 0; step < steps; step++) {
		/* The crowd grows for a while, then shrinks. */
		const bool grow = step * UINT64_C(4) / steps % 2 == 0;

		if (m.count < LIVE && (!m.count || draw(&m.seed, 8) < (grow ? 6 : 2)))
			register_one(&m);
		else
			take_away(&m, draw(&m.seed, m.count));
		most = m.count > most ? m.count : most;
		check_page(&m, draw(&m.seed, PAGES));
		if (m.count)
			check_page(&m, m.live[draw(&m.seed, m.count)].first);
	}
	assert_true(most > 2000 && m.refused > 100 && m.busy > 100);
	while (m.count)
		take_away(&m, m.count - 1);
	model_stop(&m);
}

/* One call each; every GiB, and the ends; the kernel has one mapping. */
static void one_tebibyte(void **state)
{
	static const uint64_t starts[] = { REGIONS_BASE, REGIONS_BASE + GIB(8192) + PAGE };
	static struct model m;

	(void)state;
	model_start(&m, 0);
	for (unsigned int i = 0; i < 2; i++) {
		char *va = (char *)(uintptr_t)starts[i];
		const uint64_t total = GIB(1024);
		const uint64_t begin = now_ns();
		struct ioas_mem *mem;
		uint64_t mapped, end;
		ioas_iova_t iova, found;
		size_t bytes;

		assert_int_equal(ioas_mem_register(m.ctx, va, total, &mem), 0);
		assert_int_equal(ioas_map(m.q, va, total, IOAS_RW, &iova), 0);
		mapped = now_ns() - begin;
		assert_int_equal(null_to_be(m.ctx->be)->live_maps, 1);
		for (uint64_t offset = 0; offset < total; offset += GIB(1) - PAGE) {
			bytes = PAGE;
			assert_int_equal(ioas_translate(m.q, va + offset, &bytes, &found), 0);
			assert_int_equal(found, iova + offset);
		}
		bytes = 2 * total;
		assert_int_equal(ioas_translate(m.q, va, &bytes, &found), 0);
		assert_int_equal(bytes, total);
		assert_int_equal(ioas_translate(m.q, va + total, &bytes, &found), -ENOENT);
		assert_int_equal(ioas_translate(m.q, va - PAGE, &bytes, &found), -ENOENT);
		assert_int_equal(ioas_unmap(m.q, iova, total), 0);
		assert_int_equal(ioas_mem_free(mem), 0);
		end = now_ns() - begin;
		assert_int_equal(ioas_translate(m.q, va, &bytes, &found), -ENOENT);
		printf("# 1 TiB: %lu us to register and map, %lu us in all\n", mapped / 1000,
		       end / 1000);
		assert_true(end < UINT64_C(1000000000));
	}
	model_stop(&m);
}

/* Over the software IOMMU: reserved, and only what the device writes to gets memory. */
static void one_tebibyte_reserved(void **state)
{
	const struct ioas_ctx_opts opts = { .size = sizeof(opts),
					    .backend = "soft",
					    .backend_options = "pin=0" };
	const uint64_t total = GIB(1024), step = GIB(64) - PAGE;
	struct ioas_stats stats;
	struct ioas_queue *q;
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	ioas_iova_t iova;
	struct ioas *as;
	uint64_t word, begin;
	char *reserved, *va;

	(void)state;
	if (SANITIZED)
		SKIP_TEST("sanitizers have the address space");
	reserved = mmap(NULL, total + GIB(1), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		SKIP_TEST("1 TiB cannot be reserved: vm.overcommit_memory or RLIMIT_AS");
	va = (char *)(((uintptr_t)reserved + GIB(1) - 1) & ~(GIB(1) - 1));
	assert_int_equal(ioas_ctx_open(&opts, &ctx), 0);
	as = space_new(ctx, &kernel_flavour);
	q = queue_new(as);
	assert_int_equal(ioas_dev_bind(ctx, "nic", &dev), 0);
	assert_int_equal(ioas_attach(as, dev), 0);
	begin = now_ns();
	assert_int_equal(ioas_mem_register(ctx, va, total, &mem), 0);
	assert_int_equal(ioas_map(q, va, total, IOAS_RW, &iova), 0);
	printf("# 1 TiB over soft: %lu us to register and map\n", (now_ns() - begin) / 1000);
	stats = stats_of(ctx);
	assert_int_equal(stats.bytes_pinned, total);
	assert_int_equal(stats.map_crossings, 1);
	for (uint64_t at = 0; at < total; at += step) {
		word = at | 1;
		assert_int_equal(ioas_soft_dma_write(dev, iova + at, &word, sizeof(word)), 0);
		assert_memory_equal(va + at, &word, sizeof(word));
	}
	word = 1;
	assert_int_not_equal(ioas_soft_dma_write(dev, iova + total, &word, sizeof(word)), 0);
	assert_int_equal(ioas_unmap(q, iova, total), 0);
	assert_int_not_equal(ioas_soft_dma_write(dev, iova, &word, sizeof(word)), 0);
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(ioas_queue_destroy(q), 0);
	assert_int_equal(ioas_detach(dev), 0);
	assert_int_equal(ioas_dev_unbind(dev), 0);
	assert_int_equal(ioas_destroy(as), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
	munmap(reserved, total + GIB(1));
}

/* Of @count live ones, @some chosen at random are taken away and come back. Return: ns of each. */
static double churn(struct regions *r, uint64_t count, uint64_t some, uint64_t *seed)
{
	const uint64_t begin = now_ns();

	for (uint64_t i = 0; i < some; i++) {
		const uint64_t which = draw(seed, count);

		assert_int_equal(regions_remove(r, which), 0);
		assert_int_equal(regions_add(r, which), 0);
	}
	return (double)(now_ns() - begin) / some;
}

static double best_churn(struct regions *r, uint64_t count, uint64_t some, uint64_t *seed)
{
	double best = churn(r, count, some, seed);

	for (unsigned int i = 0; i < 4; i++) {
		const double ns = churn(r, count, some, seed);

		best = ns < best ? ns : best;
	}
	return best;
}

/*
 * A walk over all of them would make it 1000 times slower and more. Misses of the processor's caches
 * alone make it some times slower, 60 times on a machine whose caches others use as well: a million
 * regions have 400 MB of records. How much it is on a quiet one is a benchmark's to say.
 */
#define TIMES_MOST 200

static void a_million(void **state)
{
	const uint64_t few = 1000, many = SANITIZED ? 50000 : 1000000;
	uint64_t seed = 1, begin;
	double with_few, with_many;
	struct regions r;

	(void)state;
	assert_int_equal(regions_open(&r, KIB(64), KIB(128), many), 0);
	for (uint64_t i = 0; i < few; i++)
		assert_int_equal(regions_add(&r, i), 0);
	with_few = best_churn(&r, few, 20000, &seed);
	begin = now_ns();
	for (uint64_t i = few; i < many; i++)
		assert_int_equal(regions_add(&r, i), 0);
	printf("# %lu regions: %.0f ns each to come\n", many,
	       (double)(now_ns() - begin) / (many - few));
	with_many = best_churn(&r, many, 20000, &seed);
	printf("# one gone and back: %.0f ns among %lu, %.0f ns among %lu: %.1f times\n", with_few,
	       few, with_many, many, with_many / with_few);
	assert_true(with_many < TIMES_MOST * with_few);
	for (uint64_t i = 0; i < many; i += 997) {
		size_t bytes = KIB(64);
		ioas_iova_t iova;

		assert_int_equal(ioas_translate(r.q, regions_va(&r, i), &bytes, &iova), 0);
		assert_int_equal(iova, r.region[i].iova);
		assert_int_equal(
			ioas_translate(r.q, (char *)regions_va(&r, i) + KIB(64), &bytes, &iova),
			-ENOENT);
	}
	regions_close(&r);
}

/* Bytes of look-up structure for each 4 KiB: at most 1 for arenas of huge pages. */
static void memory(void **state)
{
	static const struct {
		uint64_t region, stride, count;
		double most;
	} cases[] = {
		{ GIB(1), GIB(1), 1024, 1 },  { MIB(2), MIB(2), 50000, 1 },
		{ MIB(2), MIB(4), 50000, 1 }, { KIB(64), KIB(128), 50000, 5 },
		{ PAGE, PAGE, 50000, 34 },    { PAGE, 2 * PAGE, 50000, 66 },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint64_t pages = cases[i].count * cases[i].region / PAGE;
		struct regions r;
		uint64_t empty;
		double each;

		assert_int_equal(regions_open(&r, cases[i].region, cases[i].stride, cases[i].count),
				 0);
		empty = regions_lookup_bytes(&r);
		for (uint64_t at = 0; at < cases[i].count; at++)
			assert_int_equal(regions_add(&r, at), 0);
		each = (double)(regions_lookup_bytes(&r) - empty) / pages;
		printf("# %lu regions of %lu KiB, every %lu KiB: %.3f bytes per 4 KiB\n",
		       cases[i].count, cases[i].region >> 10, cases[i].stride >> 10, each);
		assert_true(each > 0 && each <= cases[i].most);
		regions_close(&r);
	}
}

#define LIMIT 1000 /* entries that the kernel has */
#define BATCH 64
#define PARTS (LIMIT * BATCH)

/* Neighbours that are mapped together take one entry, whatever number of memories they are. */
static void few_entries(void **state)
{
	static struct model m;
	static struct ioas_mem *mems[PARTS];
	static struct ioas_seg segs[PARTS];
	struct null_be *be;
	ioas_iova_t iova;

	(void)state;
	model_start(&m, LIMIT);
	be = null_to_be(m.ctx->be);
	for (unsigned int i = 0; i < PARTS; i++) {
		segs[i] = (struct ioas_seg){ .va = at(i * 16), .bytes = KIB(64) };
		assert_int_equal(ioas_mem_register(m.ctx, at(i * 16), KIB(64), &mems[i]), 0);
	}
	for (unsigned int i = 0; i < LIMIT; i++)
		assert_int_equal(ioas_map(m.q, segs[i].va, KIB(64), IOAS_RW, &segs[i].iova), 0);
	assert_int_equal(ioas_map(m.q, segs[LIMIT].va, KIB(64), IOAS_RW, &iova), -ENOSPC);
	assert_non_null(strstr(ioas_queue_error(m.q), "limit"));
	for (unsigned int i = 0; i < LIMIT; i++)
		assert_int_equal(ioas_unmap(m.q, segs[i].iova, KIB(64)), 0);

	for (unsigned int i = 0; i < PARTS; i += BATCH)
		assert_int_equal(ioas_map_batch(m.q, &segs[i], BATCH, IOAS_RW | IOAS_MAP_TOGETHER),
				 BATCH);
	assert_true(be->live_maps <= LIMIT);
	printf("# %u memories in %lu entries\n", PARTS, be->live_maps);
	for (unsigned int i = 0; i < PARTS; i++) {
		size_t bytes = KIB(64);

		assert_int_equal(ioas_translate(m.q, segs[i].va, &bytes, &iova), 0);
		assert_int_equal(iova, segs[i].iova);
		assert_int_equal(ioas_mem_free(mems[i]), -EBUSY);
	}
	for (unsigned int i = 0; i < PARTS; i += BATCH)
		assert_int_equal(ioas_unmap_batch(m.q, &segs[i], BATCH), BATCH);
	assert_int_equal(be->live_maps, 0);
	for (unsigned int i = 0; i < PARTS; i++)
		assert_int_equal(ioas_mem_free(mems[i]), 0);
	model_stop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_against_a_model),
		cmocka_unit_test(one_tebibyte),
		cmocka_unit_test(one_tebibyte_reserved),
		cmocka_unit_test(a_million),
		cmocka_unit_test(memory),
		cmocka_unit_test(few_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
