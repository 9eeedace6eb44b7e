/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS	 4
#define FMT_ADDRESS_BITS 48
#define FMT_OPS		 pt_ops_arm64_s1_4k
#include "../walk_base.h"
#include "arm64_s1.h"
#include "../walk.h"
