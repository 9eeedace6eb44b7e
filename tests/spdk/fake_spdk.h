/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SPDK in small: registered memory and its maps, and an NVMe controller whose DMA goes through the
 * software IOMMU, at the virtual addresses that its commands hold.
 */
#ifndef TESTS_FAKE_SPDK_H
#define TESTS_FAKE_SPDK_H

#include <stdbool.h>

#include <ioas/ioas.h>
#include <spdk/env.h>
#include <spdk/nvme.h>

#define FAKE_BLOCK  512
#define FAKE_BLOCKS 4096

struct spdk_nvme_ns {
	unsigned char media[FAKE_BLOCKS * FAKE_BLOCK];
};

#define FAKE_DEPTH    256
#define FAKE_SEGMENTS 64

struct fake_command {
	spdk_nvme_cmd_cb cb;
	void *arg;
	struct spdk_nvme_ns *ns;
	uint64_t lba;
	bool write;
	unsigned int count;
	struct {
		void *va;
		uint32_t bytes;
	} segs[FAKE_SEGMENTS];
};

struct spdk_nvme_qpair {
	struct ioas_dev *dev;
	struct fake_command commands[FAKE_DEPTH];
	unsigned int first, count;
	unsigned int depth; /* refuses more, as SPDK does */
	unsigned int dma_errors;
};

void fake_qpair_init(struct spdk_nvme_qpair *qpair, struct ioas_dev *dev, unsigned int depth);

#endif
