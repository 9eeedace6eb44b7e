/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What pt.c and the compiled walkers share. Not for anybody else.
 */
#ifndef ENGINE_PGTABLE_PT_IMPL_H
#define ENGINE_PGTABLE_PT_IMPL_H

#include "pt.h"

struct pt_ops {
	unsigned int levels;
	unsigned int page_lg2;
	unsigned int address_bits;
	struct pt_entry_form form;

	int (*map)(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
		   struct pt_map_args *args, uint32_t tag);
	int (*map_pages)(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, const uint64_t *oa,
			 unsigned int count, uint32_t prot, uint32_t tag);
	unsigned int (*claim_pages)(struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
				    unsigned int count);
	int (*claim)(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes);
	void (*unclaim)(struct pt *pt, struct pt_cursor *cursor, uint64_t iova);
	void (*clear)(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
		      uint64_t stamp);
	int (*unmap)(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
		     uint64_t stamp);
	int (*lookup)(const struct pt *pt, uint64_t iova, uint64_t *oa, uint32_t *prot,
		      uint64_t *leaf_bytes);
	int (*install)(struct pt *pt, uint64_t iova, uint32_t tag, struct pt_table **table);
	struct pt_table *(*find)(const struct pt *pt, uint64_t iova);
	bool (*each)(const struct pt *pt, uint64_t start, uint64_t last, pt_visit_fn visit,
		     void *arg);
};

struct pt {
	const struct pt_ops *ops;
	struct pt_mem *mem;
	struct pt_table *root;
	_Atomic uint64_t pages;
};

extern const struct pt_ops pt_ops_x86_64_l4;
extern const struct pt_ops pt_ops_x86_64_l5;
extern const struct pt_ops pt_ops_vtdss_l4;
extern const struct pt_ops pt_ops_vtdss_l5;
extern const struct pt_ops pt_ops_arm64_s1_4k;
extern const struct pt_ops pt_ops_arm64_s1_16k;
extern const struct pt_ops pt_ops_arm64_s1_64k;
extern const struct pt_ops pt_ops_amdv1_l4;
extern const struct pt_ops pt_ops_amdv1_l5;
extern const struct pt_ops pt_ops_amdv1_l6;
extern const struct pt_ops pt_ops_riscv_sv39;
extern const struct pt_ops pt_ops_riscv_sv48;
extern const struct pt_ops pt_ops_riscv_sv57;

struct pt_table *pt_table_new(struct pt *pt, unsigned int level, uint32_t tag);
void pt_table_free(struct pt *pt, struct pt_table *table);

#endif
