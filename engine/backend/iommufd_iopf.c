/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page requests of USER spaces: faults that devices wait for. Each space that wants them has a
 * queue of the kernel's, of which its nested page table is made; read() gives groups of faults that
 * the device wants one answer for, write() answers. Of a group all pages are handed out one by one,
 * and it is answered after the last.
 *
 * What is needed: a device that asks (PRI) and a driver of its IOMMU that passes it on: Intel's
 * does, to devices whose PRI it has switched on (intel_iommu_enable_iopf()). Arm's does for devices
 * that stall, which firmware says of devices that are not on PCI (stall_enabled), so VFIO's PCI
 * devices never do, and QEMU's SMMUv3 does not stall at all (IDR0.STALL_MODEL is 1,
 * smmuv3_init_id_regs()); its nested tables have no requests here. In the lab the kernel's mock
 * stands for such a device.
 *
 * When a device leaves a table the kernel answers what it still waits for there. What we have read
 * of that is thrown away, so that nobody is handed a request of a space without devices.
 *
 * A queue can be destroyed once its file is gone, which poll() in another thread holds: who destroys
 * one wakes that thread and waits for it.
 *
 * Locking: struct iommufd_faults' lock.
 *
 * Source: Linux drivers/iommu/iommufd/eventq.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "iommufd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RECORDS	 512 /* the kernel splits no group, so it has to fit as a whole */
#define POLL_MAX 64

#define COOKIE_LAST (UINT64_C(1) << 32) /* in be_request.cookie: of its group */

struct iommufd_iopf {
	uint32_t id;
	int fd;
	bool refused;	 /* a page of the group under way, */
	uint32_t cookie; /* which this is */
	bool too_long;	 /* said already */
	unsigned int count;
	unsigned int at; /* records before this one have been handed out */
	struct uapi_pgfault records[RECORDS];
};

static int make_wake_fd(struct iommufd_faults *faults)
{
	int ret = 0;

	pthread_mutex_lock(&faults->lock);
	if (faults->wake_fd < 0)
		faults->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (faults->wake_fd < 0)
		ret = -errno;
	pthread_mutex_unlock(&faults->lock);
	return ret;
}

int iommufd_iopf_alloc(struct iommufd_space *space)
{
	struct iommufd_be *be = iommufd_to_be(space->vfio.base.be);
	struct uapi_fault_queue_alloc alloc = { .size = sizeof(alloc) };
	struct iommufd_iopf *iopf;
	int ret;

	if (!space->page_requests)
		return 0;
	ret = make_wake_fd(&be->faults);
	if (ret)
		return diag_fail(be->vfio.base.diag, ret, "iommufd: page requests: eventfd: %s",
				 strerror(-ret));
	iopf = calloc(1, sizeof(*iopf));
	if (!iopf)
		return diag_fail(be->vfio.base.diag, -ENOMEM, "iommufd: no memory");
	if (ioctl(be->fd, UAPI_FAULT_QUEUE_ALLOC, &alloc)) {
		free(iopf);
		return iommufd_fail(&be->vfio.base, "page requests: IOMMU_FAULT_QUEUE_ALLOC");
	}
	iopf->id = alloc.out_fault_id;
	iopf->fd = alloc.out_fault_fd;
	pthread_mutex_lock(&be->faults.lock);
	space->iopf = iopf;
	space->next_requesting = be->faults.requesting;
	be->faults.requesting = space;
	pthread_mutex_unlock(&be->faults.lock);
	return 0;
}

void iommufd_iopf_free(struct iommufd_space *space)
{
	struct iommufd_be *be = iommufd_to_be(space->vfio.base.be);
	struct iommufd_faults *faults = &be->faults;
	struct iommufd_space **link = &faults->requesting;
	struct iommufd_iopf *iopf = space->iopf;
	uint64_t polls;

	if (!iopf)
		return;
	pthread_mutex_lock(&faults->lock);
	while (*link != space)
		link = &(*link)->next_requesting;
	*link = space->next_requesting;
	space->iopf = NULL;
	polls = faults->polls;
	if (faults->polling)
		eventfd_write(faults->wake_fd, 1);
	/* The next one, which may have begun before we get the lock, does not have it. */
	while (faults->polling && faults->polls == polls)
		pthread_cond_wait(&faults->polled, &faults->lock);
	pthread_mutex_unlock(&faults->lock);
	close(iopf->fd);
	iommufd_destroy(be, iopf->id);
	free(iopf);
}

uint32_t iommufd_iopf_id(const struct iommufd_space *space)
{
	return space->iopf->id;
}

void iommufd_iopf_forget(struct iommufd_space *space, const struct iommufd_dev *dev)
{
	struct iommufd_faults *faults = &iommufd_to_be(space->vfio.base.be)->faults;
	struct iommufd_iopf *iopf = space->iopf;
	unsigned int kept = 0;

	if (!iopf)
		return;
	pthread_mutex_lock(&faults->lock);
	for (unsigned int i = iopf->at; i < iopf->count; i++)
		if (iopf->records[i].dev_id != dev->id)
			iopf->records[kept++] = iopf->records[i];
	iopf->at = 0;
	iopf->count = kept;
	pthread_mutex_unlock(&faults->lock);
}

