/* SPDX-License-Identifier: BSD-3-Clause */
#include "diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ioas_log_stderr(void *arg, enum ioas_log_level level, const char *line)
{
	static const char *const names[] = { "error", "warning", "info" };

	(void)arg;
	if (level <= IOAS_LOG_INFO)
		fprintf(stderr, "ioas: %s: %s\n", names[level], line);
}

void diag_init(struct diag *diag, ioas_log_fn log, void *log_arg)
{
	memset(diag, 0, sizeof(*diag));
	pthread_mutex_init(&diag->lock, NULL);
	diag->log = log;
	diag->log_arg = log_arg;
}

void diag_log(struct diag *diag, enum ioas_log_level level, const char *format, ...)
{
	char line[DIAG_TEXT_BYTES];
	va_list args;

	if (!diag->log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	diag->log(diag->log_arg, level, line);
}

int diag_fail(struct diag *diag, int code, const char *format, ...)
{
	char line[DIAG_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);

	pthread_mutex_lock(&diag->lock);
	memcpy(diag->text, line, sizeof(line));
	pthread_mutex_unlock(&diag->lock);

	if (diag->log)
		diag->log(diag->log_arg, IOAS_LOG_ERROR, line);
	return code;
}
