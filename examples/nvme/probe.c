/* SPDX-License-Identifier: BSD-3-Clause */
#include "probe.h"

#include <errno.h>
#include <string.h>

#include "pattern.h"
#include "say.h"

#define UNTOUCHED 0xa5
#define PAGES	  4 /* of a buffer */
#define BYTES	  (PAGES * NVME_PAGE_BYTES)

static void on_done(void *arg, const struct nvme_request *request, uint16_t status)
{
	(void)request;
	*(int *)arg = status;
}

/* One request, alone. Return: its status (0 or more), or a negative errno. */
static int transfer(struct nvme_io *io, const struct nvme_request *request)
{
	int status = 0;
	int ret = nvme_io_submit(io, request);

	ret = ret ?: nvme_io_wait(io, on_done, &status);
	return ret ?: status;
}

static bool is_untouched(const unsigned char *va)
{
	for (size_t i = 0; i < BYTES; i++)
		if (va[i] != UNTOUCHED)
			return false;
	return true;
}

/* Where the buffer was visible a moment ago. It is visible nowhere when this returns. */
static int find_iova(struct nvme_io *io, void *va, ioas_iova_t *iova)
{
	struct nvme_mapping mapping;
	void *seen;
	int ret = nvme_mapper_get(io->mapper, va, BYTES, IOAS_RW, &mapping);

	if (ret)
		return ret;
	*iova = mapping.runs[0].iova;
	ret = nvme_mapper_put(io->mapper, &mapping);
	ret = ret ?: ioas_flush(io->mapper->queue);
	if (!ret && ioas_lookup(io->mapper->queue, *iova, &seen, NULL) != -ENOENT)
		ret = nvme_fail(-EBUSY, "the buffer is still mapped");
	return ret;
}

static int round_at(struct nvme_io *io, char *va, struct nvme_probe_result *result)
{
	const struct nvme_pattern pattern = { .block = 0,
					      .block_bytes = io->ctrl->block_bytes,
					      .generation = result->rounds };
	struct nvme_request request = { .va = va, .bytes = BYTES, .write = true };
	int ret;

	nvme_pattern_fill(&pattern, va, BYTES);
	ret = transfer(io, &request);
	if (ret)
		return ret < 0 ? ret : -EIO;

	memset(va, UNTOUCHED, BYTES);
	request.write = false;
	ret = find_iova(io, va, &request.iova);
	if (ret)
		return ret;
	request.unmapped = true;
	ret = transfer(io, &request);
	if (ret < 0)
		return ret;
	result->rounds++;
	if (is_untouched((unsigned char *)va))
		result->untouched++;
	else
		result->landed++;

	/* The same read with the buffer visible: what did not land above would have been seen. */
	request.unmapped = false;
	ret = transfer(io, &request);
	if (ret)
		return ret < 0 ? ret : -EIO;
	if (nvme_pattern_check(&pattern, va, BYTES))
		result->wrong++;
	return 0;
}

int nvme_probe_run(struct nvme_io *io, struct ioas_mem *arena, unsigned int rounds,
		   struct nvme_probe_result *result)
{
	const uint64_t places = ioas_mem_bytes(arena) / BYTES;
	int ret = 0;

	memset(result, 0, sizeof(*result));
	if (io->ctrl->host->mode != NVME_STRICT)
		return nvme_fail(-EINVAL, "--probe: only in mode strict are buffers invisible "
					  "between requests");
	for (unsigned int i = 0; !ret && i < rounds; i++)
		ret = round_at(io, (char *)ioas_mem_va(arena) + i * 37 % places * BYTES, result);
	result->faults = nvme_host_faults(io->ctrl->host, false);
	return ret;
}
