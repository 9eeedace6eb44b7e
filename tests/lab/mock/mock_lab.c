/* SPDX-License-Identifier: BSD-3-Clause */
/* See mock_lab.h. */
#include "mock_lab.h"

#include <errno.h>
#include <iommufd_test.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../backend/unreal.h"

#define PAGES 64

/* VFIO's part. */

static struct {
	int fd;		  /* of iommufd */
	uint32_t ioas_id; /* where the device is while it is attached to nothing */
	uint32_t mock_id; /* what the test calls have to be told */
	uint32_t id;	  /* what everybody else has to be told */
} devices[UNREAL_DEVICES];

int __real_ioctl(int fd, unsigned long request, void *arg);

static int test_call(int fd, struct iommu_test_cmd *cmd)
{
	cmd->size = sizeof(*cmd);
	return __real_ioctl(fd, IOMMU_TEST_CMD, cmd);
}

static int bind_mock(int number, struct uapi_device_bind *bind)
{
	struct uapi_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_test_cmd cmd = { .op = IOMMU_TEST_OP_MOCK_DOMAIN };

	if (__real_ioctl(bind->iommufd, UAPI_IOAS_ALLOC, &alloc))
		return -1;
	cmd.id = alloc.out_ioas_id;
	if (test_call(bind->iommufd, &cmd))
		return -1;
	devices[number].fd = bind->iommufd;
	devices[number].ioas_id = alloc.out_ioas_id;
	devices[number].mock_id = cmd.mock_domain.out_stdev_id;
	devices[number].id = cmd.mock_domain.out_idev_id;
	bind->out_devid = devices[number].id;
	return 0;
}

static int move_mock(int number, uint32_t pt_id)
{
	struct iommu_test_cmd cmd = { .op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
				      .id = devices[number].mock_id,
				      .mock_domain_replace.pt_id = pt_id };

	return test_call(devices[number].fd, &cmd);
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	int number = unreal_device(fd);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (number < 0)
		return __real_ioctl(fd, request, arg);
	switch (request) {
	case UAPI_DEVICE_BIND:
		return bind_mock(number, arg);
	case UAPI_DEVICE_ATTACH:
		return move_mock(number, ((struct uapi_device_attach *)arg)->pt_id);
	case UAPI_DEVICE_DETACH:
		return move_mock(number, devices[number].ioas_id);
	case VFIO_DEVICE_GET_REGION_INFO:
		((struct vfio_region_info *)arg)->offset = 0;
		return 0;
	}
	errno = ENOTTY;
	return -1;
}

static void destroy(int fd, uint32_t id)
{
	struct uapi_destroy request = { .size = sizeof(request), .id = id };

	CHECK(__real_ioctl(fd, UAPI_DESTROY, &request) == 0);
}

void __real_vfio_dev_close(struct vfio_dev *dev);
void __wrap_vfio_dev_close(struct vfio_dev *dev);
void __wrap_vfio_dev_close(struct vfio_dev *dev)
{
	int number = unreal_device(dev->fd);

	destroy(devices[number].fd, devices[number].mock_id);
	destroy(devices[number].fd, devices[number].ioas_id);
	__real_vfio_dev_close(dev);
}

/* Makes. */

static const char *why_not(const union nested_info *info, struct nested_traits *traits)
{
	*traits = (struct nested_traits){ .formats = 1 << IOAS_FORMAT_X86_64_L4, .requests = true };
	return NULL;
}

static const char *why_not_viommu(const union nested_info *info, struct nested_traits *traits)
{
	*traits = (struct nested_traits){ .formats = 1 << IOAS_FORMAT_X86_64_L4,
					  .tags = 64,
					  .requests = true };
	return NULL;
}

static void table(const union nested_info *info, const struct nested_table *table, void *data)
{
	*(struct iommu_hwpt_selftest *)data =
		(struct iommu_hwpt_selftest){ .iotlb = IOMMU_TEST_IOTLB_DEFAULT };
}

/* One entry for a range: that of its first page. */
static uint32_t entry_of(const struct be_inval *range)
{
	return range->iova & MOCK_BAD_IOVA ? MOCK_CACHED : range->iova / PAGE % MOCK_CACHED;
}

static unsigned int inval(const union nested_info *info, const struct nested_table *table,
			  const struct be_inval *range, void *entries, unsigned int max)
{
	if (!max)
		return 0;
	*(struct iommu_hwpt_invalidate_selftest *)entries =
		(struct iommu_hwpt_invalidate_selftest){ .iotlb_id = entry_of(range) };
	return 1;
}

