/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No get returns a translation for memory that has been replaced, while threads give memory back
 * and get other memory at the same addresses as fast as they can: malloc(), realloc() and free() of
 * large blocks, mremap(), and mmap() at addresses that another thread is just unmapping.
 *
 * The judge is the pages themselves. Each mapping takes a reference to its pages (vmsplice() into a
 * pipe), as hardware backends do, so that no page comes back for other memory while it is mapped;
 * and notes their frame numbers. Whoever holds a buffer compares them with the frames that its
 * memory has now. A cache that watches nothing shows that the judge sees what is wrong.
 *
 * Frame numbers need root.
 */
#include "rig.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/uio.h>

#include "objects.h"

#define THREADS	  3
#define PLACES	  4 /* addresses that threads fight for */
#define PLACE	  (16 * PAGE)
#define BLOCK_MAX 24  /* pages of the largest block */
#define CROWD	  256 /* pages that all want to be cached */
#define MAPS_MAX  64
#define JUDGED	  64 /* pages of a mapping that are looked at */

struct pages {
	uint64_t iova; /* 0: free */
	uint64_t bytes;
	uint64_t frame[JUDGED];
	int pipe[2];
};

static struct judge {
	struct be_ops ops;
	const struct be_ops *soft;
	pthread_mutex_t lock;
	struct pages maps[MAPS_MAX];
	int pagemap;
} judge = { .lock = PTHREAD_MUTEX_INITIALIZER, .pagemap = -1 };

