/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The path that all makes of IOMMUs share: what a refused or failed request leaves behind, what is
 * done again, and which devices may be on one table.
 */
#include "nested_rig.h"

static bool is_arm(void)
{
	return fake.devices[0].info_type == UAPI_HW_INFO_ARM_SMMUV3;
}

/* Did an entry go through that covers everything of the space? */
static bool all_is_done(void)
{
	const uint64_t *last = fake.entries[fake.executed - 1];

	if (!fake.executed)
		return false;
	return is_arm() ? (last[0] & 0xff) == 0x11 /* TLBI_NH_ASID */
			: !last[0] && last[1] == UINT64_MAX;
}

/* Each page a range of its own, so that they make an array. */
static void map_scattered(struct fake_rig *r, ioas_iova_t *iova, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		iova[i] = UINT64_C(0x40000000) + i * 2 * PAGE;
		assert_int_equal(
			ioas_map(r->q, fake_page(r, i), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova[i]),
			0);
	}
}

static int unmap_scattered(struct fake_rig *r, const ioas_iova_t *iova, unsigned int count)
{
	struct ioas_seg segs[128];

	for (unsigned int i = 0; i < count; i++)
		segs[i] = (struct ioas_seg){ .iova = iova[i], .bytes = PAGE };
	return ioas_unmap_batch(r->q, segs, count);
}

/* A batch of which the kernel refuses one entry is done as a whole before unmap returns. */
static void refused_batch(void **state)
{
	const unsigned int count = 100;
	ioas_iova_t iova[128];
	struct fake_rig r;

	fake_rig_start(&r);
	for (unsigned int at = 0; at < count; at += 9)
		for (unsigned int times = 1; times <= 5; times += 2) {
			map_scattered(&r, iova, count);
			fake.refuse = times;
			fake.refuse_entry = at;
			fake.executed = fake.invalidations = 0;
			assert_int_equal(unmap_scattered(&r, iova, count), count);
			assert_int_equal(fake.refuse, 0);
			assert_int_equal(fake.invalidations, times + 1);
			assert_true(all_is_done());
		}
	fake_rig_stop(&r);
}

/* As long as it does not go through, nothing is reported as done, and nothing is used again. */
static void refused_for_good(void **state)
{
	ioas_iova_t iova, again;
	struct fake_rig r;

	fake_rig_start(&r);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGE, IOAS_RW, &iova), 0);
	fake.refuse = UINT32_MAX;
	fake.executed = 0;
	assert_true(ioas_unmap(r.q, iova, PAGE) < 0);
	assert_int_equal(fake.executed, 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(ioas_map(r.q, fake_page(&r, 1), PAGE, IOAS_RW, &again), 0);
		assert_int_not_equal(again, iova);
	}
	fake.refuse = 0;
	assert_int_equal(ioas_flush(r.q), 0);
	assert_true(fake.executed > 0);
	fake_rig_stop(&r);
}

/*
 * Every request that fails, one after the other: what was asked for fails with a text, or works in
 * spite of it; nothing is left over; and it works when it is asked for again.
 */
static unsigned int fail_each(struct fake_rig *r, int error)
{
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	unsigned int failures = 0;
	bool failed = true;

	for (unsigned int nth = 1; failed; nth++) {
		unsigned int before = fake_count();
		struct ioas *parent;
		int ret;

		assert_int_equal(ioas_create(r->ctx, &opts, &parent), 0);
		assert_int_equal(fake_rig_create(r, parent, IOAS_FORMAT_NONE), 0);
		fake.fail_at = nth;
		fake.fail_with = error;
		ret = ioas_attach(r->as, r->dev);
		failed = !fake.fail_at;
		fake.fail_at = 0;
		if (ret) {
			assert_true(failed);
			failures++;
			assert_int_equal(fake.devices[0].pt_id, 0);
			assert_int_equal(ioas_attach(r->as, r->dev), 0);
		}
		assert_int_equal(ioas_detach(r->dev), 0);
		fake_rig_destroy(r);
		assert_int_equal(ioas_destroy(parent), 0);
		assert_int_equal(fake_count(), before);
	}
	return failures;
}

