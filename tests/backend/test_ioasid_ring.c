/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The backend ioasid with a ring that a thread polls: no system calls while it is awake, no wake-up
 * lost, and whatever fails in the middle, what a device reaches is what the library says.
 */
#define FAKE_BACKEND "ioasid"
#define FAKE_OPTIONS ",ring=64"

#include "fake_ioasid.h"
#include "fake_rig.h"

#include <pthread.h>
#include <stdlib.h>

#define CALLS(name) fake.calls[_IOC_NR(name) - IOASID_BASE]
#define THREADS	    4

static int begin(void **state)
{
	fake_reset();
	fake.ring_max = IOASID_RING_ENTRIES_MAX;
	return 0;
}

static unsigned int stop(struct fake_rig *r)
{
	fake_rig_stop(r);
	return fake_ring_stop();
}

static unsigned int reached(const struct ioas_seg *segs, unsigned int count)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < count; i++)
		sum += fake_dma(0, segs[i].iova, IOASID_PROT_WRITE) == segs[i].va;
	return sum;
}

/* Of the space that the device is attached to. */
static unsigned int mappings(void)
{
	unsigned int count;

	fake_lock();
	count = fake.spaces[fake.devices[0].space].count;
	fake_unlock();
	return count;
}

/* On both kinds of tables. Without elements of their own there are only calls to wake the poller.
 */
static void no_calls(void **state)
{
	static const enum ioas_kind kinds[] = { IOAS_KIND_KERNEL, IOAS_KIND_USER };
	struct ioas_seg segs[64];
	struct fake_rig r;

	for (int i = 0; i < 2; i++) {
		unsigned int maps, unmaps, entered;

		begin(state);
		fake_rig_run(&r, kinds[i], IOAS_STRICT);
		maps = CALLS(IOASID_MAP_DMA);
		unmaps = CALLS(IOASID_UNMAP_DMA);
		entered = CALLS(IOASID_RING_ENTER);
		for (int round = 0; round < 100; round++) {
			fake_fill(&r, segs, 64);
			assert_int_equal(ioas_map_batch(r.q, segs, 64, IOAS_RW), 64);
			assert_int_equal(reached(segs, 64), 64);
			assert_int_equal(ioas_unmap_batch(r.q, segs, 64), 64);
			assert_int_equal(reached(segs, 64), 0);
		}
		assert_int_equal(CALLS(IOASID_MAP_DMA), maps);
		assert_int_equal(CALLS(IOASID_UNMAP_DMA), unmaps);
		assert_int_equal(CALLS(IOASID_INVALIDATE_CACHE), 0);
		print_message("# %s: %u calls for 200 batches\n", ioas_kind_name(kinds[i]),
			      CALLS(IOASID_RING_ENTER) - entered);
		assert_true(CALLS(IOASID_RING_ENTER) - entered <= 400);
		assert_true(stop(&r) >= (kinds[i] == IOAS_KIND_KERNEL ? 12800 : 200));
	}
}

/* A batch that does not fit is a call, as without a ring. */
static void too_long(void **state)
{
	struct ioas_seg segs[65];
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	fake_fill(&r, segs, 65);
	assert_int_equal(ioas_map_batch(r.q, segs, 65, IOAS_RW), 65);
	assert_int_equal(CALLS(IOASID_MAP_DMA), 1);
	assert_int_equal(reached(segs, 65), 65);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 65), 65);
	assert_int_equal(CALLS(IOASID_UNMAP_DMA), 1);
	stop(&r);
}

/* The poller goes to sleep at any moment, and is woken. */
static void sleeps(void **state)
{
	struct ioas_seg segs[4];
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	for (unsigned int round = 0; round < 400; round++) {
		fake_fill(&r, segs, 4);
		usleep(round % 100);
		assert_int_equal(ioas_map_batch(r.q, segs, 4, IOAS_RW), 4);
		assert_int_equal(ioas_unmap_batch(r.q, segs, 4), 4);
	}
	print_message("# %u calls to wake it\n", CALLS(IOASID_RING_ENTER));
	stop(&r);
}

static const int breakages[] = { ENOMEM, FAKE_RING_ENDS_BEFORE, FAKE_RING_ENDS_AFTER };

