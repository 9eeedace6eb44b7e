/* SPDX-License-Identifier: BSD-3-Clause */
#include "env_rig.h"

#include <spdk/log.h>

#include <ioas/soft.h>

#include "ioas_env.h"

static char error[512];
static struct ioas_dev *device;

/* SPDK's own function has the same declaration. */
void spdk_log(enum spdk_log_level level, const char *file, const int line, const char *func,
	      const char *format, ...)
{
	va_list args;

	if (level != SPDK_LOG_ERROR)
		return;
	va_start(args, format);
	vsnprintf(error, sizeof(error), format, args);
	va_end(args);
}

const char *rig_error(void)
{
	return error;
}

void rig_forget(void)
{
	*error = '\0';
}

struct spdk_env_opts rig_options(void)
{
	struct spdk_env_opts opts = { .opts_size = sizeof(opts) };

	spdk_env_opts_init(&opts);
	opts.no_huge = true;
	opts.env_context = (void *)"backend=soft";
	return opts;
}

int rig_open(void **state)
{
	const struct spdk_env_opts opts = rig_options();

	if (spdk_env_init(&opts) || ioas_dev_bind(ioas_env.ctx, "model", &device))
		return -1;
	return ioas_attach(ioas_env.as, device);
}

/* An error in closing is one of the test. */
int rig_close(void **state)
{
	rig_forget();
	if (ioas_detach(device) || ioas_dev_unbind(device))
		return -1;
	spdk_env_fini();
	return *error ? -1 : 0;
}

void rig_check_reach(const void *va, size_t bytes)
{
	const char *next = va;
	char seen[256];

	while (bytes) {
		uint64_t run = bytes < sizeof(seen) ? bytes : sizeof(seen);
		const uint64_t iova = spdk_vtophys(next, &run);

		assert_int_not_equal(iova, SPDK_VTOPHYS_ERROR);
		assert_in_range(run, 1, bytes);
		assert_int_equal(ioas_soft_dma_read(device, iova, seen, run), 0);
		assert_memory_equal(seen, next, run);
		next += run;
		bytes -= run;
	}
}