static void failing_requests(void **state)
{
	/* Parent, table, attachment; with a vIOMMU that, its queue and a vDevice as well. */
	const unsigned int requests = is_arm() ? 6 : 3;
	struct fake_rig r;

	fake_rig_open(&r);
	assert_int_equal(fail_each(&r, ENOMEM), requests);
	assert_int_equal(fail_each(&r, EINVAL), requests);
	assert_int_equal(fail_each(&r, EIO), requests);
	fake_rig_close(&r);
}

/* A walker that does not snoop the processors' caches gets no tables that these write. */
static void not_coherent(void **state)
{
	struct fake_rig r;

	if (is_arm())
		fake.devices[0].info.smmuv3.idr[0] &= ~(1U << 4); /* COHACC */
	else
		fake.devices[0].info.vtd.ecap_reg &= ~(UINT64_C(1) << 48); /* SMPWC */
	fake_rig_open(&r);
	assert_int_equal(kinds_of(&r), 1 << IOAS_KIND_KERNEL);
	assert_non_null(strstr(r.log, "does not read tables coherently"));
	assert_int_equal(fake_rig_create(&r, NULL, IOAS_FORMAT_NONE), -EOPNOTSUPP);
	fake_rig_close(&r);
}

/* The erratum of some SMMUs: the whole batch twice. */
static void repeated(void **state)
{
	ioas_iova_t iova[128];
	struct fake_rig r;

	fake.devices[0].info.smmuv3.flags = UAPI_SMMUV3_REPEAT_TLBI;
	fake_rig_start(&r);
	map_scattered(&r, iova, 100);
	assert_int_equal(unmap_scattered(&r, iova, 100), 100);
	assert_int_equal(fake.invalidations, 2);
	assert_int_equal(fake.executed, 200);
	assert_memory_equal(fake.entries[0], fake.entries[100], 100 * sizeof(fake.entries[0]));
	/* The second round fails: all of it again. */
	map_scattered(&r, iova, 1);
	fake.fail_at = 2;
	fake.fail_with = ENOMEM;
	fake.invalidations = 0;
	assert_int_equal(unmap_scattered(&r, iova, 1), 1);
	assert_int_equal(fake.invalidations, 3);
	assert_true(all_is_done());
	fake_rig_stop(&r);
}

/* SMMUs number their caches by themselves: a parent is for one of them. */
static void two_smmus(void **state)
{
	struct fake_rig r, second = { .as = NULL };
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	struct ioas_queue *queue;
	struct ioas_dev *other;
	struct ioas *parent;
	ioas_iova_t iova;

	fake.devices[1].iommu = 1;
	fake_rig_start(&r);
	assert_int_equal(ioas_dev_bind(r.ctx, "1:1", &other), 0);
	assert_int_equal(ioas_attach(r.as, other), -EOPNOTSUPP);
	assert_error(&r, "behind another IOMMU");
	assert_int_equal(fake.devices[1].pt_id, 0);

	/* One of its own, in which the same memory is mapped. */
	assert_int_equal(ioas_create(r.ctx, &opts, &parent), 0);
	assert_int_equal(ioas_queue_create(parent, &queue), 0);
	assert_int_equal(ioas_map(queue, fake_page(&r, 0), PAGE, IOAS_RW, &iova), 0);
	second.ctx = r.ctx;
	assert_int_equal(fake_rig_create(&second, parent, IOAS_FORMAT_NONE), 0);
	assert_int_equal(ioas_attach(second.as, other), 0);
	assert_int_not_equal(fake_table(0)->on, fake_table(1)->on);

	assert_int_equal(ioas_detach(other), 0);
	fake_rig_destroy(&second);
	assert_int_equal(ioas_unmap(queue, iova, PAGE), 0);
	assert_int_equal(ioas_queue_destroy(queue), 0);
	assert_int_equal(ioas_destroy(parent), 0);
	assert_int_equal(ioas_dev_unbind(other), 0);
	fake_rig_stop(&r);
}