/* Each element of a batch fails once, then each is the one before which the ring ends. */
static void breaks(void **state)
{

	struct ioas_seg segs[8];
	struct fake_rig r;

	for (int i = 0; i < 3; i++)
		for (unsigned int nth = 1; nth <= 16; nth++) {
			begin(state);
			fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
			fake_ring_break(nth, breakages[i]);
			fake_fill(&r, segs, 8);
			assert_int_equal(ioas_map_batch(r.q, segs, 8, IOAS_RW), 8);
			assert_int_equal(reached(segs, 8), 8);
			assert_int_equal(ioas_unmap_batch(r.q, segs, 8), 8);
			assert_int_equal(reached(segs, 8), 0);
			/* Without a ring it goes on. */
			fake_fill(&r, segs, 8);
			assert_int_equal(ioas_map_batch(r.q, segs, 8, IOAS_RW), 8);
			assert_int_equal(reached(segs, 8), 8);
			assert_int_equal(ioas_unmap_batch(r.q, segs, 8), 8);
			assert_int_equal(mappings(), 0);
			stop(&r);
		}
}

static void breaks_user(void **state)
{

	struct ioas_seg segs[8];
	struct fake_rig r;

	for (int i = 0; i < 3; i++)
		for (unsigned int nth = 1; nth <= 3; nth++) {
			begin(state);
			fake_rig_run(&r, IOAS_KIND_USER, IOAS_STRICT);
			fake_ring_break(nth, breakages[i]);
			for (int round = 0; round < 2; round++) {
				fake_fill(&r, segs, 8);
				assert_int_equal(ioas_map_batch(r.q, segs, 8, IOAS_RW), 8);
				assert_int_equal(reached(segs, 8), 8);
				assert_int_equal(ioas_unmap_batch(r.q, segs, 8), 8);
				assert_int_equal(reached(segs, 8), 0);
			}
			stop(&r);
		}
}

/* Changes a page of the kernel's record behind the library's back. */
static void take_record(ioas_iova_t iova)
{
	struct fake_space *space = &fake.spaces[fake.devices[0].space];

	fake_lock();
	for (unsigned int i = 0; i < space->count; i++)
		if (space->maps[i].iova == iova)
			space->maps[i] = space->maps[--space->count];
	fake_unlock();
}

static void put_record(ioas_iova_t iova, const void *va)
{
	struct fake_space *space = &fake.spaces[fake.devices[0].space];

	take_record(iova);
	fake_lock();
	space->maps[space->count++] = (struct fake_map){
		.iova = iova, .length = PAGE, .address = (uintptr_t)va, .flags = IOAS_RW
	};
	fake_unlock();
}

/* What the kernel refuses for good is refused with its words, and leaves things as they were. */
static void refused(void **state)
{
	const ioas_iova_t base = 0x10000000;
	struct ioas_seg segs[8];
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	for (unsigned int at = 0; at < 8; at++) {
		fake_fill(&r, segs, 8);
		for (unsigned int i = 0; i < 8; i++)
			segs[i].iova = base + i * PAGE;
		put_record(segs[at].iova, NULL);
		assert_int_equal(ioas_map_batch(r.q, segs, 8, IOAS_RW | IOAS_MAP_FIXED), -EEXIST);
		assert_error(&r, "something is mapped there");
		assert_int_equal(reached(segs, 8), 0);
		take_record(segs[at].iova);

		assert_int_equal(ioas_map_batch(r.q, segs, 8, IOAS_RW | IOAS_MAP_FIXED), 8);
		take_record(segs[at].iova);
		assert_int_equal(ioas_unmap_batch(r.q, segs, 8), -ENOENT);
		assert_error(&r, "nothing is mapped there");
		assert_true(reached(segs, 8) >= 7);
		put_record(segs[at].iova, segs[at].va);
		assert_int_equal(reached(segs, 8), 8);
		assert_int_equal(ioas_unmap_batch(r.q, segs, 8), 8);
		assert_int_equal(reached(segs, 8), 0);
	}
	stop(&r);
}

/* Threads on one ring, each the judge of its own pages. */
struct worker {
	struct fake_rig *r;
	unsigned int number;
	unsigned int steps;
};

