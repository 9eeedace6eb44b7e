// SPDX-License-Identifier: BSD-3-Clause
/*
 * Kind USER, which the module walks and shadows: random tables of every format, written by the
 * engine's builder, mean the same to LOOKUP and to the device as they mean to the builder; changes
 * are seen after the invalidation that covers them; the parent limits what is reached.
 */
#include "user_table.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define FORMATS 13
#define STEPS	16
#define SLOTS	32
#define IOVA	0x100000000UL /* of slot 0 */
#define SLOT	(4 * MIB)
#define LARGE	(IOVA + SLOT)

struct slot {
	uint64_t bytes; /* 0: nothing is mapped */
	uint64_t offset;
};

static uint64_t any(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 8;
}

static uint64_t slot_iova(unsigned int slot)
{
	return IOVA + slot * SLOT;
}

/* Pages, runs of pages, and now and then what is large enough for a larger leaf. */
static struct slot random_slot(const struct user_table *table)
{
	const uint64_t page = 1UL << table->mem.page_lg2, pages = DATA_BYTES / page;
	struct slot slot = { .bytes = page << any() % 4 };

	if (any() % 8 == 0)
		slot = (struct slot){ .bytes = 2 * MIB,
				      .offset = any() % (DATA_BYTES / (2 * MIB)) * 2 * MIB };
	else
		slot.offset = any() % (pages - slot.bytes / page) * page;
	return slot;
}

static void check_slots(const struct user_table *table, int fd, const struct slot *slots)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		user_table_check(table, fd, slot_iova(i));
		user_table_check(table, fd, slot_iova(i) + slots[i].bytes - 1);
		user_table_check(table, fd, slot_iova(i) + slots[i].bytes + any() % SLOT);
	}
}

/* A few changes, and one call for all of them. */
static void change_slots(struct user_table *table, int fd, struct slot *slots)
{
	struct ioasid_inval_entry entries[16];
	const unsigned int count = 1 + any() % 16;

	for (unsigned int i = 0; i < count; i++) {
		const unsigned int at = any() % SLOTS;
		uint64_t bytes = slots[at].bytes;

		if (bytes)
			user_table_unmap(table, slot_iova(at), bytes);
		slots[at] = any() % 3 ? random_slot(table) : (struct slot){};
		if (slots[at].bytes)
			user_table_map(table, slot_iova(at), slots[at].bytes, slots[at].offset,
				       any() % 3 ? RW : IOASID_PROT_READ);
		if (slots[at].bytes > bytes)
			bytes = slots[at].bytes;
		entries[i] = (struct ioasid_inval_entry){
			.type = IOASID_INVAL_RANGE,
			.iova = slot_iova(at),
			.length = bytes ? bytes : PAGE,
		};
	}
	if (any() % 8 == 0)
		CHECK(kioas_invalidate_all(fd, table->space) == 0);
	else
		CHECK(kioas_invalidate(fd, table->space, entries, count) == 0);
}

static void check_device(const struct user_table *table, struct kioas_lab *lab,
			 const struct slot *slots)
{
	unsigned int reached = 0, refused = 0;
	uint32_t prot;
	uint64_t oa;

	for (unsigned int i = 0; i < SLOTS && reached + refused < 6; i++) {
		const uint64_t iova = slot_iova(i);
		const bool there = !pt_lookup(table->pt, iova, &oa, &prot, NULL);

		if (there && prot == RW && reached < 4) {
			CHECK(oa == DATA_ADDRESS + slots[i].offset);
			CHECK(edu_reaches(&lab->edu, iova, table->data + slots[i].offset));
			reached++;
		} else if ((!there || prot != RW) && refused < 2) {
			CHECK(!edu_reaches(&lab->edu, iova, table->data + slots[i].offset));
			refused++;
		}
	}
	CHECK(reached == 4 && refused == 2);
}

static void check_format(struct kioas_lab *lab, enum ioasid_format format)
{
	struct slot slots[SLOTS] = {};
	struct user_table table;

	printf("    format %u\n", format);
	user_table_open(&table, lab->fd, format);
	for (unsigned int step = 0; step < STEPS; step++) {
		/* The first half without a device, and what the table says is there at once. */
		if (step == STEPS / 2) {
			CHECK(kioas_attach(lab->fd, lab->dev_id, table.space) == 0);
			CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
		}
		change_slots(&table, lab->fd, slots);
		check_slots(&table, lab->fd, slots);
	}
	check_device(&table, lab, slots);
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	user_table_close(&table, lab->fd);
}

