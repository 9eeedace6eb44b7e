// SPDX-License-Identifier: BSD-3-Clause
/*
 * The public API on a real kernel: a context on the backend of the command line, or the one that
 * "auto" finds; memory, an address space, a queue; and the edu device judges what is mapped. Random
 * maps and unmaps are followed by DMA to mapped and to unmapped IOVAs.
 */
#include "../prog/lab_prog.h"
#include "../prog/lab_state.h"

#include <errno.h>
#include <ioas/ioas.h>
#include <ioas/pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB   (UINT64_C(1) << 20)
#define PAGE  UINT64_C(4096)
#define PAGES 512
#define STEPS 4000

struct world {
	const char *options; /* of the backend, or NULL */
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *queue;
	void *registers;
	uint64_t registers_bytes;
	struct edu edu;
	ioas_iova_t iova[PAGES]; /* IOAS_IOVA_INVALID: the page is not mapped */
};

/* The driver that devices belong to chooses. */
static const char *chosen(const char *driver)
{
	if (!strcmp(driver, "kioas"))
		return "ioasid";
	return access("/dev/iommu", F_OK) ? "type1" : "iommufd";
}

/* The same text with "auto" says which backend it is, so that a wrong choice can be seen. */
static void open_context(struct world *world, const char *backend, const char *driver)
{
	struct ioas_ctx_opts opts = { .size = sizeof(opts),
				      .backend = backend,
				      .backend_options = world->options,
				      .log = ioas_log_stderr };
	const char *expected = chosen(driver);
	int ret;

	if (!strcmp(driver, "kioas") && access("/dev/ioasid", F_OK))
		lab_skip("the module kioas is not there");
	lab_bind_devices(driver);
	ret = ioas_ctx_open(&opts, &world->ctx);
	if (ret == -ENODEV && !strcmp(backend, "iommufd") && !strcmp(expected, "type1"))
		lab_skip("the kernel has no iommufd");
	if (ret == -EOPNOTSUPP && world->options)
		lab_skip("the module has no such option");
	CHECK(ret == 0);
	printf("    %s\n", ioas_ctx_why(world->ctx));
	CHECK(!strcmp(ioas_ctx_backend(world->ctx), strcmp(backend, "auto") ? backend : expected));
}

static void check_kinds(struct world *world)
{
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_USER };
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas *as;
	char text[256];

	lab_step("what is not offered is refused");
	CHECK(ioas_ctx_caps(world->ctx, &caps) == 0);
	CHECK(caps.kinds & 1U << IOAS_KIND_KERNEL);
	if (!(caps.kinds & 1U << IOAS_KIND_USER)) {
		CHECK(ioas_create(world->ctx, &opts, &as) == -EOPNOTSUPP);
		ioas_ctx_error(world->ctx, text, sizeof(text));
		CHECK(strstr(text, "has no USER spaces"));
	}
}

static void set_up(struct world *world)
{
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	struct ioas_mem_opts mem = { .size = sizeof(mem),
				     .numa_node = IOAS_NUMA_ANY,
				     .bytes = PAGES * PAGE };
	const char *address = lab_device("edu");

	CHECK(address);
	CHECK(ioas_dev_bind(world->ctx, address, &world->dev) == 0);
	CHECK(ioas_mem_alloc(world->ctx, &mem, &world->mem) == 0);
	CHECK(ioas_create(world->ctx, &opts, &world->as) == 0);
	CHECK(ioas_attach(world->as, world->dev) == 0);
	CHECK(ioas_queue_create(world->as, &world->queue) == 0);
	CHECK(ioas_pci_bus_master(world->dev, true) == 0);
	CHECK(ioas_pci_bar_map(world->dev, 0, &world->registers, &world->registers_bytes) == 0);
	edu_open_registers(&world->edu, world->registers);
	for (int page = 0; page < PAGES; page++)
		world->iova[page] = IOAS_IOVA_INVALID;
}

static uint8_t *page_va(struct world *world, int page)
{
	return (uint8_t *)ioas_mem_va(world->mem) + page * PAGE;
}

static bool reaches(struct world *world, ioas_iova_t iova, int page)
{
	static uint8_t count;
	uint8_t value = ++count % 2 ? 0xa5 : 0x5a;

	memset(page_va(world, page), value, PAGE);
	edu_write_memory(&world->edu, iova, EDU_TRANSFER_BYTES);
	return !lab_all_bytes_are(page_va(world, page), EDU_TRANSFER_BYTES, value);
}

static void toggle(struct world *world, int page)
{
	ioas_iova_t *iova = &world->iova[page];

	if (*iova == IOAS_IOVA_INVALID) {
		if (ioas_map(world->queue, page_va(world, page), PAGE, IOAS_RW, iova))
			FAIL("map: %s", ioas_queue_error(world->queue));
	} else {
		if (ioas_unmap(world->queue, *iova, PAGE))
			FAIL("unmap: %s", ioas_queue_error(world->queue));
		*iova = IOAS_IOVA_INVALID;
	}
}