static void *work(void *arg)
{
	struct worker *worker = arg;
	unsigned int seed = worker->number + 1;
	ioas_iova_t iova[16] = { 0 };
	struct ioas_queue *q;

	if (ioas_queue_create(worker->r->as, &q))
		return "queue";
	for (unsigned int step = 0; step < worker->steps; step++) {
		unsigned int at = rand_r(&seed) % 16;
		void *va = fake_page(worker->r, worker->number * 16 + at);
		ioas_iova_t before = iova[at];

		if (before ? ioas_unmap(q, before, PAGE)
			   : ioas_map(q, va, PAGE, IOAS_RW, &iova[at]))
			return "map or unmap";
		if (before ? fake_dma(0, before, 0) == va : fake_dma(0, iova[at], 0) != va)
			return "what is reached";
		if (before)
			iova[at] = 0;
	}
	for (unsigned int at = 0; at < 16; at++)
		if (iova[at] && ioas_unmap(q, iova[at], PAGE))
			return "unmap";
	return ioas_queue_destroy(q) ? "queue" : NULL;
}

static void threads(void **state)
{
	static const enum ioas_kind kinds[] = { IOAS_KIND_KERNEL, IOAS_KIND_USER };
	struct worker workers[THREADS];
	pthread_t ids[THREADS];
	struct fake_rig r;
	void *failed;

	for (int i = 0; i < 2; i++) {
		begin(state);
		fake_rig_run(&r, kinds[i], IOAS_STRICT);
		for (unsigned int j = 0; j < THREADS; j++) {
			workers[j] = (struct worker){ .r = &r, .number = j, .steps = 2000 };
			assert_int_equal(pthread_create(&ids[j], NULL, work, &workers[j]), 0);
		}
		for (unsigned int j = 0; j < THREADS; j++) {
			assert_int_equal(pthread_join(ids[j], &failed), 0);
			if (failed)
				fail_msg("thread %u: %s", j, (char *)failed);
		}
		assert_int_equal(mappings(), 0);
		stop(&r);
	}
}

static void options(void **state)
{
	static const struct {
		const char *options;
		uint32_t ring_max;
		int code;
		const char *words;
	} cases[] = {
		{ "ring=48", 4096, -EINVAL, "a power of two up to 4096" },
		{ "ring=8192", 4096, -EINVAL, "a power of two up to 4096" },
		{ "ring=64", 0, -EOPNOTSUPP, "no rings" },
		{ "ring=x", 4096, -EINVAL, "unknown option" },
	};
	struct fake_rig r = { .ctx = NULL };
	struct ioas_ctx_opts opts = {
		.size = sizeof(opts), .backend = "ioasid", .log = fake_log, .log_arg = &r
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];
		int fd = fake_fd();

		snprintf(text, sizeof(text), "fd=%d,%s", fd, cases[i].options);
		opts.backend_options = text;
		fake.ring_max = cases[i].ring_max;
		r.log[0] = 0;
		assert_int_equal(ioas_ctx_open(&opts, &r.ctx), cases[i].code);
		assert_non_null(strstr(r.log, cases[i].words));
		close(fd);
	}
}

/* The ring cannot be made: the device is not bound, and nothing is left. */
static void no_memory(void **state)
{
	struct fake_rig r = { .ctx = NULL };
	struct ioas_ctx_opts opts = {
		.size = sizeof(opts), .backend = "ioasid", .log = fake_log, .log_arg = &r
	};
	char text[64];
	int fd = fake_fd();

	snprintf(text, sizeof(text), "fd=%d,ring=64", fd);
	opts.backend_options = text;
	assert_int_equal(ioas_ctx_open(&opts, &r.ctx), 0);
	close(fd);
	fake.fail_at = 3; /* bind, ask, ring */
	fake.fail_with = ENOMEM;
	assert_int_equal(ioas_dev_bind(r.ctx, "0:0", &r.dev), -ENOMEM);
	assert_error(&r, "ring=64");
	assert_int_equal(fake_count(), 0);
	assert_int_equal(ioas_dev_bind(r.ctx, "0:0", &r.dev), 0);
	assert_int_equal(ioas_dev_unbind(r.dev), 0);
	assert_int_equal(ioas_ctx_close(r.ctx), 0);
	fake_ring_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_calls, begin),    cmocka_unit_test_setup(too_long, begin),
		cmocka_unit_test_setup(sleeps, begin),	    cmocka_unit_test_setup(breaks, begin),
		cmocka_unit_test_setup(breaks_user, begin), cmocka_unit_test_setup(refused, begin),
		cmocka_unit_test_setup(threads, begin),	    cmocka_unit_test_setup(options, begin),
		cmocka_unit_test_setup(no_memory, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
