/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Static mode: all memory of EAL mapped at IOVA = VA, as EAL's own VFIO support does it: what is
 * there now, and what comes and goes later, page by page so that any part can go.
 *
 * Source: DPDK Programmer's Guide, "Environment Abstraction Layer", memory events. The event
 * callback runs under EAL's memory write lock, so nothing here may allocate DPDK memory.
 */
#include <errno.h>

#include <rte_eal_memconfig.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include "glue.h"
#include "log.h"

#define EVENT_NAME "ioas"

static struct glue_region *find(const void *va)
{
	struct glue_region *region = glue.eal_pages;

	while (region != NULL && region->va != va)
		region = region->next;
	return region;
}

static int add(void *va, size_t bytes)
{
	struct glue_region *region;
	int rc;

	if (find(va) != NULL) /* came as an event before the walk reached it */
		return 0;
	rc = glue_map_locked(va, bytes, true, &region);
	if (rc != 0)
		return rc;
	region->next = glue.eal_pages;
	glue.eal_pages = region;
	return 0;
}

static void drop(const void *va)
{
	struct glue_region **link = &glue.eal_pages;

	while (*link != NULL && (*link)->va != va)
		link = &(*link)->next;
	if (*link != NULL) {
		struct glue_region *region = *link;

		*link = region->next;
		glue_unmap_locked(region);
	}
}

static void on_event(enum rte_mem_event event, const void *addr, size_t len, void *arg)
{
	const struct rte_memseg_list *list = rte_mem_virt2memseg_list(addr);
	size_t page = list != NULL ? list->page_sz : len;

	(void)arg;
	if (list != NULL && list->external) /* the application's, not EAL's */
		return;
	pthread_mutex_lock(&glue.setup_lock);
	for (size_t done = 0; done < len; done += page) {
		void *va = (void *)((uintptr_t)addr + done);

		if (event == RTE_MEM_EVENT_ALLOC)
			add(va, page); /* a failure is logged, and shows as faults */
		else
			drop(va);
	}
	pthread_mutex_unlock(&glue.setup_lock);
}

static int add_page(const struct rte_memseg_list *list, const struct rte_memseg *page, void *arg)
{
	(void)arg;
	return list->external ? 0 : add(page->addr, page->len);
}

static int add_stretch(const struct rte_memseg_list *list, const struct rte_memseg *first,
		       size_t len, void *arg)
{
	(void)arg;
	return list->external && rte_eal_has_hugepages() ? 0 : add(first->addr, len);
}

int glue_eal_memory_start(void)
{
	int rc = rte_mem_event_callback_register(EVENT_NAME, on_event, NULL);

	glue.eal_events = rc == 0;
	if (rc != 0 && rte_errno != ENOTSUP) { /* ENOTSUP: EAL's memory never changes */
		GLUE_LOG(ERR, "cannot follow EAL's memory: %s", rte_strerror(rte_errno));
		return -rte_errno;
	}
	/* EAL's lock first, as in the events. */
	rte_mcfg_mem_read_lock();
	pthread_mutex_lock(&glue.setup_lock);
	if (glue.eal_events)
		rc = rte_memseg_walk_thread_unsafe(add_page, NULL);
	else
		rc = rte_memseg_contig_walk_thread_unsafe(add_stretch, NULL);
	pthread_mutex_unlock(&glue.setup_lock);
	rte_mcfg_mem_read_unlock();
	return rc;
}

void glue_eal_memory_stop(void)
{
	if (glue.eal_events)
		rte_mem_event_callback_unregister(EVENT_NAME, NULL);
	glue.eal_events = false;
	pthread_mutex_lock(&glue.setup_lock);
	while (glue.eal_pages != NULL)
		drop(glue.eal_pages->va);
	pthread_mutex_unlock(&glue.setup_lock);
}
