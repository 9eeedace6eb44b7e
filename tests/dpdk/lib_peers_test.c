/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Secondary processes: they see what is mapped and cannot change the table; ask for maps; end in
 * good order or not; and outlive the primary.
 *
 * The primary executes this program again as a secondary, with one part of a case. They take turns
 * over a socket pair, a byte each; addresses are passed in a memzone. A secondary that fails ends
 * with a message, and its primary notices.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_malloc.h>
#include <rte_memzone.h>

#include "lib_rig.h"

#define MIB	(UINT64_C(1) << 20)
#define TURN_FD 9 /* a secondary's end of the pair */

static char **arguments;
static int turn_fd;

struct board {
	char *block; /* memory of EAL */
	uint64_t iova;
};

static struct board *board;

/* Taking turns. */

static void give_turn(void)
{
	CHECK(write(turn_fd, "x", 1) == 1, "the other process is gone");
}

static void await_turn(void)
{
	char byte;

	CHECK(read(turn_fd, &byte, 1) == 1, "the other process is gone");
}

static pid_t start_secondary(const char *part)
{
	char *line[64] = { arguments[0], (char *)part };
	unsigned int count = 2;
	int ends[2];
	pid_t pid;

	for (char **at = arguments + 2; *at != NULL; at++)
		line[count++] = *at;
	line[count++] = "--proc-type=secondary";
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "pair");
	pid = fork();
	CHECK(pid >= 0, "fork");
	if (pid == 0) {
		dup2(ends[1], TURN_FD);
		execv("/proc/self/exe", line);
		_exit(127);
	}
	close(ends[1]);
	turn_fd = ends[0];
	return pid;
}

static void end_secondary(pid_t pid, int signal)
{
	int status;

	if (signal != 0)
		kill(pid, signal);
	CHECK(waitpid(pid, &status, 0) == pid, "wait");
	if (signal != 0)
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal, "status 0x%x", status);
	else
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
	close(turn_fd);
}

static void wait_secondaries(struct ioas_dpdk *glue, unsigned int count)
{
	for (unsigned int i = 0; i < 3000 && rig_stats(glue).secondaries != count; i++)
		usleep(1000);
	CHECK(rig_stats(glue).secondaries == count, "%u secondaries", rig_stats(glue).secondaries);
}

static void make_board(void)
{
	const struct rte_memzone *zone = rte_memzone_lookup("board");

	if (zone == NULL)
		zone = rte_memzone_reserve("board", sizeof(*board), 0, 0);
	CHECK(zone != NULL, "memzone");
	board = zone->addr;
}

static struct ioas_dpdk *join(const char *name)
{
	struct ioas_dpdk_opts opts = { .size = sizeof(opts), .name = name };
	struct ioas_dpdk *glue;
	int rc = ioas_dpdk_open(&opts, &glue);

	CHECK(rc == 0, "join: %s", strerror(-rc));
	return glue;
}

/* It sees what is mapped, as it comes and goes. */

static void sees(void)
{
	struct ioas_dpdk *glue;
	size_t bytes = 1;
	pid_t pid;

	make_board();
	glue = rig_open(NULL);
	board->block = NULL;
	pid = start_secondary("see");
	await_turn();
	CHECK(rig_stats(glue).secondaries == 1, "%u secondaries", rig_stats(glue).secondaries);
	board->block = rte_malloc(NULL, 20 * MIB, 0);
	CHECK(ioas_dpdk_lookup(glue, board->block, &bytes, &board->iova) == 0, "lookup");
	give_turn();
	await_turn();
	rte_free(board->block);
	give_turn();
	await_turn();
	/* Memory that the secondary asks EAL for is mapped by the primary. */
	bytes = 1;
	CHECK(ioas_dpdk_lookup(glue, board->block, &bytes, &board->iova) == 0, "lookup");
	CHECK(rig_device_reaches(board->iova, board->block), "device");
	give_turn();
	end_secondary(pid, 0);
	wait_secondaries(glue, 0);
	rig_close(glue);
}

