// SPDX-License-Identifier: BSD-3-Clause
/*
 * A privileged process opens the files, passes them on (SCM_RIGHTS) and ends. One that may open
 * nothing works with them through the public API, within its own limits.
 */
#include "api_lab.h"

#include "../prog/lab_files.h"
#include "../prog/lab_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT	  (64 * UINT64_C(1024)) /* bytes that it may pin */
#define FILES	  2			/* at most: the device, the context */
#define FDS_BYTES (FILES * sizeof(int))

/* A message that carries files beside its one byte. */
struct parcel {
	struct msghdr message;
	struct iovec data;
	char byte;
	union {
		struct cmsghdr header; /* for its alignment */
		char bytes[CMSG_SPACE(FDS_BYTES)];
	} control;
};

static struct msghdr *parcel_init(struct parcel *parcel, size_t control_bytes)
{
	memset(parcel, 0, sizeof(*parcel));
	parcel->data = (struct iovec){ &parcel->byte, 1 };
	parcel->message = (struct msghdr){ .msg_iov = &parcel->data,
					   .msg_iovlen = 1,
					   .msg_control = parcel->control.bytes,
					   .msg_controllen = control_bytes };
	return &parcel->message;
}

static void pass(int to, const int *fds, unsigned int count)
{
	struct parcel parcel;
	struct msghdr *message = parcel_init(&parcel, CMSG_SPACE(count * sizeof(int)));
	struct cmsghdr *header = CMSG_FIRSTHDR(message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	CHECK(sendmsg(to, message, 0) == 1);
}

static unsigned int receive(int from, int *fds)
{
	struct parcel parcel;
	struct msghdr *message = parcel_init(&parcel, sizeof(parcel.control));
	struct cmsghdr *header;
	size_t bytes;

	CHECK(recvmsg(from, message, MSG_CMSG_CLOEXEC) == 1);
	header = CMSG_FIRSTHDR(message);
	CHECK(header && header->cmsg_type == SCM_RIGHTS && !(message->msg_flags & MSG_CTRUNC));
	bytes = header->cmsg_len - CMSG_LEN(0);
	CHECK(bytes <= FDS_BYTES);
	memcpy(fds, CMSG_DATA(header), bytes);
	return bytes / sizeof(int);
}

static void privileged(const char *backend, int to)
{
	const char *address = lab_device("edu");
	int fds[FILES];

	fds[0] = lab_open_device(backend, address);
	fds[1] = lab_open_context(backend);
	lab_let_nobody(backend, address);
	pass(to, fds, fds[1] < 0 ? 1 : 2);
	exit(0);
}

static void check_refused(const char *backend)
{
	const struct ioas_ctx_opts opts = { .size = sizeof(opts),
					    .backend = backend,
					    .log = ioas_log_stderr };
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	int ret;

	lab_step("nobody may open nothing");
	ret = ioas_ctx_open(&opts, &ctx);
	if (!ret) {
		CHECK(ioas_dev_bind(ctx, lab_device("edu"), &dev) < 0);
		CHECK(ioas_ctx_close(ctx) == 0);
	} else {
		CHECK(ret == -EACCES);
	}
}

/* Backends pin when memory is made, or when it is mapped. */
static int map_more(struct api_lab *lab)
{
	const struct ioas_mem_opts opts = {
		.size = sizeof(opts), .numa_node = IOAS_NUMA_ANY, .bytes = LIMIT, .page_bytes = PAGE
	};
	struct ioas_mem *mem;
	ioas_iova_t iova;
	int ret = ioas_mem_alloc(lab->ctx, &opts, &mem);

	if (ret)
		return ret;
	ret = ioas_map(lab->queue, ioas_mem_va(mem), LIMIT, IOAS_RW, &iova);
	if (ret)
		printf("    %s\n", ioas_queue_error(lab->queue));
	CHECK(ioas_mem_free(mem) == 0);
	return ret;
}

static void check_work(struct api_lab *lab, const char *backend)
{
	ioas_iova_t iova;

	lab_step("but works with what it was given");
	api_lab_context(lab, backend);
	api_lab_set_up(lab, LIMIT, PAGE);
	if (ioas_map(lab->queue, api_lab_page(lab, 0), LIMIT / 2, IOAS_RW, &iova))
		FAIL("map: %s", ioas_queue_error(lab->queue));
	CHECK(api_lab_reaches(lab, iova, 0));

	lab_step("within its limits");
	CHECK(map_more(lab) == -ENOMEM);
	CHECK(api_lab_reaches(lab, iova, 0));
	CHECK(ioas_unmap(lab->queue, iova, LIMIT / 2) == 0);
	CHECK(!api_lab_reaches(lab, iova, 0));
	api_lab_tear_down(lab);
}

int main(int argc, char **argv)
{
	const struct rlimit memlock = { .rlim_cur = LIMIT, .rlim_max = LIMIT };
	static struct api_lab lab;
	char options[32], device[64];
	int sockets[2], fds[FILES];
	unsigned int count;
	int status;
	pid_t child;

	if (argc < 2 || argc > 3)
		FAIL("usage: %s type1|iommufd|ioasid [DRIVER]", argv[0]);
	if (!strcmp(argv[1], "iommufd") && access("/dev/iommu", F_OK))
		lab_skip("the kernel has no iommufd");
	if (!strcmp(argv[1], "ioasid") && access("/dev/ioasid", F_OK))
		lab_skip("the module kioas is not there");
	lab_bind_devices(argc > 2 ? argv[2] : "vfio-pci");

	lab_step("root opens the files, passes them on, and ends");
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child)
		privileged(argv[1], sockets[1]);
	CHECK(setrlimit(RLIMIT_MEMLOCK, &memlock) == 0);
	lab_become_nobody();
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	count = receive(sockets[0], fds);
	check_refused(argv[1]);

	snprintf(device, sizeof(device), "%s@%d", lab_device("edu"), fds[0]);
	lab.device = device;
	if (count > 1) {
		snprintf(options, sizeof(options), "fd=%d", fds[1]);
		lab.options = options;
	}
	check_work(&lab, argv[1]);

	lab_step("the files stay its own");
	for (unsigned int i = 0; i < count; i++)
		CHECK(close(fds[i]) == 0);
	return 0;
}
