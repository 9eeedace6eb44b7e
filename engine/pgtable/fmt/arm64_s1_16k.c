/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS 4
/* the top table has 2 entries */
#define FMT_ADDRESS_BITS 48
#define FMT_PAGE_LG2	 14
#define FMT_OPS		 pt_ops_arm64_s1_16k
#include "../walk_base.h"
#include "arm64_s1.h"
#include "../walk.h"
