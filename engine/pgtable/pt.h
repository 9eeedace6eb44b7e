/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O page tables in memory: one walker (walk.h), compiled once per format (fmt/).
 *
 * A table is a tree of pages which hardware reads. Beside each page the builder keeps a
 * struct pt_table with pointers to the children, so that it never reads hardware entries to find
 * its way, and a page's address (as the walker sees it) and its virtual address need not be
 * related.
 *
 * Locking: none on the hot calls. Whoever calls pt_map() or pt_unmap() owns the IOVA range; the
 * exceptions are written at struct pt_map_args and pt_claim(). Tables are installed with
 * compare-and-swap and stay until pt_destroy(), so that paging-structure caches stay warm,
 * unmapping needs no more than a leaf-only invalidation, and nobody has to wait for a reader.
 *
 * A leaf entry that is not present carries a stamp in bits which hardware ignores: who may reuse
 * the entry, and when, is the caller's affair (see pt_unmap). Stamp 0 is "never used".
 *
 * Two bits of a present leaf that hardware ignores are the builder's: START marks the first leaf
 * of a mapping, so that a mapping can only be unmapped whole; CLAIM marks a mapping whose owner
 * is about to clear it.
 *
 * Terms: oa output address; a page is the smallest leaf and also the size of a table, which is
 * the format's granule: 4, 16 or 64 KiB; a block is what one level-0 table maps. With 4 KiB, level
 * 0 holds leaves of 4 KiB, level 1 of 2 MiB, level 2 of 1 GiB; with 16 KiB, of 16 KiB and 32 MiB;
 * with 64 KiB, of 64 KiB and 512 MiB.
 */
#ifndef ENGINE_PGTABLE_PT_H
#define ENGINE_PGTABLE_PT_H

#include <stdatomic.h>

#include <ioas/types.h>

/* Entries of a table of 4 KiB, for those who deal with no other formats. */
#define PT_ENTRIES 512

/* Where table pages come from. Both functions may be called from several threads at once. */
struct pt_mem {
	/* A zeroed, aligned page, and its address as the walker sees it; NULL without memory. */
	void *(*alloc)(struct pt_mem *mem, uint64_t *addr);
	void (*free)(struct pt_mem *mem, void *page, uint64_t addr);
	unsigned int page_lg2; /* size of those pages, which the format's must be; 0: 4 KiB */
};

struct pt;

/* One page of entries, and what the builder knows of it. */
struct pt_table {
	_Atomic uint64_t *entries;
	uint64_t addr; /* of @entries, as the walker sees it */
	unsigned int level;
	_Atomic uint32_t tag; /* level 0: the caller's, set at installation: who owns the range */
	_Atomic(struct pt_table *) child[]; /* levels above 0: one for each entry */
};

/* A caller's memory of the last tables it used, at level 0 and at level 1. */
struct pt_cursor {
	uint64_t block; /* number of the block of @table, or UINT64_MAX */
	struct pt_table *table;
	uint64_t upper_block; /* the same of @upper, whose blocks are those of level 1 */
	struct pt_table *upper;
};

#define PT_CURSOR_INIT                                         \
	{                                                      \
		.block = UINT64_MAX, .upper_block = UINT64_MAX \
	}

/* 12, 14 or 16; 0: unknown format. */
unsigned int pt_format_page_lg2(enum ioas_format format);

/* Return: 0, -EOPNOTSUPP unknown format or one with pages of another size than @mem's, -ENOMEM. */
int pt_create(enum ioas_format format, struct pt_mem *mem, struct pt **pt);

/* Frees every page. Nobody walks the table any more, hardware included. */
void pt_destroy(struct pt *pt);

uint64_t pt_root(const struct pt *pt);		   /* address of the root page */
unsigned int pt_address_bits(const struct pt *pt); /* width of an IOVA: ranges end at 2^bits */
unsigned int pt_page_lg2(const struct pt *pt);	   /* 12, 14 or 16 */
uint64_t pt_table_bytes(const struct pt *pt);	   /* memory in hardware pages now */

#define PT_STAMP_BITS 60

/* May an entry with this stamp not be reused yet? */
typedef bool (*pt_busy_fn)(void *arg, uint64_t stamp);

