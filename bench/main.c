/* SPDX-License-Identifier: BSD-3-Clause */
/* Command line of the benchmark program; bench/run builds it and starts it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "report.h"

static void usage(FILE *out)
{
	fprintf(out,
		"usage: bench/run [--json FILE] [--filter RE] [--repetitions N] [--quick]\n"
		"                 [--min-time SECONDS] [--only] [--list]\n"
		"  --json FILE      Google Benchmark's JSON, with this harness's counters\n"
		"  --filter RE      rows to run; what they are compared with runs as well\n"
		"  --only           without what they are compared with (for profiles)\n"
		"  --repetitions N  of each row, 1 to 64 [7]\n"
		"  --min-time S     seconds of one repetition [0.1]\n"
		"  --quick          3 repetitions of 0.02 s: shows that it works, not how fast\n"
		"  --list           print the names of the rows, run nothing\n");
}

static void print_machine(void)
{
	struct bench_fact facts[BENCH_FACTS];

	bench_machine_facts(facts);
	for (unsigned int i = 0; i < BENCH_FACTS; i++)
		printf("%-13s %s\n", facts[i].name, facts[i].text);
	fflush(stdout);
}

static int parse(int argc, char **argv, struct bench_options *options, bool *list)
{
	static const struct option words[] = {
		{ "json", required_argument, NULL, 'j' },
		{ "filter", required_argument, NULL, 'f' },
		{ "only", no_argument, NULL, 'o' },
		{ "repetitions", required_argument, NULL, 'r' },
		{ "min-time", required_argument, NULL, 'm' },
		{ "quick", no_argument, NULL, 'q' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int word;

	while ((word = getopt_long(argc, argv, "", words, NULL)) != -1) {
		switch (word) {
		case 'j':
			options->json = optarg;
			break;
		case 'f':
			options->filter = optarg;
			break;
		case 'o':
			options->only = true;
			break;
		case 'r':
			options->repetitions = atoi(optarg);
			break;
		case 'm':
			options->min_seconds = atof(optarg);
			break;
		case 'q':
			options->repetitions = 3;
			options->min_seconds = 0.02;
			break;
		case 'l':
			*list = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			return -1;
		}
	}
	if (optind < argc || options->repetitions < 1 || options->repetitions > BENCH_SAMPLES_MAX ||
	    !(options->min_seconds > 0))
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct bench_options options = { .repetitions = 7, .min_seconds = 0.1 };
	struct bench_report report;
	bool list = false;
	unsigned int failed;

	if (parse(argc, argv, &options, &list)) {
		usage(stderr);
		return 2;
	}
	if (bench_report_init(&report, &options))
		return 2;
	if (list) {
		for (size_t i = 0; i < report.count; i++)
			printf("%s\n", report.rows[i].name);
		bench_report_free(&report);
		return 0;
	}
	print_machine();
	if (bench_run_rows(&options, &report)) {
		bench_report_free(&report);
		return 2;
	}
	bench_report_print(&report);
	bench_figures_print(&report);
	failed = bench_report_errors(&report);
	bench_report_free(&report);
	return failed ? 1 : 0;
}
