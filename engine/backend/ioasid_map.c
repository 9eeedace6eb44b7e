/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory, and what calls on address spaces do often: arrays of maps, unmaps and invalidations, each
 * of which is one call, of which all is done or nothing.
 *
 * Memory is pinned and accounted when it is registered; maps of it find it by its address.
 *
 * With a ring, what would be one call is as many elements of it. Elements fail one by one; then
 * what the others did is put right by calls, which also have the kernel's words for the failure.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ioasid_ring.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define ON_STACK 256 /* entries that are written for one call */

static_assert((int)IOASID_MAP_READ == IOAS_READ && (int)IOASID_MAP_WRITE == IOAS_WRITE &&
		      (int)IOASID_PROT_READ == IOAS_READ && (int)IOASID_PROT_WRITE == IOAS_WRITE,
	      "the same bits");
static_assert(sizeof(struct be_unmap) == sizeof(struct ioasid_unmap_entry) &&
		      offsetof(struct be_unmap, iova) ==
			      offsetof(struct ioasid_unmap_entry, iova) &&
		      offsetof(struct be_unmap, bytes) ==
			      offsetof(struct ioasid_unmap_entry, length),
	      "arrays of unmaps are the kernel's");

/* Memory. */

struct ioasid_mem {
	struct be_mem base;
	struct ioasid_memory range;
};

static int fail_register(struct ioasid_be *be, const struct be_mem_attr *attr, int code)
{
	const char *what = "cannot be registered";

	if (code == -ENOMEM && vfio_fail_memlock(&be->vfio.base, attr->bytes))
		return code;
	if (code == -EFAULT)
		what = "not mapped, or not writable";
	return ioasid_fail(be, code, "memory at %p, %" PRIu64 " bytes: %s", attr->va, attr->bytes,
			   what);
}

int ioasid_mem_add(struct be *base, const struct be_mem_attr *attr, struct be_mem **out)
{
	struct ioasid_be *be = ioasid_to_be(base);
	struct ioasid_mem *mem = calloc(1, sizeof(*mem));
	int ret;

	if (!mem)
		return diag_fail(base->diag, -ENOMEM, "ioasid: no memory");
	mem->base.be = base;
	mem->range = (struct ioasid_memory){
		.size = sizeof(mem->range),
		.prot = IOASID_PROT_READ | IOASID_PROT_WRITE,
		.va = (uintptr_t)attr->va,
		.length = attr->bytes,
	};
	ret = ioasid_request(be, IOASID_REGISTER_MEMORY, &mem->range);
	if (ret) {
		free(mem);
		return fail_register(be, attr, ret);
	}
	*out = &mem->base;
	return 0;
}

void ioasid_mem_del(struct be_mem *base)
{
	struct ioasid_mem *mem = (struct ioasid_mem *)base;
	struct ioasid_be *be = ioasid_to_be(base->be);
	int ret;

	mem->range.prot = 0;
	ret = ioasid_request(be, IOASID_UNREGISTER_MEMORY, &mem->range);
	if (ret)
		ioasid_fail(be, ret, "IOASID_UNREGISTER_MEMORY");
	free(mem);
}

/* Maps. */

static int fail_map(struct ioasid_be *be, const struct be_map *maps, unsigned int count, int code)
{
	const struct be_map *map = maps;
	struct ioasid_why why;
	uint64_t bytes = 0;

	ioasid_why(be, code, &why);
	if (why.index < count)
		map = &maps[why.index];
	for (unsigned int i = 0; i < count; i++)
		bytes += maps[i].bytes;
	if (code == -ENOMEM && vfio_fail_memlock(&be->vfio.base, bytes))
		return code;
	if (code == -EFAULT)
		return vfio_fail_map(&be->vfio.base, map, code);
	return diag_fail(be->vfio.base.diag, code,
			 "ioasid: map at IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: %s", map->iova,
			 map->bytes, why.text);
}

static int unmap_entries(struct ioasid_space *space, const struct be_unmap *unmaps,
			 unsigned int count, unsigned int *crossings)
{
	struct ioasid_unmap_dma request = {
		.size = sizeof(request),
		.ioasid = space->id,
		.entries_uptr = (uintptr_t)unmaps,
		.count = count,
		.entry_size = sizeof(unmaps[0]),
		.flags = IOASID_UNMAP_EXACT,
	};

	(*crossings)++;
	return ioasid_request(ioasid_to_be(space->vfio.base.be), IOASID_UNMAP_DMA, &request);
}

/* The ring, if there is one that takes @count elements. */
static struct ioasid_ring *ring_for(struct ioasid_be *be, unsigned int count)
{
	struct ioasid_ring *ring = atomic_load_explicit(&be->ring, memory_order_acquire);

	return ring && count <= ring->entries ? ring : NULL;
}

/* What the elements of one ring call are of. */
struct elements {
	uint32_t ioasid;
	const void *array;
};