/**
 * struct pt_map_args - what pt_map() installs
 * @oa: output address of the first byte
 * @prot: enum ioas_prot
 * @cont: the first leaf continues a mapping: no START bit
 * @claim: others may be mapping the same entries. Entries are taken with
 *	compare-and-swap, one winner each
 * @busy: asked for each entry with a stamp other than 0; NULL: stamps are ignored
 * @busy_arg: first argument of @busy
 * @busy_stamp: receives the stamp for which @busy said yes
 * @undo_stamp: on failure, left in the entries that had been taken
 * @undone_bytes: on failure, how far that was: what has to be invalidated
 */
struct pt_map_args {
	uint64_t oa;
	uint32_t prot;
	bool cont;
	bool claim;
	pt_busy_fn busy;
	void *busy_arg;
	uint64_t busy_stamp;
	uint64_t undo_stamp;
	uint64_t undone_bytes;
};

/**
 * pt_map - install a mapping, with the largest leaves that fit
 * @cursor: may be NULL
 * @tag: given to level-0 tables that have to be installed
 *
 * Return: 0, or nothing is mapped and -EEXIST (an entry is present), -EAGAIN (@busy said so),
 * -ENOMEM.
 */
int pt_map(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
	   struct pt_map_args *args, uint32_t tag);

/**
 * pt_map_pages - install a run of mappings of one page each
 * @oa: output addresses of the @count pages at @iova and on, all in one block
 *
 * The entries are the caller's alone and hold nothing: they are not looked at. Return: 0, or
 * nothing is mapped and -EEXIST (a larger leaf is in the way), -ENOMEM.
 */
int pt_map_pages(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, const uint64_t *oa,
		 unsigned int count, uint32_t prot, uint32_t tag);

/**
 * pt_claim_pages - pt_claim() a run of mappings of one page each
 *
 * All in one block. Return: how many were claimed before the first that could not be;
 * pt_claim() tells why.
 */
unsigned int pt_claim_pages(struct pt *pt, struct pt_cursor *cursor, uint64_t iova,
			    unsigned int count);

/**
 * pt_claim - take the sole right to clear a mapping
 *
 * Of several threads that claim one mapping, one succeeds. Return: 0; -ENOENT not mapped, or
 * claimed by another; -EINVAL the range is not exactly one mapping.
 */
int pt_claim(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes);
void pt_unclaim(struct pt *pt, struct pt_cursor *cursor, uint64_t iova);

/* Clear a claimed mapping, or a run of them; @stamp, of at most PT_STAMP_BITS bits, stays there. */
void pt_clear(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
	      uint64_t stamp);

/* pt_claim() and pt_clear(). */
int pt_unmap(struct pt *pt, struct pt_cursor *cursor, uint64_t iova, uint64_t bytes,
	     uint64_t stamp);

/* Return: 0 and the translation of @iova; leaf_bytes is the size of its leaf. Or -ENOENT. */
int pt_lookup(const struct pt *pt, uint64_t iova, uint64_t *oa, uint32_t *prot,
	      uint64_t *leaf_bytes);

/*
 * Have a level-0 table at @iova, installed with @tag if there is none. Return: 0, -EEXIST a
 * larger leaf is in the way, -ENOMEM.
 */
int pt_install(struct pt *pt, uint64_t iova, uint32_t tag, struct pt_table **table);

/* The level-0 table of @iova, or NULL. */
struct pt_table *pt_find(const struct pt *pt, uint64_t iova);

/**
 * pt_each - visit present leaves in [start, last], in order
 * @visit: returns false to stop
 *
 * Return: false when stopped.
 */
typedef bool (*pt_visit_fn)(void *arg, uint64_t iova, uint64_t oa, uint64_t leaf_bytes);
bool pt_each(const struct pt *pt, uint64_t start, uint64_t last, pt_visit_fn visit, void *arg);

/*
 * Level-0 entries as data, for windows: entry(oa) = base + (oa >> shift), a store away from a
 * mapping.
 */
struct pt_entry_form {
	uint64_t base[IOAS_RW + 1]; /* by enum ioas_prot: every bit but the address, START set */
	uint64_t start;		    /* START */
	uint64_t claim;		    /* CLAIM: pt_claim() leaves it alone */
	uint64_t present;	    /* any of these bits: present */
	unsigned int oa_shift;	    /* right shift of an output address */
	unsigned int stamp_shift;   /* left shift of a stamp in an entry that is not present */
};

const struct pt_entry_form *pt_entry_form(const struct pt *pt);

#endif
