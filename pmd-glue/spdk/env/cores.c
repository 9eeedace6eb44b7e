/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cores of the program and threads on them. The thread that calls spdk_env_init() becomes the one
 * of the main core.
 */
#include "ioas_env.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CORES_MAX CPU_SETSIZE

static cpu_set_t cores;
static cpu_set_t everywhere; /* where the process could run before */
static uint32_t main_core;
static __thread uint32_t current_core = UINT32_MAX; /* of threads that have one */

static struct thread {
	pthread_t id;
	bool is_started;
	uint32_t core;
	thread_start_fn fn;
	void *arg;
} threads[CORES_MAX];

/* The first core of @set that is not one of @others, or CORES_MAX. */
static uint32_t first_beyond(const cpu_set_t *set, const cpu_set_t *others)
{
	uint32_t core = 0;

	while (core < CORES_MAX && (!CPU_ISSET(core, set) || CPU_ISSET(core, others)))
		core++;
	return core;
}

/* "0x..." or hexadecimal digits, lowest core last. */
static int read_mask(const char *text, cpu_set_t *set)
{
	size_t digits;

	if (!strncasecmp(text, "0x", 2))
		text += 2;
	digits = strspn(text, "0123456789abcdefABCDEF");
	if (!digits || text[digits] || digits > CORES_MAX / 4)
		return -EINVAL;
	for (size_t i = 0; i < digits; i++) {
		const char digit[] = { text[digits - 1 - i], '\0' };
		const unsigned long bits = strtoul(digit, NULL, 16);

		for (unsigned int bit = 0; bit < 4; bit++)
			if (bits & (1ul << bit))
				CPU_SET(4 * i + bit, set);
	}
	return 0;
}

/* "[0,2-3]". */
static int read_list(const char *text, cpu_set_t *set)
{
	do {
		unsigned int first, last;
		int end = 0;

		text++;
		if (sscanf(text, "%u-%u%n", &first, &last, &end) != 2 || !end) {
			end = 0;
			if (sscanf(text, "%u%n", &first, &end) != 1 || !end)
				return -EINVAL;
			last = first;
		}
		if (first > last || last >= CORES_MAX)
			return -EINVAL;
		for (; first <= last; first++)
			CPU_SET(first, set);
		text += end;
	} while (*text == ',');
	return strcmp(text, "]") ? -EINVAL : 0;
}

static int read_cores(const struct spdk_env_opts *opts, cpu_set_t *set)
{
	const char *text = opts->core_mask;
	int ret = -EINVAL;

	CPU_ZERO(set);
	if (opts->lcore_map) {
		SPDK_ERRLOG("ioas: lcore_map: not supported, give core_mask\n");
		return -EINVAL;
	}
	if (text)
		ret = *text == '[' ? read_list(text, set) : read_mask(text, set);
	if (ret || !CPU_COUNT(set)) {
		SPDK_ERRLOG("ioas: core_mask: '%s': want \"0x...\" or \"[0,2-3]\"\n",
			    text ? text : "");
		return -EINVAL;
	}
	return 0;
}

static int pin(uint32_t core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		SPDK_ERRLOG("ioas: core %u: %s\n", core, strerror(errno));
		return -errno;
	}
	current_core = core;
	return 0;
}

int ioas_env_cores_open(const struct spdk_env_opts *opts)
{
	int ret = read_cores(opts, &cores);

	if (ret)
		return ret;
	if (sched_getaffinity(0, sizeof(everywhere), &everywhere))
		return -errno;
	main_core = first_beyond(&cores, &everywhere);
	if (main_core < CORES_MAX) {
		SPDK_ERRLOG("ioas: core_mask: this process may not run on core %u\n", main_core);
		return -EINVAL;
	}
	main_core = spdk_env_get_first_core();
	if (opts->main_core >= 0) {
		if (opts->main_core >= CORES_MAX || !CPU_ISSET(opts->main_core, &cores)) {
			SPDK_ERRLOG("ioas: main_core: %d is not in core_mask\n", opts->main_core);
			return -EINVAL;
		}
		main_core = opts->main_core;
	}
	return pin(main_core);
}

void ioas_env_cores_close(void)
{
	spdk_unaffinitize_thread();
	current_core = UINT32_MAX;
}

uint32_t spdk_env_get_next_core(uint32_t prev_core)
{
	for (uint32_t core = prev_core + 1; core < CORES_MAX; core++)
		if (CPU_ISSET(core, &cores))
			return core;
	return UINT32_MAX;
}

uint32_t spdk_env_get_first_core(void)
{
	return spdk_env_get_next_core(UINT32_MAX);
}

uint32_t spdk_env_get_last_core(void)
{
	uint32_t last = UINT32_MAX, core = spdk_env_get_first_core();

	for (; core != UINT32_MAX; core = spdk_env_get_next_core(core))
		last = core;
	return last;
}

uint32_t spdk_env_get_core_count(void)
{
	return CPU_COUNT(&cores);
}

uint32_t spdk_env_get_current_core(void)
{
	return current_core;
}

uint32_t spdk_env_get_main_core(void)
{
	return main_core;
}

static void *run(void *arg)
{
	struct thread *thread = arg;

	return (void *)(intptr_t)(pin(thread->core) ?: thread->fn(thread->arg));
}

int spdk_env_thread_launch_pinned(uint32_t core, thread_start_fn fn, void *arg)
{
	struct thread *thread = threads + core;
	int ret;

	if (core >= CORES_MAX || !CPU_ISSET(core, &cores) || core == main_core)
		return -EINVAL;
	if (thread->is_started)
		return -EBUSY;
	*thread = (struct thread){ .core = core, .fn = fn, .arg = arg };
	ret = -pthread_create(&thread->id, NULL, run, thread);
	thread->is_started = !ret;
	return ret;
}

void spdk_env_thread_wait_all(void)
{
	for (struct thread *thread = threads; thread < threads + CORES_MAX; thread++) {
		if (thread->is_started)
			pthread_join(thread->id, NULL);
		thread->is_started = false;
	}
}

void spdk_unaffinitize_thread(void)
{
	sched_setaffinity(0, sizeof(everywhere), &everywhere);
}

void *spdk_call_unaffinitized(void *cb(void *arg), void *arg)
{
	cpu_set_t set;
	void *result;
	const bool is_known = !sched_getaffinity(0, sizeof(set), &set);

	spdk_unaffinitize_thread();
	result = cb(arg);
	if (is_known)
		sched_setaffinity(0, sizeof(set), &set);
	return result;
}
