// SPDX-License-Identifier: BSD-3-Clause
/*
 * Dirty pages on the machine's own IOMMU: either they are recorded, judged by the
 * edu device's DMA, or that is refused with a text that names the device, and DMA goes on as before.
 * The mock IOMMU has more of it: record/.
 */
#include "../prog/lab_prog.h"

#include <errno.h>
#include <ioas/dirty.h>
#include <ioas/ioas.h>
#include <ioas/pci.h>
#include <stdio.h>
#include <string.h>

#define PAGE  IOAS_PAGE_SIZE
#define PAGES 64

struct world {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *queue;
	struct edu edu;
	ioas_iova_t iova;
};

static void set_up(struct world *world, const char *backend)
{
	struct ioas_ctx_opts ctx = { .size = sizeof(ctx), .backend = backend };
	struct ioas_opts space = { .size = sizeof(space), .kind = IOAS_KIND_KERNEL };
	struct ioas_mem_opts mem = { .size = sizeof(mem),
				     .numa_node = IOAS_NUMA_ANY,
				     .bytes = PAGES * PAGE,
				     .page_bytes = PAGE };
	uint64_t bytes;
	void *registers;

	if (ioas_ctx_open(&ctx, &world->ctx) == -ENODEV)
		lab_skip("the kernel has no %s", backend);
	CHECK(ioas_dev_bind(world->ctx, lab_device("edu"), &world->dev) == 0);
	CHECK(ioas_mem_alloc(world->ctx, &mem, &world->mem) == 0);
	CHECK(ioas_create(world->ctx, &space, &world->as) == 0);
	CHECK(ioas_attach(world->as, world->dev) == 0);
	CHECK(ioas_queue_create(world->as, &world->queue) == 0);
	CHECK(ioas_pci_bus_master(world->dev, true) == 0);
	CHECK(ioas_pci_bar_map(world->dev, 0, &registers, &bytes) == 0);
	edu_open_registers(&world->edu, registers);
	CHECK(ioas_map(world->queue, ioas_mem_va(world->mem), PAGES * PAGE, IOAS_RW,
		       &world->iova) == 0);
}

static bool reaches(struct world *world, unsigned int page)
{
	uint8_t *va = (uint8_t *)ioas_mem_va(world->mem) + page * PAGE;
	static uint8_t value;

	memset(va, ++value, PAGE);
	edu_write_memory(&world->edu, world->iova + page * PAGE, EDU_TRANSFER_BYTES);
	return !lab_all_bytes_are(va, EDU_TRANSFER_BYTES, value);
}

static uint64_t read_bits(struct world *world)
{
	uint64_t bits = 0;
	const struct ioas_dirty range = { .size = sizeof(range),
					  .iova = world->iova,
					  .bytes = PAGES * PAGE,
					  .page_bytes = PAGE,
					  .bitmap = &bits };

	CHECK(ioas_dirty_read(world->as, &range) == 0);
	return bits;
}

static void check_refused(struct world *world, const char *what)
{
	char text[256];

	ioas_ctx_error(world->ctx, text, sizeof(text));
	printf("    %s\n", text);
	if (!strstr(text, what))
		FAIL("the text does not say what: %s", text);
}

static void check_dirty(struct world *world)
{
	int ret = ioas_dirty_start(world->as);

	lab_step("dirty pages");
	if (ret == 0) {
		CHECK(read_bits(world) == 0);
		CHECK(reaches(world, 5));
		CHECK(reaches(world, 33));
		CHECK(read_bits(world) == (UINT64_C(1) << 5 | UINT64_C(1) << 33));
		CHECK(read_bits(world) == 0);
		CHECK(ioas_dirty_stop(world->as) == 0);
	} else {
		CHECK(ret == -EOPNOTSUPP);
		check_refused(world, "dirty");
	}
	CHECK(reaches(world, 7));
}

int main(int argc, char **argv)
{
	static struct world world;

	if (argc != 2)
		FAIL("usage: %s type1|iommufd", argv[0]);
	set_up(&world, argv[1]);
	CHECK(reaches(&world, 0));
	check_dirty(&world);
	return 0;
}
