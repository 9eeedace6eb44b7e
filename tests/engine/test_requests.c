/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces that are filled on demand: an access that finds no page waits until the handler
 * has mapped it, and goes on; one that gets none is stopped and reported.
 */
#include "rig.h"

#define BASE GIB(1)

/* A handler that maps what a device asks for, page by page, from the memory of the rig. */
struct filler {
	struct rig *r;
	_Atomic uint64_t calls;
	uint32_t prot;	      /* of its mappings */
	int ret;	      /* other than 0: refuses */
	bool idle;	      /* says that it has mapped, and has not */
	_Atomic bool *hold;   /* waits until this is false */
	_Atomic bool running; /* is in there */
	struct ioas_page_request last;
};

static int fill(void *arg, struct ioas_queue *queue, const struct ioas_page_request *request)
{
	struct filler *filler = arg;
	ioas_iova_t iova = request->iova;
	uint64_t offset = iova - BASE;
	int ret = filler->ret;

	filler->last = *request;
	atomic_store(&filler->running, true);
	while (filler->hold && atomic_load(filler->hold))
		usleep(100);
	if (!ret && !filler->idle)
		ret = offset < RIG_BYTES ? ioas_map(queue, filler->r->va + offset, PAGE,
						    filler->prot | IOAS_MAP_FIXED, &iova)
					 : -ENOENT;
	atomic_store(&filler->running, false);
	atomic_fetch_add(&filler->calls, 1);
	return ret;
}

static void start(struct rig *r, struct filler *filler, const struct flavour *flavour,
		  const char *options)
{
	struct ioas_opts opts = opts_of(flavour);

	*filler = (struct filler){ .r = r, .prot = IOAS_RW };
	opts.page_request = fill;
	opts.page_request_arg = filler;
	rig_open(r, options);
	rig_space(r, &opts);
}

/* What handlers have mapped goes with the space. */
static void stop(struct rig *r)
{
	rig_drop_space(r);
	rig_close(r);
}

static void each_page_once(void **state)
{
	struct filler filler;
	struct ioas_stats stats;
	struct rig r;

	start(&r, &filler, *state, NULL);
	for (uint64_t i = 0; i < 64; i++) {
		uint64_t page = i * 37 % 64;

		assert_true(i & 1 ? reads(&r, BASE + page * PAGE + 8, r.va + page * PAGE + 8)
				  : writes(&r, BASE + page * PAGE + 8, r.va + page * PAGE + 8));
		assert_int_equal(atomic_load(&filler.calls), i + 1);
		assert_ptr_equal(filler.last.as, r.as);
		assert_ptr_equal(filler.last.dev, r.dev);
		assert_int_equal(filler.last.iova, BASE + page * PAGE);
		assert_int_equal(filler.last.prot, i & 1 ? IOAS_READ : IOAS_WRITE);
	}
	assert_true(reaches(&r, BASE, r.va, 64 * PAGE));
	stats = stats_of(r.ctx);
	assert_int_equal(stats.page_requests, 64);
	assert_int_equal(stats.page_requests_refused, 0);
	assert_int_equal(stats.faults, 0);
	/* What is unmapped is asked for again. */
	assert_int_equal(ioas_unmap(r.q, BASE + PAGE, PAGE), 0);
	assert_int_equal(ioas_flush(r.q), 0);
	assert_true(writes(&r, BASE + PAGE, r.va + PAGE));
	assert_int_equal(atomic_load(&filler.calls), 65);
	stop(&r);
}

/* One transfer over many pages, and one that meets a page that nobody has. */
static void long_transfers(void **state)
{
	static uint8_t data[32 * PAGE];
	struct filler filler;
	struct ioas_fault fault;
	struct rig r;

	start(&r, &filler, *state, NULL);
	memset(data, 0x5a, sizeof(data));
	assert_int_equal(ioas_soft_dma_write(r.dev, BASE + 100, data, sizeof(data)), 0);
	assert_memory_equal(r.va + 100, data, sizeof(data));
	assert_int_equal(atomic_load(&filler.calls), 33);
	assert_int_equal(ioas_soft_dma_write(r.dev, BASE + RIG_BYTES - PAGE, data, 2 * PAGE),
			 -EFAULT);
	assert_memory_equal(r.va + RIG_BYTES - PAGE, data, PAGE);
	assert_int_equal(ioas_fault_poll(r.ctx, &fault, 1), 1);
	assert_int_equal(fault.iova, BASE + RIG_BYTES);
	stop(&r);
}

