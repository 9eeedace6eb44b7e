/* SPDX-License-Identifier: BSD-3-Clause */
/* See fake_ioasid.h. */
#include "fake_ioasid.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE	   4096ULL
#define DEVICE_IDS 1000 /* of devices, above those of spaces */
#define INTERRUPTS 0xfee00000ULL

struct fake fake = { .events = -1 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fake_lock(void)
{
	pthread_mutex_lock(&lock);
}

void fake_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void fake_reset(void)
{
	int events = fake.events;

	memset(&fake, 0, sizeof(fake));
	fake.events = events;
	fake.kinds = 0x3e;
	fake.formats = 1ULL << IOASID_FORMAT_X86_64_L4;
	fake.array_max = IOASID_ARRAY_MAX;
	fake.last = FAKE_LAST;
}

int fake_fd(void)
{
	int ends[2];

	if (fake.events >= 0)
		close(fake.events);
	if (pipe2(ends, O_CLOEXEC))
		abort();
	fake.events = ends[1];
	return ends[0];
}

unsigned int fake_count(void)
{
	unsigned int count = 0;

	for (int i = 0; i < FAKE_SPACES; i++)
		count += fake.spaces[i].used;
	for (int i = 0; i < UNREAL_DEVICES; i++)
		count += fake.devices[i].bound;
	for (int i = 0; i < FAKE_MEMORIES; i++)
		count += !!fake.memories[i].length;
	return count;
}

void fake_event(const struct ioasid_event_record *record)
{
	if (write(fake.events, record, sizeof(*record)) != sizeof(*record))
		abort();
}

/* Words. */

static int refuse(int code, uint32_t index, const char *field, const char *text)
{
	fake.error.out_index = index;
	snprintf((char *)fake.error.out_field, sizeof(fake.error.out_field), "%s", field);
	snprintf((char *)fake.error.out_text, sizeof(fake.error.out_text), "%s", text);
	return -code;
}

static int last_error(struct ioasid_last_error *request)
{
	if (fake.mute || !fake.error.out_errno)
		return -ENOENT;
	*request = fake.error;
	return 0;
}

/* Finding. */

static struct fake_device *device(uint32_t id)
{
	struct fake_device *dev = &fake.devices[id - DEVICE_IDS];

	return id >= DEVICE_IDS && id < DEVICE_IDS + UNREAL_DEVICES && dev->bound ? dev : NULL;
}

static struct fake_space *space(uint32_t id)
{
	return id && id < FAKE_SPACES && fake.spaces[id].used ? &fake.spaces[id] : NULL;
}

static struct fake_map *find(struct fake_space *in, uint64_t start, uint64_t last)
{
	for (unsigned int i = 0; i < in->count; i++)
		if (in->maps[i].iova <= last &&
		    in->maps[i].iova + (in->maps[i].length - 1) >= start)
			return &in->maps[i];
	return NULL;
}

static void *address_of(const struct fake_map *map, uint64_t iova)
{
	return (void *)(uintptr_t)(map->address + (iova - map->iova));
}

/* Registered memory that holds all of it. */
static struct fake_map *memory(uint64_t va, uint64_t length)
{
	for (int i = 0; i < FAKE_MEMORIES; i++) {
		struct fake_map *one = &fake.memories[i];

		if (one->length && one->address <= va &&
		    va + (length - 1) <= one->address + (one->length - 1))
			return one;
	}
	return NULL;
}

/* USER: the table is in what the parent maps. */

static uint64_t entry_of(struct fake_space *parent, uint64_t table, unsigned int index)
{
	struct fake_map *map = find(parent, table, table);

	if (!map || !(map->flags & IOASID_MAP_READ))
		return 0;
	return __atomic_load_n((uint64_t *)address_of(map, table) + index, __ATOMIC_ACQUIRE);
}

/* x86-64, Intel SDM volume 3, 4.5: pages of 4 KiB and 2 MiB of [start, last]. */
static void read_table(struct fake_space *user, uint64_t table, int level, uint64_t base,
		       uint64_t start, uint64_t last)
{
	struct fake_space *parent = &fake.spaces[user->parent];
	const uint64_t size = PAGE << (9 * level);

	for (unsigned int i = 0; i < 512; i++) {
		uint64_t iova = base + i * size, entry, target;

		if (iova > last || iova + (size - 1) < start)
			continue;
		entry = entry_of(parent, table, i);
		target = entry & 0xffffffffff000ULL;
		if (!(entry & 1))
			continue;
		if (level && !(entry & 0x80)) {
			read_table(user, target, level - 1, iova, start, last);
			continue;
		}
		if (user->count == FAKE_MAPS)
			abort();
		user->maps[user->count++] = (struct fake_map){
			.iova = iova,
			.length = size,
			.address = target,
			.flags = IOASID_MAP_READ | (entry & 2 ? IOASID_MAP_WRITE : 0),
		};
	}
}

static void shadow(struct fake_space *user, uint64_t start, uint64_t last)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < user->count; i++) {
		struct fake_map *map = &user->maps[i];

		if (map->iova > last || map->iova + (map->length - 1) < start) {
			user->maps[kept++] = *map;
			continue;
		}
		/* A large page goes as a whole, and is read as a whole. */
		if (map->iova < start)
			start = map->iova;
		if (map->iova + (map->length - 1) > last)
			last = map->iova + (map->length - 1);
	}
	user->count = kept;
	read_table(user, user->data.user.root, 3, 0, start, last);
}

