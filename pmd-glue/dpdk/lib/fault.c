/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults: the last ones are kept for telemetry; all go on to the application. */
#include <inttypes.h>
#include <stdio.h>

#include <rte_common.h>

#include "lib.h"

/* Called from the context's thread. */
void fault_record(void *arg, const struct ioas_fault *fault)
{
	struct ioas_dpdk *glue = arg;
	struct fault_record *record;

	pthread_mutex_lock(&glue->lock);
	record = &glue->faults[glue->fault_count++ % FAULTS_KEPT];
	record->iova = fault->iova;
	record->reason = fault->reason;
	record->prot = fault->prot;
	snprintf(record->device, sizeof(record->device), "%s",
		 fault->dev != NULL ? ioas_dev_name(fault->dev) : "");
	pthread_mutex_unlock(&glue->lock);
	LIB_LOG(DEBUG, "%s: fault of %s at 0x%" PRIx64 ", reason %u", glue->name, record->device,
		(uint64_t)fault->iova, fault->reason);
	if (glue->fault != NULL)
		glue->fault(glue->fault_arg, fault);
}
