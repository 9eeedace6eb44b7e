// SPDX-License-Identifier: BSD-3-Clause
/*
 * Everything that a USER space asks of the kernel, on the mock IOMMU, again and again while the
 * kernel's first, second, third... allocation fails, and with a kernel made for tests each look-up
 * of an object, too: attaching, unmapping, reading events. What fails leaves no object behind
 * (those under it could not be destroyed) and no pin, and works when it is done again; an unmap
 * that says that it is done is done.
 */
#include "../prog/fail_nth.h"
#include "mock_lab.h"

#include <errno.h>
#include <stdio.h>

#define IOVA UINT64_C(0x40000000)

static int never(void *arg, struct ioas_queue *queue, const struct ioas_page_request *request)
{
	FAIL("a page request from nowhere");
}

/* With a parent of its own, so that everything has to be made. */
static void check_attach(struct mock_lab *lab, ioas_page_request_fn handler)
{
	unsigned int failures = 0;
	bool failed = true;

	lab_step(handler ? "attaching, with page requests" : "attaching");
	for (unsigned int nth = 1; failed; nth++) {
		struct ioas *parent = mock_parent(lab);
		int ret;

		mock_create_on_demand(lab, parent, handler, NULL);
		fail_nth_begin(nth);
		ret = ioas_attach(lab->as, lab->dev);
		failed = fail_nth_end();
		if (ret) {
			CHECK(failed);
			failures++;
			CHECK(ioas_attach(lab->as, lab->dev) == 0);
		}
		CHECK(ioas_detach(lab->dev) == 0);
		mock_destroy(lab);
		CHECK(ioas_destroy(parent) == 0);
		mock_check_pins(lab, 0);
	}
	printf("    failed %u times\n", failures);
	CHECK(failures > 3);
}

static void check_unmap(struct mock_lab *lab)
{
	unsigned int injected = 0, failures = 0;
	bool failed = true;

	lab_step("unmapping");
	for (unsigned int nth = 1; failed; nth++) {
		int ret;

		mock_create(lab, NULL);
		CHECK(ioas_attach(lab->as, lab->dev) == 0);
		mock_map(lab, IOVA);
		fail_nth_begin(nth);
		ret = ioas_unmap(lab->queue, IOVA, PAGE);
		failed = fail_nth_end();
		injected += failed;
		if (ret) {
			failures++;
			CHECK(ioas_flush(lab->queue) == 0);
		}
		CHECK(!mock_is_cached(lab, 0));
		CHECK(ioas_detach(lab->dev) == 0);
		mock_destroy(lab);
	}
	printf("    failed %u times, of %u\n", failures, injected);
	CHECK(injected > 0);
}

/* What has no room is lost, and counted. */
static void check_events(struct mock_lab *lab)
{
	struct ioas_stats before = { .size = sizeof(before) }, after = before;
	unsigned int triggered = 0, reported = 0;
	struct ioas_fault faults[8];
	bool failed = true;

	lab_step("events");
	mock_create(lab, NULL);
	CHECK(ioas_attach(lab->as, lab->dev) == 0);
	CHECK(ioas_ctx_stats(lab->ctx, &before) == 0);
	for (unsigned int nth = 1; failed; nth++) {
		int count, ret;

		fail_nth_begin(nth);
		ret = mock_trigger_event(lab);
		if (!ret)
			count = ioas_fault_poll(lab->ctx, faults, 8);
		failed = fail_nth_end();
		/* Either the kernel did not find the device, or it had no room for the event. */
		CHECK(!ret || ret == -ENOENT || ret == -ENOMEM);
		triggered += ret != -ENOENT;
		/* The next one tells what became of the one before. */
		CHECK(mock_trigger_event(lab) == 0);
		triggered++;
		reported += ret ? 0 : count;
		while ((count = ioas_fault_poll(lab->ctx, faults, 8)) > 0)
			reported += count;
	}
	CHECK(ioas_ctx_stats(lab->ctx, &after) == 0);
	printf("    %u of %u reported\n", reported, triggered);
	CHECK(after.faults - before.faults == triggered);
	CHECK(after.faults_lost - before.faults_lost == triggered - reported);
	CHECK(reported < triggered);
	CHECK(ioas_detach(lab->dev) == 0);
	mock_destroy(lab);
}

int main(void)
{
	static const struct nested_ops *const makes[] = { &mock_plain, &mock_viommu };
	struct mock_lab lab;

	for (int i = 0; i < 2; i++) {
		mock_open(&lab, makes[i]);
		if (!i)
			fail_nth_open();
		check_attach(&lab, NULL);
		check_attach(&lab, never);
		check_unmap(&lab);
		if (makes[i]->event_bytes)
			check_events(&lab);
		mock_close(&lab);
	}
	return 0;
}
