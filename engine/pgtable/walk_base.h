/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a format file may rely on, and what it says to the walker. The file that is compiled
 * defines
 *
 *	FMT_LEVELS		tables on the way to a page
 *	FMT_ADDRESS_BITS	width of an IOVA; the top table may have fewer entries in use
 *	FMT_PAGE_LG2		granule, if it is not 4 KiB
 *	FMT_OPS			name of the result
 *
 * and the format header
 *
 *	FMT_LEAF_LEVEL		highest level that can hold leaves
 *	FMT_PRESENT		any of these bits: present
 *	FMT_ADDRESS		the address in an entry, which is shifted
 *	FMT_OA_SHIFT		right by so much
 *	FMT_START, FMT_CLAIM	two bits of a present leaf that hardware ignores
 *	FMT_STAMP_SHIFT		PT_STAMP_BITS bits from here are ignored if not FMT_PRESENT
 *	FMT_TABLE(level)	entry, at @level, of a table: all but the address
 *	FMT_LEAF(prot, level)	entry of a leaf: all but the address
 *	fmt_is_leaf()		of a present entry
 *	fmt_prot()		of a leaf
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "pt_impl.h"

#ifndef FMT_PAGE_LG2
#define FMT_PAGE_LG2 IOAS_PAGE_SHIFT
#endif

/* A table of 8-byte entries is as large as a page. */
#define FMT_LEVEL_LG2	 (FMT_PAGE_LG2 - 3)
#define FMT_ENTRIES	 (1U << FMT_LEVEL_LG2)
#define FMT_SHIFT(level) (FMT_PAGE_LG2 + FMT_LEVEL_LG2 * (level))
#define FMT_SIZE(level)	 (UINT64_C(1) << FMT_SHIFT(level))
#define FMT_ADDRESS_LAST ((UINT64_C(1) << FMT_ADDRESS_BITS) - 1)

_Static_assert(FMT_ADDRESS_BITS > FMT_SHIFT(FMT_LEVELS - 1) &&
		       FMT_ADDRESS_BITS <= FMT_SHIFT(FMT_LEVELS),
	       "as many levels as the address needs");
_Static_assert(FMT_ADDRESS_BITS < 64, "the end of the address space is an address");