static void fill_map(struct ioasid_sqe *sqe, const void *argument, unsigned int index)
{
	const struct elements *elements = argument;
	const struct ioasid_map_entry *entry =
		&((const struct ioasid_map_entry *)elements->array)[index];

	sqe->op = IOASID_RING_MAP;
	sqe->op_flags = entry->flags;
	sqe->ioasid = elements->ioasid;
	sqe->iova = entry->iova;
	sqe->address = entry->address;
	sqe->length = entry->length;
}

/* Return: are all of them mapped? If not, none is. */
static bool map_by_ring(struct ioasid_space *space, struct ioasid_ring *ring,
			const struct ioasid_map_entry *entries, unsigned int count,
			unsigned int *crossings)
{
	const struct elements elements = { .ioasid = space->id, .array = entries };
	int results[ON_STACK];

	if (!ioasid_ring_run(ring, fill_map, &elements, count, results, crossings))
		return true;
	for (unsigned int i = 0; i < count; i++) {
		const struct be_unmap one = { .iova = entries[i].iova, .bytes = entries[i].length };

		/* Of -EPIPE nobody knows. */
		if (!results[i] || results[i] == -EPIPE)
			unmap_entries(space, &one, 1, crossings);
	}
	return false;
}

/* One call: all of it or nothing. */
static int map_array(struct ioasid_space *space, const struct be_map *maps, unsigned int count,
		     unsigned int *crossings)
{
	struct ioasid_be *be = ioasid_to_be(space->vfio.base.be);
	struct ioasid_ring *ring = ring_for(be, count);
	struct ioasid_map_entry entries[ON_STACK];
	struct ioasid_map_dma request = {
		.size = sizeof(request),
		.ioasid = space->id,
		.entries_uptr = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(entries[0]),
	};
	int ret;

	for (unsigned int i = 0; i < count; i++) {
		/* The kernel knows the limits of attached devices only. */
		ret = vfio_limits_check(&be->vfio.base, &be->vfio.limits, &maps[i]);
		if (ret)
			return ret;
		entries[i] = (struct ioasid_map_entry){
			.iova = maps[i].iova,
			.address = (uintptr_t)maps[i].va,
			.length = maps[i].bytes,
			.flags = maps[i].prot,
		};
	}
	if (ring && map_by_ring(space, ring, entries, count, crossings))
		return 0;
	(*crossings)++;
	ret = ioasid_request(be, IOASID_MAP_DMA, &request);
	return ret ? fail_map(be, maps, count, ret) : 0;
}

static unsigned int at_most(unsigned int count, unsigned int most)
{
	return count < most ? count : most;
}

int ioasid_map(struct be_space *base, const struct be_map *maps, unsigned int count,
	       unsigned int *done, unsigned int *crossings)
{
	const unsigned int most = at_most(ioasid_to_be(base->be)->array_max, ON_STACK);

	for (*done = 0; *done < count;) {
		unsigned int some = at_most(count - *done, most);
		int ret = map_array((struct ioasid_space *)base, &maps[*done], some, crossings);

		if (ret)
			return ret;
		*done += some;
	}
	return 0;
}

/* Unmaps. */

static int fail_unmap(struct ioasid_be *be, const struct be_unmap *unmaps, unsigned int count,
		      int code)
{
	const struct be_unmap *unmap = unmaps;
	struct ioasid_why why;

	ioasid_why(be, code, &why);
	if (why.index < count)
		unmap = &unmaps[why.index];
	return diag_fail(be->vfio.base.diag, code,
			 "ioasid: unmap of IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: %s%s",
			 unmap->iova, unmap->bytes,
			 code == -EINVAL   ? "a mapping goes as a whole: "
			 : code == -ENOENT ? "not mapped: "
					   : "",
			 why.text);
}

static int check_unmap(struct ioasid_be *be, const struct be_unmap *unmap)
{
	if (unmap->bytes && unmap->iova + unmap->bytes - 1 >= unmap->iova)
		return 0;
	return diag_fail(be->vfio.base.diag, -EINVAL,
			 "ioasid: unmap of IOVA 0x%" PRIx64 ", %" PRIu64 " bytes: no range",
			 unmap->iova, unmap->bytes);
}

static void fill_unmap(struct ioasid_sqe *sqe, const void *argument, unsigned int index)
{
	const struct elements *elements = argument;
	const struct be_unmap *unmap = &((const struct be_unmap *)elements->array)[index];

	sqe->op = IOASID_RING_UNMAP;
	sqe->op_flags = IOASID_UNMAP_EXACT;
	sqe->ioasid = elements->ioasid;
	sqe->iova = unmap->iova;
	sqe->length = unmap->bytes;
}

/*
 * An unmap fails if there is no such mapping. So *done is up to the last one that is gone: the
 * caller, who may map these again, has all of them back then.
 */
