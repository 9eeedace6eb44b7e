/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handing a context over: see ioas/handover.h. The first file describes all, the others are the
 * backend's and the memories'. The description is a memfd, of these records one behind another:
 *
 *   head, a memory each, a space each with its reserved ranges and its mappings, a device each
 *
 * It comes from this library in another process, of the same machine, and is believed; what does
 * not fit together is refused, so that files in a wrong order do no harm.
 *
 * Locking: admin; a save holds ctx->lock and, by space, maps_lock.
 */
#include "kernel_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ioas/handover.h>

#define MAGIC	   UINT64_C(0x3176687361616f69) /* "ioaashv1": changes with the records */
#define NAME_BYTES 64

/* A backend's: the file is a place in the array of files, or -1. */
struct saved {
	int32_t file;
	uint32_t reserved;
	uint64_t value[2];
};

struct head_record {
	uint64_t magic;
	uint32_t files;
	uint32_t mems;
	uint32_t spaces;
	uint32_t devices;
	char backend[NAME_BYTES];
	struct saved saved;
};

struct mem_record {
	uint64_t va;
	uint64_t bytes;
	uint64_t page_bytes;
	int32_t file;
	uint32_t reserved;
	struct saved saved;
};

struct space_record {
	struct ioas_range aperture;
	uint64_t ranges; /* struct ioas_range, reserved ones */
	uint64_t maps;	 /* struct map_record */
	struct saved saved;
};

struct map_record {
	uint64_t iova;
	uint64_t bytes;
	uint64_t offset; /* in the memory */
	uint32_t mem;	 /* which one */
	uint32_t prot;
	uint32_t run; /* as in struct kernel_map */
	uint32_t reserved;
};

struct device_record {
	char name[NAME_BYTES];
	int32_t space; /* which one, or -1 */
	uint32_t reserved;
	struct saved saved;
};

/* The objects of a context, in the order in which they were made. Under admin. */

static struct cds_list_head *nth(struct cds_list_head *list, unsigned int n)
{
	struct cds_list_head *at;

	cds_list_for_each(at, list) if (!n--) return at;
	return NULL;
}

struct ioas_dev *ioas_ctx_dev(struct ioas_ctx *ctx, unsigned int n)
{
	struct cds_list_head *at;

	pthread_mutex_lock(&ctx->admin);
	at = nth(&ctx->devices, n);
	pthread_mutex_unlock(&ctx->admin);
	return at ? cds_list_entry(at, struct ioas_dev, entry) : NULL;
}

struct ioas_mem *ioas_ctx_mem(struct ioas_ctx *ctx, unsigned int n)
{
	struct cds_list_head *at;

	pthread_mutex_lock(&ctx->admin);
	at = nth(&ctx->mem_list, n);
	pthread_mutex_unlock(&ctx->admin);
	return at ? cds_list_entry(at, struct ioas_mem, entry) : NULL;
}

/* Parents that the library made are not the user's. */
static struct ioas *nth_space(struct ioas_ctx *ctx, unsigned int n)
{
	struct ioas *as;

	cds_list_for_each_entry (as, &ctx->spaces, entry)
		if (!as->internal && !n--)
			return as;
	return NULL;
}

struct ioas *ioas_ctx_space(struct ioas_ctx *ctx, unsigned int n)
{
	struct ioas *as;

	pthread_mutex_lock(&ctx->admin);
	as = nth_space(ctx, n);
	pthread_mutex_unlock(&ctx->admin);
	return as;
}

/* Saving. */

struct writer {
	struct ioas_ctx *ctx;
	int *fds;
	unsigned int count;
	unsigned int max;
};

static int put(struct writer *w, const void *record, size_t bytes)
{
	ssize_t done = write(w->fds[0], record, bytes);

	if (done == (ssize_t)bytes)
		return 0;
	return diag_fail(&w->ctx->diag, done < 0 ? -errno : -ENOSPC, "description: write: %s",
			 done < 0 ? strerror(errno) : "cut off");
}