static void refusals(void **state)
{
	struct filler filler;
	struct ioas_stats stats;
	struct rig r;

	start(&r, &filler, *state, NULL);
	filler.ret = -ENOENT;
	assert_int_equal(reason_of(&r, BASE + 5 * PAGE + 8, IOAS_WRITE), IOAS_FAULT_NOT_PRESENT);
	assert_int_equal(reason_of(&r, BASE, IOAS_READ), IOAS_FAULT_NOT_PRESENT);
	assert_int_equal(atomic_load(&filler.calls), 2);
	/* It says that the page is there, and it is not: the device gives up some time. */
	filler.ret = 0;
	filler.idle = true;
	assert_int_equal(reason_of(&r, BASE, IOAS_READ), IOAS_FAULT_NOT_PRESENT);
	assert_in_range(atomic_load(&filler.calls), 3, 100);
	/* No page would help. */
	filler.idle = false;
	atomic_store(&filler.calls, 0);
	assert_int_equal(reason_of(&r, UINT64_C(1) << 60, IOAS_READ), IOAS_FAULT_ADDRESS);
	assert_int_equal(atomic_load(&filler.calls), 0);
	/* And it goes on. */
	assert_true(writes(&r, BASE, r.va));
	stats = stats_of(r.ctx);
	assert_int_equal(stats.page_requests_refused, 2);
	assert_int_equal(stats.faults, 4);
	stop(&r);
}

/* A page with too few rights is asked for, too: unmapped and mapped again it serves. */
static int widen(void *arg, struct ioas_queue *queue, const struct ioas_page_request *request)
{
	struct filler *filler = arg;

	if (request->prot == IOAS_WRITE && filler->prot == IOAS_READ) {
		assert_int_equal(ioas_unmap(queue, request->iova, PAGE), 0);
		filler->prot = IOAS_RW;
	}
	return fill(arg, queue, request);
}

static void rights(void **state)
{
	struct ioas_opts opts = opts_of(*state);
	struct rig r;
	struct filler filler = { .r = &r, .prot = IOAS_READ };

	opts.page_request = widen;
	opts.page_request_arg = &filler;
	rig_open(&r, NULL);
	rig_space(&r, &opts);
	assert_true(reads(&r, BASE, r.va));
	assert_true(writes(&r, BASE, r.va));
	assert_int_equal(atomic_load(&filler.calls), 2);
	assert_int_equal(stats_of(r.ctx).faults, 0);
	stop(&r);
}

/* A device that cannot wait: pointers of an open burst. */
static void bursts(void **state)
{
	struct filler filler;
	struct ioas_fault fault;
	size_t bytes = 8;
	struct rig r;

	start(&r, &filler, *state, NULL);
	assert_int_equal(ioas_soft_dma_begin(r.dev), 0);
	assert_null(ioas_soft_dma_ptr(r.dev, BASE, &bytes, IOAS_READ));
	ioas_soft_dma_end(r.dev);
	assert_int_equal(ioas_fault_poll(r.ctx, &fault, 1), 1);
	assert_int_equal(atomic_load(&filler.calls), 0);
	stop(&r);
}

struct dma {
	struct ioas_dev *dev;
	uint64_t iova;
	uint64_t word;
	_Atomic bool done;
	int ret;
	pthread_t thread;
};

static void *dma_main(void *arg)
{
	struct dma *dma = arg;

	dma->ret = ioas_soft_dma_write(dma->dev, dma->iova, &dma->word, sizeof(dma->word));
	atomic_store(&dma->done, true);
	return NULL;
}

static void dma_start(struct dma *dma)
{
	assert_int_equal(pthread_create(&dma->thread, NULL, dma_main, dma), 0);
}

static void wait_for(_Atomic bool *flag)
{
	for (uint64_t end = now_ns() + UINT64_C(10000000000); !atomic_load(flag); usleep(100))
		assert_true(now_ns() < end);
}

/*
 * Detaching does not wait for a handler; the access does, and then finds that the device is
 * attached to nothing. Requests that no handler has yet are not asked for any more.
 */
static void detach(void **state)
{
	_Atomic bool hold = true;
	struct filler filler;
	struct ioas_fault faults[2];
	struct rig r;
	struct dma one = { .iova = BASE, .word = 1 }, two = { .iova = BASE + PAGE, .word = 2 };

	start(&r, &filler, *state, NULL);
	filler.hold = &hold;
	one.dev = two.dev = r.dev;
	dma_start(&one);
	wait_for(&filler.running);
	dma_start(&two);
	usleep(20000);
	assert_int_equal(ioas_detach(r.dev), 0);
	wait_for(&two.done);
	assert_false(atomic_load(&one.done));
	atomic_store(&hold, false);
	wait_for(&one.done);
	pthread_join(one.thread, NULL);
	pthread_join(two.thread, NULL);
	assert_int_equal(one.ret, -EFAULT);
	assert_int_equal(two.ret, -EFAULT);
	assert_int_equal(word_at(r.va), 0);
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 2), 2);
	assert_int_equal(faults[0].reason, IOAS_FAULT_BLOCKED);
	assert_int_equal(faults[1].reason, IOAS_FAULT_BLOCKED);
	assert_int_equal(atomic_load(&filler.calls), 1);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	stop(&r);
}

