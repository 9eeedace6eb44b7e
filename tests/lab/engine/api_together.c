// SPDX-License-Identifier: BSD-3-Clause
/*
 * Arenas that are mapped together: type1, which has a limit of mappings, has them as one, which its
 * kernel never splits; parts of it are refused, and the device goes on reaching all of it. Single
 * buffers count one by one, and the limit is kept.
 */
#include "api_lab.h"

#include <errno.h>
#include <ioas/pci.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define ARENAS	    64
#define ARENA_PAGES 16
#define PAGES	    (ARENAS * ARENA_PAGES)
#define LIMIT	    50
#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
#define BASE	    UINT64_C(0x40000000)

struct world {
	struct api_lab lab;
	struct ioas_mem *arenas[ARENAS];
	struct ioas_seg segs[ARENAS];
	uint8_t *memory;
};

static void set_limit(unsigned int limit)
{
	FILE *file = fopen(ENTRY_LIMIT, "w");

	CHECK(file);
	CHECK(fprintf(file, "%u", limit) > 0);
	CHECK(fclose(file) == 0);
}

static bool reaches(struct world *world, unsigned int page)
{
	uint8_t *va = world->memory + page * PAGE;
	static uint8_t value;

	memset(va, ++value, PAGE);
	edu_write_memory(&world->lab.edu, BASE + page * PAGE, EDU_TRANSFER_BYTES);
	return !lab_all_bytes_are(va, EDU_TRANSFER_BYTES, value);
}

static void register_arenas(struct world *world)
{
	const uint64_t bytes = ARENA_PAGES * PAGE;

	world->memory = lab_buffer(PAGES * PAGE, 0, 0);
	for (unsigned int i = 0; i < ARENAS; i++) {
		uint8_t *va = world->memory + i * bytes;

		CHECK(ioas_mem_register(world->lab.ctx, va, bytes, &world->arenas[i]) == 0);
		world->segs[i] =
			(struct ioas_seg){ .va = va, .bytes = bytes, .iova = BASE + i * bytes };
	}
}

static uint64_t map_crossings(struct world *world)
{
	struct ioas_stats stats = { .size = sizeof(stats) };

	CHECK(ioas_ctx_stats(world->lab.ctx, &stats) == 0);
	return stats.map_crossings;
}

static void check_map(struct world *world)
{
	const uint64_t before = map_crossings(world);
	const int ret = ioas_map_batch(world->lab.queue, world->segs, ARENAS,
				       IOAS_RW | IOAS_MAP_FIXED | IOAS_MAP_TOGETHER);

	if (ret != ARENAS)
		FAIL("map: %s", ioas_queue_error(world->lab.queue));
	CHECK(map_crossings(world) - before == 1);
	CHECK(reaches(world, 0));
	CHECK(reaches(world, PAGES / 2));
	CHECK(reaches(world, PAGES - 1));
}

static void check_parts(struct world *world)
{
	lab_step("a part of it is refused, and all of it is still reached");
	CHECK(ioas_unmap(world->lab.queue, world->segs[3].iova, world->segs[3].bytes) == -EBUSY);
	printf("    %s\n", ioas_queue_error(world->lab.queue));
	CHECK(ioas_unmap_batch(world->lab.queue, world->segs, ARENAS - 1) == -EBUSY);
	CHECK(ioas_mem_free(world->arenas[3]) == -EBUSY);
	CHECK(reaches(world, 0));
	CHECK(reaches(world, 3 * ARENA_PAGES));
	CHECK(reaches(world, PAGES - 1));
}

static void check_limit(struct world *world)
{
	struct ioas_queue *queue = world->lab.queue;
	ioas_iova_t iova[LIMIT];
	unsigned int count;

	lab_step("single buffers count one by one, up to the limit");
	for (count = 0; count < LIMIT; count++)
		if (ioas_map(queue, world->memory + count * PAGE, PAGE, IOAS_RW, &iova[count]))
			break;
	CHECK(count == LIMIT - 1);
	printf("    %s\n", ioas_queue_error(queue));
	CHECK(strstr(ioas_queue_error(queue), "dma_entry_limit"));
	CHECK(reaches(world, PAGES - 1));
	while (count--)
		CHECK(ioas_unmap(queue, iova[count], PAGE) == 0);
}

int main(void)
{
	static struct world world;

	set_limit(LIMIT);
	api_lab_context(&world.lab, "type1");
	api_lab_set_up(&world.lab, PAGE, PAGE);
	register_arenas(&world);

	lab_step("neighbours, more than the limit");
	check_map(&world);
	check_parts(&world);
	check_limit(&world);

	lab_step("the device leaves and comes back");
	CHECK(ioas_pci_bar_unmap(world.lab.dev, world.lab.registers, world.lab.registers_bytes) ==
	      0);
	CHECK(ioas_detach(world.lab.dev) == 0);
	CHECK(ioas_attach(world.lab.as, world.lab.dev) == 0);
	api_lab_registers_open(&world.lab);
	CHECK(reaches(&world, 5));

	lab_step("it goes as a whole");
	CHECK(ioas_unmap_batch(world.lab.queue, world.segs, ARENAS) == ARENAS);
	CHECK(!reaches(&world, 0));
	CHECK(!reaches(&world, PAGES - 1));
	for (unsigned int i = 0; i < ARENAS; i++)
		CHECK(ioas_mem_free(world.arenas[i]) == 0);
	api_lab_tear_down(&world.lab);
	set_limit(65535);
	return 0;
}
