/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS 3
/* lower half of the canonical 39 bits */
#define FMT_ADDRESS_BITS 38
#define FMT_OPS		 pt_ops_riscv_sv39
#include "../walk_base.h"
#include "riscv.h"
#include "../walk.h"
