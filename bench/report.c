/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows: choosing them, statistics, the printed table. See report.h. */
#include "report.h"

#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bench_fail(struct bench_thread *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(t->error, sizeof(t->error), format, args);
	va_end(args);
	return -1;
}

static void row_name(char *name, const struct bench_case *spec, unsigned int threads)
{
	if (threads > 1 && !(spec->flags & BENCH_TOGETHER))
		snprintf(name, BENCH_NAME_BYTES, "%s/threads:%u", spec->name, threads);
	else
		snprintf(name, BENCH_NAME_BYTES, "%s", spec->name);
}

struct bench_row *bench_report_find(const struct bench_report *report, const char *name)
{
	for (size_t i = 0; name && i < report->count; i++)
		if (!strcmp(report->rows[i].name, name))
			return &report->rows[i];
	return NULL;
}

/* What a row is compared with at the same number of threads, else with one thread. */
static struct bench_row *find_beside(const struct bench_report *report, const char *name,
				     unsigned int threads)
{
	char full[BENCH_NAME_BYTES];
	struct bench_row *row;

	if (!name)
		return NULL;
	snprintf(full, sizeof(full), "%s/threads:%u", name, threads);
	row = bench_report_find(report, full);
	return row ? row : bench_report_find(report, name);
}

/* Every row that this build has. */
static int all_rows(struct bench_report *report)
{
	size_t count = 0;

	for (size_t i = 0; i < bench_table_count; i++)
		count += bench_tables[i]->count * BENCH_THREADS_MAX;
	report->rows = calloc(count ? count : 1, sizeof(*report->rows));
	if (!report->rows)
		return -1;
	for (size_t i = 0; i < bench_table_count; i++) {
		for (size_t j = 0; j < bench_tables[i]->count; j++) {
			const struct bench_case *spec = &bench_tables[i]->cases[j];
			unsigned int threads = 1;

			if (spec->flags & BENCH_TOGETHER)
				threads = spec->threads;
			do {
				struct bench_row *row = &report->rows[report->count++];

				row->spec = spec;
				row->threads = threads;
				row_name(row->name, spec, threads);
				threads *= 2;
			} while (threads <= spec->threads && threads <= BENCH_THREADS_MAX);
		}
	}
	return 0;
}

static void want(const struct bench_report *report, bool *wanted, const struct bench_row *row)
{
	size_t i;

	if (!row)
		return;
	i = row - report->rows;
	if (wanted[i])
		return;
	wanted[i] = true;
	want(report, wanted, bench_report_find(report, row->spec->name));
	want(report, wanted, find_beside(report, row->spec->floor, row->threads));
	want(report, wanted, find_beside(report, row->spec->peer, row->threads));
}

static int choose(struct bench_report *report, const struct bench_options *options, bool *wanted)
{
	const char *filter = options->filter;
	unsigned int matches = 0;
	regex_t regex;

	if (filter && regcomp(&regex, filter, REG_EXTENDED | REG_NOSUB)) {
		fprintf(stderr, "bench: --filter %s: not a regular expression\n", filter);
		return -1;
	}
	for (size_t i = 0; i < report->count; i++) {
		const struct bench_row *row = &report->rows[i];

		if (row->spec->flags & BENCH_HIDDEN) {
			if (!filter || strcmp(filter, row->name))
				continue;
		} else if (filter && regexec(&regex, row->name, 0, NULL, 0)) {
			continue;
		}
		if (options->only)
			wanted[i] = true;
		else
			want(report, wanted, row);
		matches++;
	}
	if (filter)
		regfree(&regex);
	if (!matches) {
		fprintf(stderr, "bench: --filter %s: no row matches\n", filter ? filter : "");
		return -1;
	}
	if (!options->only)
		want(report, wanted, bench_report_find(report, BENCH_HARNESS_ROW));
	return 0;
}

int bench_report_init(struct bench_report *report, const struct bench_options *options)
{
	size_t kept = 0;
	bool *wanted;
	int ret;

	memset(report, 0, sizeof(*report));
	if (all_rows(report))
		return -1;
	wanted = calloc(report->count + 1, sizeof(*wanted));
	ret = wanted ? choose(report, options, wanted) : -1;
	for (size_t i = 0; !ret && i < report->count; i++)
		if (wanted[i])
			report->rows[kept++] = report->rows[i];
	report->count = kept;
	free(wanted);
	return ret;
}

