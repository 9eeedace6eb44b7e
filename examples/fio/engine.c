/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An external I/O engine of fio over the user-space NVMe driver of ../nvme: fio makes the load and
 * checks the data, all DMA goes through libioas.
 *
 * All jobs are threads of one process (thread=1) and share the controller; each has a pair of I/O
 * queues and buffers of its own. The controller is opened when fio sets up the first job, by fio's
 * main thread, and closed when the last job has ended.
 *
 * Source: fio 3.33 ioengines.h, engines/skeleton_external.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fio.h"
#include "optgroup.h"

#include "io.h"
#include "say.h"

#define JOBS_MAX 8

/* What the user says. fio begins the structure itself. */
struct engine_options {
	void *pad;
	char *device;
	char *backend;
	char *kind;
	char *mode;
	unsigned int sgl;
	unsigned long long cache_bytes;
};

static struct fio_option engine_options[] = {
	{ .name = "device",
	  .lname = "PCI address of the controller",
	  .type = FIO_OPT_STR_STORE,
	  .off1 = offsetof(struct engine_options, device),
	  .help = "0000:00:09.0: bound to the driver of the backend; its contents will be lost",
	  .category = FIO_OPT_C_ENGINE,
	  .group = FIO_OPT_G_INVALID },
	{ .name = "backend",
	  .lname = "Backend of libioas",
	  .type = FIO_OPT_STR_STORE,
	  .off1 = offsetof(struct engine_options, backend),
	  .help = "type1, ioasid, iommufd or auto",
	  .def = "auto",
	  .category = FIO_OPT_C_ENGINE,
	  .group = FIO_OPT_G_INVALID },
	{ .name = "kind",
	  .lname = "Kind of the address space",
	  .type = FIO_OPT_STR_STORE,
	  .off1 = offsetof(struct engine_options, kind),
	  .help = "kernel or user; by default user, where the backend has that",
	  .category = FIO_OPT_C_ENGINE,
	  .group = FIO_OPT_G_INVALID },
	{ .name = "mode",
	  .lname = "When buffers are visible to the device",
	  .type = FIO_OPT_STR_STORE,
	  .off1 = offsetof(struct engine_options, mode),
	  .help = "static, strict or batched: see examples/nvme/README.md",
	  .def = "strict",
	  .category = FIO_OPT_C_ENGINE,
	  .group = FIO_OPT_G_INVALID },
	{ .name = "sgl",
	  .lname = "Describe buffers with SGLs, not with PRPs",
	  .type = FIO_OPT_BOOL,
	  .off1 = offsetof(struct engine_options, sgl),
	  .def = "0",
	  .category = FIO_OPT_C_ENGINE,
	  .group = FIO_OPT_G_INVALID },
	{ .name = "cache",
	  .lname = "What the cache of mode batched may keep mapped, of each job",
	  .type = FIO_OPT_STR_VAL,
	  .off1 = offsetof(struct engine_options, cache_bytes),
	  .help = "bytes; 0 for all of the buffers",
	  .def = "0",
	  .category = FIO_OPT_C_ENGINE,
	  .group = FIO_OPT_G_INVALID },
	{ .name = NULL },
};

