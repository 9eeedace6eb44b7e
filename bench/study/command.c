/* SPDX-License-Identifier: BSD-3-Clause */
/* See command.h. */
#include "command.h"

#include <getopt.h>
#include <stdio.h>

int command_parse(int argc, char **argv, const char *name, struct command *command)
{
	static const struct option words[] = {
		{ "json", required_argument, NULL, 'j' },
		{ "quick", no_argument, NULL, 'q' },
		{ 0 },
	};
	bool wrong = false;
	int word;

	*command = (struct command){ 0 };
	while ((word = getopt_long(argc, argv, "", words, NULL)) != -1) {
		if (word == 'j')
			command->json = optarg;
		else if (word == 'q')
			command->quick = true;
		else
			wrong = true;
	}
	if (!wrong && optind == argc)
		return 0;
	fprintf(stderr, "usage: bench/%s [--json FILE] [--quick]\n", name);
	return 2;
}

int command_promise(const char *text, unsigned int count, bool (*holds)(unsigned int index),
		    void (*name)(unsigned int index))
{
	bool ok = true;

	for (unsigned int i = 0; i < count; i++)
		if (!holds(i)) {
			printf("  not at ");
			name(i);
			ok = false;
		}
	printf("%s: %s\n", ok ? "ok" : "FAIL", text);
	return !ok;
}

int curve_write(const char *path, const struct curve_point *points, unsigned int count)
{
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		return 2;
	}
	for (unsigned int i = 0; i < count; i++)
		fprintf(out,
			"%s  {\"policy\": \"%s\", \"call_ns\": %u, \"threads\": %u,"
			" \"unmaps_per_s\": %.1f, \"calls_per_unmap\": %.4f}",
			i ? ",\n" : "[\n", points[i].policy, points[i].call_ns, points[i].threads,
			points[i].rate, points[i].calls);
	fprintf(out, "\n]\n");
	if (!fclose(out))
		return 0;
	perror(path);
	return 2;
}
