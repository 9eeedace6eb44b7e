/* SPDX-License-Identifier: BSD-3-Clause */
/* What the program tells its user: on stderr, a line at a time. */
#ifndef NVME_SAY_H
#define NVME_SAY_H

void nvme_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, for a failure. Return: @code, which is a negative errno. */
int nvme_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