static void respond(struct be *be, struct iommufd_iopf *iopf, uint32_t cookie, bool served)
{
	const struct uapi_page_response response = {
		.cookie = cookie,
		.code = served ? UAPI_PAGE_RESPONSE_SUCCESS : UAPI_PAGE_RESPONSE_INVALID,
	};

	/* EINVAL: it is not waited for any more. */
	if (write(iopf->fd, &response, sizeof(response)) < 0 && errno != EINVAL)
		diag_log(be->diag, IOAS_LOG_ERROR, "iommufd: a page request has no answer: %s",
			 strerror(errno));
}

static void refill(struct be *be, struct iommufd_iopf *iopf)
{
	ssize_t got = read(iopf->fd, iopf->records, sizeof(iopf->records));

	iopf->at = 0;
	iopf->count = got > 0 ? got / sizeof(iopf->records[0]) : 0;
	if (got < 0 && errno == EINVAL && !iopf->too_long) {
		iopf->too_long = true;
		diag_log(be->diag, IOAS_LOG_ERROR,
			 "iommufd: a device waits for more than %d pages at once", RECORDS);
	}
}

static struct be_dev *find_device(const struct iommufd_faults *faults, uint32_t id)
{
	for (struct iommufd_dev *dev = faults->devices; dev; dev = dev->next_faulting)
		if (dev->id == id)
			return &dev->vfio.base;
	return NULL;
}

/* The next record of a queue, or NULL. */
static const struct uapi_pgfault *take(struct be *be, struct iommufd_iopf *iopf, bool *last)
{
	const struct uapi_pgfault *record;

	if (iopf->at == iopf->count)
		refill(be, iopf);
	if (iopf->at == iopf->count)
		return NULL;
	record = &iopf->records[iopf->at++];
	*last = iopf->at == iopf->count || record[1].cookie != record->cookie;
	if (record->cookie != iopf->cookie)
		iopf->refused = false;
	iopf->cookie = record->cookie;
	return record;
}

static bool next_of(struct iommufd_be *be, struct iommufd_space *space, struct be_request *out)
{
	const struct uapi_pgfault *record;
	bool last;

	while ((record = take(&be->vfio.base, space->iopf, &last))) {
		*out = (struct be_request){
			.space = &space->vfio.base,
			.dev = find_device(&be->faults, record->dev_id),
			.iova = record->addr & ~(IOAS_PAGE_SIZE - 1),
			.prot = record->perm & UAPI_PGFAULT_WRITE ? IOAS_WRITE : IOAS_READ,
			.cookie = record->cookie | (last ? COOKIE_LAST : 0),
		};
		if (record->perm & UAPI_PGFAULT_READ)
			out->prot |= IOAS_READ;
		if (out->dev)
			return true;
		respond(&be->vfio.base, space->iopf, record->cookie, false);
	}
	return false;
}

bool iommufd_request_next(struct be *base, struct be_request *request)
{
	struct iommufd_be *be = iommufd_to_be(base);
	bool found = false;

	pthread_mutex_lock(&be->faults.lock);
	for (struct iommufd_space *space = be->faults.requesting; space && !found;
	     space = space->next_requesting)
		found = next_of(be, space, request);
	pthread_mutex_unlock(&be->faults.lock);
	return found;
}

void iommufd_request_answer(struct be *base, const struct be_request *request, bool served)
{
	struct iommufd_space *space = (struct iommufd_space *)request->space;
	struct iommufd_be *be = iommufd_to_be(base);

	pthread_mutex_lock(&be->faults.lock);
	space->iopf->refused |= !served;
	if (request->cookie & COOKIE_LAST)
		respond(base, space->iopf, (uint32_t)request->cookie, !space->iopf->refused);
	pthread_mutex_unlock(&be->faults.lock);
}

void iommufd_request_wait(struct be *base, unsigned int timeout_ms)
{
	struct iommufd_faults *faults = &iommufd_to_be(base)->faults;
	struct pollfd fds[POLL_MAX];
	eventfd_t woken;
	nfds_t count = 0;

	pthread_mutex_lock(&faults->lock);
	faults->polling = true;
	fds[count++] = (struct pollfd){ .fd = faults->wake_fd, .events = POLLIN };
	for (struct iommufd_space *space = faults->requesting; space && count < POLL_MAX;
	     space = space->next_requesting)
		fds[count++] = (struct pollfd){ .fd = space->iopf->fd, .events = POLLIN };
	pthread_mutex_unlock(&faults->lock);
	poll(fds, count, timeout_ms);
	pthread_mutex_lock(&faults->lock);
	faults->polling = false;
	faults->polls++;
	eventfd_read(faults->wake_fd, &woken);
	pthread_cond_broadcast(&faults->polled);
	pthread_mutex_unlock(&faults->lock);
}
