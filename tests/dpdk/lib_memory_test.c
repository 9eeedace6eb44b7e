/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EAL's memory follows: what is there at the start, what comes and goes, while others allocate;
 * memory of heaps and of the application; what cannot be mapped. run_lib_tests.py has the kinds of
 * EAL under which this is done.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "lib_rig.h"

#define MIB (UINT64_C(1) << 20)

static void follows(void)
{
	struct ioas_dpdk *glue = rig_open(NULL);

	rig_check_follows(glue, 0);
	CHECK(ioas_dpdk_sync(glue) == 0, "sync");
	rig_check_follows(glue, 0);
	rig_close(glue);
}

/* Huge pages come with an allocation and go with its end. */
static void grows(void)
{
	struct ioas_dpdk *glue = rig_open(NULL);
	struct ioas_dpdk_stats before = rig_stats(glue), after;
	uint64_t iova = 0;
	size_t bytes = 1;
	uint8_t byte = 0;
	char *block = rte_malloc(NULL, 20 * MIB, 0);

	CHECK(block != NULL, "20 MiB");
	rig_check_follows(glue, 0);
	after = rig_stats(glue);
	CHECK(after.events > before.events && after.bytes >= before.bytes + 20 * MIB,
	      "%" PRIu64 " events, %" PRIu64 " bytes more", after.events - before.events,
	      after.bytes - before.bytes);
	CHECK(ioas_dpdk_lookup(glue, block + 10 * MIB, &bytes, &iova) == 0, "lookup");
	CHECK(rig_device_reaches(iova, block + 10 * MIB), "new memory");
	rte_free(block);
	rig_check_follows(glue, 0);
	CHECK(rig_stats(glue).bytes < after.bytes, "EAL has given nothing back");
	CHECK(ioas_soft_dma_write(rig_dev, iova, &byte, 1) == -EFAULT,
	      "the device reaches memory that EAL has given back");
	CHECK(ioas_dpdk_lookup(glue, block + 10 * MIB, &bytes, &iova) == -ENOENT, "lookup");
	rig_close(glue);
}

/* With KEEP_PAGES they do not go, and neighbours are one mapping. */
static void keeps(void)
{
	struct ioas_dpdk_opts opts = { .flags = IOAS_DPDK_KEEP_PAGES };
	struct ioas_dpdk *glue = rig_open(&opts);
	struct ioas_dpdk_stats before = rig_stats(glue), after;
	char *block = rte_malloc(NULL, 20 * MIB, 0);

	CHECK(block != NULL, "20 MiB");
	after = rig_stats(glue);
	CHECK(after.bytes >= before.bytes + 20 * MIB && after.regions <= before.regions + 2,
	      "%" PRIu64 " regions for %" PRIu64 " bytes", after.regions - before.regions,
	      after.bytes - before.bytes);
	rte_free(block);
	rig_check_follows(glue, 0);
	CHECK(rig_stats(glue).bytes == after.bytes, "EAL has given back what was to stay");
	rig_close(glue);
}

/* One that allocates all the time. */
static bool stop;

static void *allocate(void *arg)
{
	unsigned int *turns = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		void *small = rte_malloc(NULL, 3 * MIB, 0);
		void *large = rte_malloc(NULL, 9 * MIB, 0);

		rte_free(small);
		rte_free(large);
		++*turns;
	}
	return NULL;
}