static int invalidate(const struct ioasid_invalidate_cache *request)
{
	const struct ioasid_inval_entry *entries = (void *)(uintptr_t)request->entries_uptr;
	struct fake_space *user = space(request->ioasid);

	fake.entries = request->count;
	if (user && (user->kind == IOASID_KIND_CPU || user->kind == IOASID_KIND_VM)) {
		fake.synced = entries[0];
		return 0;
	}
	if (!user || user->kind != IOASID_KIND_USER)
		return refuse(ENOENT, 0, "ioasid", "no USER space");
	if (!request->count || request->count > fake.array_max ||
	    request->entry_size != sizeof(*entries))
		return refuse(EINVAL, 0, "count", "too many, or of a wrong size");
	for (unsigned int i = 0; i < request->count; i++) {
		const struct ioasid_inval_entry *entry = &entries[i];

		/* Tables may be new above the last level, too. */
		if (entry->flags)
			return refuse(EOPNOTSUPP, i, "flags", "not here");
		if (entry->type == IOASID_INVAL_RANGE)
			shadow(user, entry->iova, entry->iova + (entry->length - 1));
		else
			shadow(user, 0, UINT64_MAX);
	}
	return 0;
}

static void *dma(unsigned int number, uint64_t iova, uint32_t prot)
{
	struct fake_device *dev = &fake.devices[number];
	struct fake_space *at = space(dev->space);
	struct fake_map *map;

	while (dev->master && at) {
		map = find(at, iova, iova);
		if (!map || (map->flags & prot) != prot)
			return NULL;
		iova = (uintptr_t)address_of(map, iova);
		if (!at->parent)
			return (void *)(uintptr_t)iova;
		at = space(at->parent);
	}
	return NULL;
}

void *fake_dma(unsigned int number, uint64_t iova, uint32_t prot)
{
	void *va;

	fake_lock();
	va = dma(number, iova, prot);
	fake_unlock();
	return va;
}

/* Devices. */

static int bind(struct ioasid_bind_device *request)
{
	int number = unreal_device(request->device_fd);

	if (number < 0)
		return refuse(EINVAL, 0, "device_fd", "no device");
	if (fake.devices[number].bound)
		return refuse(EBUSY, 0, "device_fd", "bound already");
	fake.devices[number] = (struct fake_device){ .bound = true, .cookie = request->cookie };
	request->out_dev_id = DEVICE_IDS + number;
	return 0;
}

