/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device thread: one thread of the process runs the device half of all started ports that ask
 * for it (thread=1), as if it were their hardware.
 *
 * A ticket lock guards the list; the thread holds it for one sweep over the queues, and its
 * fairness lets a port that starts or stops come in between two sweeps.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include <rte_pause.h>
#include <rte_ticketlock.h>

#include "log.h"
#include "net.h"

static struct {
	rte_ticketlock_t lock;
	struct net_port *ports[RTE_MAX_ETHPORTS];
	unsigned int count;
	bool stop;
	pthread_t thread;
} engine = { .lock = RTE_TICKETLOCK_INITIALIZER };

static unsigned int sweep(struct net_port *port)
{
	const struct rte_eth_dev_data *data = port->data;
	unsigned int done = 0;

	for (unsigned int i = 0; i < data->nb_rx_queues; i++)
		done += net_device_rx(data->rx_queues[i], NET_BURST);
	for (unsigned int i = 0; i < data->nb_tx_queues; i++)
		done += net_device_tx(data->tx_queues[i]);
	return done;
}

static void *run(void *arg)
{
	unsigned int idle = 0;
	bool stop;

	(void)arg;
	do {
		unsigned int done = 0;

		rte_ticketlock_lock(&engine.lock);
		stop = engine.stop;
		for (unsigned int i = 0; i < engine.count && !stop; i++)
			done += sweep(engine.ports[i]);
		rte_ticketlock_unlock(&engine.lock);
		idle = done != 0 ? 0 : idle + 1;
		if (idle > 10000) /* let others have the core when nothing moves */
			sched_yield();
		else if (idle > 0)
			rte_pause();
	} while (!stop);
	return NULL;
}

static int start(int cpu)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int rc;

	pthread_attr_init(&attr);
	if (cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	}
	engine.stop = false;
	rc = pthread_create(&engine.thread, &attr, run, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		GLUE_LOG(ERR, "cannot start the device thread on cpu %d: %s", cpu, strerror(rc));
	else
		pthread_setname_np(engine.thread, "ioas-device");
	return -rc;
}

/* Callers hold net_lock. */
int net_device_thread_add(struct net_port *port)
{
	bool first;

	rte_ticketlock_lock(&engine.lock);
	first = engine.count == 0;
	engine.ports[engine.count++] = port;
	rte_ticketlock_unlock(&engine.lock);
	if (first) {
		int rc = start(port->config.cpu);

		if (rc != 0)
			engine.count = 0;
		return rc;
	}
	return 0;
}

void net_device_thread_remove(struct net_port *port)
{
	bool last;

	rte_ticketlock_lock(&engine.lock);
	for (unsigned int i = 0; i < engine.count; i++) {
		if (engine.ports[i] == port)
			engine.ports[i--] = engine.ports[--engine.count];
	}
	last = engine.count == 0;
	engine.stop = last;
	rte_ticketlock_unlock(&engine.lock);
	if (last)
		pthread_join(engine.thread, NULL);
}
