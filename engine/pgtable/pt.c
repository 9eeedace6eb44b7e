/* SPDX-License-Identifier: BSD-3-Clause */
/* Page tables: what does not depend on the format. */
#include "pt_impl.h"

#include <errno.h>
#include <stdlib.h>

static const struct pt_ops *const pt_formats[IOAS_FORMAT_COUNT] = {
	[IOAS_FORMAT_X86_64_L4] = &pt_ops_x86_64_l4,
	[IOAS_FORMAT_X86_64_L5] = &pt_ops_x86_64_l5,
	[IOAS_FORMAT_VTDSS_L4] = &pt_ops_vtdss_l4,
	[IOAS_FORMAT_VTDSS_L5] = &pt_ops_vtdss_l5,
	[IOAS_FORMAT_ARM64_S1_4K] = &pt_ops_arm64_s1_4k,
	[IOAS_FORMAT_ARM64_S1_16K] = &pt_ops_arm64_s1_16k,
	[IOAS_FORMAT_ARM64_S1_64K] = &pt_ops_arm64_s1_64k,
	[IOAS_FORMAT_AMDV1_L4] = &pt_ops_amdv1_l4,
	[IOAS_FORMAT_AMDV1_L5] = &pt_ops_amdv1_l5,
	[IOAS_FORMAT_AMDV1_L6] = &pt_ops_amdv1_l6,
	[IOAS_FORMAT_RISCV_SV39] = &pt_ops_riscv_sv39,
	[IOAS_FORMAT_RISCV_SV48] = &pt_ops_riscv_sv48,
	[IOAS_FORMAT_RISCV_SV57] = &pt_ops_riscv_sv57,
};

static size_t entries_of(const struct pt *pt)
{
	return (size_t)1 << (pt->ops->page_lg2 - 3);
}

struct pt_table *pt_table_new(struct pt *pt, unsigned int level, uint32_t tag)
{
	size_t children = level ? entries_of(pt) * sizeof(struct pt_table *) : 0;
	struct pt_table *table = calloc(1, sizeof(*table) + children);

	if (!table)
		return NULL;
	table->entries = pt->mem->alloc(pt->mem, &table->addr);
	if (!table->entries) {
		free(table);
		return NULL;
	}
	table->level = level;
	atomic_store_explicit(&table->tag, tag, memory_order_relaxed);
	atomic_fetch_add_explicit(&pt->pages, 1, memory_order_relaxed);
	return table;
}

void pt_table_free(struct pt *pt, struct pt_table *table)
{
	pt->mem->free(pt->mem, (void *)table->entries, table->addr);
	atomic_fetch_sub_explicit(&pt->pages, 1, memory_order_relaxed);
	free(table);
}

int pt_create(enum ioas_format format, struct pt_mem *mem, struct pt **out)
{
	struct pt *pt;

	if ((unsigned int)format >= IOAS_FORMAT_COUNT || !pt_formats[format])
		return -EOPNOTSUPP;
	if ((mem->page_lg2 ? mem->page_lg2 : IOAS_PAGE_SHIFT) != pt_formats[format]->page_lg2)
		return -EOPNOTSUPP;
	pt = calloc(1, sizeof(*pt));
	if (!pt)
		return -ENOMEM;
	pt->ops = pt_formats[format];
	pt->mem = mem;
	pt->root = pt_table_new(pt, pt->ops->levels - 1, 0);
	if (!pt->root) {
		free(pt);
		return -ENOMEM;
	}
	*out = pt;
	return 0;
}

static void free_tree(struct pt *pt, struct pt_table *table)
{
	if (table->level)
		for (size_t i = 0; i < entries_of(pt); i++) {
			struct pt_table *child =
				atomic_load_explicit(&table->child[i], memory_order_relaxed);

			if (child)
				free_tree(pt, child);
		}
	pt_table_free(pt, table);
}

void pt_destroy(struct pt *pt)
{
	free_tree(pt, pt->root);
	free(pt);
}

uint64_t pt_root(const struct pt *pt)
{
	return pt->root->addr;
}

unsigned int pt_address_bits(const struct pt *pt)
{
	return pt->ops->address_bits;
}

unsigned int pt_format_page_lg2(enum ioas_format format)
{
	const bool known = (unsigned int)format < IOAS_FORMAT_COUNT && pt_formats[format];

	return known ? pt_formats[format]->page_lg2 : 0;
}

unsigned int pt_page_lg2(const struct pt *pt)
{
	return pt->ops->page_lg2;
}

uint64_t pt_table_bytes(const struct pt *pt)
{
	return atomic_load_explicit(&pt->pages, memory_order_relaxed) << pt->ops->page_lg2;
}

const struct pt_entry_form *pt_entry_form(const struct pt *pt)
{
	return &pt->ops->form;
}

int pt_map(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
	   struct pt_map_args *args, uint32_t tag)
{
	return pt->ops->map(pt, cursor, iova, bytes, args, tag);
}

int pt_map_pages(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, const uint64_t *oa,
		 unsigned int count, uint32_t prot, uint32_t tag)
{
	return pt->ops->map_pages(pt, cursor, iova, oa, count, prot, tag);
}

unsigned int pt_claim_pages(struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
			    unsigned int count)
{
	return pt->ops->claim_pages(pt, cursor, iova, count);
}

int pt_claim(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes)
{
	return pt->ops->claim(pt, cursor, iova, bytes);
}

void pt_unclaim(struct pt *pt, struct pt_cursor *cursor, uint64_t iova)
{
	pt->ops->unclaim(pt, cursor, iova);
}

void pt_clear(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
	      uint64_t stamp)
{
	pt->ops->clear(pt, cursor, iova, bytes, stamp);
}

int pt_unmap(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes, uint64_t stamp)
{
	return pt->ops->unmap(pt, cursor, iova, bytes, stamp);
}

int pt_lookup(const struct pt *pt, uint64_t iova, uint64_t *oa, uint32_t *prot,
	      uint64_t *leaf_bytes)
{
	return pt->ops->lookup(pt, iova, oa, prot, leaf_bytes);
}

int pt_install(struct pt *pt, uint64_t iova, uint32_t tag, struct pt_table **table)
{
	return pt->ops->install(pt, iova, tag, table);
}

struct pt_table *pt_find(const struct pt *pt, uint64_t iova)
{
	return pt->ops->find(pt, iova);
}

bool pt_each(const struct pt *pt, uint64_t start, uint64_t last, pt_visit_fn visit, void *arg)
{
	return pt->ops->each(pt, start, last, visit, arg);
}
