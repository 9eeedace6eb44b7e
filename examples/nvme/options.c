/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"

static const char usage[] =
	"usage: nvme --device BDF [OPTIONS]\n"
	"\n"
	"Writes the first namespace of an NVMe controller and reads it back, comparing every byte.\n"
	"EVERYTHING ON IT IS LOST. The device has to be bound to vfio-pci.\n"
	"\n"
	"  --device BDF       PCI address, such as 0000:00:09.0\n"
	"  --backend NAME     iommufd, ioasid, type1 or auto [auto]\n"
	"  --kind KIND        user or kernel: who makes the page table [user where the backend can]\n"
	"  --mode MODE        static: buffers are mapped for ever; strict: for each request;\n"
	"                     batched: for each request, through a cache or with batched\n"
	"                     invalidation [strict]\n"
	"  --queues N         pairs of I/O queues, a thread each, 1 to 16; they share image and memory [1]\n"
	"  --depth N          requests in flight in each, 1 to 128 [32]\n"
	"  --block N          bytes of a request, such as 4096 or 128K [4096]\n"
	"  --bytes N          how much to read back in all [64M]\n"
	"  --seq, --random    order of requests and buffers [random]\n"
	"  --prp, --sgl       how requests describe their buffers [prp]\n"
	"  --chain            begin lists near the end of a page, so that they are chained; give\n"
	"                     SGLs a descriptor for each page\n"
	"  --offset N         where buffers begin in a page, a multiple of 4 [0]\n"
	"  --memory N         from which buffers are taken [256M]\n"
	"  --cache N          what the cache of mode batched may keep mapped [all]\n"
	"  --irq              sleep until the device interrupts, in place of polling\n"
	"  --progress N       milliseconds between lines on how far it is [2000]\n"
	"  --no-verify        compare nothing (--verify is the default)\n"
	"  --probe N          in place of the load: N reads into buffers that are unmapped, which\n"
	"                     must not land\n"
	"\n"
	"Exit status: 0 all is well, 1 it is not, 2 usage, 77 the backend has no such --kind.\n";

enum {
	OPT_DEVICE = 1000,
	OPT_BACKEND,
	OPT_KIND,
	OPT_MODE,
	OPT_QUEUES,
	OPT_DEPTH,
	OPT_BLOCK,
	OPT_BYTES,
	OPT_SEQ,
	OPT_RANDOM,
	OPT_PRP,
	OPT_SGL,
	OPT_CHAIN,
	OPT_OFFSET,
	OPT_MEMORY,
	OPT_CACHE,
	OPT_IRQ,
	OPT_VERIFY,
	OPT_NO_VERIFY,
	OPT_PROBE,
	OPT_PROGRESS,
	OPT_HELP,
};

static const struct option known[] = {
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "kind", required_argument, NULL, OPT_KIND },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "queues", required_argument, NULL, OPT_QUEUES },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "bytes", required_argument, NULL, OPT_BYTES },
	{ "seq", no_argument, NULL, OPT_SEQ },
	{ "random", no_argument, NULL, OPT_RANDOM },
	{ "prp", no_argument, NULL, OPT_PRP },
	{ "sgl", no_argument, NULL, OPT_SGL },
	{ "chain", no_argument, NULL, OPT_CHAIN },
	{ "offset", required_argument, NULL, OPT_OFFSET },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "cache", required_argument, NULL, OPT_CACHE },
	{ "irq", no_argument, NULL, OPT_IRQ },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "no-verify", no_argument, NULL, OPT_NO_VERIFY },
	{ "probe", required_argument, NULL, OPT_PROBE },
	{ "progress", required_argument, NULL, OPT_PROGRESS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* A number, with K, M, G or T behind it. */
static bool read_number(const char *name, const char *text, uint64_t min, uint64_t max,
			uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	char *end;

	*value = strtoull(text, &end, 10);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		const unsigned int shift = 10 * (unsigned int)(suffix - suffixes + 1);

		end++;
		*value = *value > UINT64_MAX >> shift ? UINT64_MAX : *value << shift;
	}
	if (end != text && *text != '-' && !*end && *value >= min && *value <= max)
		return true;
	nvme_say("--%s %s: a number from %llu to %llu is needed; K, M, G, T may follow it", name,
		 text, (unsigned long long)min, (unsigned long long)max);
	return false;
}

