// SPDX-License-Identifier: BSD-3-Clause
/*
 * A program replaces itself (exec) while its device does DMA: what was begun before lands
 * afterwards, mappings hold and can be changed, and the pins count against the new process. A
 * successor that cannot take over leaves everything as it was for the next one. The second
 * successor has to map the memory at another address than the others.
 *
 * Run without capability to pin at will, so that RLIMIT_MEMLOCK counts.
 */
#include "api_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <ioas/handover.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES	  (4 * MIB)
#define MAP_PAGES 100
#define PINNED	  (MAP_PAGES + 2)
#define MORE	  50
#define FILES	  16
#define PATTERN	  0x3c

/* What a driver passes on beside: in the memory itself, behind what is mapped. */
struct note {
	ioas_iova_t iova;
	ioas_iova_t iova_low;
};

static struct note *note_of(struct api_lab *lab)
{
	return (struct note *)api_lab_page(lab, BYTES / PAGE - 1);
}

/* Pages that count against this process. */
static uint64_t pinned(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	uint64_t kib = 0;
	char line[256];

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmPin: %" SCNu64, &kib) == 1)
			break;
	fclose(file);
	return kib / 4;
}

static void set_limit(uint64_t pages)
{
	const struct rlimit limit = { .rlim_cur = pages * PAGE, .rlim_max = 1000 * PAGE };

	CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
}

/* For this process and what it executes. Root gets back with exec what is not taken for good. */
static void drop_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK(prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK) == 0);
	CHECK(syscall(SYS_capget, &header, data) == 0);
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].permitted &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].inheritable &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	CHECK(syscall(SYS_capset, &header, data) == 0);
}

static void map(struct api_lab *lab, unsigned int page, unsigned int count, ioas_iova_t *iova)
{
	if (ioas_map(lab->queue, api_lab_page(lab, page), count * PAGE, IOAS_RW, iova))
		FAIL("map: %s", ioas_queue_error(lab->queue));
}

