// SPDX-License-Identifier: BSD-3-Clause
/* See kioas_lab.h. */
#include "kioas_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define EDU_REGISTERS_BYTES (1 * MIB)

int kioas_open(void)
{
	int fd = open("/dev/ioasid", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

int kioas_open_device(const char *address)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/kioas/%s", address);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %m", path);
	return fd;
}

int kioas_call(int fd, unsigned long call, void *command)
{
	return ioctl(fd, call, command) ? -errno : 0;
}

static void registers_open(struct kioas_lab *lab)
{
	void *registers;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", lab->address);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	registers = mmap(NULL, EDU_REGISTERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(registers != MAP_FAILED);
	close(fd);
	edu_open_registers(&lab->edu, registers);
}

void kioas_lab_open(struct kioas_lab *lab)
{
	lab->address = lab_device("edu");
	if (!lab->address)
		FAIL("the machine was started without edu");
	lab->fd = kioas_open();
	lab->device_fd = kioas_open_device(lab->address);
	CHECK(kioas_bind(lab->fd, lab->device_fd, EDU_COOKIE, &lab->dev_id) == 0);
	registers_open(lab);
}

void kioas_lab_close(struct kioas_lab *lab)
{
	CHECK(munmap((void *)lab->edu.registers, EDU_REGISTERS_BYTES) == 0);
	close(lab->device_fd);
	close(lab->fd);
}

int kioas_bind(int fd, int device_fd, uint64_t cookie, uint32_t *dev_id)
{
	struct ioasid_bind_device bind = {
		.size = sizeof(bind),
		.device_fd = device_fd,
		.cookie = cookie,
	};
	int ret = kioas_call(fd, IOASID_BIND_DEVICE, &bind);

	*dev_id = bind.out_dev_id;
	return ret;
}

int kioas_unbind(int fd, uint32_t dev_id)
{
	struct ioasid_unbind_device unbind = { .size = sizeof(unbind), .dev_id = dev_id };

	return kioas_call(fd, IOASID_UNBIND_DEVICE, &unbind);
}

int kioas_control(int fd, uint32_t dev_id, enum ioasid_device_op op)
{
	struct ioasid_device_control control = {
		.size = sizeof(control),
		.dev_id = dev_id,
		.op = op,
	};

	return kioas_call(fd, IOASID_DEVICE_CONTROL, &control);
}

int kioas_attach(int fd, uint32_t dev_id, uint32_t ioasid)
{
	struct ioasid_attach attach = {
		.size = sizeof(attach),
		.dev_id = dev_id,
		.ioasid = ioasid,
	};

	return kioas_call(fd, IOASID_ATTACH, &attach);
}

int kioas_detach(int fd, uint32_t dev_id)
{
	struct ioasid_detach detach = { .size = sizeof(detach), .dev_id = dev_id };

	return kioas_call(fd, IOASID_DETACH, &detach);
}

int kioas_alloc(int fd, enum ioasid_kind kind, uint32_t parent, uint32_t *ioasid)
{
	struct ioasid_alloc alloc = {
		.size = sizeof(alloc),
		.kind = kind,
		.parent_id = parent,
	};
	int ret = kioas_call(fd, IOASID_ALLOC, &alloc);

	*ioasid = alloc.out_ioasid;
	return ret;
}

static int alloc_with(int fd, struct ioasid_alloc *alloc, const void *data, size_t bytes,
		      uint32_t *ioasid)
{
	int ret;

	alloc->size = sizeof(*alloc);
	alloc->data_uptr = (uintptr_t)data;
	alloc->data_len = bytes;
	ret = kioas_call(fd, IOASID_ALLOC, alloc);
	*ioasid = alloc->out_ioasid;
	return ret;
}

int kioas_alloc_user(int fd, enum ioasid_format format, uint32_t parent, uint64_t root,
		     uint32_t *ioasid)
{
	const struct ioasid_alloc_user user = { .root = root };
	struct ioasid_alloc alloc = {
		.kind = IOASID_KIND_USER,
		.format = format,
		.parent_id = parent,
	};

	return alloc_with(fd, &alloc, &user, sizeof(user), ioasid);
}

int kioas_alloc_cpu(int fd, const struct ioasid_alloc_cpu *data, uint32_t *ioasid)
{
	struct ioasid_alloc alloc = { .kind = IOASID_KIND_CPU };

	return alloc_with(fd, &alloc, data, sizeof(*data), ioasid);
}

int kioas_alloc_vm(int fd, int vm_fd, uint32_t *ioasid)
{
	const struct ioasid_alloc_vm data = { .vm_fd = vm_fd };
	struct ioasid_alloc alloc = { .kind = IOASID_KIND_VM };

	return alloc_with(fd, &alloc, &data, sizeof(data), ioasid);
}

