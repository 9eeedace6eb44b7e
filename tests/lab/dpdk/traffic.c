/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire of two NICs of an emulated machine, on the host's side: two datagram sockets, a frame
 * each. What is sent to one NIC is to come back from the other, as it was.
 *
 *   traffic check COUNT SEED HOST0 QEMU0 HOST1 QEMU1    COUNT frames in each direction
 *   traffic say TEXT COUNT HOST0 QEMU0                  COUNT frames that hold TEXT again and again
 *
 * HOSTn and QEMUn are paths: sockets that this program and QEMU bind. A frame's length and every
 * byte of it follow from seed, direction and number. What does not come back is sent again; lost
 * are those that never came.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FRAME_LEAST    60
#define FRAME_MOST     1514
#define ETHERTYPE_TEST 0x88b5 /* IEEE 802: local experiments */
#define WINDOW	       128    /* frames of a direction on their way */
#define PATIENCE_MS    500    /* after which those are sent again */
#define GIVE_UP_MS     20000  /* nothing at all has come back */

struct header {
	uint8_t destination[6];
	uint8_t source[6];
	uint16_t type;
	uint16_t bytes;
	uint32_t direction;
	uint32_t number;
} __attribute__((packed));

struct direction {
	int to, from; /* sockets */
	uint32_t number;
	uint32_t count;
	uint32_t next;	  /* first that was never sent */
	uint32_t missing; /* first that has not come back */
	uint32_t resend;  /* where sending again goes on; none if >= next */
	uint64_t sent, checked, duplicates, reordered;
	uint32_t latest;
	bool *back;
};

static uint64_t corrupted;

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(sun.sun_path, path);
	return sun;
}

static int wire(const char *host, const char *qemu)
{
	struct sockaddr_un ours = address(host), theirs = address(qemu);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	unlink(host);
	if (fd < 0 || bind(fd, (struct sockaddr *)&ours, sizeof(ours)))
		die(host);
	if (connect(fd, (struct sockaddr *)&theirs, sizeof(theirs)))
		die(qemu);
	return fd;
}

/* splitmix64: a new word for each call. */
static uint64_t random_word(uint64_t *state)
{
	uint64_t word = *state += 0x9e3779b97f4a7c15;

	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
	word = (word ^ word >> 27) * 0x94d049bb133111eb;
	return word ^ word >> 31;
}

static size_t make_frame(uint64_t seed, uint32_t direction, uint32_t number,
			 uint8_t frame[static FRAME_MOST])
{
	uint64_t state = seed ^ (uint64_t)(direction + 1) << 32 ^ number;
	size_t bytes = FRAME_LEAST + random_word(&state) % (FRAME_MOST - FRAME_LEAST + 1);
	struct header header = {
		.destination = { 0x02, 0, 0, 0, 0, 1 },
		.source = { 0x02, 0, 0, 0, 0, 2 },
		.type = ETHERTYPE_TEST >> 8 | (ETHERTYPE_TEST & 0xff) << 8,
		.bytes = bytes,
		.direction = direction,
		.number = number,
	};

	for (size_t at = 0; at < bytes; at += sizeof(state)) {
		uint64_t word = random_word(&state);

		memcpy(frame + at, &word, bytes - at < sizeof(word) ? bytes - at : sizeof(word));
	}
	memcpy(frame, &header, sizeof(header));
	return bytes;
}

static void check_frame(struct direction *direction, uint64_t seed, const uint8_t *frame,
			size_t bytes)
{
	uint8_t wanted[FRAME_MOST];
	struct header header;

	memcpy(&header, frame, bytes < sizeof(header) ? bytes : sizeof(header));
	if (bytes < sizeof(header) || header.number >= direction->next ||
	    make_frame(seed, direction->number, header.number, wanted) != bytes ||
	    memcmp(frame, wanted, bytes)) {
		corrupted++;
		return;
	}
	direction->checked++;
	direction->reordered += header.number < direction->latest;
	direction->latest = header.number;
	direction->duplicates += direction->back[header.number];
	direction->back[header.number] = true;
	while (direction->missing < direction->next && direction->back[direction->missing])
		direction->missing++;
}

/* Return: was there anything? */
static bool receive_all(struct direction *direction, uint64_t seed)
{
	uint8_t frame[2 * FRAME_MOST];
	bool any = false;
	ssize_t bytes;

	while ((bytes = recv(direction->from, frame, sizeof(frame), 0)) >= 0) {
		check_frame(direction, seed, frame, bytes);
		any = true;
	}
	if (errno != EAGAIN)
		die("recv");
	return any;
}