static int unmap_by_ring(struct ioasid_space *space, struct ioasid_ring *ring,
			 const struct be_unmap *unmaps, unsigned int count, unsigned int *done,
			 unsigned int *crossings)
{
	const struct elements elements = { .ioasid = space->id, .array = unmaps };
	int results[ON_STACK], ret = 0;

	*done = count;
	if (!ioasid_ring_run(ring, fill_unmap, &elements, count, results, crossings))
		return 0;
	*done = 0;
	for (unsigned int i = 0; i < count; i++) {
		int one = results[i] ? unmap_entries(space, &unmaps[i], 1, crossings) : 0;

		/* The ring may have done it before it ended. */
		if (one == -ENOENT && results[i] == -EPIPE)
			one = 0;
		if (!one)
			*done = i + 1;
		else if (!ret)
			ret = fail_unmap(ioasid_to_be(space->vfio.base.be), &unmaps[i], 1, one);
	}
	return ret;
}

/* All of it or, without a ring, nothing. */
static int unmap_array(struct ioasid_space *space, const struct be_unmap *unmaps,
		       unsigned int count, unsigned int *done, unsigned int *crossings)
{
	struct ioasid_be *be = ioasid_to_be(space->vfio.base.be);
	struct ioasid_ring *ring = ring_for(be, count);
	int ret = 0;

	*done = 0;
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = check_unmap(be, &unmaps[i]);
	if (ret)
		return ret;
	if (ring)
		return unmap_by_ring(space, ring, unmaps, count, done, crossings);
	ret = unmap_entries(space, unmaps, count, crossings);
	if (ret)
		return fail_unmap(be, unmaps, count, ret);
	*done = count;
	return 0;
}

int ioasid_unmap(struct be_space *base, const struct be_unmap *unmaps, unsigned int count,
		 unsigned int *done, unsigned int *crossings)
{
	struct ioasid_be *be = ioasid_to_be(base->be);
	const unsigned int most = at_most(be->array_max, be->ring_entries ? ON_STACK : UINT32_MAX);
	int ret = 0;

	for (*done = 0; !ret && *done < count;) {
		unsigned int some = at_most(count - *done, most);
		unsigned int more;

		ret = unmap_array((struct ioasid_space *)base, &unmaps[*done], some, &more,
				  crossings);
		*done += more;
	}
	return ret;
}

/* Invalidations, of USER tables. */

static void fill_invalidate(struct ioasid_sqe *sqe, const void *argument, unsigned int index)
{
	const struct elements *elements = argument;
	const struct ioasid_inval_entry *entry =
		&((const struct ioasid_inval_entry *)elements->array)[index];

	sqe->op = IOASID_RING_INVALIDATE;
	sqe->op_flags = entry->flags;
	sqe->ioasid = elements->ioasid;
	sqe->iova = entry->iova;
	sqe->length = entry->length;
}

static int invalidate_array(struct ioasid_space *space, const struct ioasid_inval_entry *entries,
			    unsigned int count, unsigned int *crossings)
{
	const struct elements elements = { .ioasid = space->id, .array = entries };
	struct ioasid_be *be = ioasid_to_be(space->vfio.base.be);
	struct ioasid_ring *ring = ring_for(be, count);
	int results[ON_STACK];
	struct ioasid_invalidate_cache request = {
		.size = sizeof(request),
		.ioasid = space->id,
		.entries_uptr = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(entries[0]),
	};
	int ret;

	/* What failed is asked for again, all of it. */
	if (ring && !ioasid_ring_run(ring, fill_invalidate, &elements, count, results, crossings))
		return 0;
	(*crossings)++;
	ret = ioasid_request(be, IOASID_INVALIDATE_CACHE, &request);
	return ret ? ioasid_fail(be, ret, "invalidation of %u ranges", count) : 0;
}

int ioasid_invalidate(struct be_space *base, const struct be_inval *ranges, unsigned int count,
		      unsigned int *crossings)
{
	const unsigned int most = at_most(ioasid_to_be(base->be)->array_max, ON_STACK);
	struct ioasid_space *space = (struct ioasid_space *)base;
	struct ioasid_inval_entry entries[ON_STACK];
	unsigned int some;

	if (!count) {
		entries[0] = (struct ioasid_inval_entry){ .type = IOASID_INVAL_ALL };
		return invalidate_array(space, entries, 1, crossings);
	}
	for (unsigned int at = 0; at < count; at += some) {
		int ret;

		some = at_most(count - at, most);
		for (unsigned int i = 0; i < some; i++)
			entries[i] = (struct ioasid_inval_entry){
				.type = IOASID_INVAL_RANGE,
				.flags = ranges[at + i].leaf ? IOASID_INVAL_LEAF : 0,
				.iova = ranges[at + i].iova,
				.length = ranges[at + i].bytes,
			};
		ret = invalidate_array(space, entries, some, crossings);
		if (ret)
			return ret;
	}
	return 0;
}
