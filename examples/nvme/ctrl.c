/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctrl.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include <ioas/pci.h>

#include "say.h"

#define PCI_COMMAND	   0x04
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_CLASS	   0x08
#define PCI_CLASS_NVME	   0x010802
#define ADMIN_ENTRIES	   16
#define GONE		   UINT32_MAX /* what a read of a device that is not there gives */
#define IO_VECTOR	   1	      /* vector 0 is the admin queue's, which is polled */

uint64_t nvme_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Registers. Those of 64 bits may be accessed in halves: 3.1. */

static uint32_t read32(const struct nvme_ctrl *ctrl, uint32_t offset)
{
	return *(volatile uint32_t *)((volatile char *)ctrl->registers + offset);
}

static void write32(struct nvme_ctrl *ctrl, uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)((volatile char *)ctrl->registers + offset) = value;
}

static uint64_t read64(const struct nvme_ctrl *ctrl, uint32_t offset)
{
	return read32(ctrl, offset) | (uint64_t)read32(ctrl, offset + 4) << 32;
}

static void write64(struct nvme_ctrl *ctrl, uint32_t offset, uint64_t value)
{
	write32(ctrl, offset, (uint32_t)value);
	write32(ctrl, offset + 4, value >> 32);
}

uint32_t nvme_ctrl_status(const struct nvme_ctrl *ctrl)
{
	return read32(ctrl, NVME_REG_CSTS);
}

/* Only a device that is there, and has not been reset since it was started, does anything. */
static bool is_alive(const struct nvme_ctrl *ctrl)
{
	const uint32_t status = nvme_ctrl_status(ctrl);

	return status != GONE && (status & NVME_CSTS_RDY);
}

int nvme_ctrl_check(const struct nvme_ctrl *ctrl)
{
	const uint32_t status = nvme_ctrl_status(ctrl);
	const char *name = ioas_dev_name(ctrl->host->dev);

	if (status == GONE)
		return nvme_fail(-ENODEV, "%s is gone: its registers read all ones", name);
	if (!(status & NVME_CSTS_RDY))
		return nvme_fail(-EIO, "%s was reset by somebody else: CSTS is 0x%x", name, status);
	if (status & NVME_CSTS_CFS)
		return nvme_fail(-EIO, "%s has failed: CSTS.CFS", name);
	if (nvme_host_is_wanted(ctrl->host))
		return nvme_fail(-ENODEV, "%s is to be removed: letting go of it", name);
	return 0;
}

/* Wait until CSTS, masked, is @value. */
static int wait_status(struct nvme_ctrl *ctrl, uint32_t mask, uint32_t value, const char *what)
{
	const uint64_t deadline = nvme_now_ms() + NVME_CAP_TO_MS(ctrl->cap) + 1000;

	while ((nvme_ctrl_status(ctrl) & mask) != value) {
		if (nvme_now_ms() > deadline)
			return nvme_fail(-ETIMEDOUT, "%s: CSTS is 0x%x after %u ms (CAP.TO)", what,
					 nvme_ctrl_status(ctrl), NVME_CAP_TO_MS(ctrl->cap));
		sched_yield();
	}
	return 0;
}

/* Commands. */

int nvme_ctrl_failed(const struct nvme_completion *completion, const char *what)
{
	static const struct {
		uint8_t type, code;
		const char *name;
	} names[] = {
		{ 0, 0x01, "invalid opcode" },
		{ 0, 0x02, "invalid field in command" },
		{ 0, 0x04, "data transfer error" },
		{ 0, 0x06, "internal error" },
		{ 0, 0x0b, "invalid namespace or format" },
		{ 0, 0x0d, "invalid SGL segment descriptor" },
		{ 0, 0x0e, "invalid number of SGL descriptors" },
		{ 0, 0x0f, "data SGL length invalid" },
		{ 0, 0x11, "SGL descriptor type invalid" },
		{ 0, 0x13, "PRP offset invalid" },
		{ 0, 0x80, "LBA out of range" },
		{ 1, 0x01, "invalid queue identifier" },
		{ 1, 0x02, "invalid queue size" },
		{ 1, 0x08, "invalid interrupt vector" },
	};
	const unsigned int type = NVME_STATUS_TYPE(completion->status);
	const unsigned int code = NVME_STATUS_CODE(completion->status);
	const char *name = "see the specification, 4.6.1";

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].type == type && names[i].code == code)
			name = names[i].name;
	return nvme_fail(-EIO, "%s: status type %u, code 0x%02x: %s", what, type, code, name);
}

