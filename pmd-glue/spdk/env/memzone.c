/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory zones: zeroed memory by name, of this process only. */
#include "ioas_env.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct memzone {
	LIST_ENTRY(memzone) link;
	char name[32];
	void *va;
	size_t bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, memzone) zones = LIST_HEAD_INITIALIZER(zones); /* under the lock */

/* Under the lock. */
static struct memzone *find(const char *name)
{
	struct memzone *zone;

	LIST_FOREACH(zone, &zones, link)
	if (!strcmp(zone->name, name))
		break;
	return zone;
}

static void *reserve(const char *name, size_t len, int numa_id, size_t align)
{
	struct memzone *zone = find(name) ? NULL : calloc(1, sizeof(*zone));

	if (!zone || strlen(name) >= sizeof(zone->name)) {
		SPDK_ERRLOG("ioas: memory zone '%s': taken, too long, or no memory\n", name);
		free(zone);
		return NULL;
	}
	zone->va = spdk_zmalloc(len, align, NULL, numa_id, SPDK_MALLOC_DMA);
	if (!zone->va) {
		free(zone);
		return NULL;
	}
	strcpy(zone->name, name);
	zone->bytes = len;
	LIST_INSERT_HEAD(&zones, zone, link);
	return zone->va;
}

void *spdk_memzone_reserve_aligned(const char *name, size_t len, int numa_id, unsigned flags,
				   unsigned align)
{
	void *va;

	(void)flags;
	pthread_mutex_lock(&lock);
	va = reserve(name, len, numa_id, align);
	pthread_mutex_unlock(&lock);
	return va;
}

void *spdk_memzone_reserve(const char *name, size_t len, int numa_id, unsigned flags)
{
	return spdk_memzone_reserve_aligned(name, len, numa_id, flags, 0);
}

void *spdk_memzone_lookup(const char *name)
{
	const struct memzone *zone;
	void *va;

	pthread_mutex_lock(&lock);
	zone = find(name);
	va = zone ? zone->va : NULL;
	pthread_mutex_unlock(&lock);
	return va;
}

/* Under the lock. */
static void destroy(struct memzone *zone)
{
	LIST_REMOVE(zone, link);
	spdk_free(zone->va);
	free(zone);
}

int spdk_memzone_free(const char *name)
{
	struct memzone *zone;

	pthread_mutex_lock(&lock);
	zone = find(name);
	if (zone)
		destroy(zone);
	pthread_mutex_unlock(&lock);
	return zone ? 0 : -ENOENT;
}

void spdk_memzone_dump(FILE *f)
{
	const struct memzone *zone;

	pthread_mutex_lock(&lock);
	LIST_FOREACH(zone, &zones, link)
	fprintf(f, "%s: %p, %zu bytes, IOVA 0x%" PRIx64 "\n", zone->name, zone->va, zone->bytes,
		spdk_vtophys(zone->va, NULL));
	pthread_mutex_unlock(&lock);
}

void ioas_env_memzones_close(void)
{
	pthread_mutex_lock(&lock);
	while (!LIST_EMPTY(&zones))
		destroy(LIST_FIRST(&zones));
	pthread_mutex_unlock(&lock);
}