static void check_random(struct world *world)
{
	unsigned int seed = 1;
	struct ioas_stats stats = { .size = sizeof(stats) };

	lab_step("random maps and unmaps");
	for (int step = 1; step <= STEPS; step++) {
		int page = rand_r(&seed) % PAGES;
		ioas_iova_t before = world->iova[page];

		toggle(world, page);
		if (step % (STEPS / 20))
			continue;
		if (before == IOAS_IOVA_INVALID)
			CHECK(reaches(world, world->iova[page], page));
		else
			CHECK(!reaches(world, before, page));
	}
	CHECK(ioas_ctx_stats(world->ctx, &stats) == 0);
	printf("    %llu maps with %llu system calls, %llu unmaps with %llu\n",
	       (unsigned long long)stats.maps, (unsigned long long)stats.map_crossings,
	       (unsigned long long)stats.unmaps, (unsigned long long)stats.unmap_crossings);
	CHECK(stats.maps + stats.unmaps == STEPS);
	CHECK(!world->options || stats.map_crossings + stats.unmap_crossings < STEPS);
}

/* Where the kernel takes arrays a batch is one call. */
static void check_batches(struct world *world)
{
	const bool arrays = !strcmp(ioas_ctx_backend(world->ctx), "ioasid");
	struct ioas_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct ioas_seg segs[64];

	lab_step("a batch of maps, a batch of unmaps");
	for (int i = 0; i < 64; i++)
		segs[i] = (struct ioas_seg){ .va = page_va(world, i), .bytes = PAGE };
	CHECK(ioas_ctx_stats(world->ctx, &before) == 0);
	CHECK(ioas_map_batch(world->queue, segs, 64, IOAS_RW) == 64);
	CHECK(reaches(world, segs[0].iova, 0) && reaches(world, segs[63].iova, 63));
	CHECK(ioas_unmap_batch(world->queue, segs, 64) == 64);
	CHECK(!reaches(world, segs[0].iova, 0) && !reaches(world, segs[63].iova, 63));
	CHECK(ioas_ctx_stats(world->ctx, &after) == 0);
	printf("    64 maps with %llu system calls, 64 unmaps with %llu\n",
	       (unsigned long long)(after.map_crossings - before.map_crossings),
	       (unsigned long long)(after.unmap_crossings - before.unmap_crossings));
	/* A ring costs a call when its poller sleeps, and when the machine is busy. */
	if (world->options)
		return;
	CHECK(after.map_crossings - before.map_crossings == (arrays ? 1 : 64));
	CHECK(after.unmap_crossings - before.unmap_crossings == (arrays ? 1 : 64));
}

static void check_free(struct world *world)
{
	int page;

	lab_step("memory that is mapped is not freed");
	for (page = 0; world->iova[page] == IOAS_IOVA_INVALID; page++)
		;
	CHECK(ioas_mem_free(world->mem) == -EBUSY);
	CHECK(reaches(world, world->iova[page], page));
}

/* The machine keeps addresses for its interrupts: the library must not choose them. */
static void check_hole(struct world *world)
{
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	const bool arm = strstr(getenv("LAB_MACHINE"), "arm");
	const uint64_t hole = arm ? 0x8000000 : 0xfee00000, hole_bytes = 1 * MIB;
	ioas_iova_t iova[PAGES];
	struct ioas_queue *queue;
	struct ioas *as;

	lab_step("IOVAs that the machine keeps for itself are not handed out");
	opts.aperture = (struct ioas_range){ hole - MIB, hole + 2 * MIB - 1 };
	CHECK(ioas_create(world->ctx, &opts, &as) == 0);
	CHECK(ioas_queue_create(as, &queue) == 0);
	for (int i = 0; i < 400; i++) {
		if (ioas_map(queue, page_va(world, i), PAGE, IOAS_RW, &iova[i]))
			FAIL("map %d: %s", i, ioas_queue_error(queue));
		if (iova[i] + PAGE > hole && iova[i] < hole + hole_bytes)
			FAIL("IOVA 0x%llx", (unsigned long long)iova[i]);
	}
	for (int i = 0; i < 400; i++)
		CHECK(ioas_unmap(queue, iova[i], PAGE) == 0);
	iova[0] = hole;
	CHECK(ioas_map(queue, page_va(world, 0), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova[0]) ==
	      -ERANGE);
	printf("    %s\n", ioas_queue_error(queue));
	CHECK(ioas_queue_destroy(queue) == 0);
	CHECK(ioas_destroy(as) == 0);
}

static void tear_down(struct world *world)
{
	lab_step("all goes");
	for (int page = 0; page < PAGES; page++)
		if (world->iova[page] != IOAS_IOVA_INVALID)
			toggle(world, page);
	CHECK(ioas_pci_bar_unmap(world->dev, world->registers, world->registers_bytes) == 0);
	CHECK(ioas_detach(world->dev) == 0);
	CHECK(ioas_queue_destroy(world->queue) == 0);
	CHECK(ioas_destroy(world->as) == 0);
	CHECK(ioas_mem_free(world->mem) == 0);
	CHECK(ioas_dev_unbind(world->dev) == 0);
	CHECK(ioas_ctx_close(world->ctx) == 0);
}

int main(int argc, char **argv)
{
	static struct world world;

	if (argc < 2 || argc > 4)
		FAIL("usage: %s auto|type1|iommufd|ioasid [DRIVER [OPTIONS]]", argv[0]);
	world.options = argc == 4 ? argv[3] : NULL;
	open_context(&world, argv[1], argc > 2 ? argv[2] : "vfio-pci");
	set_up(&world);
	check_kinds(&world);
	check_random(&world);
	check_batches(&world);
	check_free(&world);
	check_hole(&world);
	tear_down(&world);
	return 0;
}
