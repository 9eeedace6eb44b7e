/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory from anywhere, for the time of an I/O: the registration cache of the address space. */
#include "ioas_env.h"

#include <errno.h>

#include "ioas_spdk_env.h"

static int make_cache(void)
{
	struct ioas_regcache_opts opts = { .size = sizeof(opts) };
	struct ioas_regcache *cache;
	int ret = 0;

	pthread_mutex_lock(&ioas_env.lock);
	if (!ioas_env.cache) {
		ret = ioas_regcache_create(ioas_env.as, &opts, &cache);
		if (!ret)
			ioas_env.cache = cache;
	}
	pthread_mutex_unlock(&ioas_env.lock);
	return ret ? ioas_env_fail(ret, "no registration cache") : 0;
}

int ioas_spdk_hold(const void *va, size_t bytes, struct ioas_spdk_hold *hold)
{
	struct ioas_queue *queue = ioas_env_queue();
	int ret = 0;

	if (!queue)
		return -ENODEV;
	if (__builtin_expect(!ioas_env.cache, 0))
		ret = make_cache();
	ret = ret ?: ioas_regcache_get(queue, va, bytes, &hold->reg);
	if (ret)
		SPDK_ERRLOG("ioas: hold %zu bytes at %p: %s\n", bytes, va, ioas_queue_error(queue));
	return ret;
}

/* Without a queue there is no memory for one: the buffer stays held, which the end reports. */
void ioas_spdk_release(struct ioas_spdk_hold *hold)
{
	struct ioas_queue *queue = ioas_env_queue();

	if (queue)
		ioas_regcache_put(queue, &hold->reg);
}

void ioas_env_holds_close(void)
{
	int ret = ioas_env.cache ? ioas_regcache_destroy(ioas_env.cache) : 0;

	if (ret)
		ioas_env_fail(ret, "buffers are held still");
	ioas_env.cache = NULL;
}