void bench_report_free(struct bench_report *report)
{
	free(report->rows);
	memset(report, 0, sizeof(*report));
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned int count)
{
	qsort(values, count, sizeof(*values), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

struct bench_stat bench_stat_of(const double *values, unsigned int count)
{
	double sorted[BENCH_SAMPLES_MAX];
	struct bench_stat stat = { 0 };

	if (!count || count > BENCH_SAMPLES_MAX)
		return stat;
	memcpy(sorted, values, count * sizeof(*values));
	stat.median = median(sorted, count);
	stat.min = sorted[0];
	for (unsigned int i = 0; i < count; i++)
		sorted[i] =
			values[i] > stat.median ? values[i] - stat.median : stat.median - values[i];
	stat.mad = median(sorted, count);
	return stat;
}

/* Floors are quoted as they are: a loop around one store is not a loop and then a store. */
double bench_row_harness_ns(const struct bench_report *report, const struct bench_row *row)
{
	return row->spec->role == BENCH_FLOOR ? 0 : report->harness_ns / row->spec->units;
}

static void finish_row(struct bench_row *row, double harness_ns)
{
	double values[BENCH_SAMPLES_MAX];

	for (unsigned int i = 0; i < row->sample_count; i++)
		values[i] = row->samples[i].ns - harness_ns;
	row->ns = bench_stat_of(values, row->sample_count);
	for (unsigned int i = 0; i < row->sample_count; i++)
		values[i] = row->samples[i].wall_ns;
	row->wall_ns = bench_stat_of(values, row->sample_count);
	for (unsigned int c = 0; c < BENCH_COUNTERS_MAX && row->spec->counters[c]; c++) {
		for (unsigned int i = 0; i < row->sample_count; i++)
			values[i] = row->samples[i].counters[c];
		row->counters[c] = bench_stat_of(values, row->sample_count);
	}
}

void bench_report_finish(struct bench_report *report)
{
	struct bench_row *harness = bench_report_find(report, BENCH_HARNESS_ROW);

	if (harness) {
		finish_row(harness, 0);
		report->harness_ns = harness->ns.min;
	}
	for (size_t i = 0; i < report->count; i++) {
		struct bench_row *row = &report->rows[i];

		finish_row(row, bench_row_harness_ns(report, row));
		row->floor = find_beside(report, row->spec->floor, row->threads);
		row->peer = find_beside(report, row->spec->peer, row->threads);
	}
}

double bench_row_scaling(const struct bench_report *report, const struct bench_row *row)
{
	const struct bench_row *one = bench_report_find(report, row->spec->name);

	if (!one || one->ns.median <= 0 || row->ns.median <= 0)
		return 0;
	return row->threads * one->ns.median / row->ns.median;
}

double bench_row_counter(const struct bench_row *row, const char *name)
{
	for (unsigned int c = 0; c < BENCH_COUNTERS_MAX && row->spec->counters[c]; c++)
		if (!strcmp(row->spec->counters[c], name))
			return row->sample_count ? row->counters[c].median : -1;
	return -1;
}

static void print_beside(const struct bench_row *row, const struct bench_row *beside)
{
	if (!beside || !beside->sample_count || row->ns.median <= 0 || beside->ns.median <= 0)
		printf(" %9s %7s", "-", "-");
	else
		printf(" %9.2f %7.2f", beside->ns.median, row->ns.median / beside->ns.median);
}

static void print_row(const struct bench_row *row)
{
	double crossings = bench_row_counter(row, "crossings");

	printf("%-46s", row->name);
	if (row->failed || !row->sample_count) {
		printf(" FAILED\n");
		return;
	}
	printf(" %9.2f %9.2f %6.1f", row->ns.median, row->ns.min,
	       row->ns.median > 0 ? 100 * row->ns.mad / row->ns.median : 0);
	print_beside(row, row->floor);
	print_beside(row, row->peer);
	if (crossings >= 0)
		printf(" %9.5f", crossings);
	else
		printf(" %9s", "-");
	printf("  %s\n", row->spec->unit);
}

static void print_role(const struct bench_report *report, enum bench_role role, const char *title)
{
	bool any = false;

	for (size_t i = 0; i < report->count; i++) {
		const struct bench_row *row = &report->rows[i];

		if (row->spec->role != role)
			continue;
		if (!any)
			printf("%s\n", title);
		any = true;
		print_row(row);
	}
}

static void print_scaling(const struct bench_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct bench_row *row = &report->rows[i];
		double scaling = bench_row_scaling(report, row);

		if (row->threads > 1 && scaling > 0)
			printf("scaling %uT/1T  %-46s %5.2f x\n", row->threads, row->spec->name,
			       scaling);
	}
}

void bench_report_print(const struct bench_report *report)
{
	printf("\nns per unit and thread, median of the repetitions; mad%% = median distance from it; "
	       "x = ours / the column before\n");
	printf("%-46s %9s %9s %6s %9s %7s %9s %7s %9s  %s\n", "row", "ns", "min", "mad%", "floor",
	       "x", "peer", "x", "calls", "unit");
	print_role(report, BENCH_FLOOR, "floors");
	print_role(report, BENCH_PEER, "peers");
	print_role(report, BENCH_OURS, "ours");
	printf("\n");
	print_scaling(report);
}

unsigned int bench_report_errors(const struct bench_report *report)
{
	unsigned int failed = 0;

	fflush(stdout);
	for (size_t i = 0; i < report->count; i++) {
		const struct bench_row *row = &report->rows[i];

		if (!row->failed && row->sample_count)
			continue;
		fprintf(stderr, "bench: %s: %s\n", row->name,
			row->failed ? row->error : "was not measured");
		failed++;
	}
	return failed;
}
