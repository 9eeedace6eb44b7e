/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Telemetry: /ioas/list, and for each name of it /ioas/info, stats, devices, queues, memory,
 * faults.
 *
 * EAL cannot unregister a command, so they stay for the life of the process and look up what is
 * open. Source: DPDK Programmer's Guide, "Telemetry Library".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_telemetry.h>
#include <rte_version.h>

#include "lib.h"
#include "region.h"

#if RTE_VERSION < RTE_VERSION_NUM(23, 3, 0, 0)
#define rte_tel_data_add_dict_uint rte_tel_data_add_dict_u64
#endif

#define ROWS_MAX 64 /* of an array: what the reply has room for */

static void dict_u64(struct rte_tel_data *data, const char *name, uint64_t value)
{
	rte_tel_data_add_dict_uint(data, name, value);
}

static int add_name(struct ioas_dpdk *glue, void *arg)
{
	rte_tel_data_add_array_string(arg, glue->name);
	return 0;
}

static int list(const char *command, const char *parameters, struct rte_tel_data *data)
{
	(void)command;
	(void)parameters;
	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	return registry_visit(NULL, add_name, data);
}

static int info(struct ioas_dpdk *glue, void *arg)
{
	struct ioas_dpdk_stats stats = { .size = sizeof(stats) };
	struct rte_tel_data *data = arg;

	ioas_dpdk_get_stats(glue, &stats);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "backend", ioas_ctx_backend(glue->ctx));
	rte_tel_data_add_dict_string(data, "why", ioas_ctx_why(glue->ctx));
	rte_tel_data_add_dict_string(data, "kind", ioas_kind_name(ioas_get_kind(glue->as)));
	rte_tel_data_add_dict_string(data, "format", ioas_format_name(ioas_get_format(glue->as)));
	rte_tel_data_add_dict_string(data, "mode",
				     ioas_get_mode(glue->as) == IOAS_STRICT ? "strict" : "batched");
	rte_tel_data_add_dict_string(data, "iova_mode",
				     rte_eal_iova_mode() == RTE_IOVA_PA ? "PA" : "VA");
	dict_u64(data, "iova_first", ioas_get_aperture(glue->as).start);
	dict_u64(data, "iova_last", ioas_get_aperture(glue->as).last);
	dict_u64(data, "secondaries", stats.secondaries);
	dict_u64(data, "memory_regions", stats.regions);
	dict_u64(data, "memory_bytes", stats.bytes);
	dict_u64(data, "memory_bytes_failed", stats.bytes_failed);
	dict_u64(data, "memory_events", stats.events);
	return 1;
}

static int counters(struct ioas_dpdk *glue, void *arg)
{
	struct ioas_stats stats = { .size = sizeof(stats) };
	struct rte_tel_data *data = arg;

	if (ioas_ctx_stats(glue->ctx, &stats) != 0)
		return -EIO;
	rte_tel_data_start_dict(data);
	dict_u64(data, "maps", stats.maps);
	dict_u64(data, "unmaps", stats.unmaps);
	dict_u64(data, "map_crossings", stats.map_crossings);
	dict_u64(data, "unmap_crossings", stats.unmap_crossings);
	dict_u64(data, "inval_crossings", stats.inval_crossings);
	dict_u64(data, "inval_asked", stats.inval_asked);
	dict_u64(data, "inval_merged", stats.inval_merged);
	dict_u64(data, "inval_issued", stats.inval_issued);
	dict_u64(data, "inval_flushes", stats.inval_flushes);
	dict_u64(data, "commits", stats.commits);
	dict_u64(data, "commit_joins", stats.commit_joins);
	dict_u64(data, "faults", stats.faults);
	dict_u64(data, "faults_lost", stats.faults_lost);
	dict_u64(data, "page_requests", stats.page_requests);
	dict_u64(data, "page_requests_refused", stats.page_requests_refused);
	dict_u64(data, "bytes_pinned", stats.bytes_pinned);
	dict_u64(data, "table_bytes", stats.table_bytes);
	return 1;
}

static int devices(struct ioas_dpdk *glue, void *arg)
{
	rte_tel_data_start_array(arg, RTE_TEL_STRING_VAL);
	pthread_mutex_lock(&glue->lock);
	for (const struct device *device = glue->devices; device != NULL; device = device->next)
		rte_tel_data_add_array_string(arg, device->name);
	pthread_mutex_unlock(&glue->lock);
	return 1;
}

static void lcore_u64(struct rte_tel_data *data, unsigned int id, const char *name, uint64_t value)
{
	char text[64];

	snprintf(text, sizeof(text), "lcore%u_%s", id, name);
	dict_u64(data, text, value);
}

