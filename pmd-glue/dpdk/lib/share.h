/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is mapped, as a table that other processes can read and cannot write: a memfd, sealed
 * against new writers after the primary has mapped it.
 *
 * One writer at a time (the caller excludes others), any number of readers, in any process. A
 * reader waits for nobody: a table that changes as it looks makes it look again, and a writer that
 * dies in between is found out.
 *
 * Ordering. The writer makes @sequence odd, then writes entries, then makes it even (release). A
 * reader loads @sequence (acquire), entries (relaxed), and, behind an acquire fence, @sequence
 * again. If it has read an entry of a change, the writer's odd store came before that entry's store
 * (release fence), so that the second load sees it or something later, and the reader looks again.
 * Source: H.-J. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", MSPC
 * 2012.
 */
#ifndef IOAS_DPDK_SHARE_H
#define IOAS_DPDK_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_ENTRIES_MAX (UINT32_C(1) << 20) /* address space only: pages are there when used */

struct share_entry {
	uint64_t va;
	uint64_t bytes;
	uint64_t iova;
};

struct share_table {
	uint64_t magic;
	uint32_t entry_bytes;
	uint32_t reserved;
	uint64_t sequence; /* odd: it changes */
	uint64_t count;
	struct share_entry entries[]; /* ascending, neighbours in both addresses are one */
};

struct share {
	struct share_table *table;
	int fd; /* for readers in other processes; -1 in these */
};

/* Return: 0 or a negative errno. */
int share_create(struct share *share);
/* @fd: of another process's share. It stays the caller's. Return: 0; -EINVAL not such a table. */
int share_join(struct share *share, int fd);
void share_destroy(struct share *share);

/*
 * Changes stand between begin and end. What is inserted overlaps nothing; what is removed is there,
 * though perhaps as a part of something longer. Return: true, or false: the table is full, and
 * lacks (a part of) it.
 */
void share_begin(struct share *share);
bool share_insert(struct share *share, uint64_t va, uint64_t bytes, uint64_t iova);
bool share_remove(struct share *share, uint64_t va, uint64_t bytes);
void share_end(struct share *share);

/*
 * @bytes: in: wanted; out: what is contiguous, at most the input. Return: 0; -ENOENT; -EAGAIN it
 * did not stay still for as long as a live writer needs.
 */
int share_find(const struct share *share, uint64_t va, size_t *bytes, uint64_t *iova);

/* The stretch at or behind @va, which becomes its start. Return: as share_find(). */
int share_next(const struct share *share, uint64_t *va, size_t *bytes, uint64_t *iova);

#endif
