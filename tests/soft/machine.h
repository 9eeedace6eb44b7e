/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine for tests of the software IOMMU: one unit, memory whose pages are given out one by
 * one, and tables written by hand. Entries are composed here from the specification and from
 * nothing else: neither the table builder nor the model's own definitions are used.
 *
 * Identity: the second stage maps the machine's memory at input address = physical address.
 */
#ifndef TESTS_SOFT_MACHINE_H
#define TESTS_SOFT_MACHINE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>

#include <ioas/ctx.h>

#include "../../engine/soft/unit.h"

/* First-stage entries: SDM vol. 3A, tables 4-14 to 4-20; VT-d 9.7. */
#define P    (UINT64_C(1) << 0)
#define RW   (UINT64_C(1) << 1)
#define US   (UINT64_C(1) << 2)
#define A    (UINT64_C(1) << 5)
#define D    (UINT64_C(1) << 6)
#define PS   (UINT64_C(1) << 7)
#define PAT  (UINT64_C(1) << 12) /* of a large leaf */
#define XD   (UINT64_C(1) << 63)
#define TREE (P | RW | US | A)

/* Second-stage entries: VT-d 9.8. */
#define SR  (UINT64_C(1) << 0)
#define SW  (UINT64_C(1) << 1)
#define SX  (UINT64_C(1) << 2)
#define SRW (SR | SW)

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define PAGE UINT64_C(4096)

enum { CHILD = 7, PARENT = 8 }; /* domain ids */

struct machine {
	struct soft_unit *unit;
	struct soft_endpoint device;
	uint8_t *memory; /* 2 MiB-aligned */
	uint64_t memory_bytes;
	uint64_t used;
	uint64_t *parent; /* second-stage root */
	uint64_t *root;	  /* first-stage root */
	unsigned int levels;
};

static inline uint64_t addr_of(const void *p)
{
	return (uintptr_t)p;
}

static inline void *page_new(struct machine *m)
{
	assert_true(m->used + PAGE <= m->memory_bytes);
	m->used += PAGE;
	return m->memory + m->used - PAGE;
}

static inline unsigned int index_of(uint64_t addr, unsigned int level)
{
	return addr >> (12 + 9 * level) & 511;
}

static inline void set_entry(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* The entry of @addr at @level, tables on the way made with @tree in their entries. */
static inline uint64_t *entry_at(struct machine *m, uint64_t *root, unsigned int root_level,
				 uint64_t addr, unsigned int level, uint64_t tree)
{
	uint64_t *table = root;

	for (unsigned int at = root_level; at > level; at--) {
		uint64_t *entry = &table[index_of(addr, at)];

		if (!*entry)
			set_entry(entry, addr_of(page_new(m)) | tree);
		table = (uint64_t *)(uintptr_t)(*entry & UINT64_C(0x000ffffffffff000));
	}
	return &table[index_of(addr, level)];
}

static inline uint64_t *first(struct machine *m, uint64_t iova, unsigned int level)
{
	return entry_at(m, m->root, m->levels - 1, iova, level, TREE);
}

static inline uint64_t *second(struct machine *m, uint64_t addr, unsigned int level)
{
	return entry_at(m, m->parent, 3, addr, level, SRW);
}

static inline void machine_nest(struct machine *m, unsigned int levels)
{
	m->levels = levels;
	m->root = page_new(m);
	soft_endpoint_set(&m->device, &(struct soft_context){ .kind = SOFT_NESTED,
							      .levels = levels,
							      .domain = CHILD,
							      .root = addr_of(m->root),
							      .parent_domain = PARENT,
							      .parent_root = addr_of(m->parent) });
}

static inline void machine_start(struct machine *m, const char *options)
{
	struct soft_options parsed;
	struct diag diag;
	uint8_t *raw;

	memset(m, 0, sizeof(*m));
	diag_init(&diag, ioas_log_stderr, NULL);
	assert_int_equal(soft_options_parse(&diag, options, &parsed), 0);
	assert_int_equal(soft_unit_create(&parsed, &m->unit), 0);
	soft_endpoint_init(&m->device, m->unit, m);

	m->memory_bytes = MIB(64);
	raw = mmap(NULL, m->memory_bytes + MIB(2), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(raw, MAP_FAILED);
	m->memory = (uint8_t *)((addr_of(raw) + MIB(2) - 1) & ~(MIB(2) - 1));
	munmap(raw, m->memory - raw);
	munmap(m->memory + m->memory_bytes, raw + MIB(2) - m->memory);

	/* The tables of the second stage lie in the same memory: the device could write them, but
	 * these tests are friendly to it. */
	m->parent = page_new(m);
	for (uint64_t at = addr_of(m->memory); at < addr_of(m->memory) + m->memory_bytes;
	     at += MIB(2))
		set_entry(second(m, at, 1), at | SRW | PS);
	machine_nest(m, 4);
}

static inline void machine_stop(struct machine *m)
{
	soft_unit_destroy(m->unit);
	munmap(m->memory, m->memory_bytes);
}

/* One access by the device, a burst of its own. */
static inline void *dma(struct machine *m, uint64_t iova, size_t *bytes, uint32_t prot)
{
	size_t one = 1;
	void *ptr;

	soft_unit_begin(m->unit);
	ptr = soft_translate(&m->device, iova, bytes ? bytes : &one, prot);
	soft_unit_end(m->unit);
	return ptr;
}

static inline void *dma_read(struct machine *m, uint64_t iova)
{
	return dma(m, iova, NULL, IOAS_READ);
}

static inline void *dma_write(struct machine *m, uint64_t iova)
{
	return dma(m, iova, NULL, IOAS_WRITE);
}

/* The access is stopped; returns the reason in the fault queue. */
static inline unsigned int stopped(struct machine *m, uint64_t iova, uint32_t prot)
{
	struct soft_fault fault;
	uint64_t lost = 0;

	assert_null(dma(m, iova, NULL, prot));
	assert_int_equal(soft_faults_read(&m->unit->faults, &fault, 1, &lost), 1);
	assert_int_equal(lost, 0);
	assert_ptr_equal(fault.source, m);
	assert_int_equal(fault.iova, iova & ~(PAGE - 1));
	assert_int_equal(fault.prot, prot);
	return fault.reason;
}

static inline void invalidate(struct machine *m, uint16_t domain, uint64_t iova, uint64_t bytes,
			      bool leaf)
{
	struct soft_desc desc = soft_desc_range(domain, iova, bytes, leaf);

	assert_int_equal(soft_queue_submit(m->unit, &desc, 1), 0);
}

static inline void flush(struct machine *m, uint16_t domain)
{
	struct soft_desc desc = soft_desc_domain(domain);

	assert_int_equal(soft_queue_submit(m->unit, &desc, 1), 0);
}

#endif
