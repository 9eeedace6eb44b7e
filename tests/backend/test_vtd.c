/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VT-d's part of a nested page table: what the kernel is told, word by word, what is refused, and
 * where page tables go when a parent takes no read-only mappings.
 */
#include "nested_rig.h"

/* struct iommu_hwpt_vtd_s1 and iommu_hwpt_vtd_s1_invalidate, as words. */
#define WIDTH(data) ((data)[2])

static void entry(unsigned int index, uint64_t addr, uint64_t npages, uint64_t flags)
{
	assert_int_equal(fake.entries[index][0], addr);
	assert_int_equal(fake.entries[index][1], npages);
	assert_int_equal(fake.entries[index][2], flags);
}

static void table(void **state)
{
	const struct fake_object *hwpt;
	struct fake_rig r;

	fake_rig_start(&r);
	hwpt = fake_table(0);
	assert_int_equal(hwpt->data_type, 1);
	assert_int_equal(hwpt->data[0], 0); /* no SRE, EAFE, WPE */
	assert_int_equal(hwpt->data[1], pt_root(r.as->pt));
	assert_int_equal(WIDTH(hwpt->data), 48);
	/* It hangs on the parent's page table: there is no vIOMMU. */
	assert_true(fake.objects[hwpt->on].nest_parent);
	assert_int_equal(ioas_get_format(r.as), IOAS_FORMAT_X86_64_L4);
	fake_rig_stop(&r);
}

static void five_levels(void **state)
{
	struct fake_rig r;

	fake_rig_open(&r);
	assert_int_equal(fake_rig_create(&r, NULL, IOAS_FORMAT_X86_64_L5), -EOPNOTSUPP);
	fake_rig_close(&r);

	fake.devices[0].info.vtd.cap_reg |= UINT64_C(1) << 60;
	fake_rig_open(&r);
	assert_int_equal(fake_rig_create(&r, NULL, IOAS_FORMAT_X86_64_L5), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	assert_int_equal(WIDTH(fake_table(0)->data), 57);
	fake_rig_stop(&r);
}

static void invalidations(void **state)
{
	struct be_inval ranges[] = { { 0x7654321000, 4096, true },
				     { 0x10000000, 0x200000, true },
				     { 0x40000000, 0x40000000, false } };
	unsigned int crossings = 0;
	ioas_iova_t iova;
	struct fake_rig r;

	fake_rig_start(&r);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), 3 * PAGE, IOAS_RW, &iova), 0);
	assert_int_equal(fake.invalidations, 0);
	assert_int_equal(ioas_unmap(r.q, iova, 3 * PAGE), 0);
	assert_int_equal(fake.invalidations, 1);
	assert_int_equal(fake.inval_type, 0);
	assert_int_equal(fake.inval_on, fake.devices[0].pt_id);
	assert_int_equal(fake.executed, 1);
	entry(0, iova, 3, 1 /* LEAF */);

	fake.executed = 0;
	assert_int_equal(r.ctx->be->ops->invalidate(r.as->be_space, ranges, 3, &crossings), 0);
	assert_int_equal(crossings, 1);
	assert_int_equal(fake.executed, 3);
	entry(0, 0x7654321000, 1, 1);
	entry(1, 0x10000000, 512, 1);
	entry(2, 0x40000000, 0x40000, 0);

	/* Everything: address 0, U64_MAX pages. */
	fake.executed = 0;
	assert_int_equal(r.ctx->be->ops->invalidate(r.as->be_space, NULL, 0, &crossings), 0);
	assert_int_equal(fake.executed, 1);
	entry(0, 0, UINT64_MAX, 0);
	fake_rig_stop(&r);
}

/* One bit of the registers changes; the reason names it. */
static void refused(void **state)
{
	static const struct {
		uint64_t cap, ecap; /* toggled */
		const char *why;
	} cases[] = {
		{ 0, UINT64_C(1) << 43, "both stages" }, { 0, UINT64_C(1) << 46, "both stages" },
		{ 0, UINT64_C(1) << 47, "both stages" }, { 0, UINT64_C(1) << 26, "ECAP.NEST" },
		{ 0, UINT64_C(1) << 48, "ECAP.SMPWC" },	 { UINT64_C(1) << 4, 0, "CAP.RWBF" },
		{ UINT64_C(1) << 56, 0, "CAP.FS1GP" },
	};
	struct fake_rig r;

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake.devices[0] = fake_vtd();
		fake.devices[0].info.vtd.cap_reg ^= cases[i].cap;
		fake.devices[0].info.vtd.ecap_reg ^= cases[i].ecap;
		fake_rig_open(&r);
		assert_int_equal(kinds_of(&r), 1 << IOAS_KIND_KERNEL);
		assert_non_null(strstr(r.log, cases[i].why));
		assert_int_equal(fake_rig_create(&r, NULL, IOAS_FORMAT_NONE), -EOPNOTSUPP);
		fake_rig_close(&r);
	}
}

