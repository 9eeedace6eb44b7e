/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions of memory by address. See region.h. */
#include <search.h>
#include <stddef.h>

#include "region.h"

/* What overlaps is equal. */
static int compare(const void *a, const void *b)
{
	const struct region *x = a, *y = b;

	return x->va + x->bytes <= y->va ? -1 : y->va + y->bytes <= x->va;
}

bool region_enter(void **tree, struct region *region)
{
	struct region **at = tsearch(region, tree, compare);

	return at != NULL && *at == region;
}

void region_remove(void **tree, const struct region *region)
{
	tdelete(region, tree, compare);
}

struct region *region_find(void *const *tree, uint64_t va, uint64_t bytes)
{
	const struct region range = { .va = va, .bytes = bytes };
	struct region **at = tfind(&range, tree, compare);

	return at != NULL ? *at : NULL;
}

struct visitor {
	void (*visit)(void *arg, struct region *region);
	void *arg;
};

static void visit(const void *node, VISIT which, void *closure)
{
	const struct visitor *visitor = closure;

	if (which == postorder || which == leaf) /* in ascending order */
		visitor->visit(visitor->arg, *(struct region *const *)node);
}

void region_walk(void *tree, void (*each)(void *arg, struct region *region), void *arg)
{
	struct visitor visitor = { each, arg };

	twalk_r(tree, visit, &visitor);
}
