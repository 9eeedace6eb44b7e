// SPDX-License-Identifier: BSD-3-Clause
/* See user_lab.h. */
#include "user_lab.h"

#include "../prog/lab_state.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Atomic int destroy_errors;

static void log_line(void *arg, enum ioas_log_level level, const char *line)
{
	if (strstr(line, "IOMMU_DESTROY") || strstr(line, "IOASID_FREE"))
		destroy_errors++;
	ioas_log_stderr(arg, level, line);
}

int user_lab_destroy_errors(void)
{
	return destroy_errors;
}

void user_lab_open(struct user_lab *lab, int argc, char **argv)
{
	const char *backend = argc > 1 ? argv[1] : "iommufd";
	const struct ioas_ctx_opts opts = { .size = sizeof(opts),
					    .backend = backend,
					    .log = log_line };
	const struct ioas_mem_opts mem = { .size = sizeof(mem),
					   .numa_node = IOAS_NUMA_ANY,
					   .bytes = PAGES * PAGE };

	lab->shadowed = !strcmp(backend, "ioasid");
	lab->map_calls = lab->shadowed;
	lab->caps.size = sizeof(lab->caps);
	if (access(lab->shadowed ? "/dev/ioasid" : "/dev/iommu", F_OK))
		lab_skip("the kernel has no %s", backend);
	lab_bind_devices(lab->shadowed ? "kioas" : "vfio-pci");
	CHECK(ioas_ctx_open(&opts, &lab->ctx) == 0);
	CHECK(ioas_dev_bind(lab->ctx, lab_device("edu"), &lab->dev) == 0);
	CHECK(ioas_ctx_caps(lab->ctx, &lab->caps) == 0);
	if (!(lab->caps.kinds & 1U << IOAS_KIND_USER))
		lab_skip("the IOMMU takes no USER spaces");
	CHECK(ioas_mem_alloc(lab->ctx, &mem, &lab->mem) == 0);
}

void user_lab_close(struct user_lab *lab)
{
	CHECK(ioas_mem_free(lab->mem) == 0);
	CHECK(ioas_dev_unbind(lab->dev) == 0);
	CHECK(ioas_ctx_close(lab->ctx) == 0);
	CHECK(user_lab_destroy_errors() == 0);
}

void user_lab_registers_open(struct user_lab *lab)
{
	CHECK(ioas_pci_bus_master(lab->dev, true) == 0);
	CHECK(ioas_pci_bar_map(lab->dev, 0, &lab->registers, &lab->registers_bytes) == 0);
	edu_open_registers(&lab->edu, lab->registers);
}

void user_lab_registers_close(struct user_lab *lab)
{
	CHECK(ioas_pci_bar_unmap(lab->dev, lab->registers, lab->registers_bytes) == 0);
}

void user_lab_stats(struct user_lab *lab, struct ioas_stats *stats)
{
	*stats = (struct ioas_stats){ .size = sizeof(*stats) };
	CHECK(ioas_ctx_stats(lab->ctx, stats) == 0);
}

void *user_page(struct user_lab *lab, int page)
{
	return (char *)ioas_mem_va(lab->mem) + page * PAGE;
}

void user_space_open(struct user_lab *lab, struct user_space *space, enum ioas_mode mode,
		     struct ioas *parent)
{
	const struct ioas_opts opts = {
		.size = sizeof(opts),
		.kind = IOAS_KIND_USER,
		.mode = mode,
		.parent = parent,
		/* Nothing leaves by itself: the tests say when. */
		.batch_ns = mode == IOAS_BATCHED ? UINT64_C(60000000000) : 0,
	};

	CHECK(ioas_create(lab->ctx, &opts, &space->as) == 0);
	CHECK(ioas_queue_create(space->as, &space->queue) == 0);
}

void user_space_close(struct user_space *space)
{
	CHECK(ioas_queue_destroy(space->queue) == 0);
	CHECK(ioas_destroy(space->as) == 0);
}

ioas_iova_t user_map(struct user_space *space, void *va, uint32_t prot)
{
	ioas_iova_t iova;

	if (ioas_map(space->queue, va, PAGE, prot, &iova))
		FAIL("map: %s", ioas_queue_error(space->queue));
	return iova;
}

void user_unmap(struct user_space *space, ioas_iova_t iova)
{
	if (ioas_unmap(space->queue, iova, PAGE))
		FAIL("unmap: %s", ioas_queue_error(space->queue));
}

static uint8_t next_value(void)
{
	static uint8_t value;

	return ++value;
}

bool user_reaches(struct user_lab *lab, ioas_iova_t iova, int page)
{
	const uint8_t value = next_value();

	memset(user_page(lab, page), value, PAGE);
	edu_write_memory(&lab->edu, iova, EDU_TRANSFER_BYTES);
	return !lab_all_bytes_are(user_page(lab, page), EDU_TRANSFER_BYTES, value);
}

/*
 * edu gives back what it has read by writing it elsewhere, which takes a mapping of its own; but
 * nothing is read where there is a fault, so the faults tell.
 */
bool user_is_read(struct user_lab *lab, ioas_iova_t iova, int page)
{
	struct ioas_stats before, after;

	memset(user_page(lab, page), next_value(), PAGE);
	user_lab_stats(lab, &before);
	edu_read_memory(&lab->edu, iova, EDU_TRANSFER_BYTES);
	usleep(20000);
	user_lab_stats(lab, &after);
	return after.faults == before.faults;
}

void user_check_fault(struct user_lab *lab, ioas_iova_t iova, enum ioas_fault_reason reason,
		      uint32_t prot)
{
	struct ioas_fault faults[64];
	int count, total = 0, quiet = 0;

	/* One transfer is several accesses, whose faults need not come together. */
	for (int tries = 0; tries < 400 && quiet < 4; tries++) {
		count = ioas_fault_poll(lab->ctx, faults, 64);
		CHECK(count >= 0);
		for (int i = 0; i < count; i++)
			if (faults[i].dev != lab->dev || faults[i].iova != (iova & ~(PAGE - 1)) ||
			    faults[i].reason != reason || faults[i].prot != prot)
				FAIL("fault: device %p, IOVA 0x%llx, reason %u, prot %u",
				     (void *)faults[i].dev, (unsigned long long)faults[i].iova,
				     faults[i].reason, faults[i].prot);
		total += count;
		quiet = !total || count ? 0 : quiet + 1;
		if (lab->shadowed)
			return;
		usleep(5000);
	}
	if (!total)
		FAIL("no fault at IOVA 0x%llx", (unsigned long long)iova);
}

int user_drop_faults(struct user_lab *lab)
{
	struct ioas_fault faults[64];
	int total = 0;

	for (int quiet = 0; quiet < 4; quiet++) {
		int count = ioas_fault_poll(lab->ctx, faults, 64);

		CHECK(count >= 0);
		total += count;
		quiet = count ? 0 : quiet;
		usleep(5000);
	}
	return total;
}

void user_check_no_fault(struct user_lab *lab)
{
	struct ioas_fault fault;

	usleep(20000);
	if (ioas_fault_poll(lab->ctx, &fault, 1))
		FAIL("fault: device %p, IOVA 0x%llx, reason %u, prot %u", (void *)fault.dev,
		     (unsigned long long)fault.iova, fault.reason, fault.prot);
}
