/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All memory of EAL mapped at IOVA = VA, as EAL's own VFIO support does it: what is there now, and
 * what comes and goes later, page by page so that any part can go. Pools whose buffers are visible
 * only while they are out take their pages out of it: the rest is rings and other things that
 * drivers share with their devices.
 *
 * Source: DPDK Programmer's Guide, "Environment Abstraction Layer", memory events. The event
 * callback runs under EAL's memory write lock, so nothing here may allocate DPDK memory.
 */
#include <errno.h>
#include <stdlib.h>

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

/* Pages are mapped in pieces of which a pool can take some. */
static size_t piece_of(size_t page)
{
	return glue.visibility == GLUE_VISIBLE_ALWAYS ? page
						      : RTE_MIN(page, (size_t)GLUE_EAL_PIECE);
}

static int add(void *va, size_t bytes)
{
	struct glue_region *region;
	int rc;

	if (find(va) != NULL) /* came as an event before the walk reached it */
		return 0;
	region = calloc(1, sizeof(*region));
	if (region == NULL)
		return -ENOMEM;
	region->va = va;
	region->bytes = bytes;
	rc = glue_map_locked(region, true);
	if (rc != 0) {
		free(region);
		return rc;
	}
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
		free(region);
	}
}

static void on_event(enum rte_mem_event event, const void *addr, size_t len, void *arg)
{
	const struct rte_memseg_list *list = rte_mem_virt2memseg_list(addr);
	size_t piece = piece_of(list != NULL ? list->page_sz : len);

	(void)arg;
	if (list != NULL && list->external) /* the application's, not EAL's */
		return;
	pthread_mutex_lock(&glue.setup_lock);
	for (size_t done = 0; done < len; done += piece) {
		void *va = (void *)((uintptr_t)addr + done);

		if (event == RTE_MEM_EVENT_ALLOC)
			add(va, piece); /* a failure is logged, and shows as faults */
		else
			drop(va);
	}
	pthread_mutex_unlock(&glue.setup_lock);
}

static int add_page(const struct rte_memseg_list *list, const struct rte_memseg *page, void *arg)
{
	size_t piece = piece_of(page->len);
	int rc = 0;

	(void)arg;
	if (list->external)
		return 0;
	for (size_t done = 0; rc == 0 && done < page->len; done += piece)
		rc = add((void *)((uintptr_t)page->addr + done), piece);
	return rc;
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
	glue.eal_mapped = rc == 0;
	return rc;
}

static bool inside(const struct glue_region *region, uintptr_t start, size_t bytes)
{
	uintptr_t va = (uintptr_t)region->va;

	return va >= start && va - start < bytes && region->bytes <= bytes - (va - start);
}

int glue_eal_memory_hide(void *va, size_t bytes)
{
	size_t hidden = 0;

	if (!glue.eal_mapped || glue.visibility == GLUE_VISIBLE_ALWAYS)
		return 0;
	pthread_mutex_lock(&glue.setup_lock);
	for (struct glue_region *region = glue.eal_pages; region != NULL; region = region->next) {
		if (!inside(region, (uintptr_t)va, bytes))
			continue;
		hidden += region->bytes;
		glue_unmap_locked(region);
	}
	pthread_mutex_unlock(&glue.setup_lock);
	if (hidden == bytes)
		return 0;
	GLUE_LOG(ERR,
		 "%zu of %zu bytes at %p are no huge pages of their own: buffers can be hidden in "
		 "EAL's huge pages only",
		 bytes - hidden, bytes, va);
	glue_eal_memory_show(va, bytes);
	return -ENOTSUP;
}

void glue_eal_memory_show(void *va, size_t bytes)
{
	if (!glue.eal_mapped || glue.visibility == GLUE_VISIBLE_ALWAYS)
		return;
	pthread_mutex_lock(&glue.setup_lock);
	for (struct glue_region *region = glue.eal_pages; region != NULL; region = region->next)
		if (region->mem == NULL && inside(region, (uintptr_t)va, bytes))
			glue_map_locked(region,
					true); /* a failure is logged, and shows as faults */
	pthread_mutex_unlock(&glue.setup_lock);
}

void glue_eal_memory_stop(void)
{
	if (glue.eal_events)
		rte_mem_event_callback_unregister(EVENT_NAME, NULL);
	glue.eal_events = false;
	glue.eal_mapped = false;
	pthread_mutex_lock(&glue.setup_lock);
	while (glue.eal_pages != NULL)
		drop(glue.eal_pages->va);
	pthread_mutex_unlock(&glue.setup_lock);
}