/* What a handler uses is not destroyed under it. */
static int destroy_space(void *as)
{
	return ioas_destroy(as);
}

static int unbind(void *dev)
{
	return ioas_dev_unbind(dev);
}

struct later {
	struct in_thread call;
	_Atomic bool done;
	pthread_t thread;
};

static void *later_main(void *arg)
{
	struct later *later = arg;

	later->call.ret = later->call.fn(later->call.arg);
	atomic_store(&later->done, true);
	return NULL;
}

static void destroy_waits(void **state)
{
	_Atomic bool hold = true;
	struct filler filler;
	struct rig r;
	struct dma dma = { .iova = BASE };
	struct later space = { .call.fn = destroy_space }, device = { .call.fn = unbind };

	start(&r, &filler, *state, NULL);
	filler.hold = &hold;
	dma.dev = r.dev;
	dma_start(&dma);
	wait_for(&filler.running);
	assert_int_equal(ioas_queue_destroy(r.q), 0);
	assert_int_equal(ioas_destroy(r.as), -EBUSY);
	assert_int_equal(ioas_detach(r.dev), 0);
	space.call.arg = r.as;
	device.call.arg = r.dev;
	assert_int_equal(pthread_create(&space.thread, NULL, later_main, &space), 0);
	usleep(20000);
	assert_false(atomic_load(&space.done));
	/* A handler may make slow calls meanwhile, and so may others. */
	assert_int_equal(stats_of(r.ctx).page_requests, 0);
	atomic_store(&hold, false);
	pthread_join(dma.thread, NULL);
	assert_int_equal(pthread_create(&device.thread, NULL, later_main, &device), 0);
	pthread_join(space.thread, NULL);
	pthread_join(device.thread, NULL);
	assert_int_equal(space.call.ret, 0);
	assert_int_equal(device.call.ret, 0);
	assert_int_equal(ioas_mem_free(r.mem), 0);
	assert_int_equal(ioas_ctx_close(r.ctx), 0);
	munmap(r.va, RIG_BYTES);
}

/* More than the queue of requests takes: the rest are faults like others. */
static void flood(void **state)
{
	_Atomic bool hold = true;
	struct dma dma[8];
	struct filler filler;
	unsigned int failed = 0;
	struct rig r;

	start(&r, &filler, *state, "requests=2");
	filler.hold = &hold;
	for (unsigned int i = 0; i < 8; i++) {
		dma[i] = (struct dma){ .dev = r.dev, .iova = BASE + i * PAGE, .word = i + 1 };
		dma_start(&dma[i]);
		if (!i)
			wait_for(&filler.running);
	}
	for (uint64_t end = now_ns() + UINT64_C(10000000000); stats_of(r.ctx).faults < 5;) {
		assert_true(now_ns() < end);
		usleep(1000);
	}
	atomic_store(&hold, false);
	for (unsigned int i = 0; i < 8; i++) {
		pthread_join(dma[i].thread, NULL);
		failed += dma[i].ret != 0;
		assert_int_equal(word_at(r.va + i * PAGE), dma[i].ret ? 0 : i + 1);
	}
	/* One with the handler, two in the queue. */
	assert_int_equal(failed, 5);
	assert_int_equal(stats_of(r.ctx).page_requests, 3);
	stop(&r);
}

/*
 * A few frames for many pages: the handler takes one from another page, whose content it saves. A
 * DMA that lands in a frame after its unmap has returned would be somebody else's content.
 */
#define FRAMES	24
#define PAGES	256
#define THREADS 3

struct pager {
	struct rig *r;
	uint64_t store[PAGES][2];
	int page_of[FRAMES]; /* or -1 */
	int next;
	_Atomic bool stop;
	uint64_t accesses[THREADS];
	uint64_t wrong[THREADS];
};

static uint64_t *frame_word(struct pager *pager, int frame, int which)
{
	return (uint64_t *)(pager->r->va + frame * PAGE + which * (PAGE - 8));
}

static int swap(void *arg, struct ioas_queue *queue, const struct ioas_page_request *request)
{
	struct pager *pager = arg;
	int page = (request->iova - BASE) / PAGE, frame = pager->next++ % FRAMES;
	int old = pager->page_of[frame];
	ioas_iova_t iova = request->iova;

	/* Two accesses to one page may have asked for it. */
	for (int i = 0; i < FRAMES; i++)
		if (pager->page_of[i] == page)
			return 0;
	if (old >= 0) {
		if (ioas_unmap(queue, BASE + old * PAGE, PAGE) || ioas_flush(queue))
			return -EIO;
		for (int i = 0; i < 2; i++)
			pager->store[old][i] = word_at(frame_word(pager, frame, i));
	}
	for (int i = 0; i < 2; i++)
		word_set(frame_word(pager, frame, i), pager->store[page][i]);
	pager->page_of[frame] = page;
	return ioas_map(queue, pager->r->va + frame * PAGE, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova);
}

