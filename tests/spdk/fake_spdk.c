/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_spdk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ioas/soft.h>

/* Memory: the order of calls, replay and roll-back are those of SPDK's documentation. */

#define REGIONS 64
#define MAPS	8

struct spdk_mem_map {
	struct spdk_mem_map_ops ops;
	void *arg;
};

static struct {
	void *va;
	size_t bytes;
} regions[REGIONS];
static struct spdk_mem_map *maps[MAPS];

static int tell(struct spdk_mem_map *map, enum spdk_mem_map_notify_action action, unsigned int i)
{
	return map->ops.notify_cb(map->arg, map, action, regions[i].va, regions[i].bytes);
}

struct spdk_mem_map *spdk_mem_map_alloc(uint64_t default_translation,
					const struct spdk_mem_map_ops *ops, void *cb_ctx)
{
	struct spdk_mem_map *map = calloc(1, sizeof(*map));
	unsigned int place = 0;

	(void)default_translation;
	map->ops = *ops;
	map->arg = cb_ctx;
	for (unsigned int i = 0; i < REGIONS; i++) {
		if (!regions[i].va || !tell(map, SPDK_MEM_MAP_NOTIFY_REGISTER, i))
			continue;
		while (i-- > 0)
			if (regions[i].va)
				tell(map, SPDK_MEM_MAP_NOTIFY_UNREGISTER, i);
		free(map);
		return NULL;
	}
	while (maps[place])
		place++;
	maps[place] = map;
	return map;
}

void spdk_mem_map_free(struct spdk_mem_map **pmap)
{
	for (unsigned int i = 0; i < REGIONS; i++)
		if (regions[i].va)
			tell(*pmap, SPDK_MEM_MAP_NOTIFY_UNREGISTER, i);
	for (unsigned int i = 0; i < MAPS; i++)
		if (maps[i] == *pmap)
			maps[i] = NULL;
	free(*pmap);
	*pmap = NULL;
}

int spdk_mem_register(void *vaddr, size_t len)
{
	unsigned int place = 0;

	while (regions[place].va)
		place++;
	regions[place].va = vaddr;
	regions[place].bytes = len;
	for (unsigned int i = 0; i < MAPS; i++) {
		int ret = maps[i] ? tell(maps[i], SPDK_MEM_MAP_NOTIFY_REGISTER, place) : 0;

		if (ret) {
			regions[place].va = NULL;
			return ret;
		}
	}
	return 0;
}

int spdk_mem_unregister(void *vaddr, size_t len)
{
	for (unsigned int place = 0; place < REGIONS; place++) {
		if (regions[place].va != vaddr || regions[place].bytes != len)
			continue;
		for (unsigned int i = MAPS; i-- > 0;) {
			int ret =
				maps[i] ? tell(maps[i], SPDK_MEM_MAP_NOTIFY_UNREGISTER, place) : 0;

			if (ret)
				return ret;
		}
		regions[place].va = NULL;
		return 0;
	}
	return -EINVAL;
}

/* The controller. */

void fake_qpair_init(struct spdk_nvme_qpair *qpair, struct ioas_dev *dev, unsigned int depth)
{
	memset(qpair, 0, sizeof(*qpair));
	qpair->dev = dev;
	qpair->depth = depth;
}

uint32_t spdk_nvme_ns_get_extended_sector_size(struct spdk_nvme_ns *ns)
{
	(void)ns;
	return FAKE_BLOCK;
}

static struct fake_command *take(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair,
				 uint64_t lba, bool write, spdk_nvme_cmd_cb cb, void *arg)
{
	struct fake_command *command;

	if (qpair->count == qpair->depth)
		return NULL;
	command = &qpair->commands[(qpair->first + qpair->count++) % FAKE_DEPTH];
	*command =
		(struct fake_command){ .cb = cb, .arg = arg, .ns = ns, .lba = lba, .write = write };
	return command;
}

