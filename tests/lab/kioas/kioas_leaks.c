// SPDX-License-Identifier: BSD-3-Clause
/* After all the other programs: kmemleak finds nothing that was allocated and forgotten. */
#include "../prog/lab_prog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

static void tell(const char *word)
{
	int fd = open(KMEMLEAK, O_WRONLY);

	if (fd < 0)
		lab_skip("the kernel has no kmemleak");
	if (write(fd, word, strlen(word)) < 0)
		FAIL("kmemleak is off (%m)");
	close(fd);
}

int main(void)
{
	char text[4096];
	ssize_t bytes;
	int fd;

	/* What is still on its way to be freed is young: only what stays is reported. */
	tell("scan");
	sleep(6);
	tell("scan");
	fd = open(KMEMLEAK, O_RDONLY);
	CHECK(fd >= 0);
	bytes = read(fd, text, sizeof(text));
	CHECK(bytes >= 0);
	if (bytes)
		FAIL("\n%.*s", (int)bytes, text);
	return 0;
}