/* Nothing that comes or goes between the registration of the events and the walk is missed. */
static void races(void)
{
	unsigned int turns = 0, changed = 0;
	pthread_t thread;

	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	CHECK(pthread_create(&thread, NULL, allocate, &turns) == 0, "thread");
	for (unsigned int i = 0; i < 60; i++) {
		struct ioas_dpdk *glue = rig_open(NULL);

		rig_check_follows(glue, 0);
		changed += rig_stats(glue).events > 0;
		rig_close(glue);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	CHECK(changed > 5 && turns > 5, "%u of 60 saw events, %u turns: no race was run", changed,
	      turns);
}

/*
 * The same, made sure: EAL gets and gives back memory just before events are registered, and just
 * after, whatever the library does around that.
 */
static void *early[2], *late[2]; /* the first of each is given back then, the second got */
static bool in_between;

int __real_rte_mem_event_callback_register(const char *name, rte_mem_event_callback_t event,
					   void *arg);
int __wrap_rte_mem_event_callback_register(const char *name, rte_mem_event_callback_t event,
					   void *arg);

static void change(void **blocks)
{
	blocks[1] = rte_malloc(NULL, 5 * MIB, 0);
	CHECK(blocks[1] != NULL, "5 MiB");
	rte_free(blocks[0]); /* after that, or its pages would serve again */
}

int __wrap_rte_mem_event_callback_register(const char *name, rte_mem_event_callback_t event,
					   void *arg)
{
	int rc;

	if (in_between)
		change(early);
	rc = __real_rte_mem_event_callback_register(name, event, arg);
	if (in_between)
		change(late);
	return rc;
}

static void between(void)
{
	struct ioas_dpdk *glue;

	early[0] = rte_malloc(NULL, 7 * MIB, 0);
	late[0] = rte_malloc(NULL, 9 * MIB, 0);
	in_between = true;
	glue = rig_open(NULL);
	in_between = false;
	rig_check_follows(glue, 0);
	CHECK(rig_stats(glue).events > 0, "nothing came between");
	rte_free(early[1]);
	rte_free(late[1]);
	rig_check_follows(glue, 0);
	rig_close(glue);
}

/* A heap of the application's own memory is EAL's. */
static void heap(void)
{
	const size_t bytes = 8 * MIB;
	void *va = rig_reserve(bytes, 2 * MIB);
	size_t found = bytes;
	struct ioas_dpdk *glue;
	uint64_t iova = 0;

	glue = rig_open(NULL);
	CHECK(rte_malloc_heap_create("ours") == 0, "heap");
	CHECK(rte_malloc_heap_memory_add("ours", va, bytes, NULL, 0, 2 * MIB) == 0, "heap: %s",
	      rte_strerror(rte_errno));
	rig_check_follows(glue, 0);
	CHECK(ioas_dpdk_lookup(glue, va, &found, &iova) == 0 && found == bytes, "as an event");
	CHECK(rig_device_reaches(iova, va), "device");
	rig_close(glue);
	glue = rig_open(NULL);
	rig_check_follows(glue, 0);
	CHECK(ioas_dpdk_lookup(glue, va, &found, &iova) == 0 && found == bytes, "in the walk");
	CHECK(rte_malloc_heap_memory_remove("ours", va, bytes) == 0, "heap");
	rig_check_follows(glue, 0);
	CHECK(ioas_dpdk_lookup(glue, va, &found, &iova) == -ENOENT, "after its end");
	CHECK(rte_malloc_heap_destroy("ours") == 0, "heap");
	rig_close(glue);
}

/* Memory of the application's: told to EAL, and to us. */
static void external(void)
{
	const size_t bytes = 4 * MIB;
	void *va = rig_reserve(bytes, 2 * MIB);
	struct ioas_dpdk *glue = rig_open(NULL);
	uint64_t iova = 0;
	size_t found = bytes;

	CHECK(rte_extmem_register(va, bytes, NULL, 0, 4096) == 0, "extmem: %s",
	      rte_strerror(rte_errno));
	CHECK(ioas_dpdk_lookup(glue, va, &found, &iova) == -ENOENT,
	      "external memory follows by itself");
	CHECK(ioas_dpdk_map(glue, va, bytes, (uintptr_t)va) == 0, "map");
	CHECK(ioas_dpdk_lookup(glue, va, &found, &iova) == 0 && found == bytes &&
		      iova == (uintptr_t)va,
	      "lookup: 0x%" PRIx64 ", %zu", iova, found);
	CHECK(rig_device_reaches(iova + bytes - 1, (char *)va + bytes - 1), "device");
	rig_check_follows(glue, bytes);
	rig_log_start();
	CHECK(ioas_dpdk_map(glue, (char *)va + 4096, 4096, (uintptr_t)va) == -EEXIST, "twice");
	CHECK(rig_log_has("is mapped already"), "text");
	CHECK(ioas_dpdk_unmap(glue, va, bytes / 2) == -ENOENT, "a part of it");
	CHECK(ioas_dpdk_unmap(glue, va, bytes) == 0, "unmap");
	CHECK(ioas_dpdk_unmap(glue, va, bytes) == -ENOENT, "unmap, twice");
	CHECK(ioas_soft_dma_write(rig_dev, iova, &found, 1) == -EFAULT, "the device reaches it");
	rig_check_follows(glue, 0);
	CHECK(ioas_dpdk_map(glue, va, bytes, (uintptr_t)va + (UINT64_C(1) << 40)) == 0,
	      "at an IOVA of its own");
	CHECK(rig_device_reaches((uintptr_t)va + (UINT64_C(1) << 40), va), "device");
	CHECK(rte_extmem_unregister(va, bytes) == 0, "extmem");
	rig_close(glue); /* with it mapped */
}

static void bad_map(void)
{
	struct ioas_dpdk *glue = rig_open(NULL);
	char *eal = rte_malloc(NULL, 4096, 4096);
	char *va = rig_reserve(2 * MIB, 2 * MIB);
	uint64_t iova;
	size_t bytes;

	CHECK(ioas_dpdk_map(glue, va, 0, (uintptr_t)va) == -EINVAL, "nothing");
	CHECK(ioas_dpdk_map(glue, va + 1, 4096, (uintptr_t)va) == -EINVAL, "unaligned");
	rig_log_start();
	CHECK(ioas_dpdk_map(glue, eal, 4096, (uintptr_t)eal) == -EEXIST, "EAL's memory");
	CHECK(rig_log_has("EAL's memory follows by itself"), "text");
	rig_log_start();
	munmap(va, 2 * MIB);
	CHECK(ioas_dpdk_map(glue, va, 4096, (uintptr_t)va) == -EFAULT, "no memory there");
	CHECK(rig_log_has("not mapped"), "text");
	bytes = 0;
	CHECK(ioas_dpdk_lookup(glue, eal, &bytes, &iova) == -EINVAL, "lookup of nothing");
	rig_check_follows(glue, 0);
	rte_free(eal);
	rig_close(glue);
}

/* What cannot be mapped as it comes is told, and tried again. */
static void fails(void)
{
	struct ioas_dpdk *glue = rig_open(NULL);
	const uint64_t regions = rig_stats(glue).regions;
	struct ioas_ctx_opts ctx = { .size = sizeof(ctx), .backend = "soft" };
	struct ioas_dpdk_opts opts = { .ctx = &ctx };
	struct ioas_dpdk_stats stats;
	char options[64];
	char *block, *second;

	rig_close(glue);
	snprintf(options, sizeof(options), "max_maps=%" PRIu64, regions + 4);
	ctx.backend_options = options;
	glue = rig_open(&opts);
	rig_log_start();
	block = rte_malloc(NULL, 20 * MIB, 0);
	CHECK(block != NULL, "20 MiB");
	stats = rig_stats(glue);
	CHECK(stats.bytes_failed > 0 && stats.regions == regions + 4,
	      "%" PRIu64 " bytes failed, %" PRIu64 " regions", stats.bytes_failed, stats.regions);
	CHECK(rig_log_has("cannot be mapped") && rig_log_has("max_maps"), "text");
	CHECK(ioas_dpdk_sync(glue) == -ENOSPC, "sync");
	second = rte_malloc(NULL, MIB, 0); /* of what is there: its page may or may not be mapped */
	rte_free(second);
	rte_free(block);
	CHECK(ioas_dpdk_sync(glue) == 0, "sync");
	rig_check_follows(glue, 0);
	rig_close(glue);
	snprintf(options, sizeof(options), "max_maps=1");
	block = rte_malloc(NULL, 20 * MIB, 0);
	rig_log_start();
	opts.size = sizeof(opts);
	CHECK(ioas_dpdk_open(&opts, &glue) == -ENOSPC, "open");
	CHECK(rig_log_has("max_maps"), "text");
	CHECK(ioas_dpdk_find(NULL) == NULL, "it is open");
	rte_free(block);
}

/* Registered only: USER spaces, and KERNEL ones that ask for it. */
static void registers(void)
{
	struct ioas_opts user = { .size = sizeof(user), .kind = IOAS_KIND_USER };
	struct ioas_dpdk_opts opts = { .space = &user };
	struct ioas_dpdk *glue = rig_open(&opts);
	char *block = rte_malloc(NULL, 4 * MIB, 4096);
	struct ioas_queue *queue = ioas_dpdk_queue(glue);
	ioas_iova_t iova;
	size_t bytes = 1;

	CHECK(rig_stats(glue).bytes == rig_eal_bytes(), "not all is registered");
	CHECK(!rig_device_reaches((uintptr_t)block, block), "mapped by itself");
	CHECK(ioas_map(queue, block, 4096, IOAS_RW, &iova) == 0, "map: %s",
	      ioas_queue_error(queue));
	CHECK(rig_device_reaches(iova, block), "mapped");
	CHECK(ioas_unmap(queue, iova, 4096) == 0, "unmap");
	rte_free(block);
	CHECK(rig_stats(glue).bytes == rig_eal_bytes(), "what EAL gives back stays registered");
	rig_close(glue);

	opts = (struct ioas_dpdk_opts){ .flags = IOAS_DPDK_REGISTER };
	glue = rig_open(&opts);
	block = rte_malloc(NULL, 4096, 4096);
	CHECK(ioas_dpdk_lookup(glue, block, &bytes, &iova) == -ENOENT, "mapped by itself");
	CHECK(ioas_dpdk_map(glue, block, 4096, RTE_BAD_IOVA) == 0, "map");
	CHECK(ioas_dpdk_lookup(glue, block, &bytes, &iova) == 0, "lookup");
	CHECK(rig_device_reaches(iova, block), "mapped");
	CHECK(ioas_dpdk_unmap(glue, block, 4096) == 0, "unmap");
	CHECK(!rig_device_reaches(iova, block), "unmapped");
	rte_free(block);
	rig_close(glue);

	opts = (struct ioas_dpdk_opts){ .flags = IOAS_DPDK_NO_MEMORY };
	glue = rig_open(&opts);
	CHECK(rig_stats(glue).bytes == 0, "memory follows");
	rig_close(glue);
}

/* EAL works with physical addresses, and this memory has none. */
static void no_physical(void)
{
	const size_t bytes = 4 * MIB;
	void *va = rig_reserve(bytes, 2 * MIB);
	struct ioas_ctx_opts soft = { .size = sizeof(soft), .backend = "soft" };
	struct ioas_dpdk_opts opts = { .size = sizeof(opts), .ctx = &soft };
	struct ioas_dpdk *glue = rig_open(NULL);
	const char text[] = "EAL's IOVA mode is PA, and it has no physical address: --iova-mode=va";
	uint64_t iova;
	size_t found = 1;

	CHECK(rte_eal_iova_mode() == RTE_IOVA_PA, "mode");
	CHECK(rte_malloc_heap_create("ours") == 0, "heap");
	rig_log_start();
	CHECK(rte_malloc_heap_memory_add("ours", va, bytes, NULL, 0, 2 * MIB) == 0, "heap: %s",
	      rte_strerror(rte_errno));
	CHECK(rig_log_has(text), "text of an event");
	CHECK(rig_stats(glue).bytes_failed == bytes, "%" PRIu64 " bytes failed",
	      rig_stats(glue).bytes_failed);
	CHECK(ioas_dpdk_lookup(glue, va, &found, &iova) == -ENOENT, "mapped somewhere");
	CHECK(ioas_dpdk_map(glue, va, bytes, RTE_BAD_IOVA) == -ENOTSUP, "no IOVA");
	rig_close(glue);
	rig_log_start();
	CHECK(ioas_dpdk_open(&opts, &glue) == -ENOTSUP, "open");
	CHECK(rig_log_has(text), "text");
	CHECK(ioas_dpdk_find(NULL) == NULL, "it is open");
	CHECK(rte_malloc_heap_memory_remove("ours", va, bytes) == 0, "heap");
	CHECK(rte_malloc_heap_destroy("ours") == 0, "heap");
}

static const struct rig_case cases[] = {
	{ "follows", follows },
	{ "grows", grows },
	{ "keeps", keeps },
	{ "races", races },
	{ "between", between },
	{ "heap", heap },
	{ "external", external },
	{ "bad_map", bad_map },
	{ "fails", fails },
	{ "registers", registers },
	{ "no_physical", no_physical },
	{ NULL, NULL },
};

int main(int argc, char **argv)
{
	return rig_main(argc, argv, cases);
}
