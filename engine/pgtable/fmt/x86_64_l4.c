/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS 4
/* lower half of the canonical 48 bits: VT-d 3.6 wants the upper half sign-extended. */
#define FMT_ADDRESS_BITS 47
#define FMT_OPS		 pt_ops_x86_64_l4
#include "../walk_base.h"
#include "x86_64.h"
#include "../walk.h"