/* The controller, under @lock. */
static struct {
	pthread_mutex_t lock;
	unsigned int jobs; /* that are set up, or running */
	bool taken[JOBS_MAX];
	char *device;
	struct nvme_host host;
	struct nvme_ctrl ctrl;
	uint64_t requests;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A job. All but @index is its own thread's. */
struct lane {
	unsigned int index;
	struct ioas_queue *queue;
	struct ioas_mem *arena;
	struct nvme_mapper mapper;
	bool mapped;
	bool opened;
	struct nvme_io io;
	uint64_t requests;
	struct io_u *events[NVME_DEPTH_MAX];
	unsigned int events_count;
};

static int read_mode(const char *text, enum nvme_mode *mode)
{
	for (*mode = NVME_STATIC; *mode <= NVME_BATCHED; ++*mode)
		if (!strcmp(text, nvme_mode_name(*mode)))
			return 0;
	return nvme_fail(-EINVAL, "mode=%s: there are static, strict, batched", text);
}

static int read_kind(const char *text, enum ioas_kind *kind)
{
	*kind = !text ? 0 : !strcmp(text, "user") ? IOAS_KIND_USER : IOAS_KIND_KERNEL;
	if (*kind == IOAS_KIND_KERNEL && strcmp(text, "kernel"))
		return nvme_fail(-EINVAL, "kind=%s: there are user, kernel", text);
	return 0;
}

static int open_controller(const struct engine_options *options)
{
	enum nvme_mode mode;
	enum ioas_kind kind;
	int ret = read_mode(options->mode, &mode) ?: read_kind(options->kind, &kind);

	ret = ret
		      ?: nvme_host_open(&shared.host, options->backend, options->device, kind, mode,
					JOBS_MAX);
	if (ret)
		return ret;
	ret = nvme_ctrl_open(&shared.ctrl, &shared.host);
	if (ret) {
		nvme_host_close(&shared.host);
		return ret;
	}
	ret = nvme_ctrl_ask_queues(&shared.ctrl, JOBS_MAX);
	if (ret) {
		nvme_ctrl_close(&shared.ctrl);
		nvme_host_close(&shared.host);
		return ret;
	}
	shared.device = strdup(options->device);
	return 0;
}

/* The first one; all others have to name the same. */
static int use_controller(const struct engine_options *options)
{
	int ret = 0;

	if (!options->device)
		return nvme_fail(-EINVAL, "device= is missing: the controller's PCI address");
	pthread_mutex_lock(&shared.lock);
	if (shared.jobs == JOBS_MAX)
		ret = nvme_fail(-EINVAL, "more than %d jobs", JOBS_MAX);
	else if (!shared.jobs)
		ret = open_controller(options);
	else if (strcmp(shared.device, options->device))
		ret = nvme_fail(-EINVAL, "device=%s: another job has %s; there is one for all",
				options->device, shared.device);
	shared.jobs += !ret;
	pthread_mutex_unlock(&shared.lock);
	return ret;
}

static void say_result(void)
{
	const uint64_t crossings = nvme_host_crossings(&shared.host);

	nvme_say("RESULT backend=%s kind=%s mode=%s requests=%" PRIu64 " crossings=%" PRIu64
		 " ioctls_per_io=%.4f",
		 ioas_ctx_backend(shared.host.ctx), ioas_kind_name(ioas_get_kind(shared.host.as)),
		 nvme_mode_name(shared.host.mode), shared.requests, crossings,
		 shared.requests ? (double)crossings / shared.requests : 0);
}

/* The device is made quiet before what it may use is taken away. */
static void leave_controller(void)
{
	if (--shared.jobs)
		return;
	ioas_queue_adopt(shared.host.queue);
	say_result();
	nvme_ctrl_close(&shared.ctrl);
	nvme_host_close(&shared.host);
	free(shared.device);
	shared.device = NULL;
}

static int check_job(const struct thread_data *td)
{
	const struct nvme_ctrl *ctrl = &shared.ctrl;

	if (!td->o.use_thread)
		return nvme_fail(-EINVAL, "thread=1 is needed: processes cannot share the device");
	if (td->o.iodepth > NVME_DEPTH_MAX)
		return nvme_fail(-EINVAL, "iodepth=%u: at most %u", td->o.iodepth, NVME_DEPTH_MAX);
	for (int ddir = 0; ddir < DDIR_RWDIR_CNT; ddir++) {
		if (td->o.min_bs[ddir] % ctrl->block_bytes || td->o.max_bs[ddir] % IOAS_PAGE_SIZE)
			return nvme_fail(-EINVAL,
					 "bs: whole blocks of %u bytes, the largest whole pages: a "
					 "page must not be of two buffers",
					 ctrl->block_bytes);
		if (td->o.max_bs[ddir] > nvme_io_max_bytes(ctrl))
			return nvme_fail(-EINVAL, "bs: the controller moves at most %u bytes",
					 nvme_io_max_bytes(ctrl));
	}
	return 0;
}

static int setup(struct thread_data *td)
{
	struct fio_file *file;
	unsigned int i;
	int ret = use_controller(td->eo);

	if (!ret) {
		ret = check_job(td);
		pthread_mutex_lock(&shared.lock);
		if (ret)
			leave_controller();
		pthread_mutex_unlock(&shared.lock);
	}
	if (ret) {
		td_verror(td, -ret, "ioas_nvme");
		return 1;
	}
	for_each_file(td, file, i)
	{
		file->filetype = FIO_TYPE_BLOCK;
		file->real_file_size = shared.ctrl.block_count * shared.ctrl.block_bytes;
		fio_file_set_size_known(file);
	}
	return 0;
}

/* By the job's thread. */
static int init(struct thread_data *td)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane || ioas_queue_create(shared.host.as, &lane->queue)) {
		free(lane);
		return 1;
	}
	pthread_mutex_lock(&shared.lock);
	while (shared.taken[lane->index])
		lane->index++;
	shared.taken[lane->index] = true;
	pthread_mutex_unlock(&shared.lock);
	td->io_ops_data = lane;
	return 0;
}

/* The controller's admin queue is for one at a time. */
static int open_queues(struct thread_data *td, struct lane *lane)
{
	const struct engine_options *options = td->eo;
	const struct nvme_io_options io = { .depth = td->o.iodepth, .sgl = options->sgl };
	int ret;

	pthread_mutex_lock(&shared.lock);
	ret = nvme_io_open(&lane->io, &shared.ctrl, &lane->mapper, &io, lane->index + 1);
	pthread_mutex_unlock(&shared.lock);
	lane->opened = true; /* in part, too */
	return ret;
}

