/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Translation in other shapes: IOVA to address, vectors, lists of an NVMe command, the inline hit;
 * each against ioas_translate(). And removal that waits for readers, of both sorts.
 */
#include "rig.h"

#include <urcu/urcu-bp.h>
#include <urcu/urcu-qsbr.h>

/* <urcu/flavor.h> declares that of the first header only. */
extern const struct rcu_flavor_struct urcu_qsbr_flavor;

/* Pages 0..7 at 1 GiB, 8..11 right behind, 12..15 elsewhere, the rest not mapped. */
static void map_pieces(struct rig *r)
{
	ioas_iova_t places[] = { GIB(1), GIB(1) + 8 * PAGE, GIB(3) };
	const unsigned int first[] = { 0, 8, 12, 16 };

	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(ioas_map(r->q, r->va + first[i] * PAGE,
					  (first[i + 1] - first[i]) * PAGE,
					  IOAS_RW | IOAS_MAP_FIXED, &places[i]),
				 0);
}

static void unmap_pieces(struct rig *r)
{
	assert_int_equal(ioas_unmap(r->q, GIB(1), 8 * PAGE), 0);
	assert_int_equal(ioas_unmap(r->q, GIB(1) + 8 * PAGE, 4 * PAGE), 0);
	assert_int_equal(ioas_unmap(r->q, GIB(3), 4 * PAGE), 0);
}

static void back_again(void **state)
{
	ioas_iova_t high = UINT64_C(1) << 47, iova;
	struct rig r;
	size_t bytes;
	void *va;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	map_pieces(&r);
	for (uint64_t at = 0; at < 16 * PAGE; at += 1111) {
		bytes = 1;
		assert_int_equal(ioas_translate(r.q, r.va + at, &bytes, &iova), 0);
		bytes = GIB(1);
		assert_int_equal(ioas_translate_iova(r.q, iova, &bytes, &va), 0);
		assert_ptr_equal(va, r.va + at);
		assert_int_equal(bytes, (at < 12 * PAGE ? 12 : 16) * PAGE - at);
	}
	bytes = 1;
	assert_int_equal(ioas_translate_iova(r.q, GIB(1) - 1, &bytes, &va), -ENOENT);
	assert_non_null(strstr(ioas_queue_error(r.q), "iova 0x3fffffff is not mapped"));
	assert_int_equal(ioas_translate_iova(r.q, GIB(3) + 4 * PAGE, &bytes, &va), -ENOENT);
	/* Beyond user-space addresses there is the slow way only. */
	if (ioas_get_aperture(r.as).last > high) {
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &high), 0);
		assert_int_equal(ioas_translate_iova(r.q, high, &bytes, &va), -ENOENT);
		assert_int_equal(ioas_lookup(r.q, high, &va, NULL), 0);
		assert_ptr_equal(va, r.va);
		assert_int_equal(ioas_unmap(r.q, high, PAGE), 0);
		assert_int_equal(ioas_lookup(r.q, high, &va, NULL), -ENOENT);
	}
	unmap_pieces(&r);
	assert_int_equal(ioas_translate_iova(r.q, GIB(1), &bytes, &va), -ENOENT);
	rig_stop(&r);
}

/* The text of a miss is made afterwards; that of another failure takes its place. */
static void text_of_a_miss(void **state)
{
	ioas_iova_t iova;
	size_t bytes = 1;
	char text[64];
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	assert_int_equal(ioas_translate(r.q, r.va + 5, &bytes, &iova), -ENOENT);
	snprintf(text, sizeof(text), "va 0x%lx is not mapped", (unsigned long)(uintptr_t)r.va + 5);
	assert_string_equal(ioas_queue_error(r.q), text);
	bytes = 0;
	assert_int_equal(ioas_translate(r.q, r.va, &bytes, &iova), -EINVAL);
	assert_string_equal(ioas_queue_error(r.q), "bytes is zero");
	rig_stop(&r);
}

