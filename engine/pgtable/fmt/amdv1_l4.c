/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS	 4
#define FMT_ADDRESS_BITS 48
#define FMT_OPS		 pt_ops_amdv1_l4
#include "../walk_base.h"
#include "amdv1.h"
#include "../walk.h"