/* Frame of a page that is present, or 0. */
static uint64_t frame_of(uint64_t va)
{
	uint64_t entry = 0;

	if (pread(judge.pagemap, &entry, sizeof(entry), va / PAGE * sizeof(entry)) != sizeof(entry))
		return 0;
	return entry >> 63 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

static void note(const struct be_map *map)
{
	struct iovec iov = { map->va, map->bytes < JUDGED * PAGE ? map->bytes : JUDGED * PAGE };
	struct pages *at = NULL;

	pthread_mutex_lock(&judge.lock);
	for (unsigned int i = 0; i < MAPS_MAX && !at; i++)
		if (!judge.maps[i].iova)
			at = &judge.maps[i];
	if (!at || pipe2(at->pipe, O_CLOEXEC | O_NONBLOCK) ||
	    fcntl(at->pipe[1], F_SETPIPE_SZ, JUDGED * PAGE) < 0)
		abort();
	/* Memory that is gone already is no error here: the registration will not be published. */
	if (vmsplice(at->pipe[1], &iov, 1, SPLICE_F_NONBLOCK) < 0 && errno != EFAULT)
		abort();
	at->iova = map->iova;
	at->bytes = iov.iov_len;
	for (uint64_t offset = 0; offset < at->bytes; offset += PAGE)
		at->frame[offset / PAGE] = frame_of((uintptr_t)map->va + offset);
	pthread_mutex_unlock(&judge.lock);
}

static void forget(uint64_t iova)
{
	pthread_mutex_lock(&judge.lock);
	for (unsigned int i = 0; i < MAPS_MAX; i++) {
		if (judge.maps[i].iova != iova)
			continue;
		judge.maps[i].iova = 0;
		close(judge.maps[i].pipe[0]);
		close(judge.maps[i].pipe[1]);
		break;
	}
	pthread_mutex_unlock(&judge.lock);
}

static int judged_map(struct be_space *space, const struct be_map *maps, unsigned int count,
		      unsigned int *done, unsigned int *crossings)
{
	int ret = judge.soft->map(space, maps, count, done, crossings);

	for (unsigned int i = 0; i < *done; i++)
		note(&maps[i]);
	return ret;
}

static int judged_unmap(struct be_space *space, const struct be_unmap *unmaps, unsigned int count,
			unsigned int *done, unsigned int *crossings)
{
	for (unsigned int i = 0; i < count; i++)
		forget(unmaps[i].iova);
	return judge.soft->unmap(space, unmaps, count, done, crossings);
}

/* Is what the device has at @iova the page that is at @va? Pages that nobody noted count as right.
 */
static bool right(uint64_t iova, uint64_t va)
{
	const uint64_t now = frame_of(va);
	bool same = true;

	pthread_mutex_lock(&judge.lock);
	for (unsigned int i = 0; i < MAPS_MAX; i++) {
		const struct pages *at = &judge.maps[i];

		if (at->iova && iova - at->iova < at->bytes)
			same = at->frame[(iova - at->iova) / PAGE] == now;
	}
	pthread_mutex_unlock(&judge.lock);
	return same;
}

/* The fight. */

static struct fight {
	struct ioas_ctx *ctx;
	struct ioas *as;
	struct ioas_dev *dev;
	struct ioas_regcache *cache;
	uint8_t *places;
	_Atomic bool stop;
	_Atomic uint64_t gets;
	_Atomic uint64_t wrong;
} fight;

/* ThreadSanitizer does not see how memory changes hands in mremap(). */
__attribute__((noinline, no_sanitize("thread"))) static void touch(uint8_t *va, uint64_t bytes)
{
	va[0] = 1;
	va[bytes - 1] = 1;
}

/* The program owns [va, va + bytes), touched; for the time of the call nobody replaces it. */
static void judge_one(const struct ioas_reg *reg, const uint8_t *va, uint64_t bytes)
{
	if (!right(reg->iova, (uintptr_t)va) ||
	    !right(reg->iova + bytes - 1, (uintptr_t)va + bytes - 1))
		atomic_fetch_add(&fight.wrong, 1);
	atomic_fetch_add_explicit(&fight.gets, 1, memory_order_relaxed);
}

static void hold_and_judge(struct ioas_queue *q, uint8_t *va, uint64_t bytes)
{
	struct ioas_reg reg;

	touch(va, bytes);
	if (ioas_regcache_get(q, va, bytes, &reg)) {
		print_error("get: %s\n", ioas_queue_error(q));
		abort();
	}
	judge_one(&reg, va, bytes);
	ioas_regcache_put(q, &reg);
}

/* Neighbours of @bytes, in one batch. */
static void hold_and_judge_two(struct ioas_queue *q, uint8_t *va, uint64_t bytes)
{
	const struct iovec buffers[] = { { va, bytes }, { va + bytes, bytes } };
	struct ioas_reg regs[2];

	touch(va, 2 * bytes);
	if (ioas_regcache_get_batch(q, buffers, 2, regs)) {
		print_error("get_batch: %s\n", ioas_queue_error(q));
		abort();
	}
	for (unsigned int i = 0; i < 2; i++) {
		judge_one(&regs[i], va + i * bytes, bytes);
		ioas_regcache_put(q, &regs[i]);
	}
}

static uint64_t pages_of(uint64_t seed)
{
	return (1 + seed % BLOCK_MAX) * PAGE;
}

/* glibc gives blocks of this size to the kernel and takes them from it (main() sees to that). */
static void with_malloc(struct ioas_queue *q, uint64_t seed)
{
	uint64_t bytes = pages_of(seed) + KIB(32);
	uint8_t *va = malloc(bytes), *moved;

	hold_and_judge(q, va, bytes);
	bytes = pages_of(seed >> 8) + KIB(32);
	moved = realloc(va, bytes);
	hold_and_judge(q, moved, bytes);
	free(moved);
}

static void with_mremap(struct ioas_queue *q, uint64_t seed)
{
	uint64_t bytes = pages_of(seed), more = bytes + pages_of(seed >> 8);
	void *va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *moved;

	hold_and_judge(q, va, bytes);
	moved = mremap(va, bytes, more, MREMAP_MAYMOVE);
	if (moved == MAP_FAILED) {
		munmap(va, bytes);
		return;
	}
	hold_and_judge(q, moved, more);
	munmap(moved, more);
}

/* Whoever finds a place free owns it until it unmaps it: which is when others may find it so. */
static void with_places(struct ioas_queue *q, uint64_t seed)
{
	uint8_t *place = fight.places + seed % PLACES * PLACE;
	void *va = mmap(place, PLACE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (va == MAP_FAILED)
		return;
	if (seed >> 8 & 1) {
		hold_and_judge(q, va, PLACE);
		hold_and_judge(q, (uint8_t *)va + PAGE, PLACE - 2 * PAGE);
	} else {
		hold_and_judge_two(q, va, PLACE / 2);
	}
	munmap(va, PLACE);
}

static void *fighter(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	struct ioas_queue *q;

	if (ioas_queue_create(fight.as, &q))
		abort();
	while (!atomic_load_explicit(&fight.stop, memory_order_relaxed)) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		switch (seed >> 60) {
		case 0 ... 3:
			with_malloc(q, seed >> 20);
			break;
		case 4 ... 7:
			with_mremap(q, seed >> 20);
			break;
		default:
			with_places(q, seed >> 20);
		}
	}
	if (ioas_queue_destroy(q))
		abort();
	return NULL;
}

static void run(unsigned int watch, unsigned int threads)
{
	struct ioas_regcache_opts opts = { .size = sizeof(opts),
					   .watch = watch,
					   .max_entries = MAPS_MAX / 2,
					   .merge_bytes = 32 * PAGE };
	struct ioas_regcache_stats stats = { .size = sizeof(stats) };
	pthread_t thread[THREADS];

	fight = (struct fight){ .ctx = ctx_new(NULL) };
	judge.soft = fight.ctx->be->ops;
	judge.ops = *judge.soft;
	judge.ops.map = judged_map;
	judge.ops.unmap = judged_unmap;
	fight.ctx->be->ops = &judge.ops;
	fight.places = memory_new(PLACES * PLACE);
	munmap(fight.places, PLACES * PLACE);
	fight.as = space_new(fight.ctx, &kernel_flavour);
	assert_int_equal(ioas_regcache_create(fight.as, &opts, &fight.cache), 0);
	for (uintptr_t i = 0; i < threads; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, fighter, (void *)(i + 1)), 0);
	usleep(test_ns() / 1000);
	atomic_store(&fight.stop, true);
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(ioas_regcache_get_stats(fight.cache, &stats), 0);
	printf("# %lu gets, %lu misses, %lu invalidations, %lu evictions, %lu merges; %lu wrong\n",
	       fight.gets, stats.misses, stats.invalidations, stats.evictions, stats.merges,
	       fight.wrong);
	assert_int_equal(ioas_regcache_destroy(fight.cache), 0);
	assert_int_equal(stats_of(fight.ctx).bytes_pinned, 0);
	assert_int_equal(ioas_destroy(fight.as), 0);
	fight.ctx->be->ops = judge.soft;
	assert_int_equal(ioas_ctx_close(fight.ctx), 0);
	assert_true(fight.gets > 0);
}