static int alloc_buffers(struct thread_data *td, size_t bytes)
{
	const struct ioas_mem_opts memory = { .size = sizeof(memory),
					      .numa_node = IOAS_NUMA_ANY,
					      .bytes = bytes };
	const struct engine_options *options = td->eo;
	struct lane *lane = td->io_ops_data;
	int ret = ioas_mem_alloc(shared.host.ctx, &memory, &lane->arena);

	ret = ret
		      ?: nvme_mapper_open(&lane->mapper, &shared.host, lane->queue, lane->arena,
					  options->cache_bytes);
	lane->mapped = !ret;
	ret = ret ?: open_queues(td, lane);
	if (!ret)
		td->orig_buffer = ioas_mem_va(lane->arena);
	return ret != 0;
}

static void free_buffers(struct thread_data *td)
{
	struct lane *lane = td->io_ops_data;

	pthread_mutex_lock(&shared.lock);
	if (lane->opened)
		nvme_io_close(&lane->io);
	pthread_mutex_unlock(&shared.lock);
	if (lane->opened)
		nvme_io_release(&lane->io);
	if (lane->mapped)
		nvme_mapper_close(&lane->mapper);
	if (lane->arena && ioas_mem_free(lane->arena))
		nvme_say("the buffers' memory is still mapped somewhere");
	lane->opened = lane->mapped = false;
	lane->arena = NULL;
}

static void cleanup(struct thread_data *td)
{
	struct lane *lane = td->io_ops_data;

	if (!lane)
		return;
	if (ioas_queue_destroy(lane->queue))
		nvme_say("queue: %s", ioas_queue_error(lane->queue));
	pthread_mutex_lock(&shared.lock);
	shared.requests += lane->requests;
	shared.taken[lane->index] = false;
	leave_controller();
	pthread_mutex_unlock(&shared.lock);
	free(lane);
	td->io_ops_data = NULL;
}

static enum fio_q_status queue(struct thread_data *td, struct io_u *io_u)
{
	struct lane *lane = td->io_ops_data;
	const struct nvme_request request = {
		.block = io_u->offset / shared.ctrl.block_bytes,
		.va = io_u->xfer_buf,
		.bytes = io_u->xfer_buflen,
		.write = io_u->ddir == DDIR_WRITE,
		.tag = io_u,
	};

	if (ddir_sync(io_u->ddir)) /* what has completed is on the device */
		return FIO_Q_COMPLETED;
	if (io_u->ddir != DDIR_READ && io_u->ddir != DDIR_WRITE) {
		io_u->error = EOPNOTSUPP;
		return FIO_Q_COMPLETED;
	}
	if (nvme_io_submit(&lane->io, &request))
		return FIO_Q_BUSY;
	lane->requests++;
	return FIO_Q_QUEUED;
}

static int commit(struct thread_data *td)
{
	struct lane *lane = td->io_ops_data;

	return nvme_io_begin(&lane->io);
}

static void done(void *arg, const struct nvme_request *request, uint16_t status)
{
	struct lane *lane = arg;
	struct io_u *io_u = request->tag;

	io_u->error = status ? EIO : 0;
	lane->events[lane->events_count++] = io_u;
}

/* No time limit: a command that never completes is an error after NVME_TIMEOUT_MS. */
static int getevents(struct thread_data *td, unsigned int min, unsigned int max,
		     const struct timespec *limit)
{
	struct lane *lane = td->io_ops_data;
	int ret = 0;

	lane->events_count = 0;
	while (!ret && lane->events_count < min && nvme_io_in_flight(&lane->io))
		ret = nvme_io_wait(&lane->io, done, lane);
	return ret ? ret : (int)lane->events_count;
}

static struct io_u *event(struct thread_data *td, int index)
{
	const struct lane *lane = td->io_ops_data;

	return lane->events[index];
}

static int open_file(struct thread_data *td, struct fio_file *file)
{
	return 0;
}

static int close_file(struct thread_data *td, struct fio_file *file)
{
	return 0;
}

/* There is no page cache. */
static int invalidate(struct thread_data *td, struct fio_file *file)
{
	return 0;
}

/* fio looks for this name. */
__attribute__((visibility("default"))) struct ioengine_ops ioengine = {
	.name = "ioas_nvme",
	.version = FIO_IOOPS_VERSION,
	.flags = FIO_RAWIO | FIO_MEMALIGN | FIO_NOEXTEND | FIO_NODISKUTIL,
	.setup = setup,
	.init = init,
	.iomem_alloc = alloc_buffers,
	.iomem_free = free_buffers,
	.queue = queue,
	.commit = commit,
	.getevents = getevents,
	.event = event,
	.open_file = open_file,
	.close_file = close_file,
	.invalidate = invalidate,
	.cleanup = cleanup,
	.options = engine_options,
	.option_struct_size = sizeof(struct engine_options),
};
