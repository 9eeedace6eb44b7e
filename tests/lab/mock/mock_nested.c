// SPDX-License-Identifier: BSD-3-Clause
/*
 * USER spaces on the kernel's mock IOMMU, with and without a vIOMMU: an unmap invalidates what it
 * should and nothing else, whatever the kernel refuses; events are reported or counted; and a
 * struct that the kernel's driver does not take is an error that leaves nothing behind.
 */
#include "mock_lab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IOVA UINT64_C(0x40000000)

static void start(struct mock_lab *lab, const struct nested_ops *make)
{
	mock_open(lab, make);
	mock_create(lab, NULL);
	if (ioas_attach(lab->as, lab->dev)) {
		char text[256];

		ioas_ctx_error(lab->ctx, text, sizeof(text));
		FAIL("attach: %s", text);
	}
}

static void stop(struct mock_lab *lab)
{
	CHECK(ioas_detach(lab->dev) == 0);
	mock_destroy(lab);
	mock_close(lab);
}

static uint64_t calls(struct mock_lab *lab)
{
	struct ioas_stats stats = { .size = sizeof(stats) };

	CHECK(ioas_ctx_stats(lab->ctx, &stats) == 0);
	return stats.inval_crossings;
}

static void check_cached(struct mock_lab *lab, const bool cached[MOCK_CACHED])
{
	for (unsigned int i = 0; i < MOCK_CACHED; i++)
		if (mock_is_cached(lab, i) != cached[i])
			FAIL("entry %u is %s", i, cached[i] ? "gone" : "still there");
}

/* Every other page, so that they are ranges of their own. */
static void check_unmap(struct mock_lab *lab)
{
	const struct ioas_seg segs[2] = { { .iova = IOVA + 1 * PAGE, .bytes = PAGE },
					  { .iova = IOVA + 3 * PAGE, .bytes = PAGE } };
	uint64_t before = calls(lab);

	for (unsigned int i = 0; i < MOCK_CACHED; i++)
		mock_map(lab, IOVA + i * PAGE);
	CHECK(calls(lab) == before);
	check_cached(lab, (bool[]){ true, true, true, true });
	CHECK(ioas_unmap_batch(lab->queue, segs, 2) == 2);
	CHECK(calls(lab) == before + 1);
	check_cached(lab, (bool[]){ true, false, true, false });
}

/* The second of three is refused: by then the mock has done the first, Arm's driver nothing. */
static void check_refused(struct mock_lab *lab)
{
	const struct ioas_seg segs[3] = { { .iova = IOVA + 0 * PAGE, .bytes = PAGE },
					  { .iova = MOCK_BAD_IOVA, .bytes = PAGE },
					  { .iova = MOCK_BAD_IOVA + 2 * PAGE, .bytes = PAGE } };
	uint64_t before = calls(lab);

	mock_map(lab, segs[1].iova);
	mock_map(lab, segs[2].iova);
	CHECK(ioas_unmap_batch(lab->queue, segs, 3) == 3);
	CHECK(calls(lab) == before + 2);
	check_cached(lab, (bool[]){ false, false, false, false });
}

static void run(const struct nested_ops *make)
{
	struct mock_lab lab;

	start(&lab, make);
	lab_step("maps make no call, a batch of unmaps makes one, for what was unmapped");
	check_unmap(&lab);
	lab_step("a batch that is refused in the middle is done as a whole");
	check_refused(&lab);
	mock_check_pins(&lab, 1);
	stop(&lab);
}

static uint64_t poll_all(struct mock_lab *lab)
{
	struct ioas_fault faults[64];
	uint64_t total = 0;
	int count;

	while ((count = ioas_fault_poll(lab->ctx, faults, 64)) > 0) {
		for (int i = 0; i < count; i++)
			CHECK(faults[i].dev == lab->dev);
		total += count;
	}
	CHECK(count == 0);
	return total;
}

static void check_events(void)
{
	struct ioas_stats stats = { .size = sizeof(stats) };
	const uint64_t flood = 1500;
	uint64_t polled;
	struct mock_lab lab;

	start(&lab, &mock_viommu);
	lab_step("events name the device; of a flood every one is reported or counted");
	CHECK(poll_all(&lab) == 0);
	CHECK(mock_trigger_event(&lab) == 0);
	CHECK(poll_all(&lab) == 1);
	for (uint64_t i = 0; i < flood; i++)
		CHECK(mock_trigger_event(&lab) == 0);
	polled = poll_all(&lab);
	for (uint64_t i = 0; i < 10; i++)
		CHECK(mock_trigger_event(&lab) == 0);
	CHECK(poll_all(&lab) == 10);
	CHECK(ioas_ctx_stats(lab.ctx, &stats) == 0);
	printf("    %llu of %llu reported\n", (unsigned long long)polled,
	       (unsigned long long)flood);
	CHECK(polled < flood);
	CHECK(stats.faults == flood + 11);
	CHECK(stats.faults_lost == flood - polled);
	stop(&lab);
}

/* VT-d's struct, which the mock's driver does not take. */
static void check_unknown(void)
{
	struct mock_lab lab;
	char text[256];

	lab_step("a table that the kernel's driver does not take");
	mock_open(&lab, &mock_vtd);
	mock_create(&lab, NULL);
	for (int i = 0; i < 3; i++) {
		CHECK(ioas_attach(lab.as, lab.dev) == -EOPNOTSUPP);
		ioas_ctx_error(lab.ctx, text, sizeof(text));
		CHECK(strstr(text, "no nested page table"));
	}
	mock_destroy(&lab);
	mock_close(&lab);
}

int main(void)
{
	run(&mock_plain);
	run(&mock_viommu);
	check_events();
	check_unknown();
	return 0;
}