int kioas_free(int fd, uint32_t ioasid)
{
	struct ioasid_free command = { .size = sizeof(command), .ioasid = ioasid };

	return kioas_call(fd, IOASID_FREE, &command);
}

int kioas_map(int fd, uint32_t ioasid, const struct ioasid_map_entry *entries, uint32_t count)
{
	struct ioasid_map_dma map = {
		.size = sizeof(map),
		.ioasid = ioasid,
		.entries_uptr = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(*entries),
	};

	return kioas_call(fd, IOASID_MAP_DMA, &map);
}

int kioas_unmap(int fd, uint32_t ioasid, const struct ioasid_unmap_entry *entries, uint32_t count)
{
	struct ioasid_unmap_dma unmap = {
		.size = sizeof(unmap),
		.ioasid = ioasid,
		.entries_uptr = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(*entries),
	};

	return kioas_call(fd, IOASID_UNMAP_DMA, &unmap);
}

int kioas_invalidate(int fd, uint32_t ioasid, const struct ioasid_inval_entry *entries,
		     uint32_t count)
{
	struct ioasid_invalidate_cache invalidate = {
		.size = sizeof(invalidate),
		.ioasid = ioasid,
		.entries_uptr = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(*entries),
	};

	return kioas_call(fd, IOASID_INVALIDATE_CACHE, &invalidate);
}

int kioas_lookup(int fd, uint32_t ioasid, uint64_t iova, struct ioasid_lookup *out)
{
	*out = (struct ioasid_lookup){ .size = sizeof(*out), .ioasid = ioasid, .iova = iova };
	return kioas_call(fd, IOASID_LOOKUP, out);
}

int kioas_register(int fd, void *va, uint64_t length, uint32_t prot)
{
	struct ioasid_memory memory = {
		.size = sizeof(memory),
		.prot = prot,
		.va = (uintptr_t)va,
		.length = length,
	};

	return kioas_call(fd, IOASID_REGISTER_MEMORY, &memory);
}

int kioas_unregister(int fd, void *va, uint64_t length)
{
	struct ioasid_memory memory = {
		.size = sizeof(memory),
		.va = (uintptr_t)va,
		.length = length,
	};

	return kioas_call(fd, IOASID_UNREGISTER_MEMORY, &memory);
}

int kioas_map_one(int fd, uint32_t ioasid, uint64_t iova, const void *va, uint64_t length,
		  uint32_t flags)
{
	const struct ioasid_map_entry entry = {
		.iova = iova,
		.address = (uintptr_t)va,
		.length = length,
		.flags = flags,
	};

	return kioas_map(fd, ioasid, &entry, 1);
}

int kioas_unmap_one(int fd, uint32_t ioasid, uint64_t iova, uint64_t length)
{
	const struct ioasid_unmap_entry entry = { .iova = iova, .length = length };

	return kioas_unmap(fd, ioasid, &entry, 1);
}

int kioas_invalidate_range(int fd, uint32_t ioasid, uint64_t iova, uint64_t length)
{
	const struct ioasid_inval_entry entry = {
		.type = IOASID_INVAL_RANGE,
		.iova = iova,
		.length = length,
	};

	return kioas_invalidate(fd, ioasid, &entry, 1);
}

int kioas_invalidate_all(int fd, uint32_t ioasid)
{
	const struct ioasid_inval_entry entry = { .type = IOASID_INVAL_ALL };

	return kioas_invalidate(fd, ioasid, &entry, 1);
}

uint32_t kioas_space(int fd, enum ioasid_kind kind, uint32_t parent)
{
	uint32_t ioasid;

	CHECK(kioas_alloc(fd, kind, parent, &ioasid) == 0);
	CHECK(ioasid != 0);
	return ioasid;
}

uint64_t kioas_extension(int fd, enum ioasid_extension extension)
{
	struct ioasid_check_extension check = {
		.size = sizeof(check),
		.extension = extension,
		.out_value = 0x5a5a,
	};

	CHECK(kioas_call(fd, IOASID_CHECK_EXTENSION, &check) == 0);
	return check.out_value;
}

void kioas_check_why(int fd, int error, unsigned long call, const char *field, uint32_t index)
{
	struct ioasid_last_error last = { .size = sizeof(last) };

	CHECK(kioas_call(fd, IOASID_LAST_ERROR, &last) == 0);
	printf("    %s: %s\n", last.out_field, last.out_text);
	if (last.out_errno != (uint32_t)error || last.out_call != (call & 0xff) - IOASID_BASE ||
	    strcmp((char *)last.out_field, field) || last.out_index != index)
		FAIL("the last error is errno %u, call %u, field %s, element %u", last.out_errno,
		     last.out_call, last.out_field, last.out_index);
	CHECK(memchr(last.out_text, 0, sizeof(last.out_text)));
}