/* A copy of @fd among the files. Return: its place, or a negative errno. */
static int put_file(struct writer *w, int fd)
{
	int copy;

	if (w->count == w->max)
		return diag_fail(&w->ctx->diag, -ENOSPC, "max: %u files are not enough", w->max);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return diag_fail(&w->ctx->diag, -errno, "file %d: %s", fd, strerror(errno));
	w->fds[w->count] = copy;
	return (int)w->count++;
}

static int put_saved(struct writer *w, const struct be_saved *from, struct saved *saved)
{
	*saved = (struct saved){ .file = -1, .value = { from->value[0], from->value[1] } };
	if (from->fd >= 0)
		saved->file = put_file(w, from->fd);
	return saved->file < -1 ? saved->file : 0;
}

static int save_mem(struct writer *w, struct ioas_mem *mem)
{
	struct mem_record record = { .va = mem->range.start,
				     .bytes = mem->range.last - mem->range.start + 1,
				     .page_bytes = mem->page_bytes };
	struct be_saved saved;
	int ret;

	if (mem->fd < 0)
		return diag_fail(&w->ctx->diag, -EINVAL,
				 "memory at 0x%" PRIx64
				 " is the caller's own: only that of ioas_mem_alloc() can be "
				 "handed over",
				 record.va);
	record.file = put_file(w, mem->fd);
	if (record.file < 0)
		return record.file;
	w->ctx->be->ops->handover->save_mem(mem->be_mem, &saved);
	ret = put_saved(w, &saved, &record.saved);
	return ret ?: put(w, &record, sizeof(record));
}

static unsigned int place_of(struct ioas_ctx *ctx, const struct ioas_mem *mem)
{
	struct ioas_mem *at;
	unsigned int place = 0;

	cds_list_for_each_entry (at, &ctx->mem_list, entry) {
		if (at == mem)
			break;
		place++;
	}
	return place;
}

static struct extent *next_extent(const struct extents *set, const struct extent *at)
{
	if (!at)
		return extents_from(set, 0);
	return at->last == UINT64_MAX ? NULL : extents_from(set, at->last + 1);
}

static uint64_t count_extents(const struct extents *set)
{
	uint64_t count = 0;

	for (struct extent *at = next_extent(set, NULL); at; at = next_extent(set, at))
		count++;
	return count;
}

static int save_ranges(struct writer *w, struct ioas *as)
{
	int ret = 0;

	for (struct extent *at = next_extent(&as->iova.reserved, NULL); at && !ret;
	     at = next_extent(&as->iova.reserved, at)) {
		const struct ioas_range range = { .start = at->start, .last = at->last };

		ret = put(w, &range, sizeof(range));
	}
	return ret;
}

static int save_map(struct writer *w, const struct kernel_map *map)
{
	const struct map_record record = { .iova = map->range.start,
					   .bytes = kernel_map_bytes(map),
					   .offset = map->va - map->mem->range.start,
					   .mem = place_of(w->ctx, map->mem),
					   .prot = map->prot,
					   .run = map->run };

	if (map->busy)
		return diag_fail(&w->ctx->diag, -EBUSY,
				 "IOVA 0x%" PRIx64 " is being unmapped: let that come to its end",
				 record.iova);
	return put(w, &record, sizeof(record));
}

static int save_space(struct writer *w, struct ioas *as)
{
	struct space_record record = { .aperture = as->iova.aperture };
	struct diag *diag = &w->ctx->diag;
	const struct kernel_map *map = NULL;
	struct be_saved saved;
	int ret;

	if (as->kind != IOAS_KIND_KERNEL || as->internal)
		return diag_fail(diag, -EOPNOTSUPP,
				 "a USER space or its parent: only KERNEL ones can be handed over");
	if (as->dirty)
		return diag_fail(diag, -EBUSY,
				 "an address space records dirty pages: ioas_dirty_stop()");
	w->ctx->be->ops->handover->save_space(as->be_space, &saved);
	ret = put_saved(w, &saved, &record.saved);
	if (ret)
		return ret;
	pthread_mutex_lock(&as->maps_lock);
	record.ranges = count_extents(&as->iova.reserved);
	record.maps = as->map_count;
	ret = put(w, &record, sizeof(record)) ?: save_ranges(w, as);
	for (uint64_t left = as->map_count; left && !ret; left--) {
		map = kernel_map_next(as, map);
		ret = save_map(w, map);
	}
	pthread_mutex_unlock(&as->maps_lock);
	return ret;
}