static void see(void)
{
	struct ioas_dpdk *glue = join(NULL), *other;
	struct ioas_dpdk_opts opts = { .size = sizeof(opts), .name = "nothing" };
	struct ioas_dpdk_stats stats = { .size = sizeof(stats) };
	struct ioas_dev *dev;
	size_t bytes = 1;
	uint64_t iova;

	CHECK(ioas_dpdk_lookup(glue, board, &bytes, &iova) == 0, "lookup");
	rig_log_start();
	CHECK(ioas_dpdk_open(&opts, &other) == -ENOENT, "nothing of that name");
	CHECK(rig_log_has("has nothing open of that name"), "text");
	/* What is the primary's only. */
	CHECK(ioas_dpdk_ctx(glue) == NULL && ioas_dpdk_space(glue) == NULL, "context");
	CHECK(ioas_dpdk_queue(glue) == NULL, "queue");
	CHECK(ioas_dpdk_sync(glue) == -ENOTSUP, "sync");
	CHECK(ioas_dpdk_dev_add(glue, "a", &dev) == -ENOTSUP, "device");
	CHECK(ioas_dpdk_get_stats(glue, &stats) == -ENOTSUP, "stats");
	give_turn();
	await_turn();
	CHECK(ioas_dpdk_lookup(glue, board->block + 10 * MIB, &bytes, &iova) == 0, "new memory");
	CHECK(iova == board->iova + 10 * MIB, "its IOVA");
	give_turn();
	await_turn();
	CHECK(ioas_dpdk_lookup(glue, board->block + 10 * MIB, &bytes, &iova) == -ENOENT,
	      "memory that is gone");
	board->block = rte_malloc(NULL, 20 * MIB, 0);
	CHECK(ioas_dpdk_lookup(glue, board->block, &bytes, &iova) == 0, "memory of its own");
	give_turn();
	await_turn();
	rte_free(board->block);
	CHECK(ioas_dpdk_close(glue) == 0, "close");
}

/* It asks for maps, where EAL's memory is only registered. */

static void asks(void)
{
	struct ioas_dpdk_opts opts = { .flags = IOAS_DPDK_REGISTER };
	struct ioas_dpdk *glue;
	pid_t pid;

	make_board();
	glue = rig_open(&opts);
	board->block = rte_malloc(NULL, 64 * 1024, 4096);
	for (unsigned int i = 0; i < 2; i++) { /* leaves in good order; does not */
		pid = start_secondary(i == 0 ? "ask" : "ask_and_wait");
		await_turn();
		CHECK(rig_device_reaches(board->iova, board->block), "mapped");
		/* The primary's own are apart from the secondary's. */
		CHECK(ioas_dpdk_map(glue, board->block, 4096, RTE_BAD_IOVA) == -EEXIST, "twice");
		CHECK(ioas_dpdk_unmap(glue, board->block, 8192) == -ENOENT, "another's");
		CHECK(ioas_dpdk_map(glue, board->block + 8192, 4096, RTE_BAD_IOVA) == 0, "own");
		if (i == 0)
			give_turn();
		end_secondary(pid, i == 0 ? 0 : SIGKILL);
		wait_secondaries(glue, 0);
		CHECK(!rig_device_reaches(board->iova, board->block), "still mapped");
		CHECK(rig_device_reaches(board->iova + 8192, board->block + 8192), "the primary's");
		CHECK(ioas_dpdk_unmap(glue, board->block + 8192, 4096) == 0, "own");
	}
	rte_free(board->block);
	rig_close(glue);
}

static void ask_and_wait(void)
{
	struct ioas_dpdk *glue = join(NULL);
	size_t bytes = 8192;

	rig_log_start();
	CHECK(ioas_dpdk_map(glue, board->block + 1, 4096, RTE_BAD_IOVA) == -EINVAL, "unaligned");
	CHECK(rig_log_has("the log of the primary process says why"), "text");
	CHECK(ioas_dpdk_unmap(glue, board->block, 8192) == -ENOENT, "unmap of what is not mapped");
	CHECK(ioas_dpdk_map(glue, board->block, 8192, RTE_BAD_IOVA) == 0, "map");
	CHECK(ioas_dpdk_lookup(glue, board->block, &bytes, &board->iova) == 0 && bytes == 8192,
	      "lookup");
	give_turn();
	await_turn();
	CHECK(ioas_dpdk_close(glue) == 0, "close"); /* with it mapped */
}

/* Secondaries come and die all the time, as the primary works. */

static void dies(void)
{
	struct ioas_dpdk_opts opts = { .flags = IOAS_DPDK_REGISTER };
	struct ioas_dpdk *glue;
	uint64_t bytes;
	pid_t pids[3];
	int fds[3];

	make_board();
	glue = rig_open(&opts);
	board->block = rte_malloc(NULL, 3 * 64 * 1024, 4096);
	bytes = rig_stats(glue).bytes;
	for (unsigned int i = 0; i < 3; i++) {
		pids[i] = start_secondary("ask_and_wait");
		await_turn();
		fds[i] = turn_fd;
		board->block += 64 * 1024;
	}
	board->block -= 3 * 64 * 1024;
	CHECK(rig_stats(glue).secondaries == 3, "three");
	CHECK(rig_stats(glue).bytes == bytes + 3 * 8192, "three maps");
	kill(pids[1], SIGKILL);
	wait_secondaries(glue, 2);
	CHECK(rig_stats(glue).bytes == bytes + 2 * 8192, "two maps");
	CHECK(rig_device_reaches((uintptr_t)board->block, board->block), "of one that lives");
	CHECK(!rig_device_reaches((uintptr_t)board->block + 65536, board->block + 65536), "dead");
	kill(pids[0], SIGKILL);
	kill(pids[2], SIGKILL);
	for (unsigned int i = 0; i < 3; i++) {
		waitpid(pids[i], NULL, 0);
		close(fds[i]);
	}
	wait_secondaries(glue, 0);
	CHECK(rig_stats(glue).bytes == bytes, "they leave something behind");
	rte_free(board->block);
	rig_close(glue);
}

