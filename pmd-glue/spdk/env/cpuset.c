/* SPDX-License-Identifier: BSD-3-Clause */
/* Cores as SPDK's sets, which are SPDK's own code (libspdk_util). */
#include "ioas_env.h"

#include <limits.h>

#include <spdk/cpuset.h>

void spdk_env_get_cpuset(struct spdk_cpuset *cpuset)
{
	uint32_t core = spdk_env_get_first_core();

	spdk_cpuset_zero(cpuset);
	for (; core != UINT32_MAX; core = spdk_env_get_next_core(core))
		spdk_cpuset_set_cpu(cpuset, core, true);
}

/* Add the threads of @core's core: "0,4" or "0-1". */
static bool add_siblings(struct spdk_cpuset *cpuset, uint32_t core)
{
	char path[PATH_MAX];
	unsigned int first, last;
	FILE *file;
	bool found = false;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
		 core);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fscanf(file, "%u", &first) == 1) {
		if (fscanf(file, "-%u", &last) != 1)
			last = first;
		for (; first <= last; first++)
			spdk_cpuset_set_cpu(cpuset, first, true);
		found = true;
		if (fgetc(file) != ',')
			break;
	}
	fclose(file);
	return found;
}

bool spdk_env_core_get_smt_cpuset(struct spdk_cpuset *cpuset, uint32_t core)
{
	spdk_cpuset_zero(cpuset);
	if (core != UINT32_MAX)
		return add_siblings(cpuset, core);
	for (core = spdk_env_get_first_core(); core != UINT32_MAX;
	     core = spdk_env_get_next_core(core))
		if (!add_siblings(cpuset, core))
			return false;
	return true;
}
