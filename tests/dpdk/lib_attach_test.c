/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Attach-time registration of 64 GiB: at most 10 ms of our own time, where pages stay.
 *
 * The kernel's part (pinning, its page table) is left out by what stands for it here: the calls
 * into the software IOMMU's kernel half do nothing. Nothing is touched, so address space is enough:
 * EAL's walk finds a list of 64 GiB beside its own, in pages of 2 MiB. What is measured is all of
 * ioas_dpdk_open().
 *
 *   pages    EAL may give back each page: so many registrations
 *   kept     the same with IOAS_DPDK_KEEP_PAGES
 *   initial  EAL will not give them back: memory of -m, --socket-mem, --legacy-mem
 *   extmem   not EAL's: rte_extmem_register() and ioas_dpdk_map(), the latter measured
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <rte_errno.h>
#include <rte_memory.h>

#include "../../engine/backend/backend.h"
#include "lib_rig.h"

#define BYTES	   (UINT64_C(64) << 30)
#define PAGE_BYTES (UINT64_C(2) << 20)
#define PAGES	   (BYTES / PAGE_BYTES)
#define ROUNDS	   5
#define LIMIT_NS   UINT64_C(10000000)
/* Page by page: what a registration and a map cost, 32768 times. This limit finds what is
 * quadratic. */
#define LIMIT_PAGES_NS UINT64_C(80000000)

struct soft_pins;
struct soft_pin;
struct diag;

/* The kernel's part. */

static uint64_t kernel_maps, kernel_bytes;

int __wrap_soft_pins_add(struct soft_pins *pins, struct diag *diag, struct soft_pin *pin, void *va,
			 uint64_t bytes, bool hugetlb);
void __wrap_soft_pins_remove(struct soft_pins *pins, struct soft_pin *pin);
int __wrap_soft_map(struct be_space *space, const struct be_map *maps, unsigned int count,
		    unsigned int *done, unsigned int *crossings);
int __wrap_soft_unmap(struct be_space *space, const struct be_unmap *unmaps, unsigned int count,
		      unsigned int *done, unsigned int *crossings);

int __wrap_soft_pins_add(struct soft_pins *pins, struct diag *diag, struct soft_pin *pin, void *va,
			 uint64_t bytes, bool hugetlb)
{
	return 0;
}

void __wrap_soft_pins_remove(struct soft_pins *pins, struct soft_pin *pin)
{
}

int __wrap_soft_map(struct be_space *space, const struct be_map *maps, unsigned int count,
		    unsigned int *done, unsigned int *crossings)
{
	for (unsigned int i = 0; i < count; i++)
		kernel_bytes += maps[i].bytes;
	kernel_maps += count;
	*done = count;
	return 0;
}

int __wrap_soft_unmap(struct be_space *space, const struct be_unmap *unmaps, unsigned int count,
		      unsigned int *done, unsigned int *crossings)
{
	*done = count;
	return 0;
}

/* EAL's walk, with a list behind those that EAL knows. */

static struct rte_memseg_list list;
static struct rte_memseg *pages;

int __real_rte_memseg_contig_walk_thread_unsafe(rte_memseg_contig_walk_t visit, void *arg);
int __wrap_rte_memseg_contig_walk_thread_unsafe(rte_memseg_contig_walk_t visit, void *arg);

int __wrap_rte_memseg_contig_walk_thread_unsafe(rte_memseg_contig_walk_t visit, void *arg)
{
	int rc = __real_rte_memseg_contig_walk_thread_unsafe(visit, arg);

	return rc == 0 && pages != NULL ? visit(&list, pages, list.len, arg) : rc;
}

static void make_list(uint32_t flags)
{
	list.base_va = rig_reserve(BYTES, UINT64_C(1) << 30);
	list.page_sz = PAGE_BYTES;
	list.len = BYTES;
	list.heap = 1;
	pages = calloc(PAGES, sizeof(*pages));
	CHECK(pages != NULL, "pages");
	for (uint64_t i = 0; i < PAGES; i++) {
		pages[i].addr_64 = list.addr_64 + i * PAGE_BYTES;
		pages[i].iova = pages[i].addr_64;
		pages[i].len = PAGE_BYTES;
		pages[i].flags = flags;
	}
}

/* Measuring. */

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, uint64_t *ns, uint64_t maps, uint64_t limit_ns)
{
	qsort(ns, ROUNDS, sizeof(ns[0]), by_size);
	printf("# %s: 64 GiB in %" PRIu64 " mappings: %.3f ms (median of %d; best %.3f)\n", name,
	       maps, ns[ROUNDS / 2] / 1e6, ROUNDS, ns[0] / 1e6);
	CHECK(ns[ROUNDS / 2] <= limit_ns, "%s: %.3f ms, %.3f are allowed", name,
	      ns[ROUNDS / 2] / 1e6, limit_ns / 1e6);
}

static void attach(const char *name, uint32_t page_flags, uint32_t flags, uint64_t limit_ns)
{
	uint64_t ns[ROUNDS], maps = 0;

	make_list(page_flags);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct ioas_dpdk_opts opts = { .flags = flags };
		struct ioas_dpdk *glue;
		uint64_t start;

		kernel_maps = kernel_bytes = 0;
		start = now_ns();
		glue = rig_open(&opts);
		ns[i] = now_ns() - start;
		CHECK(rig_stats(glue).bytes >= BYTES && kernel_bytes >= BYTES, "not all of it");
		maps = kernel_maps;
		rig_close(glue);
	}
	free(pages);
	pages = NULL;
	munmap(list.base_va, BYTES);
	report(name, ns, maps, limit_ns);
}

static void attach_pages(void)
{
	attach("pages", 0, 0, LIMIT_PAGES_NS);
}

static void attach_kept(void)
{
	attach("kept", 0, IOAS_DPDK_KEEP_PAGES, LIMIT_NS);
}

static void attach_initial(void)
{
	attach("initial", RTE_MEMSEG_FLAG_DO_NOT_FREE, 0, LIMIT_NS);
}

static void extmem(void)
{
	struct ioas_dpdk *glue = rig_open(NULL);
	void *va = rig_reserve(BYTES, UINT64_C(1) << 30);
	uint64_t ns[ROUNDS], start;

	CHECK(rte_extmem_register(va, BYTES, NULL, 0, PAGE_BYTES) == 0, "extmem: %s",
	      rte_strerror(rte_errno));
	for (unsigned int i = 0; i < ROUNDS; i++) {
		kernel_maps = kernel_bytes = 0;
		start = now_ns();
		CHECK(ioas_dpdk_map(glue, va, BYTES, RTE_BAD_IOVA) == 0, "map");
		ns[i] = now_ns() - start;
		CHECK(kernel_bytes == BYTES, "not all of it");
		CHECK(ioas_dpdk_unmap(glue, va, BYTES) == 0, "unmap");
	}
	report("extmem", ns, kernel_maps, LIMIT_NS);
	rig_close(glue);
	CHECK(rte_extmem_unregister(va, BYTES) == 0, "extmem");
}

static const struct rig_case cases[] = {
	{ "pages", attach_pages }, { "kept", attach_kept }, { "initial", attach_initial },
	{ "extmem", extmem },	   { NULL, NULL },
};

int main(int argc, char **argv)
{
	return rig_main(argc, argv, cases);
}
