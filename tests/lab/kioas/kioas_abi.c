// SPDX-License-Identifier: BSD-3-Clause
/*
 * The rules of the interface: sizes, unknown tails, unknown calls, values that are not available,
 * numbers of other files, and that what is advertised is what there is.
 */
#include "kioas_lab.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	unsigned long call;
	uint32_t bytes;
} calls[] = {
	{ IOASID_CHECK_EXTENSION, sizeof(struct ioasid_check_extension) },
	{ IOASID_KIND_GET_INFO, sizeof(struct ioasid_kind_info) },
	{ IOASID_BIND_DEVICE, sizeof(struct ioasid_bind_device) },
	{ IOASID_UNBIND_DEVICE, sizeof(struct ioasid_unbind_device) },
	{ IOASID_DEVICE_GET_INFO, sizeof(struct ioasid_device_info) },
	{ IOASID_DEVICE_CONTROL, sizeof(struct ioasid_device_control) },
	{ IOASID_ALLOC, sizeof(struct ioasid_alloc) },
	{ IOASID_FREE, sizeof(struct ioasid_free) },
	{ IOASID_ATTACH, sizeof(struct ioasid_attach) },
	{ IOASID_DETACH, sizeof(struct ioasid_detach) },
	{ IOASID_REGISTER_MEMORY, sizeof(struct ioasid_memory) },
	{ IOASID_UNREGISTER_MEMORY, sizeof(struct ioasid_memory) },
	{ IOASID_MAP_DMA, sizeof(struct ioasid_map_dma) },
	{ IOASID_UNMAP_DMA, sizeof(struct ioasid_unmap_dma) },
	{ IOASID_INVALIDATE_CACHE, sizeof(struct ioasid_invalidate_cache) },
	{ IOASID_LOOKUP, sizeof(struct ioasid_lookup) },
	{ IOASID_LAST_ERROR, sizeof(struct ioasid_last_error) },
	{ IOASID_SET_DIRTY_TRACKING, sizeof(struct ioasid_set_dirty_tracking) },
	{ IOASID_GET_DIRTY_BITMAP, sizeof(struct ioasid_get_dirty_bitmap) },
	{ IOASID_RING_SETUP, sizeof(struct ioasid_ring_setup) },
	{ IOASID_RING_ENTER, sizeof(struct ioasid_ring_enter) },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* The same on 32 and 64 bits: no padding, and eight bytes on an eight-byte boundary. */
_Static_assert(sizeof(struct ioasid_device_info) == 80, "ioasid_device_info");
_Static_assert(sizeof(struct ioasid_alloc) == 40, "ioasid_alloc");
_Static_assert(sizeof(struct ioasid_map_entry) == 32, "ioasid_map_entry");
_Static_assert(sizeof(struct ioasid_unmap_entry) == 16, "ioasid_unmap_entry");
_Static_assert(sizeof(struct ioasid_inval_entry) == 32, "ioasid_inval_entry");
_Static_assert(sizeof(struct ioasid_event_record) == 48, "ioasid_event_record");
_Static_assert(sizeof(struct ioasid_last_error) == 184, "ioasid_last_error");
_Static_assert(sizeof(struct ioasid_ring_head) == 256, "ioasid_ring_head");
_Static_assert(sizeof(struct ioasid_sqe) == 64, "ioasid_sqe");
_Static_assert(sizeof(struct ioasid_cqe) == 16, "ioasid_cqe");

static int call_sized(int fd, size_t at, uint32_t size)
{
	union {
		uint32_t size;
		uint8_t bytes[8192];
	} command = { .size = size };

	return kioas_call(fd, calls[at].call, &command);
}

/* A longer structure is fine as long as nothing is in what the kernel does not know. */
static void check_tails(int fd)
{
	union {
		uint32_t size;
		uint8_t bytes[4096];
	} command;
	size_t at;
	int plain;

	for (at = 0; at < CALLS; at++) {
		CHECK(call_sized(fd, at, 0) == -EINVAL);
		CHECK(call_sized(fd, at, 4) == -EINVAL);
		CHECK(call_sized(fd, at, 8192) == -E2BIG);
		CHECK(call_sized(fd, at, UINT32_MAX) == -E2BIG);
		plain = call_sized(fd, at, calls[at].bytes);
		CHECK(plain != -E2BIG);
		CHECK(call_sized(fd, at, 4096) == plain);
		memset(&command, 0, sizeof(command));
		command.size = calls[at].bytes + 8;
		command.bytes[calls[at].bytes + 7] = 1;
		CHECK(kioas_call(fd, calls[at].call, &command) == -E2BIG);
		CHECK(kioas_call(fd, calls[at].call, (void *)8) == -EFAULT);
	}
}

static void check_numbers(int fd)
{
	unsigned int nr;

	for (nr = 0; nr < 256; nr++) {
		if (nr >= IOASID_BASE && nr < IOASID_BASE + CALLS)
			continue;
		CHECK(kioas_call(fd, _IO(IOASID_TYPE, nr), NULL) == -ENOTTY);
	}
	CHECK(kioas_call(fd, _IO('i', IOASID_BASE), NULL) == -ENOTTY);
	CHECK(kioas_call(fd, _IOW(IOASID_TYPE, IOASID_BASE, uint32_t), NULL) == -ENOTTY);
}

static void check_advertised(int fd)
{
	const uint64_t kinds = kioas_extension(fd, IOASID_EXT_KINDS);
	struct ioasid_kind_info info = { .size = sizeof(info) };
	uint32_t ioasid;
	int ret;

	CHECK(kioas_extension(fd, IOASID_EXT_VERSION) == 1);
	CHECK(kioas_extension(fd, IOASID_EXT_ARRAY_MAX) == IOASID_ARRAY_MAX);
	CHECK(kioas_extension(fd, 9999) == 0);
	for (info.kind = 0; info.kind < 8; info.kind++) {
		ret = kioas_call(fd, IOASID_KIND_GET_INFO, &info);
		if (kinds & 1UL << info.kind) {
			CHECK(ret == 0 && info.out_ops & IOASID_OP_ATTACH);
			continue;
		}
		CHECK(ret ==
		      (info.kind >= IOASID_KIND_KERNEL && info.kind <= IOASID_KIND_PASSTHROUGH
			       ? -EOPNOTSUPP
			       : -EINVAL));
		CHECK(kioas_alloc(fd, info.kind, 0, &ioasid) == ret);
		kioas_check_why(fd, -ret, IOASID_ALLOC, "kind", 0);
	}
	CHECK(kinds & 1 << IOASID_KIND_KERNEL && kinds & 1 << IOASID_KIND_PASSTHROUGH);
}

/* Numbers are the file's own, and of one type. */
static void check_ids(int fd)
{
	uint32_t space = kioas_space(fd, IOASID_KIND_KERNEL, 0), other_space;
	int other = kioas_open();

	CHECK(kioas_free(other, space) == -ENOENT);
	kioas_check_why(other, ENOENT, IOASID_FREE, "ioasid", 0);
	CHECK(kioas_alloc(other, IOASID_KIND_KERNEL, space, &other_space) == -ENOENT);
	kioas_check_why(other, ENOENT, IOASID_ALLOC, "parent_id", 0);
	CHECK(kioas_attach(fd, space, space) == -ENOENT);
	kioas_check_why(fd, ENOENT, IOASID_ATTACH, "dev_id", 0);
	CHECK(kioas_free(fd, 0) == -ENOENT);
	CHECK(kioas_free(fd, UINT32_MAX) == -ENOENT);
	CHECK(kioas_free(fd, space) == 0);
	close(other);
}

static void check_array_sizes(int fd)
{
	struct big_entry {
		struct ioasid_map_entry entry;
		uint64_t unknown;
	} entries[2] = {};
	uint8_t *memory = lab_buffer(2 * PAGE, 0, 1);
	struct ioasid_map_dma map = {
		.size = sizeof(map),
		.ioasid = kioas_space(fd, IOASID_KIND_KERNEL, 0),
		.entries_uptr = (uintptr_t)entries,
		.count = 2,
		.entry_size = sizeof(entries[0]),
	};

	for (int i = 0; i < 2; i++)
		entries[i].entry = (struct ioasid_map_entry){
			.iova = i * PAGE,
			.address = (uintptr_t)memory + i * PAGE,
			.length = PAGE,
			.flags = RW,
		};
	CHECK(kioas_call(fd, IOASID_MAP_DMA, &map) == 0);
	CHECK(kioas_unmap_one(fd, map.ioasid, 0, 2 * PAGE) == 0);
	entries[1].unknown = 1;
	CHECK(kioas_call(fd, IOASID_MAP_DMA, &map) == -E2BIG);
	kioas_check_why(fd, E2BIG, IOASID_MAP_DMA, "entry_size", 1);
	map.entry_size = 8;
	CHECK(kioas_call(fd, IOASID_MAP_DMA, &map) == -EINVAL);
	map.entry_size = sizeof(entries[0].entry);
	for (map.count = 0; map.count != 1; map.count = map.count ? 1 : IOASID_ARRAY_MAX + 1) {
		CHECK(kioas_call(fd, IOASID_MAP_DMA, &map) == -EINVAL);
		kioas_check_why(fd, EINVAL, IOASID_MAP_DMA, "count", 0);
	}
	map.entries_uptr = 8;
	CHECK(kioas_call(fd, IOASID_MAP_DMA, &map) == -EFAULT);
	CHECK(kioas_free(fd, map.ioasid) == 0);
}

/* Each thread, here another process, reads its own failure; a call that succeeds does not hide it.
 */
static void check_why(int fd)
{
	struct ioasid_last_error last = { .size = sizeof(last) };
	int status;
	pid_t child;

	CHECK(kioas_free(fd, 77) == -ENOENT);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		CHECK(kioas_call(fd, IOASID_LAST_ERROR, &last) == -ENOENT);
		CHECK(kioas_detach(fd, 78) == -ENOENT);
		kioas_check_why(fd, ENOENT, IOASID_DETACH, "dev_id", 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(kioas_extension(fd, IOASID_EXT_VERSION) == 1);
	kioas_check_why(fd, ENOENT, IOASID_FREE, "ioasid", 0);
}

int main(void)
{
	int fd = kioas_open();

	lab_step("sizes and tails");
	check_tails(fd);
	lab_step("numbers of calls");
	check_numbers(fd);
	lab_step("what is advertised");
	check_advertised(fd);
	lab_step("numbers of objects");
	check_ids(fd);
	lab_step("sizes of array elements");
	check_array_sizes(fd);
	lab_step("the last error is the thread's own");
	check_why(fd);
	close(fd);
	return 0;
}
