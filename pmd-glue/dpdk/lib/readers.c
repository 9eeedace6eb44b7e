/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who waits for readers of translations waits on the application's own variable of rte_rcu_qsbr.
 * liburcu's table of a flavour has no argument, so there is one variable for the process.
 *
 * EAL calls back with its memory lock held, and a reader may wait for just that lock, in
 * rte_malloc(): what EAL gives back is not waited for. Nobody may use for DMA what it has freed.
 */
#include <errno.h>

#include <rte_rcu_qsbr.h>
#include <urcu/flavor.h>

#include "lib.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rte_rcu_qsbr *variable;
static unsigned int users;

/* An lcore that unmaps has no translation in use, or it would wait for itself. */
static void synchronize(void)
{
	const unsigned int id = rte_lcore_id();

	if (memory_in_event())
		return;
	rte_rcu_qsbr_synchronize(variable,
				 id < variable->max_threads ? id : RTE_QSBR_THRID_INVALID);
}

static const struct rcu_flavor_struct flavor_of_dpdk = {
	.update_synchronize_rcu = synchronize,
};

int readers_get(struct rte_rcu_qsbr *qsbr, const struct rcu_flavor_struct **flavor)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (users > 0 && variable != qsbr)
		rc = -EBUSY;
	if (rc == 0) {
		variable = qsbr;
		users++;
		*flavor = &flavor_of_dpdk;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void readers_put(void)
{
	pthread_mutex_lock(&lock);
	if (--users == 0)
		variable = NULL;
	pthread_mutex_unlock(&lock);
}
