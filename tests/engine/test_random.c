/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random maps and unmaps against a model of one page per IOVA page: what the independent walker
 * makes of the tables, what ioas_lookup() reads from them, and what was asked for are the same.
 */
#include "rig.h"

#define BASE  (GIB(3) - MIB(4)) /* across a 1 GiB border */
#define PAGES (MIB(8) / PAGE)
#define LIVE  200

struct mapping {
	uint64_t iova;
	uint64_t pages;
};

struct model {
	struct rig r;
	uint8_t *page[PAGES]; /* what should be at BASE + i pages */
	uint32_t prot[PAGES];
	struct mapping live[LIVE];
	unsigned int count;
	uint64_t seed;
};

static unsigned int draw(struct model *m, unsigned int below)
{
	m->seed = m->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (m->seed >> 33) % below;
}

/* The device's view of one page. */
static uint8_t *translate(struct rig *r, ioas_iova_t iova, uint32_t prot)
{
	size_t bytes = 8;
	uint8_t *at;

	ioas_soft_dma_begin(r->dev);
	at = ioas_soft_dma_ptr(r->dev, iova, &bytes, prot);
	ioas_soft_dma_end(r->dev);
	return at;
}

static void check_page(struct model *m, unsigned int i)
{
	ioas_iova_t iova = BASE + i * PAGE;
	uint32_t prot = 0;
	void *va = NULL;
	int ret;

	assert_ptr_equal(translate(&m->r, iova, IOAS_READ), m->page[i]);
	assert_ptr_equal(translate(&m->r, iova, IOAS_WRITE),
			 m->prot[i] & IOAS_WRITE ? m->page[i] : NULL);
	ret = ioas_lookup(m->r.q, iova, &va, &prot);
	if (m->page[i]) {
		assert_int_equal(ret, 0);
		assert_ptr_equal(va, m->page[i]);
		assert_int_equal(prot, m->prot[i]);
	} else {
		assert_int_equal(ret, -ENOENT);
	}
}

static bool occupied(struct model *m, unsigned int at, unsigned int pages)
{
	for (unsigned int i = 0; i < pages; i++)
		if (m->page[at + i])
			return true;
	return false;
}

static void try_map(struct model *m)
{
	static const unsigned int sizes[] = { 1, 1, 1, 2, 3, 8, 64, 512, 512, 1024 };
	unsigned int pages = sizes[draw(m, 10)], at, from;
	uint32_t prot = draw(m, 3) ? IOAS_RW : IOAS_READ;
	ioas_iova_t iova;
	int ret;

	at = draw(m, PAGES - pages + 1);
	from = draw(m, RIG_PAGES - pages + 1);
	if (pages >= 512 && draw(m, 4)) { /* large leaves need both aligned */
		at &= ~511u;
		from &= ~511u;
	}
	iova = BASE + at * PAGE;
	ret = ioas_map(m->r.q, m->r.va + from * PAGE, pages * PAGE, prot | IOAS_MAP_FIXED, &iova);
	if (occupied(m, at, pages)) {
		assert_int_equal(ret, -EEXIST);
		return;
	}
	assert_int_equal(ret, 0);
	for (unsigned int i = 0; i < pages; i++) {
		m->page[at + i] = m->r.va + (from + i) * PAGE;
		m->prot[at + i] = prot;
	}
	m->live[m->count++] = (struct mapping){ iova, pages };
}

static void try_unmap(struct model *m)
{
	unsigned int which = draw(m, m->count);
	struct mapping *one = &m->live[which];

	if (one->pages > 1 && !draw(m, 3)) /* not whole */
		assert_int_not_equal(ioas_unmap(m->r.q, one->iova, (one->pages - 1) * PAGE), 0);
	assert_int_equal(ioas_unmap(m->r.q, one->iova, one->pages * PAGE), 0);
	for (unsigned int i = 0; i < one->pages; i++) {
		m->page[(one->iova - BASE) / PAGE + i] = NULL;
		m->prot[(one->iova - BASE) / PAGE + i] = 0;
	}
	*one = m->live[--m->count];
}

static void random_maps_against_a_model(void **state)
{
	static struct model m;
	unsigned int steps = SANITIZED ? 1500 : 6000;

	memset(&m, 0, sizeof(m));
	m.seed = 20240607;
	rig_start(&m.r, *state, NULL);
	for (unsigned int step = 0; step < steps; step++) {
		if (m.count < LIVE && (!m.count || draw(&m, 5) < 3))
			try_map(&m);
		else
			try_unmap(&m);
		if (step % 16 == 15) {
			assert_int_equal(ioas_flush(m.r.q), 0);
			for (unsigned int i = 0; i < 64; i++)
				check_page(&m, draw(&m, PAGES));
			drain_faults(&m.r);
		}
		if (step % 1000 == 999) {
			assert_int_equal(ioas_flush(m.r.q), 0);
			for (unsigned int i = 0; i < PAGES; i++)
				check_page(&m, i);
			drain_faults(&m.r);
		}
	}
	while (m.count)
		try_unmap(&m);
	rig_stop(&m.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_FLAVOURS(random_maps_against_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