static void check_advertised(struct kioas_lab *lab)
{
	struct ioasid_kind_info kind = { .size = sizeof(kind), .kind = IOASID_KIND_USER };
	struct ioasid_range ranges[16];
	struct ioasid_device_info device = {
		.size = sizeof(device),
		.dev_id = lab->dev_id,
		.ranges_uptr = (uintptr_t)ranges,
		.range_count = 16,
	};
	uint32_t parent = kioas_space(lab->fd, IOASID_KIND_KERNEL, 0), space;
	uint8_t *root = lab_buffer(PAGE, 0, 0);

	CHECK(kioas_extension(lab->fd, IOASID_EXT_KINDS) & 1 << IOASID_KIND_USER);
	CHECK(kioas_extension(lab->fd, IOASID_EXT_FAULTS) & 1 << IOASID_EVENT_TABLE);
	CHECK(kioas_call(lab->fd, IOASID_KIND_GET_INFO, &kind) == 0);
	CHECK(kioas_call(lab->fd, IOASID_DEVICE_GET_INFO, &device) == 0);
	CHECK(kind.out_formats == (1 << (FORMATS + 1)) - 2);
	CHECK(device.out_shadow_formats == kind.out_formats && !device.out_user_formats);
	CHECK(!(kind.out_ops & (IOASID_OP_MAP | IOASID_OP_PARENT)));
	CHECK(kioas_map_one(lab->fd, parent, TABLES_ADDRESS, root, PAGE, IOASID_MAP_READ) == 0);
	lab_step("what no table can be made of");
	CHECK(kioas_alloc_user(lab->fd, 1, parent, TABLES_ADDRESS + 8, &space) == -EINVAL);
	kioas_check_why(lab->fd, EINVAL, IOASID_ALLOC, "data", 0);
	CHECK(kioas_alloc_user(lab->fd, IOASID_FORMAT_ARM64_S1_64K, parent, TABLES_ADDRESS + PAGE,
			       &space) == -EINVAL);
	CHECK(kioas_alloc_user(lab->fd, 1, parent, TABLES_ADDRESS + PAGE, &space) == -ENOENT);
	kioas_check_why(lab->fd, ENOENT, IOASID_ALLOC, "data", 0);
	CHECK(kioas_alloc_user(lab->fd, 1, parent, 0, &space) == -ENOENT);
	CHECK(kioas_alloc_user(lab->fd, 0, parent, TABLES_ADDRESS, &space) == -EOPNOTSUPP);
	CHECK(kioas_alloc_user(lab->fd, 1, 0, TABLES_ADDRESS, &space) == -EINVAL);
	kioas_check_why(lab->fd, EINVAL, IOASID_ALLOC, "parent_id", 0);
	CHECK(kioas_free(lab->fd, parent) == 0);
}

