/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rte_eal_cleanup() closes what is still open: EAL tells every bus, before its memory goes. So this
 * is a bus without devices, the last one, when drivers have stopped theirs.
 *
 * Built where the driver headers of DPDK are to be had: bus_driver.h is one.
 */
#include <bus_driver.h>
#include <rte_dev.h>

#include "lib.h"

static int nothing(void)
{
	return 0;
}

static struct rte_device *find_none(const struct rte_device *start, rte_dev_cmp_t compare,
				    const void *data)
{
	(void)start;
	(void)compare;
	(void)data;
	return NULL;
}

static int close_all(void)
{
	struct ioas_dpdk *glue;
	int failed = 0, rc;

	while ((glue = registry_take_shown()) != NULL) {
		LIB_LOG(INFO, "%s: is closed by EAL's clean-up", glue->name);
		rc = ioas_dpdk_close(glue);
		failed = rc != 0 ? rc : failed;
	}
	return failed;
}

static struct rte_bus bus = {
	.name = "ioas_dpdk",
	.scan = nothing,
	.probe = nothing,
	.find_device = find_none,
	.cleanup = close_all,
};

static void start(void)
{
	rte_bus_register(&bus);
}

void cleanup_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
}