/* One admin command, and wait for it. */
static int admin_result(struct nvme_ctrl *ctrl, struct nvme_command *command, const char *what,
			uint32_t *result)
{
	const uint64_t deadline = nvme_now_ms() + NVME_TIMEOUT_MS;
	struct nvme_completion completion;

	nvme_queue_put(&ctrl->admin, command);
	nvme_queue_ring(&ctrl->admin);
	while (!nvme_queue_take(&ctrl->admin, &completion)) {
		if (!is_alive(ctrl))
			return -ENODEV; /* nvme_ctrl_check() has said why, or start() does */
		if (nvme_now_ms() > deadline)
			return nvme_fail(-ETIMEDOUT, "%s: no completion; CSTS is 0x%x", what,
					 nvme_ctrl_status(ctrl));
		sched_yield();
	}
	nvme_queue_release(&ctrl->admin);
	*result = completion.result;
	return NVME_STATUS_IS_OK(completion.status) ? 0 : nvme_ctrl_failed(&completion, what);
}

static int admin(struct nvme_ctrl *ctrl, struct nvme_command *command, const char *what)
{
	uint32_t result;

	return admin_result(ctrl, command, what, &result);
}

static int identify(struct nvme_ctrl *ctrl, uint32_t what, uint32_t namespace_id, ioas_iova_t iova)
{
	struct nvme_command command = { .opcode = NVME_ADMIN_IDENTIFY,
					.namespace_id = namespace_id,
					.prp = { iova },
					.dword10 = what };

	return admin(ctrl, &command,
		     what == NVME_IDENTIFY_CONTROLLER ? "identify controller"
						      : "identify namespace");
}

/* Strings of the device are padded with blanks. */
static void copy_text(char *to, const char *from, size_t bytes)
{
	memcpy(to, from, bytes);
	to[bytes] = '\0';
	while (bytes && (to[bytes - 1] == ' ' || !to[bytes - 1]))
		to[--bytes] = '\0';
}

static int learn_namespace(struct nvme_ctrl *ctrl, const struct nvme_identify_namespace *ns)
{
	const unsigned int format = ns->format & 0xf;

	ctrl->block_count = ns->size_blocks;
	ctrl->block_bytes = 1u << ns->formats[format].block_bytes_log2;
	if (!ctrl->block_count)
		return nvme_fail(-ENODEV, "namespace 1 is not active (NSZE is 0)");
	if (ctrl->block_bytes < 512 || ctrl->block_bytes > NVME_PAGE_BYTES)
		return nvme_fail(-ENOTSUP, "namespace 1: blocks of %u bytes", ctrl->block_bytes);
	if (ns->formats[format].metadata_bytes)
		return nvme_fail(-ENOTSUP, "namespace 1 has metadata: format it without");
	return 0;
}

static int learn(struct nvme_ctrl *ctrl)
{
	ioas_iova_t iova;
	void *page = nvme_host_alloc(ctrl->host, NVME_IDENTIFY_BYTES, &iova);
	const struct nvme_identify_controller *id = page;
	int ret = page ? identify(ctrl, NVME_IDENTIFY_CONTROLLER, 0, iova) : -ENOMEM;

	if (ret)
		return ret;
	copy_text(ctrl->model, id->model_number, sizeof(id->model_number));
	copy_text(ctrl->serial, id->serial_number, sizeof(id->serial_number));
	ctrl->sgl_support = id->sgl_support & NVME_SGLS_MASK;
	if (id->max_data_transfer && id->max_data_transfer < 16)
		ctrl->max_transfer_bytes = 1u
					   << (id->max_data_transfer + NVME_CAP_MPSMIN(ctrl->cap));
	if (!id->namespace_count)
		return nvme_fail(-ENODEV, "the controller has no namespace");
	ctrl->namespace_id = 1;
	ret = identify(ctrl, NVME_IDENTIFY_NAMESPACE, ctrl->namespace_id, iova);
	return ret ?: learn_namespace(ctrl, page);
}

