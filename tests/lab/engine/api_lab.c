// SPDX-License-Identifier: BSD-3-Clause
/* See api_lab.h. */
#include "api_lab.h"

#include <errno.h>
#include <ioas/pci.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The same text with "auto" says which backend it is, so that a wrong choice can be seen. */
void api_lab_context(struct api_lab *lab, const char *backend)
{
	struct ioas_ctx_opts opts = { .size = sizeof(opts),
				      .backend = backend,
				      .backend_options = lab->options,
				      .log = ioas_log_stderr };
	const char *expected = access("/dev/iommu", F_OK) ? "type1" : "iommufd";
	int ret = ioas_ctx_open(&opts, &lab->ctx);

	if (ret == -ENODEV && !strcmp(backend, "iommufd") && !strcmp(expected, "type1"))
		lab_skip("the kernel has no iommufd");
	CHECK(ret == 0);
	printf("    %s\n", ioas_ctx_why(lab->ctx));
	CHECK(!strcmp(ioas_ctx_backend(lab->ctx), strcmp(backend, "auto") ? backend : expected));
}

void api_lab_set_up(struct api_lab *lab, uint64_t bytes, uint64_t page_bytes)
{
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	struct ioas_mem_opts mem = { .size = sizeof(mem),
				     .numa_node = IOAS_NUMA_ANY,
				     .bytes = bytes,
				     .page_bytes = page_bytes };
	const char *name = lab->device ? lab->device : lab_device("edu");

	CHECK(name);
	CHECK(ioas_dev_bind(lab->ctx, name, &lab->dev) == 0);
	CHECK(ioas_mem_alloc(lab->ctx, &mem, &lab->mem) == 0);
	CHECK(ioas_create(lab->ctx, &opts, &lab->as) == 0);
	CHECK(ioas_attach(lab->as, lab->dev) == 0);
	CHECK(ioas_queue_create(lab->as, &lab->queue) == 0);
	api_lab_registers_open(lab);
}

void api_lab_registers_open(struct api_lab *lab)
{
	CHECK(ioas_pci_bus_master(lab->dev, true) == 0);
	CHECK(ioas_pci_bar_map(lab->dev, 0, &lab->registers, &lab->registers_bytes) == 0);
	edu_open_registers(&lab->edu, lab->registers);
}

void api_lab_tear_down(struct api_lab *lab)
{
	CHECK(ioas_pci_bar_unmap(lab->dev, lab->registers, lab->registers_bytes) == 0);
	CHECK(ioas_detach(lab->dev) == 0);
	CHECK(ioas_queue_destroy(lab->queue) == 0);
	CHECK(ioas_destroy(lab->as) == 0);
	CHECK(ioas_mem_free(lab->mem) == 0);
	CHECK(ioas_dev_unbind(lab->dev) == 0);
	CHECK(ioas_ctx_close(lab->ctx) == 0);
}

uint8_t *api_lab_page(struct api_lab *lab, unsigned int page)
{
	return (uint8_t *)ioas_mem_va(lab->mem) + page * PAGE;
}

bool api_lab_reaches(struct api_lab *lab, ioas_iova_t iova, unsigned int page)
{
	static uint8_t count;
	uint8_t value = ++count % 2 ? 0xa5 : 0x5a;

	memset(api_lab_page(lab, page), value, PAGE);
	edu_write_memory(&lab->edu, iova, EDU_TRANSFER_BYTES);
	return !lab_all_bytes_are(api_lab_page(lab, page), EDU_TRANSFER_BYTES, value);
}

void api_lab_check_text(struct api_lab *lab, const char *words)
{
	char text[256];

	ioas_ctx_error(lab->ctx, text, sizeof(text));
	printf("    %s\n", text);
	if (!strstr(text, words))
		FAIL("the text does not say \"%s\"", words);
}