static int unbind(const struct ioasid_unbind_device *request)
{
	struct fake_device *dev = device(request->dev_id);

	if (!dev)
		return refuse(ENOENT, 0, "dev_id", "no device");
	if (dev->space)
		return refuse(EBUSY, 0, "dev_id", "attached");
	dev->bound = false;
	return 0;
}

static int device_info(struct ioasid_device_info *request)
{
	const struct ioasid_range ranges[] = { { 0, INTERRUPTS - 1 },
					       { INTERRUPTS + 0x100000, fake.last } };

	if (!device(request->dev_id))
		return refuse(ENOENT, 0, "dev_id", "no device");
	memcpy((void *)(uintptr_t)request->ranges_uptr, ranges, sizeof(ranges));
	request->range_count = 2;
	request->out_page_sizes = PAGE | 2ULL << 20;
	request->out_shadow_formats = fake.formats;
	return 0;
}

static int control(const struct ioasid_device_control *request)
{
	struct fake_device *dev = device(request->dev_id);

	if (!dev)
		return refuse(ENOENT, 0, "dev_id", "no device");
	if (request->op == IOASID_DEVICE_RESET)
		return refuse(EOPNOTSUPP, 0, "op", "cannot be reset by itself");
	if (request->op == IOASID_DEVICE_MASTER_ON && !dev->space)
		return refuse(EINVAL, 0, "op", "not attached");
	dev->master = request->op == IOASID_DEVICE_MASTER_ON;
	return 0;
}

static void leave(struct fake_device *dev)
{
	if (dev->space)
		fake.spaces[dev->space].users--;
	dev->space = 0;
}

static int attach(const struct ioasid_attach *request)
{
	struct fake_device *dev = device(request->dev_id);

	if (!dev || !space(request->ioasid))
		return refuse(ENOENT, 0, "dev_id", "no device, or no space");
	leave(dev);
	dev->space = request->ioasid;
	fake.spaces[dev->space].users++;
	return 0;
}

static int detach(const struct ioasid_detach *request)
{
	struct fake_device *dev = device(request->dev_id);

	if (!dev || !dev->space)
		return refuse(ENOENT, 0, "dev_id", "no device, or not attached");
	leave(dev);
	dev->master = false;
	return 0;
}

void fake_remove(unsigned int number)
{
	struct fake_device *dev = &fake.devices[number];
	const struct ioasid_event_record record = { .event = IOASID_EVENT_DEVICE_GONE,
						    .cookie = dev->cookie };

	leave(dev);
	*dev = (struct fake_device){ .bound = false };
	fake_event(&record);
}

/* Spaces. */

static size_t data_size(uint32_t kind)
{
	return kind == IOASID_KIND_USER	 ? sizeof(struct ioasid_alloc_user)
	       : kind == IOASID_KIND_CPU ? sizeof(struct ioasid_alloc_cpu)
	       : kind == IOASID_KIND_VM	 ? sizeof(struct ioasid_alloc_vm)
					 : 0;
}

static int alloc(struct ioasid_alloc *request)
{
	uint32_t id = 1;

	if (!(fake.kinds >> request->kind & 1))
		return refuse(EOPNOTSUPP, 0, "kind", "not here");
	if (request->data_len != data_size(request->kind))
		return refuse(EINVAL, 0, "data_len", "wrong size");
	if (request->kind == IOASID_KIND_USER &&
	    (!space(request->parent_id) || !(fake.formats >> request->format & 1)))
		return refuse(EINVAL, 0, "parent_id", "no parent, or no format");
	while (fake.spaces[id].used)
		if (++id == FAKE_SPACES)
			abort();
	memset(&fake.spaces[id], 0, sizeof(fake.spaces[id]));
	fake.spaces[id].used = true;
	fake.spaces[id].kind = request->kind;
	fake.spaces[id].format = request->format;
	fake.spaces[id].parent = request->parent_id;
	fake.spaces[request->parent_id].users++;
	if (request->data_len)
		memcpy(&fake.spaces[id].data, (void *)(uintptr_t)request->data_uptr,
		       request->data_len);
	request->out_ioasid = id;
	return 0;
}

