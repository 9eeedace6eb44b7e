/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that devices reach: arenas and what is registered, each one mapping. See ioas_env.h. */
#include "ioas_env.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

static void *regions; /* tsearch() tree, by address; under ioas_env.lock */

/* Regions that overlap are "equal", so that an address finds the region that holds it. */
static int compare(const void *left, const void *right)
{
	const struct ioas_env_region *a = left, *b = right;

	if (a->va + a->bytes <= b->va)
		return -1;
	return b->va + b->bytes <= a->va;
}

static int map(struct ioas_env_region *region)
{
	int ret;

	ioas_queue_adopt(ioas_env.queue);
	ret = ioas_map(ioas_env.queue, region->va, region->bytes, IOAS_RW, &region->iova);
	if (ret)
		SPDK_ERRLOG("ioas: map: %s\n", ioas_queue_error(ioas_env.queue));
	return ret;
}

static int unmap(const struct ioas_env_region *region)
{
	int ret;

	ioas_queue_adopt(ioas_env.queue);
	ret = ioas_unmap(ioas_env.queue, region->iova, region->bytes);
	ret = ret ?: ioas_flush(ioas_env.queue);
	if (ret)
		SPDK_ERRLOG("ioas: unmap: %s\n", ioas_queue_error(ioas_env.queue));
	return ret;
}

/* Under the lock: enter, map, tell; or nothing of it. */
static int add(struct ioas_env_region *region)
{
	struct ioas_env_region **node = tsearch(region, &regions, compare);
	int ret;

	if (!node)
		return -ENOMEM;
	if (*node != region)
		return -EBUSY;
	ret = map(region);
	if (!ret) {
		ret = ioas_env_maps_notify(SPDK_MEM_MAP_NOTIFY_REGISTER, region->va, region->bytes);
		if (!ret)
			return 0;
		unmap(region);
	}
	tdelete(region, &regions, compare);
	return ret;
}

int ioas_env_region_add(struct ioas_mem *mem, int numa_id, struct ioas_env_region *out)
{
	struct ioas_env_region *region = malloc(sizeof(*region));
	int ret;

	if (!region)
		return -ENOMEM;
	*region = (struct ioas_env_region){
		.va = ioas_mem_va(mem), .bytes = ioas_mem_bytes(mem), .mem = mem, .numa_id = numa_id
	};
	pthread_mutex_lock(&ioas_env.lock);
	ret = add(region);
	if (!ret)
		*out = *region;
	else
		free(region);
	pthread_mutex_unlock(&ioas_env.lock);
	return ret;
}

int ioas_env_region_alloc(size_t bytes, int numa_id, struct ioas_env_region *region)
{
	const struct ioas_mem_opts opts = { .size = sizeof(opts),
					    .numa_node = numa_id,
					    .bytes = bytes,
					    .page_bytes =
						    ioas_env.small_pages ? IOAS_PAGE_SIZE : 0 };
	struct ioas_mem *mem;
	int ret = ioas_mem_alloc(ioas_env.ctx, &opts, &mem);

	if (ret)
		return ioas_env_fail(ret, "memory");
	ret = ioas_env_region_add(mem, numa_id, region);
	if (ret)
		ioas_mem_free(mem);
	return ret;
}

static int unmap_and_free(struct ioas_env_region *region)
{
	int ret = unmap(region);

	ret = ret ?: ioas_mem_free(region->mem);
	if (ret)
		return ioas_env_fail(ret, "memory stays");
	tdelete(region, &regions, compare);
	free(region);
	return 0;
}

static struct ioas_env_region *find(const void *va)
{
	const struct ioas_env_region key = { .va = (char *)(uintptr_t)va, .bytes = 1 };
	struct ioas_env_region **node = tfind(&key, &regions, compare);

	return node ? *node : NULL;
}

int ioas_env_region_remove(void *va)
{
	struct ioas_env_region *region;
	int ret = -ENOENT;

	pthread_mutex_lock(&ioas_env.lock);
	region = find(va);
	if (region && region->va == va) {
		ret = ioas_env_maps_notify(SPDK_MEM_MAP_NOTIFY_UNREGISTER, va, region->bytes);
		ret = ret ?: unmap_and_free(region);
	}
	pthread_mutex_unlock(&ioas_env.lock);
	return ret;
}

bool ioas_env_region_find(const void *va, struct ioas_env_region *found)
{
	const struct ioas_env_region *region;

	pthread_mutex_lock(&ioas_env.lock);
	region = find(va);
	if (region)
		*found = *region;
	pthread_mutex_unlock(&ioas_env.lock);
	return region;
}

struct walk {
	int (*fn)(void *arg, const struct ioas_env_region *region);
	void *arg;
	int ret;
};

static void visit(const void *node, VISIT which, void *closure)
{
	const struct ioas_env_region *const *region = node;
	struct walk *walk = closure;

	if ((which == postorder || which == leaf) && !walk->ret)
		walk->ret = walk->fn(walk->arg, *region);
}

int ioas_env_region_walk(int (*fn)(void *arg, const struct ioas_env_region *region), void *arg)
{
	struct walk walk = { .fn = fn, .arg = arg };

	twalk_r(regions, visit, &walk);
	return walk.ret;
}

void ioas_env_regions_remove_all(void)
{
	pthread_mutex_lock(&ioas_env.lock);
	while (regions) {
		struct ioas_env_region *region = *(struct ioas_env_region **)regions;

		if (unmap_and_free(region))
			break;
	}
	pthread_mutex_unlock(&ioas_env.lock);
}
