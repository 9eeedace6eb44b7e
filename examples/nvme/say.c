/* SPDX-License-Identifier: BSD-3-Clause */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void print(const char *format, va_list args, const char *end)
{
	char line[1024];

	vsnprintf(line, sizeof(line), format, args);
	fprintf(stderr, "nvme: %s%s\n", line, end);
}

void nvme_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(format, args, "");
	va_end(args);
}

int nvme_fail(int code, const char *format, ...)
{
	char end[64];
	va_list args;

	snprintf(end, sizeof(end), " (%s)", strerror(-code));
	va_start(args, format);
	print(format, args, end);
	va_end(args);
	return code;
}