static int free_space(const struct ioasid_free *request)
{
	struct fake_space *one = space(request->ioasid);

	if (!one)
		return refuse(ENOENT, 0, "ioasid", "no space");
	if (one->users)
		return refuse(EBUSY, 0, "ioasid", "in use");
	fake.spaces[one->parent].users--;
	one->used = false;
	return 0;
}

/* Memory. */

static int register_memory(const struct ioasid_memory *request)
{
	for (int i = 0; i < FAKE_MEMORIES; i++)
		if (!fake.memories[i].length) {
			fake.memories[i].address = request->va;
			fake.memories[i].length = request->length;
			return 0;
		}
	abort();
}

static int unregister_memory(const struct ioasid_memory *request)
{
	struct fake_map *one = memory(request->va, request->length);

	if (!one || one->length != request->length)
		return refuse(ENOENT, 0, "va", "not registered");
	for (uint32_t id = 1; id < FAKE_SPACES; id++)
		for (unsigned int i = 0; space(id) && !space(id)->parent && i < space(id)->count;
		     i++)
			if (space(id)->maps[i].address - one->address < one->length)
				return refuse(EBUSY, 0, "va", "mapped");
	one->length = 0;
	return 0;
}

/* Maps. */

static int check_array(struct fake_space *in, uint32_t count, uint32_t entry_size, size_t size)
{
	fake.entries = count;
	if (!in || in->kind != IOASID_KIND_KERNEL)
		return refuse(ENOENT, 0, "ioasid", "no KERNEL space");
	if (!count || count > fake.array_max || entry_size != size)
		return refuse(EINVAL, 0, "count", "too many, or of a wrong size");
	return 0;
}

static int map(const struct ioasid_map_dma *request)
{
	const struct ioasid_map_entry *entries = (void *)(uintptr_t)request->entries_uptr;
	struct fake_space *in = space(request->ioasid);
	int ret = check_array(in, request->count, request->entry_size, sizeof(*entries));
	unsigned int before = ret ? 0 : in->count;

	for (unsigned int i = 0; !ret && i < request->count; i++) {
		const struct ioasid_map_entry *entry = &entries[i];

		if (entry->__reserved || !entry->flags)
			ret = refuse(EINVAL, i, "flags", "none, or reserved");
		else if (find(in, entry->iova, entry->iova + (entry->length - 1)))
			ret = refuse(EEXIST, i, "iova", "something is mapped there");
		else if (!memory(entry->address, entry->length))
			ret = refuse(EFAULT, i, "address", "no memory there");
		else if (in->count == FAKE_MAPS)
			abort();
		else
			in->maps[in->count++] = (struct fake_map){ .iova = entry->iova,
								   .length = entry->length,
								   .address = entry->address,
								   .flags = entry->flags };
	}
	if (ret && in)
		in->count = before;
	return ret;
}

static int unmap(struct ioasid_unmap_dma *request)
{
	const struct ioasid_unmap_entry *entries = (void *)(uintptr_t)request->entries_uptr;
	struct fake_space *in = space(request->ioasid);
	int ret = check_array(in, request->count, request->entry_size, sizeof(*entries));

	if (!ret && request->flags != IOASID_UNMAP_EXACT)
		abort();
	for (unsigned int i = 0; !ret && i < request->count; i++) {
		const struct fake_map *one =
			find(in, entries[i].iova, entries[i].iova + (entries[i].length - 1));

		if (!one)
			ret = refuse(ENOENT, i, "iova", "nothing is mapped there");
		else if (one->iova != entries[i].iova || one->length != entries[i].length)
			ret = refuse(EINVAL, i, "length", "not exactly a mapping");
	}
	for (unsigned int i = 0; !ret && i < request->count; i++) {
		struct fake_map *one = find(in, entries[i].iova, entries[i].iova);

		*one = in->maps[--in->count];
	}
	return ret;
}

