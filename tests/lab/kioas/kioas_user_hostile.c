// SPDX-License-Identifier: BSD-3-Clause
/*
 * Tables that mean harm: entries that no format allows, that point outside of the parent or to
 * themselves, and that change while they are read. What they do not do is the promise: translate,
 * keep the kernel busy, or stay behind.
 */
#include "user_table.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IOVA	0x40201000UL /* in element 1 of each of the lower tables */
#define OUTSIDE (DATA_ADDRESS + DATA_BYTES)
#define LIMIT	"/sys/module/kioas/parameters/shadow_limit"

/* A word at a level of an otherwise well-formed way to IOVA, and why it is refused. */
struct hostile {
	enum ioasid_format format;
	unsigned int levels;
	unsigned int level;
	uint64_t word;
	enum ioasid_event_reason reason;
};

#define X86    IOASID_FORMAT_X86_64_L4, 4
#define VTDSS  IOASID_FORMAT_VTDSS_L4, 4
#define ARM    IOASID_FORMAT_ARM64_S1_4K, 4
#define AMD    IOASID_FORMAT_AMDV1_L4, 4
#define RISCV  IOASID_FORMAT_RISCV_SV39, 3
#define BIT(n) (1UL << (n))

static const struct hostile hostile[] = {
	{ X86, 0, DATA_ADDRESS | 3, IOASID_REASON_PROTECTION },		 /* for supervisors */
	{ X86, 1, (DATA_ADDRESS + PAGE) | 7, IOASID_REASON_PROTECTION }, /* a table of data */
	{ X86, 1, OUTSIDE | 7, IOASID_REASON_PARENT },
	{ X86, 1, BIT(51) | 7, IOASID_REASON_PARENT },
	{ X86, 1, (DATA_ADDRESS + 2 * PAGE) | 0x87, IOASID_REASON_RESERVED },
	{ X86, 3, DATA_ADDRESS | 0x87, IOASID_REASON_RESERVED },
	{ VTDSS, 1, (DATA_ADDRESS + PAGE) | 0x83, IOASID_REASON_RESERVED },
	{ VTDSS, 3, DATA_ADDRESS | 0x83, IOASID_REASON_RESERVED },
	{ VTDSS, 2, OUTSIDE | 3, IOASID_REASON_PARENT },
	{ ARM, 0, DATA_ADDRESS | BIT(10) | BIT(6) | 1, IOASID_REASON_RESERVED },
	{ ARM, 0, DATA_ADDRESS | BIT(6) | 3, IOASID_REASON_PROTECTION }, /* not accessed */
	{ ARM, 0, DATA_ADDRESS | BIT(10) | 3, IOASID_REASON_PROTECTION },
	{ ARM, 1, (DATA_ADDRESS + PAGE) | BIT(10) | BIT(6) | 1, IOASID_REASON_RESERVED },
	{ ARM, 3, BIT(10) | BIT(6) | 1, IOASID_REASON_RESERVED },
	{ AMD, 0, DATA_ADDRESS | BIT(61) | BIT(52) | 1, IOASID_REASON_RESERVED },
	{ AMD, 0, DATA_ADDRESS | 1, IOASID_REASON_PROTECTION },
	{ AMD, 2, TABLES_ADDRESS | BIT(61) | 1 << 9 | 1, IOASID_REASON_RESERVED }, /* skips one */
	{ AMD, 1, DATA_ADDRESS | BIT(61) | 7 << 9 | 1, IOASID_REASON_RESERVED },
	{ RISCV, 0, DATA_ADDRESS >> 2 | 0xd5, IOASID_REASON_RESERVED }, /* W without R */
	{ RISCV, 0, DATA_ADDRESS >> 2 | BIT(63) | 0xd7, IOASID_REASON_RESERVED },
	{ RISCV, 0, DATA_ADDRESS >> 2 | BIT(54) | 0xd7, IOASID_REASON_RESERVED },
	{ RISCV, 0, DATA_ADDRESS >> 2 | 0x97, IOASID_REASON_PROTECTION }, /* not accessed */
	{ RISCV, 0, DATA_ADDRESS >> 2 | 1, IOASID_REASON_RESERVED },	  /* a table below pages */
	{ RISCV, 1, DATA_ADDRESS >> 2 | 0x11, IOASID_REASON_RESERVED },	  /* a user's table */
	{ RISCV, 1, (DATA_ADDRESS + PAGE) >> 2 | 0xd7, IOASID_REASON_RESERVED },
};

