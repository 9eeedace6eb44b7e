/* SPDX-License-Identifier: BSD-3-Clause */
/* A context of the backend iommufd on the kernel of fake_iommufd.h. */
#ifndef TESTS_BACKEND_NESTED_RIG_H
#define TESTS_BACKEND_NESTED_RIG_H

#define FAKE_BACKEND "iommufd"

#include "../../engine/objects.h"
#include "fake_iommufd.h"
#include "fake_rig.h"

/* A VT-d that nests: scalable mode, both stages, coherent, 1 GiB pages, 48 bits. */
#define VTD_CAP (UINT64_C(1) << 56)
#define VTD_ECAP                                                                         \
	(UINT64_C(1) << 26 | UINT64_C(1) << 43 | UINT64_C(1) << 46 | UINT64_C(1) << 47 | \
	 UINT64_C(1) << 48)

static inline struct fake_device fake_vtd(void)
{
	return (struct fake_device){
		.info_type = UAPI_HW_INFO_INTEL_VTD,
		.info.vtd = { .flags = UAPI_VTD_ERRATA_772415_SPR17,
			      .cap_reg = VTD_CAP,
			      .ecap_reg = VTD_ECAP },
	};
}

/* What QEMU 10.0 says of itself: both stages, coherent, ASIDs of 16 bits, ranges, OAS 44. */
static inline struct fake_device fake_smmuv3(void)
{
	return (struct fake_device){
		.info_type = UAPI_HW_INFO_ARM_SMMUV3,
		.info.smmuv3.idr = { 0x0d44101b, 0x02730010, 0, 0x00001400, 0, 0x00000074 },
	};
}

/* The nested page table that device @number is attached to. */
static inline const struct fake_object *fake_table(unsigned int number)
{
	const struct fake_object *hwpt = &fake.objects[fake.devices[number].pt_id];

	assert_true(hwpt->nested);
	return hwpt;
}

/* A test of its own for each make; both begin with a kernel that has nothing. */
static inline int fake_begin(struct fake_device one)
{
	int events = fake.events, faults = fake.faults;

	memset(&fake, 0, sizeof(fake));
	fake.events = events;
	fake.faults = faults;
	for (int i = 0; i < UNREAL_DEVICES; i++)
		fake.devices[i] = one;
	return 0;
}

static inline int begin_vtd(void **state)
{
	return fake_begin(fake_vtd());
}

static inline int begin_smmuv3(void **state)
{
	return fake_begin(fake_smmuv3());
}

#define ON_VTD(test)	cmocka_unit_test_setup(test, begin_vtd)
#define ON_SMMUV3(test) cmocka_unit_test_setup(test, begin_smmuv3)

#endif
