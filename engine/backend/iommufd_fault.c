/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults of USER spaces: the kernel has a queue of events for each vIOMMU, which carry the name of
 * the device (its vDevice). What does not fit the queue is counted by gaps in its sequence numbers.
 *
 * Faults of the second stage, those of KERNEL spaces, and all of makes that have no vIOMMU (VT-d),
 * are told to the kernel's log only.
 *
 * Locking: struct iommufd_faults has a lock of its own, since faults are read without the
 * context's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "iommufd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define EVENTS	       1024 /* that wait in the kernel; more are counted as lost */
#define EVENTS_AT_ONCE 32
#define SEQUENCE_MASK  0x7fffffffU

void iommufd_faults_init(struct iommufd_faults *faults)
{
	pthread_mutex_init(&faults->lock, NULL);
	pthread_cond_init(&faults->polled, NULL);
	faults->wake_fd = -1;
}

void iommufd_faults_destroy(struct iommufd_faults *faults)
{
	if (faults->wake_fd >= 0)
		close(faults->wake_fd);
	pthread_cond_destroy(&faults->polled);
	pthread_mutex_destroy(&faults->lock);
}

void iommufd_faults_add_dev(struct iommufd_faults *faults, struct iommufd_dev *dev)
{
	pthread_mutex_lock(&faults->lock);
	dev->virt_id = ++faults->last_virt_id;
	dev->next_faulting = faults->devices;
	faults->devices = dev;
	pthread_mutex_unlock(&faults->lock);
}

void iommufd_faults_remove_dev(struct iommufd_faults *faults, struct iommufd_dev *dev)
{
	struct iommufd_dev **link = &faults->devices;

	pthread_mutex_lock(&faults->lock);
	while (*link != dev)
		link = &(*link)->next_faulting;
	*link = dev->next_faulting;
	pthread_mutex_unlock(&faults->lock);
}

int iommufd_nest_events(struct iommufd_nest *nest)
{
	struct be *be = &nest->be->vfio.base;
	struct uapi_veventq_alloc alloc = {
		.size = sizeof(alloc),
		.viommu_id = nest->viommu_id,
		.type = nest->ops->event_type,
		.veventq_depth = EVENTS,
	};

	if (!nest->ops->event_bytes)
		return 0;
	if (ioctl(nest->be->fd, UAPI_VEVENTQ_ALLOC, &alloc)) {
		/* Faults go to the kernel's log then, as those of KERNEL spaces do. */
		if (errno == ENOTTY)
			return 0;
		return iommufd_fail(be, "IOMMU_VEVENTQ_ALLOC");
	}
	nest->veventq_id = alloc.out_veventq_id;
	nest->events_fd = alloc.out_veventq_fd;
	if (fcntl(nest->events_fd, F_SETFL, O_RDONLY | O_NONBLOCK) ||
	    fcntl(nest->events_fd, F_SETFD, FD_CLOEXEC))
		return iommufd_fail(be, "event queue: fcntl");
	return 0;
}

static struct be_dev *find_device(const struct iommufd_faults *faults, uint32_t virt_id)
{
	for (struct iommufd_dev *dev = faults->devices; dev; dev = dev->next_faulting)
		if (dev->virt_id == virt_id)
			return &dev->vfio.base;
	return NULL;
}

/* One of the records in @bytes at @at. Return: its size, or 0: it is cut off. */
static size_t take_record(struct iommufd_nest *nest, const char *at, size_t bytes,
			  struct be_fault *out, bool *is_fault, uint64_t *lost)
{
	const struct nested_ops *ops = nest->ops;
	struct uapi_vevent_header header;
	uint64_t record[NESTED_EVENT_BYTES / 8];
	struct nested_event event;

	*is_fault = false;
	if (bytes < sizeof(header))
		return 0;
	memcpy(&header, at, sizeof(header));
	/* A record that says "lost" stands for the last of them. */
	*lost += ((header.sequence - nest->sequence) & SEQUENCE_MASK) +
		 (header.flags & UAPI_VEVENTQ_LOST ? 1 : 0);
	nest->sequence = (header.sequence + 1) & SEQUENCE_MASK;
	if (header.flags & UAPI_VEVENTQ_LOST)
		return sizeof(header);
	if (bytes < sizeof(header) + ops->event_bytes)
		return 0;
	memcpy(record, at + sizeof(header), ops->event_bytes);
	*is_fault = ops->event(record, &event);
	if (*is_fault)
		*out = (struct be_fault){
			.dev = find_device(&nest->be->faults, event.virt_id),
			.iova = event.iova,
			.reason = event.reason,
			.prot = event.prot,
		};
	return sizeof(header) + ops->event_bytes;
}

/* Return: how many of at most @max were read; *end: there are no more for now. */
static unsigned int read_some(struct iommufd_nest *nest, struct be_fault *faults, unsigned int max,
			      uint64_t *lost, bool *end)
{
	char buffer[EVENTS_AT_ONCE * (sizeof(struct uapi_vevent_header) + NESTED_EVENT_BYTES)];
	const size_t record = sizeof(struct uapi_vevent_header) + nest->ops->event_bytes;
	const size_t room = (max < EVENTS_AT_ONCE ? max : EVENTS_AT_ONCE) * record;
	ssize_t got = read(nest->events_fd, buffer, room);
	unsigned int done = 0;
	size_t one;

	*end = got <= 0;
	for (ssize_t at = 0; at < got && done < max; at += one) {
		bool is_fault;

		one = take_record(nest, buffer + at, got - at, &faults[done], &is_fault, lost);
		if (!one)
			break;
		done += is_fault;
	}
	return done;
}

void iommufd_faults_add_nest(struct iommufd_faults *faults, struct iommufd_nest *nest)
{
	pthread_mutex_lock(&faults->lock);
	nest->next = faults->nests;
	faults->nests = nest;
	pthread_mutex_unlock(&faults->lock);
}

void iommufd_faults_remove_nest(struct iommufd_faults *faults, struct iommufd_nest *nest)
{
	struct iommufd_nest **link = &faults->nests;
	struct be_fault some[EVENTS_AT_ONCE];
	uint64_t count = 0, lost = 0;
	bool end = nest->events_fd < 0;

	pthread_mutex_lock(&faults->lock);
	while (*link != nest)
		link = &(*link)->next;
	*link = nest->next;
	/* What nobody has read goes with the queue. */
	while (!end)
		count += read_some(nest, some, EVENTS_AT_ONCE, &lost, &end);
	faults->unread += count + lost;
	pthread_mutex_unlock(&faults->lock);
}

int iommufd_user_fault_read(struct be *base, struct be_fault *faults, unsigned int max,
			    uint64_t *lost)
{
	struct iommufd_be *be = iommufd_to_be(base);
	unsigned int done = 0;

	pthread_mutex_lock(&be->faults.lock);
	*lost += be->faults.unread;
	be->faults.unread = 0;
	for (struct iommufd_nest *nest = be->faults.nests; nest; nest = nest->next) {
		bool end = nest->events_fd < 0;

		while (!end && done < max)
			done += read_some(nest, faults + done, max - done, lost, &end);
	}
	pthread_mutex_unlock(&be->faults.lock);
	return done;
}