static void vectors(void **state)
{
	struct ioas_run runs[4];
	struct iovec iov[4];
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	map_pieces(&r);
	/* Two buffers that are one run, an empty one, one over a jump. */
	iov[0] = (struct iovec){ r.va + 100, PAGE };
	iov[1] = (struct iovec){ r.va + 100 + PAGE, 8 * PAGE };
	iov[2] = (struct iovec){ NULL, 0 };
	iov[3] = (struct iovec){ r.va + 11 * PAGE, 2 * PAGE };
	assert_int_equal(ioas_translate_iov(r.q, iov, 4, runs, 4), 3);
	assert_int_equal(runs[0].iova, GIB(1) + 100);
	assert_int_equal(runs[0].bytes, 9 * PAGE);
	assert_int_equal(runs[1].iova, GIB(1) + 11 * PAGE);
	assert_int_equal(runs[1].bytes, PAGE);
	assert_int_equal(runs[2].iova, GIB(3));
	assert_int_equal(runs[2].bytes, PAGE);
	assert_int_equal(ioas_translate_iov(r.q, iov, 4, runs, 2), -E2BIG);
	assert_int_equal(ioas_translate_iov(r.q, iov, 2, runs, 1), 1);
	assert_int_equal(ioas_translate_iov(r.q, iov, 0, runs, 1), 0);
	iov[3].iov_base = r.va + 15 * PAGE;
	assert_int_equal(ioas_translate_iov(r.q, iov, 4, runs, 4), -ENOENT);
	unmap_pieces(&r);
	rig_stop(&r);
}

/* As PRP entries are defined: each is the address of what it stands for. */
static void prp(void **state)
{
	uint64_t list[40], prp1, max = 40;
	ioas_iova_t iova;
	struct iovec iov[2];
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	map_pieces(&r);
	for (uint64_t offset = 0; offset < 2 * PAGE; offset += 516) {
		for (uint64_t length = 1; offset + length <= 16 * PAGE; length += 777) {
			const uint64_t first = offset / PAGE, last = (offset + length - 1) / PAGE;

			iov[0] = (struct iovec){ r.va + offset, length };
			assert_int_equal(ioas_nvme_prp(r.q, iov, 1, &prp1, list, max),
					 last - first);
			for (uint64_t i = first; i <= last; i++) {
				size_t bytes = 1;

				assert_int_equal(
					ioas_translate(r.q, r.va + (i == first ? offset : i * PAGE),
						       &bytes, &iova),
					0);
				assert_int_equal(i == first ? prp1 : list[i - first - 1], iova);
			}
		}
	}
	iov[0] = (struct iovec){ r.va + 1024, 3072 };
	iov[1] = (struct iovec){ r.va + 13 * PAGE, 2 * PAGE };
	assert_int_equal(ioas_nvme_prp(r.q, iov, 2, &prp1, list, max), 2);
	assert_int_equal(prp1, GIB(1) + 1024);
	assert_int_equal(list[1], GIB(3) + 2 * PAGE);
	assert_int_equal(ioas_nvme_prp(r.q, iov, 2, &prp1, list, 1), -E2BIG);
	iov[0].iov_len = 3068; /* a gap inside a page */
	assert_int_equal(ioas_nvme_prp(r.q, iov, 2, &prp1, list, max), -EINVAL);
	iov[0] = (struct iovec){ r.va + 2, 100 };
	assert_int_equal(ioas_nvme_prp(r.q, iov, 1, &prp1, list, max), -EINVAL);
	iov[0] = (struct iovec){ r.va, 17 * PAGE };
	assert_int_equal(ioas_nvme_prp(r.q, iov, 1, &prp1, list, max), -ENOENT);
	assert_int_equal(ioas_nvme_prp(r.q, iov, 0, &prp1, list, max), -EINVAL);
	unmap_pieces(&r);
	rig_stop(&r);
}

static void sgl(void **state)
{
	struct ioas_nvme_sgl_entry list[3];
	struct iovec iov[2];
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	map_pieces(&r);
	iov[0] = (struct iovec){ r.va + 7, 4 * PAGE };
	iov[1] = (struct iovec){ r.va + 10 * PAGE + 1, 3 * PAGE };
	memset(list, 0xff, sizeof(list));
	assert_int_equal(ioas_nvme_sgl(r.q, iov, 2, list, 3), 3);
	assert_int_equal(list[0].address, GIB(1) + 7);
	assert_int_equal(list[0].length, 4 * PAGE);
	assert_int_equal(list[1].length, 2 * PAGE - 1);
	assert_int_equal(list[2].address, GIB(3));
	assert_int_equal(list[2].length, PAGE + 1);
	assert_int_equal(list[2].identifier, 0);
	assert_int_equal(ioas_nvme_sgl(r.q, iov, 2, list, 2), -E2BIG);
	unmap_pieces(&r);
	rig_stop(&r);
}

