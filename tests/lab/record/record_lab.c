// SPDX-License-Identifier: BSD-3-Clause
/* See record_lab.h. */
#include "record_lab.h"

#include <stdio.h>
#include <string.h>

void record_open(struct record_lab *lab)
{
	struct ioas_ctx_opts opts = {
		.size = sizeof(opts),
		.backend = "iommufd",
		/* Else neighbours in memory share a leaf, and its dirty bit. */
		.backend_options = "huge_pages=0",
		.log = ioas_log_stderr
	};
	struct ioas_opts space = { .size = sizeof(space), .kind = IOAS_KIND_KERNEL };
	struct ioas_mem_opts mem = { .size = sizeof(mem),
				     .numa_node = IOAS_NUMA_ANY,
				     .bytes = PAGES * PAGE,
				     .page_bytes = PAGE };

	mock_check();
	CHECK(ioas_ctx_open(&opts, &lab->ctx) == 0);
	CHECK(ioas_dev_bind(lab->ctx, lab_device("edu"), &lab->dev) == 0);
	lab->mock = mock_device(0);
	CHECK(ioas_mem_alloc(lab->ctx, &mem, &lab->mem) == 0);
	CHECK(ioas_create(lab->ctx, &space, &lab->as) == 0);
	CHECK(ioas_attach(lab->as, lab->dev) == 0);
	CHECK(ioas_queue_create(lab->as, &lab->queue) == 0);
}

void record_close(struct record_lab *lab)
{
	CHECK(ioas_queue_destroy(lab->queue) == 0);
	CHECK(ioas_detach(lab->dev) == 0);
	CHECK(ioas_destroy(lab->as) == 0);
	CHECK(ioas_mem_free(lab->mem) == 0);
	CHECK(ioas_dev_unbind(lab->dev) == 0);
	CHECK(ioas_ctx_close(lab->ctx) == 0);
}

void *record_page(struct record_lab *lab, unsigned int page)
{
	return (char *)ioas_mem_va(lab->mem) + page * PAGE;
}

void record_map(struct record_lab *lab, uint64_t iova, unsigned int page, unsigned int count)
{
	ioas_iova_t at = iova;

	if (ioas_map(lab->queue, record_page(lab, page), count * PAGE, IOAS_RW | IOAS_MAP_FIXED, &at))
		FAIL("map: %s", ioas_queue_error(lab->queue));
	CHECK(mock_maps(lab->mock, iova, record_page(lab, page), count * PAGE));
}

void record_unmap(struct record_lab *lab, uint64_t iova, unsigned int count)
{
	if (ioas_unmap(lab->queue, iova, count * PAGE))
		FAIL("unmap: %s", ioas_queue_error(lab->queue));
}

void record_check_text(struct record_lab *lab, const char *words)
{
	char text[256];

	ioas_ctx_error(lab->ctx, text, sizeof(text));
	if (!strstr(text, words))
		FAIL("the message does not say \"%s\": %s", words, text);
}