static uint64_t table_word(enum ioasid_format format, unsigned int level, uint64_t address)
{
	switch (format) {
	case IOASID_FORMAT_VTDSS_L4:
	case IOASID_FORMAT_ARM64_S1_4K:
		return address | 3;
	case IOASID_FORMAT_AMDV1_L4:
		return address | BIT(62) | BIT(61) | (uint64_t)level << 9 | 1;
	case IOASID_FORMAT_RISCV_SV39:
		return address >> 2 | 1;
	default:
		return address | 7;
	}
}

static unsigned int index_of(uint64_t iova, unsigned int level)
{
	return iova >> (12 + 9 * level) & 511;
}

/* The tables of one case lie behind each other, the root's first. */
static uint64_t *table_at(struct user_table *memory, unsigned int number)
{
	return (uint64_t *)(memory->tables + TABLES_BYTES / 2 + number * PAGE);
}

static uint64_t table_address(unsigned int number)
{
	return TABLES_ADDRESS + TABLES_BYTES / 2 + number * PAGE;
}

static void write_way(struct user_table *memory, const struct hostile *hostile, uint64_t word)
{
	unsigned int level = hostile->levels - 1, number = 0;

	for (unsigned int i = 0; i < 4; i++)
		memset(table_at(memory, i), 0, PAGE);
	for (; level > hostile->level; level--, number++)
		table_at(memory, number)[index_of(IOVA, level)] =
			table_word(hostile->format, level, table_address(number + 1));
	table_at(memory, number)[index_of(IOVA, level)] = word;
}

/* What was reported first since the last time; the rest is forgotten. */
static struct ioasid_event_record first_event(int fd)
{
	struct ioasid_event_record first = {}, record;
	bool seen = false;

	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	while (read(fd, &record, sizeof(record)) == sizeof(record)) {
		if (!seen)
			first = record;
		seen = true;
	}
	CHECK(errno == EAGAIN);
	return first;
}

static void check_refused(struct kioas_lab *lab, struct user_table *memory,
			  const struct hostile *hostile)
{
	const uint64_t base = IOVA & ~(BIT(12 + 9 * hostile->level) - 1);
	struct ioasid_event_record event;
	struct ioasid_lookup found;
	uint32_t space;

	printf("    format %u, level %u, 0x%016lx\n", hostile->format, hostile->level,
	       hostile->word);
	write_way(memory, hostile, 0);
	first_event(lab->fd);
	CHECK(kioas_alloc_user(lab->fd, hostile->format, memory->parent, table_address(0),
			       &space) == 0);
	CHECK(first_event(lab->fd).event == 0);
	write_way(memory, hostile, hostile->word);
	CHECK(kioas_invalidate_range(lab->fd, space, IOVA, PAGE) == 0);
	event = first_event(lab->fd);
	CHECK(event.event == IOASID_EVENT_TABLE && event.ioasid == space);
	CHECK(event.reason == hostile->reason);
	CHECK(event.address >= base && event.address <= IOVA);
	CHECK(kioas_lookup(lab->fd, space, IOVA, &found) == -ENOENT);
	CHECK(kioas_free(lab->fd, space) == 0);
}

