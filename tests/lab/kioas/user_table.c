// SPDX-License-Identifier: BSD-3-Clause
/* See user_table.h. */
#include "user_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *page_alloc(struct pt_mem *mem, uint64_t *addr)
{
	struct user_table *table = (struct user_table *)mem;
	uint64_t bytes = 1UL << mem->page_lg2, at = atomic_fetch_add(&table->used, bytes);

	if (at + bytes > TABLES_BYTES)
		return NULL;
	*addr = TABLES_ADDRESS + at;
	return table->tables + at;
}

static void page_free(struct pt_mem *mem, void *page, uint64_t addr)
{
}

static unsigned int page_lg2(enum ioasid_format format)
{
	return format == IOASID_FORMAT_ARM64_S1_16K   ? 14
	       : format == IOASID_FORMAT_ARM64_S1_64K ? 16
						      : 12;
}

static void map_pages(int fd, uint32_t space, uint64_t address, uint8_t *va, uint64_t bytes)
{
	const uint32_t count = bytes / PAGE;
	struct ioasid_map_entry *entries = calloc(count, sizeof(*entries));

	CHECK(entries);
	for (uint32_t i = 0; i < count; i++)
		entries[i] = (struct ioasid_map_entry){
			.iova = address + i * PAGE,
			.address = (uintptr_t)va + i * PAGE,
			.length = PAGE,
			.flags = RW,
		};
	CHECK(kioas_map(fd, space, entries, count) == 0);
	free(entries);
}

void user_table_open(struct user_table *table, int fd, enum ioasid_format format)
{
	*table = (struct user_table){
		.mem = { page_alloc, page_free, page_lg2(format) },
		.format = format,
		.parent = kioas_space(fd, IOASID_KIND_KERNEL, 0),
		.tables = lab_buffer(TABLES_BYTES, 0, 0),
		.data = lab_buffer(DATA_BYTES, 0, 1),
	};
	CHECK(kioas_map_one(fd, table->parent, TABLES_ADDRESS, table->tables, TABLES_BYTES,
			    IOASID_MAP_READ) == 0);
	map_pages(fd, table->parent, DATA_ADDRESS, table->data, DATA_BYTES);
	CHECK(pt_create((enum ioas_format)format, &table->mem, &table->pt) == 0);
	CHECK(kioas_alloc_user(fd, format, table->parent, pt_root(table->pt), &table->space) == 0);
}

void user_table_close(struct user_table *table, int fd)
{
	CHECK(kioas_free(fd, table->space) == 0);
	CHECK(kioas_free(fd, table->parent) == 0);
	pt_destroy(table->pt);
	CHECK(munmap(table->tables, TABLES_BYTES) == 0);
	CHECK(munmap(table->data, DATA_BYTES) == 0);
}

void user_table_map(struct user_table *table, uint64_t iova, uint64_t bytes, uint64_t offset,
		    uint32_t prot)
{
	struct pt_map_args args = { .oa = DATA_ADDRESS + offset, .prot = prot };

	CHECK(pt_map(table->pt, NULL, iova, bytes, &args, 0) == 0);
}

void user_table_unmap(struct user_table *table, uint64_t iova, uint64_t bytes)
{
	CHECK(pt_unmap(table->pt, NULL, iova, bytes, 0) == 0);
}

void user_table_check(const struct user_table *table, int fd, uint64_t iova)
{
	struct ioasid_lookup found;
	uint64_t oa, leaf_bytes;
	uint32_t prot;

	if (pt_lookup(table->pt, iova, &oa, &prot, &leaf_bytes)) {
		if (kioas_lookup(fd, table->space, iova, &found) != -ENOENT)
			FAIL("0x%lx translates to 0x%llx, but the table has nothing there", iova,
			     found.out_address);
		return;
	}
	if (kioas_lookup(fd, table->space, iova, &found))
		FAIL("0x%lx should translate to 0x%lx", iova, oa);
	if (found.out_address != oa || found.out_prot != prot ||
	    found.out_start != (iova & -leaf_bytes) || found.out_last != (iova | (leaf_bytes - 1)))
		FAIL("0x%lx translates to 0x%llx with rights %x, not to 0x%lx with %x", iova,
		     found.out_address, found.out_prot, oa, prot);
	CHECK(found.out_address_type == IOASID_ADDRESS_PARENT);
}
