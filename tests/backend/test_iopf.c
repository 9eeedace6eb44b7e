/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests through iommufd's queue: groups are answered once, for all of their pages; who may
 * wait; and what becomes of requests whose device has left.
 */
#include "nested_rig.h"

#include <poll.h>
#include <unistd.h>

#define BASE	UINT64_C(0x40000000)
#define READ	1
#define WRITE	2
#define REFUSED (BASE + 64 * PAGE) /* from here on the handler maps nothing, */
#define HOLE	(BASE + 20 * PAGE) /* nor here */

struct handler {
	struct fake_rig *r;
	_Atomic unsigned int calls;
	_Atomic bool hold;
	struct ioas_page_request seen[16];
};

static int handle(void *arg, struct ioas_queue *queue, const struct ioas_page_request *request)
{
	struct handler *handler = arg;
	ioas_iova_t iova = request->iova;
	int ret = -ENOENT;

	handler->seen[handler->calls % 16] = *request;
	if (iova < REFUSED && iova != HOLE)
		ret = ioas_map(queue, fake_page(handler->r, (iova - BASE) / PAGE), PAGE,
			       IOAS_RW | IOAS_MAP_FIXED, &iova);
	handler->calls++;
	while (handler->hold)
		usleep(100);
	return ret;
}

static int begin(void **state)
{
	struct fake_device dev = fake_vtd();

	dev.info.vtd.ecap_reg |= UINT64_C(1) << 29; /* PRS */
	dev.can_wait = true;
	return fake_begin(dev);
}

static int create(struct fake_rig *r, struct handler *handler)
{
	const struct ioas_opts opts = { .size = sizeof(opts),
					.kind = IOAS_KIND_USER,
					.page_request = handle,
					.page_request_arg = handler };
	int ret = ioas_create(r->ctx, &opts, &r->as);

	*handler = (struct handler){ .r = r };
	return ret ? ret : ioas_queue_create(r->as, &r->q);
}

static void start(struct fake_rig *r, struct handler *handler)
{
	fake_rig_open(r);
	assert_int_equal(create(r, handler), 0);
	assert_int_equal(ioas_attach(r->as, r->dev), 0);
}

/* A group of faults of neighbouring pages, of device @number. */
static void ask(unsigned int number, uint32_t cookie, uint64_t iova, unsigned int pages,
		uint32_t perm)
{
	struct uapi_pgfault group[16] = { { .flags = 0 } };

	for (unsigned int i = 0; i < pages; i++)
		group[i] = (struct uapi_pgfault){
			.flags = i + 1 == pages ? 2 : 0,
			.dev_id = fake.devices[number].id,
			.grpid = 5,
			.perm = perm,
			.addr = iova + i * PAGE,
			.cookie = cookie,
		};
	assert_int_equal(write(fake.faults, group, pages * sizeof(group[0])),
			 pages * sizeof(group[0]));
}

/* Return: is there an answer within so long? */
static bool answer(struct uapi_page_response *response, int timeout_ms)
{
	struct pollfd fd = { .fd = fake.faults, .events = POLLIN };

	if (poll(&fd, 1, timeout_ms) <= 0)
		return false;
	assert_int_equal(read(fake.faults, response, sizeof(*response)), sizeof(*response));
	return true;
}

static void assert_answer(uint32_t cookie, uint32_t code)
{
	struct uapi_page_response response;

	assert_true(answer(&response, 10000));
	assert_int_equal(response.cookie, cookie);
	assert_int_equal(response.code, code);
}

static bool is_mapped(struct fake_rig *r, uint64_t iova)
{
	void *va;

	return !ioas_lookup(r->q, iova, &va, NULL) && va == fake_page(r, (iova - BASE) / PAGE);
}

static void groups(void **state)
{
	struct ioas_stats stats = { .size = sizeof(stats) };
	struct uapi_page_response none;
	struct handler handler;
	struct ioas_fault fault;
	struct fake_rig r;

	start(&r, &handler);
	assert_int_equal(fake_table(0)->data_type, UAPI_HWPT_DATA_VTD_S1);
	assert_true(fake_table(0)->on_queue > 0);
	ask(0, 7, BASE, 1, READ);
	assert_answer(7, 0);
	assert_true(is_mapped(&r, BASE));
	assert_int_equal(handler.seen[0].prot, IOAS_READ);
	assert_ptr_equal(handler.seen[0].dev, r.dev);
	assert_ptr_equal(handler.seen[0].as, r.as);

	/* One answer for three pages, after the last of them. */
	ask(0, 8, BASE + 4 * PAGE + 0x123, 3, READ | WRITE);
	assert_answer(8, 0);
	for (unsigned int i = 4; i < 7; i++)
		assert_true(is_mapped(&r, BASE + i * PAGE));
	assert_int_equal(handler.calls, 4);
	assert_int_equal(handler.seen[1].prot, IOAS_RW);
	assert_int_equal(handler.seen[3].iova, BASE + 6 * PAGE);

	/* The last page of it is refused, or the first: so is the group; the next one is not. */
	ask(0, 9, REFUSED - PAGE, 2, WRITE);
	ask(0, 10, BASE + 10 * PAGE, 1, WRITE);
	assert_answer(9, 1);
	assert_answer(10, 0);
	ask(0, 12, HOLE, 3, WRITE);
	assert_answer(12, 1);
	assert_int_equal(ioas_fault_poll(r.ctx, &fault, 1), 1);
	assert_int_equal(fault.iova, REFUSED);
	assert_int_equal(fault.prot, IOAS_WRITE);
	assert_ptr_equal(fault.dev, r.dev);
	assert_int_equal(ioas_fault_poll(r.ctx, &fault, 1), 1);
	assert_int_equal(fault.iova, HOLE);

	/* Of a device that nobody knows. */
	fake.devices[1].id = 4711;
	ask(1, 11, BASE, 2, READ);
	assert_answer(11, 1);
	assert_answer(11, 1);
	assert_false(answer(&none, 100));
	assert_int_equal(ioas_ctx_stats(r.ctx, &stats), 0);
	assert_int_equal(stats.page_requests, 10);
	assert_int_equal(stats.page_requests_refused, 2);
	fake_rig_stop(&r);
}