/* A hit says what the call says, over the border of its run, and forgets with the mapping. */
static void inline_hit(void **state)
{
	struct ioas_hit hit = { 0 };
	ioas_iova_t a, b;
	size_t one, other;
	struct rig r;

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	one = 1;
	assert_int_equal(ioas_translate_hit(r.q, &hit, r.va, &one, &a), -ENOENT);
	map_pieces(&r);
	for (uint64_t at = 1; at < 20 * PAGE; at = at * 21 % (20 * PAGE + 1)) {
		int ret;

		one = other = 1 + at % (3 * PAGE);
		ret = ioas_translate_hit(r.q, &hit, r.va + at, &one, &a);
		assert_int_equal(ret, ioas_translate(r.q, r.va + at, &other, &b));
		assert_int_equal(one, other);
		assert_true(ret || a == b);
		if (at == 1)
			at = 2;
		if (at > 19 * PAGE)
			break;
	}
	one = PAGE;
	assert_int_equal(ioas_translate_hit(r.q, &hit, r.va, &one, &a), 0);
	assert_int_equal(hit.bytes, 12 * PAGE);
	one = 0;
	assert_int_equal(ioas_translate_hit(r.q, &hit, r.va, &one, &a), -EINVAL);
	unmap_pieces(&r);
	one = PAGE;
	assert_int_equal(ioas_translate_hit(r.q, &hit, r.va, &one, &a), -ENOENT);
	rig_stop(&r);
}

/* Removal and readers. */

struct race {
	struct rig r;
	bool qsbr;
	_Atomic bool stop;
	uint64_t used;
	uint64_t missed;
	uint64_t lost; /* translated, but the device could not get there while it was held */
};

static void hold(struct race *s, struct ioas_queue *q, struct ioas_hit *hit, uint64_t at)
{
	uint64_t word = at;
	size_t bytes = 8;
	ioas_iova_t iova;

	if (ioas_translate_hit(q, hit, s->r.va + at % 16 * PAGE, &bytes, &iova)) {
		s->missed++;
		return;
	}
	/* Long enough for the other thread to unmap under it, were it not to wait. */
	for (unsigned int i = 0; i < 3; i++)
		s->lost += ioas_soft_dma_write(s->r.dev, iova, &word, sizeof(word)) != 0;
	s->used++;
}

static void *race_reader(void *arg)
{
	struct ioas_hit hit = { 0 };
	struct race *s = arg;
	struct ioas_queue *q;

	if (ioas_queue_create(s->r.as, &q))
		abort();
	if (s->qsbr)
		urcu_qsbr_register_thread();
	for (uint64_t at = 0; !atomic_load_explicit(&s->stop, memory_order_relaxed); at++) {
		if (!s->qsbr)
			urcu_bp_read_lock();
		hold(s, q, &hit, at);
		if (s->qsbr)
			urcu_qsbr_quiescent_state();
		else
			urcu_bp_read_unlock();
	}
	if (s->qsbr)
		urcu_qsbr_unregister_thread();
	if (ioas_queue_destroy(q))
		abort();
	return NULL;
}

static void removal_waits(void **state)
{
	static struct race s;
	struct ioas_opts opts = opts_of(&kernel_flavour);
	pthread_t thread;
	uint64_t end, rounds = 0;

	memset(&s, 0, sizeof(s));
	s.qsbr = *state != NULL;
	opts.readers = s.qsbr ? &urcu_qsbr_flavor : &urcu_bp_flavor;
	rig_open(&s.r, NULL);
	rig_space(&s.r, &opts);
	assert_int_equal(pthread_create(&thread, NULL, race_reader, &s), 0);
	end = now_ns() + test_ns() / 2;
	while (now_ns() < end) {
		map_pieces(&s.r);
		unmap_pieces(&s.r);
		rounds++;
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	printf("# %lu rounds; used %lu, missed %lu\n", rounds, s.used, s.missed);
	assert_true(s.used > 0);
	assert_int_equal(s.lost, 0);
	rig_stop(&s.r);
}

static void readers_of_kernel_spaces_only(void **state)
{
	struct ioas_opts opts = opts_of(&user_flavour);
	struct ioas *as;
	struct rig r;
	char text[160];

	(void)state;
	rig_start(&r, &kernel_flavour, NULL);
	opts.readers = &urcu_bp_flavor;
	assert_int_equal(ioas_create(r.ctx, &opts, &as), -EINVAL);
	ioas_ctx_error(r.ctx, text, sizeof(text));
	assert_non_null(strstr(text, "readers"));
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(back_again),
		cmocka_unit_test(text_of_a_miss),
		cmocka_unit_test(vectors),
		cmocka_unit_test(prp),
		cmocka_unit_test(sgl),
		cmocka_unit_test(inline_hit),
		{ "removal_waits: sections", removal_waits, NULL, NULL, NULL },
		{ "removal_waits: quiescent states", removal_waits, NULL, NULL, (void *)1 },
		cmocka_unit_test(readers_of_kernel_spaces_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
