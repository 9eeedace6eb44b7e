// SPDX-License-Identifier: BSD-3-Clause
/* See mock_device.h. */
#include "mock_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../prog/lab_prog.h"

#define PAGE 4096

/* The requests of the mock that are made here. */
enum {
	OP_MD_CHECK_MAP = 3,
	OP_MOCK_DOMAIN_REPLACE = 10,
	OP_MOCK_DOMAIN_FLAGS = 12,
	OP_DIRTY = 13,
};

#define NO_DIRTY (1 << 0) /* dev_flags */

struct mock_command {
	uint32_t size;
	uint32_t op;
	uint32_t id;
	uint32_t reserved;
	union {
		struct {
			uint32_t out_object;
			uint32_t out_table;
			uint32_t out_device;
			uint32_t dev_flags;
		} domain;
		struct {
			uint32_t pt_id;
		} replace;
		struct {
			uint64_t iova;
			uint64_t length;
			uint64_t uptr;
		} check_map;
		struct {
			uint32_t flags;
			uint64_t iova;
			uint64_t length;
			uint64_t page_size;
			uint64_t uptr;
			uint64_t out_count;
		} dirty;
	};
	uint32_t last;
};
#define MOCK_COMMAND _IO(IOMMUFD_TYPE, IOMMUFD_CMD_BASE + 32)

static struct mock_device *devices;
static uint32_t dev_flags;
static int real_iommufd = -1; /* the real devices are bound there, and attached to nothing */

static int real_ioctl(int fd, unsigned long request, void *argument)
{
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

static int command(int iommufd, uint32_t op, uint32_t id, struct mock_command *cmd)
{
	cmd->size = sizeof(*cmd);
	cmd->op = op;
	cmd->id = id;
	return real_ioctl(iommufd, MOCK_COMMAND, cmd) ? -errno : 0;
}

void mock_check(void)
{
	struct mock_command cmd = { 0 };
	int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		lab_skip("the kernel has no iommufd");
	if (command(fd, OP_MOCK_DOMAIN_REPLACE, 0, &cmd) == -ENOTTY)
		lab_skip("the kernel has no mock IOMMU (CONFIG_IOMMUFD_TEST)");
	close(fd);
}

void mock_without_dirty(bool without)
{
	dev_flags = without ? NO_DIRTY : 0;
}

struct mock_device *mock_device(unsigned int index)
{
	struct mock_device *mock = devices;

	while (mock && index--)
		mock = mock->next;
	CHECK(mock);
	return mock;
}

void mock_write_page(const struct mock_device *mock, uint64_t iova)
{
	uint64_t bit = 1;
	struct mock_command cmd = { .dirty = { .iova = iova,
					       .length = PAGE,
					       .page_size = PAGE,
					       .uptr = (uintptr_t)&bit } };

	CHECK(command(mock->iommufd, OP_DIRTY, mock->table, &cmd) == 0);
	CHECK(cmd.dirty.out_count == 1);
}

bool mock_maps(const struct mock_device *mock, uint64_t iova, const void *va, uint64_t bytes)
{
	struct mock_command cmd = {
		.check_map = { .iova = iova, .length = bytes, .uptr = (uintptr_t)va }
	};

	return command(mock->iommufd, OP_MD_CHECK_MAP, mock->table, &cmd) == 0;
}

static struct mock_device *find(int fd)
{
	struct mock_device *mock = devices;

	while (mock && mock->fd != fd)
		mock = mock->next;
	return mock;
}

/* The real device is bound elsewhere, so that its file answers what is not the IOMMU's affair. */
static int bind_mock(int fd, struct vfio_device_bind_iommufd *bind)
{
	struct mock_command cmd = { .domain = { .dev_flags = dev_flags } };
	struct iommu_ioas_alloc parked = { .size = sizeof(parked) };
	struct vfio_device_bind_iommufd real = { .argsz = sizeof(real) };
	struct mock_device *mock = calloc(1, sizeof(*mock));

	CHECK(mock);
	if (real_iommufd < 0)
		real_iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	real.iommufd = real_iommufd;
	CHECK(real_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &real) == 0);
	CHECK(real_ioctl(bind->iommufd, IOMMU_IOAS_ALLOC, &parked) == 0);
	CHECK(command(bind->iommufd, OP_MOCK_DOMAIN_FLAGS, parked.out_ioas_id, &cmd) == 0);
	*mock = (struct mock_device){ .fd = fd,
				      .iommufd = bind->iommufd,
				      .object = cmd.domain.out_object,
				      .parked = parked.out_ioas_id,
				      .device_id = cmd.domain.out_device,
				      .next = devices };
	devices = mock;
	bind->out_devid = mock->device_id;
	return 0;
}

static int move_mock(struct mock_device *mock, uint32_t pt_id)
{
	struct mock_command cmd = { .replace = { .pt_id = pt_id } };
	int ret = command(mock->iommufd, OP_MOCK_DOMAIN_REPLACE, mock->object, &cmd);

	if (ret) {
		errno = -ret;
		return -1;
	}
	mock->table = cmd.replace.pt_id;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	struct mock_device *mock = find(fd);
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == VFIO_DEVICE_BIND_IOMMUFD)
		return bind_mock(fd, argument);
	if (mock && request == VFIO_DEVICE_ATTACH_IOMMUFD_PT) {
		struct vfio_device_attach_iommufd_pt *attach = argument;
		int ret = move_mock(mock, attach->pt_id);

		mock->attached |= !ret;
		attach->pt_id = mock->table;
		return ret;
	}
	if (mock && request == VFIO_DEVICE_DETACH_IOMMUFD_PT) {
		mock->attached = false;
		return move_mock(mock, mock->parked);
	}
	return real_ioctl(fd, request, argument);
}

int close(int fd)
{
	struct mock_device **link = &devices, *mock = find(fd);

	if (mock) {
		struct iommu_destroy object = { .size = sizeof(object), .id = mock->object };
		struct iommu_destroy parked = { .size = sizeof(parked), .id = mock->parked };

		CHECK(real_ioctl(mock->iommufd, IOMMU_DESTROY, &object) == 0);
		CHECK(real_ioctl(mock->iommufd, IOMMU_DESTROY, &parked) == 0);
		while (*link != mock)
			link = &(*link)->next;
		*link = mock->next;
		free(mock);
	}
	return (int)syscall(SYS_close, fd);
}
