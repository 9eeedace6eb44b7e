/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Diagnostics: where a failure says what was wrong. One per context, shared by the backend under
 * it; the lowest layer, includes nothing of the project but the public types.
 *
 * Locking: text is guarded by its own mutex; the log callback is called without it.
 */
#ifndef ENGINE_DIAG_H
#define ENGINE_DIAG_H

#include <pthread.h>

#include <ioas/ctx.h>

#define DIAG_TEXT_BYTES 256

struct diag {
	pthread_mutex_t lock;
	char text[DIAG_TEXT_BYTES]; /* of the last failure */
	ioas_log_fn log;
	void *log_arg;
};

void diag_init(struct diag *diag, ioas_log_fn log, void *log_arg);

/* Log one line. */
void diag_log(struct diag *diag, enum ioas_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Record and log a failure; returns @code, so that a caller can `return diag_fail(...)`. */
int diag_fail(struct diag *diag, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
