/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mempool driver "ioas", mode by mode: what is in the pool cannot be reached by a device, what is
 * out can; bounds of what was freed; exhaustion; several pools, lcores and threads; free.
 *
 * The device is the software IOMMU's, asked through ioas_soft_dma_write(); ioas_lookup() is asked
 * as well, so that the table and what the device makes of it are held against each other.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "check.h"
#include "pool.h"

#define OBJECTS 1000

static struct ioas_dev *device;
static const char *mode_name;

static bool protects(void)
{
	return glue.visibility != GLUE_VISIBLE_ALWAYS;
}

/* Can the device write to the object's first byte (its own header is there: put it back)? */
static bool device_reaches(void *obj)
{
	uint8_t byte = *(volatile uint8_t *)obj;

	return ioas_soft_dma_write(device, (uintptr_t)obj, &byte, 1) == 0;
}

static bool in_table(void *obj)
{
	struct glue_lcore *lcore = glue_lcore_enter();
	uint32_t prot = 0;
	void *va = NULL;
	int rc;

	CHECK(lcore != NULL, "no queue");
	rc = ioas_lookup(lcore->queue, (uintptr_t)obj, &va, &prot);
	glue_lcore_leave(lcore);
	CHECK(rc == 0 || rc == -ENOENT, "ioas_lookup: %d", rc);
	CHECK(rc != 0 || (va == obj && prot == IOAS_RW), "%p -> %p prot %u", obj, va, prot);
	return rc == 0;
}

/*
 * The promise of the mode: after this nothing that was put back can be reached. On a busy machine the
 * thread that keeps it may have to wait for a processor.
 */
static void wait_for_promise(void)
{
	if (glue_exposure_ns() != 0)
		usleep((useconds_t)(glue_exposure_ns() / 1000 * 2 + 100000));
}

static struct rte_mempool *make_pool(const char *name, unsigned int count, uint16_t room)
{
	struct rte_mempool *mp =
		rte_pktmbuf_pool_create_by_ops(name, count, 0, 0, room, SOCKET_ID_ANY, "ioas");

	CHECK(mp != NULL, "pool %s of %u", name, count);
	CHECK(rte_mempool_avail_count(mp) == count, "%u", rte_mempool_avail_count(mp));
	return mp;
}