static void inval_all(const struct nested_table *table, void *entry)
{
	*(struct iommu_hwpt_invalidate_selftest *)entry =
		(struct iommu_hwpt_invalidate_selftest){ .flags = IOMMU_TEST_INVALIDATE_FLAG_ALL };
}

/* The mock's caches of a vIOMMU are its devices'. There is one, so it has the first name. */
#define VIRT_ID 1

static unsigned int inval_viommu(const union nested_info *info, const struct nested_table *table,
				 const struct be_inval *range, void *entries, unsigned int max)
{
	if (!max)
		return 0;
	*(struct iommu_viommu_invalidate_selftest *)entries =
		(struct iommu_viommu_invalidate_selftest){ .vdev_id = VIRT_ID,
							   .cache_id = entry_of(range) };
	return 1;
}

static void inval_all_viommu(const struct nested_table *table, void *entry)
{
	*(struct iommu_viommu_invalidate_selftest *)entry =
		(struct iommu_viommu_invalidate_selftest){
			.flags = IOMMU_TEST_INVALIDATE_FLAG_ALL,
			.vdev_id = VIRT_ID,
		};
}

static bool event(const void *record, struct nested_event *event)
{
	const struct iommu_viommu_event_selftest *told = record;

	*event = (struct nested_event){ .virt_id = told->virt_id,
					.reason = IOAS_FAULT_NOT_PRESENT,
					.prot = IOAS_WRITE };
	return true;
}

const struct nested_ops mock_plain = {
	.info_type = IOMMU_HW_INFO_TYPE_SELFTEST,
	.data_type = IOMMU_HWPT_DATA_SELFTEST,
	.data_bytes = sizeof(struct iommu_hwpt_selftest),
	.inval_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
	.inval_bytes = sizeof(struct iommu_hwpt_invalidate_selftest),
	.why_not = why_not,
	.table = table,
	.inval = inval,
	.inval_all = inval_all,
};

const struct nested_ops mock_viommu = {
	.info_type = IOMMU_HW_INFO_TYPE_SELFTEST,
	.viommu_type = IOMMU_VIOMMU_TYPE_SELFTEST,
	.data_type = IOMMU_HWPT_DATA_SELFTEST,
	.data_bytes = sizeof(struct iommu_hwpt_selftest),
	.inval_type = IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
	.inval_bytes = sizeof(struct iommu_viommu_invalidate_selftest),
	.event_type = IOMMU_VEVENTQ_TYPE_SELFTEST,
	.event_bytes = sizeof(struct iommu_viommu_event_selftest),
	.no_viommu = "the mock has one",
	.why_not = why_not_viommu,
	.table = table,
	.inval = inval_viommu,
	.inval_all = inval_all_viommu,
	.event = event,
};

static void table_vtd(const union nested_info *info, const struct nested_table *table, void *data)
{
	vtd_nested.table(info, table, data);
}

const struct nested_ops mock_vtd = {
	.info_type = IOMMU_HW_INFO_TYPE_SELFTEST,
	.data_type = UAPI_HWPT_DATA_VTD_S1,
	.data_bytes = sizeof(struct uapi_hwpt_vtd_s1),
	.inval_type = UAPI_INVALIDATE_VTD_S1,
	.inval_bytes = sizeof(struct uapi_inval_vtd_s1),
	.why_not = why_not,
	.table = table_vtd,
	.inval = inval,
	.inval_all = inval_all,
};

/* Contexts. */

static void log_line(void *arg, enum ioas_log_level level, const char *line)
{
	/* An object of the kernel has something on it that was forgotten. */
	if (strstr(line, "IOMMU_DESTROY"))
		FAIL("%s", line);
}

void mock_open(struct mock_lab *lab, const struct nested_ops *make)
{
	const struct ioas_ctx_opts opts = { .size = sizeof(opts),
					    .backend = "iommufd",
					    .log = log_line };
	const struct ioas_mem_opts mem = { .size = sizeof(mem),
					   .numa_node = IOAS_NUMA_ANY,
					   .bytes = PAGES * PAGE,
					   .page_bytes = PAGE };
	static const struct nested_ops *makes[2];

	if (access("/dev/iommu", F_OK))
		lab_skip("the kernel has no iommufd");
	if (access("/sys/bus/iommufd_mock", F_OK))
		lab_skip("the kernel has no mock IOMMU (CONFIG_IOMMUFD_TEST)");
	makes[0] = make;
	CHECK(ioas_ctx_open(&opts, &lab->ctx) == 0);
	((struct iommufd_be *)lab->ctx->be)->makes = makes;
	CHECK(ioas_dev_bind(lab->ctx, "0:0", &lab->dev) == 0);
	CHECK(ioas_mem_alloc(lab->ctx, &mem, &lab->mem) == 0);
}

