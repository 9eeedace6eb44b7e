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
#include "lib/region.h"
#include "log.h"

#define EVENT_NAME "ioas"

/* One that EAL gives back whole: found by address, mapped or (a pool has it) not. */
struct piece {
	struct region place; /* first, so that it can be cast */
	struct glue_region region;
};

static struct piece *find(const void *va, size_t bytes)
{
	return (struct piece *)region_find(&glue.eal_pieces, (uintptr_t)va, bytes);
}

/* Pages are mapped in pieces of which a pool can take some. */
static size_t piece_of(size_t page)
{
	return glue.visibility == GLUE_VISIBLE_ALWAYS ? page
						      : RTE_MIN(page, (size_t)GLUE_EAL_PIECE);
}

static int add(void *va, size_t bytes)
{
	struct piece *piece;
	int rc;

	if (find(va, bytes) != NULL) /* came as an event before the walk reached it */
		return 0;
	piece = calloc(1, sizeof(*piece));
	if (piece == NULL)
		return -ENOMEM;
	piece->place.va = (uintptr_t)va;
	piece->place.bytes = bytes;
	piece->region.va = va;
	piece->region.bytes = bytes;
	rc = glue_map_locked(&piece->region, true);
	if (rc == 0 && !region_enter(&glue.eal_pieces, &piece->place)) {
		glue_unmap_locked(&piece->region);
		rc = -ENOMEM;
	}
	if (rc != 0)
		free(piece);
	return rc;
}

static void drop(const void *va, size_t bytes)
{
	struct piece *piece;

	while ((piece = find(va, bytes)) != NULL) {
		region_remove(&glue.eal_pieces, &piece->place);
		glue_unmap_locked(&piece->region);
		free(piece);
	}
}

/* External memory that is a heap's comes and goes as a whole, and so does what never changes. */
static int add_all(const struct rte_memseg_list *list, void *va, size_t bytes)
{
	const size_t piece = list->external || !glue.eal_events ? bytes : piece_of(list->page_sz);
	int rc = 0;

	for (size_t done = 0; rc == 0 && done < bytes; done += piece)
		rc = add((void *)((uintptr_t)va + done), piece);
	return rc;
}

static void on_event(enum rte_mem_event event, const void *addr, size_t len, void *arg)
{
	const struct rte_memseg_list *list = rte_mem_virt2memseg_list(addr);

	(void)arg;
	if (list == NULL)
		return;
	pthread_mutex_lock(&glue.setup_lock);
	if (event == RTE_MEM_EVENT_ALLOC)
		/* A failure is logged, and shows as faults. */
		add_all(list, (void *)(uintptr_t)addr, len);
	else
		drop(addr, len);
	pthread_mutex_unlock(&glue.setup_lock);
}

static int add_stretch(const struct rte_memseg_list *list, const struct rte_memseg *first,
		       size_t len, void *arg)
{
	(void)arg;
	return list->heap ? add_all(list, first->addr, len) : 0; /* else the application's own */
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
	rc = rte_memseg_contig_walk_thread_unsafe(add_stretch, NULL);
	pthread_mutex_unlock(&glue.setup_lock);
	rte_mcfg_mem_read_unlock();
	glue.eal_mapped = rc == 0;
	return rc;
}

/* The piece at @va if it lies wholly before @end, or NULL. */
static struct piece *inside(uintptr_t va, uintptr_t end)
{
	struct piece *piece = find((void *)va, 1);

	if (piece == NULL || piece->place.va != va || piece->place.bytes > end - va)
		return NULL;
	return piece;
}

int glue_eal_memory_hide(void *va, size_t bytes)
{
	const uintptr_t start = (uintptr_t)va, end = start + bytes;
	struct piece *piece;
	size_t hidden = 0;

	if (!glue.eal_mapped || glue.visibility == GLUE_VISIBLE_ALWAYS)
		return 0;
	pthread_mutex_lock(&glue.setup_lock);
	while (hidden < bytes && (piece = inside(start + hidden, end)) != NULL) {
		hidden += piece->place.bytes;
		glue_unmap_locked(&piece->region);
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
	const uintptr_t end = (uintptr_t)va + bytes;
	struct piece *piece;

	if (!glue.eal_mapped || glue.visibility == GLUE_VISIBLE_ALWAYS)
		return;
	pthread_mutex_lock(&glue.setup_lock);
	for (uintptr_t at = (uintptr_t)va; at < end && (piece = inside(at, end)) != NULL;
	     at += piece->place.bytes)
		if (piece->region.mem == NULL)
			glue_map_locked(&piece->region, true); /* as in events */
	pthread_mutex_unlock(&glue.setup_lock);
}

void glue_eal_memory_stop(void)
{
	if (glue.eal_events)
		rte_mem_event_callback_unregister(EVENT_NAME, NULL);
	glue.eal_events = false;
	glue.eal_mapped = false;
	pthread_mutex_lock(&glue.setup_lock);
	drop(NULL, SIZE_MAX);
	pthread_mutex_unlock(&glue.setup_lock);
}
