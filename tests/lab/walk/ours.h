/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walkers of this tree, which do not know the builder either: the first stage of the software
 * IOMMU, and for other formats those of tests/pgtable/spec_walkers.h. (The second stage of the
 * software IOMMU is the kernel's, and believed.) Tests all over the tree rely on them; here they
 * and QEMU's are asked about the same entries.
 */
#ifndef TESTS_LAB_WALK_OURS_H
#define TESTS_LAB_WALK_OURS_H

#include "../../pgtable/spec_walkers.h"

/*
 * What an access should come to, in a table whose addresses are pointers and whose tables all are
 * in memory. Return: enum spec_outcome; SPEC_PASSED with @oa, which may be anywhere.
 */
enum spec_outcome our_walk(enum ioas_format format, uint64_t root, uint64_t iova, uint32_t prot,
			   uint64_t *oa);

#endif
