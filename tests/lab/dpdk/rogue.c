/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver that forgot to stop its device. Runs in the guest beside dpdk-testpmd, on a NIC that it
 * drives, and keeps to what a bug in there could do:
 *
 *   rogue save PID ADDRESS FILE     keep the receive ring and its registers, while it is in use
 *   rogue arm PID ADDRESS FILE      give both back to the device, which goes on receiving; the
 *                                   buffers, by now, have been freed
 *   rogue look PID ADDRESS FILE TEXT    how many buffers of that ring hold TEXT? (LANDED N of M)
 *
 * The NIC is an e1000e. Its registers are those of resource0: the kernel must have been booted with
 * iomem=relaxed. Source: Intel 82574 datasheet 10.2.5 (registers), 7.1.4 (legacy descriptor).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RCTL	  0x100
#define RDBAL	  0x2800
#define RDBAH	  0x2804
#define RDLEN	  0x2808
#define RDH	  0x2810
#define RDT	  0x2818
#define BAR_BYTES 0x10000

/* A legacy descriptor. The device writes to @rest only. */
struct descriptor {
	uint64_t buffer;
	uint64_t rest;
};

#define DESCRIPTORS_MOST 4096

struct saved {
	uint64_t ring; /* IOVA, which is testpmd's virtual address */
	uint32_t bytes;
	uint32_t rctl;
	struct descriptor descriptors[DESCRIPTORS_MOST];
};

static void die(const char *what)
{
	fprintf(stderr, "rogue: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_below(const char *folder, const char *name, const char *file, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file);
	fd = open(path, flags);
	if (fd < 0)
		die(path);
	return fd;
}

static volatile uint32_t *map_registers(const char *address)
{
	int fd = open_below("/sys/bus/pci/devices", address, "resource0", O_RDWR);
	void *bar = mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (bar == MAP_FAILED)
		die("mmap of resource0");
	close(fd);
	return bar;
}

static void save(int memory, volatile uint32_t *bar, struct saved *saved)
{
	saved->ring = (uint64_t)bar[RDBAH / 4] << 32 | bar[RDBAL / 4];
	saved->bytes = bar[RDLEN / 4];
	saved->rctl = bar[RCTL / 4];
	if (!saved->bytes || saved->bytes > sizeof(saved->descriptors)) {
		errno = ERANGE;
		die("length of the ring");
	}
	if (pread(memory, saved->descriptors, saved->bytes, saved->ring) != saved->bytes)
		die("read of the ring");
}

static void arm(int memory, volatile uint32_t *bar, const struct saved *saved)
{
	if (pwrite(memory, saved->descriptors, saved->bytes, saved->ring) != saved->bytes)
		die("write of the ring");
	bar[RDBAL / 4] = saved->ring;
	bar[RDBAH / 4] = saved->ring >> 32;
	bar[RDLEN / 4] = saved->bytes;
	bar[RDH / 4] = 0;
	bar[RDT / 4] = saved->bytes / sizeof(struct descriptor) - 1;
	bar[RCTL / 4] = saved->rctl;
}

static void look(int memory, const struct saved *saved, const char *text)
{
	const unsigned int count = saved->bytes / sizeof(struct descriptor);
	unsigned int landed = 0;
	uint8_t buffer[2048];

	for (unsigned int i = 0; i < count; i++) {
		ssize_t got = pread(memory, buffer, sizeof(buffer), saved->descriptors[i].buffer);

		if (got != sizeof(buffer))
			die("read of a buffer");
		landed += memmem(buffer, got, text, strlen(text)) != NULL;
	}
	printf("LANDED %u of %u\n", landed, count);
}

int main(int argc, char **argv)
{
	static struct saved saved;
	volatile uint32_t *bar;
	int memory, file;

	if (argc < 5) {
		fprintf(stderr, "usage: rogue save|arm|look PID ADDRESS FILE [TEXT]\n");
		return 2;
	}
	memory = open_below("/proc", argv[2], "mem", O_RDWR);
	bar = map_registers(argv[3]);
	file = open(argv[4], O_RDWR | O_CREAT, 0600);
	if (file < 0)
		die(argv[4]);
	if (!strcmp(argv[1], "save")) {
		save(memory, bar, &saved);
		if (write(file, &saved, sizeof(saved)) != sizeof(saved))
			die(argv[4]);
		return 0;
	}
	if (read(file, &saved, sizeof(saved)) != sizeof(saved))
		die(argv[4]);
	if (!strcmp(argv[1], "arm"))
		arm(memory, bar, &saved);
	else if (argc == 6 && !strcmp(argv[1], "look"))
		look(memory, &saved, argv[5]);
	return 0;
}
