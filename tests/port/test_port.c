/* SPDX-License-Identifier: BSD-3-Clause */
/* The drivers of the port guide, after their port, with a device that does what its ring says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <ioas/soft.h>

#include "port.h"

#define ROUNDS 100

static int device_writes(struct ioas_dev *dev, const struct ring *ring, int value)
{
	char data[PORT_BYTES];
	int ret = 0;

	memset(data, value, sizeof(data));
	for (unsigned int i = 0; i < ring->count && !ret; i++)
		ret = ioas_soft_dma_write(dev, ring->iova[i], data, ring->bytes[i]);
	return ret;
}

static void one_io(const struct port *port, struct ioas_dev *dev, int value)
{
	unsigned char *buffer = port->buffer();
	struct ring ring = { .count = 0 };

	assert_non_null(buffer);
	memset(buffer, 0, PORT_BYTES);
	assert_int_equal(port->submit(&ring, buffer, PORT_BYTES), 0);
	assert_true(ring.count > 0);
	assert_int_equal(device_writes(dev, &ring, value), 0);
	for (unsigned int i = 0; i < PORT_BYTES; i++)
		assert_int_equal(buffer[i], value);
	assert_int_equal(port->complete(buffer), 0);
	/* A device that goes on. */
	assert_int_equal(device_writes(dev, &ring, 0xff), port->strict ? -EFAULT : 0);
	assert_int_equal(buffer[0], port->strict ? value : 0xff);
}

static void run(void **state)
{
	const struct port *port = *state;
	struct ioas_ctx_opts soft = { .size = sizeof(soft), .backend = "soft" };
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;

	assert_int_equal(ioas_ctx_open(&soft, &ctx), 0);
	assert_int_equal(ioas_dev_bind(ctx, "device", &dev), 0);
	assert_int_equal(port->start(ctx, dev), 0);
	for (int i = 0; i < ROUNDS; i++)
		one_io(port, dev, 1 + i);
	assert_int_equal(ioas_detach(dev), 0);
	assert_int_equal(port->stop(), 0);
	assert_int_equal(ioas_dev_unbind(dev), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

#define PORT(name)                                           \
	{                                                    \
#name, run, NULL, NULL, (void *)&port_##name \
	}

int main(void)
{
	const struct CMUnitTest tests[] = { PORT(vfio), PORT(iommufd), PORT(spdk), PORT(libvfn) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