static int save_device(struct writer *w, struct ioas_dev *dev)
{
	struct device_record record = { .space = -1 };
	struct be_saved saved;
	int ret;

	if (strlen(dev->name) >= NAME_BYTES)
		return diag_fail(&w->ctx->diag, -EINVAL, "device \"%s\": the name is too long",
				 dev->name);
	strcpy(record.name, dev->name);
	if (dev->as)
		for (record.space = 0; nth_space(w->ctx, record.space) != dev->as; record.space++)
			;
	w->ctx->be->ops->handover->save_dev(dev->be_dev, &saved);
	ret = put_saved(w, &saved, &record.saved);
	return ret ?: put(w, &record, sizeof(record));
}

static int save_all(struct writer *w)
{
	struct ioas_ctx *ctx = w->ctx;
	struct head_record head = { .magic = MAGIC,
				    .devices = ctx->device_count,
				    .spaces = ctx->space_count };
	struct be_saved saved;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas *as;
	int ret;

	cds_list_for_each_entry (mem, &ctx->mem_list, entry)
		head.mems++;
	strcpy(head.backend, ctx->be->ops->name);
	ctx->be->ops->handover->save(ctx->be, &saved);
	ret = put_saved(w, &saved, &head.saved) ?: put(w, &head, sizeof(head));
	cds_list_for_each_entry (mem, &ctx->mem_list, entry)
		ret = ret ?: save_mem(w, mem);
	cds_list_for_each_entry (as, &ctx->spaces, entry)
		ret = ret ?: save_space(w, as);
	cds_list_for_each_entry (dev, &ctx->devices, entry)
		ret = ret ?: save_device(w, dev);
	head.files = w->count;
	if (!ret && pwrite(w->fds[0], &head, sizeof(head), 0) != sizeof(head))
		ret = diag_fail(&ctx->diag, -EIO, "description: write");
	return ret;
}

int ioas_ctx_save(struct ioas_ctx *ctx, int *fds, unsigned int max)
{
	struct writer w = { .ctx = ctx, .fds = fds, .max = max };
	int ret;

	if (!ctx->be->ops->handover)
		return diag_fail(&ctx->diag, -EOPNOTSUPP, "backend %s cannot be handed over",
				 ctx->be->ops->name);
	if (!max)
		return diag_fail(&ctx->diag, -ENOSPC, "max: 0");
	fds[0] = memfd_create("ioas-handover", MFD_CLOEXEC);
	if (fds[0] < 0)
		return diag_fail(&ctx->diag, -errno, "memfd_create: %s", strerror(errno));
	w.count = 1;
	pthread_mutex_lock(&ctx->admin);
	pthread_mutex_lock(&ctx->lock);
	ret = save_all(&w);
	pthread_mutex_unlock(&ctx->lock);
	pthread_mutex_unlock(&ctx->admin);
	if (!ret)
		return (int)w.count;
	while (w.count)
		close(fds[--w.count]);
	return ret;
}

/* Restoring. */

struct reader {
	struct ioas_ctx *ctx;
	const int *fds;
	unsigned int count;
	const uint8_t *at;
	const uint8_t *end;
	const struct head_record *head;
};

static int bad(struct reader *r)
{
	return diag_fail(&r->ctx->diag, -EINVAL,
			 "fds: not what ioas_ctx_save() of this version of the library made, in "
			 "that order");
}

static const void *take(struct reader *r, uint64_t count, size_t bytes)
{
	const uint8_t *record = r->at;

	if (count > (uint64_t)(r->end - r->at) / bytes)
		return NULL;
	r->at += count * bytes;
	return record;
}

