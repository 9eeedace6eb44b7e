/* SPDX-License-Identifier: BSD-3-Clause */
/* Facts about the machine, and pins. See machine.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "machine.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "perf.h"

static const char vulnerabilities[] = "/sys/devices/system/cpu/vulnerabilities";

/* The first line of @path that begins with @key, without key, colon and spaces. */
static bool read_line(const char *path, const char *key, char *text, size_t text_bytes)
{
	FILE *file = fopen(path, "re");
	char line[1024];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *value = line + strlen(key);

		if (strncmp(line, key, strlen(key)))
			continue;
		value += strspn(value, " \t:");
		value[strcspn(value, "\n")] = 0;
		snprintf(text, text_bytes, "%s", value);
		found = true;
	}
	if (file)
		fclose(file);
	if (!found)
		snprintf(text, text_bytes, "unknown");
	return found;
}

static void mitigations(char *text, size_t text_bytes)
{
	DIR *dir = opendir(vulnerabilities);
	struct dirent *entry;
	size_t used = 0;

	snprintf(text, text_bytes, "none needed");
	while (dir && (entry = readdir(dir))) {
		char path[384], state[256];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", vulnerabilities, entry->d_name);
		if (!read_line(path, "", state, sizeof(state)) || !strcmp(state, "Not affected"))
			continue;
		state[strcspn(state, ";")] = 0;
		used += snprintf(text + used, text_bytes - used, "%s%s: %s", used ? "; " : "",
				 entry->d_name, state);
		if (used >= text_bytes)
			break;
	}
	if (dir)
		closedir(dir);
	else
		snprintf(text, text_bytes, "unknown");
}

static void huge_pages(char *text, size_t text_bytes)
{
	char total[32], unused[32], size[32], transparent[64];

	read_line("/proc/meminfo", "HugePages_Total", total, sizeof(total));
	read_line("/proc/meminfo", "HugePages_Free", unused, sizeof(unused));
	read_line("/proc/meminfo", "Hugepagesize", size, sizeof(size));
	read_line("/sys/kernel/mm/transparent_hugepage/enabled", "", transparent,
		  sizeof(transparent));
	snprintf(text, text_bytes, "%s of %s reserved, %s free; transparent: %s", total, size,
		 unused, transparent);
}

static void load(char *text, size_t text_bytes)
{
	double average = 0;

	getloadavg(&average, 1);
	snprintf(text, text_bytes, "%.2f%s", average,
		 average > 0.5 ? " (not idle: other programs share cpus and caches)" : "");
}

void bench_machine_facts(struct bench_fact facts[BENCH_FACTS])
{
	static const char *const names[BENCH_FACTS] = {
		"cpu",	      "cpus",	     "l3 cache",     "kernel",	    "mitigations",
		"huge pages", "clocksource", "load (1 min)", "perf events",
	};
	struct utsname host;

	for (unsigned int i = 0; i < BENCH_FACTS; i++)
		facts[i].name = names[i];
	uname(&host);
	read_line("/proc/cpuinfo", "model name", facts[0].text, BENCH_FACT_BYTES);
	snprintf(facts[1].text, BENCH_FACT_BYTES, "%u", bench_machine_cpus());
	read_line("/sys/devices/system/cpu/cpu0/cache/index3/size", "", facts[2].text,
		  BENCH_FACT_BYTES);
	snprintf(facts[3].text, BENCH_FACT_BYTES, "%s %s %s", host.sysname, host.release,
		 host.machine);
	mitigations(facts[4].text, BENCH_FACT_BYTES);
	huge_pages(facts[5].text, BENCH_FACT_BYTES);
	read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", "",
		  facts[6].text, BENCH_FACT_BYTES);
	load(facts[7].text, BENCH_FACT_BYTES);
	bench_perf_describe(facts[8].text, BENCH_FACT_BYTES);
}

/* As the program was started; read once, before any pin. */
static cpu_set_t allowed;
static pthread_once_t allowed_once = PTHREAD_ONCE_INIT;

static void read_allowed(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed)) {
		CPU_ZERO(&allowed);
		CPU_SET(0, &allowed);
	}
}

unsigned int bench_machine_cpus(void)
{
	pthread_once(&allowed_once, read_allowed);
	return CPU_COUNT(&allowed);
}

void bench_machine_pin(unsigned int index)
{
	unsigned int skip = index % bench_machine_cpus();
	cpu_set_t one;

	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || skip--)
			continue;
		CPU_SET(cpu, &one);
		break;
	}
	sched_setaffinity(0, sizeof(one), &one);
}

void bench_machine_unpin(void)
{
	pthread_once(&allowed_once, read_allowed);
	sched_setaffinity(0, sizeof(allowed), &allowed);
}
