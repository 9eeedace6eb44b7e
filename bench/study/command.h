/* SPDX-License-Identifier: BSD-3-Clause */
/* What the study programs share: the command line, promises, the JSON of a curve. */
#ifndef BENCH_STUDY_COMMAND_H
#define BENCH_STUDY_COMMAND_H

#include <stdbool.h>

struct command {
	const char *json; /* file to write, or NULL */
	bool quick;
};

/* Return: 0, or 2 after a line on stderr. */
int command_parse(int argc, char **argv, const char *name, struct command *command);

/*
 * A promise over @count results: prints those that break it, by name(), and whether it holds.
 * Return: 0, or 1 it is broken.
 */
int command_promise(const char *text, unsigned int count, bool (*holds)(unsigned int index),
		    void (*name)(unsigned int index));

/* A point of a collapse curve. */
struct curve_point {
	const char *policy;
	unsigned int call_ns;
	unsigned int threads;
	double rate;  /* unmaps per second, of all threads */
	double calls; /* requests per unmap */
};

/* Return: 0, or 2 after a line on stderr. */
int curve_write(const char *path, const struct curve_point *points, unsigned int count);

#endif
