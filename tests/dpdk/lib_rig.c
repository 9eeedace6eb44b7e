/* SPDX-License-Identifier: BSD-3-Clause */
/* See lib_rig.h. */
#include "lib_rig.h"

#include <sys/mman.h>

#include <rte_eal_memconfig.h>
#include <rte_log.h>
#include <rte_memory.h>

#include <ioas/handover.h>

struct ioas_dev *rig_dev;

static FILE *log_file;
static char *log_text;
static size_t log_bytes;

void rig_log_start(void)
{
	if (log_file != NULL)
		fclose(log_file);
	free(log_text);
	log_file = open_memstream(&log_text, &log_bytes);
	CHECK(log_file != NULL, "log");
	rte_openlog_stream(log_file);
}

bool rig_log_has(const char *text)
{
	bool found;

	fflush(log_file);
	found = strstr(log_text, text) != NULL;
	if (!found)
		fprintf(stderr, "no \"%s\" in the log:\n%s\n", text, log_text);
	return found;
}

int rig_main(int argc, char **argv, const struct rig_case *cases)
{
	char *names, *name, *rest = NULL;

	CHECK(argc >= 2, "usage: %s CASE,CASE... [EAL options]", argv[0]);
	names = argv[1];
	argv[1] = argv[0];
	CHECK(rte_eal_init(argc - 1, argv + 1) >= 0, "EAL");
	for (name = strtok_r(names, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
		const struct rig_case *one = cases;

		while (one->name != NULL && strcmp(one->name, name) != 0)
			one++;
		CHECK(one->name != NULL, "no case %s", name);
		one->run();
		printf("%s: ok\n", name);
		fflush(stdout);
	}
	rte_openlog_stream(NULL);
	CHECK(rte_eal_cleanup() == 0, "EAL's clean-up");
	CHECK(ioas_dpdk_find(NULL) == NULL, "EAL's clean-up leaves it open");
	return 0;
}

struct ioas_dev *rig_find_dev(struct ioas_dpdk *glue, const char *name)
{
	struct ioas_dev *dev;

	for (unsigned int i = 0; (dev = ioas_ctx_dev(ioas_dpdk_ctx(glue), i)) != NULL; i++)
		if (strcmp(ioas_dev_name(dev), name) == 0)
			return dev;
	return NULL;
}

struct ioas_dpdk *rig_open(struct ioas_dpdk_opts *opts)
{
	static const char *const devices[] = { RIG_DEVICE };
	struct ioas_ctx_opts soft = { .size = sizeof(soft), .backend = "soft" };
	struct ioas_dpdk_opts defaults = { .flags = 0 };
	struct ioas_dpdk *glue = NULL;
	int rc;

	if (opts == NULL)
		opts = &defaults;
	opts->size = sizeof(*opts);
	opts->devices = devices;
	opts->device_count = 1;
	if (opts->ctx == NULL)
		opts->ctx = &soft;
	rc = ioas_dpdk_open(opts, &glue);
	CHECK(rc == 0, "open: %s", strerror(-rc));
	if (opts->ctx == &soft)
		opts->ctx = NULL;
	rig_dev = rig_find_dev(glue, RIG_DEVICE);
	CHECK(rig_dev != NULL, "the device");
	return glue;
}

void rig_close(struct ioas_dpdk *glue)
{
	int rc = ioas_dpdk_close(glue);

	CHECK(rc == 0, "close: %s", strerror(-rc));
	CHECK(ioas_dpdk_find(NULL) == NULL, "it is still there");
}

bool rig_device_reaches(uint64_t iova, void *va)
{
	volatile uint8_t *byte = va;
	const uint8_t before = *byte, other = before ^ 0x5a;
	bool there;

	if (ioas_soft_dma_write(rig_dev, iova, &other, 1) != 0)
		return false;
	there = *byte == other;
	*byte = before;
	CHECK(there, "a write to 0x%" PRIx64 " does not arrive at %p", iova, va);
	return true;
}

struct walk {
	struct ioas_dpdk *glue;
	uint64_t bytes;
};

static int visit(const struct rte_memseg_list *list, const struct rte_memseg *page, void *arg)
{
	struct walk *walk = arg;
	size_t bytes = page->len;
	uint64_t iova = 0, wanted = page->iova;
	int rc;

	if (!list->heap)
		return 0;
	walk->bytes += page->len;
	if (walk->glue == NULL)
		return 0;
	if (wanted == RTE_BAD_IOVA)
		wanted = page->addr_64;
	rc = ioas_dpdk_lookup(walk->glue, page->addr, &bytes, &iova);
	CHECK(rc == 0, "EAL's page at %p is not mapped: %d", page->addr, rc);
	CHECK(bytes == page->len, "EAL's page at %p: %zu bytes", page->addr, bytes);
	CHECK(iova == wanted, "EAL's page at %p: at 0x%" PRIx64 ", not 0x%" PRIx64, page->addr,
	      iova, wanted);
	if (!list->external) /* the application's may be in use by others */
		CHECK(rig_device_reaches(iova + page->len - 1, (char *)page->addr + page->len - 1),
		      "EAL's page at %p: the device does not reach it", page->addr);
	return 0;
}

uint64_t rig_eal_bytes(void)
{
	struct walk walk = { .glue = NULL };

	rte_memseg_walk(visit, &walk);
	return walk.bytes;
}

struct ioas_dpdk_stats rig_stats(struct ioas_dpdk *glue)
{
	struct ioas_dpdk_stats stats = { .size = sizeof(stats) };

	CHECK(ioas_dpdk_get_stats(glue, &stats) == 0, "stats");
	return stats;
}

void rig_check_follows(struct ioas_dpdk *glue, uint64_t others)
{
	struct walk walk = { .glue = glue };
	struct ioas_dpdk_stats stats;

	/* EAL's memory stands still, and so does what follows it. */
	rte_mcfg_mem_read_lock();
	rte_memseg_walk_thread_unsafe(visit, &walk);
	stats = rig_stats(glue);
	rte_mcfg_mem_read_unlock();
	CHECK(walk.bytes > 0, "EAL has no memory");
	CHECK(stats.bytes == walk.bytes + others,
	      "%" PRIu64 " bytes are mapped, %" PRIu64 " of EAL, %" PRIu64 " of others",
	      stats.bytes, walk.bytes, others);
	CHECK(stats.bytes_failed == 0, "%" PRIu64 " bytes failed", stats.bytes_failed);
}

void *rig_reserve(size_t bytes, size_t align)
{
	uint8_t *raw = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(raw != MAP_FAILED, "%zu bytes of address space", bytes + align);
	return (void *)RTE_ALIGN_CEIL((uintptr_t)raw, align);
}
