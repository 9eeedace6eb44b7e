/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults, and devices that are taken away: the events of the file. See ioasid.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ioasid.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE 32

void ioasid_events_add(struct ioasid_be *be, struct ioasid_dev *dev)
{
	pthread_mutex_lock(&be->events_lock);
	dev->next = be->devices;
	be->devices = dev;
	pthread_mutex_unlock(&be->events_lock);
}

void ioasid_events_remove(struct ioasid_be *be, struct ioasid_dev *dev)
{
	struct ioasid_dev **link = &be->devices;

	pthread_mutex_lock(&be->events_lock);
	while (*link != dev)
		link = &(*link)->next;
	*link = dev->next;
	pthread_mutex_unlock(&be->events_lock);
	if (dev->removal_fd >= 0)
		close(dev->removal_fd);
}

static int signal_removal(int eventfd)
{
	const uint64_t one = 1;

	return write(eventfd, &one, sizeof(one)) < 0 ? -errno : 0;
}

int ioasid_events_removal(struct ioasid_be *be, struct ioasid_dev *dev, int eventfd)
{
	int copy = eventfd < 0 ? -1 : vfio_dup(&be->vfio.base, eventfd);
	int old;

	if (eventfd >= 0 && copy < 0)
		return copy;
	pthread_mutex_lock(&be->events_lock);
	old = dev->removal_fd;
	dev->removal_fd = copy;
	if (copy >= 0 && atomic_load(&dev->gone))
		signal_removal(copy);
	pthread_mutex_unlock(&be->events_lock);
	if (old >= 0)
		close(old);
	return 0;
}

static struct ioasid_dev *find_device(const struct ioasid_be *be, uint64_t cookie)
{
	for (struct ioasid_dev *dev = be->devices; dev; dev = dev->next)
		if (dev->cookie == cookie)
			return dev;
	return NULL;
}

static uint32_t fault_reason(const struct ioasid_event_record *record)
{
	static const uint32_t reasons[] = {
		[IOASID_REASON_UNKNOWN] = IOAS_FAULT_UNKNOWN,
		[IOASID_REASON_NOT_PRESENT] = IOAS_FAULT_NOT_PRESENT,
		[IOASID_REASON_PROTECTION] = IOAS_FAULT_PERMISSION,
		[IOASID_REASON_RESERVED] = IOAS_FAULT_RESERVED,
		[IOASID_REASON_PARENT] = IOAS_FAULT_PARENT,
		[IOASID_REASON_RANGE] = IOAS_FAULT_ADDRESS,
		[IOASID_REASON_MEMORY] = IOAS_FAULT_MEMORY,
	};

	switch (record->event) {
	case IOASID_EVENT_DEVICE_GONE:
		return IOAS_FAULT_GONE;
	case IOASID_EVENT_SPACE_BROKEN:
		return IOAS_FAULT_BROKEN;
	}
	return record->reason < sizeof(reasons) / sizeof(reasons[0]) ? reasons[record->reason]
								     : IOAS_FAULT_UNKNOWN;
}

static void device_gone(struct ioasid_be *be, struct ioasid_dev *dev)
{
	atomic_store(&dev->gone, true);
	if (dev->removal_fd >= 0)
		signal_removal(dev->removal_fd);
	diag_log(be->vfio.base.diag, IOAS_LOG_WARNING,
		 "ioasid: %s was taken away: detach and unbind it", dev->vfio.address);
}

/* events_lock is held. */
static void take_record(struct ioasid_be *be, const struct ioasid_event_record *record,
			struct be_fault *fault)
{
	struct ioasid_dev *dev = find_device(be, record->cookie);

	if (record->event == IOASID_EVENT_DEVICE_GONE && dev)
		device_gone(be, dev);
	*fault = (struct be_fault){
		.dev = dev ? &dev->vfio.base : NULL,
		.iova = record->address & ~(IOAS_PAGE_SIZE - 1),
		.reason = fault_reason(record),
		.prot = record->prot & IOAS_RW,
	};
}

int ioasid_fault_read(struct be *base, struct be_fault *faults, unsigned int max, uint64_t *lost)
{
	struct ioasid_be *be = ioasid_to_be(base);
	struct ioasid_event_record records[AT_ONCE];
	unsigned int done = 0;
	ssize_t got = 1;

	pthread_mutex_lock(&be->events_lock);
	while (done < max && got > 0) {
		unsigned int some = max - done < AT_ONCE ? max - done : AT_ONCE;

		/* The file does not block. */
		got = read(be->fd, records, some * sizeof(records[0]));
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(records[0]); i++) {
			*lost += records[i].lost;
			take_record(be, &records[i], &faults[done++]);
		}
	}
	pthread_mutex_unlock(&be->events_lock);
	return done;
}
