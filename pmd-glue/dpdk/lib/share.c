/* SPDX-License-Identifier: BSD-3-Clause */
/* The table that other processes read. See share.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <urcu/arch.h>

#include "share.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

#define MAGIC	    UINT64_C(0x6870746f61736f31)
#define TABLE_BYTES (sizeof(struct share_table) + SHARE_ENTRIES_MAX * sizeof(struct share_entry))

/*
 * A reader that finds it changing looks again: at once, as the writer is mostly done in less than a
 * microsecond; then, since the writer may have lost its processor, now and then for a second.
 */
#define TURNS_AT_ONCE 1000
#define TURNS_MAX     11000
#define PAUSE_NS      100000

int share_create(struct share *share)
{
	int rc = 0;

	share->fd = memfd_create("ioas_dpdk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (share->fd < 0)
		return -errno;
	if (ftruncate(share->fd, TABLE_BYTES) != 0)
		rc = -errno;
	share->table = rc != 0 ? MAP_FAILED
			       : mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_NORESERVE, share->fd, 0);
	if (rc == 0 && share->table == MAP_FAILED)
		rc = -errno;
	if (rc == 0 && fcntl(share->fd, F_ADD_SEALS,
			     F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		rc = -errno;
	if (rc != 0) {
		share_destroy(share);
		return rc;
	}
	share->table->entry_bytes = sizeof(struct share_entry);
	share->table->magic = MAGIC;
	return 0;
}

int share_join(struct share *share, int fd)
{
	struct stat file;

	share->fd = -1;
	if (fstat(fd, &file) != 0 || file.st_size != (off_t)TABLE_BYTES)
		return -EINVAL;
	share->table = mmap(NULL, TABLE_BYTES, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (share->table == MAP_FAILED)
		return -errno;
	if (share->table->magic == MAGIC && share->table->entry_bytes == sizeof(struct share_entry))
		return 0;
	share_destroy(share);
	return -EINVAL;
}

void share_destroy(struct share *share)
{
	if (share->table != NULL && share->table != MAP_FAILED)
		munmap(share->table, TABLE_BYTES);
	if (share->fd >= 0)
		close(share->fd);
	share->table = NULL;
	share->fd = -1;
}

void share_begin(struct share *share)
{
	struct share_table *table = share->table;

	__atomic_store_n(&table->sequence, table->sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

void share_end(struct share *share)
{
	struct share_table *table = share->table;

	__atomic_store_n(&table->sequence, table->sequence + 1, __ATOMIC_RELEASE);
}

/* Index of the first entry that begins behind @va; @count entries are looked at. */
static uint64_t behind(const struct share_table *table, uint64_t count, uint64_t va)
{
	uint64_t low = 0;

	while (low < count) {
		uint64_t middle = low + (count - low) / 2;

		if (__atomic_load_n(&table->entries[middle].va, __ATOMIC_RELAXED) <= va)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

static void put(struct share_table *table, uint64_t at, struct share_entry entry)
{
	__atomic_store_n(&table->entries[at].va, entry.va, __ATOMIC_RELAXED);
	__atomic_store_n(&table->entries[at].bytes, entry.bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&table->entries[at].iova, entry.iova, __ATOMIC_RELAXED);
}

static bool make_room(struct share_table *table, uint64_t at)
{
	if (table->count == SHARE_ENTRIES_MAX)
		return false;
	for (uint64_t i = table->count; i > at; i--)
		put(table, i, table->entries[i - 1]);
	__atomic_store_n(&table->count, table->count + 1, __ATOMIC_RELAXED);
	return true;
}

static void take_out(struct share_table *table, uint64_t at)
{
	for (uint64_t i = at + 1; i < table->count; i++)
		put(table, i - 1, table->entries[i]);
	__atomic_store_n(&table->count, table->count - 1, __ATOMIC_RELAXED);
}

static bool goes_on(struct share_entry first, struct share_entry second)
{
	return first.va + first.bytes == second.va && first.iova + first.bytes == second.iova;
}

bool share_insert(struct share *share, uint64_t va, uint64_t bytes, uint64_t iova)
{
	struct share_table *table = share->table;
	struct share_entry entry = { va, bytes, iova };
	uint64_t at = behind(table, table->count, va);

	if (at < table->count && goes_on(entry, table->entries[at])) {
		entry.bytes += table->entries[at].bytes;
		take_out(table, at);
	}
	if (at > 0 && goes_on(table->entries[at - 1], entry)) {
		entry.va = table->entries[at - 1].va;
		entry.iova = table->entries[at - 1].iova;
		entry.bytes += table->entries[at - 1].bytes;
		put(table, at - 1, entry);
		return true;
	}
	if (!make_room(table, at))
		return false;
	put(table, at, entry);
	return true;
}

bool share_remove(struct share *share, uint64_t va, uint64_t bytes)
{
	struct share_table *table = share->table;
	uint64_t at = behind(table, table->count, va);
	struct share_entry whole, before, after;

	if (at == 0 || va - table->entries[at - 1].va >= table->entries[at - 1].bytes)
		return false; /* was never there, for lack of room */
	whole = table->entries[--at];
	before = (struct share_entry){ whole.va, va - whole.va, whole.iova };
	after = (struct share_entry){ va + bytes, whole.bytes - before.bytes - bytes,
				      whole.iova + before.bytes + bytes };
	if (before.bytes > 0)
		put(table, at++, before);
	if (after.bytes == 0 && before.bytes == 0)
		take_out(table, at);
	if (after.bytes == 0)
		return true;
	if (before.bytes > 0 && !make_room(table, at))
		return false;
	put(table, at, after);
	return true;
}

/*
 * The part of a stretch that begins at @va, or the stretch behind it, as the table stands now,
 * which may be no state that it ever had. Return: is there one?
 */
static bool look(const struct share_table *table, uint64_t va, struct share_entry *found)
{
	uint64_t count = __atomic_load_n(&table->count, __ATOMIC_RELAXED);
	uint64_t at, less;

	if (count > SHARE_ENTRIES_MAX)
		count = SHARE_ENTRIES_MAX;
	at = behind(table, count, va);
	for (at -= at > 0; at < count; at++) {
		const struct share_entry *entry = &table->entries[at];

		found->va = __atomic_load_n(&entry->va, __ATOMIC_RELAXED);
		found->bytes = __atomic_load_n(&entry->bytes, __ATOMIC_RELAXED);
		found->iova = __atomic_load_n(&entry->iova, __ATOMIC_RELAXED);
		if (found->va > va)
			return true;
		less = va - found->va;
		if (less >= found->bytes)
			continue;
		found->va = va;
		found->bytes -= less;
		found->iova += less;
		return true;
	}
	return false;
}

static void wait_a_turn(unsigned int turn)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	if (turn < TURNS_AT_ONCE)
		caa_cpu_relax();
	else
		nanosleep(&pause, NULL);
}

int share_next(const struct share *share, uint64_t *va, size_t *bytes, uint64_t *iova)
{
	const struct share_table *table = share->table;

	for (unsigned int turn = 0; turn < TURNS_MAX; turn++) {
		uint64_t before = __atomic_load_n(&table->sequence, __ATOMIC_ACQUIRE);
		struct share_entry found;
		bool any;

		if (before & 1) {
			wait_a_turn(turn);
			continue;
		}
		any = look(table, *va, &found);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&table->sequence, __ATOMIC_RELAXED) != before)
			continue;
		if (!any)
			return -ENOENT;
		*va = found.va;
		*bytes = found.bytes;
		*iova = found.iova;
		return 0;
	}
	return -EAGAIN;
}

int share_find(const struct share *share, uint64_t va, size_t *bytes, uint64_t *iova)
{
	uint64_t start = va, found;
	size_t length;
	int rc = share_next(share, &start, &length, &found);

	if (rc != 0 || start != va)
		return rc != 0 ? rc : -ENOENT;
	*iova = found;
	if (*bytes > length)
		*bytes = length;
	return 0;
}
