/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS 3
/* the top table has 64 entries */
#define FMT_ADDRESS_BITS 48
#define FMT_PAGE_LG2	 16
#define FMT_OPS		 pt_ops_arm64_s1_64k
#include "../walk_base.h"
#include "arm64_s1.h"
#include "../walk.h"
