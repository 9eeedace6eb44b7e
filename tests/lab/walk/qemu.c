// SPDX-License-Identifier: BSD-3-Clause
/* See qemu.h. */
#include "qemu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define LINE_MAX_BYTES 128

static void gone(void)
{
	printf("# QEMU has gone\n");
	exit(1);
}

void qemu_stands(const char *what)
{
	printf("# QEMU stands still: %s for %d s\n", what, QEMU_PATIENCE_S);
	exit(QEMU_STANDS);
}

static void send_all(struct qemu *qemu)
{
	size_t sent = 0;

	while (sent < qemu->out_bytes) {
		ssize_t n = send(qemu->fd, qemu->out + sent, qemu->out_bytes - sent, MSG_NOSIGNAL);

		if (n <= 0)
			gone();
		sent += n;
	}
	qemu->out_bytes = 0;
}

static char next_byte(struct qemu *qemu)
{
	if (qemu->in_at == qemu->in_bytes) {
		ssize_t n = recv(qemu->fd, qemu->in, sizeof(qemu->in), 0);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			qemu_stands("no answer");
		if (n <= 0)
			gone();
		qemu->in_bytes = n;
		qemu->in_at = 0;
	}
	return qemu->in[qemu->in_at++];
}

/* Every command is answered by one line: OK, perhaps with a value. */
static uint64_t answer(struct qemu *qemu)
{
	char line[LINE_MAX_BYTES];
	size_t length = 0;
	char c;

	while ((c = next_byte(qemu)) != '\n')
		if (length < sizeof(line) - 1)
			line[length++] = c;
	line[length] = '\0';
	if (strncmp(line, "OK", 2)) {
		printf("# QEMU answers: %s\n", line);
		exit(1);
	}
	qemu->unanswered--;
	return strtoull(line + 2, NULL, 0);
}

static uint64_t last_answer(struct qemu *qemu)
{
	uint64_t value = 0;

	send_all(qemu);
	while (qemu->unanswered)
		value = answer(qemu);
	return value;
}

static __attribute__((format(printf, 2, 3))) void command(struct qemu *qemu, const char *text, ...)
{
	va_list args;

	if (sizeof(qemu->out) - qemu->out_bytes < LINE_MAX_BYTES)
		last_answer(qemu);
	va_start(args, text);
	qemu->out_bytes += vsnprintf(qemu->out + qemu->out_bytes, LINE_MAX_BYTES, text, args);
	va_end(args);
	qemu->unanswered++;
}

void qemu_open(struct qemu *qemu, int fd)
{
	const struct timeval patience = { .tv_sec = QEMU_PATIENCE_S };

	memset(qemu, 0, sizeof(*qemu));
	qemu->fd = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) {
		perror("SO_RCVTIMEO");
		exit(1);
	}
}

void qemu_write32(struct qemu *qemu, uint64_t addr, uint32_t value)
{
	command(qemu, "writel 0x%" PRIx64 " 0x%" PRIx32 "\n", addr, value);
}

void qemu_write64(struct qemu *qemu, uint64_t addr, uint64_t value)
{
	command(qemu, "writeq 0x%" PRIx64 " 0x%" PRIx64 "\n", addr, value);
}

uint32_t qemu_read32(struct qemu *qemu, uint64_t addr)
{
	command(qemu, "readl 0x%" PRIx64 "\n", addr);
	return last_answer(qemu);
}

uint64_t qemu_read64(struct qemu *qemu, uint64_t addr)
{
	command(qemu, "readq 0x%" PRIx64 "\n", addr);
	return last_answer(qemu);
}

void qemu_out32(struct qemu *qemu, uint16_t port, uint32_t value)
{
	command(qemu, "outl 0x%x 0x%" PRIx32 "\n", port, value);
}