/* What the parent does not map, or the device cannot use, is there for no device. */
static void check_outside(struct kioas_lab *lab, struct user_table *memory)
{
	const struct hostile page = { X86, 0, 0, 0 };
	struct ioasid_event_record event;
	uint32_t space;

	lab_step("a page outside of the parent is reported, and comes when the parent has it");
	write_way(memory, &page, OUTSIDE | 7);
	CHECK(kioas_alloc_user(lab->fd, page.format, memory->parent, table_address(0), &space) ==
	      0);
	event = first_event(lab->fd);
	CHECK(event.event == IOASID_EVENT_TABLE && event.reason == IOASID_REASON_PARENT);
	CHECK(event.address == IOVA);
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == 0);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA, memory->data));
	CHECK(kioas_map_one(lab->fd, memory->parent, OUTSIDE, memory->data, PAGE, RW) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA, memory->data));
	CHECK(kioas_unmap_one(lab->fd, memory->parent, OUTSIDE, PAGE) == 0);
	CHECK(!edu_reaches(&lab->edu, IOVA, memory->data));

	lab_step("a table is not written through itself");
	write_way(memory, &page, table_address(3) | 7);
	CHECK(kioas_invalidate_all(lab->fd, space) == 0);
	edu_write_memory(&lab->edu, IOVA, EDU_TRANSFER_BYTES);
	CHECK(table_at(memory, 3)[index_of(IOVA, 0)] == (table_address(3) | 7));

	lab_step("an IOVA that the device cannot use");
	table_at(memory, 0)[2] = table_at(memory, 0)[0];
	first_event(lab->fd);
	CHECK(kioas_invalidate_all(lab->fd, space) == 0);
	event = first_event(lab->fd);
	CHECK(event.reason == IOASID_REASON_RANGE && event.address == (2UL << 39 | IOVA));
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	CHECK(kioas_free(lab->fd, space) == 0);
}

static void set_limit(uint64_t limit)
{
	char command[96];

	snprintf(command, sizeof(command), "echo %lu >" LIMIT, limit);
	lab_run(command);
}

static void write_endless(struct user_table *memory)
{
	for (unsigned int i = 0; i < 512; i++)
		table_at(memory, 0)[i] = table_word(IOASID_FORMAT_X86_64_L4, 0, table_address(0));
}

/* Tables that contain themselves: once, and all over. */
static void check_recursion(struct kioas_lab *lab, struct user_table *memory)
{
	const uint64_t limit = lab_read_number(LIMIT);
	struct ioasid_lookup found;
	uint32_t space;

	lab_step("a table that contains itself once is a small table");
	memset(table_at(memory, 0), 0, PAGE);
	CHECK(kioas_alloc_user(lab->fd, IOASID_FORMAT_X86_64_L4, memory->parent, table_address(0),
			       &space) == 0);
	table_at(memory, 0)[1] = table_address(0) | 7;
	CHECK(kioas_invalidate_all(lab->fd, space) == 0);
	CHECK(kioas_lookup(lab->fd, space, BIT(39) | BIT(30) | BIT(21) | BIT(12), &found) == 0);
	CHECK(found.out_address == table_address(0) &&
	      found.out_last == found.out_start + PAGE - 1);

	lab_step("one that does so everywhere is refused, and translates nothing");
	set_limit(1000);
	write_endless(memory);
	CHECK(kioas_invalidate_all(lab->fd, space) == -ENOMEM);
	kioas_check_why(lab->fd, ENOMEM, IOASID_INVALIDATE_CACHE, "ioasid", 0);
	CHECK(kioas_lookup(lab->fd, space, BIT(39) | BIT(30) | BIT(21) | BIT(12), &found) ==
	      -ENOENT);
	CHECK(kioas_attach(lab->fd, lab->dev_id, space) == -ENOMEM);
	lab_step("a part of it that is not too large can be read");
	CHECK(kioas_invalidate_range(lab->fd, space, 0, 100 * PAGE) == 0);
	CHECK(kioas_lookup(lab->fd, space, 99 * PAGE, &found) == 0);
	CHECK(kioas_lookup(lab->fd, space, 100 * PAGE, &found) == -ENOENT);
	set_limit(limit);
	CHECK(kioas_free(lab->fd, space) == 0);
}

/* Table pages that another thread fills with words that often mean something */
struct scribble {
	struct user_table *table;
	atomic_bool stop;
};