/* Queues. */

int nvme_ctrl_ask_queues(struct nvme_ctrl *ctrl, unsigned int count)
{
	struct nvme_command command = { .opcode = NVME_ADMIN_SET_FEATURES,
					.dword10 = NVME_FEATURE_QUEUES,
					.dword11 = (count - 1) << 16 | (count - 1) };
	uint32_t result = 0;
	int ret = admin_result(ctrl, &command, "number of queues", &result);
	unsigned int submission = (result & 0xffff) + 1, completion = (result >> 16) + 1;

	if (ret || (submission >= count && completion >= count))
		return ret;
	return nvme_fail(-ENOSPC, "--queues %u: the controller has %u", count,
			 submission < completion ? submission : completion);
}

/* Vectors are set all at once, while nothing is in flight: queue N has vector N. */
static int add_interrupt(struct nvme_ctrl *ctrl, uint16_t id, int eventfd)
{
	struct ioas_dev *dev = ctrl->host->dev;
	int ret = ctrl->vectors ? ioas_pci_irq_set(dev, IOAS_PCI_MSIX, NULL, 0) : 0;

	ctrl->eventfds[0] = -1;
	ctrl->eventfds[id] = eventfd;
	ctrl->vectors = id + 1u;
	ret = ret ?: ioas_pci_irq_set(dev, IOAS_PCI_MSIX, ctrl->eventfds, ctrl->vectors);
	return ret ? nvme_fail(ret, "interrupts (leave --irq out)") : 0;
}

int nvme_ctrl_create_queue(struct nvme_ctrl *ctrl, struct nvme_queue *queue, uint16_t id,
			   uint16_t entries, int eventfd)
{
	struct nvme_command command = { .opcode = NVME_ADMIN_CREATE_CQ,
					.dword10 = (uint32_t)(entries - 1) << 16 | id,
					.dword11 = NVME_QUEUE_CONTIGUOUS };
	int ret;

	if (entries > NVME_CAP_MQES(ctrl->cap))
		return nvme_fail(-EINVAL,
				 "depth: the controller's queues have %u entries at most "
				 "(CAP.MQES)",
				 NVME_CAP_MQES(ctrl->cap));
	ret = nvme_queue_init(queue, ctrl->host, id, entries, ctrl->registers,
			      NVME_CAP_DSTRD(ctrl->cap));
	if (ret)
		return ret;
	if (eventfd >= 0) {
		ret = add_interrupt(ctrl, id, eventfd);
		if (ret)
			return ret;
		command.dword11 |= NVME_CQ_INTERRUPTS | (uint32_t)id << 16;
	}
	command.prp[0] = queue->cq_iova;
	ret = admin(ctrl, &command, "create completion queue");
	if (ret)
		return ret;
	command = (struct nvme_command){ .opcode = NVME_ADMIN_CREATE_SQ,
					 .prp = { queue->sq_iova },
					 .dword10 = (uint32_t)(entries - 1) << 16 | id,
					 .dword11 = (uint32_t)id << 16 | NVME_QUEUE_CONTIGUOUS };
	return admin(ctrl, &command, "create submission queue");
}

int nvme_ctrl_delete_queue(struct nvme_ctrl *ctrl, struct nvme_queue *queue)
{
	struct nvme_command command = { .opcode = NVME_ADMIN_DELETE_SQ, .dword10 = queue->id };
	int ret = admin(ctrl, &command, "delete submission queue");

	command.opcode = NVME_ADMIN_DELETE_CQ;
	ret = ret ?: admin(ctrl, &command, "delete completion queue");
	return ret;
}

/* Start and stop. */

static int map_registers(struct nvme_ctrl *ctrl)
{
	struct ioas_dev *dev = ctrl->host->dev;
	uint16_t command = 0;
	uint32_t class = 0;
	void *va;
	int ret = ioas_pci_config_read(dev, PCI_CLASS, &class, sizeof(class));

	if (ret)
		return ret;
	if (class >> 8 != PCI_CLASS_NVME)
		return nvme_fail(-ENODEV,
				 "%s is no NVMe controller: its PCI class is %06x, not "
				 "%06x",
				 ioas_dev_name(dev), class >> 8, PCI_CLASS_NVME);
	/* Registers answer, but no DMA yet: the controller may still run for a dead owner. */
	ret = ioas_pci_config_read(dev, PCI_COMMAND, &command, sizeof(command));
	command |= PCI_COMMAND_MEMORY;
	ret = ret ?: ioas_pci_config_write(dev, PCI_COMMAND, &command, sizeof(command));
	ret = ret ?: ioas_pci_bar_map(dev, 0, &va, &ctrl->registers_bytes);
	if (!ret)
		ctrl->registers = va;
	return ret;
}