/* What is held stays mapped, however many want its place; what they did is undone in the end. */

static void *crowd(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	struct ioas_dev *dev = fight.dev;
	struct ioas_queue *q;

	if (ioas_queue_create(fight.as, &q))
		abort();
	while (!atomic_load_explicit(&fight.stop, memory_order_relaxed)) {
		struct ioas_reg reg;
		uint64_t bytes, word = seed;
		uint8_t *va;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		va = fight.places + (seed >> 33) % (CROWD - 8) * PAGE;
		bytes = (1 + (seed >> 60) % 8) * PAGE;
		if (ioas_regcache_get(q, va, bytes, &reg)) {
			print_error("get: %s\n", ioas_queue_error(q));
			abort();
		}
		if (ioas_soft_dma_write(dev, reg.iova + bytes - 8, &word, sizeof(word)))
			atomic_fetch_add(&fight.wrong, 1);
		ioas_regcache_put(q, &reg);
		atomic_fetch_add_explicit(&fight.gets, 1, memory_order_relaxed);
	}
	if (ioas_queue_destroy(q))
		abort();
	return NULL;
}

static void held_stays_mapped(void **state)
{
	struct ioas_regcache_opts opts = { .size = sizeof(opts),
					   .watch = IOAS_WATCH_ORDERED,
					   .max_bytes = CROWD / 2 * PAGE,
					   .max_entries = CROWD / 16,
					   .merge_bytes = 16 * PAGE };
	struct ioas_regcache_stats stats = { .size = sizeof(stats) };
	pthread_t thread[THREADS];

	(void)state;
	fight = (struct fight){ .ctx = ctx_new(NULL), .places = memory_new(CROWD * PAGE) };
	fight.as = space_new(fight.ctx, &kernel_flavour);
	assert_int_equal(ioas_dev_bind(fight.ctx, "nic", &fight.dev), 0);
	assert_int_equal(ioas_attach(fight.as, fight.dev), 0);
	assert_int_equal(ioas_regcache_create(fight.as, &opts, &fight.cache), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, crowd, (void *)(i + 1)), 0);
	for (uint64_t end = now_ns() + test_ns(); now_ns() < end;) {
		usleep(2000);
		ioas_regcache_forget(fight.cache, fight.places, CROWD / 2 * PAGE);
		ioas_regcache_trim(fight.cache);
	}
	atomic_store(&fight.stop, true);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(ioas_regcache_get_stats(fight.cache, &stats), 0);
	printf("# %lu gets, %lu misses, %lu evictions, %lu merges; %lu wrong\n", fight.gets,
	       stats.misses, stats.evictions, stats.merges, fight.wrong);
	assert_true(stats.misses > 0 && stats.misses < fight.gets);
	assert_int_equal(fight.wrong, 0);
	assert_int_equal(ioas_regcache_destroy(fight.cache), 0);
	assert_int_equal(stats_of(fight.ctx).bytes_pinned, 0);
	assert_int_equal(ioas_detach(fight.dev), 0);
	assert_int_equal(ioas_dev_unbind(fight.dev), 0);
	assert_int_equal(ioas_destroy(fight.as), 0);
	assert_int_equal(ioas_ctx_close(fight.ctx), 0);
	munmap(fight.places, CROWD * PAGE);
}

static bool no_frames(void)
{
	int on_stack = 1;

	return judge.pagemap < 0 || !frame_of((uintptr_t)&on_stack);
}

static void exact(void **state)
{
	(void)state;
	if (no_frames())
		SKIP_TEST("frame numbers need root");
	run(IOAS_WATCH_EXACT, THREADS);
	assert_int_equal(fight.wrong, 0);
}

/* With one thread nothing is used anew before the call that gave it back has returned. */
static void ordered(void **state)
{
	(void)state;
	if (no_frames())
		SKIP_TEST("frame numbers need root");
	run(IOAS_WATCH_ORDERED, 1);
	assert_int_equal(fight.wrong, 0);
}

static void judge_sees_what_is_wrong(void **state)
{
	(void)state;
	if (no_frames())
		SKIP_TEST("frame numbers need root");
	run(IOAS_WATCH_NONE, 1);
	assert_true(fight.wrong > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_stays_mapped),
		cmocka_unit_test(exact),
		cmocka_unit_test(ordered),
		cmocka_unit_test(judge_sees_what_is_wrong),
	};

	mallopt(M_MMAP_THRESHOLD, KIB(32));
	mallopt(M_TRIM_THRESHOLD, 0);
	judge.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