static void collect(struct rte_mempool *mp, void *arg, void *obj, unsigned int index)
{
	(void)mp;
	((void **)arg)[index] = obj;
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

/* No two objects share a page, and headers do not all fall in the same cache set. */
static void test_layout(unsigned int count, uint16_t room)
{
	struct rte_mempool *mp = make_pool("layout", count, room);
	uintptr_t *objs = calloc(count, sizeof(*objs));
	uint64_t offsets = 0;
	uintptr_t end = 0;

	CHECK(rte_mempool_obj_iter(mp, collect, objs) == count, "not all objects are there");
	qsort(objs, count, sizeof(*objs), by_address);
	for (unsigned int i = 0; i < count; i++) {
		uintptr_t start = objs[i] - mp->header_size;
		struct pool *pool = mp->pool_data;

		CHECK(start / IOAS_PAGE_SIZE >= (end + IOAS_PAGE_SIZE - 1) / IOAS_PAGE_SIZE,
		      "object %u shares a page with the one before it", i);
		CHECK(pool_slot(pool, (void *)objs[i]) == i, "slot of object %u", i);
		CHECK(pool_object(pool, i) == (void *)objs[i], "object of slot %u", i);
		end = objs[i] + mp->elt_size + mp->trailer_size;
		CHECK((start & ~(IOAS_PAGE_SIZE - 1)) + pool->slot_bytes >= end, "object %u", i);
		offsets |= UINT64_C(1) << (start % IOAS_PAGE_SIZE / 64);
	}
	CHECK(count < 2 || __builtin_popcountll(offsets) > 1, "all objects have one colour");
	free(objs);
	rte_mempool_free(mp);
}

static void check_all(void **objs, unsigned int count, bool visible)
{
	for (unsigned int i = 0; i < count; i++) {
		if (glue.visibility != GLUE_VISIBLE_ALWAYS)
			CHECK(in_table(objs[i]) == visible, "%s: object %u of %u in the table",
			      mode_name, i, count);
		CHECK(device_reaches(objs[i]) == (visible || !protects()),
		      "%s: object %u of %u, device", mode_name, i, count);
	}
}

static void test_visibility(uint16_t room)
{
	struct rte_mempool *mp = make_pool("visibility", OBJECTS, room);
	void *all[OBJECTS], *out[OBJECTS];

	rte_mempool_obj_iter(mp, collect, all);
	check_all(all, OBJECTS, false);
	for (unsigned int bulk = 1; bulk <= 600; bulk = bulk * 7 / 2) {
		CHECK(rte_mempool_get_bulk(mp, out, bulk) == 0, "bulk of %u", bulk);
		check_all(out, bulk, true);
		CHECK(rte_mempool_avail_count(mp) == OBJECTS - bulk, "%u",
		      rte_mempool_avail_count(mp));
		/* The device has them in its IOTLB now. */
		rte_mempool_put_bulk(mp, out, bulk);
		wait_for_promise();
		check_all(out, bulk, false);
	}
	check_all(all, OBJECTS, false);
	CHECK(rte_mempool_avail_count(mp) == OBJECTS, "%u", rte_mempool_avail_count(mp));
	rte_mempool_free(mp);
}

/* Of objects that were freed this moment, a device can reach no more than the mode says. */
static void test_bound(void)
{
	struct rte_mempool *mp = make_pool("bound", OBJECTS, 2048);
	const unsigned int most = glue.config.mode == GLUE_MODE_BATCHED ? glue.config.batch_max : 0;
	unsigned int reached = 0;
	void *objs[OBJECTS];

	CHECK(rte_mempool_get_bulk(mp, objs, OBJECTS) == 0, "get");
	check_all(objs, OBJECTS, true); /* and the device has cached what it can */
	for (unsigned int i = 0; i < OBJECTS; i += 8)
		rte_mempool_put_bulk(mp, objs + i, 8);
	for (unsigned int i = 0; i < OBJECTS; i++)
		reached += device_reaches(objs[i]);
	CHECK(reached <= most, "%s: %u of %u freed objects can be reached, %u at most", mode_name,
	      reached, OBJECTS, most);
	wait_for_promise();
	check_all(objs, OBJECTS, false);
	rte_mempool_free(mp);
}

/* What was freed last comes first, and, if it was soon enough, costs nothing. */
static void test_warm(void)
{
	struct ioas_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct rte_mempool *mp = make_pool("warm", 256, 2048);
	unsigned int same = 0;
	void *first[32], *again[32];

	CHECK(rte_mempool_get_bulk(mp, first, 32) == 0, "get");
	CHECK(ioas_ctx_stats(glue.ctx, &before) == 0, "stats");
	for (unsigned int turn = 0; turn < 1000; turn++) {
		rte_mempool_put_bulk(mp, first, 32);
		CHECK(rte_mempool_get_bulk(mp, again, 32) == 0, "get");
		same += memcmp(first, again, sizeof(first)) == 0;
		memcpy(first, again, sizeof(first));
		check_all(again, 32, true);
	}
	CHECK(ioas_ctx_stats(glue.ctx, &after) == 0, "stats");
	/* Ticks come in between; what they take is not warm any more. */
	CHECK(same > 500, "%u of 1000 bulks came back as they went", same);
	CHECK(after.maps - before.maps < 16000, "%llu maps for 32000 objects",
	      (unsigned long long)(after.maps - before.maps));
	rte_mempool_put_bulk(mp, first, 32);
	wait_for_promise();
	check_all(first, 32, false);
	rte_mempool_free(mp);
}

static void test_exhaustion(void)
{
	struct rte_mempool *mp = make_pool("exhaustion", OBJECTS, 2048);
	void *objs[OBJECTS + 1];

	for (unsigned int round = 0; round < 5; round++) {
		CHECK(rte_mempool_get_bulk(mp, objs, OBJECTS + 1) != 0, "more than there are");
		CHECK(rte_mempool_avail_count(mp) == OBJECTS, "a failed get keeps something: %u",
		      rte_mempool_avail_count(mp));
		CHECK(rte_mempool_get_bulk(mp, objs, OBJECTS) == 0, "%s: round %u", mode_name,
		      round);
		CHECK(rte_mempool_get_bulk(mp, objs + OBJECTS, 1) != 0, "one more");
		qsort(objs, OBJECTS, sizeof(objs[0]), by_address);
		for (unsigned int i = 1; i < OBJECTS; i++)
			CHECK(objs[i] != objs[i - 1], "handed out twice");
		for (unsigned int i = 0; i < OBJECTS; i += 25)
			rte_mempool_put_bulk(mp, objs + i, 25);
	}
	rte_mempool_free(mp);
}

static void test_double_free(void)
{
	struct rte_mempool *mp = make_pool("double", 64, 2048);
	uint64_t errors = glue.pool_errors;
	void *objs[64];
	void *twice[2];

	CHECK(rte_mempool_get(mp, &objs[0]) == 0, "get");
	twice[0] = twice[1] = objs[0];
	rte_mempool_put_bulk(mp, twice, 2);
	wait_for_promise();
	CHECK(glue.pool_errors == errors + 1, "%s: not noticed", mode_name);
	CHECK(rte_mempool_get_bulk(mp, objs, 64) == 0, "%s: the pool is damaged", mode_name);
	rte_mempool_put_bulk(mp, objs, 64);
	rte_mempool_free(mp);
}

/* Freed with objects out: the device must lose them before the memory goes. */
static void test_free(void)
{
	struct ioas_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct rte_mempool *mp, *second;
	void *objs[40], *kept;
	uintptr_t iova;
	uint8_t byte = 0;

	CHECK(ioas_ctx_stats(glue.ctx, &before) == 0, "stats");
	second = make_pool("second", 128, 2048);
	CHECK(rte_mempool_get(second, &kept) == 0, "get");
	mp = make_pool("free", 128, 2048);
	CHECK(rte_mempool_get_bulk(mp, objs, 40) == 0, "get");
	CHECK(device_reaches(objs[0]), "visible");
	iova = (uintptr_t)objs[0];
	rte_mempool_free(mp);
	if (protects())
		CHECK(ioas_soft_dma_write(device, iova, &byte, 1) == -EFAULT,
		      "%s: a freed pool can be reached", mode_name);
	CHECK(device_reaches(kept), "the other pool has lost something");
	rte_mempool_put(second, kept);
	rte_mempool_free(second);
	CHECK(ioas_ctx_stats(glue.ctx, &after) == 0, "stats");
	if (protects())
		CHECK(after.bytes_pinned == before.bytes_pinned, "%s: %" PRIu64 " bytes stay pinned",
		      mode_name, after.bytes_pinned - before.bytes_pinned);
}

/* Objects that another lcore took and freed must not be lost to this one. */
static int take_and_return(void *arg)
{
	void *objs[OBJECTS];

	CHECK(rte_mempool_get_bulk(arg, objs, OBJECTS) == 0, "worker: get all");
	for (unsigned int i = 0; i < OBJECTS; i += 10)
		rte_mempool_put_bulk(arg, objs + i, 10);
	return 0;
}

static void test_other_lcore(unsigned int worker)
{
	struct rte_mempool *mp = make_pool("lcores", OBJECTS, 2048);
	void *objs[OBJECTS];

	for (unsigned int round = 0; round < 3; round++) {
		rte_eal_remote_launch(take_and_return, mp, worker);
		rte_eal_wait_lcore(worker);
		CHECK(rte_mempool_get_bulk(mp, objs, OBJECTS) == 0,
		      "%s: what another lcore freed is lost", mode_name);
		check_all(objs, 8, true);
		rte_mempool_put_bulk(mp, objs, OBJECTS);
	}
	rte_mempool_free(mp);
}

/* Everyone takes, marks, lets the device write, checks, returns. */
static volatile bool stress_stop;
static unsigned int stress_ids;

static int stress(void *arg)
{
	uint64_t id = __atomic_add_fetch(&stress_ids, 1, __ATOMIC_RELAXED);
	struct rte_mempool *mp = arg;
	uint32_t random = 12345 * (uint32_t)id;
	struct rte_mbuf *held[96];
	unsigned int count = 0;

	while (!stress_stop || count > 0) {
		unsigned int n;

		random = random * 1664525 + 1013904223;
		n = 1 + (random >> 16) % 48;
		if (!stress_stop && (random & 1) && count + n <= RTE_DIM(held) &&
		    rte_mempool_get_bulk(mp, (void **)held + count, n) == 0) {
			for (unsigned int i = count; i < count + n; i++)
				CHECK(ioas_soft_dma_write(device,
							  rte_mbuf_data_iova_default(held[i]), &id,
							  sizeof(id)) == 0,
				      "%s: what is out cannot be reached", mode_name);
			count += n;
		} else {
			n = RTE_MIN(n, count);
			for (unsigned int i = count - n; i < count; i++)
				CHECK(*(uint64_t *)(held[i]->buf_addr + RTE_PKTMBUF_HEADROOM) == id,
				      "%s: somebody else has this object as well", mode_name);
			rte_mempool_put_bulk(mp, (void **)held + count - n, n);
			count -= n;
		}
	}
	return 0;
}

static void *stress_thread(void *arg)
{
	stress(arg);
	return NULL;
}

static void test_stress(unsigned int worker, unsigned int seconds)
{
	struct rte_mempool *mp = make_pool("stress", 200, 2048);
	void *all[200];
	pthread_t other[2];

	stress_stop = false;
	rte_mempool_obj_iter(mp, collect, all);
	rte_eal_remote_launch(stress, mp, worker);
	for (unsigned int i = 0; i < 2; i++) /* no lcores: they share one handle */
		CHECK(pthread_create(&other[i], NULL, stress_thread, mp) == 0, "thread");
	usleep(seconds * 1000000);
	stress_stop = true;
	rte_eal_wait_lcore(worker);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(other[i], NULL);
	CHECK(rte_mempool_avail_count(mp) == 200, "%s: %u of 200", mode_name,
	      rte_mempool_avail_count(mp));
	wait_for_promise();
	check_all(all, 200, false);
	rte_mempool_free(mp);
}

/* A cache of DPDK's above this driver is refused where that was asked for. */
static void test_cache(void)
{
	struct glue_config refuse = { .given = GLUE_GIVEN_CACHE, .refuse_cache = true };
	struct rte_mempool *mp;

	CHECK(glue_open(&refuse) == -EINVAL, "%s: cache=refuse, and the others have not asked",
	      mode_name);
	mp = rte_pktmbuf_pool_create_by_ops("cache", 256, 64, 0, 2048, SOCKET_ID_ANY, "ioas");
	CHECK(mp != NULL, "%s: a cache", mode_name);
	rte_mempool_free(mp);
	glue.config.refuse_cache = true;
	mp = rte_pktmbuf_pool_create_by_ops("cache", 256, 64, 0, 2048, SOCKET_ID_ANY, "ioas");
	CHECK((mp == NULL) == protects(), "%s: a cache, with cache=refuse", mode_name);
	rte_mempool_free(mp);
	rte_mempool_free(make_pool("no cache", 256, 2048));
	glue.config.refuse_cache = false;
}

/* Static mode maps what EAL gets and gives back: huge pages, and memory of heaps. */
static void test_eal_memory(void)
{
	const size_t bytes = 4 << 20;
	char *raw = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *va = (char *)RTE_ALIGN_CEIL((uintptr_t)raw, bytes);
	char *block = rte_malloc(NULL, 5 * bytes, 0);
	uint8_t byte = 0;

	CHECK(block != NULL && device_reaches(block + 4 * bytes), "new huge pages");
	rte_free(block);
	CHECK(ioas_soft_dma_write(device, (uintptr_t)block + 4 * bytes, &byte, 1) == -EFAULT,
	      "huge pages that EAL has given back");
	CHECK(rte_malloc_heap_create("ours") == 0, "heap");
	CHECK(rte_malloc_heap_memory_add("ours", va, bytes, NULL, 0, 4096) == 0, "heap: %s",
	      rte_strerror(rte_errno));
	CHECK(device_reaches(va + bytes - 1), "a heap's memory");
	CHECK(rte_malloc_heap_memory_remove("ours", va, bytes) == 0, "heap");
	CHECK(!device_reaches(va), "memory that was a heap's");
	CHECK(rte_malloc_heap_destroy("ours") == 0, "heap");
	munmap(raw, 2 * bytes);
}

/* rte_dev_dma_map() of a port: memory of the application is reached until it is unmapped. */
static void test_dma_map(void)
{
	const size_t bytes = 1 << 20;
	char *va = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint64_t iova = (uintptr_t)va;
	struct rte_eth_dev_info info;
	uint16_t port;

	CHECK(rte_vdev_init("net_ioas9", "") == 0, "port");
	CHECK(rte_eth_dev_get_port_by_name("net_ioas9", &port) == 0, "port");
	CHECK(rte_eth_dev_info_get(port, &info) == 0, "port");
	CHECK(rte_extmem_register(va, bytes, NULL, 0, 4096) == 0, "extmem");
	CHECK(device_reaches(va) == (glue.config.mode == GLUE_MODE_PASSTHROUGH), "by itself");
	CHECK(rte_dev_dma_map(info.device, va, iova, bytes) == 0, "%s: map: %s", mode_name,
	      rte_strerror(rte_errno));
	CHECK(device_reaches(va) && device_reaches(va + bytes - 1), "%s: mapped", mode_name);
	if (glue.config.mode != GLUE_MODE_PASSTHROUGH) {
		CHECK(rte_dev_dma_map(info.device, va, iova, bytes) < 0 && rte_errno == EEXIST,
		      "%s: twice: %d", mode_name, rte_errno);
		CHECK(rte_dev_dma_unmap(info.device, va, iova, 4096) < 0 && rte_errno == ENOENT,
		      "%s: a part: %d", mode_name, rte_errno);
	}
	CHECK(rte_dev_dma_map(info.device, va, iova + 4096, 4096) < 0 && rte_errno == ENOTSUP,
	      "%s: elsewhere: %d", mode_name, rte_errno);
	CHECK(rte_dev_dma_map(info.device, va + 1, iova + 1, 4096) < 0 && rte_errno == EINVAL,
	      "%s: unaligned: %d", mode_name, rte_errno);
	CHECK(rte_dev_dma_unmap(info.device, va, iova, bytes) == 0, "%s: unmap", mode_name);
	CHECK(device_reaches(va) == (glue.config.mode == GLUE_MODE_PASSTHROUGH), "%s: unmapped",
	      mode_name);
	/* Left mapped: undone when the last one closes. */
	CHECK(rte_dev_dma_map(info.device, va, iova, bytes) == 0, "%s: again", mode_name);
	CHECK(rte_vdev_uninit("net_ioas9") == 0, "port");
	CHECK(rte_extmem_unregister(va, bytes) == 0, "extmem");
}

static void run_mode(enum glue_mode mode, unsigned int worker)
{
	struct glue_config want, other;

	glue_config_defaults(&want);
	want.given = GLUE_GIVEN_MODE | GLUE_GIVEN_BATCH_NS;
	want.mode = mode;
	want.batch_ns = 2000000;
	mode_name = glue_mode_name(mode);
	CHECK(glue_open(&want) == 0, "open");
	other = want;
	other.mode = (mode + 1) % GLUE_MODE_COUNT;
	CHECK(glue_open(&other) == -EINVAL, "%s: another mode at the same time", mode_name);
	CHECK(glue_dev_add("pool-test", &device) == 0, "device");

	test_layout(OBJECTS, 2048);
	test_layout(100, 9216);
	test_layout(1, 256);
	test_visibility(2048);
	test_visibility(9216);
	test_exhaustion();
	test_cache();
	test_dma_map();
	if (mode == GLUE_MODE_STATIC)
		test_eal_memory();
	test_other_lcore(worker);
	test_free();
	if (protects())
		test_double_free();
	if (protects())
		test_bound();
	if (mode == GLUE_MODE_BATCHED)
		test_warm();
	test_stress(worker, 1);

	glue_dev_remove(device);
	glue_close();
	CHECK(glue.users == 0 && glue.ctx == NULL, "%s: %u users left", mode_name, glue.users);
	printf("mode %s: ok\n", mode_name);
}

int main(int argc, char **argv)
{
	unsigned int worker;

	CHECK(rte_eal_init(argc, argv) >= 0, "EAL");
	rte_log_set_level_pattern("pmd.ioas", RTE_LOG_WARNING);
	worker = rte_get_next_lcore(-1, 1, 0);
	CHECK(worker < RTE_MAX_LCORE, "needs two lcores: --lcores 0,1");
	for (int mode = 0; mode < GLUE_MODE_COUNT; mode++)
		run_mode((enum glue_mode)mode, worker);
	rte_eal_cleanup();
	return 0;
}