static int check_capabilities(struct nvme_ctrl *ctrl)
{
	ctrl->cap = read64(ctrl, NVME_REG_CAP);
	ctrl->version = read32(ctrl, NVME_REG_VS);
	if (ctrl->cap == UINT64_MAX)
		return nvme_fail(-ENODEV, "CAP reads all ones: the device is gone");
	if (!(ctrl->cap & NVME_CAP_CSS_NVM))
		return nvme_fail(-ENOTSUP, "CAP.CSS: no NVM command set");
	if (NVME_CAP_MPSMIN(ctrl->cap) > 12)
		return nvme_fail(-ENOTSUP, "CAP.MPSMIN: pages of 4 KiB are too small for it");
	return 0;
}

static int stop(struct nvme_ctrl *ctrl)
{
	write32(ctrl, NVME_REG_CC, read32(ctrl, NVME_REG_CC) & ~NVME_CC_EN);
	return wait_status(ctrl, NVME_CSTS_RDY, 0, "reset");
}

static int start(struct nvme_ctrl *ctrl)
{
	int ret = nvme_queue_init(&ctrl->admin, ctrl->host, 0, ADMIN_ENTRIES, ctrl->registers,
				  NVME_CAP_DSTRD(ctrl->cap));

	ret = ret ?: ioas_pci_bus_master(ctrl->host->dev, true);
	if (ret)
		return ret;
	write32(ctrl, NVME_REG_AQA, (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1));
	write64(ctrl, NVME_REG_ASQ, ctrl->admin.sq_iova);
	write64(ctrl, NVME_REG_ACQ, ctrl->admin.cq_iova);
	write32(ctrl, NVME_REG_CC, NVME_CC_IOSQES | NVME_CC_IOCQES | NVME_CC_EN);
	ctrl->started = true;
	ret = wait_status(ctrl, NVME_CSTS_RDY, NVME_CSTS_RDY, "start");
	if (!ret && (nvme_ctrl_status(ctrl) & NVME_CSTS_CFS))
		ret = nvme_fail(-EIO, "start: CSTS.CFS: controller fatal status");
	return ret;
}

int nvme_ctrl_open(struct nvme_ctrl *ctrl, struct nvme_host *host)
{
	int ret;

	memset(ctrl, 0, sizeof(*ctrl));
	ctrl->host = host;
	ret = map_registers(ctrl) ?: check_capabilities(ctrl) ?: stop(ctrl) ?: start(ctrl);
	ret = ret ?: learn(ctrl);
	if (ret) {
		nvme_ctrl_close(ctrl);
		return nvme_fail(ret, "%s: the controller cannot be started",
				 ioas_dev_name(host->dev));
	}
	return 0;
}

void nvme_ctrl_close(struct nvme_ctrl *ctrl)
{
	if (ctrl->started && is_alive(ctrl)) {
		const uint32_t cc = read32(ctrl, NVME_REG_CC) & ~NVME_CC_SHN_MASK;

		write32(ctrl, NVME_REG_CC, cc | NVME_CC_SHN_NORMAL);
		wait_status(ctrl, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_COMPLETE, "shutdown");
		stop(ctrl);
	}
	if (ctrl->vectors)
		ioas_pci_irq_set(ctrl->host->dev, IOAS_PCI_MSIX, NULL, 0);
	ctrl->vectors = 0;
	if (ctrl->registers) {
		/* Even if it did not obey: nothing that is unmapped from now on can be reached. */
		ioas_pci_bus_master(ctrl->host->dev, false);
		ioas_pci_bar_unmap(ctrl->host->dev, (void *)(uintptr_t)ctrl->registers,
				   ctrl->registers_bytes);
	}
	ctrl->registers = NULL;
	ctrl->started = false;
}
