/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A context of the backend FAKE_BACKEND, which the includer defines, on a kernel of the tests' own
 * behind ioctl(), with one device, "0:0".
 */
#ifndef TESTS_BACKEND_FAKE_RIG_H
#define TESTS_BACKEND_FAKE_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <ioas/ioas.h>
#include <ioas/pci.h>

#ifndef FAKE_OPTIONS
#define FAKE_OPTIONS "" /* of the backend, besides */
#endif
#define PAGE  IOAS_PAGE_SIZE
#define PAGES 512

struct fake_rig {
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas *as;
	struct ioas_queue *q;
	char log[4096];
};

static inline void fake_log(void *arg, enum ioas_log_level level, const char *line)
{
	struct fake_rig *r = arg;
	size_t used = strlen(r->log);

	snprintf(r->log + used, sizeof(r->log) - used, "%s\n", line);
}

/* What devices fake.devices holds are to be set before. */
static inline void fake_rig_open(struct fake_rig *r)
{
	const struct ioas_mem_opts mem = { .size = sizeof(mem),
					   .numa_node = IOAS_NUMA_ANY,
					   .bytes = PAGES * PAGE,
					   .page_bytes = PAGE };
	struct ioas_ctx_opts opts = {
		.size = sizeof(opts), .backend = FAKE_BACKEND, .log = fake_log, .log_arg = r
	};
	char option[64];
	int fd = fake_fd();

	memset(r, 0, sizeof(*r));
	snprintf(option, sizeof(option), "fd=%d" FAKE_OPTIONS, fd);
	opts.backend_options = option;
	assert_int_equal(ioas_ctx_open(&opts, &r->ctx), 0);
	close(fd);
	assert_int_equal(ioas_dev_bind(r->ctx, "0:0", &r->dev), 0);
	assert_int_equal(ioas_mem_alloc(r->ctx, &mem, &r->mem), 0);
}

static inline void *fake_page(const struct fake_rig *r, unsigned int page)
{
	return (char *)ioas_mem_va(r->mem) + page * PAGE;
}

static inline int fake_rig_create(struct fake_rig *r, struct ioas *parent, enum ioas_format format)
{
	const struct ioas_opts opts = {
		.size = sizeof(opts), .kind = IOAS_KIND_USER, .format = format, .parent = parent
	};
	int ret = ioas_create(r->ctx, &opts, &r->as);

	return ret ? ret : ioas_queue_create(r->as, &r->q);
}

/* A STRICT space with the device on it. */
static inline void fake_rig_start(struct fake_rig *r)
{
	fake_rig_open(r);
	assert_int_equal(fake_rig_create(r, NULL, IOAS_FORMAT_NONE), 0);
	assert_int_equal(ioas_attach(r->as, r->dev), 0);
}

/* A space of any kind with the device on it, which masters the bus. Nothing is flushed by time. */
static inline void fake_rig_run(struct fake_rig *r, enum ioas_kind kind, enum ioas_mode mode)
{
	const struct ioas_opts opts = {
		.size = sizeof(opts),
		.kind = kind,
		.mode = mode,
		.batch_ns = mode == IOAS_BATCHED ? UINT64_C(60000000000) : 0,
	};

	fake_rig_open(r);
	assert_int_equal(ioas_create(r->ctx, &opts, &r->as), 0);
	assert_int_equal(ioas_queue_create(r->as, &r->q), 0);
	assert_int_equal(ioas_attach(r->as, r->dev), 0);
	assert_int_equal(ioas_pci_bus_master(r->dev, true), 0);
}

/* One page each, from the first of the memory on. */
static inline void fake_fill(const struct fake_rig *r, struct ioas_seg *segs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		segs[i] = (struct ioas_seg){ .va = fake_page(r, i % PAGES), .bytes = PAGE };
}

static inline void fake_rig_destroy(struct fake_rig *r)
{
	assert_int_equal(ioas_queue_destroy(r->q), 0);
	assert_int_equal(ioas_destroy(r->as), 0);
}

static inline void fake_rig_close(struct fake_rig *r)
{
	assert_int_equal(ioas_dev_unbind(r->dev), 0);
	assert_int_equal(ioas_mem_free(r->mem), 0);
	assert_int_equal(ioas_ctx_close(r->ctx), 0);
	/* Nothing is left, and nothing was destroyed with something on it. */
	assert_int_equal(fake_count(), 0);
	assert_null(strstr(r->log, "IOMMU_DESTROY"));
	assert_null(strstr(r->log, "IOASID_FREE"));
	assert_null(strstr(r->log, "IOASID_UN"));
}

static inline void fake_rig_stop(struct fake_rig *r)
{
	assert_int_equal(ioas_detach(r->dev), 0);
	fake_rig_destroy(r);
	fake_rig_close(r);
}

static inline uint32_t kinds_of(const struct fake_rig *r)
{
	struct ioas_caps caps = { .size = sizeof(caps) };

	assert_int_equal(ioas_ctx_caps(r->ctx, &caps), 0);
	return caps.kinds;
}

static inline void assert_error(const struct fake_rig *r, const char *part)
{
	char text[256];

	ioas_ctx_error(r->ctx, text, sizeof(text));
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

#endif
