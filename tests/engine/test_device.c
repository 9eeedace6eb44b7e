/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices: bound once, blocked until attached, and moved from space to space without a gap. */
#include "rig.h"

static void binding(void **state)
{
	struct ioas_ctx *ctx = ctx_new("units=2");
	struct ioas_dev *a, *b, *again;

	(void)state;
	assert_int_equal(ioas_dev_bind(ctx, "0000:00:04.0", &a), 0);
	assert_string_equal(ioas_dev_name(a), "0000:00:04.0");
	assert_int_equal(ioas_dev_bind(ctx, "0000:00:04.0", &again), -EBUSY);
	assert_true(ctx_says(ctx, "0000:00:04.0"));
	assert_int_equal(ioas_dev_bind(ctx, "", &again), -EINVAL);
	assert_true(ctx_says(ctx, "name"));
	assert_int_equal(ioas_dev_bind(ctx, "nic@2", &again), -ENODEV);
	assert_true(ctx_says(ctx, "nic@2"));
	assert_int_equal(ioas_dev_bind(ctx, "nic@1", &b), 0);
	assert_string_equal(ioas_dev_name(b), "nic@1");
	assert_int_equal(ioas_dev_unbind(a), 0);
	assert_int_equal(ioas_dev_bind(ctx, "0000:00:04.0", &a), 0);
	assert_int_equal(ioas_dev_unbind(a), 0);
	assert_int_equal(ioas_dev_unbind(b), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void too_many(void **state)
{
	static struct ioas_dev *devs[100000];
	struct ioas_ctx *ctx = ctx_new(NULL);
	unsigned int count = 0;
	char name[32];
	int ret = 0;

	(void)state;
	while (count < 100000) {
		snprintf(name, sizeof(name), "device-%u", count);
		ret = ioas_dev_bind(ctx, name, &devs[count]);
		if (ret)
			break;
		count++;
	}
	printf("# %u devices\n", count);
	assert_int_equal(ret, -ENOSPC);
	assert_true(count >= 16);
	assert_int_equal(ioas_dev_unbind(devs[count / 2]), 0);
	assert_int_equal(ioas_dev_bind(ctx, "one more", &devs[count / 2]), 0);
	assert_int_equal(ioas_dev_bind(ctx, "two more", &devs[count]), -ENOSPC);
	while (count--)
		assert_int_equal(ioas_dev_unbind(devs[count]), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void blocked_until_attached(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	assert_int_equal(reason_of(&r, (uintptr_t)r.va, IOAS_WRITE), IOAS_FAULT_BLOCKED);
	assert_int_equal(ioas_detach(r.dev), -ENOENT);
	r.as = space_new(r.ctx, &(struct flavour){ .kind = IOAS_KIND_PASSTHROUGH });
	assert_int_equal(reason_of(&r, (uintptr_t)r.va, IOAS_READ), IOAS_FAULT_BLOCKED);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	assert_true(reaches(&r, (uintptr_t)r.va, r.va, RIG_BYTES));
	assert_int_equal(ioas_dev_unbind(r.dev), -EBUSY);
	assert_true(ctx_says(r.ctx, "nic"));
	assert_true(writes(&r, (uintptr_t)r.va, r.va));
	assert_int_equal(ioas_detach(r.dev), 0);
	assert_int_equal(reason_of(&r, (uintptr_t)r.va, IOAS_WRITE), IOAS_FAULT_BLOCKED);
	assert_int_equal(ioas_detach(r.dev), -ENOENT);
	assert_int_equal(ioas_destroy(r.as), 0);
	rig_close(&r);
}

/* Blocked at once: with translations in the IOTLB. And a later space does not inherit them. */
static void detach_forgets(void **state)
{
	struct rig r;
	ioas_iova_t iova;

	rig_start(&r, *state, NULL);
	for (unsigned int i = 0; i < 200; i++) {
		assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova), 0);
		assert_true(writes(&r, iova, r.va));
		assert_int_equal(ioas_detach(r.dev), 0);
		assert_int_equal(reason_of(&r, iova, IOAS_WRITE), IOAS_FAULT_BLOCKED);
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
		assert_int_equal(ioas_flush(r.q), 0);
		assert_int_equal(ioas_attach(r.as, r.dev), 0);
		assert_int_equal(reason_of(&r, iova, IOAS_WRITE), IOAS_FAULT_NOT_PRESENT);
	}
	rig_stop(&r);
}

struct swap {
	struct rig r;
	_Atomic bool stop;
	uint64_t accesses;
	uint64_t stopped;
	uint64_t elsewhere;
};

static void *swap_device(void *arg)
{
	struct swap *s = arg;

	while (!atomic_load(&s->stop)) {
		size_t bytes = 8;
		uint8_t *at;

		ioas_soft_dma_begin(s->r.dev);
		at = ioas_soft_dma_ptr(s->r.dev, GIB(3), &bytes, IOAS_WRITE);
		ioas_soft_dma_end(s->r.dev);
		s->accesses++;
		s->stopped += !at;
		s->elsewhere += at && at != s->r.va && at != s->r.va + MIB(2);
	}
	return NULL;
}

/* Attaching an attached device: each DMA goes through the old space or the new one. */
static void replaced_without_a_gap(void **state)
{
	static struct swap s;
	struct ioas_queue *q;
	struct ioas *other;
	pthread_t thread;
	ioas_iova_t iova = GIB(3);

	memset(&s, 0, sizeof(s));
	rig_start(&s.r, *state, NULL);
	other = space_new(s.r.ctx, &kernel_flavour);
	q = queue_new(other);
	assert_int_equal(ioas_map(s.r.q, s.r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
	assert_int_equal(ioas_map(q, s.r.va + MIB(2), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova), 0);
	assert_true(writes(&s.r, iova, s.r.va));
	assert_int_equal(pthread_create(&thread, NULL, swap_device, &s), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		assert_int_equal(ioas_attach(i & 1 ? s.r.as : other, s.r.dev), 0);
		/* The old space is out of the caches. */
		if (i % 8 < 2)
			assert_true(writes(&s.r, iova, i & 1 ? s.r.va : s.r.va + MIB(2)));
	}
	assert_int_equal(ioas_attach(s.r.as, s.r.dev), 0);
	assert_int_equal(ioas_attach(s.r.as, s.r.dev), 0); /* by itself */
	assert_true(writes(&s.r, iova, s.r.va));
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	printf("# %lu accesses\n", s.accesses);
	assert_int_equal(s.stopped, 0);
	assert_int_equal(s.elsewhere, 0);
	assert_int_equal(ioas_unmap(s.r.q, iova, PAGE), 0);
	assert_int_equal(ioas_unmap(q, iova, PAGE), 0);
	assert_int_equal(ioas_queue_destroy(q), 0);
	assert_int_equal(ioas_destroy(other), 0);
	rig_stop(&s.r);
}

/* Two units have caches of their own: an unmap reaches both. */
static void devices_share_a_space(void **state)
{
	struct ioas_dev *devs[4], *first;
	static const char *const names[] = { "a@0", "b@1", "c@2", "d@2" };
	ioas_iova_t iova;
	struct rig r;

	rig_start(&r, *state, "units=3");
	first = r.dev;
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(ioas_dev_bind(r.ctx, names[i], &devs[i]), 0);
		assert_int_equal(ioas_attach(r.as, devs[i]), 0);
	}
	for (unsigned int round = 0; round < 100; round++) {
		uint8_t *va = r.va + round % RIG_PAGES * PAGE;

		assert_int_equal(ioas_map(r.q, va, PAGE, IOAS_RW, &iova), 0);
		for (unsigned int i = 0; i < 4; i++) {
			r.dev = devs[i];
			assert_true(writes(&r, iova, va));
		}
		assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
		assert_int_equal(ioas_flush(r.q), 0);
		for (unsigned int i = 0; i < 4; i++) {
			r.dev = devs[i];
			assert_true(refused(&r, iova, PAGE));
		}
		drain_faults(&r);
	}
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(ioas_detach(devs[i]), 0);
		assert_int_equal(ioas_dev_unbind(devs[i]), 0);
	}
	r.dev = first;
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(binding),
		cmocka_unit_test(too_many),
		cmocka_unit_test(blocked_until_attached),
		ALL_FLAVOURS(detach_forgets),
		TEST_OF(replaced_without_a_gap, user),
		TEST_OF(replaced_without_a_gap, kernel),
		ALL_FLAVOURS(devices_share_a_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