/* The primary closes, or dies, under a secondary. */

static void closes(void)
{
	struct ioas_dpdk *glue;
	pid_t pid;

	make_board();
	glue = rig_open(NULL);
	pid = start_secondary("closed");
	await_turn();
	rig_close(glue);
	give_turn();
	end_secondary(pid, 0);
}

static void closed(void)
{
	struct ioas_dpdk *glue = join(NULL);
	size_t bytes = 1;
	uint64_t iova;

	CHECK(ioas_dpdk_lookup(glue, board, &bytes, &iova) == 0, "lookup");
	give_turn();
	await_turn();
	CHECK(ioas_dpdk_lookup(glue, board, &bytes, &iova) == -ENOENT, "lookup");
	CHECK(ioas_dpdk_map(glue, board, 4096, RTE_BAD_IOVA) == -ENOENT, "map");
	CHECK(ioas_dpdk_close(glue) == 0, "close");
}

static void orphans(void)
{
	make_board();
	rig_open(NULL);
	start_secondary("orphan");
	await_turn();
	kill(getpid(), SIGKILL);
}

static void orphan(void)
{
	struct ioas_dpdk *glue = join(NULL);
	size_t bytes = 1;
	uint64_t iova;
	int rc = 0;

	CHECK(ioas_dpdk_lookup(glue, board, &bytes, &iova) == 0, "lookup");
	rig_log_start();
	give_turn();
	for (unsigned int i = 0; i < 3000 && rc != -EOWNERDEAD; i++) {
		usleep(1000);
		rc = ioas_dpdk_lookup(glue, board, &bytes, &iova);
	}
	CHECK(rc == -EOWNERDEAD, "lookup: %d", rc);
	CHECK(ioas_dpdk_map(glue, board, 4096, RTE_BAD_IOVA) == -EOWNERDEAD, "map");
	CHECK(rig_log_has("the primary process has ended"), "text");
	CHECK(ioas_dpdk_close(glue) == 0, "close");
}

/* A secondary cannot get write access to the table, though it has it mapped. */
static void check_rights(void)
{
	FILE *list = fopen("/proc/self/maps", "re");
	unsigned int maps = 0;
	char line[512];

	while (fgets(line, sizeof(line), list) != NULL) {
		uintptr_t start;
		char rights[8];

		if (strstr(line, "memfd:ioas_dpdk") == NULL)
			continue;
		CHECK(sscanf(line, "%" SCNxPTR "-%*x %7s", &start, rights) == 2, "%s", line);
		CHECK(rights[1] == '-', "%s", line);
		CHECK(mprotect((void *)start, 4096, PROT_READ | PROT_WRITE) != 0, "mprotect");
		maps++;
	}
	fclose(list);
	CHECK(maps == 1, "%u maps", maps);
}

static void reads_only(void)
{
	struct ioas_dpdk *glue;
	pid_t pid;

	make_board();
	glue = rig_open(NULL);
	pid = start_secondary("read_only");
	await_turn();
	give_turn();
	end_secondary(pid, 0);
	rig_close(glue);
}

static void read_only(void)
{
	join(NULL); /* closed by EAL's clean-up */
	check_rights();
	give_turn();
	await_turn();
}

static void as_secondary(void (*part)(void))
{
	turn_fd = TURN_FD;
	make_board();
	part();
}

#define PART(name)                    \
	static void part_##name(void) \
	{                             \
		as_secondary(name);   \
	}
PART(see)
PART(ask_and_wait)
PART(closed)
PART(orphan)
PART(read_only)

static const struct rig_case cases[] = {
	{ "sees", sees },
	{ "asks", asks },
	{ "dies", dies },
	{ "closes", closes },
	{ "reads_only", reads_only },
	{ "orphans", orphans },
	/* Parts of these in the secondary. */
	{ "see", part_see },
	{ "ask", part_ask_and_wait },
	{ "ask_and_wait", part_ask_and_wait },
	{ "closed", part_closed },
	{ "orphan", part_orphan },
	{ "read_only", part_read_only },
	{ NULL, NULL },
};

int main(int argc, char **argv)
{
	arguments = calloc(argc + 1, sizeof(argv[0]));
	memcpy(arguments, argv, argc * sizeof(argv[0])); /* EAL changes the order */
	return rig_main(argc, argv, cases);
}