/* Return: could it be sent? */
static bool send_one(struct direction *direction, uint64_t seed, uint32_t number)
{
	uint8_t frame[FRAME_MOST];
	size_t bytes = make_frame(seed, direction->number, number, frame);

	if (send(direction->to, frame, bytes, 0) < 0) {
		if (errno != EAGAIN)
			die("send");
		return false;
	}
	direction->sent++;
	return true;
}

static void send_some(struct direction *direction, uint64_t seed)
{
	for (; direction->resend < direction->next; direction->resend++)
		if (!direction->back[direction->resend] &&
		    !send_one(direction, seed, direction->resend))
			return;
	while (direction->next < direction->count &&
	       direction->next - direction->missing < WINDOW &&
	       send_one(direction, seed, direction->next)) {
		direction->next++;
		direction->resend = direction->next;
	}
}

static bool complete(const struct direction *directions)
{
	return directions[0].missing == directions[0].count &&
	       directions[1].missing == directions[1].count;
}

static void wait_for_frames(const struct direction *directions)
{
	struct pollfd fds[2];

	for (int i = 0; i < 2; i++) {
		const struct direction *out = &directions[i];
		bool more = out->resend < out->next ||
			    (out->next < out->count && out->next - out->missing < WINDOW);

		fds[i] = (struct pollfd){ .fd = out->to, .events = POLLIN | (more ? POLLOUT : 0) };
	}
	if (poll(fds, 2, 50) < 0)
		die("poll");
}

static int check(uint32_t count, uint64_t seed, int wire0, int wire1)
{
	struct direction directions[2] = {
		{ .to = wire0, .from = wire1, .number = 0, .count = count },
		{ .to = wire1, .from = wire0, .number = 1, .count = count },
	};
	const int64_t began = now_ms();
	uint64_t sent, checked;
	int64_t heard = began, patience = heard + PATIENCE_MS;

	for (int i = 0; i < 2; i++) {
		directions[i].back = calloc(count, sizeof(bool));
		if (!directions[i].back)
			die("memory");
	}
	while (!complete(directions) && now_ms() - heard < GIVE_UP_MS) {
		for (int i = 0; i < 2; i++)
			send_some(&directions[i], seed);
		wait_for_frames(directions);
		if (receive_all(&directions[0], seed) | receive_all(&directions[1], seed)) {
			heard = now_ms();
			patience = heard + PATIENCE_MS;
		} else if (now_ms() > patience) {
			for (int i = 0; i < 2; i++)
				directions[i].resend = directions[i].missing;
			patience = now_ms() + PATIENCE_MS;
		}
	}
	do /* what was sent twice may come back twice */
		usleep(PATIENCE_MS * 100);
	while (receive_all(&directions[0], seed) | receive_all(&directions[1], seed));
	sent = directions[0].sent + directions[1].sent;
	checked = directions[0].checked + directions[1].checked;
	printf("TRAFFIC complete=%d sent=%" PRIu64 " checked=%" PRIu64 " corrupted=%" PRIu64
	       " lost=%" PRIu64 " duplicates=%" PRIu64 " reordered=%" PRIu64 " ms=%" PRId64 "\n",
	       complete(directions), sent, checked, corrupted, sent - checked - corrupted,
	       directions[0].duplicates + directions[1].duplicates,
	       directions[0].reordered + directions[1].reordered, now_ms() - began);
	return complete(directions) && !corrupted ? 0 : 1;
}

static int say(const char *text, unsigned int count, int fd)
{
	uint8_t frame[FRAME_MOST];
	size_t length = strlen(text);
	struct pollfd ready = { .fd = fd, .events = POLLOUT };

	make_frame(0, 0, 0, frame);
	for (size_t at = sizeof(struct header); at < sizeof(frame); at++)
		frame[at] = text[(at - sizeof(struct header)) % length];
	while (count > 0) {
		if (send(fd, frame, sizeof(frame), 0) >= 0)
			count--;
		else if (errno != EAGAIN || poll(&ready, 1, 2000) != 1)
			die("send");
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 8 && !strcmp(argv[1], "check"))
		return check(strtoul(argv[2], NULL, 0), strtoull(argv[3], NULL, 0),
			     wire(argv[4], argv[5]), wire(argv[6], argv[7]));
	if (argc == 6 && !strcmp(argv[1], "say") && argv[2][0])
		return say(argv[2], strtoul(argv[3], NULL, 0), wire(argv[4], argv[5]));
	fprintf(stderr, "usage: traffic check COUNT SEED HOST0 QEMU0 HOST1 QEMU1 | "
			"say TEXT COUNT HOST QEMU\n");
	return 2;
}