void mock_close(struct mock_lab *lab)
{
	CHECK(ioas_mem_free(lab->mem) == 0);
	CHECK(ioas_dev_unbind(lab->dev) == 0);
	CHECK(ioas_ctx_close(lab->ctx) == 0);
}

void mock_create(struct mock_lab *lab, struct ioas *parent)
{
	mock_create_on_demand(lab, parent, NULL, NULL);
}

void mock_create_on_demand(struct mock_lab *lab, struct ioas *parent, ioas_page_request_fn handler,
			   void *arg)
{
	const struct ioas_opts opts = { .size = sizeof(opts),
					.kind = IOAS_KIND_USER,
					.parent = parent,
					.page_request = handler,
					.page_request_arg = arg };

	CHECK(ioas_create(lab->ctx, &opts, &lab->as) == 0);
	CHECK(ioas_queue_create(lab->as, &lab->queue) == 0);
}

void mock_destroy(struct mock_lab *lab)
{
	CHECK(ioas_queue_destroy(lab->queue) == 0);
	CHECK(ioas_destroy(lab->as) == 0);
}

struct ioas *mock_parent(struct mock_lab *lab)
{
	const struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	struct ioas *parent;

	CHECK(ioas_create(lab->ctx, &opts, &parent) == 0);
	return parent;
}

void *mock_page(struct mock_lab *lab, unsigned int page)
{
	return (char *)ioas_mem_va(lab->mem) + page * PAGE;
}

void mock_map(struct mock_lab *lab, ioas_iova_t iova)
{
	if (ioas_map(lab->queue, mock_page(lab, 0), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova))
		FAIL("map: %s", ioas_queue_error(lab->queue));
}

bool mock_is_cached(struct mock_lab *lab, unsigned int index)
{
	const struct iommufd_space *space = (struct iommufd_space *)lab->as->be_space;
	struct iommu_test_cmd cmd = { .op = IOMMU_TEST_OP_MD_CHECK_IOTLB,
				      .id = space->pt_id,
				      .check_iotlb = { index, IOMMU_TEST_IOTLB_DEFAULT } };

	if (space->nest->viommu_id) {
		cmd.op = IOMMU_TEST_OP_DEV_CHECK_CACHE;
		cmd.id = devices[0].id;
		cmd.check_dev_cache.id = index;
		cmd.check_dev_cache.cache = IOMMU_TEST_DEV_CACHE_DEFAULT;
	}
	if (!test_call(devices[0].fd, &cmd))
		return true;
	/* 0 is what an invalidation leaves. */
	cmd.check_iotlb.iotlb = cmd.check_dev_cache.cache = 0;
	CHECK(test_call(devices[0].fd, &cmd) == 0);
	return false;
}

void mock_check_pins(struct mock_lab *lab, unsigned int parents)
{
	struct iommu_test_cmd cmd = { .op = IOMMU_TEST_OP_MD_CHECK_REFS,
				      .check_refs = { .length = PAGES * PAGE,
						      .uptr = (uintptr_t)ioas_mem_va(lab->mem),
						      .refs = parents } };

	CHECK(test_call(devices[0].fd, &cmd) == 0);
}

void mock_trigger_request(struct mock_lab *lab, ioas_iova_t iova, uint32_t prot)
{
	struct iommu_test_cmd cmd = {
		.op = IOMMU_TEST_OP_TRIGGER_IOPF,
		.trigger_iopf = { .dev_id = devices[0].id, .grpid = 1, .perm = prot, .addr = iova },
	};

	CHECK(test_call(devices[0].fd, &cmd) == 0);
}

int mock_trigger_event(struct mock_lab *lab)
{
	struct iommu_test_cmd cmd = { .op = IOMMU_TEST_OP_TRIGGER_VEVENT,
				      .trigger_vevent.dev_id = devices[0].id };

	return test_call(devices[0].fd, &cmd) ? -errno : 0;
}
