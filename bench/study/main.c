/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The policy study as a program: a table, the same as JSON, and whether it is what was promised.
 * bench/policy builds it and starts it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "study.h"

const struct study_policy *const study_policies[] = {
	&study_strict,	  &study_strict_leaf, &study_deferred, &study_ours,
	&study_ours_huge, &study_static,      &study_off,      NULL,
};

#define POLICIES (sizeof(study_policies) / sizeof(study_policies[0]) - 1)

enum { STRICT, STRICT_LEAF, DEFERRED, OURS, OURS_HUGE, STATIC, OFF };

static const unsigned int rings[] = { 256, 512, 1024, 2048 };
static const unsigned int quick_rings[] = { 256, 1024 };
static const unsigned int packets[] = { 64, 1500, 4096, 9000 };

struct cell {
	unsigned int ring;
	unsigned int packet;
	struct study_result results[POLICIES];
};

static struct cell cells[sizeof(rings) / sizeof(rings[0]) * sizeof(packets) / sizeof(packets[0])];
static unsigned int cell_count;

static int measure(struct cell *cell)
{
	char error[256];

	for (unsigned int p = 0; p < POLICIES; p++)
		if (study_measure(study_policies[p], cell->ring, cell->packet, &cell->results[p],
				  error, sizeof(error))) {
			fprintf(stderr, "policy %s, ring %u, %u bytes: %s\n",
				study_policies[p]->name, cell->ring, cell->packet, error);
			return -1;
		}
	return 0;
}

static void print(const struct cell *cell)
{
	for (unsigned int p = 0; p < POLICIES; p++) {
		const struct study_result *result = &cell->results[p];

		printf("%6u %6u  %-12s %8.3f %8.3f %8.3f %8.1f\n", cell->packet, cell->ring,
		       study_policies[p]->name, result->reads, result->misses, result->descriptors,
		       result->gbps);
	}
	fflush(stdout);
}

static void write_cell(FILE *out, const struct cell *cell, const char *end)
{
	for (unsigned int p = 0; p < POLICIES; p++) {
		const struct study_result *result = &cell->results[p];

		fprintf(out,
			"  {\"policy\": \"%s\", \"packet\": %u, \"ring\": %u, \"reads\": %.6f,"
			" \"misses\": %.6f, \"invalidations\": %.6f, \"gbps\": %.3f}%s\n",
			study_policies[p]->name, cell->packet, cell->ring, result->reads,
			result->misses, result->descriptors, result->gbps,
			p + 1 < POLICIES ? "," : end);
	}
}

static int write_json(const char *path)
{
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		return 2;
	}
	fprintf(out, "[\n");
	for (unsigned int i = 0; i < cell_count; i++)
		write_cell(out, &cells[i], i + 1 < cell_count ? "," : "");
	fprintf(out, "]\n");
	if (!fclose(out))
		return 0;
	perror(path);
	return 2;
}

/* Promises, each of a cell. */

static void name_cell(unsigned int i)
{
	printf("ring %u, %u bytes\n", cells[i].ring, cells[i].packet);
}

static bool within(unsigned int i, unsigned int policy, unsigned int base)
{
	return cells[i].results[policy].gbps >= 0.9 * cells[i].results[base].gbps;
}

static bool ours_like_off(unsigned int i)
{
	return cells[i].packet < 4096 || within(i, OURS, OFF);
}

static bool huge_like_off(unsigned int i)
{
	return within(i, OURS_HUGE, OFF);
}

static bool ours_one_read(unsigned int i)
{
	return cells[i].results[OURS].reads <= 1.1 * cells[i].results[OURS].misses &&
	       cells[i].results[OURS].reads <= 1.1 * cells[i].results[STATIC].reads;
}

static bool strict_loses(unsigned int i)
{
	return !within(i, STRICT, OFF);
}

static bool strict_reads_more(unsigned int i)
{
	return cells[i].results[STRICT].reads >= 1.2 * cells[i].results[OURS].reads &&
	       cells[i].results[STRICT].reads > cells[i].results[STRICT_LEAF].reads;
}

static bool ours_asks_less(unsigned int i)
{
	return cells[i].results[OURS].descriptors <= cells[i].results[STRICT].descriptors / 10;
}

static const struct {
	const char *text;
	bool (*holds)(unsigned int i);
} promises[] = {
	{ "ours, 4 KiB leaves: within 10 % of no translation from 4096 bytes on", ours_like_off },
	{ "ours, 2 MiB leaves: within 10 % of no translation at every size", huge_like_off },
	{ "ours: a miss costs one read, as memory that stays mapped (within 10 %)", ours_one_read },
	{ "ours: at most a tenth of strict's invalidations", ours_asks_less },
	{ "Linux strict: falls more than 10 % short of no translation", strict_loses },
	{ "Linux strict: a fifth more reads than ours, and more than leaf-only",
	  strict_reads_more },
};

static int run(const unsigned int *sizes, unsigned int size_count)
{
	for (unsigned int p = 0; study_policies[p]; p++)
		printf("%-12s %s\n", study_policies[p]->name, study_policies[p]->what);
	printf("\n packet   ring  policy          reads   misses   invals     Gb/s\n"
	       "  bytes                       /packet  /packet  /packet  predicted\n");
	for (unsigned int p = 0; p < sizeof(packets) / sizeof(packets[0]); p++)
		for (unsigned int r = 0; r < size_count; r++) {
			struct cell *cell = &cells[cell_count++];

			cell->ring = sizes[r];
			cell->packet = packets[p];
			if (measure(cell))
				return 2;
			print(cell);
		}
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	struct command command;
	int failed = 0;

	if (command_parse(argc, argv, "policy", &command))
		return 2;
	if (command.quick ? run(quick_rings, sizeof(quick_rings) / sizeof(quick_rings[0]))
			  : run(rings, sizeof(rings) / sizeof(rings[0])))
		return 2;
	if (command.json && write_json(command.json))
		return 2;
	for (unsigned int i = 0; i < sizeof(promises) / sizeof(promises[0]); i++)
		failed +=
			command_promise(promises[i].text, cell_count, promises[i].holds, name_cell);
	return failed ? 1 : 0;
}