/* What is refused is refused, and nothing has changed. */
static void check_refused(struct api_lab *lab)
{
	uint8_t *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ioas_ctx *other;
	struct ioas_mem *mem;
	int fds[FILES], files[2];

	lab_step("what cannot be handed over");
	CHECK(ioas_ctx_save(lab->ctx, fds, 3) == -ENOSPC);
	CHECK(ioas_mem_register(lab->ctx, own, PAGE, &mem) == 0);
	CHECK(ioas_ctx_save(lab->ctx, fds, FILES) == -EINVAL);
	api_lab_check_text(lab, "is the caller's own");
	CHECK(ioas_mem_free(mem) == 0);
	CHECK(munmap(own, PAGE) == 0);

	lab_step("what is no description");
	CHECK(pipe(files) == 0);
	CHECK(ioas_ctx_restore(NULL, files, 2, &other) == -EINVAL);
	CHECK(ioas_ctx_save(lab->ctx, fds, FILES) == 4);
	CHECK(ioas_ctx_restore(NULL, fds, 3, &other) == -EINVAL);
	files[0] = fds[1];
	files[1] = fds[0];
	CHECK(ioas_ctx_restore(NULL, files, 2, &other) == -EINVAL);
	CHECK(ftruncate(fds[0], 200) == 0);
	/* The pins were this process's before, so that this much changes nothing. */
	CHECK(ioas_ctx_restore(NULL, fds, 4, &other) == -EINVAL);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void save_and_exec(struct api_lab *lab, const char *who)
{
	char number[FILES][12], address[32];
	char *arguments[FILES + 4] = { "api_handover", (char *)who, address };
	int fds[FILES];
	int count = ioas_ctx_save(lab->ctx, fds, FILES);

	if (count != 4) /* the description, /dev/iommu, the device, the memory */
		FAIL("%d files", count);
	for (int i = 0; i < count; i++) {
		CHECK(fcntl(fds[i], F_SETFD, 0) == 0);
		snprintf(number[i], sizeof(number[i]), "%d", fds[i]);
		arguments[i + 3] = number[i];
	}
	snprintf(address, sizeof(address), "%p", ioas_mem_va(lab->mem));
	fflush(stdout);
	execv("/proc/self/exe", arguments);
	FAIL("exec");
}

/* A write of zeroes that happens 100 ms later. */
static void begin_dma(struct api_lab *lab)
{
	const ioas_iova_t iova = note_of(lab)->iova;

	memset(api_lab_page(lab, 3), 0, PAGE);
	edu_read_memory(&lab->edu, iova + 3 * PAGE, EDU_TRANSFER_BYTES);
	memset(api_lab_page(lab, 5), PATTERN, PAGE);
	edu_begin_write(&lab->edu, iova + 5 * PAGE, EDU_TRANSFER_BYTES);
}

static void predecessor(void)
{
	static struct api_lab lab;
	struct note note;

	drop_capability();
	set_limit(1000);
	api_lab_context(&lab, "iommufd");
	api_lab_set_up(&lab, BYTES, 0);
	map(&lab, 0, MAP_PAGES, &note.iova);
	map(&lab, MAP_PAGES, 2, &note.iova_low);
	CHECK(pinned() == PINNED);
	*note_of(&lab) = note;
	check_refused(&lab);
	CHECK(api_lab_reaches(&lab, note.iova, 0));
	CHECK(pinned() == PINNED);

	lab_step("exec while a DMA is under way");
	begin_dma(&lab);
	save_and_exec(&lab, "first");
}

static void check_failed_takeover(const int *fds, int count)
{
	struct ioas_ctx *ctx;

	lab_step("a limit that has no room for the pins twice: nothing changes");
	set_limit(PINNED + PINNED / 2);
	CHECK(ioas_ctx_restore(NULL, fds, count, &ctx) == -ENOMEM);
	CHECK(pinned() == 0);
	set_limit(1000);
}

static void take_over(struct api_lab *lab, const int *fds, int count)
{
	const struct ioas_ctx_opts opts = { .size = sizeof(opts), .log = ioas_log_stderr };

	CHECK(ioas_ctx_restore(&opts, fds, count, &lab->ctx) == 0);
	lab->dev = ioas_ctx_dev(lab->ctx, 0);
	lab->mem = ioas_ctx_mem(lab->ctx, 0);
	lab->as = ioas_ctx_space(lab->ctx, 0);
	CHECK(lab->dev && lab->mem && lab->as);
	CHECK(!ioas_ctx_dev(lab->ctx, 1) && !ioas_ctx_mem(lab->ctx, 1) &&
	      !ioas_ctx_space(lab->ctx, 1));
	CHECK(!strcmp(ioas_dev_name(lab->dev), lab_device("edu")));
	CHECK(ioas_mem_bytes(lab->mem) == BYTES);
	CHECK(ioas_queue_create(lab->as, &lab->queue) == 0);
}

static void wait_for_dma(struct api_lab *lab)
{
	int tries = 100;

	while (lab_all_bytes_are(api_lab_page(lab, 5), EDU_TRANSFER_BYTES, PATTERN) && tries--)
		usleep(20000);
	CHECK(lab_all_bytes_are(api_lab_page(lab, 5), EDU_TRANSFER_BYTES, 0));
}

static void check_mappings(struct api_lab *lab)
{
	const struct note note = *note_of(lab);
	ioas_iova_t iova, more[MORE], found;
	size_t bytes = PAGE;

	lab_step("mappings are known: to look up, to translate, to unmap, not to be given again");
	CHECK(api_lab_reaches(lab, note.iova + 99 * PAGE, 99));
	CHECK(api_lab_reaches(lab, note.iova_low + PAGE, MAP_PAGES + 1));
	CHECK(ioas_translate(lab->queue, api_lab_page(lab, 7), &bytes, &found) == 0);
	CHECK(found == note.iova + 7 * PAGE);
	CHECK(ioas_mem_free(lab->mem) == -EBUSY);
	for (int i = 0; i < MORE; i++) {
		map(lab, 200 + i, 1, &more[i]);
		CHECK(more[i] + PAGE <= note.iova || more[i] >= note.iova + MAP_PAGES * PAGE);
		CHECK(more[i] + PAGE <= note.iova_low || more[i] >= note.iova_low + 2 * PAGE);
	}
	CHECK(api_lab_reaches(lab, more[MORE - 1], 200 + MORE - 1));
	CHECK(pinned() == PINNED + MORE);
	for (int i = 0; i < MORE; i++)
		CHECK(ioas_unmap(lab->queue, more[i], PAGE) == 0);
	iova = note.iova + PAGE;
	CHECK(ioas_map(lab->queue, api_lab_page(lab, 300), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova) ==
	      -EEXIST);
	CHECK(ioas_unmap(lab->queue, note.iova_low, PAGE) == -EINVAL);
	CHECK(ioas_unmap(lab->queue, note.iova_low, 2 * PAGE) == 0);
	CHECK(!api_lab_reaches(lab, note.iova_low + PAGE, MAP_PAGES + 1));
	CHECK(ioas_unmap(lab->queue, note.iova, MAP_PAGES * PAGE) == 0);
	CHECK(!api_lab_reaches(lab, note.iova, 0));
}

/* Something else has the place where the memory was. */
static void occupy(const char *address)
{
	void *va = (void *)(uintptr_t)strtoull(address, NULL, 16);

	lab_step("the memory's place is taken");
	CHECK(mmap(va, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
	      va);
}

static void successor(int argc, char **argv)
{
	const bool first = !strcmp(argv[1], "first");
	static struct api_lab lab;
	int fds[FILES], count = 0;

	for (int i = 3; i < argc; i++)
		fds[count++] = atoi(argv[i]);
	CHECK(pinned() == 0);
	if (first)
		check_failed_takeover(fds, count);
	else
		occupy(argv[2]);

	lab_step("taken over: the pins count here");
	take_over(&lab, fds, count);
	CHECK(pinned() == PINNED);
	for (int i = 0; i < count; i++)
		close(fds[i]);

	lab_step("the DMA lands");
	wait_for_dma(&lab);
	api_lab_registers_open(&lab);
	if (first) {
		lab_step("and once more");
		begin_dma(&lab);
		save_and_exec(&lab, "second");
	}
	check_mappings(&lab);
	CHECK(pinned() == 0);
	api_lab_tear_down(&lab);
}

int main(int argc, char **argv)
{
	if (argc > 2)
		successor(argc, argv);
	else
		predecessor();
	return 0;
}
