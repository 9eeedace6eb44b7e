/* SPDX-License-Identifier: BSD-3-Clause */
/* Paging-structure caches: creation and invalidation. See psc.h. */
#include "psc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int soft_psc_init(struct soft_psc *psc, uint32_t entries)
{
	uint32_t sets = entries < SOFT_PSC_WAYS ? 1 : entries / SOFT_PSC_WAYS;

	memset(psc, 0, sizeof(*psc));
	psc->sets = aligned_alloc(sizeof(*psc->sets), sets * sizeof(*psc->sets));
	if (!psc->sets)
		return -ENOMEM;
	psc->set_mask = sets - 1;
	psc->way_mask = (entries < SOFT_PSC_WAYS ? entries : SOFT_PSC_WAYS) - 1;
	soft_psc_clear(psc);
	return 0;
}

void soft_psc_destroy(struct soft_psc *psc)
{
	free(psc->sets);
}

void soft_psc_clear(struct soft_psc *psc)
{
	memset(psc->sets, 0, ((size_t)psc->set_mask + 1) * sizeof(*psc->sets));
}

static void drop_in_set(struct soft_psc_set *set, uint64_t first, uint64_t last, uint32_t id)
{
	for (unsigned int way = 0; way < SOFT_PSC_WAYS; way++) {
		uint64_t block = set->tags[way] >> SOFT_ID_BITS;

		if ((set->tags[way] & SOFT_ID_MAX) == id && block >= first && block <= last)
			set->tags[way] = 0;
	}
}

void soft_psc_drop(struct soft_psc *psc, uint64_t first, uint64_t last, uint32_t id)
{
	if (last - first <= psc->set_mask) {
		for (uint64_t block = first; block <= last; block++)
			drop_in_set(soft_psc_set(psc, block), block, block, id);
		return;
	}
	for (uint32_t index = 0; index <= psc->set_mask; index++)
		drop_in_set(&psc->sets[index], first, last, id);
}