/* What a device has asked for before it left is asked for no more. */
static void detached(void **state)
{
	struct uapi_page_response none;
	struct handler handler;
	struct fake_rig r;

	start(&r, &handler);
	handler.hold = true;
	ask(0, 1, BASE, 1, READ);
	while (!handler.calls)
		usleep(100);
	ask(0, 2, BASE + PAGE, 1, READ);
	handler.hold = false;
	assert_answer(1, 0);
	assert_answer(2, 0);
	handler.hold = true;
	ask(0, 3, BASE + 2 * PAGE, 4, READ);
	while (handler.calls < 3)
		usleep(100);
	assert_int_equal(ioas_detach(r.dev), 0);
	handler.hold = false;
	assert_false(answer(&none, 200));
	assert_int_equal(handler.calls, 3);
	fake_rig_destroy(&r);
	fake_rig_close(&r);
}

static void who_can_wait(void **state)
{
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct handler handler;
	struct fake_rig r;

	/* The device itself cannot: an error that says so, and nothing is left. */
	fake.devices[0].can_wait = false;
	fake_rig_open(&r);
	assert_int_equal(create(&r, &handler), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), -EOPNOTSUPP);
	assert_error(&r, "cannot wait for pages");
	fake_rig_destroy(&r);
	/* Without a handler it need not. */
	assert_int_equal(fake_rig_create(&r, NULL, IOAS_FORMAT_NONE), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	assert_int_equal(fake_table(0)->on_queue, 0);
	fake_rig_stop(&r);

	/* Its IOMMU cannot. */
	begin(NULL);
	fake.devices[0].info.vtd.ecap_reg &= ~(UINT64_C(1) << 29);
	fake_rig_open(&r);
	assert_int_equal(ioas_ctx_caps(r.ctx, &caps), 0);
	assert_int_equal(caps.page_requests, 0);
	assert_int_equal(create(&r, &handler), -EOPNOTSUPP);
	assert_error(&r, "page_request");
	fake_rig_close(&r);

	begin_smmuv3(NULL);
	fake_rig_open(&r);
	assert_true(kinds_of(&r) & 1 << IOAS_KIND_USER);
	assert_int_equal(create(&r, &handler), -EOPNOTSUPP);
	fake_rig_close(&r);
}

/* Every request that the attachment takes fails once. */
static void failing_requests(void **state)
{
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	unsigned int failures = 0;
	struct handler handler;
	bool failed = true;
	struct fake_rig r;

	fake_rig_open(&r);
	assert_int_equal(fake_rig_create(&r, NULL, IOAS_FORMAT_NONE), 0);
	fake_rig_destroy(&r);
	for (unsigned int nth = 1; failed; nth++) {
		unsigned int before = fake_count();
		struct ioas *parent;
		struct ioas_opts user = { .size = sizeof(user),
					  .kind = IOAS_KIND_USER,
					  .page_request = handle,
					  .page_request_arg = &handler };

		assert_int_equal(ioas_create(r.ctx, &opts, &parent), 0);
		user.parent = parent;
		assert_int_equal(ioas_create(r.ctx, &user, &r.as), 0);
		fake.fail_at = nth;
		fake.fail_with = ENOMEM;
		if (ioas_attach(r.as, r.dev)) {
			failures++;
			assert_int_equal(ioas_attach(r.as, r.dev), 0);
		}
		failed = !fake.fail_at;
		fake.fail_at = 0;
		assert_int_equal(ioas_detach(r.dev), 0);
		assert_int_equal(ioas_destroy(r.as), 0);
		assert_int_equal(ioas_destroy(parent), 0);
		assert_int_equal(fake_count(), before);
	}
	/* Parent, queue, table, attachment. */
	assert_int_equal(failures, 4);
	fake_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(groups, begin),
		cmocka_unit_test_setup(detached, begin),
		cmocka_unit_test_setup(who_can_wait, begin),
		cmocka_unit_test_setup(failing_requests, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
