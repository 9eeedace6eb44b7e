/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks that tell where and what, and end the test. */
#ifndef TESTS_DPDK_CHECK_H
#define TESTS_DPDK_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond, ...)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s: not true: ", __FILE__, __LINE__, #cond);       \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#endif