static int lookup(struct ioasid_lookup *request)
{
	const struct fake_space *one = space(request->ioasid);

	if (!one)
		return refuse(ENOENT, 0, "ioasid", "no space");
	/* CPU: all of the interval is there, for reading. VM: guest memory begins at 1 GiB. */
	if (one->kind == IOASID_KIND_CPU &&
	    (request->iova < one->data.cpu.start || request->iova > one->data.cpu.last))
		return refuse(ENOENT, 0, "iova", "outside");
	request->out_address = request->iova + (one->kind == IOASID_KIND_VM ? 1 << 30 : 0);
	request->out_prot = IOASID_PROT_READ;
	return 0;
}

static int check_extension(struct ioasid_check_extension *request)
{
	switch (request->extension) {
	case IOASID_EXT_VERSION:
		request->out_value = 1;
		break;
	case IOASID_EXT_KINDS:
		request->out_value = fake.kinds;
		break;
	case IOASID_EXT_ARRAY_MAX:
		request->out_value = fake.array_max;
		break;
	case IOASID_EXT_RING:
		request->out_value = fake.ring_max;
		break;
	case IOASID_EXT_RING_POLL:
		request->out_value = fake.ring_max > 0;
		break;
	case IOASID_EXT_KVM:
		request->out_value = 1;
		break;
	default:
		request->out_value = 0;
	}
	return 0;
}

int fake_run(unsigned long request, void *arg)
{
	/* All structures begin with their size. */
	if (!*(uint32_t *)arg)
		return -EINVAL;
	switch (request) {
	case IOASID_CHECK_EXTENSION:
		return check_extension(arg);
	case IOASID_KIND_GET_INFO:
		((struct ioasid_kind_info *)arg)->out_formats = fake.formats;
		return 0;
	case IOASID_BIND_DEVICE:
		return bind(arg);
	case IOASID_UNBIND_DEVICE:
		return unbind(arg);
	case IOASID_DEVICE_GET_INFO:
		return device_info(arg);
	case IOASID_DEVICE_CONTROL:
		return control(arg);
	case IOASID_ALLOC:
		return alloc(arg);
	case IOASID_FREE:
		return free_space(arg);
	case IOASID_ATTACH:
		return attach(arg);
	case IOASID_DETACH:
		return detach(arg);
	case IOASID_REGISTER_MEMORY:
		return register_memory(arg);
	case IOASID_UNREGISTER_MEMORY:
		return unregister_memory(arg);
	case IOASID_MAP_DMA:
		return map(arg);
	case IOASID_UNMAP_DMA:
		return unmap(arg);
	case IOASID_INVALIDATE_CACHE:
		return invalidate(arg);
	case IOASID_LOOKUP:
		return lookup(arg);
	case IOASID_RING_SETUP:
		return fake_ring_setup(arg);
	}
	return -ENOTTY;
}

/* Requests that only undo something do not fail; a single unmap takes no memory. */
static bool may_fail(unsigned long request, const void *arg)
{
	if (request == IOASID_UNMAP_DMA)
		return ((const struct ioasid_unmap_dma *)arg)->count > 1;
	return request != IOASID_FREE && request != IOASID_DETACH &&
	       request != IOASID_UNREGISTER_MEMORY && request != IOASID_UNBIND_DEVICE;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	const unsigned int number = _IOC_NR(request) - IOASID_BASE;
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == IOASID_RING_ENTER) {
		__atomic_fetch_add(&fake.calls[number], 1, __ATOMIC_RELAXED);
		errno = -fake_ring_enter(arg);
		return errno ? -1 : 0;
	}
	fake_lock();
	if (request == IOASID_LAST_ERROR) {
		ret = last_error(arg);
	} else {
		fake.requests++;
		fake.calls[number % 32]++;
		if (fake.fail_at && may_fail(request, arg) && !--fake.fail_at)
			ret = refuse(fake.fail_with, 0, "", "made to fail");
		else
			ret = fake_run(request, arg);
		if (ret)
			fake.error.out_errno = -ret;
	}
	fake_unlock();
	if (!ret)
		return 0;
	errno = -ret;
	return -1;
}
