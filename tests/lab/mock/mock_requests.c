// SPDX-License-Identifier: BSD-3-Clause
/*
 * Page requests through the kernel's queue of faults, triggered on the mock IOMMU: each reaches the
 * handler, whose mapping is in the table when the device tries again; each is answered once; those
 * of a device that leaves are not waited for.
 */
#include "mock_lab.h"

#include <stdio.h>
#include <unistd.h>

#define IOVA  UINT64_C(0x40000000)
#define BAD   (IOVA + 64 * PAGE) /* from here on nothing is mapped */
#define FLOOD 2000

struct handler {
	struct mock_lab *lab;
	_Atomic uint64_t calls;
	struct ioas_page_request last;
	_Atomic bool hold;
};

static int handle(void *arg, struct ioas_queue *queue, const struct ioas_page_request *request)
{
	struct handler *handler = arg;
	ioas_iova_t iova = request->iova;
	int ret = -1;

	handler->last = *request;
	if (iova < BAD)
		ret = ioas_map(queue, mock_page(handler->lab, (iova - IOVA) / PAGE), PAGE,
			       IOAS_RW | IOAS_MAP_FIXED, &iova);
	handler->calls++;
	while (handler->hold)
		usleep(100);
	return ret;
}

static struct ioas_stats stats_of(struct mock_lab *lab)
{
	struct ioas_stats stats = { .size = sizeof(stats) };

	CHECK(ioas_ctx_stats(lab->ctx, &stats) == 0);
	return stats;
}

static void wait_for(struct mock_lab *lab, uint64_t requests)
{
	for (int tries = 0; stats_of(lab).page_requests < requests; tries++) {
		CHECK(tries < 10000);
		usleep(1000);
	}
	CHECK(stats_of(lab).page_requests == requests);
}

static void check_served(struct mock_lab *lab, struct handler *handler)
{
	void *va;

	lab_step("what a device asks for is mapped when it is answered");
	for (unsigned int i = 0; i < 32; i++) {
		const ioas_iova_t iova = IOVA + i * PAGE;
		const uint32_t prot = i & 1 ? IOAS_READ : IOAS_WRITE;

		mock_trigger_request(lab, iova + 0x123, prot);
		wait_for(lab, i + 1);
		CHECK(handler->last.iova == iova);
		CHECK(handler->last.prot == prot);
		CHECK(handler->last.dev == lab->dev && handler->last.as == lab->as);
		CHECK(ioas_lookup(lab->queue, iova, &va, NULL) == 0);
		CHECK(va == mock_page(lab, i));
	}
	CHECK(stats_of(lab).faults == 0);
}

static void check_refused(struct mock_lab *lab)
{
	struct ioas_stats before = stats_of(lab);
	struct ioas_fault fault;

	lab_step("what the handler refuses is a fault; of a flood none is lost");
	for (int i = 0; i < FLOOD; i++)
		mock_trigger_request(lab, BAD + i * PAGE, IOAS_WRITE);
	wait_for(lab, before.page_requests + FLOOD);
	CHECK(stats_of(lab).page_requests_refused == FLOOD);
	CHECK(stats_of(lab).faults - before.faults == FLOOD);
	CHECK(stats_of(lab).faults_lost == 0);
	for (uint64_t i = 0; i < FLOOD; i++) {
		CHECK(ioas_fault_poll(lab->ctx, &fault, 1) == 1);
		CHECK(fault.dev == lab->dev && fault.iova == BAD + i * PAGE);
	}
}

/* One is with the handler, others are in our hands, others still in the kernel's. */
static void check_detach(struct mock_lab *lab, struct handler *handler)
{
	uint64_t calls = handler->calls;

	lab_step("a device that leaves waits for nothing any more");
	handler->hold = true;
	for (int i = 0; i < 8; i++)
		mock_trigger_request(lab, BAD, IOAS_READ);
	while (handler->calls == calls)
		usleep(100);
	for (int i = 0; i < 8; i++)
		mock_trigger_request(lab, BAD, IOAS_READ);
	CHECK(ioas_detach(lab->dev) == 0);
	handler->hold = false;
	usleep(100000);
	CHECK(handler->calls == calls + 1);
	CHECK(ioas_attach(lab->as, lab->dev) == 0);
	mock_trigger_request(lab, BAD, IOAS_READ);
	while (handler->calls == calls + 1)
		usleep(100);
}

int main(void)
{
	static const struct nested_ops *const makes[] = { &mock_plain, &mock_viommu };

	for (int i = 0; i < 2; i++) {
		struct mock_lab lab;
		struct handler handler = { .lab = &lab };

		mock_open(&lab, makes[i]);
		mock_create_on_demand(&lab, NULL, handle, &handler);
		CHECK(ioas_attach(lab.as, lab.dev) == 0);
		check_served(&lab, &handler);
		check_refused(&lab);
		check_detach(&lab, &handler);
		CHECK(ioas_detach(lab.dev) == 0);
		mock_destroy(&lab);
		mock_close(&lab);
	}
	return 0;
}
