// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: what happens without a call, in a queue that read() empties. Reporters may be interrupt
 * handlers: everything that they touch is under a spin lock. When the queue is full the newest are
 * counted, not kept.
 *
 * Which refused DMA is reported is up to the IOMMU's driver: one that calls report_iommu_fault().
 * VT-d's and SMMUv3's write to the kernel's log only.
 */
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kioas.h"

int kioas_events_init(struct kioas_events *events)
{
	spin_lock_init(&events->lock);
	init_waitqueue_head(&events->wait);
	INIT_LIST_HEAD(&events->bound);
	events->records = kvcalloc(KIOAS_EVENTS, sizeof(*events->records), GFP_KERNEL_ACCOUNT);
	return events->records ? 0 : -ENOMEM;
}

void kioas_events_destroy(struct kioas_events *events)
{
	kvfree(events->records);
}

static void kioas_event_name_device(struct kioas_events *events, struct device *dev,
				    struct ioasid_event_record *record)
{
	struct kioas_bound *bound;

	list_for_each_entry(bound, &events->bound, event_entry)
		if (&bound->device->pdev->dev == dev) {
			record->dev_id = bound->object.id;
			record->cookie = bound->cookie;
			return;
		}
}

void kioas_event(struct kioas_file *file, struct device *dev,
		 const struct ioasid_event_record *record)
{
	struct kioas_events *events = &file->events;
	struct ioasid_event_record *place;
	unsigned long flags;

	spin_lock_irqsave(&events->lock, flags);
	if (events->count < KIOAS_EVENTS) {
		place = &events->records[(events->first + events->count++) % KIOAS_EVENTS];
		*place = *record;
		place->lost = events->lost;
		events->lost = 0;
		if (dev)
			kioas_event_name_device(events, dev, place);
	} else if (events->lost < U32_MAX) {
		events->lost++;
	}
	spin_unlock_irqrestore(&events->lock, flags);
	wake_up_interruptible(&events->wait);
}

static int kioas_event_fault(struct iommu_domain *domain, struct device *dev, unsigned long iova,
			     int flags, void *token)
{
	struct kioas_space *space = token;
	const struct ioasid_event_record record = {
		.event = IOASID_EVENT_FAULT,
		.ioasid = space->object.id,
		.address = iova,
		.prot = flags & IOMMU_FAULT_WRITE ? IOASID_PROT_WRITE : IOASID_PROT_READ,
	};

	kioas_event(space->file, dev, &record);
	return -ENOSYS; /* the driver goes on as if there were no handler */
}

void kioas_event_domain(struct iommu_domain *domain, struct kioas_space *space)
{
	iommu_set_fault_handler(domain, kioas_event_fault, space);
}

static bool kioas_event_take(struct kioas_events *events, struct ioasid_event_record *record)
{
	bool there;

	spin_lock_irq(&events->lock);
	there = events->count > 0;
	if (there) {
		*record = events->records[events->first];
		events->first = (events->first + 1) % KIOAS_EVENTS;
		events->count--;
	}
	spin_unlock_irq(&events->lock);
	return there;
}

/* A record that cannot be delivered is lost, and counted. */
static void kioas_event_count_lost(struct kioas_events *events, u32 lost)
{
	spin_lock_irq(&events->lock);
	events->lost += lost + 1;
	spin_unlock_irq(&events->lock);
}

ssize_t kioas_event_read(struct file *filp, char __user *buffer, size_t bytes, loff_t *position)
{
	struct kioas_file *file = filp->private_data;
	struct kioas_events *events = &file->events;
	struct ioasid_event_record record;
	size_t done = 0;
	int ret;

	if (bytes < sizeof(record))
		return -EINVAL;
	while (bytes - done >= sizeof(record)) {
		if (!kioas_event_take(events, &record)) {
			if (done)
				break;
			if (filp->f_flags & O_NONBLOCK)
				return -EAGAIN;
			ret = wait_event_interruptible(events->wait, READ_ONCE(events->count));
			if (ret)
				return ret;
			continue;
		}
		if (copy_to_user(buffer + done, &record, sizeof(record))) {
			kioas_event_count_lost(events, record.lost);
			return done ? done : -EFAULT;
		}
		done += sizeof(record);
	}
	return done;
}

/* No fault waits for an answer. */
ssize_t kioas_event_write(struct file *filp, const char __user *buffer, size_t bytes,
			  loff_t *position)
{
	return -EOPNOTSUPP;
}

__poll_t kioas_event_poll(struct file *filp, struct poll_table_struct *table)
{
	struct kioas_file *file = filp->private_data;

	poll_wait(filp, &file->events.wait, table);
	return READ_ONCE(file->events.count) ? EPOLLIN | EPOLLRDNORM : 0;
}
