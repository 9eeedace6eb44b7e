// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whatever a program writes into its table, DMA stays inside the parent: entries are written behind
 * the library's back, and memory says what the device reached. Also the negative control of all
 * tests of this folder: a table that changes without an invalidation is not followed.
 *
 * Stage-2 faults, which stop what is tried here, are told to the kernel's log alone.
 */
#include "../../../engine/objects.h"
#include "../../../engine/pgtable/pt_impl.h"
#include "user_lab.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TABLE \
	UINT64_C(3) /* valid, a table or a page; the rest of a leaf is copied from a real one */
#define ADDRESS UINT64_C(0x0000fffffffff000)

static _Atomic uint64_t *entry_of(const struct user_space *space, ioas_iova_t iova)
{
	struct pt_table *table = pt_find(space->as->pt, iova);

	CHECK(table);
	return &table->entries[iova >> 12 & (PT_ENTRIES - 1)];
}

/* The whole space: what the test has changed may be on any level. */
static void flush(const struct user_space *space)
{
	struct be_space *base = space->as->be_space;
	unsigned int crossings = 0;

	CHECK(base->be->ops->invalidate(base, NULL, 0, &crossings) == 0);
	CHECK(crossings >= 1);
}

static uint64_t physical(const void *va)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	CHECK(fd >= 0);
	CHECK(pread(fd, &entry, 8, (uintptr_t)va / PAGE * 8) == 8);
	close(fd);
	CHECK(entry >> 63 && entry << 9);
	return (entry << 9 >> 9) * PAGE;
}

static void check_control(struct user_lab *lab, struct user_space *space)
{
	ioas_iova_t one = user_map(space, user_page(lab, 1), IOAS_RW);
	ioas_iova_t other = user_map(space, user_page(lab, 2), IOAS_RW);
	uint64_t saved = *entry_of(space, one);

	lab_step("control: without an invalidation the old translation is used");
	CHECK(user_reaches(lab, one, 1));
	*entry_of(space, one) = *entry_of(space, other);
	CHECK(user_reaches(lab, one, 1));
	flush(space);
	CHECK(!user_reaches(lab, one, 1));
	CHECK(user_reaches(lab, one, 2));
	*entry_of(space, one) = 0;
	CHECK(user_reaches(lab, one, 2));
	flush(space);
	CHECK(!user_reaches(lab, one, 2));
	user_check_fault(lab, one, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);
	*entry_of(space, one) = saved;
	user_unmap(space, one);
	user_unmap(space, other);
}

/* Memory of this process that the parent does not map, by its physical address. */
static void check_outside(struct user_lab *lab, struct user_space *space)
{
	ioas_iova_t iova = user_map(space, user_page(lab, 1), IOAS_RW);
	uint64_t saved = *entry_of(space, iova);
	const uint64_t places[] = {
		0,
		0xff000000,
		UINT64_C(1) << 40,
		(UINT64_C(1) << 44) - PAGE,
		(UINT64_C(1) << 48) - PAGE,
	};
	uint8_t *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);

	lab_step("leaves that point outside of the parent");
	CHECK(memory != MAP_FAILED);
	memset(memory, 0x5a, PAGE);
	*entry_of(space, iova) = (saved & ~ADDRESS) | physical(memory);
	flush(space);
	CHECK(!user_reaches(lab, iova, 1));
	CHECK(lab_all_bytes_are(memory, PAGE, 0x5a));
	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		*entry_of(space, iova) = (saved & ~ADDRESS) | places[i];
		flush(space);
		CHECK(!user_reaches(lab, iova, 1));
	}
	*entry_of(space, iova) = saved;
	flush(space);
	CHECK(user_reaches(lab, iova, 1));
	user_unmap(space, iova);
	munmap(memory, PAGE);
}

/* Tables that are their own children, and tables that are data. */
static void check_tables(struct user_lab *lab, struct user_space *space)
{
	struct pt_table *root = space->as->pt->root;
	const uint64_t slot = 100; /* of the root; the allocator is far from there */
	const ioas_iova_t self = slot << 39 | slot << 30 | slot << 21 | slot << 12;
	ioas_iova_t iova = user_map(space, user_page(lab, 1), IOAS_RW);
	uint64_t attributes = *entry_of(space, iova) & ~ADDRESS;
	uint64_t saved = *entry_of(space, iova);

	lab_step("a root that is its own child, down to a leaf");
	CHECK(root->entries[slot] == 0);
	root->entries[slot] = root->addr | attributes | TABLE;
	flush(space);
	edu_write_memory(&lab->edu, self, EDU_TRANSFER_BYTES);
	for (uint64_t i = 0; i < PT_ENTRIES; i++)
		CHECK(i == slot || root->entries[i] == 0 || i == iova >> 39);
	CHECK(root->entries[slot] == (root->addr | attributes | TABLE));
	/* The rest of the table still works. */
	CHECK(user_reaches(lab, iova, 1));

	lab_step("a leaf that points to the root, and one to the context descriptor's page");
	*entry_of(space, iova) = attributes | root->addr;
	flush(space);
	edu_write_memory(&lab->edu, iova, EDU_TRANSFER_BYTES);
	CHECK(root->entries[slot] == (root->addr | attributes | TABLE));
	root->entries[slot] = 0;
	*entry_of(space, iova) = saved;
	flush(space);
	CHECK(user_reaches(lab, iova, 1));

	lab_step("a table outside of the parent");
	root->entries[slot] = (UINT64_C(1) << 40) | TABLE;
	flush(space);
	CHECK(!user_reaches(lab, slot << 39, 1));
	root->entries[slot] = 0;
	flush(space);
	CHECK(!user_reaches(lab, slot << 39, 1));
	user_drop_faults(lab);
	user_unmap(space, iova);
}

/* The device is stopped where the table says nothing of value. */
static void check_bits(struct user_lab *lab, struct user_space *space)
{
	ioas_iova_t iova = user_map(space, user_page(lab, 1), IOAS_RW);
	uint64_t saved = *entry_of(space, iova);

	lab_step("entries that are not as the library writes them: reported as what they are");
	*entry_of(space, iova) = saved & ~(UINT64_C(1) << 10); /* the access flag */
	flush(space);
	CHECK(!user_reaches(lab, iova, 1));
	user_check_fault(lab, iova, IOAS_FAULT_RESERVED, IOAS_WRITE);
	*entry_of(space, iova) = saved;
	flush(space);
	user_unmap(space, iova);
	CHECK(!user_reaches(lab, UINT64_C(1) << 50, 1));
	user_check_fault(lab, UINT64_C(1) << 50, IOAS_FAULT_ADDRESS, IOAS_WRITE);
}

int main(void)
{
	static struct user_lab lab;
	struct user_space space;

	user_lab_open(&lab, 0, NULL);
	user_space_open(&lab, &space, IOAS_STRICT, NULL);
	CHECK(ioas_attach(space.as, lab.dev) == 0);
	user_lab_registers_open(&lab);
	check_control(&lab, &space);
	check_outside(&lab, &space);
	user_drop_faults(&lab);
	check_tables(&lab, &space);
	check_bits(&lab, &space);
	user_lab_registers_close(&lab);
	CHECK(ioas_detach(lab.dev) == 0);
	user_space_close(&space);
	user_lab_close(&lab);
	return 0;
}
