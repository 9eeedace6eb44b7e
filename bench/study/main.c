/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The policy study as a program: a table, the same as JSON, and whether it is what was promised.
 * bench/policy builds it and starts it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int write_json(const char *path, const struct cell *cells, unsigned int count)
{
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		return -1;
	}
	fprintf(out, "[\n");
	for (unsigned int i = 0; i < count; i++)
		write_cell(out, &cells[i], i + 1 < count ? "," : "");
	fprintf(out, "]\n");
	return fclose(out);
}

/* One promise over all cells; prints the cells that break it. */
static int promise(const char *text, bool (*holds)(const struct cell *), const struct cell *cells,
		   unsigned int count)
{
	unsigned int broken = 0;

	for (unsigned int i = 0; i < count; i++)
		if (!holds(&cells[i])) {
			printf("  not at ring %u, %u bytes\n", cells[i].ring, cells[i].packet);
			broken++;
		}
	printf("%s: %s\n", broken ? "FAIL" : "ok", text);
	return broken ? 1 : 0;
}

static bool within(const struct cell *cell, unsigned int policy, unsigned int base)
{
	return cell->results[policy].gbps >= 0.9 * cell->results[base].gbps;
}

static bool ours_like_off(const struct cell *cell)
{
	return cell->packet < 4096 || within(cell, OURS, OFF);
}

static bool huge_like_off(const struct cell *cell)
{
	return within(cell, OURS_HUGE, OFF);
}

static bool ours_one_read(const struct cell *cell)
{
	return cell->results[OURS].reads <= 1.1 * cell->results[OURS].misses;
}

static bool strict_loses(const struct cell *cell)
{
	return !within(cell, STRICT, OFF);
}

static bool strict_reads_more(const struct cell *cell)
{
	return cell->results[STRICT].reads >= 1.2 * cell->results[OURS].reads &&
	       cell->results[STRICT].reads > cell->results[STRICT_LEAF].reads;
}

static bool ours_asks_less(const struct cell *cell)
{
	return cell->results[OURS].descriptors <= cell->results[STRICT].descriptors / 10;
}

static int judge(const struct cell *cells, unsigned int count)
{
	int failed = 0;

	failed += promise("ours, 4 KiB leaves: within 10 % of no translation from 4096 bytes on",
			  ours_like_off, cells, count);
	failed += promise("ours, 2 MiB leaves: within 10 % of no translation at every size",
			  huge_like_off, cells, count);
	failed += promise("ours: a miss costs one read (within 10 %)", ours_one_read, cells, count);
	failed += promise("ours: at most a tenth of strict's invalidations", ours_asks_less, cells,
			  count);
	failed += promise("Linux strict: falls more than 10 % short of no translation",
			  strict_loses, cells, count);
	failed += promise("Linux strict: a fifth more reads than ours, and more than leaf-only",
			  strict_reads_more, cells, count);
	return failed ? 1 : 0;
}

static int run(const unsigned int *sizes, unsigned int size_count, const char *json)
{
	struct cell cells[sizeof(rings) / sizeof(rings[0]) * sizeof(packets) / sizeof(packets[0])];
	unsigned int count = 0;

	for (unsigned int p = 0; study_policies[p]; p++)
		printf("%-12s %s\n", study_policies[p]->name, study_policies[p]->what);
	printf("\n packet   ring  policy          reads   misses   invals     Gb/s\n"
	       "  bytes                       /packet  /packet  /packet  predicted\n");
	for (unsigned int p = 0; p < sizeof(packets) / sizeof(packets[0]); p++)
		for (unsigned int r = 0; r < size_count; r++) {
			cells[count] = (struct cell){ .ring = sizes[r], .packet = packets[p] };
			if (measure(&cells[count]))
				return 2;
			print(&cells[count++]);
		}
	printf("\n");
	if (json && write_json(json, cells, count))
		return 2;
	return judge(cells, count);
}

int main(int argc, char **argv)
{
	static const struct option words[] = {
		{ "json", required_argument, NULL, 'j' },
		{ "quick", no_argument, NULL, 'q' },
		{ 0 },
	};
	const char *json = NULL;
	bool quick = false;
	int word;

	while ((word = getopt_long(argc, argv, "", words, NULL)) != -1) {
		if (word == 'j')
			json = optarg;
		else if (word == 'q')
			quick = true;
		else
			optind = argc + 1;
	}
	if (optind != argc) {
		fprintf(stderr, "usage: bench/policy [--json FILE] [--quick]\n");
		return 2;
	}
	return quick ? run(quick_rings, sizeof(quick_rings) / sizeof(quick_rings[0]), json)
		     : run(rings, sizeof(rings) / sizeof(rings[0]), json);
}
