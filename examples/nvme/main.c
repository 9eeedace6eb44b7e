/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user-space NVMe driver over libioas: what an SPDK driver does in its data path, with DMA
 * protection in three modes. See options.c for the command line. The last line of the output is for
 * programs: RESULT or PROBE, then NAME=VALUE words.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lane.h"
#include "options.h"
#include "probe.h"
#include "say.h"

#define EXIT_UNSUPPORTED 77 /* what test runners take for a skip */

static void describe(const struct nvme_ctrl *ctrl)
{
	nvme_say("%s: %s, serial %s, NVMe %u.%u, %" PRIu64 " blocks of %u bytes, transfers of up "
		 "to %u KiB, %s",
		 ioas_dev_name(ctrl->host->dev), ctrl->model, ctrl->serial, ctrl->version >> 16,
		 ctrl->version >> 8 & 0xff, ctrl->block_count, ctrl->block_bytes,
		 nvme_io_max_bytes(ctrl) >> 10, ctrl->sgl_support ? "PRPs and SGLs" : "PRPs only");
}

static void say_cache(const struct nvme_host *host)
{
	struct ioas_regcache_stats stats = { .size = sizeof(stats) };

	if (host->cache && !ioas_regcache_get_stats(host->cache, &stats))
		nvme_say("registration cache: %" PRIu64 " gets, %" PRIu64 " misses, %" PRIu64
			 " evictions",
			 stats.gets, stats.misses, stats.evictions);
}

static bool run_load(struct nvme_lane *lanes, const struct nvme_options *options)
{
	const struct nvme_host *host = lanes[0].io.ctrl->host;
	const struct nvme_load_options *load = &options->load;
	struct nvme_load_result result;
	int ret = nvme_lanes_run(lanes, options, &result);

	say_cache(host);
	printf("RESULT backend=%s kind=%s mode=%s lists=%s queues=%u depth=%u block=%u order=%s "
	       "requests=%" PRIu64 " crossings=%" PRIu64 " ioctls_per_io=%.4f iops=%.0f "
	       "verified=%" PRIu64 " errors=%" PRIu64 "%s\n",
	       ioas_ctx_backend(host->ctx), ioas_kind_name(ioas_get_kind(host->as)),
	       nvme_mode_name(options->mode), options->io.sgl ? "sgl" : "prp", options->queues,
	       options->io.depth, load->io_bytes, load->random ? "random" : "seq", result.requests,
	       result.crossings, result.requests ? (double)result.crossings / result.requests : 0,
	       result.seconds ? result.requests / result.seconds : 0,
	       load->verify ? result.read_bytes : 0, result.errors, ret ? " incomplete" : "");
	return !ret && !result.errors;
}

static bool run_probe(struct nvme_io *io, struct ioas_mem *arena,
		      const struct nvme_options *options)
{
	struct nvme_probe_result result;
	int ret = nvme_probe_run(io, arena, options->probe_rounds, &result);

	printf("PROBE backend=%s mode=%s rounds=%u untouched=%u landed=%u wrong=%u "
	       "faults=%" PRIu64 "%s\n",
	       ioas_ctx_backend(io->ctrl->host->ctx), nvme_mode_name(options->mode), result.rounds,
	       result.untouched, result.landed, result.wrong, result.faults,
	       ret ? " incomplete" : "");
	return !ret && !result.landed && !result.wrong;
}

static bool run_lanes(struct nvme_lane *lanes, const struct nvme_options *options)
{
	bool good = options->probe_rounds ? run_probe(&lanes[0].io, lanes[0].arena, options)
					  : run_load(lanes, options);

	if (!good)
		nvme_host_faults(lanes[0].io.ctrl->host, true);
	return good;
}

static bool run(struct nvme_host *host, const struct nvme_options *options)
{
	static struct nvme_lane lanes[NVME_QUEUES_MAX];
	struct nvme_ctrl ctrl;
	bool good;

	if (nvme_ctrl_open(&ctrl, host))
		return false;
	describe(&ctrl);
	good = !nvme_lanes_open(lanes, &ctrl, options) && run_lanes(lanes, options);
	/* The device first: nothing may be unmapped under its hands. */
	nvme_lanes_close(lanes, options->queues);
	nvme_ctrl_close(&ctrl);
	nvme_lanes_release(lanes, options->queues);
	return good;
}

int main(int argc, char **argv)
{
	struct nvme_options options;
	struct nvme_host host;
	bool good;
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!nvme_options_read(&options, argc, argv))
		return 2;
	ret = nvme_host_open(&host, options.backend, options.device, options.kind, options.mode,
			     options.queues);
	if (ret)
		return ret == -EOPNOTSUPP ? EXIT_UNSUPPORTED : 1;
	good = run(&host, &options);
	nvme_host_close(&host);
	return good ? 0 : 1;
}