static void *scribble(void *argument)
{
	struct scribble *scribble = argument;
	struct user_table *table = scribble->table;
	volatile uint64_t *words = (uint64_t *)table->tables;
	uint64_t state = 88172645463325252;

	while (!scribble->stop) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		words[(state >> 40) % (table->used / 8)] =
			state % 3 == 0	 ? 0
			: state % 3 == 1 ? ((state >> 20) % 2 ? DATA_ADDRESS : TABLES_ADDRESS) |
						   (state >> 8 & 0xff) << 12 | (state & 0x87)
					 : state;
	}
	return NULL;
}

static void check_scribble(struct kioas_lab *lab)
{
	static uint8_t copy[TABLES_BYTES];
	const uint64_t limit = lab_read_number(LIMIT);
	struct user_table table;
	struct scribble state = { .table = &table };
	unsigned int done = 0;
	pthread_t thread;
	int ret;

	lab_step("a table that changes while it is read");
	user_table_open(&table, lab->fd, IOASID_FORMAT_X86_64_L4);
	for (unsigned int i = 0; i < 64; i++)
		user_table_map(&table, IOVA + i * PAGE, PAGE, i * PAGE, RW);
	memcpy(copy, table.tables, TABLES_BYTES);
	CHECK(kioas_attach(lab->fd, lab->dev_id, table.space) == 0);
	set_limit(5000);
	CHECK(pthread_create(&thread, NULL, scribble, &state) == 0);
	for (unsigned int i = 0; i < 200; i++) {
		ret = i % 4 ? kioas_invalidate_range(lab->fd, table.space, IOVA, 64 * PAGE)
			    : kioas_invalidate_all(lab->fd, table.space);
		CHECK(!ret || ret == -ENOMEM);
		done += !ret;
	}
	state.stop = true;
	CHECK(pthread_join(thread, NULL) == 0);
	printf("    %u of 200 invalidations succeeded\n", done);
	set_limit(limit);
	memcpy(table.tables, copy, TABLES_BYTES);
	CHECK(kioas_invalidate_all(lab->fd, table.space) == 0);
	for (unsigned int i = 0; i < 64; i++)
		user_table_check(&table, lab->fd, IOVA + i * PAGE);
	CHECK(kioas_control(lab->fd, lab->dev_id, IOASID_DEVICE_MASTER_ON) == 0);
	CHECK(edu_reaches(&lab->edu, IOVA, table.data));
	CHECK(kioas_detach(lab->fd, lab->dev_id) == 0);
	user_table_close(&table, lab->fd);
}

static _Noreturn void victim(void)
{
	int fd = kioas_open();
	struct user_table memory;
	uint32_t space;

	user_table_open(&memory, fd, IOASID_FORMAT_X86_64_L4);
	CHECK(kioas_alloc_user(fd, IOASID_FORMAT_X86_64_L4, memory.parent, table_address(0),
			       &space) == 0);
	write_endless(&memory);
	for (;;)
		kioas_invalidate_all(fd, space);
}

static void check_kill(void)
{
	const struct timespec pause = { .tv_nsec = 500000000 };
	struct timespec begin, end;
	pid_t child;

	lab_step("who reads an endless table can be killed");
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child)
		victim();
	nanosleep(&pause, NULL);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, NULL, 0) == child);
	clock_gettime(CLOCK_MONOTONIC, &end);
	CHECK(end.tv_sec - begin.tv_sec < 20);
}

int main(void)
{
	const uint64_t pins = lab_pins();
	struct user_table memory;
	struct kioas_lab lab;

	kioas_lab_open(&lab);
	user_table_open(&memory, lab.fd, IOASID_FORMAT_X86_64_L4);
	lab_step("entries that no IOMMU would take");
	/* Read as a table, these give no rights to anybody. */
	for (size_t i = 0; i < PAGE / 8; i++)
		((uint64_t *)(memory.data + PAGE))[i] = DATA_ADDRESS | 1;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
		check_refused(&lab, &memory, &hostile[i]);
	check_outside(&lab, &memory);
	check_recursion(&lab, &memory);
	user_table_close(&memory, lab.fd);
	check_scribble(&lab);
	kioas_lab_close(&lab);
	check_kill();
	CHECK(lab_pins() == pins);
	return 0;
}
