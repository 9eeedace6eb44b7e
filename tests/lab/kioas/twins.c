// SPDX-License-Identifier: BSD-3-Clause
/* See twins.h. */
#include "twins.h"

#include "kioas_lab.h"

#include <sys/mman.h>
#include <unistd.h>

void *map_at(uint8_t *address, size_t bytes, int prot, int flags, int fd)
{
	void *at = mmap(address, bytes, prot, flags | MAP_FIXED, fd, 0);

	CHECK(at == address);
	return at;
}

void *map_anonymous(uint8_t *address, size_t bytes, int flags)
{
	return map_at(address, bytes, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1);
}

struct twins twins_open(void)
{
	struct twins twins = { .fd = memfd_create("twins", MFD_CLOEXEC) };

	CHECK(twins.fd >= 0 && ftruncate(twins.fd, PAGE) == 0);
	twins.view = mmap(NULL, PAGE, PROT_RW, MAP_SHARED, twins.fd, 0);
	CHECK(twins.view != MAP_FAILED);
	return twins;
}

void twins_close(struct twins *twins)
{
	CHECK(munmap(twins->view, PAGE) == 0);
	close(twins->fd);
}

void twins_map(const struct twins *twins, uint8_t *address)
{
	map_at(address, PAGE, PROT_RW, MAP_SHARED, twins->fd);
}
