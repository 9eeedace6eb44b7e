/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of the application: registered and unregistered by whole regions. */
#include "ioas_env.h"

#include <errno.h>

int spdk_mem_register(void *vaddr, size_t len)
{
	struct ioas_env_region region;
	struct ioas_mem *mem;
	int ret;

	if (!ioas_env.is_open)
		return -EINVAL;
	if (!len)
		return 0;
	ret = ioas_mem_register(ioas_env.ctx, vaddr, len, &mem);
	if (ret)
		return ioas_env_fail(ret == -EEXIST ? -EBUSY : ret, "spdk_mem_register");
	ret = ioas_env_region_add(mem, SPDK_ENV_NUMA_ID_ANY, &region);
	if (ret)
		ioas_mem_free(mem);
	return ret;
}

/* Is [@va, +@len) one or several whole regions that were registered? */
static int check(char *va, size_t len)
{
	while (len) {
		struct ioas_env_region region;

		if (!ioas_env_region_find(va, &region) || ioas_mem_fd(region.mem) >= 0)
			return -EINVAL;
		if (region.va != va || region.bytes > len)
			return -ERANGE;
		va += region.bytes;
		len -= region.bytes;
	}
	return 0;
}

int spdk_mem_unregister(void *vaddr, size_t len)
{
	char *va = vaddr;
	int ret = check(va, len);

	if (ret)
		SPDK_ERRLOG("ioas: spdk_mem_unregister: %p, 0x%zx: not whole registered regions\n",
			    vaddr, len);
	while (!ret && len) {
		struct ioas_env_region region;

		if (!ioas_env_region_find(va, &region))
			return -EINVAL;
		ret = ioas_env_region_remove(va);
		va += region.bytes;
		len -= region.bytes;
	}
	return ret;
}

/* Registration allocates what it needs; there is nothing to prepare. */
int spdk_mem_reserve(void *vaddr, size_t len)
{
	struct ioas_env_region region;

	if (((uintptr_t)vaddr | len) & (IOAS_PAGE_SIZE - 1))
		return -EINVAL;
	return ioas_env_region_find(vaddr, &region) ? -EBUSY : 0;
}

/* Of what this environment allocated. */
static bool find_own(const void *va, struct ioas_env_region *region, uint64_t *offset)
{
	if (!ioas_env_region_find(va, region) || ioas_mem_fd(region->mem) < 0)
		return false;
	*offset = (const char *)va - region->va;
	return true;
}

int32_t spdk_mem_get_numa_id(const void *buf, uint64_t *size)
{
	struct ioas_env_region region;
	uint64_t offset;

	if (!find_own(buf, &region, &offset))
		return SPDK_ENV_NUMA_ID_ANY;
	if (size && *size > region.bytes - offset)
		*size = region.bytes - offset;
	return region.numa_id;
}

int spdk_mem_get_fd_and_offset(void *vaddr, uint64_t *offset)
{
	struct ioas_env_region region;

	return find_own(vaddr, &region, offset) ? ioas_mem_fd(region.mem) : -EINVAL;
}