/* Flat: 22.11 shows no dictionary inside of another. */
static int queues(struct ioas_dpdk *glue, void *arg)
{
	unsigned int rows = 0;

	rte_tel_data_start_dict(arg);
	for (unsigned int id = 0; id < RTE_MAX_LCORE && rows < ROWS_MAX; id++) {
		struct ioas_queue *queue =
			__atomic_load_n(&glue->lcores[id].queue, __ATOMIC_ACQUIRE);
		struct ioas_stats stats = { .size = sizeof(stats) };

		if (queue == NULL || ioas_queue_stats(queue, &stats) != 0)
			continue;
		lcore_u64(arg, id, "maps", stats.maps);
		lcore_u64(arg, id, "unmaps", stats.unmaps);
		lcore_u64(arg, id, "crossings", stats.map_crossings + stats.unmap_crossings);
		rows++;
	}
	return 1;
}

static int memory(struct ioas_dpdk *glue, void *arg)
{
	uint64_t va = 0, iova;
	unsigned int rows = 0;
	char text[96];
	size_t bytes;

	rte_tel_data_start_array(arg, RTE_TEL_STRING_VAL);
	while (rows++ < ROWS_MAX && share_next(&glue->share, &va, &bytes, &iova) == 0) {
		snprintf(text, sizeof(text), "0x%" PRIx64 " +0x%zx at 0x%" PRIx64, va, bytes, iova);
		rte_tel_data_add_array_string(arg, text);
		va += bytes;
	}
	return 1;
}

static const char *reason_name(uint32_t reason)
{
	static const char *const names[] = {
		[IOAS_FAULT_NOT_PRESENT] = "not present",
		[IOAS_FAULT_PERMISSION] = "permission",
		[IOAS_FAULT_ADDRESS] = "address",
		[IOAS_FAULT_RESERVED] = "reserved",
		[IOAS_FAULT_PARENT] = "parent",
		[IOAS_FAULT_BLOCKED] = "blocked",
		[IOAS_FAULT_UNKNOWN] = "unknown",
		[IOAS_FAULT_MEMORY] = "memory",
		[IOAS_FAULT_GONE] = "gone",
		[IOAS_FAULT_BROKEN] = "broken",
	};

	return reason < RTE_DIM(names) && names[reason] != NULL ? names[reason] : "unknown";
}

/* The last ones, the newest first. */
static int faults(struct ioas_dpdk *glue, void *arg)
{
	char text[128];

	rte_tel_data_start_array(arg, RTE_TEL_STRING_VAL);
	pthread_mutex_lock(&glue->lock);
	for (uint64_t i = 0; i < FAULTS_KEPT && i < glue->fault_count; i++) {
		const struct fault_record *fault =
			&glue->faults[(glue->fault_count - 1 - i) % FAULTS_KEPT];

		snprintf(text, sizeof(text), "%s 0x%" PRIx64 " %s %s", fault->device, fault->iova,
			 fault->prot & IOAS_WRITE ? "write" : "read", reason_name(fault->reason));
		rte_tel_data_add_array_string(arg, text);
	}
	pthread_mutex_unlock(&glue->lock);
	return 1;
}

static const struct {
	const char *command;
	int (*answer)(struct ioas_dpdk *glue, void *data);
	const char *help;
} commands[] = {
	{ "/ioas/info", info, "Context, address space and memory. Parameter: name (/ioas/list)" },
	{ "/ioas/stats", counters, "Counters of the context. Parameter: name" },
	{ "/ioas/devices", devices, "Devices that are attached. Parameter: name" },
	{ "/ioas/queues", queues, "Counters of each lcore's queue. Parameter: name" },
	{ "/ioas/memory", memory, "Memory that is mapped, the lowest stretches. Parameter: name" },
	{ "/ioas/faults", faults, "The last faults, newest first. Parameter: name" },
};

/* No name: the default one. Return: 0, or -ENOENT, which telemetry answers with null. */
static int answer(const char *command, const char *parameters, struct rte_tel_data *data)
{
	const char *name = parameters != NULL && parameters[0] != '\0' ? parameters : DEFAULT_NAME;

	for (unsigned int i = 0; i < RTE_DIM(commands); i++)
		if (strcmp(command, commands[i].command) == 0) {
			const bool here = rte_eal_process_type() == RTE_PROC_PRIMARY;
			int rc = here ? registry_visit(name, commands[i].answer, data) : -ENOTSUP;

			return rc > 0 ? 0 : rc;
		}
	return -ENOENT;
}

static void start(void)
{
	if (rte_telemetry_register_cmd("/ioas/list", list, "Names of what is open") != 0)
		LIB_LOG(NOTICE, "telemetry: /ioas is taken by another copy of this library");
	for (unsigned int i = 0; i < RTE_DIM(commands); i++)
		rte_telemetry_register_cmd(commands[i].command, answer, commands[i].help);
}

void telemetry_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
}
