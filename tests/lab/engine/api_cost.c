// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a batch of maps and a batch of unmaps of registered memory cost on a real kernel, one by one
 * and in batches: system calls, which are exact, and the time of an emulated processor, which is
 * good for comparing backends in one boot and for nothing else. The median and the least of the
 * rounds. A batch of maps has to cost less over ioasid than over each backend that was measured in
 * the same boot before.
 */
#include "../prog/lab_prog.h"
#include "../prog/lab_state.h"

#include <errno.h>
#include <ioas/ioas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE   UINT64_C(4096)
#define PAGES  64
#define ROUNDS 101

struct world {
	const char *options;
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *queue;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *one = a, *other = b;

	return *one < *other ? -1 : *one > *other;
}

/* Scattered pages, in batches of @batch. */
static void fill(struct world *world, struct ioas_seg *segs)
{
	for (int i = 0; i < PAGES; i++)
		segs[i] = (struct ioas_seg){ .va = (char *)ioas_mem_va(world->mem) +
						   (i * 37 % PAGES) * 2 * PAGE,
					     .bytes = PAGE };
}

/* What the backends leave for each other: nanoseconds for a map in a batch. */
static FILE *cost_file(const char *backend, const char *mode)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/shm/api_cost.%s", backend);
	return fopen(path, mode);
}

static void leave_cost(const char *backend, uint64_t ns)
{
	FILE *file = cost_file(backend, "w");

	CHECK(file);
	CHECK(fprintf(file, "%llu\n", (unsigned long long)ns) > 0);
	CHECK(fclose(file) == 0);
}

static void check_cheaper(uint64_t ns, const char *backend)
{
	FILE *file = cost_file(backend, "r");
	unsigned long long other;

	if (!file)
		return;
	CHECK(fscanf(file, "%llu", &other) == 1);
	fclose(file);
	printf("COST in a batch: ioasid %llu ns, %s %llu ns\n", (unsigned long long)ns, backend,
	       other);
	if (ns >= other)
		FAIL("ioasid is not cheaper than %s", backend);
}

static void measure(struct world *world, unsigned int batch)
{
	struct ioas_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	const char *backend = ioas_ctx_backend(world->ctx);
	uint64_t map_ns[ROUNDS], unmap_ns[ROUNDS];
	struct ioas_seg segs[PAGES];
	double calls;

	CHECK(ioas_ctx_stats(world->ctx, &before) == 0);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t begun;

		fill(world, segs);
		begun = now_ns();
		for (unsigned int i = 0; i < PAGES; i += batch)
			CHECK(ioas_map_batch(world->queue, &segs[i], batch, IOAS_RW) == (int)batch);
		map_ns[round] = now_ns() - begun;
		begun = now_ns();
		for (unsigned int i = 0; i < PAGES; i += batch)
			CHECK(ioas_unmap_batch(world->queue, &segs[i], batch) == (int)batch);
		unmap_ns[round] = now_ns() - begun;
	}
	CHECK(ioas_ctx_stats(world->ctx, &after) == 0);
	qsort(map_ns, ROUNDS, sizeof(map_ns[0]), compare);
	qsort(unmap_ns, ROUNDS, sizeof(unmap_ns[0]), compare);
	calls = (double)(after.map_crossings - before.map_crossings) / (PAGES * ROUNDS);
	printf("COST backend=%s%s%s batch=%u calls_per_map=%.4f map_ns=%llu map_min_ns=%llu "
	       "unmap_ns=%llu unmap_min_ns=%llu\n",
	       backend, world->options ? "," : "", world->options ? world->options : "", batch,
	       calls, (unsigned long long)map_ns[ROUNDS / 2] / PAGES,
	       (unsigned long long)map_ns[0] / PAGES,
	       (unsigned long long)unmap_ns[ROUNDS / 2] / PAGES,
	       (unsigned long long)unmap_ns[0] / PAGES);
	if (batch == PAGES && !world->options)
		leave_cost(backend, map_ns[0] / PAGES);
	if (batch == PAGES && !world->options && !strcmp(backend, "ioasid")) {
		check_cheaper(map_ns[0] / PAGES, "type1");
		check_cheaper(map_ns[0] / PAGES, "iommufd");
	}
	if (strcmp(backend, "ioasid"))
		CHECK(calls == 1);
	else if (!world->options)
		CHECK(calls == 1.0 / batch);
	else if (batch > 1) /* a slow poller costs a call for a batch */
		CHECK(calls < 0.5);
}

int main(int argc, char **argv)
{
	const struct ioas_mem_opts mem = { .size = sizeof(mem),
					   .numa_node = IOAS_NUMA_ANY,
					   .bytes = 2 * PAGES * PAGE,
					   .page_bytes = PAGE };
	const struct ioas_opts space = { .size = sizeof(space), .kind = IOAS_KIND_KERNEL };
	struct ioas_ctx_opts opts = { .size = sizeof(opts), .log = ioas_log_stderr };
	struct world world = { .options = argc > 3 ? argv[3] : NULL };
	int ret;

	if (argc < 3)
		FAIL("usage: %s BACKEND vfio|kioas [OPTIONS]", argv[0]);
	if (!strcmp(argv[2], "kioas") && access("/dev/ioasid", F_OK))
		lab_skip("the module kioas is not there");
	lab_bind_devices(strcmp(argv[2], "kioas") ? "vfio-pci" : "kioas");
	opts.backend = argv[1];
	opts.backend_options = world.options;
	ret = ioas_ctx_open(&opts, &world.ctx);
	if (ret == -ENODEV || ret == -EOPNOTSUPP)
		lab_skip("the kernel has no %s%s", argv[1], world.options ? " with that" : "");
	CHECK(ret == 0);
	CHECK(ioas_dev_bind(world.ctx, lab_device("edu"), &world.dev) == 0);
	CHECK(ioas_mem_alloc(world.ctx, &mem, &world.mem) == 0);
	CHECK(ioas_create(world.ctx, &space, &world.as) == 0);
	CHECK(ioas_queue_create(world.as, &world.queue) == 0);
	CHECK(ioas_attach(world.as, world.dev) == 0);
	measure(&world, 1);
	measure(&world, PAGES);
	CHECK(ioas_detach(world.dev) == 0);
	CHECK(ioas_queue_destroy(world.queue) == 0);
	CHECK(ioas_destroy(world.as) == 0);
	CHECK(ioas_mem_free(world.mem) == 0);
	CHECK(ioas_dev_unbind(world.dev) == 0);
	CHECK(ioas_ctx_close(world.ctx) == 0);
	return 0;
}