static bool read_kind(const char *text, enum ioas_kind *kind)
{
	*kind = !strcmp(text, "user") ? IOAS_KIND_USER : IOAS_KIND_KERNEL;
	if (*kind == IOAS_KIND_USER || !strcmp(text, "kernel"))
		return true;
	nvme_say("--kind %s: there are user, kernel", text);
	return false;
}

static bool read_mode(const char *text, enum nvme_mode *mode)
{
	for (*mode = NVME_STATIC; *mode <= NVME_BATCHED; ++*mode)
		if (!strcmp(text, nvme_mode_name(*mode)))
			return true;
	nvme_say("--mode %s: there are static, strict, batched", text);
	return false;
}

static bool read_one(struct nvme_options *options, int option, const char *name, const char *text)
{
	uint64_t number = 0;
	bool good = true;

	switch (option) {
	case OPT_DEVICE:
		options->device = text;
		break;
	case OPT_BACKEND:
		options->backend = text;
		break;
	case OPT_KIND:
		return read_kind(text, &options->kind);
	case OPT_MODE:
		return read_mode(text, &options->mode);
	case OPT_QUEUES:
		good = read_number(name, text, 1, NVME_QUEUES_MAX, &number);
		options->queues = number;
		break;
	case OPT_DEPTH:
		good = read_number(name, text, 1, NVME_DEPTH_MAX, &number);
		options->io.depth = number;
		break;
	case OPT_BLOCK:
		good = read_number(name, text, 512, NVME_IO_BYTES_MAX, &number);
		options->load.io_bytes = number;
		break;
	case OPT_BYTES:
		return read_number(name, text, 512, UINT64_C(1) << 60, &options->load.bytes);
	case OPT_SEQ:
	case OPT_RANDOM:
		options->load.random = option == OPT_RANDOM;
		break;
	case OPT_PRP:
	case OPT_SGL:
		options->io.sgl = option == OPT_SGL;
		break;
	case OPT_CHAIN:
		options->io.chain = true;
		break;
	case OPT_OFFSET:
		good = read_number(name, text, 0, NVME_PAGE_BYTES - 4, &number);
		if (good && number % 4) {
			nvme_say("--offset %s: not a multiple of 4", text);
			good = false;
		}
		options->load.offset = number;
		break;
	case OPT_MEMORY:
		return read_number(name, text, NVME_PAGE_BYTES, UINT64_C(1) << 40,
				   &options->memory_bytes);
	case OPT_CACHE:
		return read_number(name, text, 1, UINT64_C(1) << 40, &options->cache_bytes);
	case OPT_IRQ:
		options->io.interrupt = true;
		break;
	case OPT_VERIFY:
	case OPT_NO_VERIFY:
		options->load.verify = option == OPT_VERIFY;
		break;
	case OPT_PROBE:
		good = read_number(name, text, 1, 1000000, &number);
		options->probe_rounds = number;
		break;
	case OPT_PROGRESS:
		good = read_number(name, text, 1, 3600 * 1000, &number);
		options->load.progress_ms = number;
		break;
	case OPT_HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		return false; /* getopt has said why */
	}
	return good;
}

bool nvme_options_read(struct nvme_options *options, int argc, char **argv)
{
	int option, index = 0;

	*options = (struct nvme_options){
		.mode = NVME_STRICT,
		.queues = 1,
		.io = { .depth = 32 },
		.load = { .io_bytes = 4096,
			  .bytes = UINT64_C(64) << 20,
			  .random = true,
			  .verify = true,
			  .progress_ms = 2000 },
		.memory_bytes = UINT64_C(256) << 20,
	};
	while ((option = getopt_long(argc, argv, "", known, &index)) != -1)
		if (!read_one(options, option, known[index].name, optarg))
			return false;
	if (optind < argc) {
		nvme_say("%s: not an option; see --help", argv[optind]);
		return false;
	}
	if (!options->device) {
		nvme_say("--device is missing; see --help");
		return false;
	}
	return true;
}
