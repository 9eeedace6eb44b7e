/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue for each lcore. Only its lcore touches an entry, until the glue is closed. */
#include <string.h>

#include "lib.h"

static _Thread_local uint64_t this_thread;

struct ioas_queue *ioas_dpdk_queue(struct ioas_dpdk *glue)
{
	static uint64_t threads; /* numbers given out; a number is never used twice */
	const unsigned int id = rte_lcore_id();
	struct lcore *lcore;
	char text[256];
	int rc;

	if (glue->secondary || id >= RTE_MAX_LCORE) {
		LIB_LOG(ERR, "%s: no queue for %s", glue->name,
			glue->secondary ? "a secondary process"
					: "a thread that is no lcore: rte_thread_register()");
		return NULL;
	}
	if (this_thread == 0)
		this_thread = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
	lcore = &glue->lcores[id];
	if (lcore->owner == this_thread)
		return lcore->queue;
	if (lcore->queue == NULL) {
		struct ioas_queue *queue;

		rc = ioas_queue_create(glue->as, &queue);
		if (rc != 0) {
			ioas_ctx_error(glue->ctx, text, sizeof(text));
			LIB_LOG(ERR, "%s: queue of lcore %u: %s: %s", glue->name, id, strerror(-rc),
				text);
			return NULL;
		}
		__atomic_store_n(&lcore->queue, queue, __ATOMIC_RELEASE); /* telemetry reads it */
	}
	/* The lcore number had another thread before, which is gone. */
	ioas_queue_adopt(lcore->queue);
	lcore->owner = this_thread;
	return lcore->queue;
}

void queues_destroy(struct ioas_dpdk *glue)
{
	for (unsigned int id = 0; id < RTE_MAX_LCORE; id++) {
		struct lcore *lcore = &glue->lcores[id];
		int rc;

		if (lcore->queue == NULL)
			continue;
		ioas_queue_adopt(lcore->queue);
		rc = ioas_queue_destroy(lcore->queue);
		if (rc != 0)
			LIB_LOG(ERR, "%s: queue of lcore %u: %s", glue->name, id, strerror(-rc));
		else
			lcore->queue = NULL;
		lcore->owner = 0;
	}
}