/* In caching mode entries of first-stage tables are not cached while they are not present. */
static void caching_mode(void **state)
{
	ioas_iova_t iova;
	struct fake_rig r;

	fake.devices[0].info.vtd.cap_reg |= UINT64_C(1) << 7;
	fake_rig_start(&r);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGE, IOAS_RW, &iova), 0);
	assert_int_equal(fake.invalidations, 0);
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	assert_int_equal(fake.invalidations, 1);
	fake_rig_stop(&r);
}

/* The kernel's object of the parent, and of what is mapped in it that is read-only. */
static unsigned int readonly_in_parent(void)
{
	const struct fake_object *parent = &fake.objects[fake_table(0)->on];

	assert_true(fake.objects[parent->on].maps >= 2);
	return fake.objects[parent->on].maps_readonly;
}

static void erratum(void **state)
{
	const struct ioas_opts kernel = { .size = sizeof(kernel), .kind = IOAS_KIND_KERNEL };
	struct ioas_queue *queue;
	struct ioas *parent;
	ioas_iova_t iova;
	struct fake_rig r;

	/* Where there is none the tables are out of devices' reach. */
	fake.devices[0].info.vtd.flags = 0;
	fake_rig_start(&r);
	assert_true(readonly_in_parent() > 0);
	fake_rig_stop(&r);

	fake.devices[0].info.vtd.flags = UAPI_VTD_ERRATA_772415_SPR17;
	fake_rig_start(&r);
	assert_int_equal(readonly_in_parent(), 0);
	assert_int_equal(ioas_detach(r.dev), 0);
	fake_rig_destroy(&r);

	/* A read-only mapping of the user's own is an error that says so. */
	assert_int_equal(ioas_create(r.ctx, &kernel, &parent), 0);
	assert_int_equal(ioas_queue_create(parent, &queue), 0);
	assert_int_equal(ioas_map(queue, fake_page(&r, 0), PAGE, IOAS_READ, &iova), 0);
	assert_int_equal(fake_rig_create(&r, parent, IOAS_FORMAT_NONE), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), -EINVAL);
	assert_error(&r, "erratum 772415");
	assert_int_equal(ioas_unmap(queue, iova, PAGE), 0);
	fake_rig_destroy(&r);
	assert_int_equal(ioas_queue_destroy(queue), 0);
	assert_int_equal(ioas_destroy(parent), 0);
	fake_rig_close(&r);
}

/* A second IOMMU under the same parent is the kernel's affair. */
static void two_iommus(void **state)
{
	struct ioas_dev *other;
	struct fake_rig r;

	fake.devices[1].iommu = 1;
	fake_rig_start(&r);
	assert_int_equal(ioas_dev_bind(r.ctx, "1:1", &other), 0);
	assert_int_equal(ioas_attach(r.as, other), 0);
	assert_int_equal(fake.devices[0].pt_id, fake.devices[1].pt_id);
	assert_int_equal(ioas_detach(other), 0);
	assert_int_equal(ioas_dev_unbind(other), 0);
	fake_rig_stop(&r);
}

/* AMD-Vi: KERNEL spaces, and a line that says why no others. */
static void amd(void **state)
{
	struct fake_rig r;

	fake.devices[0] = (struct fake_device){ .info_type = UAPI_HW_INFO_AMD };
	fake_rig_open(&r);
	assert_int_equal(kinds_of(&r), 1 << IOAS_KIND_KERNEL);
	assert_non_null(strstr(r.log, "no USER spaces: the kernel has no invalidation of tables "
				      "nested on AMD-Vi"));
	fake_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_VTD(table),	 ON_VTD(five_levels),  ON_VTD(invalidations),
		ON_VTD(refused), ON_VTD(caching_mode), ON_VTD(erratum),
		ON_VTD(amd),	 ON_VTD(two_iommus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
