/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests, and the kernel's words for why one failed. See ioasid.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ioasid.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

int ioasid_request(const struct ioasid_be *be, unsigned long request, void *argument)
{
	return ioctl(be->fd, request, argument) ? -errno : 0;
}

int ioasid_device_request(const struct ioasid_dev *dev, unsigned long request, void *argument)
{
	int ret = ioasid_request(ioasid_to_be(dev->vfio.base.be), request, argument);

	return ret == -ENOENT ? -ENODEV : ret;
}

void ioasid_why(const struct ioasid_be *be, int code, struct ioasid_why *why)
{
	struct ioasid_last_error last = { .size = sizeof(last) };

	why->index = 0;
	/* Of another failure than the one that is asked for: that one left no words. */
	if (ioasid_request(be, IOASID_LAST_ERROR, &last) || last.out_errno != (uint32_t)-code) {
		snprintf(why->text, sizeof(why->text), "%s", strerror(-code));
		return;
	}
	why->index = last.out_index;
	snprintf(why->text, sizeof(why->text), "%.*s%s%.*s", IOASID_ERROR_FIELD_BYTES,
		 (const char *)last.out_field, last.out_field[0] && last.out_text[0] ? ": " : "",
		 IOASID_ERROR_TEXT_BYTES, (const char *)last.out_text);
	if (!why->text[0])
		snprintf(why->text, sizeof(why->text), "%s", strerror(-code));
}

int ioasid_fail(struct ioasid_be *be, int code, const char *what, ...)
{
	char text[DIAG_TEXT_BYTES / 2];
	struct ioasid_why why;
	va_list args;

	ioasid_why(be, code, &why);
	va_start(args, what);
	vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	return diag_fail(be->vfio.base.diag, code, "ioasid: %s: %s", text, why.text);
}
