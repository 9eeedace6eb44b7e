/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernel half: map, unmap, invalidate, dirty pages. See kernel.h. */
#include "kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include <urcu/arch.h>

#include "walk.h"

/* One entry into the kernel and back. */
static void cross(struct soft_be *be, unsigned int *crossings)
{
	ioctl(be->kernel_fd, _IO('i', 0)); /* ENOTTY */
	(*crossings)++;
}

#define DESCS_MAX 128

/* Descriptors on their way to every unit of @space. */
struct batch {
	struct soft_be *be;
	uint64_t units;
	unsigned int count;
	struct soft_desc descs[DESCS_MAX];
};

/* To be called after the table has changed: see "Locking" above. */
static void batch_init(struct batch *batch, struct soft_space *space)
{
	batch->be = soft_to_be(space->base.be);
	cmm_smp_mb();
	batch->units = atomic_load_explicit(&space->units, memory_order_relaxed);
	batch->count = 0;
}

static int batch_send(struct batch *batch)
{
	int ret = 0;

	for (uint64_t units = batch->units; batch->count && units; units &= units - 1)
		ret = soft_queue_submit(batch->be->units[__builtin_ctzll(units)], batch->descs,
					batch->count)
			      ?: ret;
	batch->count = 0;
	return ret ? diag_fail(batch->be->base.diag, ret, "soft: invalidation queue is stuck") : 0;
}

static int batch_add(struct batch *batch, struct soft_desc desc)
{
	int ret = batch->count == DESCS_MAX ? batch_send(batch) : 0;

	batch->descs[batch->count++] = desc;
	return ret;
}

/*
 * The table of a KERNEL space changed. Its children's translations are made of it and carry
 * addresses of their own, so they go as a whole. Called with the space's lock held.
 */
static int batch_finish_kernel(struct batch *batch, struct soft_space *space)
{
	int ret = 0;

	for (struct soft_space *child = space->children; child; child = child->next_child)
		if (atomic_load_explicit(&child->units, memory_order_relaxed))
			ret = batch_add(batch, soft_desc_domain(child->context.domain)) ?: ret;
	return batch_send(batch) ?: ret;
}

int soft_invalidate(struct be_space *base, const struct be_inval *ranges, unsigned int count,
		    unsigned int *crossings)
{
	struct soft_space *space = soft_to_space(base);
	struct batch batch;
	int ret = 0;

	cross(soft_to_be(base->be), crossings);
	if (space->context.kind != SOFT_NESTED)
		return diag_fail(base->be->diag, -EOPNOTSUPP,
				 "soft: only USER spaces are invalidated by their owner");
	batch_init(&batch, space);
	if (!count)
		ret = batch_add(&batch, soft_desc_domain(space->context.domain));
	for (unsigned int i = 0; i < count; i++)
		ret = batch_add(&batch, soft_desc_range(space->context.domain, ranges[i].iova,
							ranges[i].bytes, ranges[i].leaf))
			      ?: ret;
	return batch_send(&batch) ?: ret;
}

/* Mapping. */

static int check_map(struct soft_be *be, const struct be_map *map)
{
	struct diag *diag = be->base.diag;
	uint64_t last = (UINT64_C(1) << be->options.aperture_bits) - 1;

	if (!map->bytes || ((map->iova | map->bytes | (uintptr_t)map->va) & (IOAS_PAGE_SIZE - 1)))
		return diag_fail(diag, -EINVAL,
				 "soft: map of %p, %" PRIu64 " bytes at 0x%" PRIx64
				 ": not whole pages",
				 map->va, map->bytes, map->iova);
	if (!map->prot || (map->prot & ~IOAS_RW))
		return diag_fail(diag, -EINVAL, "soft: map with protection 0x%x", map->prot);
	if (map->iova > last || map->bytes - 1 > last - map->iova)
		return diag_fail(diag, -ERANGE,
				 "soft: IOVA 0x%" PRIx64 ", %" PRIu64
				 " bytes: beyond the aperture of %" PRIu64 " bits",
				 map->iova, map->bytes, be->options.aperture_bits);
	if (!soft_pins_contain(&be->pins, map->va, map->bytes))
		return diag_fail(diag, -EFAULT,
				 "soft: map of %p, %" PRIu64 " bytes: not registered memory",
				 map->va, map->bytes);
	return 0;
}

/* All of @count or none. */
static int reserve_maps(struct soft_be *be, unsigned int count)
{
	uint64_t live = atomic_fetch_add(&be->live_maps, count);

	if (!be->options.max_maps || live + count <= be->options.max_maps)
		return 0;
	atomic_fetch_sub(&be->live_maps, count);
	return diag_fail(be->base.diag, -ENOSPC,
			 "soft: %" PRIu64
			 " live mappings and %u more are over the limit of %" PRIu64
			 " (option max_maps=N)",
			 live, count, be->options.max_maps);
}