/* Without an invalidation a change is not seen; one for the device is one for its space. */
static void check_invalidation(struct kioas_lab *lab, struct user_table *table)
{
	struct ioasid_inval_entry entry = {
		.type = IOASID_INVAL_RANGE,
		.flags = IOASID_INVAL_DEVICE,
		.iova = IOVA,
		.length = PAGE,
		.dev_id = lab->dev_id,
	};
	struct ioasid_lookup found;

	lab_step("a change is seen after its invalidation, not before");
	user_table_map(table, IOVA, PAGE, 0, RW);
	CHECK(!edu_reaches(&lab->edu, IOVA, table->data));
	CHECK(kioas_invalidate(lab->fd, table->space, &entry, 1) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA, table->data));
	user_table_unmap(table, IOVA, PAGE);
	CHECK(kioas_invalidate_range(lab->fd, table->space, IOVA + PAGE, PAGE) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA, table->data));
	CHECK(kioas_invalidate(lab->fd, table->space, &entry, 1) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA, table->data));
	entry.dev_id = table->space;
	CHECK(kioas_invalidate(lab->fd, table->space, &entry, 1) == -ENOENT);
	kioas_check_why(lab->fd, ENOENT, IOASID_INVALIDATE_CACHE, "dev_id", 0);

	lab_step("a large leaf goes as a whole, and its pages come as a whole");
	user_table_map(table, LARGE, 2 * MIB, 0, RW);
	CHECK(kioas_invalidate_range(lab->fd, table->space, LARGE + 7 * PAGE, PAGE) == 0);
	CHECK(kioas_lookup(lab->fd, table->space, LARGE + MIB, &found) == 0);
	CHECK(found.out_start == LARGE && found.out_last == LARGE + 2 * MIB - 1);
	CHECK(edu_reaches(&lab->edu, LARGE + MIB, table->data + MIB));
	user_table_unmap(table, LARGE, 2 * MIB);
	CHECK(kioas_invalidate_range(lab->fd, table->space, LARGE + PAGE, PAGE) == 0);
	CHECK(kioas_lookup(lab->fd, table->space, LARGE + MIB, &found) == -ENOENT);
	CHECK(!edu_reaches(&lab->edu, LARGE + MIB, table->data + MIB));
}

static void check_parent(struct kioas_lab *lab, struct user_table *table)
{
	uint8_t *other = lab_buffer(PAGE, 0, 1);

	lab_step("memory that leaves the parent is out of reach at once");
	user_table_map(table, IOVA, 4 * PAGE, 0, RW);
	CHECK(kioas_invalidate_all(lab->fd, table->space) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA + PAGE, table->data + PAGE));
	CHECK(kioas_unmap_one(lab->fd, table->parent, DATA_ADDRESS + PAGE, PAGE) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA + PAGE, table->data + PAGE));
	CHECK(edu_reaches(&lab->edu, IOVA + 2 * PAGE, table->data + 2 * PAGE));
	lab_step("what the parent maps there then is reached at once");
	CHECK(kioas_map_one(lab->fd, table->parent, DATA_ADDRESS + PAGE, other, PAGE, RW) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA + PAGE, other));
	lab_step("the parent's rights limit the table's");
	CHECK(kioas_unmap_one(lab->fd, table->parent, DATA_ADDRESS, PAGE) == 0);
	CHECK(kioas_map_one(lab->fd, table->parent, DATA_ADDRESS, table->data, PAGE,
			    IOASID_MAP_READ) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA, table->data));
	lab_step("tables that leave the parent mean nothing at the next invalidation");
	CHECK(edu_reaches(&lab->edu, IOVA + 2 * PAGE, table->data + 2 * PAGE));
	CHECK(kioas_unmap_one(lab->fd, table->parent, TABLES_ADDRESS, TABLES_BYTES) == 0);
	CHECK(kioas_invalidate_range(lab->fd, table->space, IOVA + 2 * PAGE, PAGE) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA + 2 * PAGE, table->data + 2 * PAGE));
	CHECK(munmap(other, PAGE) == 0);
}

/* Under the identity root addresses are those of the process. */
static void check_identity(struct kioas_lab *lab)
{
	const uint32_t parent = kioas_space(lab->fd, IOASID_KIND_PASSTHROUGH, 0);
	uint64_t *tables = mmap(LOW_ADDRESS, 5 * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	uint8_t *data = (uint8_t *)tables + 4 * PAGE;
	uint32_t space;

	lab_step("a table of the process's own addresses");
	CHECK(tables == LOW_ADDRESS);
	CHECK(kioas_register(lab->fd, tables, 5 * PAGE, RW) == 0);
	CHECK(kioas_alloc_user(lab->fd, IOASID_FORMAT_X86_64_L4, parent, (uintptr_t)tables,
			       &space) == 0);
	for (unsigned int i = 0; i < 4; i++)
		tables[i * PAGE / 8 + 1] = (uintptr_t)tables + (i + 1) * PAGE + 7;
	/* Element 1 of the root is too far up for this device; element 0 is not. */
	tables[0] = tables[1];
	tables[1] = 0;
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(edu_reaches(&lab->edu, 0x40201000, data));
	CHECK(!edu_reaches(&lab->edu, (uintptr_t)data, data));
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, space) == 0);
	CHECK(kioas_free(lab->fd, parent) == 0);
	CHECK(kioas_unregister(lab->fd, tables, 5 * PAGE) == 0);
}

