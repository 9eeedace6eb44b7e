/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A table that the engine's builder writes in memory which a parent space maps, and a USER space
 * that has it. A failure ends the program.
 */
#ifndef LAB_USER_TABLE_H
#define LAB_USER_TABLE_H

#include "../../../engine/pgtable/pt.h"
#include "kioas_lab.h"

/* Where the parent maps them: tables, and data that tables point to. */
#define TABLES_ADDRESS 0x30000000UL
#define TABLES_BYTES   (8 * MIB)
#define DATA_ADDRESS   0x40000000UL
#define DATA_BYTES     (4 * MIB)

struct user_table {
	struct pt_mem mem;
	enum ioasid_format format;
	uint32_t parent;
	uint32_t space;
	uint8_t *tables;
	_Atomic uint64_t used;
	uint8_t *data;
	struct pt *pt;
};

/* Makes the parent, the table and the space. Data are mapped page by page. */
void user_table_open(struct user_table *table, int fd, enum ioasid_format format);
void user_table_close(struct user_table *table, int fd);

/* Writes to the table; tells nobody. @offset is into the data. Threads have ranges of their own. */
void user_table_map(struct user_table *table, uint64_t iova, uint64_t bytes, uint64_t offset,
		    uint32_t prot);
void user_table_unmap(struct user_table *table, uint64_t iova, uint64_t bytes);

/* Does LOOKUP say what the table says? */
void user_table_check(const struct user_table *table, int fd, uint64_t iova);

#endif
