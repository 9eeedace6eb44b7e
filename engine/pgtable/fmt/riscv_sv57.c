/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS 5
/* lower half of the canonical 57 bits */
#define FMT_ADDRESS_BITS 56
#define FMT_OPS		 pt_ops_riscv_sv57
#include "../walk_base.h"
#include "riscv.h"
#include "../walk.h"
