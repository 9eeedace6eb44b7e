/* SPDX-License-Identifier: BSD-3-Clause */
/* See fail_nth.h. */
#include "fail_nth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab_prog.h"

static int fail_nth = -1;

void fail_nth_open(void)
{
	fail_nth = open("/proc/self/fail-nth", O_RDWR);
	if (fail_nth < 0)
		lab_skip("the kernel cannot make allocations fail");
	CHECK(system("cd /sys/kernel/debug && "
		     "for kind in failslab fail_page_alloc fail_usercopy; do "
		     "	[ ! -d $kind ] || echo 0 >$kind/verbose; "
		     "	[ ! -f $kind/ignore-gfp-wait ] || echo N >$kind/ignore-gfp-wait; "
		     "	[ ! -f $kind/min-order ] || echo 0 >$kind/min-order; "
		     "done") == 0);
}

void fail_nth_begin(unsigned int nth)
{
	char text[16];

	CHECK(nth < FAIL_NTH_LIMIT);
	snprintf(text, sizeof(text), "%u", nth);
	CHECK(pwrite(fail_nth, text, strlen(text), 0) > 0);
}

bool fail_nth_end(void)
{
	char text[16];
	ssize_t got = pread(fail_nth, text, sizeof(text), 0);
	int error = errno;

	/* Where copies to user space count, too, this one may be the one that fails. */
	CHECK(got > 0 || error == EFAULT);
	while (pwrite(fail_nth, "0", 1, 0) != 1)
		CHECK(errno == EFAULT);
	/* What is left of the number says that nothing was made to fail. */
	return got > 0 && text[0] == '0';
}
