/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the library itself maps in a KERNEL space: registered memory under children that have no
 * parent of their own, and page tables. IOVA = virtual address where that is free, so that
 * addresses in a table can be read by a person; else wherever there is room.
 */
#include "kernel_map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int choose_iova(struct ioas *parent, uint64_t va, uint64_t bytes, uint64_t *start)
{
	const uint64_t last = parent->ctx->caps.parent_last;
	struct iova *iova = &parent->iova;

	*start = va;
	if ((!last || va + bytes - 1 <= last) && !iova_check(iova, va, bytes) &&
	    !iova_claim(iova, va, bytes))
		return 0;
	return iova_take_long(iova, bytes, start);
}

int parent_map(struct ioas *parent, uint64_t va, uint64_t bytes, uint32_t prot, bool cached,
	       uint64_t *iova, unsigned int *crossings)
{
	struct diag *diag = &parent->ctx->diag;
	struct kernel_map *map = kernel_map_new();
	unsigned int done, ignored = 0;
	struct be_map call;
	int ret;

	if (!map)
		return diag_fail(diag, -ENOMEM, "no memory for a mapping");
	ret = choose_iova(parent, va, bytes, iova);
	if (ret) {
		kernel_map_free(map);
		return diag_fail(diag, ret, "parent: no room for %" PRIu64 " bytes: %s", bytes,
				 strerror(-ret));
	}
	map->range.start = *iova;
	map->range.last = *iova + bytes - 1;
	map->va = va;
	map->prot = prot;
	map->uncached = !cached;
	pthread_mutex_lock(&parent->maps_lock);
	ret = kernel_map_reserve(parent, map);
	pthread_mutex_unlock(&parent->maps_lock);
	if (ret)
		diag_fail(diag, ret, "parent: no memory for the mapping cache");
	call = (struct be_map){
		.iova = *iova, .bytes = bytes, .va = (void *)(uintptr_t)va, .prot = prot
	};
	ret = ret
		      ?: parent->ctx->be->ops->map(parent->be_space, &call, 1, &done,
						   crossings ?: &ignored);
	if (ret) {
		iova_unclaim(&parent->iova, *iova, bytes);
		kernel_map_free(map);
		return ret;
	}
	pthread_mutex_lock(&parent->maps_lock);
	kernel_map_enter(parent, map);
	pthread_mutex_unlock(&parent->maps_lock);
	return 0;
}

void parent_unmap(struct ioas *parent, uint64_t iova, uint64_t bytes, unsigned int *crossings)
{
	struct be_unmap call = { .iova = iova, .bytes = bytes };
	unsigned int done, ignored = 0;
	struct kernel_map *map;

	pthread_mutex_lock(&parent->maps_lock);
	map = kernel_map_find(parent, iova);
	kernel_map_hide(parent, map);
	pthread_mutex_unlock(&parent->maps_lock);
	parent->ctx->be->ops->unmap(parent->be_space, &call, 1, &done, crossings ?: &ignored);
	pthread_mutex_lock(&parent->maps_lock);
	kernel_map_leave(parent, map);
	pthread_mutex_unlock(&parent->maps_lock);
	kernel_map_free(map);
	/* One that is still mapped after all keeps its IOVA. */
	if (done)
		iova_unclaim(&parent->iova, iova, bytes);
}

void parent_hide(struct ioas *parent, uint64_t iova)
{
	pthread_mutex_lock(&parent->maps_lock);
	kernel_map_hide(parent, kernel_map_find(parent, iova));
	pthread_mutex_unlock(&parent->maps_lock);
}

void parent_show(struct ioas *parent, uint64_t iova)
{
	pthread_mutex_lock(&parent->maps_lock);
	kernel_map_show(parent, kernel_map_find(parent, iova));
	pthread_mutex_unlock(&parent->maps_lock);
}

struct search {
	uint64_t first;
	uint64_t last;
	uint64_t iova;
	bool found;
};

static bool points_into(void *arg, uint64_t iova, uint64_t oa, uint64_t leaf_bytes)
{
	struct search *search = arg;

	if (oa > search->last || oa + leaf_bytes - 1 < search->first)
		return true;
	search->iova = iova;
	search->found = true;
	return false;
}

bool parent_in_use(struct ioas *parent, uint64_t oa, uint64_t bytes, uint64_t *iova)
{
	struct search search = { .first = oa, .last = oa + bytes - 1 };
	struct ioas_ctx *ctx = parent->ctx;
	struct ioas *as;

	pthread_mutex_lock(&ctx->lock);
	cds_list_for_each_entry (as, &ctx->spaces, entry) {
		if (as->parent != parent || search.found)
			continue;
		urcu_bp_read_lock();
		pt_each(as->pt, 0, UINT64_MAX, points_into, &search);
		urcu_bp_read_unlock();
	}
	pthread_mutex_unlock(&ctx->lock);
	*iova = search.iova;
	return search.found;
}

int parent_settle(struct ioas *parent)
{
	struct ioas_ctx *ctx = parent->ctx;
	struct ioas *as;
	int ret = 0;

	pthread_mutex_lock(&ctx->lock);
	cds_list_for_each_entry (as, &ctx->spaces, entry)
		if (as->parent == parent && !ret)
			ret = inval_commit_all(&as->inval);
	pthread_mutex_unlock(&ctx->lock);
	return ret;
}