static bool take_saved(const struct reader *r, const struct saved *saved, struct be_saved *out)
{
	*out = (struct be_saved){ .fd = -1, .value = { saved->value[0], saved->value[1] } };
	if (saved->file >= (int32_t)r->count)
		return false;
	if (saved->file >= 0)
		out->fd = r->fds[saved->file];
	return true;
}

static int restore_mem(struct reader *r)
{
	const struct mem_record *record = take(r, 1, sizeof(*record));
	struct be_mem_attr attr;
	struct be_saved saved;

	if (!record || !take_saved(r, &record->saved, &saved) || record->file < 0 ||
	    record->file >= (int32_t)r->count)
		return bad(r);
	attr = (struct be_mem_attr){ .va = (void *)(uintptr_t)record->va,
				     .bytes = record->bytes,
				     .page_bytes = record->page_bytes,
				     .saved = &saved };
	return mem_restore(r->ctx, r->fds[record->file], &attr);
}

/* What the kernel maps already: into the books. @whole: bytes of its mapping, 0: goes on. */
static int restore_map(struct ioas *as, const struct map_record *record, struct ioas_mem *mem,
		       uint64_t whole)
{
	const struct be_handover_ops *ops = as->ctx->be->ops->handover;
	const struct be_map call = { .iova = record->iova,
				     .bytes = record->bytes,
				     .va = (void *)(uintptr_t)(mem->range.start + record->offset),
				     .prot = record->prot };
	const struct be_map run = {
		.iova = call.iova, .bytes = whole, .va = call.va, .prot = call.prot
	};
	struct kernel_map *map = kernel_map_new();
	int ret = -ENOMEM;

	if (map) {
		map->range.start = call.iova;
		map->range.last = call.iova + call.bytes - 1;
		map->va = (uintptr_t)call.va;
		map->prot = call.prot;
		map->run = record->run;
		ret = kernel_map_reserve(as, map);
	}
	ret = ret ?: iova_claim(&as->iova, call.iova, call.bytes);
	ret = ret ?: whole ? ops->restore_map(as->be_space, &run) : 0;
	if (ret) {
		kernel_map_free(map);
		return diag_fail(&as->ctx->diag, ret, "mapping at IOVA 0x%" PRIx64 ": %s",
				 call.iova, strerror(-ret));
	}
	map->mem = mem_use(as->ctx, map->va, call.bytes);
	pthread_mutex_lock(&as->maps_lock);
	kernel_map_enter(as, map);
	pthread_mutex_unlock(&as->maps_lock);
	return 0;
}

/* Bytes of the kernel's mapping that begins with the first of @count records; 0: not with it. */
static uint64_t whole_run(const struct map_record *maps, uint64_t count)
{
	uint64_t bytes = 0;

	if (maps->run == RUN_GOES_ON)
		return 0;
	for (uint64_t i = 0; i < count && i < (maps->run ? maps->run : 1); i++)
		bytes += maps[i].bytes;
	return bytes;
}

static int restore_maps(struct reader *r, struct ioas *as, const struct map_record *maps,
			uint64_t count)
{
	int ret = 0;

	for (uint64_t i = 0; i < count && !ret; i++) {
		struct cds_list_head *at = nth(&r->ctx->mem_list, maps[i].mem);
		struct ioas_mem *mem = at ? cds_list_entry(at, struct ioas_mem, entry) : NULL;

		if (!mem || !maps[i].bytes || maps[i].offset > mem->range.last - mem->range.start ||
		    maps[i].bytes - 1 > mem->range.last - mem->range.start - maps[i].offset)
			return bad(r);
		ret = restore_map(as, &maps[i], mem, whole_run(&maps[i], count - i));
	}
	return ret;
}