int soft_map(struct be_space *base, const struct be_map *maps, unsigned int count,
	     unsigned int *done, unsigned int *crossings)
{
	struct soft_space *space = soft_to_space(base);
	struct soft_be *be = soft_to_be(base->be);
	unsigned int i;
	int ret;

	*done = 0;
	cross(be, crossings);
	if (!space->pt)
		return diag_fail(base->be->diag, -EOPNOTSUPP, "soft: map on a space not KERNEL");
	ret = reserve_maps(be, count);
	if (ret)
		return ret;
	pthread_mutex_lock(&space->lock);
	for (i = 0; i < count; i++) {
		struct pt_map_args args = { .oa = (uintptr_t)maps[i].va, .prot = maps[i].prot };

		ret = check_map(be, &maps[i]);
		if (ret)
			break;
		ret = pt_map(space->pt, NULL, maps[i].iova, maps[i].bytes, &args, 0);
		if (!ret)
			continue;
		diag_fail(base->be->diag, ret,
			  "soft: map at IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: %s", maps[i].iova,
			  maps[i].bytes, ret == -EEXIST ? "part of it is mapped" : strerror(-ret));
		if (args.undone_bytes) {
			/* Was present for a moment, and may have been cached. */
			struct batch batch;

			batch_init(&batch, space);
			batch_add(&batch, soft_desc_range(space->context.domain, maps[i].iova,
							  args.undone_bytes, true));
			batch_finish_kernel(&batch, space);
		}
		break;
	}
	pthread_mutex_unlock(&space->lock);
	atomic_fetch_sub(&be->live_maps, count - i);
	*done = i;
	return ret;
}

/*
 * The builder exchanges the first leaf, and takes one that has changed meanwhile for another's.
 * Here that is hardware, which sets a dirty bit once.
 */
static int take_out(struct soft_space *space, const struct be_unmap *unmap)
{
	int ret = pt_unmap(space->pt, NULL, unmap->iova, unmap->bytes, 0);

	if (ret == -ENOENT && space->context.dirty)
		ret = pt_unmap(space->pt, NULL, unmap->iova, unmap->bytes, 0);
	return ret;
}

int soft_unmap(struct be_space *base, const struct be_unmap *unmaps, unsigned int count,
	       unsigned int *done, unsigned int *crossings)
{
	struct soft_space *space = soft_to_space(base);
	struct soft_be *be = soft_to_be(base->be);
	struct batch batch;
	unsigned int i;
	int inval = 0;
	int ret = 0;

	*done = 0;
	cross(be, crossings);
	if (!space->pt)
		return diag_fail(base->be->diag, -EOPNOTSUPP, "soft: unmap on a space not KERNEL");
	pthread_mutex_lock(&space->lock);
	for (i = 0; i < count; i++) {
		ret = !unmaps[i].bytes ||
				      ((unmaps[i].iova | unmaps[i].bytes) & (IOAS_PAGE_SIZE - 1)) ||
				      unmaps[i].iova >> 48 ||
				      unmaps[i].bytes > (UINT64_C(1) << 48) - unmaps[i].iova
			      ? -EINVAL
			      : take_out(space, &unmaps[i]);
		if (ret) {
			diag_fail(base->be->diag, ret,
				  "soft: unmap of IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: %s",
				  unmaps[i].iova, unmaps[i].bytes,
				  ret == -ENOENT ? "not mapped" : "not exactly one mapping");
			break;
		}
	}
	if (i) {
		batch_init(&batch, space);
		for (unsigned int j = 0; j < i; j++)
			inval = batch_add(&batch,
					  soft_desc_range(space->context.domain, unmaps[j].iova,
							  unmaps[j].bytes, true))
					?: inval;
		inval = batch_finish_kernel(&batch, space) ?: inval;
	}
	pthread_mutex_unlock(&space->lock);
	atomic_fetch_sub(&be->live_maps, i);
	*done = i;
	return ret ?: inval;
}

/* Dirty pages. */

static int dirty_set(struct be_space *base, bool on)
{
	struct soft_space *space = soft_to_space(base);
	struct soft_be *be = soft_to_be(base->be);
	struct batch batch;
	int ret;

	pthread_mutex_lock(&space->lock);
	space->context.dirty = on;
	for (struct soft_dev *dev = be->devices; dev; dev = dev->next)
		if (dev->space == space)
			soft_endpoint_set(&dev->endpoint, &space->context);
	/* What is cached allows writes that set nothing. */
	batch_init(&batch, space);
	ret = batch_add(&batch, soft_desc_domain(space->context.domain));
	ret = batch_send(&batch) ?: ret;
	pthread_mutex_unlock(&space->lock);
	return ret;
}

static void set_bits(const struct be_dirty *range, uint64_t from, uint64_t bytes)
{
	const uint64_t end =
		(from + bytes - range->iova + range->page_bytes - 1) / range->page_bytes;

	for (uint64_t bit = (from - range->iova) / range->page_bytes; bit < end; bit++)
		range->bitmap[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* Return: true if a bit has been cleared in the table. */
static bool read_leaves(struct soft_space *space, const struct be_dirty *range)
{
	const uint64_t end = range->iova + range->bytes;
	bool cleared = false;
	uint64_t next;

	for (uint64_t at = range->iova; at < end; at = next) {
		unsigned int level = 0;
		_Atomic uint64_t *leaf = soft_second_leaf(space->context.root, at, &level);
		uint64_t entry = !leaf	       ? 0
				 : range->keep ? atomic_load(leaf)
					       : atomic_fetch_and(leaf, ~SS_D);

		next = (at | soft_offset_mask(level)) + 1;
		if (next > end)
			next = end;
		if (!(entry & SS_D))
			continue;
		set_bits(range, at, next - at);
		cleared |= !range->keep;
	}
	return cleared;
}

static int dirty_read(struct be_space *base, const struct be_dirty *range)
{
	struct soft_space *space = soft_to_space(base);
	struct batch batch;
	int ret = 0;

	pthread_mutex_lock(&space->lock);
	if (read_leaves(space, range)) {
		batch_init(&batch, space);
		ret = batch_add(&batch, soft_desc_range(space->context.domain, range->iova,
							range->bytes, true));
		ret = batch_send(&batch) ?: ret;
	}
	pthread_mutex_unlock(&space->lock);
	return ret;
}

const struct be_dirty_ops soft_dirty_ops = {
	.set = dirty_set,
	.read = dirty_read,
};
