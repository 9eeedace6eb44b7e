/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS 6
/* lower half of 64 bits */
#define FMT_ADDRESS_BITS 63
#define FMT_OPS		 pt_ops_amdv1_l6
#include "../walk_base.h"
#include "amdv1.h"
#include "../walk.h"
