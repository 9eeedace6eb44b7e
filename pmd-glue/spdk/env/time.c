/* SPDX-License-Identifier: BSD-3-Clause */
/* Ticks are nanoseconds of the monotonic clock: nothing to calibrate, the same on each processor.
 */
#include "ioas_env.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_US 1000

uint64_t spdk_get_ticks(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

uint64_t spdk_get_ticks_hz(void)
{
	return NS_PER_S;
}

void spdk_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void spdk_delay_us(unsigned int us)
{
	const uint64_t end = spdk_get_ticks() + (uint64_t)us * NS_PER_US;

	while (spdk_get_ticks() < end)
		spdk_pause();
}

int spdk_get_tid(void)
{
	return syscall(SYS_gettid);
}
