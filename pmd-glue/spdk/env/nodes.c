/* SPDX-License-Identifier: BSD-3-Clause */
/* NUMA nodes, as libnuma counts them; one on machines that have none. */
#include "ioas_env.h"

#include <numa.h>

static int32_t next(int node)
{
	const int last = numa_available() < 0 ? 0 : numa_max_node();

	while (++node <= last)
		if (numa_available() < 0 || numa_bitmask_isbitset(numa_all_nodes_ptr, node))
			return node;
	return INT32_MAX;
}

int32_t spdk_env_get_numa_id(uint32_t core)
{
	if (core > INT32_MAX)
		return SPDK_ENV_NUMA_ID_ANY;
	return numa_available() < 0 ? 0 : numa_node_of_cpu(core);
}

int32_t spdk_env_get_first_numa_id(void)
{
	return next(-1);
}

int32_t spdk_env_get_next_numa_id(int32_t prev_numa_id)
{
	return next(prev_numa_id);
}

int32_t spdk_env_get_last_numa_id(void)
{
	int32_t last = 0;

	for (int32_t node = next(-1); node != INT32_MAX; node = next(node))
		last = node;
	return last;
}
