/* SPDX-License-Identifier: BSD-3-Clause */
/* What a figure depends on besides the code: cpu, kernel, mitigations, huge pages, load; pins. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_FACTS	 9
#define BENCH_FACT_BYTES 512

struct bench_fact {
	const char *name;
	char text[BENCH_FACT_BYTES];
};

void bench_machine_facts(struct bench_fact facts[BENCH_FACTS]);

/* How many cpus the program may use, as it was started. */
unsigned int bench_machine_cpus(void);

/* Keep the calling thread on the @index-th of them, or let it use all of them again. */
void bench_machine_pin(unsigned int index);
void bench_machine_unpin(void);

#ifdef __cplusplus
}
#endif
#endif
