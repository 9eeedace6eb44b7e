/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the library share. See ioas_dpdk.h.
 *
 * Lock order: the registry's (names; readers of it), ioas_dpdk.lock (devices, faults), memory.lock.
 * EAL's memory lock is before memory.lock, and none of EAL's is taken under any of these.
 */
#ifndef IOAS_DPDK_LIB_H
#define IOAS_DPDK_LIB_H

#include <pthread.h>

#include <rte_lcore.h>

#include "ioas_dpdk.h"
#include "log.h"
#include "memory.h"
#include "peer.h"

#define DEVICE_NAME_BYTES 64
#define FAULTS_KEPT	  64

struct device {
	struct device *next;
	struct ioas_dpdk *glue;
	struct ioas_dev *dev;
	bool watched; /* EAL's device events */
	char name[DEVICE_NAME_BYTES];
};

/* One of the faults that came last. Devices come and go: their names stay. */
struct fault_record {
	uint64_t iova;
	uint32_t reason;
	uint32_t prot;
	char device[DEVICE_NAME_BYTES];
};

struct lcore {
	struct ioas_queue *queue;
	uint64_t owner; /* number of the thread that it belongs to */
};

struct secondary {
	struct secondary *next;
	struct ioas_dpdk *glue;
	uint32_t owner; /* of its regions */
	bool ended;
	struct peer_watch watch;
};

struct ioas_dpdk {
	struct ioas_dpdk *next; /* registry */
	char name[IOAS_DPDK_NAME_BYTES];
	uint32_t flags;
	bool secondary; /* this process is one: no context, but a primary that has */
	bool shown;	/* to others than its opener; registry's lock */
	bool memory_on; /* memory_start() has succeeded */
	bool has_readers;
	struct ioas_ctx *ctx;
	struct ioas *as;
	struct memory memory;
	struct share share;
	pthread_mutex_t lock;
	struct device *devices;
	struct fault_record faults[FAULTS_KEPT]; /* a ring */
	uint64_t fault_count;			 /* ever */
	ioas_fault_fn fault;			 /* the application's */
	void *fault_arg;
	struct secondary *secondaries;
	uint32_t owners; /* numbers given out, MEMORY_SECONDARY the first */
	/* In a secondary: */
	uint32_t owner;
	bool primary_gone; /* atomic */
	struct peer_watch primary;
	struct lcore lcores[RTE_MAX_LCORE];
};

#define DEFAULT_NAME "ioas"

/*
 * registry.c: names that are taken, and what is open under them (shown). Visitors see what is
 * shown, run under the registry's lock, and return non-zero to stop. Return: 0, -EEXIST.
 */
int registry_reserve(struct ioas_dpdk *glue);
void registry_show(struct ioas_dpdk *glue);
void registry_hide(struct ioas_dpdk *glue);
void registry_remove(struct ioas_dpdk *glue);
/* Any that is shown; it is hidden then. Or NULL. */
struct ioas_dpdk *registry_take_shown(void);
int registry_visit(const char *name, int (*visit)(struct ioas_dpdk *glue, void *arg), void *arg);

/* device.c */
void devices_remove_all(struct ioas_dpdk *glue);
/* Bind only (@dev may be NULL); attach all that is bound. */
int device_bind(struct ioas_dpdk *glue, const char *name, struct ioas_dev **dev);
int devices_attach(struct ioas_dpdk *glue);

/* fault.c: an ioas_fault_fn whose argument is the glue. */
void fault_record(void *arg, const struct ioas_fault *fault);

/* queue.c */
void queues_destroy(struct ioas_dpdk *glue);

/* readers.c: the flavour of RCU that waits on the application's QSBR variable. */
struct rcu_flavor_struct;
int readers_get(struct rte_rcu_qsbr *qsbr, const struct rcu_flavor_struct **flavor);
void readers_put(void);

/* primary.c: requests of secondary processes. */
void primary_start(void); /* once for the process */
void primary_stop(struct ioas_dpdk *glue);
unsigned int primary_count(struct ioas_dpdk *glue); /* those that live */

/* secondary.c */
int secondary_open(struct ioas_dpdk *glue);
void secondary_close(struct ioas_dpdk *glue);
int secondary_map(struct ioas_dpdk *glue, void *va, size_t bytes, uint64_t iova);
int secondary_unmap(struct ioas_dpdk *glue, void *va, size_t bytes);

/* telemetry.c: once for the process. */
void telemetry_start(void);

/* cleanup.c: once for the process. */
#ifdef IOAS_DPDK_CLEANUP
void cleanup_start(void);
#else
static inline void cleanup_start(void)
{
}
#endif

#endif
