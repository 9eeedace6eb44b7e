/* SPDX-License-Identifier: BSD-3-Clause */
/* A context of the backend iommufd on the kernel of fake_iommufd.h, with one device, "0:0". */
#ifndef TESTS_BACKEND_NESTED_RIG_H
#define TESTS_BACKEND_NESTED_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <ioas/ioas.h>

#include "../../engine/objects.h"
#include "fake_iommufd.h"

#define PAGE  IOAS_PAGE_SIZE
#define PAGES 512

/* A VT-d that nests: scalable mode, both stages, coherent, 1 GiB pages, 48 bits. */
#define VTD_CAP (UINT64_C(1) << 56)
#define VTD_ECAP                                                                         \
	(UINT64_C(1) << 26 | UINT64_C(1) << 43 | UINT64_C(1) << 46 | UINT64_C(1) << 47 | \
	 UINT64_C(1) << 48)

struct nested_rig {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *q;
	char log[4096];
};

static inline void nested_log(void *arg, enum ioas_log_level level, const char *line)
{
	struct nested_rig *r = arg;
	size_t used = strlen(r->log);

	snprintf(r->log + used, sizeof(r->log) - used, "%s\n", line);
}

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

/* What devices fake.devices holds are to be set before. */
static inline void nested_rig_open(struct nested_rig *r)
{
	const struct ioas_mem_opts mem = { .size = sizeof(mem),
					   .numa_node = IOAS_NUMA_ANY,
					   .bytes = PAGES * PAGE,
					   .page_bytes = PAGE };
	struct ioas_ctx_opts opts = {
		.size = sizeof(opts), .backend = "iommufd", .log = nested_log, .log_arg = r
	};
	char option[32];
	int fd = fake_fd();

	memset(r, 0, sizeof(*r));
	snprintf(option, sizeof(option), "fd=%d", fd);
	opts.backend_options = option;
	assert_int_equal(ioas_ctx_open(&opts, &r->ctx), 0);
	close(fd);
	assert_int_equal(ioas_dev_bind(r->ctx, "0:0", &r->dev), 0);
	assert_int_equal(ioas_mem_alloc(r->ctx, &mem, &r->mem), 0);
}

static inline void *nested_page(const struct nested_rig *r, unsigned int page)
{
	return (char *)ioas_mem_va(r->mem) + page * PAGE;
}

static inline int nested_rig_create(struct nested_rig *r, struct ioas *parent,
				    enum ioas_format format)
{
	const struct ioas_opts opts = {
		.size = sizeof(opts), .kind = IOAS_KIND_USER, .format = format, .parent = parent
	};
	int ret = ioas_create(r->ctx, &opts, &r->as);

	return ret ? ret : ioas_queue_create(r->as, &r->q);
}

/* A STRICT space with the device on it. */
static inline void nested_rig_start(struct nested_rig *r)
{
	nested_rig_open(r);
	assert_int_equal(nested_rig_create(r, NULL, IOAS_FORMAT_NONE), 0);
	assert_int_equal(ioas_attach(r->as, r->dev), 0);
}

static inline void nested_rig_destroy(struct nested_rig *r)
{
	assert_int_equal(ioas_queue_destroy(r->q), 0);
	assert_int_equal(ioas_destroy(r->as), 0);
}

static inline void nested_rig_close(struct nested_rig *r)
{
	assert_int_equal(ioas_dev_unbind(r->dev), 0);
	assert_int_equal(ioas_mem_free(r->mem), 0);
	assert_int_equal(ioas_ctx_close(r->ctx), 0);
	/* Nothing is left, and nothing was destroyed with something on it. */
	assert_int_equal(fake_count(), 0);
	assert_null(strstr(r->log, "IOMMU_DESTROY"));
}

static inline void nested_rig_stop(struct nested_rig *r)
{
	assert_int_equal(ioas_detach(r->dev), 0);
	nested_rig_destroy(r);
	nested_rig_close(r);
}

/* The nested page table that device @number is attached to. */
static inline const struct fake_object *fake_table(unsigned int number)
{
	const struct fake_object *hwpt = &fake.objects[fake.devices[number].pt_id];

	assert_true(hwpt->nested);
	return hwpt;
}

static inline uint32_t kinds_of(const struct nested_rig *r)
{
	struct ioas_caps caps = { .size = sizeof(caps) };

	assert_int_equal(ioas_ctx_caps(r->ctx, &caps), 0);
	return caps.kinds;
}

static inline void assert_error(const struct nested_rig *r, const char *part)
{
	char text[256];

	ioas_ctx_error(r->ctx, text, sizeof(text));
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
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
