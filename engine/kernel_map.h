/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of what a KERNEL space maps: for kernel_*.c and parent.c, and nobody else. */
#ifndef ENGINE_KERNEL_MAP_H
#define ENGINE_KERNEL_MAP_H

#include <stdlib.h>
#include <string.h>

#include "objects.h"

/* What finds a mapping whose IOVAs ioas.maps does not cover. */
struct far_map {
	struct extent extent; /* first, so that it can be cast */
	struct kernel_map *map;
};

/* One mapping. There may be a million of them: small. */
struct kernel_map {
	struct ioas_range range; /* IOVAs */
	uint64_t va;
	struct ioas_mem *mem;	    /* NULL: mapped by the library itself */
	struct cds_list_head alias; /* in ioas.aliases, or empty */
	struct kernel_map *next;    /* of one call */
	struct far_map *far;	    /* or NULL */
	uint8_t prot;
	bool busy;     /* being unmapped */
	bool uncached; /* the cache is not told of it */
	/*
	 * IOAS_MAP_TOGETHER: the kernel has several as one mapping, a run. Of the first of them:
	 * how many, else 0 if there is no run, RUN_GOES_ON for the others.
	 */
	uint32_t run;
};

static_assert(sizeof(struct kernel_map) <= 72, "a small record");

#define RUN_GOES_ON UINT32_MAX

/* How many records the kernel's mapping stands for that begins with @map. */
static inline uint32_t kernel_map_count(const struct kernel_map *map)
{
	return map->run ? map->run : 1;
}

static inline uint64_t kernel_map_bytes(const struct kernel_map *map)
{
	return map->range.last - map->range.start + 1;
}

/* Zeroed, or NULL. calloc() passes glibc's caches by. */
static inline struct kernel_map *kernel_map_new(void)
{
	struct kernel_map *map = malloc(sizeof(*map));

	if (map)
		memset(map, 0, sizeof(*map));
	return map;
}

static inline void kernel_map_free(struct kernel_map *map)
{
	free(map->far);
	free(map);
}

/* kernel_records.c */

int kernel_records_init(struct ioas *as);
void kernel_records_destroy(struct ioas *as);

/*
 * Under maps_lock, as all that follow. Memory that kernel_map_enter() will need. Return: 0 or
 * -ENOMEM.
 */
int kernel_map_reserve(struct ioas *as, struct kernel_map *map);
void kernel_map_enter(struct ioas *as, struct kernel_map *map);
void kernel_map_leave(struct ioas *as, struct kernel_map *map);

/* The mapping that holds @iova, or NULL. */
struct kernel_map *kernel_map_find(struct ioas *as, uint64_t iova);

/* The lowest that has some of [start, last], or NULL. */
struct kernel_map *kernel_map_from(struct ioas *as, uint64_t start, uint64_t last);

/* The next one above @map, NULL: the lowest. There is one. */
static inline struct kernel_map *kernel_map_next(struct ioas *as, const struct kernel_map *map)
{
	return kernel_map_from(as, map ? map->range.last + 1 : 0, UINT64_MAX);
}

/* Translations of it are found no more, or again. */
void kernel_map_hide(struct ioas *as, struct kernel_map *map);
void kernel_map_show(struct ioas *as, struct kernel_map *map);

#endif