/* Devices that the IOMMU cannot tell apart are on one table, or on none. */
static void group(void **state)
{
	struct fake_rig r, second = { .as = NULL };
	struct ioas_dev *other;

	fake_rig_start(&r);
	assert_int_equal(ioas_dev_bind(r.ctx, "1:0", &other), 0);
	/* What its neighbour can it can, though nobody has asked for it. */
	assert_true(kinds_of(&r) & 1 << IOAS_KIND_USER);
	second.ctx = r.ctx;
	assert_int_equal(fake_rig_create(&second, NULL, IOAS_FORMAT_NONE), 0);
	assert_int_equal(ioas_attach(second.as, other), -EBUSY);
	assert_int_equal(fake.devices[1].pt_id, 0);
	assert_int_equal(ioas_attach(r.as, other), 0);
	assert_int_equal(fake.devices[0].pt_id, fake.devices[1].pt_id);
	/* Nor can one of them be moved away from the other. */
	assert_int_equal(ioas_attach(second.as, other), -EBUSY);
	assert_int_equal(ioas_detach(r.dev), 0);
	assert_int_equal(ioas_attach(second.as, other), 0);
	assert_int_equal(ioas_attach(second.as, r.dev), 0);
	assert_int_equal(fake.devices[0].pt_id, fake.devices[1].pt_id);
	assert_int_equal(ioas_detach(other), 0);
	assert_int_equal(ioas_detach(r.dev), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	fake_rig_destroy(&second);
	assert_int_equal(ioas_dev_unbind(other), 0);
	fake_rig_stop(&r);
}

static void send_event(uint32_t flags, uint32_t sequence, uint64_t iova)
{
	const struct uapi_vevent_header header = { flags, sequence };
	/* F_TRANSLATION of the first vDevice, a write */
	const uint64_t record[4] = { UINT64_C(1) << 32 | 0x10, 0, iova, 0 };

	assert_int_equal(write(fake.events, &header, sizeof(header)), sizeof(header));
	if (!(flags & UAPI_VEVENTQ_LOST))
		assert_int_equal(write(fake.events, record, sizeof(record)), sizeof(record));
}

/* Gaps and LOST_EVENTS: every event is reported or counted. */
static void lost_events(void **state)
{
	struct ioas_stats stats = { .size = sizeof(stats) };
	struct ioas_fault faults[8];
	struct fake_rig r;

	fake_rig_start(&r);
	send_event(0, 0, 0x1000);
	send_event(0, 1, 0x2000);
	send_event(0, 5, 0x3000);	     /* 2, 3 and 4 are gone */
	send_event(UAPI_VEVENTQ_LOST, 8, 0); /* so are 6 to 8 */
	send_event(0, 9, 0x4000);
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 8), 4);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(faults[i].iova, (i + 1) * PAGE);
		assert_ptr_equal(faults[i].dev, r.dev);
		assert_int_equal(faults[i].prot, IOAS_WRITE);
		assert_int_equal(faults[i].reason, IOAS_FAULT_NOT_PRESENT);
	}
	assert_int_equal(ioas_ctx_stats(r.ctx, &stats), 0);
	assert_int_equal(stats.faults, 10);
	assert_int_equal(stats.faults_lost, 6);
	fake_rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_VTD(refused_batch),
		ON_SMMUV3(refused_batch),
		ON_VTD(refused_for_good),
		ON_SMMUV3(refused_for_good),
		ON_VTD(failing_requests),
		ON_SMMUV3(failing_requests),
		ON_VTD(group),
		ON_SMMUV3(group),
		ON_SMMUV3(repeated),
		ON_SMMUV3(two_smmus),
		ON_SMMUV3(lost_events),
		ON_VTD(not_coherent),
		ON_SMMUV3(not_coherent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