static int restore_space(struct reader *r)
{
	const struct space_record *record = take(r, 1, sizeof(*record));
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	const struct map_record *maps;
	struct be_saved saved;
	struct ioas *as;
	int ret;

	if (!record || !take_saved(r, &record->saved, &saved))
		return bad(r);
	opts.aperture = record->aperture;
	opts.reserved_count = record->ranges;
	opts.reserved = take(r, record->ranges, sizeof(*opts.reserved));
	maps = take(r, record->maps, sizeof(*maps));
	if (!opts.reserved || !maps || opts.aperture.start > opts.aperture.last)
		return bad(r);
	ret = space_restore(r->ctx, &opts, &saved, &as);
	return ret ?: restore_maps(r, as, maps, record->maps);
}

static int restore_device(struct reader *r)
{
	const struct device_record *record = take(r, 1, sizeof(*record));
	struct ioas *as = NULL;
	struct be_saved saved;

	if (!record || !take_saved(r, &record->saved, &saved) ||
	    !memchr(record->name, 0, NAME_BYTES))
		return bad(r);
	if (record->space >= 0) {
		as = nth_space(r->ctx, record->space);
		if (!as)
			return bad(r);
	}
	return dev_restore(r->ctx, record->name, &saved, as);
}

static int restore_objects(struct reader *r)
{
	int ret = 0;

	for (uint32_t i = 0; i < r->head->mems && !ret; i++)
		ret = restore_mem(r);
	for (uint32_t i = 0; i < r->head->spaces && !ret; i++)
		ret = restore_space(r);
	for (uint32_t i = 0; i < r->head->devices && !ret; i++)
		ret = restore_device(r);
	return ret;
}

/* All that is there already goes again, in this process only. */
static void forget_objects(struct ioas_ctx *ctx)
{
	struct cds_list_head *at;
	struct ioas *as;

	ctx->be->ops->handover->abandon(ctx->be);
	while ((at = nth(&ctx->devices, 0)))
		dev_forget(cds_list_entry(at, struct ioas_dev, entry));
	while ((as = nth_space(ctx, 0)))
		space_forget(as);
	while ((at = nth(&ctx->mem_list, 0)))
		mem_forget(cds_list_entry(at, struct ioas_mem, entry));
}

static int open_restored(struct ioas_ctx *ctx, const struct ioas_ctx_opts *opts, void *arg)
{
	struct reader *r = arg;
	const struct be_ops *ops;
	struct be_saved saved;
	int ret;

	r->ctx = ctx;
	r->head = take(r, 1, sizeof(*r->head));
	if (!r->head || r->head->magic != MAGIC || r->head->files != r->count ||
	    !take_saved(r, &r->head->saved, &saved) || !memchr(r->head->backend, 0, NAME_BYTES))
		return bad(r);
	if (opts->backend_options || (opts->backend && strcmp(opts->backend, "auto") &&
				      strcmp(opts->backend, r->head->backend)))
		return diag_fail(&ctx->diag, -EINVAL,
				 "backend, backend_options: those of the predecessor hold: %s",
				 r->head->backend);
	ops = ctx_find_backend(r->head->backend);
	if (!ops || !ops->handover)
		return bad(r);
	ret = ops->handover->restore(&ctx->diag, &saved, &ctx->be);
	if (ret)
		return ret;
	snprintf(ctx->why, sizeof(ctx->why), "%s, handed over", ops->name);
	ops->caps(ctx->be, &ctx->caps);
	ret = restore_objects(r);
	if (ret)
		forget_objects(ctx);
	return ret;
}

int ioas_ctx_restore(const struct ioas_ctx_opts *opts, const int *fds, unsigned int count,
		     struct ioas_ctx **ctx)
{
	struct reader r = { .fds = fds, .count = count };
	struct stat info;
	void *description;
	int ret;

	if (!count || fstat(fds[0], &info) || !info.st_size)
		return -EINVAL;
	description = mmap(NULL, info.st_size, PROT_READ, MAP_PRIVATE, fds[0], 0);
	if (description == MAP_FAILED)
		return -EINVAL;
	r.at = description;
	r.end = r.at + info.st_size;
	ret = ctx_make(opts, open_restored, &r, ctx);
	munmap(description, info.st_size);
	return ret;
}
