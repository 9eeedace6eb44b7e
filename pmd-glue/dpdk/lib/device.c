/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices of the space: bound, attached, let go of when EAL reports that they were removed.
 *
 * EAL's callback runs in its interrupt thread, which must not wait for one that waits for it. So a
 * record is taken off the list under the lock by whoever comes first, and that one alone ends it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>

#include "lib.h"

static void say(struct ioas_dpdk *glue, const char *name, const char *what, int rc)
{
	char text[256];

	ioas_ctx_error(glue->ctx, text, sizeof(text));
	LIB_LOG(ERR, "%s: device %s: %s: %s: %s", glue->name, name, what, strerror(-rc), text);
}

/* Take it off the list. Return: the record, which is the caller's then, or NULL. */
static struct device *take(struct ioas_dpdk *glue, const char *name)
{
	struct device **link = &glue->devices, *device;

	pthread_mutex_lock(&glue->lock);
	while (*link != NULL && name != NULL && strcmp((*link)->name, name) != 0)
		link = &(*link)->next;
	device = *link;
	if (device != NULL)
		*link = device->next;
	pthread_mutex_unlock(&glue->lock);
	return device;
}

/* No DMA can land when this returns. */
static void end(struct device *device)
{
	int rc = ioas_detach(device->dev);

	if (rc != 0 && rc != -ENOENT)
		say(device->glue, device->name, "detach", rc);
	rc = ioas_dev_unbind(device->dev);
	if (rc != 0)
		say(device->glue, device->name, "unbind", rc);
	free(device);
}

static void on_device_event(const char *name, enum rte_dev_event_type event, void *arg)
{
	struct ioas_dpdk *glue = arg;
	struct device *device;

	if (event != RTE_DEV_EVENT_REMOVE)
		return;
	device = take(glue, name);
	if (device == NULL)
		return;
	LIB_LOG(NOTICE, "%s: device %s was removed: it is detached", glue->name, name);
	/* The callback is running: EAL drops it when its last record is gone (-EAGAIN until then).
	 */
	end(device);
}

int device_bind(struct ioas_dpdk *glue, const char *name, struct ioas_dev **dev)
{
	struct device *device;
	int rc;

	if (name == NULL || strlen(name) >= DEVICE_NAME_BYTES) {
		LIB_LOG(ERR, "%s: devices: a name is missing, or too long", glue->name);
		return -EINVAL;
	}
	device = calloc(1, sizeof(*device));
	if (device == NULL)
		return -ENOMEM;
	rc = ioas_dev_bind(glue->ctx, name, &device->dev);
	if (rc != 0) {
		say(glue, name, "bind", rc);
		free(device);
		return rc;
	}
	if (dev != NULL)
		*dev = device->dev;
	device->glue = glue;
	snprintf(device->name, sizeof(device->name), "%s", name);
	device->watched = rte_dev_event_callback_register(name, on_device_event, glue) == 0;
	pthread_mutex_lock(&glue->lock);
	device->next = glue->devices;
	glue->devices = device;
	pthread_mutex_unlock(&glue->lock);
	return 0;
}

static void unwatch(struct ioas_dpdk *glue, const struct device *device)
{
	int tries = 1000;

	/* EAGAIN: it is running, and finds no record any more. */
	while (device->watched && tries-- > 0 &&
	       rte_dev_event_callback_unregister(device->name, on_device_event, glue) == -EAGAIN)
		rte_delay_us_sleep(100);
}

int devices_attach(struct ioas_dpdk *glue)
{
	int rc = 0;

	for (struct device *device = glue->devices; device != NULL && rc == 0;
	     device = device->next) {
		rc = ioas_attach(glue->as, device->dev);
		if (rc != 0)
			say(glue, device->name, "attach", rc);
	}
	return rc;
}

int ioas_dpdk_dev_add(struct ioas_dpdk *glue, const char *name, struct ioas_dev **dev)
{
	struct ioas_dev *bound;
	int rc;

	if (glue->secondary) {
		LIB_LOG(ERR, "%s: device %s: devices are the primary process's", glue->name, name);
		return -ENOTSUP;
	}
	rc = device_bind(glue, name, &bound);
	if (rc != 0)
		return rc;
	rc = ioas_attach(glue->as, bound);
	if (rc != 0) {
		say(glue, name, "attach", rc);
		ioas_dpdk_dev_remove(glue, name);
		return rc;
	}
	*dev = bound;
	return 0;
}

int ioas_dpdk_dev_remove(struct ioas_dpdk *glue, const char *name)
{
	struct device *device = take(glue, name);

	if (device == NULL)
		return -ENOENT;
	unwatch(glue, device);
	end(device);
	return 0;
}

void devices_remove_all(struct ioas_dpdk *glue)
{
	struct device *device;

	while ((device = take(glue, NULL)) != NULL) {
		unwatch(glue, device);
		end(device);
	}
}