/* Each has slots of its own in one table, of which it knows what they mean at any time. */
struct crowd {
	struct user_table *table;
	int fd;
	atomic_uint number;
	atomic_bool stop;
};

#define THREADS 3

static void *table_thread(void *argument)
{
	struct crowd *crowd = argument;
	const unsigned int number = crowd->number++;
	unsigned int changes = 0;

	for (; !crowd->stop || changes < 20; changes++) {
		const uint64_t iova = slot_iova(number * 8 + changes % 8);
		const uint64_t bytes = (1 + changes % 5) * PAGE;

		user_table_map(crowd->table, iova, bytes, changes % 64 * PAGE, RW);
		CHECK(kioas_invalidate_range(crowd->fd, crowd->table->space, iova, bytes) == 0);
		user_table_check(crowd->table, crowd->fd, iova);
		user_table_check(crowd->table, crowd->fd, iova + bytes - 1);
		user_table_unmap(crowd->table, iova, bytes);
		CHECK(kioas_invalidate_range(crowd->fd, crowd->table->space, iova, bytes) == 0);
		user_table_check(crowd->table, crowd->fd, iova);
		user_table_check(crowd->table, crowd->fd, iova + bytes - 1);
	}
	return NULL;
}

/* Data come and go in the parent. */
static void *parent_thread(void *argument)
{
	struct crowd *crowd = argument;

	for (uint64_t i = 0; !crowd->stop; i++) {
		const uint64_t offset = i % 64 * PAGE;

		CHECK(kioas_unmap_one(crowd->fd, crowd->table->parent, DATA_ADDRESS + offset,
				      PAGE) == 0);
		CHECK(kioas_map_one(crowd->fd, crowd->table->parent, DATA_ADDRESS + offset,
				    crowd->table->data + offset, PAGE, RW) == 0);
	}
	return NULL;
}

static void check_threads(struct kioas_lab *lab)
{
	struct user_table table;
	struct crowd crowd = { .table = &table, .fd = lab->fd };
	pthread_t threads[THREADS + 1];

	lab_step(
		"threads in one table, under a parent that changes, while the device comes and goes");
	user_table_open(&table, lab->fd, IOASID_FORMAT_X86_64_L4);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, table_thread, &crowd) == 0);
	CHECK(pthread_create(&threads[THREADS], NULL, parent_thread, &crowd) == 0);
	for (int i = 0; i < 20; i++) {
		CHECK(kioas_attach(lab->fd, lab->dev_id, table.space) == 0);
		CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
		if (i % 8 == 0)
			edu_write_memory(&lab->edu, slot_iova(i), EDU_TRANSFER_BYTES);
		CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	}
	crowd.stop = true;
	for (int i = 0; i <= THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(kioas_attach(lab->fd, lab->dev_id, table.space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	user_table_map(&table, IOVA, PAGE, 5 * PAGE, RW);
	CHECK(kioas_invalidate_range(lab->fd, table.space, IOVA, PAGE) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA, table.data + 5 * PAGE));
	CHECK(!edu_reaches(&lab->edu, slot_iova(9), table.data + 6 * PAGE));
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	user_table_close(&table, lab->fd);
}

int main(void)
{
	const uint64_t pins = lab_pins();
	struct user_table table;
	struct kioas_lab lab;

	kioas_lab_open(&lab);
	lab_step("what is advertised");
	check_advertised(&lab);
	lab_step("random tables of each format");
	for (unsigned int format = 1; format <= FORMATS; format++)
		check_format(&lab, format);
	check_identity(&lab);
	check_threads(&lab);
	user_table_open(&table, lab.fd, IOASID_FORMAT_X86_64_L4);
	CHECK(kioas_attach(lab.fd, lab.dev_id, table.space) == 0);
	CHECK(kioas_control(lab.fd, lab.dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	check_invalidation(&lab, &table);
	check_parent(&lab, &table);
	kioas_lab_close(&lab);
	CHECK(lab_pins() == pins);
	return 0;
}