struct swapper {
	struct pager *pager;
	struct ioas_dev *dev;
	int number;
	pthread_t thread;
};

/* Each has pages of its own, and remembers what it has written to them. */
static void *swapper_main(void *arg)
{
	struct swapper *swapper = arg;
	struct pager *pager = swapper->pager;
	unsigned int seed = swapper->number;
	uint64_t oracle[PAGES][2] = { { 0 } };

	while (!atomic_load(&pager->stop)) {
		int page = rand_r(&seed) % (PAGES / THREADS) * THREADS + swapper->number;
		int which = rand_r(&seed) & 1;
		uint64_t iova = BASE + page * PAGE + which * (PAGE - 8), word;
		int ret;

		if (rand_r(&seed) & 1) {
			word = (uint64_t)rand_r(&seed) << 32 | page;
			ret = ioas_soft_dma_write(swapper->dev, iova, &word, sizeof(word));
			oracle[page][which] = word;
		} else {
			ret = ioas_soft_dma_read(swapper->dev, iova, &word, sizeof(word));
		}
		pager->wrong[swapper->number] += ret || word != oracle[page][which];
		pager->accesses[swapper->number]++;
	}
	return NULL;
}

static uint64_t run_swappers(const struct flavour *flavour, const char *options)
{
	struct ioas_opts opts = opts_of(flavour);
	struct swapper swappers[THREADS];
	struct pager *pager = calloc(1, sizeof(*pager));
	struct timespec pause = { 0, 0 };
	uint64_t wrong = 0, accesses = 0;
	struct rig r;

	opts.page_request = swap;
	opts.page_request_arg = pager;
	pager->r = &r;
	for (int i = 0; i < FRAMES; i++)
		pager->page_of[i] = -1;
	rig_open(&r, options);
	rig_space(&r, &opts);
	for (int i = 0; i < THREADS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "disk%d@%d", i, i & 1);
		swappers[i] = (struct swapper){ .pager = pager, .number = i };
		assert_int_equal(ioas_dev_bind(r.ctx, name, &swappers[i].dev), 0);
		assert_int_equal(ioas_attach(r.as, swappers[i].dev), 0);
		assert_int_equal(
			pthread_create(&swappers[i].thread, NULL, swapper_main, &swappers[i]), 0);
	}
	pause.tv_sec = test_ns() / 1000000000;
	pause.tv_nsec = test_ns() % 1000000000;
	nanosleep(&pause, NULL);
	atomic_store(&pager->stop, true);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(swappers[i].thread, NULL);
		wrong += pager->wrong[i];
		accesses += pager->accesses[i];
		assert_int_equal(ioas_detach(swappers[i].dev), 0);
		assert_int_equal(ioas_dev_unbind(swappers[i].dev), 0);
	}
	printf("# %lu accesses, %lu requests, %lu wrong\n", accesses, stats_of(r.ctx).page_requests,
	       wrong);
	assert_true(stats_of(r.ctx).page_requests > FRAMES);
	stop(&r);
	free(pager);
	return wrong;
}

static void swapping(void **state)
{
	assert_int_equal(run_swappers(*state, "units=2"), 0);
}

/* A test of the test: invalidations that are lost show. */
static void swapping_without_invalidation(void **state)
{
	assert_true(run_swappers(*state, "units=2,break=drop-inval") > 0);
}

static void not_offered(void **state)
{
	struct ioas_opts opts = opts_of(&kernel_flavour);
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas *as;
	struct rig r;

	rig_open(&r, NULL);
	assert_int_equal(ioas_ctx_caps(r.ctx, &caps), 0);
	assert_int_equal(caps.page_requests, 1);
	opts.page_request = fill;
	assert_int_equal(ioas_create(r.ctx, &opts, &as), -EINVAL);
	assert_true(ctx_says(r.ctx, "page_request"));
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		USER_FLAVOURS(each_page_once),
		USER_FLAVOURS(long_transfers),
		USER_FLAVOURS(refusals),
		USER_FLAVOURS(rights),
		TEST_OF(bursts, user),
		TEST_OF(detach, user),
		TEST_OF(destroy_waits, user),
		TEST_OF(flood, user),
		TEST_OF(swapping, user),
		TEST_OF(swapping, batched),
		TEST_OF(swapping_without_invalidation, user),
		TEST_OF(not_offered, kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