static int flat(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, void *payload, uint64_t lba,
		uint32_t lba_count, bool write, spdk_nvme_cmd_cb cb, void *arg)
{
	struct fake_command *command = take(ns, qpair, lba, write, cb, arg);

	if (!command)
		return -ENOMEM;
	command->segs[0].va = payload;
	command->segs[0].bytes = lba_count * FAKE_BLOCK;
	command->count = 1;
	return 0;
}

static int scattered(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, uint64_t lba,
		     uint32_t lba_count, bool write, spdk_nvme_cmd_cb cb, void *arg,
		     spdk_nvme_req_reset_sgl_cb reset, spdk_nvme_req_next_sge_cb next)
{
	struct fake_command *command = take(ns, qpair, lba, write, cb, arg);
	uint32_t left = lba_count * FAKE_BLOCK;

	if (!command)
		return -ENOMEM;
	reset(arg, 0);
	while (left) {
		uint32_t length;

		next(arg, &command->segs[command->count].va, &length);
		length = length < left ? length : left;
		command->segs[command->count++].bytes = length;
		left -= length;
	}
	return 0;
}

int spdk_nvme_ns_cmd_read(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, void *payload,
			  uint64_t lba, uint32_t lba_count, spdk_nvme_cmd_cb cb_fn, void *cb_arg,
			  uint32_t io_flags)
{
	(void)io_flags;
	return flat(ns, qpair, payload, lba, lba_count, false, cb_fn, cb_arg);
}

int spdk_nvme_ns_cmd_write(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, void *payload,
			   uint64_t lba, uint32_t lba_count, spdk_nvme_cmd_cb cb_fn, void *cb_arg,
			   uint32_t io_flags)
{
	(void)io_flags;
	return flat(ns, qpair, payload, lba, lba_count, true, cb_fn, cb_arg);
}

int spdk_nvme_ns_cmd_readv(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, uint64_t lba,
			   uint32_t lba_count, spdk_nvme_cmd_cb cb_fn, void *cb_arg,
			   uint32_t io_flags, spdk_nvme_req_reset_sgl_cb reset_sgl_fn,
			   spdk_nvme_req_next_sge_cb next_sge_fn)
{
	(void)io_flags;
	return scattered(ns, qpair, lba, lba_count, false, cb_fn, cb_arg, reset_sgl_fn,
			 next_sge_fn);
}

int spdk_nvme_ns_cmd_writev(struct spdk_nvme_ns *ns, struct spdk_nvme_qpair *qpair, uint64_t lba,
			    uint32_t lba_count, spdk_nvme_cmd_cb cb_fn, void *cb_arg,
			    uint32_t io_flags, spdk_nvme_req_reset_sgl_cb reset_sgl_fn,
			    spdk_nvme_req_next_sge_cb next_sge_fn)
{
	(void)io_flags;
	return scattered(ns, qpair, lba, lba_count, true, cb_fn, cb_arg, reset_sgl_fn, next_sge_fn);
}

static void execute(struct spdk_nvme_qpair *qpair, const struct fake_command *command)
{
	unsigned char *media = command->ns->media + command->lba * FAKE_BLOCK;

	for (unsigned int i = 0; i < command->count; i++) {
		const uintptr_t iova = (uintptr_t)command->segs[i].va;
		const uint32_t bytes = command->segs[i].bytes;
		int ret = command->write ? ioas_soft_dma_read(qpair->dev, iova, media, bytes)
					 : ioas_soft_dma_write(qpair->dev, iova, media, bytes);

		qpair->dma_errors += ret != 0;
		media += bytes;
	}
}

int32_t spdk_nvme_qpair_process_completions(struct spdk_nvme_qpair *qpair, uint32_t max)
{
	uint32_t todo = max && max < qpair->count ? max : qpair->count;

	for (uint32_t i = 0; i < todo; i++) {
		const struct fake_command command = qpair->commands[qpair->first];
		const struct spdk_nvme_cpl cpl = { .cid = qpair->first };

		execute(qpair, &command);
		qpair->first = (qpair->first + 1) % FAKE_DEPTH;
		qpair->count--;
		command.cb(command.arg, &cpl);
	}
	return (int32_t)todo;
}
